// COMMAND DOCS: what the tables say of commands, their arguments as trees (syntax.h).
#include <string.h>

#include "kvstore/resp/docs.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/keyspec.h"
#include "kvstore/resp/syntax.h"

struct docs {
    struct resp_reply *reply;
    const struct resp_command *command;
    const struct resp_syntax *syntax;
    size_t specs;  // of keys
    unsigned keys; // arguments that are keys, so far
};

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(name, *names) == 0)
            return true;
    }
    return false;
}

static bool is_key(const struct docs *d, const struct resp_syntax_node *node)
{
    static const char *const keys[] = {"key",         "key1",    "key2",   "source",
                                       "destination", "destkey", "newkey", NULL};
    return node->kind == RESP_SYNTAX_ARGUMENT && d->specs != 0 && is_one_of(node->name, keys);
}

static const char *type_of(const struct docs *d, const struct resp_syntax_node *node)
{
    static const char *const integers[] = {
        "bit",          "client-id",   "cluster_bus_port", "config-epoch", "count",    "cursor",
        "db",           "decrement",   "destination-db",   "end",          "end-slot", "frequency",
        "increment",    "index",       "index1",           "index2",       "len",      "maxage",
        "milliseconds", "numreplicas", "offset",           "port",         "protover", "seconds",
        "slot",         "start",       "start-slot",       "timeout",      "ttl",      "bits",
        "version",      NULL};
    switch (node->kind) {
    case RESP_SYNTAX_TOKEN:
        return "pure-token";
    case RESP_SYNTAX_ONE_OF:
        return "oneof";
    case RESP_SYNTAX_BLOCK:
        return "block";
    case RESP_SYNTAX_ARGUMENT:
        break;
    }
    if (is_key(d, node))
        return "key";
    if (strcmp(node->name, "value") == 0 && strcmp(d->command->name, "setbit") == 0)
        return "integer";
    if (strncmp(node->name, "unix-time", 9) == 0)
        return "unix-time";
    if (strcmp(node->name, "pattern") == 0)
        return "pattern";
    if (strcmp(node->name, "increment") == 0 && strcmp(d->command->name, "incrbyfloat") == 0)
        return "double";
    return is_one_of(node->name, integers) ? "integer" : "string";
}

static void reply_flags(struct resp_reply *reply, const struct resp_syntax_node *node)
{
    resp_bulk_text(reply, "flags");
    resp_set(reply, (size_t)node->optional + node->multiple + node->multiple_token);
    if (node->optional)
        resp_status(reply, "optional");
    if (node->multiple)
        resp_status(reply, "multiple");
    if (node->multiple_token)
        resp_status(reply, "multiple_token");
}

static void reply_argument(struct docs *d, const struct resp_syntax_node *node)
{
    struct resp_reply *reply = d->reply;
    bool key = is_key(d, node), flags = node->optional || node->multiple;
    bool has_children = node->kind == RESP_SYNTAX_ONE_OF || node->kind == RESP_SYNTAX_BLOCK;
    resp_map(reply, 2 + (size_t)key + (node->token != NULL) + flags + has_children);
    resp_bulk_text(reply, "name");
    resp_bulk_text(reply, node->name);
    resp_bulk_text(reply, "type");
    resp_bulk_text(reply, type_of(d, node));
    if (key) {
        resp_bulk_text(reply, "key_spec_index");
        resp_integer(reply, d->keys++ != 0 && d->specs > 1 ? 1 : 0);
    }
    if (node->token != NULL) {
        resp_bulk_text(reply, "token");
        resp_bulk(reply, node->token, node->token_len);
    }
    if (flags)
        reply_flags(reply, node);
}

