#include "kvstore/resp/config_live.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "common/log.h"
#include "kvstore/resp/latency.h"
#include "kvstore/resp/notify.h"
#include "kvstore/resp/slowlog.h"
#include "kvstore/resp/stats.h"
#include "kvstore/resp/tracking.h"

#define SPARE_DESCRIPTORS 32u // files of the store, listeners, logs; as in Redis

static void put_uint(char *text, uint64_t number)
{
    (void)snprintf(text, RESP_CONFIG_TEXT, "%" PRIu64, number);
}

static void put_text(char *text, const char *value)
{
    (void)snprintf(text, RESP_CONFIG_TEXT, "%s", value != NULL ? value : "");
}

// Of a text that has been checked to be one.
static uint64_t number_of(const char *text)
{
    return strtoull(text, NULL, 10);
}

// ---- memory

GETTER(maxmemory)
{
    struct kv_stats stats;
    kv_get_stats(shared->store, &stats);
    put_uint(text, stats.limit_bytes);
}

SETTER(maxmemory)
{
    uint64_t bytes = number_of(text);
    if (shared->most_memory != NULL) { // what cgroups and machine allow is not for a client to exceed
        uint64_t most = shared->most_memory(shared->most_memory_arg);
        bytes = bytes < most ? bytes : most;
    }
    *why = "the store refused the limit";
    return kv_set_memory_limit(shared->store, bytes) == KV_OK;
}

GETTER(maxmemory_clients)
{
    put_uint(text, atomic_load(&shared->buffer_limit_bytes));
}

SETTER(maxmemory_clients)
{
    (void)why;
    atomic_store(&shared->buffer_asked_bytes, number_of(text));
    atomic_store(&shared->buffer_limit_bytes, number_of(text));
    return true;
}

// ---- connections

GETTER(maxclients)
{
    put_uint(text, atomic_load(&shared->max_clients));
}

// Each connection is a descriptor: the process's limit is raised as far as it goes.
CHECK(maxclients)
{
    static _Thread_local char too_many[160];
    struct rlimit limit;
    uint64_t wanted = number_of(text) + SPARE_DESCRIPTORS;
    (void)shared;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted)
        return true;
    uint64_t had = limit.rlim_cur;
    limit.rlim_cur = wanted;
    if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= wanted)
        if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
            return true;
    (void)snprintf(too_many, sizeof too_many,
                   "The operating system is not able to handle the specified number of clients, try with "
                   "%" PRIu64,
                   had > SPARE_DESCRIPTORS ? had - SPARE_DESCRIPTORS : 1);
    *why = too_many;
    return false;
}

SETTER(maxclients)
{
    (void)why;
    atomic_store(&shared->max_clients, (unsigned)number_of(text));
    return true;
}

GETTER(timeout)
{
    put_uint(text, (atomic_load(&shared->idle_timeout_ms) + (uint64_t)999) / 1000);
}

SETTER(timeout)
{
    (void)why;
    uint64_t ms = number_of(text) * 1000; // beyond 49 days it is 49 days
    atomic_store(&shared->idle_timeout_ms,
                 ms < UINT32_MAX / 1000 * 1000 ? (unsigned)ms : UINT32_MAX / 1000 * 1000);
    return true;
}

GETTER(bind)
{
    char address[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_storage *ss = &shared->bound.ss;
    if (ss->ss_family == AF_INET)
        (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)ss)->sin_addr, address, sizeof address);
    else if (ss->ss_family == AF_INET6)
        (void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)ss)->sin6_addr, address, sizeof address);
    put_text(text, address);
}

GETTER(port)
{
    const struct sockaddr_storage *ss = &shared->bound.ss;
    in_port_t port = 0;
    if (ss->ss_family == AF_INET)
        port = ((const struct sockaddr_in *)ss)->sin_port;
    else if (ss->ss_family == AF_INET6)
        port = ((const struct sockaddr_in6 *)ss)->sin6_port;
    put_uint(text, ntohs(port));
}

GETTER(unixsocket)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&shared->bound.ss;
    put_text(text, un->sun_family == AF_UNIX ? un->sun_path : "");
}

GETTER(proto_max_bulk)
{
    put_uint(text, shared->limits.max_bulk_bytes);
}

