// Power failures around kv_clear(): at any moment of it every key is there or none, and when it has returned none comes
// back, with the names of files in any state that the folder's last fsync allows.
#include "kv_crash_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_internal.h"

#define KEYS    60u
#define LEN     3000u
#define CRASHES 400u

static struct kv_store *open_store(const char *where)
{
    struct kv_options options = kit_options();
    options.fsync_interval_ms = 1000000;
    return kit_open(where, &options);
}

static void put(struct kv_store *store, uint32_t from, uint32_t version)
{
    char value[LEN];
    for (uint32_t key = from; key < from + KEYS; key++) {
        memset(value, (int)('a' + version), sizeof value);
        assert_int_equal(kv_put(store, &key, sizeof key, value, sizeof value, 0, KV_PUT_NO_WAIT), KV_OK);
    }
    assert_int_equal(kv_sync(store), KV_OK);
}

// torn: puts of them were under way, which may leave a new key that answers KV_CORRUPT (DESIGN.md, "Damage").
static unsigned there(struct kv_store *store, uint32_t from, bool torn)
{
    unsigned count = 0;
    for (uint32_t key = from; key < from + KEYS; key++) {
        char value[LEN];
        size_t len = sizeof value;
        enum kv_status status = kv_get(store, &key, sizeof key, value, &len);
        assert_true(status == KV_OK || status == KV_NOT_FOUND || (torn && status == KV_CORRUPT));
        count += status == KV_OK;
    }
    return count;
}

// The log's positions: the first keys durable, the clear returned, the keys behind it durable.
struct moments {
    uint64_t filled, cleared, filled_again;
};

static void check(const struct moments *moments, uint64_t at)
{
    struct kv_store *store = open_store(crash_left);
    bool torn = at < moments->filled_again;
    unsigned old = there(store, 0, false), fresh = there(store, 1000, torn);
    if (at >= moments->filled && at < moments->cleared && old != 0 && old != KEYS)
        fail_msg("at %llu: %u keys of %u", (unsigned long long)at, old, KEYS);
    if (at >= moments->cleared && old != 0)
        fail_msg("at %llu: %u keys came back", (unsigned long long)at, old);
    if (at >= moments->filled_again && fresh != KEYS)
        fail_msg("at %llu: %u of the keys behind the clear", (unsigned long long)at, fresh);
    kit_close(&store);
    store = open_store(crash_left);
    assert_int_equal(there(store, 0, false), old);
    assert_int_equal(there(store, 1000, torn), fresh);
    kit_close(&store);
}

static void test_power_failures(void **state)
{
    (void)state;
    struct crash_log log;
    struct moments moments;
    crash_record_begin(&log, crash_dir, 7);
    struct kv_store *store = open_store(crash_dir);
    put(store, 0, 0);
    put(store, 0, 1); // dead records, erasures
    assert_int_equal(kv_checkpoint(store), KV_OK);
    moments.filled = crash_position();
    assert_int_equal(kv_clear(store), KV_OK);
    moments.cleared = crash_position();
    put(store, 1000, 2);
    moments.filled_again = crash_position();
    kit_close(&store);
    crash_record_end();
    struct crash_chance chance = {99};
    struct crash_play *play = malloc(sizeof *play);
    assert_non_null(play);
    crash_play_begin(play, &log);
    // Every position of the clear several times, and some behind it.
    uint64_t span = moments.filled_again - moments.filled;
    for (unsigned i = 0; i < CRASHES; i++) {
        uint64_t upto = moments.filled + span * i / CRASHES;
        if (i % 2 == 0 && moments.cleared - moments.filled > 0)
            upto = moments.filled + (moments.cleared - moments.filled + 2) * i / CRASHES;
        while (play->at < log.count && play->at < upto)
            crash_play_step(play);
        struct crash_how how = {.kill9 = i % 8 == 7,
                                .any_names = i % 3 == 0,
                                .in_order = i % 2 == 0,
                                .unit = crash_roll(&chance, 2) == 0 ? CRASH_SECTOR : 4096,
                                .newest = crash_roll(&chance, 3) * 50,
                                .oldest = 50,
                                .size_new = crash_roll(&chance, 2) * 50};
        crash_write_folder(play, &how, &chance, crash_left);
        check(&moments, play->at);
        crash_remove_folder(crash_left);
    }
    crash_play_end(play);
    free(play);
    crash_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_power_failures, crash_setup, crash_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
