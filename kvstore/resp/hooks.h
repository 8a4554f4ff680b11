// What the program that runs a server does for commands on the server as a whole. Every member may be NULL.
#ifndef MEC_KVSTORE_RESP_HOOKS_H
#define MEC_KVSTORE_RESP_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/report.h"

struct resp_config_change {
    const char *name, *value; // a parameter that CONFIG SET has changed, and what it is now
};

// Called by worker threads, with `arg`; one rewrite at a time.
struct resp_hooks {
    void *arg;
    const char *dir; // of the store, for CONFIG GET
    // "name value": what CONFIG SET would set, and some that only a start can (config.h).
    const char *const *settings;
    size_t setting_count;
    const char *config_file; // what CONFIG REWRITE writes; NULL: started without one
    // Writes the changes to config_file, all or none. False, *e set: it is as it was.
    bool (*rewrite)(void *arg, const struct resp_config_change *changes, size_t count, struct error *e);
    // Ends the program as SIGTERM does: returns soon, the end comes later. NULL: it does not end for clients.
    void (*shutdown)(void *arg);
    // Lines "name:value\r\n" for INFO elastic into text (terminated); the number of bytes, less than size.
    size_t (*elastic)(void *arg, char *text, size_t size);
    // Lines for INFO sealing likewise: how values are sealed.
    size_t (*sealing)(void *arg, char *text, size_t size);
};

#endif
