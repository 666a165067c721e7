/*
 * process - which process of which machine it is, as text that another one can check.
 *
 * "boot id:pid namespace:pid:start time".  A process of the same boot and namespace can tell
 * whether that one still runs; any other cannot.
 *
 * Errors    none: where /proc does not tell, the text is "-", and no process is said to be gone.
 */
#ifndef HW_STORE_PROCESS_H
#define HW_STORE_PROCESS_H

#include "base/slice.h"

#define HW_PROCESS_MAX 128 /* with the NUL */

void hw_process_self(char out[HW_PROCESS_MAX]);

/* Is it certain that this process is no more?  `self`: of hw_process_self. */
bool hw_process_is_gone(const char *self, struct hw_slice process);

#endif
