/*
 * A client's good day: open -> handshake: AGAIN (the hello is in the outbox) -> ... -> DONE
 * -> write, read, read ... (with TLS 1.3 a ticket comes among the first reads) -> shut -> close.
 *
 * What ends it earlier:
 *   a certificate that is not good enough   handshake FAILED, HW_ETLS, the reason in words
 *   no version or cipher in common          FAILED, HW_ETLS, the peer's alert by its name
 *   the transport ends                      FAILED, HW_ECONN
 *   close_notify                            read CLOSED
 */
#include "tls/tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <time.h>

#include "hookwheel/alloc.h"

/* Over whatever one call may bring: a Redis pipeline of 64 MiB with its record headers. */
#define BOX_MAX_BYTES ((size_t)80 * 1024 * 1024)

#define TICKET_LIFE_MS (INT64_C(24) * 60 * 60 * 1000)

struct hw_tls {
    mbedtls_ssl_context ssl;
    struct hw_buf inbox;
    struct hw_buf outbox;
    const struct hw_identity *identity; /* borrowed; a server's */
    struct hw_tls_ticket *ticket;       /* owned; newest of TLS 1.3 that was not taken */
    hw_unix_ms chain_until;             /* first end of validity in the peer's chain */
    hw_unix_ms ticket_until;            /* of the ticket that was offered; 0: none was */
    unsigned char address[16];          /* the name as an IP address ... */
    size_t address_bytes;               /* ... 4 or 16; 0: the name is a DNS name */
    char name[128];                     /* for messages; may be cut */
    uint32_t flaws;                     /* MBEDTLS_X509_BADCERT_* that the verifier found */
    bool is_client;
    bool is_verified;    /* a certificate was looked at: not resumed */
    bool is_ticket_good; /* a server's client came with one */
    bool has_ended;      /* the transport */
    bool is_done;        /* the handshake */
    bool is_closed;      /* the peer said so */
    bool is_broken;
};

struct hw_tls_ticket {
    mbedtls_ssl_session session;
    hw_unix_ms expires; /* 0: to be found when it is taken */
};

/* --- failures in words --------------------------------------------------------------- */

static const struct {
    uint32_t flag;
    const char *words;
} flaw_words[] = {
    { MBEDTLS_X509_BADCERT_MISSING, "there is none" },
    { MBEDTLS_X509_BADCERT_EXPIRED, "it has expired" },
    { MBEDTLS_X509_BADCERT_FUTURE, "it is not valid yet" },
    { MBEDTLS_X509_BADCERT_CN_MISMATCH, "it is for another name" },
    { MBEDTLS_X509_BADCERT_NOT_TRUSTED, "its issuer is not trusted" },
    { MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE |
          MBEDTLS_X509_BADCERT_NS_CERT_TYPE,
      "it is not meant for a server" },
    { MBEDTLS_X509_BADCERT_BAD_MD, "its signature uses a weak digest" },
    { MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_KEY, "its key is too weak" },
    { MBEDTLS_X509_BADCERT_REVOKED, "it was revoked" },
};

static enum hw_status fail_certificate(const struct hw_tls *tls, int rc,
                                       struct hw_cause *cause)
{
    char words[100];
    size_t at = 0;

    words[0] = '\0';
    for (size_t i = 0; i < sizeof flaw_words / sizeof *flaw_words; i++)
        if ((tls->flaws & flaw_words[i].flag) != 0 && at < sizeof words)
            at += (size_t)snprintf(words + at, sizeof words - at, "%s%s", at ? ", " : "",
                                   flaw_words[i].words);
    return hw_cause_set(cause, HW_ETLS, HW_ORIGIN_MBEDTLS, rc, "certificate of %s: %s",
                        tls->name, words[0] ? words : "it could not be verified");
}

