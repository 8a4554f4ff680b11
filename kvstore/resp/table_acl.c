// The table of commands: ACL.
#include "kvstore/resp/table.h"

#define ANY  (NOS | LOAD | ST)
#define BOSS (A | NOS | LOAD | ST)

static const struct resp_command acl_subcommands[] = {
    SUB("cat", -2, ANY, "6.0.0", "List the ACL categories or the commands inside a category",
        "[categoryname]", resp_cmd_acl_cat),
    SUB("deluser", -3, BOSS, "6.0.0", "Remove the specified ACL users and the associated rules",
        "username [username ...]", resp_cmd_acl_deluser),
    SUB("dryrun", -4, BOSS, "7.0.0",
        "Returns whether the user can execute the given command without executing the command.",
        "username command [arg [arg ...]]", resp_cmd_acl_dryrun),
    SUB("genpass", -2, ANY, "6.0.0", "Generate a pseudorandom secure password to use for ACL users", "[bits]",
        resp_cmd_acl_genpass),
    SUB("getuser", 3, BOSS, "6.0.0", "Get the rules for a specific ACL user", "username",
        resp_cmd_acl_getuser),
    SUB("help", 2, LOAD | ST, "6.0.0", "Show helpful text about the different subcommands", NULL,
        resp_cmd_help),
    SUB("list", 2, BOSS, "6.0.0", "List the current ACL rules in ACL config file format", NULL,
        resp_cmd_acl_list),
    SUB("load", 2, BOSS, "6.0.0", "Reload the ACLs from the configured ACL file", NULL, resp_cmd_acl_load),
    SUB("log", -2, BOSS, "6.0.0", "List latest events denied because of ACLs in place", "[<count|RESET>]",
        resp_cmd_acl_log),
    SUB("save", 2, BOSS, "6.0.0", "Save the current ACL rules in the configured ACL file", NULL,
        resp_cmd_acl_load),
    SUB("setuser", -3, BOSS, "6.0.0", "Modify or create the rules for a specific ACL user",
        "username [rule [rule ...]]", resp_cmd_acl_setuser),
    SUB("users", 2, BOSS, "6.0.0", "List the username of all the configured ACL rules", NULL,
        resp_cmd_acl_users),
    SUB("whoami", 2, ANY, "6.0.0", "Return the name of the user associated to the current connection", NULL,
        resp_cmd_acl_whoami),
};

static const struct resp_command commands[] = {
    CONTAINER("acl", -2, 0, "server", "6.0.0", "A container for Access List Control commands ", NULL,
              acl_subcommands),
};
TABLE(resp_table_acl);
