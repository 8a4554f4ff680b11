#include "kvstore/resp/docs.h"

#include <stdlib.h>
#include <string.h>

// Sorted by name.
static const struct resp_docs docs[] = {
    {.name = "acl", .complexity = "Depends on subcommand."},
    {.name = "acl|cat", .complexity = "O(1) since the categories and commands are a fixed set."},
    {.name = "acl|deluser", .complexity = "O(1) amortized time considering the typical user."},
    {.name = "acl|dryrun", .complexity = "O(1)."},
    {.name = "acl|genpass", .complexity = "O(1)"},
    {.name = "acl|getuser",
     .complexity = "O(N). Where N is the number of password, command and pattern rules that the user has.",
     .history = "6.2.0 Added Pub/Sub channel patterns.\n"
                "7.0.0 Added selectors and changed the format of key and channel patterns from a list to "
                "their rule representation."},
    {.name = "acl|help", .complexity = "O(1)"},
    {.name = "acl|list", .complexity = "O(N). Where N is the number of configured users."},
    {.name = "acl|load", .complexity = "O(N). Where N is the number of configured users."},
    {.name = "acl|log", .complexity = "O(N) with N being the number of entries shown."},
    {.name = "acl|save", .complexity = "O(N). Where N is the number of configured users."},
    {.name = "acl|setuser",
     .complexity = "O(N). Where N is the number of rules provided.",
     .history = "6.2.0 Added Pub/Sub channel patterns.\n"
                "7.0.0 Added selectors and key based permissions."},
    {.name = "acl|users", .complexity = "O(N). Where N is the number of configured users."},
    {.name = "acl|whoami", .complexity = "O(1)"},
    {.name = "auth", .history = "6.0.0 Added ACL style (username and password)."},
    {.name = "bgsave", .history = "3.2.2 Added the `SCHEDULE` option."},
    {.name = "bitcount", .history = "7.0.0 Added the `BYTE|BIT` option."},
    {.name = "bitpos", .history = "7.0.0 Added the `BYTE|BIT` option."},
    {.name = "client", .complexity = "Depends on subcommand."},
    {.name = "client|caching", .complexity = "O(1)"},
    {.name = "client|getname", .complexity = "O(1)"},
    {.name = "client|getredir", .complexity = "O(1)"},
    {.name = "client|help", .complexity = "O(1)"},
    {.name = "client|id", .complexity = "O(1)"},
    {.name = "client|info", .complexity = "O(1)"},
    {.name = "client|kill",
     .complexity = "O(N) where N is the number of client connections",
     .history =
         "2.8.12 Added new filter format.\n"
         "2.8.12 `ID` option.\n"
         "3.2.0 Added `master` type in for `TYPE` option.\n"
         "5.0.0 Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward compatibility.\n"
         "6.2.0 `LADDR` option."},
    {.name = "client|list",
     .complexity = "O(N) where N is the number of client connections",
     .history =
         "2.8.12 Added unique client `id` field.\n"
         "5.0.0 Added optional `TYPE` filter.\n"
         "6.0.0 Added `user` field.\n"
         "6.2.0 Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional `ID` filter.\n"
         "7.0.0 Added `resp`, `multi-mem`, `rbs` and `rbp` fields.\n"
         "7.0.3 Added `ssub` field."},
    {.name = "client|no-evict", .complexity = "O(1)"},
    {.name = "client|no-touch", .complexity = "O(1)"},
    {.name = "client|pause",
     .complexity = "O(1)",
     .history = "6.2.0 `CLIENT PAUSE WRITE` mode added along with the `mode` option."},
    {.name = "client|reply", .complexity = "O(1)"},
    {.name = "client|setinfo", .complexity = "O(1)"},
    {.name = "client|setname", .complexity = "O(1)"},
    {.name = "client|tracking", .complexity = "O(1). Some options may introduce additional complexity."},
    {.name = "client|trackinginfo", .complexity = "O(1)"},
    {.name = "client|unblock", .complexity = "O(log N) where N is the number of client connections"},
    {.name = "client|unpause", .complexity = "O(N) Where N is the number of paused clients"},
    {.name = "cluster", .complexity = "Depends on subcommand."},
    {.name = "cluster|addslots", .complexity = "O(N) where N is the total number of hash slot arguments"},
    {.name = "cluster|addslotsrange",
     .complexity =
         "O(N) where N is the total number of the slots between the start slot and end slot arguments."},
    {.name = "cluster|bumpepoch", .complexity = "O(1)"},
    {.name = "cluster|count-failure-reports", .complexity = "O(N) where N is the number of failure reports"},
    {.name = "cluster|countkeysinslot", .complexity = "O(1)"},
    {.name = "cluster|delslots", .complexity = "O(N) where N is the total number of hash slot arguments"},
    {.name = "cluster|delslotsrange",
     .complexity =
         "O(N) where N is the total number of the slots between the start slot and end slot arguments."},
    {.name = "cluster|failover", .complexity = "O(1)"},
    {.name = "cluster|flushslots", .complexity = "O(1)"},
    {.name = "cluster|forget", .complexity = "O(1)"},
    {.name = "cluster|getkeysinslot", .complexity = "O(log(N)) where N is the number of requested keys"},
    {.name = "cluster|help", .complexity = "O(1)"},
    {.name = "cluster|info", .complexity = "O(1)"},
    {.name = "cluster|keyslot", .complexity = "O(N) where N is the number of bytes in the key"},
    {.name = "cluster|links", .complexity = "O(N) where N is the total number of Cluster nodes"},
    {.name = "cluster|meet",
     .complexity = "O(1)",
     .history = "4.0.0 Added the optional `cluster_bus_port` argument."},
    {.name = "cluster|myid", .complexity = "O(1)"},
    {.name = "cluster|nodes", .complexity = "O(N) where N is the total number of Cluster nodes"},
    {.name = "cluster|replicas", .complexity = "O(1)"},
    {.name = "cluster|replicate", .complexity = "O(1)"},
    {.name = "cluster|reset",
     .complexity =
         "O(N) where N is the number of known nodes. The command may execute a FLUSHALL as a side effect."},
    {.name = "cluster|saveconfig", .complexity = "O(1)"},
    {.name = "cluster|set-config-epoch", .complexity = "O(1)"},
    {.name = "cluster|setslot", .complexity = "O(1)"},
    {.name = "cluster|shards", .complexity = "O(N) where N is the total number of cluster nodes"},
    {.name = "cluster|slaves",
     .complexity = "O(1)",
     .deprecated_since = "5.0.0",
     .replaced_by = "`CLUSTER REPLICAS`"},
    {.name = "cluster|slots",
     .complexity = "O(N) where N is the total number of Cluster nodes",
     .deprecated_since = "7.0.0",
     .replaced_by = "`CLUSTER SHARDS`",
     .history = "4.0.0 Added node IDs.\n"
                "7.0.0 Added additional networking metadata field."},
    {.name = "command", .complexity = "O(N) where N is the total number of Redis commands"},
    {.name = "command|count", .complexity = "O(1)"},
    {.name = "command|docs", .complexity = "O(N) where N is the number of commands to look up"},
    {.name = "command|getkeys", .complexity = "O(N) where N is the number of arguments to the command"},
    {.name = "command|getkeysandflags",
     .complexity = "O(N) where N is the number of arguments to the command"},
    {.name = "command|help", .complexity = "O(1)"},
    {.name = "command|info",
     .complexity = "O(N) where N is the number of commands to look up",
     .history = "7.0.0 Allowed to be called with no argument to get info on all commands."},
    {.name = "command|list", .complexity = "O(N) where N is the total number of Redis commands"},
    {.name = "config", .complexity = "Depends on subcommand."},
    {.name = "config|get",
     .complexity = "O(N) when N is the number of configuration parameters provided",
     .history = "7.0.0 Added the ability to pass multiple pattern parameters in one call"},
    {.name = "config|help", .complexity = "O(1)"},
    {.name = "config|resetstat", .complexity = "O(1)"},
    {.name = "config|rewrite", .complexity = "O(1)"},
    {.name = "config|set",
     .complexity = "O(N) when N is the number of configuration parameters provided",
     .history = "7.0.0 Added the ability to set multiple parameters in one call."},
    {.name = "debug", .system = true},
    {.name = "exists", .history = "3.0.3 Accepts multiple `key` arguments."},
    {.name = "expire", .history = "7.0.0 Added options: `NX`, `XX`, `GT` and `LT`."},
    {.name = "expireat", .history = "7.0.0 Added options: `NX`, `XX`, `GT` and `LT`."},
    {.name = "flushall",
     .history = "4.0.0 Added the `ASYNC` flushing mode modifier.\n"
                "6.2.0 Added the `SYNC` flushing mode modifier."},
    {.name = "flushdb",
     .history = "4.0.0 Added the `ASYNC` flushing mode modifier.\n"
                "6.2.0 Added the `SYNC` flushing mode modifier."},
    {.name = "getset", .deprecated_since = "6.2.0", .replaced_by = "`SET` with the `!GET` argument"},
    {.name = "hello",
     .history = "6.2.0 `protover` made optional; when called without arguments the command reports the "
                "current connection's context."},
    {.name = "info", .history = "7.0.0 Added support for taking multiple section arguments."},
    {.name = "latency", .complexity = "Depends on subcommand."},
    {.name = "latency|doctor", .complexity = "O(1)"},
    {.name = "latency|graph", .complexity = "O(1)"},
    {.name = "latency|help", .complexity = "O(1)"},
    {.name = "latency|histogram",
     .complexity = "O(N) where N is the number of commands with latency information being retrieved."},
    {.name = "latency|history", .complexity = "O(1)"},
    {.name = "latency|latest", .complexity = "O(1)"},
    {.name = "latency|reset", .complexity = "O(1)"},
    {.name = "memory", .complexity = "Depends on subcommand."},
    {.name = "memory|curve", .complexity = "O(1)"},
    {.name = "memory|doctor", .complexity = "O(1)"},
    {.name = "memory|help", .complexity = "O(1)"},
    {.name = "memory|malloc-stats", .complexity = "Depends on how much memory is allocated, could be slow"},
    {.name = "memory|purge", .complexity = "Depends on how much memory is allocated, could be slow"},
    {.name = "memory|stats", .complexity = "O(1)"},
    {.name = "memory|usage", .complexity = "O(N) where N is the number of samples."},
    {.name = "module", .complexity = "Depends on subcommand."},
    {.name = "module|help", .complexity = "O(1)"},
    {.name = "module|list", .complexity = "O(N) where N is the number of loaded modules."},
    {.name = "module|load", .complexity = "O(1)"},
    {.name = "module|loadex", .complexity = "O(1)"},
    {.name = "module|unload", .complexity = "O(1)"},
    {.name = "object", .complexity = "Depends on subcommand."},
    {.name = "object|encoding", .complexity = "O(1)"},
    {.name = "object|freq", .complexity = "O(1)"},
    {.name = "object|help", .complexity = "O(1)"},
    {.name = "object|idletime", .complexity = "O(1)"},
    {.name = "object|refcount", .complexity = "O(1)"},
    {.name = "pexpire", .history = "7.0.0 Added options: `NX`, `XX`, `GT` and `LT`."},
    {.name = "pexpireat", .history = "7.0.0 Added options: `NX`, `XX`, `GT` and `LT`."},
    {.name = "pttl", .history = "2.8.0 Added the -2 reply."},
    {.name = "pubsub", .complexity = "Depends on subcommand."},
    {.name = "pubsub|channels",
     .complexity = "O(N) where N is the number of active channels, and assuming constant time pattern "
                   "matching (relatively short channels and patterns)"},
    {.name = "pubsub|help", .complexity = "O(1)"},
    {.name = "pubsub|numpat", .complexity = "O(1)"},
    {.name = "pubsub|numsub",
     .complexity = "O(N) for the NUMSUB subcommand, where N is the number of requested channels"},
    {.name = "pubsub|shardchannels",
     .complexity = "O(N) where N is the number of active shard channels, and assuming constant time pattern "
                   "matching (relatively short shard channels)."},
    {.name = "pubsub|shardnumsub",
     .complexity = "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels"},
    {.name = "renamenx",
     .history =
         "3.2.0 The command no longer returns an error when source and destination names are the same."},
    {.name = "replconf", .system = true},
    {.name = "restore",
     .history = "3.0.0 Added the `REPLACE` modifier.\n"
                "5.0.0 Added the `ABSTTL` modifier.\n"
                "5.0.0 Added the `IDLETIME` and `FREQ` options."},
    {.name = "scan", .history = "6.0.0 Added the `TYPE` subcommand."},
    {.name = "set",
     .history = "2.6.12 Added the `EX`, `PX`, `NX` and `XX` options.\n"
                "6.0.0 Added the `KEEPTTL` option.\n"
                "6.2.0 Added the `GET`, `EXAT` and `PXAT` option.\n"
                "7.0.0 Allowed the `NX` and `GET` options to be used together."},
    {.name = "shutdown", .history = "7.0.0 Added the `NOW`, `FORCE` and `ABORT` modifiers."},
    {.name = "slaveof", .deprecated_since = "5.0.0", .replaced_by = "`REPLICAOF`"},
    {.name = "slowlog", .complexity = "Depends on subcommand."},
    {.name = "slowlog|get",
     .complexity = "O(N) where N is the number of entries returned",
     .history = "4.0.0 Added client IP address, port and name to the reply."},
    {.name = "slowlog|help", .complexity = "O(1)"},
    {.name = "slowlog|len", .complexity = "O(1)"},
    {.name = "slowlog|reset", .complexity = "O(N) where N is the number of entries in the slowlog"},
    {.name = "substr", .deprecated_since = "2.0.0", .replaced_by = "`GETRANGE`"},
    {.name = "ttl", .history = "2.8.0 Added the -2 reply."},
};

static int compare(const void *name, const void *entry)
{
    return strcmp(name, ((const struct resp_docs *)entry)->name);
}

const struct resp_docs *resp_docs_find(const char *full_name)
{
    return bsearch(full_name, docs, sizeof docs / sizeof docs[0], sizeof docs[0], compare);
}
