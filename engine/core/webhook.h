/*
 * webhook - the configuration of one subscription, as every instance holds it in memory.
 *
 * The stored form is one JSON object (field `v` of the webhook's hash in Redis) with what
 * only the API changes; the standing (status, failures, last delivery) is in fields of its
 * own beside it, because a script changes it.
 *
 * Memory    a webhook owns everything it points to; counted references, because a delivery
 *           under way outlives a change of the configuration.
 * Errors    HW_EINVAL names the member in the cause's note.
 */
#ifndef HW_CORE_WEBHOOK_H
#define HW_CORE_WEBHOOK_H

#include "base/buf.h"
#include "base/time.h"
#include "core/scopes.h"
#include "http/url.h"
#include "rules/entry.h"
#include "rules/id.h"
#include "rules/sign.h"

#define HW_WEBHOOK_STATUS_MAP(X)                                                          \
    X(ACTIVE, "active")                                                                   \
    X(PAUSED, "paused")                                                                   \
    X(DISABLED, "disabled")                                                               \
    X(DELETED, "deleted") /* a tombstone: its history is still kept, nothing else */

enum hw_webhook_status {
#define X(name, text) HW_WEBHOOK_##name,
    HW_WEBHOOK_STATUS_MAP(X)
#undef X
};

const char *hw_webhook_status_text(enum hw_webhook_status status);
int hw_webhook_status_parse(struct hw_slice text); /* -1: none of them */

enum hw_signature_format { HW_SIGNATURE_NONE, HW_SIGNATURE_HEX, HW_SIGNATURE_SHA256_HEX };

struct hw_webhook_field {
    char *name;  /* owned; lower case */
    char *value; /* owned */
};

/* What scripts change. */
struct hw_webhook_standing {
    enum hw_webhook_status status;
    unsigned consecutive_failures;
    hw_unix_ms last_delivery_ms; /* 0: none yet */
    hw_unix_ms disabled_ms;      /* 0: not disabled */
    char disabled_reason[64];
    struct hw_stream_id disabled_cursor;
    uint64_t revision; /* raised by each change of the stored form */
};

struct hw_webhook {
    unsigned refs;
    uint32_t w;              /* its number: small, given at creation, never used again */
    char id[HW_ID_MAX];      /* "wh_…" */
    char *account;           /* owned */
    char *name;              /* owned; NULL: none */
    struct hw_url url;
    char **event_types;      /* owned; NULL: all */
    size_t n_event_types;
    bool reads_all;          /* its creator could read every type (stored before scopes: too) */
    struct hw_scopes readable; /* else: with these */
    char *subject;           /* owned; NULL: any */
    enum hw_level level;
    bool include_raw;
    bool format_raw;
    struct hw_webhook_field *fields; /* owned: static headers */
    size_t n_fields;
    struct hw_buf static_fields;     /* the same, "name: value\r\n" each, ready to send */
    char *signature_name;            /* owned; NULL: no older signature */
    enum hw_signature_format signature_format;
    char secret[HW_SIGN_SECRET_MAX];
    struct hw_sign_key key;
    char previous_secret[HW_SIGN_SECRET_MAX]; /* "" : none */
    struct hw_sign_key previous_key;
    hw_unix_ms previous_until_ms;    /* signs too until then */
    unsigned max_in_flight;          /* of the installation */
    unsigned rate_per_s;             /* 0: no limit */
    hw_unix_ms created_ms;
    hw_unix_ms updated_ms;
    struct hw_webhook_standing standing;
};

/* One reference, every field empty; NULL: out of memory. */
HW_MUST_USE struct hw_webhook *hw_webhook_new(void);
struct hw_webhook *hw_webhook_hold(struct hw_webhook *wh);
void hw_webhook_release(struct hw_webhook *wh); /* NULL is fine */

/* What the API and the reader of the stored form set; the rest is plain fields.  Each copies
 * what it is given; HW_ENOMEM leaves the webhook as it was. */
HW_MUST_USE enum hw_status hw_webhook_set_text(char **text, struct hw_slice value);
HW_MUST_USE enum hw_status hw_webhook_add_type(struct hw_webhook *wh, struct hw_slice type);
/* A static header, name in any case; both checked already.  Kept in `static_fields` too. */
HW_MUST_USE enum hw_status hw_webhook_add_field(struct hw_webhook *wh, struct hw_slice name,
                                                struct hw_slice value);
void hw_webhook_clear_types(struct hw_webhook *wh);  /* all of them, then */
void hw_webhook_clear_fields(struct hw_webhook *wh); /* none */
/* HW_EINVAL for a secret that does not parse. */
HW_MUST_USE enum hw_status hw_webhook_set_secret(struct hw_webhook *wh, struct hw_slice secret,
                                                 struct hw_cause *cause);
/* The same, and the one it has signs too until then (0: no longer); what signed beside it until
 * now does so no longer. */
HW_MUST_USE enum hw_status hw_webhook_rotate(struct hw_webhook *wh, struct hw_slice secret,
                                             hw_unix_ms previous_until_ms,
                                             struct hw_cause *cause);

/* "hex", "sha256=hex"; NULL for none.  Parse: HW_SIGNATURE_NONE for a text that is neither. */
const char *hw_signature_format_text(enum hw_signature_format format);
enum hw_signature_format hw_signature_format_parse(struct hw_slice text);

/* The stored form (no standing).  The number `w` is in it when it is known already; where
 * it is not, whoever reads sets it from the key the form was under. */
HW_MUST_USE enum hw_status hw_webhook_write(const struct hw_webhook *wh, struct hw_buf *out);
HW_MUST_USE enum hw_status hw_webhook_read(struct hw_webhook **out, struct hw_slice stored,
                                           struct hw_cause *cause);

/* Another with the same configuration and standing, to be changed; NULL: out of memory. */
HW_MUST_USE struct hw_webhook *hw_webhook_copy(const struct hw_webhook *wh);

/* Is this event for this webhook as it is configured, whatever its status, but for who may read
 * it (subscriptions.h asks that)?  Types beginning with "webhook." are the engine's own and go
 * only where event_types names them. */
bool hw_webhook_wants(const struct hw_webhook *wh, struct hw_slice type,
                      struct hw_slice subject, enum hw_level level);
/* The same, and its status is looked at: ACTIVE and PAUSED match. */
bool hw_webhook_matches(const struct hw_webhook *wh, struct hw_slice type,
                        struct hw_slice subject, enum hw_level level);

/* The value of webhook-signature for a body in pieces: one signature, or two in an overlap. */
HW_MUST_USE enum hw_status hw_webhook_sign(const struct hw_webhook *wh, struct hw_buf *out,
                                           struct hw_slice event_id, hw_unix_ms now,
                                           const struct hw_slice *body, size_t n_pieces);

#endif
