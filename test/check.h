/*
 * check - the test harness: cases, assertions, seeded random numbers.
 *
 *      #include "check.h"
 *
 *      CASE(cancel_is_immediate)
 *      {
 *          CHECK_INT(f.n_fired, ==, 0);
 *      }
 *
 *      prog --list     the names, one a line
 *      prog NAME ...   those cases, in this process
 *      prog            all of them, in the order of the source
 *
 * A case registers itself before main runs.  A failed assertion prints where, what and
 * both values, and aborts: no jump out of a callback, so the failure stays where it
 * happened.  ctest runs every case as a process of its own (test/CMakeLists.txt).
 *
 * Random    check_random() and friends begin at the environment's HW_SEED, or at a fresh
 *           seed; the seed is printed at the first use, so that a failure can be repeated.
 *           Every case begins at the seed anew.
 *
 * Included once a program: it holds main.
 */
#ifndef HW_TEST_CHECK_H
#define HW_TEST_CHECK_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct check_case {
    const char *name;
    void (*run)(void);
    struct check_case *next;
};

static struct check_case *check_first;
static struct check_case **check_last = &check_first;
static const char *check_running = "(no case)";
static uint64_t check_seed; /* where random numbers began; valid once is_seeded */
static uint64_t check_random_state;
static bool check_is_seeded;

