/* A client and a server of ours, joined by memory: no socket, no clock but the certificate's. */
#include "check.h"

#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <sys/stat.h>

#include "hookwheel/alloc.h"
#include "tls/tls.h"
#include "tls/trust.h"

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

static const char *const usual_names[] = { "a.example", "*.wild.example", "127.0.0.1", "::1" };

static hw_unix_ms now_ms(void)
{
    return (hw_unix_ms)time(NULL) * 1000;
}

/* --- files ------------------------------------------------------------------------------ */

struct file {
    char path[64];
};

static void file_write(struct file *f, const void *bytes, size_t n_bytes)
{
    snprintf(f->path, sizeof f->path, "/tmp/hookwheel-test-XXXXXX");
    int fd = mkstemp(f->path);
    CHECK_INT(fd, >=, 0);
    CHECK_INT(write(fd, bytes, n_bytes), ==, (ssize_t)n_bytes);
    close(fd);
}

static void file_remove(struct file *f)
{
    unlink(f->path);
}

/* --- a server and who trusts it ------------------------------------------------------------ */

struct world {
    struct hw_identity *identity;
    struct hw_trust *trust;
};

/* A certificate made at `made_ms`, and a client that trusts it. */
static void world_open(struct world *w, hw_unix_ms made_ms)
{
    struct hw_cause cause;
    struct hw_buf pem;
    struct file ca;

    hw_buf_init(&pem, 65536);
    CHECK_INT(hw_identity_make(&w->identity, usual_names, 4, made_ms, &pem, &cause), ==,
              HW_OK);
    file_write(&ca, hw_buf_slice(&pem).data, hw_buf_len(&pem));
    CHECK_INT(hw_trust_open(&w->trust, ca.path, false, &cause), ==, HW_OK);
    file_remove(&ca);
    hw_buf_close(&pem);
}

static void world_close(struct world *w)
{
    hw_identity_close(w->identity);
    hw_trust_close(w->trust);
}

static mbedtls_ssl_config *writable(const struct mbedtls_ssl_config *config)
{
    return (mbedtls_ssl_config *)(uintptr_t)config;
}

static void world_only_1_2(struct world *w)
{
    mbedtls_ssl_conf_max_tls_version(writable(hw_trust_config(w->trust)),
                                     MBEDTLS_SSL_VERSION_TLS1_2);
}

/* --- two ends -------------------------------------------------------------------------------- */

struct pair {
    struct hw_tls *client;
    struct hw_tls *server;
    size_t step;             /* bytes carried at once; 0: all there is */
    enum hw_tls_result c, s; /* of the handshake */
    struct hw_cause c_why, s_why;
};

static void pair_open(struct pair *p, const struct world *w, const char *name, bool is_address,
                      const struct hw_tls_ticket *ticket)
{
    *p = (struct pair){ .c = HW_TLS_AGAIN, .s = HW_TLS_AGAIN };
    CHECK_INT(hw_tls_open_client(&p->client, w->trust, name, is_address, ticket, &p->c_why),
              ==, HW_OK);
    CHECK_INT(hw_tls_open_server(&p->server, w->identity, &p->s_why), ==, HW_OK);
}

static void pair_close(struct pair *p)
{
    hw_tls_close(p->client);
    hw_tls_close(p->server);
}

/* Returns how many bytes went over. */
static size_t carry(struct hw_tls *from, struct hw_tls *to, size_t at_most)
{
    struct hw_slice bytes = hw_buf_slice(hw_tls_outbox(from));
    size_t n = at_most && at_most < bytes.len ? at_most : bytes.len;

    CHECK_INT(hw_buf_append(hw_tls_inbox(to), bytes.data, n), ==, HW_OK);
    hw_buf_consume(hw_tls_outbox(from), n);
    return n;
}

static void pair_handshake(struct pair *p)
{
    size_t moved = 1;

    while (moved > 0) {
        if (p->c == HW_TLS_AGAIN)
            p->c = hw_tls_handshake(p->client, &p->c_why);
        moved = carry(p->client, p->server, p->step);
        if (p->s == HW_TLS_AGAIN)
            p->s = hw_tls_handshake(p->server, &p->s_why);
        moved += carry(p->server, p->client, p->step);
    }
}

static void pair_must_connect(struct pair *p)
{
    pair_handshake(p);
    if (p->c == HW_TLS_FAILED)
        CHECK_FAIL("client: %s", p->c_why.note);
    if (p->s == HW_TLS_FAILED)
        CHECK_FAIL("server: %s", p->s_why.note);
    CHECK_INT(p->c, ==, HW_TLS_DONE);
    CHECK_INT(p->s, ==, HW_TLS_DONE);
}

/* Everything that can be read, in pieces of `size`. */
static enum hw_tls_result read_all(struct hw_tls *tls, struct hw_buf *out, size_t size,
                                   struct hw_cause *cause)
{
    char piece[20000];
    enum hw_tls_result result;
    size_t n;

    CHECK_UINT(size, <=, sizeof piece);
    while ((result = hw_tls_read(tls, piece, size, &n, cause)) == HW_TLS_DONE) {
        CHECK_UINT(n, >, 0);
        CHECK_INT(hw_buf_append(out, piece, n), ==, HW_OK);
    }
    CHECK_UINT(n, ==, 0);
    return result;
}

