/*
 * HMAC is SHA-256 twice: over the key's block (ipad) and the message, then over the key's
 * other block (opad) and that digest.  The two states behind the key's blocks are the same
 * for every message, so they are computed once and copied for each signature.
 */
#include "rules/sign.h"

#include <inttypes.h>
#include <stdio.h>

#include <mbedtls/base64.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>
#include <nettle/base64.h>
#include <nettle/sha2.h>

#include "base/must.h"
#include "tls/trust.h"

enum { DIGEST_BYTES = 32, BLOCK_BYTES = 64, DIGEST_BASE64_BYTES = BASE64_ENCODE_RAW_LENGTH(32) };

_Static_assert(sizeof(struct sha256_ctx) <= HW_SIGN_STATE_BYTES, "no room for the state");
_Static_assert(HW_SIGN_KEY_MAX <= BLOCK_BYTES, "a longer key would have to be hashed first");

/* --- SHA-256 ------------------------------------------------------------------------
 * Nettle's, which takes the processor's instructions for it where there are any; mbedTLS has
 * none for x86, and would spend a fifth of a delivery here.  Its context is a plain value. */

static void sha_add(struct sha256_ctx *sha, const void *data, size_t n_bytes)
{
    if (n_bytes > 0)
        sha256_update(sha, n_bytes, data);
}

static void sha_end(struct sha256_ctx *sha, unsigned char digest[DIGEST_BYTES])
{
    sha256_digest(sha, DIGEST_BYTES, digest);
    mbedtls_platform_zeroize(sha, sizeof *sha);
}

/* --- keys ------------------------------------------------------------------------- */

/* The state behind one block of the key, each byte changed by `pad`. */
static void prepare_state(unsigned char state[HW_SIGN_STATE_BYTES],
                          const struct hw_sign_key *key, unsigned char pad)
{
    struct sha256_ctx sha;
    unsigned char block[BLOCK_BYTES];

    for (size_t i = 0; i < BLOCK_BYTES; i++)
        block[i] = (unsigned char)((i < key->len ? key->bytes[i] : 0) ^ pad);
    sha256_init(&sha);
    sha_add(&sha, block, sizeof block);
    memcpy(state, &sha, sizeof sha);
    mbedtls_platform_zeroize(&sha, sizeof sha);
    mbedtls_platform_zeroize(block, sizeof block);
}

/* mbedTLS overlooks line ends in base64 and bits behind the last byte; so it is written
 * again and compared: a key has one secret. */
static bool decode_canonical(struct hw_sign_key *key, struct hw_slice text)
{
    unsigned char again[HW_SIGN_SECRET_MAX];
    size_t len;

    if (mbedtls_base64_decode(key->bytes, sizeof key->bytes, &key->len,
                              (const unsigned char *)text.data, text.len) != 0)
        return false;
    bool is_same =
        key->len > 0 &&
        mbedtls_base64_encode(again, sizeof again, &len, key->bytes, key->len) == 0 &&
        hw_slice_eq(hw_slice(again, len), text);
    mbedtls_platform_zeroize(again, sizeof again);
    return is_same;
}

enum hw_status hw_sign_key_parse(struct hw_sign_key *key, struct hw_slice secret,
                                 struct hw_cause *cause)
{
    struct hw_slice prefix = HW_SLICE("whsec_");

    *key = (struct hw_sign_key){ 0 };
    if (!hw_slice_starts(secret, prefix) || secret.len >= HW_SIGN_SECRET_MAX ||
        !decode_canonical(key, hw_slice_from(secret, prefix.len)) ||
        key->len < HW_SIGN_KEY_MIN) {
        mbedtls_platform_zeroize(key, sizeof *key);
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "a secret is \"whsec_\" and the base64 of %d to %d bytes",
                            HW_SIGN_KEY_MIN, HW_SIGN_KEY_MAX);
    }
    prepare_state(key->inner, key, 0x36);
    prepare_state(key->outer, key, 0x5c);
    return HW_OK;
}

void hw_sign_secret_make(char out[HW_SIGN_SECRET_MAX])
{
    enum { PREFIX_BYTES = 6 };
    unsigned char random[32];
    size_t len;

    hw_random_bytes(random, sizeof random);
    memcpy(out, "whsec_", PREFIX_BYTES);
    HW_MUST(mbedtls_base64_encode((unsigned char *)out + PREFIX_BYTES,
                                  HW_SIGN_SECRET_MAX - PREFIX_BYTES, &len, random,
                                  sizeof random) == 0);
    mbedtls_platform_zeroize(random, sizeof random);
}

