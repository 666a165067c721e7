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

static bool read_value(struct hw_kept *k, struct hw_slice where, struct hw_slice value)
{
    if (hw_slice_is(where, "done"))
        return hw_history_unpack(&k->history, value);
    if (hw_slice_is(where, "open") || hw_slice_is(where, "busy")) {
        if (!hw_history_unpack(&k->history,
                               hw_slice_from(value, hw_slice_find(value, '|') + 1)))
            return false;
        k->history.status =
            hw_slice_is(where, "open") ? HW_STATUS_FAILED : HW_STATUS_DELIVERING;
        return true;
    }
    k->history.status = hw_slice_is(where, "own") ? HW_STATUS_DELIVERING : HW_STATUS_PENDING;
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

struct hw_kept *hw_kept_new(uint32_t w, uint64_t n, struct hw_slice where,
                            struct hw_slice value, struct hw_slice head,
                            struct hw_slice account, struct hw_slice response)
{
    struct hw_kept *k =
        hw_malloc(sizeof *k + value.len + head.len + account.len + response.len);
    char *at;

    if (k == NULL)
        return NULL;
    memset(k, 0, sizeof *k);
    hw_buf_init(&k->subject, 4096);
    at = k->bytes;
    k->w = w;
    k->n = n;
    k->account = copy(&at, account);
    k->response = copy(&at, response);
    if (!read_value(k, where, copy(&at, value))) {
        hw_kept_free(k);
        return NULL;
    }
    if (head.len > 0)
        hw_kept_read_record(k, copy(&at, head));
    k->stamp_us = k->history.stamp_us;
    return k;
}