/* A few bytes each way: also lets a TLS 1.3 client meet its ticket. */
static void pair_talk(struct pair *p)
{
    struct hw_cause cause;
    struct hw_buf got;

    hw_buf_init(&got, 65536);
    CHECK_INT(hw_tls_write(p->client, HW_SLICE("POST"), &cause), ==, HW_TLS_DONE);
    carry(p->client, p->server, 0);
    CHECK_INT(read_all(p->server, &got, 100, &cause), ==, HW_TLS_AGAIN);
    CHECK_SLICE(hw_buf_slice(&got), "POST");
    hw_buf_reset(&got);
    CHECK_INT(hw_tls_write(p->server, HW_SLICE("200 OK"), &cause), ==, HW_TLS_DONE);
    carry(p->server, p->client, 0);
    CHECK_INT(read_all(p->client, &got, 4, &cause), ==, HW_TLS_AGAIN);
    CHECK_SLICE(hw_buf_slice(&got), "200 OK");
    hw_buf_close(&got);
}

/* --- the good day -------------------------------------------------------------------------- */

static void connect_and_talk(bool only_1_2, size_t step)
{
    struct world w;
    struct pair p;

    world_open(&w, now_ms());
    if (only_1_2)
        world_only_1_2(&w);
    pair_open(&p, &w, "a.example", false, NULL);
    p.step = step;
    pair_must_connect(&p);
    CHECK_STR(hw_tls_version(p.client), only_1_2 ? "1.2" : "1.3");
    CHECK_STR(hw_tls_version(p.server), only_1_2 ? "1.2" : "1.3");
    CHECK(!hw_tls_is_resumed(p.client));
    pair_talk(&p);
    pair_close(&p);
    world_close(&w);
}

CASE(tls_1_3)
{
    connect_and_talk(false, 0);
}

CASE(tls_1_2)
{
    connect_and_talk(true, 0);
}

CASE(tls_1_3_byte_by_byte)
{
    connect_and_talk(false, 1);
}

CASE(tls_1_2_byte_by_byte)
{
    connect_and_talk(true, 1);
}

CASE(wildcard_name)
{
    struct world w;
    struct pair p;

    world_open(&w, now_ms());
    pair_open(&p, &w, "x.wild.example", false, NULL);
    pair_must_connect(&p);
    pair_close(&p);
    world_close(&w);
}

CASE(many_handshakes_under_way_at_once)
{
    enum { MANY = 300 };
    struct world w;
    struct pair *p = calloc(MANY, sizeof *p);

    world_open(&w, now_ms());
    for (int i = 0; i < MANY; i++) {
        pair_open(&p[i], &w, "a.example", false, NULL);
        p[i].c = hw_tls_handshake(p[i].client, &p[i].c_why);
        CHECK_INT(p[i].c, ==, HW_TLS_AGAIN);
    }
    for (int i = 0; i < MANY; i++)
        pair_must_connect(&p[i]);
    for (int i = 0; i < MANY; i++)
        pair_close(&p[i]);
    free(p);
    world_close(&w);
}

CASE(large_data_both_ways)
{
    enum { SIZE = 1 << 20 };
    struct world w;
    struct pair p;
    struct hw_cause cause;
    struct hw_buf got;
    char *data = malloc(SIZE);

    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)check_random();
    hw_buf_init(&got, SIZE);
    world_open(&w, now_ms());
    pair_open(&p, &w, "a.example", false, NULL);
    pair_must_connect(&p);
    for (int i = 0; i < 2; i++) {
        struct hw_tls *from = i ? p.server : p.client, *to = i ? p.client : p.server;
        CHECK_INT(hw_tls_write(from, hw_slice(data, SIZE), &cause), ==, HW_TLS_DONE);
        CHECK_UINT(hw_buf_len(hw_tls_outbox(from)), <, SIZE + SIZE / 50);
        while (carry(from, to, 1 + check_random_below(40000)) > 0)
            CHECK_INT(read_all(to, &got, 1 + check_random_below(20000), &cause), ==,
                      HW_TLS_AGAIN);
        CHECK_UINT(hw_buf_len(&got), ==, SIZE);
        CHECK_MEM(hw_buf_slice(&got).data, data, SIZE);
        hw_buf_reset(&got);
    }
    hw_buf_close(&got);
    free(data);
    pair_close(&p);
    world_close(&w);
}

CASE(pending_says_what_a_short_read_left)
{
    struct world w;
    struct pair p;
    struct hw_cause cause;
    char two[2];
    size_t n;

    world_open(&w, now_ms());
    pair_open(&p, &w, "a.example", false, NULL);
    pair_must_connect(&p);
    pair_talk(&p);
    CHECK(!hw_tls_has_pending(p.client));
    CHECK_INT(hw_tls_write(p.server, HW_SLICE("abc"), &cause), ==, HW_TLS_DONE);
    carry(p.server, p.client, 0);
    CHECK_INT(hw_tls_read(p.client, two, 2, &n, &cause), ==, HW_TLS_DONE);
    CHECK_UINT(n, ==, 2);
    CHECK(hw_tls_has_pending(p.client));
    CHECK_INT(hw_tls_read(p.client, two, 2, &n, &cause), ==, HW_TLS_DONE);
    CHECK_UINT(n, ==, 1);
    CHECK(!hw_tls_has_pending(p.client));
    CHECK_INT(hw_tls_read(p.client, two, 2, &n, &cause), ==, HW_TLS_AGAIN);
    CHECK_INT(hw_tls_write(p.client, hw_slice(NULL, 0), &cause), ==, HW_TLS_DONE);
    CHECK_UINT(hw_buf_len(hw_tls_outbox(p.client)), ==, 0);
    pair_close(&p);
    world_close(&w);
}

/* --- how it ends ----------------------------------------------------------------------------- */

