// From a fingerprint to a key, over a real store: under every name it has, in every form it may be kept in,
// and only as long as the store says so.
#include "kit.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/log.h"
#include "keyserver/keyring.h"

#define ALIAS "A9993E364706816ABA3E25717850C26C9CD0D89D"

static struct seal_key *master, *other_master;
static struct metrics *metrics;
static struct keyring ring;
static bool engine_form; // all tests run twice
static _Atomic uint64_t now_ms;

static uint64_t clock_ms(void *arg)
{
    (void)arg;
    return now_ms;
}

static struct seal_key *new_master(const char *name)
{
    struct error e;
    assert_true(seal_key_generate(kit_path(name), &e));
    struct seal_key *key = seal_key_load(kit_path(name), &e);
    assert_non_null(key);
    return key;
}

static void open_store(uint64_t limit_bytes)
{
    char error[256] = "";
    struct kv_options options = {
        .limit_bytes = limit_bytes, .fsync = KV_FSYNC_NEVER, .create = true, .now_ms = clock_ms};
    if (kv_open(kit_path("store"), &options, &ring.store, error, sizeof error) != KV_OK)
        fail_msg("%s", error);
}

static int setup(void **state)
{
    (void)state;
    struct error e;
    kit_dir_create();
    assert_true(log_setup("keyserver", LOG_LEVEL_INFO, kit_path("log"), &e));
    master = new_master("m1");
    other_master = new_master("m2");
    metrics = metrics_create();
    now_ms = 1790000000000;
    ring = (struct keyring){.master = master,
                            .cache = keycache_create(100),
                            .cache_hits = metrics_counter(metrics, "ks_hits_total", NULL, "Hits."),
                            .cache_misses = metrics_counter(metrics, "ks_misses_total", NULL, "Misses."),
                            .lookup = metrics_histogram(metrics, "ks_lookup_seconds", NULL, "Time.")};
    ring.engine_form = engine_form;
    open_store(16u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    keycache_destroy(&ring.cache);
    assert_int_equal(kv_close(&ring.store), KV_OK);
    metrics_destroy(&metrics);
    seal_key_destroy(&master);
    seal_key_destroy(&other_master);
    log_teardown();
    kit_dir_remove();
    return 0;
}

static int release_keys(void **state)
{
    (void)state;
    kit_release();
    return 0;
}

static void put(const char *name, const void *value, size_t len, uint64_t expire_ms)
{
    assert_int_equal(kv_put(ring.store, name, strlen(name), value, len, expire_ms, 0), KV_OK);
}

static void put_alias(const char *alias, const char *name)
{
    uint8_t value[KEYRECORD_ALIAS_VALUE_LEN];
    keyrecord_encode_alias(name, value);
    put(alias, value, sizeof value, 0);
}

// The record of a key; malloc'ed. Writes its name.
static uint8_t *record(EVP_PKEY *pkey, const struct seal_key *seal_with, char name[static 45], size_t *len)
{
    static struct keyrecord_info info;
    uint8_t *value = NULL;
    assert_true(keyrecord_name(pkey, name));
    assert_int_equal(keyrecord_encode(name, &info, pkey, seal_with, &value, len), KEYRECORD_OK);
    return value;
}

static void put_key(EVP_PKEY *pkey, const struct seal_key *seal_with, char name[static 45])
{
    size_t len;
    uint8_t *value = record(pkey, seal_with, name, &len);
    put(name, value, len, 0);
    free(value);
}

static void delete (const char *name)
{
    assert_int_equal(kv_delete(ring.store, name, strlen(name), 0), KV_OK);
}

// The status, after checking that a key comes with SKI_OK alone and is the one expected.
static enum ski_status find(const char *spki, EVP_PKEY *expected)
{
    struct ks_key *key = (struct ks_key *)&now_ms; // to be set in any case
    enum ski_status status = keyring_find(&ring, spki, &key);
    assert_true((status == SKI_OK) == (key != NULL));
    if (status == SKI_OK) {
        assert_int_equal(key->rsa8 != NULL, engine_form && EVP_PKEY_is_a(expected, "RSA"));
        assert_int_equal(EVP_PKEY_eq(keyring_pkey(&ring, key), expected), 1);
    }
    ks_key_unref(&key);
    return status;
}

static enum keyrecord_type hint(const char *spki)
{
    unsigned bits;
    return keyring_hint(&ring, spki, &bits);
}

static void found_by_name_and_by_alias(void **state)
{
    (void)state;
    char name[45];
    EVP_PKEY *kinds[] = {kit_rsa(2048, 0), kit_ec("P-256", 0), kit_ec("P-384", 0), kit_ec("P-521", 0)};
    for (size_t i = 0; i < 4; i++) {
        put_key(kinds[i], i % 2 == 0 ? master : NULL, name); // sealed and plain may be mixed
        put_alias(ALIAS, name);
        uint64_t misses = metric_value(ring.cache_misses), hits = metric_value(ring.cache_hits);
        assert_int_equal(hint(name), 0);
        assert_int_equal(find(name, kinds[i]), SKI_OK);
        assert_int_equal(metric_value(ring.cache_misses), misses + 1);
        assert_int_equal(find(ALIAS, kinds[i]), SKI_OK);
        assert_int_equal(find(name, kinds[i]), SKI_OK);
        assert_int_equal(metric_value(ring.cache_misses), misses + 1); // decoded once, under one name
        assert_int_equal(metric_value(ring.cache_hits), hits + 2);
        assert_int_equal(hint(name), i == 0 ? KEYRECORD_RSA : KEYRECORD_EC);
    }
    assert_int_equal(keycache_count(ring.cache), 4);
}

// A key that is recoded is decoded anew and is the same to the edges: also its answers to malformed ciphertexts, which come from the primes.
static void recoded_key_is_the_same(void **state)
{
    (void)state;
    static const enum keyrecord_encoding encodings[] = {KEYRECORD_COMPACT, KEYRECORD_PKCS8};
    EVP_PKEY *pkey = kit_rsa(2048, 0);
    struct ks_key *first = NULL, *key = NULL;
    const char *whole;
    char name[45];
    size_t len, out_len;
    uint8_t *value = record(pkey, master, name, &len), *out = NULL;
    put(name, value, len, 0);
    assert_int_equal(keyring_find(&ring, name, &first), SKI_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(keyrecord_recode(name, value, len, master, encodings[i], &out, &out_len, &whole),
                         KEYRECORD_OK);
        assert_non_null(out);
        put(name, out, out_len, 0);
        uint64_t misses = metric_value(ring.cache_misses);
        assert_int_equal(keyring_find(&ring, name, &key), SKI_OK);
        assert_int_equal(metric_value(ring.cache_misses), misses + 1);
        assert_ptr_not_equal(key, first);
        assert_int_equal(EVP_PKEY_eq(ks_key_pkey(key), pkey), 1);
        assert_memory_equal(key->fallback_secret, first->fallback_secret, RSA_FALLBACK_SECRET_LEN);
        ks_key_unref(&key);
        free(value);
        value = out;
        len = out_len;
    }
    ks_key_unref(&first);
    free(value);
}

static void what_is_not_there(void **state)
{
    (void)state;
    char name[45];
    assert_true(keyrecord_name(kit_ec("P-256", 0), name));
    assert_int_equal(find(name, NULL), SKI_NOT_FOUND);
    assert_int_equal(find(ALIAS, NULL), SKI_NOT_FOUND);
    assert_int_equal(find("", NULL), SKI_NOT_FOUND); // an spki that is no fingerprint
    assert_int_equal(hint(""), 0);
    put_alias(ALIAS, name); // to nothing
    assert_int_equal(find(ALIAS, NULL), SKI_NOT_FOUND);
}

static void deleted_keys_are_gone_at_once(void **state)
{
    (void)state;
    char name[45];
    EVP_PKEY *pkey = kit_ec("P-256", 0);
    put_key(pkey, master, name);
    put_alias(ALIAS, name);
    assert_int_equal(find(name, pkey), SKI_OK);
    delete (ALIAS); // the alias alone
    assert_int_equal(find(ALIAS, NULL), SKI_NOT_FOUND);
    assert_int_equal(find(name, pkey), SKI_OK);
    put_alias(ALIAS, name);
    delete (name);
    assert_int_equal(find(name, NULL), SKI_NOT_FOUND);
    assert_int_equal(find(ALIAS, NULL), SKI_NOT_FOUND);
    assert_int_equal(keycache_count(ring.cache), 0); // and not in memory any more
    put_key(pkey, master, name);
    assert_int_equal(find(ALIAS, pkey), SKI_OK);
}

static void a_key_held_by_an_operation_outlives_its_deletion(void **state)
{
    (void)state;
    char name[45];
    struct ks_key *key;
    put_key(kit_ec("P-256", 0), master, name);
    assert_int_equal(keyring_find(&ring, name, &key), SKI_OK);
    delete (name);
    assert_int_equal(find(name, NULL), SKI_NOT_FOUND);
    assert_int_equal(EVP_PKEY_eq(ks_key_pkey(key), kit_ec("P-256", 0)), 1);
    ks_key_unref(&key);
}

static void expired_keys_are_gone_at_once(void **state)
{
    (void)state;
    char name[45];
    size_t len;
    EVP_PKEY *pkey = kit_ec("P-256", 0);
    uint8_t *value = record(pkey, master, name, &len);
    put(name, value, len, now_ms + 1000);
    free(value);
    assert_int_equal(find(name, pkey), SKI_OK);
    now_ms += 999;
    assert_int_equal(find(name, pkey), SKI_OK);
    now_ms += 2;
    assert_int_equal(find(name, NULL), SKI_NOT_FOUND);
}

// A record of the Java server's, under the fingerprint of a certificate, can change its key.
static char *java_record(EVP_PKEY *pkey, bool pem)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
    long len = BIO_get_mem_data(bio, &text);
    char *copy = strndup(text, (size_t)len);
    BIO_free(bio);
    if (pem)
        return copy;
    char *out = copy, *in = strchr(copy, '\n') + 1, *end = strstr(copy, "-----END");
    for (; in < end; in++)
        if (*in != '\n')
            *out++ = *in;
    *out = '\0';
    return copy;
}

