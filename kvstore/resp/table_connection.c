// The table of commands: connections.
#include "kvstore/resp/table.h"

#define OPEN (F | N | NOS | LOAD | ST | RESP_CMD_ALLOW_BUSY)

static const struct resp_command commands[] = {
    CMD("auth", -2, OPEN, KEYLESS, "connection", "1.0.0", "Authenticate to the server", "[username] password",
        "O(N) where N is the number of passwords defined for the user", resp_cmd_auth),
    CMD("echo", 2, F | LOAD | ST, KEYLESS, "connection", "1.0.0", "Echo the given string", "message", "O(1)",
        resp_cmd_echo),
    CMD("hello", -1, OPEN, KEYLESS, "connection", "6.0.0", "Handshake with Redis",
        "[protover [AUTH username password] [SETNAME clientname]]", "O(1)", resp_cmd_hello),
    CMD("host:", -1, RESP_CMD_HIDDEN | N, KEYLESS, "connection", "3.2.0",
        "A line of an HTTP request: closes the connection", NULL, "O(1)", resp_cmd_http),
    CMD("ping", -1, F | RESP_CMD_WHEN_LISTENING, KEYLESS, "connection", "1.0.0", "Ping the server",
        "[message]", "O(1)", resp_cmd_ping),
    CMD("post", -1, RESP_CMD_HIDDEN | N, KEYLESS, "connection", "3.2.0",
        "A line of an HTTP request: closes the connection", NULL, "O(1)", resp_cmd_http),
    CMD("quit", -1, OPEN | RESP_CMD_WHEN_LISTENING | RESP_CMD_NOT_QUEUED, KEYLESS, "connection", "1.0.0",
        "Close the connection", NULL, "O(1)", resp_cmd_quit),
    CMD("reset", 1, OPEN | RESP_CMD_WHEN_LISTENING | RESP_CMD_NOT_QUEUED, KEYLESS, "connection", "6.2.0",
        "Reset the connection", NULL, "O(1)", resp_cmd_reset),
    CMD("select", 2, F | LOAD | ST, KEYLESS, "connection", "1.0.0",
        "Change the selected database for the current connection", "index", "O(1)", resp_cmd_select),
};
TABLE(resp_table_connection);
