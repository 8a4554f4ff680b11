// Stored keys by the day on which they expire: each record counted once and rightly, whatever else lies in the store; and
// the thread that reads it.
#include "kit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/keyrecord.h"
#include "keyserver/expiry_keys.h"

#define DAY 86400

static const int64_t now = (int64_t)20000 * DAY + 12345;
static struct expiry_keys_count count;
static struct keyrecord_info info;

// A record with certificates that expire then; malloc'ed. Writes its name.
static uint8_t *record(const int64_t *not_after, unsigned certs, char name[static KEYRECORD_NAME_LEN + 1],
                       size_t *len)
{
    uint8_t *value = NULL;
    EVP_PKEY *pkey = kit_ec("P-256", 0);
    info = (struct keyrecord_info){.cert_count = certs};
    for (unsigned i = 0; i < certs; i++) {
        info.certs[i].not_after = (uint64_t)not_after[i];
        (void)strcpy(info.certs[i].name, "www.example");
    }
    assert_true(keyrecord_name(pkey, name));
    assert_int_equal(keyrecord_encode(name, &info, pkey, NULL, &value, len), KEYRECORD_OK);
    return value;
}

static void add(const int64_t *not_after, unsigned certs)
{
    char name[KEYRECORD_NAME_LEN + 1];
    size_t len;
    uint8_t *value = record(not_after, certs, name, &len);
    expiry_keys_add(&count, now, name, strlen(name), value, len);
    free(value);
}

static void add_one(int64_t not_after)
{
    add(&not_after, 1);
}

static void by_days(void **state)
{
    (void)state;
    expiry_keys_begin(&count, now);
    add_one(now - 10 * DAY);
    add_one(now - 1);  // today: over, but its day is not
    add_one(now + 60); // today
    add_one(now + DAY);
    add_one(now + 7 * DAY);
    add_one(now + 8 * DAY);
    add_one(now + (int64_t)(EXPIRY_KEYS_DAYS + 50) * DAY);
    assert_int_equal(count.keys, 7);
    assert_int_equal(count.damaged + count.no_cert, 0);
    assert_int_equal(expiry_keys_within(&count, now, 0), 1);
    assert_int_equal(expiry_keys_within(&count, now, 1), 4);
    assert_int_equal(expiry_keys_within(&count, now, 7), 5);
    assert_int_equal(expiry_keys_within(&count, now, 8), 6);
    assert_int_equal(expiry_keys_within(&count, now, EXPIRY_KEYS_DAYS), 6);
    // Days pass, and the count is not taken anew.
    assert_int_equal(expiry_keys_within(&count, now + DAY, 0), 3);
    assert_int_equal(expiry_keys_within(&count, now + 9 * DAY, 0), 6);
    assert_int_equal(expiry_keys_within(&count, now + (int64_t)2 * EXPIRY_KEYS_DAYS * DAY, 30), 6);
    assert_int_equal(expiry_keys_within(&count, now - 5 * DAY, 0), 1); // a clock set back
}

static void the_soonest(void **state)
{
    (void)state;
    expiry_keys_begin(&count, now);
    for (int i = 50; i > 0; i--)
        add_one(now + (int64_t)(i * 7 % 51) * DAY);
    add_one(now - DAY); // has expired: nothing to be done soon
    assert_int_equal(count.soonest_count, EXPIRY_KEYS_SOONEST);
    for (int i = 0; i < EXPIRY_KEYS_SOONEST; i++) {
        assert_int_equal(count.soonest[i].not_after, now + (int64_t)(i + 1) * DAY);
        assert_int_equal(strlen(count.soonest[i].name), EXPIRY_KEYS_SHORT);
    }
}

// A renewed certificate is what counts; a key without one, an alias, a record of the Java form, rubbish.
static void what_else_lies_there(void **state)
{
    static const char java[] = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC";
    const char hex[] = "0123456789ABCDEF0123456789ABCDEF01234567";
    const int64_t renewed[] = {now - DAY, now + 40 * DAY, now - 100 * DAY};
    char name[KEYRECORD_NAME_LEN + 1];
    uint8_t alias[KEYRECORD_ALIAS_VALUE_LEN];
    (void)state;
    expiry_keys_begin(&count, now);
    add(renewed, 3);
    assert_int_equal(expiry_keys_within(&count, now, 30), 0);
    assert_int_equal(expiry_keys_within(&count, now, 40), 1);
    add(NULL, 0);
    assert_true(keyrecord_name(kit_ec("P-256", 0), name));
    keyrecord_encode_alias(name, alias);
    expiry_keys_add(&count, now, hex, strlen(hex), alias, sizeof alias);
    expiry_keys_add(&count, now, "foreign", 7, "MKR1", 4);
    assert_int_equal(count.keys, 2);
    expiry_keys_add(&count, now, hex, strlen(hex), java, strlen(java));
    assert_true(count.keys == 3 && count.no_cert == 2);
    size_t len;
    uint8_t *value = record(renewed, 3, name, &len);
    expiry_keys_add(&count, now, name, strlen(name), value, 30); // cut
    free(value);
    assert_true(count.keys == 4 && count.damaged == 1);
    expiry_keys_add(&count, now, name, strlen(name), "", 0);
    assert_true(count.keys == 5 && count.no_cert == 3);
}

static uint64_t no_changes(void *arg)
{
    (void)arg;
    return 0;
}

static void the_thread(void **state)
{
    const struct kv_options options = {.limit_bytes = 8 << 20, .create = true, .fsync = KV_FSYNC_NEVER};
    struct kv_store *store = NULL;
    struct error e;
    char why[256], name[KEYRECORD_NAME_LEN + 1];
    const int64_t soon = (int64_t)(clock_unix_ms() / 1000) + 3 * DAY;
    size_t len;
    (void)state;
    kit_dir_create();
    assert_int_equal(kv_open(kit_path("store"), &options, &store, why, sizeof why), KV_OK);
    uint8_t *value = record(&soon, 1, name, &len);
    assert_int_equal(kv_put(store, name, strlen(name), value, len, 0, 0), KV_OK);
    free(value);
    struct kv_stats before, after;
    kv_get_stats(store, &before);
    struct expiry_keys *keys = expiry_keys_start(store, no_changes, NULL, &e);
    assert_non_null(keys);
    expiry_keys_get(keys, &count);
    for (unsigned looks = 0; !count.known && looks < 600000; looks++) {
        (void)usleep(1000);
        expiry_keys_get(keys, &count);
    }
    assert_true(count.known && count.keys == 1 && count.soonest_count == 1);
    assert_int_equal(count.soonest[0].not_after, soon);
    kv_get_stats(store, &after); // it is no look-up
    assert_true(before.hits == after.hits && before.misses == after.misses);
    expiry_keys_stop(&keys);
    expiry_keys_stop(&keys); // NULL is fine
    // One that is stopped at once.
    keys = expiry_keys_start(store, NULL, NULL, &e);
    assert_non_null(keys);
    expiry_keys_stop(&keys);
    assert_int_equal(kv_close(&store), KV_OK);
    kit_dir_remove();
}

static int release(void **state)
{
    (void)state;
    kit_release();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_days),
        cmocka_unit_test(the_soonest),
        cmocka_unit_test(what_else_lies_there),
        cmocka_unit_test(the_thread),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
