/*
 * Ready means: Redis answers, the registry is loaded, and work moves.  The reason why not is the
 * first in the order of the checks below, which is the order in which an operator would mend them.
 */
#include "parts.h"

#include <stdio.h>

enum { MOVES_WITHIN_MS = 10000, QUIET_START_MS = 2000 };

void hw_engine_tell(struct hw_engine *e, struct hw_engine_event event)
{
    if (e->observer != NULL)
        e->observer(e->observer_data, &event);
}

void hw_engine_warn(struct hw_engine *e, const struct hw_cause *cause, const char *text)
{
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_WARNING);

    event.text = text;
    event.cause = cause;
    hw_engine_tell(e, event);
}

void hw_engine_refuse(struct hw_engine *e, const struct hw_cause *cause)
{
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_REFUSED);

    if (e->is_refused)
        return;
    e->is_refused = true;
    snprintf(e->down_text, sizeof e->down_text, "%s", cause->note);
    event.cause = cause;
    hw_engine_tell(e, event);
}

void hw_engine_note_trouble(struct hw_engine *e, enum hw_trouble_place place,
                            enum hw_redis_trouble trouble, const struct hw_cause *cause)
{
    struct hw_trouble_note *note = &e->troubles[place];

    if (trouble == HW_REDIS_GONE)
        return; /* says nothing new of Redis: one that turns read-only cuts its readers off */
    note->trouble = trouble;
    snprintf(note->text, sizeof note->text, "%s",
             trouble == HW_REDIS_FINE || cause == NULL ? "" : cause->note);
    hw_engine_look_ready(e);
}

/* What an operator does about it. */
static const char *advice(enum hw_redis_trouble trouble)
{
    switch (trouble) {
    case HW_REDIS_FULL:
        return "Redis is at its memory limit: raise maxmemory or free some; nothing is lost "
               "meanwhile";
    case HW_REDIS_UNSAVED:
        return "Redis cannot write to its disk: see its log; nothing is lost meanwhile";
    case HW_REDIS_READONLY:
        return "Redis takes no writes (a replica, or loading): waiting for it";
    case HW_REDIS_NOGROUP:
        return "the consumer group is gone: making it anew";
    case HW_REDIS_FENCED:
        return "another instance took this one's work over: joining again";
    case HW_REDIS_FINE:
    case HW_REDIS_GONE:
    case HW_REDIS_REFUSED:
        break;
    }
    return "Redis refused a command";
}

static const struct hw_trouble_note *first_trouble(const struct hw_engine *e)
{
    for (int place = 0; place < HW_TROUBLE_PLACES; place++)
        if (e->troubles[place].trouble != HW_REDIS_FINE)
            return &e->troubles[place];
    return NULL;
}

static bool has_moved_lately(struct hw_engine *e, hw_mono_ms now)
{
    hw_mono_ms last = hw_redis_last_reply(e->work);

    return last != 0 && now < last + MOVES_WITHIN_MS;
}

static void reason_of(struct hw_engine *e, char *out, size_t size)
{
    const struct hw_trouble_note *note = first_trouble(e);

    if (e->is_refused)
        snprintf(out, size, "%s", e->down_text);
    else if (e->phase >= HW_ENGINE_DRAINING)
        snprintf(out, size, "draining");
    else if (e->work == NULL || !hw_redis_is_up(e->work))
        snprintf(out, size, "Redis cannot be reached: %s",
                 e->down_text[0] ? e->down_text : "connecting");
    else if (e->durability_line[0] != '\0' && e->verdict == HW_DURABILITY_REFUSED)
        snprintf(out, size, "%s", e->durability_line);
    else if (note != NULL)
        snprintf(out, size, note->text[0] ? "%s (%.100s)" : "%s", advice(note->trouble),
                 note->text);
    else if (!e->is_joined)
        snprintf(out, size, "joining the installation");
    else if (!hw_registry_is_loaded(e->registry))
        snprintf(out, size, "loading the webhooks");
    else if (!e->is_running)
        snprintf(out, size,
                 e->has_run ? "comparing with Redis after a lost connection" : "starting");
    else if (!has_moved_lately(e, hw_loop_now(&e->loop)))
        snprintf(out, size, "Redis has not answered for %d s", MOVES_WITHIN_MS / 1000);
    else
        out[0] = '\0';
}

void hw_engine_readiness(void *data, struct hw_backend_readiness *out)
{
    struct hw_engine *e = data;

    reason_of(e, out->reason, sizeof out->reason);
    out->is_ready = out->reason[0] == '\0';
    out->durability = e->durability;
    snprintf(out->durability_note, sizeof out->durability_note, "%s",
             e->verdict == HW_DURABILITY_SAFE ? "" : e->durability_line);
}

/* The first moments need no report of their own: what is wrong still is when they are over. */
bool hw_engine_is_quiet(struct hw_engine *e)
{
    return !e->has_run && hw_loop_now(&e->loop) < e->started_at + QUIET_START_MS;
}

void hw_engine_look_ready(struct hw_engine *e)
{
    struct hw_engine_event event;
    char reason[sizeof e->told_reason];
    bool is_ready;

    if (e->phase != HW_ENGINE_STARTED)
        return;
    reason_of(e, reason, sizeof reason);
    is_ready = reason[0] == '\0';
    if (!is_ready && hw_engine_is_quiet(e))
        return;
    if (e->was_told && is_ready == e->was_ready && strcmp(reason, e->told_reason) == 0)
        return;
    e->was_told = true;
    e->was_ready = is_ready;
    snprintf(e->told_reason, sizeof e->told_reason, "%s", reason);
    event = hw_engine_event_make(is_ready ? HW_EVENT_READY : HW_EVENT_NOT_READY);
    event.text = is_ready ? NULL : reason;
    hw_engine_tell(e, event);
}