GETTER(query_limit)
{
    put_uint(text, shared->limits.max_query_bytes);
}

// ---- the store

GETTER(appendfsync)
{
    static const char *const names[] = {
        [KV_FSYNC_ALWAYS] = "always", [KV_FSYNC_INTERVAL] = "everysec", [KV_FSYNC_NEVER] = "no"};
    put_text(text, names[shared->fsync]);
}

GETTER(cluster_enabled)
{
    put_text(text, atomic_load(&shared->cluster_enabled) ? "yes" : "no");
}

GETTER(databases)
{
    put_uint(text, shared->databases);
}

GETTER(dir)
{
    put_text(text, shared->hooks.dir);
}

// ---- slow log, latency monitor, log

GETTER(slower_than)
{
    (void)snprintf(text, RESP_CONFIG_TEXT, "%" PRId64, resp_slowlog_slower_than(shared));
}

SETTER(slower_than)
{
    (void)why;
    resp_slowlog_set(shared, strtoll(text, NULL, 10), resp_slowlog_most(shared));
    return true;
}

GETTER(slowlog_most)
{
    put_uint(text, resp_slowlog_most(shared));
}

SETTER(slowlog_most)
{
    (void)why;
    resp_slowlog_set(shared, resp_slowlog_slower_than(shared), number_of(text));
    return true;
}

GETTER(latency_threshold)
{
    put_uint(text, resp_latency_threshold(shared));
}

SETTER(latency_threshold)
{
    (void)why;
    resp_latency_set_threshold(shared, number_of(text));
    return true;
}

GETTER(latency_tracking)
{
    put_text(text, resp_stats_tracks_latency(shared) ? "yes" : "no");
}

SETTER(latency_tracking)
{
    (void)why;
    resp_stats_track_latency(shared, strcmp(text, "yes") == 0);
    return true;
}

// Redis's levels from its most to its least; ours say error, warn, info, debug.
GETTER(loglevel)
{
    static const char *const names[] = {[LOG_LEVEL_ERROR] = "warning",
                                        [LOG_LEVEL_WARN] = "warning",
                                        [LOG_LEVEL_INFO] = "notice",
                                        [LOG_LEVEL_DEBUG] = "debug"};
    (void)shared;
    put_text(text, names[log_get_level()]);
}

SETTER(loglevel)
{
    (void)shared;
    (void)why;
    if (strcmp(text, "debug") == 0)
        log_set_level(LOG_LEVEL_DEBUG);
    else
        log_set_level(strcmp(text, "warning") == 0 ? LOG_LEVEL_WARN : LOG_LEVEL_INFO);
    return true;
}

// ---- notify-keyspace-events, tracking-table-max-keys

CHECK(notify)
{
    unsigned events;
    (void)shared;
    *why = RESP_NOTIFY_LETTERS;
    return resp_notify_parse(&(struct resp_arg){(const uint8_t *)text, strlen(text)}, &events);
}

SETTER(notify)
{
    unsigned events;
    *why = RESP_NOTIFY_LETTERS;
    if (!resp_notify_parse(&(struct resp_arg){(const uint8_t *)text, strlen(text)}, &events))
        return false;
    atomic_store(&shared->notify, events);
    return true;
}

GETTER(notify)
{
    resp_notify_format(atomic_load(&shared->notify), text);
}

GETTER(tracking_most)
{
    put_uint(text, resp_tracking_max_keys(shared));
}

SETTER(tracking_most)
{
    (void)why;
    resp_tracking_set_max_keys(shared, number_of(text));
    return true;
}

// ---- the password

GETTER(requirepass)
{
    put_text(text, atomic_load(&shared->access.has_password) ? "(redacted)" : "");
}

SETTER(requirepass)
{
    switch (resp_access_set_password(&shared->access, text, strlen(text))) {
    case RESP_ACCESS_OK:
        return true;
    case RESP_ACCESS_NEEDED:
        *why = "the server needs a password: others than this machine can reach it";
        return false;
    case RESP_ACCESS_TOO_LONG:
        *why = "argument is too long for a password";
        return false;
    case RESP_ACCESS_FAILED:
        break;
    }
    *why = "the password could not be set";
    return false;
}
