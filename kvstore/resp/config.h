// The parameters of CONFIG. What they are is data (config_table.c): name, kind, bounds, where the value lives. A parameter either works on something (get, apply), or has one
// value that is true here (only), or is kept: tools set it, nothing here depends on it, and CONFIG GET gives it back. DESIGN.md lists which.
//
// Threads: any. One CONFIG SET or REWRITE at a time, on workers (they may wait for memory and for the disk); who reads never waits for them.
#ifndef MEC_KVSTORE_RESP_CONFIG_H
#define MEC_KVSTORE_RESP_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"
#include "kvstore/resp/parse.h"
#include "kvstore/resp/session.h"

#define RESP_CONFIG_TEXT 1024u // a value as text, with its end

enum resp_config_kind {
    RESP_CONFIG_BOOL,    // yes, no
    RESP_CONFIG_ENUM,    // one of `choices`
    RESP_CONFIG_INTEGER, // from min to max
    RESP_CONFIG_MEMORY,  // bytes, from min to max: "64mb"
    RESP_CONFIG_STRING,  // any text
};

enum resp_config_flags {
    RESP_CONFIG_FIXED = 1 << 0,     // never changes
    RESP_CONFIG_AT_START = 1 << 1,  // fixed, but for settings that the server is started with
    RESP_CONFIG_PROTECTED = 1 << 2, // says where files lie: not for clients to change
    RESP_CONFIG_SECRET = 1 << 3,    // never shown or written to a file
};

struct resp_parameter {
    const char *name;
    enum resp_config_kind kind;
    unsigned flags;
    const char *preset;  // its text; with `get`: NULL
    int64_t min, max;    // RESP_CONFIG_INTEGER, _MEMORY
    const char *choices; // "a|b|c", as error texts list them
    const char *only;    // the one value that is true here
    const char *why;     // the error for others
    void (*get)(struct resp_shared *shared, char text[static RESP_CONFIG_TEXT]);
    // Whether a value of the right kind will do. False: *why says why not. NULL: it does.
    bool (*check)(struct resp_shared *shared, const char *text, const char **why);
    // Makes a checked value true. False: *why; unchanged.
    bool (*apply)(struct resp_shared *shared, const char *text, const char **why);
};

extern const struct resp_parameter resp_parameters[];
extern const size_t resp_parameter_count;

struct resp_config; // in struct resp_shared

struct resp_config *resp_config_create(void); // NULL: no memory
void resp_config_destroy(struct resp_config **config);

// The settings that the server is started with (hooks.settings). False, *e set: one of them cannot be.
bool resp_config_start(struct resp_shared *shared, struct error *e);

// What a parameter is now, by its name as in the table; "" when there is none.
void resp_config_text(struct resp_shared *shared, const char *name, char *text, size_t size);

// config_value.c: a value as CONFIG GET will show it. False: *why says what was expected.
bool resp_config_parse(const struct resp_parameter *parameter, const struct resp_arg *value,
                       char text[static RESP_CONFIG_TEXT], const char **why);

#endif
