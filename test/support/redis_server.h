/*
 * redis_server - a real redis-server for a test, in a folder of its own.
 *
 * Listens on a unix socket, and on a TCP port where one is asked for.  It ends with the test,
 * also when that aborts (PR_SET_PDEATHSIG).  Start waits until it takes connections, stop until
 * it is gone; neither sleeps for luck.
 */
#ifndef HW_TEST_REDIS_SERVER_H
#define HW_TEST_REDIS_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "check.h"

struct redis_server {
    char folder[64];
    char socket[80];
    unsigned port; /* 0: unix socket only */
    pid_t pid;     /* 0: not running */
};

static inline void redis_server_nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
}

static inline void redis_server_init(struct redis_server *s)
{
    *s = (struct redis_server){ .folder = "/tmp/hookwheel-test-XXXXXX" };
    CHECK_NOT_NULL(mkdtemp(s->folder));
    snprintf(s->socket, sizeof s->socket, "%s/socket", s->folder);
}

/* A port that is free now. */
static inline unsigned redis_server_free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&address, &len), ==, 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline bool redis_server_answers(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_there;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    is_there = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is_there;
}

/* `more`: further arguments of redis-server, ending with NULL; may be NULL. */
static inline void redis_server_start(struct redis_server *s, const char *const *more)
{
    char port[8];
    const char *args[40] = { "redis-server", "--port",        port,      "--bind",
                             "127.0.0.1",    "--unixsocket",  s->socket, "--dir",
                             s->folder,      "--save",        "",        "--appendonly",
                             "yes",          "--appendfsync", "no",      "--logfile",
                             "log" };
    int n = 17;
    pid_t parent = getpid();

    CHECK_INT(s->pid, ==, 0);
    snprintf(port, sizeof port, "%u", s->port);
    while (more != NULL && *more != NULL)
        args[n++] = *more++;
    unlink(s->socket);
    s->pid = fork();
    CHECK_INT(s->pid, >=, 0);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        if (freopen("/dev/null", "w", stdout) == NULL)
            _exit(1);
        execvp(args[0], (char *const *)args);
        _exit(127);
    }
    for (int i = 0; !redis_server_answers(s->socket); i++) {
        CHECK_INT(waitpid(s->pid, NULL, WNOHANG), ==, 0);
        CHECK_INT(i, <, 5000);
        redis_server_nap();
    }
}

static inline void redis_server_kill(struct redis_server *s, int signal)
{
    if (s->pid == 0)
        return;
    kill(s->pid, SIGCONT);
    kill(s->pid, signal);
    CHECK_INT(waitpid(s->pid, NULL, 0), ==, s->pid);
    s->pid = 0;
}

static inline int redis_server_remove(const char *path, const struct stat *st, int type,
                                      struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void redis_server_close(struct redis_server *s)
{
    redis_server_kill(s, SIGKILL);
    CHECK_INT(nftw(s->folder, redis_server_remove, 8, FTW_DEPTH | FTW_PHYS), ==, 0);
}

#endif
