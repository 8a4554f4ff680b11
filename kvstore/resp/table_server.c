// The table of commands: the server.
#include "kvstore/resp/table.h"

static const struct resp_command config_subcommands[] = {
    SUB("get", -3, A | D | NOS | LOAD | ST, "2.0.0", "Get the values of configuration parameters",
        "parameter [parameter ...]", resp_cmd_config_get),
    SUB("help", 2, LOAD | ST, "5.0.0", "Show helpful text about the different subcommands", NULL,
        resp_cmd_help),
    SUB("resetstat", 2, A | D | NOS | LOAD | ST, "2.0.0", "Reset the stats returned by INFO", NULL,
        resp_cmd_config_resetstat),
    SUB("rewrite", 2, A | D | NOS | LOAD | ST | SLOW, "2.8.0",
        "Rewrite the configuration file with the in memory configuration", NULL, resp_cmd_config_rewrite),
    SUB("set", -4, A | D | NOS | LOAD | ST | SLOW, "2.0.0",
        "Set configuration parameters to the given values", "parameter value [parameter value ...]",
        resp_cmd_config_set),
};

#define MODULES (A | D | NOS | RESP_CMD_NO_ASYNC_LOADING | RESP_CMD_REFUSED)

static const struct resp_command module_subcommands[] = {
    SUB("help", 2, LOAD | ST, "5.0.0", "Show helpful text about the different subcommands", NULL,
        resp_cmd_help),
    SUB("list", 2, A | D | NOS, "4.0.0", "List all modules loaded by the server", NULL, resp_cmd_module_list),
    SUB("load", -3, MODULES, "4.0.0", "Load a module", "path [arg [arg ...]]", resp_cmd_module_load),
    SUB("loadex", -3, MODULES, "7.0.0", "Load a module with extended parameters",
        "path [CONFIG name value [CONFIG name value ...]] [ARGS arg [arg ...]]", resp_cmd_module_load),
    SUB("unload", 3, MODULES, "4.0.0", "Unload a module", "name", resp_cmd_module_load),
};

static const struct resp_command commands[] = {
    CONTAINER("config", -2, 0, "server", "2.0.0", "A container for server configuration commands", NULL,
              config_subcommands),
    CMD("dbsize", 1, R | F | K, KEYLESS, "server", "1.0.0",
        "Return the number of keys in the selected database", NULL, "O(1)", resp_cmd_dbsize),
    CMD("info", -1, D | LOAD | ST, KEYLESS, "server", "1.0.0",
        "Get information and statistics about the server", "[section [section ...]]", "O(1)", resp_cmd_info),
    CMD("lolwut", -1, R | F, KEYLESS, "server", "5.0.0", "Display some computer art and the Redis version",
        "[VERSION version]", NULL, resp_cmd_lolwut),
    CONTAINER("module", -2, 0, "server", "4.0.0", "A container for module commands", NULL,
              module_subcommands),
    CMD("monitor", 1, A | D | NOS | LOAD | ST, KEYLESS, "server", "1.0.0",
        "Listen for all requests received by the server in real time", NULL, NULL, resp_cmd_monitor),
    CMD("time", 1, F | LOAD | ST, KEYLESS, "server", "2.6.0", "Return the current server time", NULL, "O(1)",
        resp_cmd_time),
};
TABLE(resp_table_server);
