#include "kvstore/resp/rdb_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/db.h"
#include "kvstore/resp/db_count.h"

#define BATCH_KEYS  4096u
#define BATCH_BYTES ((size_t)4 * 1024 * 1024)

struct resp_load {
    struct resp_shared *shared;
    struct rdb_reader *reader;
    bool (*begin)(void *arg);
    void *arg;
    bool begun;
    bool numbered; // keys behind prefixes were put: to be counted
    struct kv_put_item *items;
    size_t count;
    uint8_t *bytes; // BATCH_BYTES: keys and values of the items
    size_t used;
    struct resp_load_counts counts;
    char error[96]; // other than the reader's
};

static bool fail(struct resp_load *load, const char *what)
{
    if (load->error[0] == '\0')
        (void)snprintf(load->error, sizeof load->error, "%s", what);
    return false;
}

static bool fail_store(struct resp_load *load, enum kv_status status)
{
    char text[sizeof load->error];
    (void)snprintf(text, sizeof text, "the store: %s", kv_status_text(status));
    return fail(load, text);
}

// ---- batches

static bool put(struct resp_load *load, struct kv_put_item *items, size_t count)
{
    if (load->error[0] != '\0')
        return false;
    enum kv_status status = kv_put_batch(load->shared->store, items, count, KV_PUT_NO_WAIT);
    for (size_t i = 0; i < count; i++) {
        if (items[i].status != KV_OK)
            continue;
        load->counts.loaded++;
        load->counts.bytes += items[i].len;
    }
    return status == KV_OK || fail_store(load, status);
}

static bool put_batch(struct resp_load *load)
{
    bool good = load->count == 0 || put(load, load->items, load->count);
    explicit_bzero(load->bytes, load->used);
    load->count = 0;
    load->used = 0;
    return good;
}

static const void *copy(struct resp_load *load, const void *data, size_t len)
{
    uint8_t *to = load->bytes + load->used;
    if (len != 0)
        memcpy(to, data, len);
    load->used += len;
    return to;
}

static bool add(struct resp_load *load, struct kv_put_item item)
{
    size_t bytes = item.key_len + item.len;
    if ((load->count == BATCH_KEYS || bytes > BATCH_BYTES - load->used) && !put_batch(load))
        return false;
    if (bytes > BATCH_BYTES)
        return put(load, &item, 1);
    item.key = copy(load, item.key, item.key_len);
    item.value = copy(load, item.value, item.len);
    load->items[load->count++] = item;
    return true;
}

// ---- from the reader

static bool begin(struct resp_load *load)
{
    if (load->begun)
        return true;
    load->begun = true;
    return load->begin == NULL || load->begin(load->arg) || fail(load, "it could not be begun");
}

static bool on_aux(void *arg, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len)
{
    (void)name;
    (void)name_len;
    (void)value;
    (void)value_len;
    return begin(arg);
}

// Counts what is left out of entries of any kind.
static bool is_wanted(struct resp_load *load, const struct rdb_entry *entry)
{
    struct resp_load_counts *c = &load->counts;
    if (entry->expired)
        c->expired++;
    else if (entry->kind != RDB_STRING)
        c->others[entry->kind]++;
    else if (entry->db >= load->shared->databases)
        c->no_database++;
    else
        return true;
    return false;
}

static bool on_other(void *arg, const struct rdb_entry *entry)
{
    (void)is_wanted(arg, entry);
    return begin(arg);
}

static bool on_string(void *arg, const struct rdb_entry *entry)
{
    struct resp_load *load = arg;
    const struct resp_arg key = {entry->key, entry->key_len};
    struct resp_db_name name;
    if (!begin(load))
        return false;
    if (!is_wanted(load, entry))
        return true;
    if (!resp_db_name(load->shared, (unsigned)entry->db, &key, &name)) {
        load->counts.unfit++;
        return true;
    }
    enum kv_status status = KV_OK;
    if (name.laid != 0) {
        load->numbered = true;
        status = resp_db_note_used(load->shared);
    }
    bool good = status == KV_OK ? add(load, (struct kv_put_item){.key = name.data,
                                                                 .key_len = name.len,
                                                                 .value = entry->value,
                                                                 .len = entry->value_len,
                                                                 .expire_ms = entry->expires_ms})
                                : fail_store(load, status);
    resp_db_name_free(&name);
    return good;
}

// ---- the public part

struct resp_load *resp_load_create(struct resp_shared *shared, bool (*begin_fn)(void *arg), void *arg)
{
    struct resp_load *load = calloc(1, sizeof *load);
    if (load == NULL)
        return NULL;
    const struct rdb_reader_options options = {.on_string = on_string,
                                               .on_other = on_other,
                                               .on_aux = on_aux,
                                               .arg = load,
                                               .max_value_bytes = KV_VALUE_MAX,
                                               .now_ms = resp_now_ms(shared)};
    *load = (struct resp_load){.shared = shared, .begin = begin_fn, .arg = arg};
    load->items = calloc(BATCH_KEYS, sizeof *load->items);
    load->bytes = malloc(BATCH_BYTES);
    load->reader = rdb_reader_create(&options);
    if (load->items != NULL && load->bytes != NULL && load->reader != NULL)
        return load;
    resp_load_destroy(load);
    return NULL;
}

void resp_load_destroy(struct resp_load *load)
{
    if (load == NULL)
        return;
    rdb_reader_destroy(load->reader);
    if (load->bytes != NULL)
        explicit_bzero(load->bytes, load->used);
    free(load->bytes);
    free(load->items);
    free(load);
}

static enum rdb_status finished(struct resp_load *load, enum rdb_status status)
{
    if (status == RDB_DONE && (!begin(load) || !put_batch(load)))
        return RDB_STOPPED;
    return status;
}

enum rdb_status resp_load_feed(struct resp_load *load, const void *bytes, size_t len, size_t *used)
{
    return finished(load, rdb_reader_feed(load->reader, bytes, len, used));
}

enum rdb_status resp_load_end(struct resp_load *load)
{
    return finished(load, rdb_reader_end(load->reader));
}

bool resp_load_settle(struct resp_load *load, bool put_rest)
{
    bool good = !put_rest || put_batch(load);
    if (load->numbered && load->shared->dbs != NULL && !resp_db_recount(load->shared))
        return fail(load, "the keys of databases could not be counted");
    load->numbered = false;
    return good;
}

const struct resp_load_counts *resp_load_counts(const struct resp_load *load)
{
    return &load->counts;
}

const char *resp_load_error(const struct resp_load *load)
{
    const char *text = rdb_reader_error(load->reader);
    return load->error[0] != '\0' || text[0] == '\0' ? load->error : text;
}