CASE(close_notify_is_a_proper_end)
{
    struct world w;
    struct pair p;
    struct hw_cause cause;
    char byte;
    size_t n;

    world_open(&w, now_ms());
    pair_open(&p, &w, "a.example", false, NULL);
    pair_must_connect(&p);
    hw_tls_shut(p.server);
    carry(p.server, p.client, 0);
    CHECK_INT(hw_tls_read(p.client, &byte, 1, &n, &cause), ==, HW_TLS_CLOSED);
    CHECK_INT(hw_tls_read(p.client, &byte, 1, &n, &cause), ==, HW_TLS_CLOSED);
    hw_tls_shut(p.client);
    carry(p.client, p.server, 0);
    CHECK_INT(hw_tls_read(p.server, &byte, 1, &n, &cause), ==, HW_TLS_CLOSED);
    pair_close(&p);
    world_close(&w);
}

CASE(an_end_without_close_notify_is_a_lost_connection)
{
    struct world w;
    struct pair p;
    struct hw_cause cause;
    struct hw_buf got;

    hw_buf_init(&got, 100);
    world_open(&w, now_ms());
    pair_open(&p, &w, "a.example", false, NULL);
    pair_must_connect(&p);
    CHECK_INT(hw_tls_write(p.server, HW_SLICE("half"), &cause), ==, HW_TLS_DONE);
    carry(p.server, p.client, 0);
    hw_tls_input_ended(p.client);
    CHECK_INT(read_all(p.client, &got, 100, &cause), ==, HW_TLS_FAILED);
    CHECK_SLICE(hw_buf_slice(&got), "half");
    CHECK_INT(cause.status, ==, HW_ECONN);
    CHECK_CONTAINS(cause.note, "a.example closed the connection without ending TLS");
    hw_buf_close(&got);
    pair_close(&p);
    world_close(&w);
}

CASE(an_end_in_the_handshake_is_a_lost_connection)
{
    struct world w;
    struct pair p;

    world_open(&w, now_ms());
    pair_open(&p, &w, "a.example", false, NULL);
    CHECK_INT(hw_tls_handshake(p.client, &p.c_why), ==, HW_TLS_AGAIN);
    hw_tls_input_ended(p.client);
    CHECK_INT(hw_tls_handshake(p.client, &p.c_why), ==, HW_TLS_FAILED);
    CHECK_INT(p.c_why.status, ==, HW_ECONN);
    CHECK_CONTAINS(p.c_why.note, "during the TLS handshake");
    CHECK_INT(hw_tls_handshake(p.client, &p.c_why), ==, HW_TLS_FAILED);
    pair_close(&p);
    world_close(&w);
}

CASE(a_server_that_speaks_something_else)
{
    struct world w;
    struct pair p;

    world_open(&w, now_ms());
    pair_open(&p, &w, "a.example", false, NULL);
    CHECK_INT(hw_tls_handshake(p.client, &p.c_why), ==, HW_TLS_AGAIN);
    CHECK_INT(hw_buf_append_str(hw_tls_inbox(p.client), "HTTP/1.1 400 Bad Request\r\n\r\n"),
              ==, HW_OK);
    CHECK_INT(hw_tls_handshake(p.client, &p.c_why), ==, HW_TLS_FAILED);
    CHECK_INT(p.c_why.status, ==, HW_ETLS);
    pair_close(&p);
    world_close(&w);
}

CASE(bytes_changed_on_the_way)
{
    struct world w;
    struct pair p;
    struct hw_cause cause;
    struct hw_buf got;

    hw_buf_init(&got, 100);
    world_open(&w, now_ms());
    pair_open(&p, &w, "a.example", false, NULL);
    pair_must_connect(&p);
    CHECK_INT(hw_tls_write(p.client, HW_SLICE("hello"), &cause), ==, HW_TLS_DONE);
    struct hw_buf *box = hw_tls_outbox(p.client);
    box->base[box->tail - 1] ^= 1;
    carry(p.client, p.server, 0);
    CHECK_INT(read_all(p.server, &got, 100, &cause), ==, HW_TLS_FAILED);
    CHECK_INT(cause.status, ==, HW_ETLS);
    CHECK_UINT(hw_buf_len(&got), ==, 0);
    hw_buf_close(&got);
    pair_close(&p);
    world_close(&w);
}

CASE(no_version_in_common)
{
    struct world w;
    struct pair p;

    world_open(&w, now_ms());
    world_only_1_2(&w);
    mbedtls_ssl_conf_min_tls_version(writable(hw_identity_config(w.identity)),
                                     MBEDTLS_SSL_VERSION_TLS1_3);
    pair_open(&p, &w, "a.example", false, NULL);
    pair_handshake(&p);
    CHECK_INT(p.c, ==, HW_TLS_FAILED);
    CHECK_INT(p.c_why.status, ==, HW_ETLS);
    CHECK_STR(p.c_why.note, "a.example refused the TLS handshake: protocol_version (70)");
    pair_close(&p);
    world_close(&w);
}

/* --- certificates that will not do ---------------------------------------------------------- */

/* The client must refuse, say why, and the server must hear of it. */
static void must_refuse(const struct world *w, const char *name, bool is_address,
                        const char *words)
{
    struct pair p;

    pair_open(&p, w, name, is_address, NULL);
    pair_handshake(&p);
    CHECK_INT(p.c, ==, HW_TLS_FAILED);
    CHECK_INT(p.c_why.status, ==, HW_ETLS);
    CHECK_STR(p.c_why.note, words);
    if (p.s == HW_TLS_DONE) { /* TLS 1.3: the server is done before it hears */
        struct hw_buf got;
        hw_buf_init(&got, 100);
        CHECK_INT(read_all(p.server, &got, 100, &p.s_why), ==, HW_TLS_FAILED);
        hw_buf_close(&got);
    }
    CHECK_INT(p.s_why.status, ==, HW_ETLS);
    if (strcmp(hw_tls_version(p.client), "1.2") ==
        0) /* with 1.3 the alert comes unencrypted */
        CHECK_CONTAINS(p.s_why.note, "client refused");
    pair_close(&p);
}

