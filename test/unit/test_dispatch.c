/* dispatch: turns, limits, rates, holds, what may be kept in memory. */
#include "core/room.h"

#include "check.h"
#include "support/scarce.h"

enum { WEBHOOKS = 40 };

static struct hw_wheel wheel;
static struct hw_dispatch dispatch;
static struct hw_webhook *webhooks[WEBHOOKS];
static uint64_t n_made;
static unsigned n_wakes;
static struct hw_event event = { .refs = 1, .n_bytes = 100 };

static void on_wake(struct hw_dispatch *d)
{
    CHECK_PTR(d, ==, &dispatch);
    n_wakes++;
}

static void begin(unsigned max_in_flight)
{
    hw_wheel_init(&wheel, 0);
    hw_dispatch_init(&dispatch, &wheel, max_in_flight, on_wake);
    n_made = n_wakes = 0;
}

/* A new object each time, as a reload of the account makes it. */
static struct hw_webhook *webhook(uint32_t w, unsigned max_in_flight, unsigned rate_per_s,
                                  enum hw_webhook_status status)
{
    hw_webhook_release(webhooks[w]);
    webhooks[w] = hw_webhook_new();
    CHECK_NOT_NULL(webhooks[w]);
    webhooks[w]->w = w;
    webhooks[w]->max_in_flight = max_in_flight;
    webhooks[w]->rate_per_s = rate_per_s;
    webhooks[w]->standing.status = status;
    return webhooks[w];
}

static struct hw_endpoint *endpoint(uint32_t w, unsigned max_in_flight, unsigned rate_per_s)
{
    struct hw_endpoint *e = hw_dispatch_endpoint(
        &dispatch, webhook(w, max_in_flight, rate_per_s, HW_WEBHOOK_ACTIVE));

    CHECK_NOT_NULL(e);
    return e;
}

static struct hw_delivery *delivery_new(uint32_t w, bool is_retry)
{
    struct hw_delivery *d = calloc(1, sizeof *d);

    CHECK_NOT_NULL(d);
    d->w = w;
    d->n = ++n_made;
    d->is_retry = is_retry;
    d->event = &event;
    hw_wheel_entry_init(&d->again, NULL);
    return d;
}

static struct hw_delivery *queue(struct hw_endpoint *e, bool is_retry)
{
    struct hw_delivery *d = delivery_new(e->w, is_retry);

    CHECK_INT(hw_dispatch_add(&dispatch, e, d), ==, HW_OK);
    hw_delivery_move(d, HW_DELIVERY_READY);
    CHECK_NULL(hw_dispatch_check(&dispatch));
    return d;
}

static void queue_many(struct hw_endpoint *e, unsigned n, bool is_retry)
{
    while (n-- > 0)
        queue(e, is_retry);
}

/* The loop comes round and fires what is due. */
static void time_is(hw_mono_ms now)
{
    hw_wheel_advance(&wheel, now);
    hw_dispatch_set_now(&dispatch, now);
}

static struct hw_delivery *next(void)
{
    struct hw_delivery *d = hw_dispatch_next(&dispatch, wheel.now);

    CHECK_NULL(hw_dispatch_check(&dispatch));
    return d;
}

static uint32_t next_w(void)
{
    struct hw_delivery *d = next();

    CHECK_NOT_NULL(d);
    return d->w;
}

static unsigned start_all(void)
{
    unsigned n = 0;

    while (next() != NULL)
        n++;
    return n;
}

static void end(struct hw_delivery *d)
{
    hw_delivery_move(d, HW_DELIVERY_DONE);
    free(d);
}

static void settle(struct hw_delivery *d)
{
    hw_delivery_move(d, HW_DELIVERY_SETTLING);
    CHECK_NULL(hw_dispatch_check(&dispatch));
    end(d);
    CHECK_NULL(hw_dispatch_check(&dispatch));
}

static void settle_first_sending(struct hw_endpoint *e)
{
    settle(HW_CONTAINER_OF(hw_list_first(&e->sending), struct hw_delivery, link));
}

static void finish(void)
{
    struct hw_map_entry *entry = hw_map_next(&dispatch.deliveries, NULL);

    while (entry != NULL) {
        struct hw_map_entry *after = hw_map_next(&dispatch.deliveries, entry);
        end(HW_CONTAINER_OF(entry, struct hw_delivery, by_key));
        entry = after;
    }
    CHECK_NULL(hw_dispatch_check(&dispatch));
    CHECK_UINT(dispatch.kept.n + dispatch.kept.bytes + dispatch.n_busy + dispatch.n_in_flight, ==, 0);
    hw_dispatch_close(&dispatch);
    for (int w = 0; w < WEBHOOKS; w++) {
        hw_webhook_release(webhooks[w]);
        webhooks[w] = NULL;
    }
}

/* ---- turns ---- */

CASE(endpoints_take_turns_however_long_their_queues_are)
{
    begin(100);
    queue_many(endpoint(0, 64, 0), 50, false);
    queue_many(endpoint(1, 64, 0), 3, false);
    queue_many(endpoint(2, 64, 0), 3, false);
    for (int i = 0; i < 3; i++)
        for (uint32_t w = 0; w < 3; w++)
            CHECK_UINT(next_w(), ==, w);
    CHECK_UINT(next_w(), ==, 0); /* nobody else is left */
    finish();
}

