// The clock of the benchmarks: the processor's time stamp counter where it runs at a constant rate in all
// power states (CPUID 8000_0007h EDX bit 8), about 10 ns a reading; else the monotonic clock. Readings of
// different cores may be compared.
#ifndef MEC_KVSTORE_KVBENCH_CLOCK_H
#define MEC_KVSTORE_KVBENCH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

struct bench_clock {
    bool counter;        // ticks are the time stamp counter's
    double ns_per_tick;  // 1 otherwise
    double ticks_per_ns; // its inverse
};
extern struct bench_clock bench_clock; // constant after bench_clock_start()

// Measures the counter's rate against the monotonic clock, for 20 ms. Once, before any thread is made.
void bench_clock_start(void);

static inline uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
    if (bench_clock.counter)
        return __builtin_ia32_rdtsc();
#endif
    return clock_ns();
}

static inline uint64_t bench_ticks_to_ns(uint64_t ticks)
{
    return (uint64_t)((double)ticks * bench_clock.ns_per_tick);
}

static inline uint64_t bench_ns_to_ticks(double ns)
{
    return (uint64_t)(ns * bench_clock.ticks_per_ns);
}

// Nanoseconds from one reading to a later one; 0 when it is not later.
static inline uint64_t bench_ns_between(uint64_t from, uint64_t to)
{
    return to > from ? bench_ticks_to_ns(to - from) : 0;
}

#endif
