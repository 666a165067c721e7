/*
 * reader - the connection that blocks: one XREADGROUP after another on the ingress stream.
 *
 * It reads what it is told to and understands none of it.  A blocking read can be called
 * off: CLIENT UNBLOCK, over the work connection.
 *
 * Memory    embedded; owns its connection.  A reply is borrowed for the callback.
 * Lifetime  open; close once.  From open on it holds `closing` until nothing refers to it.
 * Events    never inside a call.  One on_answer for each request, also when the connection is
 *           lost or closed (GONE).
 * Errors    a request that could not be sent is not under way, and no event comes.
 * Cost      a write and a read of the socket each.
 */
#ifndef HW_STORE_READER_H
#define HW_STORE_READER_H

#include "loop/closing.h"
#include "store/keys.h"

struct hw_reader;

enum hw_reading {
    HW_READING_NOTHING,
    HW_READING_NEW,  /* waits for one a while (2 s) */
    HW_READING_OWN,  /* what is pending under our name */
    HW_READING_GROUP /* not a read: the group is made, at 0 */
};

struct hw_reader_events {
    void (*on_up)(struct hw_reader *r);
    void (*on_down)(struct hw_reader *r, const struct hw_cause *cause);
    void (*on_answer)(struct hw_reader *r, enum hw_reading reading,
                      enum hw_redis_trouble trouble, const struct hw_reply *reply,
                      const struct hw_cause *cause);
};

struct hw_reader_options {
    struct hw_store *store; /* borrowed, all of these */
    const struct hw_redis_target *target;
    struct hw_trust *trust;
    struct hw_closing *closing;            /* of the owner */
    const struct hw_reader_events *events; /* static */
};

struct hw_reader {
    struct hw_reader_options options; /* private */
    bool is_up;                       /* for the owner to read, as the next two */
    enum hw_reading reading;
    hw_mono_ms last_read;    /* last good answer; 0: none */
    struct hw_redis *intake; /* owned; private from here on */
    struct hw_redis_req read_req, id_req;
    struct hw_command read_command, id_command;
    int64_t client_id;               /* of the connection; 0: not known */
    struct hw_redis_req unblock_req; /* on the work connection */
    struct hw_command unblock_command;
    bool is_unblocking;
};

HW_MUST_USE enum hw_status hw_reader_open(struct hw_reader *r,
                                          const struct hw_reader_options *options,
                                          struct hw_cause *cause);
void hw_reader_close(struct hw_reader *r);

/* At most `count` entries, read as `consumer`.  `reading`: NEW or OWN; none is under way. */
HW_MUST_USE enum hw_status hw_reader_read(struct hw_reader *r, enum hw_reading reading,
                                          const char *consumer, size_t count);
HW_MUST_USE enum hw_status hw_reader_make_group(struct hw_reader *r);

/* A read that blocks ends soon, in the ordinary way; if that cannot be, by itself. */
void hw_reader_unblock(struct hw_reader *r);

#endif
