#include "kvstore/kvbench_run.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/units.h"
#include "kvstore/kvbench_clock.h"

#define SETTLE_NS   5000000000u
#define LIVE_NS     1000000000u
#define SLACK_BYTES (16u * 1024 * 1024)

_Atomic bool bench_interrupted;

uint64_t bench_rss(void)
{
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    const char *second = n > 0 ? strchr(text, ' ') : NULL;
    return second != NULL ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

// A phase while it runs.
struct phase_run {
    struct bench_run *run;
    struct bench_shared shared;
    struct bench_worker *workers;
    unsigned started;
    struct bench_result *result;
    uint64_t start_ns;
    // the last step of the time series
    uint64_t last_ns, last_done[BENCH_KINDS];
    struct bench_figures last_figures;
    struct histogram *seen, *step; // recorded up to the last step; in the step
    uint64_t live_ns;
};

static void sleep_ns(uint64_t ns)
{
    struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    (void)nanosleep(&ts, NULL);
}

// ---- changes of the limit

static bool settled(uint64_t limit)
{
    return bench_rss() <= limit + limit / 20 + SLACK_BYTES;
}

static void change_limit(struct phase_run *p, const struct bench_change *change, uint64_t from)
{
    struct bench_changed *changed = &p->result->changed[p->result->changed_count++];
    uint64_t begin = clock_ns();
    *changed = (struct bench_changed){.at_s = (double)(begin - p->start_ns) / 1e9,
                                      .from_bytes = from,
                                      .to_bytes = change->limit_bytes,
                                      .rss_before = bench_rss()};
    changed->status = p->run->class->set_limit(p->run->target, change->limit_bytes);
    changed->call_s = (double)(clock_ns() - begin) / 1e9;
    while (!settled(change->limit_bytes) && clock_ns() - begin < SETTLE_NS)
        sleep_ns(1000000);
    changed->settled_s = settled(change->limit_bytes) ? (double)(clock_ns() - begin) / 1e9 : -1;
    changed->rss_after = bench_rss();
}

static void *change_limits(void *arg)
{
    struct phase_run *p = arg;
    const struct bench_options *options = p->run->options;
    uint64_t from = options->memory;
    for (size_t i = 0; i < options->change_count; i++) {
        uint64_t at = p->start_ns + options->changes[i].at_us * 1000, now;
        while ((now = clock_ns()) < at && !p->shared.stop)
            sleep_ns(at - now < 20000000 ? at - now : 20000000);
        if (p->shared.stop)
            break;
        change_limit(p, &options->changes[i], from);
        from = options->changes[i].limit_bytes;
    }
    return NULL;
}

// ---- the time series

static void merge_step(struct phase_run *p, struct bench_sample *sample)
{
    histogram_reset(p->step);
    for (unsigned i = 0; i < p->started; i++) {
        for (unsigned kind = 0; kind < BENCH_KINDS; kind++)
            histogram_merge(p->step, p->workers[i].latency[kind]);
        uint64_t worst = atomic_exchange(&p->workers[i].worst_ns, 0);
        sample->max_ns = worst > sample->max_ns ? worst : sample->max_ns;
    }
    uint64_t count = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) { // step: what came since; seen: everything
        uint64_t all = p->step->bucket[i];
        p->step->bucket[i] = all - p->seen->bucket[i];
        p->seen->bucket[i] = all;
        count += p->step->bucket[i];
    }
    p->step->count = count;
    sample->p95_ns = histogram_percentile(p->step, 95);
    sample->p99_ns = histogram_percentile(p->step, 99);
}

static void take_figures(struct phase_run *p, struct bench_sample *sample)
{
    struct bench_figures now = p->last_figures;
    if (p->run->class->figures != NULL)
        p->run->class->figures(p->run->target, &now);
    sample->hits = now.hits - p->last_figures.hits;
    sample->misses = now.misses - p->last_figures.misses;
    sample->limit_bytes = now.limit_bytes;
    p->last_figures = now;
}

static struct bench_sample *new_sample(struct bench_result *result)
{
    if (result->sample_count == result->sample_capacity) {
        size_t capacity = result->sample_capacity != 0 ? 2 * result->sample_capacity : 1024;
        void *grown = realloc(result->samples, capacity * sizeof *result->samples);
        if (grown == NULL)
            return NULL;
        result->samples = grown;
        result->sample_capacity = capacity;
    }
    return &result->samples[result->sample_count++];
}

