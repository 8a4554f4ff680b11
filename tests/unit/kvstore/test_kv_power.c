// Power failures. Every write to a segment is recorded with what was there before; a sync forgets them. At
// random moments the power "fails": of the writes since the last sync of their file, each 512-byte sector
// keeps the new bytes or goes back to the old ones as a coin says. The store is opened from what is left and
// compared with what was promised.
//
//   always     everything that returned is there, what was deleted is gone
//   interval   each key is as it was at the last kv_sync(), or as one of the calls since left it; never older, never wrong
//
// Files and the manifest are taken as durable when their fsync returns; a file's size is not rolled back
// (recovery meets zeros and old bytes instead, which is worse).
#include "kv_kit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

#define SECTOR  512u
#define KEYS    24u
#define ROUNDS  60u
#define HISTORY 64u

// ---- a disk that forgets

struct sector {
    dev_t dev;
    ino_t ino;
    off_t at;
    size_t len; // bytes of it that the file had before
    uint8_t before[SECTOR];
};

static struct {
    pthread_mutex_t lock;
    struct sector *sectors;
    size_t count, capacity;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

// Keeps the sector's old bytes, unless they are kept already. disk.lock is held.
static void remember(int fd, const struct stat *st, off_t at)
{
    for (size_t i = 0; i < disk.count; i++)
        if (disk.sectors[i].ino == st->st_ino && disk.sectors[i].dev == st->st_dev &&
            disk.sectors[i].at == at)
            return;
    if (disk.count == disk.capacity) {
        disk.capacity = disk.capacity * 2 + 256;
        disk.sectors = realloc(disk.sectors, disk.capacity * sizeof *disk.sectors);
        assert_non_null(disk.sectors);
    }
    struct sector *s = &disk.sectors[disk.count++];
    *s = (struct sector){.dev = st->st_dev, .ino = st->st_ino, .at = at};
    ssize_t n = pread(fd, s->before, SECTOR, at);
    assert_true(n >= 0);
    s->len = (size_t)n;
}

static ssize_t forgetful_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    size_t len = 0;
    for (int i = 0; i < count; i++)
        len += iov[i].iov_len;
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
        return pwritev(fd, iov, count, offset); // the new manifest, not in place before its fsync
    (void)pthread_mutex_lock(&disk.lock);
    for (off_t at = offset / SECTOR * SECTOR; at < offset + (off_t)len; at += SECTOR)
        remember(fd, &st, at);
    ssize_t n = pwritev(fd, iov, count, offset);
    (void)pthread_mutex_unlock(&disk.lock);
    return n;
}

static int forgetful_sync(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    (void)pthread_mutex_lock(&disk.lock);
    size_t kept = 0;
    for (size_t i = 0; i < disk.count; i++)
        if (disk.sectors[i].ino != st.st_ino || disk.sectors[i].dev != st.st_dev)
            disk.sectors[kept++] = disk.sectors[i];
    disk.count = kept;
    (void)pthread_mutex_unlock(&disk.lock);
    return 0;
}

static uint64_t seed = 1;