static void records_of_the_java_server(void **state)
{
    (void)state;
    for (int pem = 0; pem < 2; pem++)
        for (int sealing = 0; sealing < 2; sealing++) {
            ring.master = sealing ? master : NULL;
            for (unsigned which = 0; which < 2; which++) {
                char name[45], *value = java_record(kit_rsa(2048, which), pem);
                put(ALIAS, value, strlen(value), 0);
                assert_int_equal(find(ALIAS, kit_rsa(2048, which)), SKI_OK); // also when another was cached
                assert_int_equal(find(ALIAS, kit_rsa(2048, which)), SKI_OK);
                assert_int_equal(hint(ALIAS), KEYRECORD_RSA);
                assert_true(keyrecord_name(kit_rsa(2048, which), name));
                put(name, value, strlen(value), 0);
                assert_int_equal(find(name, kit_rsa(2048, which)), SKI_OK);
                free(value);
            }
        }
}

static void a_record_put_again(void **state)
{
    (void)state;
    char name[45], other[45];
    EVP_PKEY *pkey = kit_ec("P-256", 0);
    put_key(pkey, master, name);
    assert_int_equal(find(name, pkey), SKI_OK);
    put_key(pkey, NULL, name); // in another form
    uint64_t misses = metric_value(ring.cache_misses);
    assert_int_equal(find(name, pkey), SKI_OK);
    assert_int_equal(metric_value(ring.cache_misses), misses + 1);
    // The alias is led to another key.
    put_alias(ALIAS, name);
    assert_int_equal(find(ALIAS, pkey), SKI_OK);
    put_key(kit_ec("P-256", 1), master, other);
    put_alias(ALIAS, other);
    assert_int_equal(find(ALIAS, kit_ec("P-256", 1)), SKI_OK);
    assert_int_equal(find(name, pkey), SKI_OK);
    assert_int_equal(keycache_count(ring.cache), 2);
}

