// Records that are held (KV_PUT_HOLD): seen by everyone at once, in the file when they have to be, and never acknowledged before that.
#include "kv_kit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[128];
static struct kv_store *store;
static struct kv_options options;

static void reopen(void)
{
    store = kit_open(dir, &options);
}

static int setup(void **state)
{
    (void)state;
    kit_heal();
    kit_folder(dir);
    options = kit_options();
    options.fsync = KV_FSYNC_NEVER;
    reopen();
    kit_put(store, "first", "makes a segment");
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

static enum kv_status put(const char *key, const void *value, size_t len)
{
    return kv_put(store, key, strlen(key), value, len, 0, KV_PUT_NO_WAIT | KV_PUT_HOLD);
}

static void hold(const char *key, const char *value)
{
    assert_int_equal(put(key, value, strlen(value)), KV_OK);
}

// Whether a file of the store has it.
static bool written(const char *text)
{
    return kit_files_with(dir, text, strlen(text)) > 0;
}

static void test_seen_before_it_is_written(void **state)
{
    (void)state;
    assert_false(kv_holds(store));
    assert_int_equal(kv_write_held(store), KV_OK);
    hold("a", "value-of-a");
    hold("b", "value-of-b");
    hold("a", "newer-of-a");
    assert_true(kv_holds(store));
    assert_false(written("value-of-b"));
    kit_expect(store, "a", "newer-of-a"); // from memory
    kit_expect(store, "b", "value-of-b");
    assert_true(kv_holds(store));
    unsigned calls = kit_calls(KIT_WRITE);
    assert_int_equal(kv_write_held(store), KV_OK);
    assert_int_equal(kit_calls(KIT_WRITE), calls + 1); // all by one
    assert_false(kv_holds(store));
    assert_true(written("value-of-b"));
    assert_true(written("newer-of-a"));
    kit_close(&store);
    kit_forget_index(dir);
    reopen();
    kit_expect(store, "a", "newer-of-a");
    kit_expect(store, "b", "value-of-b");
}

// Nothing is kept in memory: what is asked for has to be read, and so be there.
static void test_read_from_the_file(void **state)
{
    (void)state;
    struct kv_view view;
    assert_int_equal(kv_set_memory_limit(store, 0), KV_OK);
    hold("a", "value-of-a");
    kit_expect(store, "a", "value-of-a");
    assert_false(kv_holds(store));
    hold("b", "value-of-b");
    assert_int_equal(kv_peek(store, "b", 1, &view), KV_PENDING);
    kit_expect(store, "b", "value-of-b");
    hold("b", "value-two-of-b"); // its writer looks at the record before
    hold("b", "value-three-of-b");
    kit_expect(store, "b", "value-three-of-b");
    assert_int_equal(kv_delete(store, "b", 1, 0), KV_OK);
    kit_expect(store, "b", NULL);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 0);
}

// What others do comes behind it in the log.
static void test_written_before_others(void **state)
{
    (void)state;
    hold("a", "value-of-a");
    kit_put(store, "b", "value-of-b");
    assert_false(kv_holds(store));
    assert_true(written("value-of-a"));
    hold("c", "value-of-c");
    assert_int_equal(kv_sync(store), KV_OK);
    assert_true(written("value-of-c"));
    hold("d", "value-of-d");
    assert_int_equal(kv_delete(store, "a", 1, 0), KV_OK);
    assert_true(written("value-of-d"));
    hold("e", "value-of-e");
    assert_int_equal(kv_set_expiry(store, "e", 1, kit_now_ms + 60000, 0), KV_OK);
    assert_true(written("value-of-e"));
    hold("f", "value-of-f");
    struct kv_put_item items[2] = {{.key = "g", .key_len = 1, .value = "1", .len = 1},
                                   {.key = "h", .key_len = 1, .value = "2", .len = 1}};
    assert_int_equal(kv_put_batch(store, items, 2, 0), KV_OK);
    assert_true(written("value-of-f"));
    hold("i", "value-of-i");
    kit_close(&store);
    reopen();
    kit_expect(store, "a", NULL);
    for (const char *key = "bcdefghi"; *key != '\0'; key++)
        assert_int_equal(kv_exists(store, key, 1), KV_OK);
}

