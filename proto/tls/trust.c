#include "tls/trust.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "hookwheel/alloc.h"

enum {
    TICKET_LIFE_S = 24 * 60 * 60,
    MADE_DAYS = 30,
    MAX_NAMES = 32,
    MAX_CERT_BYTES = 4096,
    MAX_CHAIN_BYTES = MBEDTLS_SSL_OUT_CONTENT_LEN - 256 /* the message around it */
};

struct hw_trust {
    mbedtls_ssl_config config;
    mbedtls_x509_crt roots;
};

struct hw_identity {
    mbedtls_ssl_config config;
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
    mbedtls_ssl_ticket_context tickets;
    uint64_t n_tickets_taken; /* of clients that came back with one that was good */
};

/* AES-GCM is done by the processor; CBC only for servers that have nothing better. */
static const int ciphersuites[] = { MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
                                    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
                                    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
                                    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                                    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                                    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                                    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                                    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                                    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                                    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
                                    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
                                    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384,
                                    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384,
                                    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
                                    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
                                    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
                                    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
                                    0 };

/* The first is what a TLS 1.3 client offers a share of: the fastest here (a resumed handshake
 * 0.9 ms with X25519, 1.25 ms with P-256) and known to nearly every server. */
static const uint16_t groups[] = { MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
                                   MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
                                   MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
                                   MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
                                   MBEDTLS_SSL_IANA_TLS_GROUP_NONE };

/* Where systems keep their roots; the first that is there is taken. */
static const char *const system_bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch */
    "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
    "/etc/ssl/ca-bundle.pem",             /* openSUSE */
    "/etc/ssl/cert.pem"                   /* BSD */
};

static enum hw_status no_memory(struct hw_cause *cause, const char *what)
{
    return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "out of memory for %s", what);
}

static enum hw_status foreign(struct hw_cause *cause, enum hw_status status, int rc,
                              const char *what)
{
    char words[80];

    mbedtls_strerror(rc, words, sizeof words);
    return hw_cause_set(cause, status, HW_ORIGIN_MBEDTLS, rc, "%s: %s", what, words);
}

/* TLS 1.3 stands on PSA, which must be up before the first handshake.  Cheap when it is. */
static enum hw_status crypto_start(struct hw_cause *cause)
{
    psa_status_t rc = psa_crypto_init();

    if (rc != PSA_SUCCESS)
        return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_MBEDTLS, (int)rc,
                            "the cryptographic library does not start");
    return HW_OK;
}

static enum hw_status config_init(mbedtls_ssl_config *config, int endpoint,
                                  struct hw_cause *cause)
{
    int rc;

    mbedtls_ssl_config_init(config);
    rc = mbedtls_ssl_config_defaults(config, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                     MBEDTLS_SSL_PRESET_DEFAULT);
    if (rc != 0)
        return foreign(cause, HW_ENOMEM, rc, "TLS settings");
    mbedtls_ssl_conf_rng(config, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_ciphersuites(config, ciphersuites);
    mbedtls_ssl_conf_groups(config, groups);
    return HW_OK;
}

/* --- trust ------------------------------------------------------------------------- */

static enum hw_status read_roots(mbedtls_x509_crt *roots, const char *path,
                                 struct hw_cause *cause)
{
    int rc;

    if (access(path, R_OK) != 0)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_ERRNO, errno, "%s: %s", path,
                            strerror(errno));
    /* > 0: that many did not parse, the others are in. */
    rc = mbedtls_x509_crt_parse_file(roots, path);
    if (rc == MBEDTLS_ERR_X509_ALLOC_FAILED || rc == MBEDTLS_ERR_PK_ALLOC_FAILED)
        return no_memory(cause, path);
    if (rc < 0)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_MBEDTLS, rc,
                            "%s holds no certificate that can be read", path);
    return HW_OK;
}

static enum hw_status read_system_roots(mbedtls_x509_crt *roots, struct hw_cause *cause)
{
    for (size_t i = 0; i < sizeof system_bundles / sizeof *system_bundles; i++)
        if (access(system_bundles[i], R_OK) == 0)
            return read_roots(roots, system_bundles[i], cause);
    return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                        "the system has no CA certificates (%s): install ca-certificates",
                        system_bundles[0]);
}

