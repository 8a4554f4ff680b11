// Values of the store as key records, and texts as fingerprints. A value that opens must hold the key that its name
// says, and what the public part says must be what a reader may rely on. keyrecord_open_key() must say what keyrecord_open() says.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/keyrecord.h"
#include "common/secmem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char name[] = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
static const char alias[] = "A9993E364706816ABA3E25717850C26C9CD0D89D";

static struct seal_key *master_key(void)
{
    static struct seal_key *key;
    if (key == NULL) {
        static const uint8_t bytes[SEAL_KEY_LEN] = "a master key for fuzzing only...";
        char path[] = "/tmp/fuzz-master-XXXXXX";
        int fd = mkstemp(path);
        if (fd < 0 || write(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes)
            abort();
        key = seal_key_load(path, NULL);
        (void)close(fd);
        (void)unlink(path);
        if (key == NULL)
            abort();
    }
    return key;
}

// What is written in another encoding opens, and can be written back.
static void recode(const char *as, const uint8_t *data, size_t len, const struct seal_key *master,
                   enum keyrecord_status opens)
{
    uint8_t *out = NULL, *back = NULL;
    size_t out_len = 0, back_len = 0;
    const char *whole = NULL;
    if (keyrecord_recode(as, data, len, master, KEYRECORD_COMPACT, &out, &out_len, &whole) != opens)
        abort();
    if (out != NULL && (keyrecord_recode(as, out, out_len, master, KEYRECORD_PKCS8, &back, &back_len,
                                         &whole) != KEYRECORD_OK ||
                        back == NULL || whole != NULL))
        abort();
    free(out);
    free(back);
}

// Without OpenSSL's decoding: the same verdict, and the same key.
static void open_key(const char *as, const uint8_t *data, size_t len, const struct seal_key *master,
                     enum keyrecord_status opens, EVP_PKEY *expected)
{
    struct keyrecord_key key;
    if (keyrecord_open_key(as, data, len, master, &key) != opens)
        abort();
    if (opens == KEYRECORD_OK && (key.der != NULL) == (key.pkey != NULL))
        abort();
    if (key.der != NULL && keyrecord_decode(key.der, key.der_len, &key.pkey) != KEYRECORD_OK)
        abort();
    if (key.pkey != NULL &&
        (EVP_PKEY_eq(key.pkey, expected) != 1 || (unsigned)EVP_PKEY_get_bits(key.pkey) != key.bits))
        abort();
    keyrecord_key_clear(&key);
}

static void open_as(const char *as, const uint8_t *data, size_t len, const struct seal_key *master)
{
    EVP_PKEY *key = NULL;
    struct keyrecord_info info;
    char real[KEYRECORD_NAME_LEN + 1];
    uint8_t *der = NULL;
    size_t der_len = 0;
    enum keyrecord_status status = keyrecord_open(as, data, len, master, &key, &info);
    if ((status == KEYRECORD_OK) != (key != NULL))
        abort();
    if (key != NULL &&
        (!keyrecord_name(key, real) || (strlen(as) == KEYRECORD_NAME_LEN && strcmp(as, real) != 0)))
        abort();
    open_key(as, data, len, master, status, key);
    if (key != NULL &&
        strcmp(as, real) != 0) // a record of the Java server opens under its other name as well
        open_key(real, data, len, master, KEYRECORD_OK, key);
    EVP_PKEY_free(key);
    if (keyrecord_open_der(as, data, len, master, &der, &der_len) != status)
        abort();
    if (der != NULL)
        secmem_free(&der, der_len);
    recode(as, data, len, master, status);
}

static void read_public(const uint8_t *data, size_t len)
{
    struct keyrecord_info info;
    if (keyrecord_read_info(data, len, &info) != KEYRECORD_OK)
        return;
    if (info.cert_count > KEYRECORD_MAX_CERTS || (info.type != KEYRECORD_RSA && info.type != KEYRECORD_EC))
        abort();
    for (unsigned i = 0; i < info.cert_count; i++)
        if (memchr(info.certs[i].name, '\0', sizeof info.certs[i].name) == NULL)
            abort();
    if (info.label_count > KEYRECORD_MAX_LABELS)
        abort();
    for (unsigned i = 0; i < info.label_count; i++)
        if (!keyrecord_label_valid(info.labels[i], strnlen(info.labels[i], sizeof info.labels[i])))
            abort();
    struct keyrecord_traits *traits;
    if (keyrecord_read_traits(data, len, &traits) != KEYRECORD_OK ||
        (traits != NULL &&
         (traits->name_count != info.cert_count || traits->label_count != info.label_count)))
        abort();
    free(traits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char normal[KEYRECORD_NAME_LEN + 1], again[KEYRECORD_NAME_LEN + 1];
    read_public(data, len);
    open_as(name, data, len, NULL);
    open_as(name, data, len, master_key());
    open_as(alias, data, len, NULL);
    // A normal form is its own normal form.
    if (keyrecord_normalise((const char *)data, len, normal) &&
        (!keyrecord_normalise(normal, strlen(normal), again) || strcmp(normal, again) != 0))
        abort();
    if (keyrecord_decode_alias(data, len, normal) == KEYRECORD_IS_ALIAS &&
        strlen(normal) != KEYRECORD_NAME_LEN)
        abort();
    return 0;
}
