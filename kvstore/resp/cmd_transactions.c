// MULTI, EXEC, DISCARD, WATCH, UNWATCH.
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"
#include "kvstore/resp/transactions.h"
#include "kvstore/resp/watch.h"

void resp_cmd_multi(struct resp_call *call)
{
    if (resp_transaction_is_open(call->session))
        resp_error(call->reply, "ERR MULTI calls can not be nested");
    else if (!resp_transaction_open(call->session))
        resp_store_error(call, KV_NO_MEMORY);
    else
        resp_status(call->reply, "OK");
}

void resp_cmd_exec(struct resp_call *call)
{
    if (resp_transaction_is_open(call->session))
        resp_transaction_exec(call);
    else
        resp_error(call->reply, "ERR EXEC without MULTI");
}

void resp_cmd_discard(struct resp_call *call)
{
    if (!resp_transaction_is_open(call->session)) {
        resp_error(call->reply, "ERR DISCARD without MULTI");
        return;
    }
    resp_transaction_discard(call->session);
    resp_status(call->reply, "OK");
}

// False: an error was replied.
static bool watch_key(struct resp_call *call, const struct resp_arg *key)
{
    uint64_t expire_ms = 0;
    switch (resp_watch_add(call->session, call->db, key)) {
    case RESP_LINK_NEW: {
        // After it is watched: a change in between breaks the transaction.
        bool exists = resp_store_expiry(call, key, &expire_ms) == KV_OK;
        resp_watch_found(call->session, call->db, key, exists, expire_ms);
        return true;
    }
    case RESP_LINK_OLD:
        return true;
    case RESP_LINK_TOO_MANY:
        resp_error(call->reply, "ERR too many keys are watched: they may take %u bytes", RESP_WATCH_BYTES);
        return false;
    case RESP_LINK_NO_MEMORY:
        break;
    }
    resp_store_error(call, KV_NO_MEMORY);
    return false;
}

void resp_cmd_watch(struct resp_call *call)
{
    if (resp_transaction_is_open(call->session)) {
        resp_error(call->reply, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    bool dirty = atomic_load(&call->session->watch_dirty); // then there is no point in it
    for (size_t i = 1; i < call->argc && !dirty; i++)
        if (!watch_key(call, &call->args[i]))
            return;
    resp_status(call->reply, "OK");
}

void resp_cmd_unwatch(struct resp_call *call)
{
    resp_watch_clear(call->session);
    resp_status(call->reply, "OK");
}
