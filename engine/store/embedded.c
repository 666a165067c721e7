/*
 * The happy path:
 *
 *   open: lock the folder, write redis.conf, take the server's lock -> fork -> exec (the pipe
 *   closes) -> STARTED -> ... -> close: SIGTERM -> SIGCHLD -> reaped -> closed
 *
 * Failures, and where they end up:
 *   the server's lock is taken   WAITING: SIGTERM to its holder, tried again every WAIT_STEP_MS,
 *                                FAILED after WAIT_MAX_MS
 *   exec fails                   its errno comes through the pipe: open fails; for a restart DIED
 *   the child dies               DIED: whatever it had forked is killed, back-off, from the lock on
 *   SIGTERM is not heeded        said again every STOP_AGAIN_MS, SIGKILL after STOP_MAX_MS: the
 *                                append-only file has to reach the disk first
 */
#include "store/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "hookwheel/alloc.h"
#include "store/folder.h"
#include "store/spawn.h"

enum {
    WAIT_STEP_MS = 50,
    WAIT_MAX_MS = 30000,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 5000,
    STEADY_MS = 10000, /* one that lived this long is no part of a series */
    STOP_AGAIN_MS = 5000,
    STOP_MAX_MS = 30000,
    CONF_MAX = 4096,
    LOG_MAX = 16 * 1024 * 1024
};

enum embedded_state {
    EMBEDDED_WAITING, /* for the server's lock */
    EMBEDDED_RUNNING,
    EMBEDDED_DEAD, /* back-off is armed */
    EMBEDDED_FAILED,
    EMBEDDED_CLOSING
};

struct hw_embedded {
    struct hw_loop *loop; /* borrowed */
    struct hw_embedded_options options;
    enum embedded_state state;
    struct hw_folder folder;
    uv_signal_t sigchld;
    struct hw_wheel_entry timer; /* next look at the lock; back-off; next signal */
    pid_t pid;                   /* our child; 0: none */
    hw_mono_ms since;            /* when this state began */
    uint64_t backoff_ms;
    bool has_told_waiting;
    pid_t told_to_end;   /* the one left behind that has had its SIGTERM */
    bool has_told_start; /* of this child */
    void (*closed_cb)(void *data);
    void *closed_data;
};

static const char *program_of(const struct hw_embedded *e)
{
    return e->options.program != NULL ? e->options.program : "redis-server";
}

static void move(struct hw_embedded *e, enum embedded_state state, uint64_t timer_ms)
{
    e->state = state;
    e->since = hw_loop_now(e->loop);
    hw_loop_arm(e->loop, &e->timer, timer_ms);
}

static uint64_t state_age(const struct hw_embedded *e)
{
    return hw_loop_now(e->loop) - e->since;
}

static void tell(struct hw_embedded *e, enum hw_embedded_news news,
                 const struct hw_cause *cause)
{
    if (e->options.on_news != NULL)
        e->options.on_news(e->options.data, news, cause);
}

/* --- what the child is given --- */

static const char *fsync_word(enum hw_redis_fsync fsync)
{
    switch (fsync) {
    case HW_REDIS_FSYNC_ALWAYS:
        return "always";
    case HW_REDIS_FSYNC_EVERYSEC:
        return "everysec";
    case HW_REDIS_FSYNC_NO:
        return "no";
    }
    return "always";
}

/* All paths are relative: the child runs in the folder, whatever its path and length. */
static enum hw_status write_conf(const struct hw_embedded *e, struct hw_cause *cause)
{
    enum hw_status status;
    struct hw_buf conf;

    hw_buf_init(&conf, CONF_MAX);
    hw_buf_appendf(&conf,
                   "# Written by hookwheel at each start; changes are lost.\n"
                   "port 0\n"
                   "unixsocket redis.sock\n"
                   "unixsocketperm 600\n"
                   "daemonize no\n"
                   "supervised no\n"
                   "pidfile redis.pid\n"
                   "logfile redis.log\n"
                   "dir .\n"
                   "save \"\"\n"
                   "appendonly yes\n"
                   "appendfsync %s\n"
                   "no-appendfsync-on-rewrite no\n"
                   "aof-use-rdb-preamble yes\n"
                   /* Rewriting takes a core: seldom, and without compressing. */
                   "auto-aof-rewrite-min-size 256mb\n"
                   "rdbcompression no\n"
                   /* What an instance owns is a hash of some hundred: looked up, not searched. */
                   "hash-max-ziplist-entries 16\n"
                   "aof-load-truncated yes\n"
                   "maxmemory-policy noeviction\n"
                   "maxclients 1000\n",
                   fsync_word(e->options.fsync));
    status = hw_buf_failed(&conf);
    if (status == HW_OK)
        status = hw_folder_write(&e->folder, "redis.conf", hw_buf_slice(&conf).data,
                                 hw_buf_len(&conf), cause);
    else
        hw_cause_set(cause, status, HW_ORIGIN_US, 0, "redis.conf: %s", hw_status_text(status));
    hw_buf_close(&conf);
    return status;
}

