/* embedded: a real redis-server as our child; its whole life, and the deaths around it. */
#include "check.h"

#include <sys/file.h>

#include "store/embedded.h"
#include "store/folder.h"
#include "support/redis_server.h"

struct fixture {
    char folder[80];
    uv_loop_t uv;
    struct hw_loop loop;
    uv_timer_t guard;
    struct hw_redis_target target;
    struct hw_embedded *embedded;
    int n_news[HW_EMBEDDED_FAILED + 1];
    struct hw_cause news[HW_EMBEDDED_FAILED + 1]; /* the newest of each kind */
    bool is_closed;
};

static void on_news(void *data, enum hw_embedded_news news, const struct hw_cause *cause)
{
    struct fixture *f = data;

    f->n_news[news]++;
    f->news[news] = *cause;
}

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
}

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    snprintf(f->folder, sizeof f->folder, "/tmp/hookwheel-test-XXXXXX");
    CHECK_NOT_NULL(mkdtemp(f->folder));
    CHECK_INT(rmdir(f->folder), ==, 0);
    CHECK_INT(uv_loop_init(&f->uv), ==, 0);
    CHECK_INT(hw_loop_init(&f->loop, &f->uv, NULL), ==, HW_OK);
    uv_timer_init(&f->uv, &f->guard);
    uv_timer_start(&f->guard, on_guard, 20, 20);
}

static enum hw_status open_program(struct fixture *f, const char *program,
                                   struct hw_cause *cause)
{
    struct hw_embedded_options options = { .folder = f->folder,
                                           .program = program,
                                           .fsync = HW_REDIS_FSYNC_ALWAYS,
                                           .on_news = on_news,
                                           .data = f };
    enum hw_status status = hw_embedded_open(&f->embedded, &f->loop, &options, cause);

    hw_redis_target_close(&f->target);
    CHECK_INT(hw_embedded_target(&f->target, f->folder, NULL), ==, HW_OK);
    f->is_closed = false;
    return status;
}

