#include "kvstore/kvbench_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "kvstore/kvbench_clock.h"

#define SPIN_NS 4000u // shorter waits are not worth going to sleep

// ---- keys

static bool take_scanned(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    struct bench_worker *worker = arg;
    struct bench_block *block = &worker->block;
    (void)value_len;
    (void)expire_ms;
    if (!workload_key_read(worker->shared->space, key, key_len, &block->numbers[block->count]))
        return true;
    memcpy(block->keys + block->count * key_len, key, key_len);
    return ++block->count < BENCH_BLOCK;
}

// A part of the store's own walk; from the beginning again after its end. Counts as time in the store.
static bool fill_by_scan(struct bench_worker *worker)
{
    struct bench_block *block = &worker->block;
    for (unsigned tries = 0; block->count == 0 && tries < 1000000; tries++)
        if (worker->shared->class->scan(worker->session, &block->cursor, BENCH_BLOCK / 2, take_scanned,
                                        worker) != KV_OK)
            return false;
    return block->count != 0;
}

static bool fill_block(struct bench_worker *worker)
{
    struct bench_block *block = &worker->block;
    const struct workload_keyspace *space = worker->shared->space;
    block->at = block->count = 0;
    if (worker->draw.order == WORKLOAD_SCAN)
        return fill_by_scan(worker);
    uint64_t from = bench_ticks();
    size_t whole = BENCH_BLOCK - BENCH_BLOCK % worker->shared->phase.depth; // of batches
    for (; block->count < whole; block->count++) {
        block->numbers[block->count] = workload_draw_next(&worker->draw);
        workload_key_write(space, block->numbers[block->count],
                           block->keys + block->count * space->key_bytes);
    }
    worker->preparing += bench_ticks() - from;
    return true;
}

const uint8_t *bench_worker_next(struct bench_worker *worker, uint64_t *number)
{
    struct bench_block *block = &worker->block;
    if (block->at == block->count && !fill_block(worker)) {
        worker->counts.failed++;
        worker->counts.first_failure = KV_IO;
        worker->quota = 0;
        return NULL;
    }
    *number = block->numbers[block->at];
    return block->keys + block->at++ * worker->shared->space->key_bytes;
}

// ---- time

bool bench_worker_goes_on(const struct bench_worker *worker)
{
    return worker->asked < worker->quota &&
           !atomic_load_explicit(&worker->shared->stop, memory_order_relaxed);
}

uint64_t bench_worker_due(const struct bench_worker *worker)
{
    if (!(worker->ticks_per_operation > 0))
        return 0;
    return worker->begin + (uint64_t)((double)worker->asked * worker->ticks_per_operation);
}

static void wait_until(uint64_t due)
{
    for (uint64_t now; (now = bench_ticks()) < due;) {
        uint64_t ns = bench_ticks_to_ns(due - now);
        struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
        if (ns > SPIN_NS)
            (void)nanosleep(&ts, NULL);
    }
}

// Takes the turn of the next operation: when it begins for its latency, which is when it is due (waits for
// it), or now.
static uint64_t begin_operation(struct bench_worker *worker)
{
    uint64_t due = bench_worker_due(worker);
    worker->asked++;
    if (due == 0)
        return worker->shared->phase.timed ? bench_ticks() : 0;
    wait_until(due);
    return due;
}

static uint64_t end_operation(const struct bench_worker *worker)
{
    return worker->shared->phase.timed ? bench_ticks() : 0;
}

// ---- counting

static void count_done(struct bench_worker *worker, enum bench_kind kind, uint64_t from, uint64_t to)
{
    _Atomic uint64_t *done = &worker->done[kind];
    atomic_store_explicit(done, atomic_load_explicit(done, memory_order_relaxed) + 1, memory_order_relaxed);
    if (to == 0)
        return;
    uint64_t ns = bench_ns_between(from, to);
    histogram_record_alone(worker->latency[kind], ns);
    if (ns > atomic_load_explicit(&worker->worst_ns, memory_order_relaxed))
        atomic_store_explicit(&worker->worst_ns, ns, memory_order_relaxed);
}

static void count_failure(struct bench_counts *counts, enum kv_status status)
{
    counts->failed++;
    if (counts->first_failure == KV_OK)
        counts->first_failure = status;
}

void bench_worker_answer(struct bench_worker *worker, uint64_t number, enum kv_status status,
                         const void *value, size_t len, uint64_t from, uint64_t to)
{
    struct bench_counts *counts = &worker->counts;
    count_done(worker, BENCH_READ, from, to);
    if (status == KV_NOT_FOUND)
        counts->not_found++;
    else if (status != KV_OK)
        count_failure(counts, status);
    else
        counts->bytes += len;
    if (status == KV_OK && worker->shared->options->verify &&
        !workload_value_is(worker->shared->space, number, value, len))
        counts->wrong++;
}

