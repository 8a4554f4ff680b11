#include "fixture_kit.h"

struct fixture fixture;

void fixture_begin(const struct kv_options *options)
{
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    kit_folder(fixture.dir);
    fixture.options = *options;
    fixture_open();
}

void fixture_open(void)
{
    fixture.store = kit_open(fixture.dir, &fixture.options);
}

void fixture_open_limited(uint64_t limit_bytes)
{
    struct kv_options with = fixture.options;
    with.limit_bytes = limit_bytes;
    fixture.store = kit_open(fixture.dir, &with);
}

void fixture_reopen(void)
{
    (void)kv_close(&fixture.store);
    kit_heal();
    fixture_open();
}

int fixture_teardown(void **state)
{
    (void)state;
    kit_heal();
    (void)kv_close(&fixture.store);
    kit_remove(fixture.dir);
    return 0;
}

struct kv_stats fixture_stats(void)
{
    struct kv_stats stats;
    kv_get_stats(fixture.store, &stats);
    return stats;
}