/* RFC 8446 6.2, the ones that a server sends a client that it cannot serve. */
static const char *alert_name(unsigned char alert)
{
    switch (alert) {
    case MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE:
        return "unexpected_message";
    case MBEDTLS_SSL_ALERT_MSG_BAD_RECORD_MAC:
        return "bad_record_mac";
    case MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE:
        return "handshake_failure";
    case MBEDTLS_SSL_ALERT_MSG_BAD_CERT:
        return "bad_certificate";
    case MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT:
        return "unsupported_certificate";
    case MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED:
        return "certificate_expired";
    case MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN:
        return "certificate_unknown";
    case MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER:
        return "illegal_parameter";
    case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA:
        return "unknown_ca";
    case MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED:
        return "access_denied";
    case MBEDTLS_SSL_ALERT_MSG_DECODE_ERROR:
        return "decode_error";
    case MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR:
        return "decrypt_error";
    case MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION:
        return "protocol_version";
    case MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY:
        return "insufficient_security";
    case MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR:
        return "internal_error";
    case MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME:
        return "unrecognized_name";
    case 116: /* certificate_required: TLS 1.3 only, mbedTLS has no name for it */
        return "certificate_required";
    default:
        return "alert";
    }
}

static enum hw_status fail_alert(const struct hw_tls *tls, int rc, struct hw_cause *cause)
{
    /* The alert is what was read last; there is no other way to ask for its number. */
    unsigned char alert = tls->ssl.MBEDTLS_PRIVATE(in_msg)[1];

    return hw_cause_set(cause, HW_ETLS, HW_ORIGIN_MBEDTLS, rc, "%s refused the %s: %s (%u)",
                        tls->name, tls->is_done ? "TLS session" : "TLS handshake",
                        alert_name(alert), alert);
}

static enum hw_tls_result tls_fail(struct hw_tls *tls, int rc, struct hw_cause *cause)
{
    char words[90];

    tls->is_broken = true;
    if (hw_buf_failed(&tls->outbox) != HW_OK || rc == MBEDTLS_ERR_SSL_ALLOC_FAILED) {
        hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_MBEDTLS, rc, "no memory for TLS with %s",
                     tls->name);
        return HW_TLS_FAILED;
    }
    switch (rc) {
    case 0: /* from read */
    case MBEDTLS_ERR_SSL_CONN_EOF:
        hw_cause_set(cause, HW_ECONN, HW_ORIGIN_MBEDTLS, rc, "%s closed the connection %s",
                     tls->name,
                     tls->is_done ? "without ending TLS" : "during the TLS handshake");
        break;
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY: /* in a handshake */
        hw_cause_set(cause, HW_ECONN, HW_ORIGIN_MBEDTLS, rc,
                     "%s closed the connection during the TLS handshake", tls->name);
        break;
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
        fail_certificate(tls, rc, cause);
        break;
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        fail_alert(tls, rc, cause);
        break;
    default:
        mbedtls_strerror(rc, words, sizeof words);
        hw_cause_set(cause, HW_ETLS, HW_ORIGIN_MBEDTLS, rc, "TLS with %s: %s", tls->name,
                     words);
    }
    return HW_TLS_FAILED;
}

/* --- what mbedTLS asks back ----------------------------------------------------------- */

static int on_send(void *ctx, const unsigned char *bytes, size_t n_bytes)
{
    struct hw_tls *tls = ctx;

    if (n_bytes > INT_MAX)
        n_bytes = INT_MAX;
    if (hw_buf_append(&tls->outbox, bytes, n_bytes) != HW_OK)
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    return (int)n_bytes;
}

static int on_receive(void *ctx, unsigned char *bytes, size_t n_bytes)
{
    struct hw_tls *tls = ctx;
    struct hw_slice there = hw_buf_slice(&tls->inbox);

    if (there.len == 0)
        return tls->has_ended ? MBEDTLS_ERR_SSL_CONN_EOF : MBEDTLS_ERR_SSL_WANT_READ;
    if (n_bytes > there.len)
        n_bytes = there.len;
    if (n_bytes > INT_MAX)
        n_bytes = INT_MAX;
    memcpy(bytes, there.data, n_bytes);
    hw_buf_consume(&tls->inbox, n_bytes);
    return (int)n_bytes;
}

