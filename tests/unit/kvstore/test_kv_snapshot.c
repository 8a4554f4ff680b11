// The index snapshot: what was captured comes back, with the log behind it; anything doubtful about it costs time and nothing
// else. A crash is a copy of the folder of a store that is open (kill -9; power failures: test_kv_crash).
#include "kv_kit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"
#include "kvstore/kv_seen.h"

#define KEYS 400u

static char dir[128];

// What a key should be: its version (0: not there) decides its value.
struct expected {
    uint32_t version;
    uint64_t expire_ms;
};
static struct expected model[KEYS];
static uint32_t versions;

static int setup(void **state)
{
    (void)state;
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    memset(model, 0, sizeof model);
    versions = 0;
    kit_folder(dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_heal();
    kit_remove(dir);
    return 0;
}

static uint64_t seed = 1;
static uint32_t roll(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % below);
}

static size_t make_value(uint32_t key, uint32_t version, uint8_t out[2048])
{
    size_t len = 24 + (key * 131u + version * 977u) % 1900;
    uint64_t x = (uint64_t)version << 32 | key;
    for (size_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(x >> 56);
    }
    return len;
}

static void put(struct kv_store *store, uint32_t key, uint64_t expire_ms)
{
    uint8_t value[2048];
    model[key] = (struct expected){++versions, expire_ms};
    size_t len = make_value(key, versions, value);
    assert_int_equal(kv_put(store, &key, sizeof key, value, len, expire_ms, 0), KV_OK);
}

static void drop(struct kv_store *store, uint32_t key)
{
    assert_int_equal(kv_delete(store, &key, sizeof key, 0), model[key].version != 0 ? KV_OK : KV_NOT_FOUND);
    model[key] = (struct expected){0};
}

static void expire(struct kv_store *store, uint32_t key, uint64_t expire_ms)
{
    assert_int_equal(kv_set_expiry(store, &key, sizeof key, expire_ms, 0),
                     model[key].version != 0 ? KV_OK : KV_NOT_FOUND);
    model[key].expire_ms = expire_ms;
}

static void some_writes(struct kv_store *store, unsigned count)
{
    while (count-- > 0) {
        uint32_t key = roll(KEYS), what = roll(10);
        if (what < 6)
            put(store, key, roll(4) == 0 ? 5000000 + roll(1000) : 0);
        else if (what < 8)
            drop(store, key);
        else if (model[key].version != 0)
            expire(store, key, roll(3) == 0 ? 0 : 6000000 + roll(1000));
    }
}

static void check_key(struct kv_store *store, uint32_t key)
{
    uint8_t value[2048];
    void *got;
    size_t len, got_len;
    uint64_t expire_ms = 0;
    enum kv_status status = kv_get_alloc(store, &key, sizeof key, &got, &got_len, NULL);
    if (status != (model[key].version != 0 ? KV_OK : KV_NOT_FOUND))
        fail_msg("key %u, version %u: %s", key, model[key].version, kv_status_text(status));
    if (status != KV_OK)
        return;
    len = make_value(key, model[key].version, value);
    assert_int_equal(got_len, len);
    assert_memory_equal(got, value, len);
    free(got);
    assert_int_equal(kv_get_expiry(store, &key, sizeof key, &expire_ms), KV_OK);
    assert_int_equal(expire_ms, model[key].expire_ms);
}

static void check_all(struct kv_store *store)
{
    uint64_t keys = 0, timed = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        check_key(store, key);
        keys += model[key].version != 0;
        timed += model[key].expire_ms != 0;
    }
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.keys, keys);
    assert_int_equal(stats.keys_with_expiry, timed);
}

static uint64_t snapshot_keys(struct kv_store *store)
{
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    return stats.snapshot_keys;
}

// By the sums of what the index says.
static void check_live(struct kv_store *store)
{
    int64_t live = 0, bytes = 0, expected_bytes = 0;
    for (size_t i = 0; i < store->segments.count; i++) {
        live += atomic_load(&store->segments.list[i]->live_count);
        bytes += atomic_load(&store->segments.list[i]->live_bytes);
    }
    for (size_t i = 0; i < KV_SHARDS; i++) {
        const struct kv_table *table = &store->index.shards[i].keys;
        for (size_t at = 0; at < table->capacity; at++)
            if (table->slots[at].word != 0)
                expected_bytes += (int64_t)kv_class_floor(kv_word_class(table->slots[at].word));
    }
    assert_int_equal(live, atomic_load(&store->index.keys));
    assert_int_equal(bytes, expected_bytes);
}

