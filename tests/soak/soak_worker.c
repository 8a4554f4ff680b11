// A worker's life: steps, pauses, and looking at its keys after each start of the store.
#include "tests/soak/soak_check.h"

#include <math.h>

uint64_t soak_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return soak_mix(*state);
}

uint64_t soak_below(uint64_t *state, uint64_t n)
{
    return soak_random(state) % n;
}

bool soak_chance(uint64_t *state, unsigned in)
{
    return soak_below(state, in) == 0;
}

// Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994), theta 0.99; the ranks
// are scattered over the keys.
uint32_t soak_pick_key(struct soak_worker *worker)
{
    const struct soak_run *run = worker->run;
    double u = (double)(soak_random(&worker->random) >> 11) * 0x1p-53, uz = u * run->zipf_zeta;
    double rank = uz < 1     ? 0
                  : uz < 1.5 ? 1
                             : (double)worker->own * pow(run->zipf_eta * u - run->zipf_eta + 1, 100);
    uint64_t local = (uint64_t)rank * 2654435761u % worker->own;
    return (uint32_t)local * run->options.workers + worker->number;
}

uint64_t soak_new_id(struct soak_worker *worker)
{
    return worker->next_id++;
}

uint32_t soak_value_len(struct soak_worker *worker)
{
    static const struct {
        uint32_t per_myriad, from, to;
    } sizes[SOAK_SIZES] = {
        {200, 0, 0},       {300, 1, 15},        {7250, 16, 600},       {1000, 601, 8192},
        {800, 4096, 4096}, {405, 8193, 131072}, {40, 131073, 1048576}, {5, 1048577, SOAK_VALUE_MAX}};
    uint64_t x = soak_below(&worker->random, 10000);
    uint32_t i = 0;
    for (; x >= sizes[i].per_myriad; i++)
        x -= sizes[i].per_myriad;
    uint64_t len = sizes[i].from + soak_below(&worker->random, sizes[i].to - sizes[i].from + 1);
    uint64_t most = worker->run->options.disk_max / 64;
    return (uint32_t)(most != 0 && len > most ? len % most : len);
}

// ---- after a start of the store

static bool flush(struct soak_worker *worker, bool full)
{
    if (worker->request.count == 0 || (!full && worker->request.count < SOAK_BATCH))
        return true;
    bool ok = soak_ask_and_judge(worker);
    worker->request.count = 0;
    return ok;
}

static bool verify_key(struct soak_worker *worker, uint32_t index)
{
    enum soak_op ops[] = {SOAK_VIEW, SOAK_GET_EXPIRY};
    struct soak_key *key = &worker->run->keys[index];
    for (size_t i = 0; i < 2; i++) {
        if (i == 1 && key->count == 1)
            break;
        soak_request(worker, ops[i], 0, 0);
        (void)soak_request_item(worker, index);
        if (!soak_ask_and_judge(worker))
            return false;
    }
    atomic_fetch_add(&worker->run->counts.keys_verified, 1);
    return true;
}

static bool verify_others(struct soak_worker *worker, bool all)
{
    soak_request(worker, all ? SOAK_VIEW : SOAK_EXISTS, 0, 0);
    for (uint32_t i = worker->number; i < worker->run->owned; i += worker->run->options.workers) {
        if (!all && !soak_chance(&worker->random, 4))
            continue;
        (void)soak_request_item(worker, i);
        if (!flush(worker, false))
            return false;
        atomic_fetch_add(&worker->run->counts.keys_verified, 1);
    }
    return flush(worker, true);
}

bool soak_verify(struct soak_worker *worker, bool all)
{
    struct soak_run *run = worker->run;
    for (uint32_t i = worker->number; i < run->owned; i += run->options.workers)
        if (run->keys[i].count > 1 && !verify_key(worker, i))
            return false;
    for (uint32_t i = 0; i < 256 && i < worker->recent_count; i++)
        if (!verify_key(worker, worker->recent[i]))
            return false;
    return verify_others(worker, all);
}

// ---- pauses

static bool let_go(struct soak_worker *worker)
{
    if (!worker->holds)
        return true;
    worker->holds = false;
    soak_request(worker, SOAK_LET_GO, 0, 0);
    (void)soak_request_item(worker, 0);
    if (!soak_ask(worker))
        return false;
    const struct soak_result *now = &worker->answer.results[0];
    if (now->status != KV_OK || now->len != worker->held.len || now->digest != worker->held.digest)
        soak_differ(worker->run, worker->held.key, "a view's bytes changed while it was held");
    return true;
}

// Waits while the conductor wants it, or, with the connection lost, until there is a new one. False: the end.
static bool gate(struct soak_worker *worker, bool lost)
{
    struct soak_run *run = worker->run;
    (void)pthread_mutex_lock(&run->gate_lock);
    uint32_t epoch = run->epoch;
    run->parked++;
    (void)pthread_cond_broadcast(&run->gate_changed);
    while (!run->ended && (run->paused || (lost && run->epoch == epoch)))
        (void)pthread_cond_wait(&run->gate_changed, &run->gate_lock);
    run->parked--;
    bool go_on = !run->ended;
    (void)pthread_mutex_unlock(&run->gate_lock);
    return go_on;
}

static bool wanted(struct soak_run *run)
{
    (void)pthread_mutex_lock(&run->gate_lock);
    bool wanted = run->paused || run->ended;
    (void)pthread_mutex_unlock(&run->gate_lock);
    return wanted;
}

static bool work(struct soak_worker *worker)
{
    struct soak_run *run = worker->run;
    if (worker->checked_epoch != run->epoch) {
        worker->scanning = false;
        if (!soak_verify(worker, run->verify_all))
            return false;
        worker->checked_epoch = run->epoch;
    }
    for (unsigned n = 0; n < 16 && !soak_failed(run); n++) {
        // A view is kept over a few other operations, of this worker and all others.
        if (!(worker->holds && soak_chance(&worker->random, 8) ? let_go(worker) : soak_step(worker)))
            return false;
    }
    return true;
}

void *soak_worker_main(void *arg)
{
    struct soak_worker *worker = arg;
    struct soak_run *run = worker->run;
    for (;;) {
        bool pause = wanted(run), alive = true;
        if (!pause)
            alive = work(worker);
        else
            alive = let_go(worker);
        if (!alive) {
            worker->holds = false;
            worker->scanning = false;
            atomic_store(&run->lost, true);
        }
        if ((pause || !alive || soak_failed(run)) && !gate(worker, !alive || soak_failed(run)))
            return NULL;
    }
}