#define CASE(case_name)                                                                       \
    static void case_##case_name(void);                                                       \
    __attribute__((constructor)) static void check_register_##case_name(void)                 \
    {                                                                                         \
        static struct check_case self = { #case_name, case_##case_name, NULL };               \
        *check_last = &self;                                                                  \
        check_last = &self.next;                                                              \
    }                                                                                         \
    static void case_##case_name(void)

/* --- assertions ------------------------------------------------------------------ */

/* Plain failure with words of one's own. */
#define CHECK_FAIL(...) check_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(x)                                                                              \
    do {                                                                                      \
        if (!(x))                                                                             \
            check_fail(__FILE__, __LINE__, "not true: %s", #x);                               \
    } while (0)

/* Signed and unsigned whole numbers: CHECK_INT(n, >=, 3). */
#define CHECK_INT(a, op, b)                                                                   \
    do {                                                                                      \
        intmax_t check_a = (intmax_t)(a), check_b = (intmax_t)(b);                            \
        if (!(check_a op check_b))                                                            \
            check_fail(__FILE__, __LINE__, "%s %s %s\n  left:  %jd\n  right: %jd", #a, #op,   \
                       #b, check_a, check_b);                                                 \
    } while (0)

#define CHECK_UINT(a, op, b)                                                                  \
    do {                                                                                      \
        uintmax_t check_a = (uintmax_t)(a), check_b = (uintmax_t)(b);                         \
        if (!(check_a op check_b))                                                            \
            check_fail(__FILE__, __LINE__, "%s %s %s\n  left:  %ju\n  right: %ju", #a, #op,   \
                       #b, check_a, check_b);                                                 \
    } while (0)

#define CHECK_DOUBLE(a, op, b)                                                                \
    do {                                                                                      \
        double check_a = (double)(a), check_b = (double)(b);                                  \
        if (!(check_a op check_b))                                                            \
            check_fail(__FILE__, __LINE__, "%s %s %s\n  left:  %.17g\n  right: %.17g", #a,    \
                       #op, #b, check_a, check_b);                                            \
    } while (0)

#define CHECK_PTR(a, op, b)                                                                   \
    do {                                                                                      \
        const void *check_a = (a), *check_b = (b);                                            \
        if (!(check_a op check_b))                                                            \
            check_fail(__FILE__, __LINE__, "%s %s %s\n  left:  %p\n  right: %p", #a, #op, #b, \
                       check_a, check_b);                                                     \
    } while (0)

/* NUL-terminated strings; NULL equals only NULL. */
#define CHECK_STR(a, b) check_str(__FILE__, __LINE__, #a " == " #b, (a), (b))

/* `n_bytes` bytes at both places. */
#define CHECK_MEM(a, b, n_bytes)                                                              \
    do {                                                                                      \
        size_t check_n = (n_bytes);                                                           \
        check_bytes(__FILE__, __LINE__, #a " == " #b, (a), check_n, (b), check_n);            \
    } while (0)

/* A struct with .data and .len (struct hw_slice) against a NUL-terminated string ... */
#define CHECK_SLICE(slice, string)                                                            \
    do {                                                                                      \
        __typeof__(slice) check_s = (slice);                                                  \
        const char *check_t = (string);                                                       \
        check_bytes(__FILE__, __LINE__, #slice " == " #string, check_s.data, check_s.len,     \
                    check_t, strlen(check_t));                                                \
    } while (0)

/* ... and against another of its kind. */
#define CHECK_SLICE_EQ(a, b)                                                                  \
    do {                                                                                      \
        __typeof__(a) check_s = (a);                                                          \
        __typeof__(b) check_t = (b);                                                          \
        check_bytes(__FILE__, __LINE__, #a " == " #b, check_s.data, check_s.len,              \
                    check_t.data, check_t.len);                                               \
    } while (0)

/* The text is found in it. */
#define CHECK_CONTAINS(text, part)                                                            \
    do {                                                                                      \
        const char *check_s = (text), *check_t = (part);                                      \
        if (!check_s || !strstr(check_s, check_t))                                            \
            check_fail(__FILE__, __LINE__, "%s contains %s\n  text: %s\n  part: %s", #text,   \
                       #part, check_s ? check_s : "(null)", check_t);                         \
    } while (0)

/* Meant for hw_x_check() too: a string that says what is wrong is printed. */
#define CHECK_NULL(p)                                                                         \
    do {                                                                                      \
        const void *check_p = (p);                                                            \
        if (check_p)                                                                          \
            check_fail_not_null(__FILE__, __LINE__, #p, check_p,                          \
                                _Generic((p), char *: true, const char *: true,           \
                                         default: false));   \
    } while (0)

#define CHECK_NOT_NULL(p)                                                                     \
    do {                                                                                      \
        if (!(p))                                                                             \
            check_fail(__FILE__, __LINE__, "%s is NULL", #p);                                 \
    } while (0)

/* --- random numbers -------------------------------------------------------------- */

static inline uint64_t check_random(void);

/* One of 0 .. n-1; n > 0. */
static inline uint64_t check_random_below(uint64_t n)
{
    return check_random() % n;
}

/* --- what is behind it ----------------------------------------------------------- */

__attribute__((noreturn, format(printf, 3, 4))) static inline void
check_fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    fflush(stdout);
    fprintf(stderr, "%s:%d: in %s: ", file, line, check_running);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    if (check_is_seeded)
        fprintf(stderr, "  again with: HW_SEED=%" PRIu64 "\n", check_seed);
    fflush(stderr);
    abort();
}

static inline void check_fail_not_null(const char *file, int line, const char *what,
                                       const void *p, bool is_text)
{
    if (is_text)
        check_fail(file, line, "%s is not NULL: \"%s\"", what, (const char *)p);
    check_fail(file, line, "%s is not NULL: %p", what, p);
}

static inline void check_str(const char *file, int line, const char *what, const char *a,
                             const char *b)
{
    if (a == b || (a && b && strcmp(a, b) == 0))
        return;
    check_fail(file, line, "%s\n  left:  %s%s%s\n  right: %s%s%s", what, a ? "\"" : "",
               a ? a : "NULL", a ? "\"" : "", b ? "\"" : "", b ? b : "NULL", b ? "\"" : "");
}

/* Printable bytes as they are, others as \xNN, cut after 400. */
static inline void check_print_bytes(const char *label, const void *bytes, size_t n_bytes)
{
    const unsigned char *p = bytes;
    fprintf(stderr, "  %s (%zu bytes): \"", label, n_bytes);
    for (size_t i = 0; i < n_bytes && i < 400; i++) {
        if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\')
            fputc(p[i], stderr);
        else
            fprintf(stderr, "\\x%02x", p[i]);
    }
    fprintf(stderr, "\"%s\n", n_bytes > 400 ? "..." : "");
}

static inline void check_bytes(const char *file, int line, const char *what, const void *a,
                               size_t a_len, const void *b, size_t b_len)
{
    size_t at = 0;
    if (a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0))
        return;
    while (at < a_len && at < b_len &&
           ((const unsigned char *)a)[at] == ((const unsigned char *)b)[at])
        at++;
    fflush(stdout);
    check_print_bytes("left", a, a_len);
    check_print_bytes("right", b, b_len);
    check_fail(file, line, "%s (first difference at byte %zu)", what, at);
}

static inline void check_random_begin(void)
{
    const char *wanted = getenv("HW_SEED");
    struct timespec now;
    if (wanted && *wanted) {
        check_seed = strtoull(wanted, NULL, 0);
    } else {
        clock_gettime(CLOCK_REALTIME, &now);
        check_seed = ((uint64_t)now.tv_nsec << 20) ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid();
    }
    check_is_seeded = true;
    check_random_state = check_seed;
    printf("%s: HW_SEED=%" PRIu64 "\n", check_running, check_seed);
    fflush(stdout);
}

/* splitmix64: any seed will do. */
static inline uint64_t check_random(void)
{
    uint64_t z;
    if (!check_is_seeded)
        check_random_begin();
    z = (check_random_state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline void check_run(const struct check_case *c)
{
    check_running = c->name;
    check_random_state = check_seed;
    c->run();
    printf("ok %s\n", c->name);
    fflush(stdout);
}

static inline int check_run_named(const char *name)
{
    for (const struct check_case *c = check_first; c; c = c->next) {
        if (strcmp(c->name, name) == 0) {
            check_run(c);
            return 0;
        }
    }
    fprintf(stderr, "no case named %s\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (const struct check_case *c = check_first; c; c = c->next)
            puts(c->name);
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        if (check_run_named(argv[i]) != 0)
            return 2;
    }
    if (argc == 1) {
        for (const struct check_case *c = check_first; c; c = c->next)
            check_run(c);
    }
    return 0;
}

#endif
