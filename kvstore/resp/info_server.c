// INFO: the server itself.
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kvstore/resp/replica.h"
#include "kvstore/resp/config.h"
#include "kvstore/resp/info.h"
#include "kvstore/resp/stats.h"
#include "kvstore/resp/tracking.h"
#include "kvstore/resp/version.h"

static uint64_t port_of(struct resp_shared *shared)
{
    char text[16];
    resp_config_text(shared, "port", text, sizeof text);
    return strtoull(text, NULL, 10);
}

static void executable(struct resp_info *info)
{
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    path[len > 0 ? len : 0] = '\0';
    resp_info_text(info, "executable", path);
}

void resp_info_server(struct resp_info *info)
{
    struct resp_shared *shared = info->shared;
    struct utsname name;
    char hz[RESP_CONFIG_TEXT];
    uint64_t now_ms = resp_now_ms(shared), up_s = (now_ms - shared->started_ms) / 1000;
    resp_config_text(shared, "hz", hz, sizeof hz);
    resp_info_text(info, "redis_version", RESP_REDIS_VERSION);
    resp_info_text(info, "redis_git_sha1", "00000000");
    resp_info_uint(info, "redis_git_dirty", 0);
    resp_info_text(info, "redis_build_id", MEC_VERSION);
    resp_info_text(info, "server_name", "kvstore");
    resp_info_text(info, "server_version", MEC_VERSION);
    resp_info_text(info, "redis_mode", atomic_load(&shared->cluster_enabled) ? "cluster" : "standalone");
    if (uname(&name) == 0)
        (void)fprintf(info->out, "os:%s %s %s\r\n", name.sysname, name.release, name.machine);
    resp_info_uint(info, "arch_bits", sizeof(void *) * 8);
    resp_info_text(info, "monotonic_clock", "POSIX clock_gettime");
    resp_info_text(info, "multiplexing_api", "epoll");
    resp_info_text(info, "atomicvar_api", "c11-builtin");
#ifdef __VERSION__
    resp_info_text(info, "gcc_version", __VERSION__);
#endif
    resp_info_uint(info, "process_id", (uint64_t)getpid());
    resp_info_text(info, "process_supervised", "no");
    resp_info_text(info, "run_id", resp_stats_run_id(shared));
    resp_info_uint(info, "tcp_port", port_of(shared));
    resp_info_uint(info, "server_time_usec", now_ms * 1000);
    resp_info_uint(info, "uptime_in_seconds", up_s);
    resp_info_uint(info, "uptime_in_days", up_s / 86400);
    resp_info_text(info, "hz", hz);
    resp_info_text(info, "configured_hz", hz);
    resp_info_uint(info, "lru_clock", now_ms / 1000 & 0xffffff);
    executable(info);
    resp_info_text(info, "config_file", shared->hooks.config_file != NULL ? shared->hooks.config_file : "");
    resp_info_uint(info, "io_threads_active", 0);
}

void resp_info_clients(struct resp_info *info)
{
    struct resp_shared *shared = info->shared;
    struct resp_tracking_stats tracking;
    resp_tracking_get_stats(shared, &tracking);
    resp_info_uint(info, "connected_clients", atomic_load(&shared->clients));
    resp_info_uint(info, "cluster_connections", 0);
    resp_info_uint(info, "maxclients", atomic_load(&shared->max_clients));
    resp_info_uint(info, "client_recent_max_input_buffer", 0);
    resp_info_uint(info, "client_recent_max_output_buffer", 0);
    resp_info_uint(info, "blocked_clients", 0);
    resp_info_uint(info, "tracking_clients", tracking.clients);
    resp_info_uint(info, "clients_in_timeout_table", 0);
}

// The fields that only a replica has.
static void info_of_replica(struct resp_info *info, const struct resp_replica_status *r)
{
    bool down = r->link_down_ms != 0;
    resp_info_text(info, "master_host", r->host);
    resp_info_uint(info, "master_port", r->port);
    resp_info_text(info, "master_link_status", r->state == RESP_REPLICA_CONNECTED ? "up" : "down");
    if (r->last_io_ms == UINT64_MAX)
        resp_info_text(info, "master_last_io_seconds_ago", "-1");
    else
        resp_info_uint(info, "master_last_io_seconds_ago", r->last_io_ms / 1000);
    resp_info_uint(info, "master_sync_in_progress", r->state == RESP_REPLICA_SYNC);
    resp_info_uint(info, "slave_read_repl_offset", r->offset);
    resp_info_uint(info, "slave_repl_offset", r->offset);
    if (r->state == RESP_REPLICA_SYNC)
        resp_info_uint(info, "master_sync_read_bytes", r->sync_bytes);
    if (down)
        resp_info_uint(info, "master_link_down_since_seconds", r->link_down_ms / 1000);
    resp_info_uint(info, "slave_priority", 100);
    resp_info_uint(info, "slave_read_only", r->read_only);
    resp_info_uint(info, "replica_announced", 0);
}

void resp_info_replication(struct resp_info *info)
{
    struct resp_replica_status r;
    resp_replica_get_status(info->shared, &r);
    bool replica = r.state != RESP_REPLICA_NONE;
    resp_info_text(info, "role", replica ? "slave" : "master");
    if (replica)
        info_of_replica(info, &r);
    resp_info_uint(info, "connected_slaves", 0);
    resp_info_text(info, "master_failover_state", "no-failover");
    resp_info_text(info, "master_replid", r.id[0] != '\0' ? r.id : resp_stats_run_id(info->shared));
    resp_info_text(info, "master_replid2", "0000000000000000000000000000000000000000");
    resp_info_uint(info, "master_repl_offset", r.offset);
    resp_info_text(info, "second_repl_offset", "-1");
    resp_info_uint(info, "repl_backlog_active", 0);
    resp_info_uint(info, "repl_backlog_size", 0);
    resp_info_uint(info, "repl_backlog_first_byte_offset", 0);
    resp_info_uint(info, "repl_backlog_histlen", 0);
}

static void times(struct resp_info *info, int who, const char *suffix)
{
    struct rusage u;
    if (getrusage(who, &u) != 0)
        return;
    (void)fprintf(info->out, "used_cpu_sys%s:%lld.%06ld\r\nused_cpu_user%s:%lld.%06ld\r\n", suffix,
                  (long long)u.ru_stime.tv_sec, (long)u.ru_stime.tv_usec, suffix,
                  (long long)u.ru_utime.tv_sec, (long)u.ru_utime.tv_usec);
}

void resp_info_cpu(struct resp_info *info)
{
    times(info, RUSAGE_SELF, "");
    times(info, RUSAGE_CHILDREN, "_children");
}

void resp_info_cluster(struct resp_info *info)
{
    resp_info_uint(info, "cluster_enabled", atomic_load(&info->shared->cluster_enabled));
}

void resp_info_modules(struct resp_info *info)
{
    (void)info; // there are none
}
