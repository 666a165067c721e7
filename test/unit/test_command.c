/* command: what goes over the wire. */
#include "check.h"

#include "redis/command.h"

static const struct hw_script script = { .name = "nothing",
                                         .text = "return 1",
                                         .sha1 = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db" };

CASE(arguments_carry_their_length)
{
    struct hw_command c;

    hw_command_init(&c);
    hw_command_str(&c, "SET");
    hw_command_add(&c, hw_slice("a\r\n\0b", 5));
    hw_command_u64(&c, UINT64_MAX);
    hw_command_u64(&c, 0);
    hw_command_fmt(&c, "%s:%d", "k", 7);
    hw_command_add(&c, hw_slice(NULL, 0));
    CHECK_INT(c.n_args, ==, 6);
    CHECK_SLICE_EQ(hw_buf_slice(&c.args),
                   HW_SLICE("$3\r\nSET\r\n$5\r\na\r\n\0b\r\n$20\r\n18446744073709551615\r\n"
                            "$1\r\n0\r\n$3\r\nk:7\r\n$0\r\n\r\n"));
    hw_command_reset(&c);
    CHECK_INT(c.n_args, ==, 0);
    hw_command_str(&c, "PING");
    CHECK_SLICE(hw_buf_slice(&c.args), "$4\r\nPING\r\n");
    hw_command_close(&c);
}

CASE(a_long_formatted_argument)
{
    struct hw_command c;

    hw_command_init(&c);
    hw_command_fmt(&c, "%01000d", 7);
    CHECK_INT(c.n_args, ==, 1);
    CHECK_INT(hw_buf_len(&c.args), ==, 7 + 1000 + 2);
    hw_command_close(&c);
}

CASE(a_script_begins_with_its_digest)
{
    struct hw_command c;

    hw_command_init(&c);
    hw_command_eval(&c, &script, 2);
    hw_command_str(&c, "k1");
    CHECK_PTR(c.script, ==, &script);
    CHECK_SLICE(hw_buf_slice(&c.args), "$7\r\nEVALSHA\r\n$40\r\n"
                                       "e0e1f9fabfc9d4800c877a703b823ac0578ff8db\r\n"
                                       "$1\r\n2\r\n$2\r\nk1\r\n");
    hw_command_reset(&c);
    CHECK_NULL(c.script);
    hw_command_close(&c);
}

CASE(too_large_is_remembered)
{
    struct hw_command c;

    hw_command_init(&c);
    hw_command_add(&c, hw_slice("", (size_t)HW_COMMAND_MAX + 1));
    CHECK_INT(hw_buf_failed(&c.args), ==, HW_ETOOBIG);
    hw_command_str(&c, "PING");
    CHECK_INT(c.n_args, ==, 0);
    hw_command_reset(&c);
    hw_command_str(&c, "PING");
    CHECK_INT(hw_buf_failed(&c.args), ==, HW_OK);
    hw_command_close(&c);
}
