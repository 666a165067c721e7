/*
 * A TLS record is encrypted or decrypted whole: key schedule -> nonce -> header -> text -> tag, on
 * the stack.  The functions that go piece by piece are there for the linker: nothing in TLS
 * uses them, and they say that they are not supported.
 */
#include <mbedtls/gcm.h>

#ifdef MBEDTLS_GCM_ALT

#include <stdbool.h>
#include <string.h>

#include <mbedtls/error.h>
#include <mbedtls/platform_util.h>
#include <nettle/gcm.h>
#include <nettle/memops.h>

/* One of the two, by the length of the key. */
struct aes_gcm {
    bool is_256;
    union {
        struct gcm_aes128_ctx aes128;
        struct gcm_aes256_ctx aes256;
    } of;
};

static void begin(struct aes_gcm *g, const mbedtls_gcm_context *ctx, const unsigned char *iv,
                  size_t iv_len, const unsigned char *add, size_t add_len)
{
    g->is_256 = ctx->n_key_bytes == AES256_KEY_SIZE;
    if (g->is_256) {
        gcm_aes256_set_key(&g->of.aes256, ctx->key);
        gcm_aes256_set_iv(&g->of.aes256, iv_len, iv);
        gcm_aes256_update(&g->of.aes256, add_len, add);
    } else {
        gcm_aes128_set_key(&g->of.aes128, ctx->key);
        gcm_aes128_set_iv(&g->of.aes128, iv_len, iv);
        gcm_aes128_update(&g->of.aes128, add_len, add);
    }
}

static void run(struct aes_gcm *g, bool encrypts, size_t len, unsigned char *to,
                const unsigned char *from)
{
    if (g->is_256 && encrypts)
        gcm_aes256_encrypt(&g->of.aes256, len, to, from);
    else if (g->is_256)
        gcm_aes256_decrypt(&g->of.aes256, len, to, from);
    else if (encrypts)
        gcm_aes128_encrypt(&g->of.aes128, len, to, from);
    else
        gcm_aes128_decrypt(&g->of.aes128, len, to, from);
}

static void end(struct aes_gcm *g, size_t tag_len, unsigned char *tag)
{
    if (g->is_256)
        gcm_aes256_digest(&g->of.aes256, tag_len, tag);
    else
        gcm_aes128_digest(&g->of.aes128, tag_len, tag);
    mbedtls_platform_zeroize(g, sizeof *g);
}

void mbedtls_gcm_init(mbedtls_gcm_context *ctx)
{
    memset(ctx, 0, sizeof *ctx);
}

void mbedtls_gcm_free(mbedtls_gcm_context *ctx)
{
    if (ctx != NULL)
        mbedtls_platform_zeroize(ctx, sizeof *ctx);
}

int mbedtls_gcm_setkey(mbedtls_gcm_context *ctx, mbedtls_cipher_id_t cipher,
                       const unsigned char *key, unsigned int keybits)
{
    if (cipher != MBEDTLS_CIPHER_ID_AES || (keybits != 128 && keybits != 256))
        return MBEDTLS_ERR_PLATFORM_FEATURE_UNSUPPORTED;
    ctx->n_key_bytes = keybits / 8;
    memcpy(ctx->key, key, ctx->n_key_bytes);
    return 0;
}

static bool is_usable(const mbedtls_gcm_context *ctx, size_t iv_len, size_t tag_len)
{
    return ctx->n_key_bytes != 0 && iv_len > 0 && tag_len >= 4 && tag_len <= GCM_DIGEST_SIZE;
}

int mbedtls_gcm_crypt_and_tag(mbedtls_gcm_context *ctx, int mode, size_t length,
                              const unsigned char *iv, size_t iv_len, const unsigned char *add,
                              size_t add_len, const unsigned char *input, unsigned char *output,
                              size_t tag_len, unsigned char *tag)
{
    struct aes_gcm g;

    if (!is_usable(ctx, iv_len, tag_len))
        return MBEDTLS_ERR_GCM_BAD_INPUT;
    begin(&g, ctx, iv, iv_len, add, add_len);
    run(&g, mode == MBEDTLS_GCM_ENCRYPT, length, output, input);
    end(&g, tag_len, tag);
    return 0;
}

int mbedtls_gcm_auth_decrypt(mbedtls_gcm_context *ctx, size_t length, const unsigned char *iv,
                             size_t iv_len, const unsigned char *add, size_t add_len,
                             const unsigned char *tag, size_t tag_len,
                             const unsigned char *input, unsigned char *output)
{
    unsigned char computed[GCM_DIGEST_SIZE];
    int status = mbedtls_gcm_crypt_and_tag(ctx, MBEDTLS_GCM_DECRYPT, length, iv, iv_len, add,
                                           add_len, input, output, tag_len, computed);

    if (status != 0)
        return status;
    if (memeql_sec(computed, tag, tag_len))
        return 0;
    mbedtls_platform_zeroize(output, length);
    return MBEDTLS_ERR_GCM_AUTH_FAILED;
}

/* ---- piece by piece ---- */

int mbedtls_gcm_starts(mbedtls_gcm_context *ctx, int mode, const unsigned char *iv, size_t iv_len)
{
    (void)ctx;
    (void)mode;
    (void)iv;
    (void)iv_len;
    return MBEDTLS_ERR_PLATFORM_FEATURE_UNSUPPORTED;
}

int mbedtls_gcm_update_ad(mbedtls_gcm_context *ctx, const unsigned char *add, size_t add_len)
{
    (void)ctx;
    (void)add;
    (void)add_len;
    return MBEDTLS_ERR_PLATFORM_FEATURE_UNSUPPORTED;
}

int mbedtls_gcm_update(mbedtls_gcm_context *ctx, const unsigned char *input, size_t input_length,
                       unsigned char *output, size_t output_size, size_t *output_length)
{
    (void)ctx;
    (void)input;
    (void)input_length;
    (void)output;
    (void)output_size;
    *output_length = 0;
    return MBEDTLS_ERR_PLATFORM_FEATURE_UNSUPPORTED;
}

int mbedtls_gcm_finish(mbedtls_gcm_context *ctx, unsigned char *output, size_t output_size,
                       size_t *output_length, unsigned char *tag, size_t tag_len)
{
    (void)ctx;
    (void)output;
    (void)output_size;
    (void)tag;
    (void)tag_len;
    *output_length = 0;
    return MBEDTLS_ERR_PLATFORM_FEATURE_UNSUPPORTED;
}

#endif
