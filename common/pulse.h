// Whether a thread still goes round: somebody asks, the thread answers when it comes by. A thread that is stuck, in a
// lock or a loop of its own, does not.
//
// Who asks sees to it that the thread wakes up, without waiting for a lock that the thread may hold. One asker.
#ifndef MEC_COMMON_PULSE_H
#define MEC_COMMON_PULSE_H

#include <stdatomic.h>
#include <stdbool.h>

struct pulse { // zeroed: not asked, which counts as answered
    _Atomic unsigned asked, answered;
};

// One that has not answered yet stays asked as it is.
static inline void pulse_ask(struct pulse *pulse)
{
    if (atomic_load_explicit(&pulse->answered, memory_order_relaxed) !=
        atomic_load_explicit(&pulse->asked, memory_order_relaxed))
        return;
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
