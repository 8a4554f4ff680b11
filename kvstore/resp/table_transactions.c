// The table of commands: transactions.
#include "kvstore/resp/table.h"

#define BASE (NOS | LOAD | ST)
#define BUSY RESP_CMD_ALLOW_BUSY
#define NOW  RESP_CMD_NOT_QUEUED

static const struct resp_command commands[] = {
    CMD("discard", 1, BASE | F | BUSY | NOW, KEYLESS, "transactions", "2.0.0",
        "Discard all commands issued after MULTI", NULL, "O(N), when N is the number of queued commands",
        resp_cmd_discard),
    CMD("exec", 1, BASE | NOW | SLOW | RESP_CMD_SKIP_SLOWLOG, KEYLESS, "transactions", "1.2.0",
        "Execute all commands issued after MULTI", NULL, "Depends on commands in the transaction",
        resp_cmd_exec),
    CMD("multi", 1, BASE | F | BUSY | NOW, KEYLESS, "transactions", "1.2.0",
        "Mark the start of a transaction block", NULL, "O(1)", resp_cmd_multi),
    CMD("unwatch", 1, BASE | F | BUSY, KEYLESS, "transactions", "2.2.0", "Forget about all watched keys",
        NULL, "O(1)", resp_cmd_unwatch),
    CMD("watch", -2, BASE | F | BUSY | NOW, ALL_KEYS, "transactions", "2.2.0",
        "Watch the given keys to determine execution of the MULTI/EXEC block", "key [key ...]",
        "O(1) for every key.", resp_cmd_watch),
};
TABLE(resp_table_transactions);
