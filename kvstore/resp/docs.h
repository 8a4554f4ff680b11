// What COMMAND DOCS tells of commands beyond the rows of their tables: how they came to be as they are. Facts of Redis 7.0's documentation, so that tools see no difference.
#ifndef MEC_KVSTORE_RESP_DOCS_H
#define MEC_KVSTORE_RESP_DOCS_H

#include <stdbool.h>

struct resp_docs {
    const char *name;             // full: "client|kill"
    const char *complexity;       // where the table's row has none; NULL: not said
    const char *deprecated_since; // a version; NULL: it is not deprecated
    const char *replaced_by;      // with deprecated_since
    const char *history;          // lines "VERSION what changed"; NULL: none
    bool system;                  // of servers among themselves (doc flag "syscmd")
};

// NULL: there is no more to say. Valid for ever, any thread.
const struct resp_docs *resp_docs_find(const char *full_name);

#endif