static enum hw_status trust_fill(struct hw_trust *trust, const char *ca_file,
                                 bool system_roots, struct hw_cause *cause)
{
    enum hw_status status = crypto_start(cause);

    if (status == HW_OK)
        status = config_init(&trust->config, MBEDTLS_SSL_IS_CLIENT, cause);
    if (status == HW_OK && system_roots)
        status = read_system_roots(&trust->roots, cause);
    if (status == HW_OK && ca_file != NULL)
        status = read_roots(&trust->roots, ca_file, cause);
    if (status != HW_OK)
        return status;
    mbedtls_ssl_conf_authmode(&trust->config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(&trust->config, &trust->roots, NULL);
    mbedtls_ssl_conf_session_tickets(&trust->config, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        &trust->config, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
    return HW_OK;
}

enum hw_status hw_trust_open(struct hw_trust **out, const char *ca_file, bool system_roots,
                             struct hw_cause *cause)
{
    struct hw_trust *trust = hw_calloc(1, sizeof *trust);
    enum hw_status status;

    if (trust == NULL)
        return no_memory(cause, "CA certificates");
    mbedtls_ssl_config_init(&trust->config);
    mbedtls_x509_crt_init(&trust->roots);
    status = trust_fill(trust, ca_file, system_roots, cause);
    if (status != HW_OK)
        hw_trust_close(trust);
    else
        *out = trust;
    return status;
}

void hw_trust_close(struct hw_trust *trust)
{
    if (trust == NULL)
        return;
    mbedtls_ssl_config_free(&trust->config);
    mbedtls_x509_crt_free(&trust->roots);
    hw_free(trust);
}

const struct mbedtls_ssl_config *hw_trust_config(const struct hw_trust *trust)
{
    return &trust->config;
}

/* --- identity ---------------------------------------------------------------------- */

static struct hw_identity *identity_new(void)
{
    struct hw_identity *identity = hw_calloc(1, sizeof *identity);

    if (identity == NULL)
        return NULL;
    mbedtls_ssl_config_init(&identity->config);
    mbedtls_x509_crt_init(&identity->chain);
    mbedtls_pk_init(&identity->key);
    mbedtls_ssl_ticket_init(&identity->tickets);
    return identity;
}

void hw_identity_close(struct hw_identity *identity)
{
    if (identity == NULL)
        return;
    mbedtls_ssl_config_free(&identity->config);
    mbedtls_x509_crt_free(&identity->chain);
    mbedtls_pk_free(&identity->key);
    mbedtls_ssl_ticket_free(&identity->tickets);
    hw_free(identity);
}

const struct mbedtls_ssl_config *hw_identity_config(const struct hw_identity *identity)
{
    return &identity->config;
}

uint64_t hw_identity_tickets_taken(const struct hw_identity *identity)
{
    return identity->n_tickets_taken;
}

static int on_ticket(void *ctx, mbedtls_ssl_session *session, unsigned char *bytes,
                     size_t n_bytes)
{
    struct hw_identity *identity = ctx;
    int rc = mbedtls_ssl_ticket_parse(&identity->tickets, session, bytes, n_bytes);

    if (rc == 0)
        identity->n_tickets_taken++;
    return rc;
}

static int on_ticket_wanted(void *ctx, const mbedtls_ssl_session *session,
                            unsigned char *start, const unsigned char *end, size_t *n_bytes,
                            uint32_t *lifetime_s)
{
    struct hw_identity *identity = ctx;

    return mbedtls_ssl_ticket_write(&identity->tickets, session, start, end, n_bytes,
                                    lifetime_s);
}

/* Certificate and key are there: the rest. */
static enum hw_status identity_finish(struct hw_identity *identity, struct hw_cause *cause)
{
    enum hw_status status = config_init(&identity->config, MBEDTLS_SSL_IS_SERVER, cause);
    int rc;

    if (status != HW_OK)
        return status;
    rc = mbedtls_ssl_ticket_setup(&identity->tickets, mbedtls_psa_get_random,
                                  MBEDTLS_PSA_RANDOM_STATE, MBEDTLS_CIPHER_AES_256_GCM,
                                  TICKET_LIFE_S);
    if (rc == 0)
        rc = mbedtls_ssl_conf_own_cert(&identity->config, &identity->chain, &identity->key);
    if (rc != 0)
        return foreign(cause, HW_ENOMEM, rc, "TLS server settings");
    mbedtls_ssl_conf_session_tickets_cb(&identity->config, on_ticket_wanted, on_ticket,
                                        identity);
    return HW_OK;
}

static enum hw_status identity_read(struct hw_identity *identity, const char *cert_file,
                                    const char *key_file, struct hw_cause *cause)
{
    enum hw_status status = read_roots(&identity->chain, cert_file, cause);
    size_t n_bytes = 0;
    int rc;

    if (status != HW_OK)
        return status;
    for (const mbedtls_x509_crt *crt = &identity->chain; crt != NULL; crt = crt->next)
        n_bytes += crt->raw.len + 8;
    if (n_bytes > MAX_CHAIN_BYTES)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "%s: a chain of %zu bytes is too long (at most %d)", cert_file,
                            n_bytes, MAX_CHAIN_BYTES);
    if (access(key_file, R_OK) != 0)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_ERRNO, errno, "%s: %s", key_file,
                            strerror(errno));
    rc = mbedtls_pk_parse_keyfile(&identity->key, key_file, NULL, mbedtls_psa_get_random,
                                  MBEDTLS_PSA_RANDOM_STATE);
    if (rc != 0)
        return foreign(cause, HW_EINVAL, rc, key_file);
    rc = mbedtls_pk_check_pair(&identity->chain.pk, &identity->key, mbedtls_psa_get_random,
                               MBEDTLS_PSA_RANDOM_STATE);
    if (rc != 0)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_MBEDTLS, rc,
                            "the key in %s is not that of %s", key_file, cert_file);
    return HW_OK;
}

