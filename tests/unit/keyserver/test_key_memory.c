// Secret memory that runs out: nothing is half made, nothing stays behind, and what is full is not taken for a bad key. The heap is a
// real one, set up before anything else in the process uses OpenSSL.
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>

#include "common/log.h"
#include "common/secmem.h"
#include "keyserver/keyring.h"

#define HEAP_BYTES ((size_t)256 * 1024)
#define BLOCK      64

static struct {
    uint8_t *block[HEAP_BYTES / BLOCK];
    size_t count;
} filling;

static void fill_heap(void)
{
    while ((filling.block[filling.count] = secmem_alloc(BLOCK)) != NULL)
        filling.count++;
}

static bool give_back(void)
{
    if (filling.count == 0)
        return false;
    secmem_free(&filling.block[--filling.count], BLOCK);
    return true;
}

static void empty_heap(void)
{
    while (give_back())
        continue;
}

// A plain record of an RSA key.
struct record {
    char name[KEYRECORD_NAME_LEN + 1];
    uint8_t *value;
    size_t len;
    EVP_PKEY *pkey;
};

static struct record new_record(unsigned bits, enum keyrecord_encoding encoding)
{
    static struct keyrecord_info info;
    struct record r = {.pkey = kit_rsa(bits, 0)};
    info.encoding = encoding;
    assert_true(keyrecord_name(r.pkey, r.name));
    assert_int_equal(keyrecord_encode(r.name, &info, r.pkey, NULL, &r.value, &r.len), KEYRECORD_OK);
    return r;
}

static enum keyrecord_status open_fast(const struct record *r)
{
    struct keyrecord_key record;
    struct ks_key *key = NULL;
    enum keyrecord_status status = keyrecord_open_key(r->name, r->value, r->len, NULL, &record);
    if (status == KEYRECORD_OK)
        status = ks_key_from_record(r->name, 1, &record, &key);
    assert_true((status == KEYRECORD_OK) == (key != NULL));
    assert_true(key == NULL || key->rsa8 != NULL);
    ks_key_unref(&key);
    return status;
}

static enum keyrecord_status open_by_openssl(const struct record *r)
{
    EVP_PKEY *pkey;
    enum keyrecord_status status = keyrecord_open(r->name, r->value, r->len, NULL, &pkey, NULL);
    EVP_PKEY_free(pkey);
    return status;
}

// With each block more of free memory it is either done, or out of memory; and it is done in the end.
static void runs_out(const struct record *r, enum keyrecord_status (*open)(const struct record *r))
{
    enum keyrecord_status status;
    fill_heap();
    unsigned failures = 0;
    for (;;) {
        size_t before = secmem_used();
        status = open(r);
        assert_int_equal(secmem_used(), before);
        if (status == KEYRECORD_OK)
            break;
        assert_int_equal(status, KEYRECORD_NO_MEMORY);
        failures++;
        assert_true(give_back());
    }
    assert_true(failures > 10);
    empty_heap();
}

static void opening(void **state)
{
    (void)state;
    for (int compact = 0; compact < 2; compact++) {
        struct record r = new_record(2048, compact ? KEYRECORD_COMPACT : KEYRECORD_PKCS8);
        size_t before = secmem_used();
        runs_out(&r, open_fast);
        runs_out(&r, open_by_openssl);
        assert_int_equal(secmem_used(), before);
        free(r.value);
    }
}

static struct ks_key *cold_key(const struct record *r)
{
    struct keyrecord_key record;
    struct ks_key *key;
    assert_int_equal(keyrecord_open_key(r->name, r->value, r->len, NULL, &record), KEYRECORD_OK);
    assert_int_equal(ks_key_from_record(r->name, 1, &record, &key), KEYRECORD_OK);
    return key;
}

// No memory for OpenSSL's form passes: the key is as good as before, and gives it when there is room.
static void openssls_form_of_a_cold_key(void **state)
{
    (void)state;
    struct record r = new_record(2048, KEYRECORD_PKCS8);
    struct ks_key *key = cold_key(&r);
    fill_heap();
    while (ks_key_decode(key) != KEYRECORD_OK) {
        assert_null(ks_key_pkey(key));
        assert_non_null(key->rsa8);
        assert_int_equal(ks_key_decode(key), KEYRECORD_NO_MEMORY);
        assert_true(give_back());
    }
    assert_int_equal(EVP_PKEY_eq(ks_key_pkey(key), r.pkey), 1);
    empty_heap();
    ks_key_unref(&key);
    free(r.value);
}