static void turn_log(const struct hw_embedded *e)
{
    struct stat st;

    if (fstatat(e->folder.fd, "redis.log", &st, 0) == 0 && st.st_size > LOG_MAX)
        (void)renameat(e->folder.fd, "redis.log", e->folder.fd, "redis.log.1");
}

/* --- bringing it to life --- */

static enum hw_status cannot_start(const struct hw_embedded *e, int error,
                                   struct hw_cause *cause)
{
    const char *program = program_of(e);

    if (error == ENOENT)
        return hw_cause_set(
            cause, HW_ESYSTEM, HW_ORIGIN_ERRNO, error,
            "%.40s is not installed: the embedded Redis needs it; install it, or "
            "set HOOKWHEEL_REDIS_URL",
            program);
    return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_ERRNO, error,
                        "start the embedded Redis (%.60s): %s", program, strerror(error));
}

/* lock_fd is closed here: from then on the lock is the child's alone. */
static enum hw_status bear(struct hw_embedded *e, int lock_fd, struct hw_cause *cause)
{
    char *argv[] = { (char *)"redis-server", (char *)"redis.conf", NULL };
    struct hw_spawn what = { .program = program_of(e),
                             .argv = argv,
                             .folder_fd = e->folder.fd,
                             .output = "redis.log",
                             .pid_fd = lock_fd };
    int error = hw_spawn(&what, &e->pid);

    close(lock_fd);
    return error == 0 ? HW_OK : cannot_start(e, error, cause);
}

static void tell_started(struct hw_embedded *e)
{
    struct hw_cause cause;

    e->has_told_start = true;
    hw_cause_set(&cause, HW_OK, HW_ORIGIN_US, 0, "redis-server started (process %d) in %s",
                 (int)e->pid, e->folder.path);
    tell(e, HW_EMBEDDED_STARTED, &cause);
}

/* HW_EBUSY: a server is still there, its process id in *holder where known. */
static enum hw_status try_start(struct hw_embedded *e, pid_t *holder, struct hw_cause *cause)
{
    int lock_fd;
    enum hw_status status = hw_folder_lock(&e->folder, "server", &lock_fd, holder, cause);

    if (status != HW_OK)
        return status;
    turn_log(e);
    status = bear(e, lock_fd, cause);
    if (status != HW_OK)
        return status;
    e->has_told_waiting = false;
    e->told_to_end = 0;
    e->has_told_start = false;
    move(e, EMBEDDED_RUNNING, 0); /* the news comes with the timer */
    return HW_OK;
}

/* --- one left behind --- */

/* Its number may have gone to another process since: only one that runs in our folder. */
static bool is_server_here(const struct hw_embedded *e, pid_t pid)
{
    struct stat ours, its;
    char path[40];

    snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid);
    return pid > 0 && fstat(e->folder.fd, &ours) == 0 && stat(path, &its) == 0 &&
           ours.st_dev == its.st_dev && ours.st_ino == its.st_ino;
}

static void wait_for_lock(struct hw_embedded *e, pid_t holder)
{
    bool is_first = !e->has_told_waiting;
    struct hw_cause cause;

    if (holder != e->told_to_end && is_server_here(e, holder)) {
        e->told_to_end = holder;
        kill(holder, SIGTERM);
    }
    if (is_first) {
        e->has_told_waiting = true;
        move(e, EMBEDDED_WAITING, WAIT_STEP_MS);
        hw_cause_set(
            &cause, HW_EBUSY, HW_ORIGIN_US, 0,
            "a redis-server left behind (process %d) is still in %s: waiting for its end",
            (int)holder, e->folder.path);
        tell(e, HW_EMBEDDED_WAITING, &cause);
    } else if (state_age(e) < WAIT_MAX_MS) {
        hw_loop_arm(e->loop, &e->timer, WAIT_STEP_MS);
    } else {
        e->state = EMBEDDED_FAILED;
        hw_cause_set(&cause, HW_EBUSY, HW_ORIGIN_US, 0,
                     "a redis-server (process %d) has not left %s within %d s: stop it first",
                     (int)holder, e->folder.path, WAIT_MAX_MS / 1000);
        tell(e, HW_EMBEDDED_FAILED, &cause);
    }
}

