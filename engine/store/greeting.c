#include "store/greeting.h"

#include <stdio.h>

#include "base/must.h"

static void say(struct hw_greeting *g, enum hw_greeting_step step, const char *const *words,
                struct hw_buf *out)
{
    unsigned n = 0;

    while (words[n] != NULL)
        n++;
    hw_buf_appendf(out, "*%u\r\n", n);
    for (; *words != NULL; words++)
        hw_buf_appendf(out, "$%zu\r\n%s\r\n", strlen(*words), *words);
    g->steps[g->n_steps++] = step;
}

static void say_auth(struct hw_greeting *g, const struct hw_redis_target *t,
                     struct hw_buf *out)
{
    const char *const by_password[] = { "AUTH", t->password, NULL };
    const char *const by_user[] = { "AUTH", t->user, t->password, NULL };

    if (t->password != NULL)
        say(g, HW_GREETING_AUTH, t->user != NULL ? by_user : by_password, out);
}

static void say_select(struct hw_greeting *g, const struct hw_redis_target *t,
                       struct hw_buf *out)
{
    char db[16];
    const char *const words[] = { "SELECT", db, NULL };

    snprintf(db, sizeof db, "%u", t->db);
    if (t->db != 0)
        say(g, HW_GREETING_SELECT, words, out);
}

/* Redis takes visible ASCII only. */
static void say_name(struct hw_greeting *g, const char *wanted, struct hw_buf *out)
{
    char name[64];
    const char *const words[] = { "CLIENT", "SETNAME", name, NULL };

    if (wanted == NULL)
        return;
    snprintf(name, sizeof name, "%s", wanted);
    for (char *c = name; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            *c = '_';
    say(g, HW_GREETING_NAME, words, out);
}

static void say_ping(struct hw_greeting *g, struct hw_buf *out)
{
    static const char *const words[] = { "PING", NULL };

    say(g, HW_GREETING_PING, words, out);
}

void hw_greeting_begin(struct hw_greeting *g, const struct hw_redis_target *target,
                       const char *name, struct hw_buf *out)
{
    *g = (struct hw_greeting){ 0 };
    say_auth(g, target, out);
    say_select(g, target, out);
    say_name(g, name, out);
    say_ping(g, out);
}

void hw_greeting_again(struct hw_greeting *g, struct hw_buf *out)
{
    *g = (struct hw_greeting){ 0 };
    say_ping(g, out);
}

/* Some have no CLIENT command, or do not allow it: a name is not worth a connection. */
static bool may_ignore(enum hw_greeting_step step, struct hw_slice text)
{
    bool is_unable = hw_slice_starts(text, HW_SLICE("NOPERM")) ||
                     hw_slice_starts(text, HW_SLICE("ERR unknown"));

    return is_unable && (step == HW_GREETING_NAME || step == HW_GREETING_PING);
}

static const char *refusal(enum hw_greeting_step step, struct hw_slice text)
{
    if (hw_slice_starts(text, HW_SLICE("NOAUTH")))
        return "wants a password";
    if (step == HW_GREETING_AUTH)
        return "refused the password";
    return step == HW_GREETING_SELECT ? "refused the database" : "refused the connection";
}

enum hw_greeting_result hw_greeting_answer(struct hw_greeting *g, const struct hw_reply *reply,
                                           const char *where, struct hw_cause *cause)
{
    enum hw_greeting_result fine;
    enum hw_greeting_step step;

    HW_MUST(hw_greeting_expects(g));
    step = g->steps[g->n_answered++];
    fine = step == HW_GREETING_PING ? HW_GREETING_DONE : HW_GREETING_MORE;
    if (reply->kind != HW_REPLY_ERROR || may_ignore(step, reply->text))
        return fine;
    if (hw_redis_trouble_of(reply->text) == HW_REDIS_READONLY) {
        hw_cause_set(cause, HW_EBUSY, HW_ORIGIN_US, 0, "Redis at %s is not ready: %.*s", where,
                     HW_SLICE_FMT(reply->text));
        /* PING will be told so too, and that is when we wait. */
        return step == HW_GREETING_PING ? HW_GREETING_LATER : HW_GREETING_MORE;
    }
    hw_cause_set(cause, HW_EDENIED, HW_ORIGIN_US, 0, "Redis at %s %s: %.*s", where,
                 refusal(step, reply->text), HW_SLICE_FMT(reply->text));
    return HW_GREETING_REFUSED;
}
