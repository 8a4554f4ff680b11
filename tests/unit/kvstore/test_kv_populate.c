// Memory ahead of need, and where it ends: at the last chunks of the budget.
#include "kv_tier_kit.h"

enum { SIZE = 15000, COUNT = 12000 }; // 170 MiB
#define BUDGET (130ull * MB)          // chunks of 2 MiB, as many as fit

static void fill_disk(void)
{
    store->options.no_bring_back = true;
    set_budget(0);
    for (uint32_t key = 0; key < COUNT; key++)
        put(key, SIZE);
    set_budget(BUDGET);
}

// Values that were read come in while there is room, and when there is none they take the place of others: a
// tier that only reads filled goes on following what is read.
static void test_reads_fill_and_go_on(void **state)
{
    (void)state;
    fill_disk();
    bool went_on = false;
    for (unsigned pass = 0; pass < 200 && !went_on; pass++) {
        for (uint32_t key = 0; key < COUNT; key++)
            (void)get(key, SIZE);
        went_on = stats().evicted != 0; // a slow populator leaves much unadmitted: then again
    }
    assert_true(went_on);
    assert_true(stats().chunk_bytes <= BUDGET);
    assert_true(stats().chunk_bytes > BUDGET - 8ull * KV_CHUNK_BYTES);
}

static bool populator_is_awake(void)
{
    (void)pthread_mutex_lock(&store->tier.lock);
    bool awake = store->tier.growing;
    (void)pthread_mutex_unlock(&store->tier.lock);
    return awake;
}

// Once nothing more can be made ready it is not woken by each miss. (The budget moves a little, with what the store's other parts hold.)
static void test_populator_rests(void **state)
{
    (void)state;
    fill_disk();
    while (stats().evicted < 100)
        for (uint32_t key = 0; key < COUNT; key++)
            (void)get(key, SIZE);
    bool before = true;
    unsigned wakes = 0;
    for (uint32_t key = 0; key < COUNT; key++) {
        (void)get(key, SIZE);
        bool awake = populator_is_awake();
        wakes += awake && !before;
        before = awake;
    }
    assert_true(wakes < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_reads_fill_and_go_on), TEST(test_populator_rests)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
