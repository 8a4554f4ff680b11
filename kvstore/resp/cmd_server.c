// Commands on the server as a whole, but CONFIG and INFO.
#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"
#include "kvstore/resp/transactions.h"

void resp_cmd_time(struct resp_call *call)
{
    uint64_t now_ms = resp_now_ms(call->session->shared);
    resp_array(call->reply, 2);
    resp_bulk_uint(call->reply, now_ms / 1000);
    resp_bulk_uint(call->reply, now_ms % 1000 * 1000);
}

// ---- MODULE: there are none, and none can be loaded.

void resp_cmd_module_list(struct resp_call *call)
{
    resp_array(call->reply, 0);
}

// LOAD, LOADEX, UNLOAD: begins as Redis does with `enable-module-command no`.
void resp_cmd_module_load(struct resp_call *call)
{
    resp_error(call->reply, "ERR MODULE command not allowed. This server loads no modules.");
}

// ---- SHUTDOWN, WAIT

struct shutdown_options {
    bool save, no_save, force, abort;
};

static bool shutdown_options(const struct resp_call *call, struct shutdown_options *o)
{
    *o = (struct shutdown_options){0};
    bool now = false;
    for (size_t i = 1; i < call->argc; i++) {
        const struct resp_arg *arg = &call->args[i];
        if (resp_arg_is(arg, "nosave"))
            o->no_save = true;
        else if (resp_arg_is(arg, "save"))
            o->save = true;
        else if (resp_arg_is(arg, "now"))
            now = true;
        else if (resp_arg_is(arg, "force"))
            o->force = true;
        else if (resp_arg_is(arg, "abort"))
            o->abort = true;
        else
            return false;
    }
    return !(o->save && o->no_save) && !(o->abort && (o->save || o->no_save || now || o->force));
}

// Everything written is in the log, so NOSAVE saves no less; a log that cannot be synced stops it, unless FORCE is given.
void resp_cmd_shutdown(struct resp_call *call)
{
    const struct resp_hooks *hooks = &call->session->shared->hooks;
    struct shutdown_options options;
    if (!shutdown_options(call, &options)) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    }
    if (options.abort) { // one that has begun answers no commands
        resp_error(call->reply, "ERR No shutdown in progress.");
        return;
    }
    if (hooks->shutdown == NULL || (kv_sync(call->session->shared->store) != KV_OK && !options.force)) {
        resp_error(call->reply, "ERR Errors trying to SHUTDOWN. Check logs.");
        return;
    }
    call->session->close_after = true; // no reply
    hooks->shutdown(hooks->arg);
}

void resp_cmd_wait(struct resp_call *call)
{
    int64_t replicas, timeout_ms;
    if (!resp_arg_int64(&call->args[1], &replicas)) {
        resp_error(call->reply, RESP_NOT_INTEGER);
        return;
    }
    if (!resp_arg_int64(&call->args[2], &timeout_ms)) {
        resp_error(call->reply, "ERR timeout is not an integer or out of range");
        return;
    }
    if (timeout_ms < 0) {
        resp_error(call->reply, "ERR timeout is negative");
        return;
    }
    // There are none that could acknowledge. A timeout of 0 is for ever: as long as anyone may sleep.
    // In a transaction it is answered at once, as in Redis: the locks of the transaction's keys are held.
    if (replicas > 0 && call->may_wait && !resp_transaction_is_running(call->session))
        (void)resp_nap(&call->session->shared->naps,
                       timeout_ms != 0 ? (uint64_t)timeout_ms : RESP_NAP_MOST_MS);
    resp_integer(call->reply, 0);
}
