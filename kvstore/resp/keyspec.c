#include "kvstore/resp/keyspec.h"

#include <string.h>

#include "kvstore/resp/args.h"

// ---- keys

// Those whose access is not the usual one: "RO access" of commands that read, "RW update" of commands that write. `rest`: of the keys behind the first.
static const struct {
    const char *name, *flags, *rest, *notes;
} accesses[] = {
    {"append", "RW insert", NULL, NULL},
    {"bitfield", "RW access update variable_flags", NULL,
     "This command allows both access and modification of the key"},
    {"bitop", "OW update", "RO access", NULL},
    {"copy", "RO access", "OW update", NULL},
    {"decr", "RW access update", NULL, NULL},
    {"decrby", "RW access update", NULL, NULL},
    {"del", "RM delete", NULL, NULL},
    {"exists", "RO", NULL, NULL},
    {"getdel", "RW access delete", NULL, NULL},
    {"getex", "RW access update", NULL, "RW and UPDATE because it changes the TTL"},
    {"getset", "RW access update", NULL, NULL},
    {"incr", "RW access update", NULL, NULL},
    {"incrby", "RW access update", NULL, NULL},
    {"incrbyfloat", "RW access update", NULL, NULL},
    {"memory|usage", "RO", NULL, NULL},
    {"move", "RW access update", NULL, NULL},
    {"mset", "OW update", NULL, NULL},
    {"msetnx", "OW insert", NULL, NULL},
    {"object|encoding", "RO", NULL, NULL},
    {"object|freq", "RO", NULL, NULL},
    {"object|idletime", "RO", NULL, NULL},
    {"object|refcount", "RO", NULL, NULL},
    {"psetex", "OW update", NULL, NULL},
    {"rename", "RW access delete", "OW update", NULL},
    {"renamenx", "RW access delete", "OW insert", NULL},
    {"restore", "OW update", NULL, NULL},
    {"restore-asking", "OW update", NULL, NULL},
    {"set", "RW access update variable_flags", NULL, "RW and ACCESS due to the optional `GET` argument"},
    {"setbit", "RW access update", NULL, NULL},
    {"setex", "OW update", NULL, NULL},
    {"setnx", "OW insert", NULL, NULL},
    {"spublish", "not_key", NULL, NULL},
    {"ssubscribe", "not_key", NULL, NULL},
    {"strlen", "RO", NULL, NULL},
    {"sunsubscribe", "not_key", NULL, NULL},
    {"touch", "RO", NULL, NULL},
    {"type", "RO", NULL, NULL},
    {"unlink", "RM delete", NULL, NULL},
    {"watch", "RO", NULL, NULL},
};

size_t resp_key_specs(const struct resp_command *command, const struct resp_command *parent,
                      struct resp_key_spec specs[static RESP_KEY_SPECS])
{
    char name[64];
    if (command->first_key == 0)
        return 0;
    int last = command->last_key < 0 ? command->last_key : command->last_key - command->first_key;
    specs[0] = (struct resp_key_spec){
        .flags = (command->flags & RESP_CMD_WRITE) != 0 ? "RW update" : "RO access",
        .first = command->first_key,
        .last = last,
        .step = command->key_step,
    };
    (void)resp_command_full_name(command, parent, name, sizeof name);
    for (size_t i = 0; i < sizeof accesses / sizeof accesses[0]; i++) {
        if (strcmp(accesses[i].name, name) != 0)
            continue;
        specs[0].notes = accesses[i].notes;
        specs[0].flags = accesses[i].flags;
        if (accesses[i].rest == NULL)
            return 1;
        specs[1] = (struct resp_key_spec){.flags = accesses[i].rest,
                                          .first = specs[0].first + specs[0].step,
                                          .last = last < 0 ? last : last - specs[0].step,
                                          .step = specs[0].step};
        specs[0].last = 0;
        return 2;
    }
    return 1;
}

// ---- flags

// Those that are of @admin and @dangerous without the flag.
static bool only_of_admin_category(const struct resp_command *command)
{
    return strcmp(command->name, "role") == 0 || strcmp(command->name, "lastsave") == 0;
}

