#include "kvstore/resp_command.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kvstore/resp_args.h"

#define ECHOED_MAX 128 // bytes of a peer's words that an error gives back

static int compare_name(const void *key, const void *entry)
{
    const struct resp_arg *name = key;
    const char *other = ((const struct resp_command *)entry)->name;
    size_t other_len = strlen(other);
    int order = strncasecmp((const char *)name->data, other, name->len < other_len ? name->len : other_len);
    if (order != 0 || name->len == other_len)
        return order;
    return name->len < other_len ? -1 : 1;
}

static const struct resp_command *find(const struct resp_command *table, size_t count,
                                       const struct resp_arg *name)
{
    if (count == 0 || name->len == 0)
        return NULL;
    return bsearch(name, table, count, sizeof *table, compare_name);
}

const struct resp_command *resp_command_find(const struct resp_arg *name)
{
    return find(resp_commands, resp_command_count, name);
}

const struct resp_command *resp_subcommand_find(const struct resp_command *command,
                                                const struct resp_arg *name)
{
    return find(command->subcommands, command->subcommand_count, name);
}

char *resp_command_full_name(const struct resp_command *command, const struct resp_command *parent, char *buf,
                             size_t len)
{
    (void)snprintf(buf, len, "%s%s%s", parent != NULL ? parent->name : "", parent != NULL ? "|" : "",
                   command->name);
    return buf;
}

// Bytes up to a NUL, as the C strings of Redis's error texts end there.
static int text_len(const struct resp_arg *arg, size_t max)
{
    size_t len = arg->len < max ? arg->len : max;
    return (int)strnlen((const char *)arg->data, len);
}

static void reply_unknown(struct resp_reply *reply, const struct resp_arg *args, size_t argc)
{
    char words[2 * ECHOED_MAX];
    size_t used = 0;
    words[0] = '\0';
    for (size_t i = 1; i < argc && used < ECHOED_MAX; i++) {
        int len = snprintf(words + used, sizeof words - used, "'%.*s' ",
                           text_len(&args[i], ECHOED_MAX - used), (const char *)args[i].data);
        used += (size_t)len;
    }
    resp_error(reply, "ERR unknown command '%.*s', with args beginning with: %s",
               text_len(&args[0], ECHOED_MAX), (const char *)args[0].data, words);
}

static void reply_unknown_subcommand(struct resp_reply *reply, const struct resp_command *command,
                                     const struct resp_arg *name)
{
    char upper[32];
    size_t i = 0;
    for (; command->name[i] != '\0' && i + 1 < sizeof upper; i++)
        upper[i] = (char)toupper((unsigned char)command->name[i]);
    upper[i] = '\0';
    resp_error(reply, "ERR unknown subcommand '%.*s'. Try %s HELP.", text_len(name, ECHOED_MAX),
               (const char *)name->data, upper);
}

static bool arity_holds(const struct resp_command *command, size_t argc)
{
    return command->arity >= 0 ? argc == (size_t)command->arity : argc >= (size_t)-command->arity;
}

static void note_command(struct resp_session *session, const struct resp_command *command,
                         const struct resp_command *parent)
{
    atomic_store_explicit(&session->active_ms, resp_now_ms(session->shared), memory_order_relaxed);
    atomic_store_explicit(&session->command, command, memory_order_relaxed);
    atomic_store_explicit(&session->command_parent, parent, memory_order_relaxed);
    atomic_fetch_add_explicit(&session->shared->counters.commands, 1, memory_order_relaxed);
}

static void dispatch(struct resp_session *session, struct resp_reply *reply, const struct resp_arg *args,
                     size_t argc)
{
    const struct resp_command *command = resp_command_find(&args[0]);
    const struct resp_command *parent = NULL;
    if (command == NULL) {
        reply_unknown(reply, args, argc);
        return;
    }
    if (command->subcommand_count != 0 && argc > 1) {
        parent = command;
        command = resp_subcommand_find(parent, &args[1]);
        if (command == NULL) {
            reply_unknown_subcommand(reply, parent, &args[1]);
            return;
        }
    }
    if (!arity_holds(command, argc) || command->handler == NULL) {
        char name[64];
        resp_error(reply, "ERR wrong number of arguments for '%s' command",
                   resp_command_full_name(command, parent, name, sizeof name));
        return;
    }
    note_command(session, command, parent);
    struct resp_call call = {command, parent, session, reply, args, argc};
    command->handler(&call);
}

void resp_command_run(struct resp_session *session, struct resp_reply *reply, const struct resp_arg *args,
                      size_t argc)
{
    uint64_t errors = reply->errors;
    reply->proto = atomic_load_explicit(&session->proto, memory_order_relaxed);
    dispatch(session, reply, args, argc);
    if (reply->errors != errors)
        atomic_fetch_add_explicit(&session->shared->counters.errors, 1, memory_order_relaxed);
}
