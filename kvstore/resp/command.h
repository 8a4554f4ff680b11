// The commands: tables that say of each its name, arity, flags, keys, syntax, help and handler (table_*.c). Dispatch, error texts, COMMAND, HELP, statistics and the
// tests read them; nothing else knows which commands there are.
//
// A handler writes exactly one reply. It runs either on an event loop (call->may_wait is false), where nothing that it needs may be on disk, or on a worker, which may
// wait. The rule that makes one handler serve both: **all that a command reads of the store it reads before its first change of anything.** When a value is on disk and
// the call may not wait, the functions of store.h return KV_PENDING and set call->again; the handler returns, whatever it has replied is thrown away, and the command
// runs once more, from its start, on a worker. A status that is not KV_OK is handed to resp_store_error(), which says nothing for KV_PENDING.
//
// The locks of the keys that the table names are held around the handler, so each command is atomic, also one of many keys. Handlers take no key locks.
#ifndef MEC_KVSTORE_RESP_COMMAND_H
#define MEC_KVSTORE_RESP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "kvstore/resp/parse.h"
#include "kvstore/resp/reply.h"
#include "kvstore/resp/session.h"

enum resp_command_flags {
    // As COMMAND shows them; names and meaning are those of Redis 7.0.
    RESP_CMD_WRITE = 1 << 0,
    RESP_CMD_READONLY = 1 << 1,
    RESP_CMD_FAST = 1 << 2,
    RESP_CMD_ADMIN = 1 << 3,
    RESP_CMD_NO_AUTH = 1 << 4, // allowed before authentication
    RESP_CMD_DENYOOM = 1 << 5,
    RESP_CMD_PUBSUB = 1 << 6,
    RESP_CMD_NOSCRIPT = 1 << 7,
    RESP_CMD_LOADING = 1 << 8,
    RESP_CMD_STALE = 1 << 9,
    RESP_CMD_SKIP_MONITOR = 1 << 10,
    RESP_CMD_SKIP_SLOWLOG = 1 << 11,
    RESP_CMD_NO_MULTI = 1 << 12, // not allowed in a transaction
    RESP_CMD_BLOCKING = 1 << 13,
    RESP_CMD_ALLOW_BUSY = 1 << 14,
    RESP_CMD_NO_ASYNC_LOADING = 1 << 15,
    RESP_CMD_MOVABLE_KEYS = 1 << 16,
    // For ACL categories.
    RESP_CMD_KEYSPACE = 1 << 17, // a key command of no data type ("generic"): @keyspace
    RESP_CMD_DANGEROUS = 1 << 18,
    // Ours.
    RESP_CMD_HIDDEN = 1 << 19,         // not shown by COMMAND
    RESP_CMD_WAITS = 1 << 20,          // waits or takes long whatever is in memory: never on a loop
    RESP_CMD_ALL_KEYS = 1 << 21,       // sees or changes the keyspace as a whole: holds the locks of all keys
    RESP_CMD_WHEN_LISTENING = 1 << 22, // allowed on a RESP2 connection that has subscriptions
    RESP_CMD_NOT_QUEUED = 1 << 23, // runs at once in a transaction: EXEC, DISCARD, MULTI, WATCH, QUIT, RESET
    RESP_CMD_ALONE = 1 << 24,      // not in a transaction, though Redis allows it there
    RESP_CMD_REFUSED = 1 << 25, // its handler always says no: at once, also in a transaction, which it spoils
};

struct resp_call {
    const struct resp_command *command;
    const struct resp_command *parent; // the container of a subcommand, else NULL
    struct resp_session *session;
    struct resp_reply *reply;
    const struct resp_arg *args; // args[0] is the name, as sent
    size_t argc;
    unsigned db;   // the database that store.h means: the session's, until the handler sets another
    bool may_wait; // for the disk
    bool again;    // set by store.h: not answered, to be run on a worker
    bool changed;  // set by store.h: it has changed something, and is not to be run again
};

struct resp_command {
    const char *name; // lower case
    int arity;        // of all words with the name (and the subcommand's); negative: at least
    unsigned flags;
    int first_key, last_key, key_step; // positions; last_key negative: from the end, -1 is the last
    const char *group, *since;         // of COMMAND DOCS
    const char *help;                  // one line, what it does
    const char *
        syntax; // its arguments as Redis's documentation writes them: "key value [NX|XX] [GET] [EX seconds|PX milliseconds|KEEPTTL]"; NULL: none
    const char *complexity;                  // "O(1)"; NULL: not said
    void (*handler)(struct resp_call *call); // NULL: only its subcommands do something
    const struct resp_command *subcommands;
    size_t subcommand_count;
};

// A part of all commands; each table_*.c has one, table.c lists them.
struct resp_command_table {
    const struct resp_command *commands;
    size_t count;
};

// All commands of all tables, sorted by name; subcommands are in their containers, sorted, too. Any thread; the first call sorts.
size_t resp_command_count(void);
const struct resp_command *resp_command_at(size_t number);
// Numbers commands and subcommands alike, from 0 to resp_command_numbers() - 1: for statistics.
size_t resp_command_numbers(void);
size_t resp_command_number(const struct resp_command *command);

// NULL when there is none. Any case.
const struct resp_command *resp_command_find(const struct resp_arg *name);
const struct resp_command *resp_subcommand_find(const struct resp_command *command,
                                                const struct resp_arg *name);

// "get" or "client|setname", cut to fit; returns buf.
char *resp_command_full_name(const struct resp_command *command, const struct resp_command *parent, char *buf,
                             size_t len);

// Calls fn with the position of each key in the arguments. A position beyond the arguments is none.
void resp_command_keys(const struct resp_command *command, size_t argc,
                       void (*fn)(void *arg, size_t position), void *arg);

// Adds the locks that a call needs for its keys.
void resp_command_locks(const struct resp_call *call, struct resp_lock_set *set);

enum resp_run { RESP_RUN_DONE, RESP_RUN_AGAIN };

// Runs one command: looks it up, checks its arity, takes its keys' locks, calls its handler; the errors of all this are Redis's. argc is at least 1. The reply's protocol
// follows the session's. RESP_RUN_AGAIN, only when it may not wait: nothing was replied or changed; to be run again by who may.
enum resp_run resp_command_run(struct resp_session *session, struct resp_reply *reply,
                               const struct resp_arg *args, size_t argc, bool may_wait);

// A GET (of args[1]) has been begun by other means than its handler: counts it, as it would have been. On the session's thread.
void resp_command_fetching(struct resp_session *session, const struct resp_arg *args);

// The part of it behind lookup, arity, access and queueing, for who holds all locks already (EXEC, a replica's stream): calls the handler, notes which keys the session
// reads (tracking.h), shows the command to who monitors.
void resp_command_call(struct resp_call *call);

#endif
