// Asynchronous gets: up to depth of them under way. The store's threads push what has landed onto a list that
// the worker takes whole; the worker sleeps on a semaphore when it has nothing to do, and is woken only then.
#include "kvstore/kvbench_worker.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvstore/kvbench_clock.h"

struct flight {
    struct flight *next;
    struct flights *owner;
    uint8_t *key;
    uint64_t number, from, to;
    enum kv_status status;
    struct kv_view view;
};

struct flights {
    _Atomic(struct flight *) landed;
    _Atomic bool waiting; // the worker sleeps or is about to; who clears it posts (or takes back) the wake-up
    sem_t wake;
    struct flight *idle;
    unsigned under_way;
    bool timed;
};

static void on_landed(void *arg, enum kv_status status, const struct kv_view *view)
{
    struct flight *flight = arg;
    struct flights *flights = flight->owner;
    flight->to = flights->timed ? bench_ticks() : 0;
    flight->status = status;
    if (status == KV_OK)
        flight->view = *view;
    struct flight *head = atomic_load_explicit(&flights->landed, memory_order_relaxed);
    do {
        flight->next = head;
    } while (!atomic_compare_exchange_weak(&flights->landed, &head, flight));
    if (atomic_exchange(&flights->waiting, false))
        (void)sem_post(&flights->wake);
}

static void sleep_on(struct flights *flights)
{
    while (sem_wait(&flights->wake) != 0 && errno == EINTR) {
    }
}

// Sleeps until something lands, or until `due` (ticks; 0: no matter when).
static void wait_for_landing(struct flights *flights, uint64_t due)
{
    atomic_store(&flights->waiting, true);
    bool woken = false;
    if (atomic_load(&flights->landed) == NULL && due == 0) {
        sleep_on(flights);
        woken = true;
    } else if (atomic_load(&flights->landed) == NULL) {
        uint64_t at = clock_ns() + bench_ns_between(bench_ticks(), due);
        struct timespec ts = {.tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u)};
        woken = sem_clockwait(&flights->wake, CLOCK_MONOTONIC, &ts) == 0;
    }
    if (!woken && !atomic_exchange(&flights->waiting, false))
        sleep_on(flights); // somebody has cleared it meanwhile, and posts
}

static void settle(struct bench_worker *worker, struct flights *flights, struct flight *flight)
{
    bench_worker_answer(worker, flight->number, flight->status, flight->view.data, flight->view.len,
                        flight->from, flight->to);
    if (flight->status == KV_OK)
        worker->shared->class->release(worker->session, &flight->view);
    flight->view = (struct kv_view){0};
    flight->next = flights->idle;
    flights->idle = flight;
    flights->under_way--;
}

static void collect(struct bench_worker *worker, struct flights *flights)
{
    struct flight *flight = atomic_exchange(&flights->landed, NULL);
    while (flight != NULL) {
        struct flight *next = flight->next;
        settle(worker, flights, flight);
        flight = next;
    }
}

static void launch(struct bench_worker *worker, struct flights *flights)
{
    size_t key_len = worker->shared->space->key_bytes;
    struct flight *flight = flights->idle;
    uint64_t due = bench_worker_due(worker);
    const uint8_t *key = bench_worker_next(worker, &flight->number);
    if (key == NULL)
        return;
    memcpy(flight->key, key, key_len); // it has to stay until the answer comes
    worker->asked++;
    flights->idle = flight->next;
    flights->under_way++;
    flight->from = due != 0 ? due : flights->timed ? bench_ticks() : 0;
    enum kv_status status = worker->shared->class->get_async(worker->session, flight->key, key_len,
                                                             &flight->view, on_landed, flight);
    if (status == KV_PENDING)
        return;
    flight->to = flights->timed ? bench_ticks() : 0;
    flight->status = status;
    settle(worker, flights, flight);
}

static void step(struct bench_worker *worker, struct flights *flights)
{
    uint64_t due = bench_worker_due(worker);
    collect(worker, flights);
    bool goes_on = bench_worker_goes_on(worker);
    if (!goes_on && flights->under_way == 0)
        return; // the end came, and with nothing under way nothing would wake us
    if (!goes_on || flights->idle == NULL)
        wait_for_landing(flights, 0);
    else if (due > bench_ticks())
        wait_for_landing(flights, due);
    else
        launch(worker, flights);
}

bool bench_async_run(struct bench_worker *worker)
{
    unsigned depth = worker->shared->phase.depth;
    size_t key_len = worker->shared->space->key_bytes;
    struct flights flights = {.timed = worker->shared->phase.timed};
    struct flight *all = calloc(depth, sizeof *all);
    uint8_t *keys = malloc(depth * key_len);
    bool ok = all != NULL && keys != NULL && sem_init(&flights.wake, 0, 0) == 0;
    for (unsigned i = 0; ok && i < depth; i++) {
        all[i].owner = &flights;
        all[i].key = keys + i * key_len;
        all[i].next = flights.idle;
        flights.idle = &all[i];
    }
    while (ok && (bench_worker_goes_on(worker) || flights.under_way > 0))
        step(worker, &flights);
    if (ok)
        (void)sem_destroy(&flights.wake);
    free(all);
    free(keys);
    return ok;
}
