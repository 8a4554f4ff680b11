// INFO: the state of server and store, in sections.
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/units.h"
#include "kvstore/resp_args.h"
#include "kvstore/resp_handlers.h"
#include "kvstore/resp_version.h"

struct info {
    struct evbuffer *out;
    struct resp_shared *shared;
    struct kv_stats stats;
};

static void line_uint(struct info *info, const char *name, uint64_t value)
{
    (void)evbuffer_add_printf(info->out, "%s:%" PRIu64 "\r\n", name, value);
}

static void line_text(struct info *info, const char *name, const char *value)
{
    (void)evbuffer_add_printf(info->out, "%s:%s\r\n", name, value);
}

static void line_size(struct info *info, const char *name, uint64_t bytes)
{
    char text[32];
    line_text(info, name, units_format_size(bytes, text, sizeof text));
}

static uint64_t count_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void info_server(struct info *info)
{
    struct utsname name;
    uint64_t up_s = (resp_now_ms(info->shared) - info->shared->started_ms) / 1000;
    line_text(info, "redis_version", RESP_REDIS_VERSION);
    line_text(info, "server_name", "kvstore");
    line_text(info, "server_version", MEC_VERSION);
    line_text(info, "redis_mode", "standalone");
    if (uname(&name) == 0)
        (void)evbuffer_add_printf(info->out, "os:%s %s %s\r\n", name.sysname, name.release, name.machine);
    line_uint(info, "arch_bits", sizeof(void *) * 8);
    line_text(info, "multiplexing_api", "libevent");
    line_uint(info, "process_id", (uint64_t)getpid());
    line_uint(info, "server_time_usec", resp_now_ms(info->shared) * 1000);
    line_uint(info, "uptime_in_seconds", up_s);
    line_uint(info, "uptime_in_days", up_s / 86400);
}

static void info_clients(struct info *info)
{
    line_uint(info, "connected_clients", atomic_load(&info->shared->clients));
    line_uint(info, "maxclients", info->shared->max_clients);
    line_uint(info, "blocked_clients", 0);
}

// Pages of this process in memory; 0 when the system does not say.
static uint64_t resident_bytes(void)
{
    unsigned long total, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    (void)fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t peak_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static void info_memory(struct info *info)
{
    const struct kv_stats *s = &info->stats;
    uint64_t rss = resident_bytes();
    line_uint(info, "used_memory", s->memory_bytes);
    line_size(info, "used_memory_human", s->memory_bytes);
    line_uint(info, "used_memory_rss", rss);
    line_size(info, "used_memory_rss_human", rss);
    line_uint(info, "used_memory_peak", peak_bytes());
    line_uint(info, "used_memory_overhead",
              s->memory_bytes - (s->cached_bytes < s->memory_bytes ? s->cached_bytes : 0));
    line_uint(info, "used_memory_dataset", s->cached_bytes);
    line_uint(info, "maxmemory", s->limit_bytes);
    line_size(info, "maxmemory_human", s->limit_bytes);
    line_text(info, "maxmemory_policy",
              "noeviction"); // no key is ever lost to memory: values go to disk alone
    (void)evbuffer_add_printf(info->out, "mem_fragmentation_ratio:%.2f\r\n",
                              s->memory_bytes != 0 ? (double)rss / (double)s->memory_bytes : 0.0);
}

static void info_persistence(struct info *info)
{
    line_uint(info, "loading", 0);
    line_uint(info, "rdb_bgsave_in_progress", 0);
    line_uint(info, "rdb_last_save_time", atomic_load(&info->shared->last_save_ms) / 1000);
    line_text(info, "rdb_last_bgsave_status", info->stats.read_only ? "err" : "ok");
    line_uint(info, "aof_enabled", 1);
    line_uint(info, "aof_rewrite_in_progress", 0);
    line_text(info, "aof_last_write_status", info->stats.read_only ? "err" : "ok");
    line_uint(info, "aof_current_size", info->stats.disk_bytes);
}

static void info_stats(struct info *info)
{
    const struct resp_counters *c = &info->shared->counters;
    line_uint(info, "total_connections_received", count_of(&c->connections));
    line_uint(info, "total_commands_processed", count_of(&c->commands));
    line_uint(info, "instantaneous_ops_per_sec", count_of(&c->ops_per_sec));
    line_uint(info, "rejected_connections", count_of(&c->rejected));
    line_uint(info, "refused_peers", count_of(&c->refused_peers));
    line_uint(info, "client_output_buffer_limit_disconnections", count_of(&c->cut_off));
    line_uint(info, "idle_disconnections", count_of(&c->idle_closed));
    line_uint(info, "protocol_errors", count_of(&c->protocol_errors));
    line_uint(info, "total_error_replies", count_of(&c->errors));
    line_uint(info, "expired_keys", info->stats.expired);
    line_uint(info, "evicted_keys", 0); // Redis means keys that are lost; see evicted_records in Elastic
    line_uint(info, "keyspace_hits", info->stats.hits + info->stats.misses);
    line_uint(info, "keyspace_misses", info->stats.not_found);
}

static void info_replication(struct info *info)
{
    line_text(info, "role", "master");
    line_uint(info, "connected_slaves", 0);
    line_uint(info, "master_repl_offset", 0);
}

static void info_cpu(struct info *info)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0)
        return;
    (void)evbuffer_add_printf(info->out, "used_cpu_sys:%lld.%06ld\r\nused_cpu_user:%lld.%06ld\r\n",
                              (long long)u.ru_stime.tv_sec, (long)u.ru_stime.tv_usec,
                              (long long)u.ru_utime.tv_sec, (long)u.ru_utime.tv_usec);
}