CASE(a_newcomer_waits_for_one_round_and_no_more)
{
    begin(100);
    queue_many(endpoint(0, 64, 0), 10, false);
    queue_many(endpoint(1, 64, 0), 10, false);
    next();
    queue(endpoint(2, 64, 0), false);
    CHECK_UINT(next_w(), ==, 1);
    CHECK_UINT(next_w(), ==, 0);
    CHECK_UINT(next_w(), ==, 2);
    finish();
}

CASE(the_oldest_of_an_endpoint_goes_first)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 64, 0);
    queue_many(e, 5, false);
    for (uint64_t n = 1; n <= 5; n++)
        CHECK_UINT(next()->n, ==, n);
    finish();
}

CASE(one_start_in_four_is_offered_to_due_retries)
{
    begin(1000);
    struct hw_endpoint *a = endpoint(0, 500, 0), *b = endpoint(1, 500, 0);
    queue_many(a, 100, false);
    queue_many(b, 100, true);
    for (int i = 0; i < 100; i++)
        CHECK_UINT(next_w(), ==, i % 4 == 3);
    finish();
}

CASE(a_start_that_nobody_of_the_one_kind_wants_goes_to_the_other)
{
    begin(1000);
    struct hw_endpoint *e = endpoint(0, 500, 0);
    queue_many(e, 9, true);
    CHECK_UINT(start_all(), ==, 9);
    queue_many(e, 9, false);
    CHECK_UINT(start_all(), ==, 9);
    finish();
}

/* ---- limits ---- */

static void answer(struct hw_delivery *d, enum hw_verdict_kind verdict)
{
    d->verdict.kind = verdict;
    hw_delivery_move(d, HW_DELIVERY_SETTLING);
    CHECK_NULL(hw_dispatch_check(&dispatch));
}

CASE(a_failure_keeps_its_slot_until_it_is_settled)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 2, 0);
    queue_many(e, 5, false);
    struct hw_delivery *d = next(), *other = next();
    CHECK_NULL(next());
    answer(d, HW_VERDICT_AGAIN);
    CHECK_NULL(next());
    answer(other, HW_VERDICT_DEAD);
    CHECK_NULL(next());
    end(d);
    CHECK_NOT_NULL(next());
    CHECK_NULL(next());
    CHECK_UINT(e->n_in_flight, ==, 2);
    CHECK_UINT(hw_endpoint_attempts(e), ==, 2);
    finish();
}

CASE(what_is_delivered_makes_room_before_it_is_settled)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 2, 0);
    struct hw_delivery *answered[17];
    queue_many(e, 30, false);
    for (int i = 0; i < 17; i++) {
        answered[i] = next();
        answer(answered[i], HW_VERDICT_DELIVERED);
    }
    CHECK_NULL(next()); /* sixteen for the second slot: then Redis has to come along */
    CHECK_UINT(e->n_in_flight, ==, 17);
    CHECK_UINT(hw_endpoint_attempts(e), ==, 0);
    end(answered[0]);
    CHECK_NOT_NULL(next());
    CHECK_NOT_NULL(next());
    CHECK_NULL(next());
    CHECK_UINT(hw_dispatch_attempts(&dispatch), ==, 2);
    finish();
}

CASE(it_makes_room_only_while_redis_is_prompt)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 2, 0);
    queue_many(e, 30, false);
    struct hw_delivery *first = next();
    answer(first, HW_VERDICT_DELIVERED);
    time_is(9);
    struct hw_delivery *second = next();
    CHECK_NOT_NULL(second);
    answer(second, HW_VERDICT_DELIVERED);
    CHECK_NOT_NULL(next());
    CHECK_UINT(e->n_in_flight, ==, 3);
    time_is(10);
    CHECK_NULL(next()); /* the first has waited for ten */
    end(first);
    CHECK_NOT_NULL(next());
    finish();
}

CASE(how_long_redis_takes_is_told_where_no_timer_fires)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 2, 0);
    queue_many(e, 30, false);
    struct hw_delivery *first = hw_dispatch_next(&dispatch, 1000);
    CHECK_NOT_NULL(hw_dispatch_next(&dispatch, 1000));
    hw_dispatch_set_now(&dispatch, 1200);
    answer(first, HW_VERDICT_DELIVERED);
    struct hw_delivery *prompt = hw_dispatch_next(&dispatch, 1209);
    CHECK_NOT_NULL(prompt);
    answer(prompt, HW_VERDICT_DELIVERED);
    CHECK_NULL(hw_dispatch_next(&dispatch, 1210));
    CHECK_UINT(wheel.now, ==, 0);
    finish();
}

CASE(one_at_a_time_waits_until_the_last_is_settled)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 1, 0);
    queue_many(e, 2, false);
    struct hw_delivery *d = next();
    answer(d, HW_VERDICT_DELIVERED);
    CHECK_NULL(next());
    end(d);
    CHECK_NOT_NULL(next());
    finish();
}

CASE(what_is_answered_is_bounded_for_all_together)
{
    begin(10);
    struct hw_endpoint *a = endpoint(0, 64, 0), *b = endpoint(1, 64, 0);
    queue_many(a, 20, false);
    queue_many(b, 20, false);
    for (int i = 0; i < 10; i++)
        answer(next(), HW_VERDICT_DELIVERED);
    CHECK_NULL(next());
    CHECK_UINT(dispatch.n_answered, ==, 10);
    CHECK_UINT(a->n_answered + b->n_answered, ==, 10);
    finish();
}

