/*
 * resume - a webhook that was paused is active again: what came due meanwhile goes on.
 *
 * Each instance that met a due retry of a paused webhook has put it off by a minute; some are
 * armed here and there.  So once every instance has heard that the webhook is active (a few
 * beats), the retries that are overdue by their own time are given new ones, a little apart.
 *
 * Memory    one block for each webhook being resumed, on keeper->to_resume.
 * Errors    trouble of Redis: again on the next beat.  Forgotten where this instance ends
 *           before: then each goes on when the minute is over.
 */
#ifndef HW_FLOW_RESUME_H
#define HW_FLOW_RESUME_H

#include "flow/keeper.h"

/* For keeper.c. */
void hw_resume_beat(struct hw_keeper *k);
void hw_resume_close(struct hw_keeper *k); /* no question of it is under way any more */

#endif
