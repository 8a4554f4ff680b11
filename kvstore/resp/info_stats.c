// INFO: what was counted.
#include <inttypes.h>

#include "kvstore/resp/command.h"
#include "kvstore/resp/config_live.h"
#include "kvstore/resp/info.h"
#include "kvstore/resp/pubsub.h"
#include "kvstore/resp/stats.h"
#include "kvstore/resp/tracking.h"

#define PERCENTILES 16u
#define ERRORS      64u

void resp_info_stats(struct resp_info *info)
{
    const struct resp_totals t = resp_stats_totals(info->shared, &info->memory.store);
    const struct resp_rates rates = resp_stats_rates(info->shared);
    struct resp_tracking_stats tracking;
    resp_tracking_get_stats(info->shared, &tracking);
    resp_info_uint(info, "total_connections_received", t.connections);
    resp_info_uint(info, "total_commands_processed", t.commands);
    resp_info_uint(info, "instantaneous_ops_per_sec", rates.ops_per_sec);
    resp_info_uint(info, "peak_ops_per_sec", rates.most_ops_per_sec);
    resp_info_uint(info, "total_net_input_bytes", t.net_in);
    resp_info_uint(info, "total_net_output_bytes", t.net_out);
    resp_info_uint(info, "total_net_repl_input_bytes", 0);
    resp_info_uint(info, "total_net_repl_output_bytes", 0);
    resp_info_ratio(info, "instantaneous_input_kbps", rates.in_bytes_per_sec / 1024);
    resp_info_ratio(info, "instantaneous_output_kbps", rates.out_bytes_per_sec / 1024);
    resp_info_ratio(info, "instantaneous_input_repl_kbps", 0);
    resp_info_ratio(info, "instantaneous_output_repl_kbps", 0);
    resp_info_uint(info, "rejected_connections", t.rejected);
    resp_info_uint(info, "refused_peers", t.refused_peers);
    resp_info_uint(info, "sync_full", 0);
    resp_info_uint(info, "sync_partial_ok", 0);
    resp_info_uint(info, "sync_partial_err", 0);
    resp_info_uint(info, "expired_keys", t.expired);
    resp_info_ratio(info, "expired_stale_perc", 0);
    resp_info_uint(info, "expired_time_cap_reached_count", 0);
    resp_info_uint(info, "expire_cycle_cpu_milliseconds", 0);
    resp_info_uint(info, "evicted_keys", 0); // Redis means keys that are lost; see evicted_records in Elastic
    resp_info_uint(info, "evicted_clients", t.evicted_clients);
    resp_info_uint(info, "total_eviction_exceeded_time", 0);
    resp_info_uint(info, "current_eviction_exceeded_time", 0);
    resp_info_uint(info, "keyspace_hits", t.hits);
    resp_info_uint(info, "keyspace_misses", t.misses);
    resp_info_uint(info, "pubsub_channels", resp_pubsub_names(info->shared, RESP_CHANNELS));
    resp_info_uint(info, "pubsub_patterns", resp_pubsub_names(info->shared, RESP_PATTERNS));
    resp_info_uint(info, "pubsubshard_channels", resp_pubsub_names(info->shared, RESP_SHARD_CHANNELS));
    resp_info_uint(info, "latest_fork_usec", 0);
    resp_info_uint(info, "total_forks", 0);
    resp_info_uint(info, "migrate_cached_sockets", 0);
    resp_info_uint(info, "slave_expires_tracked_keys", 0);
    resp_info_uint(info, "active_defrag_hits", 0);
    resp_info_uint(info, "active_defrag_misses", 0);
    resp_info_uint(info, "active_defrag_key_hits", 0);
    resp_info_uint(info, "active_defrag_key_misses", 0);
    resp_info_uint(info, "tracking_total_keys", tracking.keys);
    resp_info_uint(info, "tracking_total_items", tracking.items);
    resp_info_uint(info, "tracking_total_prefixes", tracking.prefixes);
    resp_info_uint(info, "unexpected_error_replies", 0);
    resp_info_uint(info, "total_error_replies", t.errors);
    resp_info_uint(info, "client_output_buffer_limit_disconnections", t.cut_off);
    resp_info_uint(info, "idle_disconnections", t.idle_closed);
    resp_info_uint(info, "protocol_errors", t.protocol_errors);
    resp_info_uint(info, "dump_payload_sanitizations", 0);
}

// Calls fn for each command and subcommand that does something.
static void each_command(struct resp_info *info,
                         void (*fn)(struct resp_info *info, const char *name, size_t number))
{
    char name[64];
    for (size_t i = 0; i < resp_command_count(); i++) {
        const struct resp_command *command = resp_command_at(i);
        fn(info, resp_command_full_name(command, NULL, name, sizeof name), resp_command_number(command));
        for (size_t s = 0; s < command->subcommand_count; s++)
            fn(info, resp_command_full_name(&command->subcommands[s], command, name, sizeof name),
               resp_command_number(&command->subcommands[s]));
    }
}

static void command_line(struct resp_info *info, const char *name, size_t number)
{
    const struct resp_command_stats c = resp_stats_command(info->shared, number);
    if (c.calls == 0 && c.failed == 0 && c.rejected == 0)
        return;
    (void)fprintf(info->out,
                  "cmdstat_%s:calls=%" PRIu64 ",usec=%" PRIu64 ",usec_per_call=%.2f,rejected_calls=%" PRIu64
                  ",failed_calls=%" PRIu64 "\r\n",
                  name, c.calls, c.ns / 1000, c.calls != 0 ? (double)c.ns / 1000 / (double)c.calls : 0,
                  c.rejected, c.failed);
}

void resp_info_commandstats(struct resp_info *info)
{
    each_command(info, command_line);
}

void resp_info_errorstats(struct resp_info *info)
{
    struct resp_error_stats errors[ERRORS];
    size_t count = resp_stats_errors(info->shared, errors, ERRORS);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(info->out, "errorstat_%s:count=%" PRIu64 "\r\n", errors[i].code, errors[i].count);
}

static void latency_line(struct resp_info *info, const char *name, size_t number)
{
    double percentiles[PERCENTILES];
    if (resp_stats_command(info->shared, number).calls == 0)
        return;
    struct histogram *times = histogram_create();
    if (times != NULL && resp_stats_histogram(info->shared, number, times)) {
        size_t count = resp_config_percentiles(info->shared, percentiles, PERCENTILES);
        (void)fprintf(info->out, "latency_percentiles_usec_%s:", name);
        for (size_t i = 0; i < count; i++)
            (void)fprintf(info->out, "%sp%g=%.3f", i != 0 ? "," : "", percentiles[i],
                          (double)histogram_percentile(times, percentiles[i]) / 1000);
        (void)fputs("\r\n", info->out);
    }
    histogram_destroy(&times);
}

void resp_info_latencystats(struct resp_info *info)
{
    if (resp_stats_tracks_latency(info->shared))
        each_command(info, latency_line);
}