static void must_refuse_both(hw_unix_ms made_ms, const char *name, bool is_address,
                             const char *words)
{
    struct world w;

    world_open(&w, made_ms);
    must_refuse(&w, name, is_address, words);
    world_only_1_2(&w);
    must_refuse(&w, name, is_address, words);
    world_close(&w);
}

CASE(wrong_name)
{
    must_refuse_both(now_ms(), "b.example", false,
                     "certificate of b.example: it is for another name");
    must_refuse_both(now_ms(), "x.y.wild.example", false,
                     "certificate of x.y.wild.example: it is for another name");
}

CASE(expired)
{
    must_refuse_both(now_ms() - 31 * DAY_MS, "a.example", false,
                     "certificate of a.example: it has expired");
}

CASE(not_valid_yet)
{
    must_refuse_both(now_ms() + 2 * DAY_MS, "a.example", false,
                     "certificate of a.example: it is not valid yet");
}

CASE(two_reasons_at_once)
{
    must_refuse_both(now_ms() - 31 * DAY_MS, "b.example", false,
                     "certificate of b.example: it has expired, it is for another name");
}

CASE(issuer_not_trusted)
{
    struct world ours, theirs, mixed;

    world_open(&ours, now_ms());
    world_open(&theirs, now_ms());
    mixed = (struct world){ .identity = theirs.identity, .trust = ours.trust };
    must_refuse(&mixed, "a.example", false,
                "certificate of a.example: its issuer is not trusted");
    world_close(&ours);
    world_close(&theirs);
}

/* --- addresses instead of names ------------------------------------------------------------- */

static void connect_by_address(const char *address)
{
    struct world w;
    struct pair p;
    struct hw_slice hello;

    world_open(&w, now_ms());
    pair_open(&p, &w, address, true, NULL);
    p.c = hw_tls_handshake(p.client, &p.c_why);
    CHECK_INT(p.c, ==, HW_TLS_AGAIN);
    hello = hw_buf_slice(hw_tls_outbox(p.client));
    CHECK_NULL(memmem(hello.data, hello.len, address, strlen(address))); /* no SNI */
    pair_must_connect(&p);
    pair_close(&p);
    world_close(&w);
}

CASE(address_v4)
{
    connect_by_address("127.0.0.1");
}

CASE(address_v6)
{
    connect_by_address("::1");
}

CASE(wrong_address)
{
    must_refuse_both(now_ms(), "127.0.0.2", true,
                     "certificate of 127.0.0.2: it is for another name");
    must_refuse_both(now_ms(), "::2", true, "certificate of ::2: it is for another name");
}

CASE(an_address_that_is_none)
{
    struct world w;
    struct hw_cause cause;
    struct hw_tls *tls;

    world_open(&w, now_ms());
    CHECK_INT(hw_tls_open_client(&tls, w.trust, "a.example", true, NULL, &cause), ==,
              HW_EINVAL);
    world_close(&w);
}

/* --- resumption ------------------------------------------------------------------------------- */

static struct hw_tls_ticket *ticket_from(const struct world *w,
                                         const struct hw_tls_ticket *with, bool must_resume)
{
    struct pair p;
    struct hw_tls_ticket *ticket;

    pair_open(&p, w, "a.example", false, with);
    pair_must_connect(&p);
    CHECK_INT(hw_tls_is_resumed(p.client), ==, must_resume);
    CHECK_INT(hw_tls_is_resumed(p.server), ==, must_resume);
    pair_talk(&p);
    ticket = hw_tls_ticket_take(p.client, now_ms());
    CHECK_NULL(hw_tls_ticket_take(p.client, now_ms()));
    CHECK_NULL(hw_tls_ticket_take(p.server, now_ms()));
    pair_close(&p);
    return ticket;
}

static void resume(bool only_1_2)
{
    struct world w;
    struct hw_tls_ticket *first, *second, *third;

    world_open(&w, now_ms());
    if (only_1_2)
        world_only_1_2(&w);
    first = ticket_from(&w, NULL, false);
    CHECK_NOT_NULL(first);
    CHECK_INT(hw_tls_ticket_expires(first), >, now_ms() + DAY_MS - 10000);
    CHECK_INT(hw_tls_ticket_expires(first), <=, now_ms() + DAY_MS);
    second = ticket_from(&w, first, true);
    if (second) /* the verification that it rests on gets no younger */
        CHECK_INT(hw_tls_ticket_expires(second), ==, hw_tls_ticket_expires(first));
    third = ticket_from(&w, second ? second : first, true);
    hw_tls_ticket_close(first); /* and a ticket may be used again */
    hw_tls_ticket_close(second);
    hw_tls_ticket_close(third);
    world_close(&w);
}

CASE(resume_1_3)
{
    resume(false);
}

CASE(resume_1_2)
{
    resume(true);
}

static void unknown_ticket(bool only_1_2)
{
    struct world w;
    struct hw_tls_ticket *ticket, *other;
    struct hw_identity *old;
    struct hw_cause cause;
    struct hw_buf pem;
    struct file ca;

    world_open(&w, now_ms());
    if (only_1_2)
        world_only_1_2(&w);
    ticket = ticket_from(&w, NULL, false);
    CHECK_NOT_NULL(ticket);
    /* The server comes back with another certificate and another ticket key. */
    old = w.identity;
    hw_buf_init(&pem, 65536);
    CHECK_INT(hw_identity_make(&w.identity, usual_names, 4, now_ms(), &pem, &cause), ==,
              HW_OK);
    file_write(&ca, hw_buf_slice(&pem).data, hw_buf_len(&pem));
    hw_trust_close(w.trust);
    CHECK_INT(hw_trust_open(&w.trust, ca.path, false, &cause), ==, HW_OK);
    if (only_1_2)
        world_only_1_2(&w);
    other = ticket_from(&w, ticket, false);
    CHECK_NOT_NULL(other);
    hw_tls_ticket_close(ticket);
    hw_tls_ticket_close(other);
    file_remove(&ca);
    hw_buf_close(&pem);
    hw_identity_close(old);
    world_close(&w);
}

