/* redis: one connection against a real redis-server, and against a fake where the real one
 * cannot be made to misbehave. */
#include "check.h"

#include "base/list.h"
#include "redis/command.h"
#include "store/greeting.h"
#include "store/redis.h"
#include "support/redis_server.h"

/* --- without a server --- */

static void check_url(const char *url, const char *host, unsigned port, const char *path,
                      const char *user, const char *password, unsigned db)
{
    struct hw_redis_target t;
    struct hw_cause cause;

    CHECK_INT(hw_redis_target_parse(&t, hw_slice_str(url), &cause), ==, HW_OK);
    CHECK_STR(t.host, host);
    CHECK_INT(t.port, ==, port);
    CHECK_STR(t.path, path);
    CHECK_STR(t.user, user);
    CHECK_STR(t.password, password);
    CHECK_INT(t.db, ==, db);
    CHECK_INT(t.is_tls, ==, strncmp(url, "rediss", 6) == 0);
    hw_redis_target_close(&t);
}

static void check_bad_url(const char *url, const char *why)
{
    struct hw_redis_target t;
    struct hw_cause cause;

    CHECK_INT(hw_redis_target_parse(&t, hw_slice_str(url), &cause), ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, why);
    CHECK_NULL(t.host);
    CHECK_NULL(t.password);
}

CASE(urls)
{
    check_url("redis://localhost", "localhost", 6379, NULL, NULL, NULL, 0);
    check_url("redis://localhost/", "localhost", 6379, NULL, NULL, NULL, 0);
    check_url("redis://10.0.0.1:7000/3", "10.0.0.1", 7000, NULL, NULL, NULL, 3);
    check_url("rediss://[::1]:7000", "::1", 7000, NULL, NULL, NULL, 0);
    check_url("redis://u:p%40s%3As@h:1", "h", 1, NULL, "u", "p@s:s", 0);
    check_url("redis://:p@ss@h", "h", 6379, NULL, NULL, "p@ss", 0);
    check_url("unix:///run/redis.sock", NULL, 0, "/run/redis.sock", NULL, NULL, 0);
    check_url("unix://:pw@/run/a%20b?db=2", NULL, 0, "/run/a b", NULL, "pw", 2);
    check_bad_url("http://x", "scheme");
    check_bad_url("", "scheme");
    check_bad_url("redis://", "host");
    check_bad_url("redis://:6379", "host");
    check_bad_url("redis://h:0", "port");
    check_bad_url("redis://h:65536", "port");
    check_bad_url("redis://h:x", "port");
    check_bad_url("redis://[::1", "host is missing");
    check_bad_url("redis://h/x", "database");
    check_bad_url("redis://u@h", "password");
    check_bad_url("redis://u:%zz@h", "percent");
    check_bad_url("redis://u:%00@h", "percent");
    check_bad_url("redis://u:p%4", "port");
    check_bad_url("unix://run/redis.sock", "absolute");
    check_bad_url("unix:///s?x=1", "parameter");
    check_bad_url(
        "unix:///123456789012345678901234567890123456789012345678901234567890123456789"
        "01234567890123456789012345678901234567890",
        "107");
}

static void check_trouble(const char *text, enum hw_redis_trouble trouble)
{
    CHECK_INT(hw_redis_trouble_of(hw_slice_str(text)), ==, trouble);
}

CASE(errors_by_kind)
{
    check_trouble("OOM command not allowed when used memory > 'maxmemory'.", HW_REDIS_FULL);
    check_trouble("OOM command not allowed when used memory > 'maxmemory'. script: 55f1, on "
                  "@user_script:1.",
                  HW_REDIS_FULL);
    check_trouble(
        "ERR Error running script (call to f_55f1): @user_script:1: @user_script: 1: "
        "-OOM command not allowed when used memory > 'maxmemory'.",
        HW_REDIS_FULL);
    check_trouble("ERR Error running script (call to f_1): @user_script:1: @user_script: 1: "
                  "-MISCONF Redis is configured to save",
                  HW_REDIS_UNSAVED);
    check_trouble("MISCONF Errors trying to SAVE", HW_REDIS_UNSAVED);
    check_trouble("READONLY You can't write against a read only replica.", HW_REDIS_READONLY);
    check_trouble("LOADING Redis is loading the dataset in memory", HW_REDIS_READONLY);
    check_trouble("BUSY Redis is busy running a script.", HW_REDIS_READONLY);
    check_trouble("BUSYGROUP Consumer Group name already exists", HW_REDIS_REFUSED);
    check_trouble("NOGROUP No such key 'x' or consumer group 'y'", HW_REDIS_NOGROUP);
    check_trouble("UNBLOCKED the stream key no longer exists", HW_REDIS_NOGROUP);
    check_trouble("UNBLOCKED force unblock from blocking operation", HW_REDIS_READONLY);
    check_trouble("FENCED another instance took over", HW_REDIS_FENCED);
    check_trouble("FENCED", HW_REDIS_FENCED);
    check_trouble("ERR FENCED", HW_REDIS_FENCED);
    check_trouble("ERR value is not an integer or out of range", HW_REDIS_REFUSED);
    check_trouble("", HW_REDIS_REFUSED);
    check_trouble("ERR -", HW_REDIS_REFUSED);
}

