// Commands on keys, whatever their value: whether they are there, and removing them.
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/events.h"
#include "kvstore/resp/store.h"

void resp_cmd_del(struct resp_call *call)
{
    int64_t deleted = 0;
    for (size_t i = 1; i < call->argc; i++)
        if (resp_store_ready(call, &call->args[i]) == KV_PENDING)
            return;
    for (size_t i = 1; i < call->argc; i++) {
        const struct resp_arg *key = &call->args[i];
        enum kv_status status = resp_store_delete(call, key);
        if (status != KV_OK && status != KV_NOT_FOUND) {
            resp_store_error(call, status);
            return;
        }
        if (status == KV_OK)
            resp_event(call, RESP_EVENT_GENERIC, "del", key);
        deleted += status == KV_OK;
    }
    resp_integer(call->reply, deleted);
}

bool resp_key_there(struct resp_call *call, const struct resp_arg *key)
{
    if (resp_store_exists(call, key) == KV_OK)
        return true;
    resp_event(call, RESP_EVENT_MISS, "keymiss", key);
    return false;
}

void resp_cmd_exists(struct resp_call *call)
{
    int64_t found = 0;
    for (size_t i = 1; i < call->argc; i++)
        found += resp_key_there(call, &call->args[i]);
    resp_integer(call->reply, found);
}

// The memory tier learns from reads alone: there is no access time to change.
void resp_cmd_touch(struct resp_call *call)
{
    resp_cmd_exists(call);
}

void resp_cmd_type(struct resp_call *call)
{
    resp_status(call->reply, resp_key_there(call, &call->args[1]) ? "string" : "none");
}
