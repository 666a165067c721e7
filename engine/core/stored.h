/*
 * stored - the JSON objects in which things are kept in Redis: written, and read back.
 *
 * A writer and a reader remember their first failure and do nothing more after it, so that a
 * thing is written and read member by member without a look at each.
 *
 * Memory    what is read is borrowed until close; a text that is set is the caller's.
 * Errors    reading: HW_EINVAL with what was read and the member in the cause's note.
 */
#ifndef HW_CORE_STORED_H
#define HW_CORE_STORED_H

#include "base/buf.h"

struct json_t; /* jansson's */

/* --- writing --- */

struct hw_stored_writer {
    struct json_t *object; /* owned until end */
    bool has_failed;
};

void hw_stored_begin(struct hw_stored_writer *w);
void hw_stored_put_text(struct hw_stored_writer *w, const char *name, const char *text);
void hw_stored_put_some(struct hw_stored_writer *w, const char *name,
                        const char *text); /* nothing where it is NULL or empty */
void hw_stored_put_number(struct hw_stored_writer *w, const char *name, int64_t number);
void hw_stored_put_flag(struct hw_stored_writer *w, const char *name, bool flag);
void hw_stored_put_texts(struct hw_stored_writer *w, const char *name, char *const *texts,
                         size_t n);
/* `value` is taken in every case; NULL is a failure. */
void hw_stored_put(struct hw_stored_writer *w, const char *name, struct json_t *value);

/* Append what was put, compact.  Ends the writer in every case. */
HW_MUST_USE enum hw_status hw_stored_end(struct hw_stored_writer *w, struct hw_buf *out);

/* --- reading --- */

struct hw_stored_reader {
    const char *what;      /* borrowed: "webhook" ..., for people */
    struct json_t *object; /* owned until close */
    struct hw_cause *cause;
    enum hw_status status; /* the first failure */
};

/* The status is the reader's; close it whatever it is. */
enum hw_status hw_stored_open(struct hw_stored_reader *r, struct hw_slice stored,
                              const char *what, struct hw_cause *cause);
enum hw_status hw_stored_close(struct hw_stored_reader *r); /* the status again */

/* That member is not as it was written. */
void hw_stored_bad(struct hw_stored_reader *r, const char *name);
/* HW_ENOMEM fails as that, any other failure as a bad member. */
void hw_stored_must(struct hw_stored_reader *r, enum hw_status status, const char *name);

struct hw_slice hw_stored_text(struct hw_stored_reader *r, const char *name); /* empty: none */
/* Between least and most; `absent` where it is missing, which is bad if that is below least. */
int64_t hw_stored_number(struct hw_stored_reader *r, const char *name, int64_t least,
                         int64_t most, int64_t absent);
bool hw_stored_flag(const struct hw_stored_reader *r, const char *name);

/* Set *text (NULL, or owned and replaced) to a copy where there is such a member, or an array's
 * texts one by one; false: there is none (or null). */
bool hw_stored_copy_text(struct hw_stored_reader *r, const char *name, char **text);
bool hw_stored_each_text(struct hw_stored_reader *r, const char *name,
                         enum hw_status (*add)(void *data, struct hw_slice text), void *data);

#endif
