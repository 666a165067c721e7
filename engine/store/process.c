#include "store/process.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_line(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    bool ok = f != NULL && fgets(out, (int)size, f) != NULL;

    if (f != NULL)
        fclose(f);
    if (ok)
        out[strcspn(out, "\n")] = '\0';
    return ok;
}

/* Field 22 of /proc/<pid>/stat, since a pid is used again; false: no such process, or it is a
 * zombie. */
static bool process_start(long pid, unsigned long long *start)
{
    char path[64], line[1024], state;
    const char *rest;

    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    if (!read_line(path, line, sizeof line) || (rest = strrchr(line, ')')) == NULL)
        return false;
    return sscanf(rest + 1,
                  " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                  "%*d %llu",
                  &state, start) == 2 &&
           state != 'Z' && state != 'X';
}

/* "boot:namespace:": pids mean the same where this is the same. */
static bool machine(char *out, size_t size)
{
    char boot[64];
    struct stat ns;

    if (!read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot) ||
        stat("/proc/self/ns/pid", &ns) != 0)
        return false;
    snprintf(out, size, "%.40s:%llu:", boot, (unsigned long long)ns.st_ino);
    return true;
}

void hw_process_self(char out[HW_PROCESS_MAX])
{
    char where[HW_PROCESS_MAX];
    unsigned long long start;

    if (machine(where, sizeof where) && process_start((long)getpid(), &start))
        snprintf(out, HW_PROCESS_MAX, "%.90s%ld:%llu", where, (long)getpid(), start);
    else
        snprintf(out, HW_PROCESS_MAX, "-"); /* no /proc: judged by its beat alone */
}

bool hw_process_is_gone(const char *self, struct hw_slice process)
{
    char text[HW_PROCESS_MAX];
    const char *colon = strchr(self, ':');
    size_t where;
    long pid;
    unsigned long long start, now;

    if (colon == NULL || (colon = strchr(colon + 1, ':')) == NULL ||
        process.len >= sizeof text)
        return false;
    where = (size_t)(colon + 1 - self);
    if (process.len <= where || memcmp(process.data, self, where) != 0)
        return false;
    memcpy(text, process.data, process.len);
    text[process.len] = '\0';
    if (sscanf(text + where, "%ld:%llu", &pid, &start) != 2)
        return false;
    return !process_start(pid, &now) || now != start;
}
