/*
 * api_url - where the engine's API is: "http://127.0.0.1:8420", "https://hooks.example/engine".
 *
 * Any host and port; a path is what a reverse proxy has in front of "/v1".  (url.h has the
 * rules for receivers, which are narrower.)
 *
 * Memory    a plain value.
 * Errors    HW_EINVAL with one sentence.
 */
#ifndef HW_CLI_API_URL_H
#define HW_CLI_API_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "hookwheel/status.h"

struct hw_api_url {
    bool is_tls;
    char host[254];      /* without brackets */
    char authority[264]; /* for the Host field: brackets, the port unless it is the default */
    char prefix[512];    /* "", or a path that begins with '/' and does not end in one */
    uint16_t port;
};

HW_MUST_USE enum hw_status hw_api_url_parse(struct hw_api_url *url, const char *text,
                                            struct hw_cause *cause);

#endif