// ---- one at a time

static void get_one(struct bench_worker *worker)
{
    const struct workload_keyspace *space = worker->shared->space;
    uint64_t number;
    const uint8_t *key = bench_worker_next(worker, &number);
    if (key == NULL)
        return;
    uint64_t from = begin_operation(worker);
    size_t len = space->value_max;
    enum kv_status status =
        worker->shared->class->get(worker->session, key, space->key_bytes, worker->buffers, &len);
    bench_worker_answer(worker, number, status, worker->buffers, len, from, end_operation(worker));
}

static void view_one(struct bench_worker *worker)
{
    const struct bench_target_class *class = worker->shared->class;
    struct kv_view view = {0};
    uint64_t number;
    const uint8_t *key = bench_worker_next(worker, &number);
    if (key == NULL)
        return;
    uint64_t from = begin_operation(worker);
    enum kv_status status = class->view(worker->session, key, worker->shared->space->key_bytes, &view);
    uint64_t to = end_operation(worker);
    bench_worker_answer(worker, number, status, view.data, view.len, from, to);
    if (status == KV_OK)
        class->release(worker->session, &view);
}

static void put_one(struct bench_worker *worker)
{
    const struct workload_keyspace *space = worker->shared->space;
    uint64_t number;
    const uint8_t *key = bench_worker_next(worker, &number);
    if (key == NULL)
        return;
    uint64_t from = begin_operation(worker);
    size_t len = workload_value_write(space, number, worker->buffers);
    enum kv_status status =
        worker->shared->class->put(worker->session, key, space->key_bytes, worker->buffers, len);
    count_done(worker, BENCH_WRITE, from, end_operation(worker));
    if (status != KV_OK)
        count_failure(&worker->counts, status);
    else
        worker->counts.bytes += len;
    workload_value_restore(space, worker->buffers, len);
}

// A get fills the buffer with another value: a second one for puts.
static void mixed_one(struct bench_worker *worker)
{
    if (workload_random_below(&worker->coin, 100) < worker->shared->options->read_percent) {
        get_one(worker);
        return;
    }
    uint8_t *values = worker->buffers;
    worker->buffers += worker->shared->space->value_max;
    put_one(worker);
    worker->buffers = values;
}

// ---- many in a call

// How many of the next are due, at least one (waits for it), at most depth.
static size_t due_now(struct bench_worker *worker)
{
    size_t most = worker->shared->phase.depth;
    if (worker->quota - worker->asked < most)
        most = (size_t)(worker->quota - worker->asked);
    if (!(worker->ticks_per_operation > 0))
        return most;
    wait_until(bench_worker_due(worker));
    double due = (double)(bench_ticks() - worker->begin) / worker->ticks_per_operation;
    double count = due - (double)worker->asked + 1;
    return count < 1 ? 1 : count < (double)most ? (size_t)count : most;
}

static void get_many(struct bench_worker *worker)
{
    static _Thread_local struct kv_get gets[BENCH_DEPTH_MAX];
    static _Thread_local uint64_t numbers[BENCH_DEPTH_MAX], due[BENCH_DEPTH_MAX];
    const struct workload_keyspace *space = worker->shared->space;
    size_t count = due_now(worker), made = 0;
    size_t room = worker->block.count - worker->block.at; // keys stay where they are within a block
    if (room != 0 && count > room)
        count = room;
    for (; made < count; made++) {
        due[made] = bench_worker_due(worker);
        const uint8_t *key = bench_worker_next(worker, &numbers[made]);
        if (key == NULL)
            break;
        worker->asked++;
        gets[made] = (struct kv_get){.key = key,
                                     .key_len = space->key_bytes,
                                     .buf = worker->buffers + made * space->value_max,
                                     .len = space->value_max};
        if (worker->block.at == worker->block.count)
            count = made + 1;
    }
    uint64_t from = end_operation(worker);
    enum kv_status status = made == 0 ? KV_OK : worker->shared->class->get_batch(worker->session, gets, made);
    uint64_t to = end_operation(worker);
    for (size_t i = 0; i < made; i++)
        bench_worker_answer(worker, numbers[i], status == KV_OK ? gets[i].status : status, gets[i].buf,
                            gets[i].len, due[i] != 0 ? due[i] : from, to);
}

