// Gets that never block, in each way to read: what is answered at once, what later, and that `done` is called
// once for each.
#include "kv_async_kit.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "kvstore/kv_io.h"

static char dir[128];

// Asks for one; an answer at once is counted by the caller.
static enum kv_status ask(struct pending *pending, struct kv_view *view)
{
    char key[32];
    enum kv_status status = kv_get_async(pending->tally->store, key, read_kit_key(pending->number, key), view,
                                         tally_done, pending);
    if (status == KV_PENDING)
        pending->tally->pending++;
    return status;
}

static void each_way(void (*test)(struct kv_store *store, const char *way))
{
    read_kit_each_way(dir, KEYS, LEN, test);
}

// In memory, not there, misuse: answered at once, `done` not called, *view left alone unless KV_OK.
static void check_at_once(struct kv_store *store, const char *way)
{
    (void)way;
    assert_int_equal(kv_set_memory_limit(store, 64u << 20), KV_OK);
    kit_put(store, "hot", "in memory");
    struct kv_view view = {0};
    enum kv_status status = kv_get_async(store, "hot", 3, &view, NULL, NULL); // calling done would crash
    if (status == KV_OK) {
        assert_memory_equal(view.data, "in memory", 9);
        kv_view_release(store, &view);
    }
    assert_int_equal(status, KV_OK);
    static const char long_key[KV_KEY_MAX + 1];
    const struct kv_view before = view;
    assert_int_equal(kv_get_async(store, "none", 4, &view, NULL, NULL), KV_NOT_FOUND);
    assert_int_equal(kv_get_async(store, "", 0, &view, NULL, NULL), KV_INVALID);
    assert_int_equal(kv_get_async(store, long_key, sizeof long_key, &view, NULL, NULL), KV_TOO_LARGE);
    assert_memory_equal(&view, &before, sizeof view);
}

static void test_at_once(void **state)
{
    (void)state;
    each_way(check_at_once);
}

// Ten thousand at once: all are taken without waiting, each is answered once, by another thread.
static void check_many(struct kv_store *store, const char *way)
{
    enum { MANY = KIT_SANITIZED ? 3000 : 10000 };
    struct tally tally;
    tally_init(&tally, store);
    struct pending *pending = calloc(MANY, sizeof *pending);
    for (unsigned i = 0; i < MANY; i++) {
        pending[i] = (struct pending){.tally = &tally, .number = i * 7 % KEYS};
        struct kv_view view;
        assert_int_equal(ask(&pending[i], &view), KV_PENDING);
    }
    tally_await(&tally);
    if (tally.right != MANY)
        fail_msg("%s: %u of %u right", way, tally.right, (unsigned)MANY);
    assert_int_equal(tally.on_callers_thread, 0);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(pending[i].calls, 1);
    free(pending);
}

static void test_many(void **state)
{
    (void)state;
    each_way(check_many);
}

// One at a time: the thread has gone to sleep each time.
static void check_one_by_one(struct kv_store *store, const char *way)
{
    (void)way;
    struct tally tally;
    tally_init(&tally, store);
    for (unsigned i = 0; i < 50; i++) {
        struct pending pending = {.tally = &tally, .number = i};
        struct kv_view view;
        assert_int_equal(ask(&pending, &view), KV_PENDING);
        tally_await(&tally);
        assert_int_equal(pending.calls, 1);
        if (i % 10 == 0)
            (void)usleep(2000);
    }
    assert_int_equal(tally.right, 50);
}

static void test_one_by_one(void **state)
{
    (void)state;
    each_way(check_one_by_one);
}

// A disk that fails every third read, flips bits, comes back short; and large values.
static void check_faults(struct kv_store *store, const char *way)
{
    static const struct {
        enum read_kit_fault fault;
        enum kv_status status;
        unsigned bad;
    } cases[] = {{READ_KIT_EIO, KV_IO, 100}, {READ_KIT_FLIP, KV_CORRUPT, 100}, {READ_KIT_SHORT, KV_OK, 0}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct tally tally;
        tally_init(&tally, store);
        struct pending pending[300];
        struct kv_view view;
        read_kit_fault(cases[c].fault, 3);
        for (unsigned i = 0; i < 300; i++) {
            pending[i] = (struct pending){.tally = &tally, .number = i};
            assert_int_equal(ask(&pending[i], &view), KV_PENDING);
        }
        tally_await(&tally);
        read_kit_fault(READ_KIT_NONE, 1);
        if (tally.right != 300 - cases[c].bad)
            fail_msg("%s: fault %d: %u right", way, (int)cases[c].fault, tally.right);
        if (cases[c].bad != 0)
            assert_int_equal(tally.failed[cases[c].status], cases[c].bad);
    }
    struct tally tally;
    tally_init(&tally, store);
    struct pending large = {.tally = &tally, .number = KEYS, .len = (3u << 20) + 5};
    struct kv_view view;
    read_kit_put(store, KEYS, 1, large.len);
    assert_int_equal(ask(&large, &view), KV_PENDING);
    tally_await(&tally);
    assert_int_equal(tally.right, 1);
}