CASE(a_ticket_the_server_no_longer_knows_costs_a_handshake)
{
    unknown_ticket(false);
    unknown_ticket(true);
}

CASE(a_ticket_ends_with_the_certificate)
{
    struct world w;
    struct hw_tls_ticket *ticket;
    hw_unix_ms made = now_ms() - 30 * DAY_MS + DAY_MS / 2;

    world_open(&w, made);
    ticket = ticket_from(&w, NULL, false);
    CHECK_NOT_NULL(ticket);
    CHECK_INT(hw_tls_ticket_expires(ticket), ==, made + 30 * DAY_MS);
    hw_tls_ticket_close(ticket);
    world_close(&w);
}

CASE(no_ticket_before_the_handshake_is_done)
{
    struct world w;
    struct pair p;

    world_open(&w, now_ms());
    pair_open(&p, &w, "a.example", false, NULL);
    CHECK_NULL(hw_tls_ticket_take(p.client, now_ms()));
    pair_close(&p);
    world_close(&w);
}

/* --- certificates from files -------------------------------------------------------------------- */

static void key_make(mbedtls_pk_context *key)
{
    mbedtls_pk_init(key);
    CHECK_INT(psa_crypto_init(), ==, PSA_SUCCESS);
    CHECK_INT(mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), ==, 0);
    CHECK_INT(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP384R1, mbedtls_pk_ec(*key),
                                  mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE),
              ==, 0);
}

/* PEM into `out`, NUL-terminated. */
static void certificate_make(char *out, size_t size, mbedtls_pk_context *key,
                             const char *subject, mbedtls_pk_context *by, const char *issuer,
                             bool is_ca, const char *dns_name)
{
    mbedtls_x509write_cert cert;
    mbedtls_x509_san_list san = { .node = { .type = MBEDTLS_X509_SAN_DNS_NAME } };
    unsigned char serial[] = { 1, (unsigned char)check_random() };

    mbedtls_x509write_crt_init(&cert);
    mbedtls_x509write_crt_set_version(&cert, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&cert, MBEDTLS_MD_SHA384);
    mbedtls_x509write_crt_set_subject_key(&cert, key);
    mbedtls_x509write_crt_set_issuer_key(&cert, by);
    CHECK_INT(mbedtls_x509write_crt_set_serial_raw(&cert, serial, 2), ==, 0);
    CHECK_INT(mbedtls_x509write_crt_set_validity(&cert, "20200101000000", "20981231235959"),
              ==, 0);
    CHECK_INT(mbedtls_x509write_crt_set_subject_name(&cert, subject), ==, 0);
    CHECK_INT(mbedtls_x509write_crt_set_issuer_name(&cert, issuer), ==, 0);
    CHECK_INT(mbedtls_x509write_crt_set_basic_constraints(&cert, is_ca, -1), ==, 0);
    if (dns_name) {
        san.node.san.unstructured_name.p = (unsigned char *)(uintptr_t)dns_name;
        san.node.san.unstructured_name.len = strlen(dns_name);
        CHECK_INT(mbedtls_x509write_crt_set_subject_alternative_name(&cert, &san), ==, 0);
    }
    CHECK_INT(mbedtls_x509write_crt_pem(&cert, (unsigned char *)out, size,
                                        mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE),
              ==, 0);
    mbedtls_x509write_crt_free(&cert);
}

/* root -> issuer -> a.example; the server has the lower two, the client the root. */
struct authority {
    struct file root, chain, key, other_key;
};

static void authority_make(struct authority *a)
{
    mbedtls_pk_context root, issuer, leaf;
    char pem[8192] = { 0 };
    size_t at;

    key_make(&root);
    key_make(&issuer);
    key_make(&leaf);
    certificate_make(pem, sizeof pem, &root, "CN=Root", &root, "CN=Root", true, NULL);
    file_write(&a->root, pem, strlen(pem));
    certificate_make(pem, sizeof pem, &leaf, "CN=leaf", &issuer, "CN=Issuer", false,
                     "a.example");
    at = strlen(pem);
    certificate_make(pem + at, sizeof pem - at, &issuer, "CN=Issuer", &root, "CN=Root", true,
                     NULL);
    file_write(&a->chain, pem, strlen(pem));
    CHECK_INT(mbedtls_pk_write_key_pem(&leaf, (unsigned char *)pem, sizeof pem), ==, 0);
    file_write(&a->key, pem, strlen(pem));
    CHECK_INT(mbedtls_pk_write_key_pem(&root, (unsigned char *)pem, sizeof pem), ==, 0);
    file_write(&a->other_key, pem, strlen(pem));
    mbedtls_pk_free(&root);
    mbedtls_pk_free(&issuer);
    mbedtls_pk_free(&leaf);
}

static void authority_remove(struct authority *a)
{
    file_remove(&a->root);
    file_remove(&a->chain);
    file_remove(&a->key);
    file_remove(&a->other_key);
}