enum hw_status hw_identity_open(struct hw_identity **out, const char *cert_file,
                                const char *key_file, struct hw_cause *cause)
{
    struct hw_identity *identity = identity_new();
    enum hw_status status;

    if (identity == NULL)
        return no_memory(cause, "a certificate");
    status = crypto_start(cause);
    if (status == HW_OK)
        status = identity_read(identity, cert_file, key_file, cause);
    if (status == HW_OK)
        status = identity_finish(identity, cause);
    if (status != HW_OK)
        hw_identity_close(identity);
    else
        *out = identity;
    return status;
}

/* --- a certificate of our own ------------------------------------------------------- */

struct names {
    mbedtls_x509_san_list list[MAX_NAMES];
    unsigned char address[MAX_NAMES][16];
    size_t n;
};

/* mbedTLS takes names as pointers to what it will only read, without const. */
static unsigned char *readable(const char *s)
{
    union {
        const char *in;
        unsigned char *out;
    } u = { s };
    return u.out;
}

static void names_add(struct names *names, const char *name)
{
    mbedtls_x509_san_list *entry = &names->list[names->n];
    unsigned char *address = names->address[names->n];
    mbedtls_x509_buf *value = &entry->node.san.unstructured_name;

    *entry = (mbedtls_x509_san_list){ 0 };
    entry->node.type = MBEDTLS_X509_SAN_IP_ADDRESS;
    value->p = address;
    if (inet_pton(AF_INET, name, address) == 1) {
        value->len = 4;
    } else if (inet_pton(AF_INET6, name, address) == 1) {
        value->len = 16;
    } else {
        entry->node.type = MBEDTLS_X509_SAN_DNS_NAME;
        value->p = readable(name);
        value->len = strlen(name);
    }
    if (names->n > 0)
        names->list[names->n - 1].next = entry;
    names->n++;
}

/* "YYYYMMDDhhmmss" */
static void x509_time(char out[20], int64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;

    HW_MUST(gmtime_r(&seconds, &tm) != NULL);
    HW_MUST(strftime(out, 20, "%Y%m%d%H%M%S", &tm) > 0);
}

static int made_set_purpose(mbedtls_x509write_cert *cert)
{
    const mbedtls_asn1_sequence server_auth = {
        .buf = { .tag = MBEDTLS_ASN1_OID,
                 .len = MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH),
                 .p = readable(MBEDTLS_OID_SERVER_AUTH) }
    };
    int rc = mbedtls_x509write_crt_set_basic_constraints(cert, 0, -1);

    if (rc == 0)
        rc = mbedtls_x509write_crt_set_key_usage(cert, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_ext_key_usage(cert, &server_auth);
    return rc;
}

