// FLUSHDB, FLUSHALL. Both hold the locks of all keys.
//
// When nothing else would be left the store is emptied at once, whatever it holds. Otherwise, and where somebody has to hear of each key (on_change), the keys are
// removed one by one.
#include "kvstore/resp/args.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/events.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"

#define BATCH 1000u

struct flush {
    struct resp_call *call;
    bool all; // every database; else that of the call
    enum kv_status status;
};

static bool flush_key(void *arg, const void *name, size_t len, size_t value_len, uint64_t expire_ms)
{
    struct flush *flush = arg;
    struct resp_call *call = flush->call;
    struct resp_arg key;
    unsigned db, own = call->db;
    (void)value_len;
    (void)expire_ms;
    if (!resp_db_of(call->session->shared, name, len, &db, &key) || (!flush->all && db != own))
        return true;
    call->db = db;
    enum kv_status status = resp_store_delete_one_of_many(call, &key);
    call->db = own;
    flush->status = status == KV_NOT_FOUND ? KV_OK : status;
    return flush->status == KV_OK;
}

static enum kv_status one_by_one(struct resp_call *call, bool all)
{
    struct flush flush = {call, all, KV_OK};
    uint64_t cursor = 0;
    enum kv_status status;
    do {
        status = kv_scan(call->session->shared->store, &cursor, BATCH, flush_key, &flush);
        if (status == KV_OK && kv_is_behind(call->session->shared->store))
            status = kv_catch_up(call->session->shared->store);
    } while (status == KV_OK && flush.status == KV_OK && cursor != 0);
    if (status == KV_OK)
        status = flush.status;
    enum kv_status synced = call->changed ? kv_sync(call->session->shared->store) : KV_OK;
    return status == KV_OK ? synced : status;
}

static void flush(struct resp_call *call, bool all)
{
    struct resp_shared *shared = call->session->shared;
    bool sync =
        call->argc == 2 && (resp_arg_is(&call->args[1], "sync") || resp_arg_is(&call->args[1], "async"));
    if (call->argc != 1 && !sync) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    }
    bool at_once = shared->on_change == NULL && (all || resp_db_alone(shared, call->db));
    enum kv_status status = at_once ? resp_db_clear(shared) : one_by_one(call, all);
    if (status == KV_OK || call->changed) // then some are gone, and nobody was told
        resp_flushed(shared, all ? RESP_ALL_DATABASES : call->db);
    if (status == KV_OK)
        resp_status(call->reply, "OK");
    else
        resp_store_error(call, status);
}

void resp_cmd_flushdb(struct resp_call *call)
{
    flush(call, false);
}

void resp_cmd_flushall(struct resp_call *call)
{
    flush(call, true);
}