CASE(one_that_waits_after_a_fault_of_our_own_does_not_count)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 1, 0);
    queue_many(e, 2, false);
    struct hw_delivery *d = next();
    hw_delivery_move(d, HW_DELIVERY_WAITING);
    hw_wheel_arm(&wheel, &d->again, 1000);
    CHECK_NULL(hw_dispatch_check(&dispatch));
    CHECK_UINT(next()->n, ==, 2);
    hw_delivery_move(d, HW_DELIVERY_READY);
    CHECK(!hw_wheel_is_armed(&d->again));
    CHECK_NULL(next()); /* the other is under way */
    settle_first_sending(e);
    CHECK_PTR(next(), ==, d);
    finish();
}

CASE(one_alone_may_have_the_whole_global_limit)
{
    begin(8);
    queue_many(endpoint(0, 64, 0), 20, false);
    CHECK_UINT(start_all(), ==, 8);
    finish();
}

CASE(above_half_of_the_global_limit_each_keeps_to_its_part)
{
    begin(8);
    struct hw_endpoint *a = endpoint(0, 64, 0), *b = endpoint(1, 64, 0);
    queue(b, false);
    next();
    queue_many(a, 20, false);
    CHECK_UINT(start_all(), ==, 4); /* 3 below the half, 1 up to 8 / 2 */
    CHECK_UINT(a->n_in_flight, ==, 4);
    queue_many(b, 20, false);
    CHECK_UINT(start_all(), ==, 3);
    CHECK_UINT(b->n_in_flight, ==, 4);
    finish();
}

CASE(above_half_even_the_smallest_part_is_one)
{
    begin(10);
    queue_many(endpoint(0, 64, 0), 20, false);
    for (int i = 0; i < 5; i++)
        next();
    for (uint32_t w = 1; w < 30; w++)
        queue_many(endpoint(w, 64, 0), 2, false);
    CHECK_UINT(start_all(), ==, 5);
    CHECK_UINT(hw_dispatch_find(&dispatch, 0)->n_in_flight, ==, 5);
    for (uint32_t w = 1; w < 30; w++)
        CHECK_UINT(hw_dispatch_find(&dispatch, w)->n_in_flight, <=, 1);
    finish();
}

CASE(the_last_part_is_kept_for_who_comes_late)
{
    begin(160);
    for (uint32_t w = 1; w < WEBHOOKS; w++)
        queue_many(endpoint(w, 64, 0), 30, false);
    CHECK_UINT(start_all(), ==, 150);
    queue_many(endpoint(0, 64, 0), 20, false);
    CHECK_NOT_NULL(next());
    CHECK_UINT(hw_dispatch_find(&dispatch, 0)->n_in_flight, ==, 1);
    finish();
}

CASE(an_instance_takes_its_part_of_a_limit_and_at_least_one)
{
    begin(1000);
    struct hw_endpoint *big = endpoint(0, 64, 0), *small = endpoint(1, 2, 10);
    CHECK_UINT(big->limit, ==, 64);
    hw_dispatch_share(&dispatch, 3);
    CHECK_UINT(big->limit, ==, 21);
    CHECK_UINT(small->limit, ==, 1);
    CHECK_DOUBLE(small->rate_per_s, >, 3.3);
    CHECK_DOUBLE(small->rate_per_s, <, 3.4);
    hw_dispatch_share(&dispatch, 20);
    CHECK_UINT(big->limit, ==, 3);
    CHECK_DOUBLE(small->rate_per_s, ==, 1);
    CHECK_DOUBLE(big->rate_per_s, ==, 0);
    CHECK_UINT(endpoint(2, 60, 0)->limit, ==, 3); /* and so do those that come later */
    hw_dispatch_share(&dispatch, 0);
    CHECK_UINT(big->limit, ==, 64);
    finish();
}

CASE(a_smaller_part_ends_nothing_and_a_larger_one_starts_more)
{
    begin(1000);
    struct hw_endpoint *e = endpoint(0, 8, 0);
    queue_many(e, 20, false);
    CHECK_UINT(start_all(), ==, 8);
    hw_dispatch_share(&dispatch, 4);
    CHECK_NULL(hw_dispatch_check(&dispatch));
    for (int i = 0; i < 6; i++) {
        settle_first_sending(e);
        CHECK_NULL(next());
    }
    settle_first_sending(e);
    CHECK_UINT(start_all(), ==, 1);
    hw_dispatch_share(&dispatch, 1);
    CHECK_UINT(start_all(), ==, 6);
    finish();
}

CASE(nothing_starts_while_stopped)
{
    begin(100);
    queue_many(endpoint(0, 64, 0), 2, false);
    hw_dispatch_stop(&dispatch, true);
    CHECK_NULL(next());
    hw_dispatch_stop(&dispatch, false);
    CHECK_NOT_NULL(next());
    finish();
}

CASE(only_active_webhooks_are_sent_to)
{
    static const enum hw_webhook_status others[] = { HW_WEBHOOK_PAUSED, HW_WEBHOOK_DISABLED,
                                                     HW_WEBHOOK_DELETED };
    begin(100);
    struct hw_endpoint *e = endpoint(0, 64, 0);
    queue_many(e, 10, false);
    for (size_t i = 0; i < 3; i++) {
        hw_endpoint_update(e, webhook(0, 64, 0, others[i]));
        CHECK_NULL(next());
        hw_endpoint_update(e, webhook(0, 64, 0, HW_WEBHOOK_ACTIVE));
        CHECK_NOT_NULL(next());
    }
    hw_endpoint_update(e, NULL);
    CHECK_NULL(next());
    finish();
}

/* ---- rates and holds ---- */

