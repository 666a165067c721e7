#include "rules/failure.h"

#include "base/must.h"

const char *hw_failure_text(enum hw_failure failure)
{
    static const char *const texts[HW_FAILURES] = {
#define X(name, text) [HW_FAILURE_##name] = text,
        HW_FAILURE_MAP(X)
#undef X
    };

    HW_MUST((unsigned)failure < HW_FAILURES);
    return texts[failure];
}

const char *hw_phase_text(enum hw_phase phase)
{
    static const char *const texts[HW_PHASES] = {
#define X(name, text) [HW_PHASE_##name] = text,
        HW_PHASE_MAP(X)
#undef X
    };

    HW_MUST((unsigned)phase < HW_PHASES);
    return texts[phase];
}

const char *hw_failure_sentence(enum hw_failure failure)
{
    switch ((int)failure) {
    case HW_FAILURE_WEBHOOK_DISABLED:
        return "the webhook was disabled before it could be delivered";
    case HW_FAILURE_WEBHOOK_DELETED:
        return "the webhook was deleted before it could be delivered";
    case HW_FAILURE_BACKLOG_FULL:
        return "more deliveries were waiting for the webhook than HOOKWHEEL_BACKLOG_MAX allows";
    case HW_FAILURE_POISON:
        return "it could not be handled: the engine died with it in hand time and again, or its body "
               "is no longer in Redis";
    default:
        return "";
    }
}
