// bench_rocksdb: the same load for RocksDB. Blocks of one record, no compression, Bloom filter. The --memory
// is its block cache, with direct reads; --buffered: a small block cache over the page cache. Batches by its
// batched MultiGet. Loading is without its log, and ends with one flush and one compaction.
#include "kvstore/kvbench_report.h"

#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_CACHE (8u << 20)
#define BLOCK       4096u

struct target {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_column_family_handle_t *family;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    rocksdb_flushoptions_t *flush;
    bool buffered;
    uint64_t limit;
};

static void make_options(struct target *t, const struct bench_options *o, bool create)
{
    t->buffered = o->buffered;
    t->limit = o->buffered ? SMALL_CACHE : o->memory;
    t->cache = rocksdb_cache_create_lru(t->limit);
    t->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(t->table, t->cache);
    rocksdb_block_based_options_set_block_size(t->table, BLOCK);
    rocksdb_block_based_options_set_format_version(t->table, 5);
    rocksdb_block_based_options_set_filter_policy(t->table, rocksdb_filterpolicy_create_bloom(10));
    rocksdb_block_based_options_set_data_block_index_type(
        t->table, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
    t->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(t->options, create);
    rocksdb_options_set_error_if_exists(t->options, create);
    rocksdb_options_set_compression(t->options, rocksdb_no_compression);
    rocksdb_options_set_block_based_table_factory(t->options, t->table);
    rocksdb_options_set_use_direct_reads(t->options, !o->buffered);
    rocksdb_options_set_use_direct_io_for_flush_and_compaction(t->options, !o->buffered);
    rocksdb_options_set_max_open_files(t->options, -1);
    rocksdb_options_set_write_buffer_size(t->options, 64u << 20);
    rocksdb_options_set_info_log_level(t->options, 3); // errors
    t->read = rocksdb_readoptions_create();
    t->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(t->write, 1);
    t->flush = rocksdb_flushoptions_create();
}

static void destroy(struct target *t)
{
    if (t->family != NULL)
        rocksdb_column_family_handle_destroy(t->family);
    if (t->db != NULL)
        rocksdb_close(t->db);
    rocksdb_flushoptions_destroy(t->flush);
    rocksdb_writeoptions_destroy(t->write);
    rocksdb_readoptions_destroy(t->read);
    rocksdb_options_destroy(t->options);
    rocksdb_block_based_options_destroy(t->table);
    rocksdb_cache_destroy(t->cache);
    free(t);
}

static void *open_store(const char *dir, const struct bench_options *options, bool create, struct error *e)
{
    struct target *t = calloc(1, sizeof *t);
    char *why = NULL;
    if (t == NULL)
        return NULL;
    make_options(t, options, create);
    const char *family = "default"; // by name, so that its handle comes back, which MultiGet needs
    const rocksdb_options_t *family_options = t->options;
    t->db = rocksdb_open_column_families(t->options, dir, 1, &family, &family_options, &t->family, &why);
    if (t->db == NULL) {
        error_set(e, "%s: rocksdb: %s", dir, why);
        rocksdb_free(why);
        destroy(t);
        return NULL;
    }
    return t;
}

static enum kv_status sync_store(void *target)
{
    struct target *t = target;
    char *why = NULL;
    rocksdb_flush(t->db, t->flush, &why);
    rocksdb_compact_range(t->db, NULL, 0, NULL, 0);
    enum kv_status status = why == NULL ? KV_OK : KV_IO;
    rocksdb_free(why);
    return status;
}

static bool close_store(void *target, struct error *e)
{
    (void)e;
    destroy(target);
    return true;
}

static void *attach(void *target)
{
    return target;
}

static void detach(void *session)
{
    (void)session;
}

// Copies a found value out and lets it go.
static enum kv_status take(rocksdb_pinnableslice_t *slice, char *why, void *buf, size_t *len)
{
    if (why != NULL) {
        rocksdb_free(why);
        return KV_IO;
    }
    if (slice == NULL)
        return KV_NOT_FOUND;
    size_t found;
    const char *value = rocksdb_pinnableslice_value(slice, &found);
    enum kv_status status = value == NULL ? KV_NOT_FOUND : found > *len ? KV_TOO_LARGE : KV_OK;
    if (status == KV_OK)
        memcpy(buf, value, found);
    *len = found;
    rocksdb_pinnableslice_destroy(slice);
    return status;
}

static enum kv_status get(void *session, const void *key, size_t key_len, void *buf, size_t *len)
{
    struct target *t = session;
    char *why = NULL;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned(t->db, t->read, key, key_len, &why);
    return take(slice, why, buf, len);
}

static enum kv_status get_batch(void *session, struct kv_get *gets, size_t count)
{
    static _Thread_local const char *keys[BENCH_DEPTH_MAX];
    static _Thread_local size_t lens[BENCH_DEPTH_MAX];
    static _Thread_local rocksdb_pinnableslice_t *slices[BENCH_DEPTH_MAX];
    static _Thread_local char *whys[BENCH_DEPTH_MAX];
    struct target *t = session;
    for (size_t i = 0; i < count; i++) {
        keys[i] = gets[i].key;
        lens[i] = gets[i].key_len;
        slices[i] = NULL;
        whys[i] = NULL;
    }
    rocksdb_batched_multi_get_cf(t->db, t->read, t->family, count, keys, lens, slices, whys, false);
    for (size_t i = 0; i < count; i++)
        gets[i].status = take(slices[i], whys[i], gets[i].buf, &gets[i].len);
    return KV_OK;
}

static enum kv_status put_batch(void *session, struct kv_put_item *items, size_t count)
{
    struct target *t = session;
    char *why = NULL;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    for (size_t i = 0; i < count; i++)
        rocksdb_writebatch_put(batch, items[i].key, items[i].key_len, items[i].value, items[i].len);
    rocksdb_write(t->db, t->write, batch, &why);
    rocksdb_writebatch_destroy(batch);
    enum kv_status status = why == NULL ? KV_OK : KV_IO;
    for (size_t i = 0; i < count; i++)
        items[i].status = status;
    rocksdb_free(why);
    return status;
}

static enum kv_status put(void *session, const void *key, size_t key_len, const void *value, size_t len)
{
    struct kv_put_item item = {.key = key, .key_len = key_len, .value = value, .len = len};
    return put_batch(session, &item, 1);
}

static enum kv_status set_limit(void *target, uint64_t bytes)
{
    struct target *t = target;
    if (!t->buffered)
        rocksdb_cache_set_capacity(t->cache, t->limit = bytes);
    return KV_OK;
}

static void figures(void *target, struct bench_figures *figures)
{
    *figures = (struct bench_figures){.limit_bytes = ((struct target *)target)->limit};
}

static json_t *stats(void *target)
{
    struct target *t = target;
    char *files = rocksdb_property_value(t->db, "rocksdb.total-sst-files-size");
    json_t *o =
        json_pack("{s:I, s:I, s:b}", "disk_bytes", (json_int_t)(files != NULL ? atoll(files) : 0),
                  "cache_bytes", (json_int_t)rocksdb_cache_get_usage(t->cache), "buffered", (int)t->buffered);
    rocksdb_free(files);
    return o;
}

static void error_text(void *target, char *buf, size_t len)
{
    (void)target;
    (void)snprintf(buf, len, "%s", "");
}

static const struct bench_target_class class = {
    .program = "bench_rocksdb",
    .summary =
        "The load of kvbench for RocksDB; --memory is its block cache, with direct reads, or --buffered.",
    .open = open_store,
    .close = close_store,
    .attach = attach,
    .detach = detach,
    .get = get,
    .put = put,
    .put_batch = put_batch,
    .get_batch = get_batch,
    .sync = sync_store,
    .set_limit = set_limit,
    .figures = figures,
    .stats = stats,
    .error_text = error_text,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &class);
}
