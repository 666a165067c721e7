/*
 * status - did an operation of ours work?
 *
 * What a receiver answered is not a status: a 503 is a successful exchange.
 * The foreign number (errno, libuv, mbedTLS ...) survives in struct hw_cause
 * for the log; it is never compared above the module that met it.
 */
#ifndef HOOKWHEEL_STATUS_H
#define HOOKWHEEL_STATUS_H

#if defined(__GNUC__)
#define HW_API __attribute__((visibility("default")))
#define HW_MUST_USE __attribute__((warn_unused_result))
#define HW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define HW_API
#define HW_MUST_USE
#define HW_PRINTF(fmt, args)
#endif

#define HW_STATUS_MAP(X)                                                                  \
    X(OK, 0, "ok")                                                                        \
    X(ENOMEM, -1, "out of memory")                                                        \
    X(ECANCELED, -2, "canceled because its owner is closing")                             \
    X(ETIMEDOUT, -3, "deadline passed")                                                   \
    X(ECONN, -4, "connection could not be made or was lost")                              \
    X(ETLS, -5, "peer could not be trusted or spoke bad TLS")                             \
    X(EPROTO, -6, "peer spoke bad HTTP or bad RESP")                                      \
    X(ETOOBIG, -7, "over a configured size limit")                                        \
    X(EBUSY, -8, "over a configured count limit")                                         \
    X(EINVAL, -9, "argument or setting not usable")                                       \
    X(EDENIED, -10, "address not allowed by policy")                                      \
    X(EDNS, -11, "name could not be resolved")                                            \
    X(ESYSTEM, -12, "the operating system refused")

enum hw_status {
#define X(name, num, text) HW_##name = num,
    HW_STATUS_MAP(X)
#undef X
};

/* Where a foreign number came from. */
enum hw_origin {
    HW_ORIGIN_US,
    HW_ORIGIN_LIBUV,
    HW_ORIGIN_MBEDTLS,
    HW_ORIGIN_LLHTTP,
    HW_ORIGIN_HIREDIS,
    HW_ORIGIN_CARES,
    HW_ORIGIN_ERRNO
};

/* Where a failure came from.  Plain value: copy it, never free it. */
struct hw_cause {
    enum hw_status status;
    enum hw_origin origin;
    int code;       /* the foreign number, 0 when ours */
    char note[160]; /* one sentence for people: what we were doing and what went wrong */
};

/* The fixed text of a status; never NULL. */
HW_API const char *hw_status_text(enum hw_status status);

/* Fill *cause (when not NULL) and return `status`, so that a failure is one line:
 * `return hw_cause_set(cause, HW_ECONN, HW_ORIGIN_LIBUV, rc, "connect %s", name);` */
HW_API enum hw_status hw_cause_set(struct hw_cause *cause, enum hw_status status,
                                   enum hw_origin origin, int code, const char *fmt, ...)
    HW_PRINTF(5, 6);

#endif
