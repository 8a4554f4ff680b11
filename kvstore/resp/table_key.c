// The table of commands: keys of any type, and databases.
#include "kvstore/resp/table.h"

#define ALL        RESP_CMD_ALL_KEYS
#define SECOND_KEY 2, 2, 1
#define TWO_KEYS   1, 2, 1

static const struct resp_command object_subcommands[] = {
    SUB_KEYS("encoding", 3, R | K, SECOND_KEY, "2.2.3", "Inspect the internal encoding of a Redis object",
             "key", resp_cmd_object_encoding),
    SUB_KEYS("freq", 3, R | K, SECOND_KEY, "4.0.0",
             "Get the logarithmic access frequency counter of a Redis object", "key", resp_cmd_object_freq),
    SUB("help", 2, LOAD | ST | K, "6.2.0", "Show helpful text about the different subcommands", NULL,
        resp_cmd_help),
    SUB_KEYS("idletime", 3, R | K, SECOND_KEY, "2.2.3", "Get the time since a Redis object was last accessed",
             "key", resp_cmd_object_idletime),
    SUB_KEYS("refcount", 3, R | K, SECOND_KEY, "2.2.3",
             "Get the number of references to the value of the key", "key", resp_cmd_object_refcount),
};

static const struct resp_command commands[] = {
    CMD("copy", -3, W | OOM | K, TWO_KEYS, "generic", "6.2.0", "Copy a key",
        "source destination [DB destination-db] [REPLACE]",
        "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
        resp_cmd_copy),
    CMD("del", -2, W | K, ALL_KEYS, "generic", "1.0.0", "Delete a key", "key [key ...]",
        "O(N) where N is the number of keys that will be removed. When a key to remove holds a value other "
        "than "
        "a string, the individual complexity for this key is O(M) where M is the number of elements in the "
        "list, set, sorted set or hash. Removing a single key that holds a string value is O(1).",
        resp_cmd_del),
    CMD("dump", 2, R | K, ONE_KEY, "generic", "2.6.0",
        "Return a serialized version of the value stored at the specified key.", "key",
        "O(1) to access the key and additional O(N*M) to serialize it, where N is the number of Redis "
        "objects "
        "composing the value and M their average size. For small string values the time complexity is thus "
        "O(1)+O(1*M) where M is small, so simply O(1).",
        resp_cmd_dump),
    CMD("exists", -2, R | F | K, ALL_KEYS, "generic", "1.0.0", "Determine if a key exists", "key [key ...]",
        "O(N) where N is the number of keys to check.", resp_cmd_exists),
    CMD("expire", -3, W | F | K, ONE_KEY, "generic", "1.0.0", "Set a key's time to live in seconds",
        "key seconds [NX|XX|GT|LT]", "O(1)", resp_cmd_expire),
    CMD("expireat", -3, W | F | K, ONE_KEY, "generic", "1.2.0",
        "Set the expiration for a key as a UNIX timestamp", "key unix-time-seconds [NX|XX|GT|LT]", "O(1)",
        resp_cmd_expireat),
    CMD("expiretime", 2, R | F | K, ONE_KEY, "generic", "7.0.0",
        "Get the expiration Unix timestamp for a key", "key", "O(1)", resp_cmd_expiretime),
    CMD("flushall", -1, W | K | D | ALL, KEYLESS, "server", "1.0.0", "Remove all keys from all databases",
        "[ASYNC|SYNC]", "O(N) where N is the total number of keys in all databases", resp_cmd_flushall),
    CMD("flushdb", -1, W | K | D | ALL, KEYLESS, "server", "1.0.0",
        "Remove all keys from the current database", "[ASYNC|SYNC]",
        "O(N) where N is the number of keys in the selected database", resp_cmd_flushdb),
    CMD("keys", 2, R | K | D | SLOW, KEYLESS, "generic", "1.0.0", "Find all keys matching the given pattern",
        "pattern",
        "O(N) with N being the number of keys in the database, under the assumption that the key names in "
        "the "
        "database and the given pattern have limited length.",
        resp_cmd_keys),
    CMD("move", 3, W | F | K, ONE_KEY, "generic", "1.0.0", "Move a key to another database", "key db", "O(1)",
        resp_cmd_move),
    CONTAINER("object", -2, 0, "generic", "2.2.3", "A container for object introspection commands", NULL,
              object_subcommands),
    CMD("persist", 2, W | F | K, ONE_KEY, "generic", "2.2.0", "Remove the expiration from a key", "key",
        "O(1)", resp_cmd_persist),
    CMD("pexpire", -3, W | F | K, ONE_KEY, "generic", "2.6.0", "Set a key's time to live in milliseconds",
        "key milliseconds [NX|XX|GT|LT]", "O(1)", resp_cmd_pexpire),
    CMD("pexpireat", -3, W | F | K, ONE_KEY, "generic", "2.6.0",
        "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
        "key unix-time-milliseconds [NX|XX|GT|LT]", "O(1)", resp_cmd_pexpireat),
    CMD("pexpiretime", 2, R | F | K, ONE_KEY, "generic", "7.0.0",
        "Get the expiration Unix timestamp for a key in milliseconds", "key", "O(1)", resp_cmd_pexpiretime),
    CMD("pttl", 2, R | F | K, ONE_KEY, "generic", "2.6.0", "Get the time to live for a key in milliseconds",
        "key", "O(1)", resp_cmd_pttl),
    CMD("randomkey", 1, R | K | SLOW, KEYLESS, "generic", "1.0.0", "Return a random key from the keyspace",
        NULL, "O(1)", resp_cmd_randomkey),
    CMD("rename", 3, W | K, TWO_KEYS, "generic", "1.0.0", "Rename a key", "key newkey", "O(1)",
        resp_cmd_rename),
    CMD("renamenx", 3, W | F | K, TWO_KEYS, "generic", "1.0.0",
        "Rename a key, only if the new key does not exist", "key newkey", "O(1)", resp_cmd_renamenx),
    CMD("restore", -4, W | OOM | K | D, ONE_KEY, "generic", "2.6.0",
        "Create a key using the provided serialized value, previously obtained using DUMP.",
        "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
        "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where N is "
        "the "
        "number of Redis objects composing the value and M their average size. For small string values the "
        "time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted set values "
        "the complexity is O(N*M*log(N)) because inserting values into sorted sets is O(log(N)).",
        resp_cmd_restore),
    CMD("scan", -2, R | K | SLOW, KEYLESS, "generic", "2.8.0", "Incrementally iterate the keys space",
        "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor "
        "to "
        "return back to 0. N is the number of elements inside the collection.",
        resp_cmd_scan),
    CMD("swapdb", 3, W | F | K | D | ALL, KEYLESS, "server", "4.0.0", "Swaps two Redis databases",
        "index1 index2",
        "O(N) where N is the count of clients watching or blocking on keys from both databases.",
        resp_cmd_swapdb),
    CMD("touch", -2, R | F | K, ALL_KEYS, "generic", "3.2.1",
        "Alters the last access time of a key(s). Returns the number of existing keys specified.",
        "key [key ...]", "O(N) where N is the number of keys that will be touched.", resp_cmd_touch),
    CMD("ttl", 2, R | F | K, ONE_KEY, "generic", "1.0.0", "Get the time to live for a key in seconds", "key",
        "O(1)", resp_cmd_ttl),
    CMD("type", 2, R | F | K, ONE_KEY, "generic", "1.0.0", "Determine the type stored at key", "key", "O(1)",
        resp_cmd_type),
    CMD("unlink", -2, W | F | K, ALL_KEYS, "generic", "4.0.0",
        "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking.",
        "key [key ...]",
        "O(1) for each key removed regardless of its size. Then the command does O(N) work in a different "
        "thread in order to reclaim memory, where N is the number of allocations the deleted objects where "
        "composed of.",
        resp_cmd_del),
};
TABLE(resp_table_key);
