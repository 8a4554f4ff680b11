// OBJECT: what Redis would keep a value as.
#include "kvstore/resp/args.h"
#include "kvstore/resp/events.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"

#define INT_LEN_MAX     20u // digits and sign
#define EMBSTR_LEN_MAX  44u
#define SHARED_INTEGERS 10000
#define SHARED_COUNT    2147483647

// False: null or an error was replied, or the call is to run again.
static bool get(struct resp_call *call, struct kv_view *view)
{
    enum kv_status status = resp_store_get(call, &call->args[2], view);
    if (status == KV_NOT_FOUND)
        resp_null(call->reply);
    else if (status != KV_OK)
        resp_store_error(call, status);
    return status == KV_OK;
}

static bool is_integer(const struct kv_view *view, int64_t *number)
{
    return view->len <= INT_LEN_MAX && resp_text_int64(view->data, view->len, number);
}

void resp_cmd_object_encoding(struct resp_call *call)
{
    struct kv_view view;
    int64_t number;
    if (!get(call, &view))
        return;
    resp_bulk_text(call->reply, is_integer(&view, &number)   ? "int"
                                : view.len <= EMBSTR_LEN_MAX ? "embstr"
                                                             : "raw");
    resp_store_release(call, &view);
}

// Redis has the small numbers once for all keys.
void resp_cmd_object_refcount(struct resp_call *call)
{
    struct kv_view view;
    int64_t number = -1;
    if (!get(call, &view))
        return;
    bool shared = is_integer(&view, &number) && number >= 0 && number < SHARED_INTEGERS;
    resp_integer(call->reply, shared ? SHARED_COUNT : 1);
    resp_store_release(call, &view);
}

// The memory tier keeps no times of access.
void resp_cmd_object_idletime(struct resp_call *call)
{
    if (resp_store_exists(call, &call->args[2]) == KV_OK)
        resp_integer(call->reply, 0);
    else
        resp_null(call->reply);
}

void resp_cmd_object_freq(struct resp_call *call)
{
    if (resp_store_exists(call, &call->args[2]) != KV_OK)
        resp_null(call->reply);
    else
        resp_error(
            call->reply,
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
            "when switching between policies at runtime LRU and LFU data will take some time to adjust.");
}
