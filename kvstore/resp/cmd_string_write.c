// Commands that write strings.
#include "kvstore/resp/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/db.h"
#include "kvstore/resp/options.h"
#include "kvstore/resp/value.h"

// ---- SET and its kin

struct set {
    const struct resp_arg *key, *value;
    struct resp_set_options options;
    uint64_t expire_ms; // 0: none
};

// Born expired: the old value goes, and nothing is written that would lie about until compaction. The events are those of a key that was set and has expired.
static enum kv_status set_expired(struct resp_call *call, const struct set *set)
{
    bool is_new = resp_store_exists(call, set->key) == KV_NOT_FOUND;
    enum kv_status status = resp_store_delete(call, set->key);
    if (status != KV_OK && status != KV_NOT_FOUND)
        return status;
    if (is_new)
        resp_event(call, RESP_EVENT_NEW, "new", set->key);
    resp_event(call, RESP_EVENT_STRING, "set", set->key);
    resp_event(call, RESP_EVENT_GENERIC, "expire", set->key);
    resp_event(call, RESP_EVENT_EXPIRED, "expired", set->key);
    return KV_OK;
}

// KV_EXISTS when NX or XX forbids it.
static enum kv_status store_set(struct resp_call *call, const struct set *set)
{
    const struct resp_set_options *o = &set->options;
    uint64_t expire_ms = set->expire_ms;
    if (o->if_present && resp_store_exists(call, set->key) != KV_OK)
        return KV_EXISTS;
    if (o->if_absent && resp_store_exists(call, set->key) == KV_OK)
        return KV_EXISTS;
    if (expire_ms != 0 && expire_ms <= resp_now_ms(call->session->shared))
        return set_expired(call, set);
    if (o->keep_ttl) {
        enum kv_status status = resp_store_expiry(call, set->key, &expire_ms);
        if (status != KV_OK && status != KV_NOT_FOUND)
            return status;
    }
    enum kv_status status = resp_value_store(call, set->key, set->value->data, set->value->len, expire_ms,
                                             o->if_absent ? KV_PUT_IF_ABSENT : 0, "set");
    if (status == KV_OK && set->expire_ms != 0)
        resp_event(call, RESP_EVENT_GENERIC, "expire", set->key);
    return status;
}

// SET ... GET: the old value is the reply, whether or not the new one was stored; a failed write's error takes its place, and nothing is written when the reply cannot be
// built.
static void set_and_get(struct resp_call *call, const struct set *set)
{
    struct resp_value old;
    struct resp_mark mark = resp_reply_mark(call->reply);
    if (!resp_value_read(call, set->key, &old))
        return;
    resp_value_reply(call, &old);
    if (resp_reply_ok(call->reply)) {
        enum kv_status status = store_set(call, set);
        if (status != KV_OK && status != KV_EXISTS) {
            resp_reply_rewind(call->reply, &mark);
            resp_store_error(call, status);
        }
    }
    resp_value_release(call, &old);
}

void resp_cmd_set(struct resp_call *call)
{
    struct set set = {.key = &call->args[1], .value = &call->args[2]};
    if (!resp_set_options_parse(call->args + 3, call->argc - 3, &set.options)) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    }
    if (!resp_value_time(call, set.options.time_kind, set.options.time, &set.expire_ms))
        return;
    if (set.options.get_old) {
        set_and_get(call, &set);
        return;
    }
    enum kv_status status = store_set(call, &set);
    if (status == KV_OK)
        resp_status(call->reply, "OK");
    else if (status == KV_EXISTS)
        resp_null(call->reply);
    else
        resp_store_error(call, status);
}

static void set_for(struct resp_call *call, enum resp_time_kind kind)
{
    struct set set = {.key = &call->args[1], .value = &call->args[3]};
    if (!resp_value_time(call, kind, &call->args[2], &set.expire_ms))
        return;
    enum kv_status status = store_set(call, &set);
    if (status == KV_OK)
        resp_status(call->reply, "OK");
    else
        resp_store_error(call, status);
}

void resp_cmd_setex(struct resp_call *call)
{
    set_for(call, RESP_TIME_EX);
}

