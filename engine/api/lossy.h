/*
 * lossy - bytes from strangers as JSON.
 *
 * A receiver may answer with anything; what is not UTF-8 in it becomes U+FFFD.
 */
#ifndef HW_API_LOSSY_H
#define HW_API_LOSSY_H

#include <jansson.h>

#include "base/slice.h"

/* A string; null for an empty slice.  NULL: out of memory. */
json_t *hw_lossy_text(struct hw_slice bytes);

/* "name: value\n" lines as an object: repeated names joined by ", ".  null for none. */
json_t *hw_lossy_fields(struct hw_slice lines);

#endif
