#include <hookwheel/hookwheel.h>
#include <stdio.h>
#include <stdlib.h>

static void on_event(void *is_over, const struct hw_engine_event *event)
{
    printf("%s\n", hw_engine_event_name(event->kind));
    if (event->kind == HW_EVENT_DRAINED || event->kind == HW_EVENT_REFUSED)
        *(bool *)is_over = true;
}

static void on_sigterm(uv_signal_t *handle, int number)
{
    hw_engine_drain(handle->data); /* ends with HW_EVENT_DRAINED */
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    bool is_over = false;
    uv_signal_t sigterm;
    struct hw_engine *engine;
    struct hw_config config;
    struct hw_cause cause;

    hw_config_init(&config);
    config.redis_url = getenv("REDIS_URL"); /* NULL: an embedded Redis in ./hookwheel-data */
    config.api_token = getenv("API_TOKEN");
    config.listen = "127.0.0.1:0";
    if (hw_engine_open(&engine, loop, &config, on_event, &is_over, &cause) != HW_OK ||
        hw_engine_start(engine, &cause) != HW_OK)
        return fprintf(stderr, "%s\n", cause.note), 2;
    printf("API on port %u\n", hw_engine_api_port(engine));
    uv_signal_init(loop, &sigterm);
    uv_signal_start(&sigterm, on_sigterm, SIGTERM);
    sigterm.data = engine;
    while (!is_over)
        uv_run(loop, UV_RUN_ONCE);
    hw_engine_close(engine, NULL, NULL);
    uv_close((uv_handle_t *)&sigterm, NULL);
    return uv_run(loop, UV_RUN_DEFAULT); /* until nothing is left on the loop */
}
