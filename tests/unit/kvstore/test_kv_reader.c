// The gets of an event loop: answered on its thread, said by the eventfd, each once; what becomes of large values, of failing disks and of
// a ring that fails.
#include "kv_async_kit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "kvstore/kv_io.h"

#define PATIENCE_MS 60000 // for an event that will come

static char dir[128];

// A loop of one event, as edge servers have it.
struct loop {
    struct kv_reader *reader;
    int epoll;
    struct tally tally;
    unsigned rounds;
};

static void loop_open(struct loop *loop, struct kv_store *store)
{
    tally_init(&loop->tally, store);
    loop->rounds = 0;
    loop->reader = kv_reader_open(store);
    assert_non_null(loop->reader);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    assert_true(loop->epoll >= 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    assert_int_equal(epoll_ctl(loop->epoll, EPOLL_CTL_ADD, kv_reader_fd(loop->reader), &event), 0);
}

static void loop_close(struct loop *loop)
{
    kv_reader_close(&loop->reader);
    assert_null(loop->reader);
    (void)close(loop->epoll);
}

// Runs until all that is pending has been answered; nothing but the eventfd says when.
static void loop_run(struct loop *loop)
{
    kv_reader_run(loop->reader);
    while (loop->tally.called < loop->tally.pending) {
        struct epoll_event event;
        int n;
        do
            n = epoll_wait(loop->epoll, &event, 1, PATIENCE_MS);
        while (n < 0 && errno == EINTR);
        assert_int_equal(n, 1);
        loop->rounds++;
        kv_reader_run(loop->reader);
    }
}

static enum kv_status ask(struct loop *loop, struct pending *pending, struct kv_view *view)
{
    char key[32];
    loop->tally.pending++;
    enum kv_status status =
        kv_reader_get(loop->reader, key, read_kit_key(pending->number, key), view, tally_done, pending);
    loop->tally.pending -= status != KV_PENDING;
    return status;
}

// On a store that reads by io_uring; where there is none, no reader is to be had.
static void with_ring(void (*test)(struct kv_store *store))
{
    bool any = false;
    for (unsigned way = 0; way < READ_KIT_WAYS; way++) {
        struct kv_store *store = read_kit_open(way, dir, KEYS, LEN);
        if (store == NULL)
            continue;
        struct kv_reader *reader = kv_reader_open(store);
        bool has_ring = reader != NULL;
        kv_reader_close(&reader);
        assert_true(has_ring || way >= 2); // threads; or the store chose them
        assert_false(has_ring && (way == 2 || way == 3));
        if (has_ring)
            test(store);
        any |= has_ring;
        read_kit_close(&store, dir);
    }
    if (!any)
        skip(); // nothing was shown: this system has no io_uring for us
}

static void check_at_once(struct kv_store *store)
{
    static const char long_key[KV_KEY_MAX + 1];
    struct loop loop;
    loop_open(&loop, store);
    assert_int_equal(kv_set_memory_limit(store, 64u << 20), KV_OK);
    kit_put(store, "hot", "in memory");
    struct kv_view view = {0};
    assert_int_equal(kv_reader_get(loop.reader, "hot", 3, &view, NULL, NULL),
                     KV_OK); // calling done would crash
    assert_memory_equal(view.data, "in memory", 9);
    kv_view_release(store, &view);
    assert_int_equal(kv_reader_get(loop.reader, "none", 4, &view, NULL, NULL), KV_NOT_FOUND);
    assert_int_equal(kv_reader_get(loop.reader, "", 0, &view, NULL, NULL), KV_INVALID);
    assert_int_equal(kv_reader_get(loop.reader, long_key, sizeof long_key, &view, NULL, NULL), KV_TOO_LARGE);
    kv_reader_run(loop.reader); // with nothing to do
    loop_close(&loop);
}

static void test_at_once(void **state)
{
    (void)state;
    with_ring(check_at_once);
}

// More than can be in flight: each is answered once, all on this thread.
static void check_many(struct kv_store *store)
{
    enum { MANY = KIT_SANITIZED ? 2000 : 10000 };
    struct loop loop;
    loop_open(&loop, store);
    struct pending *pending = calloc(MANY, sizeof *pending);
    for (unsigned i = 0; i < MANY; i++) {
        struct kv_view view;
        pending[i] = (struct pending){.tally = &loop.tally, .number = i * 7 % KEYS};
        assert_int_equal(ask(&loop, &pending[i], &view), KV_PENDING);
        if (i % 300 == 0)
            kv_reader_run(loop.reader);
    }
    loop_run(&loop);
    assert_int_equal(loop.tally.right, MANY);
    assert_int_equal(loop.tally.on_callers_thread, MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(pending[i].calls, 1);
    free(pending);
    loop_close(&loop);
}

static void test_many(void **state)
{
    (void)state;
    with_ring(check_many);
}

// A few at a time, so that the loop sleeps before they come: it is always woken.
static void check_woken(struct kv_store *store)
{
    enum { TIMES = KIT_SANITIZED ? 500 : 5000 };
    struct loop loop;
    loop_open(&loop, store);
    for (unsigned i = 0; i < TIMES; i++) {
        struct pending pending[3];
        for (unsigned k = 0; k <= i % 3; k++) {
            struct kv_view view;
            pending[k] = (struct pending){.tally = &loop.tally, .number = (i + k) % KEYS};
            assert_int_equal(ask(&loop, &pending[k], &view), KV_PENDING);
        }
        loop_run(&loop);
    }
    assert_int_equal(loop.tally.right, loop.tally.pending);
    loop_close(&loop);
}

static void test_woken(void **state)
{
    (void)state;
    with_ring(check_woken);
}

// An answer that asks for the next, as a connection's pipeline does.
struct chain {
    struct loop *loop;
    struct pending pending;
    unsigned left;
};

static void done_and_next(void *arg, enum kv_status status, const struct kv_view *view)
{
    struct chain *chain = arg;
    tally_done(&chain->pending, status, view);
    if (chain->left == 0)
        return;
    char key[32];
    struct kv_view none;
    chain->left--;
    chain->pending.number = (chain->pending.number + 17) % KEYS;
    chain->loop->tally.pending++;
    assert_int_equal(kv_reader_get(chain->loop->reader, key, read_kit_key(chain->pending.number, key), &none,
                                   done_and_next, chain),
                     KV_PENDING);
}

static void check_chains(struct kv_store *store)
{
    enum { CHAINS = 200, LINKS = 20 };
    struct loop loop;
    loop_open(&loop, store);
    struct chain *chains = calloc(CHAINS, sizeof *chains);
    for (unsigned i = 0; i < CHAINS; i++) {
        char key[32];
        struct kv_view view;
        chains[i] = (struct chain){&loop, {.tally = &loop.tally, .number = i}, LINKS - 1};
        loop.tally.pending++;
        assert_int_equal(
            kv_reader_get(loop.reader, key, read_kit_key(i, key), &view, done_and_next, &chains[i]),
            KV_PENDING);
    }
    loop_run(&loop);
    assert_int_equal(loop.tally.right, CHAINS * LINKS);
    free(chains);
    loop_close(&loop);
}

static void test_chains(void **state)
{
    (void)state;
    with_ring(check_chains);
}

// A disk that fails every third read, flips bits, comes back short.
static void check_faults(struct kv_store *store)
{
    static const struct {
        enum read_kit_fault fault;
        enum kv_status status;
        unsigned bad;
    } cases[] = {{READ_KIT_EIO, KV_IO, 100}, {READ_KIT_FLIP, KV_CORRUPT, 100}, {READ_KIT_SHORT, KV_OK, 0}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct loop loop;
        struct pending pending[300];
        struct kv_view view;
        loop_open(&loop, store);
        read_kit_fault(cases[c].fault, 3);
        for (unsigned i = 0; i < 300; i++) {
            pending[i] = (struct pending){.tally = &loop.tally, .number = i};
            assert_int_equal(ask(&loop, &pending[i], &view), KV_PENDING);
        }
        loop_run(&loop);
        read_kit_fault(READ_KIT_NONE, 1);
        assert_int_equal(loop.tally.right, 300 - cases[c].bad);
        if (cases[c].bad != 0)
            assert_int_equal(loop.tally.failed[cases[c].status], cases[c].bad);
        loop_close(&loop);
    }
}

static void test_faults(void **state)
{
    (void)state;
    with_ring(check_faults);
}

// A large value does not hold up the loop: a thread of the store brings it.
static void check_large(struct kv_store *store)
{
    struct loop loop;
    struct kv_view view;
    loop_open(&loop, store);
    struct pending large = {.tally = &loop.tally, .number = KEYS, .len = (3u << 20) + 5};
    read_kit_put(store, KEYS, 1, large.len);
    assert_int_equal(ask(&loop, &large, &view), KV_PENDING);
    tally_await(&loop.tally);
    assert_int_equal(loop.tally.right, 1);
    assert_int_equal(loop.tally.on_callers_thread, 0);
    loop_close(&loop);
}

static void test_large(void **state)
{
    (void)state;
    with_ring(check_large);
}

// The ring fails for good: what was in flight, what was queued and what follows is answered all the same, by a thread of the store.
static void check_failing_ring(struct kv_store *store)
{
    struct loop loop;
    struct pending pending[600];
    struct kv_view view;
    loop_open(&loop, store);
    for (unsigned i = 0; i < 600; i++) {
        pending[i] = (struct pending){.tally = &loop.tally, .number = i};
        assert_int_equal(ask(&loop, &pending[i], &view), KV_PENDING);
        if (i == 100)
            kv_reader_run(loop.reader);
        if (i == 400) {
            read_kit_ring_error(EBADF, 1);
            kv_reader_run(loop.reader);
        }
    }
    kv_reader_run(loop.reader);
    tally_await(&loop.tally);
    read_kit_ring_error(0, 0);
    assert_int_equal(loop.tally.right, 600);
    assert_true(loop.tally.on_callers_thread < 600);
    loop_close(&loop);
}

static void test_failing_ring(void **state)
{
    (void)state;
    with_ring(check_failing_ring);
}

// A reader that is closed with gets pending: they are answered first.
static void check_close_with_pending(struct kv_store *store)
{
    struct loop loop;
    struct pending pending[500];
    struct kv_view view;
    loop_open(&loop, store);
    for (unsigned i = 0; i < 500; i++) {
        pending[i] = (struct pending){.tally = &loop.tally, .number = i};
        assert_int_equal(ask(&loop, &pending[i], &view), KV_PENDING);
        if (i == 200)
            kv_reader_run(loop.reader);
    }
    loop_close(&loop);
    assert_int_equal(loop.tally.right, 500);
}

static void test_close_with_pending(void **state)
{
    (void)state;
    with_ring(check_close_with_pending);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_once),      cmocka_unit_test(test_many),
        cmocka_unit_test(test_woken),        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_faults),       cmocka_unit_test(test_large),
        cmocka_unit_test(test_failing_ring), cmocka_unit_test(test_close_with_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
