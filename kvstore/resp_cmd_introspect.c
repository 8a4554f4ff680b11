// COMMAND and HELP: the command table as replies.
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "kvstore/resp_args.h"
#include "kvstore/resp_handlers.h"

struct flag_name {
    unsigned flag;
    const char *name;
};

// Flags and ACL categories are lists of simple strings; both are picked from tables like this.
static size_t pick(const struct flag_name *table, size_t count, unsigned flags, const char **out)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if ((flags & table[i].flag) != 0)
            out[n++] = table[i].name;
    }
    return n;
}

static void reply_words(struct resp_reply *reply, const char *const *words, size_t count)
{
    resp_set(reply, count);
    for (size_t i = 0; i < count; i++)
        resp_status(reply, words[i]);
}

static void reply_flags(struct resp_reply *reply, const struct resp_command *command)
{
    static const struct flag_name names[] = {
        {RESP_CMD_WRITE, "write"}, {RESP_CMD_READONLY, "readonly"}, {RESP_CMD_ADMIN, "admin"},
        {RESP_CMD_FAST, "fast"},   {RESP_CMD_NO_AUTH, "no_auth"},
    };
    const char *words[sizeof names / sizeof names[0]];
    reply_words(reply, words, pick(names, sizeof names / sizeof names[0], command->flags, words));
}

static void reply_categories(struct resp_reply *reply, const struct resp_command *command, const char *group)
{
    static const struct flag_name names[] = {
        {RESP_CMD_KEYSPACE, "@keyspace"}, {RESP_CMD_READONLY, "@read"},       {RESP_CMD_WRITE, "@write"},
        {RESP_CMD_ADMIN, "@admin"},       {RESP_CMD_DANGEROUS, "@dangerous"},
    };
    const char *words[sizeof names / sizeof names[0] + 2];
    size_t n = pick(names, sizeof names / sizeof names[0], command->flags, words);
    if (strcmp(group, "string") == 0)
        words[n++] = "@string";
    else if (strcmp(group, "connection") == 0)
        words[n++] = "@connection";
    words[n++] = (command->flags & RESP_CMD_FAST) != 0 ? "@fast" : "@slow";
    reply_words(reply, words, n);
}

static void reply_name(struct resp_reply *reply, const struct resp_command *command,
                       const struct resp_command *parent)
{
    char name[64];
    resp_bulk_text(reply, resp_command_full_name(command, parent, name, sizeof name));
}

// The ten fields of Redis 7's COMMAND INFO; tips and key specifications are empty: first, last and step say
// where keys are.
static void reply_info(struct resp_reply *reply, const struct resp_command *command,
                       const struct resp_command *parent)
{
    resp_array(reply, 10);
    reply_name(reply, command, parent);
    resp_integer(reply, command->arity);
    reply_flags(reply, command);
    resp_integer(reply, command->first_key);
    resp_integer(reply, command->last_key);
    resp_integer(reply, command->key_step);
    reply_categories(reply, command, parent != NULL ? parent->group : command->group);
    resp_array(reply, 0);
    resp_array(reply, 0);
    resp_array(reply, command->subcommand_count);
    for (size_t i = 0; i < command->subcommand_count; i++)
        reply_info(reply, &command->subcommands[i], command);
}

static void reply_docs(struct resp_reply *reply, const struct resp_command *command,
                       const struct resp_command *parent)
{
    reply_name(reply, command, parent);
    resp_map(reply, command->subcommand_count != 0 ? 4 : 3);
    resp_bulk_text(reply, "summary");
    resp_bulk_text(reply, command->help);
    resp_bulk_text(reply, "since");
    resp_bulk_text(reply, command->since);
    resp_bulk_text(reply, "group");
    resp_bulk_text(reply, parent != NULL ? parent->group : command->group);
    if (command->subcommand_count == 0)
        return;
    resp_bulk_text(reply, "subcommands");
    resp_map(reply, command->subcommand_count);
    for (size_t i = 0; i < command->subcommand_count; i++)
        reply_docs(reply, &command->subcommands[i], command);
}

