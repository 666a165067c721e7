/* url: what is taken, what it becomes, and why the rest is refused. */
#include "check.h"

#include "http/url.h"
#include "support/scarce.h"

static const struct hw_url_rules strict = { false, false };
static const struct hw_url_rules local = { true, false };
static const struct hw_url_rules open_rules = { true, true };

static void check_good(const char *text, const char *canonical,
                       const struct hw_url_rules *rules)
{
    struct hw_cause cause = { 0 };
    struct hw_url url, again;

    if (hw_url_parse(&url, hw_slice_str(text), rules, &cause) != HW_OK)
        CHECK_FAIL("%s was refused: %s", text, cause.note);
    CHECK_STR(url.text, canonical);
    /* Canonical means: parsed again it is itself. */
    CHECK_INT(hw_url_parse(&again, hw_slice_str(url.text), rules, &cause), ==, HW_OK);
    CHECK_STR(again.text, url.text);
    CHECK_SLICE_EQ(again.origin, url.origin);
    CHECK_SLICE_EQ(again.host, url.host);
    CHECK_SLICE_EQ(again.authority, url.authority);
    CHECK_SLICE_EQ(again.target, url.target);
    CHECK_INT(url.target.data[0], ==, '/');
    hw_url_close(&again);
    hw_url_close(&url);
    CHECK_NULL(url.text);
}

static void check_bad(const char *text, const char *part_of_note,
                      const struct hw_url_rules *rules)
{
    struct hw_cause cause = { 0 };
    struct hw_url url;

    if (hw_url_parse(&url, hw_slice_str(text), rules, &cause) == HW_OK)
        CHECK_FAIL("%s was taken, as %s", text, url.text);
    CHECK_INT(cause.status, ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, part_of_note);
    CHECK_NULL(url.text);
    CHECK_INT(hw_url_parse(&url, hw_slice_str(text), rules, NULL), ==, HW_EINVAL);
}

CASE(good)
{
    static const char *const pairs[][2] = {
        { "https://example.com", "https://example.com/" },
        { "https://example.com/", "https://example.com/" },
        { "HTTPS://Example.COM/Path?Q=1", "https://example.com/Path?Q=1" },
        { "hTtPs://example.com:443/x", "https://example.com/x" },
        { "https://example.com:8443/x", "https://example.com:8443/x" },
        { "https://example.com:1024", "https://example.com:1024/" },
        { "https://example.com:65535/", "https://example.com:65535/" },
        { "https://a-b.example.com/", "https://a-b.example.com/" },
        { "https://_dmarc.ex_ample.com/", "https://_dmarc.ex_ample.com/" },
        { "https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/" },
        { "https://1.example/", "https://1.example/" },
        { "https://1.2.3.4.example/", "https://1.2.3.4.example/" },
        { "https://0x1.example.com/", "https://0x1.example.com/" },
        { "https://203.0.113.9/", "https://203.0.113.9/" },
        { "https://8.8.8.8:8443", "https://8.8.8.8:8443/" },
        { "https://255.255.255.255/", "https://255.255.255.255/" },
        { "https://[2001:DB8:0:0:0:0:0:1]/", "https://[2001:db8::1]/" },
        { "https://[2001:db8::0001]:8443", "https://[2001:db8::1]:8443/" },
        { "https://[2001:db8:0:1:1:1:1:1]/", "https://[2001:db8:0:1:1:1:1:1]/" },
        { "https://[2001:db8::1:1:1:1:1]/", "https://[2001:db8:0:1:1:1:1:1]/" },
        { "https://[2001:0:0:1:0:0:0:1]/", "https://[2001:0:0:1::1]/" },
        { "https://[2001:db8:0:0:1:0:0:1]/", "https://[2001:db8::1:0:0:1]/" },
        { "https://[::ffff:192.0.2.1]/", "https://[::ffff:192.0.2.1]/" },
        { "https://[::FFFF:c000:201]/", "https://[::ffff:192.0.2.1]/" },
        { "https://[::]/", "https://[::]/" },
        { "https://[::1]/", "https://[::1]/" },
        { "https://example.com/a/../b//c;d=1,2:@!$&'()*+",
          "https://example.com/a/../b//c;d=1,2:@!$&'()*+" },
        { "https://example.com/?a=b?c/d", "https://example.com/?a=b?c/d" },
        { "https://example.com/a@b", "https://example.com/a@b" },
        { "https://example.com/%7Euser/\"{}|\\^`<>",
          "https://example.com/%7Euser/\"{}|\\^`<>" },
        { "https://notlocal.example/", "https://notlocal.example/" },
        { "https://xlocalhost.com/", "https://xlocalhost.com/" },
        { "https://svc.example/", "https://svc.example/" },
        { "https://internal.example.com/", "https://internal.example.com/" },
    };

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        check_good(pairs[i][0], pairs[i][1], &strict);
        check_good(pairs[i][0], pairs[i][1], &open_rules);
    }
}

