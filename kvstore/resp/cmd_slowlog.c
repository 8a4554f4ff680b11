// SLOWLOG.
#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/slowlog.h"

void resp_cmd_slowlog_get(struct resp_call *call)
{
    int64_t most = 10;
    if (call->argc > 3) {
        resp_error(call->reply,
                   "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try SLOWLOG HELP.",
                   (int)call->args[1].len, (const char *)call->args[1].data);
        return;
    }
    if (call->argc == 3 && (!resp_arg_int64(&call->args[2], &most) || most < -1)) {
        resp_error(call->reply, "ERR count should be greater than or equal to -1");
        return;
    }
    resp_slowlog_reply(call->session->shared, call->reply, most < 0 ? UINT64_MAX : (uint64_t)most);
}

void resp_cmd_slowlog_len(struct resp_call *call)
{
    resp_integer(call->reply, (int64_t)resp_slowlog_length(call->session->shared));
}

void resp_cmd_slowlog_reset(struct resp_call *call)
{
    resp_slowlog_clear(call->session->shared);
    resp_status(call->reply, "OK");
}
