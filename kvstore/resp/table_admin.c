// The table of commands: watching the server, and ending it.
#include "kvstore/resp/table.h"

#define SECOND_KEY 2, 2, 1

#define WATCH (A | D | NOS | LOAD | ST)

static const struct resp_command latency_subcommands[] = {
    SUB("doctor", 2, WATCH, "2.8.13", "Return a human readable latency analysis report.", NULL,
        resp_cmd_latency_doctor),
    SUB("graph", 3, WATCH, "2.8.13", "Return a latency graph for the event.", "event",
        resp_cmd_latency_graph),
    SUB("help", 2, LOAD | ST, "2.8.13", "Show helpful text about the different subcommands.", NULL,
        resp_cmd_help),
    SUB("histogram", -2, WATCH, "7.0.0",
        "Return the cumulative distribution of latencies of a subset of commands or all.",
        "[command [command ...]]", resp_cmd_latency_histogram),
    SUB("history", 3, WATCH, "2.8.13", "Return timestamp-latency samples for the event.", "event",
        resp_cmd_latency_history),
    SUB("latest", 2, WATCH, "2.8.13", "Return the latest latency samples for all events.", NULL,
        resp_cmd_latency_latest),
    SUB("reset", -2, WATCH, "2.8.13", "Reset latency data for one or more events.", "[event [event ...]]",
        resp_cmd_latency_reset),
};

static const struct resp_command memory_subcommands[] = {
    SUB("curve", 2, 0, "7.0.0", "Return the share of reads that memory would answer, by the size of memory",
        NULL, resp_cmd_memory_curve),
    SUB("doctor", 2, 0, "4.0.0", "Outputs memory problems report", NULL, resp_cmd_memory_doctor),
    SUB("help", 2, LOAD | ST, "4.0.0", "Show helpful text about the different subcommands", NULL,
        resp_cmd_help),
    SUB("malloc-stats", 2, SLOW, "4.0.0", "Show allocator internal stats", NULL,
        resp_cmd_memory_malloc_stats),
    SUB("purge", 2, SLOW, "4.0.0", "Ask the allocator to release memory", NULL, resp_cmd_memory_purge),
    SUB("stats", 2, 0, "4.0.0", "Show memory usage details", NULL, resp_cmd_memory_stats),
    SUB_KEYS("usage", -3, R, SECOND_KEY, "4.0.0", "Estimate the memory usage of a key", "key [SAMPLES count]",
             resp_cmd_memory_usage),
};

static const struct resp_command slowlog_subcommands[] = {
    SUB("get", -2, A | D | LOAD | ST, "2.2.12", "Get the slow log's entries", "[count]",
        resp_cmd_slowlog_get),
    SUB("help", 2, LOAD | ST, "6.2.0", "Show helpful text about the different subcommands", NULL,
        resp_cmd_help),
    SUB("len", 2, A | D | LOAD | ST, "2.2.12", "Get the slow log's length", NULL, resp_cmd_slowlog_len),
    SUB("reset", 2, A | D | LOAD | ST, "2.2.12", "Clear all entries from the slow log", NULL,
        resp_cmd_slowlog_reset),
};

static const struct resp_command commands[] = {
    CMD("debug", -2, WATCH | SLOW, KEYLESS, "server", "1.0.0", "A container for debugging commands", NULL,
        "Depends on subcommand.", resp_cmd_debug),
    CONTAINER("latency", -2, 0, "server", "2.8.13", "A container for latency diagnostics commands", NULL,
              latency_subcommands),
    CONTAINER("memory", -2, 0, "server", "4.0.0", "A container for memory diagnostics commands", NULL,
              memory_subcommands),
    CMD("shutdown", -1, WATCH | RESP_CMD_NO_MULTI | RESP_CMD_ALLOW_BUSY | SLOW, KEYLESS, "server", "1.0.0",
        "Synchronously save the dataset to disk and then shut down the server",
        "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]",
        "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise "
        "O(1)",
        resp_cmd_shutdown),
    CONTAINER("slowlog", -2, 0, "server", "2.2.12", "A container for slow log commands", NULL,
              slowlog_subcommands),
    CMD("wait", 3, NOS | SLOW, KEYLESS, "generic", "3.0.0",
        "Wait for the synchronous replication of all the write commands sent in the context of the current "
        "connection",
        "numreplicas timeout", "O(1)", resp_cmd_wait),
};
TABLE(resp_table_admin);
