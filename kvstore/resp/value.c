#include "kvstore/resp/value.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"

static bool wanted(const struct resp_call *call, enum resp_event_class class)
{
    return (atomic_load_explicit(&call->session->shared->notify, memory_order_relaxed) & (unsigned)class) !=
           0;
}

// ---- reading

bool resp_value_get(struct resp_call *call, const struct resp_arg *key, struct resp_value *value)
{
    *value = (struct resp_value){0};
    enum kv_status status = resp_store_get(call, key, &value->view);
    value->there = status == KV_OK;
    if (status == KV_OK || status == KV_NOT_FOUND)
        return true;
    resp_store_error(call, status);
    return false;
}

void resp_value_release(struct resp_call *call, struct resp_value *value)
{
    if (value->there)
        resp_store_release(call, &value->view);
    value->there = false;
}

bool resp_value_read(struct resp_call *call, const struct resp_arg *key, struct resp_value *value)
{
    if (!resp_value_get(call, key, value))
        return false;
    if (!value->there)
        resp_event(call, RESP_EVENT_MISS, "keymiss", key);
    return true;
}

void resp_value_missed(struct resp_call *call, const struct resp_arg *keys, size_t count)
{
    if (!wanted(call, RESP_EVENT_MISS))
        return;
    for (size_t i = 0; i < count; i++)
        if (resp_store_exists(call, &keys[i]) == KV_NOT_FOUND)
            resp_event(call, RESP_EVENT_MISS, "keymiss", &keys[i]);
}

void resp_value_reply(struct resp_call *call, const struct resp_value *value)
{
    if (value->there)
        resp_bulk(call->reply, value->view.data, value->view.len);
    else
        resp_null(call->reply);
}

void resp_value_give(struct resp_call *call, struct resp_value *value)
{
    if (value->there)
        resp_bulk_view(call->reply, call->session->shared->store, &value->view);
    else
        resp_null(call->reply);
    value->there = false;
}

// ---- writing

enum kv_status resp_value_store(struct resp_call *call, const struct resp_arg *key, const void *data,
                                size_t len, uint64_t expire_ms, unsigned flags, const char *event)
{
    bool is_new = wanted(call, RESP_EVENT_NEW) && resp_store_exists(call, key) == KV_NOT_FOUND;
    enum kv_status status = resp_store_put(call, key, data, len, expire_ms, flags);
    if (status != KV_OK)
        return status;
    if (is_new)
        resp_event(call, RESP_EVENT_NEW, "new", key);
    if (event != NULL)
        resp_event(call, RESP_EVENT_STRING, event, key);
    return KV_OK;
}

bool resp_value_put(struct resp_call *call, const struct resp_arg *key, const void *data, size_t len,
                    uint64_t expire_ms, const char *event)
{
    enum kv_status status = resp_value_store(call, key, data, len, expire_ms, 0, event);
    if (status != KV_OK)
        resp_store_error(call, status);
    return status == KV_OK;
}

uint64_t resp_value_max(const struct resp_call *call)
{
    return call->session->shared->limits.max_bulk_bytes;
}

bool resp_value_fits(struct resp_call *call, uint64_t at, uint64_t len)
{
    uint64_t max = resp_value_max(call);
    if (at <= max && len <= max - at)
        return true;
    resp_error(call->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

uint8_t *resp_value_copy(struct resp_call *call, const struct resp_value *value, size_t len)
{
    size_t old = value->view.len;
    uint8_t *copy = malloc(len != 0 ? len : 1);
    if (copy == NULL) {
        resp_store_error(call, KV_NO_MEMORY);
        return NULL;
    }
    if (old != 0)
        memcpy(copy, value->view.data, old);
    memset(copy + old, 0, len - old);
    return copy;
}

// ---- arguments

bool resp_value_number(struct resp_call *call, const struct resp_arg *arg, int64_t *number)
{
    if (resp_arg_int64(arg, number))
        return true;
    resp_error(call->reply, RESP_NOT_INTEGER);
    return false;
}

bool resp_value_time(struct resp_call *call, enum resp_time_kind kind, const struct resp_arg *arg,
                     uint64_t *expire_ms)
{
    *expire_ms = 0;
    if (kind == RESP_TIME_NONE)
        return true;
    switch (resp_set_time(kind, arg, resp_now_ms(call->session->shared), expire_ms)) {
    case RESP_TIME_OK:
        return true;
    case RESP_TIME_NO_INTEGER:
        resp_error(call->reply, RESP_NOT_INTEGER);
        return false;
    case RESP_TIME_INVALID:
        break;
    }
    resp_error(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
    return false;
}

static int64_t from_start(int64_t at, int64_t len)
{
    if (at < 0)
        at += len;
    return at < 0 ? 0 : at;
}

bool resp_value_backwards(int64_t first, int64_t last)
{
    return first < 0 && last < 0 && first > last;
}

bool resp_value_range(int64_t first, int64_t last, uint64_t len, uint64_t *from, uint64_t *to)
{
    first = from_start(first, (int64_t)len);
    last = from_start(last, (int64_t)len);
    if (last >= (int64_t)len)
        last = (int64_t)len - 1;
    *from = (uint64_t)first;
    *to = (uint64_t)last;
    return first <= last;
}
