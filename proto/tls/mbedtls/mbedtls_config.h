/*
 * mbedtls_config - what goes into the project's own build of mbedTLS 3.6.
 *
 * engine/setup.sh builds with it and installs it as <mbedtls/mbedtls_config.h>, so that
 * whoever includes an mbedTLS header sees what the library was built with.  The name of
 * the folder it is installed in holds the digest of the four files here: a change is a new build.
 * Compiled as engine/setup.sh says, recipe 4 (to be counted up when that changes).
 *
 * What a public HTTPS server may ask of a client: TLS 1.2 and 1.3, ECDHE, certificates
 * signed with RSA or ECDSA.  A server side for `hookwheel listen`, and enough of X.509
 * writing for its self-signed certificate.  No DTLS, no renegotiation, no static RSA or
 * finite-field key exchange.
 */

/* --- the machine ----------------------------------------------------------------- */

#define MBEDTLS_HAVE_ASM
#define MBEDTLS_HAVE_TIME
#define MBEDTLS_HAVE_TIME_DATE /* certificates expire */
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_FS_IO
#define MBEDTLS_ENTROPY_C
#define MBEDTLS_CTR_DRBG_C
#define MBEDTLS_VERSION_C
#define MBEDTLS_ERROR_C /* mbedtls_strerror, for the cause of a failure */

/* --- ciphers and digests ---------------------------------------------------------- */

#define MBEDTLS_AES_C
#define MBEDTLS_AESNI_C /* x86-64, found at run time; for CBC */
#define MBEDTLS_AESCE_C /* arm64, found at run time */
#define MBEDTLS_CIPHER_C
#define MBEDTLS_GCM_C
#define MBEDTLS_GCM_ALT /* nettle's: gcm_alt.h */
#define MBEDTLS_CHACHA20_C
#define MBEDTLS_POLY1305_C
#define MBEDTLS_CHACHAPOLY_C
#define MBEDTLS_CIPHER_MODE_CBC /* last resort for TLS 1.2 servers without AES-GCM */
#define MBEDTLS_CIPHER_PADDING_PKCS7

#define MBEDTLS_MD_C
#define MBEDTLS_SHA1_C /* MAC of those servers; SHA1 of Lua scripts never comes here */
#define MBEDTLS_SHA224_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA384_C
#define MBEDTLS_SHA512_C
#define MBEDTLS_SHA256_USE_ARMV8_A_CRYPTO_IF_PRESENT
#define MBEDTLS_SHA512_USE_A64_CRYPTO_IF_PRESENT
#define MBEDTLS_BASE64_C

/* --- public keys ------------------------------------------------------------------ */

#define MBEDTLS_BIGNUM_C
#define MBEDTLS_OID_C
#define MBEDTLS_RSA_C
#define MBEDTLS_PKCS1_V15
#define MBEDTLS_PKCS1_V21 /* RSA-PSS, required by TLS 1.3 */
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_DP_SECP384R1_ENABLED
#define MBEDTLS_ECP_DP_SECP521R1_ENABLED
#define MBEDTLS_ECP_DP_CURVE25519_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM
#define MBEDTLS_ECDH_C
#define MBEDTLS_ECDH_VARIANT_EVEREST_ENABLED /* X25519: ecp.c */
#define MBEDTLS_ECDSA_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_PK_WRITE_C
#define MBEDTLS_PSA_CRYPTO_C          /* TLS 1.3 is built on it */
#define MBEDTLS_PSA_KEY_STORE_DYNAMIC /* every TLS 1.3 handshake under way holds a key; not 32 in all */
#define MBEDTLS_HKDF_C

/* --- X.509 ------------------------------------------------------------------------ */

#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_PEM_PARSE_C
#define MBEDTLS_PEM_WRITE_C
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_CREATE_C
#define MBEDTLS_X509_CRT_WRITE_C
#define MBEDTLS_X509_RSASSA_PSS_SUPPORT

/* --- TLS -------------------------------------------------------------------------- */

#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_CLI_C
#define MBEDTLS_SSL_SRV_C
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_SSL_PROTO_TLS1_3
#define MBEDTLS_SSL_TLS1_3_COMPATIBILITY_MODE
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL_ENABLED /* resumption */
#define MBEDTLS_KEY_EXCHANGE_ECDHE_RSA_ENABLED
#define MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA_ENABLED
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
#define MBEDTLS_SSL_ENCRYPT_THEN_MAC
#define MBEDTLS_SSL_SERVER_NAME_INDICATION
#define MBEDTLS_SSL_SESSION_TICKETS
#define MBEDTLS_SSL_TICKET_C
#define MBEDTLS_SSL_KEEP_PEER_CERTIFICATE /* TLS 1.3 does not build without */
#define MBEDTLS_SSL_ALL_ALERT_MESSAGES

/* A record from a server may be of full size; ours need not be, and each session
 * holds both buffers for its whole life. */
#define MBEDTLS_SSL_IN_CONTENT_LEN  16384
#define MBEDTLS_SSL_OUT_CONTENT_LEN 4096
