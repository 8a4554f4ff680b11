// The index snapshot written: trouble meanwhile, and writers at work meanwhile.
#include "kv_snapshot_kit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

// ---- trouble while it is written

static void test_full_disk(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(snap_dir, NULL);
    snap_some_writes(store, 200);
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
        snap_some_writes(store, 20);
        kit_fail(faults[i].fault, faults[i].error, faults[i].skip, 1, 100);
        assert_int_equal(kv_checkpoint(store), faults[i].status);
        kit_heal();
        char text[256];
        kv_error_text(store, text, sizeof text);
        assert_non_null(strstr(text, "index snapshot"));
        assert_false(atomic_load(&store->read_only));
        snap_check_crash(store, true); // by the old one
    }
    assert_int_equal(kv_checkpoint(store), KV_OK);
    kit_close(&store);
}

// A delete for whose tombstone there is no room leaves nothing in the log: the snapshot goes before the value
// does.
static void test_delete_without_room(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(snap_dir, NULL);
    snap_some_writes(store, 100);
    snap_put(store, 3, 0);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    kit_fail(KIT_WRITE, ENOSPC, 0, store->has_reserve ? 2 : 1,
             0); // the second: with the space kept for deletes
    snap_drop(store, 3);
    kit_heal();
    assert_false(snap_has_index(snap_dir));
    snap_check_crash(store, false);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    snap_check_crash(store, true);
    kit_close(&store);
}

// Written on its own as the log grows.
static void test_background(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.checkpoint_bytes = 65536;
    struct kv_store *store = kit_open(snap_dir, &options);
    snap_some_writes(store, 400);
    for (unsigned n = 0; n < 6000 && !snap_has_index(snap_dir); n++)
        (void)usleep(10000);
    assert_true(snap_has_index(snap_dir));
    snap_check_crash(store, true);
    kit_close(&store);
}

// ---- with writers at work

struct writer {
    struct kv_store *store;
    uint32_t number;
    struct snap_expected keys[SNAP_KEYS / 4];
    _Atomic bool *stop;
};

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    uint64_t chance = w->number + 1;
    for (uint32_t version = 1; !atomic_load(w->stop) && version < 100000; version++) {
        chance = chance * 6364136223846793005u + 1442695040888963407u;
        uint32_t slot = (uint32_t)(chance >> 33) % (SNAP_KEYS / 4), key = slot * 4 + w->number;
        struct snap_expected *e = &w->keys[slot];
        uint8_t value[2048];
        if ((chance >> 60) < 11) {
            *e = (struct snap_expected){version, (chance >> 59) % 2 == 0 ? 0 : 5000000 + version};
            size_t len = snap_make_value(key, version, value);
            if (kv_put(w->store, &key, sizeof key, value, len, e->expire_ms, KV_PUT_NO_WAIT) != KV_OK)
                abort();
        } else if (e->version != 0) {
            *e = (struct snap_expected){0};
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
    struct kv_store *store = kit_open(snap_dir, &options);
    for (unsigned round = 0; round < 3; round++) {
        static struct writer writers[4];
        pthread_t threads[5];
        _Atomic bool stop = false;
        for (uint32_t i = 0; i < 4; i++) {
            writers[i].store = store;
            writers[i].number = i;
            writers[i].stop = &stop;
            memset(writers[i].keys, 0, sizeof writers[i].keys);
            for (uint32_t slot = 0; slot < SNAP_KEYS / 4; slot++)
                writers[i].keys[slot] = snap_model[slot * 4 + i];
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
        for (uint32_t key = 0; key < SNAP_KEYS; key++)
            snap_model[key] = writers[key % 4].keys[key / 4];
        snap_check_crash(store, true);
    }
    kit_close(&store);
    store = kit_open(snap_dir, NULL);
    snap_check_all(store);
    kit_close(&store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, snap_setup, snap_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_full_disk),
        TEST(test_delete_without_room),
        TEST(test_background),
        TEST(test_writers_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
