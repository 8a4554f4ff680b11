// COMMAND and HELP: the command table as replies.
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/keyspec.h"
#include "kvstore/resp/store.h"

static void reply_words(struct resp_reply *reply, const char *const *words, size_t count)
{
    resp_set(reply, count);
    for (size_t i = 0; i < count; i++)
        resp_status(reply, words[i]);
}

// Words parted by blanks.
void resp_reply_split(struct resp_reply *reply, const char *text)
{
    size_t count = 1;
    for (const char *at = text; (at = strchr(at, ' ')) != NULL; at++)
        count++;
    resp_set(reply, count);
    for (const char *at = text; count != 0; count--) {
        char word[32];
        size_t len = strcspn(at, " ");
        (void)snprintf(word, sizeof word, "%.*s", (int)len, at);
        resp_status(reply, word);
        at += len + 1;
    }
}

static void reply_pair(struct resp_reply *reply, const char *name, int value)
{
    resp_bulk_text(reply, name);
    resp_integer(reply, value);
}

static void reply_head(struct resp_reply *reply, const char *name, const char *type, size_t pairs)
{
    resp_bulk_text(reply, name);
    resp_map(reply, 2);
    resp_bulk_text(reply, "type");
    resp_bulk_text(reply, type);
    resp_bulk_text(reply, "spec");
    resp_map(reply, pairs);
}

static void reply_key_specs(struct resp_reply *reply, const struct resp_command *command,
                            const struct resp_command *parent)
{
    struct resp_key_spec specs[RESP_KEY_SPECS];
    size_t count = resp_key_specs(command, parent, specs);
    resp_set(reply, count);
    for (size_t i = 0; i < count; i++) {
        resp_map(reply, specs[i].notes != NULL ? 4 : 3);
        if (specs[i].notes != NULL) {
            resp_bulk_text(reply, "notes");
            resp_bulk_text(reply, specs[i].notes);
        }
        resp_bulk_text(reply, "flags");
        resp_reply_split(reply, specs[i].flags);
        reply_head(reply, "begin_search", "index", 1);
        reply_pair(reply, "index", specs[i].first);
        reply_head(reply, "find_keys", "range", 3);
        reply_pair(reply, "lastkey", specs[i].last);
        reply_pair(reply, "keystep", specs[i].step);
        reply_pair(reply, "limit", 0);
    }
}

static void reply_name(struct resp_reply *reply, const struct resp_command *command,
                       const struct resp_command *parent)
{
    char name[64];
    resp_bulk_text(reply, resp_command_full_name(command, parent, name, sizeof name));
}

// The ten fields of Redis 7's COMMAND INFO; tips are empty.
static void reply_info(struct resp_reply *reply, const struct resp_command *command,
                       const struct resp_command *parent)
{
    const char *words[RESP_WORDS_MAX];
    resp_array(reply, 10);
    reply_name(reply, command, parent);
    resp_integer(reply, command->arity);
    reply_words(reply, words, resp_flag_words(command, words));
    resp_integer(reply, command->first_key);
    resp_integer(reply, command->last_key);
    resp_integer(reply, command->key_step);
    reply_words(reply, words, resp_category_words(command, parent, words));
    resp_set(reply, 0);
    reply_key_specs(reply, command, parent);
    if (command->subcommand_count != 0)
        resp_array(reply, command->subcommand_count);
    else
        resp_set(reply, 0);
    for (size_t i = 0; i < command->subcommand_count; i++)
        reply_info(reply, &command->subcommands[i], command);
}

bool resp_command_shown(const struct resp_command *command)
{
    return (command->flags & RESP_CMD_HIDDEN) == 0;
}

size_t resp_command_shown_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < resp_command_count(); i++)
        count += resp_command_shown(resp_command_at(i));
    return count;
}

static void reply_all_info(struct resp_reply *reply)
{
    resp_array(reply, resp_command_shown_count());
    for (size_t i = 0; i < resp_command_count(); i++) {
        if (resp_command_shown(resp_command_at(i)))
            reply_info(reply, resp_command_at(i), NULL);
    }
}

void resp_cmd_command(struct resp_call *call)
{
    reply_all_info(call->reply);
}

void resp_cmd_command_count(struct resp_call *call)
{
    resp_integer(call->reply, (int64_t)resp_command_shown_count());
}

// ---- COMMAND LIST

enum list_filter { LIST_ALL, LIST_MODULE, LIST_CATEGORY, LIST_PATTERN };

struct list {
    enum list_filter filter;
    const struct resp_arg *value;
    struct resp_reply reply;
    size_t count;
};

static bool list_takes(const struct list *list, const struct resp_command *command,
                       const struct resp_command *parent, const char *name)
{
    switch (list->filter) {
    case LIST_ALL:
        return true;
    case LIST_MODULE: // there are no modules
        return false;
    case LIST_CATEGORY:
        return resp_category_has(command, parent, list->value);
    case LIST_PATTERN:
        return resp_glob(list->value->data, list->value->len, (const uint8_t *)name, strlen(name), true);
    }
    return false;
}

static void list_add(struct list *list, const struct resp_command *command, const struct resp_command *parent)
{
    char name[64];
    (void)resp_command_full_name(command, parent, name, sizeof name);
    if (list_takes(list, command, parent, name)) {
        resp_bulk_text(&list->reply, name);
        list->count++;
    }
    for (size_t i = 0; i < command->subcommand_count; i++)
        list_add(list, &command->subcommands[i], command);
}

static void reply_list(struct resp_reply *reply, struct list *list)
{
    if (!resp_list_begin(reply, &list->reply))
        return;
    for (size_t i = 0; i < resp_command_count(); i++) {
        if (resp_command_shown(resp_command_at(i)))
            list_add(list, resp_command_at(i), NULL);
    }
    resp_list_finish(reply, &list->reply, list->count);
}

void resp_cmd_command_list(struct resp_call *call)
{
    static const struct {
        const char *word;
        enum list_filter filter;
    } filters[] = {{"module", LIST_MODULE}, {"aclcat", LIST_CATEGORY}, {"pattern", LIST_PATTERN}};
    struct list list = {0};
    if (call->argc == 5 && resp_arg_is(&call->args[2], "filterby")) {
        for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
            if (resp_arg_is(&call->args[3], filters[i].word))
                list.filter = filters[i].filter;
        }
        list.value = &call->args[4];
    }
    if (call->argc == 2 || list.filter != LIST_ALL)
        reply_list(call->reply, &list);
    else
        resp_error(call->reply, RESP_SYNTAX_ERROR);
}

void resp_reply_category(struct resp_reply *reply, const struct resp_arg *category)
{
    struct list list = {.filter = LIST_CATEGORY, .value = category};
    reply_list(reply, &list);
}

// ---- COMMAND INFO

static const struct resp_command *if_shown(const struct resp_command *command)
{
    return command != NULL && resp_command_shown(command) ? command : NULL;
}

const struct resp_command *resp_command_named(const struct resp_arg *name, const struct resp_command **parent)
{
    const uint8_t *bar = name->len != 0 ? memchr(name->data, '|', name->len) : NULL;
    *parent = NULL;
    if (bar == NULL)
        return if_shown(resp_command_find(name));
    size_t head = (size_t)(bar - name->data);
    *parent = if_shown(resp_command_find(&(struct resp_arg){name->data, head}));
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
        const struct resp_command *command = resp_command_named(&call->args[i], &parent);
        if (command != NULL)
            reply_info(call->reply, command, parent);
        else
            resp_null(call->reply);
    }
}

// ---- HELP

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
