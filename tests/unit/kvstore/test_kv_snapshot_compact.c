// Compaction and the index snapshot: records are punched out of a segment, and its file is removed, only when
// no snapshot that stands would have the next open read them (kv_snapshot_let_go() in kv_compact.c). The
// crash is right behind the system call: a copy of the folder, taken by the call itself.
#include "kv_snapshot_kit.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>

#include "kvstore/kv_internal.h"

#define CRASHES_MOST 8u

static struct {
    struct kv_store *store;
    uint64_t from; // segments from here on
    char copies[CRASHES_MOST][128];
    unsigned count;
    int (*fallocate)(int fd, int mode, off_t offset, off_t len);
    int (*fadvise)(int fd, off_t offset, off_t len, int advice);
} hook;

static int setup(void **state)
{
    int result = snap_setup(state);
    memset(&hook, 0, sizeof hook);
    hook.fallocate = kv_io.fallocate;
    hook.fadvise = kv_io.fadvise;
    return result;
}

static int teardown(void **state)
{
    kv_io.fallocate = hook.fallocate;
    kv_io.fadvise = hook.fadvise;
    for (unsigned i = 0; i < hook.count; i++)
        kit_remove(hook.copies[i]);
    return snap_teardown(state);
}

// The process dies when a part of a segment has been punched out.
static int crash_after_punch(int fd, int mode, off_t offset, off_t len)
{
    int result = hook.fallocate(fd, mode, offset, len);
    uint64_t victim = hook.store != NULL ? atomic_load(&hook.store->compacting) : 0;
    if (result != 0 || (mode & FALLOC_FL_PUNCH_HOLE) == 0 || victim == 0 || victim < hook.from ||
        hook.count == CRASHES_MOST)
        return result;
    kit_folder(hook.copies[hook.count]);
    kit_copy(snap_dir, hook.copies[hook.count++]);
    return result;
}

static uint64_t active_segment(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->append_lock);
    uint64_t id = store->active != NULL ? store->active->id : 0;
    (void)pthread_mutex_unlock(&store->append_lock);
    return id;
}

static bool has_segment(struct kv_store *store, uint64_t id)
{
    struct kv_segment *segment = kv_segment_get(store, id);
    kv_segment_put(segment);
    return segment != NULL;
}

// By us, or by the store's own thread: whoever comes first.
static void compact_until_gone(struct kv_store *store, uint64_t id)
{
    for (unsigned n = 0; n < 1000 && has_segment(store, id); n++)
        (void)kv_compact_step(store);
    assert_false(has_segment(store, id));
}

// Records of one key, all dead but the last.
static void put_until_past(struct kv_store *store, uint64_t segment)
{
    while (active_segment(store) <= segment)
        snap_put(store, 100, 0);
}

// The snapshot has ten keys whose tombstones lie behind it; these are in the segment that is punched, and the
// values are erased. A snapshot from before would bring the keys back, as damaged ones.
static void test_punched_when_not_needed(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.segment_bytes = 16384;
    struct kv_store *store = kit_open(snap_dir, &options);
    for (uint32_t key = 0; key < 30; key++)
        snap_put(store, key, 0);
    put_until_past(store, active_segment(store));
    assert_int_equal(kv_checkpoint(store), KV_OK);
    uint64_t tombstones = active_segment(store);
    assert_int_equal(store->snapshots.low, tombstones);
    (void)pthread_mutex_lock(&store->compact_lock); // until the hook is there
    for (uint32_t key = 0; key < 10; key++)
        snap_drop(store, key);
    put_until_past(store, tombstones + 1);
    hook.store = store;
    hook.from = tombstones;
    kv_io.fallocate = crash_after_punch;
    (void)pthread_mutex_unlock(&store->compact_lock);
    compact_until_gone(store, tombstones);
    (void)pthread_mutex_lock(&store->compact_lock);
    kv_io.fallocate = hook.fallocate;
    (void)pthread_mutex_unlock(&store->compact_lock);
    snap_check_all(store);
    snap_abandon(&store);

    assert_true(hook.count > 0); // else there was no punching here
    for (unsigned i = 0; i < hook.count; i++) {
        store = kit_open(hook.copies[i], &options);
        assert_int_not_equal(store->snapshots.low, KV_NO_SNAPSHOT);
        snap_check_all(store);
        snap_check_live(store);
        snap_abandon(&store);
    }
}

// A snapshot as it begins to read the segment: nothing has been appended since the store was opened, so the
// log's end is still in there.
static int snapshot_meanwhile(int fd, off_t offset, off_t len, int advice)
{
    uint64_t victim = atomic_load(&hook.store->compacting);
    if (victim != 0 && advice == POSIX_FADV_SEQUENTIAL && hook.count++ == 0)
        hook.from = kv_checkpoint(hook.store) == KV_OK ? hook.store->snapshots.low : 0;
    return hook.fadvise(fd, offset, len, advice);
}

// A segment that a snapshot counts is removed: there is a newer snapshot first, so that the next open is by
// one.
static void test_removed_when_not_needed(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(snap_dir, NULL);
    for (unsigned n = 0; n < 30; n++)
        snap_put(store, n % 3, 0);
    uint64_t only = active_segment(store);
    kit_close(&store);
    struct kv_options options = kit_options();
    options.segment_bytes = 4096; // less than there is: the segment is sealed, and there is no other
    store = kit_open(snap_dir, &options);
    (void)pthread_mutex_lock(&store->compact_lock);
    assert_int_equal(active_segment(store), 0);
    assert_true(has_segment(store, only));
    hook.store = store;
    kv_io.fadvise = snapshot_meanwhile;
    (void)pthread_mutex_unlock(&store->compact_lock);
    compact_until_gone(store, only);
    (void)pthread_mutex_lock(&store->compact_lock);
    kv_io.fadvise = hook.fadvise;
    (void)pthread_mutex_unlock(&store->compact_lock);
    hook.count = 0;
    assert_int_equal(hook.from, only); // there was one that had the segment in it
    snap_check_crash(store, true);
    kit_close(&store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_punched_when_not_needed),
        TEST(test_removed_when_not_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
