// INFO: memory and what lies in it.
#include <inttypes.h>
#include <malloc.h>
#include <unistd.h>

#include "kvstore/resp/rdb_save.h"
#include "kvstore/resp/replica.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/info.h"
#include "kvstore/resp/stats.h"

#define CURVE_POINTS 8u

// Of this process; 0 when the system does not say.
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

void resp_memory_read(struct resp_shared *shared, struct resp_memory *m)
{
    struct mallinfo2 malloced = mallinfo2();
    kv_get_stats(shared->store, &m->store);
    m->used = resp_stats_memory(shared, &m->store);
    m->peak = resp_stats_peak_memory(shared);
    m->buffers = atomic_load(&shared->buffer_bytes);
    m->rss = resident_bytes();
    m->dataset = m->store.cached_bytes < m->used ? m->store.cached_bytes : m->used;
    m->overhead = m->used - m->dataset;
    m->allocated = malloced.uordblks + malloced.hblkhd;
    m->active = malloced.arena + malloced.hblkhd;
    m->system = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole != 0 ? (double)part / (double)whole : 0;
}

static void sized(struct resp_info *info, const char *name, uint64_t bytes)
{
    char human[64];
    (void)snprintf(human, sizeof human, "%s_human", name);
    resp_info_uint(info, name, bytes);
    resp_info_size(info, human, bytes);
}

static void allocator(struct resp_info *info)
{
    const struct resp_memory *m = &info->memory;
    resp_info_uint(info, "allocator_allocated", m->allocated);
    resp_info_uint(info, "allocator_active", m->active);
    resp_info_uint(info, "allocator_resident", m->rss);
    resp_info_ratio(info, "allocator_frag_ratio", ratio(m->active, m->allocated));
    resp_info_uint(info, "allocator_frag_bytes", m->active - m->allocated);
    resp_info_ratio(info, "allocator_rss_ratio", ratio(m->rss, m->active));
    (void)fprintf(info->out, "allocator_rss_bytes:%" PRId64 "\r\n", (int64_t)m->rss - (int64_t)m->active);
    resp_info_ratio(info, "rss_overhead_ratio", 1);
    resp_info_uint(info, "rss_overhead_bytes", 0);
    resp_info_ratio(info, "mem_fragmentation_ratio", ratio(m->rss, m->used));
    (void)fprintf(info->out, "mem_fragmentation_bytes:%" PRId64 "\r\n", (int64_t)m->rss - (int64_t)m->used);
}

void resp_info_memory(struct resp_info *info)
{
    const struct resp_memory *m = &info->memory;
    sized(info, "used_memory", m->used);
    sized(info, "used_memory_rss", m->rss);
    sized(info, "used_memory_peak", m->peak);
    (void)fprintf(info->out, "used_memory_peak_perc:%.2f%%\r\n", 100 * ratio(m->used, m->peak));
    resp_info_uint(info, "used_memory_overhead", m->overhead);
    resp_info_uint(info, "used_memory_startup", 0);
    resp_info_uint(info, "used_memory_dataset", m->dataset);
    (void)fprintf(info->out, "used_memory_dataset_perc:%.2f%%\r\n", 100 * ratio(m->dataset, m->used));
    sized(info, "total_system_memory", m->system);
    sized(info, "used_memory_lua", 0);
    resp_info_uint(info, "number_of_cached_scripts", 0);
    resp_info_uint(info, "number_of_functions", 0);
    resp_info_uint(info, "number_of_libraries", 0);
    sized(info, "used_memory_scripts", 0);
    sized(info, "maxmemory", m->store.limit_bytes);
    resp_info_text(info, "maxmemory_policy",
                   "noeviction"); // no key is lost to memory: values go to disk alone
    allocator(info);
    resp_info_uint(info, "mem_not_counted_for_evict", 0);
    resp_info_uint(info, "mem_replication_backlog", 0);
    resp_info_uint(info, "mem_total_replication_buffers", 0);
    resp_info_uint(info, "mem_clients_slaves", 0);
    resp_info_uint(info, "mem_clients_normal", m->buffers);
    resp_info_uint(info, "mem_cluster_links", 0);
    resp_info_uint(info, "mem_aof_buffer", 0);
    resp_info_text(info, "mem_allocator", "libc");
    resp_info_uint(info, "active_defrag_running", 0);
    resp_info_uint(info, "lazyfree_pending_objects", 0);
    resp_info_uint(info, "lazyfreed_objects", 0);
}

static void seconds_or_none(struct resp_info *info, const char *name, bool there, uint64_t ms)
{
    if (there)
        resp_info_uint(info, name, ms / 1000);
    else
        resp_info_text(info, name, "-1");
}

