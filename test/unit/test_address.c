#include "check.h"
#include "hookwheel/alloc.h"
#include "rules/address.h"

static struct hw_address address(const char *text)
{
    struct hw_address a;

    if (!hw_address_parse(&a, hw_slice_str(text)))
        CHECK_FAIL("no address: %s", text);
    return a;
}

static bool is_allowed_with(const char *networks, const char *text, bool localhost_too)
{
    struct hw_address_rules rules;
    struct hw_address a = address(text);
    struct hw_cause cause = { 0 };

    if (hw_address_rules_parse(&rules, hw_slice_str(networks), &cause) != HW_OK)
        CHECK_FAIL("no rules: %s", cause.note);
    bool is_allowed = hw_address_allowed(&rules, &a, localhost_too);
    hw_address_rules_close(&rules);
    return is_allowed;
}

static bool is_allowed(const char *text)
{
    return is_allowed_with("", text, false);
}

/* Of each refused range the first and the last, and their neighbours outside. */
CASE(the_table)
{
    static const struct {
        const char *before, *first, *last, *after; /* NULL: refused for another reason */
    } rows[] = {
        { NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0" },
        { "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0" },
        { "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0" },
        { "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0" },
        { "168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17" },
        { "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0" },
        { "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0" },
        { "191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0" },
        { "192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0" },
        { "192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0" },
        { "192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0" },
        { "192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0" },
        { "192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0" },
        { "192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0" },
        { "198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0" },
        { "198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0" },
        { "203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0" },
        { "223.255.255.255", "224.0.0.0", "239.255.255.255", NULL },
        { NULL, "240.0.0.0", "255.255.255.255", NULL },
        { NULL, "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::" },
        { "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
          "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::" },
        { "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
          "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::" },
        { "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
          "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::" },
        { "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
          "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::" },
        { "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
          "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::" },
        { "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
          "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (is_allowed(rows[i].first) || is_allowed(rows[i].last))
            CHECK_FAIL("not refused: %s to %s", rows[i].first, rows[i].last);
        if ((rows[i].before && !is_allowed(rows[i].before)) ||
            (rows[i].after && !is_allowed(rows[i].after)))
            CHECK_FAIL("neighbour refused: %s, %s", rows[i].first, rows[i].last);
    }
}

CASE(well_known_ones)
{
    static const char *const good[] = { "1.1.1.1", "8.8.8.8", "93.184.216.34",
                                        "2606:4700:4700::1111", "2a00:1450:4001:830::200e" };
    static const char *const bad[] = { "::1",
                                       "::ffff:8.8.8.8",
                                       "::ffff:127.0.0.1",
                                       "::127.0.0.1",
                                       "64:ff9b::808:808",
                                       "64:ff9b:1::1",
                                       "100::1",
                                       "2001::1",
                                       "2002:808:808::1",
                                       "fc00::1",
                                       "fd00:ec2::254",
                                       "fe80::1",
                                       "fec0::1",
                                       "ff02::1",
                                       "5f00::1",
                                       "255.255.255.255",
                                       "169.254.169.254" };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(is_allowed(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (is_allowed(bad[i]))
            CHECK_FAIL("not refused: %s", bad[i]);
}

CASE(networks_can_be_opened)
{
    static const struct {
        const char *networks, *address;
        bool is_allowed;
    } rows[] = {
        { "10.0.0.0/8", "10.1.2.3", true },
        { "10.0.0.0/8", "11.1.2.3", true }, /* public anyway */
        { "10.0.0.0/8", "192.168.0.1", false },
        { " 192.168.0.0/16 ,10.0.0.0/8 ", "10.1.2.3", true },
        { "127.0.0.1", "127.0.0.1", true },
        { "127.0.0.1", "127.0.0.2", false },
        { "127.0.0.0/31", "127.0.0.1", true },
        { "127.0.0.0/31", "127.0.0.2", false },
        { "172.16.0.0/12", "172.31.255.255", true },
        { "0.0.0.0/0", "10.0.0.1", true },
        { "0.0.0.0/0", "::1", false },
        { "::1", "::1", true },
        { "fd12:3456::/33", "fd12:3456:7fff::1", true },
        { "fd12:3456::/33", "fd12:3456:8000::1", false },
        { "::/0", "fd12::1", true },
        { "::/0", "10.0.0.1", false },
        /* link-local and metadata: by their own name only */
        { "0.0.0.0/0,::/0", "169.254.169.254", false },
        { "169.254.0.0/16", "169.254.1.1", false },
        { "169.254.169.254/31", "169.254.169.254", false },
        { "169.254.169.254/32", "169.254.169.254", true },
        { "169.254.169.254", "169.254.169.254", true },
        { "169.254.169.254", "169.254.169.253", false },
        { "168.63.129.16/31", "168.63.129.16", false },
        { "168.63.129.16", "168.63.129.16", true },
        { "100.64.0.0/10", "100.64.0.1", true },
        { "100.64.0.0/10", "100.100.100.200", false },
        { "100.100.100.200", "100.100.100.200", true },
        { "192.0.0.0/24", "192.0.0.192", false },
        { "192.0.0.0/24", "192.0.0.9", true },
        { "fe80::/10", "fe80::1", false },
        { "fe80::1", "fe80::1", true },
        { "fd00::/8", "fd00:ec2::254", false },
        { "fd00:ec2::254/128", "fd00:ec2::254", true },
        { "fd00::/8", "fd20:ce::254", false },
        { "fd00::/8", "fd00:c1::a9fe:a9fe", false },
        { "fd00::/8", "fd00:42::42", false },
        { "fd00::/8", "fd00:42::43", true },
        /* ... and inside other addresses */
        { "::/0", "64:ff9b::a9fe:a9fe", false },
        { "64:ff9b::/96", "64:ff9b::a9fe:a9fe", false },
        { "64:ff9b::/96", "64:ff9b::808:808", true },
        { "64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe", true },
        { "64:ff9b:1::/48", "64:ff9b:1::a9fe:a9fe", false },
        { "2002::/16", "2002:a9fe:a9fe::1", false },
        { "2002::/16", "2002:808:808::1", true },
        { "::/0", "::a9fe:a9fe", false },
        { "::/0", "::ffff:0:a9fe:a9fe", false },
        /* mapped addresses: not by an IPv4 entry, nor by a wide IPv6 one */
        { "10.0.0.0/8", "::ffff:10.0.0.1", false },
        { "::/0", "::ffff:10.0.0.1", false },
        { "::/80", "::ffff:10.0.0.1", false },
        { "::ffff:0.0.0.0/96", "::ffff:10.0.0.1", true },
        { "::ffff:10.0.0.0/104", "::ffff:10.0.0.1", true },
        { "::ffff:0.0.0.0/96", "::ffff:169.254.169.254", false },
        { "::ffff:169.254.169.254", "::ffff:169.254.169.254", true },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (is_allowed_with(rows[i].networks, rows[i].address, false) != rows[i].is_allowed)
            CHECK_FAIL("%s with %s: not %d", rows[i].address, rows[i].networks,
                       rows[i].is_allowed);
}

CASE(localhost_by_name)
{
    CHECK(is_allowed_with("", "127.0.0.1", true));
    CHECK(is_allowed_with("", "::1", true));
    CHECK(!is_allowed_with("", "127.0.0.2", true));
    CHECK(!is_allowed_with("", "::2", true));
    CHECK(!is_allowed_with("", "::ffff:127.0.0.1", true));
    CHECK(!is_allowed_with("", "10.0.0.1", true));
}

CASE(lists_that_are_no_networks)
{
    static const char *const rows[] = {
        ",",
        "10.0.0.0/8,",
        ",10.0.0.0/8",
        "10.0.0.0/8,,::1",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "10.0.0.0/a",
        "10.0.0.0/ 8",
        "10.0.0/8",
        "10.0.0.5/8",
        "010.0.0.0/8",
        "0x0a.0.0.0/8",
        "example.com",
        "::1/129",
        "[::1]",
        "fe80::1%eth0",
        "fd00::1/8",
        "10.0.0.0/8 ::1",
        "10.0.0.0/8;::1",
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hw_address_rules rules;
        struct hw_cause cause = { 0 };
        if (hw_address_rules_parse(&rules, hw_slice_str(rows[i]), &cause) != HW_EINVAL)
            CHECK_FAIL("not refused: %s", rows[i]);
        CHECK(cause.note[0] != '\0');
        CHECK_NULL((void *)rules.open);
    }
    struct hw_address_rules rules;
    struct hw_cause cause;
    CHECK_INT(hw_address_rules_parse(&rules, HW_SLICE("10.0.0.0/8, 10.0.0.5/8"), &cause), ==,
              HW_EINVAL);
    CHECK_STR(cause.note, "\"10.0.0.5/8\" has bits set behind its prefix");
    CHECK_INT(hw_address_rules_parse(&rules, HW_SLICE("  "), NULL), ==, HW_OK);
    CHECK_INT(rules.n_open, ==, 0);
}

static void *refuse_malloc(void *data, size_t n_bytes)
{
    (void)data;
    (void)n_bytes;
    return NULL;
}

static void no_free(void *data, void *p)
{
    (void)data;
    CHECK_NULL(p);
}

CASE(no_memory_for_a_list)
{
    struct hw_alloc none = { .malloc_fn = refuse_malloc, .free_fn = no_free };
    struct hw_address_rules rules;

    hw_alloc_use(&none);
    CHECK_INT(hw_address_rules_parse(&rules, HW_SLICE("10.0.0.0/8"), NULL), ==, HW_ENOMEM);
    hw_address_rules_close(&rules);
    hw_alloc_use(NULL);
}

CASE(addresses_as_text)
{
    static const char *const same[] = { "0.0.0.0",
                                        "255.255.255.255",
                                        "1.2.3.4",
                                        "::",
                                        "::1",
                                        "2001:db8::1",
                                        "::ffff:1.2.3.4",
                                        "1:2:3:4:5:6:7:8",
                                        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" };
    static const char *const bad[] = {
        "",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        "1.2.3.4 ",
        " 1.2.3.4",
        "0x1.2.3.4",
        "1.2.3.+4",
        "[::1]",
        "::1%lo",
        ":::",
        "1::2::3",
        "12345::",
        "1:2:3:4:5:6:7",
        "::1.2.3",
        "::01.2.3.4",
        "a",
        "localhost",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"
    };
    struct hw_address a;
    char text[HW_ADDRESS_TEXT_MAX];

    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        a = address(same[i]);
        hw_address_text(&a, text);
        CHECK_STR(text, same[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (hw_address_parse(&a, hw_slice_str(bad[i])))
            CHECK_FAIL("not refused: %s", bad[i]);
    CHECK(!hw_address_parse(&a, HW_SLICE("1.2.3.4\0")));
    a = address("2001:DB8:0:0::0001");
    hw_address_text(&a, text);
    CHECK_STR(text, "2001:db8::1");
}
