/*
 * rejects - bad entries move from the ingress stream to the rejected stream.
 *
 * One script does both and says whether the entry was still ours.  What is kept of an entry is cut to
 * a sensible size, with the true size beside it, and the reason.
 *
 * Memory    embedded.  A request is the caller's until its callback; the entry is copied in the
 *           call.
 * Lifetime  init; nothing to close.  Each request holds `closing` until its callback has run.
 * Errors    a request that could not be sent: its callback does not run.  Otherwise trouble
 *           FINE: done, or it was no longer ours; anything else: it is still pending.
 * Cost      one script each: few entries are bad.
 */
#ifndef HW_STORE_REJECTS_H
#define HW_STORE_REJECTS_H

#include "loop/closing.h"
#include "store/batch.h"
#include "store/keys.h"

struct hw_rejects {
    struct hw_store *store;     /* borrowed */
    struct hw_closing *closing; /* borrowed: of the owner */
    uint64_t rejected_max;      /* HOOKWHEEL_REJECTED_MAX */
    /* It was written to the rejected stream; before the request's own callback. */
    void (*on_rejected)(struct hw_rejects *r, struct hw_stream_id entry,
                        enum hw_entry_reason reason);
};

struct hw_reject;
typedef void (*hw_reject_cb)(struct hw_reject *r, enum hw_redis_trouble trouble);

struct hw_reject {
    struct hw_redis_req req; /* private, as all but `owner` */
    struct hw_command command;
    struct hw_rejects *rejects;
    void *owner; /* yours */
    struct hw_stream_id entry;
    enum hw_entry_reason reason;
    hw_reject_cb cb;
};

/* HW_OK: cb runs once, later. */
HW_MUST_USE enum hw_status hw_rejects_send(struct hw_rejects *rejects, struct hw_reject *r,
                                           const struct hw_ingest_entry *entry,
                                           enum hw_entry_reason reason, hw_reject_cb cb);

#endif