/* Start and settle whatever may start until then; how many there were. */
static unsigned run_until(struct hw_endpoint *e, hw_mono_ms until)
{
    unsigned n = 0;
    hw_mono_ms at;

    for (;;) {
        while (next() != NULL) {
            settle_first_sending(e);
            n++;
        }
        if (!hw_wheel_next(&wheel, &at) || at > until)
            return n;
        hw_wheel_advance(&wheel, at > wheel.now ? at : wheel.now);
    }
}

CASE(starts_below_ten_a_second_are_spaced)
{
    hw_mono_ms last = 0;

    begin(100);
    struct hw_endpoint *e = endpoint(0, 64, 4);
    queue_many(e, 20, false);
    CHECK_NOT_NULL(next());
    for (int i = 1; i < 20; i++) {
        CHECK_NULL(next());
        unsigned wakes = n_wakes;
        while (n_wakes == wakes) {
            hw_mono_ms at;
            CHECK(hw_wheel_next(&wheel, &at));
            hw_wheel_advance(&wheel, at);
        }
        CHECK_UINT(wheel.now - last, >=, 250);
        CHECK_UINT(wheel.now - last, <=, 251); /* deadlines round up */
        last = wheel.now;
        CHECK_NOT_NULL(next());
    }
    finish();
}

CASE(a_higher_rate_may_catch_up_on_a_tenth_of_a_second)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 64, 50);
    queue_many(e, 1000, false);
    unsigned at_once = run_until(e, 0);
    CHECK_UINT(at_once, >=, 5);
    CHECK_UINT(at_once, <=, 6);
    unsigned n = run_until(e, 10000);
    CHECK_UINT(n, >=, 499);
    CHECK_UINT(n, <=, 501);
    finish();
}

CASE(time_without_starts_is_not_saved_up)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 64, 50);
    hw_wheel_advance(&wheel, 100000);
    queue_many(e, 100, false);
    CHECK_UINT(run_until(e, 100000), <=, 6);
    finish();
}

CASE(a_rate_concerns_retries_too_and_no_other_endpoint)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 64, 1);
    queue(e, true);
    queue(e, false);
    queue_many(endpoint(1, 64, 0), 10, false);
    unsigned n = start_all();
    CHECK_UINT(n, ==, 11);
    CHECK_UINT(e->n_in_flight, ==, 1);
    finish();
}

CASE(a_hold_ends_by_itself_and_is_never_shortened)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 64, 0);
    queue(e, false);
    queue(endpoint(1, 64, 0), false);
    hw_endpoint_hold(e, 1000);
    hw_endpoint_hold(e, 500);
    CHECK_UINT(next_w(), ==, 1);
    CHECK_NULL(next());
    hw_wheel_advance(&wheel, 999);
    CHECK_NULL(next());
    CHECK_UINT(n_wakes, ==, 0);
    hw_wheel_advance(&wheel, 1000);
    CHECK_UINT(n_wakes, ==, 1);
    CHECK_UINT(next_w(), ==, 0);
    finish();
}

CASE(a_hold_can_be_prolonged)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 64, 0);
    queue(e, false);
    hw_endpoint_hold(e, 1000);
    hw_endpoint_hold(e, 3000);
    hw_wheel_advance(&wheel, 2999);
    CHECK_UINT(n_wakes, ==, 0);
    hw_wheel_advance(&wheel, 3000);
    CHECK_NOT_NULL(next());
    finish();
}

/* ---- memory ---- */

CASE(the_queue_in_memory_follows_the_limit_within_bounds)
{
    begin(10000);
    CHECK_UINT(hw_room_max(endpoint(0, 1, 0)), ==, 64);
    size_t in_between = hw_room_max(endpoint(1, 20, 0));
    CHECK_UINT(in_between, >, 64);
    CHECK_UINT(hw_room_max(endpoint(2, 40, 0)), ==, 2 * in_between);
    CHECK_UINT(hw_room_max(endpoint(3, 5000, 0)), ==, 1024);
    finish();
}

CASE(room_is_what_is_left_of_the_queue)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0);
    CHECK_UINT(hw_room_left(e), ==, 64);
    queue_many(e, 60, false);
    queue_many(e, 9, true); /* retries have been let in already */
    CHECK_UINT(hw_room_left(e), ==, 4);
    queue_many(e, 4, false);
    CHECK_UINT(hw_room_left(e), ==, 0);
    next();
    CHECK_UINT(hw_room_left(e), ==, 1);
    finish();
}

CASE(no_room_where_nothing_would_be_sent_soon)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0), *slow = endpoint(1, 4, 1);
    hw_endpoint_update(e, webhook(0, 4, 0, HW_WEBHOOK_PAUSED));
    CHECK_UINT(hw_room_left(e), ==, 0);
    hw_endpoint_update(e, webhook(0, 4, 0, HW_WEBHOOK_ACTIVE));
    CHECK_UINT(hw_room_left(e), ==, 64);
    hw_endpoint_hold(e, 60000);
    CHECK_UINT(hw_room_left(e), ==, 0);
    queue_many(slow, 2, false); /* held by its rate, it still keeps a queue */
    next();
    CHECK_UINT(slow->held_until, >, 0);
    CHECK_UINT(hw_room_left(slow), ==, 63);
    finish();
}

CASE(no_room_past_older_ones_in_redis)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0);
    hw_endpoint_backlog(e, HW_BACKLOG_LIVE);
    hw_endpoint_backlog(e, HW_BACKLOG_LIVE);
    CHECK_INT(hw_endpoint_backlog_of(e), ==, HW_BACKLOG_LIVE);
    CHECK_UINT(hw_room_left(e), ==, 0);
    hw_endpoint_backlog(e, HW_BACKLOG_NONE);
    CHECK_UINT(hw_room_left(e), ==, 64);
    finish();
}