static hw_unix_ms unix_ms_of(const mbedtls_x509_time *time)
{
    struct tm tm = { .tm_year = time->year - 1900,
                     .tm_mon = time->mon - 1,
                     .tm_mday = time->day,
                     .tm_hour = time->hour,
                     .tm_min = time->min,
                     .tm_sec = time->sec };
    return (hw_unix_ms)timegm(&tm) * 1000;
}

static bool certificate_has_address(const struct hw_tls *tls, const mbedtls_x509_crt *crt)
{
    const int ip_tag = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_IP_ADDRESS;

    for (const mbedtls_x509_sequence *san = &crt->subject_alt_names; san != NULL;
         san = san->next)
        if (san->buf.tag == ip_tag && san->buf.len == tls->address_bytes &&
            memcmp(san->buf.p, tls->address, tls->address_bytes) == 0)
            return true;
    return false;
}

/* Called for each certificate of the chain, from the root down to the server's at depth 0.
 * mbedTLS was told no name where that is an address: it would send it as SNI. */
static int on_certificate(void *ctx, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct hw_tls *tls = ctx;
    hw_unix_ms until = unix_ms_of(&crt->valid_to);

    if (!tls->is_verified || until < tls->chain_until)
        tls->chain_until = until;
    tls->is_verified = true;
    if (depth == 0 && tls->address_bytes > 0 && !certificate_has_address(tls, crt))
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    tls->flaws |= *flags;
    return 0;
}

/* --- open and close -------------------------------------------------------------------- */

static enum hw_status tls_open(struct hw_tls **out, const mbedtls_ssl_config *config,
                               struct hw_cause *cause)
{
    struct hw_tls *tls = hw_calloc(1, sizeof *tls);

    if (tls == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "no memory for TLS");
    hw_buf_init(&tls->inbox, BOX_MAX_BYTES);
    hw_buf_init(&tls->outbox, BOX_MAX_BYTES);
    mbedtls_ssl_init(&tls->ssl);
    if (mbedtls_ssl_setup(&tls->ssl, config) != 0) {
        hw_tls_close(tls);
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_MBEDTLS, 0, "no memory for TLS");
    }
    mbedtls_ssl_set_bio(&tls->ssl, tls, on_send, on_receive, NULL);
    *out = tls;
    return HW_OK;
}

static enum hw_status client_set_name(struct hw_tls *tls, const char *name, bool is_address,
                                      struct hw_cause *cause)
{
    snprintf(tls->name, sizeof tls->name, "%s", name);
    if (is_address) {
        if (inet_pton(AF_INET, name, tls->address) == 1)
            tls->address_bytes = 4;
        else if (inet_pton(AF_INET6, name, tls->address) == 1)
            tls->address_bytes = 16;
        else
            return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "%s is not an IP address",
                                tls->name);
    }
    int rc = mbedtls_ssl_set_hostname(&tls->ssl, is_address ? NULL : name);
    if (rc == MBEDTLS_ERR_SSL_BAD_INPUT_DATA)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_MBEDTLS, rc, "name too long: %s",
                            tls->name);
    if (rc != 0)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_MBEDTLS, rc, "no memory for TLS");
    return HW_OK;
}

static enum hw_status client_set_ticket(struct hw_tls *tls, const struct hw_tls_ticket *ticket,
                                        struct hw_cause *cause)
{
    int rc;

    if (ticket == NULL)
        return HW_OK;
    rc = mbedtls_ssl_set_session(&tls->ssl, &ticket->session);
    if (rc != 0)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_MBEDTLS, rc, "no memory for TLS");
    tls->ticket_until = ticket->expires;
    return HW_OK;
}