static void wrong_or_missing_master(void **state)
{
    (void)state;
    char name[45];
    EVP_PKEY *pkey = kit_ec("P-256", 0);
    put_key(pkey, master, name);
    ring.master = other_master;
    assert_int_equal(find(name, NULL), SKI_UNSPECIFIED);
    ring.master = NULL;
    assert_int_equal(find(name, NULL), SKI_UNSPECIFIED);
    assert_int_equal(keycache_count(ring.cache), 0);
    put_key(pkey, NULL, name);
    assert_int_equal(find(name, pkey), SKI_OK);
    ring.master = master;
}

// Each is that record's fault alone, and the log says which and why, without the whole name.
static void damaged_records(void **state)
{
    (void)state;
    char name[45], other[45];
    size_t len;
    uint8_t *value = record(kit_ec("P-256", 0), master, name, &len);
    put_key(kit_ec("P-256", 1), master, other);
    static const size_t places[] = {0, 4, 5, 6, 18, 25, 40};
    for (size_t i = 0; i < sizeof places / sizeof places[0] + 1; i++) {
        size_t at = i < sizeof places / sizeof places[0] ? places[i] : len - 1;
        value[at] ^= 1;
        put(name, value, len, 0);
        assert_int_equal(find(name, NULL), SKI_UNSPECIFIED);
        value[at] ^= 1;
    }
    for (size_t cut = 0; cut < len; cut += 13) {
        put(name, value, cut, 0);
        assert_int_equal(find(name, NULL), SKI_UNSPECIFIED);
    }
    put(other, value, len, 0); // under another key's name
    assert_int_equal(find(other, NULL), SKI_UNSPECIFIED);
    put(name, value, len, 0);
    assert_int_equal(find(name, kit_ec("P-256", 0)), SKI_OK);
    free(value);

    log_flush();
    char *text = kit_read_file(kit_path("log"));
    char short_name[16];
    (void)snprintf(short_name, sizeof short_name, "key=%.8s ", name);
    assert_non_null(strstr(text, "key_refused"));
    assert_non_null(strstr(text, short_name));
    assert_null(strstr(text, name));
    free(text);
}