static bool count_one(void *arg, const void *key, size_t key_len, const void *value, size_t len,
                      uint64_t expire_ms)
{
    (void)key;
    (void)key_len;
    (void)value;
    (void)len;
    (void)expire_ms;
    ++*(unsigned *)arg;
    return true;
}

static void test_export_snapshot_and_clear(void **state)
{
    (void)state;
    unsigned count = 0;
    hold("a", "value-of-a");
    assert_int_equal(kv_export(store, count_one, &count), KV_OK);
    assert_int_equal(count, 2);
    hold("b", "value-of-b");
    assert_int_equal(kv_checkpoint(store), KV_OK);
    assert_true(written("value-of-b"));
    hold("c", "value-of-c");
    assert_int_equal(kv_clear(store), KV_OK);
    assert_false(kv_holds(store));
    kit_expect(store, "c", NULL);
    hold("d", "value-of-d");
    kit_close(&store);
    reopen();
    kit_expect(store, "c", NULL);
    kit_expect(store, "d", "value-of-d");
}

// More than the buffer takes, over several segments; a value that is too large to be held.
static void test_many(void **state)
{
    (void)state;
    static char value[100000];
    memset(value, 'x', sizeof value);
    for (unsigned n = 0; n < 2000; n++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%u", n);
        assert_int_equal(put(key, value, n % 100 == 7 ? sizeof value : n * 7 % 5000), KV_OK);
    }
    assert_int_equal(kv_write_held(store), KV_OK);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_true(stats.segments > 3);
    kit_close(&store);
    kit_forget_index(dir);
    reopen();
    for (unsigned n = 0; n < 2000; n++) {
        char key[16];
        struct kv_view view;
        int len = snprintf(key, sizeof key, "key%u", n);
        assert_int_equal(kv_get_view(store, key, (size_t)len, &view), KV_OK);
        assert_int_equal(view.len, n % 100 == 7 ? sizeof value : n * 7 % 5000);
        kv_view_release(store, &view);
    }
}

// With fsync=always a put is acknowledged when it returns, whatever its caller says.
static void test_always_holds_nothing(void **state)
{
    (void)state;
    kit_close(&store);
    options.fsync = KV_FSYNC_ALWAYS;
    reopen();
    hold("a", "value-of-a");
    assert_false(kv_holds(store));
    assert_true(written("value-of-a"));
}

// A process that dies takes what is held with it, and nothing else.
static void test_death(void **state)
{
    (void)state;
    kit_close(&store);
    pid_t child = fork();
    if (child == 0) {
        reopen();
        hold("a", "value-of-a");
        (void)kv_write_held(store);
        hold("b", "value-of-b");
        _exit(kv_holds(store) ? 7 : 8);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 7);
    reopen();
    kit_expect(store, "first", "makes a segment");
    kit_expect(store, "a", "value-of-a");
    kit_expect(store, "b", NULL);
    kit_put(store, "c", "value-of-c");
    kit_expect(store, "c", "value-of-c");
}

// No blocks to be had beforehand: nothing is held, and a put that finds no space is told so.
static void test_no_space(void **state)
{
    (void)state;
    kit_fail(KIT_FALLOCATE, ENOSPC, 0, -1, 0);
    hold("a", "value-of-a");
    assert_false(kv_holds(store));
    assert_true(written("value-of-a"));
    kit_fail(KIT_WRITE, ENOSPC, 0, 1, 20);
    assert_int_equal(put("b", "value-of-b", 10), KV_FULL);
    hold("c", "value-of-c");
    kit_expect(store, "b", NULL);
}

static void close_failed(void)
{
    assert_int_equal(kv_close(&store), KV_READ_ONLY);
    store = NULL;
}

