// DEBUG: what test suites of clients use; nothing that crashes or harms. Refused unless enable-debug-command was set at start, as in Redis.
#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/config.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"

// The number that the text begins with, as strtod() reads it; 0: none.
static double leading_number(const struct resp_arg *arg)
{
    char text[64];
    size_t len = arg->len < sizeof text - 1 ? arg->len : sizeof text - 1;
    if (len != 0)
        memcpy(text, arg->data, len);
    text[len] = '\0';
    double value = strtod(text, NULL);
    return isfinite(value) ? value : 0;
}

static void debug_sleep(struct resp_call *call)
{
    double ms = leading_number(&call->args[2]) * 1000;
    if (ms >= 1 && call->may_wait)
        (void)resp_nap(&call->session->shared->naps, ms < RESP_NAP_MOST_MS ? (uint64_t)ms : RESP_NAP_MOST_MS);
    resp_status(call->reply, "OK");
}

static void debug_error(struct resp_call *call)
{
    resp_error_bytes(call->reply, call->args[2].data, call->args[2].len);
}

static void debug_object(struct resp_call *call)
{
    struct kv_view view;
    int64_t number;
    char text[160];
    enum kv_status status = resp_store_get(call, &call->args[2], &view);
    if (status == KV_NOT_FOUND) {
        resp_error(call->reply, "ERR no such key");
        return;
    }
    if (status != KV_OK) {
        resp_store_error(call, status);
        return;
    }
    const char *encoding = view.len <= 20 && resp_text_int64(view.data, view.len, &number) ? "int"
                           : view.len <= 44                                                ? "embstr"
                                                                                           : "raw";
    (void)snprintf(text, sizeof text,
                   "Value at:0x0 refcount:1 encoding:%s serializedlength:%zu lru:0 lru_seconds_idle:0",
                   encoding, view.len + 1);
    resp_store_release(call, &view);
    resp_status(call->reply, text);
}

static void debug_threshold(struct resp_call *call)
{
    uint64_t bytes;
    if (resp_arg_memory(&call->args[2], &bytes) && bytes <= (uint64_t)1 << 32)
        resp_status(call->reply, "OK");
    else
        resp_error(call->reply, "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
}

static void debug_ok(struct resp_call *call)
{
    resp_status(call->reply, "OK");
}

// ---- PROTOCOL: a reply of each type

static void reply_three(struct resp_reply *reply)
{
    for (int i = 0; i < 3; i++)
        resp_integer(reply, i);
}

static void reply_map(struct resp_reply *reply)
{
    resp_map(reply, 3);
    for (int i = 0; i < 3; i++) {
        resp_integer(reply, i);
        resp_bool(reply, i == 1);
    }
}

static void debug_protocol(struct resp_call *call)
{
    const struct resp_arg *type = &call->args[2];
    struct resp_reply *reply = call->reply;
    if (resp_arg_is(type, "string")) {
        resp_bulk_text(reply, "Hello World");
    } else if (resp_arg_is(type, "integer")) {
        resp_integer(reply, 12345);
    } else if (resp_arg_is(type, "double")) {
        resp_double(reply, 3.141);
    } else if (resp_arg_is(type, "null")) {
        resp_null(reply);
    } else if (resp_arg_is(type, "array")) {
        resp_array(reply, 3);
        reply_three(reply);
    } else if (resp_arg_is(type, "set")) {
        resp_set(reply, 3);
        reply_three(reply);
    } else if (resp_arg_is(type, "map")) {
        reply_map(reply);
    } else if (resp_arg_is(type, "verbatim")) {
        resp_verbatim(reply, "This is a verbatim\nstring", 25);
    } else if (resp_arg_is(type, "true") || resp_arg_is(type, "false")) {
        resp_bool(reply, resp_arg_is(type, "true"));
    } else {
        resp_error(reply, "ERR Wrong protocol type name. Please use one of the following: "
                          "string|integer|double|null|array|set|map|verbatim|true|false");
    }
}

static void debug_help(struct resp_call *call)
{
    static const char *const lines[] = {
        "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ERROR <string>",
        "    Return a Redis protocol error with <string> as message.",
        "OBJECT <key>",
        "    Show low level info about `key` and associated value.",
        "PROTOCOL <type>",
        "    Reply with a test value of the specified type. <type> can be: string,",
        "    integer, double, bignum, null, array, set, map, verbatim, true, false.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    Accepted; there are no lists.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Accepted; keys expire in the background whatever it says.",
        "SLEEP <seconds>",
        "    Answer after <seconds>. Decimals allowed. Other connections go on.",
        "HELP",
        "    Prints this help.",
    };
    resp_array(call->reply, sizeof lines / sizeof lines[0]);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        resp_status(call->reply, lines[i]);
}

static bool is_local(const struct resp_session *session)
{
    return session->peer[0] == '/' || strncmp(session->peer, "127.", 4) == 0 ||
           strncmp(session->peer, "[::1]", 5) == 0;
}

static bool allowed(const struct resp_call *call)
{
    char value[16];
    resp_config_text(call->session->shared, "enable-debug-command", value, sizeof value);
    return strcmp(value, "yes") == 0 || (strcmp(value, "local") == 0 && is_local(call->session));
}

void resp_cmd_debug(struct resp_call *call)
{
    static const struct {
        const char *name;
        size_t argc;
        void (*run)(struct resp_call *call);
    } rows[] = {
        {"error", 3, debug_error},          {"help", 2, debug_help},
        {"object", 3, debug_object},        {"protocol", 3, debug_protocol},
        {"set-active-expire", 3, debug_ok}, {"quicklist-packed-threshold", 3, debug_threshold},
        {"sleep", 3, debug_sleep},
    };
    const struct resp_arg *name = &call->args[1];
    if (!allowed(call)) {
        resp_error(
            call->reply,
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you "
            "can run it from a local connection, otherwise you need to set this option in the "
            "configuration file, and then restart the server.");
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (call->argc == rows[i].argc && resp_arg_is(name, rows[i].name)) {
            rows[i].run(call);
            return;
        }
    }
    resp_error(call->reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG HELP.",
               (int)(name->len < 128 ? name->len : 128), (const char *)name->data);
}
