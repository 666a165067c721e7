#include "hookwheel/status.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

const char *hw_status_text(enum hw_status status)
{
    switch (status) {
#define X(name, num, text)                                                                \
    case HW_##name:                                                                       \
        return text;
        HW_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

enum hw_status hw_cause_set(struct hw_cause *cause, enum hw_status status,
                            enum hw_origin origin, int code, const char *fmt, ...)
{
    va_list args;

    if (cause == NULL)
        return status;
    cause->status = status;
    cause->origin = origin;
    cause->code = code;
    va_start(args, fmt);
    vsnprintf(cause->note, sizeof cause->note, fmt, args);
    va_end(args);
    return status;
}
