/* What an error reply of Redis means. */
#include "store/redis.h"

static const struct {
    const char *code;
    enum hw_redis_trouble trouble;
} codes[] = {
    { "OOM", HW_REDIS_FULL },
    { "MISCONF", HW_REDIS_UNSAVED },
    { "READONLY", HW_REDIS_READONLY },
    { "NOREPLICAS", HW_REDIS_READONLY },
    { "MASTERDOWN", HW_REDIS_READONLY },
    { "LOADING", HW_REDIS_READONLY },
    { "BUSY", HW_REDIS_READONLY },
    { "UNBLOCKED", HW_REDIS_READONLY },
    { "NOGROUP", HW_REDIS_NOGROUP },
    { "FENCED", HW_REDIS_FENCED },
};

static struct hw_slice first_word(struct hw_slice text)
{
    return hw_slice(text.data, hw_slice_find(text, ' '));
}

static enum hw_redis_trouble code_trouble(struct hw_slice code)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (hw_slice_is(code, codes[i].code))
            return codes[i].trouble;
    return HW_REDIS_REFUSED;
}

/* The code inside "ERR Error running script (...): @user_script: 1: -OOM command ..." */
static enum hw_redis_trouble nested_trouble(struct hw_slice text)
{
    for (size_t i = 0; i + 2 < text.len; i++) {
        bool is_code = text.data[i] == ' ' && text.data[i + 1] == '-';
        enum hw_redis_trouble trouble =
            is_code ? code_trouble(first_word(hw_slice_from(text, i + 2))) : HW_REDIS_REFUSED;

        if (trouble != HW_REDIS_REFUSED)
            return trouble;
    }
    return HW_REDIS_REFUSED;
}

enum hw_redis_trouble hw_redis_trouble_of(struct hw_slice text)
{
    struct hw_slice code = first_word(text);

    /* A blocked XREADGROUP, when the stream is deleted (before 7.2). */
    if (hw_slice_starts(text, HW_SLICE("UNBLOCKED the stream key")))
        return HW_REDIS_NOGROUP;
    if (!hw_slice_is(code, "ERR"))
        return code_trouble(code);
    /* An error of a script that is only a code gets "ERR" put in front. */
    if (hw_slice_is(text, "ERR FENCED"))
        return HW_REDIS_FENCED;
    return nested_trouble(text);
}
