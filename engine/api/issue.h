/*
 * issue - tokens issued, listed and revoked: POST, GET, DELETE /v1/tokens.
 *
 * A token's text is in the answer to its creation and nowhere else; what is stored is its hash.
 *
 * Cost      list: a walk over all tokens, and a sort of those on the asked side of the cursor.
 */
#ifndef HW_API_ISSUE_H
#define HW_API_ISSUE_H

#include "api/call.h"

void hw_issue_create(struct hw_call *call);
void hw_issue_list(struct hw_call *call);
void hw_issue_delete(struct hw_call *call);

#endif
