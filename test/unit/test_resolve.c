/* resolve: a name server of our own in the same loop, hosts files of our own. */
#include "net/resolve.h"

#include "check.h"
#include "core/metrics.h"
#include "support/name_server.h"

struct world {
    uv_loop_t uv;
    struct hw_loop loop;
    struct name_server dns;
    struct hw_resolve *resolve;
    uint64_t n_results[HW_METRIC_DNS_RESULTS];
    char hosts[64]; /* path */
    bool is_resolve_closed, is_loop_closed;
};

struct ask {
    struct hw_resolve_req req;
    bool is_answered;
    enum hw_resolve_result result;
    size_t n_addresses;
    char addresses[HW_RESOLVE_ADDRESSES_MAX][HW_ADDRESS_TEXT_MAX];
    char note[160];
};

static struct name_record zone[] = {
    { .name = "one.test", .a = { "192.0.2.1" }, .ttl_s = 60 },
    { .name = "many.test",
      .a = { "192.0.2.1", "192.0.2.2" },
      .aaaa = "2001:db8::1",
      .ttl_s = 60 },
    { .name = "six.test", .aaaa = "2001:db8::6", .ttl_s = 60 },
    { .name = "short.test", .a = { "192.0.2.9" }, .ttl_s = 1 },
    { .name = "empty.test" },
    { .name = "broken.test", .code = DNS_SERVFAIL },
    { .name = "silent.test", .is_silent = true },
};

static void write_hosts(struct world *w, const char *text)
{
    FILE *file = fopen(w->hosts, "w");
    CHECK_NOT_NULL(file);
    fputs(text, file);
    fclose(file);
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++)
        zone[i].n_asked = 0;
    CHECK_INT(uv_loop_init(&w->uv), ==, 0);
    CHECK_INT(hw_loop_init(&w->loop, &w->uv, NULL), ==, HW_OK);
    name_server_open(&w->dns, &w->uv, zone, sizeof(zone) / sizeof(zone[0]));
    snprintf(w->hosts, sizeof(w->hosts), "/tmp/hw-hosts-%d", (int)getpid());
    write_hosts(w, "192.0.2.77 inhosts.test alias.test\n2001:db8::77 inhosts.test\n");
    struct hw_resolve_options options = { .servers = w->dns.text,
                                          .hosts_file = w->hosts,
                                          .n_results = w->n_results };
    struct hw_cause cause = { 0 };
    if (hw_resolve_open(&w->resolve, &w->loop, &options, &cause) != HW_OK)
        CHECK_FAIL("%s", cause.note);
}

static void on_resolve_closed(void *data)
{
    ((struct world *)data)->is_resolve_closed = true;
}

static void on_loop_closed(struct hw_loop *loop)
{
    HW_CONTAINER_OF(loop, struct world, loop)->is_loop_closed = true;
}

static void on_give_up(struct hw_wheel_entry *e)
{
    (void)e;
    CHECK_FAIL("waited for 20 s");
}

#define AWAIT(w, condition)                                                                   \
    do {                                                                                      \
        struct hw_wheel_entry give_up;                                                        \
        hw_wheel_entry_init(&give_up, on_give_up);                                            \
        hw_loop_arm(&(w)->loop, &give_up, 20000);                                             \
        while (!(condition))                                                                  \
            uv_run(&(w)->uv, UV_RUN_ONCE);                                                    \
        hw_loop_cancel(&(w)->loop, &give_up);                                                 \
    } while (0)

static void world_close(struct world *w)
{
    hw_resolve_close(w->resolve, on_resolve_closed, w);
    CHECK(!w->is_resolve_closed);
    AWAIT(w, w->is_resolve_closed);
    name_server_close(&w->dns);
    hw_loop_close(&w->loop, on_loop_closed);
    uv_run(&w->uv, UV_RUN_DEFAULT);
    CHECK(w->is_loop_closed);
    CHECK_INT(uv_loop_close(&w->uv), ==, 0);
    unlink(w->hosts);
}

static void on_answer(struct hw_resolve_req *req, const struct hw_resolve_answer *answer)
{
    struct ask *a = HW_CONTAINER_OF(req, struct ask, req);
    CHECK(!a->is_answered);
    a->is_answered = true;
    a->result = answer->result;
    a->n_addresses = answer->n_addresses;
    for (size_t i = 0; i < answer->n_addresses; i++)
        hw_address_text(&answer->addresses[i], a->addresses[i]);
    snprintf(a->note, sizeof(a->note), "%s", answer->cause.note);
    CHECK_INT(answer->result == HW_RESOLVE_FOUND, ==, answer->cause.status == HW_OK);
}