static bool has_index(const char *folder)
{
    char path[192];
    (void)snprintf(path, sizeof path, "%.128s/INDEX", folder);
    return access(path, F_OK) == 0;
}

// Opens a copy of the folder as a crash now would leave it. by_snapshot: that is how it must have been opened.
static void check_crash(struct kv_store *running, bool by_snapshot)
{
    char copy[128];
    kit_folder(copy);
    (void)pthread_mutex_lock(&running->compact_lock); // no files come or go while they are copied
    (void)pthread_mutex_lock(&running->snapshots.lock);
    kit_copy(dir, copy);
    (void)pthread_mutex_unlock(&running->snapshots.lock);
    (void)pthread_mutex_unlock(&running->compact_lock);
    struct kv_store *store = kit_open(copy, NULL);
    assert_int_equal(store->snapshots.low != KV_NO_SNAPSHOT, by_snapshot);
    check_live(store);
    check_all(store);
    check_live(store);
    kit_close(&store);
    store = kit_open(copy, NULL);
    check_all(store);
    kit_close(&store);
    kit_forget_index(copy); // and what was left is as good for reading everything
    store = kit_open(copy, NULL);
    assert_int_equal(snapshot_keys(store), 0);
    check_all(store);
    kit_close(&store);
    kit_remove(copy);
}

// Closes without writing anything more: many opens in little time.
static void abandon(struct kv_store **store)
{
    atomic_store(&(*store)->read_only, true);
    (void)kv_close(store);
}

// ---- what is captured comes back

static void test_round_trip(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    some_writes(store, 1500);
    kit_close(&store);
    assert_true(has_index(dir));
    store = kit_open(dir, NULL);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.snapshot_keys, stats.keys);
    assert_int_equal(stats.damaged_records, 0);
    check_all(store);
    check_live(store);
    some_writes(store, 200);
    kit_close(&store);
    store = kit_open(dir, NULL);
    check_all(store);
    kit_close(&store);
    struct kv_options options = kit_options();
    options.limit_bytes = 0;
    store = kit_open(dir, &options);
    check_all(store);
    kit_close(&store);
}

// An empty store has a snapshot too, and a store that was emptied.
static void test_empty(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    kit_close(&store);
    store = kit_open(dir, NULL);
    assert_int_not_equal(store->snapshots.low, KV_NO_SNAPSHOT);
    put(store, 1, 0);
    kit_close(&store);
    store = kit_open(dir, NULL);
    check_all(store);
    drop(store, 1);
    kit_close(&store);
    store = kit_open(dir, NULL);
    check_all(store);
    kit_close(&store);
}

// How much a record was wanted in memory is known after the next open, so that the right ones are brought back first.
static void test_want_is_kept(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    for (uint32_t key = 0; key < 20; key++)
        put(store, key, 0);
    for (uint32_t key = 0; key < 20; key++)
        for (uint32_t n = 0; n < key % 4; n++)
            check_key(store, key);
    kit_close(&store);
    store = kit_open(dir, NULL);
    for (uint32_t key = 0; key < 20; key++) {
        uint64_t hash = kv_hash_key(&store->seeds, &key, sizeof key).low;
        const struct kv_slot *slot = kv_table_find(&kv_index_shard(&store->index, hash)->keys, hash);
        assert_non_null(slot);
        assert_int_equal(kv_slot_want(slot), key % 4);
    }
    kit_close(&store);
}

// ---- what is doubtful

static uint8_t *index_bytes(size_t *size)
{
    char path[192];
    (void)snprintf(path, sizeof path, "%.128s/INDEX", dir);
    return kit_read_file(path, size);
}

static void write_index(const char *folder, const void *bytes, size_t size)
{
    char path[192];
    (void)snprintf(path, sizeof path, "%.128s/INDEX", folder);
    kit_write_file(path, bytes, size);
}

static void expect_scan(const char *what, size_t at)
{
    struct kv_store *store = kit_open(dir, NULL);
    if (store->snapshots.low != KV_NO_SNAPSHOT || has_index(dir))
        fail_msg("%s at %zu: the snapshot was believed, or is still there", what, at);
    check_all(store);
    abandon(&store);
}

static void put_few(void)
{
    struct kv_store *store = kit_open(dir, NULL);
    for (uint32_t key = 0; key < 12; key++)
        put(store, key, key % 3 == 0 ? 5000000 : 0);
    kit_close(&store);
}

