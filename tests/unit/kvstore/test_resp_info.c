// INFO: sections, and the fields that redis_exporter and tools read, in the form in which they read them.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/kvstore/resp_kit.h"

// The value of a field in the last reply; NULL: not there.
static const char *field(const char *text, const char *name)
{
    static char value[256];
    char start[96];
    (void)snprintf(start, sizeof start, "\r\n%s:", name);
    const char *at = strstr(text, start);
    if (at == NULL)
        return NULL;
    at += strlen(start);
    (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static void test_sections(void **state)
{
    static const char *const by_default[] = {"Server",     "Clients",     "Memory",  "Persistence",
                                             "Stats",      "Replication", "CPU",     "Modules",
                                             "Errorstats", "Cluster",     "Elastic", "Keyspace"};
    (void)state;
    const char *text = resp_kit_run("info");
    const char *at = text;
    for (size_t i = 0; i < sizeof by_default / sizeof by_default[0]; i++) {
        char title[32];
        (void)snprintf(title, sizeof title, "# %s\r\n", by_default[i]);
        at = strstr(at, title);
        assert_non_null(at); // in this order
    }
    assert_null(strstr(text, "# Commandstats"));
    assert_non_null(strstr(resp_kit_run("info all"), "# Commandstats"));
    assert_non_null(strstr(resp_kit_run("info EVERYTHING"), "# Latencystats"));
    assert_null(strstr(resp_kit_run("info default"), "# Latencystats"));
    text = resp_kit_run("info commandstats default");
    assert_non_null(strstr(text, "# Commandstats"));
    assert_non_null(strstr(text, "# Server"));
    text = resp_kit_run("info cpu Modules nope");
    assert_non_null(strstr(text, "\r\n\r\n# Modules\r\n"));
    assert_null(strstr(text, "# Server"));
    EXPECT("info modules", "$11\r\n# Modules\r\n\r\n");
    EXPECT("info nope", "$0\r\n\r\n");
    EXPECT("info cluster", "$30\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n");
    (void)resp_kit_run("hello 3");
    assert_memory_equal(resp_kit_run("info cluster"), "=34\r\ntxt:# Cluster", 18);
}

// Lines are "name:value"; titles "# Name"; sections are apart by an empty line.
static void test_form(void **state)
{
    (void)state;
    char *text = strdup(strstr(resp_kit_run("info everything"), "# Server"));
    for (char *line = text, *end; (end = strstr(line, "\r\n")) != NULL; line = end + 2) {
        *end = '\0';
        if (line == end || line[0] == '#')
            continue;
        assert_true(isalpha((unsigned char)line[0]));
        assert_non_null(strchr(line, ':'));
    }
    free(text);
}

static void test_numbers(void **state)
{
    static const char *const names[] = {
        "uptime_in_seconds",
        "process_id",
        "tcp_port",
        "connected_clients",
        "blocked_clients",
        "maxclients",
        "tracking_clients",
        "clients_in_timeout_table",
        "client_recent_max_input_buffer",
        "client_recent_max_output_buffer",
        "used_memory",
        "used_memory_rss",
        "used_memory_peak",
        "used_memory_overhead",
        "used_memory_startup",
        "used_memory_dataset",
        "used_memory_lua",
        "maxmemory",
        "total_system_memory",
        "allocator_allocated",
        "allocator_active",
        "allocator_resident",
        "allocator_frag_ratio",
        "allocator_frag_bytes",
        "allocator_rss_ratio",
        "allocator_rss_bytes",
        "mem_fragmentation_ratio",
        "mem_fragmentation_bytes",
        "mem_clients_normal",
        "mem_clients_slaves",
        "mem_not_counted_for_evict",
        "active_defrag_running",
        "lazyfree_pending_objects",
        "loading",
        "rdb_changes_since_last_save",
        "rdb_bgsave_in_progress",
        "rdb_last_save_time",
        "rdb_last_bgsave_time_sec",
        "rdb_current_bgsave_time_sec",
        "rdb_last_cow_size",
        "aof_enabled",
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
        "aof_last_rewrite_time_sec",
        "aof_current_rewrite_time_sec",
        "aof_last_cow_size",
        "aof_current_size",
        "aof_base_size",
        "total_connections_received",
        "total_commands_processed",
        "instantaneous_ops_per_sec",
        "total_net_input_bytes",
        "total_net_output_bytes",
        "instantaneous_input_kbps",
        "instantaneous_output_kbps",
        "rejected_connections",
        "sync_full",
        "sync_partial_ok",
        "sync_partial_err",
        "expired_keys",
        "expired_stale_perc",
        "expired_time_cap_reached_count",
        "expire_cycle_cpu_milliseconds",
        "evicted_keys",
        "evicted_clients",
        "keyspace_hits",
        "keyspace_misses",
        "pubsub_channels",
        "pubsub_patterns",
        "latest_fork_usec",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
        "unexpected_error_replies",
        "total_error_replies",
        "dump_payload_sanitizations",
        "connected_slaves",
        "master_repl_offset",
        "second_repl_offset",
        "repl_backlog_active",
        "repl_backlog_size",
        "repl_backlog_first_byte_offset",
        "repl_backlog_histlen",
        "used_cpu_sys",
        "used_cpu_user",
        "used_cpu_sys_children",
        "used_cpu_user_children",
        "cluster_enabled",
        "number_of_cached_scripts",
    };
    (void)state;
    const char *text = resp_kit_run("info all");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = field(text, names[i]);
        char *end;
        if (value == NULL)
            fail_msg("%s is missing", names[i]);
        (void)strtod(value, &end);
        assert_true(end != value && *end == '\0');
    }
}

static void test_texts(void **state)
{
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"redis_version", "7.0.15"},
        {"redis_mode", "standalone"},
        {"maxmemory_policy", "noeviction"},
        {"rdb_last_bgsave_status", "ok"},
        {"aof_last_bgrewrite_status", "ok"},
        {"aof_last_write_status", "ok"},
        {"role", "master"},
        {"master_replid2", "0000000000000000000000000000000000000000"},
        {"config_file", "/etc/kv.ini"},
        {"maxclients", "10"},
    };
    (void)state;
    kit.shared.hooks.config_file = "/etc/kv.ini";
    const char *text = resp_kit_run("info");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(field(text, rows[i].name), rows[i].value);
    assert_int_equal(strlen(field(text, "run_id")), 40);
    assert_int_equal(strlen(field(text, "master_replid")), 40);
    assert_true(strlen(field(text, "os")) > 5);
}