static void test_faults(void **state)
{
    (void)state;
    each_way(check_faults);
}

// The ring fails for good in the middle: what was in flight and what follows is answered all the same.
static void check_failing_ring(struct kv_store *store, const char *way)
{
    struct tally tally;
    tally_init(&tally, store);
    struct pending pending[600];
    struct kv_view view;
    for (unsigned i = 0; i < 600; i++) {
        pending[i] = (struct pending){.tally = &tally, .number = i};
        if (i == 300)
            read_kit_ring_error(EBADF, 1);
        assert_int_equal(ask(&pending[i], &view), KV_PENDING);
    }
    tally_await(&tally);
    read_kit_ring_error(0, 0);
    if (tally.right != 600)
        fail_msg("%s: %u right", way, tally.right);
}

static void test_failing_ring(void **state)
{
    (void)state;
    each_way(check_failing_ring);
}

// ---- others at work

struct work {
    struct kv_store *store;
    _Atomic bool stop;
};

static void *overwrite_main(void *arg)
{
    struct work *work = arg;
    char key[32];
    unsigned seed = 9;
    for (unsigned n = 1; !atomic_load(&work->stop); n++) {
        seed = seed * 1103515245u + 12345u;
        unsigned i = seed / 65536u % KEYS;
        if (n % 8 == 0)
            assert_int_not_equal(kv_delete(work->store, key, read_kit_key(i, key), KV_PUT_NO_WAIT), KV_IO);
        else
            read_kit_put(work->store, i, n, read_kit_len(i, LEN));
        if (n % 64 == 0)
            assert_int_equal(kv_set_memory_limit(work->store, n / 64 % 2 * (4u << 20)), KV_OK);
    }
    return NULL;
}

static void take_answer(struct pending *pending, enum kv_status status, struct kv_view *view)
{
    if (status == KV_PENDING)
        return;
    assert_true(status == KV_OK || status == KV_NOT_FOUND);
    if (status == KV_OK) {
        assert_int_equal(view->len, read_kit_len(pending->number, LEN));
        assert_true(read_kit_is_value(pending->number, view->data, view->len));
        kv_view_release(pending->tally->store, view);
    }
}

// Overwrites, deletes, compaction and limit changes meanwhile: whole values or nothing.
static void check_concurrent(struct kv_store *store, const char *way)
{
    enum { MANY = KIT_SANITIZED ? 2000 : 10000 };
    struct work work = {.store = store};
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, overwrite_main, &work), 0);
    struct tally tally;
    tally_init(&tally, store);
    struct pending *pending = calloc(MANY, sizeof *pending);
    for (unsigned i = 0; i < MANY; i++) {
        struct kv_view view;
        pending[i] = (struct pending){.tally = &tally, .number = i * 13 % KEYS};
        take_answer(&pending[i], ask(&pending[i], &view), &view);
        if (i % 500 == 0)
            (void)usleep(2000);
    }
    tally_await(&tally);
    atomic_store(&work.stop, true);
    assert_int_equal(pthread_join(writer, NULL), 0);
    if (tally.right + tally.not_found != tally.pending)
        fail_msg("%s: %u right, %u not there, of %u", way, tally.right, tally.not_found, tally.pending);
    free(pending);
}

static void test_concurrent(void **state)
{
    (void)state;
    each_way(check_concurrent);
}

// A store that is closed with gets pending (misuse, but nothing may break): they are answered first.
static void test_close_with_pending(void **state)
{
    (void)state;
    for (unsigned way = 0; way < READ_KIT_WAYS; way++) {
        struct kv_store *store = read_kit_open(way, dir, KEYS, LEN);
        if (store == NULL)
            continue;
        struct tally tally;
        tally_init(&tally, store);
        struct pending pending[500];
        struct kv_view view;
        for (unsigned i = 0; i < 500; i++) {
            pending[i] = (struct pending){.tally = &tally, .number = i};
            assert_int_equal(ask(&pending[i], &view), KV_PENDING);
        }
        read_kit_close(&store, dir);
        assert_int_equal(tally.called, 500);
        assert_int_equal(tally.right, 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_one_by_one),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_failing_ring),
        cmocka_unit_test(test_concurrent),
        cmocka_unit_test(test_close_with_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