CASE(a_chain_from_files)
{
    struct authority a;
    struct world w;
    struct pair p;
    struct hw_cause cause;

    authority_make(&a);
    CHECK_INT(hw_identity_open(&w.identity, a.chain.path, a.key.path, &cause), ==, HW_OK);
    CHECK_INT(hw_trust_open(&w.trust, a.root.path, false, &cause), ==, HW_OK);
    pair_open(&p, &w, "a.example", false, NULL);
    pair_must_connect(&p);
    pair_talk(&p);
    pair_close(&p);
    must_refuse(&w, "b.example", false, "certificate of b.example: it is for another name");
    world_close(&w);
    authority_remove(&a);
}

CASE(files_that_will_not_do)
{
    struct authority a;
    struct hw_identity *identity;
    struct hw_trust *trust;
    struct hw_cause cause;
    struct file text;

    authority_make(&a);
    file_write(&text, "not a certificate\n", 18);
    CHECK_INT(hw_identity_open(&identity, a.chain.path, a.other_key.path, &cause), ==,
              HW_EINVAL);
    CHECK_CONTAINS(cause.note, "is not that of");
    CHECK_INT(hw_identity_open(&identity, a.chain.path, text.path, &cause), ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, text.path);
    CHECK_INT(hw_identity_open(&identity, text.path, a.key.path, &cause), ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, text.path);
    CHECK_INT(hw_identity_open(&identity, "/nowhere/x.pem", a.key.path, &cause), ==,
              HW_EINVAL);
    CHECK_STR(cause.note, "/nowhere/x.pem: No such file or directory");
    CHECK_INT(hw_trust_open(&trust, "/nowhere/x.pem", false, &cause), ==, HW_EINVAL);
    CHECK_STR(cause.note, "/nowhere/x.pem: No such file or directory");
    CHECK_INT(hw_trust_open(&trust, text.path, false, &cause), ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, "holds no certificate");
    file_remove(&text);
    authority_remove(&a);
}

