// The table of commands: COMMAND.
#include "kvstore/resp/table.h"

#define ANY (LOAD | ST)

static const struct resp_command command_subcommands[] = {
    SUB("count", 2, ANY, "2.8.13", "Get total number of Redis commands", NULL, resp_cmd_command_count),
    SUB("docs", -2, ANY, "7.0.0", "Get array of specific Redis command documentation",
        "[command-name [command-name ...]]", resp_cmd_command_docs),
    SUB("getkeys", -4, ANY, "2.8.13", "Extract keys given a full Redis command", NULL,
        resp_cmd_command_getkeys),
    SUB("getkeysandflags", -4, ANY, "7.0.0", "Extract keys and access flags given a full Redis command", NULL,
        resp_cmd_command_getkeysandflags),
    SUB("help", 2, ANY, "5.0.0", "Show helpful text about the different subcommands", NULL, resp_cmd_help),
    SUB("info", -2, ANY, "2.8.13",
        "Get array of specific Redis command details, or all when no argument is given.",
        "[command-name [command-name ...]]", resp_cmd_command_info),
    SUB("list", -2, ANY, "7.0.0", "Get an array of Redis command names",
        "[FILTERBY <MODULE module-name|ACLCAT category|PATTERN pattern>]", resp_cmd_command_list),
};

static const struct resp_command commands[] = {
    CONTAINER("command", -1, ANY, "server", "2.8.13", "Get array of Redis command details", resp_cmd_command,
              command_subcommands),
};
TABLE(resp_table_introspect);