// Bytes changed everywhere (header, first blocks and the end: each): all segments are read, every key is right, and the snapshot is gone.
static void test_flip_anywhere(void **state)
{
    (void)state;
    put_few();
    size_t size, step = KIT_SANITIZED ? 37 : 7;
    uint8_t *bytes = index_bytes(&size);
    for (size_t at = 0; at < size; at += at < 250 || at + 60 > size ? 1 : step) {
        bytes[at] ^= (uint8_t)(1u << (at * 5 % 8));
        write_index(dir, bytes, size);
        bytes[at] ^= (uint8_t)(1u << (at * 5 % 8));
        expect_scan("flip", at);
    }
    write_index(dir, bytes, size); // as it was
    struct kv_store *store = kit_open(dir, NULL);
    assert_int_equal(snapshot_keys(store), 12);
    check_all(store);
    abandon(&store);
    free(bytes);
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    put_few();
    size_t size;
    uint8_t *bytes = index_bytes(&size);
    for (size_t len = 0; len < size; len += len < 200 || len + 60 > size ? 1 : 53) {
        write_index(dir, bytes, len);
        expect_scan("cut", len);
    }
    uint8_t *longer = calloc(1, size + 100);
    memcpy(longer, bytes, size);
    write_index(dir, longer, size + 100);
    expect_scan("longer", size);
    free(longer);
    free(bytes);
}

// Of another store, in which the same was done.
static void test_of_another_store(void **state)
{
    (void)state;
    put_few();
    size_t size;
    uint8_t *bytes = index_bytes(&size);
    kit_remove(dir);
    kit_folder(dir);
    versions = 0;
    put_few();
    write_index(dir, bytes, size);
    expect_scan("another store's", 0);
    free(bytes);
}

// An older one of the same store, from before segments were removed: some of what it says is gone from the log.
static void test_from_before_compaction(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    some_writes(store, 300);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    size_t size;
    uint8_t *bytes = index_bytes(&size);
    for (uint32_t key = 0; key < KEYS; key++) // and put nothing in their place
        drop(store, key);
    some_writes(store, 2500);
    uint64_t low = store->snapshots.low;
    bool gone = false; // one that replay would have to read
    for (unsigned n = 0; n < 400 && !gone; n++) {
        if (!kv_compact_step(store)) {
            (void)usleep(10000);
            some_writes(store, 50); // until there is something worth compacting behind the position
        }
        (void)pthread_mutex_lock(&store->compact_lock);
        size_t listed = 0, count = store->segments.count;
        while (listed < count && store->segments.list[count - 1 - listed]->id >= low)
            listed++;
        gone = store->segments.list[count - 1]->id - low + 1 != listed;
        (void)pthread_mutex_unlock(&store->compact_lock);
    }
    abandon(&store);
    write_index(dir, bytes, size);
    if (gone)
        expect_scan("old", 0);
    store = kit_open(dir, NULL);
    check_all(store);
    abandon(&store);
    assert_true(gone);
    free(bytes);
}

// The log is damaged behind the position: what is whole there could tell of more than the snapshot knows.
static void test_damage_behind(void **state)
{
    (void)state;
    put_few();
    struct kv_store *store = kit_open(dir, NULL);
    put(store, 12, 0);
    put(store, 13, 0);
    abandon(&store);
    store = kit_open(dir, NULL);
    assert_int_equal(snapshot_keys(store), 12);
    check_all(store);
    abandon(&store);
    char path[192];
    size_t size;
    uint8_t *bytes = kit_read_file(kit_segment_path(dir, 1, path), &size), value[2048];
    size_t len = make_value(12, model[12].version, value);
    uint8_t *at = memmem(bytes, size, value, len);
    assert_non_null(at);
    at[-4] ^= 1; // the key
    kit_write_file(path, bytes, size);
    model[12] = (struct expected){0};
    expect_scan("damage", size);
    free(bytes);
}

// The log ends before the place up to which it was captured (the manifest has no size for the segment: it was open).
static void test_log_cut_in_front(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    for (uint32_t key = 0; key < 12; key++)
        put(store, key, 0);
    char path[192];
    size_t size, all;
    free(kit_read_file(kit_segment_path(dir, 1, path), &size));
    put(store, 12, 0);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    abandon(&store);
    uint8_t *bytes = kit_read_file(path, &all);
    kit_write_file(path, bytes, size + 100);
    free(bytes);
    model[12] = (struct expected){0};
    expect_scan("cut", size);
}

// ---- the log behind it

static void test_much_log_behind(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    some_writes(store, 500);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    check_crash(store, true);
    for (unsigned round = 0; round < 12; round++) {
        some_writes(store, 10 + round * 40);
        check_crash(store, true);
    }
    abandon(&store);
}

