#include "store/kept.h"

#include "hookwheel/alloc.h"
#include "rules/record.h"

void hw_kept_free(struct hw_kept *k)
{
    if (k == NULL)
        return;
    hw_list_unlink(&k->link);
    hw_buf_close(&k->subject);
    hw_free(k);
}

static struct hw_slice next_part(struct hw_slice *rest)
{
    size_t colon = hw_slice_find(*rest, ':');
    struct hw_slice part = hw_slice(rest->data, colon);

    *rest = hw_slice_from(*rest, colon + 1);
    return part;
}

/* "attempts:crashes:stamp:cursor:account" */
static bool read_own_value(struct hw_kept *k, struct hw_slice value)
{
    struct hw_history *h = &k->history;

    (void)next_part(&value);
    (void)next_part(&value);
    if (!hw_slice_u64(next_part(&value), UINT64_MAX, &h->stamp_us) ||
        !hw_stream_id_parse(&h->cursor, next_part(&value)))
        return false;
    h->created_ms = h->updated_ms = (hw_unix_ms)(h->stamp_us / 1000);
    if (k->account.len == 0)
        k->account = value;
    return true;
}

void hw_kept_read_record(struct hw_kept *k, struct hw_slice bytes)
{
    struct hw_record record;

    if (!hw_record_read(&record, bytes))
        return;
    k->history.event_id = record.id;
    k->history.event_type = record.type;
    if (record.has_subject && hw_record_subject(&record, &k->subject) == HW_OK)
        k->history.subject = hw_buf_slice(&k->subject);
}

static bool is_at(const struct hw_kept_where *where, const char *place)
{
    return hw_slice_is(where->place, place);
}

/* Of one that was attempted, or queued again, and is not finished. */
static enum hw_delivery_status
status_of_open(const struct hw_history *h, const struct hw_kept_where *where, hw_unix_ms now)
{
    if (is_at(where, "busy"))
        return HW_STATUS_DELIVERING;
    if (is_at(where, "held") || h->status == HW_STATUS_PENDING)
        return HW_STATUS_PENDING;
    if (is_at(where, "idle") && h->next_attempt_ms <= now)
        return HW_STATUS_PENDING;
    return HW_STATUS_FAILED;
}

/* value: "own value|state" */
static bool read_open(struct hw_kept *k, const struct hw_kept_where *where,
                      struct hw_slice value, hw_unix_ms now)
{
    struct hw_history *h = &k->history;

    if (!hw_history_unpack(h, hw_slice_from(value, hw_slice_find(value, '|') + 1)))
        return false;
    h->status = status_of_open(h, where, now);
    if (h->status != HW_STATUS_FAILED)
        h->next_attempt_ms = 0;
    return true;
}

static bool read_value(struct hw_kept *k, const struct hw_kept_where *where,
                       struct hw_slice value, hw_unix_ms now)
{
    if (is_at(where, "done"))
        return hw_history_unpack(&k->history, value);
    if (!is_at(where, "own") && !is_at(where, "wait"))
        return read_open(k, where, value, now);
    k->history.status = is_at(where, "own") ? HW_STATUS_DELIVERING : HW_STATUS_PENDING;
    return read_own_value(k, value);
}

static struct hw_slice copy(char **at, struct hw_slice text)
{
    struct hw_slice copied = hw_slice(*at, text.len);

    if (text.len > 0)
        memcpy(*at, text.data, text.len);
    *at += text.len;
    return copied;
}

struct hw_kept *hw_kept_new(uint32_t w, uint64_t n, const struct hw_kept_where *where,
                            hw_unix_ms now)
{
    struct hw_kept *k = hw_malloc(sizeof *k + where->value.len + where->head.len +
                                  where->account.len + where->response.len);
    char *at;

    if (k == NULL)
        return NULL;
    memset(k, 0, sizeof *k);
    hw_buf_init(&k->subject, 4096);
    at = k->bytes;
    k->w = w;
    k->n = n;
    k->account = copy(&at, where->account);
    k->response = copy(&at, where->response);
    if (!read_value(k, where, copy(&at, where->value), now)) {
        hw_kept_free(k);
        return NULL;
    }
    if (where->head.len > 0)
        hw_kept_read_record(k, copy(&at, where->head));
    k->stamp_us = k->history.stamp_us;
    return k;
}
