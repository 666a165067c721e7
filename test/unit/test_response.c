/* response: whole, byte by byte and cut at random it reads the same; what RFC 9112 forbids
 * is refused; a connection is used again only when nothing speaks against it. */
#include "check.h"

#include "http/response.h"
#include "support/scarce.h"

enum { KEEP = 16 };

/* What came of one reading. */
struct outcome {
    enum hw_status status;
    size_t n_used; /* only when it went well */
    struct hw_response r;
    struct hw_cause cause;
};

/* How long the next piece is. */
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

/* Each piece in a block of its own, so that reading past it is seen. */
static void feed_all(struct outcome *o, struct hw_slice text, cut_fn cut)
{
    size_t at = 0, n_used;

    o->status = HW_OK;
    while (at < text.len && o->status == HW_OK && !o->r.is_complete) {
        size_t n = cut(text.len - at);
        char *piece = malloc(n + 1);
        memcpy(piece, text.data + at, n);
        o->status = hw_response_feed(&o->r, hw_slice(piece, n), &n_used, &o->cause);
        free(piece);
        CHECK_INT(n_used, <=, n);
        if (o->status == HW_OK && n_used < n)
            CHECK(o->r.is_complete && !o->r.may_reuse);
        at += n_used;
    }
    o->n_used = o->status == HW_OK ? at : 0;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    CHECK_INT(b->status, ==, a->status);
    CHECK_INT(b->n_used, ==, a->n_used);
    CHECK_INT(b->r.is_complete, ==, a->r.is_complete);
    CHECK_INT(b->r.has_head, ==, a->r.has_head);
    CHECK_INT(b->r.status, ==, a->r.status);
    CHECK_INT(b->r.n_interim, ==, a->r.n_interim);
    if (a->status != HW_OK)
        return;
    CHECK_INT(b->r.n_fields, ==, a->r.n_fields);
    CHECK_INT(b->r.head_bytes, ==, a->r.head_bytes);
    CHECK_INT(b->r.body_bytes, ==, a->r.body_bytes);
    if (a->r.has_head)
        CHECK_SLICE_EQ(hw_buf_slice(&b->r.head), hw_buf_slice(&a->r.head));
    CHECK_SLICE_EQ(hw_buf_slice(&b->r.body), hw_buf_slice(&a->r.body));
}

/* Read `text` in all three ways; *o is the reading in one piece.  Close its r. */
static void read_slice(struct outcome *o, struct hw_slice text)
{
    struct outcome other;

    *o = (struct outcome){ 0 };
    hw_response_init(&o->r, KEEP);
    feed_all(o, text, cut_none);
    other = (struct outcome){ 0 };
    hw_response_init(&other.r, KEEP);
    for (int i = 0; i < 4; i++) {
        hw_response_start(&other.r);
        feed_all(&other, text, i == 0 ? cut_bytes : cut_random);
        check_same(o, &other);
        /* The reader that saw no piece with more in it cannot know of leftovers. */
        if (o->status == HW_OK && o->n_used == text.len)
            CHECK_INT(other.r.may_reuse, ==, o->r.may_reuse);
    }
    hw_response_close(&other.r);
}

static void read_text(struct outcome *o, const char *text)
{
    read_slice(o, hw_slice_str(text));
}

struct good {
    const char *text;
    int status;
    const char *head;
    const char *body;
    bool may_reuse;
};

