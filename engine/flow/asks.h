/*
 * asks - what the API's backend does, function by function; see api/backend.h for each.
 * `data` is the struct hw_backing.
 *
 * ask_webhooks.c, ask_deliveries.c, ask_replay.c, ask_events.c, ask_books.c,
 * ask_feed.c, ask_consumers.c, ask_backfill.c
 */
#ifndef HW_FLOW_ASKS_H
#define HW_FLOW_ASKS_H

#include "api/backend.h"

void hw_ask_create(void *data, struct hw_backend_create *create);
void hw_ask_get(void *data, struct hw_backend_get *get);
void hw_ask_list(void *data, struct hw_backend_list *list);
void hw_ask_remove(void *data, struct hw_backend_delete *del);
void hw_ask_update(void *data, struct hw_backend_update *update);

void hw_ask_deliveries(void *data, struct hw_backend_deliveries *list);
void hw_ask_inspect(void *data, struct hw_backend_inspect *inspect);

void hw_ask_test(void *data, struct hw_backend_test *test);
void hw_ask_recover(void *data, struct hw_backend_recover *recover);
void hw_ask_redeliver(void *data, struct hw_backend_redeliver *redeliver);

void hw_ask_events(void *data, struct hw_backend_events *events);
void hw_ask_recall(void *data, struct hw_backend_recall *recall);

void hw_ask_put_type(void *data, struct hw_backend_book *book);
void hw_ask_drop_type(void *data, struct hw_backend_book *book);
void hw_ask_put_token(void *data, struct hw_backend_book *book);
void hw_ask_drop_token(void *data, struct hw_backend_book *book);
void hw_ask_refresh_types(void *data, struct hw_backend_book *book);
void hw_ask_refresh_tokens(void *data, struct hw_backend_book *book);
void hw_ask_backfill(void *data, struct hw_backend_backfill *backfill);

void hw_ask_updates(void *data, struct hw_backend_updates *updates);
void hw_ask_hurry(void *data, struct hw_backend_updates *updates);

void hw_ask_pull(void *data, struct hw_backend_pull *pull);
void hw_ask_outstanding(void *data, struct hw_backend_outstanding *outstanding);
void hw_ask_ack(void *data, struct hw_backend_ack *ack);
void hw_ask_consumers(void *data, struct hw_backend_consumers *consumers);
void hw_ask_drop_consumer(void *data, struct hw_backend_drop_consumer *drop);

const struct hw_catalogue *hw_ask_catalogue(void *data);
const struct hw_token_book *hw_ask_tokens(void *data);

#endif