static void died(struct hw_embedded *e, const struct hw_cause *cause)
{
    struct hw_cause news;
    uint64_t again_ms = e->backoff_ms;

    e->backoff_ms = again_ms < BACKOFF_MAX_MS / 2 ? again_ms * 2 : BACKOFF_MAX_MS;
    move(e, EMBEDDED_DEAD, again_ms);
    hw_cause_set(&news, cause->status, cause->origin, cause->code, "%.120s; again in %llu ms",
                 cause->note, (unsigned long long)again_ms);
    tell(e, HW_EMBEDDED_DIED, &news);
}

static void start(struct hw_embedded *e)
{
    struct hw_cause cause;
    pid_t holder;
    enum hw_status status = try_start(e, &holder, &cause);

    if (status == HW_EBUSY)
        wait_for_lock(e, holder);
    else if (status != HW_OK)
        died(e, &cause);
}

/* --- its end --- */

static void on_sigchld_closed(uv_handle_t *handle)
{
    struct hw_embedded *e = HW_CONTAINER_OF(handle, struct hw_embedded, sigchld);
    void (*cb)(void *) = e->closed_cb;
    void *data = e->closed_data;

    hw_folder_close(&e->folder);
    hw_free(e);
    if (cb != NULL)
        cb(data);
}

static void finish_close(struct hw_embedded *e)
{
    hw_loop_cancel(e->loop, &e->timer);
    uv_close((uv_handle_t *)&e->sigchld, on_sigchld_closed);
}

static void describe_end(const struct hw_embedded *e, int status, struct hw_cause *cause)
{
    bool is_killed = WIFSIGNALED(status);

    hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_US, status,
                 "redis-server ended (%s %d), see %.60s/redis.log",
                 is_killed ? "signal" : "exit status",
                 is_killed ? WTERMSIG(status) : WEXITSTATUS(status), e->folder.path);
}

static void child_ended(struct hw_embedded *e, int status)
{
    struct hw_cause cause;

    e->pid = 0;
    if (e->state == EMBEDDED_CLOSING) {
        finish_close(e);
        return;
    }
    if (state_age(e) >= STEADY_MS)
        e->backoff_ms = BACKOFF_FIRST_MS;
    describe_end(e, status, &cause);
    died(e, &cause);
}

/* What it forked (a rewrite of the file) is in its group and holds the lock too.  While it is not
 * reaped its number cannot be anybody else's. */
static void reap(struct hw_embedded *e)
{
    siginfo_t info = { 0 };
    int status = 0;

    if (e->pid == 0 || waitid(P_PID, (id_t)e->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid != e->pid)
        return;
    kill(-e->pid, SIGKILL);
    while (waitpid(e->pid, &status, 0) < 0 && errno == EINTR)
        ;
    child_ended(e, status);
}

static void on_sigchld(uv_signal_t *handle, int signum)
{
    (void)signum;
    reap(HW_CONTAINER_OF(handle, struct hw_embedded, sigchld));
}

/* The first child is older than the signal's handler: it may have ended unseen. */
static void on_running(struct hw_embedded *e)
{
    if (!e->has_told_start)
        tell_started(e);
    if (e->state == EMBEDDED_RUNNING)
        reap(e);
}

static void on_stopping(struct hw_embedded *e)
{
    reap(e); /* closes when it was there to be reaped */
    if (e->pid == 0)
        return;
    kill(e->pid, state_age(e) >= STOP_MAX_MS ? SIGKILL : SIGTERM);
    hw_loop_arm(e->loop, &e->timer, STOP_AGAIN_MS);
}

static void on_timer(struct hw_wheel_entry *entry)
{
    struct hw_embedded *e = HW_CONTAINER_OF(entry, struct hw_embedded, timer);

    switch (e->state) {
    case EMBEDDED_WAITING:
    case EMBEDDED_DEAD:
        start(e);
        break;
    case EMBEDDED_RUNNING:
        on_running(e);
        break;
    case EMBEDDED_CLOSING:
        if (e->pid == 0)
            finish_close(e);
        else
            on_stopping(e);
        break;
    case EMBEDDED_FAILED:
        break;
    }
}

/* --- life --- */

static enum hw_status watch_children(struct hw_embedded *e, struct hw_cause *cause)
{
    int rc = uv_signal_init(e->loop->uv, &e->sigchld);

    if (rc != 0)
        return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_LIBUV, rc, "watch for SIGCHLD: %s",
                            uv_strerror(rc));
    rc = uv_signal_start(&e->sigchld, on_sigchld, SIGCHLD);
    HW_MUST(rc == 0); /* SIGCHLD can always be caught */
    return HW_OK;
}

