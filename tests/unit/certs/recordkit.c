#include "recordkit.h"

#include <stdio.h>
#include <string.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "common/keyrecord.h"

struct recordkit recordkit;

static struct seal_key *recordkit_new_master(const char *name)
{
    char path[300];
    struct error e = {""};
    (void)snprintf(path, sizeof path, "%s/%s", recordkit.folder, name);
    assert_true(seal_key_generate(path, &e));
    return seal_key_load(path, &e);
}

int recordkit_setup(void **state)
{
    (void)state;
    fixture_folder(recordkit.folder);
    recordkit.master = recordkit_new_master("m1");
    recordkit.other_master = recordkit_new_master("m2");
    return recordkit.master == NULL || recordkit.other_master == NULL;
}

int recordkit_teardown(void **state)
{
    (void)state;
    seal_key_destroy(&recordkit.master);
    seal_key_destroy(&recordkit.other_master);
    fixture_folder_remove(recordkit.folder);
    fixtures_release();
    return 0;
}

void recordkit_served_kinds(struct recordkit_kind kinds[static 4])
{
    kinds[0] = (struct recordkit_kind){fixture_rsa(2048, 0), KEYRECORD_RSA, 2048};
    kinds[1] = (struct recordkit_kind){fixture_ec("P-256", 0), KEYRECORD_EC, 256};
    kinds[2] = (struct recordkit_kind){fixture_ec("P-384", 0), KEYRECORD_EC, 384};
    kinds[3] = (struct recordkit_kind){fixture_ec("P-521", 0), KEYRECORD_EC, 521};
}

struct keyrecord_info recordkit_two_certs(void)
{
    static struct keyrecord_info info;
    memset(&info, 0, sizeof info);
    info.imported = 1790000000;
    info.cert_count = 2;
    memset(info.certs[0].sha1, 0xa1, 20);
    info.certs[0].not_after = 1800000000;
    (void)snprintf(info.certs[0].name, sizeof info.certs[0].name, "www.example.org");
    memset(info.certs[1].sha1, 0xb2, 20);
    info.certs[1].not_after = UINT64_MAX;
    memset(info.certs[1].name, 'n', 255);
    return info;
}

// The record of a key in the form asked for; malloc'ed.
uint8_t *recordkit_record_of(EVP_PKEY *key, const struct seal_key *seal_with, char name[static 45],
                             size_t *len)
{
    struct keyrecord_info info = recordkit_two_certs();
    uint8_t *value = NULL;
    assert_true(keyrecord_name(key, name));
    assert_int_equal(keyrecord_encode(name, &info, key, seal_with, &value, len), KEYRECORD_OK);
    return value;
}

// keyrecord_open_key() has the same to say, and gives the same key.
static void opens_alike(const char *name, const uint8_t *value, size_t len, const struct seal_key *m,
                        enum keyrecord_status status, EVP_PKEY *expected)
{
    static const struct keyrecord_key empty;
    struct keyrecord_key key;
    assert_int_equal(keyrecord_open_key(name, value, len, m, &key), status);
    assert_true(status == KEYRECORD_OK ? (key.pkey == NULL) != (key.der == NULL)
                                       : memcmp(&key, &empty, sizeof key) == 0);
    if (key.der != NULL)
        assert_int_equal(keyrecord_decode(key.der, key.der_len, &key.pkey), KEYRECORD_OK);
    if (key.pkey != NULL)
        assert_int_equal(EVP_PKEY_eq(key.pkey, expected), 1);
    keyrecord_key_clear(&key);
}

enum keyrecord_status recordkit_try_open(const char *name, const uint8_t *value, size_t len,
                                         const struct seal_key *m)
{
    EVP_PKEY *key = NULL;
    enum keyrecord_status status = keyrecord_open(name, value, len, m, &key, NULL);
    assert_true((status == KEYRECORD_OK) == (key != NULL));
    opens_alike(name, value, len, m, status, key);
    EVP_PKEY_free(key);
    return status;
}
