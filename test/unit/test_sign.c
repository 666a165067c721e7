#include "check.h"
#include "rules/sign.h"

/* The example of the Standard Webhooks specification. */
#define SECRET    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define ID        "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define AT        1614265330
#define BODY      "{\"test\": 2432232314}"
#define SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static struct hw_sign_key key_of(const char *secret)
{
    struct hw_sign_key key;
    struct hw_cause cause = { 0 };

    if (hw_sign_key_parse(&key, hw_slice_str(secret), &cause) != HW_OK)
        CHECK_FAIL("%s: %s", secret, cause.note);
    return key;
}

static void sign(struct hw_buf *out, const struct hw_sign_key *key, struct hw_slice body)
{
    hw_buf_reset(out);
    CHECK_INT(hw_sign_write(out, key, HW_SLICE(ID), AT, &body, 1), ==, HW_OK);
}

CASE(the_published_vector)
{
    struct hw_sign_key key = key_of(SECRET);
    struct hw_buf b;

    hw_buf_init(&b, 1000);
    sign(&b, &key, HW_SLICE(BODY));
    CHECK_SLICE(hw_buf_slice(&b), SIGNATURE);
    CHECK_INT(hw_buf_len(&b), ==, HW_SIGN_BYTES);
    hw_buf_close(&b);
}

/* Computed with Python: base64.b64encode(hmac.digest(key, b"msg.-1." + body, "sha256")), where
 * key is bytes(range(n)) and body is bytes(i % 251 for i in range(len)). */
CASE(other_vectors)
{
    static const struct {
        size_t key_bytes, body_bytes;
        const char *secret, *signature, *hex;
    } rows[] = {
        { 24, 0, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
          "v1,y34Wgi6Rj/BMXSLiVpSVW+A1LLFPMrfUOH77mizRklo=",
          "739b7cf71b2f41fae72627e9291f51959c81ad160dea37b9662f138b05821b30" },
        { 24, 1, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
          "v1,Xz4DfZUOwWTjcPM7JVpxGJ1FYQn29oEEmIqVNZN1SBQ=",
          "0c639de597e01afcf43caa21ad527a65e0178cebee6cce4f5526bea95393f6d8" },
        { 32, 55, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
          "v1,/lp7r8c3fE6PH3BMefeMzwO16vvBScKTS3q3uQqEJuo=",
          "b478e4cbd63871759702a8a4c9828359869bc9e20d3df429ecd08f5a5d3d9340" },
        { 32, 56, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
          "v1,NPTtEi2YitTQ7npkzg2ixwNqf/P4sRacyCzV7FZlCVs=",
          "e5d1f65e9e9359d05c577b6890044f08c9a1f7969b683f1237ef07db70e5f862" },
        { 48, 63, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v",
          "v1,jvR0TKwkrM4XAT9XtQDIwdUPOoJUoPjyzwFs6gpnJVM=",
          "aba070128d5356f72ed455b587e2155a9805010a67c2bff838fc2e27a2f3f901" },
        { 63, 64,
          "whsec_"
          "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0"
          "+",
          "v1,HcCVMkU0qxKI+H0NaQgC+U9BZyfjf6yMaC9Sh91GkNA=",
          "c8380c5a59df2225aa22129ba72e1c163f3b4f62657c89e87d951cb6a7b6c125" },
        { 64, 65,
          "whsec_"
          "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0"
          "+Pw==",
          "v1,6dnv0cNVoHvZFvZHmj/mG2vjBnfFLzuS93dXgngEd8E=",
          "62f03454d8076a30f1adc8c506a5028b56367ae9c4da0062092fb49aaefbaa47" },
        { 64, 1024,
          "whsec_"
          "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0"
          "+Pw==",
          "v1,fmjRoWFzoNdx8bLjNYo2elOKB6CGV3tBgzKW6wcDU+4=",
          "5207ff3100081f9cd6cdcab426e2590d3bdb6b1cf7a9badf5f2313010b9f64b2" },
        { 33, 5000, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g",
          "v1,BTMJ5lUAnmHI87Qshd9DNOV1glgX2Nygwf+o61KcNmY=",
          "b50144594a1994c65e44f6371d1fda0cfe907562ee3e9448df66e11f96a73b51" },
    };
    struct hw_buf b;
    char body[5000];

    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i % 251);
    hw_buf_init(&b, 1000);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hw_sign_key key = key_of(rows[i].secret);
        struct hw_slice piece = hw_slice(body, rows[i].body_bytes);
        CHECK_INT(key.len, ==, rows[i].key_bytes);
        hw_buf_reset(&b);
        CHECK_INT(hw_sign_write(&b, &key, HW_SLICE("msg"), -1, &piece, 1), ==, HW_OK);
        CHECK_SLICE(hw_buf_slice(&b), rows[i].signature);
        hw_buf_reset(&b);
        CHECK_INT(hw_sign_write_hex(&b, &key, &piece, 1), ==, HW_OK);
        CHECK_SLICE(hw_buf_slice(&b), rows[i].hex);
    }
    hw_buf_close(&b);
}

