#include "kvstore/kvbench_clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define CALIBRATION_NS 20000000u

struct bench_clock bench_clock = {.ns_per_tick = 1, .ticks_per_ns = 1};

static bool counter_is_constant(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007u, &a, &b, &c, &d) != 0 && (d & (1u << 8)) != 0;
#else
    return false;
#endif
}

void bench_clock_start(void)
{
    if (!counter_is_constant())
        return;
    bench_clock.counter = true;
    uint64_t ns = clock_ns(), ticks = bench_ticks(), end;
    while ((end = clock_ns()) - ns < CALIBRATION_NS) {
    }
    ticks = bench_ticks() - ticks;
    bench_clock.ns_per_tick = (double)(end - ns) / (double)ticks;
    bench_clock.ticks_per_ns = 1 / bench_clock.ns_per_tick;
}
