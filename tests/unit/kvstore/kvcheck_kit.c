#include "kvcheck_kit.h"

#include <stdlib.h>
#include <string.h>

void kvcheck_look(struct check *check, const char *where)
{
    struct error e = {""};
    if (!check_begin(check, where, false, &e) || !check_records(check, &e) || !check_snapshot(check, &e) ||
        !check_plan(check, &e))
        fail_msg("%s", e.text);
}

unsigned kvcheck_count(const struct check *check, enum check_kind kind)
{
    unsigned n = 0;
    for (size_t i = 0; i < check->finding_count; i++)
        n += check->findings[i].kind == kind;
    return n;
}

// Repairs, and checks once more: all is sound then.
void kvcheck_repair(const char *where)
{
    struct check check;
    struct error e = {""};
    kvcheck_look(&check, where);
    if (!check_apply(&check, &e))
        fail_msg("%s", e.text);
    check_end(&check);
    kvcheck_look(&check, where);
    if (check_is_damaged(&check)) {
        check_print(&check, stderr, true);
        fail_msg("damaged after a repair");
    }
    check_end(&check);
}

// Opens; every value that is there is the right one. Returns how many keys are not as expected.
unsigned kvcheck_affected(const char *where)
{
    struct kv_store *store = kit_open(where, NULL);
    unsigned affected = 0;
    for (size_t i = 0; i < SMALL_ENTRIES; i++) {
        void *got;
        size_t len;
        const char *key = small_entries[i].key, *value = small_entries[i].value;
        enum kv_status status = kv_get_alloc(store, key, strlen(key), &got, &len, NULL);
        assert_true(status == KV_OK || status == KV_NOT_FOUND);
        if (status == KV_OK && (value == NULL || len != strlen(value) || memcmp(got, value, len) != 0))
            fail_msg("%s: %.*s", key, (int)len, (const char *)got);
        affected += (status == KV_OK) != (value != NULL);
        free(got);
    }
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 0);
    kit_put(store, "golf", "and on it goes");
    kit_close(&store);
    return affected;
}
