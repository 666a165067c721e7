#include "api/process_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The file's beginning, with a NUL; "" where it cannot be read. */
static const char *read_file(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, room - 1);

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* Unix seconds of the boot. */
static double read_boot_time(void)
{
    /* The line comes behind one a processor, so it may be far down. */
    FILE *file = fopen("/proc/stat", "re");
    char line[256];
    double at = 0;

    while (file != NULL && at == 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "btime ", 6) == 0)
            at = strtod(line + 6, NULL);
    if (file != NULL)
        fclose(file);
    return at;
}

/* proc(5): utime 14, stime 15, starttime 22, vsize 23, rss 24; the name, which may hold
 * anything, ends at the last parenthesis and is field 2. */
static void read_stat(struct hw_process *p)
{
    char text[1024];
    const char *at = strrchr(read_file("/proc/self/stat", text, sizeof text), ')');
    double ticks = (double)sysconf(_SC_CLK_TCK);
    unsigned long long fields[25] = { 0 };

    if (at == NULL)
        return;
    at += strcspn(at, " ");
    for (int i = 3; i <= 24 && *at != '\0'; i++) {
        at += strspn(at, " ");
        fields[i] = strtoull(at, NULL, 10);
        at += strcspn(at, " ");
    }
    p->cpu_seconds = (double)(fields[14] + fields[15]) / ticks;
    p->started_at = read_boot_time() + (double)fields[22] / ticks;
    p->virtual_bytes = fields[23];
    p->resident_bytes = fields[24] * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t n = 0;

    if (dir == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n - 1; /* the directory's own */
}

void hw_process_read(struct hw_process *p)
{
    struct rlimit limit;

    *p = (struct hw_process){ 0 };
    read_stat(p);
    p->open_descriptors = count_descriptors();
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        p->max_descriptors = limit.rlim_cur;
}