static void live_line(struct phase_run *p, const struct bench_sample *sample)
{
    char p99[16], max[16], rss[16], limit[16];
    uint64_t asked = sample->hits + sample->misses;
    if (p->run->options->quiet || sample->at_s * 1e9 < (double)p->live_ns || isatty(STDERR_FILENO) != 1)
        return;
    p->live_ns += LIVE_NS;
    (void)fprintf(stderr, "\r%5.0f s  %9.0f/s  p99 %-7s max %-7s hits %5.1f %%  rss %s of %s   ",
                  sample->at_s, (double)(sample->reads + sample->writes) / sample->span_s,
                  units_format_duration(sample->p99_ns / 1000, p99, sizeof p99),
                  units_format_duration(sample->max_ns / 1000, max, sizeof max),
                  asked != 0 ? 100.0 * (double)sample->hits / (double)asked : 0.0,
                  units_format_size(sample->rss_bytes, rss, sizeof rss),
                  units_format_size(sample->limit_bytes, limit, sizeof limit));
}

static void take_sample(struct phase_run *p)
{
    struct bench_sample *sample = new_sample(p->result);
    uint64_t now = clock_ns(), done[BENCH_KINDS] = {0};
    if (sample == NULL)
        return;
    for (unsigned i = 0; i < p->started; i++)
        for (unsigned kind = 0; kind < BENCH_KINDS; kind++)
            done[kind] += p->workers[i].done[kind];
    *sample = (struct bench_sample){.at_s = (double)(now - p->start_ns) / 1e9,
                                    .span_s = (double)(now - p->last_ns) / 1e9,
                                    .reads = done[BENCH_READ] - p->last_done[BENCH_READ],
                                    .writes = done[BENCH_WRITE] - p->last_done[BENCH_WRITE],
                                    .rss_bytes = bench_rss()};
    if (p->shared.phase.timed)
        merge_step(p, sample);
    take_figures(p, sample);
    if (sample->rss_bytes > p->result->rss_peak_bytes)
        p->result->rss_peak_bytes = sample->rss_bytes;
    p->last_ns = now;
    memcpy(p->last_done, done, sizeof done);
    live_line(p, sample);
}

// ---- the phase

static bool all_finished(const struct phase_run *p)
{
    for (unsigned i = 0; i < p->started; i++)
        if (!p->workers[i].finished)
            return false;
    return true;
}

// Until the threads are through, or their time is.
static void watch_workers(struct phase_run *p, uint64_t duration_us, bool series)
{
    uint64_t interval = p->run->options->interval * 1000, next = p->start_ns + interval;
    uint64_t end = duration_us != 0 ? p->start_ns + duration_us * 1000 : UINT64_MAX;
    while (!all_finished(p)) {
        uint64_t now = clock_ns();
        if (now >= end || bench_interrupted)
            p->shared.stop = true;
        if (series && now >= next) {
            take_sample(p);
            next += (now - next) / interval * interval + interval;
        }
        uint64_t until = next < end ? next : end; // short steps, so that an end by operations is seen soon
        sleep_ns(p->shared.stop || until <= now ? 200000 : until - now < 5000000 ? until - now : 5000000);
    }
    p->shared.stop = true;
    if (series)
        take_sample(p);
    if (series && !p->run->options->quiet && isatty(STDERR_FILENO) == 1)
        (void)fputs("\r\033[K", stderr);
}

static void sum_up(struct phase_run *p)
{
    struct bench_result *r = p->result;
    for (unsigned i = 0; i < p->started; i++) {
        struct bench_worker *w = &p->workers[i];
        uint64_t done = w->done[BENCH_READ] + w->done[BENCH_WRITE];
        uint64_t not_counted = w->ticks_per_operation > 0 ? 0 : w->preparing;
        double active = (double)bench_ns_between(w->begin + not_counted, w->end) / 1e9;
        for (unsigned kind = 0; kind < BENCH_KINDS; kind++) {
            histogram_merge(r->latency[kind], w->latency[kind]);
            r->operations[kind] += w->done[kind];
        }
        r->rate += active > 0 ? (double)done / active : 0;
        r->counts.not_found += w->counts.not_found;
        r->counts.failed += w->counts.failed;
        r->counts.wrong += w->counts.wrong;
        r->counts.bytes += w->counts.bytes;
        r->counts.behind += w->counts.behind;
        if (r->counts.first_failure == KV_OK)
            r->counts.first_failure = w->counts.first_failure;
        double seconds = (double)bench_ns_between(w->begin, w->end) / 1e9;
        r->seconds = seconds > r->seconds ? seconds : r->seconds;
    }
    r->rss_bytes = bench_rss();
}