static void info_cluster(struct info *info)
{
    line_uint(info, "cluster_enabled", 0);
}

static void info_elastic(struct info *info)
{
    const struct kv_stats *s = &info->stats;
    line_uint(info, "limit_bytes", s->limit_bytes);
    line_uint(info, "memory_bytes", s->memory_bytes);
    line_uint(info, "index_bytes", s->index_bytes);
    line_uint(info, "chunk_bytes", s->chunk_bytes);
    line_uint(info, "cached_bytes", s->cached_bytes);
    line_uint(info, "cached_records", s->cached_records);
    line_uint(info, "small_bytes", s->small_bytes);
    line_uint(info, "main_bytes", s->main_bytes);
    line_uint(info, "ghosts_hit", s->ghosts_hit);
    line_uint(info, "promoted_records", s->promoted);
    line_uint(info, "readmitted_records", s->readmitted);
    line_uint(info, "memory_hits", s->hits);
    line_uint(info, "memory_misses", s->misses);
    line_uint(info, "evicted_records", s->evicted);
    line_uint(info, "disk_bytes", s->disk_bytes);
    line_uint(info, "live_bytes", s->live_bytes);
    line_uint(info, "segments", s->segments);
    line_uint(info, "compacted_bytes", s->compacted_bytes);
    line_uint(info, "puts", s->puts);
    line_uint(info, "deletes", s->deletes);
    line_uint(info, "damaged_records", s->damaged_records);
    line_uint(info, "recovery_us", s->recovery_us);
    line_uint(info, "read_only", s->read_only);
}

static void info_keyspace(struct info *info)
{
    if (info->stats.keys != 0)
        (void)evbuffer_add_printf(info->out, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n",
                                  info->stats.keys, info->stats.keys_with_expiry);
}

static const struct {
    const char *name, *title;
    void (*write)(struct info *info);
} sections[] = {
    {"server", "Server", info_server},
    {"clients", "Clients", info_clients},
    {"memory", "Memory", info_memory},
    {"persistence", "Persistence", info_persistence},
    {"stats", "Stats", info_stats},
    {"replication", "Replication", info_replication},
    {"cpu", "CPU", info_cpu},
    {"cluster", "Cluster", info_cluster},
    {"elastic", "Elastic", info_elastic},
    {"keyspace", "Keyspace", info_keyspace},
};

static bool wanted(const struct resp_call *call, const char *section)
{
    if (call->argc == 1)
        return true;
    for (size_t i = 1; i < call->argc; i++) {
        const struct resp_arg *arg = &call->args[i];
        if (resp_arg_is(arg, section) || resp_arg_is(arg, "all") || resp_arg_is(arg, "default") ||
            resp_arg_is(arg, "everything"))
            return true;
    }
    return false;
}

void resp_cmd_info(struct resp_call *call)
{
    struct info info = {.out = evbuffer_new(), .shared = call->session->shared};
    if (info.out == NULL) {
        call->reply->failed = true;
        return;
    }
    kv_get_stats(info.shared->store, &info.stats);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (!wanted(call, sections[i].name))
            continue;
        (void)evbuffer_add_printf(info.out, "%s# %s\r\n", evbuffer_get_length(info.out) != 0 ? "\r\n" : "",
                                  sections[i].title);
        sections[i].write(&info);
    }
    size_t len = evbuffer_get_length(info.out);
    const unsigned char *text = evbuffer_pullup(info.out, -1);
    if (len == 0 || text != NULL)
        resp_verbatim(call->reply, text, len);
    else
        call->reply->failed = true;
    evbuffer_free(info.out);
}
