// COMMAND GETKEYS, GETKEYSANDFLAGS: which of a command's words are keys, and what it does to them.
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/keyspec.h"

struct key_list {
    struct resp_reply *reply;
    const struct resp_arg *args;
    const struct resp_key_spec *specs; // NULL: without flags
    size_t spec_count, count;
    const char *varied; // what this very call does, of a command with variable_flags; NULL: of others
};

// ---- commands that read or write by their arguments

static const char *flags_of_set(const struct resp_arg *args, size_t argc)
{
    for (size_t i = 3; i < argc; i++)
        if (resp_arg_is(&args[i], "get"))
            return "RW access update";
    return "OW update";
}

// What cannot be understood may write.
static const char *flags_of_bitfield(const struct resp_arg *args, size_t argc)
{
    for (size_t i = 2; i < argc; i++) {
        size_t left = argc - i - 1;
        if (resp_arg_is(&args[i], "get") && left >= 2)
            i += 2;
        else if (resp_arg_is(&args[i], "overflow") && left >= 1)
            i++;
        else
            return "RW access update";
    }
    return "RO access";
}

static const char *varied_flags(const struct resp_command *command, const struct resp_arg *args, size_t argc)
{
    if (strcmp(command->name, "set") == 0)
        return flags_of_set(args, argc);
    return strcmp(command->name, "bitfield") == 0 ? flags_of_bitfield(args, argc) : NULL;
}

// ---- replies

static void count_key(void *arg, size_t position)
{
    struct key_list *list = arg;
    (void)position;
    list->count++;
}

static void reply_key(void *arg, size_t position)
{
    struct key_list *list = arg;
    if (list->specs != NULL)
        resp_array(list->reply, 2);
    resp_bulk(list->reply, list->args[position].data, list->args[position].len);
    if (list->specs != NULL) {
        bool rest = list->spec_count > 1 && position >= (size_t)list->specs[1].first;
        resp_reply_split(list->reply, list->varied != NULL ? list->varied : list->specs[rest ? 1 : 0].flags);
    }
}

// Channels of shards lie in a slot as keys do, and are none.
static bool has_keys(const struct resp_command *command, const struct resp_command *parent)
{
    struct resp_key_spec specs[RESP_KEY_SPECS];
    return resp_key_specs(command, parent, specs) != 0 && strcmp(specs[0].flags, "not_key") != 0;
}

// The command of the words behind GETKEYS; NULL: an error was replied.
static const struct resp_command *target(struct resp_call *call, const struct resp_command **parent)
{
    const struct resp_arg *args = call->args + 2;
    size_t argc = call->argc - 2;
    const struct resp_command *command = resp_command_find(&args[0]);
    *parent = NULL;
    if (command != NULL && command->subcommand_count != 0 && argc > 1) {
        *parent = command;
        command = resp_subcommand_find(*parent, &args[1]);
    }
    if (command == NULL) {
        resp_error(call->reply, "ERR Invalid command specified");
    } else if (!has_keys(command, *parent)) {
        resp_error(call->reply, "ERR The command has no key arguments");
    } else if (command->arity >= 0 ? argc != (size_t)command->arity : argc < (size_t)-command->arity) {
        resp_error(call->reply, "ERR Invalid number of arguments specified for command");
    } else {
        return command;
    }
    return NULL;
}

static void reply_keys(struct resp_call *call, bool with_flags)
{
    const struct resp_command *parent, *command = target(call, &parent);
    struct resp_key_spec specs[RESP_KEY_SPECS];
    if (command == NULL)
        return;
    struct key_list list = {.reply = call->reply, .args = call->args + 2};
    list.spec_count = resp_key_specs(command, parent, specs);
    if (with_flags) {
        list.specs = specs;
        list.varied = varied_flags(command, list.args, call->argc - 2);
    }
    resp_command_keys(command, call->argc - 2, count_key, &list);
    resp_array(call->reply, list.count);
    resp_command_keys(command, call->argc - 2, reply_key, &list);
}

void resp_cmd_command_getkeys(struct resp_call *call)
{
    reply_keys(call, false);
}

void resp_cmd_command_getkeysandflags(struct resp_call *call)
{
    reply_keys(call, true);
}
