// kv_export(): every live record once, whatever is written, compacted, cleared or damaged beside it.
#include "export_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

// ---- what is there

static void expect_all(uint32_t generation)
{
    export_forget();
    assert_int_equal(kv_sync(fixture.store), KV_OK); // the queue of what is to be overwritten counts, too
    int64_t accounted = atomic_load(&fixture.store->accounted_bytes);
    assert_int_equal(export_all(), KV_OK);
    assert_int_equal(atomic_load(&fixture.store->accounted_bytes), accounted);
    export_expect_once(0, EXPORT_KEYS);
    assert_int_equal(export_visits.total, EXPORT_KEYS);
    for (uint32_t key = 0; key < EXPORT_KEYS; key++) {
        if (export_len_of(key, generation) != 0)
            assert_int_equal(export_visits.generation[key], generation);
        assert_int_equal(export_visits.expire_ms[key], key % 5 == 0 ? 9000000 + key : 0);
    }
}

static void test_all(void **state)
{
    (void)state;
    export_forget();
    assert_int_equal(export_all(), KV_OK);
    assert_int_equal(export_visits.total, 0);
    for (uint32_t generation = 0; generation < 3; generation++)
        export_put_all(generation);
    for (uint32_t key = EXPORT_KEYS; key < EXPORT_KEYS + 100; key++) { // not there any more
        export_put(key, 0, 0);
        assert_int_equal(kv_delete(fixture.store, &key, sizeof key, KV_PUT_NO_WAIT), KV_OK);
    }
    struct kv_stats before = fixture_stats();
    expect_all(2);
    assert_int_equal(fixture_stats().hits + fixture_stats().misses, before.hits + before.misses);
    kit_close(&fixture.store);
    fixture_open_limited(0);
    expect_all(2);
    kit_close(&fixture.store);
    kit_forget_index(fixture.dir);
    fixture_open_limited(64u << 20);
    expect_all(2);
    while (kv_compact_step(fixture.store)) {
    }
    expect_all(2);
}

static void test_expiry(void **state)
{
    (void)state;
    for (uint32_t key = 0; key < 40; key++)
        export_put(key, 0, key < 20 ? 1000100 : 0);
    for (uint32_t key = 10; key < 30; key++) { // changed after the put
        uint64_t expire_ms = key < 20 ? 2000000 : 1000100;
        assert_int_equal(kv_set_expiry(fixture.store, &key, sizeof key, expire_ms, KV_PUT_NO_WAIT), KV_OK);
    }
    atomic_store(&kit_now_ms, 1000100);
    export_forget();
    assert_int_equal(export_all(), KV_OK);
    for (uint32_t key = 0; key < 40; key++) {
        bool gone = key < 10 || (key >= 20 && key < 30);
        assert_int_equal(export_visits.times[key], gone ? 0 : 1);
        assert_int_equal(export_visits.expire_ms[key], !gone && key < 20 ? 2000000 : 0);
    }
}

static void test_stop(void **state)
{
    (void)state;
    export_put_all(0);
    static const unsigned after[] = {1, 2, EXPORT_KEYS / 2, EXPORT_KEYS};
    for (unsigned i = 0; i < sizeof after / sizeof after[0]; i++) {
        export_forget();
        export_visits.stop_after = after[i];
        assert_int_equal(export_all(), KV_OK);
        assert_int_equal(export_visits.total, after[i]);
    }
}

// ---- what happens in the middle, told in order

static void compact_all(void)
{
    assert_int_equal(kv_sync(fixture.store), KV_OK);
    while (kv_compact_step(fixture.store)) {
    }
}

