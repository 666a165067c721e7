#include "http/head.h"

#include "base/must.h"

void hw_head_init(struct hw_head *h, size_t max, bool may_lead)
{
    *h = (struct hw_head){ .may_lead = may_lead };
    hw_buf_init(&h->raw, max);
    hw_head_start(h, max);
}

void hw_head_start(struct hw_head *h, size_t max)
{
    hw_buf_reset(&h->raw);
    h->max = max;
    h->line = h->start_line = h->value_at = 0;
    h->has_start_line = false;
    h->in_value = false;
}

void hw_head_close(struct hw_head *h)
{
    hw_buf_close(&h->raw);
}

/* --- collecting -------------------------------------------------------------------- */

/* One line, its LF included.  *is_end: it is the empty line that ends the head. */
static enum hw_status head_line(struct hw_head *h, struct hw_slice line, bool *is_end,
                                struct hw_cause *cause)
{
    size_t n = line.len - 1;

    *is_end = false;
    if (n == 0 || line.data[n - 1] != '\r')
        return hw_cause_set(cause, HW_EPROTO, HW_ORIGIN_US, 0,
                            "a line of the head ends without a carriage return");
    if (memchr(line.data, '\r', n - 1) != NULL)
        return hw_cause_set(cause, HW_EPROTO, HW_ORIGIN_US, 0,
                            "a line of the head holds a carriage return");
    if (n == 1) {
        *is_end = h->has_start_line;
        if (h->has_start_line || h->may_lead)
            return HW_OK;
        return hw_cause_set(cause, HW_EPROTO, HW_ORIGIN_US, 0,
                            "the head begins with an empty line");
    }
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return hw_cause_set(cause, HW_EPROTO, HW_ORIGIN_US, 0,
                            "a line of the head begins with a space");
    if (!h->has_start_line) {
        h->has_start_line = true;
        h->start_line = h->line;
    }
    return HW_OK;
}

/* Look at the lines of `text` that are complete; *end stays 0 while the empty one is
 * not among them. */
static enum hw_status head_scan(struct hw_head *h, struct hw_slice text, size_t *end,
                                struct hw_cause *cause)
{
    enum hw_status status;
    const char *lf;
    bool is_end;

    *end = 0;
    while (h->line < text.len) {
        lf = memchr(text.data + h->line, '\n', text.len - h->line);
        if (lf == NULL)
            return HW_OK;
        size_t next = (size_t)(lf - text.data) + 1;
        status = head_line(h, hw_slice(text.data + h->line, next - h->line), &is_end, cause);
        if (status != HW_OK)
            return status;
        if (is_end) {
            *end = next;
            return HW_OK;
        }
        h->line = next;
    }
    return HW_OK;
}

enum hw_status hw_head_collect(struct hw_head *h, struct hw_slice in, size_t *n_used,
                               struct hw_slice *whole, struct hw_cause *cause)
{
    size_t before = hw_buf_len(&h->raw);
    size_t room = h->max - before;
    bool is_over = in.len > room;
    struct hw_slice text = hw_slice(in.data, is_over ? room : in.len);
    enum hw_status status;
    size_t end;

    *n_used = 0;
    *whole = hw_slice(NULL, 0);
    if (before > 0) {
        if (hw_buf_append_slice(&h->raw, text) != HW_OK)
            return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "no memory for a head");
        text = hw_buf_slice(&h->raw);
    }
    status = head_scan(h, text, &end, cause);
    if (status != HW_OK)
        return status;
    if (end > 0) {
        HW_MUST(end > before);
        *whole = hw_slice(text.data, end);
        *n_used = end - before;
        return HW_OK;
    }
    if (is_over)
        return hw_cause_set(cause, HW_ETOOBIG, HW_ORIGIN_US, 0, "the head is too long");
    if (before == 0 && hw_buf_append_slice(&h->raw, text) != HW_OK)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "no memory for a head");
    *n_used = in.len;
    return HW_OK;
}

struct hw_slice hw_head_start_line(const struct hw_head *h, struct hw_slice whole)
{
    struct hw_slice rest = hw_slice_from(whole, h->start_line);

    return hw_slice(rest.data, hw_slice_find(rest, '\r'));
}

/* --- keeping ----------------------------------------------------------------------- */

bool hw_head_is_token(char c)
{
    static const char marks[] = { '-',  '_', '.', '!', '#', '$', '%', '&',
                                  '\'', '*', '+', '^', '`', '|', '~' };

    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           memchr(marks, c, sizeof marks) != NULL;
}

enum hw_status hw_head_end(struct hw_head *h, struct hw_buf *kept)
{
    if (!h->in_value)
        return HW_OK;
    h->in_value = false;
    /* Space around a value is not part of it; llhttp leaves what is behind. */
    while (kept->tail - kept->head > h->value_at &&
           (kept->base[kept->tail - 1] == ' ' || kept->base[kept->tail - 1] == '\t'))
        kept->tail--;
    return hw_buf_append_char(kept, '\n');
}

enum hw_status hw_head_name(struct hw_head *h, struct hw_buf *kept, struct hw_slice piece)
{
    enum hw_status status = hw_head_end(h, kept);

    if (status == HW_OK && piece.len > 0)
        status = hw_buf_reserve(kept, piece.len);
    if (status != HW_OK || piece.len == 0)
        return status;
    char *to = hw_buf_space(kept);
    for (size_t i = 0; i < piece.len; i++) {
        char c = piece.data[i];
        if (!hw_head_is_token(c))
            return HW_EPROTO;
        to[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    hw_buf_commit(kept, piece.len);
    return HW_OK;
}

enum hw_status hw_head_value(struct hw_head *h, struct hw_buf *kept, struct hw_slice piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        unsigned char c = (unsigned char)piece.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return HW_EPROTO;
    }
    if (!h->in_value) {
        size_t len = hw_buf_len(kept);
        if (len == 0 || kept->base[kept->tail - 1] == '\n')
            return HW_EPROTO; /* a value without a name */
        h->in_value = true;
        hw_buf_append(kept, ": ", 2);
        h->value_at = len + 2;
    }
    return hw_buf_append_slice(kept, piece);
}

unsigned hw_head_find(struct hw_slice kept, const char *name, struct hw_slice *first)
{
    size_t name_len = strlen(name);
    unsigned n = 0;

    while (kept.len > 0) {
        size_t line_len = hw_slice_find(kept, '\n');
        if (line_len >= name_len + 2 && memcmp(kept.data, name, name_len) == 0 &&
            kept.data[name_len] == ':') {
            if (n++ == 0 && first != NULL)
                *first = hw_slice(kept.data + name_len + 2, line_len - name_len - 2);
        }
        kept = hw_slice_from(kept, line_len + 1);
    }
    return n;
}