enum hw_status hw_tls_open_client(struct hw_tls **out, struct hw_trust *trust,
                                  const char *name, bool is_address,
                                  const struct hw_tls_ticket *ticket, struct hw_cause *cause)
{
    struct hw_tls *tls;
    enum hw_status status = tls_open(&tls, hw_trust_config(trust), cause);

    if (status != HW_OK)
        return status;
    tls->is_client = true;
    mbedtls_ssl_set_verify(&tls->ssl, on_certificate, tls);
    status = client_set_name(tls, name, is_address, cause);
    if (status == HW_OK)
        status = client_set_ticket(tls, ticket, cause);
    if (status != HW_OK)
        hw_tls_close(tls);
    else
        *out = tls;
    return status;
}

enum hw_status hw_tls_open_server(struct hw_tls **out, struct hw_identity *identity,
                                  struct hw_cause *cause)
{
    enum hw_status status = tls_open(out, hw_identity_config(identity), cause);

    if (status != HW_OK)
        return status;
    snprintf((*out)->name, sizeof(*out)->name, "client");
    (*out)->identity = identity;
    return HW_OK;
}

void hw_tls_close(struct hw_tls *tls)
{
    if (tls == NULL)
        return;
    mbedtls_ssl_free(&tls->ssl);
    hw_buf_close(&tls->inbox);
    hw_buf_close(&tls->outbox);
    hw_tls_ticket_close(tls->ticket);
    hw_free(tls);
}

struct hw_buf *hw_tls_inbox(struct hw_tls *tls)
{
    return &tls->inbox;
}

struct hw_buf *hw_tls_outbox(struct hw_tls *tls)
{
    return &tls->outbox;
}

void hw_tls_input_ended(struct hw_tls *tls)
{
    tls->has_ended = true;
}

/* --- tickets ---------------------------------------------------------------------------- */

/* NULL: out of memory, or the session has nothing that it could be resumed by. */
static struct hw_tls_ticket *ticket_new(const struct hw_tls *tls)
{
    struct hw_tls_ticket *ticket = hw_malloc(sizeof *ticket);

    if (ticket == NULL)
        return NULL;
    mbedtls_ssl_session_init(&ticket->session);
    ticket->expires = 0;
    if (mbedtls_ssl_get_session(&tls->ssl, &ticket->session) != 0) {
        hw_tls_ticket_close(ticket);
        return NULL;
    }
    if (ticket->session.MBEDTLS_PRIVATE(ticket_len) == 0 &&
        mbedtls_ssl_session_get_id_len(&ticket->session) == 0) {
        hw_tls_ticket_close(ticket);
        return NULL;
    }
    return ticket;
}

static bool is_tls12(const struct hw_tls *tls)
{
    return mbedtls_ssl_get_version_number(&tls->ssl) == MBEDTLS_SSL_VERSION_TLS1_2;
}

/* A session that was resumed was not verified: its tickets end when the first one does. */
static hw_unix_ms ticket_until(const struct hw_tls *tls, hw_unix_ms now)
{
    hw_unix_ms until = now + TICKET_LIFE_MS;
    hw_unix_ms limit = hw_tls_is_resumed(tls) ? tls->ticket_until : tls->chain_until;

    return until < limit ? until : limit;
}

struct hw_tls_ticket *hw_tls_ticket_take(struct hw_tls *tls, hw_unix_ms now)
{
    struct hw_tls_ticket *ticket = tls->ticket;

    if (!tls->is_client || !tls->is_done)
        return NULL;
    tls->ticket = NULL;
    if (ticket == NULL && is_tls12(tls))
        ticket = ticket_new(tls);
    if (ticket != NULL)
        ticket->expires = ticket_until(tls, now);
    return ticket;
}

hw_unix_ms hw_tls_ticket_expires(const struct hw_tls_ticket *ticket)
{
    return ticket->expires;
}

void hw_tls_ticket_close(struct hw_tls_ticket *ticket)
{
    if (ticket == NULL)
        return;
    mbedtls_ssl_session_free(&ticket->session);
    hw_free(ticket);
}

