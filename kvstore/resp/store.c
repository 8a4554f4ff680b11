#include "kvstore/resp/store.h"

#include "kvstore/resp/db_count.h"
#include "kvstore/resp/events.h"

void resp_store_error(struct resp_call *call, enum kv_status status)
{
    switch (status) {
    case KV_PENDING: // runs again
        return;
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
    case KV_BAD_FORMAT:
        resp_error(call->reply, "ERR keys may not begin as the server's own records do");
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

static struct kv_store *store_of(const struct resp_call *call)
{
    return call->session->shared->store;
}

static bool name_of(const struct resp_call *call, const struct resp_arg *key, struct resp_db_name *name)
{
    return resp_db_name(call->session->shared, call->db, key, name);
}

// Why there is no name for a key that is to be written.
static enum kv_status no_name(const struct resp_call *call, const struct resp_arg *key)
{
    unsigned laid = resp_db_laid(call->session->shared, call->db);
    if (key->len > KV_KEY_MAX - (laid != 0 ? RESP_DB_PREFIX : 0))
        return KV_TOO_LARGE;
    return laid != 0 || key->len == 0 ? KV_NO_MEMORY : KV_BAD_FORMAT;
}

// What was in memory when the handler asked whether it could be written may be on disk by now. One that has changed something waits then, which is rare: run again, it would
// find what it has done itself.
static bool may_wait(const struct resp_call *call)
{
    return call->may_wait || call->changed;
}

static enum kv_status wrote(struct resp_call *call, const struct resp_arg *key, enum kv_status status)
{
    if (status != KV_OK)
        return status;
    call->session->wrote = true;
    call->changed = true;
    resp_changed(call->session->shared, call->session, call->db, key);
    return status;
}

// ---- reading

enum kv_status resp_store_exists(struct resp_call *call, const struct resp_arg *key)
{
    struct resp_db_name name;
    if (!name_of(call, key, &name))
        return KV_NOT_FOUND;
    enum kv_status status = kv_exists(store_of(call), name.data, name.len);
    resp_db_name_free(&name);
    return status;
}

enum kv_status resp_store_expiry(struct resp_call *call, const struct resp_arg *key, uint64_t *expire_ms)
{
    struct resp_db_name name;
    if (!name_of(call, key, &name))
        return KV_NOT_FOUND;
    enum kv_status status = kv_get_expiry(store_of(call), name.data, name.len, expire_ms);
    resp_db_name_free(&name);
    return status;
}

enum kv_status resp_store_get(struct resp_call *call, const struct resp_arg *key, struct kv_view *view)
{
    struct resp_db_name name;
    if (!name_of(call, key, &name))
        return KV_NOT_FOUND;
    enum kv_status status = may_wait(call) ? kv_get_view(store_of(call), name.data, name.len, view)
                                           : kv_peek(store_of(call), name.data, name.len, view);
    resp_db_name_free(&name);
    call->again |= status == KV_PENDING;
    return status;
}

void resp_store_release(struct resp_call *call, struct kv_view *view)
{
    kv_view_release(store_of(call), view);
}

enum kv_status resp_store_reply_value(struct resp_call *call, const struct resp_arg *key)
{
    struct kv_view view;
    enum kv_status status = resp_store_get(call, key, &view);
    if (status == KV_OK) {
        resp_bulk(call->reply, view.data, view.len);
        resp_store_release(call, &view);
    } else if (status == KV_NOT_FOUND) {
        resp_null(call->reply);
    } else {
        resp_store_error(call, status);
    }
    return status;
}

// ---- writing

enum kv_status resp_store_ready(struct resp_call *call, const struct resp_arg *key)
{
    struct resp_db_name name;
    if (may_wait(call) || !name_of(call, key, &name))
        return KV_OK;
    enum kv_status status = kv_peek(store_of(call), name.data, name.len, NULL);
    resp_db_name_free(&name);
    call->again |= status == KV_PENDING;
    return status == KV_PENDING ? KV_PENDING : KV_OK;
}

enum kv_status resp_store_put(struct resp_call *call, const struct resp_arg *key, const void *value,
                              size_t len, uint64_t expire_ms, unsigned flags)
{
    struct resp_db_name name;
    enum kv_status status = resp_store_ready(call, key);
    if (status != KV_OK)
        return status;
    if (!name_of(call, key, &name))
        return no_name(call, key);
    struct resp_shared *shared = call->session->shared;
    struct kv_put_old old;
    status = name.laid != 0 ? resp_db_note_used(shared) : KV_OK;
    // On a loop many are written at once, before the replies leave (conn.c).
    flags |= call->may_wait ? KV_PUT_NO_WAIT : KV_PUT_NO_WAIT | KV_PUT_HOLD;
    if (status == KV_OK)
        status = kv_put_over(shared->store, name.data, name.len, value, len, expire_ms, flags, &old);
    if (status == KV_OK) {
        if (!call->may_wait)
            call->session->unwritten = true;
        resp_db_note_put(shared, &name, &old, expire_ms);
        if (old.expire_ms != 0 && old.expire_ms <= resp_now_ms(shared)) // the store says nothing of these
            resp_event(call, RESP_EVENT_EXPIRED, "expired", key);
    }
    resp_db_name_free(&name);
    return wrote(call, key, status);
}

static enum kv_status delete_key(struct resp_call *call, const struct resp_arg *key, unsigned flags)
{
    struct resp_db_name name;
    enum kv_status status = resp_store_ready(call, key);
    if (status != KV_OK)
        return status;
    if (!name_of(call, key, &name))
        return KV_NOT_FOUND;
    struct resp_shared *shared = call->session->shared;
    uint64_t old_ms = 0;
    if (name.laid != 0)
        (void)kv_get_expiry(shared->store, name.data, name.len, &old_ms);
    status = kv_delete(shared->store, name.data, name.len, KV_PUT_NO_WAIT | flags);
    if (status == KV_OK)
        resp_db_note_delete(shared, &name, old_ms);
    resp_db_name_free(&name);
    return status;
}

enum kv_status resp_store_delete(struct resp_call *call, const struct resp_arg *key)
{
    return wrote(call, key, delete_key(call, key, 0));
}

enum kv_status resp_store_delete_one_of_many(struct resp_call *call, const struct resp_arg *key)
{
    enum kv_status status = delete_key(call, key, KV_DELETE_LATER);
    if (status != KV_OK)
        return status;
    call->session->wrote = true;
    call->changed = true;
    resp_flushing(call->session->shared, call->db, key);
    return KV_OK;
}

enum kv_status resp_store_set_expiry(struct resp_call *call, const struct resp_arg *key, uint64_t expire_ms)
{
    struct resp_db_name name;
    enum kv_status status = resp_store_ready(call, key);
    if (status != KV_OK)
        return status;
    if (!name_of(call, key, &name))
        return KV_NOT_FOUND;
    struct resp_shared *shared = call->session->shared;
    uint64_t old_ms = 0;
    if (name.laid != 0)
        (void)kv_get_expiry(shared->store, name.data, name.len, &old_ms);
    status = kv_set_expiry(shared->store, name.data, name.len, expire_ms, KV_PUT_NO_WAIT);
    if (status == KV_OK)
        resp_db_note_expiry(shared, &name, old_ms, expire_ms);
    resp_db_name_free(&name);
    return wrote(call, key, status);
}