// What keycache.h says a key costs.
static void a_keys_cost(void **state)
{
    (void)state;
    static const struct {
        unsigned bits;
        size_t stock, cold, both;
    } cases[] = {{2048, 928, 4128, 2976}, {3072, 1824, 6176, 5920}, {4096, 1824, 8224, 5920}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct record r = new_record(cases[i].bits, i == 1 ? KEYRECORD_COMPACT : KEYRECORD_PKCS8);
        size_t before = secmem_used();
        struct ks_key *key = cold_key(&r);
        assert_int_equal(secmem_used() - before, cases[i].cold);
        assert_non_null(ks_key_pkey(key));
        assert_int_equal(secmem_used() - before, cases[i].both);
        ks_key_unref(&key);
        EVP_PKEY *pkey;
        assert_int_equal(keyrecord_open(r.name, r.value, r.len, NULL, &pkey, NULL), KEYRECORD_OK);
        key = ks_key_create(r.name, 1, pkey);
        assert_non_null(key);
        assert_int_equal(secmem_used() - before, cases[i].stock);
        ks_key_unref(&key);
        assert_int_equal(secmem_used(), before);
        free(r.value);
    }
}

static void make_cached_keys(struct keycache *cache, const struct record *r, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct ks_key *key = cold_key(r);
        (void)snprintf(key->name, sizeof key->name, "key-%u", i);
        keycache_put(cache, key);
        ks_key_unref(&key);
    }
}

// The keyring makes room in the cache when OpenSSL needs some.
static void room_is_made_for_openssls_form(void **state)
{
    (void)state;
    struct record r = new_record(2048, KEYRECORD_PKCS8);
    struct keyring ring = {.cache = keycache_create(100), .engine_form = true};
    struct ks_key *key = cold_key(&r);
    make_cached_keys(ring.cache, &r, 20);
    fill_heap();
    assert_null(ks_key_pkey(key));
    EVP_PKEY *pkey = keyring_pkey(&ring, key);
    assert_non_null(pkey);
    assert_int_equal(EVP_PKEY_eq(pkey, r.pkey), 1);
    assert_ptr_equal(keyring_pkey(&ring, key), pkey);
    assert_in_range(keycache_count(ring.cache), 1, 10);
    empty_heap();
    ks_key_unref(&key);

    // Nothing in the cache that could be dropped.
    key = cold_key(&r);
    keycache_destroy(&ring.cache);
    ring.cache = keycache_create(16);
    fill_heap();
    assert_null(keyring_pkey(&ring, key));
    empty_heap();
    assert_non_null(keyring_pkey(&ring, key));
    ks_key_unref(&key);
    keycache_destroy(&ring.cache);
    free(r.value);
}

// More keys than there is room for, found through the store: each is found.
static void room_is_made_for_cold_keys(void **state)
{
    (void)state;
    char error[256] = "", alias[KEYRECORD_ALIAS_LEN + 1];
    struct kv_options options = {.limit_bytes = 16u << 20, .fsync = KV_FSYNC_NEVER, .create = true};
    struct keyring ring = {.cache = keycache_create(1000), .engine_form = true};
    kit_dir_create();
    assert_int_equal(kv_open(kit_path("store"), &options, &ring.store, error, sizeof error), KV_OK);
    uint8_t *der = NULL;
    struct record r = new_record(2048, KEYRECORD_PKCS8);
    size_t len = 0;
    assert_int_equal(keyrecord_open_der(r.name, r.value, r.len, NULL, &der, &len), KEYRECORD_OK);
    unsigned char *text = malloc(2 * len);
    int text_len = EVP_EncodeBlock(text, der, (int)len); // the Java form: any name will do
    secmem_free(&der, len);
    for (unsigned i = 0; i < 200; i++) {
        struct ks_key *key;
        (void)snprintf(alias, sizeof alias, "%040X", i);
        assert_int_equal(kv_put(ring.store, alias, strlen(alias), text, (size_t)text_len, 0, 0), KV_OK);
        assert_int_equal(keyring_find(&ring, alias, &key), SKI_OK);
        assert_non_null(key->rsa8);
        if (i % 3 == 0)
            assert_int_equal(EVP_PKEY_eq(keyring_pkey(&ring, key), r.pkey), 1);
        ks_key_unref(&key);
    }
    assert_in_range(keycache_count(ring.cache), 10, 100);
    free(text);
    free(r.value);
    keycache_destroy(&ring.cache);
    assert_int_equal(kv_close(&ring.store), KV_OK);
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
    bool locked;
    struct error e;
    if (!secmem_setup(HEAP_BYTES, &locked, &e)) {
        (void)fprintf(stderr, "test_key_memory: %s\n", e.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening),
        cmocka_unit_test(openssls_form_of_a_cold_key),
        cmocka_unit_test(a_keys_cost),
        cmocka_unit_test(room_is_made_for_openssls_form),
        cmocka_unit_test(room_is_made_for_cold_keys),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
