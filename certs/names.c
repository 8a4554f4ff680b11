#include "certs/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "certs/objects.h"

// ---- all of them

bool names_add(struct names *names, const char *name)
{
    if (names->count == names->room) {
        size_t room = names->room == 0 ? 256 : names->room * 2;
        void *items = realloc(names->items, room * sizeof *names->items);
        if (items == NULL) {
            names->out_of_memory = true;
            return false;
        }
        names->items = items;
        names->room = room;
    }
    strcpy(names->items[names->count++], name);
    return true;
}

static bool take(void *arg, const char *key, size_t len)
{
    struct names *names = arg;
    char name[KEYRECORD_NAME_LEN + 1];
    // Only the exact form counts: a key in another spelling would never be found by the key server.
    if (!keyrecord_normalise(key, len, name) || strlen(name) != len || memcmp(name, key, len) != 0) {
        names->others++;
        return true;
    }
    return names_add(names, name);
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void sort_and_dedupe(struct names *names)
{
    if (names->count == 0)
        return;
    qsort(names->items, names->count, sizeof *names->items, compare);
    size_t kept = 1;
    for (size_t i = 1; i < names->count; i++)
        if (strcmp(names->items[kept - 1], names->items[i]) != 0)
            memmove(names->items[kept++], names->items[i], sizeof *names->items);
    names->count = kept;
}

bool names_collect(struct store *store, struct names *names, struct error *e)
{
    memset(names, 0, sizeof *names);
    if (!store_scan(store, take, names, e))
        return false;
    if (names->out_of_memory) {
        error_set(e, "out of memory");
        return false;
    }
    sort_and_dedupe(names);
    return true;
}

void names_release(struct names *names)
{
    free(names->items);
    memset(names, 0, sizeof *names);
}

void names_alias(const uint8_t sha1[static 20], char alias[static KEYRECORD_ALIAS_LEN + 1])
{
    for (size_t i = 0; i < 20; i++)
        (void)snprintf(alias + 2 * i, 3, "%02X", sha1[i]);
}

// ---- one record

void record_release(struct record *record)
{
    store_value_free(&record->value, record->len);
    record->len = 0;
}

enum store_status record_get(struct store *store, const char *name, struct record *record, struct error *e)
{
    char target[KEYRECORD_NAME_LEN + 1];
    memset(record, 0, sizeof *record);
    (void)snprintf(record->name, sizeof record->name, "%s", name);
    enum store_status status =
        store_get(store, name, strlen(name), &record->value, &record->len, &record->expire_ms, e);
    if (status != STORE_OK ||
        keyrecord_decode_alias(record->value, record->len, target) != KEYRECORD_IS_ALIAS)
        return status;
    record_release(record);
    strcpy(record->name, target);
    return store_get(store, target, strlen(target), &record->value, &record->len, &record->expire_ms, e);
}

// ---- the one that is meant

static bool from_file(const char *path, char name[static KEYRECORD_NAME_LEN + 1], struct error *e)
{
    X509 *cert = objects_load_cert(path, e);
    EVP_PKEY *key = cert != NULL ? X509_get0_pubkey(cert) : NULL;
    bool ok = key != NULL && keyrecord_name(key, name);
    if (cert != NULL && !ok)
        error_set(e, "%s: the certificate's key is of a kind that is not served", path);
    X509_free(cert);
    return ok;
}

static bool names_a_cert(const struct record *record, const char *text)
{
    struct keyrecord_info info;
    if (keyrecord_read_info(record->value, record->len, &info) != KEYRECORD_OK)
        return false;
    for (unsigned i = 0; i < info.cert_count; i++)
        if (strcasecmp(info.certs[i].name, text) == 0)
            return true;
    return false;
}

static bool from_cert_name(struct store *store, const char *text, char name[static KEYRECORD_NAME_LEN + 1],
                           struct error *e)
{
    struct names all;
    size_t found = 0;
    bool ok = names_collect(store, &all, e);
    for (size_t i = 0; ok && i < all.count; i++) {
        struct record record;
        if (strlen(all.items[i]) != KEYRECORD_NAME_LEN)
            continue; // aliases, and records that say nothing about certificates
        enum store_status status = record_get(store, all.items[i], &record, e);
        ok = status != STORE_FAILED;
        if (status == STORE_OK && names_a_cert(&record, text) && found++ == 0)
            strcpy(name, all.items[i]);
        record_release(&record);
    }
    names_release(&all);
    if (ok && found == 0)
        error_set(e, "\"%.100s\" is no fingerprint, no file, and no key's certificate has that name", text);
    else if (ok && found > 1)
        error_set(e, "\"%.100s\" is the certificate name of %zu keys: give a fingerprint (certs list)", text,
                  found);
    return ok && found == 1;
}

bool names_resolve(struct store *store, const char *text, bool by_cert_name,
                   char name[static KEYRECORD_NAME_LEN + 1], struct error *e)
{
    struct stat st;
    if (keyrecord_normalise(text, strlen(text), name))
        return true;
    if (stat(text, &st) == 0)
        return from_file(text, name, e);
    if (by_cert_name)
        return from_cert_name(store, text, name, e);
    error_set(e, "\"%.100s\" is neither a fingerprint nor the file of a certificate", text);
    return false;
}

bool names_pointing_to(struct store *store, const char *name, struct names *aliases, struct error *e)
{
    struct names all;
    memset(aliases, 0, sizeof *aliases);
    bool ok = names_collect(store, &all, e);
    for (size_t i = 0; ok && i < all.count; i++) {
        char target[KEYRECORD_NAME_LEN + 1];
        uint8_t *value = NULL;
        size_t len = 0;
        if (strlen(all.items[i]) != KEYRECORD_ALIAS_LEN)
            continue;
        enum store_status status = store_get(store, all.items[i], KEYRECORD_ALIAS_LEN, &value, &len, NULL, e);
        ok = status != STORE_FAILED;
        if (status == STORE_OK && keyrecord_decode_alias(value, len, target) == KEYRECORD_IS_ALIAS &&
            strcmp(target, name) == 0 && !names_add(aliases, all.items[i])) {
            error_set(e, "out of memory");
            ok = false;
        }
        store_value_free(&value, len);
    }
    names_release(&all);
    return ok;
}