size_t resp_flag_words(const struct resp_command *command, const char *words[static RESP_WORDS_MAX])
{
    static const struct {
        unsigned flag;
        const char *word;
        const char *only[2]; // where no flag of ours says it: these commands
    } names[] = {
        {RESP_CMD_WRITE, "write", {0}},
        {RESP_CMD_READONLY, "readonly", {0}},
        {RESP_CMD_DENYOOM, "denyoom", {0}},
        {RESP_CMD_ADMIN, "admin", {0}},
        {RESP_CMD_PUBSUB, "pubsub", {0}},
        {RESP_CMD_NOSCRIPT, "noscript", {0}},
        {RESP_CMD_BLOCKING, "blocking", {0}},
        {RESP_CMD_LOADING, "loading", {0}},
        {RESP_CMD_STALE, "stale", {0}},
        {RESP_CMD_SKIP_MONITOR, "skip_monitor", {0}},
        {RESP_CMD_SKIP_SLOWLOG, "skip_slowlog", {0}},
        {0, "asking", {"restore-asking"}},
        {RESP_CMD_FAST, "fast", {0}},
        {RESP_CMD_NO_AUTH, "no_auth", {0}},
        {RESP_CMD_NO_ASYNC_LOADING, "no_async_loading", {0}},
        {RESP_CMD_NO_MULTI, "no_multi", {0}},
        {RESP_CMD_MOVABLE_KEYS, "movablekeys", {0}},
        {RESP_CMD_ALLOW_BUSY, "allow_busy", {0}},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        bool has = (command->flags & names[i].flag) != 0;
        for (size_t j = 0; j < 2 && names[i].only[j] != NULL; j++)
            has |= strcmp(command->name, names[i].only[j]) == 0;
        has &= names[i].flag != RESP_CMD_ADMIN || !only_of_admin_category(command);
        if (has)
            words[n++] = names[i].word;
    }
    return n;
}

// ---- categories

const char *const resp_categories[] = {
    "keyspace", "read",        "write",      "set",         "sortedset", "list",  "hash", "string",
    "bitmap",   "hyperloglog", "geo",        "stream",      "pubsub",    "admin", "fast", "slow",
    "blocking", "dangerous",   "connection", "transaction", "scripting", NULL};

static bool in_group(const struct resp_command *command, const struct resp_command *parent, const char *group)
{
    if (command->handler == NULL) // a container is of no category but @slow
        return false;
    return strcmp(parent != NULL ? parent->group : command->group, group) == 0;
}

static bool is_connection(const struct resp_command *command, const struct resp_command *parent)
{
    static const char *const more[] = {"asking", "command", "readonly", "readwrite", "wait"};
    const char *name = parent != NULL ? parent->name : command->name;
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        if (strcmp(name, more[i]) == 0)
            return true;
    }
    return in_group(command, parent, "connection");
}

size_t resp_category_words(const struct resp_command *command, const struct resp_command *parent,
                           const char *words[static RESP_WORDS_MAX])
{
    unsigned flags = command->flags;
    const struct {
        bool has;
        const char *word;
    } all[] = {
        {(flags & RESP_CMD_KEYSPACE) != 0, "@keyspace"},
        {(flags & RESP_CMD_READONLY) != 0, "@read"},
        {(flags & RESP_CMD_WRITE) != 0, "@write"},
        {in_group(command, parent, "string"), "@string"},
        {in_group(command, parent, "bitmap"), "@bitmap"},
        {(flags & RESP_CMD_PUBSUB) != 0, "@pubsub"},
        {(flags & RESP_CMD_ADMIN) != 0, "@admin"},
        {(flags & RESP_CMD_FAST) != 0, "@fast"},
        {(flags & RESP_CMD_FAST) == 0, "@slow"},
        {(flags & RESP_CMD_BLOCKING) != 0, "@blocking"},
        {(flags & (RESP_CMD_ADMIN | RESP_CMD_DANGEROUS)) != 0, "@dangerous"},
        {is_connection(command, parent), "@connection"},
        {in_group(command, parent, "transactions"), "@transaction"},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].has)
            words[n++] = all[i].word;
    }
    return n;
}

bool resp_category_has(const struct resp_command *command, const struct resp_command *parent,
                       const struct resp_arg *category)
{
    const char *words[RESP_WORDS_MAX];
    size_t n = resp_category_words(command, parent, words);
    for (size_t i = 0; i < n; i++) {
        if (resp_arg_is(category, words[i] + 1))
            return true;
    }
    return false;
}