// A write that fails after all.
static void test_failing_write(void **state)
{
    (void)state;
    hold("a", "value-of-a");
    kit_fail(KIT_WRITE, EIO, 0, 1, 20);
    assert_int_equal(kv_write_held(store), KV_IO);
    assert_false(kv_holds(store));
    assert_int_equal(kv_write_held(store), KV_READ_ONLY);
    assert_int_equal(put("b", "value-of-b", 10), KV_READ_ONLY);
    char why[256];
    kv_error_text(store, why, sizeof why);
    assert_non_null(strstr(why, "write of what was held"));
    kit_heal();
    close_failed();
    reopen();
    kit_expect(store, "first", "makes a segment");
    kit_expect(store, "a", NULL);
    kit_put(store, "a", "value-of-a");
}

// The put that fills the buffer finds that it cannot be written: it is told, and so is who asks later.
static void test_failing_write_of_others(void **state)
{
    (void)state;
    static char value[60000];
    enum kv_status status = KV_OK;
    kit_fail(KIT_WRITE, EIO, 0, -1, 0);
    for (unsigned n = 0; n < 10 && status == KV_OK; n++)
        status = put((char[2]){(char)('a' + n), '\0'}, value, sizeof value);
    assert_int_equal(status, KV_IO);
    assert_int_equal(kv_write_held(store), KV_READ_ONLY);
    kit_heal();
    close_failed();
}

// What was reserved behind the end of a segment goes back when it is sealed.
static void test_reserved_space_goes_back(void **state)
{
    (void)state;
    char path[192];
    struct stat st;
    hold("a", "value-of-a");
    kit_close(&store);
    assert_int_equal(stat(kit_segment_path(dir, 1, path), &st), 0);
    assert_true(st.st_blocks * 512 < 1 << 20);
}

// ---- threads

#define ROUNDS 2000u

static void *reader(void *arg)
{
    struct kv_view view;
    for (unsigned n = 0; n < ROUNDS; n++) {
        char key[16];
        int len = snprintf(key, sizeof key, "k%u", n % 50);
        enum kv_status status = kv_get_view(store, key, (size_t)len, &view);
        if (status == KV_OK)
            kv_view_release(store, &view);
        else if (status != KV_NOT_FOUND)
            return arg; // a get failed
    }
    return NULL;
}

static void *writer(void *arg)
{
    const char *name = arg;
    for (unsigned n = 0; n < ROUNDS; n++) {
        char key[16], value[400];
        int len = snprintf(key, sizeof key, "%s%u", name, n % 50);
        memset(value, 'v', sizeof value);
        if (kv_put(store, key, (size_t)len, value, n % sizeof value, 0,
                   KV_PUT_NO_WAIT | (n % 7 != 0 ? KV_PUT_HOLD : 0)) != KV_OK)
            return arg; // a put failed
        if (n % 20 == 0 && kv_write_held(store) != KV_OK)
            return arg; // a write failed
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    kit_close(&store);
    options.limit_bytes = 0;
    options.fsync = KV_FSYNC_INTERVAL;
    options.fsync_interval_ms = 1;
    reopen();
    pthread_t threads[4];
    void *(*mains[4])(void *) = {writer, writer, reader, reader};
    char names[4][2] = {"k", "l", "", ""};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, mains[i], names[i]), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    kit_close(&store);
    kit_forget_index(dir);
    reopen();
    for (unsigned n = 0; n < 50; n++) {
        char key[16];
        struct kv_view view;
        int len = snprintf(key, sizeof key, "k%u", n);
        assert_int_equal(kv_get_view(store, key, (size_t)len, &view), KV_OK);
        assert_int_equal(view.len, (ROUNDS - 50 + n) % 400);
        kv_view_release(store, &view);
    }
}

int main(void)
{
#define WITH(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(test_seen_before_it_is_written),
        WITH(test_read_from_the_file),
        WITH(test_written_before_others),
        WITH(test_export_snapshot_and_clear),
        WITH(test_many),
        WITH(test_always_holds_nothing),
        WITH(test_death),
        WITH(test_no_space),
        WITH(test_failing_write),
        WITH(test_failing_write_of_others),
        WITH(test_reserved_space_goes_back),
        WITH(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
