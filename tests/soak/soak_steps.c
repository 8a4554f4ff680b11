// What workers do: a table of steps and how often each is taken.
#include "tests/soak/soak_check.h"

#include <stddef.h>

// ---- expiry times, by the clock that the store sees

static uint64_t some_expiry(struct soak_worker *worker)
{
    uint64_t now = atomic_load(worker->run->clock.now);
    switch (soak_below(&worker->random, 8)) {
    case 0:
        return now + soak_below(&worker->random, 200);
    case 1:
        return now + soak_below(&worker->random, 20000);
    case 2:
        return now - soak_below(&worker->random, 1000);
    case 3:
        return now + 86400000 + soak_below(&worker->random, 1000);
    default:
        return 0;
    }
}

// ---- writes

static void add_put(struct soak_worker *worker, uint32_t key)
{
    struct soak_item *item = soak_request_item(worker, key);
    item->id = soak_new_id(worker);
    item->len = soak_value_len(worker);
    item->expire_ms = soak_chance(&worker->random, 6) ? some_expiry(worker) : 0;
}

static bool sync_now(struct soak_worker *worker)
{
    soak_request(worker, SOAK_SYNC, 0, 0);
    if (!soak_ask(worker))
        return false;
    if (worker->answer.status != KV_OK && !worker->run->options.tolerate)
        soak_differ(worker->run, UINT32_MAX, "sync: %s: %s",
                    kv_status_text((enum kv_status)worker->answer.status), worker->answer.error);
    return true;
}

static bool step_put(struct soak_worker *worker)
{
    unsigned flags = soak_chance(&worker->random, 10) ? KV_PUT_IF_ABSENT : 0;
    bool wait = !soak_chance(&worker->random, 10);
    soak_request(worker, SOAK_PUT, flags | (wait ? 0 : (unsigned)KV_PUT_NO_WAIT), 0);
    add_put(worker, soak_pick_key(worker));
    return soak_ask_and_judge(worker) && (wait || sync_now(worker));
}

static bool step_put_batch(struct soak_worker *worker)
{
    if (!atomic_load(&worker->run->have[SOAK_PUT_BATCH]))
        return step_put(worker);
    bool wait = !soak_chance(&worker->random, 10);
    soak_request(worker, SOAK_PUT_BATCH, wait ? 0 : KV_PUT_NO_WAIT, 0);
    uint64_t count = 1 + soak_below(&worker->random, SOAK_BATCH);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t key = soak_pick_key(worker), same = 0; // once or twice in a batch, not more
        for (uint64_t j = 0; j < i; j++)
            same += worker->request.items[j].key == key ? 1 : 0;
        if (same < 2 || i == 0)
            add_put(worker, key);
        else
            count--, i--;
    }
    return soak_ask_and_judge(worker) && (wait || sync_now(worker));
}

static bool step_delete(struct soak_worker *worker)
{
    bool wait = !soak_chance(&worker->random, 10);
    soak_request(worker, SOAK_DELETE, wait ? 0 : KV_PUT_NO_WAIT, 0);
    (void)soak_request_item(worker, soak_pick_key(worker));
    return soak_ask_and_judge(worker) && (wait || sync_now(worker));
}

static bool step_set_expiry(struct soak_worker *worker)
{
    soak_request(worker, SOAK_SET_EXPIRY, 0, 0);
    soak_request_item(worker, soak_pick_key(worker))->expire_ms = some_expiry(worker);
    return soak_ask_and_judge(worker);
}

// ---- reads

// The capacity for a get: enough, in most cases.
static uint32_t capacity_for(struct soak_worker *worker, uint32_t index)
{
    const struct soak_key *key = &worker->run->keys[index];
    uint32_t most = 0;
    for (uint32_t i = 0; i < key->count; i++)
        most = key->states[i].len > most ? key->states[i].len : most;
    if (soak_chance(&worker->random, 20))
        return (uint32_t)soak_below(&worker->random, (uint64_t)most + 1);
    return soak_chance(&worker->random, 2) ? most : most + (uint32_t)soak_below(&worker->random, 5000);
}

static bool step_get(struct soak_worker *worker)
{
    uint32_t key = soak_pick_key(worker);
    soak_request(worker, SOAK_GET, 0, 0);
    soak_request_item(worker, key)->len = capacity_for(worker, key);
    return soak_ask_and_judge(worker);
}

static bool read_one(struct soak_worker *worker, enum soak_op op)
{
    soak_request(worker, op, 0, 0);
    (void)soak_request_item(worker, soak_pick_key(worker));
    return soak_ask_and_judge(worker);
}

static bool step_get_alloc(struct soak_worker *worker)
{
    return read_one(worker, SOAK_GET_ALLOC);
}

static bool step_view(struct soak_worker *worker)
{
    return read_one(worker, SOAK_VIEW);
}

static bool step_memory_only(struct soak_worker *worker)
{
    static const enum soak_op ops[] = {SOAK_EXISTS, SOAK_VERSION, SOAK_GET_EXPIRY};
    return read_one(worker, ops[soak_below(&worker->random, 3)]);
}

static bool step_hold(struct soak_worker *worker)
{
    if (worker->holds)
        return step_view(worker);
    if (!read_one(worker, SOAK_HOLD))
        return false;
    worker->holds = worker->answer.results[0].status == KV_OK;
    worker->held = worker->answer.results[0];
    return true;
}

static bool read_many(struct soak_worker *worker, enum soak_op op)
{
    if (!atomic_load(&worker->run->have[op]))
        return step_view(worker);
    soak_request(worker, op, 0, 0);
    // Uniform now and then: misses, and a table that is walked through.
    bool uniform = soak_chance(&worker->random, 4);
    uint64_t count = 1 + soak_below(&worker->random, SOAK_BATCH);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t key = soak_pick_key(worker);
        if (uniform)
            key = (uint32_t)soak_below(&worker->random, worker->own) * worker->run->options.workers +
                  worker->number;
        soak_request_item(worker, key)->len = op == SOAK_GET_BATCH ? capacity_for(worker, key) : 0;
    }
    return soak_ask_and_judge(worker);
}

static bool step_get_batch(struct soak_worker *worker)
{
    return read_many(worker, SOAK_GET_BATCH);
}

static bool step_get_async(struct soak_worker *worker)
{
    return read_many(worker, SOAK_GET_ASYNC);
}

// ---- the table

typedef bool (*step_fn)(struct soak_worker *worker);
static const struct {
    uint32_t weight;
    step_fn step;
} steps[] = {{240, step_put},         {40, step_put_batch}, {60, step_delete},      {40, step_set_expiry},
             {160, step_get},         {60, step_get_alloc}, {120, step_view},       {30, step_hold},
             {40, step_get_batch},    {40, step_get_async}, {80, step_memory_only}, {40, soak_scan_step},
             {160, soak_shared_step}, {2, sync_now}};

bool soak_step(struct soak_worker *worker)
{
    uint32_t all = 0, i = 0;
    for (size_t j = 0; j < sizeof steps / sizeof steps[0]; j++)
        all += steps[j].weight;
    for (uint64_t x = soak_below(&worker->random, all); x >= steps[i].weight; i++)
        x -= steps[i].weight;
    return steps[i].step(worker);
}