static bool shown(const struct resp_command *command)
{
    return (command->flags & RESP_CMD_HIDDEN) == 0;
}

static size_t shown_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < resp_command_count; i++)
        count += shown(&resp_commands[i]);
    return count;
}

static void reply_all_info(struct resp_reply *reply)
{
    resp_array(reply, shown_count());
    for (size_t i = 0; i < resp_command_count; i++) {
        if (shown(&resp_commands[i]))
            reply_info(reply, &resp_commands[i], NULL);
    }
}

void resp_cmd_command(struct resp_call *call)
{
    reply_all_info(call->reply);
}

void resp_cmd_command_count(struct resp_call *call)
{
    resp_integer(call->reply, (int64_t)shown_count());
}

void resp_cmd_command_list(struct resp_call *call)
{
    resp_array(call->reply, shown_count());
    for (size_t i = 0; i < resp_command_count; i++) {
        if (shown(&resp_commands[i]))
            resp_bulk_text(call->reply, resp_commands[i].name);
    }
}

// A command by the name that COMMAND INFO and DOCS take: "get", "client|setname".
static const struct resp_command *find_named(const struct resp_arg *name, const struct resp_command **parent)
{
    const uint8_t *bar = name->len != 0 ? memchr(name->data, '|', name->len) : NULL;
    *parent = NULL;
    if (bar == NULL)
        return resp_command_find(name);
    size_t head = (size_t)(bar - name->data);
    *parent = resp_command_find(&(struct resp_arg){name->data, head});
    if (*parent == NULL)
        return NULL;
    return resp_subcommand_find(*parent, &(struct resp_arg){bar + 1, name->len - head - 1});
}

void resp_cmd_command_info(struct resp_call *call)
{
    if (call->argc == 2) {
        reply_all_info(call->reply);
        return;
    }
    resp_array(call->reply, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++) {
        const struct resp_command *parent;
        const struct resp_command *command = find_named(&call->args[i], &parent);
        if (command != NULL)
            reply_info(call->reply, command, parent);
        else
            resp_null(call->reply);
    }
}

static void reply_all_docs(struct resp_reply *reply)
{
    resp_map(reply, shown_count());
    for (size_t i = 0; i < resp_command_count; i++) {
        if (shown(&resp_commands[i]))
            reply_docs(reply, &resp_commands[i], NULL);
    }
}

void resp_cmd_command_docs(struct resp_call *call)
{
    const struct resp_command *parent;
    size_t found = 0;
    if (call->argc == 2) {
        reply_all_docs(call->reply);
        return;
    }
    for (size_t i = 2; i < call->argc; i++)
        found += find_named(&call->args[i], &parent) != NULL;
    resp_map(call->reply, found);
    for (size_t i = 2; i < call->argc; i++) {
        const struct resp_command *command = find_named(&call->args[i], &parent);
        if (command != NULL)
            reply_docs(call->reply, command, parent);
    }
}

// "get" as "GET".
static void reply_upper(struct resp_reply *reply, const char *name, const char *format)
{
    char upper[32], line[128];
    size_t i = 0;
    for (; name[i] != '\0' && i + 1 < sizeof upper; i++)
        upper[i] = (char)toupper((unsigned char)name[i]);
    upper[i] = '\0';
    (void)snprintf(line, sizeof line, "%s%s", upper, format);
    resp_status(reply, line);
}

void resp_cmd_help(struct resp_call *call)
{
    const struct resp_command *container = call->parent;
    resp_array(call->reply, 1 + 2 * container->subcommand_count);
    reply_upper(call->reply, container->name, " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for (size_t i = 0; i < container->subcommand_count; i++) {
        char line[160];
        reply_upper(call->reply, container->subcommands[i].name, "");
        (void)snprintf(line, sizeof line, "    %s.", container->subcommands[i].help);
        resp_status(call->reply, line);
    }
}
