#include "flow/resume.h"

#include "hookwheel/alloc.h"
#include "store/replay.h"

/* A beat is half a second; reading the account again takes an answer or two. */
enum { ALL_HAVE_HEARD_MS = 1500 };

struct resuming {
    struct hw_list link; /* in keeper->to_resume */
    struct hw_keeper *keeper;
    struct hw_replay replay;
    uint32_t w;
    unsigned rate_per_s;
    hw_mono_ms not_before;
    bool is_asked;
    bool is_asked_again; /* paused and resumed once more while asked */
};

static struct resuming *resuming_find(struct hw_keeper *k, uint32_t w)
{
    HW_LIST_EACH (link, &k->to_resume) {
        struct resuming *r = HW_CONTAINER_OF(link, struct resuming, link);
        if (r->w == w)
            return r;
    }
    return NULL;
}

static struct resuming *resuming_new(struct hw_keeper *k, uint32_t w)
{
    struct resuming *r = hw_calloc(1, sizeof *r);

    if (r == NULL)
        return NULL;
    hw_replay_init(&r->replay);
    r->keeper = k;
    r->w = w;
    hw_list_push_back(&k->to_resume, &r->link);
    return r;
}

static void resuming_free(struct resuming *r)
{
    hw_list_unlink(&r->link);
    hw_replay_close(&r->replay);
    hw_free(r);
}

void hw_keeper_resume(struct hw_keeper *k, const struct hw_webhook *wh)
{
    struct resuming *r = resuming_find(k, wh->w);

    if (r == NULL && (r = resuming_new(k, wh->w)) == NULL)
        return; /* they go on when the minute is over */
    r->rate_per_s = wh->rate_per_s;
    r->not_before = hw_loop_now(k->loop) + ALL_HAVE_HEARD_MS;
    r->is_asked_again = r->is_asked;
}

static void on_each(struct hw_replay *replay, uint32_t w, uint64_t n, hw_unix_ms due_ms)
{
    struct resuming *r = HW_CONTAINER_OF(replay, struct resuming, replay);

    hw_schedule_parked(r->keeper->schedule, w, n, due_ms);
}

static void on_resumed(struct hw_replay *replay, enum hw_replay_result result)
{
    struct resuming *r = HW_CONTAINER_OF(replay, struct resuming, replay);

    r->is_asked = false;
    if (result != HW_REPLAY_UNAVAILABLE && !r->is_asked_again)
        resuming_free(r);
}

void hw_resume_beat(struct hw_keeper *k)
{
    HW_LIST_EACH_SAFE (link, &k->to_resume) {
        struct resuming *r = HW_CONTAINER_OF(link, struct resuming, link);
        if (r->is_asked || hw_loop_now(k->loop) < r->not_before)
            continue;
        r->is_asked_again = false;
        r->is_asked = hw_replay_overdue(k->store, &r->replay, r->w, r->rate_per_s, on_each,
                                        on_resumed) == HW_OK;
    }
}

void hw_resume_close(struct hw_keeper *k)
{
    HW_LIST_EACH_SAFE (link, &k->to_resume) {
        resuming_free(HW_CONTAINER_OF(link, struct resuming, link));
    }
}