static void open_server(struct fixture *f)
{
    struct hw_cause cause = { 0 };

    if (open_program(f, NULL, &cause) != HW_OK)
        CHECK_FAIL("%s", cause.note);
    CHECK_INT(f->n_news[HW_EMBEDDED_STARTED], ==, 0);
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

static void on_closed(void *data)
{
    struct fixture *f = data;

    CHECK(!f->is_closed);
    f->is_closed = true;
}

static void close_server(struct fixture *f)
{
    hw_embedded_close(f->embedded, on_closed, f);
    CHECK(!f->is_closed);
    RUN_UNTIL(f, f->is_closed);
    memset(f->n_news, 0, sizeof f->n_news);
}

static void end(struct fixture *f)
{
    uv_close((uv_handle_t *)&f->guard, NULL);
    hw_loop_close(&f->loop, NULL);
    uv_run(&f->uv, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&f->uv), ==, 0);
    hw_redis_target_close(&f->target);
    nftw(f->folder, redis_server_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* One inline command, its reply's first bytes. */
static const char *talk(struct fixture *f, const char *line)
{
    static char reply[512];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", f->target.path);
    CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    CHECK_INT(write(fd, line, strlen(line)), ==, strlen(line));
    CHECK_INT(write(fd, "\r\n", 2), ==, 2);
    n = read(fd, reply, sizeof reply - 1);
    CHECK_INT(n, >=, 0);
    reply[n] = '\0';
    close(fd);
    return reply;
}

/* It takes connections before it has read its file. */
static void wait_until_up(struct fixture *f, int n_started)
{
    RUN_UNTIL(f, f->n_news[HW_EMBEDDED_STARTED] == n_started &&
                     redis_server_answers(f->target.path) &&
                     strcmp(talk(f, "PING"), "+PONG\r\n") == 0);
}

static bool is_running(pid_t pid)
{
    return kill(pid, 0) == 0;
}

static unsigned mode_of(struct fixture *f, const char *name)
{
    char path[160];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    CHECK_INT(stat(path, &st), ==, 0);
    return st.st_mode & 0777;
}

CASE(a_life)
{
    struct fixture f;
    pid_t pid;

    begin(&f);
    open_server(&f);
    wait_until_up(&f, 1);
    pid = hw_embedded_pid(f.embedded);
    CHECK_CONTAINS(f.news[HW_EMBEDDED_STARTED].note, f.folder);
    CHECK_INT(getsid(pid), ==, pid);
    CHECK_INT(mode_of(&f, "."), ==, 0700);
    CHECK_INT(mode_of(&f, "redis.conf"), ==, 0600);
    CHECK_INT(mode_of(&f, "redis.sock"), ==, 0600);
    CHECK_CONTAINS(talk(&f, "CONFIG GET appendfsync"), "always");
    CHECK_CONTAINS(talk(&f, "CONFIG GET appendonly"), "yes");
    CHECK_CONTAINS(talk(&f, "CONFIG GET maxmemory-policy"), "noeviction");
    CHECK_CONTAINS(talk(&f, "CONFIG GET port"), "\r\n0\r\n");
    CHECK_STR(talk(&f, "SET kept yes"), "+OK\r\n");
    close_server(&f);
    CHECK(!is_running(pid));

    open_server(&f);
    wait_until_up(&f, 1);
    CHECK_STR(talk(&f, "GET kept"), "$3\r\nyes\r\n");
    close_server(&f);
    end(&f);
}

CASE(a_killed_child_is_started_again)
{
    struct fixture f;

    begin(&f);
    open_server(&f);
    wait_until_up(&f, 1);
    for (int i = 0; i < 3; i++) {
        pid_t pid = hw_embedded_pid(f.embedded);

        CHECK_CONTAINS(talk(&f, "INCR n"), i == 0 ? ":1" : i == 1 ? ":2" : ":3");
        CHECK_INT(kill(pid, SIGKILL), ==, 0);
        RUN_UNTIL(&f, f.n_news[HW_EMBEDDED_DIED] == i + 1);
        CHECK_CONTAINS(f.news[HW_EMBEDDED_DIED].note, "signal 9");
        wait_until_up(&f, i + 2);
        CHECK_INT(hw_embedded_pid(f.embedded), !=, pid);
    }
    close_server(&f);
    end(&f);
}

/* It holds the server's lock and would keep the next one out for as long as it writes. */
CASE(what_a_killed_child_had_forked_goes_with_it)
{
    struct fixture f;
    pid_t pid;

    begin(&f);
    open_server(&f);
    wait_until_up(&f, 1);
    pid = hw_embedded_pid(f.embedded);
    talk(&f, "SET a b");
    CHECK_STR(talk(&f, "CONFIG SET rdb-key-save-delay 20000000"), "+OK\r\n");
    CHECK_CONTAINS(talk(&f, "BGREWRITEAOF"), "started");
    CHECK_CONTAINS(talk(&f, "INFO persistence"), "aof_rewrite_in_progress:1");
    CHECK_INT(kill(pid, SIGKILL), ==, 0);
    wait_until_up(&f, 2);
    CHECK_INT(f.n_news[HW_EMBEDDED_WAITING], ==, 0);
    close_server(&f);
    end(&f);
}

CASE(two_on_one_folder)
{
    struct fixture f;
    struct hw_embedded *first;
    struct hw_cause cause;
    char pid[32];

    begin(&f);
    open_server(&f);
    wait_until_up(&f, 1);
    first = f.embedded;
    CHECK_INT(open_program(&f, NULL, &cause), ==, HW_EBUSY);
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    CHECK_CONTAINS(cause.note, pid);
    CHECK_CONTAINS(cause.note, f.folder);
    CHECK_STR(talk(&f, "PING"), "+PONG\r\n");
    f.embedded = first;
    close_server(&f);
    end(&f);
}

CASE(no_program)
{
    struct fixture f;
    struct hw_cause cause;

    begin(&f);
    CHECK_INT(open_program(&f, "no-such-redis-server", &cause), ==, HW_ESYSTEM);
    CHECK_CONTAINS(cause.note, "no-such-redis-server is not installed");
    CHECK_INT(open_program(&f, "/etc/passwd", &cause), ==, HW_ESYSTEM);
    CHECK_CONTAINS(cause.note, "ermission denied");
    open_server(&f); /* the folder is free again */
    wait_until_up(&f, 1);
    close_server(&f);
    end(&f);
}

CASE(no_folder)
{
    struct fixture f;
    struct hw_cause cause;

    begin(&f);
    snprintf(f.folder, sizeof f.folder, "/etc/passwd");
    CHECK_INT(open_program(&f, NULL, &cause), ==, HW_ESYSTEM);
    CHECK_CONTAINS(cause.note, "/etc/passwd: open it: Not a directory");
    snprintf(f.folder, sizeof f.folder, "/nonexistent/folder");
    CHECK_INT(open_program(&f, NULL, &cause), ==, HW_ESYSTEM);
    CHECK_CONTAINS(cause.note, "No such file");
    end(&f);
}

CASE(a_program_that_ends_at_once_is_tried_more_and_more_seldom)
{
    struct fixture f;
    struct hw_cause cause;

    begin(&f);
    CHECK_INT(open_program(&f, "false", &cause), ==, HW_OK);
    RUN_UNTIL(&f, f.n_news[HW_EMBEDDED_DIED] == 3);
    CHECK_CONTAINS(f.news[HW_EMBEDDED_DIED].note, "exit status 1");
    CHECK_CONTAINS(f.news[HW_EMBEDDED_DIED].note, "again in 400 ms");
    close_server(&f);
    end(&f);
}

CASE(closing_at_any_moment)
{
    for (int turns = 0; turns < 8; turns++) {
        struct fixture f;
        pid_t pid;

        begin(&f);
        open_server(&f);
        pid = hw_embedded_pid(f.embedded);
        for (int i = 0; i < turns; i++)
            uv_run(&f.uv, UV_RUN_ONCE);
        close_server(&f);
        CHECK(!is_running(pid));
        end(&f);
    }
}

CASE(a_folder_with_a_long_name)
{
    struct fixture f;
    char base[80], deep[400];

    begin(&f);
    snprintf(base, sizeof base, "%s", f.folder);
    CHECK_INT(mkdir(base, 0700), ==, 0);
    snprintf(deep, sizeof deep, "%s/%0150d", base, 7);
    struct hw_embedded_options options = {
        .folder = deep, .fsync = HW_REDIS_FSYNC_NO, .on_news = on_news, .data = &f
    };
    CHECK_INT(hw_embedded_open(&f.embedded, &f.loop, &options, NULL), ==, HW_OK);
    CHECK_INT(hw_embedded_target(&f.target, deep, NULL), ==, HW_OK);
    CHECK_CONTAINS(f.target.path, "/proc/self/fd/");
    wait_until_up(&f, 1);
    CHECK_STR(talk(&f, "PING"), "+PONG\r\n");
    close_server(&f);
    end(&f);
}

CASE(a_target_without_a_folder)
{
    struct hw_redis_target t;
    struct hw_cause cause;
    char deep[200];

    CHECK_INT(hw_embedded_target(&t, "/nonexistent", &cause), ==, HW_OK);
    CHECK_STR(t.path, "/nonexistent/redis.sock");
    hw_redis_target_close(&t);
    snprintf(deep, sizeof deep, "/nonexistent/%0150d", 7);
    CHECK_INT(hw_embedded_target(&t, deep, &cause), ==, HW_ESYSTEM);
}

/* --- left behind --- */

/* A daemon of its own in a child process; its server's process id. */
static pid_t other_daemon(const char *folder, pid_t *daemon)
{
    int fds[2];
    pid_t server = 0;

    CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
    fflush(NULL);
    *daemon = fork();
    CHECK_INT(*daemon, >=, 0);
    if (*daemon == 0) {
        struct fixture f;

        begin(&f);
        snprintf(f.folder, sizeof f.folder, "%s", folder);
        open_server(&f);
        wait_until_up(&f, 1);
        talk(&f, "SET from other");
        server = hw_embedded_pid(f.embedded);
        if (write(fds[1], &server, sizeof server) != sizeof server)
            _exit(1);
        for (;;)
            uv_run(&f.uv, UV_RUN_ONCE);
    }
    close(fds[1]);
    CHECK_INT(read(fds[0], &server, sizeof server), ==, sizeof server);
    close(fds[0]);
    return server;
}

static void kill_daemon(pid_t daemon)
{
    kill(daemon, SIGKILL);
    CHECK_INT(waitpid(daemon, NULL, 0), ==, daemon);
}

CASE(another_daemon_is_named)
{
    struct fixture f;
    struct hw_cause cause;
    pid_t daemon;
    char pid[32];

    begin(&f);
    other_daemon(f.folder, &daemon);
    CHECK_INT(open_program(&f, NULL, &cause), ==, HW_EBUSY);
    snprintf(pid, sizeof pid, "process %d", (int)daemon);
    CHECK_CONTAINS(cause.note, pid);
    kill_daemon(daemon);
    open_server(&f);
    wait_until_up(&f, 1);
    CHECK_STR(talk(&f, "GET from"), "$5\r\nother\r\n");
    close_server(&f);
    end(&f);
}

CASE(a_server_goes_with_its_daemon)
{
    struct fixture f;
    pid_t daemon, server;
    int i = 0;

    begin(&f);
    server = other_daemon(f.folder, &daemon);
    kill_daemon(daemon);
    while (is_running(server) && i++ < 5000)
        redis_server_nap();
    CHECK(!is_running(server));
    end(&f);
}

CASE(a_server_left_behind_is_waited_for)
{
    struct fixture f;
    pid_t daemon, server;

    begin(&f);
    server = other_daemon(f.folder, &daemon);
    kill(server, SIGSTOP);
    kill_daemon(daemon);
    CHECK(is_running(server));
    open_server(&f);
    RUN_UNTIL(&f, f.n_news[HW_EMBEDDED_WAITING] == 1);
    for (int i = 0; i < 20; i++)
        uv_run(&f.uv, UV_RUN_ONCE);
    CHECK_INT(hw_embedded_pid(f.embedded), ==, 0);
    kill(server, SIGCONT);
    RUN_UNTIL(&f, f.n_news[HW_EMBEDDED_STARTED] == 1);
    wait_until_up(&f, 1);
    CHECK_STR(talk(&f, "GET from"), "$5\r\nother\r\n");
    CHECK_INT(f.n_news[HW_EMBEDDED_WAITING], ==, 1);
    close_server(&f);
    end(&f);
}

/* Holds the server's lock as a redis-server would, in `cwd`. */
static pid_t other_holder(const char *folder, const char *cwd)
{
    struct hw_folder f;
    int fds[2];
    pid_t pid;
    char c;

    CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
    fflush(NULL);
    pid = fork();
    CHECK_INT(pid, >=, 0);
    if (pid == 0) {
        pid_t holder;
        int fd;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHECK_INT(hw_folder_open(&f, folder, NULL), ==, HW_OK);
        CHECK_INT(hw_folder_lock(&f, "server", &fd, &holder, NULL), ==, HW_OK);
        dprintf(fd, "%d\n", (int)getpid());
        hw_folder_close(&f);
        if (chdir(cwd) != 0 || write(fds[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(fds[1]);
    CHECK_INT(read(fds[0], &c, 1), ==, 1);
    close(fds[0]);
    return pid;
}

CASE(a_server_left_behind_is_told_to_end)
{
    struct fixture f;
    pid_t holder;
    int status;

    begin(&f);
    holder = other_holder(f.folder, f.folder);
    open_server(&f);
    RUN_UNTIL(&f, f.n_news[HW_EMBEDDED_STARTED] == 1);
    CHECK_INT(waitpid(holder, &status, WNOHANG), ==, holder);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    close_server(&f);
    end(&f);
}

CASE(a_process_that_runs_elsewhere_is_left_alone)
{
    struct fixture f;
    pid_t holder;

    begin(&f);
    holder = other_holder(f.folder, "/");
    open_server(&f);
    RUN_UNTIL(&f, f.n_news[HW_EMBEDDED_WAITING] == 1);
    for (int i = 0; i < 20; i++)
        uv_run(&f.uv, UV_RUN_ONCE);
    CHECK_INT(waitpid(holder, NULL, WNOHANG), ==, 0);
    CHECK_INT(hw_embedded_pid(f.embedded), ==, 0);
    close_server(&f); /* while it waits */
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    end(&f);
}
