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