CASE(wanted_is_only_what_waits_and_only_when_the_queue_is_half_empty)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0), *big = endpoint(1, 1000, 0);
    CHECK_UINT(hw_room_wanted(e).n, ==, 0);
    hw_endpoint_backlog(e, HW_BACKLOG_LIVE);
    CHECK_UINT(hw_room_wanted(e).n, ==, 64);
    queue_many(e, 32, false);
    CHECK_UINT(hw_room_wanted(e).n, ==, 32);
    queue(e, false);
    CHECK_UINT(hw_room_wanted(e).n, ==, 0);
    hw_endpoint_backlog(big, HW_BACKLOG_LIVE);
    CHECK_UINT(hw_room_wanted(big).n, ==, 128); /* at a time */
    big->is_refilling = true;
    CHECK_UINT(hw_room_wanted(big).n, ==, 0);
    finish();
}

CASE(a_backfill_that_waits_keeps_nothing_live_out_of_memory)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0);
    hw_endpoint_backlog(e, HW_BACKLOG_FILL);
    CHECK_INT(hw_endpoint_backlog_of(e), ==, HW_BACKLOG_FILL);
    CHECK_UINT(hw_room_left(e), ==, 64);
    queue(e, false);
    CHECK_UINT(hw_room_patience(e, wheel.now), >, wheel.now);
    hw_endpoint_backlog(e, HW_BACKLOG_LIVE);
    CHECK_UINT(hw_room_left(e), ==, 0);
    CHECK_UINT(hw_room_patience(e, wheel.now), ==, 0);
    hw_endpoint_backlog(e, HW_BACKLOG_NONE);
    CHECK_INT(hw_endpoint_backlog_of(e), ==, HW_BACKLOG_NONE);
    finish();
}

CASE(of_a_backfill_is_wanted_what_can_start_at_once)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0), *many = endpoint(1, 1000, 0);
    hw_endpoint_backlog(e, HW_BACKLOG_FILL);
    CHECK_UINT(hw_room_wanted(e).n, ==, 4);
    CHECK_UINT(hw_room_wanted(e).n_fill, ==, 4);
    queue(e, false);
    CHECK_UINT(hw_room_wanted(e).n, ==, 0); /* behind this one */
    next();
    CHECK_UINT(hw_room_wanted(e).n, ==, 3);
    queue_many(e, 2, true); /* due retries take slots too */
    CHECK_UINT(hw_room_wanted(e).n, ==, 1);
    hw_endpoint_hold(e, 60000);
    CHECK_UINT(hw_room_wanted(e).n, ==, 0);
    hw_endpoint_backlog(many, HW_BACKLOG_FILL);
    CHECK_UINT(hw_room_wanted(many).n, ==, 128); /* at a time */
    hw_endpoint_backlog(many, HW_BACKLOG_LIVE);
    CHECK_UINT(hw_room_wanted(many).n, ==, 128);
    queue_many(many, 1, false);
    CHECK_UINT(hw_room_wanted(many).n, ==, 128);
    CHECK_UINT(hw_room_wanted(many).n_fill, ==, 0); /* none of these before it */
    finish();
}

CASE(of_a_backfill_a_rate_limit_lets_in_what_it_lets_out_in_a_second)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 64, 10);
    hw_endpoint_backlog(e, HW_BACKLOG_FILL);
    CHECK_UINT(hw_room_wanted(e).n, ==, 10);
    queue_many(e, 2, false);
    CHECK_UINT(hw_room_wanted(e).n, ==, 0);
    next();
    CHECK_UINT(e->held_until, >, 0);
    CHECK_UINT(hw_room_wanted(e).n, ==, 0);
    finish();
}

CASE(what_waits_for_a_webhook_that_is_gone_is_wanted_and_for_a_paused_one_is_not)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0);
    hw_endpoint_backlog(e, HW_BACKLOG_LIVE);
    hw_endpoint_update(e, webhook(0, 4, 0, HW_WEBHOOK_PAUSED));
    CHECK_UINT(hw_room_wanted(e).n, ==, 0);
    hw_endpoint_update(e, webhook(0, 4, 0, HW_WEBHOOK_DISABLED));
    CHECK_UINT(hw_room_wanted(e).n, ==, 128);
    CHECK_UINT(hw_room_wanted(e).n_fill, ==, 128);
    hw_endpoint_update(e, NULL);
    CHECK_UINT(hw_room_wanted(e).n, ==, 128);
    queue_many(e, 128, false);
    CHECK_UINT(hw_room_wanted(e).n, ==, 0); /* first write off these */
    finish();
}

CASE(records_in_memory_are_bounded_by_their_bytes)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0), *other = endpoint(1, 4, 0);
    static struct hw_event large = { .refs = 1, .n_bytes = 32 << 20 };
    hw_endpoint_backlog(other, HW_BACKLOG_LIVE);
    for (int i = 0; i < 2; i++) {
        struct hw_delivery *d = delivery_new(0, false);
        d->event = &large;
        CHECK_UINT(hw_room_left(e), >, 0);
        CHECK_INT(hw_dispatch_add(&dispatch, e, d), ==, HW_OK);
        hw_delivery_move(d, HW_DELIVERY_READY);
    }
    CHECK_UINT(hw_room_left(e), ==, 0);
    CHECK_UINT(hw_room_wanted(other).n, >, 0); /* it has an equal part */
    hw_endpoint_backlog(other, HW_BACKLOG_NONE);
    struct hw_delivery *d = delivery_new(1, false);
    d->event = &large;
    CHECK_INT(hw_dispatch_add(&dispatch, other, d), ==, HW_OK);
    hw_delivery_move(d, HW_DELIVERY_READY);
    CHECK_UINT(hw_room_left(other), ==, 0);
    CHECK_UINT(next_w(), ==, 0);
    CHECK_UINT(next_w(), ==, 1);
    CHECK_UINT(hw_room_left(other), >, 0);
    finish();
}

