#include "rules/id.h"

#include "base/must.h"
#include "tls/trust.h"

/* --- base32 ----------------------------------------------------------------------- */

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

enum { BITS = 5 }; /* a character */

static int digit_value(char c)
{
    const char *hit = c != '\0' ? strchr(alphabet, c) : NULL;

    return hit ? (int)(hit - alphabet) : -1;
}

/* The lowest n x 5 bits, most significant first; no NUL. */
static void write_digits(char *out, unsigned n, uint64_t value)
{
    while (n > 0) {
        out[--n] = alphabet[value & 31];
        value >>= BITS;
    }
}

/* false: a character that is none of ours, or more than 64 bits. */
static bool read_digits(const char *in, unsigned n, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < n; i++) {
        int digit = digit_value(in[i]);
        if (digit < 0 || *value >> (64 - BITS) != 0)
            return false;
        *value = *value << BITS | (uint64_t)digit;
    }
    return true;
}

/* --- stream ids ------------------------------------------------------------------- */

int hw_stream_id_cmp(struct hw_stream_id a, struct hw_stream_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

bool hw_stream_id_parse(struct hw_stream_id *out, struct hw_slice text)
{
    size_t dash = hw_slice_find(text, '-');

    return dash < text.len && hw_slice_u64(hw_slice(text.data, dash), UINT64_MAX, &out->ms) &&
           hw_slice_u64(hw_slice_from(text, dash + 1), UINT64_MAX, &out->seq);
}

/* Returns behind what it wrote.  (Every event's cursor is written this way; snprintf takes
 * ten times as long.) */
static char *write_decimal(char *out, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(out, digits + at, sizeof digits - at);
    return out + (sizeof digits - at);
}

void hw_stream_id_text(struct hw_stream_id id, char out[48])
{
    out = write_decimal(out, id.ms);
    *out++ = '-';
    out = write_decimal(out, id.seq);
    *out = '\0';
}

/* --- events ----------------------------------------------------------------------- */

/* An entry's id may be any pair of 64-bit numbers: a producer can name it itself. */
enum { WORD_DIGITS = 13 };

void hw_id_event(struct hw_stream_id entry, char out[HW_ID_MAX])
{
    memcpy(out, "evt_", 4);
    write_digits(out + 4, WORD_DIGITS, entry.ms);
    write_digits(out + 4 + WORD_DIGITS, WORD_DIGITS, entry.seq);
    out[4 + 2 * WORD_DIGITS] = '\0';
}

bool hw_id_event_parse(struct hw_stream_id *entry, struct hw_slice text)
{
    return text.len == 4 + 2 * WORD_DIGITS && hw_slice_starts(text, HW_SLICE("evt_")) &&
           read_digits(text.data + 4, WORD_DIGITS, &entry->ms) &&
           read_digits(text.data + 4 + WORD_DIGITS, WORD_DIGITS, &entry->seq);
}

/* --- deliveries ------------------------------------------------------------------- */

enum { W_DIGITS = 6, N_DIGITS = 10, DELIVERY_DIGITS = W_DIGITS + N_DIGITS };

/* The characters as a polynomial at a primitive element of GF(32): notices any one wrong
 * character and any two that were swapped. */
static char check_character(const char *digits, unsigned n)
{
    unsigned check = 0;

    for (unsigned i = 0; i < n; i++) {
        check ^= (unsigned)digit_value(digits[i]);
        check <<= 1;
        if (check & 32)
            check ^= 0x25; /* x^5 + x^2 + 1 */
    }
    return alphabet[check];
}

void hw_id_delivery(uint32_t w, uint64_t n, char out[HW_ID_MAX])
{
    HW_MUST(w >> (W_DIGITS * BITS) == 0 && n >> (N_DIGITS * BITS) == 0);
    memcpy(out, "dlv_", 4);
    write_digits(out + 4, W_DIGITS, w);
    write_digits(out + 4 + W_DIGITS, N_DIGITS, n);
    out[4 + DELIVERY_DIGITS] = check_character(out + 4, DELIVERY_DIGITS);
    out[4 + DELIVERY_DIGITS + 1] = '\0';
}

bool hw_id_delivery_parse(uint32_t *w, uint64_t *n, struct hw_slice text)
{
    uint64_t wide;

    if (text.len != 4 + DELIVERY_DIGITS + 1 || !hw_slice_starts(text, HW_SLICE("dlv_")) ||
        !read_digits(text.data + 4, W_DIGITS, &wide) ||
        !read_digits(text.data + 4 + W_DIGITS, N_DIGITS, n) ||
        text.data[4 + DELIVERY_DIGITS] != check_character(text.data + 4, DELIVERY_DIGITS))
        return false;
    *w = (uint32_t)wide;
    return true;
}

/* --- random ids ------------------------------------------------------------------- */

void hw_id_random(const char *prefix, char out[HW_ID_MAX])
{
    enum { DIGITS = 20 };
    unsigned char random[DIGITS];
    size_t at = strlen(prefix);

    HW_MUST(at + DIGITS < HW_ID_MAX);
    memcpy(out, prefix, at);
    hw_random_bytes(random, sizeof random);
    for (size_t i = 0; i < DIGITS; i++)
        out[at + i] = alphabet[random[i] & 31];
    out[at + DIGITS] = '\0';
}

/* --- cursors ---------------------------------------------------------------------- */

enum { CURSOR_BYTES = 64, CHECK_DIGITS = 6 };

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* FNV-1a over kind and payload, folded to the 30 bits that are written.  It is against
 * slips, not against forgery: a cursor gives no right to anything. */
static uint64_t cursor_check(char kind, struct hw_slice payload)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    hash = (hash ^ (unsigned char)kind) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < payload.len; i++)
        hash = (hash ^ (unsigned char)payload.data[i]) * UINT64_C(0x100000001b3);
    return (hash ^ hash >> 32) & ((UINT64_C(1) << CHECK_DIGITS * BITS) - 1);
}

