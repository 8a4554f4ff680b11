// Bringing values back: when it stops, what it gives way to, and what it waits for.
#include "warm_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "kvstore/kv_internal.h"

static void test_stops_when_lowered(void **state)
{
    struct warm_fixture *f = *state;
    warm_set_limit(f, 0);
    atomic_store(&warm_slow_us, 20000);
    warm_set_limit(f, 256 << 20);
    assert_true(warm_stats_of(f).warming);
    warm_set_limit(f, 0);
    struct kv_stats stats = warm_stats_of(f);
    assert_false(stats.warming);
    assert_int_equal(stats.cached_records, 0);
    assert_int_equal(stats.chunk_bytes, 0);
    warm_set_limit(f, 256 << 20); // and begins anew
    warm_set_limit(f, 257 << 20);
    atomic_store(&warm_slow_us, 0);
    assert_int_equal(warm_wait_idle(f).cached_records, WARM_KEYS);
}

static void test_stops_when_closed(void **state)
{
    struct warm_fixture *f = *state;
    warm_set_limit(f, 0);
    atomic_store(&warm_slow_us, 20000);
    warm_set_limit(f, 256 << 20);
    assert_true(warm_stats_of(f).warming);
    kit_close(&f->store);
}

#define NS_IN_MS 1000000u

// Brings back for 300 ms beside gets of 3 ms, most of them. False: the gets stood still for so long, or it took so long, that giving
// way was rightly ended; that is the machine's doing.
static bool gets_beside(struct warm_fixture *f, struct kv_stats *stats)
{
    warm_set_limit(f, 0);
    uint64_t warmed = warm_stats_of(f).warmed_bytes, begun_ns = clock_ns(), now_ns = begun_ns, longest_ns = 0;
    warm_set_limit(f, 256 << 20);
    for (unsigned n = 0; now_ns - begun_ns < 300u * NS_IN_MS; n++) {
        warm_get(f->store, n % WARM_KEYS);
        uint64_t then_ns = now_ns;
        now_ns = clock_ns();
        longest_ns = now_ns - then_ns > longest_ns ? now_ns - then_ns : longest_ns;
    }
    *stats = warm_stats_of(f);
    stats->warmed_bytes -= warmed;
    return longest_ns < 50u * NS_IN_MS && clock_ns() - begun_ns < 450u * NS_IN_MS;
}

// Gets that take longer than the goal are given way to.
static void test_gives_way_to_gets(void **state)
{
    struct warm_fixture *f = *state;
    struct kv_stats stats;
    unsigned tries = 0;
    kv_set_latency_goal(f->store, 100);
    atomic_store(&warm_slow_us, 3000);
    while (!gets_beside(f, &stats) && tries < 20)
        tries++;
    if (tries < 20) {
        assert_true(stats.warming);
        // Eight readers of a MiB would long be done; this pace makes a few small reads.
        assert_true(stats.warmed_bytes < WARM_KEYS / 2 * WARM_VALUE_LEN);
    } else {
        print_message("this machine is too slow to tell\n");
    }
    atomic_store(&warm_slow_us, 0);
    kv_set_latency_goal(f->store, 0);
    assert_int_equal(warm_wait_idle(f).cached_records, WARM_KEYS);
}

// But not for ever: gets that are as slow without us are not our doing, and only values in memory help them.
static void test_hurries_when_giving_way_is_in_vain(void **state)
{
    struct warm_fixture *f = *state;
    warm_set_limit(f, 0);
    kv_set_latency_goal(f->store, 100);
    atomic_store(&warm_slow_us, 3000);
    warm_set_limit(f, 256 << 20);
    struct kv_stats stats = warm_stats_of(f);
    for (unsigned n = 0; n < 20000 && stats.cached_records < WARM_KEYS; n++) {
        warm_get(f->store, n * 7919 % WARM_KEYS);
        stats = warm_stats_of(f);
    }
    assert_int_equal(stats.cached_records, WARM_KEYS);
    assert_true(stats.warmed_bytes > WARM_KEYS / 2 * WARM_VALUE_LEN); // the gets alone have not done it
    atomic_store(&warm_slow_us, 0);
}

// ---- by leave

#define CHUNK_MB 2u // what is opened at once, at most

// kv_set_growth() counts buffers, too, which come and go with the readers: here the chunks alone are bounded.
static void leave(struct warm_fixture *f, uint64_t chunk_bytes)
{
    atomic_store(&f->store->tier.grow_to, (int64_t)chunk_bytes);
}

// However much the limit allows: no more than there is leave for, and what is brought back waits for it.
static void test_comes_back_by_leave(void **state)
{
    struct warm_fixture *f = *state;
    warm_set_limit(f, 0);
    leave(f, 4 << 20);
    warm_set_limit(f, 256 << 20);
    for (unsigned i = 0; i < 50; i++) {
        struct kv_stats stats = warm_stats_of(f);
        assert_true(stats.warming);
        assert_true(stats.chunk_bytes <= 4 << 20);
        warm_sleep_ms(2);
    }
    for (struct kv_stats stats; (stats = warm_stats_of(f)).warming; warm_sleep_ms(1)) {
        uint64_t chunks = stats.chunk_bytes;
        leave(f, chunks + (CHUNK_MB << 20));
        assert_true(warm_stats_of(f).chunk_bytes <= chunks + (CHUNK_MB << 20));
    }
    assert_int_equal(warm_stats_of(f).cached_records, WARM_KEYS);
}

