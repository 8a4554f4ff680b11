// Commands that give a string's value and do something to the key: GETDEL, GETEX, GETSET. When the reply cannot be built nothing is done; when what is done fails its error
// takes the value's place.
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/options.h"
#include "kvstore/resp/value.h"

// Replies the value, to be taken back by resp_reply_rewind(). False: there is nothing more to do.
static bool reply_value(struct resp_call *call, const struct resp_value *value)
{
    resp_value_reply(call, value);
    return resp_reply_ok(call->reply);
}

static void finish(struct resp_call *call, const struct resp_mark *mark, enum kv_status status)
{
    if (status == KV_OK || status == KV_NOT_FOUND)
        return;
    resp_reply_rewind(call->reply, mark);
    resp_store_error(call, status);
}

void resp_cmd_getset(struct resp_call *call)
{
    const struct resp_arg *key = &call->args[1];
    struct resp_value old;
    struct resp_mark mark = resp_reply_mark(call->reply);
    if (!resp_value_read(call, key, &old))
        return;
    if (reply_value(call, &old))
        finish(call, &mark, resp_value_store(call, key, call->args[2].data, call->args[2].len, 0, 0, "set"));
    resp_value_release(call, &old);
}

// Deletes the key, which is an event.
static enum kv_status delete_key(struct resp_call *call, const struct resp_arg *key)
{
    enum kv_status status = resp_store_delete(call, key);
    if (status == KV_OK)
        resp_event(call, RESP_EVENT_GENERIC, "del", key);
    return status;
}

void resp_cmd_getdel(struct resp_call *call)
{
    const struct resp_arg *key = &call->args[1];
    struct resp_value value;
    struct resp_mark mark = resp_reply_mark(call->reply);
    if (!resp_value_read(call, key, &value))
        return;
    if (reply_value(call, &value) && value.there)
        finish(call, &mark, delete_key(call, key));
    resp_value_release(call, &value);
}

// What GETEX does to the expiry. expire_ms: 0 when none was given.
static enum kv_status change_expiry(struct resp_call *call, const struct resp_getex_options *o,
                                    const struct resp_value *value, uint64_t expire_ms)
{
    const struct resp_arg *key = &call->args[1];
    if (expire_ms == 0 && !(o->persist && value->view.expire_ms != 0))
        return KV_OK;
    if (expire_ms != 0 && expire_ms <= resp_now_ms(call->session->shared))
        return delete_key(call, key);
    enum kv_status status = resp_store_set_expiry(call, key, expire_ms);
    if (status == KV_OK)
        resp_event(call, RESP_EVENT_GENERIC, expire_ms != 0 ? "expire" : "persist", key);
    return status;
}

void resp_cmd_getex(struct resp_call *call)
{
    struct resp_getex_options options;
    struct resp_value value;
    uint64_t expire_ms = 0;
    struct resp_mark mark = resp_reply_mark(call->reply);
    if (!resp_getex_options_parse(call->args + 2, call->argc - 2, &options)) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    }
    if (!resp_value_read(call, &call->args[1], &value))
        return;
    // An absent key is null whatever its time: Redis looks at that behind the key.
    if (!value.there)
        resp_null(call->reply);
    else if (resp_value_time(call, options.time_kind, options.time, &expire_ms) && reply_value(call, &value))
        finish(call, &mark, change_expiry(call, &options, &value, expire_ms));
    resp_value_release(call, &value);
}
