// Batches of puts and a process that dies: what was acknowledged is there, nothing is damaged.
#include "kv_sets.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// The process dies (the files are copied while the store is open, preallocated space and all).
static void test_kill(void **state)
{
    (void)state;
    put_set(0, 2000, 4096, 0);
    char copy[128];
    kit_folder(copy);
    kit_copy(dir, copy);
    struct kv_store *open = store;
    struct kv_options options = large_segments();
    store = kit_open(copy, &options);
    expect_set(0, 2000, 4096, 0);
    assert_int_equal(stats().damaged_records, 0);
    kit_put(store, "k", "v");
    put_set(0, 2000, 4096, 1);
    kit_close(&store);
    store = kit_open(copy, &options);
    expect_set(0, 2000, 4096, 1);
    kit_expect(store, "k", "v");
    kit_close(&store);
    store = open;
    kit_remove(copy);
}

// ---- kill -9

static uint32_t generation_of(uint32_t key)
{
    uint8_t got[4096];
    size_t len = sizeof got;
    enum kv_status status = kv_get(store, &key, 4, got, &len);
    if (status == KV_NOT_FOUND)
        return UINT32_MAX;
    if (status != KV_OK)
        fail_msg("key %u: %s", key, kv_status_text(status));
    assert_int_equal(len, 4096);
    for (uint32_t generation = 0; generation < 251; generation++) {
        size_t i = 0;
        while (i < len && got[i] == byte_of(key, generation, i))
            i++;
        if (i == len)
            return generation;
    }
    fail_msg("key %u: bytes that were never put", key);
    return UINT32_MAX;
}

#define KILLED_KEYS 1500

// Batches that replace each other, reported when they are acknowledged; a single put between them now and then.
static void put_until_killed(int report)
{
    struct kv_options options = large_segments();
    store = kit_open(dir, &options);
    for (uint8_t generation = 0; generation < 200; generation++) {
        put_set(0, KILLED_KEYS, 4096, generation);
        if (generation % 3 == 0)
            kit_put(store, "single", "put");
        if (write(report, &generation, 1) != 1)
            break;
    }
    for (;;)
        (void)pause();
}

// At any moment: what was acknowledged is there, of the batch under way each key is new or as it was, and nothing is damaged.
static void test_kill_at_any_moment(void **state)
{
    (void)state;
    kit_close(&store);
    for (unsigned round = 0; round < 5; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            put_until_killed(ends[1]);
        (void)close(ends[1]);
        uint8_t acknowledged[256];
        assert_int_equal(read(ends[0], acknowledged, 1), 1);
        (void)usleep(15000 + round * 17000);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        uint8_t last = acknowledged[0];
        ssize_t n = read(ends[0], acknowledged, sizeof acknowledged);
        if (n > 0)
            last = acknowledged[n - 1];
        (void)close(ends[0]);
        struct kv_options options = large_segments();
        store = kit_open(dir, &options);
        assert_int_equal(stats().damaged_records, 0);
        for (uint32_t key = 0; key < KILLED_KEYS; key++) {
            uint32_t generation = generation_of(key);
            if (generation != last && generation != last + 1u)
                fail_msg("key %u is of batch %u; %u was acknowledged", key, generation, last);
        }
        kit_close(&store);
    }
    store = kit_open(dir, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_kill), TEST(test_kill_at_any_moment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