static enum hw_greeting_result answer(struct hw_greeting *g, const char *error)
{
    struct hw_reply reply = { .kind = error ? HW_REPLY_ERROR : HW_REPLY_STATUS };
    struct hw_cause cause;

    reply.text = hw_slice_str(error ? error : "OK");
    return hw_greeting_answer(g, &reply, "here", &cause);
}

CASE(greeting)
{
    struct hw_redis_target t;
    struct hw_greeting g;
    struct hw_buf out;

    CHECK_INT(hw_redis_target_parse(&t, HW_SLICE("redis://u:pw@h/7"), NULL), ==, HW_OK);
    hw_buf_init(&out, 1000);
    hw_greeting_begin(&g, &t, "a b\n", &out);
    CHECK_SLICE(hw_buf_slice(&out), "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$2\r\npw\r\n"
                                    "*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n"
                                    "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$4\r\na_b_\r\n"
                                    "*1\r\n$4\r\nPING\r\n");
    CHECK_INT(answer(&g, NULL), ==, HW_GREETING_MORE);
    CHECK_INT(answer(&g, NULL), ==, HW_GREETING_MORE);
    CHECK_INT(answer(&g, "NOPERM no"), ==, HW_GREETING_MORE);
    CHECK_INT(answer(&g, "LOADING wait"), ==, HW_GREETING_LATER);
    CHECK(!hw_greeting_expects(&g));
    hw_buf_reset(&out);
    hw_greeting_again(&g, &out);
    CHECK_SLICE(hw_buf_slice(&out), "*1\r\n$4\r\nPING\r\n");
    CHECK_INT(answer(&g, NULL), ==, HW_GREETING_DONE);

    hw_greeting_begin(&g, &t, NULL, &out);
    CHECK_INT(answer(&g, "WRONGPASS no"), ==, HW_GREETING_REFUSED);
    hw_greeting_begin(&g, &t, NULL, &out);
    CHECK_INT(answer(&g, NULL), ==, HW_GREETING_MORE);
    CHECK_INT(answer(&g, "ERR DB index is out of range"), ==, HW_GREETING_REFUSED);
    hw_buf_close(&out);
    hw_redis_target_close(&t);
}

/* --- fixture --- */

struct fixture {
    struct redis_server server;
    uv_loop_t uv;
    struct hw_loop loop;
    uv_timer_t guard;
    bool is_guarded;
    struct hw_metrics metrics;
    struct hw_redis_target target;
    struct hw_redis *redis;
    struct hw_trust *trust;
    int n_up, n_down;
    struct hw_cause down;
    int close_at_down, close_at_up; /* the how-manieth event closes from inside; 0: none */
    bool is_closed;
    int n_answers;
    bool hears;     /* messages */
    char heard[60]; /* "channel text answers so far;" each */
};

static void on_closed(void *data)
{
    struct fixture *f = data;

    CHECK(!f->is_closed);
    f->is_closed = true;
}

static void on_up(void *data)
{
    struct fixture *f = data;

    f->n_up++;
    CHECK(hw_redis_is_up(f->redis));
    if (f->close_at_up == f->n_up)
        hw_redis_close(f->redis, on_closed, f);
}

static void on_down(void *data, const struct hw_cause *cause)
{
    struct fixture *f = data;

    f->n_down++;
    f->down = *cause;
    CHECK(!hw_redis_is_up(f->redis));
    if (f->close_at_down == f->n_down)
        hw_redis_close(f->redis, on_closed, f);
}

static void on_message(void *data, struct hw_slice channel, struct hw_slice text)
{
    struct fixture *f = data;
    size_t at = strlen(f->heard);

    snprintf(f->heard + at, sizeof f->heard - at, "%.*s %.*s %d;", HW_SLICE_FMT(channel),
             HW_SLICE_FMT(text), f->n_answers);
}

static const struct hw_redis_events events = { .on_up = on_up, .on_down = on_down };
static const struct hw_redis_events hearing = { .on_up = on_up,
                                                .on_down = on_down,
                                                .on_message = on_message };

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
}

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    redis_server_init(&f->server);
    CHECK_INT(uv_loop_init(&f->uv), ==, 0);
    CHECK_INT(hw_loop_init(&f->loop, &f->uv, NULL), ==, HW_OK);
    uv_timer_init(&f->uv, &f->guard);
    uv_timer_start(&f->guard, on_guard, 20, 20);
    hw_metrics_init(&f->metrics);
}

static void open_url(struct fixture *f, const char *url, uint64_t timeout_ms)
{
    struct hw_redis_options options = { .target = &f->target,
                                        .trust = f->trust,
                                        .metrics = &f->metrics,
                                        .name = "hookwheel test",
                                        .reply_timeout_ms = timeout_ms,
                                        .events = f->hears ? &hearing : &events,
                                        .data = f };

    CHECK_INT(hw_redis_target_parse(&f->target, hw_slice_str(url), NULL), ==, HW_OK);
    CHECK_INT(hw_redis_open(&f->redis, &f->loop, &options, NULL), ==, HW_OK);
}

