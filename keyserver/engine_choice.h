// One by one, or eight at once? The choice for RSA operations of one size that wait with their keys: a pure
// function of what they cost, how many there are and how busy the server is. ENGINE.md says why it is this one.
//
// Below: what it goes by. Costs are measured while the server runs (engine.h); gaps between arrivals here.
#ifndef MEC_KEYSERVER_ENGINE_CHOICE_H
#define MEC_KEYSERVER_ENGINE_CHOICE_H

#include <stdint.h>

// The sizes that have batches, by number: 0, 1, 2.
#define ENGINE_SIZES 3
#define ENGINE_LANES 8 // operations of a full batch

unsigned engine_size_bits(unsigned size); // 2048, 3072, 4096
int engine_size_of(unsigned bits);        // -1: has no batches

struct engine_cost {
    uint64_t single_ns; // of an operation by OpenSSL
    uint64_t batch_ns;  // of a batch, with one operation in it or with eight
};

struct engine_load {
    unsigned waiting;   // operations, at least 1
    unsigned spare;     // threads with nothing to do besides the one that asks
    uint64_t waited_ns; // how long the oldest has been ready
    uint64_t gap_ns;    // between the arrivals of late, engine_rate_gap()
    uint64_t limit_ns;  // no operation is held back for others for longer than this; 0: none is
};

enum engine_way { ENGINE_SINGLE, ENGINE_BATCH, ENGINE_WAIT };

struct engine_choice {
    enum engine_way way;
    unsigned count;   // BATCH: of so many; SINGLE: 1
    uint64_t wait_ns; // WAIT: ask again then, or when another has arrived; above 0
};

struct engine_choice engine_choose(const struct engine_cost *cost, const struct engine_load *load);

// Arrivals: a moving average of the gaps between the last sixteen or so.
struct engine_rate {
    uint64_t last_ns, gap_ns; // both 0: none yet
};

void engine_rate_note(struct engine_rate *rate, uint64_t now_ns);
// The gap to expect. A silence that lasts longer than the average counts as one. UINT64_MAX: not known.
uint64_t engine_rate_gap(const struct engine_rate *rate, uint64_t now_ns);

#endif
