/* pace: whom it knows, who is quick, who may hang; the boundaries are those of pace.h. */
#include "core/pace.h"

#include "check.h"

enum { BEGAN = 5000, SECOND = 1000 };

static struct hw_pace begun(void)
{
    struct hw_pace p = { 0 };
    hw_pace_begin(&p, BEGAN);
    return p;
}

static void heard(struct hw_pace *p, unsigned n, hw_mono_ms now)
{
    for (unsigned i = 0; i < n; i++)
        hw_pace_heard(p, now);
}

CASE(who_has_not_answered_is_not_known)
{
    struct hw_pace p = begun();
    CHECK(!hw_pace_is_known(&p));
    hw_pace_heard(&p, BEGAN + 1);
    CHECK(hw_pace_is_known(&p));
    hw_pace_begin(&p, BEGAN + 2); /* it had no work in between */
    CHECK(!hw_pace_is_known(&p));
}

/* ---- doubt ---- */

CASE(nobody_is_doubtful_before_an_attempt_has_timed_out)
{
    struct hw_pace p = begun();
    CHECK(!p.is_doubtful);
    hw_pace_heard(&p, BEGAN + 60 * SECOND);
    CHECK(!p.is_doubtful);
}

CASE(a_timeout_makes_doubtful_until_it_answers)
{
    struct hw_pace p = begun();
    hw_pace_timed_out(&p);
    CHECK(p.is_doubtful);
    hw_pace_heard(&p, BEGAN + 7 * SECOND);
    CHECK(!p.is_doubtful);
    hw_pace_timed_out(&p);
    CHECK(p.is_doubtful);
}

CASE(the_doubt_stays_while_it_has_no_work)
{
    struct hw_pace p = begun();
    hw_pace_timed_out(&p);
    hw_pace_begin(&p, BEGAN + 60 * SECOND);
    CHECK(p.is_doubtful);
    CHECK(!hw_pace_is_known(&p));
}

CASE(a_timeout_is_no_answer)
{
    struct hw_pace p = begun();
    hw_pace_timed_out(&p);
    CHECK(!hw_pace_is_known(&p));
    CHECK(!hw_pace_is_quick(&p, 1, BEGAN + SECOND));
}

/* ---- quick ---- */

CASE(in_the_first_second_of_its_work_anybody_is_quick)
{
    struct hw_pace p = begun();
    CHECK(hw_pace_is_quick(&p, UINT64_MAX, BEGAN));
    CHECK(hw_pace_is_quick(&p, UINT64_MAX, BEGAN + SECOND - 1));
    CHECK(!hw_pace_is_quick(&p, UINT64_MAX, BEGAN + SECOND));
    CHECK(!hw_pace_is_quick(&p, 1, BEGAN + SECOND));
    CHECK(hw_pace_is_quick(&p, 0, BEGAN + SECOND));
}

CASE(afterwards_it_is_quick_if_it_answers_so_many_a_second)
{
    struct hw_pace p = begun();
    heard(&p, 3, BEGAN + SECOND);
    CHECK(hw_pace_is_quick(&p, 30, BEGAN + SECOND));
    CHECK(!hw_pace_is_quick(&p, 31, BEGAN + SECOND));
    heard(&p, 1, BEGAN + SECOND + 99); /* the same span still */
    CHECK(hw_pace_is_quick(&p, 40, BEGAN + SECOND + 99));
    CHECK(!hw_pace_is_quick(&p, 41, BEGAN + SECOND + 99));
}

CASE(the_last_span_counts_until_this_one_has_more)
{
    struct hw_pace p = begun();
    heard(&p, 3, BEGAN + SECOND);
    heard(&p, 1, BEGAN + SECOND + 100);
    CHECK(hw_pace_is_quick(&p, 30, BEGAN + SECOND + 100));
    CHECK(!hw_pace_is_quick(&p, 31, BEGAN + SECOND + 100));
    heard(&p, 3, BEGAN + SECOND + 150);
    CHECK(hw_pace_is_quick(&p, 40, BEGAN + SECOND + 150));
    heard(&p, 1, BEGAN + SECOND + 299); /* four in the one before */
    CHECK(hw_pace_is_quick(&p, 40, BEGAN + SECOND + 299));
}

CASE(the_span_before_the_last_is_forgotten)
{
    struct hw_pace p = begun();
    heard(&p, 3, BEGAN + SECOND);
    heard(&p, 1, BEGAN + SECOND + 200);
    CHECK(hw_pace_is_quick(&p, 10, BEGAN + SECOND + 200));
    CHECK(!hw_pace_is_quick(&p, 11, BEGAN + SECOND + 200));
}
