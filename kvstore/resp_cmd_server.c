// Commands on the server as a whole, but CONFIG and INFO.
#include "kvstore/resp_args.h"
#include "kvstore/resp_handlers.h"
#include "kvstore/resp_store.h"

void resp_cmd_time(struct resp_call *call)
{
    uint64_t now_ms = resp_now_ms(call->session->shared);
    resp_array(call->reply, 2);
    resp_bulk_uint(call->reply, now_ms / 1000);
    resp_bulk_uint(call->reply, now_ms % 1000 * 1000);
}

// Every write is in the log already: saving is making it durable.
static bool save(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    enum kv_status status = kv_sync(shared->store);
    if (status != KV_OK) {
        resp_store_error(call, status);
        return false;
    }
    atomic_store(&shared->last_save_ms, resp_now_ms(shared));
    return true;
}

void resp_cmd_save(struct resp_call *call)
{
    if (save(call))
        resp_status(call->reply, "OK");
}

void resp_cmd_bgsave(struct resp_call *call)
{
    if (call->argc > 2 || (call->argc == 2 && !resp_arg_is(&call->args[1], "schedule")))
        resp_error(call->reply, RESP_SYNTAX_ERROR);
    else if (save(call))
        resp_status(call->reply, "Background saving started");
}

void resp_cmd_lastsave(struct resp_call *call)
{
    resp_integer(call->reply, (int64_t)(atomic_load(&call->session->shared->last_save_ms) / 1000));
}
