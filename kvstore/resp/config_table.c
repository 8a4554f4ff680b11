// The parameters of CONFIG, in the order in which CONFIG GET lists them.
#include "kvstore/resp/config_live.h"

#define WHOLE INT64_MAX

#define FIXED_TEXT(name, text)                                                                               \
    {                                                                                                        \
        name, RESP_CONFIG_STRING, RESP_CONFIG_FIXED, text, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL          \
    }
#define FIXED(name, getter)                                                                                  \
    {                                                                                                        \
        name, RESP_CONFIG_STRING, RESP_CONFIG_FIXED, NULL, 0, 0, NULL, NULL, NULL, resp_config_get_##getter, \
            NULL, NULL                                                                                       \
    }
#define ONLY_BOOL(name, only, why)                                                                           \
    {                                                                                                        \
        name, RESP_CONFIG_BOOL, 0, only, 0, 0, NULL, only, why, NULL, NULL, NULL                             \
    }
#define KEPT_BOOL(name, preset)                                                                              \
    {                                                                                                        \
        name, RESP_CONFIG_BOOL, 0, preset, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL                          \
    }
#define KEPT_INTEGER(name, preset, min, max)                                                                 \
    {                                                                                                        \
        name, RESP_CONFIG_INTEGER, 0, preset, min, max, NULL, NULL, NULL, NULL, NULL, NULL                   \
    }
#define KEPT_MEMORY(name, preset, min)                                                                       \
    {                                                                                                        \
        name, RESP_CONFIG_MEMORY, 0, preset, min, WHOLE, NULL, NULL, NULL, NULL, NULL, NULL                  \
    }
#define KEPT_ENUM(name, preset, choices)                                                                     \
    {                                                                                                        \
        name, RESP_CONFIG_ENUM, 0, preset, 0, 0, choices, NULL, NULL, NULL, NULL, NULL                       \
    }
#define KEPT_STRING(name, preset, check)                                                                     \
    {                                                                                                        \
        name, RESP_CONFIG_STRING, 0, preset, 0, 0, NULL, NULL, NULL, NULL, check, NULL                       \
    }
#define LIVE(name, kind, min, max, choices, field, check)                                                    \
    {                                                                                                        \
        name, kind, 0, NULL, min, max, choices, NULL, NULL, resp_config_get_##field, check,                  \
            resp_config_set_##field                                                                          \
    }
#define LIVE_INTEGER(name, min, max, field) LIVE(name, RESP_CONFIG_INTEGER, min, max, NULL, field, NULL)
#define LIVE_MEMORY(name, field)            LIVE(name, RESP_CONFIG_MEMORY, 0, WHOLE, NULL, field, NULL)

#define NO_SNAPSHOTS "every write is in the log: there are no snapshots to schedule"
#define NO_REPLICAS  "this server has no replicas"
#define AT_START     "it is chosen when the server is started"

