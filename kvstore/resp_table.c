// The table of commands. Both levels are sorted by name: lookup is a binary search.
#include "kvstore/resp_handlers.h"

#define W RESP_CMD_WRITE
#define R RESP_CMD_READONLY
#define F RESP_CMD_FAST
#define A RESP_CMD_ADMIN
#define N RESP_CMD_NO_AUTH
#define K RESP_CMD_KEYSPACE
#define D RESP_CMD_DANGEROUS

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define KEYLESS      0, 0, 0
#define ONE_KEY      1, 1, 1
#define ALL_KEYS     1, -1, 1
#define SUB(name, arity, flags, since, help, handler)                                                        \
    {                                                                                                        \
        name, arity, flags, KEYLESS, NULL, since, help, handler, NULL, 0                                     \
    }

static const struct resp_command client_subcommands[] = {
    SUB("getname", 2, 0, "2.6.9", "Get the current connection name", resp_cmd_client_getname),
    SUB("help", 2, 0, "5.0.0", "Show helpful text about the different subcommands", resp_cmd_help),
    SUB("id", 2, 0, "5.0.0", "Returns the client ID for the current connection", resp_cmd_client_id),
    SUB("info", 2, 0, "6.2.0", "Returns information about the current client connection",
        resp_cmd_client_info),
    SUB("list", -2, A | D, "2.4.0", "Get the list of client connections", resp_cmd_client_list),
    SUB("setinfo", 4, 0, "7.2.0", "Set the name (LIB-NAME) or version (LIB-VER) of the client's library",
        resp_cmd_client_setinfo),
    SUB("setname", 3, 0, "2.6.9", "Set the current connection name", resp_cmd_client_setname),
};

static const struct resp_command command_subcommands[] = {
    SUB("count", 2, 0, "2.8.13", "Get total number of commands", resp_cmd_command_count),
    SUB("docs", -2, 0, "7.0.0", "Get array of specific command documentation", resp_cmd_command_docs),
    SUB("help", 2, 0, "5.0.0", "Show helpful text about the different subcommands", resp_cmd_help),
    SUB("info", -2, 0, "2.8.13", "Get array of specific command details, or all when no argument is given",
        resp_cmd_command_info),
    SUB("list", 2, 0, "7.0.0", "Get an array of command names", resp_cmd_command_list),
};

static const struct resp_command config_subcommands[] = {
    SUB("get", -3, A | D, "2.0.0", "Get the values of configuration parameters", resp_cmd_config_get),
    SUB("help", 2, 0, "5.0.0", "Show helpful text about the different subcommands", resp_cmd_help),
    SUB("set", -4, A | D, "2.0.0", "Set configuration parameters to the given values", resp_cmd_config_set),
};

#define CMD(name, arity, flags, keys, group, since, help, handler)                                           \
    {                                                                                                        \
        name, arity, flags, keys, group, since, help, handler, NULL, 0                                       \
    }
#define CONTAINER(name, arity, group, since, help, handler, table)                                           \
    {                                                                                                        \
        name, arity, 0, KEYLESS, group, since, help, handler, table, COUNT(table)                            \
    }

