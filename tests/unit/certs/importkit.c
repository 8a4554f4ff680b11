#include "importkit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <jansson.h>
#include <openssl/pkcs12.h>

#include "certs/import.h"
#include "certs/verify.h"
#include "common/keyrecord.h"

struct importkit importkit;

const char *importkit_in(const char *name)
{
    (void)snprintf(importkit.path, sizeof importkit.path, "%s/%s", importkit.input, name);
    return importkit.path;
}

static struct seal_key *importkit_new_master(const char *name)
{
    struct error e = {""};
    (void)snprintf(importkit.path, sizeof importkit.path, "%s/%s", importkit.folder, name);
    assert_true(seal_key_generate(importkit.path, &e));
    return seal_key_load(importkit.path, &e);
}

int importkit_setup(void **state)
{
    (void)state;
    fixture_folder(importkit.folder);
    (void)snprintf(importkit.input, sizeof importkit.input, "%s/in", importkit.folder);
    (void)snprintf(importkit.store_dir, sizeof importkit.store_dir, "%s/store", importkit.folder);
    assert_int_equal(mkdir(importkit.input, 0700), 0);
    importkit.master = importkit_new_master("m1");
    importkit.other_master = importkit_new_master("m2");
    importkit.now = (uint64_t)time(NULL);
    return 0;
}

int importkit_teardown(void **state)
{
    (void)state;
    seal_key_destroy(&importkit.master);
    seal_key_destroy(&importkit.other_master);
    fixture_folder_remove(importkit.folder);
    return 0;
}

struct store *importkit_open_store(void)
{
    struct error e = {""};
    struct store *store = store_open(importkit.store_dir, true, &e);
    if (store == NULL)
        fail_msg("%s", e.text);
    return store;
}

struct import_options importkit_sealed_options(void)
{
    return (struct import_options){.master = importkit.master, .now = importkit.now, .json = true};
}

struct importkit_said importkit_run_on(const char *what, struct import_options options)
{
    struct importkit_said said = {.count = 0};
    struct error e = {""};
    char *text = NULL, *item = strdup(what), *save = NULL;
    size_t len = 0;
    const struct config_list list = {&item, 1};
    struct input_files files;
    struct store *store = importkit_open_store();
    options.out = open_memstream(&text, &len);
    assert_true(files_collect(&list, &files));
    if (!import_run(store, &files, &options, &said.counts, &e))
        fail_msg("%s", e.text);
    files_release(&files);
    store_close(&store);
    free(item);
    assert_int_equal(fclose(options.out), 0);
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        assert_true(said.count < 400);
        said.lines[said.count] = json_loads(line, 0, NULL);
        assert_non_null(said.lines[said.count++]);
    }
    free(text);
    return said;
}

void importkit_forget(struct importkit_said *said)
{
    for (size_t i = 0; i < said->count; i++)
        json_decref(said->lines[i]);
    said->count = 0;
}

const char *importkit_field(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    return text != NULL ? text : "";
}

// The line about a file (the end of its path) with a result; NULL when there is none.
json_t *importkit_line_of(const struct importkit_said *said, const char *result, const char *file)
{
    for (size_t i = 0; i < said->count; i++) {
        const char *path_said = importkit_field(said->lines[i], "file");
        size_t a = strlen(path_said), b = strlen(file);
        if (strcmp(importkit_field(said->lines[i], "result"), result) == 0 && a >= b &&
            strcmp(path_said + a - b, file) == 0)
            return said->lines[i];
    }
    return NULL;
}

void importkit_expect_reason(const struct importkit_said *said, const char *result, const char *file,
                             const char *part)
{
    const json_t *line = importkit_line_of(said, result, file);
    if (line == NULL)
        fail_msg("nothing %s about %s", result, file);
    if (strstr(importkit_field(line, "reason"), part) == NULL)
        fail_msg("%s: \"%s\", expected \"%s\"", file, importkit_field(line, "reason"), part);
}