static void test_deletes_and_puts_again(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    for (uint32_t key = 0; key < 60; key++)
        put(store, key, key % 5 == 0 ? 5000000 : 0);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    for (uint32_t key = 0; key < 60; key++) {
        if (key % 2 == 0)
            drop(store, key);
        if (key % 4 == 0)
            put(store, key, 0);
        if (key % 8 == 0)
            drop(store, key);
        if (key % 3 == 0 && model[key].version != 0)
            expire(store, key, key % 9 == 0 ? 0 : 7000000);
    }
    check_crash(store, true);
    atomic_store(&kit_now_ms, 8000000); // some have expired, and the sweeper removes them
    for (uint32_t key = 0; key < KEYS; key++)
        if (model[key].expire_ms != 0)
            model[key] = (struct expected){0};
    struct kv_stats stats = {.keys_with_expiry = 1};
    for (unsigned n = 0; n < 1000 && stats.keys_with_expiry != 0; n++) {
        (void)usleep(10000);
        kv_get_stats(store, &stats);
    }
    assert_int_equal(stats.keys_with_expiry, 0);
    check_crash(store, true);
    abandon(&store);
}

// Segments that slots of the snapshot point to are compacted away, and segments behind it too (then a new one is written).
static void test_compaction_behind(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.segment_bytes = 16384;
    struct kv_store *store = kit_open(dir, &options);
    some_writes(store, 800);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    for (unsigned round = 0; round < 25; round++) {
        some_writes(store, 40);
        for (unsigned n = roll(4); n > 0; n--)
            (void)kv_compact_step(store);
        check_crash(store, true);
        if (roll(6) == 0)
            assert_int_equal(kv_checkpoint(store), KV_OK);
    }
    abandon(&store);
}

// Values that were replaced, and not yet overwritten when the snapshot was made, are overwritten after the crash.
static void test_erasures_are_finished(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_NEVER;
    options.fsync_interval_ms = 1000000;
    struct kv_store *store = kit_open(dir, &options);
    static const char old[] = "an old value, to be gone", older[] = "an older value, to be gone";
    for (unsigned i = 0; i < 50; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%u", i);
        kit_put(store, key, older);
        kit_put(store, key, old);
        kit_put(store, key, "the present value");
    }
    assert_true(kv_erase_pending(store) > 0);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    assert_int_equal(kit_files_with(dir, old, strlen(old)), 1);
    char copy[128];
    kit_folder(copy);
    kit_copy(dir, copy);
    struct kv_store *left = kit_open(copy, NULL);
    assert_int_equal(snapshot_keys(left), 50);
    assert_int_equal(kit_files_with(copy, old, strlen(old)), 0);
    assert_int_equal(kit_files_with(copy, older, strlen(older)), 0);
    kit_expect(left, "key7", "the present value");
    kit_close(&left);
    kit_remove(copy);
    kit_close(&store);
}

// ---- trouble while it is written

static void test_full_disk(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    some_writes(store, 200);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    static const struct {
        enum kit_fault fault;
        int error, skip;
        enum kv_status status;
    } faults[] = {
        {KIT_WRITE, ENOSPC, 0, KV_FULL},   {KIT_WRITE, ENOSPC, 100, KV_FULL}, {KIT_WRITE, EIO, 256, KV_IO},
        {KIT_WRITE, ENOSPC, 257, KV_FULL}, {KIT_FSYNC, EIO, 0, KV_IO},        {KIT_RENAME, EIO, 0, KV_IO},
        {KIT_OPEN, EMFILE, 0, KV_IO},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        some_writes(store, 20);
        kit_fail(faults[i].fault, faults[i].error, faults[i].skip, 1, 100);
        assert_int_equal(kv_checkpoint(store), faults[i].status);
        kit_heal();
        char text[256];
        kv_error_text(store, text, sizeof text);
        assert_non_null(strstr(text, "index snapshot"));
        assert_false(atomic_load(&store->read_only));
        check_crash(store, true); // by the old one
    }
    assert_int_equal(kv_checkpoint(store), KV_OK);
    kit_close(&store);
}

// A delete for whose tombstone there is no room leaves nothing in the log: the snapshot goes before the value does.
static void test_delete_without_room(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    some_writes(store, 100);
    put(store, 3, 0);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    kit_fail(KIT_WRITE, ENOSPC, 0, store->has_reserve ? 2 : 1,
             0); // the second: with the space kept for deletes
    drop(store, 3);
    kit_heal();
    assert_false(has_index(dir));
    check_crash(store, false);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    check_crash(store, true);
    kit_close(&store);
}

// Written on its own as the log grows.
static void test_background(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.checkpoint_bytes = 65536;
    struct kv_store *store = kit_open(dir, &options);
    some_writes(store, 400);
    for (unsigned n = 0; n < 500 && !has_index(dir); n++)
        (void)usleep(10000);
    assert_true(has_index(dir));
    check_crash(store, true);
    kit_close(&store);
}