static const struct good goods[] = {
    { "HTTP/1.1 204 No Content\r\n\r\n", 204, "", "", true },
    { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "content-length: 2\n", "ok",
      true },
    { "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", 200, "content-length: 0\n", "", true },
    { "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", 200, "content-length: 0\n", "", true },
    { "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n", 200, "content-length: 0\n", "", true },
    { "HTTP/1.1 503 a  b\tc \r\nContent-Length: 0\r\nRetry-After: 120\r\n\r\n", 503,
      "content-length: 0\nretry-after: 120\n", "", true },
    { "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", 999, "content-length: 0\n", "", true },
    { "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302,
      "location: /x\ncontent-length: 0\n", "", true },
    { "HTTP/1.1 304 Not Modified\r\n\r\n", 304, "", "", true },
    { "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", 205, "content-length: 0\n", "",
      true },
    /* space around values, empty ones, names of all token characters */
    { "HTTP/1.1 204 x\r\nA: \t v w \t \r\nB:\r\nC:  \r\nd:x:y: z\r\n!#$%&'*+-.^_`|~0Zz: "
      "1\r\n\r\n",
      204, "a: v w\nb: \nc: \nd: x:y: z\n!#$%&'*+-.^_`|~0zz: 1\n", "", true },
    { "HTTP/1.1 204 x\r\nA: a\tb\r\nB: caf\xc3\xa9\r\n\r\n", 204, "a: a\tb\nb: caf\xc3\xa9\n",
      "", true },
    { "HTTP/1.1 204 x\r\nA: 1\r\na: 2\r\n\r\n", 204, "a: 1\na: 2\n", "", true },
    /* who keeps the connection */
    { "HTTP/1.1 204 x\r\nConnection: close\r\n\r\n", 204, "connection: close\n", "", false },
    { "HTTP/1.1 204 x\r\nConnection: keep-alive, Close\r\n\r\n", 204,
      "connection: keep-alive, Close\n", "", false },
    { "HTTP/1.1 204 x\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", 204,
      "connection: keep-alive\nconnection: close\n", "", false },
    { "HTTP/1.1 204 x\r\nConnection: keep-alive\r\n\r\n", 204, "connection: keep-alive\n", "",
      true },
    { "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "content-length: 0\n", "", false },
    { "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", 200,
      "connection: Keep-Alive\ncontent-length: 2\n", "ok", true },
    { "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 2\r\n\r\nok", 200,
      "connection: keep-alive, close\ncontent-length: 2\n", "ok", false },
    { "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nok",
      200, "upgrade: h2c\nconnection: upgrade\ncontent-length: 2\n", "ok", true },
    /* chunked */
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
      "Chunked\r\n\r\n2\r\nab\r\n3;x=\"y\"\r\ncde\r\n0\r\n\r\n",
      200, "transfer-encoding: Chunked\n", "abcde", true },
    { "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 200,
      "transfer-encoding: chunked\n", "", true },
    { "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n000A\r\n0123456789\r\n00\r\n\r\n",
      200, "transfer-encoding: chunked\n", "0123456789", true },
    { "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: "
      "1\r\nY:\r\n\r\n",
      200, "transfer-encoding: chunked\n", "a", true },
    { "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: "
      "chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
      200, "connection: keep-alive\ntransfer-encoding: chunked\n", "a", false },
    /* no body, whatever is said; but then who knows what comes */
    { "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", 204, "content-length: 0\n", "", true },
    { "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", 204, "content-length: 5\n", "", false },
    { "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", 204,
      "transfer-encoding: chunked\n", "", false },
    { "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", 304, "content-length: 5\n", "", false },
    /* interim responses leave nothing behind */
    { "HTTP/1.1 100 Continue\r\nX: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
      200, "content-length: 1\n", "a", true },
    { "HTTP/1.1 103 Early\r\nContent-Length: 9\r\nConnection: close\r\n\r\nHTTP/1.1 204 "
      "x\r\n\r\n",
      204, "", "", true },
    { "HTTP/1.1 102 a\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 199 a\r\n\r\nHTTP/1.1 204 "
      "x\r\n\r\n",
      204, "", "", true },
};

CASE(good)
{
    for (size_t i = 0; i < sizeof goods / sizeof *goods; i++) {
        const struct good *g = &goods[i];
        struct outcome o;

        read_text(&o, g->text);
        if (o.status != HW_OK)
            CHECK_FAIL("%s\nwas refused: %s", g->text, o.cause.note);
        CHECK(o.r.has_begun && o.r.has_head && o.r.is_complete);
        CHECK_INT(o.r.status, ==, g->status);
        CHECK_SLICE(hw_buf_slice(&o.r.head), g->head);
        CHECK_SLICE(hw_buf_slice(&o.r.body), g->body);
        CHECK_INT(o.r.body_bytes, ==, strlen(g->body));
        CHECK_INT(o.n_used, ==, strlen(g->text));
        if (o.r.may_reuse != g->may_reuse)
            CHECK_FAIL("may_reuse is wrong for %s", g->text);
        CHECK_INT(hw_response_end(&o.r, NULL), ==, HW_OK);
        CHECK(!o.r.may_reuse);
        hw_response_close(&o.r);
    }
}