static int made_set_fields(mbedtls_x509write_cert *cert, const struct names *names,
                           int64_t now_ms)
{
    const int64_t day_ms = INT64_C(24) * 60 * 60 * 1000;
    unsigned char serial[16];
    char from[20], until[20];
    int rc;

    mbedtls_x509write_crt_set_version(cert, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(cert, MBEDTLS_MD_SHA256);
    hw_random_bytes(serial, sizeof serial);
    serial[0] = (serial[0] & 0x7f) | 0x01; /* positive, and not zero */
    x509_time(from, now_ms - day_ms);
    x509_time(until, now_ms + MADE_DAYS * day_ms);
    rc = mbedtls_x509write_crt_set_serial_raw(cert, serial, sizeof serial);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_validity(cert, from, until);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_subject_name(cert, "CN=hookwheel");
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_issuer_name(cert, "CN=hookwheel");
    if (rc == 0)
        rc = made_set_purpose(cert);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_subject_alternative_name(cert, names->list);
    return rc;
}

/* The chain's one certificate, for the key that is there already. */
static int identity_self_sign(struct hw_identity *identity, const struct names *names,
                              int64_t now_ms)
{
    mbedtls_x509write_cert cert;
    unsigned char der[MAX_CERT_BYTES]; /* written from its end */
    int rc;

    mbedtls_x509write_crt_init(&cert);
    mbedtls_x509write_crt_set_subject_key(&cert, &identity->key);
    mbedtls_x509write_crt_set_issuer_key(&cert, &identity->key);
    rc = made_set_fields(&cert, names, now_ms);
    if (rc == 0)
        rc = mbedtls_x509write_crt_der(&cert, der, sizeof der, mbedtls_psa_get_random,
                                       MBEDTLS_PSA_RANDOM_STATE);
    if (rc > 0)
        rc = mbedtls_x509_crt_parse_der(&identity->chain, der + sizeof der - rc, (size_t)rc);
    mbedtls_x509write_crt_free(&cert);
    return rc;
}

static int identity_make_key(struct hw_identity *identity)
{
    int rc = mbedtls_pk_setup(&identity->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));

    if (rc != 0)
        return rc;
    return mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(identity->key),
                               mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
}

static enum hw_status append_pem(struct hw_buf *pem, const mbedtls_x509_crt *crt)
{
    unsigned char text[2 * MAX_CERT_BYTES];
    size_t n_bytes = 0;
    int rc = mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n",
                                      "-----END CERTIFICATE-----\n", crt->raw.p, crt->raw.len,
                                      text, sizeof text, &n_bytes);

    HW_MUST(rc == 0); /* twice the size is room enough for base64 */
    return hw_buf_append(pem, text, n_bytes - 1); /* it counts the NUL */
}

static enum hw_status identity_fill(struct hw_identity *identity, const struct names *names,
                                    int64_t now_ms, struct hw_cause *cause)
{
    enum hw_status status = crypto_start(cause);
    int rc;

    if (status != HW_OK)
        return status;
    rc = identity_make_key(identity);
    if (rc == 0)
        rc = identity_self_sign(identity, names, now_ms);
    if (rc != 0)
        return foreign(cause, HW_EINVAL, rc, "a self-signed certificate could not be made");
    return identity_finish(identity, cause);
}

enum hw_status hw_identity_make(struct hw_identity **out, const char *const *names,
                                size_t n_names, int64_t now_ms, struct hw_buf *pem,
                                struct hw_cause *cause)
{
    struct names given = { .n = 0 };
    struct hw_identity *identity;
    enum hw_status status;

    if (n_names == 0 || n_names > MAX_NAMES)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "a certificate needs 1 to %d names, not %zu", MAX_NAMES, n_names);
    for (size_t i = 0; i < n_names; i++)
        names_add(&given, names[i]);
    identity = identity_new();
    if (identity == NULL)
        return no_memory(cause, "a certificate");
    status = identity_fill(identity, &given, now_ms, cause);
    if (status == HW_OK && pem != NULL && append_pem(pem, &identity->chain) != HW_OK)
        status = no_memory(cause, "a certificate");
    if (status != HW_OK)
        hw_identity_close(identity);
    else
        *out = identity;
    return status;
}

/* --- randomness -------------------------------------------------------------------- */

void hw_random_bytes(void *out, size_t n_bytes)
{
    unsigned char *at = out;

    while (n_bytes > 0) {
        ssize_t n = getrandom(at, n_bytes, 0);
        if (n < 0 && errno == EINTR)
            continue;
        HW_MUST(n > 0);
        at += n;
        n_bytes -= (size_t)n;
    }
}
