// The last step of an import: what is in the store already, what has to change, and its durability.
//
// All reads of a batch come before all its writes. Through a key server that matters: answers come in order,
// so a read between two writes would wait for the first one's sync.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>

#include "certs/import_parts.h"
#include "certs/names.h"
#include "certs/text.h"

bool import_batch_init(struct import_batch *batch, struct store *store, struct import_report *report)
{
    *batch = (struct import_batch){.store = store, .report = report};
    batch->items = calloc(IMPORT_BATCH, sizeof *batch->items);
    return batch->items != NULL;
}

static void drop_items(struct import_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        EVP_PKEY_free(batch->items[i].key);
    batch->count = 0;
}

void import_batch_deinit(struct import_batch *batch)
{
    drop_items(batch);
    free(batch->items);
    batch->items = NULL;
}

void import_batch_add(struct import_batch *batch, EVP_PKEY *key, const char *name,
                      const struct keyrecord_info *info, const char *file)
{
    bool present = false;
    for (size_t i = 0; i < batch->count; i++)
        present = present || strcmp(batch->items[i].name, name) == 0;
    if (present || batch->count == IMPORT_BATCH)
        import_batch_run(batch);
    struct import_candidate *c = &batch->items[batch->count++];
    memset(c, 0, sizeof *c);
    (void)EVP_PKEY_up_ref(key);
    c->key = key;
    c->file = file;
    c->info = *info;
    (void)snprintf(c->name, sizeof c->name, "%s", name);
}

static bool has_cert(const struct keyrecord_info *info, const uint8_t sha1[static 20])
{
    for (unsigned i = 0; i < info->cert_count; i++)
        if (memcmp(info->certs[i].sha1, sha1, 20) == 0)
            return true;
    return false;
}

// Adds the new certificates behind those that the record has. When there are too many the one that ends first
// goes: edges that still use it are the least likely.
static bool merge(struct keyrecord_info *into, const struct keyrecord_info *from)
{
    bool changed = false;
    for (unsigned i = 0; i < from->cert_count; i++) {
        if (has_cert(into, from->certs[i].sha1))
            continue;
        if (into->cert_count == KEYRECORD_MAX_CERTS) {
            unsigned first = 0;
            for (unsigned j = 1; j < into->cert_count; j++)
                if (into->certs[j].not_after < into->certs[first].not_after)
                    first = j;
            if (into->certs[first].not_after >= from->certs[i].not_after)
                continue;
            memmove(&into->certs[first], &into->certs[first + 1],
                    (--into->cert_count - first) * sizeof into->certs[0]);
        }
        into->certs[into->cert_count++] = from->certs[i];
        changed = true;
    }
    return changed;
}

// The labels asked for take the place of those that the record has.
static bool relabel(struct keyrecord_info *info, const struct keyrecord_info *asked)
{
    if (asked->label_count == 0 || (asked->label_count == info->label_count &&
                                    memcmp(asked->labels, info->labels, sizeof info->labels) == 0))
        return false;
    info->label_count = asked->label_count;
    memcpy(info->labels, asked->labels, sizeof info->labels);
    return true;
}

// Decides what a record that is there already means for the candidate.
static void meet_record(struct import_candidate *c, const struct import_options *o,
                        enum keyrecord_status status, struct keyrecord_info *old)
{
    switch (status) {
    case KEYRECORD_OK:
        c->changed = merge(old, &c->info);
        c->changed =
            relabel(old, &c->info) || c->changed || old->sealed != (o->master != NULL) || old->imported == 0;
        if (old->imported == 0) { // a record of the Java key server, which becomes one of ours
            old->imported = c->info.imported;
            old->encoding = c->info.encoding;
        }
        c->info = *old;
        break;
    case KEYRECORD_NO_MASTER:
    case KEYRECORD_OTHER_MASTER:
        c->changed = true;
        if (!o->force)
            error_set(&c->outcome, "the store has this key %s; --force replaces it",
                      keyrecord_status_text(status));
        break;
    case KEYRECORD_NO_MEMORY:
        error_set(&c->outcome, "%s", keyrecord_status_text(status));
        break;
    default:
        c->changed = true;
        (void)snprintf(c->note, sizeof c->note, "replaces a record that could not be read: %s",
                       keyrecord_status_text(status));
        break;
    }
}

