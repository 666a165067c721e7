#include "check.h"
#include "rules/id.h"

static struct hw_slice str(const char *s)
{
    return hw_slice_str(s);
}

CASE(stream_ids_round_trip)
{
    static const char *const good[] = { "0-0", "1772973000123-0", "1772973000123-42",
                                        "18446744073709551615-18446744073709551615" };
    static const char *const bad[] = { "",
                                       "-",
                                       "1",
                                       "1-",
                                       "-1",
                                       "1-2-3",
                                       "a-1",
                                       "1-b",
                                       " 1-1",
                                       "18446744073709551616-0",
                                       "1772973000123-*",
                                       "+" };
    struct hw_stream_id id;
    char text[48];

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(hw_stream_id_parse(&id, str(good[i])));
        hw_stream_id_text(id, text);
        CHECK_STR(text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!hw_stream_id_parse(&id, str(bad[i])));
}

CASE(stream_ids_have_an_order)
{
    struct hw_stream_id a = { 1, 9 }, b = { 2, 0 }, c = { 2, 1 };

    CHECK_INT(hw_stream_id_cmp(a, b), <, 0);
    CHECK_INT(hw_stream_id_cmp(b, c), <, 0);
    CHECK_INT(hw_stream_id_cmp(c, a), >, 0);
    CHECK_INT(hw_stream_id_cmp(c, c), ==, 0);
}

CASE(event_ids_are_what_they_were)
{
    char text[HW_ID_MAX];

    /* Stored ids depend on this: it must never change. */
    hw_id_event((struct hw_stream_id){ 1772973000123, 5 }, text);
    CHECK_STR(text, "evt_00001kk6pt1dv0000000000005");
    hw_id_event((struct hw_stream_id){ UINT64_MAX, UINT64_MAX }, text);
    CHECK_STR(text, "evt_fzzzzzzzzzzzzfzzzzzzzzzzzz");
    hw_id_delivery(1, 1, text);
    CHECK_STR(text, "dlv_00000100000000015");
}

static uint64_t random_of_any_size(void)
{
    return check_random() >> check_random_below(64);
}

CASE(event_ids_sort_and_come_back)
{
    for (int i = 0; i < 20000; i++) {
        struct hw_stream_id a = { random_of_any_size(), random_of_any_size() }, back;
        struct hw_stream_id b = { check_random_below(2) ? a.ms : random_of_any_size(),
                                  random_of_any_size() };
        char text_a[HW_ID_MAX], text_b[HW_ID_MAX];
        hw_id_event(a, text_a);
        hw_id_event(b, text_b);
        CHECK(hw_id_event_parse(&back, str(text_a)));
        CHECK_INT(hw_stream_id_cmp(a, back), ==, 0);
        int order = strcmp(text_a, text_b), expected = hw_stream_id_cmp(a, b);
        CHECK((order < 0) == (expected < 0) && (order > 0) == (expected > 0));
    }
}

CASE(event_ids_that_are_none)
{
    static const char *const bad[] = { "",
                                       "evt_",
                                       "evt_00001kk6pt1dv000000000000",
                                       "evt_123",
                                       "evt_00001kk6pt1dv00000000000055",
                                       "evt_00001kk6pt1dU0000000000005",
                                       "evt_00001kk6pt1di0000000000005",
                                       "evt_g0001kk6pt1dv0000000000005",
                                       "dlv_00001kk6pt1dv0000000000005" };
    struct hw_stream_id id;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!hw_id_event_parse(&id, str(bad[i])));
}

CASE(delivery_ids_round_trip)
{
    for (int i = 0; i < 20000; i++) {
        uint32_t w = (uint32_t)(random_of_any_size() & ((1u << 30) - 1)), w_back;
        uint64_t n = random_of_any_size() & ((UINT64_C(1) << 50) - 1), n_back;
        char text[HW_ID_MAX];
        hw_id_delivery(w, n, text);
        CHECK_INT(strlen(text), ==, 21);
        CHECK(hw_id_delivery_parse(&w_back, &n_back, str(text)));
        CHECK_UINT(w, ==, w_back);
        CHECK_UINT(n, ==, n_back);
    }
}