/* One that nobody has spoken to yet has nothing to lose. */
static void abandon_child(struct hw_embedded *e)
{
    hw_loop_cancel(e->loop, &e->timer);
    if (e->pid == 0)
        return;
    kill(e->pid, SIGKILL);
    while (waitpid(e->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static enum hw_status embedded_begin(struct hw_embedded *e, struct hw_cause *cause)
{
    enum hw_status status = write_conf(e, cause);
    pid_t holder;

    if (status != HW_OK)
        return status;
    status = try_start(e, &holder, cause);
    if (status == HW_EBUSY)
        move(e, EMBEDDED_WAITING, 0);
    else if (status != HW_OK)
        return status;
    status = watch_children(e, cause);
    if (status != HW_OK)
        abandon_child(e);
    return status;
}

enum hw_status hw_embedded_open(struct hw_embedded **out, struct hw_loop *loop,
                                const struct hw_embedded_options *options,
                                struct hw_cause *cause)
{
    struct hw_embedded *e = hw_calloc(1, sizeof *e);
    enum hw_status status;

    if (e == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "start the embedded Redis");
    e->loop = loop;
    e->options = *options;
    e->backoff_ms = BACKOFF_FIRST_MS;
    hw_wheel_entry_init(&e->timer, on_timer);
    status = hw_folder_open(&e->folder, options->folder, cause);
    if (status == HW_OK)
        status = embedded_begin(e, cause);
    if (status == HW_OK) {
        *out = e;
        return HW_OK;
    }
    hw_folder_close(&e->folder);
    hw_free(e);
    return status;
}

void hw_embedded_close(struct hw_embedded *e, void (*cb)(void *data), void *data)
{
    HW_MUST(e->state != EMBEDDED_CLOSING);
    e->closed_cb = cb;
    e->closed_data = data;
    move(e, EMBEDDED_CLOSING, 0); /* the signal, or the end, comes with the timer */
}

pid_t hw_embedded_pid(const struct hw_embedded *e)
{
    return e->pid;
}

/* --- how it is reached --- */

static enum hw_status target_through_fd(struct hw_redis_target *t, const char *folder,
                                        struct hw_cause *cause)
{
    char path[64];

    t->folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (t->folder_fd < 0)
        return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_ERRNO, errno, "data folder %s: %s",
                            folder, strerror(errno));
    t->has_folder = true;
    snprintf(path, sizeof path, "/proc/self/fd/%d/redis.sock", t->folder_fd);
    t->path = hw_strdup(path);
    return t->path != NULL ? HW_OK : HW_ENOMEM;
}

static enum hw_status target_in(struct hw_redis_target *t, const char *folder,
                                struct hw_cause *cause)
{
    char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
    int n = snprintf(path, sizeof path, "%s/redis.sock", folder);

    if (n < 0 || (size_t)n >= sizeof path)
        return target_through_fd(t, folder, cause);
    t->path = hw_strdup(path);
    return t->path != NULL ? HW_OK : HW_ENOMEM;
}

enum hw_status hw_embedded_target(struct hw_redis_target *t, const char *folder,
                                  struct hw_cause *cause)
{
    char *absolute = realpath(folder, NULL); /* the C library's memory: free(3) */
    enum hw_status status;

    *t = (struct hw_redis_target){ 0 };
    status = target_in(t, absolute != NULL ? absolute : folder, cause);
    free(absolute);
    if (status == HW_ENOMEM)
        hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "name the embedded Redis");
    if (status != HW_OK)
        hw_redis_target_close(t);
    return status;
}