CASE(records_in_flight_are_bounded_by_their_bytes)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0), *other = endpoint(1, 4, 0);
    static struct hw_event large = { .refs = 1, .n_bytes = 17 << 20 };
    for (int i = 0; i < 4; i++) {
        struct hw_delivery *d = delivery_new(0, false);
        d->event = &large;
        CHECK_INT(hw_dispatch_add(&dispatch, e, d), ==, HW_OK);
        hw_delivery_move(d, HW_DELIVERY_READY);
    }
    queue(other, false);
    CHECK_UINT(next_w(), ==, 0);
    CHECK_UINT(next_w(), ==, 1);
    CHECK_UINT(next_w(), ==, 0); /* its half of the whole is used up */
    queue(other, false);
    CHECK_UINT(next_w(), ==, 1);
    CHECK_NULL(next());
    finish();
}

CASE(a_crowd_that_hangs_leaves_room_in_memory_for_the_others)
{
    begin(10000);
    struct hw_endpoint *quick = endpoint(0, 64, 0);
    for (uint32_t w = 1; w < WEBHOOKS; w++) {
        struct hw_endpoint *e = endpoint(w, 5000, 0);
        while (hw_room_left(e) > 0) {
            struct hw_delivery *d = delivery_new(w, false);
            CHECK_INT(hw_dispatch_add(&dispatch, e, d), ==, HW_OK);
            hw_delivery_move(d, HW_DELIVERY_READY);
        }
    }
    CHECK_NULL(hw_dispatch_check(&dispatch));
    CHECK_UINT(dispatch.kept.n, >, 10000);
    CHECK_UINT(dispatch.kept.n, <=, 30000);
    CHECK_UINT(hw_room_left(quick), >=, 32);
    finish();
}

static struct hw_endpoint *busy_since_5000(void)
{
    struct hw_endpoint *e = endpoint(0, 4, 0);

    time_is(5000);
    queue_many(e, 30, false);
    return e;
}

static void answers(struct hw_endpoint *e, unsigned n, hw_mono_ms now)
{
    for (unsigned i = 0; i < n; i++)
        hw_pace_heard(&e->pace, now);
}

CASE(who_has_just_answered_is_waited_for)
{
    begin(100);
    struct hw_endpoint *e = busy_since_5000();
    answers(e, 1, 5100);
    CHECK_UINT(hw_room_patience(e, 5100), ==, 5150); /* for this batch */
    CHECK_UINT(hw_room_patience(e, 5180), ==, 5200); /* for the next answer */
    CHECK_UINT(hw_room_patience(e, 5500), ==, 5200); /* that is past: it hangs */
    finish();
}

/* `other` starts one first attempt as it comes, each 10 ms, from `from` up to `to`. */
static void start_as_they_come(struct hw_endpoint *other, hw_mono_ms from, hw_mono_ms to)
{
    for (hw_mono_ms now = from; now <= to; now += 10) {
        time_is(now);
        struct hw_delivery *d = queue(other, false);
        while (d->state == HW_DELIVERY_READY)
            next();
        hw_delivery_move(d, HW_DELIVERY_DONE);
        free(d);
    }
}

static struct hw_endpoint *busy_endpoint;

/* It holds all its slots, so that only others start. */
static void begin_with_company(void)
{
    begin(100);
    busy_endpoint = busy_since_5000();
    start_all();
    answers(busy_endpoint, 10, 5000);
}

CASE(while_others_start_as_they_come_nobody_is_waited_for)
{
    begin_with_company();
    struct hw_endpoint *other = endpoint(1, 4, 0);
    start_as_they_come(other, 5010, 5100);
    answers(busy_endpoint, 1, 5100);
    CHECK_UINT(hw_room_patience(busy_endpoint, 5100), ==, 5150); /* not for long yet */
    start_as_they_come(other, 5110, 5110);
    CHECK_UINT(hw_room_patience(busy_endpoint, 5110), ==, 0);
    time_is(6109);
    answers(busy_endpoint, 10, 6109);
    CHECK_UINT(hw_room_patience(busy_endpoint, 6109), ==, 0);
    time_is(6110);
    CHECK_UINT(hw_room_patience(busy_endpoint, 6110), ==, 6160); /* nothing more came */
    finish();
}

CASE(who_has_a_queue_of_his_own_is_no_company)
{
    begin_with_company();
    struct hw_endpoint *other = endpoint(1, 4, 0);
    start_as_they_come(other, 5010, 5200);
    queue_many(other, 20, false);
    answers(busy_endpoint, 1, 5200);
    CHECK_UINT(hw_room_patience(busy_endpoint, 5200), ==, 5250);
    finish();
}

