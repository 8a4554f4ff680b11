// Compaction while older values wait to be overwritten: of segments without tombstones it leaves them waiting, and they are held down by what
// superseded them, wherever that is by then; for tombstones that go they are overwritten first. Each state is opened as a crash
// would leave it, by the whole log.
#include "kv_kit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvstore/kv_internal.h"

#define SECRET "0xSECRET-PRIVATE-KEY-BYTES"
#define FILL   60u // records of 1,000 bytes that fill a segment of 64 KiB

static char dir[128];
static struct kv_store *store;
static struct kv_options options;

static int setup(void **state)
{
    (void)state;
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    kit_folder(dir);
    options = kit_options();
    options.fsync = KV_FSYNC_INTERVAL;
    options.fsync_interval_ms = 1000000;
    options.erase_within_ms = 3600000;
    store = kit_open(dir, &options);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_heal();
    if (store != NULL)
        kit_close(&store);
    kit_remove(dir);
    return 0;
}

// The store's own compactor stands still while its files are looked at.
static unsigned secrets_in_files(void)
{
    kv_compact_hold(store);
    unsigned count = kit_files_with(dir, SECRET, strlen(SECRET));
    kv_compact_let_go(store);
    return count;
}

static void fill(uint32_t from)
{
    char value[1000];
    memset(value, 'x', sizeof value);
    for (uint32_t key = from; key < from + FILL; key++)
        assert_int_equal(kv_put(store, &key, sizeof key, value, sizeof value, 0, 0), KV_OK);
}

static bool is_there(uint64_t id)
{
    struct kv_segment *segment = kv_segment_get(store, id);
    kv_segment_put(segment);
    return segment != NULL;
}

// Nothing else is left that is live, so it is emptied and removed.
static void compact_away(uint64_t id)
{
    assert_int_equal(kv_sync(store), KV_OK);
    for (unsigned i = 0; i < 100 && is_there(id); i++)
        (void)kv_compact_step(store);
    assert_false(is_there(id));
}

static uint64_t newest(void)
{
    (void)pthread_mutex_lock(&store->append_lock);
    uint64_t id = store->active->id;
    (void)pthread_mutex_unlock(&store->append_lock);
    return id;
}

// What a crash now would leave, opened without the snapshot.
static void check_crash(const char *value)
{
    char copy[128];
    kit_folder(copy);
    kv_compact_hold(store);
    kit_copy(dir, copy);
    kv_compact_let_go(store);
    kit_forget_index(copy);
    struct kv_store *left = kit_open(copy, &options);
    kit_expect(left, "k", value);
    assert_int_equal(kit_files_with(copy, SECRET, strlen(SECRET)), 0);
    kit_close(&left);
    kit_remove(copy);
}

// The secret in a segment that is live for the most part, then what comes after it in others.
static void put_secret(void)
{
    kit_put(store, "k", SECRET);
    fill(0);
}

// A segment of its own for what is put between: the number of the first.
static uint64_t begin_segment(void)
{
    uint64_t before = newest();
    for (uint32_t n = 0; newest() == before; n++)
        fill(1000000 + n * FILL);
    return newest();
}

static void test_puts_leave_them_waiting(void **state)
{
    (void)state;
    put_secret();
    uint64_t second = begin_segment();
    kit_put(store, "k", "the second");
    fill(100);
    (void)begin_segment();
    kit_put(store, "k", "the third");
    fill(100);
    for (uint32_t n = 0; n < 10; n++) // whatever else is in the second
        fill(1000000 + n * FILL);
    compact_away(second);
    assert_int_equal(secrets_in_files(), 1);
    check_crash("the third");
    uint64_t third = newest();
    (void)begin_segment();
    for (uint32_t n = 0; n < 10; n++)
        fill(1000000 + n * FILL);
    fill(100);
    for (uint64_t id = second; id <= third; id++) // the third one lives on as a copy
        if (is_there(id))
            (void)kv_compact_step(store);
    assert_int_equal(secrets_in_files(), 1);
    check_crash("the third");
    kit_expect(store, "k", "the third");
}

// The tombstone holds down the secret, for the value that it is of has gone with its segment.
static void test_tombstones_do_not(void **state)
{
    (void)state;
    put_secret();
    uint64_t second = begin_segment();
    kit_put(store, "k", "the second");
    fill(100);
    uint64_t third = begin_segment();
    assert_int_equal(kv_delete(store, "k", 1, 0), KV_OK);
    fill(100);
    for (uint32_t n = 0; n < 10; n++)
        fill(1000000 + n * FILL);
    (void)begin_segment();
    compact_away(second);
    check_crash(NULL);
    compact_away(third);
    assert_int_equal(secrets_in_files(), 0);
    check_crash(NULL);
    kit_expect(store, "k", NULL);
}

// No room for a tombstone: the erased record alone says that the key is gone, and may go with its segment at any time.
static void test_delete_without_a_tombstone(void **state)
{
    (void)state;
    put_secret();
    uint64_t second = begin_segment();
    kit_put(store, "k", "the second");
    assert_int_equal(secrets_in_files(), 1);
    kit_fail(KIT_WRITE, ENOSPC, 0, store->has_reserve ? 2 : 1, 0);
    assert_int_equal(kv_delete(store, "k", 1, 0), KV_OK);
    kit_heal();
    assert_int_equal(secrets_in_files(), 0);
    check_crash(NULL);
    for (uint32_t n = 0; n < 10; n++)
        fill(1000000 + n * FILL);
    (void)begin_segment();
    for (uint32_t n = 0; n < 10; n++)
        fill(1000000 + n * FILL);
    compact_away(second);
    check_crash(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_puts_leave_them_waiting),
        TEST(test_tombstones_do_not),
        TEST(test_delete_without_a_tombstone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