CASE(delivery_ids_notice_slips)
{
    static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
    char good[HW_ID_MAX], text[HW_ID_MAX];
    uint32_t w;
    uint64_t n;

    hw_id_delivery(123456, 9876543210, good);
    for (size_t at = 4; at < strlen(good); at++) {
        for (size_t c = 0; c < 32; c++) {
            memcpy(text, good, sizeof text);
            text[at] = alphabet[c];
            CHECK(hw_id_delivery_parse(&w, &n, str(text)) == (alphabet[c] == good[at]));
        }
        for (size_t other = 4; other < at; other++) {
            memcpy(text, good, sizeof text);
            text[at] = good[other];
            text[other] = good[at];
            CHECK(hw_id_delivery_parse(&w, &n, str(text)) == (good[at] == good[other]));
        }
        memcpy(text, good, sizeof text);
        text[at] = 'u'; /* not in the alphabet */
        CHECK(!hw_id_delivery_parse(&w, &n, str(text)));
        text[at] = '\0';
        CHECK(!hw_id_delivery_parse(&w, &n, hw_slice(text, strlen(good))));
    }
    CHECK(!hw_id_delivery_parse(&w, &n, hw_slice(good, 20)));
    CHECK(!hw_id_delivery_parse(&w, &n, HW_SLICE("evt_00000100000000015")));
    CHECK(!hw_id_delivery_parse(&w, &n, HW_SLICE("")));
}

CASE(random_ids_differ)
{
    char a[HW_ID_MAX], b[HW_ID_MAX];

    hw_id_random("wh_", a);
    hw_id_random("wh_", b);
    CHECK_INT(strlen(a), ==, 23);
    CHECK_INT(strspn(a + 3, "0123456789abcdefghjkmnpqrstvwxyz"), ==, 20);
    CHECK(strncmp(a, "wh_", 3) == 0);
    CHECK(strcmp(a, b) != 0);
}

CASE(cursors_round_trip)
{
    for (int i = 0; i < 20000; i++) {
        unsigned char in[64], out[64];
        size_t len = check_random_below(65), back;
        char text[HW_CURSOR_MAX];
        for (size_t k = 0; k < len; k++)
            in[k] = (unsigned char)check_random();
        hw_cursor_write('D', hw_slice(in, len), text);
        CHECK_INT(strlen(text), <, HW_CURSOR_MAX);
        CHECK(hw_cursor_read('D', str(text), out, &back));
        CHECK_INT(len, ==, back);
        CHECK_MEM(in, out, len);
        CHECK(!hw_cursor_read('E', str(text), out, &back));
    }
}

CASE(cursors_notice_slips)
{
    static const char characters[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";
    unsigned char out[64];
    char good[HW_CURSOR_MAX], text[HW_CURSOR_MAX];
    size_t n;

    hw_cursor_write('f', HW_SLICE("1772973000123-42"), good);
    for (size_t at = 0; at < strlen(good); at++)
        for (size_t c = 0; c < sizeof characters - 1; c++) {
            memcpy(text, good, sizeof text);
            text[at] = characters[c];
            CHECK(hw_cursor_read('f', str(text), out, &n) == (characters[c] == good[at]));
        }
    for (size_t len = 0; len < strlen(good); len++)
        CHECK(!hw_cursor_read('f', hw_slice(good, len), out, &n));
    memset(text, '0', sizeof text);
    text[0] = 'f';
    for (size_t len = 0; len < sizeof text; len++)
        hw_cursor_read('f', hw_slice(text, len), out, &n); /* in bounds, whatever it says */
    /* The kind is part of the check sum. */
    memcpy(text, good, sizeof text);
    text[0] = 'g';
    CHECK(!hw_cursor_read('g', str(text), out, &n));
}
