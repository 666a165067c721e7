/*
 * sign - Standard Webhooks signatures, and the older kind over the body alone.
 *
 * A secret is "whsec_" + base64 of 24 to 64 bytes; its key is the decoded part.
 * Signature: "v1," + base64(HMAC-SHA256(key, "{id}.{timestamp}.{body}")).
 *
 * Memory    none kept or allocated; a key schedule is prepared once a webhook
 *           (hw_sign_key), so a signature is one pass over the body and two blocks.
 * Errors    HW_EINVAL for a secret that does not parse; signing without a key is a broken
 *           promise.
 */
#ifndef HW_RULES_SIGN_H
#define HW_RULES_SIGN_H

#include "base/buf.h"

#define HW_SIGN_KEY_MIN     24
#define HW_SIGN_KEY_MAX     64
#define HW_SIGN_SECRET_MAX  100 /* text, with the NUL */
#define HW_SIGN_HEX_BYTES   64
#define HW_SIGN_BYTES       47  /* "v1," and 44 characters */
#define HW_SIGN_STATE_BYTES 128 /* of the library, whose headers stay in sign.c */

/* Plain value: copy it, wipe it like any secret. */
struct hw_sign_key {
    unsigned char bytes[HW_SIGN_KEY_MAX];
    size_t len;                               /* 0: no key */
    unsigned char inner[HW_SIGN_STATE_BYTES]; /* SHA-256 after the key's block, inside */
    unsigned char outer[HW_SIGN_STATE_BYTES]; /* ... and outside: HMAC, RFC 2104 */
};

/* The base64 must be canonical: the usual alphabet, padded, nothing else in it. */
HW_MUST_USE enum hw_status hw_sign_key_parse(struct hw_sign_key *key, struct hw_slice secret,
                                             struct hw_cause *cause);

/* A new secret from 32 random bytes, NUL-terminated. */
void hw_sign_secret_make(char out[HW_SIGN_SECRET_MAX]);

/* Append "v1,<base64>"; the body may come in pieces (an event record without its
 * member raw is two). */
HW_MUST_USE enum hw_status hw_sign_write(struct hw_buf *out, const struct hw_sign_key *key,
                                         struct hw_slice id, int64_t timestamp_s,
                                         const struct hw_slice *body, size_t n_pieces);

/* Append the lower-case hex HMAC-SHA256 of the body alone. */
HW_MUST_USE enum hw_status hw_sign_write_hex(struct hw_buf *out, const struct hw_sign_key *key,
                                             const struct hw_slice *body, size_t n_pieces);

/* Does any of the space-separated signatures fit?  Constant time per comparison. */
bool hw_sign_verify(const struct hw_sign_key *key, struct hw_slice signatures,
                    struct hw_slice id, int64_t timestamp_s, struct hw_slice body);

/* Lower-case hex of SHA-256, for tokens and digests; 64 characters and a NUL. */
void hw_sha256_hex(struct hw_slice in, char out[65]);

/* Equal, in time that depends on the lengths only. */
bool hw_equal_constant_time(struct hw_slice a, struct hw_slice b);

#endif
