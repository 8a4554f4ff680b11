#include "certs/verify.h"

#include <string.h>

#include "certs/keycheck.h"
#include "certs/names.h"
#include "certs/progress.h"
#include "certs/text.h"

struct verify {
    struct store *store;
    const struct verify_options *options;
    struct verify_counts counts;
    struct keyrecord_info info; // of the record at hand
};

static void fault(struct verify *v, const char *name, const char *why)
{
    v->counts.faults++;
    progress_hide();
    if (v->options->json)
        (void)text_json_line(v->options->out,
                             json_pack("{s:s, s:s, s:s}", "result", "fault", "name", name, "reason", why));
    else
        (void)fprintf(v->options->out, "fault %s: %s\n", name, why);
}

// Every certificate that the record lists must be found by its alias.
static void check_cert_aliases(struct verify *v, const char *name)
{
    for (unsigned i = 0; i < v->info.cert_count; i++) {
        char alias[KEYRECORD_ALIAS_LEN + 1], target[KEYRECORD_NAME_LEN + 1];
        uint8_t *value = NULL;
        size_t len = 0;
        struct error e = {""};
        names_alias(v->info.certs[i].sha1, alias);
        enum store_status found = store_get(v->store, alias, KEYRECORD_ALIAS_LEN, &value, &len, NULL, &e);
        if (found != STORE_OK || keyrecord_decode_alias(value, len, target) != KEYRECORD_IS_ALIAS ||
            strcmp(target, name) != 0) {
            error_set(&e, "its certificate %s (%s) is not found by its fingerprint; import it again", alias,
                      v->info.certs[i].name);
            fault(v, name, e.text);
        }
        store_value_free(&value, len);
    }
}

static void check_record(struct verify *v, const char *name, const uint8_t *value, size_t len)
{
    EVP_PKEY *key = NULL;
    struct error why = {""};
    enum keyrecord_status status = keyrecord_open(name, value, len, v->options->master, &key, &v->info);
    bool unopened = status == KEYRECORD_NO_MASTER;
    if (unopened)
        status = keyrecord_read_info(value, len, &v->info);
    if (status != KEYRECORD_OK) {
        fault(v, name, keyrecord_status_text(status));
    } else if (key != NULL && v->options->deep && !keycheck(key, &why)) {
        fault(v, name, why.text);
    } else {
        v->counts.keys++;
        v->counts.unopened += unopened;
        v->counts.compact += v->info.encoding == KEYRECORD_COMPACT;
        check_cert_aliases(v, name);
    }
    EVP_PKEY_free(key);
}

static void check_alias(struct verify *v, const char *alias, const char *target)
{
    uint8_t *value = NULL;
    size_t len = 0;
    struct error e = {""};
    enum store_status found = store_get(v->store, target, strlen(target), &value, &len, NULL, &e);
    if (found == STORE_NOT_FOUND) {
        error_set(&e, "an alias that leads nowhere: %s is not in the store", target);
        fault(v, alias, e.text);
    } else if (found == STORE_FAILED) {
        fault(v, alias, e.text);
    } else if (keyrecord_read_info(value, len, &v->info) != KEYRECORD_OK) {
        // The record has a fault of its own.
    } else {
        bool known = false;
        char sha1[KEYRECORD_ALIAS_LEN + 1];
        for (unsigned i = 0; i < v->info.cert_count && !known; i++) {
            names_alias(v->info.certs[i].sha1, sha1);
            known = strcmp(sha1, alias) == 0;
        }
        if (known)
            v->counts.aliases++;
        else {
            error_set(&e, "an alias of %s, which has no such certificate", target);
            fault(v, alias, e.text);
        }
    }
    store_value_free(&value, len);
}

static void check_name(struct verify *v, const char *name)
{
    uint8_t *value = NULL;
    size_t len = 0;
    char target[KEYRECORD_NAME_LEN + 1];
    struct error e = {""};
    enum store_status found = store_get(v->store, name, strlen(name), &value, &len, NULL, &e);
    if (found == STORE_FAILED)
        fault(v, name, e.text);
    else if (found == STORE_OK && keyrecord_decode_alias(value, len, target) == KEYRECORD_IS_ALIAS) {
        if (strlen(name) == KEYRECORD_ALIAS_LEN)
            check_alias(v, name, target);
        else
            fault(v, name, "an alias where a key should be");
    } else if (found == STORE_OK) {
        check_record(v, name, value, len);
    } // else it was deleted or expired since the scan
    store_value_free(&value, len);
}

bool verify_store(struct store *store, const struct verify_options *options, struct verify_counts *counts,
                  struct error *e)
{
    struct names names;
    struct verify v = {.store = store, .options = options};
    bool ok = names_collect(store, &names, e);
    v.counts.others = names.others;
    progress_begin("verifying", names.count);
    for (size_t i = 0; ok && i < names.count; i++) {
        check_name(&v, names.items[i]);
        progress_at(i + 1);
    }
    progress_end();
    names_release(&names);
    *counts = v.counts;
    return ok;
}