/* Every prefix of a good one is incomplete, and cut off if the server then closes. */
CASE(cut_off)
{
    for (size_t i = 0; i < sizeof goods / sizeof *goods; i++) {
        size_t len = strlen(goods[i].text);
        for (size_t n = 0; n < len; n++) {
            struct hw_cause cause = { 0 };
            struct hw_response r;
            size_t n_used;

            hw_response_init(&r, KEEP);
            CHECK_INT(hw_response_feed(&r, hw_slice(goods[i].text, n), &n_used, NULL), ==,
                      HW_OK);
            CHECK_INT(n_used, ==, n);
            CHECK(!r.is_complete && !r.may_reuse);
            CHECK_INT(r.has_begun, ==, n > 0);
            CHECK_INT(hw_response_end(&r, &cause), ==, HW_EPROTO);
            CHECK_CONTAINS(cause.note, r.has_head ? "body" : n > 0 ? "head" : "before");
            CHECK_INT(hw_response_feed(&r, HW_SLICE("x"), &n_used, &cause), ==, HW_EPROTO);
            hw_response_close(&r);
        }
    }
}

CASE(bad)
{
    static const char *const texts[] = {
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "\x15\x03\x03\x01\x02\x02\x0a",
        "<html>\n",
        "\n",
        "\r\n",
        "\r\nHTTP/1.1 204 x\r\n\r\n",
        " HTTP/1.1 204 x\r\n\r\n",
        "http/1.1 204 x\r\n\r\n",
        "HTTP/0.9 200 x\r\n\r\n",
        "HTTP/1.2 200 x\r\n\r\n",
        "HTTP/2.0 200 x\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/11 200\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 \r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "HTTP/1.1 2000 x\r\n\r\n",
        "HTTP/1.1 0200 x\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 20x OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1\t200 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        /* lines */
        "HTTP/1.1 204 x\n\n",
        "HTTP/1.1 204 x\r\nA: 1\n\r\n",
        "HTTP/1.1 204 x\r\nA: 1\r\n\n",
        "HTTP/1.1 204 x\rA: 1\r\n\r\n",
        "HTTP/1.1 204 x\r\nA: 1\rB: 2\r\n\r\n",
        "HTTP/1.1 204 x\r\nA: 1\r\r\n\r\n",
        "HTTP/1.1 204 x\r\r\n\r\n",
        "HTTP/1.1 204 x\r\nA: 1\r\n folded\r\n\r\n",
        "HTTP/1.1 204 x\r\nA: 1\r\n\tfolded\r\n\r\n",
        "HTTP/1.1 204 x\r\n A: 1\r\n\r\n",
        /* fields */
        "HTTP/1.1 204 x\r\nA\r\n\r\n",
        "HTTP/1.1 204 x\r\nA : 1\r\n\r\n",
        "HTTP/1.1 204 x\r\n: 1\r\n\r\n",
        "HTTP/1.1 204 x\r\nA: 1\r\n: 1\r\n\r\n",
        "HTTP/1.1 204 x\r\nA B: 1\r\n\r\n",
        "HTTP/1.1 204 x\r\n\xc3\xa9: 1\r\n\r\n",
        "HTTP/1.1 204 x\r\n(A): 1\r\n\r\n",
        "HTTP/1.1 204 x\r\nA: a\x01z\r\n\r\n",
        "HTTP/1.1 204 x\r\nA: a\x1fz\r\n\r\n",
        "HTTP/1.1 204 x\r\nA: a\x7fz\r\n\r\n",
        /* framing */
        "HTTP/1.1 200 x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        "HTTP/1.1 200 x\r\nContent-Length: 1, 1\r\n\r\na",
        "HTTP/1.1 200 x\r\nContent-Length: 1 1\r\n\r\na",
        "HTTP/1.1 200 x\r\nContent-Length:\r\n\r\na",
        "HTTP/1.1 200 x\r\nContent-Length: +1\r\n\r\na",
        "HTTP/1.1 200 x\r\nContent-Length: -1\r\n\r\na",
        "HTTP/1.1 200 x\r\nContent-Length: 0x1\r\n\r\na",
        "HTTP/1.1 200 x\r\nContent-Length: 18446744073709551616\r\n\r\na",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        ("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "HTTP/1.1 200 x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab0\r\n\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct outcome o;

        read_text(&o, texts[i]);
        if (o.status != HW_EPROTO)
            CHECK_FAIL("%s\nwas taken (%d)", texts[i], (int)o.status);
        CHECK(!o.r.may_reuse && !o.r.is_complete);
        CHECK_INT(strlen(o.cause.note), >, 10);
        CHECK_INT(hw_response_end(&o.r, &o.cause), ==, HW_EPROTO);
        hw_response_close(&o.r);
    }
}

CASE(nul_bytes)
{
    struct outcome o;

    read_slice(&o, HW_SLICE("HTTP/1.1 204 x\r\nA: a\0z\r\n\r\n"));
    CHECK_INT(o.status, ==, HW_EPROTO);
    hw_response_close(&o.r);
    read_slice(&o, HW_SLICE("HTTP/1.1 204 x\r\nA\0: a\r\n\r\n"));
    CHECK_INT(o.status, ==, HW_EPROTO);
    hw_response_close(&o.r);
}

/* Without a length the end of the connection ends the body. */
CASE(framed_by_the_end)
{
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\n\r\nabcdef",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabcdef",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct outcome o;

        read_text(&o, texts[i]);
        CHECK_INT(o.status, ==, HW_OK);
        CHECK(o.r.has_head && !o.r.is_complete && !o.r.may_reuse);
        CHECK_INT(o.r.body_bytes, ==, 6);
        CHECK_INT(hw_response_end(&o.r, &o.cause), ==, HW_OK);
        CHECK(o.r.is_complete && !o.r.may_reuse);
        CHECK_SLICE(hw_buf_slice(&o.r.body), "abcdef");
        hw_response_close(&o.r);
    }
}