/* --- HMAC ------------------------------------------------------------------------- */

static void hmac_start(struct sha256_ctx *sha, const struct hw_sign_key *key)
{
    HW_MUST(key->len > 0);
    memcpy(sha, key->inner, sizeof *sha);
}

static void hmac_end(struct sha256_ctx *sha, const struct hw_sign_key *key,
                     unsigned char mac[DIGEST_BYTES])
{
    sha_end(sha, mac);
    memcpy(sha, key->outer, sizeof *sha);
    sha_add(sha, mac, DIGEST_BYTES);
    sha_end(sha, mac);
}

static void add_pieces(struct sha256_ctx *sha, const struct hw_slice *body,
                       size_t n_pieces)
{
    for (size_t i = 0; i < n_pieces; i++)
        sha_add(sha, body[i].data, body[i].len);
}

/* Over "{id}.{timestamp}.{body}". */
static void mac_message(unsigned char mac[DIGEST_BYTES], const struct hw_sign_key *key,
                        struct hw_slice id, int64_t timestamp_s, const struct hw_slice *body,
                        size_t n_pieces)
{
    struct sha256_ctx sha;
    char timestamp[32];
    int n = snprintf(timestamp, sizeof timestamp, ".%" PRId64 ".", timestamp_s);

    hmac_start(&sha, key);
    sha_add(&sha, id.data, id.len);
    sha_add(&sha, timestamp, (size_t)n);
    add_pieces(&sha, body, n_pieces);
    hmac_end(&sha, key, mac);
}

/* --- signatures ------------------------------------------------------------------- */

/* "v1,<base64>" and a NUL. */
static void write_signature(char out[HW_SIGN_BYTES + 1], const unsigned char mac[DIGEST_BYTES])
{
    memcpy(out, "v1,", 3);
    base64_encode_raw(out + 3, DIGEST_BYTES, mac);
    out[3 + DIGEST_BASE64_BYTES] = '\0';
}

static void write_hex(char out[2 * DIGEST_BYTES], const unsigned char digest[DIGEST_BYTES])
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
}

enum hw_status hw_sign_write(struct hw_buf *out, const struct hw_sign_key *key,
                             struct hw_slice id, int64_t timestamp_s,
                             const struct hw_slice *body, size_t n_pieces)
{
    unsigned char mac[DIGEST_BYTES];
    char text[HW_SIGN_BYTES + 1];

    mac_message(mac, key, id, timestamp_s, body, n_pieces);
    write_signature(text, mac);
    return hw_buf_append(out, text, HW_SIGN_BYTES);
}

enum hw_status hw_sign_write_hex(struct hw_buf *out, const struct hw_sign_key *key,
                                 const struct hw_slice *body, size_t n_pieces)
{
    struct sha256_ctx sha;
    unsigned char mac[DIGEST_BYTES];
    char text[HW_SIGN_HEX_BYTES];

    hmac_start(&sha, key);
    add_pieces(&sha, body, n_pieces);
    hmac_end(&sha, key, mac);
    write_hex(text, mac);
    return hw_buf_append(out, text, sizeof text);
}

bool hw_sign_verify(const struct hw_sign_key *key, struct hw_slice signatures,
                    struct hw_slice id, int64_t timestamp_s, struct hw_slice body)
{
    unsigned char mac[DIGEST_BYTES];
    char expected[HW_SIGN_BYTES + 1];
    bool fits = false;

    mac_message(mac, key, id, timestamp_s, &body, 1);
    write_signature(expected, mac);
    while (signatures.len > 0) {
        size_t len = hw_slice_find(signatures, ' ');
        struct hw_slice one = hw_slice(signatures.data, len);
        fits |= hw_equal_constant_time(one, hw_slice(expected, HW_SIGN_BYTES));
        signatures = hw_slice_from(signatures, len + 1);
    }
    return fits;
}

/* --- digests and comparison ------------------------------------------------------- */

void hw_sha256_hex(struct hw_slice in, char out[65])
{
    struct sha256_ctx sha;
    unsigned char digest[DIGEST_BYTES];

    sha256_init(&sha);
    sha_add(&sha, in.data, in.len);
    sha_end(&sha, digest);
    write_hex(out, digest);
    out[2 * DIGEST_BYTES] = '\0';
}

bool hw_equal_constant_time(struct hw_slice a, struct hw_slice b)
{
    return a.len == b.len && (a.len == 0 || mbedtls_ct_memcmp(a.data, b.data, a.len) == 0);
}
