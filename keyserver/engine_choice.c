#include "keyserver/engine_choice.h"

#include <stdbool.h>
#include <stddef.h>

#define RATE_SHARE 16 // a gap moves the average by a sixteenth
#define GAP_MAX_NS                                                                                           \
    10000000 // a longer silence counts as this one, so that the first burst after it is seen soon

static const unsigned size_bits[ENGINE_SIZES] = {2048, 3072, 4096};

unsigned engine_size_bits(unsigned size)
{
    return size_bits[size];
}

int engine_size_of(unsigned bits)
{
    for (int i = 0; i < ENGINE_SIZES; i++)
        if (size_bits[i] == bits)
            return i;
    return -1;
}

// From how many operations on a batch costs no more than they do one by one; more than ENGINE_LANES: never.
static unsigned worth_from(const struct engine_cost *cost)
{
    for (unsigned k = 1; k <= ENGINE_LANES; k++)
        if (cost->batch_ns <= k * cost->single_ns)
            return k;
    return ENGINE_LANES + 1;
}

// For how long the thread waits for another operation to join a batch that pays already; 0: not at all. A lane that
// is filled saves the eighth of a later batch; the wait for it costs this thread a gap between arrivals. The silence
// since the last arrival is part of the gap, so waiting ends when it was in vain for that long.
static uint64_t worth_waiting(const struct engine_cost *cost, const struct engine_load *load)
{
    uint64_t lane_ns = cost->batch_ns / ENGINE_LANES;
    if (load->spare > 0 || load->waited_ns >= load->limit_ns)
        return 0;
    uint64_t left_ns = load->limit_ns - load->waited_ns;
    if (load->gap_ns > lane_ns || load->gap_ns > left_ns)
        return 0;
    return left_ns < lane_ns ? left_ns : lane_ns;
}

struct engine_choice engine_choose(const struct engine_cost *cost, const struct engine_load *load)
{
    const struct engine_choice single = {.way = ENGINE_SINGLE, .count = 1};
    unsigned worth = worth_from(cost);

    if (worth > ENGINE_LANES || load->waiting < worth)
        return single;
    if (worth > 1 && load->waiting <= load->spare + 1)
        return single; // each has a thread of its own: none would be done sooner in a batch
    if (load->waiting >= ENGINE_LANES)
        return (struct engine_choice){.way = ENGINE_BATCH, .count = ENGINE_LANES};
    uint64_t wait_ns = worth_waiting(cost, load);
    return wait_ns > 0 ? (struct engine_choice){.way = ENGINE_WAIT, .wait_ns = wait_ns}
                       : (struct engine_choice){.way = ENGINE_BATCH, .count = load->waiting};
}

void engine_rate_note(struct engine_rate *rate, uint64_t now_ns)
{
    uint64_t gap = now_ns > rate->last_ns ? now_ns - rate->last_ns : 0;
    if (gap > GAP_MAX_NS)
        gap = GAP_MAX_NS;
    if (rate->last_ns == 0)
        rate->gap_ns = GAP_MAX_NS;
    else if (gap > rate->gap_ns)
        rate->gap_ns += (gap - rate->gap_ns) / RATE_SHARE;
    else
        rate->gap_ns -= (rate->gap_ns - gap) / RATE_SHARE;
    rate->last_ns = now_ns > 0 ? now_ns : 1;
}

uint64_t engine_rate_gap(const struct engine_rate *rate, uint64_t now_ns)
{
    if (rate->last_ns == 0)
        return UINT64_MAX;
    uint64_t silence = now_ns > rate->last_ns ? now_ns - rate->last_ns : 0;
    return silence > rate->gap_ns ? silence : rate->gap_ns;
}
