// kv_clear() beside compactions, readers and writers: nobody sees anything else than all keys or none.
#include "clear_kit.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

static void *compact_once(void *arg)
{
    (void)kv_compact_step(arg);
    return NULL;
}

// A compaction that would take minutes at its pace leaves off.
static void test_compaction_under_way(void **state)
{
    (void)state;
    kit_close(&fixture.store);
    struct kv_options with = fixture.options;
    with.compact_bytes_s = 1; // the least there is
    with.segment_bytes = 16u << 20;
    fixture.store = kit_open(fixture.dir, &with);
    static uint8_t value[60000];
    for (uint32_t key = 0; key < 300; key++)
        assert_int_equal(kv_put(fixture.store, &key, sizeof key, value, sizeof value, 0, KV_PUT_NO_WAIT),
                         KV_OK);
    for (uint32_t key = 0; key < 270; key++)
        assert_int_equal(kv_delete(fixture.store, &key, sizeof key, KV_PUT_NO_WAIT), KV_OK);
    assert_int_equal(kv_sync(fixture.store), KV_OK);
    pthread_t compactor;
    assert_int_equal(pthread_create(&compactor, NULL, compact_once, fixture.store), 0);
    while (atomic_load(&fixture.store->compacting) == 0 && fixture_stats().segments > 1)
        (void)usleep(1000);
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    assert_int_equal(pthread_join(compactor, NULL), 0);
    clear_expect_empty();
    assert_int_equal(fixture_stats().segments, 1);
    assert_int_equal(atomic_load(&fixture.store->compact_halts), 0);
}

// ---- beside a sync

#define HELD 4u

static struct {
    int (*fdatasync)(int);
    struct kv_segment *segments[HELD]; // by age, with a reference
    bool cleared;
} sync_beside;

// At a sync's first segment, when it has taken the others as well: two of them are written to again, the one at work last, and
// all is cleared.
static int clear_in_sync(int fd)
{
    if (!sync_beside.cleared) {
        sync_beside.cleared = true;
        kv_mark_dirty(fixture.store, sync_beside.segments[HELD - 1], true);
        kv_mark_dirty(fixture.store, sync_beside.segments[0], false);
        assert_int_equal(kv_clear(fixture.store), KV_OK);
    }
    return sync_beside.fdatasync(fd);
}

// Each segment is let go of once, by the sync and by the clear.
static void test_sync_under_way(void **state)
{
    (void)state;
    sync_beside.cleared = false;
    sync_beside.fdatasync = kv_io.fdatasync;
    assert_int_equal(kv_sync(fixture.store), KV_OK);
    for (uint32_t key = 0; key < CLEAR_KEYS; key++)
        assert_int_equal(clear_put(key, 0, KV_PUT_NO_WAIT), KV_OK);
    for (unsigned i = 0; i < HELD; i++) {
        sync_beside.segments[i] = kv_segment_get(fixture.store, i + 1);
        assert_non_null(sync_beside.segments[i]);
        assert_true(atomic_load(&sync_beside.segments[i]->dirty));
    }
    kv_io.fdatasync = clear_in_sync;
    assert_int_equal(kv_sync(fixture.store), KV_OK);
    kv_io.fdatasync = sync_beside.fdatasync;
    assert_true(sync_beside.cleared);
    for (unsigned i = 0; i < HELD; i++) {
        assert_int_equal(atomic_load(&sync_beside.segments[i]->refs), 1);
        kv_segment_put(sync_beside.segments[i]);
    }
    clear_expect_empty();
}

// ---- beside everything

#define WRITERS  3u
#define ROUNDS   (KIT_SANITIZED ? 40u : 120u)
#define OWN_KEYS 16u

static struct {
    _Atomic bool stop;
    _Atomic unsigned begun, ended; // clears
    _Atomic unsigned checked, pending;
} race;

// A value of this key, whatever its generation.
static bool is_value(uint32_t key, const uint8_t *value, size_t len)
{
    if (len != CLEAR_LEN)
        return false;
    uint8_t expected[CLEAR_LEN];
    for (uint32_t generation = 0; generation < 250; generation++) {
        clear_fill_value(key, generation, expected, 1);
        if (value[0] != expected[0])
            continue;
        clear_fill_value(key, generation, expected, CLEAR_LEN);
        return memcmp(value, expected, CLEAR_LEN) == 0;
    }
    return false;
}

static enum kv_status get_one(uint32_t key)
{
    uint8_t got[CLEAR_LEN];
    size_t len = sizeof got;
    enum kv_status status = kv_get(fixture.store, &key, sizeof key, got, &len);
    if (status == KV_OK)
        assert_true(is_value(key, got, len));
    return status;
}

