// Scans, a call a step, so that everything else goes on between: whatever was there from the first call to
// the last has
// been visited, and what is visited is a key that may be there.
#include "tests/soak/soak_check.h"

#include <inttypes.h>
#include <string.h>

static uint32_t all_keys(const struct soak_run *run)
{
    return run->owned + SOAK_SHARED_KEYS;
}

static void judge_visit(struct soak_worker *worker, const struct soak_result *visit,
                        const struct soak_window *window, uint64_t begun, uint64_t now)
{
    struct soak_run *run = worker->run;
    if (visit->key >= all_keys(run)) {
        soak_differ(run, UINT32_MAX, "scan: visits a key that nobody put");
        return;
    }
    worker->scan_seen[visit->key / 64] |= 1ull << visit->key % 64;
    if (visit->key >= run->owned)
        return;
    struct soak_key *key = &run->keys[visit->key];
    uint64_t absent = atomic_load(&key->absent_since);
    if (absent != 0 && absent < begun)
        soak_differ(run, visit->key, "scan: visits a key that has been gone since before the call");
    if (visit->key % run->options.workers != worker->number)
        return;
    bool fine = soak_judge_len(key, window, now, visit->len) == SOAK_FINE &&
                soak_judge_expiry(key, window, now, visit->expire_ms) == SOAK_FINE;
    if (!fine)
        soak_differ(run, visit->key, "scan: visits it with length %" PRIu64 " and expiry %" PRIu64,
                    visit->len, visit->expire_ms);
}

static void judge_end(struct soak_worker *worker)
{
    struct soak_run *run = worker->run;
    worker->scanning = false;
    atomic_fetch_add(&run->counts.scans, 1);
    for (uint32_t i = 0; i < run->owned; i++) {
        uint64_t present = atomic_load(&run->keys[i].present_since);
        bool seen = (worker->scan_seen[i / 64] >> i % 64 & 1) != 0;
        if (present != 0 && present < worker->scan_begun && !seen)
            soak_differ(run, i, "scan: did not visit a key that was there all the time");
    }
}

bool soak_scan_step(struct soak_worker *worker)
{
    struct soak_run *run = worker->run;
    uint64_t begun = atomic_fetch_add(&run->tick, 1), mark;
    if (!worker->scanning) {
        worker->scanning = true;
        worker->cursor = 0;
        worker->scan_begun = begun;
        memset(worker->scan_seen, 0, (all_keys(run) + 63) / 64 * sizeof worker->scan_seen[0]);
    }
    struct soak_window window = soak_window_open(run, &mark);
    soak_request(worker, SOAK_SCAN, 1 + (uint32_t)soak_below(&worker->random, SOAK_VISITS * 3 / 2),
                 worker->cursor);
    if (!soak_ask(worker))
        return false;
    soak_window_close(run, &window, mark);
    if (worker->answer.status != KV_OK) {
        soak_differ(run, UINT32_MAX, "scan: %s: %s", kv_status_text((enum kv_status)worker->answer.status),
                    worker->answer.error);
        return true;
    }
    uint64_t now = atomic_fetch_add(&run->tick, 1);
    for (uint32_t i = 0; i < worker->answer.count; i++)
        judge_visit(worker, &worker->answer.results[i], &window, begun, now);
    worker->answers_checked += worker->answer.count;
    worker->cursor = worker->answer.value;
    if (worker->cursor == 0)
        judge_end(worker);
    return true;
}