static void open_unix(struct fixture *f, uint64_t timeout_ms)
{
    char url[120];

    snprintf(url, sizeof url, "unix://%s", f->server.socket);
    open_url(f, url, timeout_ms);
}

#define RUN_UNTIL(f, condition)                                                               \
    do {                                                                                      \
        uint64_t until_ms = uv_hrtime() / 1000000 + 20000;                                    \
        while (!(condition)) {                                                                \
            uv_run(&(f)->uv, UV_RUN_ONCE);                                                    \
            if (uv_hrtime() / 1000000 > until_ms)                                             \
                CHECK_FAIL("never became true: %s", #condition);                              \
        }                                                                                     \
    } while (0)

static void run_for(struct fixture *f, uint64_t ms)
{
    uint64_t until = uv_hrtime() / 1000000 + ms;

    RUN_UNTIL(f, uv_hrtime() / 1000000 >= until);
}

static void print_handle(uv_handle_t *handle, void *data)
{
    (void)data;
    fprintf(stderr, "still alive: %s\n", uv_handle_type_name(uv_handle_get_type(handle)));
}

static void end(struct fixture *f)
{
    if (!f->is_closed)
        hw_redis_close(f->redis, on_closed, f);
    RUN_UNTIL(f, f->is_closed);
    uv_close((uv_handle_t *)&f->guard, NULL);
    hw_loop_close(&f->loop, NULL);
    uv_run(&f->uv, UV_RUN_DEFAULT);
    uv_walk(&f->uv, print_handle, NULL);
    CHECK_INT(uv_loop_close(&f->uv), ==, 0);
    hw_redis_target_close(&f->target);
    hw_trust_close(f->trust);
    redis_server_close(&f->server);
}

struct ask {
    struct hw_redis_req req;
    struct hw_command command;
    struct fixture *f;
    bool closes; /* its callback closes the connection */
    int n_answers;
    int order; /* it was the how-manieth answer */
    enum hw_redis_trouble trouble;
    struct hw_cause cause;
    int64_t integer;
    char text[4096];
};

static void on_answer(struct hw_redis_req *req, enum hw_redis_trouble trouble,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct ask *a = HW_CONTAINER_OF(req, struct ask, req);

    a->n_answers++;
    a->order = a->f->n_answers++;
    a->trouble = trouble;
    a->cause = *cause;
    if (reply != NULL) {
        a->integer = hw_reply_int(reply, -1);
        snprintf(a->text, sizeof a->text, "%.*s", HW_SLICE_FMT(reply->text));
    } else {
        CHECK_INT(trouble, !=, HW_REDIS_FINE);
        CHECK_INT(cause->status, !=, HW_OK);
    }
    if (a->closes)
        hw_redis_close(a->f->redis, on_closed, a->f);
}

static void ask_init(struct ask *a, struct fixture *f)
{
    *a = (struct ask){ .f = f };
    hw_command_init(&a->command);
}

/* The words of `line`, cut at spaces. */
static void ask_words(struct ask *a, const char *line)
{
    while (*line != '\0') {
        size_t len = strcspn(line, " ");

        hw_command_add(&a->command, hw_slice(line, len));
        line += len + (line[len] == ' ');
    }
}

static void ask_send(struct ask *a)
{
    CHECK_INT(hw_redis_send(a->f->redis, &a->req, &a->command, on_answer), ==, HW_OK);
    CHECK_INT(a->n_answers, ==, 0);
}

static void ask_begin(struct ask *a, struct fixture *f, const char *line)
{
    ask_init(a, f);
    ask_words(a, line);
    ask_send(a);
}

static void ask_end(struct ask *a)
{
    RUN_UNTIL(a->f, a->n_answers == 1);
    hw_command_close(&a->command);
}

/* Ask and wait. */
static struct ask *ask(struct fixture *f, const char *line)
{
    static struct ask a;

    ask_begin(&a, f, line);
    ask_end(&a);
    return &a;
}

/* --- with a server --- */

CASE(pipelined_answers_come_in_order)
{
    enum { N = 2000 };
    static struct ask asks[N];
    struct fixture f;
    char line[40];

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 5000);
    CHECK_INT(hw_redis_send(f.redis, &asks[0].req, &asks[0].command, on_answer), ==, HW_ECONN);
    RUN_UNTIL(&f, f.n_up == 1);
    CHECK_STR(ask(&f, "CLIENT GETNAME")->text, "hookwheel_test");
    f.n_answers = 0;
    for (int i = 0; i < N; i++) {
        snprintf(line, sizeof line, "INCRBY n %d", i % 3);
        ask_begin(&asks[i], &f, line);
    }
    for (int i = 0, sum = 0; i < N; i++) {
        ask_end(&asks[i]);
        sum += i % 3;
        CHECK_INT(asks[i].order, ==, i);
        CHECK_INT(asks[i].integer, ==, sum);
    }
    CHECK_INT(f.metrics.redis_command.n, ==, N + 1);
    CHECK_INT(hw_redis_last_reply(f.redis), >, 0);
    CHECK_INT(f.n_down, ==, 0);
    end(&f);
}

