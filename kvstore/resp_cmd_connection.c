// Commands on the connection itself.
#include "kvstore/resp_args.h"
#include "kvstore/resp_handlers.h"
#include "kvstore/resp_store.h"

#include "kvstore/resp_version.h"

void resp_cmd_ping(struct resp_call *call)
{
    if (call->argc > 2)
        resp_error(call->reply, "ERR wrong number of arguments for 'ping' command");
    else if (call->argc == 2)
        resp_bulk(call->reply, call->args[1].data, call->args[1].len);
    else
        resp_status(call->reply, "PONG");
}

void resp_cmd_echo(struct resp_call *call)
{
    resp_bulk(call->reply, call->args[1].data, call->args[1].len);
}

void resp_cmd_quit(struct resp_call *call)
{
    resp_status(call->reply, "OK");
    call->session->close_after = true;
}

void resp_cmd_reset(struct resp_call *call)
{
    resp_session_reset(call->session);
    call->reply->proto = 2;
    resp_status(call->reply, "RESET");
}

void resp_cmd_select(struct resp_call *call)
{
    int64_t db;
    if (!resp_arg_int64(&call->args[1], &db) || db < INT32_MIN || db > INT32_MAX)
        resp_error(call->reply, RESP_NOT_INTEGER);
    else if (db != 0)
        resp_error(call->reply, "ERR DB index is out of range");
    else
        resp_status(call->reply, "OK");
}

// A browser tricked into sending its request to us, with commands in the body: nothing after this line is
// read.
void resp_cmd_http(struct resp_call *call)
{
    resp_error(call->reply, "ERR this is no HTTP server");
    call->session->close_after = true;
}

// ---- who one is

// There is one user, "default", and it has no password: any password will do for it. False: an error was
// replied.
static bool authenticate(struct resp_call *call, const struct resp_arg *user)
{
    if (resp_arg_equal(user, &(struct resp_arg){(const uint8_t *)"default", 7}))
        return true;
    resp_error(call->reply, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

void resp_cmd_auth(struct resp_call *call)
{
    if (call->argc > 3)
        resp_error(call->reply, RESP_SYNTAX_ERROR);
    else if (call->argc == 2)
        resp_error(call->reply,
                   "ERR AUTH <password> called without any password configured for the default user. "
                   "Are you sure your configuration is correct?");
    else if (authenticate(call, &call->args[1]))
        resp_status(call->reply, "OK");
}

static void reply_hello(struct resp_call *call)
{
    struct resp_reply *reply = call->reply;
    resp_map(reply, 7);
    resp_bulk_text(reply, "server");
    resp_bulk_text(reply, "redis");
    resp_bulk_text(reply, "version");
    resp_bulk_text(reply, RESP_REDIS_VERSION);
    resp_bulk_text(reply, "proto");
    resp_integer(reply, reply->proto);
    resp_bulk_text(reply, "id");
    resp_integer(reply, (int64_t)call->session->id);
    resp_bulk_text(reply, "mode");
    resp_bulk_text(reply, "standalone");
    resp_bulk_text(reply, "role");
    resp_bulk_text(reply, "master");
    resp_bulk_text(reply, "modules");
    resp_array(reply, 0);
}

// False: an error was replied.
static bool hello_options(struct resp_call *call)
{
    const struct resp_arg *args = call->args;
    for (size_t i = 2; i < call->argc; i++) {
        size_t more = call->argc - 1 - i;
        if (resp_arg_is(&args[i], "auth") && more >= 2) {
            if (!authenticate(call, &args[i + 1]))
                return false;
            i += 2;
        } else if (resp_arg_is(&args[i], "setname") && more >= 1) {
            if (!resp_client_set_name(call, &args[i + 1]))
                return false;
            i++;
        } else {
            resp_error(call->reply, "ERR Syntax error in HELLO option '%.*s'",
                       (int)(args[i].len < 128 ? args[i].len : 128), (const char *)args[i].data);
            return false;
        }
    }
    return true;
}

void resp_cmd_hello(struct resp_call *call)
{
    int64_t version = 0;
    if (call->argc > 1 && !resp_arg_int64(&call->args[1], &version)) {
        resp_error(call->reply, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (call->argc > 1 && version != 2 && version != 3) {
        resp_error(call->reply, "NOPROTO unsupported protocol version");
        return;
    }
    if (!hello_options(call))
        return;
    if (version != 0) {
        atomic_store(&call->session->proto, (int)version);
        call->reply->proto = (int)version;
    }
    reply_hello(call);
}
