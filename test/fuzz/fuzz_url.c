/*
 * Any text: a URL is taken or refused with a sentence, and what is taken is canonical, holds
 * nothing that could end a header line, and its parts make up the whole.  The first byte
 * chooses the rules.
 */
#include "base/must.h"
#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parts(const struct hw_url *url)
{
    struct hw_slice text = hw_slice_str(url->text);

    HW_MUST(text.len <= HW_URL_MAX);
    for (size_t i = 0; i < text.len; i++)
        HW_MUST(text.data[i] > ' ' && text.data[i] <= '~' && text.data[i] != '#');
    HW_MUST(hw_slice_starts(text, url->is_tls ? HW_SLICE("https://") : HW_SLICE("http://")));
    HW_MUST(url->authority.data + url->authority.len == url->target.data);
    HW_MUST(url->target.data + url->target.len == text.data + text.len);
    HW_MUST(url->target.len > 0 && url->target.data[0] == '/');
    HW_MUST(url->host.len > 0 && url->host.len <= 253);
    HW_MUST(url->port == 80 || url->port == 443 || url->port >= 1024);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hw_url_rules rules;
    struct hw_cause cause = { 0 };
    struct hw_url url, again;

    if (size == 0)
        return 0;
    rules.allow_http_localhost = data[0] & 1;
    rules.allow_internal_names = data[0] & 2;
    if (hw_url_parse(&url, hw_slice(data + 1, size - 1), &rules, &cause) != HW_OK) {
        HW_MUST(cause.status != HW_EINVAL || cause.note[0] != '\0');
        return 0;
    }
    check_parts(&url);
    HW_MUST(hw_url_parse(&again, hw_slice_str(url.text), &rules, NULL) == HW_OK);
    HW_MUST(strcmp(again.text, url.text) == 0);
    HW_MUST(hw_slice_eq(again.origin, url.origin));
    hw_url_close(&again);
    hw_url_close(&url);
    return 0;
}