CASE(a_killed_server_is_found_again)
{
    struct fixture f;
    struct ask blocked, behind;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    ask_begin(&blocked, &f, "BLPOP nothing 0");
    ask_begin(&behind, &f, "PING");
    run_for(&f, 20);
    redis_server_kill(&f.server, SIGKILL);
    ask_end(&blocked);
    ask_end(&behind);
    CHECK_INT(blocked.trouble, ==, HW_REDIS_GONE);
    CHECK_INT(behind.trouble, ==, HW_REDIS_GONE);
    RUN_UNTIL(&f, f.n_down >= 3);
    CHECK_CONTAINS(f.down.note, f.server.socket);
    redis_server_start(&f.server, NULL);
    RUN_UNTIL(&f, f.n_up == 2);
    CHECK_STR(ask(&f, "PING")->text, "PONG");
    CHECK_INT(f.metrics.redis_reconnects, ==, 1);
    CHECK_INT(blocked.n_answers, ==, 1);
    CHECK_INT(behind.n_answers, ==, 1);
    end(&f);
}

CASE(a_server_that_comes_later)
{
    struct fixture f;

    begin(&f);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_down == 4);
    CHECK_INT(f.down.status, ==, HW_ECONN);
    redis_server_start(&f.server, NULL);
    RUN_UNTIL(&f, f.n_up == 1);
    CHECK_INT(f.metrics.redis_reconnects, ==, 0);
    end(&f);
}

static const struct hw_script script_add = {
    .name = "add", .text = "return redis.call('INCRBY',KEYS[1],ARGV[1])"
};

/* The digest as Redis has it, so that none is typed here. */
static struct hw_script script_known(struct fixture *f, const struct hw_script *script)
{
    static char sha1[41];
    struct hw_script known = *script;
    struct ask a;

    ask_init(&a, f);
    ask_words(&a, "SCRIPT LOAD");
    hw_command_str(&a.command, script->text);
    ask_send(&a);
    ask_end(&a);
    CHECK_INT(a.trouble, ==, HW_REDIS_FINE);
    snprintf(sha1, sizeof sha1, "%.40s", a.text);
    known.sha1 = sha1;
    CHECK_STR(ask(f, "SCRIPT FLUSH")->text, "OK");
    CHECK_STR(ask(f, "CONFIG RESETSTAT")->text, "OK");
    return known;
}

static void eval_begin(struct ask *a, struct fixture *f, const struct hw_script *script,
                       const char *words)
{
    ask_init(a, f);
    hw_command_eval(&a->command, script, 1);
    ask_words(a, words);
    ask_send(a);
}

