/*
 * gauges - what the metrics page says of the whole installation, read from Redis.
 *
 * Several askers within a second share one reading.
 */
#ifndef HW_STORE_GAUGES_H
#define HW_STORE_GAUGES_H

#include "core/metrics.h"
#include "store/keys.h"

struct hw_gauge_reader;

/* Fills waiting, oldest_waiting_s, retries_scheduled, stream_lag, stream_pending and
 * redis_memory_bytes; leaves the rest as it is. */
typedef void (*hw_gauges_cb)(void *data, const struct hw_gauges *gauges);

HW_MUST_USE enum hw_status hw_gauge_reader_open(struct hw_gauge_reader **out,
                                                struct hw_store *store);

/* The values of the last reading (zeros before the first), at once; a new reading is begun
 * when they are older than a second, so a scraper sees values one scrape old at most. */
const struct hw_gauges *hw_gauge_reader_borrow(struct hw_gauge_reader *g);

/* cb runs once, later, with a reading not older than a second, or the last one where Redis
 * does not answer. */
HW_MUST_USE enum hw_status hw_gauge_reader_ask(struct hw_gauge_reader *g, hw_gauges_cb cb,
                                               void *data);

/* Close the work connection first; those who asked get the last reading. */
void hw_gauge_reader_close(struct hw_gauge_reader *g);

#endif
