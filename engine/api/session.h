/*
 * session - one connection of a client: its requests one after another.
 *
 * Memory    about 2 KiB at rest; a request's head and body, bytes that came ahead (one
 *           read at most) and one answer meanwhile.  Nothing more is read while a request
 *           runs or its answer has not left (but while it waits for events, up to two reads).
 *           The bodies of all sessions together are bounded (64 MiB): beyond that a large one is
 *           answered 503.
 * Lifetime  made by accept, frees itself when its stream is closed; a hold of the API's
 *           closing meanwhile.
 * Errors    whatever goes wrong ends the session and nothing else.
 */
#ifndef HW_API_SESSION_H
#define HW_API_SESSION_H

#include "api/call.h"

struct hw_api;
struct hw_listener;

/* Take the connection that the listener has.  false: out of memory, it still has it. */
bool hw_session_accept(struct hw_listener *l);

/* The answer of the call that is running (from call.c).  Its bytes are copied. */
void hw_session_answer(struct hw_session *s, const struct hw_reply *reply, bool is_head);

/* For call.c's functions of the same names. */
void hw_session_wait(struct hw_session *s, unsigned for_ms);
HW_MUST_USE bool hw_session_open(struct hw_session *s, const struct hw_reply *head);
HW_MUST_USE bool hw_session_send(struct hw_session *s, struct hw_slice piece);
bool hw_session_is_clear(const struct hw_session *s);
void hw_session_finish(struct hw_session *s);

/* It is known now who is asking (from call.c): on with the request. */
void hw_session_go_ahead(struct hw_session *s);

/* Close every session of the API: now, or those whose request has begun to arrive or is under
 * way after its answer, which those that wait for events give at once. */
void hw_sessions_close(struct hw_api *api);
void hw_sessions_drain(struct hw_api *api);

#endif
