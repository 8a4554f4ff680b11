// What engine.c and engine_report.c share.
#ifndef MEC_KEYSERVER_ENGINE_INTERNAL_H
#define MEC_KEYSERVER_ENGINE_INTERNAL_H

#include <stdatomic.h>

#include "keyserver/engine.h"

// What operations of one size have cost lately: moving averages, in nanoseconds.
struct engine_costs {
    _Atomic uint64_t single_ns, batch_ns;
    _Atomic unsigned passed_over; // full batches that were not taken
};

struct engine {
    struct engine_settings settings;
    uint8_t *scratch; // of all threads, one after the other, `stride` bytes each
    size_t stride;
    struct engine_costs costs[ENGINE_SIZES];
    _Atomic uint64_t last_fault_log_s;
};

#endif