// Gets and puts that find no leave neither grow the store nor fail; what is in memory stays there as long as gets are all there is.
static void test_gets_and_puts_without_leave(void **state)
{
    struct warm_fixture *f = *state;
    warm_set_limit(f, 0);
    uint64_t evicted = warm_stats_of(f).evicted;
    leave(f, 4 << 20);
    warm_set_limit(f, 256 << 20);
    for (uint32_t key = 0; key < WARM_KEYS; key++)
        warm_get(f->store, key);
    struct kv_stats stats = warm_stats_of(f);
    assert_true(stats.chunk_bytes <= 4 << 20);
    assert_int_equal(stats.evicted, evicted);
    uint8_t value[WARM_VALUE_LEN];
    for (uint32_t key = 0; key < WARM_KEYS; key++) {
        warm_fill_value(key, value);
        assert_int_equal(kv_put(f->store, &key, sizeof key, value, sizeof value, 0, 0), KV_OK);
        // What stays of a chunk that is to go is copied to another before it goes.
        assert_true(warm_stats_of(f).chunk_bytes <= (4 + 2 * CHUNK_MB) << 20);
    }
    kv_set_growth(f->store, UINT64_MAX);
    for (unsigned round = 0; round < 6000 && warm_stats_of(f).cached_records < WARM_KEYS; round++) {
        for (uint32_t key = 0; key < WARM_KEYS; key++)
            warm_get(f->store, key);
        warm_sleep_ms(10); // memory is made ready by a thread, and gets do not wait for it
    }
    assert_int_equal(warm_stats_of(f).cached_records, WARM_KEYS);
}

static uint64_t status_kb(const char *name)
{
    char line[128];
    unsigned long kb = 0;
    FILE *status = fopen("/proc/self/status", "r");
    assert_non_null(status);
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtoul(line + strlen(name) + 1, NULL, 10);
    (void)fclose(status);
    assert_true(kb > 0);
    return kb;
}

// From here on VmHWM is the most that has been resident since.
static void forget_peak(void)
{
    FILE *refs = fopen("/proc/self/clear_refs", "w");
    assert_non_null(refs);
    assert_true(fputs("5", refs) >= 0);
    assert_int_equal(fclose(refs), 0);
}

#define LEAVE_KB 4096u
#define OTHER_KB 4096u // stacks, malloc, a chunk that has its leave and is in the middle of growing

// What is resident, not only what is counted, grows by no more than the leave: neither when bringing back begins, nor when it ends.
static void test_resident_by_leave(void **state)
{
    if (KIT_SANITIZED)
        skip(); // shadow memory is resident, too
    struct warm_fixture *f = *state;
    warm_set_limit(f, 0);
    kv_set_growth(f->store, 0);
    warm_set_limit(f, 256 << 20);
    while (warm_stats_of(f).warming) {
        kv_set_growth(f->store, 0);
        warm_sleep_ms(20); // what has its leave grows
        forget_peak();
        uint64_t before = status_kb("VmHWM");
        kv_set_growth(f->store, warm_stats_of(f).memory_bytes + LEAVE_KB * 1024);
        warm_sleep_ms(3);
        assert_in_range(status_kb("VmHWM"), 0, before + LEAVE_KB + OTHER_KB);
    }
    assert_int_equal(warm_stats_of(f).cached_records, WARM_KEYS);
}

// The limit falls to what is in use while values are waiting for leave: nothing waits for ever.
static void test_lowered_while_held_back(void **state)
{
    struct warm_fixture *f = *state;
    warm_set_limit(f, 0);
    kv_set_growth(f->store, 0);
    warm_set_limit(f, 256 << 20);
    warm_sleep_ms(20);
    assert_true(warm_stats_of(f).warming);
    warm_set_limit(f, 0);
    assert_false(warm_stats_of(f).warming);
    warm_set_limit(f, 256 << 20);
    assert_true(warm_stats_of(f).warming);
    kit_close(&f->store);
}

int main(void)
{
#define WITH(name) cmocka_unit_test_setup_teardown(name, warm_setup, warm_teardown)
#define SLOW(name) cmocka_unit_test_setup_teardown(name, warm_setup_slow, warm_teardown_slow)
    const struct CMUnitTest tests[] = {
        SLOW(test_stops_when_lowered),  SLOW(test_stops_when_closed),
        SLOW(test_gives_way_to_gets),   SLOW(test_hurries_when_giving_way_is_in_vain),
        WITH(test_comes_back_by_leave), WITH(test_gets_and_puts_without_leave),
        WITH(test_resident_by_leave),   WITH(test_lowered_while_held_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
