// The clock that the store process sees: a number in a shared page. Its last values are kept, so that an
// operation's
// window covers everything that it can have seen.
#include "tests/soak/soak_check.h"

#include <sys/mman.h>
#include <unistd.h>

#define KEPT 1024u

bool soak_clock_init(struct soak_run *run)
{
    run->clock_fd = memfd_create("clock", 0);
    if (run->clock_fd < 0 || ftruncate(run->clock_fd, sizeof(uint64_t)) != 0)
        return false;
    void *page = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, run->clock_fd, 0);
    if (page == MAP_FAILED)
        return false;
    run->clock.now = page;
    soak_clock_set(run, 1700000000000);
    soak_clock_set(run, 1700000000000);
    return true;
}

void soak_clock_set(struct soak_run *run, uint64_t now_ms)
{
    struct soak_clock *clock = &run->clock;
    uint64_t count = atomic_load(&clock->count);
    atomic_store(&clock->history[count % KEPT], now_ms);
    if (now_ms > atomic_load(&clock->top))
        atomic_store(&clock->top, now_ms);
    atomic_store(&clock->count, count + 1);
    atomic_store(clock->now, now_ms);
}

struct soak_window soak_window_open(struct soak_run *run, uint64_t *mark)
{
    *mark = atomic_load(&run->clock.count) - 2; // the last may not have reached the page yet
    return (struct soak_window){0};
}

void soak_window_close(struct soak_run *run, struct soak_window *window, uint64_t mark)
{
    uint64_t count = atomic_load(&run->clock.count);
    window->low_ms = UINT64_MAX;
    window->high_ms = 0;
    for (uint64_t i = count - mark > KEPT ? count - KEPT : mark; i < count; i++) {
        uint64_t value = atomic_load(&run->clock.history[i % KEPT]);
        window->low_ms = value < window->low_ms ? value : window->low_ms;
        window->high_ms = value > window->high_ms ? value : window->high_ms;
    }
    window->top_ms = atomic_load(&run->clock.top);
}
