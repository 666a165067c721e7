#include "check.h"

#include "base/buf.h"
#include "hookwheel/alloc.h"

CASE(starts_empty_and_holds_nothing)
{
    struct hw_buf b;

    hw_buf_init(&b, 10);
    CHECK_UINT(hw_buf_len(&b), ==, 0);
    CHECK_UINT(hw_buf_slice(&b).len, ==, 0);
    CHECK_NULL(b.base);
    hw_buf_close(&b);
}

CASE(appends_of_every_kind)
{
    struct hw_buf b;

    hw_buf_init(&b, 1000);
    CHECK_INT(hw_buf_append(&b, "ab", 2), ==, HW_OK);
    CHECK_INT(hw_buf_append(&b, NULL, 0), ==, HW_OK);
    CHECK_INT(hw_buf_append_str(&b, "cd"), ==, HW_OK);
    CHECK_INT(hw_buf_append_slice(&b, HW_SLICE("ef")), ==, HW_OK);
    CHECK_INT(hw_buf_append_char(&b, ' '), ==, HW_OK);
    CHECK_INT(hw_buf_append_u64(&b, 0), ==, HW_OK);
    CHECK_INT(hw_buf_append_char(&b, ' '), ==, HW_OK);
    CHECK_INT(hw_buf_append_u64(&b, UINT64_MAX), ==, HW_OK);
    CHECK_INT(hw_buf_appendf(&b, " %d %s", -7, "x"), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&b), "abcdef 0 18446744073709551615 -7 x");
    CHECK_STR(hw_buf_str(&b), "abcdef 0 18446744073709551615 -7 x");
    hw_buf_close(&b);
}

CASE(the_ceiling_holds_and_the_failure_is_remembered)
{
    struct hw_buf b;

    hw_buf_init(&b, 4);
    CHECK_INT(hw_buf_append_str(&b, "abcd"), ==, HW_OK);
    CHECK_INT(hw_buf_append_char(&b, 'e'), ==, HW_ETOOBIG);
    CHECK_INT(hw_buf_failed(&b), ==, HW_ETOOBIG);
    CHECK_SLICE(hw_buf_slice(&b), "abcd");
    hw_buf_consume(&b, 2);
    CHECK_INT(hw_buf_append_char(&b, 'e'), ==, HW_ETOOBIG); /* until reset */
    hw_buf_reset(&b);
    CHECK_INT(hw_buf_failed(&b), ==, HW_OK);
    CHECK_UINT(hw_buf_len(&b), ==, 0);
    CHECK_INT(hw_buf_appendf(&b, "%s", "abcd"), ==, HW_OK);
    CHECK_INT(hw_buf_appendf(&b, "%s", "e"), ==, HW_ETOOBIG);
    CHECK_SLICE(hw_buf_slice(&b), "abcd");
    hw_buf_close(&b);
}

CASE(the_ceiling_counts_what_is_left_not_what_was_consumed)
{
    struct hw_buf b;

    hw_buf_init(&b, 8);
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(hw_buf_append_str(&b, "12345"), ==, HW_OK);
        CHECK_SLICE(hw_buf_slice(&b), "12345");
        hw_buf_consume(&b, 5);
    }
    CHECK_INT(hw_buf_reserve(&b, 8), ==, HW_OK);
    CHECK_INT(hw_buf_reserve(&b, 9), ==, HW_ETOOBIG);
    hw_buf_close(&b);
}

CASE(reserve_and_commit)
{
    struct hw_buf b;

    hw_buf_init(&b, 100000);
    CHECK_INT(hw_buf_reserve(&b, 70000), ==, HW_OK);
    memset(hw_buf_space(&b), 'x', 70000);
    CHECK_UINT(hw_buf_len(&b), ==, 0);
    hw_buf_commit(&b, 3);
    CHECK_SLICE(hw_buf_slice(&b), "xxx");
    hw_buf_close(&b);
}

static void *no_malloc(void *data, size_t n_bytes)
{
    (void)data;
    (void)n_bytes;
    return NULL;
}

static void *no_realloc(void *data, void *p, size_t n_bytes)
{
    (void)data;
    (void)p;
    (void)n_bytes;
    return NULL;
}

static void plain_free(void *data, void *p)
{
    (void)data;
    free(p);
}

CASE(no_memory_leaves_it_as_it_was)
{
    const struct hw_alloc nothing = { no_malloc, no_realloc, plain_free, NULL };
    struct hw_buf b;

    hw_buf_init(&b, 100000);
    CHECK_INT(hw_buf_append_str(&b, "abc"), ==, HW_OK);
    hw_alloc_use(&nothing);
    CHECK_INT(hw_buf_reserve(&b, 5000), ==, HW_ENOMEM);
    CHECK_INT(hw_buf_failed(&b), ==, HW_ENOMEM);
    CHECK_SLICE(hw_buf_slice(&b), "abc");
    hw_alloc_use(NULL);
    hw_buf_reset(&b);
    CHECK_INT(hw_buf_reserve(&b, 5000), ==, HW_OK);
    hw_buf_close(&b);
}

/* Against a plain array that is never clever. */
CASE(random_walk)
{
    enum { MAX = 2000 };
    char plain[MAX], piece[MAX];
    size_t len = 0;
    struct hw_buf b;

    hw_buf_init(&b, MAX);
    for (int step = 0; step < 100000; step++) {
        size_t n = check_random_below(check_random_below(8) ? 60 : MAX);
        if (check_random_below(2)) {
            memset(piece, (char)check_random(), n);
            if (n > MAX - len) {
                CHECK_INT(hw_buf_append(&b, piece, n), ==, HW_ETOOBIG);
                b.failed = HW_OK;
            } else {
                CHECK_INT(hw_buf_append(&b, piece, n), ==, HW_OK);
                memcpy(plain + len, piece, n);
                len += n;
            }
        } else {
            n = n > len ? len : n;
            hw_buf_consume(&b, n);
            memmove(plain, plain + n, len - n);
            len -= n;
        }
        CHECK_UINT(hw_buf_len(&b), ==, len);
        CHECK_UINT(b.cap, <=, 2 * MAX + 256);
        if (len > 0)
            CHECK_MEM(hw_buf_slice(&b).data, plain, len);
    }
    hw_buf_close(&b);
}

CASE(str_of_an_empty_one)
{
    struct hw_buf b;

    hw_buf_init(&b, 10);
    CHECK_STR(hw_buf_str(&b), "");
    CHECK_INT(hw_buf_append_str(&b, "abc"), ==, HW_OK);
    hw_buf_consume(&b, 1);
    CHECK_STR(hw_buf_str(&b), "bc");
    CHECK_UINT(hw_buf_len(&b), ==, 2);
    hw_buf_close(&b);
}

CASE(cut_takes_back_a_run_that_failed_half_way)
{
    struct hw_buf b;

    hw_buf_init(&b, 10);
    hw_buf_append_str(&b, "xabc");
    hw_buf_consume(&b, 1);
    hw_buf_append_str(&b, "de");
    hw_buf_append_str(&b, "far too long");
    CHECK_INT(hw_buf_failed(&b), ==, HW_ETOOBIG);
    hw_buf_cut(&b, 3);
    CHECK_INT(hw_buf_failed(&b), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&b), "abc");
    CHECK_INT(hw_buf_append_str(&b, "z"), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&b), "abcz");
    hw_buf_cut(&b, 0);
    CHECK_UINT(hw_buf_len(&b), ==, 0);
    hw_buf_close(&b);
    hw_buf_cut(&b, 0);
    CHECK_UINT(hw_buf_len(&b), ==, 0);
}
