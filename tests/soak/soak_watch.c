// The store process seen from outside: memory, descriptors, threads, disk space.
#include "tests/soak/soak_check.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLACK_BYTES (16u * SOAK_MIB)

uint64_t soak_rss(pid_t pid)
{
    char path[64], line[256];
    uint64_t kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtoull(line + 6, NULL, 10);
    if (file != NULL)
        (void)fclose(file);
    return kib * 1024;
}

uint64_t soak_entries(pid_t pid, const char *what)
{
    char path[64];
    uint64_t count = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/%s", pid, what);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.' ? 1 : 0;
    if (dir != NULL)
        (void)closedir(dir);
    return count;
}

static void nap(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

// What the store may hold: the limit, or what the index needs by itself.
static uint64_t promised(const struct soak_run *run, const struct kv_stats *stats)
{
    uint64_t least = stats->index_bytes + 2 * SOAK_MIB;
    return run->limit_bytes > least ? run->limit_bytes : least;
}

bool soak_watch_limit(struct soak_run *run)
{
    if (!soak_control(run, SOAK_STATS, 0))
        return false;
    const struct kv_stats *stats = &run->control.answer.stats;
    uint64_t base = promised(run, stats), bound = base + base / 20 + SLACK_BYTES;
    uint64_t least = UINT64_MAX, memory = stats->memory_bytes;
    // Values of megabytes on their way are memory as well: the least of many looks counts.
    for (unsigned i = 0; i < 50 && least > bound && !atomic_load(&run->lost); i++) {
        nap(i == 0 ? 0 : 20);
        uint64_t rss = soak_rss(run->pid);
        least = rss < least ? rss : least;
    }
    if (atomic_load(&run->lost) || run->options.no_size_checks)
        return true;
    if (least > base && least - base > run->counts.rss_over_max)
        run->counts.rss_over_max = least - base;
    if (memory > base && memory - base > run->counts.memory_over_max)
        run->counts.memory_over_max = memory - base;
    if (least > bound)
        soak_differ(run, UINT32_MAX,
                    "memory limit %" PRIu64 ": a second later %" PRIu64 " bytes are resident (index %" PRIu64
                    ", the store says %" PRIu64 " in all, chunks %" PRIu64 ")",
                    run->limit_bytes, least, stats->index_bytes, memory, stats->chunk_bytes);
    return true;
}

bool soak_watch_growth(struct soak_run *run)
{
    if (!soak_control(run, SOAK_STATS, 0))
        return false;
    const struct kv_stats stats = run->control.answer.stats;
    uint64_t fds = soak_entries(run->pid, "fd"), threads = soak_entries(run->pid, "task");
    run->counts.fds_max = fds > run->counts.fds_max ? fds : run->counts.fds_max;
    run->counts.threads_max = threads > run->counts.threads_max ? threads : run->counts.threads_max;
    run->counts.disk_max = stats.disk_bytes > run->counts.disk_max ? stats.disk_bytes : run->counts.disk_max;
    run->counts.recovery_us_max =
        stats.recovery_us > run->counts.recovery_us_max ? stats.recovery_us : run->counts.recovery_us_max;
    if (fds > 3 * (stats.segments + 8) + 64)
        soak_differ(run, UINT32_MAX, "%" PRIu64 " descriptors are open for %" PRIu64 " segments", fds,
                    stats.segments);
    if (threads > 64)
        soak_differ(run, UINT32_MAX, "%" PRIu64 " threads", threads);
    if (stats.damaged_records != 0 && !run->options.tolerate && run->counts.kills == 0)
        soak_differ(run, UINT32_MAX, "%" PRIu64 " damaged records, and nothing was damaged",
                    stats.damaged_records);
    if (stats.limit_bytes != run->limit_bytes)
        soak_differ(run, UINT32_MAX, "the limit is said to be %" PRIu64 ", not %" PRIu64, stats.limit_bytes,
                    run->limit_bytes);
    return true;
}

// ---- at the end, all workers paused

struct expected {
    uint64_t least, most; // keys
    uint64_t live_bytes;  // of their values
};

static struct expected expected(struct soak_run *run)
{
    struct expected e = {0};
    struct soak_window window = {.low_ms = atomic_load(run->clock.now),
                                 .top_ms = atomic_load(&run->clock.top)};
    for (uint32_t i = 0; i < run->owned; i++) {
        const struct soak_key *key = &run->keys[i];
        bool there = false, gone = false;
        for (uint32_t j = 0; j < key->count; j++) {
            there = there || soak_may_be_there(&key->states[j], &window);
            gone = gone || soak_may_be_gone(&key->states[j], &window);
        }
        e.least += there && !gone ? 1 : 0;
        e.most += there ? 1 : 0;
        e.live_bytes += there && !gone ? key->states[0].len : 0;
    }
    for (uint32_t i = 0; i < SOAK_SHARED_KEYS; i++) { // settled: one write each
        bool there = run->shared[i].writes[0].id != 0;
        e.least += there ? 1 : 0;
        e.most += there ? 1 : 0;
        e.live_bytes += there ? run->shared[i].writes[0].len : 0;
    }
    return e;
}

// The bound of kv_options.dead_percent (50), with segments that are not yet sealed or just begun.
static uint64_t disk_bound(const struct soak_run *run, const struct expected *e)
{
    uint64_t heads = e->most * (64 + 64);
    uint64_t live = e->live_bytes + heads;
    return 2 * live + live / 8 + 6 * run->segment_bytes + 2 * SOAK_VALUE_MAX;
}

bool soak_watch_end(struct soak_run *run)
{
    const struct kv_stats *stats = &run->control.answer.stats;
    struct expected e = expected(run);
    bool keys = false, disk = false;
    // Sweeping and compaction go on while we wait.
    for (unsigned i = 0; i < 300 && !(keys && disk); i++) {
        nap(i == 0 ? 0 : 100);
        if (!soak_control(run, SOAK_STATS, 0))
            return false;
        keys = (stats->keys >= e.least && stats->keys <= e.most) || stats->read_only;
        disk = stats->disk_bytes <= disk_bound(run, &e) ||
               run->options.tolerate; // compaction needs space as well
    }
    run->counts.disk_last = stats->disk_bytes;
    run->counts.live_last = stats->live_bytes;
    if (!keys)
        soak_differ(run, UINT32_MAX, "the store counts %" PRIu64 " keys, there are %" PRIu64 " to %" PRIu64,
                    stats->keys, e.least, e.most);
    if (!disk)
        soak_differ(run, UINT32_MAX,
                    "disk: %" PRIu64 " bytes in %" PRIu64 " segments, for values of %" PRIu64
                    " bytes (live by the store: %" PRIu64 "; bound %" PRIu64 "), 30 s after the last write",
                    stats->disk_bytes, stats->segments, e.live_bytes, stats->live_bytes, disk_bound(run, &e));
    return true;
}