// ---- with writers at work

struct writer {
    struct kv_store *store;
    uint32_t number;
    struct expected keys[KEYS / 4];
    _Atomic bool *stop;
};

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    uint64_t chance = w->number + 1;
    for (uint32_t version = 1; !atomic_load(w->stop) && version < 100000; version++) {
        chance = chance * 6364136223846793005u + 1442695040888963407u;
        uint32_t slot = (uint32_t)(chance >> 33) % (KEYS / 4), key = slot * 4 + w->number;
        struct expected *e = &w->keys[slot];
        uint8_t value[2048];
        if ((chance >> 60) < 11) {
            *e = (struct expected){version, (chance >> 59) % 2 == 0 ? 0 : 5000000 + version};
            size_t len = make_value(key, version, value);
            if (kv_put(w->store, &key, sizeof key, value, len, e->expire_ms, KV_PUT_NO_WAIT) != KV_OK)
                abort();
        } else if (e->version != 0) {
            *e = (struct expected){0};
            if (kv_delete(w->store, &key, sizeof key, KV_PUT_NO_WAIT) != KV_OK)
                abort();
        }
    }
    return NULL;
}

static void *compactor_main(void *arg)
{
    struct writer *w = arg;
    while (!atomic_load(w->stop))
        if (!kv_compact_step(w->store))
            (void)usleep(1000);
    return NULL;
}

static void test_writers_meanwhile(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_INTERVAL;
    options.segment_bytes = 32768;
    options.limit_bytes = 4 << 20;
    struct kv_store *store = kit_open(dir, &options);
    for (unsigned round = 0; round < 3; round++) {
        static struct writer writers[4];
        pthread_t threads[5];
        _Atomic bool stop = false;
        for (uint32_t i = 0; i < 4; i++) {
            writers[i].store = store;
            writers[i].number = i;
            writers[i].stop = &stop;
            memset(writers[i].keys, 0, sizeof writers[i].keys);
            for (uint32_t slot = 0; slot < KEYS / 4; slot++)
                writers[i].keys[slot] = model[slot * 4 + i];
            assert_int_equal(pthread_create(&threads[i], NULL, writer_main, &writers[i]), 0);
        }
        assert_int_equal(pthread_create(&threads[4], NULL, compactor_main, &writers[0]), 0);
        for (unsigned n = 0; n < 6; n++) {
            assert_int_equal(kv_checkpoint(store), KV_OK);
            (void)usleep(20000);
        }
        atomic_store(&stop, true);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (uint32_t key = 0; key < KEYS; key++)
            model[key] = writers[key % 4].keys[key / 4];
        check_crash(store, true);
    }
    kit_close(&store);
    store = kit_open(dir, NULL);
    check_all(store);
    kit_close(&store);
}

// Replay holds entries of keys while it takes further records of keys that it knows: the table must not grow then.
static void test_known_keys_do_not_move(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    struct kv_seen *seen = kv_seen_create(store);
    assert_non_null(seen);
    struct kv_item item = {.kind = KV_ITEM_RECORD};
    item.record = (struct kv_record){.type = KV_RECORD_TOMBSTONE, .key_len = 1};
    const struct kv_hash first = {.low = 0, .high = 0};
    for (uint64_t i = 0; i < 300; i++) { // all in one shard
        struct kv_hash hash = {.low = i << 40, .high = i};
        item.record.seq = i + 1;
        assert_true(kv_seen_take(seen, hash, kv_where_disk(1, 64), &item, NULL));
        const struct kv_seen_entry *held = kv_seen_find(seen, first);
        item.record.seq = 1000 + i;
        assert_true(kv_seen_take(seen, first, kv_where_disk(1, 64), &item, NULL));
        assert_ptr_equal(kv_seen_find(seen, first), held);
    }
    kv_seen_destroy(seen);
    kit_close(&store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_empty),
        TEST(test_want_is_kept),
        TEST(test_flip_anywhere),
        TEST(test_cut_anywhere),
        TEST(test_of_another_store),
        TEST(test_from_before_compaction),
        TEST(test_damage_behind),
        TEST(test_log_cut_in_front),
        TEST(test_much_log_behind),
        TEST(test_deletes_and_puts_again),
        TEST(test_compaction_behind),
        TEST(test_erasures_are_finished),
        TEST(test_full_disk),
        TEST(test_delete_without_room),
        TEST(test_background),
        TEST(test_writers_meanwhile),
        TEST(test_known_keys_do_not_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
