/*
 * trust - whom we believe, and who we are: what TLS sessions share.
 *
 * hw_trust is the client's side: the system's CA store, more roots from a file,
 * and the one mbedTLS configuration all client sessions use (TLS 1.2 and 1.3,
 * verification required, tickets on, AES-GCM with hardware instructions first).
 * hw_identity is a server's: a certificate chain and its key (for `hookwheel
 * listen` and tests).
 *
 * Memory    both are reference-free and must outlive every session made from them.
 * Threads   one: mbedTLS is built without locks.
 * Errors    a file that cannot be read or holds no certificate is HW_EINVAL with
 *           the path in the cause; a certificate inside a bundle that does not
 *           parse is skipped.
 * Cost      opening reads and parses the system's bundle (some 150 roots): tens of ms.
 */
#ifndef HW_TLS_TRUST_H
#define HW_TLS_TRUST_H

#include "base/buf.h"
#include "hookwheel/status.h"

struct hw_trust;
struct hw_identity;
struct mbedtls_ssl_config;

/* `ca_file`: more trusted roots (PEM), or NULL.  `system_roots` false: only ca_file
 * (tests, `rediss://` with a private root). */
HW_MUST_USE enum hw_status hw_trust_open(struct hw_trust **out, const char *ca_file,
                                         bool system_roots, struct hw_cause *cause);
void hw_trust_close(struct hw_trust *trust); /* NULL is fine */

/* From PEM files.  The chain must fit one record of ours (some 3.8 KiB): a leaf and one or
 * two certificates above it, not the root. */
HW_MUST_USE enum hw_status hw_identity_open(struct hw_identity **out, const char *cert_file,
                                            const char *key_file, struct hw_cause *cause);

/* A fresh P-256 key and a self-signed certificate for `names` (DNS names or IP
 * literals), valid from a day before now_ms for 30 days.  The certificate's PEM is
 * appended to `pem` where that is not NULL, so that a client can be told to trust it. */
HW_MUST_USE enum hw_status hw_identity_make(struct hw_identity **out, const char *const *names,
                                            size_t n_names, int64_t now_ms, struct hw_buf *pem,
                                            struct hw_cause *cause);
void hw_identity_close(struct hw_identity *identity); /* NULL is fine */

/* What sessions are made from; for tls.c. */
const struct mbedtls_ssl_config *hw_trust_config(const struct hw_trust *trust);
const struct mbedtls_ssl_config *hw_identity_config(const struct hw_identity *identity);
/* How many tickets of clients were good so far: a server session that sees it rise during its
 * handshake is a resumed one, and mbedTLS has no other way to say so. */
uint64_t hw_identity_tickets_taken(const struct hw_identity *identity);

/* Cryptographic random bytes; stops the program where the system has none. */
void hw_random_bytes(void *out, size_t n_bytes);

#endif
