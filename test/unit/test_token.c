/* token: stored and read back, found by hash and by id, and its rate. */
#include "core/token.h"

#include "check.h"
#include "support/scarce.h"

#define HASH_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HASH_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
#define STORED                                                                                \
    "{\"id\":\"tok_1\",\"hash\":\"" HASH_A "\",\"account\":\"acct_1\",\"name\":\"CI\","       \
    "\"scopes\":[\"webhooks:manage\",\"orders:read\"],\"created_ms\":1700000000123,"          \
    "\"expires_ms\":1800000000456}"

static struct hw_token *read_one(const char *stored)
{
    struct hw_token *t = NULL;

    CHECK_INT(hw_token_read(&t, hw_slice_str(stored), NULL), ==, HW_OK);
    return t;
}

static struct hw_token *token(const char *id, const char *hash)
{
    char stored[300];

    snprintf(
        stored, sizeof stored,
        "{\"id\":\"%s\",\"hash\":\"%s\",\"account\":\"a\",\"scopes\":[],\"created_ms\":1}", id,
        hash);
    return read_one(stored);
}

CASE(a_token_goes_there_and_back)
{
    struct hw_token *t = read_one(STORED);
    struct hw_buf out;

    CHECK_STR(t->id, "tok_1");
    CHECK_STR(t->hash, HASH_A);
    CHECK_STR(t->account, "acct_1");
    CHECK_STR(t->name, "CI");
    CHECK_UINT(t->scopes.n_names, ==, 2);
    CHECK_STR(t->scopes.names[1], "orders:read");
    CHECK_UINT(t->powers, ==, HW_SCOPE_WEBHOOKS_MANAGE | HW_SCOPE_ANY);
    CHECK_INT(t->created_ms, ==, 1700000000123);
    CHECK_INT(t->expires_ms, ==, 1800000000456);
    hw_buf_init(&out, 4096);
    CHECK_INT(hw_token_write(t, &out), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&out), STORED);
    hw_token_release(t);
    hw_buf_reset(&out);
    t = token("tok_2", HASH_B);
    CHECK_NULL(t->name);
    CHECK_INT(t->expires_ms, ==, 0);
    CHECK_UINT(t->powers, ==, HW_SCOPE_ANY);
    CHECK_INT(hw_token_write(t, &out), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&out), "{\"id\":\"tok_2\",\"hash\":\"" HASH_B
                                    "\",\"account\":\"a\",\"scopes\":[],\"created_ms\":1}");
    hw_buf_close(&out);
    hw_token_release(t);
}

CASE(what_was_not_written_by_us_is_refused_by_name)
{
    static const struct {
        const char *stored, *named;
    } bad[] = {
        { "", "object" },
        { "{}", "id" },
        { "{\"id\":\"\"}", "id" },
        { "{\"id\":\"t\",\"hash\":\"00\"}", "hash" },
        { "{\"id\":\"t\",\"hash\":\"" HASH_A "0\"}", "hash" },
        { "{\"id\":\"t\",\"hash\":"
          "\"G0112233445566778899aabbccddeeff00112233445566778899aabbccdd"
          "eeff\"}",
          "hash" },
        { "{\"id\":\"t\",\"hash\":\"" HASH_A "\"}", "account" },
        { "{\"id\":\"t\",\"hash\":\"" HASH_A "\",\"account\":\"a\"}", "scopes" },
        { "{\"id\":\"t\",\"hash\":\"" HASH_A "\",\"account\":\"a\",\"scopes\":\"x\"}",
          "scopes" },
        { "{\"id\":\"t\",\"hash\":\"" HASH_A "\",\"account\":\"a\",\"scopes\":[1]}",
          "scopes" },
        { "{\"id\":\"t\",\"hash\":\"" HASH_A "\",\"account\":\"a\",\"scopes\":[\" \"]}",
          "scopes" },
        { "{\"id\":\"t\",\"hash\":\"" HASH_A "\",\"account\":\"a\",\"scopes\":[]}",
          "created_ms" },
        { "{\"id\":\"t\",\"hash\":\"" HASH_A
          "\",\"account\":\"a\",\"scopes\":[],\"created_ms\":1,"
          "\"expires_ms\":-1}",
          "expires_ms" },
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct hw_token *t = NULL;
        struct hw_cause cause = { 0 };
        CHECK_INT(hw_token_read(&t, hw_slice_str(bad[i].stored), &cause), ==, HW_EINVAL);
        CHECK_CONTAINS(cause.note, bad[i].named);
        CHECK_NULL(t);
    }
}