CASE(nobody_is_his_own_company)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0);
    start_as_they_come(e, 5000, 5200);
    hw_endpoint_backlog(e, HW_BACKLOG_LIVE);
    hw_endpoint_count_backlog(e, 1);
    struct hw_delivery *d = queue(e, false);
    answers(e, 1, 5201);
    CHECK_UINT(hw_room_patience(e, 5200), ==, 5250);
    hw_delivery_move(d, HW_DELIVERY_DONE);
    free(d);
    hw_endpoint_backlog(e, HW_BACKLOG_NONE);
    finish();
}

CASE(who_had_no_time_to_answer_is_waited_for_longer)
{
    begin(100);
    struct hw_endpoint *e = busy_since_5000();
    CHECK_UINT(hw_room_patience(e, 5000), ==, 5100);
    CHECK_UINT(hw_room_patience(e, 5090), ==, 5100);
    hw_endpoint_backlog(e, HW_BACKLOG_LIVE);
    CHECK_UINT(hw_room_patience(e, 5000), ==, 0);
    finish();
}

CASE(who_has_work_for_longer_than_a_second_is_not_waited_for)
{
    begin(100);
    struct hw_endpoint *e = busy_since_5000();
    time_is(6000);
    answers(e, 2, 6000); /* twenty a second, and thirty wait */
    CHECK_UINT(hw_room_patience(e, 6000), ==, 0);
    answers(e, 1, 6010);
    CHECK_UINT(hw_room_patience(e, 6010), ==, 6060);
    answers(e, 1, 6100); /* a new span: the last one counts */
    CHECK_UINT(hw_room_patience(e, 6100), ==, 6150);
    hw_endpoint_backlog(e, HW_BACKLOG_LIVE);
    CHECK_UINT(hw_room_patience(e, 6100), ==, 0); /* nobody has told how many */
    hw_endpoint_count_backlog(e, 1);
    CHECK_UINT(hw_room_patience(e, 6100), ==, 0);
    answers(e, 3, 6110);
    CHECK_UINT(hw_room_patience(e, 6110), ==, 6160);
    answers(e, 1, 6400); /* the last span is long ago */
    CHECK_UINT(hw_room_patience(e, 6400), ==, 0);
    finish();
}

CASE(how_long_it_has_had_work_is_told_where_no_timer_fires)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0);
    hw_dispatch_set_now(&dispatch, 5000);
    queue_many(e, 30, false);
    CHECK_UINT(hw_room_patience(e, 5000), ==, 5100);
    answers(e, 1, 5999);
    hw_dispatch_set_now(&dispatch, 5999);
    CHECK_UINT(hw_room_patience(e, 5999), ==, 6049);
    hw_dispatch_set_now(&dispatch, 6000); /* ten a second, and thirty wait */
    CHECK_UINT(hw_room_patience(e, 6000), ==, 0);
    hw_dispatch_set_now(&dispatch, 5000); /* no time has passed */
    CHECK_UINT(hw_room_patience(e, 6000), ==, 0);
    CHECK_UINT(wheel.now, ==, 0);
    finish();
}

CASE(whom_waiting_would_not_help_is_not_waited_for)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0);
    time_is(5000);
    CHECK_UINT(hw_room_patience(e, 5000), ==, 0); /* nothing is queued */
    queue(e, false);
    CHECK_UINT(hw_room_patience(e, 5000), >, 0);
    hw_endpoint_hold(e, 5010);
    CHECK_UINT(hw_room_patience(e, 5000), ==, 0);
    finish();
}

/* ---- the map of all, endpoints ---- */

CASE(a_delivery_is_in_memory_once)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0);
    struct hw_delivery *d = queue(e, false), *twin = delivery_new(0, false);
    twin->n = d->n;
    CHECK_INT(hw_dispatch_add(&dispatch, e, twin), ==, HW_EBUSY);
    CHECK_PTR(hw_dispatch_delivery(&dispatch, 0, d->n), ==, d);
    CHECK_NULL(hw_dispatch_delivery(&dispatch, 1, d->n));
    CHECK_NULL(hw_dispatch_delivery(&dispatch, 0, d->n + 1));
    free(twin);
    finish();
}

CASE(an_endpoint_is_made_once)
{
    begin(100);
    struct hw_endpoint *e = endpoint(7, 4, 0);
    CHECK_PTR(hw_dispatch_endpoint(&dispatch, webhooks[7]), ==, e);
    CHECK_PTR(hw_dispatch_find(&dispatch, 7), ==, e);
    CHECK_NULL(hw_dispatch_find(&dispatch, 6));
    CHECK_NULL(hw_dispatch_find(&dispatch, 4000000000u));
    finish();
}

CASE(out_of_memory_changes_nothing)
{
    SCARCE_EACH(n)
    {
        scarce_begin(0);
        begin(100);
        webhook(3, 4, 0, HW_WEBHOOK_ACTIVE);
        scarce.fails_at = scarce.n_asked + n;
        struct hw_endpoint *e = hw_dispatch_endpoint(&dispatch, webhooks[3]);
        if (e == NULL)
            CHECK_NOT_NULL(e = hw_dispatch_endpoint(&dispatch, webhooks[3]));
        struct hw_delivery *d = delivery_new(3, false);
        if (hw_dispatch_add(&dispatch, e, d) != HW_OK) {
            CHECK_NULL(hw_dispatch_check(&dispatch));
            CHECK_UINT(e->n_in_memory, ==, 0);
            CHECK_INT(hw_dispatch_add(&dispatch, e, d), ==, HW_OK);
        }
        hw_delivery_move(d, HW_DELIVERY_READY);
        finish();
        scarce_end();
    }
}