static void ask_begin(struct world *w, struct ask *a, const char *name)
{
    memset(a, 0, sizeof(*a));
    CHECK_INT(hw_resolve_ask(w->resolve, &a->req, hw_slice_str(name), on_answer), ==, HW_OK);
    CHECK(!a->is_answered);
}

static void ask(struct world *w, struct ask *a, const char *name)
{
    ask_begin(w, a, name);
    AWAIT(w, a->is_answered);
}

CASE(an_address_is_found_and_cached)
{
    struct world w;
    struct ask a;
    world_init(&w);
    ask(&w, &a, "one.test");
    CHECK_INT(a.result, ==, HW_RESOLVE_FOUND);
    CHECK_UINT(a.n_addresses, ==, 1);
    CHECK_STR(a.addresses[0], "192.0.2.1");
    int n_asked = w.dns.n_asked;
    ask(&w, &a, "one.test");
    CHECK_INT(a.result, ==, HW_RESOLVE_FOUND);
    CHECK_STR(a.addresses[0], "192.0.2.1");
    CHECK_INT(w.dns.n_asked, ==, n_asked);
    CHECK_UINT(w.n_results[HW_METRIC_DNS_FOUND], ==, 1);
    CHECK_UINT(w.n_results[HW_METRIC_DNS_CACHED], ==, 1);
    world_close(&w);
}

CASE(families_take_turns_ipv4_first)
{
    struct world w;
    struct ask a;
    world_init(&w);
    ask(&w, &a, "many.test");
    CHECK_UINT(a.n_addresses, ==, 3);
    CHECK_CONTAINS(a.addresses[0], "192.0.2.");
    CHECK_STR(a.addresses[1], "2001:db8::1");
    CHECK_CONTAINS(a.addresses[2], "192.0.2.");
    ask(&w, &a, "six.test");
    CHECK_UINT(a.n_addresses, ==, 1);
    CHECK_STR(a.addresses[0], "2001:db8::6");
    world_close(&w);
}

CASE(localhost_is_the_loopback_without_asking)
{
    struct world w;
    struct ask a;
    world_init(&w);
    ask(&w, &a, "localhost");
    CHECK_UINT(a.n_addresses, ==, 2);
    CHECK_STR(a.addresses[0], "127.0.0.1");
    CHECK_STR(a.addresses[1], "::1");
    CHECK_INT(w.dns.n_asked, ==, 0);
    world_close(&w);
}

CASE(the_hosts_file_comes_first)
{
    struct world w;
    struct ask a;
    world_init(&w);
    ask(&w, &a, "alias.test");
    CHECK_INT(a.result, ==, HW_RESOLVE_FOUND);
    CHECK_STR(a.addresses[0], "192.0.2.77");
    CHECK_INT(w.dns.n_asked, ==, 0);
    world_close(&w);
}

CASE(a_changed_hosts_file_is_read_again)
{
    struct world w;
    struct ask a;
    world_init(&w);
    ask(&w, &a, "alias.test");
    CHECK_STR(a.addresses[0], "192.0.2.77");
    write_hosts(&w, "192.0.2.78 alias.test one.test\n");
    hw_mono_ms began = hw_loop_now(&w.loop);
    do {
        ask(&w, &a, "alias.test");
        uv_sleep(50);
    } while (strcmp(a.addresses[0], "192.0.2.77") == 0 &&
             hw_loop_now(&w.loop) - began < 15000);
    CHECK_STR(a.addresses[0], "192.0.2.78");
    ask(&w, &a, "one.test");
    CHECK_STR(a.addresses[0], "192.0.2.78");
    world_close(&w);
}

CASE(no_such_name_and_no_address_are_not_found_and_cached)
{
    struct world w;
    struct ask a;
    world_init(&w);
    ask(&w, &a, "nowhere.test");
    CHECK_INT(a.result, ==, HW_RESOLVE_NOT_FOUND);
    CHECK_CONTAINS(a.note, "nowhere.test: no such name");
    ask(&w, &a, "empty.test");
    CHECK_INT(a.result, ==, HW_RESOLVE_NOT_FOUND);
    CHECK_CONTAINS(a.note, "no address");
    int n_asked = w.dns.n_asked;
    ask(&w, &a, "nowhere.test");
    CHECK_INT(a.result, ==, HW_RESOLVE_NOT_FOUND);
    ask(&w, &a, "empty.test");
    CHECK_INT(w.dns.n_asked, ==, n_asked);
    CHECK_UINT(w.n_results[HW_METRIC_DNS_NOT_FOUND], ==, 2);
    world_close(&w);
}