CASE(a_script_is_loaded_when_redis_lacks_it)
{
    struct fixture f;
    struct hw_script add;
    struct ask a, b, c, ping;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    add = script_known(&f, &script_add);
    eval_begin(&a, &f, &add, "n 1");
    eval_begin(&b, &f, &add, "n 10");
    ask_begin(&ping, &f, "PING");
    eval_begin(&c, &f, &add, "n 100");
    ask_end(&a);
    ask_end(&b);
    ask_end(&c);
    ask_end(&ping);
    CHECK_INT(ping.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(a.integer, ==, 1);
    CHECK_INT(b.integer, ==, 11);
    CHECK_INT(c.integer, ==, 111);
    CHECK_CONTAINS(ask(&f, "INFO commandstats")->text, "cmdstat_script|load:calls=1,");
    /* Once more, after the script is known. */
    eval_begin(&a, &f, &add, "n 1000");
    ask_end(&a);
    CHECK_INT(a.integer, ==, 1111);
    end(&f);
}

CASE(a_script_that_does_not_compile_says_why)
{
    static const struct hw_script broken = { .name = "broken",
                                             .text = "return (",
                                             .sha1 =
                                                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
    struct fixture f;
    struct ask a;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    eval_begin(&a, &f, &broken, "n 1");
    ask_end(&a);
    CHECK_INT(a.trouble, ==, HW_REDIS_REFUSED);
    CHECK_CONTAINS(a.cause.note, "Error compiling script");
    CHECK_STR(ask(&f, "PING")->text, "PONG");
    end(&f);
}

static enum hw_redis_trouble eval_trouble(struct fixture *f, const char *text)
{
    struct ask a;

    ask_init(&a, f);
    hw_command_str(&a.command, "EVAL");
    hw_command_str(&a.command, text);
    hw_command_str(&a.command, "0");
    ask_send(&a);
    ask_end(&a);
    return a.trouble;
}

CASE(real_errors)
{
    struct fixture f;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    CHECK_INT(ask(&f, "XREADGROUP GROUP g c STREAMS s >")->trouble, ==, HW_REDIS_NOGROUP);
    CHECK_INT(ask(&f, "NOSUCH")->trouble, ==, HW_REDIS_REFUSED);
    CHECK_INT(eval_trouble(&f, "return redis.error_reply('FENCED by b')"), ==,
              HW_REDIS_FENCED);
    CHECK_INT(eval_trouble(&f, "return redis.error_reply('FENCED')"), ==, HW_REDIS_FENCED);
    CHECK_INT(ask(&f, "CONFIG SET maxmemory 1")->trouble, ==, HW_REDIS_FINE);
    CHECK_INT(ask(&f, "SET a b")->trouble, ==, HW_REDIS_FULL);
    CHECK_INT(eval_trouble(&f, "return redis.call('SET', 'a', 'b')"), ==, HW_REDIS_FULL);
    CHECK_INT(ask(&f, "CONFIG SET maxmemory 0")->trouble, ==, HW_REDIS_FINE);
    CHECK_INT(f.n_down, ==, 0);
    end(&f);
}

CASE(a_server_that_turned_read_only_is_left)
{
    struct fixture f;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    CHECK_INT(ask(&f, "REPLICAOF 127.0.0.1 1")->trouble, ==, HW_REDIS_FINE);
    CHECK_INT(ask(&f, "SET a b")->trouble, ==, HW_REDIS_READONLY);
    CHECK_INT(eval_trouble(&f, "return redis.call('SET', 'a', 'b')"), ==, HW_REDIS_READONLY);
    RUN_UNTIL(&f, f.n_down == 1);
    CHECK_CONTAINS(f.down.note, "read-only");
    RUN_UNTIL(&f, f.n_up == 2);
    CHECK_INT(ask(&f, "REPLICAOF NO ONE")->trouble, ==, HW_REDIS_FINE);
    CHECK_INT(ask(&f, "SET a b")->trouble, ==, HW_REDIS_FINE);
    end(&f);
}

static const char *const with_password[] = { "--requirepass", "s3cret", NULL };

CASE(a_missing_password)
{
    struct fixture f;

    begin(&f);
    redis_server_start(&f.server, with_password);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_down == 2);
    CHECK_CONTAINS(f.down.note, "wants a password");
    CHECK_INT(f.n_up, ==, 0);
    end(&f);
}

CASE(a_wrong_password)
{
    struct fixture f;
    char url[120];

    begin(&f);
    redis_server_start(&f.server, with_password);
    snprintf(url, sizeof url, "unix://:wrong@%s", f.server.socket);
    open_url(&f, url, 5000);
    RUN_UNTIL(&f, f.n_down == 2);
    CHECK_CONTAINS(f.down.note, "refused the password: WRONGPASS");
    CHECK_NULL(strstr(f.down.note, "wrong@"));
    end(&f);
}

CASE(over_tcp_by_name_with_a_password_and_a_database)
{
    struct fixture f;
    char url[120];

    begin(&f);
    f.server.port = redis_server_free_port();
    redis_server_start(&f.server, with_password);
    snprintf(url, sizeof url, "redis://default:s3cret@localhost:%u/5", f.server.port);
    open_url(&f, url, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    CHECK_CONTAINS(ask(&f, "CLIENT INFO")->text, "db=5");
    end(&f);
}

CASE(over_tcp_by_address)
{
    struct fixture f;
    char url[120];

    begin(&f);
    f.server.port = redis_server_free_port();
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", f.server.port);
    open_url(&f, url, 5000);
    RUN_UNTIL(&f, f.n_down == 2);
    CHECK_CONTAINS(f.down.note, "refused");
    redis_server_start(&f.server, NULL);
    RUN_UNTIL(&f, f.n_up == 1);
    CHECK_STR(ask(&f, "PING")->text, "PONG");
    end(&f);
}

/* A redis-server that speaks TLS on a port, with a certificate for localhost by openssl. */
static void begin_tls(struct fixture *f, char *url, size_t size, bool is_trusted)
{
    char line[400], cert[100], key[100], port[8];
    const char *const more[] = { "--tls-port",
                                 port,
                                 "--tls-cert-file",
                                 cert,
                                 "--tls-key-file",
                                 key,
                                 "--tls-auth-clients",
                                 "no",
                                 NULL };
    struct hw_cause cause;

    begin(f);
    snprintf(cert, sizeof cert, "%s/cert.pem", f->server.folder);
    snprintf(key, sizeof key, "%s/key.pem", f->server.folder);
    snprintf(
        line, sizeof line,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "
        "/CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -out %s -keyout %s "
        "2>/dev/null",
        cert, key);
    CHECK_INT(system(line), ==, 0);
    snprintf(port, sizeof port, "%u", redis_server_free_port());
    redis_server_start(&f->server, more);
    if (hw_trust_open(&f->trust, is_trusted ? cert : NULL, !is_trusted, &cause) != HW_OK)
        CHECK_FAIL("%s", cause.note);
    snprintf(url, size, "rediss://localhost:%s", port);
}

CASE(over_tls)
{
    static struct ask asks[50];
    struct fixture f;
    char url[120];

    begin_tls(&f, url, sizeof url, true);
    open_url(&f, url, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    for (int i = 0; i < 50; i++)
        ask_begin(&asks[i], &f, "INCR n");
    for (int i = 0; i < 50; i++) {
        ask_end(&asks[i]);
        CHECK_INT(asks[i].integer, ==, i + 1);
    }
    redis_server_kill(&f.server, SIGKILL);
    RUN_UNTIL(&f, f.n_down == 1);
    end(&f);
}

CASE(over_tls_without_trust)
{
    struct fixture f;
    char url[120];

    begin_tls(&f, url, sizeof url, false);
    open_url(&f, url, 5000);
    RUN_UNTIL(&f, f.n_down == 2);
    CHECK_INT(f.down.status, ==, HW_ETLS);
    CHECK_INT(f.n_up, ==, 0);
    end(&f);
}

CASE(a_stopped_server_is_a_lost_one)
{
    struct fixture f;
    struct ask a, b;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 300);
    RUN_UNTIL(&f, f.n_up == 1);
    kill(f.server.pid, SIGSTOP);
    ask_begin(&a, &f, "PING");
    run_for(&f, 150);
    ask_begin(&b, &f, "PING");
    ask_end(&a);
    ask_end(&b);
    CHECK_INT(a.trouble, ==, HW_REDIS_GONE);
    CHECK_INT(a.cause.status, ==, HW_ETIMEDOUT);
    CHECK_INT(b.trouble, ==, HW_REDIS_GONE);
    CHECK_CONTAINS(f.down.note, "not answered for 300 ms");
    kill(f.server.pid, SIGCONT);
    RUN_UNTIL(&f, f.n_up == 2);
    end(&f);
}

CASE(a_blocking_request_has_no_deadline)
{
    struct fixture f;
    struct ask blocked, behind;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 200);
    RUN_UNTIL(&f, f.n_up == 1);
    ask_init(&blocked, &f);
    blocked.req.wants_no_timeout = true;
    ask_words(&blocked, "BLPOP nothing 1");
    ask_send(&blocked);
    ask_begin(&behind, &f, "PING");
    ask_end(&blocked);
    ask_end(&behind);
    CHECK_INT(blocked.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(behind.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(f.n_down, ==, 0);
    CHECK_INT(f.metrics.redis_command.n, ==, 1);
    end(&f);
}

/* We were stopped ourselves: the answer is there, unread, when the deadline passes. */
CASE(our_own_stop_is_not_held_against_redis)
{
    struct fixture f;
    struct ask a;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 200);
    RUN_UNTIL(&f, f.n_up == 1);
    ask_begin(&a, &f, "PING");
    uv_run(&f.uv, UV_RUN_NOWAIT);
    nanosleep(&(struct timespec){ .tv_nsec = 400000000 }, NULL);
    ask_end(&a);
    CHECK_INT(a.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(f.n_down, ==, 0);
    end(&f);
}

CASE(silence_is_known_before_it_is_a_loss)
{
    struct fixture f;
    struct ask a;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 20000);
    RUN_UNTIL(&f, f.n_up == 1);
    kill(f.server.pid, SIGSTOP);
    ask_begin(&a, &f, "PING");
    CHECK(!hw_redis_is_silent(f.redis));
    RUN_UNTIL(&f, hw_redis_is_silent(f.redis));
    CHECK_INT(a.n_answers, ==, 0);
    CHECK_INT(f.n_down, ==, 0);
    kill(f.server.pid, SIGCONT);
    ask_end(&a);
    CHECK_INT(a.trouble, ==, HW_REDIS_FINE);
    CHECK(!hw_redis_is_silent(f.redis));
    /* And once more, until it is lost: what is down is not silent. */
    kill(f.server.pid, SIGSTOP);
    ask_begin(&a, &f, "PING");
    RUN_UNTIL(&f, hw_redis_is_silent(f.redis));
    kill(f.server.pid, SIGKILL);
    ask_end(&a);
    CHECK_INT(a.trouble, ==, HW_REDIS_GONE);
    CHECK(!hw_redis_is_silent(f.redis));
    end(&f);
}

CASE(a_server_with_nothing_to_say_is_not_silent)
{
    struct fixture f;
    struct ask blocked;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 20000);
    RUN_UNTIL(&f, f.n_up == 1);
    CHECK_STR(ask(&f, "PING")->text, "PONG");
    run_for(&f, 1800); /* nothing was asked */
    CHECK(!hw_redis_is_silent(f.redis));
    ask_init(&blocked, &f);
    blocked.req.wants_no_timeout = true;
    ask_words(&blocked, "BLPOP nothing 2");
    ask_send(&blocked);
    run_for(&f, 1800);
    CHECK(!hw_redis_is_silent(f.redis));
    ask_end(&blocked);
    end(&f);
}

/* We were stopped ourselves: the answer is there, unread. */
CASE(our_own_stop_is_not_its_silence)
{
    struct fixture f;
    struct ask a;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 20000);
    RUN_UNTIL(&f, f.n_up == 1);
    ask_begin(&a, &f, "PING");
    uv_run(&f.uv, UV_RUN_NOWAIT);
    nanosleep(&(struct timespec){ .tv_sec = 1, .tv_nsec = 800000000 }, NULL);
    RUN_UNTIL(&f, a.n_answers == 1 || hw_redis_is_silent(f.redis));
    CHECK_INT(a.n_answers, ==, 1);
    ask_end(&a);
    run_for(&f, 300);
    CHECK(!hw_redis_is_silent(f.redis));
    end(&f);
}

