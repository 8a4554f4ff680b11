#include "small_kit.h"

char small_dir[128];

const struct small_entry small_entries[SMALL_ENTRIES] = {
    {"alpha", "the first value"},
    {"bravo", "replaced"},
    {"charlie", "expires later"},
    {"delta", NULL},
    {"echo", ""},
    {"foxtrot", "the last value"},
};

void small_fill(struct kv_store *store)
{
    kit_put(store, "alpha", small_entries[0].value);
    kit_put(store, "bravo", "an older version");
    kit_put(store, "charlie", small_entries[2].value);
    kit_put(store, "delta", "a deleted value");
    kit_put(store, "bravo", small_entries[1].value);
    assert_int_equal(kv_set_expiry(store, "charlie", 7, 5000000, 0), KV_OK);
    assert_int_equal(kv_delete(store, "delta", 5, 0), KV_OK);
    kit_put(store, "echo", "");
    kit_put(store, "foxtrot", small_entries[5].value);
}

int small_setup_folder(void **state)
{
    (void)state;
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    kit_folder(small_dir);
    return 0;
}

int small_setup(void **state)
{
    (void)small_setup_folder(state);
    struct kv_store *store = kit_open(small_dir, NULL);
    small_fill(store);
    kit_close(&store);
    return 0;
}

int small_teardown(void **state)
{
    (void)state;
    kit_heal();
    kit_remove(small_dir);
    return 0;
}
