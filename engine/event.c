#include "hookwheel/event.h"

#include <stddef.h>

static const struct {
    const char *name;
    enum hw_event_level level;
} kinds[HW_ENGINE_EVENTS] = {
#define X(kind, level, text) [HW_EVENT_##kind] = { text, HW_EVENT_##level },
    HW_ENGINE_EVENT_MAP(X)
#undef X
};

struct hw_engine_event hw_engine_event_make(enum hw_engine_event_kind kind)
{
    return (struct hw_engine_event){ .kind = kind, .level = kinds[kind].level };
}

const char *hw_engine_event_name(enum hw_engine_event_kind kind)
{
    return kinds[kind].name;
}