void hw_cursor_write(char kind, struct hw_slice payload, char out[HW_CURSOR_MAX])
{
    uint64_t bits = 0;
    unsigned n_bits = 0;

    HW_MUST(payload.len <= CURSOR_BYTES && is_alphanumeric(kind));
    *out++ = kind;
    for (size_t i = 0; i < payload.len; i++) {
        bits = bits << 8 | (unsigned char)payload.data[i];
        for (n_bits += 8; n_bits >= BITS; n_bits -= BITS)
            *out++ = alphabet[bits >> (n_bits - BITS) & 31];
    }
    if (n_bits > 0)
        *out++ = alphabet[bits << (BITS - n_bits) & 31];
    write_digits(out, CHECK_DIGITS, cursor_check(kind, payload));
    out[CHECK_DIGITS] = '\0';
}

bool hw_cursor_read(char kind, struct hw_slice text, unsigned char payload[64],
                    size_t *n_bytes)
{
    uint64_t bits = 0, check;
    unsigned n_bits = 0;

    if (text.len < 1 + CHECK_DIGITS || text.len >= HW_CURSOR_MAX || text.data[0] != kind)
        return false;
    size_t check_at = text.len - CHECK_DIGITS;
    *n_bytes = 0;
    for (size_t i = 1; i < check_at; i++) {
        int digit = digit_value(text.data[i]);
        if (digit < 0)
            return false;
        bits = bits << BITS | (uint64_t)digit;
        n_bits += BITS;
        if (n_bits < 8)
            continue;
        if (*n_bytes == CURSOR_BYTES)
            return false;
        n_bits -= 8;
        payload[(*n_bytes)++] = (unsigned char)(bits >> n_bits);
    }
    /* What fills up the last character is zero and less than a character, so that there is
     * one text for one payload. */
    if (n_bits >= BITS || (bits & ((UINT64_C(1) << n_bits) - 1)) != 0)
        return false;
    return read_digits(text.data + check_at, CHECK_DIGITS, &check) &&
           check == cursor_check(kind, hw_slice(payload, *n_bytes));
}