CASE(bad)
{
    static const char *const pairs[][2] = {
        { "", "empty" },
        { "example.com", "https://" },
        { "https:/example.com/", "https://" },
        { "https:example.com/", "https://" },
        { "ftp://example.com/", "https://" },
        { "ws://example.com/", "https://" },
        { "//example.com/", "https://" },
        { "httpss://example.com/", "https://" },
        { " https://example.com/", "visible ASCII" },
        { "https://example.com/ ", "visible ASCII" },
        { "https://example.com/a b", "visible ASCII" },
        { "https://example.com/\t", "visible ASCII" },
        { "https://example.com/\r\nx: y", "visible ASCII" },
        { "https://example.com/\x7f", "visible ASCII" },
        { "https://b\xc3\xbc"
          "cher.example/",
          "punycode" },
        { "https://example.com/\xc3\xbc", "percent-encode" },
        { "https://", "no host" },
        { "https:///path", "no host" },
        { "https://:8443/", "no host" },
        { "https://?q", "query without a path" },
        { "https://example.com?q=1", "query without a path" },
        { "https://example.com?q=/", "query without a path" },
        { "https://example.com/#", "fragment" },
        { "https://example.com/a#b", "fragment" },
        { "https://example.com#", "fragment" },
        { "https://user@example.com/", "user name" },
        { "https://user:pass@example.com/", "user name" },
        { "https://@example.com/", "user name" },
        { "https://:@example.com/", "user name" },
        { "https://good.example\\@evil.example/", "user name" },
        { "https://example.com:/", "port" },
        { "https://example.com:0/", "port" },
        { "https://example.com:80/", "port" },
        { "https://example.com:22/", "port" },
        { "https://example.com:442/", "port" },
        { "https://example.com:1023/", "port" },
        { "https://example.com:65536/", "port" },
        { "https://example.com:99999999999999999999/", "port" },
        { "https://example.com:0443/", "port" },
        { "https://example.com:+443/", "port" },
        { "https://example.com:443x/", "port" },
        { "https://example.com:443:443/", "port" },
        { "https://example.com./", "empty label" },
        { "https://.example.com/", "empty label" },
        { "https://example..com/", "empty label" },
        { "https://./", "empty label" },
        { "https://-a.example/", "hyphen" },
        { "https://a-.example/", "hyphen" },
        { "https://ex%61mple.com/", "character" },
        { "https://exa*mple.com/", "character" },
        { "https://a,b.example/", "character" },
        { "https://example.com\\/", "character" },
        { "https://1.2.3/", "neither a name nor an IPv4" },
        { "https://1/", "neither a name nor an IPv4" },
        { "https://2130706433/", "neither a name nor an IPv4" },
        { "https://0x7f000001/", "neither a name nor an IPv4" },
        { "https://0x7f.1/", "neither a name nor an IPv4" },
        { "https://0X7F.0.0.1/", "neither a name nor an IPv4" },
        { "https://127.0.0.0x1/", "neither a name nor an IPv4" },
        { "https://example.0x/", "neither a name nor an IPv4" },
        { "https://example.0xg/", "neither a name nor an IPv4" },
        { "https://example.123/", "neither a name nor an IPv4" },
        { "https://01.02.03.04/", "neither a name nor an IPv4" },
        { "https://8.8.8.08/", "neither a name nor an IPv4" },
        { "https://8.8.8.010/", "neither a name nor an IPv4" },
        { "https://256.1.1.1/", "neither a name nor an IPv4" },
        { "https://1.2.3.4.5/", "neither a name nor an IPv4" },
        { "https://8.8.8.8./", "empty label" },
        { "https://[::1/", "without a ]" },
        { "https://[]/", "not an IPv6" },
        { "https://[1.2.3.4]/", "not an IPv6" },
        { "https://[example.com]/", "not an IPv6" },
        { "https://[::g]/", "not an IPv6" },
        { "https://[1:2:3:4:5:6:7:8:9]/", "not an IPv6" },
        { "https://[1:2:3:4:5:6:7::8:9]/", "not an IPv6" },
        { "https://[::1::2]/", "not an IPv6" },
        { "https://[v1.x]/", "not an IPv6" },
        { "https://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]/", "not an IPv6" },
        { "https://[fe80::1%eth0]/", "zone" },
        { "https://[fe80::1%25eth0]/", "zone" },
        { "https://[::1]x/", "behind the ]" },
        { "https://[::1]]/", "behind the ]" },
        { "https://[::1]:/", "port" },
        { "https://[::1]:22/", "port" },
        { "https://::1/", "no host" },
        { "https://2001:db8::1/", "neither a name nor" },
        { "https://x]/", "character" },
    };

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        check_bad(pairs[i][0], pairs[i][1], &strict);
        check_bad(pairs[i][0], pairs[i][1], &open_rules);
    }
}

