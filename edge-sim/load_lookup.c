// `edge-sim load lookup`: threads, the live line, the verdict.
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/units.h"
#include "edge-sim/lookup_options.h"
#include "edge-sim/lookup_report.h"
#include "edge-sim/serve.h"

#define STEP_NS       50000000u   // how often the main thread looks
#define LIVE_NS       1000000000u // and how often it writes the live line
#define FILL_DURATION (1ull << 62)

struct load {
    struct lookup_options options;
    struct lookup_workload workload;
    struct lookup_schedule schedule;
    struct workload_keyspace keys;
    struct lookup_run run; // of the phase under way
    struct lookup_worker *workers[LOOKUP_THREADS_MAX];
    unsigned count;
    sigset_t signals;
    bool live, stopped;
    uint64_t started_unix_ms;
    double seconds;
};

static bool start_workers(struct load *load, struct error *e)
{
    const struct lookup_options *o = &load->options;
    unsigned threads = load->run.threads;
    for (unsigned i = 0; i < threads; i++) {
        unsigned connections = (unsigned)(o->connections / threads + (i < o->connections % threads ? 1 : 0));
        load->workers[i] = lookup_worker_start(&load->run, i, connections, o->goal * 1000, e);
        if (load->workers[i] == NULL)
            return false;
        load->count++;
    }
    return true;
}

static void stop(struct load *load)
{
    if (load->run.stop_ns == 0)
        load->run.stop_ns = clock_ns();
}

static void join_workers(struct load *load)
{
    stop(load);
    for (unsigned i = 0; i < load->count; i++)
        lookup_worker_join(&load->workers[i]);
    load->count = 0;
}

static unsigned how_many(const struct load *load, bool (*is)(const struct lookup_worker *))
{
    unsigned n = 0;
    for (unsigned i = 0; i < load->count; i++)
        n += is(load->workers[i]);
    return n;
}

// ---- the live line

struct live {
    uint64_t last_ns, last_right;
};

static void live_line(struct load *load, struct live *live, uint64_t now)
{
    struct lookup_totals t;
    char p99[16], max[16];
    if (!load->live || now - live->last_ns < LIVE_NS ||
        !lookup_totals_collect(load->workers, load->count, (double)(now - load->run.start_ns) / 1e9, &t))
        return;
    uint64_t right = t.outcome[LOOKUP_RIGHT];
    double rate = (double)(right - live->last_right) / ((double)(now - live->last_ns) / 1e9);
    if (load->run.fill)
        (void)fprintf(stderr, "\r%4.0f s  %8.0f/s  filled %" PRIu64 " of %" PRIu64 "   ", t.seconds, rate,
                      right, load->keys.keys);
    else
        (void)fprintf(stderr,
                      "\r%4.0f s  %8.0f/s  p99 %-7s max %-7s  over goal %" PRIu64 "  failed %" PRIu64 "   ",
                      t.seconds, rate,
                      units_format_duration(histogram_percentile(t.latency, 99) / 1000, p99, sizeof p99),
                      units_format_duration(histogram_max(t.latency) / 1000, max, sizeof max), t.over_goal,
                      lookup_totals_failed(&t));
    (void)fflush(stderr);
    *live = (struct live){.last_ns = now, .last_right = right};
    lookup_totals_release(&t);
}

// ---- running

// Until all workers are through; SIGINT and SIGTERM end the run early but properly.
static void watch(struct load *load)
{
    const struct timespec step = {.tv_nsec = STEP_NS};
    struct live live = {0};
    while (how_many(load, lookup_worker_finished) < load->count) {
        if (sigtimedwait(&load->signals, NULL, &step) > 0) {
            load->stopped = true;
            stop(load);
        }
        uint64_t now = clock_ns();
        if (load->run.start_ns == 0 && how_many(load, lookup_worker_ready) == load->count) {
            load->started_unix_ms = clock_unix_ms();
            load->run.start_ns = live.last_ns = now;
        }
        if (load->run.start_ns == 0 && how_many(load, lookup_worker_finished) != 0)
            stop(load); // one could not connect
        if (load->run.start_ns == 0)
            continue;
        if (load->run.series != NULL)
            (void)lookup_series_close(load->run.series, now - load->run.start_ns, false);
        live_line(load, &live, now);
    }
    uint64_t start = load->run.start_ns, now = clock_ns();
    load->seconds = start != 0 ? (double)(now - start) / 1e9 : 0;
    if (load->run.series != NULL && start != 0)
        (void)lookup_series_close(load->run.series, now - start, true);
    if (load->live)
        (void)fputs("\r\033[K", stderr);
}

static void report_trouble(const struct load *load)
{
    for (unsigned i = 0; i < load->count; i++)
        if (lookup_worker_trouble(load->workers[i])[0] != '\0')
            report("%s: %s", load->options.server, lookup_worker_trouble(load->workers[i]));
}

static bool fill(struct load *load, struct error *e)
{
    struct lookup_totals t;
    load->run.fill = true;
    load->run.duration_ns = FILL_DURATION;
    bool good = start_workers(load, e);
    if (good) {
        watch(load);
        good = lookup_totals_collect(load->workers, load->count, load->seconds, &t);
        if (!good)
            error_set(e, "result: no memory");
    }
    if (good) {
        good = t.outcome[LOOKUP_RIGHT] == load->keys.keys;
        report_trouble(load);
        if (!good)
            error_set(e, "fill: %" PRIu64 " of %" PRIu64 " keys were stored", t.outcome[LOOKUP_RIGHT],
                      load->keys.keys);
        else if (load->options.json == NULL || strcmp(load->options.json, "-") != 0)
            printf("filled: %" PRIu64 " keys in %.1f s\n", load->keys.keys, load->seconds);
        lookup_totals_release(&t);
    }
    join_workers(load);
    return good;
}

