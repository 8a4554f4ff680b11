// Walking over the keys of a database: KEYS, SCAN, RANDOMKEY. The store walks over all of its keys by their hashes, so a cursor is a place among hashes and means the same
// however the store grows; keys of other databases are passed over.
#include <sys/random.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"

#define SCAN_DEFAULT 10
#define SCAN_MAX     100000u // COUNT is a wish; more than this per call would hold a worker for long
#define SCAN_WORK    10u     // times COUNT that are looked at for as many keys of the database
#define KEYS_BATCH   1000u

struct walk {
    const struct resp_shared *shared;
    unsigned db;
    const struct resp_arg *pattern; // NULL: every key
    bool none;                      // TYPE is not that of any value we have
    struct resp_reply list;
    size_t count; // in the list
    size_t own;   // keys of the database that came by
    size_t most;  // stop after so many of them; 0: never
};

static bool walk_key(void *arg, const void *name, size_t len, size_t value_len, uint64_t expire_ms)
{
    struct walk *walk = arg;
    struct resp_arg key;
    unsigned db;
    (void)value_len;
    (void)expire_ms;
    if (!resp_db_of(walk->shared, name, len, &db, &key) || db != walk->db)
        return true;
    walk->own++;
    const struct resp_arg *pattern = walk->pattern;
    if (!walk->none &&
        (pattern == NULL || resp_glob(pattern->data, pattern->len, key.data, key.len, false))) {
        resp_bulk(&walk->list, key.data, key.len);
        walk->count++;
    }
    return resp_reply_ok(&walk->list) && walk->own != walk->most;
}

static struct walk walk_of(const struct resp_call *call)
{
    return (struct walk){.shared = call->session->shared, .db = call->db};
}

void resp_cmd_keys(struct resp_call *call)
{
    struct walk walk = walk_of(call);
    uint64_t cursor = 0;
    enum kv_status status;
    walk.pattern = &call->args[1];
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

// ---- SCAN

struct scan_options {
    uint64_t cursor;
    unsigned count;
    const struct resp_arg *pattern;
    bool none;
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

// As many keys of the database as were asked for, or a bounded look at those of others.
static enum kv_status scan(struct resp_call *call, struct walk *walk, uint64_t *cursor, unsigned count)
{
    enum kv_status status = KV_OK;
    walk->most = count;
    for (unsigned n = 0; n < SCAN_WORK && status == KV_OK && walk->own < count; n++) {
        status = kv_scan(call->session->shared->store, cursor, count - (unsigned)walk->own, walk_key, walk);
        if (*cursor == 0 || !resp_reply_ok(&walk->list))
            break;
    }
    return status;
}

void resp_cmd_scan(struct resp_call *call)
{
    struct scan_options options;
    struct walk walk = walk_of(call);
    if (!scan_options_parse(call, &options) || !resp_list_begin(call->reply, &walk.list))
        return;
    walk.pattern = options.pattern;
    walk.none = options.none;
    enum kv_status status = scan(call, &walk, &options.cursor, options.count);
    if (status != KV_OK) {
        resp_reply_deinit(&walk.list);
        resp_store_error(call, status);
        return;
    }
    resp_array(call->reply, 2);
    resp_bulk_uint(call->reply, options.cursor);
    resp_list_finish(call->reply, &walk.list, walk.count);
}

// ---- RANDOMKEY

// The first key of the database from the cursor on. KV_NOT_FOUND: none up to the end.
static enum kv_status first_from(struct resp_call *call, uint64_t cursor)
{
    struct walk walk = walk_of(call);
    enum kv_status status;
    if (!resp_list_begin(call->reply, &walk.list))
        return KV_OK;
    walk.most = 1;
    do
        status = kv_scan(call->session->shared->store, &cursor, KEYS_BATCH, walk_key, &walk);
    while (status == KV_OK && cursor != 0 && walk.own == 0);
    if (status == KV_OK && walk.own != 0)
        resp_reply_append(call->reply, &walk.list);
    else if (status == KV_OK)
        status = KV_NOT_FOUND;
    resp_reply_deinit(&walk.list);
    return status;
}

void resp_cmd_randomkey(struct resp_call *call)
{
    uint64_t cursor = 0;
    if (getrandom(&cursor, sizeof cursor, 0) != (ssize_t)sizeof cursor)
        cursor = 0;
    enum kv_status status = first_from(call, cursor);
    if (status == KV_NOT_FOUND)
        status = first_from(call, 0);
    if (status == KV_NOT_FOUND)
        resp_null(call->reply);
    else if (status != KV_OK)
        resp_store_error(call, status);
}
