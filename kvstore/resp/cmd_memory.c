// MEMORY.
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/info.h"
#include "kvstore/resp/stats.h"
#include "kvstore/resp/store.h"

#define CURVE_POINTS 64u
#define INDEX_MOST   64u // bytes of the index that are a key's

// False: an error was replied.
static bool usage_options(struct resp_call *call)
{
    for (size_t i = 3; i < call->argc; i++) {
        int64_t samples;
        if (!resp_arg_is(&call->args[i], "samples") || i + 1 == call->argc) {
            resp_error(call->reply, RESP_SYNTAX_ERROR);
            return false;
        }
        if (!resp_arg_int64(&call->args[++i], &samples)) {
            resp_error(call->reply, RESP_NOT_INTEGER);
            return false;
        }
        if (samples < 0) {
            resp_error(call->reply, RESP_SYNTAX_ERROR);
            return false;
        }
    }
    return true;
}

// What a key takes while its value is in memory: name, value, and its share of index and record headers.
void resp_cmd_memory_usage(struct resp_call *call)
{
    const struct resp_arg *key = &call->args[2];
    struct kv_stats stats;
    struct kv_view view;
    if (!usage_options(call))
        return;
    enum kv_status status = resp_store_get(call, key, &view);
    if (status == KV_NOT_FOUND) {
        resp_null(call->reply);
        return;
    }
    if (status != KV_OK) {
        resp_store_error(call, status);
        return;
    }
    kv_get_stats(call->session->shared->store, &stats);
    uint64_t index = stats.keys != 0 ? stats.index_bytes / stats.keys : 0;
    index = index < INDEX_MOST ? index : INDEX_MOST; // an index has room for the first keys from the start
    resp_integer(call->reply, (int64_t)(key->len + view.len + RESP_RECORD_OVERHEAD + index));
    resp_store_release(call, &view);
}

void resp_cmd_memory_purge(struct resp_call *call)
{
    (void)malloc_trim(0);
    resp_status(call->reply, "OK");
}

void resp_cmd_memory_malloc_stats(struct resp_call *call)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    bool good = out != NULL && malloc_info(0, out) == 0;
    if (out != NULL && fclose(out) == 0 && good)
        resp_verbatim(call->reply, text, len);
    else
        resp_error(call->reply, "ERR the allocator's statistics cannot be had");
    free(text);
}

void resp_cmd_memory_curve(struct resp_call *call)
{
    struct kv_curve_point points[CURVE_POINTS];
    size_t count = kv_hit_curve(call->session->shared->store, points, CURVE_POINTS);
    resp_array(call->reply, count);
    for (size_t i = 0; i < count; i++) {
        resp_array(call->reply, 2);
        resp_integer(call->reply, (int64_t)points[i].limit_bytes);
        resp_double(call->reply, points[i].hit_ratio);
    }
}

void resp_cmd_memory_doctor(struct resp_call *call)
{
    struct resp_memory m;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL) {
        call->reply->failed = true;
        return;
    }
    resp_memory_read(call->session->shared, &m);
    uint64_t asked = m.store.hits + m.store.misses;
    if (m.store.read_only)
        (void)fputs("- Writes are refused since a write failed: mend the disk and restart.\n", out);
    if (m.store.limit_bytes != 0 && m.store.index_bytes > m.store.limit_bytes)
        (void)fputs("- The index alone is larger than maxmemory: no value is kept in memory.\n", out);
    if (asked > 10000 && m.store.misses > asked / 2)
        (void)fputs("- More than half of the reads go to disk: MEMORY CURVE says what more memory would "
                    "give.\n",
                    out);
    if (m.used > 64u << 20 && m.rss > m.used + m.used / 2)
        (void)fputs("- The process holds far more than what the server uses: MEMORY PURGE gives back what "
                    "the allocator keeps.\n",
                    out);
    if (m.buffers > m.used / 2 && m.buffers > 64u << 20)
        (void)fputs("- Connections hold more than half of the memory: CLIENT LIST, maxmemory-clients.\n",
                    out);
    (void)fflush(out);
    if (len == 0)
        (void)fputs("Nothing is wrong with memory.", out);
    if (fclose(out) == 0)
        resp_verbatim(call->reply, text, len);
    else
        call->reply->failed = true;
    free(text);
}