static uint32_t next(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

// Copies the folder as the power failure leaves it.
static void fail_power(const char *dir, const char *copy)
{
    (void)pthread_mutex_lock(&disk.lock);
    kit_copy(dir, copy);
    for (unsigned id = 1; id < 4000; id++) {
        char path[192];
        struct stat st;
        if (stat(kit_segment_path(dir, id, path), &st) != 0)
            continue;
        FILE *f = fopen(kit_segment_path(copy, id, path), "r+b");
        assert_non_null(f);
        for (size_t i = 0; i < disk.count; i++) {
            const struct sector *s = &disk.sectors[i];
            if (s->ino != st.st_ino || next() % 2 == 0)
                continue;
            size_t n = st.st_size - s->at < (off_t)SECTOR ? (size_t)(st.st_size - s->at) : SECTOR;
            assert_int_equal(fseek(f, s->at, SEEK_SET), 0);
            assert_int_equal(fwrite(s->before, 1, n, f), n);
        }
        assert_int_equal(fclose(f), 0);
    }
    (void)pthread_mutex_unlock(&disk.lock);
}

// ---- what was promised

// The states a key may be in: the last one that is promised, then those that later calls made. 0: not there.
struct promise {
    uint32_t states[HISTORY];
    size_t count;
    bool deleted_since; // an erasure may be half on the disk: the key is gone or says that it is damaged
};

static void make_value(uint32_t key, uint32_t state, uint8_t *value, size_t *len)
{
    *len = 40 + (state * 97) % 1500;
    for (size_t i = 0; i < *len; i++)
        value[i] = (uint8_t)(1 + (key * 7 + state * 13 + i) % 251);
}

static uint32_t state_of(struct kv_store *store, uint32_t key, enum kv_status *status)
{
    struct kv_view view;
    *status = kv_get_view(store, &key, sizeof key, &view);
    if (*status != KV_OK)
        return 0;
    uint8_t expected[1600];
    size_t len;
    uint32_t state;
    assert_true(view.len >= 4);
    for (state = 1; state < 100000; state++) {
        if (40 + (state * 97) % 1500 != view.len)
            continue;
        make_value(key, state, expected, &len);
        if (memcmp(expected, view.data, len) == 0)
            break;
    }
    if (state == 100000)
        fail_msg("key %u: a value that was never put", key);
    kv_view_release(store, &view);
    return state;
}

static void check(struct kv_store *store, uint32_t key, const struct promise *p)
{
    enum kv_status status;
    uint32_t state = state_of(store, key, &status);
    // A torn put of a key that was not there before, or of one that was deleted since: the key says that it
    // is damaged.
    if (status == KV_CORRUPT && p->count > 1 && (p->deleted_since || p->states[0] == 0))
        return;
    assert_true(status == KV_OK || status == KV_NOT_FOUND);
    uint8_t expected[1600], got[1600];
    size_t len, got_len;
    for (size_t i = 0; i < p->count; i++) {
        if (p->states[i] == state)
            return;
        if (p->states[i] == 0 || state == 0)
            continue;
        make_value(key, p->states[i], expected, &len); // states 251 apart look the same
        make_value(key, state, got, &got_len);
        if (len == got_len && memcmp(expected, got, len) == 0)
            return;
    }
    fail_msg("key %u is in state %u; promised %u (of %zu)", key, state, p->states[0], p->count);
}

static void operate(struct kv_store *store, struct promise promises[KEYS], uint32_t state, bool always)
{
    uint32_t key = next() % KEYS, what = next() % 10;
    struct promise *p = &promises[key];
    uint32_t after = state;
    if (what < 6) {
        uint8_t value[1600];
        size_t len;
        make_value(key, state, value, &len);
        assert_int_equal(kv_put(store, &key, sizeof key, value, len, 0, 0), KV_OK);
    } else if (what < 9) {
        enum kv_status status = kv_delete(store, &key, sizeof key, 0);
        assert_true(status == KV_OK || status == KV_NOT_FOUND);
        after = 0;
        p->deleted_since = true;
    } else {
        (void)kv_compact_step(store);
        return;
    }
    if (always)
        *p = (struct promise){.states = {after}, .count = 1};
    else
        p->states[p->count++] = after;
    if (p->count == HISTORY) {
        assert_int_equal(kv_sync(store), KV_OK);
        for (uint32_t k = 0; k < KEYS; k++)
            promises[k] = (struct promise){.states = {promises[k].states[promises[k].count - 1]}, .count = 1};
    }
}

static void run(bool always)
{
    char dir[128];
    kit_folder(dir);
    struct kv_options options = kit_options();
    options.fsync = always ? KV_FSYNC_ALWAYS : KV_FSYNC_INTERVAL;
    options.fsync_interval_ms = 100000;
    options.segment_bytes = 8192;
    struct kv_store *store = kit_open(dir, &options);
    struct promise promises[KEYS] = {0};
    for (uint32_t key = 0; key < KEYS; key++)
        promises[key].count = 1;
    uint32_t state = 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = next() % 80; n > 0; n--)
            operate(store, promises, state++, always);
        char copy[128];
        kit_folder(copy);
        (void)pthread_mutex_lock(&store->compact_lock); // no files come or go while they are copied
        fail_power(dir, copy);
        (void)pthread_mutex_unlock(&store->compact_lock);
        struct kv_store *left = kit_open(copy, &options);
        for (uint32_t key = 0; key < KEYS; key++)
            check(left, key, &promises[key]);
        kit_close(&left);
        left = kit_open(copy, &options); // what opening mended stays mended
        for (uint32_t key = 0; key < KEYS; key++)
            check(left, key, &promises[key]);
        kit_close(&left);
        kit_remove(copy);
    }
    kit_close(&store);
    kit_remove(dir);
}

static void test_always(void **test_state)
{
    (void)test_state;
    run(true);
}

static void test_interval(void **test_state)
{
    (void)test_state;
    run(false);
}

int main(void)
{
    const char *chosen = getenv("KV_TEST_SEED"); // to go through other histories
    if (chosen != NULL)
        seed = strtoull(chosen, NULL, 10);
    kv_io.pwritev = forgetful_pwritev;
    kv_io.fdatasync = forgetful_sync;
    kv_io.fsync = forgetful_sync;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_always), cmocka_unit_test(test_interval)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(disk.sectors);
    return failed;
}