// Every third key is replaced (twice), every third deleted; of the others some get an expiry. Then all that may be compacted is.
static void change_many(struct visits *v)
{
    if (v->total % 100 != 50)
        return;
    for (uint32_t round = 1; round < 3; round++)
        for (uint32_t key = 0; key < EXPORT_KEYS; key += 3)
            export_put(key, v->total * 10 + round, 0);
    for (uint32_t key = 1; key < EXPORT_KEYS; key += 3)
        assert_true(kv_delete(fixture.store, &key, sizeof key, KV_PUT_NO_WAIT) <= KV_NOT_FOUND);
    for (uint32_t key = 2; key < EXPORT_KEYS; key += 30)
        assert_int_equal(kv_set_expiry(fixture.store, &key, sizeof key, 8000000, KV_PUT_NO_WAIT), KV_OK);
    compact_all();
}

static void test_written_meanwhile(void **state)
{
    (void)state;
    for (uint32_t generation = 0; generation < 4; generation++)
        export_put_all(generation);
    export_forget();
    export_visits.meanwhile = change_many;
    assert_int_equal(export_all(), KV_OK);
    for (uint32_t key = 0; key < EXPORT_KEYS; key++) {
        if (key % 3 == 1)
            assert_true(export_visits.times[key] <= 1);
        else if (export_visits.times[key] != 1)
            fail_msg("key %u came %u times", key, export_visits.times[key]);
    }
    // And what it holds compaction back from is let go.
    compact_all();
    struct kv_stats s = fixture_stats();
    assert_true(s.disk_bytes < 2 * s.live_bytes + 6u * 64 * 1024);
    assert_int_equal(s.damaged_records, 0);
}

static void clear_once(struct visits *v)
{
    if (v->total != 100)
        return;
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    for (uint32_t key = EXPORT_KEYS; key < EXPORT_KEYS + 50; key++)
        export_put(key, 0, 0);
}

static void test_cleared_meanwhile(void **state)
{
    (void)state;
    export_put_all(0);
    export_forget();
    export_visits.meanwhile = clear_once;
    assert_int_equal(export_all(), KV_OK);
    assert_int_equal(export_visits.total, 100); // the new keys are behind its end
    export_forget();
    assert_int_equal(export_all(), KV_OK);
    assert_int_equal(export_visits.total, 50);
}

static void export_inside(struct visits *v)
{
    if (v->total != 10)
        return;
    static struct visits inner;
    memset(&inner, 0, sizeof inner);
    assert_int_equal(kv_export(fixture.store, export_seen, &inner), KV_OK);
    assert_int_equal(inner.total, EXPORT_KEYS);
    compact_all();
}

static void test_two_at_once(void **state)
{
    (void)state;
    for (uint32_t generation = 0; generation < 3; generation++)
        export_put_all(generation);
    export_forget();
    export_visits.meanwhile = export_inside;
    assert_int_equal(export_all(), KV_OK);
    export_expect_once(0, EXPORT_KEYS);
}

// A key that is written over and over, all over the log: once.
static void rewrite_one(struct visits *v)
{
    if (v->total == 1)
        export_put(EXPORT_MOST - 1, 1000, 0);
}

static void test_key_with_many_records(void **state)
{
    (void)state;
    for (uint32_t key = 0; key < EXPORT_KEYS; key++) {
        export_put(key, 0, 0);
        if (key > 10)
            export_put(EXPORT_MOST - 1, key, 0);
    }
    export_forget();
    export_visits.meanwhile = rewrite_one;
    assert_int_equal(export_all(), KV_OK);
    assert_int_equal(export_visits.times[EXPORT_MOST - 1], 1);
    assert_int_equal(export_visits.generation[EXPORT_MOST - 1], 1000);
}

// ---- damage

static void flip(uint32_t key, uint64_t at)
{
    char path[192];
    uint64_t version;
    assert_int_equal(kv_version(fixture.store, &key, sizeof key, &version), KV_OK);
    int fd = open(kit_segment_path(fixture.dir, (unsigned)kv_where_segment(version), path), O_RDWR);
    assert_true(fd >= 0);
    uint8_t byte;
    off_t offset = (off_t)(kv_where_offset(version) + at);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    (void)close(fd);
}