// ---- STATS

static void pair(struct resp_reply *reply, const char *name, uint64_t value)
{
    resp_bulk_text(reply, name);
    resp_integer(reply, (int64_t)value);
}

static void ratio(struct resp_reply *reply, const char *name, double value)
{
    resp_bulk_text(reply, name);
    resp_double(reply, value);
}

// The databases that have keys. How many pairs that was.
static size_t databases(struct resp_reply *reply, struct resp_shared *shared, const struct resp_memory *m)
{
    size_t count = 0;
    for (unsigned db = 0; db < shared->databases; db++) {
        uint64_t keys = resp_db_count(shared, db).keys;
        char name[16];
        if (keys == 0)
            continue;
        (void)snprintf(name, sizeof name, "db.%u", db);
        resp_bulk_text(reply, name);
        resp_map(reply, 3);
        pair(reply, "overhead.hashtable.main",
             m->store.keys != 0
                 ? (uint64_t)((double)m->store.index_bytes * (double)keys / (double)m->store.keys)
                 : 0);
        pair(reply, "overhead.hashtable.expires", 0);
        pair(reply, "overhead.hashtable.slot-to-keys", 0);
        count++;
    }
    return count;
}

static size_t figures(struct resp_reply *reply, const struct resp_memory *m)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"overhead.total", m->overhead},
        {"keys.count", m->store.keys},
        {"keys.bytes-per-key", m->store.keys != 0 ? m->used / m->store.keys : 0},
        {"dataset.bytes", m->dataset},
        {"allocator.allocated", m->allocated},
        {"allocator.active", m->active},
        {"allocator.resident", m->rss},
        {"elastic.limit", m->store.limit_bytes},
        {"elastic.index", m->store.index_bytes},
        {"elastic.cached", m->store.cached_bytes},
        {"elastic.table", m->store.table_bytes},
        {"elastic.disk", m->store.disk_bytes},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        pair(reply, rows[i].name, rows[i].value);
    return sizeof rows / sizeof rows[0];
}

static double share(uint64_t part, uint64_t whole)
{
    return whole != 0 ? (double)part / (double)whole : 0;
}

void resp_cmd_memory_stats(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    struct resp_memory m;
    struct resp_reply list;
    if (!resp_list_begin(call->reply, &list))
        return;
    resp_memory_read(shared, &m);
    pair(&list, "peak.allocated", m.peak);
    pair(&list, "total.allocated", m.used);
    pair(&list, "startup.allocated", 0);
    pair(&list, "replication.backlog", 0);
    pair(&list, "clients.slaves", 0);
    pair(&list, "clients.normal", m.buffers);
    pair(&list, "cluster.links", 0);
    pair(&list, "aof.buffer", 0);
    pair(&list, "lua.caches", 0);
    pair(&list, "functions.caches", 0);
    size_t count = 10 + databases(&list, shared, &m) + figures(&list, &m);
    ratio(&list, "dataset.percentage", 100 * share(m.dataset, m.used));
    ratio(&list, "peak.percentage", 100 * share(m.used, m.peak));
    ratio(&list, "allocator-fragmentation.ratio", share(m.active, m.allocated));
    pair(&list, "allocator-fragmentation.bytes", m.active - m.allocated);
    ratio(&list, "fragmentation", share(m.rss, m.used));
    pair(&list, "fragmentation.bytes", m.rss > m.used ? m.rss - m.used : 0);
    resp_map(call->reply, count + 6);
    resp_reply_append(call->reply, &list);
    resp_reply_deinit(&list);
}