CASE(a_bad_certificate_in_a_bundle_is_skipped)
{
    struct authority a;
    struct file bundle;
    struct world w;
    struct pair p;
    struct hw_cause cause;
    char text[8192];
    FILE *in;
    size_t n = (size_t)snprintf(
        text, sizeof text, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");

    authority_make(&a);
    in = fopen(a.root.path, "r");
    CHECK_NOT_NULL(in);
    n += fread(text + n, 1, sizeof text - n, in);
    fclose(in);
    file_write(&bundle, text, n);
    CHECK_INT(hw_identity_open(&w.identity, a.chain.path, a.key.path, &cause), ==, HW_OK);
    CHECK_INT(hw_trust_open(&w.trust, bundle.path, false, &cause), ==, HW_OK);
    pair_open(&p, &w, "a.example", false, NULL);
    pair_must_connect(&p);
    pair_close(&p);
    world_close(&w);
    file_remove(&bundle);
    authority_remove(&a);
}

CASE(the_system_roots)
{
    struct world w;
    struct hw_cause cause;

    CHECK_INT(hw_trust_open(&w.trust, NULL, true, &cause), ==, HW_OK);
    CHECK_INT(hw_identity_make(&w.identity, usual_names, 4, now_ms(), NULL, &cause), ==,
              HW_OK);
    must_refuse(&w, "a.example", false, "certificate of a.example: its issuer is not trusted");
    world_close(&w);
}

/* --- elliptic curves: X25519 may be somebody else's ---------------------------------------------- */

enum { X25519_BYTES = 32 };

struct x25519 { /* bytes as they go over the wire */
    unsigned char bytes[X25519_BYTES];
};

struct curve {
    mbedtls_ecp_group group;
    mbedtls_mpi m;
    mbedtls_ecp_point p, product;
};

static void curve_open(struct curve *c, mbedtls_ecp_group_id id)
{
    CHECK_INT(psa_crypto_init(), ==, PSA_SUCCESS);
    mbedtls_ecp_group_init(&c->group);
    mbedtls_mpi_init(&c->m);
    mbedtls_ecp_point_init(&c->p);
    mbedtls_ecp_point_init(&c->product);
    CHECK_INT(mbedtls_ecp_group_load(&c->group, id), ==, 0);
}

static void curve_close(struct curve *c)
{
    mbedtls_ecp_group_free(&c->group);
    mbedtls_mpi_free(&c->m);
    mbedtls_ecp_point_free(&c->p);
    mbedtls_ecp_point_free(&c->product);
}

static int multiply(struct curve *c, mbedtls_ecp_point *product, const mbedtls_ecp_point *p)
{
    return mbedtls_ecp_mul(&c->group, product, &c->m, p, mbedtls_psa_get_random,
                           MBEDTLS_PSA_RANDOM_STATE);
}

static struct x25519 x25519_of(const char *hex)
{
    struct x25519 x;

    CHECK_UINT(strlen(hex), ==, 2 * X25519_BYTES);
    for (size_t i = 0; i < X25519_BYTES; i++) {
        char digits[3] = { hex[2 * i], hex[2 * i + 1], '\0' };
        x.bytes[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
    return x;
}

/* A private key, as RFC 7748 has it (decodeScalar25519). */
static void make_valid(struct x25519 *secret)
{
    secret->bytes[0] &= 248;
    secret->bytes[31] &= 127;
    secret->bytes[31] |= 64;
}

static void curve_secret(struct curve *c, struct x25519 secret)
{
    CHECK_INT(mbedtls_mpi_read_binary_le(&c->m, secret.bytes, X25519_BYTES), ==, 0);
}

static void curve_point(struct curve *c, const struct x25519 *u)
{
    CHECK_INT(mbedtls_ecp_point_read_binary(&c->group, &c->p, u->bytes, X25519_BYTES), ==, 0);
}

static struct x25519 x25519_from(const struct curve *c, const mbedtls_ecp_point *p)
{
    struct x25519 x;
    size_t n;

    CHECK_INT(mbedtls_ecp_point_write_binary(&c->group, p, MBEDTLS_ECP_PF_UNCOMPRESSED, &n,
                                             x.bytes, X25519_BYTES),
              ==, 0);
    CHECK_UINT(n, ==, X25519_BYTES);
    return x;
}

/* `u` NULL: the base point.  The product may take the place of the point. */
static struct x25519 x25519(struct x25519 secret, const struct x25519 *u, bool is_in_place)
{
    struct curve c;

    curve_open(&c, MBEDTLS_ECP_DP_CURVE25519);
    make_valid(&secret);
    curve_secret(&c, secret);
    if (u != NULL)
        curve_point(&c, u);
    else
        CHECK_INT(mbedtls_ecp_copy(&c.p, &c.group.G), ==, 0);
    mbedtls_ecp_point *product = is_in_place ? &c.p : &c.product;
    CHECK_INT(multiply(&c, product, &c.p), ==, 0);
    CHECK_INT(mbedtls_ecp_check_pubkey(&c.group, product), ==, 0); /* it can be used again */
    struct x25519 result = x25519_from(&c, product);
    curve_close(&c);
    return result;
}

static void check_x25519(const char *secret, const char *u, const char *wanted)
{
    struct x25519 want = x25519_of(wanted), point = x25519_of(u ? u : wanted);

    for (int is_in_place = 0; is_in_place < 2; is_in_place++) {
        struct x25519 got = x25519(x25519_of(secret), u ? &point : NULL, is_in_place);
        CHECK_MEM(got.bytes, want.bytes, X25519_BYTES);
    }
}

#define ALICE        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
#define ALICE_PUBLIC "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define BOB          "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
#define BOB_PUBLIC   "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
#define SHARED       "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"

CASE(x25519_as_in_rfc_7748_6_1)
{
    check_x25519(ALICE, NULL, ALICE_PUBLIC);
    check_x25519(BOB, NULL, BOB_PUBLIC);
    check_x25519(ALICE, BOB_PUBLIC, SHARED);
    check_x25519(BOB, ALICE_PUBLIC, SHARED);
}

/* The second point has its highest bit set, which does not count; then 1,000 rounds. */
CASE(x25519_as_in_rfc_7748_5_2)
{
    struct x25519 k = x25519_of("09000000000000000000000000000000"
                                "00000000000000000000000000000000"),
                  u = k;
    struct x25519 wanted =
        x25519_of("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");

    check_x25519("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                 "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                 "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    check_x25519("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                 "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                 "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
    for (int i = 0; i < 1000; i++) {
        struct x25519 next = x25519(k, &u, false);
        u = k;
        k = next;
    }
    CHECK_MEM(k.bytes, wanted.bytes, X25519_BYTES);
}

static struct x25519 random_x25519(void)
{
    struct x25519 x;

    for (size_t i = 0; i < X25519_BYTES; i++)
        x.bytes[i] = (unsigned char)check_random();
    return x;
}

CASE(x25519_both_sides_come_to_the_same_secret)
{
    for (int i = 0; i < 20; i++) {
        struct x25519 a = random_x25519(), b = random_x25519();
        struct x25519 a_public = x25519(a, NULL, false), b_public = x25519(b, NULL, false);
        struct x25519 one = x25519(a, &b_public, false), other = x25519(b, &a_public, true);
        CHECK_MEM(one.bytes, other.bytes, X25519_BYTES);
    }
}

/* Inside mbedTLS pairs may be made by other code. */
CASE(x25519_pairs_of_keys_are_what_multiplication_makes)
{
    for (int i = 0; i < 20; i++) {
        struct curve c;
        curve_open(&c, MBEDTLS_ECP_DP_CURVE25519);
        CHECK_INT(mbedtls_ecp_gen_keypair(&c.group, &c.m, &c.p, mbedtls_psa_get_random,
                                          MBEDTLS_PSA_RANDOM_STATE),
                  ==, 0);
        CHECK_INT(multiply(&c, &c.product, &c.group.G), ==, 0);
        CHECK_INT(mbedtls_ecp_point_cmp(&c.product, &c.p), ==, 0);
        curve_close(&c);
    }
}

CASE(x25519_a_private_key_that_is_not_valid_is_refused)
{
    static const struct {
        unsigned byte, bits;
    } changes[] = { { 0, 1 }, { 0, 2 }, { 0, 4 }, { 31, 64 }, { 31, 128 } };
    struct x25519 valid = x25519_of(ALICE);
    struct curve c;

    make_valid(&valid);
    curve_open(&c, MBEDTLS_ECP_DP_CURVE25519);
    curve_secret(&c, valid);
    CHECK_INT(multiply(&c, &c.product, &c.group.G), ==, 0);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct x25519 bad = valid;
        bad.bytes[changes[i].byte] ^= (unsigned char)changes[i].bits;
        curve_secret(&c, bad);
        CHECK_INT(multiply(&c, &c.product, &c.group.G), ==, MBEDTLS_ERR_ECP_INVALID_KEY);
    }
    CHECK_INT(mbedtls_mpi_lset(&c.m, 0), ==, 0);
    CHECK_INT(multiply(&c, &c.product, &c.group.G), ==, MBEDTLS_ERR_ECP_INVALID_KEY);
    curve_close(&c);
}

CASE(x25519_a_point_of_low_order_is_refused)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p - 1 */
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p: 0 */
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p + 1: 1 */
    };
    struct x25519 secret = x25519_of(ALICE);
    struct curve c;

    make_valid(&secret);
    curve_open(&c, MBEDTLS_ECP_DP_CURVE25519);
    curve_secret(&c, secret);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        struct x25519 u = x25519_of(points[i]);
        curve_point(&c, &u);
        CHECK_INT(multiply(&c, &c.product, &c.p), ==, MBEDTLS_ERR_ECP_INVALID_KEY);
    }
    CHECK_INT(mbedtls_ecp_set_zero(&c.p), ==, 0);
    CHECK_INT(multiply(&c, &c.product, &c.p), ==, MBEDTLS_ERR_ECP_INVALID_KEY);
    curve_close(&c);
}

