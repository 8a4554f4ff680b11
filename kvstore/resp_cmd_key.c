// Commands on keys, whatever their value.
#include <inttypes.h>

#include "kvstore/resp_args.h"
#include "kvstore/resp_handlers.h"
#include "kvstore/resp_store.h"

#define SCAN_DEFAULT 10
#define SCAN_MAX     100000u // COUNT is a wish; more than this per call would hold a worker for long
#define KEYS_BATCH   1000u

void resp_cmd_dbsize(struct resp_call *call)
{
    struct kv_stats stats;
    kv_get_stats(call->session->shared->store, &stats);
    resp_integer(call->reply, (int64_t)stats.keys);
}

void resp_cmd_del(struct resp_call *call)
{
    int64_t deleted = 0;
    for (size_t i = 1; i < call->argc; i++) {
        const struct resp_arg *key = &call->args[i];
        resp_store_lock(call, key);
        enum kv_status status = resp_store_delete(call, key);
        resp_store_unlock(call, key);
        if (status != KV_OK && status != KV_NOT_FOUND) {
            resp_store_error(call, status);
            return;
        }
        deleted += status == KV_OK;
    }
    resp_integer(call->reply, deleted);
}

void resp_cmd_exists(struct resp_call *call)
{
    int64_t found = 0;
    for (size_t i = 1; i < call->argc; i++)
        found += resp_store_exists(call, &call->args[i]) == KV_OK;
    resp_integer(call->reply, found);
}

void resp_cmd_type(struct resp_call *call)
{
    resp_status(call->reply, resp_store_exists(call, &call->args[1]) == KV_OK ? "string" : "none");
}

// ---- walking

struct walk {
    struct resp_reply list;
    size_t count;
    const struct resp_arg *pattern; // NULL: every key
};

static bool walk_key(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    struct walk *walk = arg;
    (void)value_len;
    (void)expire_ms;
    if (walk->pattern != NULL && !resp_glob(walk->pattern->data, walk->pattern->len, key, key_len, false))
        return true;
    resp_bulk(&walk->list, key, key_len);
    walk->count++;
    return resp_reply_ok(&walk->list);
}

void resp_cmd_keys(struct resp_call *call)
{
    struct walk walk = {.pattern = &call->args[1]};
    uint64_t cursor = 0;
    enum kv_status status;
    if (!resp_list_begin(call->reply, &walk.list))
        return;
    do
        status = kv_scan(call->session->shared->store, &cursor, KEYS_BATCH, walk_key, &walk);
    while (status == KV_OK && cursor != 0 && resp_reply_ok(&walk.list));
    if (status == KV_OK) {
        resp_list_finish(call->reply, &walk.list, walk.count);
        return;
    }
    resp_reply_deinit(&walk.list);
    resp_store_error(call, status);
}

struct scan_options {
    uint64_t cursor;
    unsigned count;
    const struct resp_arg *pattern;
    bool none; // TYPE is not that of any value we have
};

// False: an error was replied.
static bool scan_options_parse(struct resp_call *call, struct scan_options *o)
{
    *o = (struct scan_options){.count = SCAN_DEFAULT};
    if (!resp_arg_cursor(&call->args[1], &o->cursor)) {
        resp_error(call->reply, "ERR invalid cursor");
        return false;
    }
    for (size_t i = 2; i < call->argc; i += 2) {
        const struct resp_arg *value = i + 1 < call->argc ? &call->args[i + 1] : NULL;
        int64_t count = 0;
        if (value != NULL && resp_arg_is(&call->args[i], "count")) {
            if (!resp_arg_int64(value, &count)) {
                resp_error(call->reply, RESP_NOT_INTEGER);
                return false;
            }
            o->count = count > SCAN_MAX ? SCAN_MAX : (unsigned)count;
        } else if (value != NULL && resp_arg_is(&call->args[i], "match")) {
            o->pattern = value;
            count = 1;
        } else if (value != NULL && resp_arg_is(&call->args[i], "type")) {
            o->none = !resp_arg_is(value, "string");
            count = 1;
        }
        if (count < 1) {
            resp_error(call->reply, RESP_SYNTAX_ERROR);
            return false;
        }
    }
    return true;
}

static bool walk_none(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    (void)arg;
    (void)key;
    (void)key_len;
    (void)value_len;
    (void)expire_ms;
    return true;
}

void resp_cmd_scan(struct resp_call *call)
{
    struct scan_options options;
    struct walk walk = {0};
    if (!scan_options_parse(call, &options) || !resp_list_begin(call->reply, &walk.list))
        return;
    walk.pattern = options.pattern;
    enum kv_status status = kv_scan(call->session->shared->store, &options.cursor, options.count,
                                    options.none ? walk_none : walk_key, &walk);
    if (status != KV_OK) {
        resp_reply_deinit(&walk.list);
        resp_store_error(call, status);
        return;
    }
    resp_array(call->reply, 2);
    resp_bulk_uint(call->reply, options.cursor);
    resp_list_finish(call->reply, &walk.list, walk.count);
}