void importkit_expect_counts(struct importkit_said *said, uint64_t imported, uint64_t unchanged,
                             uint64_t skipped, uint64_t refused)
{
    const struct import_counts *c = &said->counts;
    if (c->imported != imported || c->unchanged != unchanged || c->skipped != skipped ||
        c->refused != refused) {
        for (size_t i = 0; i < said->count; i++) {
            char *text = json_dumps(said->lines[i], 0);
            print_message("%s\n", text);
            free(text);
        }
        fail_msg("imported %u unchanged %u skipped %u refused %u", (unsigned)c->imported,
                 (unsigned)c->unchanged, (unsigned)c->skipped, (unsigned)c->refused);
    }
    const json_t *summary = json_object_get(said->lines[said->count - 1], "summary");
    assert_int_equal(json_integer_value(json_object_get(summary, "imported")), (json_int_t)imported);
    assert_int_equal(json_integer_value(json_object_get(summary, "refused")), (json_int_t)refused);
}

void importkit_expect(const char *what, struct import_options options, uint64_t imported, uint64_t unchanged,
                      uint64_t skipped, uint64_t refused)
{
    struct importkit_said said = importkit_run_on(what, options);
    importkit_expect_counts(&said, imported, unchanged, skipped, refused);
    importkit_forget(&said);
}

// The key under a name of the store, after at most one alias.
void importkit_expect_in_store(const char *name, EVP_PKEY *key, const struct seal_key *with,
                               uint64_t want_expire_ms)
{
    struct store *store = importkit_open_store();
    struct error e = {""};
    char target[45];
    uint8_t *value = NULL;
    size_t len = 0;
    uint64_t expire_ms = 1;
    EVP_PKEY *opened = NULL;
    assert_int_equal(store_get(store, name, strlen(name), &value, &len, &expire_ms, &e), STORE_OK);
    assert_true(expire_ms == want_expire_ms);
    if (keyrecord_decode_alias(value, len, target) == KEYRECORD_IS_ALIAS) {
        store_value_free(&value, len);
        assert_int_equal(store_get(store, target, strlen(target), &value, &len, &expire_ms, &e), STORE_OK);
        assert_true(expire_ms == want_expire_ms);
        name = target;
    }
    assert_int_equal(keyrecord_open(name, value, len, with, &opened, NULL), KEYRECORD_OK);
    assert_int_equal(EVP_PKEY_eq(key, opened), 1);
    EVP_PKEY_free(opened);
    store_value_free(&value, len);
    store_close(&store);
}

void importkit_expect_whole_store(const struct seal_key *with, uint64_t keys, uint64_t aliases)
{
    struct verify_counts counts;
    struct error e = {""};
    struct store *store = importkit_open_store();
    const struct verify_options options = {.master = with, .deep = true, .out = stderr};
    assert_true(verify_store(store, &options, &counts, &e));
    assert_int_equal(counts.faults, 0);
    assert_int_equal(counts.keys, keys);
    assert_int_equal(counts.aliases, aliases);
    store_close(&store);
}

X509 *importkit_write_pair(const char *base, EVP_PKEY *key, int days)
{
    char name[100];
    X509 *cert = fixture_cert(key, NULL, base, NULL, days);
    (void)snprintf(name, sizeof name, "%s.crt", base);
    fixture_write_cert_pem(importkit_in(name), cert);
    (void)snprintf(name, sizeof name, "%s.key", base);
    fixture_write_key_pem(importkit_in(name), key, NULL);
    return cert;
}

void importkit_write_p12(const char *file, EVP_PKEY *key, X509 *cert, const char *pass)
{
    PKCS12 *p12 =
        PKCS12_create(pass, "site", key, cert, NULL, NID_aes_256_cbc, NID_aes_256_cbc, 1000, 1000, 0);
    unsigned char *der = NULL;
    int len = i2d_PKCS12(p12, &der);
    assert_true(len > 0);
    fixture_write(file, der, (size_t)len, 0600);
    OPENSSL_free(der);
    PKCS12_free(p12);
}

void importkit_write_der(const char *file, EVP_PKEY *key, X509 *cert)
{
    unsigned char *der = NULL;
    int len = key != NULL ? i2d_PrivateKey(key, &der) : i2d_X509(cert, &der);
    assert_true(len > 0);
    fixture_write(file, der, (size_t)len, 0600);
    OPENSSL_free(der);
}