CASE(p_256_is_multiplied_too)
{
    struct curve c;
    mbedtls_mpi one;
    mbedtls_ecp_point sum;

    curve_open(&c, MBEDTLS_ECP_DP_SECP256R1);
    mbedtls_mpi_init(&one);
    mbedtls_ecp_point_init(&sum);
    CHECK_INT(mbedtls_mpi_lset(&one, 1), ==, 0);
    CHECK_INT(mbedtls_mpi_lset(&c.m, 1), ==, 0);
    CHECK_INT(multiply(&c, &c.product, &c.group.G), ==, 0);
    CHECK_INT(mbedtls_ecp_point_cmp(&c.product, &c.group.G), ==, 0);
    CHECK_INT(mbedtls_mpi_lset(&c.m, 2), ==, 0);
    CHECK_INT(multiply(&c, &c.product, &c.product), ==, 0); /* in its place */
    CHECK_INT(mbedtls_ecp_muladd(&c.group, &sum, &one, &c.group.G, &one, &c.group.G), ==, 0);
    CHECK_INT(mbedtls_ecp_point_cmp(&c.product, &sum), ==, 0);
    CHECK_INT(mbedtls_mpi_lset(&c.m, 0), ==, 0);
    CHECK_INT(multiply(&c, &c.product, &c.group.G), ==, MBEDTLS_ERR_ECP_INVALID_KEY);
    mbedtls_mpi_free(&one);
    mbedtls_ecp_point_free(&sum);
    curve_close(&c);
}

/* --- memory ------------------------------------------------------------------------------------ */

static unsigned allocations_left; /* the next after them fails */

static void *scarce_malloc(void *data, size_t n_bytes)
{
    (void)data;
    return allocations_left-- == 0 ? NULL : malloc(n_bytes);
}

static void *scarce_realloc(void *data, void *p, size_t n_bytes)
{
    (void)data;
    return allocations_left-- == 0 ? NULL : realloc(p, n_bytes);
}

static void scarce_free(void *data, void *p)
{
    (void)data;
    free(p);
}

/* An answer from the server, read under scarcity; the ticket before it may be lost. */
static void scarce_answer(struct pair *p)
{
    char piece[16];
    size_t n;

    CHECK_INT(hw_tls_write(p->server, HW_SLICE("200 OK"), &p->s_why), ==, HW_TLS_DONE);
    carry(p->server, p->client, 0);
    CHECK_INT(hw_tls_read(p->client, piece, sizeof piece, &n, &p->c_why), ==, HW_TLS_DONE);
    CHECK_MEM(piece, "200 OK", 6);
    hw_tls_ticket_close(hw_tls_ticket_take(p->client, now_ms()));
}

/* The client's part with only so many allocations; true: they were enough for everything. */
static bool scarce_client(struct pair *p, const struct world *w)
{
    enum hw_status status =
        hw_tls_open_client(&p->client, w->trust, "a.example", false, NULL, &p->c_why);

    if (status != HW_OK) {
        CHECK_INT(status, ==, HW_ENOMEM);
        CHECK_INT(p->c_why.status, ==, HW_ENOMEM);
        p->client = NULL;
        return false;
    }
    if (hw_buf_reserve(hw_tls_inbox(p->client), 65536) != HW_OK)
        return false;
    pair_handshake(p);
    if (p->c != HW_TLS_DONE) {
        CHECK_INT(p->c, ==, HW_TLS_FAILED);
        CHECK_INT(p->c_why.status, ==, HW_ENOMEM);
        return false;
    }
    scarce_answer(p);
    return allocations_left < 1000; /* none failed: the count did not wrap */
}

static bool scarce_exchange(const struct world *w, unsigned n_allocations)
{
    const struct hw_alloc scarce = { scarce_malloc, scarce_realloc, scarce_free, NULL };
    struct pair p = { .c = HW_TLS_AGAIN, .s = HW_TLS_AGAIN };
    bool were_enough;

    CHECK_INT(hw_tls_open_server(&p.server, w->identity, &p.s_why), ==, HW_OK);
    CHECK_INT(hw_buf_reserve(hw_tls_inbox(p.server), 65536), ==, HW_OK);
    CHECK_INT(hw_buf_reserve(hw_tls_outbox(p.server), 65536), ==, HW_OK);
    allocations_left = n_allocations;
    hw_alloc_use(&scarce);
    were_enough = scarce_client(&p, w);
    pair_close(&p);
    hw_alloc_use(NULL);
    return were_enough;
}

CASE(each_allocation_fails_once)
{
    struct world w;
    unsigned n = 0;

    world_open(&w, now_ms());
    while (!scarce_exchange(&w, n) && n < 100)
        n++;
    CHECK_UINT(n, >, 1);
    CHECK_UINT(n, <, 100);
    world_close(&w);
}

/* --- randomness ---------------------------------------------------------------------------------- */

CASE(random_bytes_differ)
{
    unsigned char a[600] = { 0 }, b[600] = { 0 };

    hw_random_bytes(a, sizeof a);
    hw_random_bytes(b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(memcmp(a + 584, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16) != 0);
}
