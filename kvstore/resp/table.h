// Short forms for the tables of commands. Included by table_*.c only.
#ifndef MEC_KVSTORE_RESP_TABLE_H
#define MEC_KVSTORE_RESP_TABLE_H

#include "kvstore/resp/handlers.h"

#define W    RESP_CMD_WRITE
#define R    RESP_CMD_READONLY
#define F    RESP_CMD_FAST
#define A    RESP_CMD_ADMIN
#define N    RESP_CMD_NO_AUTH
#define K    RESP_CMD_KEYSPACE
#define D    RESP_CMD_DANGEROUS
#define OOM  RESP_CMD_DENYOOM
#define PUB  RESP_CMD_PUBSUB
#define NOS  RESP_CMD_NOSCRIPT
#define LOAD RESP_CMD_LOADING
#define ST   RESP_CMD_STALE
#define SLOW RESP_CMD_WAITS

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define KEYLESS      0, 0, 0
#define ONE_KEY      1, 1, 1
#define ALL_KEYS     1, -1, 1

// A subcommand; its group is its container's.
#define SUB(name, arity, flags, since, help, syntax, handler)                                                \
    {                                                                                                        \
        name, arity, flags, KEYLESS, NULL, since, help, syntax, NULL, handler, NULL, 0                       \
    }
#define SUB_KEYS(name, arity, flags, keys, since, help, syntax, handler)                                     \
    {                                                                                                        \
        name, arity, flags, keys, NULL, since, help, syntax, NULL, handler, NULL, 0                          \
    }
#define CMD(name, arity, flags, keys, group, since, help, syntax, complexity, handler)                       \
    {                                                                                                        \
        name, arity, flags, keys, group, since, help, syntax, complexity, handler, NULL, 0                   \
    }
#define CONTAINER(name, arity, flags, group, since, help, handler, table)                                    \
    {                                                                                                        \
        name, arity, flags, KEYLESS, group, since, help, NULL, NULL, handler, table, COUNT(table)            \
    }

// Of the file's array `commands`.
#define TABLE(name) const struct resp_command_table name = {commands, COUNT(commands)}

#endif
