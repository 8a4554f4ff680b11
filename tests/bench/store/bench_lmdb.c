// bench_lmdb: the same load for LMDB (OpenLDAP's B+ tree in a memory map), set up to be fast: read-only
// transactions that a thread keeps and renews now and then, no read-ahead of the kernel's beside random gets,
// no sync while loading.
#include "kvstore/kvbench_report.h"

#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RENEW_EVERY 1024u // gets between renewals of a read transaction: it pins the pages of its time
#define PAGE        4096u

struct target {
    MDB_env *env;
    MDB_dbi dbi;
};

struct session {
    struct target *target;
    MDB_txn *txn; // read-only; NULL: none
    unsigned gets;
};

static bool set_up(struct target *t, const char *dir, const struct bench_options *o, struct error *e)
{
    MDB_txn *txn = NULL;
    size_t each = (o->value_max + o->key_bytes + 2 * PAGE) / PAGE * PAGE;
    int rc = mdb_env_create(&t->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(t->env, 2 * each * o->keys + (1u << 30));
    if (rc == 0)
        rc = mdb_env_set_maxreaders(t->env, 2 * BENCH_THREADS_MAX);
    unsigned sync = o->fsync == KV_FSYNC_ALWAYS ? 0 : MDB_NOSYNC;
    if (rc == 0)
        rc = mdb_env_open(t->env, dir, MDB_NOTLS | MDB_NORDAHEAD | MDB_NOMEMINIT | sync, 0600);
    if (rc == 0)
        rc = mdb_txn_begin(t->env, NULL, 0, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NULL, 0, &t->dbi);
    if (rc == 0)
        rc = mdb_txn_commit(txn);
    if (rc != 0)
        error_set(e, "%s: lmdb: %s", dir, mdb_strerror(rc));
    return rc == 0;
}

static void *open_store(const char *dir, const struct bench_options *options, bool create, struct error *e)
{
    struct target *t = calloc(1, sizeof *t);
    (void)create;
    if (t != NULL && set_up(t, dir, options, e))
        return t;
    if (t != NULL)
        mdb_env_close(t->env);
    free(t);
    return NULL;
}

static enum kv_status sync_store(void *target)
{
    return mdb_env_sync(((struct target *)target)->env, 1) == 0 ? KV_OK : KV_IO;
}

static bool close_store(void *target, struct error *e)
{
    bool ok = sync_store(target) == KV_OK;
    if (!ok)
        error_set(e, "lmdb: sync failed");
    mdb_env_close(((struct target *)target)->env);
    free(target);
    return ok;
}

static void *attach(void *target)
{
    struct session *s = calloc(1, sizeof *s);
    if (s != NULL)
        s->target = target;
    return s;
}

static void detach(void *session)
{
    struct session *s = session;
    mdb_txn_abort(s->txn);
    free(s);
}

static int read_transaction(struct session *s)
{
    if (s->txn == NULL)
        return mdb_txn_begin(s->target->env, NULL, MDB_RDONLY, &s->txn);
    if (s->gets++ % RENEW_EVERY != 0)
        return 0;
    mdb_txn_reset(s->txn);
    return mdb_txn_renew(s->txn);
}

static enum kv_status find(struct session *s, const void *key, size_t key_len, MDB_val *value)
{
    MDB_val k = {.mv_size = key_len, .mv_data = (void *)(uintptr_t)key};
    int rc = read_transaction(s);
    if (rc == 0)
        rc = mdb_get(s->txn, s->target->dbi, &k, value);
    return rc == 0 ? KV_OK : rc == MDB_NOTFOUND ? KV_NOT_FOUND : KV_IO;
}

static enum kv_status get(void *session, const void *key, size_t key_len, void *buf, size_t *len)
{
    MDB_val value;
    enum kv_status status = find(session, key, key_len, &value);
    if (status != KV_OK)
        return status;
    if (value.mv_size > *len)
        status = KV_TOO_LARGE;
    else
        memcpy(buf, value.mv_data, value.mv_size);
    *len = value.mv_size;
    return status;
}

static enum kv_status view(void *session, const void *key, size_t key_len, struct kv_view *view)
{
    MDB_val value = {0};
    enum kv_status status = find(session, key, key_len, &value);
    *view = (struct kv_view){.data = value.mv_data, .len = value.mv_size};
    return status;
}

static void release(void *session, struct kv_view *view) // it ends with the transaction
{
    (void)session;
    (void)view;
}

// LMDB has no gets of many: one after the other.
static enum kv_status get_batch(void *session, struct kv_get *gets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gets[i].status = get(session, gets[i].key, gets[i].key_len, gets[i].buf, &gets[i].len);
    return KV_OK;
}

static int put_all(struct session *s, MDB_txn *txn, const struct kv_put_item *items, size_t count)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        MDB_val k = {.mv_size = items[i].key_len, .mv_data = (void *)(uintptr_t)items[i].key};
        MDB_val v = {.mv_size = items[i].len, .mv_data = (void *)(uintptr_t)items[i].value};
        rc = mdb_put(txn, s->target->dbi, &k, &v, 0);
    }
    return rc;
}

// One transaction for all.
static enum kv_status put_batch(void *session, struct kv_put_item *items, size_t count)
{
    struct session *s = session;
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(s->target->env, NULL, 0, &txn);
    if (rc == 0) {
        rc = put_all(s, txn, items, count);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    for (size_t i = 0; i < count; i++)
        items[i].status = rc == 0 ? KV_OK : rc == MDB_MAP_FULL ? KV_FULL : KV_IO;
    return rc == 0 ? KV_OK : items[0].status;
}

static enum kv_status put(void *session, const void *key, size_t key_len, const void *value, size_t len)
{
    struct kv_put_item item = {.key = key, .key_len = key_len, .value = value, .len = len};
    return put_batch(session, &item, 1);
}

static json_t *stats(void *target)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct target *t = target;
    (void)mdb_env_info(t->env, &info);
    (void)mdb_env_stat(t->env, &stat);
    return json_pack("{s:I, s:I, s:I}", "keys", (json_int_t)stat.ms_entries, "disk_bytes",
                     (json_int_t)((info.me_last_pgno + 1) * stat.ms_psize), "depth",
                     (json_int_t)stat.ms_depth);
}

static void error_text(void *target, char *buf, size_t len)
{
    (void)target;
    (void)snprintf(buf, len, "%s", "");
}

static const struct bench_target_class class = {
    .program = "bench_lmdb",
    .summary = "The load of kvbench for LMDB.",
    .open = open_store,
    .close = close_store,
    .attach = attach,
    .detach = detach,
    .get = get,
    .put = put,
    .put_batch = put_batch,
    .view = view,
    .release = release,
    .get_batch = get_batch,
    .sync = sync_store,
    .stats = stats,
    .error_text = error_text,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &class);
}