CASE(a_reply_of_many_pieces)
{
    struct fixture f;
    struct ask a;
    struct hw_buf big;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    hw_buf_init(&big, 32 << 20);
    CHECK_INT(hw_buf_reserve(&big, 20 << 20), ==, HW_OK);
    memset(hw_buf_space(&big), 'x', 20 << 20);
    hw_buf_commit(&big, 20 << 20);
    ask_init(&a, &f);
    ask_words(&a, "SET big");
    hw_command_add(&a.command, hw_buf_slice(&big));
    ask_send(&a);
    ask_end(&a);
    CHECK_INT(a.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(ask(&f, "STRLEN big")->integer, ==, 20 << 20);
    CHECK_INT(strlen(ask(&f, "GET big")->text), ==, sizeof a.text - 1);
    hw_buf_close(&big);
    end(&f);
}

/* --- closing --- */

CASE(closing_cancels_what_is_unanswered)
{
    struct fixture f;
    struct ask a, b;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    ask_begin(&a, &f, "BLPOP nothing 0");
    ask_begin(&b, &f, "PING");
    hw_redis_close(f.redis, on_closed, &f);
    CHECK_INT(a.n_answers, ==, 0);
    RUN_UNTIL(&f, f.is_closed);
    ask_end(&a);
    ask_end(&b);
    CHECK_INT(a.trouble, ==, HW_REDIS_GONE);
    CHECK_INT(a.cause.status, ==, HW_ECANCELED);
    CHECK_INT(b.cause.status, ==, HW_ECANCELED);
    CHECK_INT(f.n_down, ==, 0);
    end(&f);
}

CASE(closing_inside_an_answer)
{
    struct fixture f;
    struct ask a, b;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    ask_begin(&a, &f, "PING");
    a.closes = true;
    ask_begin(&b, &f, "PING");
    ask_end(&a);
    ask_end(&b);
    CHECK_INT(a.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(b.trouble, ==, HW_REDIS_GONE);
    RUN_UNTIL(&f, f.is_closed);
    end(&f);
}

CASE(closing_inside_the_news_of_a_loss)
{
    struct fixture f;
    struct ask a, b;

    begin(&f);
    redis_server_start(&f.server, NULL);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    ask_begin(&a, &f, "BLPOP nothing 0");
    a.closes = true;
    ask_begin(&b, &f, "PING");
    run_for(&f, 20);
    redis_server_kill(&f.server, SIGKILL);
    ask_end(&a);
    ask_end(&b);
    RUN_UNTIL(&f, f.is_closed);
    CHECK_INT(f.n_down, ==, 0);
    end(&f);
}

CASE(closing_at_any_moment_of_connecting)
{
    for (int turns = 0; turns < 12; turns++) {
        struct fixture f;
        char url[120];

        begin(&f);
        f.server.port = redis_server_free_port();
        if (turns % 2 == 0)
            redis_server_start(&f.server, NULL);
        snprintf(url, sizeof url, "redis://localhost:%u", f.server.port);
        open_url(&f, url, 5000);
        for (int i = 0; i < turns; i++)
            uv_run(&f.uv, UV_RUN_NOWAIT);
        end(&f);
    }
}

CASE(closing_inside_the_events)
{
    struct fixture f;

    begin(&f);
    f.close_at_down = 2;
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.is_closed);
    end(&f);

    begin(&f);
    redis_server_start(&f.server, NULL);
    f.close_at_up = 1;
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.is_closed);
    end(&f);
}

