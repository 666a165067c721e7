/*
 * hookwheel - the webhook delivery engine as a library.
 *
 * Give it a libuv loop and a configuration; it consumes the stream, delivers, and serves its
 * HTTP interface on that loop.  It prints nothing: what it has to say goes to the observer.  It
 * starts no thread and installs no signal handler, but for what libuv does to look up the host
 * name of a Redis (its thread pool) and to watch the embedded one (SIGCHLD).
 *
 *   open -> start -> (run the loop) -> drain -> close
 *
 * Memory    an engine owns all it makes; the loop and the observer's data are yours.
 * Lifetime  open may fail, and then there is nothing to close.  Close is called once, at any
 *           time after open; its callback comes later, and when it runs no handle of the engine is
 *           on the loop any more.
 * Threads   one: the loop's.
 * Errors    a cause is one sentence for whoever runs the program.
 */
#ifndef HOOKWHEEL_HOOKWHEEL_H
#define HOOKWHEEL_HOOKWHEEL_H

#include <uv.h>

#include "hookwheel/config.h"
#include "hookwheel/event.h"
#include "hookwheel/status.h"

struct hw_engine;

/* Check the configuration and put the engine together; nothing is connected or bound yet.  The
 * configuration is copied.  `observer` may be NULL. */
HW_API HW_MUST_USE enum hw_status hw_engine_open(struct hw_engine **out, uv_loop_t *loop,
                                                 const struct hw_config *config,
                                                 hw_observer_cb observer, void *data,
                                                 struct hw_cause *cause);

/* Bind the HTTP addresses, lock the data folder and start the embedded Redis where there is no
 * URL, begin to connect.  A Redis that is not there yet is no error: the engine is not ready and
 * keeps trying.  After HW_OK every later trouble is an event (HW_EVENT_REFUSED: this engine must
 * not run here). */
HW_API HW_MUST_USE enum hw_status hw_engine_start(struct hw_engine *engine, struct hw_cause *cause);

/* Take no more events, let attempts under way finish (up to drain_timeout_ms), record what came
 * of them, release what is owned; then HW_EVENT_DRAINED.  Once; harmless when repeated. */
HW_API void hw_engine_drain(struct hw_engine *engine);

/* Stop at once (after a drain nothing is left to lose; without one, what is under way is attempted
 * again by whoever comes next) and free everything. */
HW_API void hw_engine_close(struct hw_engine *engine, void (*cb)(void *data), void *data);

/* The port of `listen` (for port 0); 0 before start. */
HW_API unsigned hw_engine_api_port(const struct hw_engine *engine);
HW_API unsigned hw_engine_ops_port(const struct hw_engine *engine);

/* The version of the library, "1.2.3". */
HW_API const char *hw_version(void);

#endif
