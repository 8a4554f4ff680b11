// Power failures and the end of the log: batches, which are written past the page cache into space that the
// file was given in advance, in segments made ahead, between single puts and reopenings (kv_crash_kit.h). The
// file is longer than its records then, or is cut, and what was not synced may be undone.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv_crash_kit.h"
#include "kvstore/kv_internal.h"

#define BATCH_MOST 300u

struct run {
    const struct crash_plan *plan;
    const char *dir;
    struct kv_store *store;
    struct crash_history *histories;
    struct crash_syncs *syncs;
    struct crash_chance chance;
};

static void note_sync(struct run *run, uint64_t begin)
{
    struct crash_syncs *syncs = run->syncs;
    if (syncs->count == sizeof syncs->list / sizeof syncs->list[0])
        crash_die("too many syncs");
    syncs->list[syncs->count].begin = begin;
    syncs->list[syncs->count++].end = crash_position();
}

static bool open_store(struct run *run)
{
    char error[300];
    struct kv_options options = crash_options(run->plan);
    enum kv_status status = kv_open(run->dir, &options, &run->store, error, sizeof error);
    if (status != KV_OK)
        fprintf(stderr, "open: %s\n", error);
    return status == KV_OK;
}

// False: a sync has failed. The store is closed all the same.
static bool close_store(struct run *run)
{
    uint64_t begin = crash_position();
    enum kv_status status = kv_close(&run->store);
    if (status == KV_OK)
        note_sync(run, begin);
    else if (!crash_sync_failed())
        crash_die("kv_close");
    return status == KV_OK;
}

static bool returned(enum kv_status status, const char *name)
{
    if (status != KV_OK && status != KV_NOT_FOUND && !crash_sync_failed())
        crash_die(name);
    return status == KV_OK || status == KV_NOT_FOUND;
}

static struct crash_event begin_event(struct run *run, char what)
{
    return (struct crash_event){.begin = crash_position(),
                                .end = CRASH_NEVER,
                                .waits = run->plan->always,
                                .what = what,
                                .state.value = what == 'd' ? 0 : atomic_fetch_add(&crash_next_value, 1)};
}

static bool put_or_delete(struct run *run)
{
    uint8_t key[512], value[CRASH_VALUE_MAX];
    uint32_t number = crash_roll(&run->chance, CRASH_KEYS);
    size_t key_len = crash_make_key(number, key);
    bool put = crash_roll(&run->chance, 4) != 0;
    struct crash_event *event = crash_add_event(&run->histories[number], begin_event(run, put ? 'p' : 'd'));
    enum kv_status status;
    if (put) {
        size_t len = crash_make_value(number, event->state.value, value);
        status = kv_put(run->store, key, key_len, value, len, 0, 0);
    } else {
        status = kv_delete(run->store, key, key_len, 0);
    }
    if (!returned(status, "kv_put or kv_delete"))
        return false;
    event->end = crash_position();
    if (status == KV_NOT_FOUND) // nothing was done, so nothing was made durable
        run->histories[number].count--;
    return true;
}

// Large enough, all but some, to be written directly. A key may come several times: the last counts.
static bool put_batch(struct run *run)
{
    static struct kv_put_item items[BATCH_MOST];
    static uint8_t keys[BATCH_MOST][512], values[BATCH_MOST][CRASH_VALUE_MAX];
    static uint32_t numbers[BATCH_MOST];
    size_t first[CRASH_KEYS];
    uint32_t count = 20 + crash_roll(&run->chance, BATCH_MOST - 20);
    for (uint32_t i = 0; i < CRASH_KEYS; i++)
        first[i] = run->histories[i].count;
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = crash_roll(&run->chance, CRASH_KEYS);
        struct crash_event *event = crash_add_event(&run->histories[numbers[i]], begin_event(run, 'b'));
        items[i] = (struct kv_put_item){.key = keys[i],
                                        .key_len = crash_make_key(numbers[i], keys[i]),
                                        .value = values[i],
                                        .len = crash_make_value(numbers[i], event->state.value, values[i])};
    }
    if (!returned(kv_put_batch(run->store, items, count, 0), "kv_put_batch"))
        return false;
    uint64_t end = crash_position();
    for (uint32_t key = 0; key < CRASH_KEYS; key++)
        for (size_t i = first[key]; i < run->histories[key].count; i++)
            run->histories[key].events[i].end = end;
    return true;
}

static bool step(struct run *run)
{
    uint32_t what = crash_roll(&run->chance, 100);
    if (what < 60)
        return put_or_delete(run);
    if (what < 85)
        return put_batch(run);
    if (what < 90) {
        (void)kv_compact_step(run->store);
        return !crash_sync_failed();
    }
    if (what < 95)
        return close_store(run) && (open_store(run) || (crash_die("open again"), false));
    uint64_t begin = crash_position();
    if (!returned(kv_sync(run->store), "kv_sync"))
        return false;
    note_sync(run, begin);
    return true;
}

// One thread: what a batch may leave is many states a key already.
static bool record(const struct crash_plan *plan, const char *dir, struct crash_log *log,
                   struct crash_history histories[CRASH_KEYS], struct crash_syncs *syncs, unsigned ops,
                   uint64_t seed, bool fail_sync)
{
    struct run run = {.plan = plan, .dir = dir, .histories = histories, .syncs = syncs, .chance = {seed}};
    crash_record_begin(log, dir, seed);
    syncs->count = 0;
    if (!open_store(&run)) {
        crash_record_end();
        return false;
    }
    if (fail_sync)
        crash_fail_sync_in(10 + crash_roll(&run.chance, 100));
    unsigned done = 0;
    while (done < ops && step(&run))
        done++;
    if (run.store != NULL)
        (void)close_store(&run);
    crash_record_end();
    return true;
}

static void test_always(void **state)
{
    (void)state;
    crash_run(&(struct crash_plan){.name = "always, batches",
                                   .always = true,
                                   .segment_bytes = 4u << 20,
                                   .record = record,
                                   .ops = 60,
                                   .crashes = 25,
                                   .share = 6});
}

static void test_interval(void **state)
{
    (void)state;
    crash_run(&(struct crash_plan){.name = "interval, batches",
                                   .segment_bytes = 4u << 20,
                                   .record = record,
                                   .ops = 60,
                                   .crashes = 25,
                                   .share = 6});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_always), cmocka_unit_test(test_interval)};
    return cmocka_run_group_tests(tests, crash_setup, crash_teardown);
}