const struct resp_command resp_commands[] = {
    CMD("auth", -2, F | N, KEYLESS, "connection", "1.0.0", "Authenticate to the server", resp_cmd_auth),
    CMD("bgsave", -1, A | D, KEYLESS, "server", "1.0.0", "Make everything written so far durable",
        resp_cmd_bgsave),
    CONTAINER("client", -2, "connection", "2.4.0", "A container for client connection commands", NULL,
              client_subcommands),
    CONTAINER("command", -1, "server", "2.8.13", "Get array of command details", resp_cmd_command,
              command_subcommands),
    CONTAINER("config", -2, "server", "2.0.0", "A container for server configuration commands", NULL,
              config_subcommands),
    CMD("dbsize", 1, R | F | K, KEYLESS, "server", "1.0.0", "Return the number of keys", resp_cmd_dbsize),
    CMD("del", -2, W | K, ALL_KEYS, "generic", "1.0.0", "Delete keys", resp_cmd_del),
    CMD("echo", 2, F, KEYLESS, "connection", "1.0.0", "Echo the given string", resp_cmd_echo),
    CMD("exists", -2, R | F | K, ALL_KEYS, "generic", "1.0.0", "Count which of the keys exist",
        resp_cmd_exists),
    CMD("expire", -3, W | F | K, ONE_KEY, "generic", "1.0.0", "Set a key's time to live in seconds",
        resp_cmd_expire),
    CMD("expireat", -3, W | F | K, ONE_KEY, "generic", "1.2.0",
        "Set the expiration for a key as a UNIX timestamp", resp_cmd_expireat),
    CMD("expiretime", 2, R | F | K, ONE_KEY, "generic", "7.0.0", "Get the expiration UNIX timestamp of a key",
        resp_cmd_expiretime),
    CMD("get", 2, R | F, ONE_KEY, "string", "1.0.0", "Get the value of a key", resp_cmd_get),
    CMD("getdel", 2, W | F, ONE_KEY, "string", "6.2.0", "Get the value of a key and delete the key",
        resp_cmd_getdel),
    CMD("hello", -1, F | N, KEYLESS, "connection", "6.0.0",
        "Choose the protocol version and introduce oneself", resp_cmd_hello),
    CMD("host:", -1, RESP_CMD_HIDDEN | N, KEYLESS, "connection", "3.2.0",
        "A line of an HTTP request: closes the connection", resp_cmd_http),
    CMD("info", -1, D, KEYLESS, "server", "1.0.0", "Get information and statistics about the server",
        resp_cmd_info),
    CMD("keys", 2, R | K | D, KEYLESS, "generic", "1.0.0", "Find all keys matching the given pattern",
        resp_cmd_keys),
    CMD("lastsave", 1, F | A | D, KEYLESS, "server", "1.0.0",
        "Get the UNIX time stamp of the last successful save", resp_cmd_lastsave),
    CMD("mget", -2, R | F, ALL_KEYS, "string", "1.0.0", "Get the values of all the given keys",
        resp_cmd_mget),
    CMD("persist", 2, W | F | K, ONE_KEY, "generic", "2.2.0", "Remove the expiration from a key",
        resp_cmd_persist),
    CMD("pexpire", -3, W | F | K, ONE_KEY, "generic", "2.6.0", "Set a key's time to live in milliseconds",
        resp_cmd_pexpire),
    CMD("pexpireat", -3, W | F | K, ONE_KEY, "generic", "2.6.0",
        "Set the expiration for a key as a UNIX timestamp in milliseconds", resp_cmd_pexpireat),
    CMD("pexpiretime", 2, R | F | K, ONE_KEY, "generic", "7.0.0",
        "Get the expiration UNIX timestamp of a key in milliseconds", resp_cmd_pexpiretime),
    CMD("ping", -1, F, KEYLESS, "connection", "1.0.0", "Ping the server", resp_cmd_ping),
    CMD("post", -1, RESP_CMD_HIDDEN | N, KEYLESS, "connection", "3.2.0",
        "A line of an HTTP request: closes the connection", resp_cmd_http),
    CMD("pttl", 2, R | F | K, ONE_KEY, "generic", "2.6.0", "Get the time to live for a key in milliseconds",
        resp_cmd_pttl),
    CMD("quit", -1, F | N, KEYLESS, "connection", "1.0.0", "Close the connection", resp_cmd_quit),
    CMD("reset", 1, F | N, KEYLESS, "connection", "6.2.0", "Reset the connection", resp_cmd_reset),
    CMD("save", 1, A | D, KEYLESS, "server", "1.0.0", "Make everything written so far durable",
        resp_cmd_save),
    CMD("scan", -2, R | K, KEYLESS, "generic", "2.8.0", "Incrementally iterate the keys", resp_cmd_scan),
    CMD("select", 2, F, KEYLESS, "connection", "1.0.0",
        "Change the selected database for the current connection", resp_cmd_select),
    CMD("set", -3, W, ONE_KEY, "string", "1.0.0", "Set the string value of a key", resp_cmd_set),
    CMD("setnx", 3, W | F, ONE_KEY, "string", "1.0.0",
        "Set the value of a key, only if the key does not exist", resp_cmd_setnx),
    CMD("strlen", 2, R | F, ONE_KEY, "string", "2.2.0", "Get the length of the value stored in a key",
        resp_cmd_strlen),
    CMD("time", 1, F, KEYLESS, "server", "2.6.0", "Return the current server time", resp_cmd_time),
    CMD("ttl", 2, R | F | K, ONE_KEY, "generic", "1.0.0", "Get the time to live for a key in seconds",
        resp_cmd_ttl),
    CMD("type", 2, R | F | K, ONE_KEY, "generic", "1.0.0", "Determine the type stored at key", resp_cmd_type),
    CMD("unlink", -2, W | F | K, ALL_KEYS, "generic", "4.0.0", "Delete keys", resp_cmd_del),
};
const size_t resp_command_count = COUNT(resp_commands);