CASE(sweep_frees_endpoints_that_nothing_needs_any_more)
{
    begin(100);
    for (uint32_t w = 0; w < 5; w++)
        endpoint(w, 4, 0);
    for (uint32_t w = 1; w < 5; w++)
        hw_endpoint_update(hw_dispatch_find(&dispatch, w), NULL);
    struct hw_delivery *d = queue(hw_dispatch_find(&dispatch, 1), false);
    hw_endpoint_backlog(hw_dispatch_find(&dispatch, 2), HW_BACKLOG_LIVE); /* is to be written off yet */
    hw_dispatch_find(&dispatch, 3)->is_refilling = true;
    hw_dispatch_sweep(&dispatch);
    for (uint32_t w = 0; w < 4; w++)
        CHECK_NOT_NULL(hw_dispatch_find(&dispatch, w));
    CHECK_NULL(hw_dispatch_find(&dispatch, 4));
    end(d);
    hw_endpoint_backlog(hw_dispatch_find(&dispatch, 2), HW_BACKLOG_NONE);
    hw_dispatch_find(&dispatch, 3)->is_refilling = false;
    hw_dispatch_sweep(&dispatch);
    CHECK_NOT_NULL(hw_dispatch_find(&dispatch, 0));
    for (uint32_t w = 1; w < 5; w++)
        CHECK_NULL(hw_dispatch_find(&dispatch, w));
    finish();
}

CASE(sweep_frees_an_endpoint_that_is_held)
{
    begin(100);
    struct hw_endpoint *e = endpoint(0, 4, 0);
    hw_endpoint_hold(e, 1000);
    hw_endpoint_update(e, NULL);
    hw_dispatch_sweep(&dispatch);
    CHECK_UINT(wheel.n_armed, ==, 0);
    finish();
}

/* ---- anything in any order ---- */

/* So many at once: queues run empty and fill up again and again, and a check is cheap. */
enum { CROWD_MAX = 200 };

static void change_one(struct hw_delivery *d)
{
    switch (d->state) {
    case HW_DELIVERY_SENDING:
        if (check_random_below(8) == 0) {
            hw_delivery_move(d, HW_DELIVERY_WAITING);
            hw_wheel_arm(&wheel, &d->again, wheel.now + 1000000);
            return;
        }
        hw_delivery_move(d, HW_DELIVERY_SETTLING);
        return;
    case HW_DELIVERY_SUSPECT:
    case HW_DELIVERY_WAITING:
        hw_delivery_move(d, HW_DELIVERY_READY);
        return;
    case HW_DELIVERY_READY:
        hw_delivery_move(d, HW_DELIVERY_SETTLING);
        return;
    case HW_DELIVERY_SETTLING:
        end(d);
        return;
    case HW_DELIVERY_NEW:
    case HW_DELIVERY_DONE:
    case HW_DELIVERY_STATES:
        break;
    }
    CHECK_FAIL("a delivery in memory is %s", hw_delivery_state_text(d->state));
}

static void add_one(struct hw_endpoint *e)
{
    struct hw_delivery *d = delivery_new(e->w, check_random_below(3) == 0);

    CHECK_INT(hw_dispatch_add(&dispatch, e, d), ==, HW_OK);
    hw_delivery_move(d, check_random_below(20) == 0 ? HW_DELIVERY_SUSPECT : HW_DELIVERY_READY);
}

static void change_endpoint(struct hw_endpoint *e)
{
    enum hw_webhook_status status = (enum hw_webhook_status)check_random_below(4);

    switch (check_random_below(5)) {
    case 0:
        hw_endpoint_hold(e, wheel.now + check_random_below(300));
        break;
    case 1:
        hw_dispatch_share(&dispatch, (unsigned)check_random_below(4));
        break;
    case 2:
        hw_endpoint_backlog(e, (enum hw_backlog)check_random_below(3));
        break;
    default:
        hw_endpoint_update(e, webhook(e->w, 1 + (unsigned)check_random_below(9), 0,
                                      check_random_below(3) == 0 ? status : HW_WEBHOOK_ACTIVE));
    }
}

static void random_step(void)
{
    struct hw_endpoint *e = hw_dispatch_find(&dispatch, (uint32_t)check_random_below(WEBHOOKS));
    uint64_t dice = check_random_below(100);

    if (dice < 35 && dispatch.deliveries.n_entries < CROWD_MAX) {
        add_one(e);
    } else if (dice < 60) {
        hw_dispatch_next(&dispatch, wheel.now);
    } else if (dice < 95) {
        uint64_t n = 1 + check_random_below(n_made + 1);
        struct hw_delivery *d = hw_dispatch_delivery(&dispatch, e->w, n);
        if (d == NULL && hw_map_next(&dispatch.deliveries, NULL) != NULL)
            d = HW_CONTAINER_OF(hw_map_next(&dispatch.deliveries, NULL), struct hw_delivery, by_key);
        if (d != NULL)
            change_one(d);
    } else if (dice < 98) {
        change_endpoint(e);
    } else {
        hw_wheel_advance(&wheel, wheel.now + check_random_below(100));
    }
}

CASE(a_random_walk_breaks_no_invariant)
{
    begin(60);
    for (uint32_t w = 0; w < WEBHOOKS; w++)
        endpoint(w, 5, w % 3 == 0 ? 40 : 0);
    for (int i = 0; i < 20000; i++) {
        random_step();
        CHECK_NULL(hw_dispatch_check(&dispatch));
        CHECK_UINT(hw_dispatch_attempts(&dispatch), <=, 60);
        CHECK_UINT(dispatch.n_answered, <, 120);
    }
    finish();
}
