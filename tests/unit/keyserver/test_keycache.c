// The cache of decoded keys: what was put is found until it is replaced, removed or evicted, the bound holds,
// keys in use outlive their eviction, and threads do not disturb each other.
#include "kit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/keycache.h"

#define ROUNDING 16 // a capacity is rounded up to the number of shards

static EVP_PKEY *pkey; // one for all: names tell keys apart here

static int setup(void **state)
{
    (void)state;
    pkey = kit_ec("P-256", 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_release();
    return 0;
}

static struct ks_key *new_key(const char *name, uint64_t version)
{
    assert_int_equal(EVP_PKEY_up_ref(pkey), 1);
    struct ks_key *key = ks_key_create(name, version, pkey);
    assert_non_null(key);
    return key;
}

static void put(struct keycache *cache, const char *name, uint64_t version)
{
    struct ks_key *key = new_key(name, version);
    keycache_put(cache, key);
    ks_key_unref(&key);
}

static bool has(struct keycache *cache, const char *name, uint64_t version)
{
    struct ks_key *key = keycache_get(cache, name);
    bool found = key != NULL && strcmp(key->name, name) == 0 && key->version == version;
    ks_key_unref(&key);
    return found;
}

static enum keyrecord_type type_of(struct keycache *cache, const char *name)
{
    unsigned bits = 1;
    enum keyrecord_type type = keycache_hint(cache, name, &bits);
    return bits == (type == KEYRECORD_EC ? 256 : 0) ? type : KEYRECORD_RSA; // which no key here is
}

static const char *numbered(unsigned i)
{
    static _Thread_local char name[16];
    (void)snprintf(name, sizeof name, "key-%u", i);
    return name;
}

static void put_get_replace_remove(void **state)
{
    (void)state;
    struct keycache *cache = keycache_create(100);
    assert_non_null(cache);
    assert_null(keycache_get(cache, "a"));
    assert_int_equal(type_of(cache, "a"), 0);
    keycache_remove(cache, "a"); // nothing there: nothing happens

    put(cache, "a", 1);
    assert_true(has(cache, "a", 1));
    assert_false(has(cache, "b", 1));
    assert_int_equal(type_of(cache, "a"), KEYRECORD_EC);
    assert_int_equal(keycache_count(cache), 1);

    put(cache, "a", 2); // another version takes its place
    assert_true(has(cache, "a", 2));
    assert_int_equal(keycache_count(cache), 1);

    keycache_remove(cache, "a");
    assert_false(has(cache, "a", 2));
    assert_int_equal(keycache_count(cache), 0);
    keycache_destroy(&cache);
    assert_null(cache);
    keycache_destroy(&cache);
}

static void many_keys_each_under_its_name(void **state)
{
    (void)state;
    struct keycache *cache = keycache_create(1600);
    for (unsigned i = 0; i < 800; i++)
        put(cache, numbered(i), i + 1);
    assert_int_equal(keycache_count(cache), 800);
    for (unsigned i = 0; i < 800; i++)
        assert_true(has(cache, numbered(i), i + 1));
    for (unsigned i = 0; i < 800; i += 2)
        keycache_remove(cache, numbered(i));
    for (unsigned i = 0; i < 800; i++)
        assert_int_equal(has(cache, numbered(i), i + 1), i % 2 == 1);
    for (unsigned i = 0; i < 800; i += 2) // places given back are filled again
        put(cache, numbered(i), i + 7);
    for (unsigned i = 0; i < 800; i += 2)
        assert_true(has(cache, numbered(i), i + 7));
    assert_int_equal(keycache_count(cache), 800);
    keycache_destroy(&cache);
}

static void the_bound_holds(void **state)
{
    (void)state;
    static const size_t capacities[] = {1, 15, 16, 17, 100, 320};
    for (size_t c = 0; c < sizeof capacities / sizeof capacities[0]; c++) {
        struct keycache *cache = keycache_create(capacities[c]);
        size_t bound = (capacities[c] + ROUNDING - 1) / ROUNDING * ROUNDING;
        for (unsigned i = 0; i < 2000; i++) {
            put(cache, numbered(i), 1);
            assert_true(keycache_count(cache) <= bound);
            assert_true(has(cache, numbered(i), 1)); // the newest is always there
        }
        assert_int_equal(keycache_count(cache), bound); // all of it is used
        keycache_destroy(&cache);
    }
}

// A key that is used again and again is not swept out by keys that come once.
static void a_key_in_use_survives_a_scan(void **state)
{
    (void)state;
    struct keycache *cache = keycache_create(160);
    unsigned lost = 0;
    put(cache, "hot", 1);
    for (unsigned i = 0; i < 5000; i++) {
        put(cache, numbered(i), 1);
        if (!has(cache, "hot", 1)) {
            lost++;
            put(cache, "hot", 1);
        }
    }
    assert_true(lost <= 1); // once when the cache has just filled and the hand comes round for the first time
    keycache_destroy(&cache);
}

static void asking_for_the_type_is_no_use(void **state)
{
    (void)state;
    struct keycache *cache = keycache_create(16);
    put(cache, "asked", 1);
    for (unsigned i = 0; i < 1000; i++) {
        (void)type_of(cache, "asked");
        put(cache, numbered(i), 1);
    }
    assert_int_equal(type_of(cache, "asked"), 0);
    keycache_destroy(&cache);
}

static void a_reference_outlives_eviction_and_the_cache(void **state)
{
    (void)state;
    struct keycache *cache = keycache_create(16);
    put(cache, "held", 5);
    struct ks_key *held = keycache_get(cache, "held");
    assert_non_null(held);
    keycache_remove(cache, "held");
    keycache_destroy(&cache);
    assert_string_equal(held->name, "held");
    assert_int_equal(EVP_PKEY_get_bits(ks_key_pkey(held)), 256);
    assert_int_equal(held->refs, 1);
    ks_key_unref(&held);
    assert_null(held);
    ks_key_unref(&held);
}

static void shrinking_makes_room_and_leaves_the_rest(void **state)
{
    (void)state;
    struct keycache *cache = keycache_create(1600);
    for (unsigned i = 0; i < 800; i++)
        put(cache, numbered(i), 1);
    keycache_shrink(cache);
    size_t left = keycache_count(cache), found = 0;
    assert_in_range(left, 384, 400); // half, rounded down in each shard
    for (unsigned i = 0; i < 800; i++)
        found += has(cache, numbered(i), 1);
    assert_int_equal(found, left);
    for (unsigned i = 0; i < 800; i++)
        put(cache, numbered(i), 2);
    assert_int_equal(keycache_count(cache), 800);
    // As often as it is asked, down to nothing.
    for (int i = 0; i < 12; i++)
        keycache_shrink(cache);
    assert_int_equal(keycache_count(cache), 0);
    keycache_shrink(cache);
    keycache_destroy(&cache);
}

struct crowd {
    struct keycache *cache;
    unsigned seed, wrong;
};

static void *use_the_cache(void *arg)
{
    struct crowd *c = arg;
    for (int i = 0; i < 3000; i++) {
        c->seed = c->seed * 1664525 + 1013904223;
        char name[16];
        (void)snprintf(name, sizeof name, "key-%u", (c->seed >> 8) % 64);
        unsigned what = (c->seed >> 20) % 8;
        struct ks_key *key = NULL;
        if (what < 4) {
            key = keycache_get(c->cache, name);
            c->wrong += key != NULL && strcmp(key->name, name) != 0;
        } else if (what < 6) {
            key = new_key(name, c->seed);
            keycache_put(c->cache, key);
        } else if (what == 6) {
            keycache_remove(c->cache, name);
        } else if (i % 500 == 0) {
            keycache_shrink(c->cache);
        } else {
            c->wrong += type_of(c->cache, name) == KEYRECORD_RSA;
        }
        ks_key_unref(&key);
    }
    return NULL;
}

static void several_threads(void **state)
{
    (void)state;
    struct keycache *cache = keycache_create(32);
    struct crowd crowd[4];
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++) {
        crowd[i] = (struct crowd){cache, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, use_the_cache, &crowd[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(crowd[i].wrong, 0);
    }
    assert_true(keycache_count(cache) <= 32);
    keycache_destroy(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_get_replace_remove),
        cmocka_unit_test(many_keys_each_under_its_name),
        cmocka_unit_test(the_bound_holds),
        cmocka_unit_test(a_key_in_use_survives_a_scan),
        cmocka_unit_test(asking_for_the_type_is_no_use),
        cmocka_unit_test(a_reference_outlives_eviction_and_the_cache),
        cmocka_unit_test(shrinking_makes_room_and_leaves_the_rest),
        cmocka_unit_test(several_threads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
