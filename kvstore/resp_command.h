// The commands: one table that says of each its name, arity, flags, keys, help and handler. Dispatch, error
// texts, COMMAND, HELP and the tests read it; nothing else knows which commands there are.
//
// A handler runs on a worker thread and may wait for the disk. It writes exactly one reply.
#ifndef MEC_KVSTORE_RESP_COMMAND_H
#define MEC_KVSTORE_RESP_COMMAND_H

#include <stddef.h>

#include "kvstore/resp_parse.h"
#include "kvstore/resp_reply.h"
#include "kvstore/resp_session.h"

enum resp_command_flags {
    RESP_CMD_WRITE = 1,
    RESP_CMD_READONLY = 2,
    RESP_CMD_FAST = 4,
    RESP_CMD_ADMIN = 8,
    RESP_CMD_NO_AUTH = 16,  // allowed before authentication
    RESP_CMD_HIDDEN = 32,   // not shown by COMMAND
    RESP_CMD_KEYSPACE = 64, // a key command of no data type ("generic"): ACL category @keyspace
    RESP_CMD_DANGEROUS = 128,
};

struct resp_call {
    const struct resp_command *command;
    const struct resp_command *parent; // the container of a subcommand, else NULL
    struct resp_session *session;
    struct resp_reply *reply;
    const struct resp_arg *args; // args[0] is the name, as sent
    size_t argc;
};

struct resp_command {
    const char *name; // lower case
    int arity;        // of all words with the name (and the subcommand's); negative: at least
    unsigned flags;
    int first_key, last_key, key_step; // positions; last_key -1: to the end
    const char *group, *since;
    const char *help;                        // one line
    void (*handler)(struct resp_call *call); // NULL: only its subcommands do something
    const struct resp_command *subcommands;  // sorted by name
    size_t subcommand_count;
};

// Sorted by name.
extern const struct resp_command resp_commands[];
extern const size_t resp_command_count;

// NULL when there is none. Any case.
const struct resp_command *resp_command_find(const struct resp_arg *name);
const struct resp_command *resp_subcommand_find(const struct resp_command *command,
                                                const struct resp_arg *name);

// "get" or "client|setname", cut to fit; returns buf.
char *resp_command_full_name(const struct resp_command *command, const struct resp_command *parent, char *buf,
                             size_t len);

// Runs one command: looks it up, checks its arity, calls its handler; the errors of all this are Redis's.
// argc is at least 1. The reply's protocol follows the session's.
void resp_command_run(struct resp_session *session, struct resp_reply *reply, const struct resp_arg *args,
                      size_t argc);

#endif
