// A model checker. A child process does random operations on a store, noting each in shared memory before and
// after, until it is killed at a random moment. The parent replays the same operations on a plain array,
// opens the store and compares every key. The one operation that was under way may have happened or not;
// everything before it must have.
//
// Now and then the child closes and opens the store itself, so that recovery and clean stops mix; segments
// are small, so that compaction runs all the time.
#include "kv_kit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEYS   48u
#define ROUNDS 40u

struct model_key {
    bool there;
    uint32_t value; // the operation that put it
    uint64_t expire_ms;
};

// What parent and child share.
struct shared {
    _Atomic uint32_t started, finished; // operations
    _Atomic uint32_t wrong;             // the child saw a wrong answer at this operation
};

struct operation {
    enum { PUT, PUT_IF_ABSENT, DELETE, EXPIRE, GET, OPERATIONS } kind;
    uint32_t key;
    uint64_t expire_ms;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 32);
}

// The n-th operation of a run is always the same.
static struct operation operation(uint64_t seed, uint32_t n)
{
    uint64_t x = mix(seed * 1000003 + n);
    static const uint8_t kinds[16] = {PUT,    PUT,    PUT,    PUT,    PUT,    PUT, PUT, PUT_IF_ABSENT,
                                      DELETE, DELETE, DELETE, EXPIRE, EXPIRE, GET, GET, GET};
    return (struct operation){.kind = kinds[x % 16],
                              .key = (uint32_t)(x >> 8) % KEYS,
                              .expire_ms = (x >> 32) % 3 == 0 ? 2000000 + (x >> 40) % 1000 : 0};
}

static size_t value_bytes(uint32_t key, uint32_t n, uint8_t value[3000])
{
    size_t len = mix(n) % 4 == 0 ? mix(n + 7) % 2900 : mix(n + 9) % 300;
    for (size_t i = 0; i < len; i++)
        value[i] = (uint8_t)mix(key * 65536u + n + i / 8);
    return len;
}

static void apply(struct model_key model[KEYS], struct operation o, uint32_t n)
{
    struct model_key *k = &model[o.key];
    switch (o.kind) {
    case PUT:
    case PUT_IF_ABSENT:
        if (o.kind == PUT || !k->there)
            *k = (struct model_key){.there = true, .value = n, .expire_ms = o.expire_ms};
        break;
    case DELETE:
        *k = (struct model_key){0};
        break;
    case EXPIRE:
        k->expire_ms = k->there ? o.expire_ms : 0;
        break;
    case GET:
    case OPERATIONS:
        break;
    }
}

// Whether the store's answer for a key is the model's.
static bool agrees(struct kv_store *store, uint32_t key, const struct model_key *model)
{
    uint8_t expected[3000];
    struct kv_view view;
    enum kv_status status = kv_get_view(store, &key, sizeof key, &view);
    if (status != KV_OK)
        return status == KV_NOT_FOUND && !model->there;
    size_t len = value_bytes(key, model->value, expected);
    bool same = model->there && view.len == len && memcmp(view.data, expected, len) == 0 &&
                view.expire_ms == model->expire_ms;
    kv_view_release(store, &view);
    return same;
}

static enum kv_status perform(struct kv_store *store, struct operation o, uint32_t n)
{
    uint8_t value[3000];
    size_t len = value_bytes(o.key, n, value);
    switch (o.kind) {
    case PUT:
        return kv_put(store, &o.key, sizeof o.key, value, len, o.expire_ms, 0);
    case PUT_IF_ABSENT:
        return kv_put(store, &o.key, sizeof o.key, value, len, o.expire_ms, KV_PUT_IF_ABSENT);
    case DELETE:
        return kv_delete(store, &o.key, sizeof o.key, 0);
    case EXPIRE:
        return kv_set_expiry(store, &o.key, sizeof o.key, o.expire_ms, 0);
    case GET:
    case OPERATIONS:
        break;
    }
    return KV_OK;
}