static void test_lines_of_commands(void **state)
{
    (void)state;
    EXPECT("set a 1", OK);
    (void)resp_kit_run("set a 1 foo");
    (void)resp_kit_run("set");
    (void)resp_kit_run("auth a b");
    const char *text = resp_kit_run("info commandstats");
    assert_non_null(strstr(text, "\r\ncmdstat_set:calls=2,usec="));
    assert_non_null(strstr(text, ",rejected_calls=1,failed_calls=1\r\n"));
    text = resp_kit_run("info errorstats");
    assert_non_null(strstr(text, "\r\nerrorstat_ERR:count=2\r\n"));
    assert_non_null(strstr(text, "\r\nerrorstat_WRONGPASS:count=1\r\n"));
    text = resp_kit_run("info latencystats");
    assert_non_null(strstr(text, "\r\nlatency_percentiles_usec_set:p50="));
    assert_non_null(strstr(text, ",p99.9="));
    EXPECT("config set latency-tracking-info-percentiles \"100 75\"", OK);
    assert_non_null(strstr(resp_kit_run("info latencystats"), "usec_set:p100="));
    EXPECT("config set latency-tracking no", OK);
    EXPECT("info latencystats", "$16\r\n# Latencystats\r\n\r\n");
}

static size_t elastic(void *arg, char *text, size_t size)
{
    (void)arg;
    return (size_t)snprintf(text, size, "scaler_state:alone\r\n");
}

static void test_elastic(void **state)
{
    (void)state;
    fake.curve_points = 2;
    kit.shared.hooks.elastic = elastic;
    EXPECT("config set maxmemory 64mb", OK);
    const char *text = resp_kit_run("info elastic");
    assert_string_equal(field(text, "limit_bytes"), "67108864");
    assert_string_equal(field(text, "curve_0"), "bytes=1024,hit_ratio=0.1250");
    assert_string_equal(field(text, "curve_1"), "bytes=2048,hit_ratio=0.2500");
    assert_string_equal(field(text, "scaler_state"), "alone");
    assert_string_equal(field(text, "memory_hit_ratio"), "0.0000");
    fake.curve_points = 200; // no more than the brief
    text = resp_kit_run("info elastic");
    assert_non_null(field(text, "curve_7"));
    assert_null(field(text, "curve_8"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_sections),          TEST(test_form),
                                       TEST(test_numbers),           TEST(test_texts),
                                       TEST(test_lines_of_commands), TEST(test_elastic)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
