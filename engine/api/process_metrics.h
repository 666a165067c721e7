/*
 * process_metrics - what the operating system says of this process, for the process_* metrics.
 *
 * Errors    what cannot be read is 0.
 * Cost      a few reads under /proc; memory-backed, but system calls: only when asked.
 */
#ifndef HW_API_PROCESS_METRICS_H
#define HW_API_PROCESS_METRICS_H

#include <stdint.h>

struct hw_process {
    double cpu_seconds;        /* user and system */
    double started_at;         /* unix seconds */
    uint64_t virtual_bytes;
    uint64_t resident_bytes;
    uint64_t open_descriptors;
    uint64_t max_descriptors;
};

void hw_process_read(struct hw_process *p);

#endif
