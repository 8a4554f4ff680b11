// The two clocks: monotonic for measuring and deadlines, wall time for dates.
#ifndef MEC_COMMON_CLOCK_H
#define MEC_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

// Nanoseconds since some start; never goes backwards.
static inline uint64_t clock_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

// Milliseconds of Unix time.
static inline uint64_t clock_unix_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

#endif
