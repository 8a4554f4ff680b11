// Whether a thread still goes round: somebody asks, the thread answers when it comes by. A thread that is stuck, in a
// lock or a loop of its own, does not.
//
// Who asks sees to it that the thread wakes up. One asker; any number of answers.
#ifndef MEC_COMMON_PULSE_H
#define MEC_COMMON_PULSE_H

#include <stdatomic.h>
#include <stdbool.h>

struct pulse { // zeroed: not asked, which counts as answered
    _Atomic unsigned asked, answered;
};

static inline void pulse_ask(struct pulse *pulse)
{
    (void)atomic_fetch_add_explicit(&pulse->asked, 1, memory_order_relaxed);
}

// The thread's own, once a turn.
static inline void pulse_answer(struct pulse *pulse)
{
    unsigned asked = atomic_load_explicit(&pulse->asked, memory_order_relaxed);
    if (asked != atomic_load_explicit(&pulse->answered, memory_order_relaxed))
        atomic_store_explicit(&pulse->answered, asked, memory_order_relaxed);
}

// Whether it has come by since it was last asked.
static inline bool pulse_beats(const struct pulse *pulse)
{
    return atomic_load_explicit(&pulse->answered, memory_order_relaxed) ==
           atomic_load_explicit(&pulse->asked, memory_order_relaxed);
}

#endif