static bool start_workers(struct phase_run *p)
{
    unsigned threads = p->shared.threads;
    for (unsigned i = 0; i < threads; i++)
        if (!bench_worker_init(&p->workers[i], &p->shared, i))
            return false;
    for (; p->started < threads; p->started++)
        if (pthread_create(&p->workers[p->started].thread, NULL, bench_worker_main,
                           &p->workers[p->started]) != 0)
            return false;
    return true;
}

static bool init_phase(struct phase_run *p)
{
    bool ok = (p->seen = histogram_create()) != NULL;
    ok = (p->step = histogram_create()) != NULL && ok;
    for (unsigned kind = 0; kind < BENCH_KINDS; kind++)
        ok = (p->result->latency[kind] = histogram_create()) != NULL && ok;
    return (p->workers = calloc(p->shared.threads, sizeof *p->workers)) != NULL && ok;
}

static void destroy_phase(struct phase_run *p)
{
    for (unsigned i = 0; p->workers != NULL && i < p->shared.threads; i++)
        bench_worker_destroy(&p->workers[i]);
    free(p->workers);
    histogram_destroy(&p->seen);
    histogram_destroy(&p->step);
}

// All threads are ready: off they go, from now on.
static void begin_phase(struct phase_run *p)
{
    while (p->shared.ready < p->started)
        sleep_ns(100000);
    if (p->run->class->figures != NULL)
        p->run->class->figures(p->run->target, &p->last_figures);
    p->start_ns = p->last_ns = clock_ns();
    (void)pthread_mutex_unlock(&p->shared.gate);
}

static bool watch_phase(struct phase_run *p, uint64_t duration_us, bool watch)
{
    pthread_t changer;
    bool changes = watch && p->run->options->change_count != 0 && p->run->class->set_limit != NULL;
    changes = changes && pthread_create(&changer, NULL, change_limits, p) == 0;
    struct bench_figures first = p->last_figures;
    watch_workers(p, duration_us, watch);
    bool ok = true;
    for (unsigned i = 0; i < p->started; i++) {
        (void)pthread_join(p->workers[i].thread, NULL);
        ok = ok && !p->workers[i].no_memory;
    }
    if (changes)
        (void)pthread_join(changer, NULL);
    struct bench_figures last = first;
    if (p->run->class->figures != NULL)
        p->run->class->figures(p->run->target, &last);
    p->result->hits = last.hits - first.hits;
    p->result->misses = last.misses - first.misses;
    return ok;
}

bool bench_phase_run(struct bench_run *run, const struct bench_phase *phase, uint64_t duration_us, bool watch,
                     struct bench_result *result, struct error *e)
{
    struct phase_run p = {.run = run, .result = result};
    p.shared.options = run->options;
    p.shared.class = run->class;
    p.shared.target = run->target;
    p.shared.space = &run->space;
    p.shared.phase = *phase;
    p.shared.threads = (unsigned)run->options->threads;
    (void)pthread_mutex_init(&p.shared.gate, NULL);
    (void)pthread_mutex_lock(&p.shared.gate);
    bool ok = init_phase(&p) && start_workers(&p);
    if (!ok)
        p.shared.stop = true;
    begin_phase(&p);
    ok = watch_phase(&p, duration_us, watch && ok) && ok;
    if (ok)
        sum_up(&p);
    else
        error_set(e, "no memory or no thread for %u threads", p.shared.threads);
    destroy_phase(&p);
    (void)pthread_mutex_destroy(&p.shared.gate);
    return ok;
}

void bench_result_release(struct bench_result *result)
{
    for (unsigned kind = 0; kind < BENCH_KINDS; kind++)
        histogram_destroy(&result->latency[kind]);
    free(result->samples);
    result->samples = NULL;
}