CASE(a_book_finds_by_hash_and_by_id)
{
    struct hw_token_book book;
    struct hw_token *a = token("tok_a", HASH_A), *b = token("tok_b", HASH_B), *held;

    hw_token_book_init(&book);
    CHECK_NULL(hw_token_book_find(&book, HASH_A));
    CHECK_NULL(hw_token_book_find_id(&book, "tok_a"));
    CHECK_INT(hw_token_book_add(&book, a), ==, HW_OK);
    CHECK_INT(hw_token_book_add(&book, b), ==, HW_OK);
    CHECK_PTR(hw_token_book_find(&book, HASH_A), ==, a);
    CHECK_PTR(hw_token_book_find(&book, HASH_B), ==, b);
    CHECK_PTR(hw_token_book_find_id(&book, "tok_b"), ==, b);
    CHECK_NULL(hw_token_book_find_id(&book, "tok_"));
    held = hw_token_hold(a);
    a = token("tok_new", HASH_A);
    CHECK_INT(hw_token_book_add(&book, a), ==, HW_OK);
    CHECK_UINT(book.n_tokens, ==, 2);
    CHECK_PTR(hw_token_book_find(&book, HASH_A), ==, a);
    CHECK_NULL(hw_token_book_find_id(&book, "tok_a"));
    CHECK_STR(held->id, "tok_a"); /* a call under way outlives the change */
    hw_token_release(held);
    hw_token_book_close(&book);
    CHECK_UINT(book.n_tokens, ==, 0);
    CHECK_NULL(hw_token_book_find(&book, HASH_A));
    hw_token_book_close(&book);
}

CASE(a_rate_is_spent_and_comes_back)
{
    struct hw_token *t = hw_token_new();
    hw_mono_ms now = 5000;
    uint64_t wait_ms;

    for (int i = 0; i < 10; i++)
        CHECK_UINT(hw_token_spend(t, 10, now), ==, 0);
    wait_ms = hw_token_spend(t, 10, now);
    CHECK(wait_ms >= 100 && wait_ms <= 101);
    CHECK_UINT(hw_token_spend(t, 10, now + 50), >, 0); /* asking in vain costs nothing */
    CHECK_UINT(hw_token_spend(t, 10, now + wait_ms), ==, 0);
    CHECK_UINT(hw_token_spend(t, 10, now + wait_ms), >, 0);
    now += 3600 * 1000; /* an hour of rest is worth a second */
    for (int i = 0; i < 10; i++)
        CHECK_UINT(hw_token_spend(t, 10, now), ==, 0);
    CHECK_UINT(hw_token_spend(t, 10, now), >, 0);
    CHECK_UINT(hw_token_spend(t, 10, now - 3000), >, 0); /* time that goes back is none */
    CHECK_UINT(hw_token_spend(t, 10, now + 20), >, 0);
    hw_token_release(t);
}

CASE(over_a_while_the_rate_is_kept)
{
    static const unsigned rates[] = { 1, 3, 50, 999 };
    enum { SECONDS = 20 };

    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct hw_token *t = hw_token_new();
        unsigned n = 0;
        for (hw_mono_ms now = 1; now <= 1 + SECONDS * 1000; now++)
            for (int k = 0; k < 2; k++)
                n += hw_token_spend(t, rates[i], now) == 0;
        CHECK_UINT(n, <=, rates[i] * (SECONDS + 1));
        CHECK_UINT(n + 1, >=, rates[i] * (SECONDS + 1)); /* the first second's was there */
        hw_token_release(t);
    }
}

CASE(no_allocation_fails_unnoticed)
{
    SCARCE_EACH(n)
    {
        struct hw_token_book book;
        struct hw_token *t = NULL;

        scarce_begin(n);
        hw_token_book_init(&book);
        enum hw_status status = hw_token_read(&t, HW_SLICE(STORED), NULL);
        CHECK_INT(status, ==, t ? HW_OK : HW_ENOMEM);
        if (t != NULL)
            status = hw_token_book_add(&book, t);
        CHECK_INT(status, ==, scarce.has_failed ? HW_ENOMEM : HW_OK);
        CHECK_UINT(book.n_tokens, ==, status == HW_OK);
        hw_token_book_close(&book);
        scarce_end();
    }
}
