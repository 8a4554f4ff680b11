#include "kvstore/resp_store.h"

void resp_store_error(struct resp_call *call, enum kv_status status)
{
    switch (status) {
    case KV_READ_ONLY:
        resp_error(
            call->reply,
            "MISCONF The store refuses writes: a write or sync failed earlier. Mend the disk and restart.");
        return;
    case KV_FULL:
        resp_error(call->reply, "MISCONF No space left on the store's device; nothing was changed");
        return;
    case KV_NO_MEMORY:
        resp_error(call->reply, "OOM command not allowed: no memory");
        return;
    case KV_INVALID:
        resp_error(call->reply, "ERR the empty key is not supported");
        return;
    case KV_TOO_LARGE:
        resp_error(call->reply, "ERR key or value too large: keys have at most %u bytes, values %u",
                   KV_KEY_MAX, KV_VALUE_MAX);
        return;
    case KV_CORRUPT:
        resp_error(call->reply, "ERR the record is damaged on disk");
        return;
    default:
        resp_error(call->reply, "ERR the store failed: %s", kv_status_text(status));
        return;
    }
}

static bool storable(const struct resp_arg *key)
{
    return key->len != 0 && key->len <= KV_KEY_MAX;
}

static enum kv_status check_key(const struct resp_arg *key)
{
    if (key->len == 0)
        return KV_INVALID;
    return key->len > KV_KEY_MAX ? KV_TOO_LARGE : KV_OK;
}

static enum kv_status wrote(struct resp_call *call, const struct resp_arg *key, enum kv_status status)
{
    if (status != KV_OK)
        return status;
    struct resp_shared *shared = call->session->shared;
    call->session->wrote = true;
    if (shared->on_change != NULL)
        shared->on_change(shared->on_change_arg, key->data, key->len);
    return status;
}

enum kv_status resp_store_exists(struct resp_call *call, const struct resp_arg *key)
{
    return storable(key) ? kv_exists(call->session->shared->store, key->data, key->len) : KV_NOT_FOUND;
}

enum kv_status resp_store_reply_value(struct resp_call *call, const struct resp_arg *key)
{
    struct kv_store *store = call->session->shared->store;
    struct kv_view view;
    enum kv_status status = storable(key) ? kv_get_view(store, key->data, key->len, &view) : KV_NOT_FOUND;
    if (status == KV_OK) {
        resp_bulk(call->reply, view.data, view.len);
        kv_view_release(store, &view);
    } else if (status == KV_NOT_FOUND) {
        resp_null(call->reply);
    } else {
        resp_store_error(call, status);
    }
    return status;
}

enum kv_status resp_store_expiry(struct resp_call *call, const struct resp_arg *key, uint64_t *expire_ms)
{
    return storable(key) ? kv_get_expiry(call->session->shared->store, key->data, key->len, expire_ms)
                         : KV_NOT_FOUND;
}

enum kv_status resp_store_put(struct resp_call *call, const struct resp_arg *key,
                              const struct resp_arg *value, uint64_t expire_ms, unsigned flags)
{
    enum kv_status status = check_key(key);
    if (status != KV_OK)
        return status;
    status = kv_put(call->session->shared->store, key->data, key->len, value->data, value->len, expire_ms,
                    flags | KV_PUT_NO_WAIT);
    return wrote(call, key, status);
}

enum kv_status resp_store_delete(struct resp_call *call, const struct resp_arg *key)
{
    if (!storable(key))
        return KV_NOT_FOUND;
    return wrote(call, key, kv_delete(call->session->shared->store, key->data, key->len, KV_PUT_NO_WAIT));
}

enum kv_status resp_store_set_expiry(struct resp_call *call, const struct resp_arg *key, uint64_t expire_ms)
{
    if (!storable(key))
        return KV_NOT_FOUND;
    return wrote(call, key,
                 kv_set_expiry(call->session->shared->store, key->data, key->len, expire_ms, KV_PUT_NO_WAIT));
}

void resp_store_lock(struct resp_call *call, const struct resp_arg *key)
{
    (void)pthread_mutex_lock(resp_key_lock(call->session->shared, key));
}

void resp_store_unlock(struct resp_call *call, const struct resp_arg *key)
{
    (void)pthread_mutex_unlock(resp_key_lock(call->session->shared, key));
}