void resp_info_persistence(struct resp_info *info)
{
    const char *state = info->memory.store.read_only ? "err" : "ok";
    const struct resp_saves *saves = info->shared->saves;
    bool saving = saves != NULL && atomic_load(&saves->in_progress);
    bool failed = saves != NULL && atomic_load(&saves->last_failed);
    unsigned gate = atomic_load(&info->shared->replica_gate);
    resp_info_uint(info, "loading", (gate & RESP_REPLICA_LOADING) != 0);
    resp_info_uint(info, "async_loading", 0);
    resp_info_uint(info, "current_cow_peak", 0);
    resp_info_uint(info, "current_cow_size", 0);
    resp_info_uint(info, "current_cow_size_age", 0);
    resp_info_ratio(info, "current_fork_perc", 0);
    resp_info_uint(info, "current_save_keys_processed", 0);
    resp_info_uint(info, "current_save_keys_total", 0);
    resp_info_uint(info, "rdb_changes_since_last_save", 0);
    resp_info_uint(info, "rdb_bgsave_in_progress", saving);
    resp_info_uint(info, "rdb_last_save_time", atomic_load(&info->shared->last_save_ms) / 1000);
    resp_info_text(info, "rdb_last_bgsave_status", failed ? "err" : "ok");
    seconds_or_none(info, "rdb_last_bgsave_time_sec", saves != NULL && atomic_load(&saves->saves) != 0,
                    saves != NULL ? atomic_load(&saves->last_ms) : 0);
    uint64_t now_ms = resp_now_ms(info->shared), begun_ms = saving ? atomic_load(&saves->begun_ms) : 0;
    seconds_or_none(info, "rdb_current_bgsave_time_sec", saving, now_ms > begun_ms ? now_ms - begun_ms : 0);
    resp_info_uint(info, "rdb_saves", saves != NULL ? atomic_load(&saves->saves) : 0);
    resp_info_uint(info, "rdb_last_cow_size", 0);
    resp_info_uint(info, "aof_enabled", 1);
    resp_info_uint(info, "aof_rewrite_in_progress", 0);
    resp_info_uint(info, "aof_rewrite_scheduled", 0);
    resp_info_text(info, "aof_last_rewrite_time_sec", "-1");
    resp_info_text(info, "aof_current_rewrite_time_sec", "-1");
    resp_info_text(info, "aof_last_bgrewrite_status", "ok");
    resp_info_text(info, "aof_last_write_status", state);
    resp_info_uint(info, "aof_last_cow_size", 0);
    resp_info_uint(info, "module_fork_in_progress", 0);
    resp_info_uint(info, "module_fork_last_cow_size", 0);
    resp_info_uint(info, "aof_current_size", info->memory.store.disk_bytes);
    resp_info_uint(info, "aof_base_size", info->memory.store.live_bytes);
}

static void curve(struct resp_info *info)
{
    struct kv_curve_point points[CURVE_POINTS];
    size_t count = kv_hit_curve(info->shared->store, points, CURVE_POINTS);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(info->out, "curve_%zu:bytes=%" PRIu64 ",hit_ratio=%.4f\r\n", i, points[i].limit_bytes,
                      points[i].hit_ratio);
}

void resp_info_elastic(struct resp_info *info)
{
    const struct kv_stats *s = &info->memory.store;
    const struct resp_hooks *hooks = &info->shared->hooks;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"limit_bytes", s->limit_bytes},
        {"memory_bytes", s->memory_bytes},
        {"table_bytes", s->table_bytes},
        {"index_bytes", s->index_bytes},
        {"chunk_bytes", s->chunk_bytes},
        {"cached_bytes", s->cached_bytes},
        {"cached_records", s->cached_records},
        {"small_bytes", s->small_bytes},
        {"main_bytes", s->main_bytes},
        {"ghosts_hit", s->ghosts_hit},
        {"promoted_records", s->promoted},
        {"readmitted_records", s->readmitted},
        {"memory_hits", s->hits},
        {"memory_misses", s->misses},
        {"miss_usec", s->miss_ns / 1000},
        {"evicted_records", s->evicted},
        {"warming", s->warming},
        {"warmed_bytes", s->warmed_bytes},
        {"disk_bytes", s->disk_bytes},
        {"live_bytes", s->live_bytes},
        {"values_to_erase", s->to_erase},
        {"segments", s->segments},
        {"compacted_bytes", s->compacted_bytes},
        {"puts", s->puts},
        {"deletes", s->deletes},
        {"damaged_records", s->damaged_records},
        {"recovery_us", s->recovery_us},
        {"read_only", s->read_only},
    };
    char text[2048];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        resp_info_uint(info, rows[i].name, rows[i].value);
    (void)fprintf(info->out, "memory_hit_ratio:%.4f\r\n", ratio(s->hits, s->hits + s->misses));
    curve(info);
    if (hooks->elastic != NULL)
        (void)fwrite(text, 1, hooks->elastic(hooks->arg, text, sizeof text), info->out);
}

void resp_info_sealing(struct resp_info *info)
{
    const struct resp_hooks *hooks = &info->shared->hooks;
    char text[2048];
    if (hooks->sealing != NULL)
        (void)fwrite(text, 1, hooks->sealing(hooks->arg, text, sizeof text), info->out);
}

void resp_info_keyspace(struct resp_info *info)
{
    for (unsigned db = 0; db < info->shared->databases; db++) {
        struct resp_db_count count = resp_db_count(info->shared, db);
        if (count.keys != 0)
            (void)fprintf(info->out, "db%u:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n", db,
                          count.keys, count.expiring);
    }
}
