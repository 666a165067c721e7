/* inbound: requests whole, byte by byte and cut at random read the same; pipelined ones come
 * one at a time; what a server must refuse is refused. */
#include "check.h"

#include "http/inbound.h"
#include "support/scarce.h"

enum { BODY_MAX = 40, SEEN_MAX = 8 };

/* One request as it was read. */
struct seen {
    char method[16];
    char target[64];
    char head[256];
    char body[64];
    bool keep_alive;
    bool expects_continue; /* when the head was complete */
    uint64_t content_length;
};

struct outcome {
    struct seen seen[SEEN_MAX];
    unsigned n_seen;
    enum hw_status status;
    bool too_large_body;
    bool has_rest; /* an incomplete request behind the last */
    struct hw_cause cause;
};

typedef size_t (*cut_fn)(size_t left);

static size_t cut_none(size_t left)
{
    return left;
}

static size_t cut_bytes(size_t left)
{
    (void)left;
    return 1;
}

static size_t cut_random(size_t left)
{
    size_t n = check_random_below(check_random_below(4) ? 8 : 200);

    return n > left ? left : n;
}

static void copy_out(char *to, size_t size, const struct hw_buf *from)
{
    struct hw_slice s = hw_buf_slice(from);

    snprintf(to, size, "%.*s", HW_SLICE_FMT(s));
}

static void see(struct outcome *o, const struct hw_inbound *in)
{
    struct seen *s = &o->seen[o->n_seen++];

    CHECK_INT(o->n_seen, <=, SEEN_MAX);
    snprintf(s->method, sizeof s->method, "%s", in->method);
    copy_out(s->target, sizeof s->target, &in->target);
    copy_out(s->head, sizeof s->head, &in->head);
    copy_out(s->body, sizeof s->body, &in->body);
    s->keep_alive = in->keep_alive;
    s->content_length = in->content_length;
}

/* Feed one piece to its end, over as many requests as it holds. */
static void feed_piece(struct outcome *o, struct hw_inbound *in, struct hw_slice piece,
                       bool *expected)
{
    size_t at = 0, n_used;

    while (at < piece.len && o->status == HW_OK) {
        bool had_head = in->has_head;

        o->status =
            hw_inbound_feed(in, hw_slice(piece.data + at, piece.len - at), &n_used, &o->cause);
        if (o->status != HW_OK)
            return;
        at += n_used;
        if (at < piece.len)
            CHECK(in->is_complete || (in->has_head && !had_head));
        if (!had_head && in->has_head)
            *expected = in->expects_continue;
        if (!in->is_complete)
            continue;
        see(o, in);
        o->seen[o->n_seen - 1].expects_continue = *expected;
        CHECK(!in->expects_continue);
        hw_inbound_next(in);
    }
}

static void read_with(struct outcome *o, struct hw_slice text, cut_fn cut)
{
    struct hw_inbound in;
    bool expected = false;

    *o = (struct outcome){ .status = HW_OK };
    hw_inbound_init(&in, BODY_MAX);
    for (size_t at = 0; at < text.len && o->status == HW_OK;) {
        size_t n = cut(text.len - at);
        char *piece = malloc(n + 1); /* of its own, so that reading past it is seen */

        memcpy(piece, text.data + at, n);
        feed_piece(o, &in, hw_slice(piece, n), &expected);
        free(piece);
        at += n;
    }
    o->too_large_body = in.too_large_body;
    o->has_rest = in.has_head || in.head_bytes > 0;
    hw_inbound_close(&in);
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    CHECK_INT(b->status, ==, a->status);
    CHECK_INT(b->n_seen, ==, a->n_seen);
    CHECK_INT(b->too_large_body, ==, a->too_large_body);
    if (a->status == HW_OK)
        CHECK_INT(b->has_rest, ==, a->has_rest);
    for (unsigned i = 0; i < a->n_seen; i++) {
        CHECK_STR(b->seen[i].method, a->seen[i].method);
        CHECK_STR(b->seen[i].target, a->seen[i].target);
        CHECK_STR(b->seen[i].head, a->seen[i].head);
        CHECK_STR(b->seen[i].body, a->seen[i].body);
        CHECK_INT(b->seen[i].keep_alive, ==, a->seen[i].keep_alive);
        CHECK_INT(b->seen[i].expects_continue, ==, a->seen[i].expects_continue);
        CHECK_INT(b->seen[i].content_length, ==, a->seen[i].content_length);
    }
}

