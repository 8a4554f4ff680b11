// Everything at once, for the checks here and for ThreadSanitizer: writers that know what their own keys
// hold, readers that know what any value must look like, scans, a memory limit that jumps, compaction,
// expiry, syncs.
#include "kv_kit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

#define WRITERS 3u
#define READERS 2u
#define KEYS    300u
#define RUN_MS  1500u

static struct kv_store *store;
static _Atomic bool running;

struct value {
    uint32_t key, generation;
    uint8_t filler[];
};

static size_t make_value(uint32_t key, uint32_t generation, uint8_t *buf)
{
    size_t len = sizeof(struct value) + (key * 37 + generation * 11) % 3000;
    struct value *v = (struct value *)(void *)buf;
    v->key = key;
    v->generation = generation;
    memset(v->filler, (int)(key + generation), len - sizeof *v);
    return len;
}

static void check_value(uint32_t key, const uint8_t *data, size_t len, uint32_t *generation)
{
    static _Thread_local _Alignas(16) uint8_t expected[4096];
    struct value v;
    assert_true(len >= sizeof v);
    memcpy(&v, data, sizeof v);
    assert_int_equal(v.key, key);
    assert_int_equal(make_value(key, v.generation, expected), len);
    assert_memory_equal(data, expected, len);
    *generation = v.generation;
}

struct random {
    uint64_t x;
};

static uint32_t next(struct random *r)
{
    r->x = r->x * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->x >> 33);
}

// A writer owns the keys that leave its number when divided by WRITERS: it knows exactly what they hold.
static void *writer(void *arg)
{
    uint32_t self = *(uint32_t *)arg;
    struct random r = {self + 1};
    static _Thread_local _Alignas(16) uint8_t buf[4096];
    uint32_t *generations = calloc(KEYS, sizeof *generations); // 0: not there
    assert_non_null(generations);
    for (uint32_t n = 1; atomic_load(&running); n++) {
        uint32_t key = next(&r) % (KEYS / WRITERS) * WRITERS + self;
        uint32_t what = next(&r) % 10;
        unsigned flags = what % 2 == 0 ? KV_PUT_NO_WAIT : 0;
        if (what < 6) {
            size_t len = make_value(key, n, buf);
            assert_int_equal(kv_put(store, &key, sizeof key, buf, len, 0, flags), KV_OK);
            generations[key] = n;
        } else if (what < 8) {
            enum kv_status expected = generations[key] != 0 ? KV_OK : KV_NOT_FOUND;
            assert_int_equal(kv_delete(store, &key, sizeof key, flags), expected);
            generations[key] = 0;
        } else if (what == 8 && generations[key] != 0) {
            assert_int_equal(kv_set_expiry(store, &key, sizeof key, n % 2 == 0 ? 900000000000u : 0, flags),
                             KV_OK);
        }
        size_t len = sizeof buf;
        uint32_t generation = 0;
        enum kv_status status = kv_get(store, &key, sizeof key, buf, &len);
        assert_int_equal(status, generations[key] != 0 ? KV_OK : KV_NOT_FOUND);
        if (status == KV_OK)
            check_value(key, buf, len, &generation);
        assert_int_equal(generation, generations[key]);
    }
    free(generations);
    return NULL;
}

// Any value is whole, of its key, and never older than one that was seen before, unless the key was deleted
// between.
static void *reader(void *arg)
{
    struct random r = {*(uint32_t *)arg + 100};
    while (atomic_load(&running)) {
        uint32_t key = next(&r) % KEYS, generation;
        struct kv_view view;
        enum kv_status status = kv_get_view(store, &key, sizeof key, &view);
        assert_true(status == KV_OK || status == KV_NOT_FOUND);
        if (status != KV_OK)
            continue;
        check_value(key, view.data, view.len, &generation);
        if (generation % 64 == 0)
            (void)usleep(200); // held while it is evicted, replaced, deleted
        check_value(key, view.data, view.len, &generation);
        uint64_t version;
        status = kv_version(store, &key, sizeof key, &version);
        assert_true(status == KV_OK || status == KV_NOT_FOUND);
        kv_view_release(store, &view);
    }
    return NULL;
}

static bool scan_one(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    uint32_t k;
    assert_int_equal(key_len, sizeof k);
    memcpy(&k, key, sizeof k);
    assert_true(k < KEYS && value_len >= sizeof(struct value));
    assert_true(expire_ms == 0 || expire_ms == 900000000000u);
    (*(unsigned *)arg)++;
    return true;
}

static void *manager(void *arg)
{
    struct random r = {*(uint32_t *)arg + 1000};
    while (atomic_load(&running)) {
        uint64_t cursor = 0;
        unsigned seen = 0;
        do {
            assert_int_equal(kv_scan(store, &cursor, 20, scan_one, &seen), KV_OK);
        } while (cursor != 0);
        assert_int_equal(kv_set_memory_limit(store, next(&r) % 4 * (3u << 20)), KV_OK);
        assert_int_equal(kv_sync(store), KV_OK);
        (void)kv_compact_step(store);
        struct kv_stats stats;
        kv_get_stats(store, &stats);
        assert_int_equal(stats.damaged_records, 0);
    }
    return NULL;
}

static void test_everything_at_once(void **state)
{
    (void)state;
    char dir[128];
    kit_folder(dir);
    pthread_t threads[WRITERS + READERS + 1];
    uint32_t numbers[WRITERS + READERS + 1];
    for (int policy = KV_FSYNC_ALWAYS; policy <= KV_FSYNC_INTERVAL; policy++) {
        struct kv_options options = kit_options();
        options.fsync = (enum kv_fsync)policy;
        options.fsync_interval_ms = 10;
        options.segment_bytes = 128 * 1024;
        store = kit_open(dir, &options);
        atomic_store(&running, true);
        for (uint32_t i = 0; i < WRITERS + READERS + 1; i++) {
            numbers[i] = i;
            void *(*role)(void *) = i < WRITERS ? writer : i < WRITERS + READERS ? reader : manager;
            assert_int_equal(pthread_create(&threads[i], NULL, role, &numbers[i]), 0);
        }
        (void)usleep(RUN_MS * 1000);
        atomic_store(&running, false);
        for (size_t i = 0; i < WRITERS + READERS + 1; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        struct kv_stats stats;
        kv_get_stats(store, &stats);
        print_message("puts %llu, hits %llu, misses %llu, evicted %llu, compacted %llu bytes\n",
                      (unsigned long long)stats.puts, (unsigned long long)stats.hits,
                      (unsigned long long)stats.misses, (unsigned long long)stats.evicted,
                      (unsigned long long)stats.compacted_bytes);
        kit_close(&store);
        kit_remove(dir);
        kit_folder(dir);
    }
    kit_remove(dir);
}

int main(void)
{
    kit_heal();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_everything_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
