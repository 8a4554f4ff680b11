// The table of commands: CLIENT.
#include "kvstore/resp/table.h"

#define ANY  (NOS | LOAD | ST)
#define BOSS (A | NOS | LOAD | ST)

static const struct resp_command client_subcommands[] = {
    SUB("caching", 3, NOS | LOAD | ST, "6.0.0",
        "Instruct the server about tracking or not keys in the next request", "YES|NO",
        resp_cmd_client_caching),
    SUB("getname", 2, ANY, "2.6.9", "Get the current connection name", NULL, resp_cmd_client_getname),
    SUB("getredir", 2, NOS | LOAD | ST, "6.0.0", "Get tracking notifications redirection client ID if any",
        NULL, resp_cmd_client_getredir),
    SUB("help", 2, LOAD | ST, "5.0.0", "Show helpful text about the different subcommands", NULL,
        resp_cmd_help),
    SUB("id", 2, ANY, "5.0.0", "Returns the client ID for the current connection", NULL, resp_cmd_client_id),
    SUB("info", 2, ANY, "6.2.0", "Returns information about the current client connection.", NULL,
        resp_cmd_client_info),
    SUB("kill", -3, BOSS, "2.4.0", "Kill the connection of a client",
        "<ip:port|<[ID client-id]|[TYPE <NORMAL|MASTER|SLAVE|REPLICA|PUBSUB>]|[USER username]|[ADDR ip:port]|"
        "[LADDR ip:port]|[SKIPME yes/no]|[MAXAGE maxage]>>",
        resp_cmd_client_kill),
    SUB("list", -2, BOSS, "2.4.0", "Get the list of client connections",
        "[TYPE <NORMAL|MASTER|REPLICA|PUBSUB>] [ID client-id [client-id ...]]", resp_cmd_client_list),
    SUB("no-evict", 3, BOSS, "7.0.0", "Set client eviction mode for the current connection", "<ON|OFF>",
        resp_cmd_client_no_evict),
    SUB("no-touch", 3, ANY, "7.2.0",
        "Controls whether commands sent by the client affect the LRU/LFU of accessed keys", "<ON|OFF>",
        resp_cmd_client_no_touch),
    SUB("pause", -3, BOSS, "2.9.50", "Stop processing commands from clients for some time",
        "timeout [WRITE|ALL]", resp_cmd_client_pause),
    SUB("reply", 3, ANY, "3.2.0", "Instruct the server whether to reply to commands", "<ON|OFF|SKIP>",
        resp_cmd_client_reply),
    SUB("setinfo", 4, ANY, "7.2.0", "Set the name (LIB-NAME) or version (LIB-VER) of the client's library",
        "<LIB-NAME libname|LIB-VER libver>", resp_cmd_client_setinfo),
    SUB("setname", 3, ANY, "2.6.9", "Set the current connection name", "connection-name",
        resp_cmd_client_setname),
    SUB("tracking", -3, NOS | LOAD | ST, "6.0.0",
        "Enable or disable server assisted client side caching support",
        "ON|OFF [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
        resp_cmd_client_tracking),
    SUB("trackinginfo", 2, NOS | LOAD | ST, "6.2.0",
        "Return information about server assisted client side caching for the current connection", NULL,
        resp_cmd_client_trackinginfo),
    SUB("unblock", -3, BOSS, "5.0.0",
        "Unblock a client blocked in a blocking command from a different connection",
        "client-id [TIMEOUT|ERROR]", resp_cmd_client_unblock),
    SUB("unpause", 2, BOSS, "6.2.0", "Resume processing of clients that were paused", NULL,
        resp_cmd_client_unpause),
};

static const struct resp_command commands[] = {
    CONTAINER("client", -2, 0, "connection", "2.4.0", "A container for client connection commands", NULL,
              client_subcommands),
};
TABLE(resp_table_client);
