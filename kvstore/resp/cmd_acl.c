// ACL: there is one user, "default", who may do everything; his password is access.h's.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/keyspec.h"
#include "kvstore/resp/store.h"

#define GENPASS_BITS 256
#define GENPASS_MOST 4096
#define SHOWN        128 // bytes of a word that an error gives back

#define ONE_USER                                                                                             \
    "there is one user, \"default\"; its password is set by CONFIG SET requirepass or password-file"

static bool is_default(const struct resp_arg *name)
{
    return resp_arg_equal(name, &(struct resp_arg){(const uint8_t *)"default", 7});
}

void resp_cmd_acl_whoami(struct resp_call *call)
{
    resp_bulk_text(call->reply, "default");
}

void resp_cmd_acl_users(struct resp_call *call)
{
    resp_array(call->reply, 1);
    resp_bulk_text(call->reply, "default");
}

// The digest is salted, unlike Redis's: it names no password that one could look up.
void resp_cmd_acl_list(struct resp_call *call)
{
    char digest[2 * RESP_DIGEST_BYTES + 1], line[sizeof digest + 64];
    bool has = resp_access_digest(&call->session->shared->access, digest);
    (void)snprintf(line, sizeof line, "user default on %s%s ~* &* +@all", has ? "#" : "nopass",
                   has ? digest : "");
    resp_array(call->reply, 1);
    resp_bulk_text(call->reply, line);
}

static void reply_pair(struct resp_reply *reply, const char *name, const char *value)
{
    resp_bulk_text(reply, name);
    resp_bulk_text(reply, value);
}

void resp_cmd_acl_getuser(struct resp_call *call)
{
    char digest[2 * RESP_DIGEST_BYTES + 1];
    struct resp_reply *reply = call->reply;
    if (!is_default(&call->args[2])) {
        resp_null(reply);
        return;
    }
    bool has = resp_access_digest(&call->session->shared->access, digest);
    resp_map(reply, 6);
    resp_bulk_text(reply, "flags");
    resp_set(reply, has ? 1 : 2);
    resp_bulk_text(reply, "on");
    if (!has)
        resp_bulk_text(reply, "nopass");
    resp_bulk_text(reply, "passwords");
    resp_array(reply, has ? 1 : 0);
    if (has)
        resp_bulk_text(reply, digest);
    reply_pair(reply, "commands", "+@all");
    reply_pair(reply, "keys", "~*");
    reply_pair(reply, "channels", "&*");
    resp_bulk_text(reply, "selectors");
    resp_array(reply, 0);
}

static bool category_exists(const struct resp_arg *name)
{
    for (size_t i = 0; resp_categories[i] != NULL; i++) {
        if (resp_arg_is(name, resp_categories[i]))
            return true;
    }
    return false;
}

static void reply_categories(struct resp_reply *reply)
{
    size_t count = 0;
    while (resp_categories[count] != NULL)
        count++;
    resp_array(reply, count);
    for (size_t i = 0; i < count; i++)
        resp_bulk_text(reply, resp_categories[i]);
}

void resp_cmd_acl_cat(struct resp_call *call)
{
    if (call->argc > 3)
        resp_subcommand_error(call);
    else if (call->argc == 2)
        reply_categories(call->reply);
    else if (category_exists(&call->args[2]))
        resp_reply_category(call->reply, &call->args[2]);
    else
        resp_error(call->reply, "ERR Unknown category '%.*s'",
                   (int)(call->args[2].len < SHOWN ? call->args[2].len : SHOWN),
                   (const char *)call->args[2].data);
}

void resp_cmd_acl_genpass(struct resp_call *call)
{
    uint8_t bytes[GENPASS_MOST / 8];
    char text[GENPASS_MOST / 4 + 1];
    int64_t bits = GENPASS_BITS;
    if (call->argc > 3) {
        resp_subcommand_error(call);
        return;
    }
    if (call->argc == 3 && !resp_arg_int64(&call->args[2], &bits)) {
        resp_error(call->reply, RESP_NOT_INTEGER);
        return;
    }
    if (bits < 1 || bits > GENPASS_MOST) {
        resp_error(call->reply,
                   "ERR ACL GENPASS argument must be the number of bits for the output password, a "
                   "positive number up to 4096");
        return;
    }
    size_t digits = ((size_t)bits + 3) / 4, len = (digits + 1) / 2;
    if (RAND_bytes(bytes, (int)len) != 1) {
        resp_error(call->reply, "ERR the system gives no random numbers");
        return;
    }
    resp_hex(bytes, len, text);
    resp_bulk(call->reply, text, digits);
    OPENSSL_cleanse(bytes, sizeof bytes);
    OPENSSL_cleanse(text, sizeof text);
}

// Nothing is ever denied by a rule, and failed passwords are not kept.
void resp_cmd_acl_log(struct resp_call *call)
{
    int64_t count;
    if (call->argc > 3)
        resp_subcommand_error(call);
    else if (call->argc == 3 && resp_arg_is(&call->args[2], "reset"))
        resp_status(call->reply, "OK");
    else if (call->argc == 3 && !resp_arg_int64(&call->args[2], &count))
        resp_error(call->reply, RESP_NOT_INTEGER);
    else
        resp_array(call->reply, 0);
}

void resp_cmd_acl_dryrun(struct resp_call *call)
{
    const struct resp_arg *args = call->args;
    size_t argc = call->argc - 3;
    char name[64];
    if (!is_default(&args[2])) {
        resp_error(call->reply, "ERR User '%.*s' not found", (int)(args[2].len < SHOWN ? args[2].len : SHOWN),
                   (const char *)args[2].data);
        return;
    }
    const struct resp_command *parent = NULL, *command = resp_command_find(&args[3]);
    if (command != NULL && command->subcommand_count != 0 && argc > 1) {
        parent = command;
        command = resp_subcommand_find(parent, &args[4]);
    }
    if (command == NULL)
        resp_error(call->reply, "ERR Command '%.*s' not found",
                   (int)(args[3].len < SHOWN ? args[3].len : SHOWN), (const char *)args[3].data);
    else if (command->arity >= 0 ? argc != (size_t)command->arity : argc < (size_t)-command->arity)
        resp_error(call->reply, "ERR wrong number of arguments for '%s' command",
                   resp_command_full_name(command, parent, name, sizeof name));
    else
        resp_status(call->reply, "OK");
}

void resp_cmd_acl_setuser(struct resp_call *call)
{
    resp_error(call->reply, "ERR users cannot be made or changed: " ONE_USER);
}

void resp_cmd_acl_deluser(struct resp_call *call)
{
    for (size_t i = 2; i < call->argc; i++) {
        if (is_default(&call->args[i])) {
            resp_error(call->reply, "ERR The 'default' user cannot be removed");
            return;
        }
    }
    resp_integer(call->reply, 0);
}

// LOAD and SAVE.
void resp_cmd_acl_load(struct resp_call *call)
{
    resp_error(call->reply, "ERR there is no ACL file: " ONE_USER);
}
