#include "store/reader.h"

enum {
    BLOCK_MS = 2000,
    REPLY_TIMEOUT_MS = 10000 /* of a read, blocking included */
};

/* ---- reading ---- */

static void on_answer(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_reader *r = HW_CONTAINER_OF(req, struct hw_reader, read_req);
    enum hw_reading reading = r->reading;

    r->reading = HW_READING_NOTHING;
    if (what == HW_REDIS_FINE && reading != HW_READING_GROUP)
        r->last_read = hw_loop_now(r->options.store->loop);
    r->options.events->on_answer(r, reading, what, reply, cause);
}

static enum hw_status reader_send(struct hw_reader *r, enum hw_reading reading)
{
    r->read_req.may_block = reading == HW_READING_NEW;
    enum hw_status status =
        hw_redis_send(r->intake, &r->read_req, &r->read_command, on_answer);
    if (status == HW_OK)
        r->reading = reading;
    return status;
}

enum hw_status hw_reader_read(struct hw_reader *r, enum hw_reading reading,
                              const char *consumer, size_t count)
{
    struct hw_command *c = &r->read_command;
    const struct hw_keys *keys = &r->options.store->keys;

    hw_command_reset(c);
    hw_command_str(c, "XREADGROUP");
    hw_command_str(c, "GROUP");
    hw_command_str(c, keys->group);
    hw_command_str(c, consumer);
    hw_command_str(c, "COUNT");
    hw_command_u64(c, count);
    if (reading == HW_READING_NEW) {
        hw_command_str(c, "BLOCK");
        hw_command_u64(c, BLOCK_MS);
    }
    hw_command_str(c, "STREAMS");
    hw_command_str(c, keys->events);
    hw_command_str(c, reading == HW_READING_NEW ? ">" : "0");
    return reader_send(r, reading);
}

enum hw_status hw_reader_make_group(struct hw_reader *r)
{
    struct hw_command *c = &r->read_command;
    const struct hw_keys *keys = &r->options.store->keys;

    hw_command_reset(c);
    hw_command_str(c, "XGROUP");
    hw_command_str(c, "CREATE");
    hw_command_str(c, keys->events);
    hw_command_str(c, keys->group);
    hw_command_str(c, "0");
    hw_command_str(c, "MKSTREAM");
    return reader_send(r, HW_READING_GROUP);
}

/* ---- calling a read off ---- */

static void on_unblocked(struct hw_redis_req *req, enum hw_redis_trouble what,
                         const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_reader *r = HW_CONTAINER_OF(req, struct hw_reader, unblock_req);

    (void)what; /* not allowed: then the read ends by itself, within BLOCK_MS */
    (void)reply;
    (void)cause;
    hw_command_close(&r->unblock_command);
    r->is_unblocking = false;
    hw_closing_release(r->options.closing);
}

void hw_reader_unblock(struct hw_reader *r)
{
    struct hw_command *c = &r->unblock_command;

    if (r->client_id == 0 || r->is_unblocking)
        return;
    hw_command_init(c);
    hw_command_str(c, "CLIENT");
    hw_command_str(c, "UNBLOCK");
    hw_command_u64(c, (uint64_t)r->client_id);
    r->is_unblocking =
        hw_redis_send(r->options.store->work, &r->unblock_req, c, on_unblocked) == HW_OK;
    if (r->is_unblocking)
        hw_closing_hold(r->options.closing);
    else
        hw_command_close(c);
}

/* ---- life ---- */

static void on_client_id(struct hw_redis_req *req, enum hw_redis_trouble what,
                         const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_reader *r = HW_CONTAINER_OF(req, struct hw_reader, id_req);

    (void)cause;
    r->client_id = what == HW_REDIS_FINE ? hw_reply_int(reply, 0) : 0;
}

static void on_up(void *data)
{
    struct hw_reader *r = data;

    r->is_up = true;
    r->client_id = 0;
    hw_command_reset(&r->id_command);
    hw_command_str(&r->id_command, "CLIENT");
    hw_command_str(&r->id_command, "ID");
    if (hw_redis_send(r->intake, &r->id_req, &r->id_command, on_client_id) != HW_OK)
        return; /* it is going down again */
    r->options.events->on_up(r);
}

static void on_down(void *data, const struct hw_cause *cause)
{
    struct hw_reader *r = data;

    r->is_up = false;
    r->client_id = 0;
    r->options.events->on_down(r, cause);
}

static const struct hw_redis_events intake_events = { .on_up = on_up, .on_down = on_down };

enum hw_status hw_reader_open(struct hw_reader *r, const struct hw_reader_options *options,
                              struct hw_cause *cause)
{
    struct hw_redis_options redis = {
        .target = options->target,
        .trust = options->trust,
        .metrics = options->store->metrics,
        .name = "hookwheel-intake",
        .reply_timeout_ms = REPLY_TIMEOUT_MS,
        .events = &intake_events,
        .data = r,
    };

    *r = (struct hw_reader){ .options = *options };
    hw_command_init(&r->read_command);
    hw_command_init(&r->id_command);
    enum hw_status status = hw_redis_open(&r->intake, options->store->loop, &redis, cause);
    if (status == HW_OK)
        hw_closing_hold(options->closing);
    return status;
}

static void on_intake_closed(void *data)
{
    struct hw_reader *r = data;

    hw_command_close(&r->read_command);
    hw_command_close(&r->id_command);
    hw_closing_release(r->options.closing);
}

void hw_reader_close(struct hw_reader *r)
{
    hw_redis_close(r->intake, on_intake_closed, r);
}
