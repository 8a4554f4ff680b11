// Commands on the connection itself.
#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/pubsub.h"
#include "kvstore/resp/store.h"

#include "kvstore/resp/version.h"

// To a RESP2 connection that listens: in the form of a message, as all that it gets.
static void pong_among_messages(struct resp_call *call)
{
    resp_array(call->reply, 2);
    resp_bulk_text(call->reply, "pong");
    if (call->argc == 2)
        resp_bulk(call->reply, call->args[1].data, call->args[1].len);
    else
        resp_bulk_text(call->reply, "");
}

void resp_cmd_ping(struct resp_call *call)
{
    if (call->argc > 2)
        resp_error(call->reply, "ERR wrong number of arguments for 'ping' command");
    else if (call->reply->proto < 3 && resp_pubsub_listens(call->session))
        pong_among_messages(call);
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

// A browser tricked into sending its request to us, with commands in the body: nothing after this line is
// read.
void resp_cmd_http(struct resp_call *call)
{
    resp_error(call->reply, "ERR this is no HTTP server");
    call->session->close_after = true;
}

// ---- who one is

// The answer of who may be guessing takes a moment, on a worker, unless another one's does already: strangers are not to keep workers. False: to be run again there.
static bool delay(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    if (!call->may_wait) {
        call->again = true;
        return false;
    }
    if (!atomic_exchange(&shared->access.delaying, true)) {
        (void)resp_nap(&shared->naps, RESP_PASSWORD_DELAY_MS);
        atomic_store(&shared->access.delaying, false);
    }
    return true;
}

static void wrong_password(struct resp_call *call)
{
    struct resp_session *session = call->session;
    bool stranger = !resp_session_is_authenticated(session);
    if (stranger && session->manners.wrong_passwords >= RESP_PASSWORD_FREE_TRIES && !delay(call))
        return;
    if (stranger) {
        atomic_fetch_add(&session->shared->counters.wrong_passwords, 1);
        if (++session->manners.wrong_passwords >= RESP_PASSWORD_TRIES) {
            atomic_fetch_add(&session->shared->counters.guessers_closed, 1);
            session->close_after = true;
        }
    }
    resp_error(call->reply, "WRONGPASS invalid username-password pair or user is disabled.");
}

// There is one user, "default". Without a password any will do for it. False: an error was replied, or it is to be run again.
static bool authenticate(struct resp_call *call, const struct resp_arg *user, const struct resp_arg *password)
{
    struct resp_session *session = call->session;
    if (resp_arg_equal(user, &(struct resp_arg){(const uint8_t *)"default", 7}) &&
        resp_access_password_is(&session->shared->access, password->data, password->len)) {
        session->manners.authenticated = true;
        session->manners.wrong_passwords = 0;
        return true;
    }
    wrong_password(call);
    return false;
}

void resp_cmd_auth(struct resp_call *call)
{
    const struct resp_arg own = {(const uint8_t *)"default", 7};
    if (call->argc > 3)
        resp_error(call->reply, RESP_SYNTAX_ERROR);
    else if (call->argc == 2 && !atomic_load(&call->session->shared->access.has_password))
        resp_error(call->reply,
                   "ERR AUTH <password> called without any password configured for the default user. "
                   "Are you sure your configuration is correct?");
    else if (authenticate(call, call->argc == 2 ? &own : &call->args[1], &call->args[call->argc - 1]))
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
    resp_bulk_text(reply, atomic_load(&call->session->shared->cluster_enabled) ? "cluster" : "standalone");
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
            if (!authenticate(call, &args[i + 1], &args[i + 2]))
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
    if (!resp_session_is_authenticated(call->session)) {
        resp_error(call->reply,
                   "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
                   "<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
                   "RESP protocol version at the same time");
        return;
    }
    if (version != 0) {
        atomic_store(&call->session->proto, (int)version);
        call->reply->proto = (int)version;
    }
    reply_hello(call);
}