// ---- the verdict

static bool write_json(const struct load *load, const struct lookup_settings *settings,
                       const struct lookup_totals *t)
{
    const char *path = load->options.json;
    bool to_stdout = strcmp(path, "-") == 0;
    FILE *out = to_stdout ? stdout : fopen(path, "w");
    if (out == NULL) {
        report("%s: create: %s", path, strerror(errno));
        return false;
    }
    bool good = lookup_print_json(settings, t, load->run.series, load->run.schedule, out);
    if ((to_stdout ? fflush(out) : fclose(out)) != 0)
        good = false;
    if (!good)
        report("%s: write: %s", path, strerror(errno));
    return good;
}

static bool conclude(const struct load *load)
{
    const struct lookup_options *o = &load->options;
    char rate[32];
    struct lookup_totals t;
    (void)snprintf(rate, sizeof rate, "0s=%" PRIu64, o->rate);
    const struct lookup_settings settings = {
        .server = o->server,
        .workload = o->workload,
        .schedule = load->run.schedule == NULL ? NULL
                    : o->schedule != NULL      ? o->schedule
                                               : rate,
        .keys = o->keys,
        .value_bytes = o->value_bytes,
        .goal_ns = o->goal * 1000,
        .connections = (unsigned)o->connections,
        .pipeline = (unsigned)o->pipeline,
        .threads = load->run.threads,
        .verify = o->verify,
        .started_unix_ms = load->started_unix_ms,
    };
    if (load->run.start_ns == 0) { // one could not connect
        report_trouble(load);
        return false;
    }
    if (!lookup_totals_collect(load->workers, load->count, load->seconds, &t)) {
        report("result: no memory");
        return false;
    }
    bool good = lookup_totals_failed(&t) == 0 && t.outcome[LOOKUP_RIGHT] > 0;
    if (o->json == NULL || strcmp(o->json, "-") != 0)
        lookup_print_text(&settings, &t, stdout);
    if (o->json != NULL && !write_json(load, &settings, &t))
        good = false;
    report_trouble(load);
    if (t.outcome[LOOKUP_RIGHT] == 0)
        report("no right answer in %.1f s", load->seconds);
    lookup_totals_release(&t);
    return good;
}

static bool look_up(struct load *load, bool open, struct error *e)
{
    const struct lookup_options *o = &load->options;
    load->run.fill = false;
    load->run.start_ns = load->run.stop_ns = 0;
    load->run.duration_ns = o->duration * 1000;
    load->run.schedule = open ? &load->schedule : NULL;
    load->run.series = lookup_series_create(o->interval * 1000, o->goal * 1000);
    if (load->run.series == NULL) {
        error_set(e, "series: no memory");
        return false;
    }
    bool started = start_workers(load, e), good = false;
    if (started) {
        watch(load);
        good = conclude(load);
    }
    join_workers(load);
    lookup_series_destroy(&load->run.series);
    return good;
}

static bool set_up(struct load *load, struct error *e)
{
    const struct lookup_options *o = &load->options;
    if (!workload_keyspace_init(&load->keys, o->keys, o->key_bytes, o->value_bytes, o->value_bytes,
                                load->workload.theta, o->seed)) {
        error_set(e, "--keys: %" PRIu64 " do not fit into keys of %" PRIu64 " bytes, or no memory", o->keys,
                  o->key_bytes);
        return false;
    }
    uint64_t hot =
        o->keys / 100 * load->workload.hot_percent + o->keys % 100 * load->workload.hot_percent / 100;
    load->run.keys = &load->keys;
    load->run.order = load->workload.order;
    load->run.stream = o->stream;
    load->run.hot_keys = hot != 0 ? hot : 1;
    load->run.threads = (unsigned)(o->threads < o->connections ? o->threads : o->connections);
    load->run.pipeline = (unsigned)o->pipeline;
    load->run.verify = o->verify;
    load->live = !o->quiet && isatty(STDERR_FILENO) == 1;
    return true;
}

static void block_signals(sigset_t *signals)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(signals);
    (void)sigaddset(signals, SIGTERM);
    (void)sigaddset(signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, signals, NULL);
}

int load_lookup_main(int argc, char **argv)
{
    static struct load load;
    struct error e = {{0}};
    bool open, good = false;
    int status = EXIT_FAILED;
    enum config_result result = config_read(&lookup_options_spec, argc, argv, &load.options, NULL);
    if (result != CONFIG_OK)
        return result == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    if (!lookup_options_check(&load.options, &load.run.server, &load.workload, &load.schedule, &open, &e) ||
        !set_up(&load, &e)) {
        status = EXIT_USAGE;
    } else {
        block_signals(&load.signals);
        good = !load.options.fill || fill(&load, &e);
        if (good && load.options.duration != 0 && !load.stopped)
            good = look_up(&load, open, &e);
    }
    if (!good && e.text[0] != '\0')
        report("%s", e.text);
    workload_keyspace_destroy(&load.keys);
    config_release(&lookup_options_spec, &load.options, NULL);
    return good ? EXIT_DONE : status;
}