void resp_cmd_psetex(struct resp_call *call)
{
    set_for(call, RESP_TIME_PX);
}

void resp_cmd_setnx(struct resp_call *call)
{
    struct set set = {.key = &call->args[1], .value = &call->args[2], .options = {.if_absent = true}};
    enum kv_status status = store_set(call, &set);
    if (status == KV_OK || status == KV_EXISTS)
        resp_integer(call->reply, status == KV_OK);
    else
        resp_store_error(call, status);
}

// ---- MSET, MSETNX

// Whether a key has a name that it can be written under, and may be without waiting.
static enum kv_status key_ready(struct resp_call *call, const struct resp_arg *key)
{
    struct resp_db_name name;
    if (!resp_db_name(call->session->shared, call->db, key, &name))
        return key->len > KV_KEY_MAX - RESP_DB_PREFIX ? KV_TOO_LARGE : KV_NO_MEMORY;
    resp_db_name_free(&name);
    return resp_store_ready(call, key);
}

// Whether all keys may be written; else the error was replied, or the command runs again. After this only the device can fail them.
static bool all_ready(struct resp_call *call)
{
    for (size_t i = 1; i < call->argc; i += 2) {
        enum kv_status status = key_ready(call, &call->args[i]);
        if (status != KV_OK) {
            resp_store_error(call, status);
            return false;
        }
    }
    return true;
}

static bool set_all(struct resp_call *call)
{
    for (size_t i = 1; i < call->argc; i += 2)
        if (!resp_value_put(call, &call->args[i], call->args[i + 1].data, call->args[i + 1].len, 0, "set"))
            return false;
    return true;
}

// False: the error was replied.
static bool pairs(struct resp_call *call)
{
    if (call->argc % 2 == 1)
        return true;
    resp_error(call->reply, "ERR wrong number of arguments for '%s' command", call->command->name);
    return false;
}

void resp_cmd_mset(struct resp_call *call)
{
    if (pairs(call) && all_ready(call) && set_all(call))
        resp_status(call->reply, "OK");
}

void resp_cmd_msetnx(struct resp_call *call)
{
    if (!pairs(call))
        return;
    for (size_t i = 1; i < call->argc; i += 2) {
        if (resp_store_exists(call, &call->args[i]) == KV_OK) {
            resp_integer(call->reply, 0);
            return;
        }
    }
    if (all_ready(call) && set_all(call))
        resp_integer(call->reply, 1);
}

// ---- parts of values

// Puts `piece` at a place of the value, which grows with zeros when it ends before that; replies the new length.
static void overwrite(struct resp_call *call, const struct resp_value *value, uint64_t at,
                      const struct resp_arg *piece, const char *event)
{
    size_t len = value->view.len;
    if (!resp_value_fits(call, at, piece->len))
        return;
    if (at + piece->len > len)
        len = at + piece->len;
    uint8_t *changed = resp_value_copy(call, value, len);
    if (changed == NULL)
        return;
    if (piece->len != 0)
        memcpy(changed + at, piece->data, piece->len);
    if (resp_value_put(call, &call->args[1], changed, len, value->view.expire_ms, event))
        resp_integer(call->reply, (int64_t)len);
    free(changed);
}

void resp_cmd_append(struct resp_call *call)
{
    struct resp_value value;
    if (!resp_value_get(call, &call->args[1], &value))
        return;
    overwrite(call, &value, value.view.len, &call->args[2], "append");
    resp_value_release(call, &value);
}

void resp_cmd_setrange(struct resp_call *call)
{
    int64_t at;
    struct resp_value value;
    if (!resp_value_number(call, &call->args[2], &at))
        return;
    if (at < 0) {
        resp_error(call->reply, "ERR offset is out of range");
        return;
    }
    if (!resp_value_get(call, &call->args[1], &value))
        return;
    if (call->args[3].len == 0)
        resp_integer(call->reply, (int64_t)value.view.len);
    else
        overwrite(call, &value, (uint64_t)at, &call->args[3], "setrange");
    resp_value_release(call, &value);
}
