#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void hw_must_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "hookwheel: broken promise: %s (%s:%d); please report this\n", what, file, line);
    abort();
}
