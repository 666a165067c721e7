#include "api/paging.h"

#include "base/must.h"
#include "rules/entry.h"

enum { FEED_PLACE_BYTES = 8 + 8 + 4 };

unsigned char *hw_place_put(unsigned char *at, uint64_t number, size_t n_bytes)
{
    for (size_t i = n_bytes; i-- > 0;)
        *at++ = (unsigned char)(number >> (8 * i));
    return at;
}

uint64_t hw_place_get(const unsigned char *at, size_t n_bytes)
{
    uint64_t number = 0;

    for (size_t i = 0; i < n_bytes; i++)
        number = number << 8 | at[i];
    return number;
}

bool hw_page_read_limit(const struct hw_target *target, size_t *limit, struct hw_problem *p)
{
    const char *text = hw_target_find(target, "limit");
    uint64_t number = HW_PAGE_LIMIT;

    if (text != NULL &&
        (!hw_slice_u64(hw_slice_str(text), HW_PAGE_LIMIT_MAX, &number) || number == 0))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "limit",
                              "limit is a number from 1 to %d.", HW_PAGE_LIMIT_MAX);
    *limit = (size_t)number;
    return true;
}

static bool read_cursor(struct hw_page *page, const char *text, struct hw_problem *p)
{
    unsigned char payload[64];
    size_t n_bytes;

    if (text == NULL)
        return true;
    if (!hw_cursor_read(page->kind, hw_slice_str(text), payload, &n_bytes) ||
        n_bytes != 1 + page->place_bytes || payload[0] > 1)
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "cursor",
                              "cursor is not one that this list gave out.");
    page->has_place = true;
    page->is_newer = payload[0] == 1;
    memcpy(page->place, payload + 1, page->place_bytes);
    return true;
}

bool hw_page_read(struct hw_page *page, const struct hw_target *target, char kind,
                  size_t place_bytes, struct hw_problem *p)
{
    HW_MUST(place_bytes <= HW_PAGE_PLACE_MAX);
    *page = (struct hw_page){ .kind = kind, .place_bytes = place_bytes };
    return hw_page_read_limit(target, &page->limit, p) &&
           read_cursor(page, hw_target_find(target, "cursor"), p);
}

static json_t *cursor_json(const struct hw_page *page, bool is_newer,
                           const unsigned char *place)
{
    unsigned char payload[1 + HW_PAGE_PLACE_MAX];
    char text[HW_CURSOR_MAX];

    if (place == NULL)
        return json_null();
    payload[0] = is_newer;
    memcpy(payload + 1, place, page->place_bytes);
    hw_cursor_write(page->kind, hw_slice(payload, 1 + page->place_bytes), text);
    return json_string(text);
}

json_t *hw_page_json(const struct hw_page *page, json_t *data, bool has_more,
                     const unsigned char *oldest, const unsigned char *newest)
{
    /* On the side that the request came from there is at least the cursor's own item. */
    bool has_older = page->is_newer || has_more;
    bool has_newer = page->is_newer ? has_more : page->has_place;

    if (oldest == NULL)
        oldest = page->place;
    if (newest == NULL)
        newest = page->place;
    return json_pack("{s:o, s:b, s:o, s:o}", "data", data, "has_more", has_more, "next_cursor",
                     cursor_json(page, false, has_older ? oldest : NULL), "prev_cursor",
                     cursor_json(page, true, has_newer ? newest : NULL));
}

json_t *hw_json_text(const char *text)
{
    return text != NULL && text[0] != '\0' ? json_string(text) : json_null();
}

json_t *hw_json_time(hw_unix_ms at)
{
    char text[HW_TIMESTAMP_MAX];

    if (at == 0)
        return json_null();
    hw_timestamp_text(at, text);
    return json_string(text);
}

void hw_feed_cursor_write(uint32_t epoch, struct hw_stream_id id, char out[HW_CURSOR_MAX])
{
    unsigned char place[FEED_PLACE_BYTES];

    hw_place_put(hw_place_put(hw_place_put(place, id.ms, 8), id.seq, 8), epoch, 4);
    hw_cursor_write(HW_CURSOR_FEED, hw_slice(place, sizeof place), out);
}

bool hw_feed_cursor_read(uint32_t epoch, struct hw_slice text, struct hw_stream_id *id)
{
    unsigned char place[64];
    size_t n_bytes;

    if (!hw_cursor_read(HW_CURSOR_FEED, text, place, &n_bytes) || n_bytes != FEED_PLACE_BYTES)
        return false;
    *id = (struct hw_stream_id){ hw_place_get(place, 8), hw_place_get(place + 8, 8) };
    if (hw_place_get(place + 16, 4) != epoch)
        *id = HW_FEED_NOWHERE;
    return true;
}

json_t *hw_json_cursor(uint32_t epoch, struct hw_stream_id id)
{
    char text[HW_CURSOR_MAX];

    if (id.ms == 0 && id.seq == 0)
        return json_null();
    hw_feed_cursor_write(epoch, id, text);
    return json_string(text);
}

json_t *hw_json_number(uint64_t number)
{
    return number != 0 ? json_integer((json_int_t)number) : json_null();
}
