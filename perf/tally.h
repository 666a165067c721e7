/*
 * tally - what the sink has received: by path, and by group of paths.
 *
 *   /ok/GROUP         204 at once
 *   /fail/GROUP       500 at once
 *   /after/MS/GROUP   204 after MS milliseconds
 *   /hang/GROUP       never an answer
 *
 * GROUP is one segment of letters, digits, '_', '-' and '.'; what follows it (/ok/GROUP/17)
 * makes another path of the same group.
 *
 * Latency   from the moment that the body names, `"at":` and unix microseconds, found by plain
 *           search, to the arrival of the whole request.  Every sample is kept.
 * Memory    one block a path and one a group, made by their first request and kept to the
 *           end; four bytes a sample.
 * Errors    a path that is none of these, or one too many, or no memory for it: no path, and
 *           it is counted as missed.  No memory for a sample: latency_ms.n falls behind.
 */
#ifndef HW_PERF_TALLY_H
#define HW_PERF_TALLY_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "core/samples.h"

enum {
    HW_TALLY_PATHS_MAX = 200 * 1000,
    HW_TALLY_GROUPS_MAX = 4000,
    HW_TALLY_NAME_MAX = 64,
    HW_TALLY_TARGET_MAX = 512
};

#define HW_TALLY_NEVER UINT64_MAX

/* Microseconds since 1970. */
typedef int64_t hw_unix_us;

struct hw_tally_group {
    struct hw_map_entry entry;
    struct hw_list link; /* tally.in_order */
    uint64_t n_received;
    struct hw_samples latencies_us;
    unsigned at_once;     /* requests under way now */
    unsigned max_at_once; /* most that were */
    unsigned max_of_path; /* most that were on any one of its paths */
    hw_unix_us first_at, last_at;
    char name[HW_TALLY_NAME_MAX + 1];
};

struct hw_tally_path {
    struct hw_map_entry entry;
    struct hw_tally_group *group; /* borrowed */
    int status;
    uint64_t delay_ms; /* HW_TALLY_NEVER: no answer */
    unsigned at_once;
    char text[]; /* the key */
};

struct hw_tally {
    struct hw_map paths, groups;
    struct hw_list in_order; /* the groups as they were first seen */
    uint64_t n_missed;
};

void hw_tally_init(struct hw_tally *t);
void hw_tally_close(struct hw_tally *t);

/* A whole request has arrived.  NULL: missed; else the path says what to answer, and is to be
 * given to hw_tally_end when that is over. */
struct hw_tally_path *hw_tally_begin(struct hw_tally *t, struct hw_slice target,
                                     struct hw_slice body, hw_unix_us now);
void hw_tally_end(struct hw_tally_path *path);

/* Begin anew; what is under way stays so. */
void hw_tally_reset(struct hw_tally *t);

/* The groups as one JSON object; the first call after requests sorts their samples, if the
 * latencies are wanted.  Failures are remembered by the buffer. */
void hw_tally_write(struct hw_tally *t, bool with_latency, struct hw_buf *out);

#endif
