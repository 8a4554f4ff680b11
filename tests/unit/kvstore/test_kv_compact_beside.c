// Compaction beside an overwriting that is under way in the segment that it chooses.
#include "kv_kit.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

#define COUNT   400u
#define DELETED 50u // of the first segment's some sixty

static char dir[128];
static struct kv_store *store;
static _Atomic bool holds, is_held;
static _Atomic unsigned punched_meanwhile;
static ino_t first_segment;

static bool in_first_segment(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_ino == first_segment;
}

// The first zeros that are written in the first segment take as long as they are held.
static ssize_t held_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    const char *bytes = iov[0].iov_base;
    if (atomic_load(&holds) && iov[0].iov_len == 1000 && bytes[0] == '\0' && bytes[999] == '\0' &&
        in_first_segment(fd)) {
        atomic_store(&is_held, true);
        while (atomic_load(&holds))
            (void)usleep(1000);
    }
    return pwritev(fd, iov, count, offset);
}

static int seen_fallocate(int fd, int mode, off_t offset, off_t len)
{
    if (atomic_load(&is_held) && atomic_load(&holds) && in_first_segment(fd))
        atomic_fetch_add(&punched_meanwhile, 1);
    return fallocate(fd, mode, offset, len);
}

static void *delete_many(void *arg)
{
    (void)arg;
    for (unsigned key = 0; key < DELETED; key++)
        assert_int_equal(kv_delete(store, &key, sizeof key, KV_PUT_NO_WAIT), KV_OK);
    assert_int_equal(kv_sync(store), KV_OK);
    return NULL;
}

static void *compact_beside(void *arg)
{
    (void)arg;
    (void)kv_compact_step(store);
    return NULL;
}

// Who overwrites a value in a segment when compaction chooses that segment is waited for: a mark that came into the hole would be damage.
static void test_waits_for_overwriting(void **state)
{
    (void)state;
    char path[192];
    struct stat st;
    pthread_t deletes, compacts;
    char value[1000];
    memset(value, 'v', sizeof value);
    kit_folder(dir);
    kv_io.pwritev = held_pwritev;
    kv_io.fallocate = seen_fallocate;
    store = kit_open(dir, NULL);
    for (unsigned key = 0; key < COUNT; key++)
        assert_int_equal(kv_put(store, &key, sizeof key, value, sizeof value, 0, KV_PUT_NO_WAIT), KV_OK);
    assert_int_equal(kv_sync(store), KV_OK);
    assert_int_equal(stat(kit_segment_path(dir, 1, path), &st), 0);
    first_segment = st.st_ino;
    atomic_store(&holds, true);
    assert_int_equal(pthread_create(&deletes, NULL, delete_many, NULL), 0);
    while (!atomic_load(&is_held))
        (void)usleep(1000);
    assert_int_equal(pthread_create(&compacts, NULL, compact_beside, NULL), 0);
    for (unsigned i = 0; i < 40 && atomic_load(&punched_meanwhile) == 0; i++)
        (void)usleep(10000);
    atomic_store(&holds, false);
    (void)pthread_join(deletes, NULL);
    (void)pthread_join(compacts, NULL);
    kv_io_reset();
    assert_int_equal(atomic_load(&punched_meanwhile), 0);
    for (unsigned opened = 0; opened < 2; opened++) {
        struct kv_stats stats;
        while (kv_compact_step(store)) {
        }
        kv_get_stats(store, &stats);
        assert_int_equal(stats.damaged_records, 0);
        assert_int_equal(stats.keys, COUNT - DELETED);
        kit_close(&store);
        store = kit_open(dir, NULL);
    }
    kit_close(&store);
    kit_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_waits_for_overwriting)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