static void aliases_that_lead_nowhere(void **state)
{
    (void)state;
    char name[45];
    assert_true(keyrecord_name(kit_ec("P-256", 0), name));
    put_alias(ALIAS, name);
    put_alias(name, name); // to itself: no loop
    assert_int_equal(find(name, NULL), SKI_UNSPECIFIED);
    assert_int_equal(find(ALIAS, NULL), SKI_UNSPECIFIED);
    // Under the fingerprint of a key nothing but that key is served; and to an alias, though that one leads to a key.
    char other[45];
    put_key(kit_ec("P-256", 1), master, other);
    put_alias(name, other);
    assert_int_equal(find(name, NULL), SKI_UNSPECIFIED);
    assert_int_equal(find(ALIAS, NULL), SKI_UNSPECIFIED);
}

// Finds the bytes in the store's files and damages them. False when they are nowhere.
static bool damage_on_disk(const uint8_t *bytes, size_t len)
{
    char folder[400];
    bool found = false;
    (void)snprintf(folder, sizeof folder, "%s", kit_path("store"));
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *d; !found && (d = readdir(dir)) != NULL;) {
        char path[700];
        static uint8_t content[1 << 20];
        (void)snprintf(path, sizeof path, "%s/%s", folder, d->d_name);
        FILE *f = fopen(path, "r+");
        if (f == NULL)
            continue;
        size_t n = fread(content, 1, sizeof content, f);
        const uint8_t *at = memmem(content, n, bytes, len);
        if (at != NULL) {
            found = true;
            assert_int_equal(fseek(f, (long)(at - content) + 40, SEEK_SET), 0);
            assert_int_not_equal(fputc(at[40] ^ 1, f), EOF);
        }
        assert_int_equal(fclose(f), 0);
    }
    (void)closedir(dir);
    return found;
}

