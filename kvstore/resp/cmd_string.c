// Commands that read strings; those that do something to the key on the way are in cmd_string_get.c.
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/value.h"

void resp_cmd_get(struct resp_call *call)
{
    struct resp_value value;
    if (resp_value_read(call, &call->args[1], &value))
        resp_value_give(call, &value);
}

void resp_cmd_mget(struct resp_call *call)
{
    // A damaged record makes the whole reply an error, as one inside the array would be taken for a value by some clients.
    struct resp_mark mark = resp_reply_mark(call->reply);
    resp_array(call->reply, call->argc - 1);
    for (size_t i = 1; i < call->argc && resp_reply_ok(call->reply); i++) {
        struct kv_view view;
        enum kv_status status = resp_store_get(call, &call->args[i], &view);
        if (status == KV_OK) {
            resp_bulk(call->reply, view.data, view.len);
            resp_store_release(call, &view);
        } else if (status == KV_NOT_FOUND) {
            resp_null(call->reply);
        } else {
            resp_reply_rewind(call->reply, &mark);
            resp_store_error(call, status);
            return;
        }
    }
    resp_value_missed(call, call->args + 1, call->argc - 1);
}

void resp_cmd_strlen(struct resp_call *call)
{
    struct resp_value value;
    if (!resp_value_read(call, &call->args[1], &value))
        return;
    resp_integer(call->reply, (int64_t)value.view.len);
    resp_value_release(call, &value);
}

void resp_cmd_getrange(struct resp_call *call)
{
    int64_t first, last;
    uint64_t from, to;
    struct resp_value value;
    if (!resp_value_number(call, &call->args[2], &first) || !resp_value_number(call, &call->args[3], &last) ||
        !resp_value_read(call, &call->args[1], &value))
        return;
    if (!resp_value_backwards(first, last) && resp_value_range(first, last, value.view.len, &from, &to))
        resp_bulk(call->reply, value.view.data + from, to - from + 1);
    else
        resp_bulk(call->reply, "", 0);
    resp_value_release(call, &value);
}