CASE(names_for_internal_use)
{
    static const char *const names[] = {
        "intranet",
        "localhost",
        "LOCALHOST",
        "app.localhost",
        "a.b.localhost",
        "host.localdomain",
        "printer.local",
        "db.internal",
        "x.google.internal",
        "web.ns.svc",
        "web.ns.svc.cluster.local",
        "router.home.arpa",
        "1.0.0.127.in-addr.arpa",
        "x.onion",
        "metadata.goog",
        "x.metadata.goog",
        "_",
        "a-b",
    };
    char text[128];
    struct hw_url url;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(text, sizeof text, "https://%s/hook", names[i]);
        check_bad(text, "internal use", &strict);
        check_bad(text, "internal use", &local);
        CHECK_INT(hw_url_parse(&url, hw_slice_str(text), &open_rules, NULL), ==, HW_OK);
        CHECK(!url.is_address);
        hw_url_close(&url);
    }
}

CASE(http_is_for_localhost)
{
    static const char *const others[] = {
        "http://example.com/",       "http://127.0.0.2/",     "http://[::2]/",
        "http://localhost.example/", "http://app.localhost/", "http://8.8.8.8/",
        "http://0.0.0.0/",           "http://intranet/",
    };

    check_bad("http://localhost/", "http is not allowed", &strict);
    check_bad("http://127.0.0.1/", "http is not allowed", &strict);
    check_bad("http://localhost./", "empty label", &local);
    check_bad("http://localhost:22/", "port", &local);
    check_bad("http://127.1/", "neither", &local);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        check_bad(others[i], "https://", &local);
        check_bad(others[i], "https://", &open_rules);
    }
    check_good("HTTP://LocalHost", "http://localhost/", &local);
    check_good("http://localhost:80/a", "http://localhost/a", &local);
    check_good("http://localhost:443/a", "http://localhost:443/a", &local);
    check_good("http://127.0.0.1:9000/a?b", "http://127.0.0.1:9000/a?b", &local);
    check_good("http://[::1]:9000", "http://[::1]:9000/", &local);
    check_good("http://[0:0:0:0:0:0:0:1]:9000", "http://[::1]:9000/", &local);
}

CASE(parts)
{
    struct hw_url url;

    CHECK_INT(hw_url_parse(&url, HW_SLICE("https://[2001:DB8::1]/a?b=c"), &strict, NULL), ==,
              HW_OK);
    CHECK_SLICE(url.origin, "https://[2001:db8::1]:443");
    CHECK_SLICE(url.host, "2001:db8::1");
    CHECK_SLICE(url.authority, "[2001:db8::1]");
    CHECK_SLICE(url.target, "/a?b=c");
    CHECK_INT(url.port, ==, 443);
    CHECK(url.is_tls && url.is_address);
    hw_url_close(&url);

    CHECK_INT(hw_url_parse(&url, HW_SLICE("https://Api.Example.com:8443"), &strict, NULL), ==,
              HW_OK);
    CHECK_SLICE(url.origin, "https://api.example.com:8443");
    CHECK_SLICE(url.host, "api.example.com");
    CHECK_SLICE(url.authority, "api.example.com:8443");
    CHECK_SLICE(url.target, "/");
    CHECK_INT(url.port, ==, 8443);
    CHECK(url.is_tls && !url.is_address);
    hw_url_close(&url);

    CHECK_INT(hw_url_parse(&url, HW_SLICE("http://127.0.0.1/"), &local, NULL), ==, HW_OK);
    CHECK_SLICE(url.origin, "http://127.0.0.1:80");
    CHECK_SLICE(url.host, "127.0.0.1");
    CHECK_SLICE(url.authority, "127.0.0.1");
    CHECK_INT(url.port, ==, 80);
    CHECK(!url.is_tls && url.is_address);
    hw_url_close(&url);
    hw_url_close(&url); /* closed twice is closed */
}

