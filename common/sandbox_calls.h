// The lists that common/sandbox.c makes a filter of. Nobody else includes this.
#ifndef MEC_COMMON_SANDBOX_CALLS_H
#define MEC_COMMON_SANDBOX_CALLS_H

#include <stdint.h>

// System calls by name, NULL behind the last. A name that this architecture does not have is passed over.
extern const char *const sandbox_allowed[];
extern const char *const sandbox_forbidden[];

// A call that is allowed only with certain numbers: (argument & mask) == value.
struct sandbox_condition {
    const char *name;
    unsigned argument; // 0 the first
    uint64_t mask, value;
    int error; // 0: it runs; else it fails with this errno
};
extern const struct sandbox_condition sandbox_conditions[]; // name NULL behind the last

#endif
