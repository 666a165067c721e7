/*
 * tls - one TLS session between two byte buffers; it sees no socket.
 *
 *      socket --read--> inbox  --hw_tls_read-->  plaintext
 *      socket <-write-- outbox <--hw_tls_write-- plaintext
 *
 * The owner moves bytes between the socket and the two boxes.  After every call
 * that says anything, whatever is in the outbox wants to be written.
 *
 * Memory    about 22 KiB a session once the handshake is over.
 * Lifetime  open, handshake until DONE, read and write, close.  Trust, identity
 *           are borrowed; a ticket given is copied.
 * Errors    FAILED fills the cause (HW_ETLS with the verifier's reason in words, or
 *           HW_ECONN for an end in the middle); the session is of no use afterwards,
 *           but an alert may be in the outbox.
 * Cost      a client's full handshake 2.5-5 ms of CPU with a chain of three P-256
 *           certificates, 1-2 ms with RSA; resumed 0.03-0.05 ms (TLS 1.2) or 0.5-0.9 ms (1.3,
 *           which agrees on a new key); a record of 1 KiB about 3 us.
 */
#ifndef HW_TLS_TLS_H
#define HW_TLS_TLS_H

#include "base/buf.h"
#include "base/time.h"
#include "tls/trust.h"

struct hw_tls;
struct hw_tls_ticket;

enum hw_tls_result {
    HW_TLS_DONE,   /* handshake complete; or bytes were read or written */
    HW_TLS_AGAIN,  /* more input is needed first */
    HW_TLS_CLOSED, /* the peer ended the session properly (read only) */
    HW_TLS_FAILED
};

/* A client session.  `name` is the DNS name, or the IP literal without brackets
 * where is_address: then no SNI is sent and the certificate must carry that IP SAN.
 * `ticket` from an earlier session with the same name and trust, or NULL. */
HW_MUST_USE enum hw_status hw_tls_open_client(struct hw_tls **out, struct hw_trust *trust,
                                              const char *name, bool is_address,
                                              const struct hw_tls_ticket *ticket,
                                              struct hw_cause *cause);
HW_MUST_USE enum hw_status
hw_tls_open_server(struct hw_tls **out, struct hw_identity *identity, struct hw_cause *cause);
void hw_tls_close(struct hw_tls *tls); /* NULL is fine */

/* Ciphertext from the peer goes in at the end of the inbox (reserve, read, commit);
 * ciphertext for the peer is taken from the front of the outbox (consume). */
struct hw_buf *hw_tls_inbox(struct hw_tls *tls);
struct hw_buf *hw_tls_outbox(struct hw_tls *tls);

/* The transport has ended; what is in the inbox is the last. */
void hw_tls_input_ended(struct hw_tls *tls);

/* Call at first and whenever the inbox has grown, until DONE or FAILED. */
enum hw_tls_result hw_tls_handshake(struct hw_tls *tls, struct hw_cause *cause);

/* Plaintext into out, at most `size`; DONE with *n_read > 0.  Call until AGAIN. */
enum hw_tls_result hw_tls_read(struct hw_tls *tls, void *out, size_t size, size_t *n_read,
                               struct hw_cause *cause);

/* All of `plain` into the outbox: DONE or FAILED. */
enum hw_tls_result hw_tls_write(struct hw_tls *tls, struct hw_slice plain,
                                struct hw_cause *cause);

/* Put a close_notify into the outbox. */
void hw_tls_shut(struct hw_tls *tls);

/* After the handshake: "1.2" or "1.3"; whether it was resumed. */
const char *hw_tls_version(const struct hw_tls *tls);
bool hw_tls_is_resumed(const struct hw_tls *tls);

/* Plaintext that is decrypted but not read yet. */
bool hw_tls_has_pending(const struct hw_tls *tls);

/* The newest ticket the server has given, taken out: yours to close; NULL: none (yet).
 * With TLS 1.3 it comes after the handshake, during reads.  It is good until
 * hw_tls_ticket_expires: at most 24 h and at most the certificate's end. */
struct hw_tls_ticket *hw_tls_ticket_take(struct hw_tls *tls, hw_unix_ms now);
hw_unix_ms hw_tls_ticket_expires(const struct hw_tls_ticket *ticket);
void hw_tls_ticket_close(struct hw_tls_ticket *ticket); /* NULL is fine */

#endif