/* "https://a.example" and then `n_path` bytes of path, in *url's text form. */
static size_t long_url(char *text, const char *begin, size_t total)
{
    size_t n = strlen(begin);

    memcpy(text, begin, n);
    memset(text + n, 'x', total - n);
    return total;
}

CASE(length_is_bounded)
{
    static char text[4096];
    struct hw_cause cause = { 0 };
    struct hw_url url;

    CHECK_INT(hw_url_parse(&url, hw_slice(text, long_url(text, "https://a.example/", 2048)),
                           &strict, &cause),
              ==, HW_OK);
    CHECK_INT(strlen(url.text), ==, 2048);
    hw_url_close(&url);
    CHECK_INT(hw_url_parse(&url, hw_slice(text, long_url(text, "https://a.example/", 2049)),
                           &strict, &cause),
              ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, "2048");
    /* The canonical form is longer than what was given. */
    CHECK_INT(hw_url_parse(&url, hw_slice(text, long_url(text, "https://[::ffff:1:2]/", 2048)),
                           &strict, &cause),
              ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, "canonical");
}

CASE(labels_and_names_are_bounded)
{
    char many[300], text[400];

    memset(many, 'a', sizeof many);
    snprintf(text, sizeof text, "https://%.63s.example/", many);
    check_good(text, text, &strict);
    snprintf(text, sizeof text, "https://%.64s.example/", many);
    check_bad(text, "63", &strict);
    for (size_t i = 1; i < sizeof many; i += 2)
        many[i] = '.';
    snprintf(text, sizeof text, "https://%.253s/", many);
    check_good(text, text, &strict);
    snprintf(text, sizeof text, "https://%.253sa/", many);
    check_bad(text, "253", &strict);
}

CASE(nul_bytes_are_refused)
{
    struct hw_url url;

    CHECK_INT(hw_url_parse(&url, HW_SLICE("https://a.example/\0x"), &strict, NULL), ==,
              HW_EINVAL);
    CHECK_INT(hw_url_parse(&url, HW_SLICE("https://127.0.0.1\0.example/"), &strict, NULL), ==,
              HW_EINVAL);
    CHECK_INT(hw_url_parse(&url, HW_SLICE("https://[::1\0]/"), &strict, NULL), ==, HW_EINVAL);
}

CASE(out_of_memory)
{
    struct hw_cause cause = { 0 };
    struct hw_url url;

    SCARCE_EACH(n)
    {
        scarce_begin(n);
        enum hw_status status = hw_url_parse(
            &url,
            HW_SLICE("https://a-rather-long-name.example.com/with/a/path?and=a&query=too"),
            &strict, &cause);
        CHECK_INT(status, ==, scarce.has_failed ? HW_ENOMEM : HW_OK);
        hw_url_close(&url);
        scarce_end();
    }
}

/* Any text: taken or refused, and what is taken is stable. */
CASE(random_texts)
{
    static const char *const pieces[] = {
        "https://",    "http://",   "HTTPS://",  "a", "A.b", ".", "-", "_", ":", "443", "8443",
        "[",           "]",         "::",        "1", "0x",  "%", "/", "?", "#", "@",   "\\",
        "example.com", "localhost", "127.0.0.1",
    };
    char text[256];

    for (int round = 0; round < 20000; round++) {
        const struct hw_url_rules *rules = check_random_below(2) ? &strict : &open_rules;
        struct hw_url url, again;
        size_t n = 0;
        size_t n_pieces = check_random_below(9);

        if (check_random_below(4) > 0)
            n += (size_t)snprintf(text, sizeof text, "https://");
        for (size_t i = 0; i < n_pieces; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s",
                                  pieces[check_random_below(sizeof pieces / sizeof *pieces)]);
        if (hw_url_parse(&url, hw_slice(text, n), rules, NULL) != HW_OK)
            continue;
        CHECK_INT(hw_url_parse(&again, hw_slice_str(url.text), rules, NULL), ==, HW_OK);
        CHECK_STR(again.text, url.text);
        hw_url_close(&again);
        hw_url_close(&url);
    }
}