CASE(leftover_bytes)
{
    static const char *const texts[] = {
        "HTTP/1.1 204 x\r\n\r\n",
        "HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 200 x\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\na: b\r\n\r\n",
        "HTTP/1.1 200 x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
    };
    char text[256];

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct outcome o;
        size_t n_used;

        snprintf(text, sizeof text, "%sHTTP/1.1 200 OK\r\n\r\n", texts[i]);
        read_text(&o, text);
        CHECK_INT(o.status, ==, HW_OK);
        CHECK(o.r.is_complete && !o.r.may_reuse);
        CHECK_INT(o.n_used, ==, strlen(texts[i]));
        hw_response_close(&o.r);

        hw_response_init(&o.r, KEEP);
        CHECK_INT(hw_response_feed(&o.r, hw_slice_str(texts[i]), &n_used, NULL), ==, HW_OK);
        CHECK(o.r.is_complete);
        CHECK_INT(hw_response_feed(&o.r, HW_SLICE("\r\n"), &n_used, NULL), ==, HW_OK);
        CHECK_INT(n_used, ==, 0);
        CHECK(o.r.is_complete && !o.r.may_reuse);
        hw_response_close(&o.r);
    }
}

/* A text that grows. */
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

static void check_text(const struct text *t, enum hw_status status)
{
    struct outcome o;

    read_slice(&o, hw_slice(t->bytes, t->len));
    CHECK_INT(o.status, ==, status);
    CHECK_INT(o.r.is_complete, ==, status == HW_OK);
    hw_response_close(&o.r);
}