CASE(pieces_make_no_difference)
{
    struct hw_sign_key key = key_of(SECRET);
    struct hw_buf whole, parts;
    char body[300];

    hw_buf_init(&whole, 1000);
    hw_buf_init(&parts, 1000);
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)check_random();
    for (int i = 0; i < 2000; i++) {
        size_t len = check_random_below(sizeof body + 1);
        size_t cut = check_random_below(len + 1);
        struct hw_slice one = hw_slice(body, len);
        struct hw_slice two[2] = { hw_slice(body, cut), hw_slice_from(one, cut) };
        sign(&whole, &key, one);
        hw_buf_reset(&parts);
        CHECK_INT(hw_sign_write(&parts, &key, HW_SLICE(ID), AT, two, 2), ==, HW_OK);
        CHECK_SLICE_EQ(hw_buf_slice(&whole), hw_buf_slice(&parts));
        hw_buf_reset(&whole);
        hw_buf_reset(&parts);
        CHECK_INT(hw_sign_write_hex(&whole, &key, &one, 1), ==, HW_OK);
        CHECK_INT(hw_sign_write_hex(&parts, &key, two, 2), ==, HW_OK);
        CHECK_SLICE_EQ(hw_buf_slice(&whole), hw_buf_slice(&parts));
    }
    hw_buf_close(&whole);
    hw_buf_close(&parts);
}

CASE(verifies)
{
    static const struct {
        const char *signatures;
        bool fits;
    } rows[] = {
        { SIGNATURE, true },
        { "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= " SIGNATURE, true },
        { SIGNATURE " v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", true },
        { "v1a,whatever  " SIGNATURE, true },
        { "", false },
        { " ", false },
        { "v1,", false },
        { "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", false },
        { "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", false },
        { "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE", false },
        { "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=", false },
    };
    struct hw_sign_key key = key_of(SECRET);
    struct hw_sign_key other = key_of("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK(hw_sign_verify(&key, hw_slice_str(rows[i].signatures), HW_SLICE(ID), AT,
                             HW_SLICE(BODY)) == rows[i].fits);
    CHECK(!hw_sign_verify(&key, HW_SLICE(SIGNATURE), HW_SLICE("msg_2"), AT, HW_SLICE(BODY)));
    CHECK(!hw_sign_verify(&key, HW_SLICE(SIGNATURE), HW_SLICE(ID), AT + 1, HW_SLICE(BODY)));
    CHECK(!hw_sign_verify(&key, HW_SLICE(SIGNATURE), HW_SLICE(ID), AT, HW_SLICE(BODY " ")));
    CHECK(!hw_sign_verify(&other, HW_SLICE(SIGNATURE), HW_SLICE(ID), AT, HW_SLICE(BODY)));
}

CASE(secrets_that_are_none)
{
    static const char *const rows[] = {
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS=",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        "whsec_MfKQ9r8GKYqr\r\nTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_",
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", /* 23 bytes */
        /* 65 bytes */
        "whsec_"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AA=",
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",   /* no padding */
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB==", /* bits behind the last byte */
        "whsec_====",
    };
    struct hw_sign_key key;
    struct hw_cause cause;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (hw_sign_key_parse(&key, hw_slice_str(rows[i]), &cause) != HW_EINVAL)
            CHECK_FAIL("not refused: %s", rows[i]);
        CHECK_INT(key.len, ==, 0);
        CHECK_NULL(strstr(cause.note, "whsec_M")); /* a secret is never repeated */
    }
    CHECK_INT(
        hw_sign_key_parse(&key, HW_SLICE("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0"), NULL), ==,
        HW_EINVAL);
}

CASE(makes_secrets)
{
    char a[HW_SIGN_SECRET_MAX], b[HW_SIGN_SECRET_MAX];

    hw_sign_secret_make(a);
    hw_sign_secret_make(b);
    CHECK(strcmp(a, b) != 0);
    CHECK_INT(key_of(a).len, ==, 32);
    CHECK_INT(strlen(a), ==, 6 + 44);
}

CASE(a_full_buffer_is_left_alone)
{
    struct hw_sign_key key = key_of(SECRET);
    struct hw_slice body = HW_SLICE(BODY);
    struct hw_buf b;

    hw_buf_init(&b, HW_SIGN_BYTES - 1);
    CHECK_INT(hw_sign_write(&b, &key, HW_SLICE(ID), AT, &body, 1), ==, HW_ETOOBIG);
    CHECK_INT(hw_sign_write_hex(&b, &key, &body, 1), ==, HW_ETOOBIG);
    CHECK_INT(hw_buf_len(&b), ==, 0);
    hw_buf_close(&b);
}

CASE(digests)
{
    char hex[65];

    hw_sha256_hex(HW_SLICE(""), hex);
    CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hw_sha256_hex(HW_SLICE("abc"), hex); /* FIPS 180-2 B.1 */
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

CASE(compares)
{
    CHECK(hw_equal_constant_time(HW_SLICE("abc"), HW_SLICE("abc")));
    CHECK(!hw_equal_constant_time(HW_SLICE("abc"), HW_SLICE("abd")));
    CHECK(!hw_equal_constant_time(HW_SLICE("abc"), HW_SLICE("abcd")));
    CHECK(hw_equal_constant_time(HW_SLICE(""), hw_slice(NULL, 0)));
}
