// Commands on values.
#include "kvstore/resp_handlers.h"
#include "kvstore/resp_options.h"
#include "kvstore/resp_store.h"

void resp_cmd_get(struct resp_call *call)
{
    (void)resp_store_reply_value(call, &call->args[1]);
}

void resp_cmd_mget(struct resp_call *call)
{
    // The elements go to a list of their own: a damaged record makes the whole reply an error, as one inside
    // the array would be taken for a value by some clients.
    struct resp_reply *reply = call->reply;
    struct resp_reply values;
    if (!resp_list_begin(reply, &values))
        return;
    call->reply = &values;
    enum kv_status status = KV_OK;
    for (size_t i = 1; i < call->argc && resp_reply_ok(&values); i++) {
        status = resp_store_reply_value(call, &call->args[i]);
        if (status != KV_OK && status != KV_NOT_FOUND)
            break;
        status = KV_OK;
    }
    call->reply = reply;
    if (status == KV_OK) {
        resp_list_finish(reply, &values, call->argc - 1);
        return;
    }
    resp_reply_deinit(&values);
    resp_store_error(call, status);
}

void resp_cmd_strlen(struct resp_call *call)
{
    struct kv_store *store = call->session->shared->store;
    const struct resp_arg *key = &call->args[1];
    uint8_t nothing[1];
    size_t len = 0; // no room: the store says the length
    if (resp_store_exists(call, key) != KV_OK) {
        resp_integer(call->reply, 0);
        return;
    }
    enum kv_status status = kv_get(store, key->data, key->len, nothing, &len);
    if (status == KV_OK || status == KV_TOO_LARGE || status == KV_NOT_FOUND)
        resp_integer(call->reply, status == KV_NOT_FOUND ? 0 : (int64_t)len);
    else
        resp_store_error(call, status);
}

void resp_cmd_setnx(struct resp_call *call)
{
    const struct resp_arg *key = &call->args[1];
    resp_store_lock(call, key);
    enum kv_status status = resp_store_put(call, key, &call->args[2], 0, KV_PUT_IF_ABSENT);
    resp_store_unlock(call, key);
    if (status == KV_OK || status == KV_EXISTS)
        resp_integer(call->reply, status == KV_OK);
    else
        resp_store_error(call, status);
}

void resp_cmd_getdel(struct resp_call *call)
{
    // The reply is built before the delete, and thrown away when that fails.
    struct resp_reply *reply = call->reply;
    struct resp_reply value;
    if (!resp_reply_init(&value, reply->limit_bytes)) {
        reply->failed = true;
        return;
    }
    value.proto = reply->proto;
    const struct resp_arg *key = &call->args[1];
    resp_store_lock(call, key);
    call->reply = &value;
    enum kv_status status = resp_store_reply_value(call, key);
    call->reply = reply;
    if (status == KV_OK && resp_reply_ok(&value))
        status = resp_store_delete(call, key);
    resp_store_unlock(call, key);
    if (status == KV_OK || status == KV_NOT_FOUND)
        resp_reply_append(reply, &value);
    else
        resp_store_error(call, status);
    resp_reply_deinit(&value);
}

// ---- SET

// Replies the error of a time that is none. True: *expire_ms is set.
static bool set_time(struct resp_call *call, const struct resp_set_options *o, uint64_t *expire_ms)
{
    *expire_ms = 0;
    if (o->time_kind == RESP_TIME_NONE)
        return true;
    switch (resp_set_time(o->time_kind, o->time, resp_now_ms(call->session->shared), expire_ms)) {
    case RESP_TIME_OK:
        return true;
    case RESP_TIME_NO_INTEGER:
        resp_error(call->reply, RESP_NOT_INTEGER);
        return false;
    case RESP_TIME_INVALID:
        break;
    }
    resp_error(call->reply, "ERR invalid expire time in 'set' command");
    return false;
}

// Under the key's lock: KV_EXISTS when NX or XX forbids it.
static enum kv_status set_locked(struct resp_call *call, const struct resp_set_options *o, uint64_t expire_ms)
{
    const struct resp_arg *key = &call->args[1];
    enum kv_status status;
    if (o->if_present && resp_store_exists(call, key) != KV_OK)
        return KV_EXISTS;
    if (o->keep_ttl) {
        status = resp_store_expiry(call, key, &expire_ms);
        if (status != KV_OK && status != KV_NOT_FOUND)
            return status;
    } else if (expire_ms != 0 && expire_ms <= resp_now_ms(call->session->shared)) {
        // Born expired: the old value goes, and nothing is written that would lie about until compaction.
        if (o->if_absent && resp_store_exists(call, key) == KV_OK)
            return KV_EXISTS;
        status = resp_store_delete(call, key);
        return status == KV_NOT_FOUND ? KV_OK : status;
    }
    return resp_store_put(call, key, &call->args[2], expire_ms, o->if_absent ? KV_PUT_IF_ABSENT : 0);
}

static void reply_set(struct resp_call *call, enum kv_status status)
{
    if (status == KV_OK)
        resp_status(call->reply, "OK");
    else if (status == KV_EXISTS)
        resp_null(call->reply);
    else
        resp_store_error(call, status);
}

// SET ... GET: the old value is the reply, whether or not the new one was stored; a failed write's error
// takes its place.
static void set_and_get(struct resp_call *call, const struct resp_set_options *o, uint64_t expire_ms)
{
    const struct resp_arg *key = &call->args[1];
    struct resp_reply *reply = call->reply;
    struct resp_reply old;
    if (!resp_reply_init(&old, reply->limit_bytes)) {
        reply->failed = true;
        return;
    }
    old.proto = reply->proto;
    resp_store_lock(call, key);
    call->reply = &old;
    enum kv_status status = resp_store_reply_value(call, key);
    call->reply = reply;
    if ((status == KV_OK || status == KV_NOT_FOUND) && resp_reply_ok(&old))
        status = set_locked(call, o, expire_ms);
    resp_store_unlock(call, key);
    if (status == KV_OK || status == KV_EXISTS || !resp_reply_ok(&old))
        resp_reply_append(reply, &old);
    else
        resp_store_error(call, status);
    resp_reply_deinit(&old);
}

void resp_cmd_set(struct resp_call *call)
{
    struct resp_set_options options;
    uint64_t expire_ms;
    if (!resp_set_options_parse(call->args + 3, call->argc - 3, &options)) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    }
    if (!set_time(call, &options, &expire_ms))
        return;
    if (options.get_old) {
        set_and_get(call, &options, expire_ms);
        return;
    }
    resp_store_lock(call, &call->args[1]);
    enum kv_status status = set_locked(call, &options, expire_ms);
    resp_store_unlock(call, &call->args[1]);
    reply_set(call, status);
}