const struct resp_parameter resp_parameters[] = {
    // What works.
    LIVE_MEMORY("maxmemory", maxmemory),
    LIVE_MEMORY("maxmemory-clients", maxmemory_clients),
    LIVE("maxclients", RESP_CONFIG_INTEGER, 1, UINT32_MAX, NULL, maxclients, resp_config_check_maxclients),
    LIVE_INTEGER("timeout", 0, INT32_MAX, timeout),
    LIVE("notify-keyspace-events", RESP_CONFIG_STRING, 0, 0, NULL, notify, resp_config_check_notify),
    LIVE_INTEGER("slowlog-log-slower-than", -1, WHOLE, slower_than),
    LIVE_INTEGER("slowlog-max-len", 0, WHOLE, slowlog_most),
    LIVE_INTEGER("latency-monitor-threshold", 0, WHOLE, latency_threshold),
    LIVE("latency-tracking", RESP_CONFIG_BOOL, 0, 0, NULL, latency_tracking, NULL),
    KEPT_STRING("latency-tracking-info-percentiles", "50 99 99.9", resp_config_check_percentiles),
    LIVE_INTEGER("tracking-table-max-keys", 0, WHOLE, tracking_most),
    LIVE("loglevel", RESP_CONFIG_ENUM, 0, 0, "debug|verbose|notice|warning", loglevel, NULL),
    {"requirepass", RESP_CONFIG_STRING, RESP_CONFIG_SECRET, NULL, 0, 0, NULL, NULL, NULL,
     resp_config_get_requirepass, NULL, resp_config_set_requirepass},
    // What is as it is.
    FIXED("appendfsync", appendfsync),
    FIXED("bind", bind),
    FIXED("client-query-buffer-limit", query_limit),
    FIXED("databases", databases),
    FIXED("port", port),
    FIXED("proto-max-bulk-len", proto_max_bulk),
    FIXED("unixsocket", unixsocket),
    FIXED_TEXT("aclfile", ""),
    FIXED_TEXT("always-show-logo", "no"),
    FIXED_TEXT("appenddirname", ""),
    FIXED_TEXT("appendfilename", ""),
    FIXED("cluster-enabled", cluster_enabled),
    FIXED_TEXT("daemonize", "no"),
    FIXED_TEXT("enable-module-command", "no"),
    FIXED_TEXT("enable-protected-configs", "no"),
    FIXED_TEXT("io-threads", "1"),
    FIXED_TEXT("logfile", ""),
    FIXED_TEXT("pidfile", ""),
    FIXED_TEXT("supervised", "no"),
    FIXED_TEXT("syslog-enabled", "no"),
    FIXED_TEXT("tcp-backlog", "511"),
    FIXED_TEXT("unixsocketperm", "600"),
    {"enable-debug-command", RESP_CONFIG_ENUM, RESP_CONFIG_FIXED | RESP_CONFIG_AT_START, "no", 0, 0,
     "no|yes|local", NULL, NULL, NULL, NULL, NULL},
    {"dir", RESP_CONFIG_STRING, RESP_CONFIG_PROTECTED, NULL, 0, 0, NULL, NULL, NULL, resp_config_get_dir,
     NULL, NULL},
    {"dbfilename", RESP_CONFIG_STRING, RESP_CONFIG_PROTECTED, "dump.rdb", 0, 0, NULL, NULL, NULL, NULL, NULL,
     NULL},
    // What has one value that is true.
    ONLY_BOOL("activedefrag", "no", "there is no active defragmentation"),
    ONLY_BOOL("appendonly", "yes", "the log is the store: it cannot be switched off"),
    ONLY_BOOL("protected-mode", "yes", "who may connect " AT_START),
    ONLY_BOOL("stop-writes-on-bgsave-error", "yes", "writes stop after one has failed, whatever this says"),
    {"maxmemory-policy", RESP_CONFIG_ENUM, 0, "noeviction", 0, 0,
     "volatile-lru|volatile-lfu|volatile-random|volatile-ttl|allkeys-lru|allkeys-lfu|allkeys-random|"
     "noeviction",
     "noeviction", "no key is ever evicted: values beyond maxmemory are on disk", NULL, NULL, NULL},
    {"min-replicas-to-write", RESP_CONFIG_INTEGER, 0, "0", 0, INT32_MAX, NULL, "0", NO_REPLICAS, NULL, NULL,
     NULL},
    {"save", RESP_CONFIG_STRING, 0, "", 0, 0, NULL, "", NO_SNAPSHOTS, NULL, NULL, NULL},
    // What is kept.
    KEPT_STRING("client-output-buffer-limit",
                "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
                resp_config_check_output_limits),
    KEPT_BOOL("activerehashing", "yes"),
    KEPT_INTEGER("active-expire-effort", "1", 1, 10),
    KEPT_BOOL("aof-load-truncated", "yes"),
    KEPT_BOOL("aof-use-rdb-preamble", "yes"),
    KEPT_INTEGER("auto-aof-rewrite-percentage", "100", 0, INT32_MAX),
    KEPT_MEMORY("auto-aof-rewrite-min-size", "67108864", 0),
    KEPT_INTEGER("busy-reply-threshold", "5000", 0, WHOLE),
    KEPT_BOOL("dynamic-hz", "yes"),
    KEPT_INTEGER("hash-max-listpack-entries", "512", 0, WHOLE),
    KEPT_INTEGER("hash-max-listpack-value", "64", 0, WHOLE),
    KEPT_INTEGER("hash-max-ziplist-entries", "512", 0, WHOLE),
    KEPT_INTEGER("hash-max-ziplist-value", "64", 0, WHOLE),
    KEPT_MEMORY("hll-sparse-max-bytes", "3000", 0),
    KEPT_INTEGER("hz", "10", INT32_MIN, INT32_MAX),
    KEPT_BOOL("lazyfree-lazy-eviction", "no"),
    KEPT_BOOL("lazyfree-lazy-expire", "no"),
    KEPT_BOOL("lazyfree-lazy-server-del", "no"),
    KEPT_BOOL("lazyfree-lazy-user-del", "no"),
    KEPT_BOOL("lazyfree-lazy-user-flush", "no"),
    KEPT_INTEGER("lfu-decay-time", "1", 0, INT32_MAX),
    KEPT_INTEGER("lfu-log-factor", "10", 0, INT32_MAX),
    KEPT_INTEGER("list-compress-depth", "0", 0, INT32_MAX),
    KEPT_INTEGER("list-max-listpack-size", "-2", INT32_MIN, INT32_MAX),
    KEPT_INTEGER("list-max-ziplist-size", "-2", INT32_MIN, INT32_MAX),
    KEPT_INTEGER("lua-time-limit", "5000", 0, WHOLE),
    KEPT_INTEGER("maxmemory-eviction-tenacity", "10", 0, 100),
    KEPT_INTEGER("maxmemory-samples", "5", 1, INT32_MAX),
    KEPT_INTEGER("min-replicas-max-lag", "10", 0, INT32_MAX),
    KEPT_BOOL("no-appendfsync-on-rewrite", "no"),
    KEPT_BOOL("rdbchecksum", "yes"),
    KEPT_BOOL("rdbcompression", "yes"),
    KEPT_BOOL("rdb-save-incremental-fsync", "yes"),
    KEPT_MEMORY("repl-backlog-size", "1048576", 1),
    KEPT_INTEGER("repl-backlog-ttl", "3600", 0, WHOLE),
    KEPT_BOOL("repl-disable-tcp-nodelay", "no"),
    KEPT_BOOL("repl-diskless-sync", "yes"),
    KEPT_INTEGER("repl-diskless-sync-delay", "5", 0, INT32_MAX),
    KEPT_INTEGER("repl-ping-replica-period", "10", 1, INT32_MAX),
    KEPT_INTEGER("repl-timeout", "60", 1, INT32_MAX),
    KEPT_BOOL("replica-lazy-flush", "no"),
    KEPT_INTEGER("replica-priority", "100", 0, INT32_MAX),
    KEPT_BOOL("replica-read-only", "yes"),
    KEPT_BOOL("replica-serve-stale-data", "yes"),
    KEPT_INTEGER("set-max-intset-entries", "512", 0, WHOLE),
    KEPT_INTEGER("shutdown-timeout", "10", 0, INT32_MAX),
    KEPT_INTEGER("stream-node-max-bytes", "4096", 0, WHOLE),
    KEPT_INTEGER("stream-node-max-entries", "100", 0, WHOLE),
    KEPT_INTEGER("tcp-keepalive", "0", 0, INT32_MAX),
    KEPT_INTEGER("zset-max-listpack-entries", "128", 0, WHOLE),
    KEPT_INTEGER("zset-max-listpack-value", "64", 0, WHOLE),
    KEPT_INTEGER("zset-max-ziplist-entries", "128", 0, WHOLE),
    KEPT_INTEGER("zset-max-ziplist-value", "64", 0, WHOLE),
};
const size_t resp_parameter_count = sizeof resp_parameters / sizeof resp_parameters[0];
