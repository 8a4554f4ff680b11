// A key under another name, or in another database.
//
// Changes of two keys: the new one is written before the old one goes, so that a crash in between leaves both, never none.
#include "kvstore/resp/args.h"
#include "kvstore/resp/events.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"

struct transfer {
    const struct resp_arg *from, *to;
    unsigned from_db, to_db;
    struct kv_view value; // of `from`
};

static enum kv_status there(struct resp_call *call, unsigned db, const struct resp_arg *key)
{
    call->db = db;
    return resp_store_exists(call, key);
}

// Writes the value under its new name and, when it moves, removes the old one. Events and reply are the caller's, but for "new".
static enum kv_status put(struct resp_call *call, const struct transfer *t, bool moves)
{
    call->db = t->from_db;
    enum kv_status status = moves ? resp_store_ready(call, t->from) : KV_OK;
    call->db = t->to_db;
    if (status == KV_OK)
        status = resp_store_put(call, t->to, t->value.data, t->value.len, t->value.expire_ms, 0);
    if (status != KV_OK)
        return status;
    call->db = t->from_db;
    if (moves)
        status = resp_store_delete(call, t->from);
    call->db = t->to_db;
    resp_event(call, RESP_EVENT_NEW, "new", t->to);
    return status == KV_NOT_FOUND ? KV_OK : status; // it expired this moment
}

static void rename_key(struct resp_call *call, bool only_new)
{
    struct transfer t = {&call->args[1], &call->args[2], call->db, call->db, {0}};
    if (resp_store_exists(call, t.from) != KV_OK) {
        resp_error(call->reply, "ERR no such key");
        return;
    }
    bool same = resp_arg_equal(t.from, t.to);
    if (same || (only_new && resp_store_exists(call, t.to) == KV_OK)) {
        if (only_new)
            resp_integer(call->reply, 0);
        else
            resp_status(call->reply, "OK");
        return;
    }
    enum kv_status status = resp_store_get(call, t.from, &t.value);
    if (status == KV_OK) {
        status = put(call, &t, true);
        resp_store_release(call, &t.value);
    }
    if (status == KV_NOT_FOUND)
        resp_error(call->reply, "ERR no such key");
    else if (status != KV_OK)
        resp_store_error(call, status);
    if (status != KV_OK)
        return;
    resp_event(call, RESP_EVENT_GENERIC, "rename_from", t.from);
    resp_event(call, RESP_EVENT_GENERIC, "rename_to", t.to);
    if (only_new)
        resp_integer(call->reply, 1);
    else
        resp_status(call->reply, "OK");
}

void resp_cmd_rename(struct resp_call *call)
{
    rename_key(call, false);
}

void resp_cmd_renamenx(struct resp_call *call)
{
    rename_key(call, true);
}

// ---- COPY, MOVE

static void reply_done(struct resp_call *call, enum kv_status status)
{
    if (status == KV_OK || status == KV_NOT_FOUND || status == KV_EXISTS)
        resp_integer(call->reply, status == KV_OK);
    else
        resp_store_error(call, status);
}

// False: an error was replied.
static bool copy_options(struct resp_call *call, unsigned *db, bool *replace)
{
    for (size_t i = 3; i < call->argc; i++) {
        if (resp_arg_is(&call->args[i], "replace")) {
            *replace = true;
        } else if (resp_arg_is(&call->args[i], "db") && i + 1 < call->argc) {
            if (!resp_db_arg(call, &call->args[++i], db))
                return false;
        } else {
            resp_error(call->reply, RESP_SYNTAX_ERROR);
            return false;
        }
    }
    return true;
}

static bool is_same(struct resp_call *call, const struct transfer *t)
{
    if (t->from_db != t->to_db || !resp_arg_equal(t->from, t->to))
        return false;
    resp_error(call->reply, "ERR source and destination objects are the same");
    return true;
}

void resp_cmd_copy(struct resp_call *call)
{
    struct transfer t = {&call->args[1], &call->args[2], call->db, call->db, {0}};
    bool replace = false;
    if (!copy_options(call, &t.to_db, &replace) || is_same(call, &t))
        return;
    if (!resp_key_there(call, t.from) || (!replace && there(call, t.to_db, t.to) == KV_OK)) {
        resp_integer(call->reply, 0);
        return;
    }
    call->db = t.from_db;
    enum kv_status status = resp_store_get(call, t.from, &t.value);
    if (status == KV_OK) {
        status = put(call, &t, false);
        resp_store_release(call, &t.value);
    }
    if (status == KV_OK)
        resp_event(call, RESP_EVENT_GENERIC, "copy_to", t.to);
    reply_done(call, status);
}

void resp_cmd_move(struct resp_call *call)
{
    struct transfer t = {&call->args[1], &call->args[1], call->db, call->db, {0}};
    if (!resp_db_arg(call, &call->args[2], &t.to_db) || is_same(call, &t))
        return;
    if (resp_store_exists(call, t.from) != KV_OK || there(call, t.to_db, t.to) == KV_OK) {
        resp_integer(call->reply, 0);
        return;
    }
    call->db = t.from_db;
    enum kv_status status = resp_store_get(call, t.from, &t.value);
    if (status == KV_OK) {
        status = put(call, &t, true);
        resp_store_release(call, &t.value);
    }
    if (status == KV_OK) {
        call->db = t.from_db;
        resp_event(call, RESP_EVENT_GENERIC, "move_from", t.from);
        call->db = t.to_db;
        resp_event(call, RESP_EVENT_GENERIC, "move_to", t.to);
    }
    reply_done(call, status);
}