static size_t list_length(const struct docs *d, unsigned first)
{
    size_t n = 0;
    for (unsigned i = first; i != RESP_SYNTAX_NONE; i = d->syntax->nodes[i].next)
        n++;
    return n;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as a table's brackets
static void reply_arguments(struct docs *d, unsigned first)
{
    resp_bulk_text(d->reply, "arguments");
    resp_array(d->reply, list_length(d, first));
    for (unsigned i = first; i != RESP_SYNTAX_NONE; i = d->syntax->nodes[i].next) {
        reply_argument(d, &d->syntax->nodes[i]);
        if (d->syntax->nodes[i].children != RESP_SYNTAX_NONE)
            reply_arguments(d, d->syntax->nodes[i].children);
    }
}

static void reply_pair(struct resp_reply *reply, const char *name, const char *value)
{
    resp_bulk_text(reply, name);
    resp_bulk_text(reply, value);
}

// Lines "VERSION what changed" as pairs.
static void reply_history(struct resp_reply *reply, const char *history)
{
    size_t lines = 1;
    for (const char *at = history; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    resp_bulk_text(reply, "history");
    resp_set(reply, lines);
    for (; lines != 0; lines--) {
        size_t version = strcspn(history, " "), len = strcspn(history, "\n");
        resp_array(reply, 2);
        resp_bulk(reply, history, version);
        resp_bulk(reply, history + version + 1, len - version - 1);
        history += len + 1;
    }
}

static size_t more_pairs(const struct resp_docs *more)
{
    bool old = more->deprecated_since != NULL;
    return (size_t)(old || more->system) + (old ? 2 : 0) + (more->history != NULL);
}

static void reply_more(struct resp_reply *reply, const struct resp_docs *more)
{
    if (more->deprecated_since != NULL || more->system) {
        resp_bulk_text(reply, "doc_flags");
        resp_set(reply, 1);
        resp_status(reply, more->system ? "syscmd" : "deprecated");
    }
    if (more->deprecated_since != NULL) {
        reply_pair(reply, "deprecated_since", more->deprecated_since);
        reply_pair(reply, "replaced_by", more->replaced_by);
    }
    if (more->history != NULL)
        reply_history(reply, more->history);
}

static void reply_docs(struct resp_reply *reply, const struct resp_command *command,
                       const struct resp_command *parent)
{
    static const struct resp_docs none;
    char name[64];
    struct resp_syntax syntax;
    struct resp_key_spec specs[RESP_KEY_SPECS];
    bool arguments = command->syntax != NULL && resp_syntax_parse(command->syntax, &syntax);
    const struct resp_docs *more = resp_docs_find(resp_command_full_name(command, parent, name, sizeof name));
    if (more == NULL)
        more = &none;
    const char *complexity = command->complexity != NULL ? command->complexity : more->complexity;
    resp_bulk_text(reply, name);
    resp_map(reply, 3 + (size_t)(complexity != NULL) + more_pairs(more) + arguments +
                        (command->subcommand_count != 0));
    reply_pair(reply, "summary", command->help);
    reply_pair(reply, "since", command->since);
    reply_pair(reply, "group", parent != NULL ? parent->group : command->group);
    if (complexity != NULL)
        reply_pair(reply, "complexity", complexity);
    reply_more(reply, more);
    if (arguments) {
        struct docs docs = {.reply = reply, .command = command, .syntax = &syntax};
        docs.specs = resp_key_specs(command, parent, specs);
        reply_arguments(&docs, syntax.first);
    }
    if (command->subcommand_count == 0)
        return;
    resp_bulk_text(reply, "subcommands");
    resp_map(reply, command->subcommand_count);
    for (size_t i = 0; i < command->subcommand_count; i++)
        reply_docs(reply, &command->subcommands[i], command);
}

static void reply_all(struct resp_reply *reply)
{
    resp_map(reply, resp_command_shown_count());
    for (size_t i = 0; i < resp_command_count(); i++) {
        if (resp_command_shown(resp_command_at(i)))
            reply_docs(reply, resp_command_at(i), NULL);
    }
}

void resp_cmd_command_docs(struct resp_call *call)
{
    const struct resp_command *parent;
    size_t found = 0;
    if (call->argc == 2) {
        reply_all(call->reply);
        return;
    }
    for (size_t i = 2; i < call->argc; i++)
        found += resp_command_named(&call->args[i], &parent) != NULL;
    resp_map(call->reply, found);
    for (size_t i = 2; i < call->argc; i++) {
        const struct resp_command *command = resp_command_named(&call->args[i], &parent);
        if (command != NULL)
            reply_docs(call->reply, command, parent);
    }
}