/* TLS 1.3; losing one to want of memory costs a handshake later, no more. */
static void on_new_ticket(struct hw_tls *tls)
{
    struct hw_tls_ticket *ticket = ticket_new(tls);

    if (ticket == NULL)
        return;
    hw_tls_ticket_close(tls->ticket);
    tls->ticket = ticket;
}

/* --- the session ------------------------------------------------------------------------- */

static enum hw_tls_result is_broken_already(const struct hw_tls *tls, struct hw_cause *cause)
{
    hw_cause_set(cause, HW_ETLS, HW_ORIGIN_US, 0, "the TLS session with %s has failed before",
                 tls->name);
    return HW_TLS_FAILED;
}

enum hw_tls_result hw_tls_handshake(struct hw_tls *tls, struct hw_cause *cause)
{
    uint64_t n_taken = tls->identity ? hw_identity_tickets_taken(tls->identity) : 0;
    int rc;

    if (tls->is_broken)
        return is_broken_already(tls, cause);
    rc = mbedtls_ssl_handshake(&tls->ssl);
    if (tls->identity && hw_identity_tickets_taken(tls->identity) != n_taken)
        tls->is_ticket_good = true;
    if (rc == MBEDTLS_ERR_SSL_WANT_READ)
        return HW_TLS_AGAIN;
    if (rc != 0)
        return tls_fail(tls, rc, cause);
    tls->is_done = true;
    return HW_TLS_DONE;
}

/* mbedTLS says "want read" also where it merely stopped to change its state: before a ticket
 * that it has read already. */
static bool can_go_on(const struct hw_tls *tls)
{
    return hw_buf_len(&tls->inbox) > 0 || mbedtls_ssl_check_pending(&tls->ssl) != 0;
}

enum hw_tls_result hw_tls_read(struct hw_tls *tls, void *out, size_t size, size_t *n_read,
                               struct hw_cause *cause)
{
    int rc;

    *n_read = 0;
    if (tls->is_broken)
        return is_broken_already(tls, cause);
    if (tls->is_closed)
        return HW_TLS_CLOSED;
    do {
        rc = mbedtls_ssl_read(&tls->ssl, out, size);
        if (rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
            on_new_ticket(tls);
    } while (rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET ||
             (rc == MBEDTLS_ERR_SSL_WANT_READ && can_go_on(tls)));
    if (rc == MBEDTLS_ERR_SSL_WANT_READ)
        return HW_TLS_AGAIN;
    if (rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        tls->is_closed = true;
        return HW_TLS_CLOSED;
    }
    if (rc <= 0)
        return tls_fail(tls, rc, cause);
    *n_read = (size_t)rc;
    return HW_TLS_DONE;
}

enum hw_tls_result hw_tls_write(struct hw_tls *tls, struct hw_slice plain,
                                struct hw_cause *cause)
{
    if (tls->is_broken)
        return is_broken_already(tls, cause);
    while (plain.len > 0) {
        int rc = mbedtls_ssl_write(&tls->ssl, (const unsigned char *)plain.data, plain.len);
        if (rc <= 0)
            return tls_fail(tls, rc, cause);
        plain = hw_slice_from(plain, (size_t)rc);
    }
    return HW_TLS_DONE;
}

void hw_tls_shut(struct hw_tls *tls)
{
    if (!tls->is_broken && tls->is_done)
        (void)mbedtls_ssl_close_notify(&tls->ssl);
}

const char *hw_tls_version(const struct hw_tls *tls)
{
    return is_tls12(tls) ? "1.2" : "1.3";
}

bool hw_tls_is_resumed(const struct hw_tls *tls)
{
    return tls->is_done && (tls->is_client ? !tls->is_verified : tls->is_ticket_good);
}

bool hw_tls_has_pending(const struct hw_tls *tls)
{
    return mbedtls_ssl_get_bytes_avail(&tls->ssl) > 0;
}
