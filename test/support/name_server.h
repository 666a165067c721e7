/*
 * name_server - a DNS server of a few names, in the test's own loop.
 *
 * Answers A and AAAA over UDP as its zone says; what is not in the zone does not exist.
 */
#ifndef HW_TEST_NAME_SERVER_H
#define HW_TEST_NAME_SERVER_H

#include <arpa/inet.h>
#include <uv.h>

#include "check.h"

enum { DNS_NOERROR = 0, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3 };

struct name_record {
    const char *name;
    const char *a[4]; /* up to the first NULL */
    const char *aaaa;
    uint32_t ttl_s;
    int code;
    bool is_silent;
    int n_asked; /* queries of either type */
};

struct name_server {
    uv_udp_t udp;
    char text[32]; /* "127.0.0.1:port" */
    struct name_record *zone;
    size_t n_zone;
    int n_asked;
    unsigned char in[1024];
    unsigned char out[1024];
};

/* The question's name with dots; returns how long it is in the packet. */
static inline size_t dns_read_name(const unsigned char *at, size_t n, char *out, size_t size)
{
    size_t used = 0, len = 0;
    while (used < n && at[used] != 0) {
        size_t label = at[used];
        CHECK(label < 64 && used + 1 + label < n && len + label + 2 < size);
        if (len > 0)
            out[len++] = '.';
        memcpy(out + len, at + used + 1, label);
        len += label;
        used += 1 + label;
    }
    out[len] = '\0';
    return used + 1;
}

static inline size_t dns_put_answer(unsigned char *out, int type, uint32_t ttl,
                                    const char *address)
{
    size_t n_address = type == 1 ? 4 : 16;
    const unsigned char fixed[] = { 0xc0,
                                    12,
                                    0,
                                    (unsigned char)type,
                                    0,
                                    1,
                                    (unsigned char)(ttl >> 24),
                                    (unsigned char)(ttl >> 16),
                                    (unsigned char)(ttl >> 8),
                                    (unsigned char)ttl,
                                    0,
                                    (unsigned char)n_address };
    memcpy(out, fixed, sizeof(fixed));
    CHECK_INT(inet_pton(type == 1 ? AF_INET : AF_INET6, address, out + sizeof(fixed)), ==, 1);
    return sizeof(fixed) + n_address;
}

static inline struct name_record *dns_find(struct name_server *s, const char *name)
{
    for (size_t i = 0; i < s->n_zone; i++)
        if (strcasecmp(s->zone[i].name, name) == 0)
            return &s->zone[i];
    return NULL;
}

static inline void dns_answer(struct name_server *s, size_t n_in, const struct sockaddr *to)
{
    char name[256];
    CHECK_UINT(n_in, >, 16);
    size_t n_question = dns_read_name(s->in + 12, n_in - 12, name, sizeof(name)) + 4;
    int type = s->in[12 + n_question - 3];
    struct name_record *record = dns_find(s, name);
    size_t n_out = 12 + n_question;
    int n_answers = 0;
    s->n_asked++;
    if (record)
        record->n_asked++;
    if (record && record->is_silent)
        return;
    memcpy(s->out, s->in, n_out);
    memset(s->out + 4, 0, 8);
    s->out[2] = (unsigned char)(0x80 | (s->in[2] & 1));
    s->out[3] = (unsigned char)(0x80 | (record ? record->code : DNS_NXDOMAIN));
    s->out[5] = 1;
    for (int i = 0; type == 1 && record && i < 4 && record->a[i]; i++, n_answers++)
        n_out += dns_put_answer(s->out + n_out, 1, record->ttl_s, record->a[i]);
    if (type == 28 && record && record->aaaa && ++n_answers)
        n_out += dns_put_answer(s->out + n_out, 28, record->ttl_s, record->aaaa);
    s->out[7] = (unsigned char)n_answers;
    uv_buf_t buf = uv_buf_init((char *)s->out, (unsigned)n_out);
    CHECK_INT(uv_udp_try_send(&s->udp, &buf, 1, to), ==, (int)n_out);
}

static inline void dns_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct name_server *s = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)s->in, sizeof(s->in));
}

static inline void dns_on_packet(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf,
                                 const struct sockaddr *from, unsigned flags)
{
    (void)buf;
    (void)flags;
    if (n > 0 && from)
        dns_answer(udp->data, (size_t)n, from);
}

static inline void name_server_open(struct name_server *s, uv_loop_t *uv,
                                    struct name_record *zone, size_t n_zone)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int n = sizeof(address);
    memset(s, 0, sizeof(*s));
    s->zone = zone;
    s->n_zone = n_zone;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(uv_udp_init(uv, &s->udp), ==, 0);
    s->udp.data = s;
    CHECK_INT(uv_udp_bind(&s->udp, (struct sockaddr *)&address, 0), ==, 0);
    CHECK_INT(uv_udp_getsockname(&s->udp, (struct sockaddr *)&address, &n), ==, 0);
    CHECK_INT(uv_udp_recv_start(&s->udp, dns_on_alloc, dns_on_packet), ==, 0);
    snprintf(s->text, sizeof(s->text), "127.0.0.1:%d", ntohs(address.sin_port));
}

static inline void name_server_close(struct name_server *s)
{
    uv_close((uv_handle_t *)&s->udp, NULL);
}

#endif