/* --- with a fake server: what it says is up to us --- */

struct fake {
    struct fixture *f;
    uv_pipe_t listener;
    uv_pipe_t peer;
    bool has_peer;
    int n_connections;
    const char *const *answers; /* one for each read; NULL in it: none; the last stays */
};

static void fake_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    static char space[65536];

    (void)handle;
    (void)size;
    *buf = uv_buf_init(space, sizeof space);
}

static void fake_closed(uv_handle_t *handle)
{
    HW_CONTAINER_OF(handle, struct fake, peer)->has_peer = false;
}

static void fake_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct fake *fake = HW_CONTAINER_OF(stream, struct fake, peer);
    uv_buf_t out;

    (void)buf;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, fake_closed);
        return;
    }
    if (*fake->answers == NULL)
        return;
    out = uv_buf_init((char *)*fake->answers, (unsigned)strlen(*fake->answers));
    uv_try_write(stream, &out, 1);
    if (fake->answers[1] != NULL)
        fake->answers++;
}

static void fake_accept(uv_stream_t *listener, int status)
{
    struct fake *fake = HW_CONTAINER_OF(listener, struct fake, listener);

    CHECK_INT(status, ==, 0);
    CHECK(!fake->has_peer);
    fake->n_connections++;
    fake->has_peer = true;
    uv_pipe_init(&fake->f->uv, &fake->peer, 0);
    CHECK_INT(uv_accept(listener, (uv_stream_t *)&fake->peer), ==, 0);
    uv_read_start((uv_stream_t *)&fake->peer, fake_alloc, fake_read);
}