static void read_slice(struct outcome *o, struct hw_slice text)
{
    struct outcome other;

    read_with(o, text, cut_none);
    read_with(&other, text, cut_bytes);
    check_same(o, &other);
    for (int i = 0; i < 3; i++) {
        read_with(&other, text, cut_random);
        check_same(o, &other);
    }
}

struct good {
    const char *text;
    const char *method;
    const char *target;
    const char *head;
    const char *body;
    bool keep_alive;
};

static const struct good goods[] = {
    { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/", "host: a\n", "", true },
    { "GET /v1/events?limit=5&x=%20 HTTP/1.1\r\nHOST: a:80\r\n\r\n", "GET",
      "/v1/events?limit=5&x=%20", "host: a:80\n", "", true },
    { "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/", "host: a\n", "", true },
    { "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET", "/", "host: \n", "", true },
    { "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HEAD", "/",
      "host: a\nconnection: close\n", "", false },
    { "GET / HTTP/1.0\r\n\r\n", "GET", "/", "", "", false },
    { "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET", "/",
      "connection: keep-alive\n", "", true },
    { "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS", "*", "host: a\n", "", true },
    { "GET http://a.example/p?q=/r HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET", "/p?q=/r",
      "host: a.example\n", "", true },
    { "GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET", "/",
      "host: a.example\n", "", true },
    { "PATCH /a HTTP/1.1\r\nHost: a\r\ncontent-length: 2\r\n\r\n{}", "PATCH", "/a",
      "host: a\ncontent-length: 2\n", "{}", true },
    { "POST /a HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}", "POST", "/a", "content-length: 2\n",
      "{}", false },
    { "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "POST", "/a",
      "host: a\ncontent-length: 0\n", "", true },
    { "DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n", "DELETE", "/a", "host: a\n", "", true },
    { "M-SEARCH /a HTTP/1.1\r\nHost: a\r\n\r\n", "M-SEARCH", "/a", "host: a\n", "", true },
    { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "CHUNKED\r\n\r\n2;x\r\nab\r\n1\r\nc\r\n0\r\n"
      "Content-Type: text/evil\r\n\r\n",
      "POST", "/", "host: a\ntransfer-encoding: CHUNKED\n", "abc", true },
    { "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\ncontent-length: 1\r\n\r\na", "POST", "/",
      "host: a\nupgrade: h2c\ncontent-length: 1\n", "a", true },
    { "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: "
      "40\r\n\r\n0123456789012345678901234567890123456789",
      "POST", "/", "host: a\ncontent-length: 40\n", "0123456789012345678901234567890123456789",
      true },
};

CASE(good)
{
    for (size_t i = 0; i < sizeof goods / sizeof *goods; i++) {
        const struct good *g = &goods[i];
        struct outcome o;

        read_slice(&o, hw_slice_str(g->text));
        if (o.status != HW_OK)
            CHECK_FAIL("%s\nwas refused: %s", g->text, o.cause.note);
        CHECK_INT(o.n_seen, ==, 1);
        CHECK(!o.has_rest);
        CHECK_STR(o.seen[0].method, g->method);
        CHECK_STR(o.seen[0].target, g->target);
        CHECK_STR(o.seen[0].head, g->head);
        CHECK_STR(o.seen[0].body, g->body);
        if (o.seen[0].keep_alive != g->keep_alive)
            CHECK_FAIL("keep_alive is wrong for %s", g->text);
    }
}

CASE(prefixes_are_incomplete)
{
    for (size_t i = 0; i < sizeof goods / sizeof *goods; i++) {
        for (size_t n = 0; n < strlen(goods[i].text); n++) {
            struct outcome o;

            read_slice(&o, hw_slice(goods[i].text, n));
            CHECK_INT(o.status, ==, HW_OK);
            CHECK_INT(o.n_seen, ==, 0);
        }
    }
}

CASE(bad)
{
    static const char *const texts[] = {
        "\n",
        "\r\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\x80: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / \r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/0.9\r\nHost: a\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET / RTSP/1.0\r\nHost: a\r\n\r\n",
        "DESCRIBE / RTSP/1.0\r\nHost: a\r\n\r\n",
        "SOURCE / ICE/1.0\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET *a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a?b/c HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
        "1\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
        "chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
        "chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab0\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct outcome o;

        read_slice(&o, hw_slice_str(texts[i]));
        if (o.status != HW_EPROTO)
            CHECK_FAIL("%s\nwas taken (%d, %u requests)", texts[i], (int)o.status, o.n_seen);
        CHECK_INT(o.n_seen, ==, 0);
        CHECK_INT(strlen(o.cause.note), >, 10);
    }
}

CASE(pipelined)
{
    struct outcome o;

    read_slice(&o, HW_SLICE("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                            "POST /2 HTTP/1.1\r\nHost: b\r\ncontent-length: 3\r\n\r\nabc"
                            "\r\n"
                            "POST /3 HTTP/1.1\r\nHost: c\r\ntransfer-encoding: chunked\r\n\r\n"
                            "1\r\nx\r\n0\r\nT: v\r\n\r\n"
                            "GET /4 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
                            "GET /5 HTTP"));
    CHECK_INT(o.status, ==, HW_OK);
    CHECK_INT(o.n_seen, ==, 4);
    CHECK_STR(o.seen[0].target, "/1");
    CHECK_STR(o.seen[1].body, "abc");
    CHECK_STR(o.seen[2].target, "/3");
    CHECK_STR(o.seen[2].body, "x");
    CHECK_STR(o.seen[2].head, "host: c\ntransfer-encoding: chunked\n");
    CHECK_STR(o.seen[3].target, "/4");
    CHECK(!o.seen[3].keep_alive);
    CHECK(o.has_rest);
}

CASE(stops_behind_the_head_and_behind_the_end)
{
    const struct hw_slice text =
        HW_SLICE("POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 50\r\n\r\n"
                 "01234567890123456789012345678901234567890123456789GET / HTTP/1.1\r\n");
    size_t n_used, head_len = text.len - 50 - 16;
    struct hw_inbound in;

    hw_inbound_init(&in, BODY_MAX);
    CHECK_INT(hw_inbound_feed(&in, text, &n_used, NULL), ==, HW_OK);
    CHECK(in.has_head && !in.is_complete);
    CHECK_INT(n_used, ==, head_len);
    CHECK_INT(in.content_length, ==, 50);
    CHECK_INT(in.head_bytes, ==, head_len);
    CHECK_INT(hw_buf_len(&in.body), ==, 0);
    in.body_max = 50; /* what the route allows */
    CHECK_INT(hw_inbound_feed(&in, hw_slice_from(text, head_len), &n_used, NULL), ==, HW_OK);
    CHECK_INT(n_used, ==, 50);
    CHECK(in.is_complete);
    CHECK_INT(hw_buf_len(&in.body), ==, 50);
    /* Nothing more is taken before next. */
    CHECK_INT(hw_inbound_feed(&in, hw_slice_from(text, head_len + 50), &n_used, NULL), ==,
              HW_OK);
    CHECK_INT(n_used, ==, 0);
    hw_inbound_next(&in);
    CHECK_INT(in.body_max, ==, BODY_MAX);
    CHECK(!in.has_head && !in.is_complete && in.method == NULL);
    CHECK_INT(hw_inbound_feed(&in, hw_slice_from(text, head_len + 50), &n_used, NULL), ==,
              HW_OK);
    CHECK_INT(n_used, ==, 16);
    hw_inbound_close(&in);
}

CASE(expect_continue)
{
    static const struct {
        const char *text;
        bool expects;
    } cases[] = {
        { "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\ncontent-length: 1\r\n\r\na",
          true },
        { "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\ntransfer-encoding: "
          "chunked\r\n\r\n"
          "0\r\n\r\n",
          true },
        { "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\ncontent-length: 0\r\n\r\n",
          false },
        { "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", false },
        { "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\ncontent-length: 1\r\n\r\na",
          false },
        { "POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\ncontent-length: 1\r\n\r\na", false },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o;

        read_slice(&o, hw_slice_str(cases[i].text));
        CHECK_INT(o.n_seen, ==, 1);
        CHECK_INT(o.seen[0].expects_continue, ==, cases[i].expects);
    }
}

CASE(too_large_bodies)
{
    static const char *const texts[] = {
        /* 41 bytes are one too many; said before the first where it can be */
        "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 41\r\n\r\n0",
        "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 18446744073709551615\r\n\r\n0",
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n29\r\n",
        ("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n"
         "14\r\n01234567890123456789\r\n15\r\n"),
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    };
    struct hw_inbound in;
    struct outcome o;
    size_t n_used;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        read_slice(&o, hw_slice_str(texts[i]));
        CHECK_INT(o.status, ==, HW_ETOOBIG);
        CHECK(o.too_large_body);
    }
    /* Feeding nothing says it too. */
    hw_inbound_init(&in, BODY_MAX);
    CHECK_INT(hw_inbound_feed(&in,
                              HW_SLICE("POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 41\r\n"
                                       "Expect: 100-continue\r\n\r\n"),
                              &n_used, NULL),
              ==, HW_OK);
    CHECK(in.expects_continue);
    CHECK_INT(hw_inbound_feed(&in, hw_slice(NULL, 0), &n_used, &o.cause), ==, HW_ETOOBIG);
    CHECK(in.too_large_body);
    CHECK_INT(hw_inbound_feed(&in, HW_SLICE("x"), &n_used, &o.cause), ==, HW_ETOOBIG);
    /* A limit drawn in below what was read already. */
    hw_inbound_next(&in);
    CHECK_INT(hw_inbound_feed(
                  &in, HW_SLICE("POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 20\r\n\r\n"),
                  &n_used, NULL),
              ==, HW_OK);
    CHECK_INT(hw_inbound_feed(&in, HW_SLICE("0123456789"), &n_used, NULL), ==, HW_OK);
    in.body_max = 5;
    CHECK_INT(hw_inbound_feed(&in, HW_SLICE("0"), &n_used, NULL), ==, HW_ETOOBIG);
    hw_inbound_close(&in);
}

