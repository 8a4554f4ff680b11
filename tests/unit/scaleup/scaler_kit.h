// A world for the scaler's core, in virtual time: a store that follows its limit slowly, a process around it, limits, and a book of what the core asked for.
#ifndef MEC_TESTS_SCALER_KIT_H
#define MEC_TESTS_SCALER_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scaleup/scaler_core.h"

#define MB (1024ull * 1024)
#define GB (1024 * MB)

struct kit {
    struct scaler_core *core;
    struct scaler_view view; // after the last step
    uint64_t now_ms;
    // the process
    uint64_t store_limit, store_bytes, other_bytes, table_bytes;
    uint64_t frees_per_tick, fills_per_tick; // of the store; 0: at once
    uint64_t kernel_bytes;                   // charged to the group beside the process
    bool grouped;
    uint64_t limit_bytes, available_bytes;
    double psi_some;
    uint64_t hits, misses;
    // what the core did
    unsigned limits_set, requests, reclaimings, warnings, lines;
    struct rescale_request request; // the last; its strings are in the arrays
    char id[65], reclaim[65], reclaiming_id[65], last_event[64];
    enum message_state reclaiming_state;
    uint64_t reclaiming_target;
    uint64_t used_at_request;
};

// What the fake policy says from now on: 0: nothing to do.
extern _Atomic uint64_t kit_policy_target;
extern enum policy_reason kit_policy_reason;
extern struct policy_config kit_policy_config; // as the core called it last
extern struct policy_input kit_policy_input;
extern unsigned kit_policy_calls;

// A process with 100 MB beside a store of 256 MB, on a machine of 16 GB.
void kit_begin(struct kit *kit, bool orchestrated, uint64_t fixed_bytes);
void kit_end(struct kit *kit);
uint64_t kit_rss(const struct kit *kit);
void kit_tick(struct kit *kit);
void kit_run(struct kit *kit, uint64_t ms);

// The orchestrator speaks.
void kit_welcome(struct kit *kit, uint64_t granted); // granularity 2 MB, minimum 128 MB, maximum 4 GB
void kit_event(struct kit *kit, struct rescale_event event);
void kit_answer(struct kit *kit, const char *id, enum message_state state, uint64_t granted);
void kit_answer_full(struct kit *kit, struct response response);

#endif
