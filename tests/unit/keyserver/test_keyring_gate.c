// A key that somebody has to admit first: asked about with its names and labels, before it is unsealed, once more when
// it is decoded already, and not when it is not there.
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "keyserver/keyring.h"

#define ALIAS "A9993E364706816ABA3E25717850C26C9CD0D89D"

static struct seal_key *master, *other;
static struct keyring ring;
static struct metrics *metrics;

static struct seal_key *new_master(const char *name)
{
    struct error e;
    assert_true(seal_key_generate(kit_path(name), &e));
    struct seal_key *key = seal_key_load(kit_path(name), &e);
    assert_non_null(key);
    return key;
}

static int setup(void **state)
{
    const struct kv_options options = {.limit_bytes = 16u << 20, .fsync = KV_FSYNC_NEVER, .create = true};
    char why[256];
    struct error e;
    (void)state;
    kit_dir_create();
    assert_true(log_setup("keyserver", LOG_LEVEL_INFO, kit_path("log"), &e));
    master = new_master("m1");
    other = new_master("m2");
    metrics = metrics_create();
    ring = (struct keyring){.master = master,
                            .cache = keycache_create(100),
                            .engine_form = true,
                            .cache_misses = metrics_counter(metrics, "ks_misses_total", NULL, "Misses.")};
    assert_int_equal(kv_open(kit_path("store"), &options, &ring.store, why, sizeof why), KV_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    keycache_destroy(&ring.cache);
    assert_int_equal(kv_close(&ring.store), KV_OK);
    metrics_destroy(&metrics);
    seal_key_destroy(&master);
    seal_key_destroy(&other);
    log_teardown();
    kit_dir_remove();
    kit_release();
    return 0;
}

static void put(const char *name, const void *value, size_t len)
{
    assert_int_equal(kv_put(ring.store, name, strlen(name), value, len, 0, 0), KV_OK);
}

// Puts the key's record and an alias of it; writes its name.
static void put_key(EVP_PKEY *pkey, const struct keyrecord_info *info, const struct seal_key *seal_with,
                    char name[static 45])
{
    uint8_t *value = NULL, alias[KEYRECORD_ALIAS_VALUE_LEN];
    size_t len;
    assert_true(keyrecord_name(pkey, name));
    assert_int_equal(keyrecord_encode(name, info, pkey, seal_with, &value, &len), KEYRECORD_OK);
    put(name, value, len);
    free(value);
    keyrecord_encode_alias(name, alias);
    put(ALIAS, alias, sizeof alias);
}

struct asked { // what a gate was asked about
    unsigned times;
    bool answer;
    char name[45];
    unsigned names, labels;
    char text[64];
};

static bool remember(void *arg, const struct access_key *key)
{
    struct asked *asked = arg;
    asked->times++;
    (void)snprintf(asked->name, sizeof asked->name, "%s", key->name);
    asked->names = key->traits != NULL ? key->traits->name_count : 0;
    asked->labels = key->traits != NULL ? key->traits->label_count : 0;
    if (key->traits != NULL)
        memcpy(asked->text, key->traits->text, sizeof "a.test" + sizeof "b.test" + sizeof "eu");
    return asked->answer;
}

static enum ski_status find_admitted(const char *spki, struct asked *asked)
{
    const struct keyring_gate gate = {.admit = remember, .arg = asked};
    struct ks_key *key = NULL;
    enum ski_status status = keyring_find_admitted(&ring, &gate, spki, &key);
    assert_true((status == SKI_OK) == (key != NULL));
    ks_key_unref(&key);
    return status;
}

// Decided by the record's own name, with its certificates' names and labels, and before anything is decoded: the
// master key is another one, so that unsealing would fail.
static void the_gate_comes_before_the_seal(void **state)
{
    (void)state;
    static struct keyrecord_info info = {.cert_count = 2,
                                         .certs = {{.name = "a.test"}, {.name = "b.test"}},
                                         .label_count = 1,
                                         .labels = {"eu"}};
    struct asked no = {.answer = false}, yes = {.answer = true};
    char name[45];
    put_key(kit_ec("P-256", 0), &info, other, name);
    assert_int_equal(find_admitted(ALIAS, &no), SKI_DENIED);
    assert_int_equal(no.times, 1);
    assert_string_equal(no.name, name);
    assert_int_equal(no.names, 2);
    assert_int_equal(no.labels, 1);
    assert_memory_equal(no.text, "a.test\0b.test\0eu", 17);
    assert_int_equal(keycache_count(ring.cache), 0);
    assert_int_equal(metric_value(ring.cache_misses), 0);
    assert_int_equal(find_admitted(name, &yes), SKI_UNSPECIFIED);
    assert_int_equal(yes.times, 1);
}

// A decoded key is asked about as one that is read; one that is not there is not.
static void the_gate_of_a_decoded_key(void **state)
{
    (void)state;
    struct asked no = {.answer = false}, yes = {.answer = true};
    char name[45];
    static const struct keyrecord_info bare;
    put_key(kit_rsa(2048, 0), &bare, master, name);
    assert_int_equal(find_admitted(name, &yes), SKI_OK);
    assert_int_equal(find_admitted(name, &yes), SKI_OK);
    assert_int_equal(find_admitted(name, &no), SKI_DENIED);
    assert_int_equal(yes.times, 2);
    assert_int_equal(no.times, 1);
    assert_int_equal(no.names + no.labels, 0);
    assert_int_equal(keycache_count(ring.cache), 1);
    assert_int_equal(kv_delete(ring.store, name, strlen(name), 0), KV_OK);
    assert_int_equal(find_admitted(name, &no), SKI_NOT_FOUND);
    assert_int_equal(no.times, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_gate_comes_before_the_seal, setup, teardown),
        cmocka_unit_test_setup_teardown(the_gate_of_a_decoded_key, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