static struct kv_options options_of(uint64_t seed)
{
    struct kv_options options = kit_options();
    options.fsync = (enum kv_fsync)(seed % 8 == 0  ? KV_FSYNC_ALWAYS
                                    : seed % 8 < 5 ? KV_FSYNC_INTERVAL
                                                   : KV_FSYNC_NEVER);
    options.fsync_interval_ms = 10;
    options.segment_bytes = 16384;
    options.limit_bytes = seed % 3 == 0 ? 0 : 32u << 20;
    return options;
}

// The child: never returns.
static void run(const char *dir, uint64_t seed, struct shared *shared, struct model_key model[KEYS])
{
    struct kv_options options = options_of(seed);
    struct kv_store *store;
    if (kv_open(dir, &options, &store, NULL, 0) != KV_OK)
        _exit(2);
    for (uint32_t n = 1;; n++) {
        struct operation o = operation(seed, n);
        atomic_store(&shared->started, n);
        enum kv_status status = perform(store, o, n);
        if (status != KV_OK && status != KV_NOT_FOUND && status != KV_EXISTS)
            atomic_store(&shared->wrong, n);
        apply(model, o, n);
        atomic_store(&shared->finished, n);
        if (!agrees(store, o.key, &model[o.key]))
            atomic_store(&shared->wrong, n);
        if (n % 701 == 0 && (kv_close(&store) != KV_OK || kv_open(dir, &options, &store, NULL, 0) != KV_OK))
            _exit(3);
    }
}

static void kill_after(pid_t child, unsigned us)
{
    struct timespec t = {.tv_nsec = (long)us * 1000};
    (void)nanosleep(&t, NULL);
    (void)kill(child, SIGKILL);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    if (!WIFSIGNALED(result))
        fail_msg("the child ended by itself: %d", WEXITSTATUS(result));
}

static void compare(const char *dir, uint64_t seed, struct model_key model[KEYS], uint32_t finished,
                    uint32_t started)
{
    for (uint32_t n = 1; n <= finished; n++)
        apply(model, operation(seed, n), n);
    struct model_key after[KEYS];
    memcpy(after, model, sizeof after);
    if (started != finished)
        apply(after, operation(seed, started), started);
    struct kv_store *store = kit_open(dir, NULL);
    for (uint32_t key = 0; key < KEYS; key++) {
        bool as_before = agrees(store, key, &model[key]);
        if (!as_before && !agrees(store, key, &after[key]))
            fail_msg("run %llu, operation %u: key %u differs", (unsigned long long)seed, started, key);
        if (!as_before)
            model[key] = after[key];
    }
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 0);
    kit_close(&store);
}

static void test_killed_at_any_moment(void **state)
{
    (void)state;
    char dir[128];
    kit_folder(dir);
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    struct model_key model[KEYS];
    uint32_t operations = 0;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        // Values are named by the operation of their run; a store of another run starts empty.
        if (seed % 4 == 1) {
            kit_remove(dir);
            kit_folder(dir);
            memset(model, 0, sizeof model);
        } else {
            struct kv_store *store = kit_open(dir, NULL);
            for (uint32_t key = 0; key < KEYS; key++)
                assert_true(kv_delete(store, &key, sizeof key, KV_PUT_NO_WAIT) != KV_IO);
            kit_close(&store);
            memset(model, 0, sizeof model);
        }
        memset(shared, 0, sizeof *shared);
        pid_t child = fork();
        if (child == 0)
            run(dir, seed, shared, model);
        kill_after(child, 20000 + (unsigned)(mix(seed) % 200000));
        assert_int_equal(atomic_load(&shared->wrong), 0);
        operations += atomic_load(&shared->finished);
        compare(dir, seed, model, atomic_load(&shared->finished), atomic_load(&shared->started));
    }
    print_message("%u operations\n", operations);
    (void)munmap(shared, sizeof *shared);
    kit_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed_at_any_moment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