// A bit of a value, of a key, of a head; of a large record too. Memory has none of it, then all.
static void test_damage(void **state)
{
    (void)state;
    static const uint64_t at[] = {KV_RECORD_HEAD + 5, KV_RECORD_HEAD + 1, 9, KV_RECORD_HEAD + 700000, 20};
    static const uint32_t keys[] = {10, 11, 12, 207, 407};
    export_put_all(0);
    kit_close(&fixture.store);
    fixture_open_limited(0); // by the snapshot: the index knows all
    for (unsigned i = 0; i < 5; i++)
        flip(keys[i], at[i]);
    for (unsigned round = 0; round < 2; round++) {
        export_forget();
        assert_int_equal(export_all(), KV_CORRUPT);
        assert_int_equal(export_visits.total, EXPORT_KEYS - 5);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(export_visits.times[keys[i]], 0);
        assert_int_equal(fixture_stats().damaged_records, 5); // counted once
        char text[256];
        kv_error_text(fixture.store, text, sizeof text);
        assert_non_null(strstr(text, "5 records"));
    }
    // Expired and gone is not missing.
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(kv_delete(fixture.store, &keys[i], sizeof keys[i], 0), KV_OK);
    export_forget();
    assert_int_equal(export_all(), KV_OK);
    assert_int_equal(export_visits.total, EXPORT_KEYS - 5);
}

static void test_damage_of_what_is_in_memory(void **state)
{
    (void)state;
    export_put_all(0);
    assert_int_equal(kv_sync(fixture.store), KV_OK);
    for (uint32_t key = 20; key < 23; key++)
        assert_int_equal(kv_peek(fixture.store, &key, sizeof key, NULL), KV_OK);
    flip(20, KV_RECORD_HEAD + 5);
    flip(21, KV_RECORD_HEAD + 1);
    flip(22, 9);
    expect_all(0);
    assert_int_equal(fixture_stats().damaged_records, 0);
}

// ---- a device that refuses

static ssize_t (*plain_pread)(int, void *, size_t, off_t);
static _Atomic uint64_t refused_from, refused_to;
static _Atomic int refused_fd = -1;

static ssize_t picky_pread(int fd, void *buf, size_t len, off_t offset)
{
    if (fd == atomic_load(&refused_fd) && (uint64_t)offset < atomic_load(&refused_to) &&
        (uint64_t)offset + len > atomic_load(&refused_from)) {
        errno = EIO;
        return -1;
    }
    return plain_pread(fd, buf, len, offset);
}

static void test_unreadable(void **state)
{
    (void)state;
    export_put_all(0);
    kit_close(&fixture.store);
    plain_pread = kv_io.pread;
    kv_io.pread = picky_pread;
    fixture_open_limited(0);
    struct kv_segment *segment = kv_segment_from(fixture.store, 2);
    atomic_store(&refused_from, 8192);
    atomic_store(&refused_to, 20480);
    atomic_store(&refused_fd, segment->fd);
    export_forget();
    assert_int_equal(export_all(), KV_CORRUPT);
    assert_true(export_visits.total < EXPORT_KEYS && export_visits.total > EXPORT_KEYS - 200);
    for (uint32_t key = 0; key < EXPORT_KEYS; key++)
        assert_true(export_visits.times[key] <= 1);
    assert_int_equal(fixture_stats().damaged_records, 0); // it may come back
    atomic_store(&refused_fd, -1);
    kv_segment_put(segment);
    expect_all(0);
    kit_close(&fixture.store);
    kv_io.pread = plain_pread;
    fixture_open_limited(0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, export_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_all),
        TEST(test_expiry),
        TEST(test_stop),
        TEST(test_written_meanwhile),
        TEST(test_cleared_meanwhile),
        TEST(test_two_at_once),
        TEST(test_key_with_many_records),
        TEST(test_damage),
        TEST(test_damage_of_what_is_in_memory),
        TEST(test_unreadable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