static void put_many(struct bench_worker *worker)
{
    static _Thread_local struct kv_put_item items[BENCH_DEPTH_MAX];
    const struct workload_keyspace *space = worker->shared->space;
    size_t count = due_now(worker), made = 0;
    size_t room = worker->block.count - worker->block.at;
    if (room != 0 && count > room)
        count = room;
    for (; made < count; made++) {
        uint64_t number;
        const uint8_t *key = bench_worker_next(worker, &number);
        uint8_t *value = worker->buffers + made * space->value_max;
        worker->asked++;
        items[made] = (struct kv_put_item){.key = key,
                                           .key_len = space->key_bytes,
                                           .value = value,
                                           .len = workload_value_write(space, number, value)};
        if (worker->block.at == worker->block.count)
            count = made + 1;
    }
    uint64_t from = end_operation(worker);
    (void)worker->shared->class->put_batch(worker->session, items, made);
    uint64_t to = end_operation(worker);
    for (size_t i = 0; i < made; i++) {
        count_done(worker, BENCH_WRITE, from, to);
        if (items[i].status != KV_OK)
            count_failure(&worker->counts, items[i].status);
        else
            worker->counts.bytes += items[i].len;
        workload_value_restore(space, worker->buffers + i * space->value_max, items[i].len);
    }
}

// ---- the thread

static void work(struct bench_worker *worker)
{
    const struct bench_phase *phase = &worker->shared->phase;
    void (*step)(struct bench_worker *) = get_one;
    if (phase->operation == BENCH_ASYNC) {
        worker->no_memory = !bench_async_run(worker);
        return;
    }
    if (phase->operation == BENCH_LOAD)
        step = phase->depth > 1 ? put_many : put_one;
    else if (phase->operation == BENCH_VIEW)
        step = view_one;
    else if (phase->operation == BENCH_BATCH)
        step = get_many;
    else if (phase->operation == BENCH_MIXED)
        step = mixed_one;
    while (bench_worker_goes_on(worker))
        step(worker);
}

static void count_behind(struct bench_worker *worker)
{
    if (!(worker->ticks_per_operation > 0))
        return;
    double due = (double)(worker->end - worker->begin) / worker->ticks_per_operation;
    if (due > (double)worker->quota)
        due = (double)worker->quota;
    worker->counts.behind = due > (double)worker->asked ? (uint64_t)(due - (double)worker->asked) : 0;
}

void *bench_worker_main(void *arg)
{
    struct bench_worker *worker = arg;
    struct bench_shared *shared = worker->shared;
    worker->session = shared->class->attach(shared->target);
    (void)prctl(PR_SET_TIMERSLACK, 1uL); // the schedule of an open loop
    atomic_fetch_add(&shared->ready, 1);
    (void)pthread_mutex_lock(&shared->gate);
    (void)pthread_mutex_unlock(&shared->gate);
    worker->begin = bench_ticks();
    worker->no_memory = worker->session == NULL;
    if (worker->session != NULL)
        work(worker);
    worker->end = bench_ticks();
    count_behind(worker);
    if (worker->session != NULL)
        shared->class->detach(worker->session);
    atomic_store(&worker->finished, true);
    return NULL;
}

// ---- life

static uint64_t share_of(uint64_t whole, unsigned threads, unsigned index)
{
    return whole / threads + (index < whole % threads ? 1 : 0);
}

static bool make_buffers(struct bench_worker *worker)
{
    const struct bench_phase *phase = &worker->shared->phase;
    const struct workload_keyspace *space = worker->shared->space;
    size_t count = phase->operation == BENCH_BATCH || phase->operation == BENCH_LOAD ? phase->depth : 2;
    size_t each = space->value_max != 0 ? space->value_max : 1;
    worker->buffers = malloc(count * each);
    for (size_t i = 0; worker->buffers != NULL && i < count; i++)
        workload_value_prepare(space, worker->buffers + i * space->value_max);
    return worker->buffers != NULL;
}

bool bench_worker_init(struct bench_worker *worker, struct bench_shared *shared, unsigned index)
{
    const struct bench_phase *phase = &shared->phase;
    *worker = (struct bench_worker){.shared = shared, .index = index};
    workload_draw_init(&worker->draw, shared->space, phase->order, index, shared->threads, phase->stream);
    worker->coin.state = workload_random_next(&worker->draw.random);
    worker->quota = phase->operations != 0 ? share_of(phase->operations, shared->threads, index) : UINT64_MAX;
    if (phase->operation == BENCH_LOAD) // its own part, once
        worker->quota = worker->draw.end - worker->draw.first;
    if (phase->rate > 0)
        worker->ticks_per_operation = (double)bench_ns_to_ticks(1e9 * shared->threads / phase->rate);
    worker->block.keys = malloc(BENCH_BLOCK * shared->space->key_bytes);
    bool ok = worker->block.keys != NULL && make_buffers(worker);
    for (unsigned i = 0; i < BENCH_KINDS; i++)
        ok = (worker->latency[i] = histogram_create()) != NULL && ok;
    return ok;
}

void bench_worker_destroy(struct bench_worker *worker)
{
    free(worker->block.keys);
    free(worker->buffers);
    worker->block.keys = worker->buffers = NULL;
    for (unsigned i = 0; i < BENCH_KINDS; i++)
        histogram_destroy(&worker->latency[i]);
}