CASE(fields_are_counted)
{
    static struct text t;

    for (int n = 99; n <= 102; n++) { /* in one head */
        t.len = 0;
        text_add(&t, "HTTP/1.1 204 x\r\n");
        for (int i = 0; i < n; i++)
            text_add(&t, "a%d: %d\r\n", i, i);
        text_add(&t, "\r\n");
        check_text(&t, n <= 100 ? HW_OK : HW_ETOOBIG);
    }
    for (int n = 99; n <= 102; n++) { /* over interim ones and trailers */
        t.len = 0;
        text_add(&t, "HTTP/1.1 100 x\r\n");
        for (int i = 0; i < 60; i++)
            text_add(&t, "a: b\r\n");
        text_add(&t, "\r\nHTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n");
        for (int i = 0; i < n - 61; i++)
            text_add(&t, "a:\r\n");
        text_add(&t, "\r\n");
        check_text(&t, n <= 100 ? HW_OK : HW_ETOOBIG);
    }
}

CASE(head_is_bounded)
{
    static struct text t;

    for (size_t total = 16 * 1024 - 1; total <= 16 * 1024 + 2; total++) { /* one field */
        t.len = 0;
        text_add(&t, "HTTP/1.1 204 x\r\na: ");
        while (t.len < total - 4)
            t.bytes[t.len++] = 'x';
        text_add(&t, "\r\n\r\n");
        check_text(&t, total <= 16 * 1024 ? HW_OK : HW_ETOOBIG);
    }
    for (size_t total = 16 * 1024 - 1; total <= 16 * 1024 + 2; total++) { /* two heads */
        t.len = 0;
        text_add(&t, "HTTP/1.1 100 x\r\na: ");
        while (t.len < 9000)
            t.bytes[t.len++] = 'x';
        text_add(&t, "\r\n\r\nHTTP/1.1 204 ");
        while (t.len < total - 4)
            t.bytes[t.len++] = 'x';
        text_add(&t, "\r\n\r\n");
        check_text(&t, total <= 16 * 1024 ? HW_OK : HW_ETOOBIG);
    }
    t.len = 0; /* no line ever ends */
    while (t.len < 20000)
        t.bytes[t.len++] = 'x';
    check_text(&t, HW_ETOOBIG);
}

CASE(interim_responses_are_bounded)
{
    static struct text t;

    for (int n = 7; n <= 10; n++) {
        t.len = 0;
        for (int i = 0; i < n; i++)
            text_add(&t, "HTTP/1.1 10%d x\r\n\r\n", i % 2 * 2);
        text_add(&t, "HTTP/1.1 204 x\r\n\r\n");
        check_text(&t, n <= 8 ? HW_OK : HW_EPROTO);
    }
}

CASE(chunk_framing_is_bounded)
{
    static struct text t;

    t.len = 0; /* one byte a chunk is in order */
    text_add(&t, "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n");
    for (int i = 0; i < 5000; i++)
        text_add(&t, "1\r\nx\r\n");
    text_add(&t, "0\r\n\r\n");
    check_text(&t, HW_OK);
    for (size_t n = 16000; n <= 17000; n += 1000) { /* an extension */
        t.len = 0;
        text_add(&t, "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n1;");
        memset(t.bytes + t.len, 'x', n);
        t.len += n;
        text_add(&t, "\r\nx\r\n0\r\n\r\n");
        check_text(&t, n == 16000 ? HW_OK : HW_ETOOBIG);
    }
    for (size_t n = 16000; n <= 17000; n += 1000) { /* a trailer */
        t.len = 0;
        text_add(&t, "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n0\r\na:");
        memset(t.bytes + t.len, 'x', n);
        t.len += n;
        text_add(&t, "\r\n\r\n");
        check_text(&t, n == 16000 ? HW_OK : HW_ETOOBIG);
    }
}

CASE(body_is_counted_and_the_beginning_kept)
{
    static struct text t;
    struct outcome o;

    text_add(&t, "HTTP/1.1 200 x\r\ncontent-length: 30000\r\n\r\n");
    for (int i = 0; i < 30000; i++)
        t.bytes[t.len++] = (char)('a' + i % 26);
    read_slice(&o, hw_slice(t.bytes, t.len));
    CHECK(o.r.is_complete && o.r.may_reuse);
    CHECK_INT(o.r.body_bytes, ==, 30000);
    CHECK_SLICE(hw_buf_slice(&o.r.body), "abcdefghijklmnop");
    hw_response_close(&o.r);

    hw_response_init(&o.r, 0); /* nothing kept */
    feed_all(&o, hw_slice(t.bytes, t.len), cut_random);
    CHECK(o.r.is_complete);
    CHECK_INT(hw_buf_len(&o.r.body), ==, 0);
    hw_response_close(&o.r);
}

