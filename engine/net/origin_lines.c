#include "net/origin_lines.h"

enum { LEAST_SPAN_MS = 10000 };

void hw_origin_lines_init(struct hw_origin_lines *lines)
{
    for (size_t i = 0; i < 2; i++) {
        hw_list_node_init(&lines->line[i].turn);
        hw_list_init(&lines->line[i].waiting);
    }
}

void hw_origin_lines_close(struct hw_origin_lines *lines)
{
    hw_list_unlink(&lines->line[false].turn);
    hw_list_unlink(&lines->line[true].turn);
}

static hw_mono_us least(hw_mono_us a, hw_mono_us b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

void hw_origin_lines_answered(struct hw_origin_lines *lines, hw_mono_us took_us,
                              hw_mono_ms now)
{
    if (now >= lines->span_began + LEAST_SPAN_MS) {
        bool is_next = now < lines->span_began + 2 * LEAST_SPAN_MS;
        lines->least_us[1] = is_next ? lines->least_us[0] : 0;
        lines->least_us[0] = 0;
        lines->span_began = now;
    }
    lines->least_us[0] = least(lines->least_us[0], took_us);
    lines->answer_us = lines->answer_us == 0 ? took_us : (lines->answer_us * 7 + took_us) / 8;
}

bool hw_origin_lines_are_slow(const struct hw_origin_lines *lines)
{
    return lines->answer_us > 2 * least(lines->least_us[0], lines->least_us[1]);
}
