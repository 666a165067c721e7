#include "store/rejects.h"

#include "redis/scripts.h"

enum { REJECT_VALUE_MAX = 4096, REJECT_NAME_MAX = 256, REJECT_FIELDS_MAX = 1000 };

static struct hw_slice cut(struct hw_slice text, size_t max)
{
    return hw_slice(text.data, text.len < max ? text.len : max);
}

static void write_fields(struct hw_command *c, const struct hw_ingest_entry *entry)
{
    for (size_t i = 0; i < entry->n_fields && i < REJECT_FIELDS_MAX; i++) {
        struct hw_slice name = cut(entry->fields[i].name, REJECT_NAME_MAX);
        struct hw_slice value = entry->fields[i].value;
        hw_command_add(c, name);
        hw_command_add(c, cut(value, REJECT_VALUE_MAX));
        if (value.len > REJECT_VALUE_MAX) {
            hw_command_fmt(c, "%.*s_bytes", HW_SLICE_FMT(name));
            hw_command_u64(c, value.len);
        }
    }
}

static void on_reject(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_reject *r = HW_CONTAINER_OF(req, struct hw_reject, req);
    struct hw_rejects *rejects = r->rejects; /* r may be gone after its callback */

    (void)cause;
    hw_command_close(&r->command);
    if (what == HW_REDIS_FINE && hw_reply_int(reply, 0) == 1) { /* else it comes again */
        rejects->store->metrics->events_rejected[r->reason]++;
        rejects->on_rejected(rejects, r->entry, r->reason);
    }
    r->cb(r, what);
    hw_closing_release(rejects->closing);
}

enum hw_status hw_rejects_send(struct hw_rejects *rejects, struct hw_reject *r,
                               const struct hw_ingest_entry *entry,
                               enum hw_entry_reason reason, hw_reject_cb cb)
{
    struct hw_command *c = &r->command;
    const struct hw_keys *keys = &rejects->store->keys;
    char id[48];

    r->rejects = rejects;
    r->entry = entry->id;
    r->reason = reason;
    r->cb = cb;
    hw_stream_id_text(entry->id, id);
    hw_command_init(c);
    hw_store_eval(rejects->store, c, &hw_script_reject, keys->events, keys->rejected);
    hw_command_str(c, keys->group);
    hw_command_str(c, id);
    hw_command_u64(c, rejects->rejected_max);
    write_fields(c, entry);
    hw_command_str(c, "reason");
    hw_command_str(c, hw_entry_reason_text(reason));
    hw_command_str(c, "entry");
    hw_command_str(c, id);
    if (hw_redis_send(rejects->store->work, &r->req, c, on_reject) == HW_OK) {
        hw_closing_hold(rejects->closing);
        return HW_OK;
    }
    hw_command_close(c);
    return HW_ECONN;
}