// A key that may be there and cannot be read is no key that is not there.
static void a_store_that_cannot_be_read(void **state)
{
    (void)state;
    char name[45];
    size_t len;
    uint8_t *value = record(kit_ec("P-256", 0), master, name, &len);
    assert_int_equal(kv_set_memory_limit(ring.store, 0), KV_OK); // nothing stays in memory
    put(name, value, len, 0);
    assert_int_equal(find(name, kit_ec("P-256", 0)), SKI_OK);
    keycache_remove(ring.cache, name);
    assert_true(damage_on_disk(value, len));
    assert_int_equal(find(name, NULL), SKI_STORE_DOWN);
    free(value);
}

struct seeker {
    char names[2][45];
    EVP_PKEY *keys[2];
    _Atomic bool *stop;
    unsigned found, missed, wrong;
};

static void *seek(void *arg)
{
    struct seeker *s = arg;
    for (unsigned i = 0; !*s->stop; i++) {
        struct ks_key *key;
        enum ski_status status = keyring_find(&ring, s->names[i % 2], &key);
        if (status == SKI_OK && EVP_PKEY_get_bits(ks_key_pkey(key)) == EVP_PKEY_get_bits(s->keys[i % 2]))
            s->found++;
        else if (status == SKI_NOT_FOUND && i % 2 == 1)
            s->missed++;
        else
            s->wrong++;
        ks_key_unref(&key);
    }
    return NULL;
}

// One key stays, another comes and goes while threads ask for both.
static void several_threads(void **state)
{
    (void)state;
    _Atomic bool stop = false;
    struct seeker seekers[3];
    pthread_t threads[3];
    char name[45];
    EVP_PKEY *stays = kit_ec("P-256", 0), *moves = kit_ec("P-384", 0);
    put_key(stays, master, name);
    for (size_t i = 0; i < 3; i++) {
        seekers[i] = (struct seeker){.keys = {stays, moves}, .stop = &stop};
        assert_true(keyrecord_name(stays, seekers[i].names[0]) && keyrecord_name(moves, seekers[i].names[1]));
        assert_int_equal(pthread_create(&threads[i], NULL, seek, &seekers[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        put_key(moves, master, name);
        assert_int_equal(find(name, moves), SKI_OK);
        delete (name);
        assert_int_equal(find(name, NULL), SKI_NOT_FOUND);
        keycache_shrink(ring.cache);
    }
    stop = true;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(seekers[i].wrong, 0);
    }
}

#define RING_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(found_by_name_and_by_alias),
        RING_TEST(recoded_key_is_the_same),
        RING_TEST(what_is_not_there),
        RING_TEST(deleted_keys_are_gone_at_once),
        RING_TEST(a_key_held_by_an_operation_outlives_its_deletion),
        RING_TEST(expired_keys_are_gone_at_once),
        RING_TEST(records_of_the_java_server),
        RING_TEST(a_record_put_again),
        RING_TEST(wrong_or_missing_master),
        RING_TEST(damaged_records),
        RING_TEST(aliases_that_lead_nowhere),
        RING_TEST(a_store_that_cannot_be_read),
        RING_TEST(several_threads),
    };
    int failed = cmocka_run_group_tests_name("OpenSSL's form", tests, NULL, NULL);
    engine_form = true;
    return failed + cmocka_run_group_tests_name("the engine's form", tests, NULL, release_keys);
}
