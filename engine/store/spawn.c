/*
 *   block signals -> fork -> parent: unblock, read the pipe until exec closes it -> the pid
 *                         -> child: session, death signal, folder, output, pid file -> exec
 *
 * What goes wrong in the child before exec, or exec itself, comes back through the pipe as an
 * errno.  Between fork and exec the child calls only what a signal handler may call.
 */
#include "store/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- in the child --- */

static bool write_own_pid(int fd)
{
    char digits[16];
    size_t at = sizeof digits;

    digits[--at] = '\n';
    for (pid_t n = getpid(); n > 0; n /= 10)
        digits[--at] = (char)('0' + n % 10);
    return ftruncate(fd, 0) == 0 &&
           pwrite(fd, digits + at, sizeof digits - at, 0) == (ssize_t)(sizeof digits - at);
}

/* What the program says before it opens a log of its own belongs somewhere too. */
static bool redirect(const char *output)
{
    int in = open("/dev/null", O_RDONLY);
    int out = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);

    return in >= 0 && out >= 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2 &&
           (in <= 2 || close(in) == 0) && (out <= 2 || close(out) == 0);
}

/* Our handlers write to our loop's pipe: none may run in here. */
static void forget_signals(void)
{
    sigset_t none;

    for (int n = 1; n < 32; n++)
        if (n != SIGKILL && n != SIGSTOP)
            signal(n, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become(const struct hw_spawn *what, pid_t parent, int tell_fd)
{
    bool is_ready = setsid() >= 0 && prctl(PR_SET_PDEATHSIG, SIGTERM) == 0;
    int error;

    if (getppid() != parent)
        _exit(1); /* it died before we could ask to be told */
    if (is_ready && fchdir(what->folder_fd) == 0 && redirect(what->output) &&
        fcntl(what->pid_fd, F_SETFD, 0) == 0 && write_own_pid(what->pid_fd)) {
        forget_signals();
        execvp(what->program, what->argv);
    }
    error = errno;
    _exit(write(tell_fd, &error, sizeof error) < 0 ? 126 : 127);
}

/* --- in the parent --- */

static pid_t fork_blocked(const struct hw_spawn *what, int tell_fd)
{
    pid_t parent = getpid();
    sigset_t all, before;
    pid_t pid;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        become(what, parent, tell_fd);
    error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

/* 0: exec went well; else errno. */
static int hear_of_exec(int fd)
{
    int error = 0;
    ssize_t n;

    do
        n = read(fd, &error, sizeof error);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof error ? error : 0;
}

int hw_spawn(const struct hw_spawn *what, pid_t *pid)
{
    int fds[2];
    int error;
    pid_t child;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return errno;
    child = fork_blocked(what, fds[1]);
    error = errno;
    close(fds[1]);
    if (child > 0)
        error = hear_of_exec(fds[0]);
    close(fds[0]);
    if (child > 0 && error == 0)
        *pid = child;
    else if (child > 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    return error;
}
