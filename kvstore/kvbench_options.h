// The options of kvbench and of the programs that measure its peers: one table, one meaning.
#ifndef MEC_KVSTORE_KVBENCH_OPTIONS_H
#define MEC_KVSTORE_KVBENCH_OPTIONS_H

#include "common/config.h"
#include "common/report.h"
#include "common/workload.h"

enum bench_operation {
    BENCH_LOAD,
    BENCH_GET,
    BENCH_VIEW,
    BENCH_BATCH,
    BENCH_ASYNC,
    BENCH_MIXED,
    BENCH_OPEN, // only open and close
};

#define BENCH_THREADS_MAX 64u
#define BENCH_DEPTH_MAX   4096u
#define BENCH_CHANGES_MAX 64u

// A change of the memory limit while running.
struct bench_change {
    uint64_t at_us; // from the start of the measurement
    uint64_t limit_bytes;
};

struct bench_options {
    // as read
    char *config, *dir, *existing, *json, *theta_text, *value_text, *schedule_text;
    unsigned workload, operation, fsync, read_mode;
    uint64_t keys, key_bytes, threads, depth, load_depth, read_percent, memory, rate, duration, warm_up,
        operations, seed, fsync_interval, segment_bytes, latency_goal, interval;
    bool keep, kill, no_latency, no_bring_back, buffered, verify, clear_cache, touch, quiet;
    // worked out
    double theta;
    size_t value_min, value_max;
    struct bench_change changes[BENCH_CHANGES_MAX]; // ascending; one at 0 has become `memory`
    size_t change_count;
};

const char *bench_operation_name(const struct bench_options *options);
const char *bench_workload_name(const struct bench_options *options);

// As config_read(), and checks what belongs together. On CONFIG_OK release with bench_options_release().
enum config_result bench_options_read(const char *program, const char *summary, int argc, char *const *argv,
                                      struct bench_options *options);
void bench_options_release(struct bench_options *options);

// "20:8mb" or "4kb": lengths of values. False: *e says why.
bool bench_parse_value_bytes(const char *text, size_t *min, size_t *max, struct error *e);
// "0s=400mb,10s=4gb": ascending times. False: *e says why.
bool bench_parse_schedule(const char *text, struct bench_change *changes, size_t *count, struct error *e);

#endif
