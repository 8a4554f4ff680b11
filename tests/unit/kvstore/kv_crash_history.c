#include "kv_crash_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

#define WRITERS 3u

// ---- keys and values

size_t crash_make_key(uint32_t key, uint8_t out[512])
{
    // Lengths such that values begin everywhere in a sector, at its beginning as well.
    static const uint16_t lengths[] = {4, 16, 32, 20, 64, 48, 128, 11, 192, 448, 300, 80};
    size_t len = lengths[key % (sizeof lengths / sizeof lengths[0])];
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)('a' + (key * 31 + i * 7) % 26);
    out[0] = (uint8_t)key;
    return len;
}

size_t crash_value_len(uint32_t value)
{
    uint32_t x = value * 2654435761u;
    switch (x >> 29) {
    case 0:
        return (x >> 8) % 64;
    case 1:
    case 2:
        return 64 + (x >> 8) % 600;
    case 3:
    case 4:
    case 5:
        return 400 + (x >> 8) % 1600;
    default:
        return 1024 + (x >> 8) % (CRASH_VALUE_MAX - 1024);
    }
}

size_t crash_make_value(uint32_t key, uint32_t value, uint8_t *out)
{
    size_t len = crash_value_len(value);
    uint64_t x = (uint64_t)value << 32 | key;
    for (size_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(x >> 56) | 1; // never zero
    }
    if (value % 41 == 0) // some are zeros throughout
        memset(out, 0, len);
    return len;
}

bool crash_is_value(uint32_t key, uint32_t value, const uint8_t *data, size_t len)
{
    uint8_t expected[CRASH_VALUE_MAX];
    return crash_value_len(value) == len && crash_make_value(key, value, expected) == len &&
           (len == 0 || memcmp(expected, data, len) == 0);
}

bool crash_is_visible(struct crash_state s, uint64_t now)
{
    return s.value != 0 && (s.expire == 0 || s.expire > now);
}

struct crash_event *crash_add_event(struct crash_history *h, struct crash_event event)
{
    h->events = crash_grow(h->events, &h->capacity, h->count + 1, sizeof *h->events);
    h->events[h->count] = event;
    return &h->events[h->count++];
}

// ---- a history

struct run {
    struct kv_store *store;
    struct crash_history *histories; // CRASH_KEYS
    struct crash_syncs *syncs;
    bool always;
    uint64_t seed;
    unsigned ops;
    bool checkpoints;
    _Atomic unsigned running;
};

_Atomic uint32_t crash_next_value = 1;

struct writer {
    struct run *run;
    unsigned number;
    pthread_t thread;
};

static void do_sync(struct run *run)
{
    uint64_t begin = crash_position();
    enum kv_status status = kv_sync(run->store);
    if (status != KV_OK && crash_sync_failed())
        return;
    if (status != KV_OK)
        crash_die("kv_sync");
    uint64_t end = crash_position();
    (void)pthread_mutex_lock(&run->syncs->lock);
    if (run->syncs->count == 4096)
        crash_die("too many syncs");
    run->syncs->list[run->syncs->count].begin = begin;
    run->syncs->list[run->syncs->count++].end = end;
    (void)pthread_mutex_unlock(&run->syncs->lock);
}

static struct crash_state current(const struct crash_history *h, bool *known)
{
    *known = h->count != 0;
    return h->count != 0 ? h->events[h->count - 1].state : (struct crash_state){0};
}

// A call that is under way: its event is in the key's history, without an end.
struct call {
    struct run *run;
    struct crash_history *history;
    uint8_t key[512];
    size_t key_len;
    unsigned flags;
    struct crash_event event; // as it will be noted
    uint64_t now;
};

static struct crash_event *begin_call(struct call *call, char what)
{
    call->event.what = what;
    call->event.begin = crash_position();
    return crash_add_event(call->history, call->event);
}

// The call has returned. A key that it did not find it did nothing to, so nothing was made durable. False: a
// sync has failed, and the call with it; its event stays one that has not returned.
static bool end_call(struct call *call, struct crash_event *event, enum kv_status status, const char *name)
{
    if (status != KV_OK && status != KV_NOT_FOUND && crash_sync_failed())
        return false;
    event->end = crash_position();
    if (status != KV_OK && status != KV_NOT_FOUND)
        crash_die(name);
    if (status == KV_NOT_FOUND)
        call->history->count--;
    return true;
}

static bool put_one(struct call *call, uint32_t key, struct crash_chance *chance)
{
    uint8_t value[CRASH_VALUE_MAX];
    struct crash_state *state = &call->event.state;
    state->value = atomic_fetch_add(&crash_next_value, 1);
    uint32_t e = crash_roll(chance, 10);
    state->expire = e == 0   ? call->now + 1 + crash_roll(chance, 40)
                    : e == 1 ? call->now + 1000000 + crash_roll(chance, 1000)
                             : 0;
    size_t len = crash_make_value(key, state->value, value);
    struct crash_event *event = begin_call(call, 'p');
    enum kv_status status =
        kv_put(call->run->store, call->key, call->key_len, value, len, state->expire, call->flags);
    if (status == KV_NOT_FOUND)
        crash_die("kv_put");
    return end_call(call, event, status, "kv_put");
}

static bool delete_one(struct call *call, bool known, struct crash_state before)
{
    struct crash_event *event = begin_call(call, 'd');
    enum kv_status status = kv_delete(call->run->store, call->key, call->key_len, call->flags);
    if (status == KV_NOT_FOUND && known && crash_is_visible(before, atomic_load(&crash_now_ms)))
        crash_die("kv_delete does not find a key");
    return end_call(call, event, status, "kv_delete");
}