static void fake_begin(struct fake *fake, struct fixture *f, const char *const *answers)
{
    *fake = (struct fake){ .f = f, .answers = answers };
    uv_pipe_init(&f->uv, &fake->listener, 0);
    CHECK_INT(uv_pipe_bind(&fake->listener, f->server.socket), ==, 0);
    CHECK_INT(uv_listen((uv_stream_t *)&fake->listener, 5, fake_accept), ==, 0);
}

static void fake_end(struct fake *fake)
{
    uv_close((uv_handle_t *)&fake->listener, NULL);
    if (fake->has_peer && !uv_is_closing((uv_handle_t *)&fake->peer))
        uv_close((uv_handle_t *)&fake->peer, fake_closed);
}

CASE(loading_is_waited_for_on_one_connection)
{
    static const char *const answers[] = { "+OK\r\n-LOADING Redis is loading\r\n",
                                           "-LOADING Redis is loading\r\n",
                                           "-LOADING Redis is loading\r\n", "+PONG\r\n",
                                           NULL };
    struct fixture f;
    struct fake fake;

    begin(&f);
    fake_begin(&fake, &f, answers);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    CHECK_INT(f.n_down, ==, 1);
    CHECK_CONTAINS(f.down.note, "not ready: LOADING");
    CHECK_INT(fake.n_connections, ==, 1);
    CHECK_INT(f.metrics.redis_reconnects, ==, 0);
    fake_end(&fake);
    end(&f);
}

CASE(a_peer_that_is_no_redis)
{
    static const char *const answers[] = { "HTTP/1.1 400 Bad Request\r\n\r\n", NULL };
    struct fixture f;
    struct fake fake;

    begin(&f);
    fake_begin(&fake, &f, answers);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_down == 2);
    CHECK_INT(f.down.status, ==, HW_EPROTO);
    fake_end(&fake);
    end(&f);
}

CASE(an_answer_nobody_asked_for)
{
    static const char *const answers[] = { "+OK\r\n+PONG\r\n+PONG\r\n", NULL };
    struct fixture f;
    struct fake fake;

    begin(&f);
    fake_begin(&fake, &f, answers);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_down == 1);
    CHECK_CONTAINS(f.down.note, "what was not asked");
    CHECK_INT(f.n_up, ==, 1);
    fake_end(&fake);
    end(&f);
}

#define MESSAGE(text) "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n" text "\r\n"

CASE(messages_come_between_answers)
{
    static const char *const answers[] = {
        "+OK\r\n+PONG\r\n",
        MESSAGE("m1") "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n" MESSAGE("m2")
        "*2\r\n$4\r\npong\r\n$0\r\n\r\n" MESSAGE("m3"),
        NULL
    };
    struct fixture f;
    struct fake fake;
    struct ask subscribe, ping;

    begin(&f);
    f.hears = true;
    fake_begin(&fake, &f, answers);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    ask_begin(&subscribe, &f, "SUBSCRIBE c");
    ask_begin(&ping, &f, "PING");
    ask_end(&subscribe);
    ask_end(&ping);
    RUN_UNTIL(&f, strlen(f.heard) == 21);
    CHECK_STR(f.heard, "c m1 0;c m2 1;c m3 2;");
    CHECK_INT(subscribe.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(ping.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(f.n_down, ==, 0);
    fake_end(&fake);
    end(&f);
}

/* Where none are waited for, what looks like one is an answer. */
CASE(an_answer_that_looks_like_a_message)
{
    static const char *const answers[] = { "+OK\r\n+PONG\r\n", MESSAGE("m1"), NULL };
    struct fixture f;
    struct fake fake;
    struct ask a;

    begin(&f);
    fake_begin(&fake, &f, answers);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_up == 1);
    ask_begin(&a, &f, "MGET a b c");
    ask_end(&a);
    CHECK_INT(a.trouble, ==, HW_REDIS_FINE);
    CHECK_STR(f.heard, "");
    fake_end(&fake);
    end(&f);
}

#undef MESSAGE

CASE(protected_mode_and_the_limit_of_clients_are_named)
{
    static const char *const answers[] = { "-ERR max number of clients reached\r\n", NULL };
    struct fixture f;
    struct fake fake;

    begin(&f);
    fake_begin(&fake, &f, answers);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_down == 1);
    CHECK_CONTAINS(f.down.note, "max number of clients");
    fake_end(&fake);
    end(&f);
}

CASE(a_greeting_without_an_answer_times_out)
{
    static const char *const answers[] = { NULL };
    struct fixture f;
    struct fake fake;

    begin(&f);
    fake_begin(&fake, &f, answers);
    open_unix(&f, 5000);
    RUN_UNTIL(&f, f.n_down == 1);
    CHECK_INT(f.down.status, ==, HW_ETIMEDOUT);
    CHECK_CONTAINS(f.down.note, "greeting");
    fake_end(&fake);
    end(&f);
}
