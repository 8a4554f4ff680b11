// Commands on the expiry of keys.
#include "kvstore/resp/events.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/options.h"
#include "kvstore/resp/store.h"

// ---- reading it

// Replies -2 (no key) or -1 (no expiry), or an error, and gives false; else *expire_ms is set.
static bool expiry_of(struct resp_call *call, uint64_t *expire_ms)
{
    enum kv_status status = resp_store_expiry(call, &call->args[1], expire_ms);
    if (status == KV_NOT_FOUND) {
        resp_event(call, RESP_EVENT_MISS, "keymiss", &call->args[1]);
        resp_integer(call->reply, -2);
    } else if (status != KV_OK) {
        resp_store_error(call, status);
    } else if (*expire_ms == 0) {
        resp_integer(call->reply, -1);
    }
    return status == KV_OK && *expire_ms != 0;
}

static uint64_t left_of(struct resp_call *call, uint64_t expire_ms)
{
    uint64_t now = resp_now_ms(call->session->shared);
    return expire_ms > now ? expire_ms - now : 0;
}

void resp_cmd_ttl(struct resp_call *call)
{
    uint64_t expire_ms;
    if (expiry_of(call, &expire_ms))
        resp_integer(call->reply, (int64_t)((left_of(call, expire_ms) + 500) / 1000));
}

void resp_cmd_pttl(struct resp_call *call)
{
    uint64_t expire_ms;
    if (expiry_of(call, &expire_ms))
        resp_integer(call->reply, (int64_t)left_of(call, expire_ms));
}

void resp_cmd_expiretime(struct resp_call *call)
{
    uint64_t expire_ms;
    if (expiry_of(call, &expire_ms))
        resp_integer(call->reply, (int64_t)((expire_ms + 500) / 1000));
}

void resp_cmd_pexpiretime(struct resp_call *call)
{
    uint64_t expire_ms;
    if (expiry_of(call, &expire_ms))
        resp_integer(call->reply, (int64_t)expire_ms);
}

// ---- changing it

// A change's outcome: 1 done, 0 not.
static void reply_changed(struct resp_call *call, enum kv_status status)
{
    if (status == KV_OK || status == KV_NOT_FOUND || status == KV_EXISTS)
        resp_integer(call->reply, status == KV_OK);
    else
        resp_store_error(call, status);
}

static enum kv_status persist_key(struct resp_call *call, const struct resp_arg *key)
{
    uint64_t expire_ms;
    enum kv_status status = resp_store_expiry(call, key, &expire_ms);
    if (status != KV_OK)
        return status;
    return expire_ms == 0 ? KV_EXISTS : resp_store_set_expiry(call, key, 0);
}

void resp_cmd_persist(struct resp_call *call)
{
    const struct resp_arg *key = &call->args[1];
    enum kv_status status = persist_key(call, key);
    if (status == KV_OK)
        resp_event(call, RESP_EVENT_GENERIC, "persist", key);
    reply_changed(call, status);
}

// KV_EXISTS when the options forbid it.
static enum kv_status expire_key(struct resp_call *call, const struct resp_arg *key,
                                 const struct resp_expire_options *options, uint64_t now_ms,
                                 uint64_t expire_ms)
{
    uint64_t current_ms;
    enum kv_status status = resp_store_expiry(call, key, &current_ms);
    if (status != KV_OK)
        return status;
    if (!resp_expire_allowed(options, current_ms, expire_ms))
        return KV_EXISTS;
    return expire_ms <= now_ms ? resp_store_delete(call, key) : resp_store_set_expiry(call, key, expire_ms);
}

// False: an error was replied.
static bool expire_options(struct resp_call *call, struct resp_expire_options *options)
{
    const struct resp_arg *unknown = NULL;
    switch (resp_expire_options_parse(call->args + 3, call->argc - 3, options, &unknown)) {
    case RESP_EXPIRE_OK:
        return true;
    case RESP_EXPIRE_UNKNOWN:
        resp_error(call->reply, "ERR Unsupported option %.*s", (int)(unknown->len < 128 ? unknown->len : 128),
                   (const char *)unknown->data);
        return false;
    case RESP_EXPIRE_NX_AND_ANY:
        resp_error(call->reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    case RESP_EXPIRE_GT_AND_LT:
        break;
    }
    resp_error(call->reply, "ERR GT and LT options at the same time are not compatible");
    return false;
}

static void expire(struct resp_call *call, enum resp_time_kind kind)
{
    const struct resp_arg *key = &call->args[1];
    struct resp_expire_options options;
    uint64_t now_ms = resp_now_ms(call->session->shared);
    uint64_t expire_ms;
    if (!expire_options(call, &options))
        return;
    enum resp_time_status time_status = resp_expire_time(kind, &call->args[2], now_ms, &expire_ms);
    if (time_status == RESP_TIME_NO_INTEGER) {
        resp_error(call->reply, RESP_NOT_INTEGER);
        return;
    }
    if (time_status == RESP_TIME_INVALID) {
        resp_error(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
        return;
    }
    enum kv_status status = expire_key(call, key, &options, now_ms, expire_ms);
    if (status == KV_OK)
        resp_event(call, RESP_EVENT_GENERIC, expire_ms <= now_ms ? "del" : "expire", key);
    reply_changed(call, status);
}

void resp_cmd_expire(struct resp_call *call)
{
    expire(call, RESP_TIME_EX);
}

void resp_cmd_pexpire(struct resp_call *call)
{
    expire(call, RESP_TIME_PX);
}

void resp_cmd_expireat(struct resp_call *call)
{
    expire(call, RESP_TIME_EXAT);
}

void resp_cmd_pexpireat(struct resp_call *call)
{
    expire(call, RESP_TIME_PXAT);
}