// It may expire meanwhile.
static bool expire_one(struct call *call, struct crash_state before, struct crash_chance *chance)
{
    call->event.state = before;
    call->event.state.expire = crash_roll(chance, 4) == 0   ? 0
                               : crash_roll(chance, 4) == 0 ? call->now + 1 + crash_roll(chance, 40)
                                                            : call->now + 2000000 + crash_roll(chance, 1000);
    struct crash_event *event = begin_call(call, 'e');
    enum kv_status status =
        kv_set_expiry(call->run->store, call->key, call->key_len, call->event.state.expire, call->flags);
    return end_call(call, event, status, "kv_set_expiry");
}

// False: a sync has failed, and the call with it.
static bool write_one(struct run *run, uint32_t key, struct crash_chance *chance)
{
    struct call call = {.run = run, .history = &run->histories[key]};
    call.key_len = crash_make_key(key, call.key);
    uint32_t what = crash_roll(chance, 100);
    bool known;
    struct crash_state before = current(call.history, &known);
    bool wait = crash_roll(chance, 8) != 0;
    call.flags = wait ? 0 : KV_PUT_NO_WAIT;
    call.event = (struct crash_event){.end = CRASH_NEVER, .waits = wait && run->always};
    call.now = atomic_load(&crash_now_ms);
    if (what < 60)
        return put_one(&call, key, chance);
    if (what < 82)
        return delete_one(&call, known, before);
    if (known && crash_is_visible(before, call.now))
        return expire_one(&call, before, chance);
    return true;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    struct run *run = w->run;
    struct crash_chance chance = {run->seed * 1000003 + w->number};
    for (unsigned n = 0; n < run->ops; n++) {
        uint32_t key = w->number + WRITERS * crash_roll(&chance, CRASH_KEYS / WRITERS);
        if (!write_one(run, key, &chance))
            break;
        if (crash_roll(&chance, 50) == 0)
            do_sync(run);
        if (run->checkpoints && crash_roll(&chance, 25) == 0 && kv_checkpoint(run->store) != KV_OK &&
            !crash_sync_failed())
            crash_die("kv_checkpoint");
        if (crash_roll(&chance, 12) == 0)
            crash_tick(5);
        if (crash_roll(&chance, 30) == 0) {
            uint8_t k[512], buf[CRASH_VALUE_MAX];
            uint32_t other = crash_roll(&chance, CRASH_KEYS);
            size_t len = sizeof buf, key_len = crash_make_key(other, k);
            enum kv_status status = kv_get(run->store, k, key_len, buf, &len);
            if (status != KV_OK && status != KV_NOT_FOUND && run->histories[other].base_count <= 1)
                crash_die("kv_get while running");
        }
    }
    atomic_fetch_sub(&run->running, 1);
    return NULL;
}

static void *compactor_main(void *arg)
{
    struct run *run = arg;
    while (atomic_load(&run->running) > 0)
        if (!kv_compact_step(run->store))
            (void)usleep(500);
    return NULL;
}

struct kv_options crash_options(const struct crash_plan *plan)
{
    return (struct kv_options){.limit_bytes = 64u << 20,
                               .fsync = plan->always ? KV_FSYNC_ALWAYS : KV_FSYNC_INTERVAL,
                               .fsync_interval_ms = 1000000,
                               .segment_bytes = plan->segment_bytes,
                               .create = true,
                               .now_ms = crash_clock};
}

bool crash_record_history(const struct crash_plan *plan, const char *dir, struct crash_log *log,
                          struct crash_history histories[CRASH_KEYS], struct crash_syncs *syncs, unsigned ops,
                          uint64_t seed, bool fail_sync)
{
    struct run run = {
        .histories = histories, .syncs = syncs, .always = plan->always, .seed = seed, .ops = ops};
    struct kv_options options = crash_options(plan);
    static const unsigned erase_within_ms[] = {0, 5, 3600000};
    options.limit_bytes = seed % 2 == 0 ? 64u << 20 : 0;
    options.erase_within_ms = erase_within_ms[seed % 3];
    char error[300];
    run.checkpoints = seed % 5 != 4;
    crash_record_begin(log, dir, seed);
    syncs->count = 0;
    enum kv_status status = kv_open(dir, &options, &run.store, error, sizeof error);
    if (status != KV_OK) {
        fprintf(stderr, "open: %s\n", error);
        crash_record_end();
        return false;
    }
    if (fail_sync)
        crash_fail_sync_in(20 + (unsigned)(seed * 2654435761u % 400));
    struct writer writers[WRITERS];
    pthread_t compactor;
    atomic_store(&run.running, WRITERS);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.run = &run, .number = i};
        if (pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]) != 0)
            crash_die("thread");
    }
    if (pthread_create(&compactor, NULL, compactor_main, &run) != 0)
        crash_die("thread");
    for (unsigned i = 0; i < WRITERS; i++)
        (void)pthread_join(writers[i].thread, NULL);
    (void)pthread_join(compactor, NULL);
    uint64_t begin = crash_position();
    status = kv_close(&run.store);
    uint64_t end = crash_position();
    if (status == KV_OK) {
        syncs->list[syncs->count].begin = begin;
        syncs->list[syncs->count++].end = end;
    } else if (!crash_sync_failed()) {
        crash_die("kv_close");
    }
    crash_record_end();
    return true;
}
