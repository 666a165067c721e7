/*
 * options - the program's settings: one table, from which flags, variables, --help and the
 * README's table come.
 *
 * struct hw_config holds what an engine needs; around it is what only the program has:
 * the log, the file that the root token comes from.
 *
 * Memory    borrows from argv and the environment; nothing to close.
 * Errors    as flags.h.
 */
#ifndef HW_OPTIONS_H
#define HW_OPTIONS_H

#include "flags.h"
#include "hookwheel/config.h"
#include "log.h"

struct hw_options {
    struct hw_config config;
    const char *api_token_file; /* NULL: none */
    enum hw_log_level log_level;
    enum hw_log_format log_format;
    bool wants_check;
    bool wants_help;
    bool wants_markdown;
};

void hw_options_init(struct hw_options *o);

/* The table over `o`.  `traits` HW_FLAG_CLIENT: only what a client command shares with the
 * daemon (where Redis is, names of keys); 0: everything. */
struct hw_flag_set hw_options_flags(struct hw_options *o, unsigned traits);

/* For `hookwheel serve`: no words besides flags. */
HW_MUST_USE enum hw_status hw_options_read(struct hw_options *o, int argc, char **argv,
                                           struct hw_cause *cause);

#endif
