#include "redis/command.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/must.h"

enum { LEN_MAX = sizeof("$18446744073709551615\r\n\r\n") - 1 };

void hw_command_init(struct hw_command *c)
{
    *c = (struct hw_command){ 0 };
    hw_buf_init(&c->args, HW_COMMAND_MAX);
}

void hw_command_reset(struct hw_command *c)
{
    hw_buf_reset(&c->args);
    c->n_args = 0;
    c->script = NULL;
}

void hw_command_close(struct hw_command *c)
{
    hw_buf_close(&c->args);
    hw_command_reset(c);
}

/* Decimal digits of n, right-aligned in `digits`. */
static struct hw_slice decimal(char digits[20], uint64_t n)
{
    size_t at = 20;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return hw_slice(digits + at, 20 - at);
}

static char *put(char *to, struct hw_slice bytes)
{
    if (bytes.len > 0)
        memcpy(to, bytes.data, bytes.len);
    return to + bytes.len;
}

void hw_command_add(struct hw_command *c, struct hw_slice arg)
{
    /* One reservation for all pieces: either the whole argument is in, or none of it. */
    size_t need = arg.len > HW_COMMAND_MAX ? arg.len : arg.len + LEN_MAX;
    char digits[20];
    char *from, *to;

    if (hw_buf_reserve(&c->args, need) != HW_OK)
        return;
    from = to = hw_buf_space(&c->args);
    *to++ = '$';
    to = put(to, decimal(digits, arg.len));
    to = put(to, HW_SLICE("\r\n"));
    to = put(to, arg);
    to = put(to, HW_SLICE("\r\n"));
    hw_buf_commit(&c->args, (size_t)(to - from));
    c->n_args++;
}

void hw_command_str(struct hw_command *c, const char *arg)
{
    hw_command_add(c, hw_slice_str(arg));
}

void hw_command_u64(struct hw_command *c, uint64_t arg)
{
    char digits[20];

    hw_command_add(c, decimal(digits, arg));
}

void hw_command_fmt(struct hw_command *c, const char *fmt, ...)
{
    char small[256];
    struct hw_buf large;
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    HW_MUST(n >= 0);
    if ((size_t)n < sizeof small) {
        hw_command_add(c, hw_slice(small, (size_t)n));
        return;
    }
    hw_buf_init(&large, HW_COMMAND_MAX);
    if (hw_buf_reserve(&large, (size_t)n + 1) == HW_OK) {
        va_start(args, fmt);
        vsnprintf(hw_buf_space(&large), (size_t)n + 1, fmt, args);
        va_end(args);
        hw_command_add(c, hw_slice(hw_buf_space(&large), (size_t)n));
    } else if (c->args.failed == HW_OK) {
        c->args.failed = hw_buf_failed(&large);
    }
    hw_buf_close(&large);
}

void hw_command_eval(struct hw_command *c, const struct hw_script *script, unsigned n_keys)
{
    HW_MUST(c->n_args == 0);
    c->script = script;
    hw_command_str(c, "EVALSHA");
    hw_command_str(c, script->sha1);
    hw_command_u64(c, n_keys);
}
