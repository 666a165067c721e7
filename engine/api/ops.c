#include "api/ops.h"

#include "api/exposition.h"
#include "api/paging.h"
#include "api/shared.h"
#include "rules/promtext.h"

/* Room for the page: about 20 KiB today. */
enum { PAGE_MAX = 1024 * 1024 };

void hw_ops_health(struct hw_call *call)
{
    hw_call_json(call, 200, json_pack("{s:s}", "status", "ok"));
}

static const char *durability_text(enum hw_durability durability)
{
    switch (durability) {
    case HW_DURABILITY_ALWAYS:
        return "always";
    case HW_DURABILITY_EVERYSEC:
        return "everysec";
    case HW_DURABILITY_NONE:
        return "none";
    case HW_DURABILITY_UNKNOWN:
        break;
    }
    return "unknown";
}

void hw_ops_readiness(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_backend_readiness r = { 0 };

    backend->readiness(backend->data, &r);
    hw_call_json(
        call, r.is_ready ? 200 : 503,
        json_pack("{s:s, s:o, s:{s:s, s:o}}", "status", r.is_ready ? "ready" : "not_ready",
                  "reason", hw_json_text(r.reason), "redis", "durability",
                  durability_text(r.durability), "note", hw_json_text(r.durability_note)));
}

static void on_gauges(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_api *api = call->api;
    struct hw_exposition e = { .metrics = api->options.metrics,
                               .gauges = &call->ask.gauges.gauges,
                               .requests = &api->requests,
                               .version = api->options.version };
    struct hw_buf page;

    hw_buf_init(&page, PAGE_MAX);
    if (hw_exposition_write(&page, &e) == HW_OK)
        hw_call_text(call, 200, HW_PROMTEXT_CONTENT_TYPE, hw_buf_slice(&page));
    else
        hw_call_refuse_result(call, HW_BACKEND_FAILED, "page");
    hw_buf_close(&page);
}

void hw_ops_metrics(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    call->ask.gauges = (struct hw_backend_gauges){ .req.cb = on_gauges };
    backend->gauges(backend->data, &call->ask.gauges);
}