struct text {
    char bytes[64 * 1024];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *t, const char *fmt,
                                                           ...)
{
    va_list args;

    va_start(args, fmt);
    t->len += (size_t)vsnprintf(t->bytes + t->len, sizeof t->bytes - t->len, fmt, args);
    va_end(args);
    CHECK_INT(t->len, <, sizeof t->bytes);
}

static void text_fill(struct text *t, size_t until)
{
    while (t->len < until)
        t->bytes[t->len++] = 'x';
}

static void check_text(const struct text *t, enum hw_status status)
{
    struct outcome o;

    read_slice(&o, hw_slice(t->bytes, t->len));
    CHECK_INT(o.status, ==, status);
    CHECK_INT(o.n_seen, ==, status == HW_OK);
    CHECK(!o.too_large_body);
}

CASE(head_is_bounded)
{
    static struct text t;

    for (size_t total = 16 * 1024 - 1; total <= 16 * 1024 + 2; total++) {
        enum hw_status status = total <= 16 * 1024 ? HW_OK : HW_ETOOBIG;

        t.len = 0; /* a long target */
        text_add(&t, "GET /");
        text_fill(&t, total - 22);
        text_add(&t, " HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(t.len, ==, total);
        check_text(&t, status);
        t.len = 0; /* a long field */
        text_add(&t, "GET / HTTP/1.1\r\nHost: ");
        text_fill(&t, total - 4);
        text_add(&t, "\r\n\r\n");
        check_text(&t, status);
    }
    t.len = 0; /* no line ever ends */
    text_fill(&t, 20000);
    check_text(&t, HW_ETOOBIG);
    t.len = 0; /* empty lines count */
    while (t.len < 20000)
        text_add(&t, "\r\n");
    check_text(&t, HW_ETOOBIG);
}

CASE(fields_are_counted)
{
    static struct text t;

    for (int n = 99; n <= 102; n++) {
        t.len = 0;
        text_add(&t, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 1; i < n; i++)
            text_add(&t, "a%d:\r\n", i);
        text_add(&t, "\r\n");
        check_text(&t, n <= 100 ? HW_OK : HW_ETOOBIG);
        t.len = 0; /* trailers too */
        text_add(&t, "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n");
        for (int i = 2; i < n; i++)
            text_add(&t, "a%d: b\r\n", i);
        text_add(&t, "\r\n");
        check_text(&t, n <= 100 ? HW_OK : HW_ETOOBIG);
    }
}

CASE(chunk_framing_is_bounded)
{
    static struct text t;

    for (size_t n = 16000; n <= 17000; n += 1000) {
        t.len = 0;
        text_add(&t, "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n1;");
        text_fill(&t, t.len + n);
        text_add(&t, "\r\nx\r\n0\r\n\r\n");
        check_text(&t, n == 16000 ? HW_OK : HW_ETOOBIG);
        t.len = 0;
        text_add(&t,
                 "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: ");
        text_fill(&t, t.len + n);
        text_add(&t, "\r\n\r\n");
        check_text(&t, n == 16000 ? HW_OK : HW_ETOOBIG);
    }
}

CASE(a_large_body_is_given_back)
{
    static char piece[16 * 1024];
    struct hw_inbound in;
    size_t n_used;

    scarce_begin(0);
    hw_inbound_init(&in, 1024 * 1024);
    CHECK_INT(hw_inbound_feed(
                  &in,
                  HW_SLICE("POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 1048576\r\n\r\n"),
                  &n_used, NULL),
              ==, HW_OK);
    while (!in.is_complete)
        CHECK_INT(hw_inbound_feed(&in, hw_slice(piece, sizeof piece), &n_used, NULL), ==,
                  HW_OK);
    CHECK_INT(hw_buf_len(&in.body), ==, 1024 * 1024);
    hw_inbound_next(&in);
    CHECK_INT(in.body.cap, ==, 0);
    hw_inbound_close(&in);
    scarce_end();
}

CASE(fields_are_found)
{
    struct hw_slice v = HW_SLICE("untouched");
    struct hw_inbound in;
    size_t n_used;

    hw_inbound_init(&in, 0);
    CHECK_INT(hw_inbound_feed(
                  &in,
                  HW_SLICE("GET / HTTP/1.1\r\nHost: a\r\nAuthorization:  Bearer x \r\n\r\n"),
                  &n_used, NULL),
              ==, HW_OK);
    CHECK(hw_inbound_field(&in, "authorization", &v));
    CHECK_SLICE(v, "Bearer x");
    CHECK(!hw_inbound_field(&in, "bearer", &v));
    CHECK_SLICE(v, "Bearer x");
    hw_inbound_close(&in);
}

CASE(out_of_memory)
{
    const struct hw_slice text =
        HW_SLICE("POST /path HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked"
                 "\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    enum hw_status status;
    struct hw_inbound in;
    size_t n_used;

    SCARCE_EACH(n)
    {
        scarce_begin(n);
        hw_inbound_init(&in, BODY_MAX);
        status = HW_OK;
        for (size_t at = 0; at < text.len && status == HW_OK; at += n_used)
            status = hw_inbound_feed(&in, hw_slice(text.data + at, 1), &n_used, NULL);
        CHECK_INT(status, ==, scarce.has_failed ? HW_ENOMEM : HW_OK);
        CHECK_INT(in.is_complete, ==, status == HW_OK);
        hw_inbound_close(&in);
        scarce_end();
    }
}

/* Damaged requests: whatever comes of them, it is the same however they arrive. */
CASE(damaged)
{
    for (int round = 0; round < 3000; round++) {
        static struct text t;
        struct outcome o;

        t.len = 0;
        for (uint64_t n = 1 + check_random_below(3); n-- > 0;)
            text_add(&t, "%s", goods[check_random_below(sizeof goods / sizeof *goods)].text);
        for (uint64_t n = 1 + check_random_below(3); n-- > 0;)
            t.bytes[check_random_below(t.len)] = "\r\n :;\t0a\x80,"[check_random_below(10)];
        read_slice(&o, hw_slice(t.bytes, t.len));
    }
}
