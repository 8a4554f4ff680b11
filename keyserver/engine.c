#include "keyserver/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "keyserver/engine_internal.h"

#define COST_SHARE   16 // a measurement moves the average by a sixteenth
#define COST_OUTLIER 4  // what takes more times the average than this counts as this
#define TRY_AGAIN    64 // of so many full batches that look too dear, one is taken to see whether they still are

// Where the averages begin: a Zen 4 with AVX-512 IFMA. What counts is how the two of a size relate, and that differs
// little between processors.
static const struct engine_cost first_costs[ENGINE_SIZES] = {
    {250000, 980000}, {1780000, 2800000}, {4000000, 6100000}};

bool engine_pick(enum engine_wanted wanted, bool ifma, struct engine_pick *pick, struct error *e)
{
    *pick = (struct engine_pick){.name = "openssl", .reason = "as configured"};
    switch (wanted) {
    case ENGINE_OPENSSL:
        return true;
    case ENGINE_PORTABLE:
        *pick = (struct engine_pick){true, RSA8_PORTABLE, "portable", "as configured, for tests: it is slow"};
        return true;
    case ENGINE_AUTO:
        if (!ifma) {
            pick->reason = "this processor or system has no AVX-512 IFMA";
            return true;
        }
        *pick = (struct engine_pick){true, RSA8_IFMA, "ifma", "this processor has AVX-512 IFMA"};
        return true;
    case ENGINE_IFMA:
        *pick = (struct engine_pick){true, RSA8_IFMA, "ifma", "as configured"};
        break;
    }
    if (!ifma)
        error_set(e, "--rsa-engine: ifma: this processor has no AVX-512 IFMA (F, DQ, VL, IFMA), or the "
                     "system does not let "
                     "programs use it");
    return ifma;
}

// Locked, out of core dumps, zero; NULL without memory.
static uint8_t *map_scratch(size_t bytes, bool *locked)
{
    uint8_t *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    (void)madvise(at, bytes, MADV_DONTDUMP);
    *locked = mlock(at, bytes) == 0;
    return at;
}

static bool make_scratch(struct engine *engine, struct error *e)
{
    bool locked;
    size_t bytes = engine->stride * engine->settings.threads;
    engine->scratch = map_scratch(bytes, &locked);
    if (engine->scratch == NULL) {
        error_set(e, "RSA engine: %zu bytes for %u threads: %s", bytes, engine->settings.threads,
                  strerror(errno));
        return false;
    }
    if (!locked)
        log_warn("rsa_engine_memory_not_locked",
                 "bytes=%zu note=\"what the engine computes with may be swapped out; raise RLIMIT_MEMLOCK\"",
                 bytes);
    return true;
}

struct engine *engine_create(const struct engine_settings *settings, struct error *e)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        error_set(e, "RSA engine: out of memory");
        return NULL;
    }
    engine->settings = *settings;
    if (settings->run == NULL)
        engine->settings.run = rsa8_run;
    engine->stride = (rsa8_scratch_size() + RSA8_ALIGN - 1) / RSA8_ALIGN * RSA8_ALIGN;
    for (int size = 0; size < ENGINE_SIZES; size++) {
        atomic_init(&engine->costs[size].single_ns, first_costs[size].single_ns);
        atomic_init(&engine->costs[size].batch_ns, first_costs[size].batch_ns);
    }
    if (settings->pick.batches && !make_scratch(engine, e)) {
        free(engine);
        return NULL;
    }
    log_info("rsa_engine", "engine=%s reason=\"%s\" fill_wait_us=%llu", settings->pick.name,
             settings->pick.reason, (unsigned long long)settings->fill_wait_us);
    return engine;
}

void engine_destroy(struct engine **engine_ptr)
{
    struct engine *engine = *engine_ptr;
    if (engine == NULL)
        return;
    if (engine->scratch != NULL) {
        size_t bytes = engine->stride * engine->settings.threads;
        explicit_bzero(engine->scratch, bytes);
        (void)munmap(engine->scratch, bytes);
    }
    free(engine);
    *engine_ptr = NULL;
}