// Whether every alias of a record points to it.
static bool aliases_whole(struct import_batch *batch, const struct import_candidate *c)
{
    for (unsigned i = 0; i < c->info.cert_count; i++) {
        char alias[KEYRECORD_ALIAS_LEN + 1], points_to[KEYRECORD_NAME_LEN + 1];
        uint8_t *value = NULL;
        size_t len = 0;
        struct error ignored;
        names_alias(c->info.certs[i].sha1, alias);
        enum store_status status =
            store_get(batch->store, alias, KEYRECORD_ALIAS_LEN, &value, &len, NULL, &ignored);
        bool whole = status == STORE_OK &&
                     keyrecord_decode_alias(value, len, points_to) == KEYRECORD_IS_ALIAS &&
                     strcmp(points_to, c->name) == 0;
        store_value_free(&value, len);
        if (!whole)
            return false;
    }
    return true;
}

// Reads what is there. Afterwards the candidate says what should be, and whether that is a change.
static void look_up(struct import_batch *batch, struct import_candidate *c)
{
    const struct import_options *o = batch->report->options;
    uint8_t *value = NULL;
    size_t len = 0;
    uint64_t old_expire_ms = 0;
    enum store_status found =
        store_get(batch->store, c->name, KEYRECORD_NAME_LEN, &value, &len, &old_expire_ms, &c->outcome);
    if (found == STORE_FAILED)
        return;
    c->changed = found == STORE_NOT_FOUND;
    if (found == STORE_OK) {
        static struct keyrecord_info old; // 18 KiB; imports run on one thread
        EVP_PKEY *key = NULL;
        enum keyrecord_status status = keyrecord_open(c->name, value, len, o->master, &key, &old);
        EVP_PKEY_free(key);
        store_value_free(&value, len);
        meet_record(c, o, status, &old);
    }
    uint64_t latest = text_latest(&c->info);
    if (o->expire && latest != 0 && latest <= o->now) {
        error_set(&c->outcome,
                  "with --expire it would leave the store at once: its last certificate has ended");
        return;
    }
    c->expire_ms = o->expire && latest != 0 ? latest * 1000 : old_expire_ms;
    c->changed = c->changed || c->expire_ms != old_expire_ms;
    if (c->outcome.text[0] == '\0' && !c->changed)
        c->changed = !aliases_whole(batch, c);
}

// A key that has no compact form is kept whole, which is said of RSA keys: of others nobody expects it.
static void settle_encoding(struct import_candidate *c)
{
    const char *whole = NULL;
    if (c->info.encoding != KEYRECORD_COMPACT || keyrecord_kept_whole(c->key, &whole) != KEYRECORD_OK ||
        whole == NULL)
        return;
    c->info.encoding = KEYRECORD_PKCS8;
    if (c->info.type == KEYRECORD_RSA && c->note[0] == '\0')
        (void)snprintf(c->note, sizeof c->note, "kept as PKCS#8: it has %s", whole);
}

// The record first: an alias never names a record that is not there yet.
static void put(struct import_batch *batch, struct import_candidate *c)
{
    const struct seal_key *master = batch->report->options->master;
    uint8_t *value = NULL, alias_value[KEYRECORD_ALIAS_VALUE_LEN];
    size_t len = 0;
    settle_encoding(c);
    enum keyrecord_status status = keyrecord_encode(c->name, &c->info, c->key, master, &value, &len);
    if (status != KEYRECORD_OK) {
        error_set(&c->outcome, "%s", keyrecord_status_text(status));
        return;
    }
    c->info.sealed = master != NULL;
    store_put(batch->store, c->name, KEYRECORD_NAME_LEN, value, len, c->expire_ms, &c->outcome);
    OPENSSL_cleanse(value, len);
    free(value);
    keyrecord_encode_alias(c->name, alias_value);
    for (unsigned i = 0; i < c->info.cert_count; i++) {
        char alias[KEYRECORD_ALIAS_LEN + 1];
        names_alias(c->info.certs[i].sha1, alias);
        store_put(batch->store, alias, KEYRECORD_ALIAS_LEN, alias_value, sizeof alias_value, c->expire_ms,
                  &c->outcome);
    }
}

void import_batch_run(struct import_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        look_up(batch, &batch->items[i]);
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i].outcome.text[0] == '\0' && batch->items[i].changed)
            put(batch, &batch->items[i]);
    (void)store_flush(batch->store); // each outcome says whether its writes are durable
    for (size_t i = 0; i < batch->count; i++) {
        const struct import_candidate *c = &batch->items[i];
        if (c->outcome.text[0] != '\0')
            import_tell(batch->report, IMPORT_REFUSED, c->file, c->outcome.text);
        else
            import_tell_key(batch->report, c->changed ? IMPORT_IMPORTED : IMPORT_UNCHANGED, c->file, c->name,
                            &c->info, c->expire_ms, c->note[0] != '\0' ? c->note : NULL);
    }
    if (fflush(batch->report->options->out) != 0)
        batch->report->broken = true;
    drop_items(batch);
}