CASE(fields_are_found)
{
    struct hw_slice v = HW_SLICE("untouched");
    struct outcome o;

    read_text(
        &o,
        "HTTP/1.1 204 x\r\nRetry: 1\r\nRETRY-After: 120 \r\nEmpty:\r\nretry-after: 7\r\n\r\n");
    CHECK(hw_response_field(&o.r, "retry-after", &v));
    CHECK_SLICE(v, "120");
    CHECK(hw_response_field(&o.r, "empty", &v));
    CHECK_INT(v.len, ==, 0);
    v = HW_SLICE("untouched");
    CHECK(!hw_response_field(&o.r, "retry-afte", &v));
    CHECK(!hw_response_field(&o.r, "after", &v));
    CHECK(!hw_response_field(&o.r, "120", &v));
    CHECK(!hw_response_field(&o.r, "", &v));
    CHECK_SLICE(v, "untouched");
    hw_response_close(&o.r);
}

/* The buffers have grown: a small answer allocates nothing more. */
CASE(a_small_answer_allocates_nothing)
{
    const struct hw_slice text = HW_SLICE(
        "HTTP/1.1 204 No Content\r\nDate: Mon, 09 Mar 2026 12:00:00 GMT\r\nServer: x\r\n\r\n");
    struct hw_response r;
    size_t n_used;

    scarce_begin(0);
    hw_response_init(&r, 4096);
    CHECK_INT(scarce.n_asked, ==, 0);
    for (int i = 0; i < 100; i++) {
        hw_response_start(&r);
        CHECK_INT(hw_response_feed(&r, text, &n_used, NULL), ==, HW_OK);
        CHECK(r.may_reuse);
    }
    CHECK_INT(scarce.n_asked, ==, 1);
    hw_response_close(&r);
    scarce_end();
}

CASE(out_of_memory)
{
    const struct hw_slice text =
        HW_SLICE("HTTP/1.1 100 Continue\r\nX: "
                 "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n\r\n"
                 "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
    enum hw_status status;
    struct hw_response r;
    size_t n_used;

    SCARCE_EACH(n)
    {
        scarce_begin(n);
        hw_response_init(&r, KEEP);
        status = HW_OK;
        for (size_t at = 0; at < text.len && status == HW_OK; at += n_used)
            status = hw_response_feed(&r, hw_slice(text.data + at, 1), &n_used, NULL);
        CHECK_INT(status, ==, scarce.has_failed ? HW_ENOMEM : HW_OK);
        CHECK_INT(r.is_complete, ==, status == HW_OK);
        /* It can be used again. */
        scarce.fails_at = 0;
        hw_response_start(&r);
        CHECK_INT(hw_response_feed(&r, text, &n_used, NULL), ==, HW_OK);
        CHECK(r.is_complete);
        hw_response_close(&r);
        scarce_end();
    }
}

/* Damaged messages: whatever comes of them, it is the same however they arrive. */
CASE(damaged)
{
    for (int round = 0; round < 3000; round++) {
        static struct text t;
        struct outcome o;

        t.len = 0;
        for (uint64_t n = check_random_below(3); n-- > 0;)
            text_add(&t, "HTTP/1.1 100 Continue\r\n\r\n");
        text_add(&t, "%s", goods[check_random_below(sizeof goods / sizeof *goods)].text);
        for (uint64_t n = 1 + check_random_below(3); n-- > 0;)
            t.bytes[check_random_below(t.len)] = "\r\n :;\t0a\x80,"[check_random_below(10)];
        read_slice(&o, hw_slice(t.bytes, t.len));
        hw_response_close(&o.r);
    }
}
