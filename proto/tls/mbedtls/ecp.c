/*
 * mbedTLS's own elliptic curves (engine/setup.sh calls them ecp_upstream.c), but X25519 by Everest,
 * which comes with mbedTLS and which it uses for one half of a key exchange only.  The other
 * half, the public key that every TLS 1.3 handshake sends, was two thirds of a resumed handshake
 * when it was computed with big numbers: 0.6 ms with them, 0.2 without.
 */
#define mbedtls_ecp_mul ecp_mul_upstream
#include "ecp_upstream.c"
#undef mbedtls_ecp_mul

#include <everest/Hacl_Curve25519.h>

enum { X25519_BYTES = 32 };

/* Numbers that are a key and a point; R may be P. */
static int x25519(mbedtls_ecp_point *R, const mbedtls_mpi *m, const mbedtls_ecp_point *P)
{
    uint8_t secret[X25519_BYTES], u[X25519_BYTES], product[X25519_BYTES];
    int error = mbedtls_mpi_write_binary_le(m, secret, sizeof(secret));
    if (error == 0)
        error = mbedtls_mpi_write_binary_le(&P->X, u, sizeof(u));
    if (error == 0) {
        Hacl_Curve25519_crypto_scalarmult(product, secret, u);
        error = mbedtls_mpi_read_binary_le(&R->X, product, sizeof(product));
    }
    if (error == 0)
        error = mbedtls_mpi_lset(&R->Z, 1);
    mbedtls_mpi_free(&R->Y); /* a point of this curve has none */
    mbedtls_platform_zeroize(secret, sizeof(secret));
    mbedtls_platform_zeroize(product, sizeof(product));
    return error;
}

/* Declared in <mbedtls/ecp.h>, which was read with the other name. */
int mbedtls_ecp_mul(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m,
                    const mbedtls_ecp_point *P, mbedtls_f_rng_t *f_rng, void *p_rng);

int mbedtls_ecp_mul(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m,
                    const mbedtls_ecp_point *P, mbedtls_f_rng_t *f_rng, void *p_rng)
{
    if (grp->id == MBEDTLS_ECP_DP_CURVE25519 && mbedtls_ecp_check_privkey(grp, m) == 0 &&
        mbedtls_ecp_check_pubkey(grp, P) == 0)
        return x25519(R, m, P);
    return ecp_mul_upstream(grp, R, m, P, f_rng, p_rng);
}
