// The table of commands: saving, and replicas.
#include "kvstore/resp/table.h"

#define NO_MULTI RESP_CMD_NO_MULTI
#define NAL      RESP_CMD_NO_ASYNC_LOADING
#define BUSY     RESP_CMD_ALLOW_BUSY

static const struct resp_command commands[] = {
    CMD("bgsave", -1, A | D | NOS | NAL, KEYLESS, "server", "1.0.0",
        "Asynchronously save the dataset to disk", "[SCHEDULE]", "O(1)", resp_cmd_bgsave),
    CMD("lastsave", 1, F | LOAD | ST | A | D, KEYLESS, "server", "1.0.0",
        "Get the UNIX time stamp of the last successful save to disk", NULL, "O(1)", resp_cmd_lastsave),
    CMD("psync", -3, A | D | NOS | NAL | NO_MULTI, KEYLESS, "server", "2.8.0",
        "Internal command used for replication", "replicationid offset", NULL, resp_cmd_psync),
    CMD("replconf", -1, A | D | NOS | LOAD | ST | BUSY, KEYLESS, "server", "3.0.0",
        "An internal command for configuring the replication stream", NULL, "O(1)", resp_cmd_replconf),
    // Not in a transaction: they wait until the stream of the primary that there was has stopped.
    CMD("replicaof", 3, A | D | NOS | ST | NAL | RESP_CMD_ALONE | SLOW, KEYLESS, "server", "5.0.0",
        "Make the server a replica of another instance, or promote it as master.", "host port|NO ONE", "O(1)",
        resp_cmd_replicaof),
    CMD("role", 1, NOS | LOAD | ST | F | A | D, KEYLESS, "server", "2.8.12",
        "Return the role of the instance in the context of replication", NULL, "O(1)", resp_cmd_role),
    CMD("save", 1, A | D | NOS | NAL | NO_MULTI | SLOW, KEYLESS, "server", "1.0.0",
        "Synchronously save the dataset to disk", NULL,
        "O(N) where N is the total number of keys in all databases", resp_cmd_save),
    CMD("slaveof", 3, A | D | NOS | ST | NAL | RESP_CMD_ALONE | SLOW, KEYLESS, "server", "1.0.0",
        "Make the server a replica of another instance, or promote it as master.", "host port|NO ONE", "O(1)",
        resp_cmd_replicaof),
    CMD("sync", 1, A | D | NOS | NAL | NO_MULTI, KEYLESS, "server", "1.0.0",
        "Internal command used for replication", NULL, NULL, resp_cmd_sync),
};
TABLE(resp_table_replica);