CASE(a_failure_is_a_failure_and_not_cached)
{
    struct world w;
    struct ask a;
    world_init(&w);
    ask(&w, &a, "broken.test");
    CHECK_INT(a.result, ==, HW_RESOLVE_FAILED);
    CHECK_CONTAINS(a.note, "broken.test");
    int n_asked = w.dns.n_asked;
    ask(&w, &a, "broken.test");
    CHECK_INT(a.result, ==, HW_RESOLVE_FAILED);
    CHECK_INT(w.dns.n_asked, >, n_asked);
    CHECK_UINT(w.n_results[HW_METRIC_DNS_FAILED], ==, 2);
    world_close(&w);
}

CASE(silence_is_a_failure)
{
    struct world w;
    struct ask a;
    world_init(&w);
    hw_mono_us began = hw_loop_us();
    ask(&w, &a, "silent.test");
    CHECK_INT(a.result, ==, HW_RESOLVE_FAILED);
    CHECK_CONTAINS(a.note, "in time");
    CHECK_UINT(hw_loop_us() - began, <, 9000000);
    world_close(&w);
}

CASE(a_ttl_runs_out)
{
    struct world w;
    struct ask a;
    world_init(&w);
    ask(&w, &a, "short.test");
    int n_asked = w.dns.n_asked;
    ask(&w, &a, "short.test");
    CHECK_INT(w.dns.n_asked, ==, n_asked);
    uv_sleep(1100);
    uv_run(&w.uv, UV_RUN_NOWAIT);
    ask(&w, &a, "short.test");
    CHECK_INT(a.result, ==, HW_RESOLVE_FOUND);
    CHECK_INT(w.dns.n_asked, >, n_asked);
    world_close(&w);
}

CASE(many_who_ask_share_one_query)
{
    enum { N = 50 };
    struct world w;
    struct ask a[N];
    world_init(&w);
    for (int i = 0; i < N; i++)
        ask_begin(&w, &a[i], "one.test");
    for (int i = 0; i < N; i++)
        AWAIT(&w, a[i].is_answered);
    CHECK_INT(zone[0].n_asked, ==, 2); /* A and AAAA */
    for (int i = 0; i < N; i++)
        CHECK_STR(a[i].addresses[0], "192.0.2.1");
    world_close(&w);
}

CASE(cancelled_is_not_told)
{
    struct world w;
    struct ask a, b;
    world_init(&w);
    ask_begin(&w, &a, "one.test");
    ask_begin(&w, &b, "one.test");
    hw_resolve_cancel(&a.req);
    hw_resolve_cancel(&a.req);
    AWAIT(&w, b.is_answered);
    CHECK(!a.is_answered);
    world_close(&w);
}

CASE(closing_with_queries_under_way)
{
    struct world w;
    struct ask a, b;
    world_init(&w);
    ask_begin(&w, &a, "silent.test");
    ask_begin(&w, &b, "one.test");
    uv_run(&w.uv, UV_RUN_NOWAIT);
    hw_resolve_cancel(&a.req);
    hw_resolve_cancel(&b.req);
    world_close(&w);
    CHECK(!a.is_answered);
}

/* The answer that opens the cache's door is given while others are told. */
static struct world *again_world;
static struct ask again_ask;

static void on_answer_ask_again(struct hw_resolve_req *req,
                                const struct hw_resolve_answer *answer)
{
    on_answer(req, answer);
    ask_begin(again_world, &again_ask, "one.test");
}

CASE(asking_again_inside_an_answer)
{
    struct world w;
    struct ask a, b;
    world_init(&w);
    again_world = &w;
    memset(&a, 0, sizeof(a));
    CHECK_INT(hw_resolve_ask(w.resolve, &a.req, HW_SLICE("one.test"), on_answer_ask_again), ==,
              HW_OK);
    ask_begin(&w, &b, "one.test");
    AWAIT(&w, again_ask.is_answered);
    CHECK(a.is_answered && b.is_answered);
    CHECK_STR(again_ask.addresses[0], "192.0.2.1");
    world_close(&w);
}

CASE(servers_that_cannot_be_used_are_refused)
{
    struct world w;
    struct hw_resolve *r = NULL;
    struct hw_cause cause = { 0 };
    struct hw_resolve_options options = { .servers = "not an address" };
    world_init(&w);
    CHECK_INT(hw_resolve_open(&r, &w.loop, &options, &cause), ==, HW_ESYSTEM);
    CHECK_CONTAINS(cause.note, "resolver");
    world_close(&w);
}
