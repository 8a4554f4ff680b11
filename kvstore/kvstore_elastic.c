#include "kvstore/kvstore_elastic.h"

#include <malloc.h>

#define TRIM_BYTES   (16ull << 20) // a limit lowered by less is not worth it
#define BLOCK_BYTES  (256 << 10)   // of malloc, above which freed blocks go straight back
#define TOP_BYTES    (1 << 20)
#define BUFFER_SHARE 4 // of the ceiling, to connections
#define BUFFER_MIN   (4ull << 20)
#define HIT_NS       1000 // not measured, which would cost as much: about a microsecond

static void usage(void *arg, struct scaler_usage *u)
{
    struct kv_stats s;
    kv_get_stats(arg, &s);
    *u = (struct scaler_usage){.store_bytes = s.memory_bytes,
                               .limit_bytes = s.limit_bytes,
                               .table_bytes = s.table_bytes,
                               .hits = s.hits,
                               .misses = s.misses,
                               .miss_ns = s.miss_ns,
                               .hit_ns = s.hits * HIT_NS,
                               .warming = s.warming};
}

// What the store gives back goes to the system by itself. Buffers of connections that have gone lie free in malloc's arenas until they are trimmed: that is done
// when memory is wanted, and not more often, since each arena is locked meanwhile.
static void set_limit(void *arg, uint64_t bytes)
{
    struct kv_stats before;
    kv_get_stats(arg, &before);
    (void)kv_set_memory_limit(arg, bytes);
    if (before.limit_bytes > bytes && before.limit_bytes - bytes >= TRIM_BYTES)
        (void)malloc_trim(0);
}

static void set_growth(void *arg, uint64_t bytes)
{
    kv_set_growth(arg, bytes);
}

static size_t curve(void *arg, struct policy_point *points, size_t max)
{
    struct kv_curve_point curve_points[POLICY_CURVE_MAX];
    size_t count = kv_hit_curve(arg, curve_points, max < POLICY_CURVE_MAX ? max : POLICY_CURVE_MAX);
    for (size_t i = 0; i < count; i++)
        points[i] = (struct policy_point){.bytes = curve_points[i].limit_bytes,
                                          .hit_ratio = curve_points[i].hit_ratio};
    return count;
}

struct scaler_store kvstore_elastic_store(struct kv_store *store)
{
    return (struct scaler_store){
        .usage = usage, .set_limit = set_limit, .set_growth = set_growth, .curve = curve, .arg = store};
}

struct scaler *kvstore_elastic_start(const struct scaler_settings *settings, struct kv_store *store,
                                     struct error *e)
{
    const struct tls_files tls = {.cert_file = settings->scaleup_cert,
                                  .key_file = settings->scaleup_key,
                                  .ca_file = settings->scaleup_ca};
    struct scaler_options options = {.address = settings->scaleup,
                                     .vnf = settings->vnf,
                                     .reserve_bytes = settings->memory_reserve,
                                     .tls = scaler_options_need_tls(settings) ? &tls : NULL,
                                     .root = ""};
    const struct scaler_store seen = kvstore_elastic_store(store);

    // Left to itself malloc raises both to 32 and 64 MiB once a large block has been freed, and keeps that much of each arena.
    (void)mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, TOP_BYTES);
    if (!scaler_options_policy(settings, &options.policy, &options.fixed_bytes, e))
        return NULL;
    return scaler_start(&options, &seen, e);
}

uint64_t kvstore_elastic_most(void *scaler)
{
    return scaler_most_bytes(scaler);
}

uint64_t kvstore_elastic_buffers(void *scaler)
{
    uint64_t share = scaler_ceiling_bytes(scaler) / BUFFER_SHARE;
    return share > BUFFER_MIN ? share : BUFFER_MIN;
}