bool engine_has_batches(const struct engine *engine)
{
    return engine->settings.pick.batches;
}

uint64_t engine_fill_wait_ns(const struct engine *engine)
{
    return engine->settings.fill_wait_us * 1000;
}

uint64_t engine_cpu_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

// Two threads at once may lose one of their measurements; the next ones come soon.
static void note_cost(_Atomic uint64_t *average_ns, uint64_t ns)
{
    uint64_t average = atomic_load_explicit(average_ns, memory_order_relaxed);
    if (ns > COST_OUTLIER * average)
        ns = COST_OUTLIER * average;
    average = average - average / COST_SHARE + ns / COST_SHARE;
    atomic_store_explicit(average_ns, average > COST_SHARE ? average : COST_SHARE, memory_order_relaxed);
}

// A batch that has once been dear would never be measured again: now and then one is taken.
static bool try_again(struct engine_costs *costs)
{
    return atomic_fetch_add_explicit(&costs->passed_over, 1, memory_order_relaxed) % TRY_AGAIN ==
           TRY_AGAIN - 1;
}

struct engine_choice engine_choice_for(struct engine *engine, unsigned size, const struct engine_load *load)
{
    struct engine_costs *costs = &engine->costs[size];
    const struct engine_choice whole = {.way = ENGINE_BATCH,
                                        .count = load->waiting < ENGINE_LANES ? load->waiting : ENGINE_LANES};
    if (engine->settings.pick.impl == RSA8_PORTABLE)
        return whole; // for tests of this way: it never pays
    const struct engine_cost cost = {
        .single_ns = atomic_load_explicit(&costs->single_ns, memory_order_relaxed),
        .batch_ns = atomic_load_explicit(&costs->batch_ns, memory_order_relaxed),
    };
    struct engine_choice choice = engine_choose(&cost, load);
    if (choice.way == ENGINE_SINGLE && load->waiting >= ENGINE_LANES && load->spare == 0 && try_again(costs))
        return whole;
    return choice;
}

void engine_run(struct engine *engine, unsigned thread, unsigned size, struct rsa8_op *ops, unsigned count)
{
    struct rsa8_scratch *scratch = (struct rsa8_scratch *)(void *)(engine->scratch + thread * engine->stride);
    uint64_t begun_ns = engine_cpu_ns();
    engine->settings.run(engine->settings.pick.impl, scratch, ops, count);
    note_cost(&engine->costs[size].batch_ns, engine_cpu_ns() - begun_ns);
    metric_add(engine->settings.stats->rsa_batches[size][count - 1], 1);
}

void engine_lane_failed(struct engine *engine, enum rsa8_status status, const char *key)
{
    struct stats *stats = engine->settings.stats;
    if (status != RSA8_FAULT) {
        metric_add(status == RSA8_NO_RANDOM ? stats->rsa_no_random : stats->rsa_refused, 1);
        log_debug("rsa_engine_refused", "key=%.8s reason=\"%s\"", key, rsa8_status_text(status));
        return;
    }
    metric_add(stats->rsa_faults, 1);
    uint64_t now_s = clock_ns() / 1000000000u + 1, last = atomic_load(&engine->last_fault_log_s);
    if (now_s != last && atomic_compare_exchange_strong(&engine->last_fault_log_s, &last, now_s))
        log_error("rsa_engine_fault",
                  "key=%.8s faults=%llu reason=\"%s\" note=\"not released, computed again by OpenSSL; the "
                  "machine computes wrongly\"",
                  key, (unsigned long long)metric_value(stats->rsa_faults), rsa8_status_text(status));
}

void engine_note_single(struct engine *engine, int size, uint64_t cpu_ns)
{
    metric_add(engine->settings.stats->rsa_singles[size >= 0 ? size : ENGINE_SIZES], 1);
    if (size >= 0)
        note_cost(&engine->costs[size].single_ns, cpu_ns);
}

void engine_note_gathered(struct engine *engine, uint64_t ns)
{
    histogram_record(engine->settings.stats->rsa_gathered, ns);
}