// Its keys are its own: after a put they are there, unless a clear came between; after that they are not.
static void *write_and_look(void *arg)
{
    uint32_t first = (uint32_t)(uintptr_t)arg * OWN_KEYS;
    for (uint32_t n = 0; !atomic_load(&race.stop); n++) {
        uint32_t key = 1000 + first + n % OWN_KEYS;
        unsigned ended_before = atomic_load(&race.ended);
        assert_int_equal(clear_put(key, n % 250, n % 3 == 0 ? 0 : KV_PUT_NO_WAIT), KV_OK);
        unsigned begun_then = atomic_load(&race.begun);
        if (n % 5 == 0)
            (void)usleep(500);
        unsigned ended_then = atomic_load(&race.ended);
        enum kv_status status = get_one(key);
        unsigned begun_after = atomic_load(&race.begun);
        assert_true(status == KV_OK || status == KV_NOT_FOUND);
        if (ended_before == begun_after) { // none was at work
            assert_int_equal(status, KV_OK);
            atomic_fetch_add(&race.checked, 1);
        }
        if (ended_then > begun_then) // one was begun and ended between
            assert_int_equal(status, KV_NOT_FOUND);
        if (n % 7 == 0)
            assert_true(kv_delete(fixture.store, &key, sizeof key, KV_PUT_NO_WAIT) <= KV_NOT_FOUND);
    }
    return NULL;
}

static void *put_batches(void *arg)
{
    (void)arg;
    static uint8_t values[200][CLEAR_LEN];
    for (uint32_t n = 0; !atomic_load(&race.stop); n++) {
        uint32_t keys[200];
        struct kv_put_item items[200];
        for (uint32_t i = 0; i < 200; i++) {
            keys[i] = 2000 + i;
            clear_fill_value(keys[i], n % 250, values[i], CLEAR_LEN);
            items[i] = (struct kv_put_item){
                .key = &keys[i], .key_len = sizeof keys[i], .value = values[i], .len = CLEAR_LEN};
        }
        assert_int_equal(kv_put_batch(fixture.store, items, 200, KV_PUT_NO_WAIT), KV_OK);
    }
    return NULL;
}

static void got_later(void *arg, enum kv_status status, const struct kv_view *view)
{
    assert_true(status == KV_OK || status == KV_NOT_FOUND);
    if (status == KV_OK) {
        struct kv_view owned = *view;
        assert_true(is_value((uint32_t)(uintptr_t)arg, owned.data, owned.len));
        kv_view_release(fixture.store, &owned);
    }
    atomic_fetch_sub(&race.pending, 1);
}

static bool look_at(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    (void)arg, (void)key, (void)expire_ms;
    assert_int_equal(key_len, sizeof(uint32_t));
    assert_int_equal(value_len, CLEAR_LEN);
    return !atomic_load(&race.stop);
}

static void *read_all_ways(void *arg)
{
    uint64_t cursor = 0;
    (void)arg;
    for (uint32_t n = 0; !atomic_load(&race.stop); n++) {
        uint32_t key = n % 2 == 0 ? 1000 + n % (WRITERS * OWN_KEYS) : 2000 + n % 200;
        union {
            uintptr_t number;
            void *arg;
        } number = {key};
        struct kv_view view;
        atomic_fetch_add(&race.pending, 1);
        enum kv_status status = kv_get_async(fixture.store, &key, sizeof key, &view, got_later, number.arg);
        if (status != KV_PENDING)
            atomic_fetch_sub(&race.pending, 1);
        if (status == KV_OK) {
            if (n % 8 == 0)
                (void)usleep(300);
            assert_true(is_value(key, view.data, view.len));
            kv_view_release(fixture.store, &view);
        }
        if (n % 16 == 0)
            assert_int_equal(kv_scan(fixture.store, &cursor, 20, look_at, NULL), KV_OK);
    }
    while (atomic_load(&race.pending) != 0)
        (void)usleep(1000);
    return NULL;
}

static void *keep_house(void *arg)
{
    (void)arg;
    for (uint32_t n = 0; !atomic_load(&race.stop); n++) {
        (void)kv_compact_step(fixture.store);
        enum kv_status status = n % 4 == 0 ? kv_checkpoint(fixture.store) : KV_OK;
        assert_true(status == KV_OK || status == KV_FULL); // overtaken
        if (n % 8 == 0) {                                  // values go to disk only, and are brought back
            assert_int_equal(kv_set_memory_limit(fixture.store, 0), KV_OK);
            assert_int_equal(kv_set_memory_limit(fixture.store, 64u << 20), KV_OK);
        }
        (void)usleep(2000);
    }
    return NULL;
}

static void test_beside_all_others(void **state)
{
    (void)state;
    memset(&race, 0, sizeof race);
    pthread_t threads[WRITERS + 3];
    unsigned count = 0;
    for (; count < WRITERS; count++) {
        union {
            uintptr_t number;
            void *arg;
        } number = {count};
        assert_int_equal(pthread_create(&threads[count], NULL, write_and_look, number.arg), 0);
    }
    void *(*const others[])(void *) = {put_batches, read_all_ways, keep_house};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[count++], NULL, others[i], NULL), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        (void)usleep(1000 + round % 7 * 3000);
        atomic_fetch_add(&race.begun, 1);
        assert_int_equal(kv_clear(fixture.store), KV_OK);
        atomic_fetch_add(&race.ended, 1);
    }
    atomic_store(&race.stop, true);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(atomic_load(&race.checked) > 0);
    assert_int_equal(fixture_stats().damaged_records, 0);
    uint64_t keys = fixture_stats().keys;
    fixture_reopen();
    assert_int_equal(fixture_stats().keys, keys);
    assert_int_equal(fixture_stats().damaged_records, 0);
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    clear_expect_empty();
    assert_int_equal(clear_files_like(".seg"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, clear_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_compaction_under_way),
        TEST(test_sync_under_way),
        TEST(test_beside_all_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
