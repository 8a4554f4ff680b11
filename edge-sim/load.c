// `edge-sim load ski`: options, threads, the live line, the verdict.
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/config.h"
#include "common/units.h"
#include "edge-sim/load_report.h"
#include "edge-sim/serve.h"

#define THREADS_MAX 64

struct load_options {
    char *config, *keyserver, *cert, *key, *ca, *json;
    struct config_list site;
    unsigned method;
    uint64_t connections, in_flight, rate, duration, threads, verify_every;
    bool quiet;
};

#define AT(field) offsetof(struct load_options, field)
static const struct config_option options[] = {
    {.name = "config",
     .type = CONFIG_FILE,
     .offset = AT(config),
     .arg = "FILE",
     .help = "INI file with these options."},
    {.name = "keyserver",
     .type = CONFIG_STRING,
     .offset = AT(keyserver),
     .arg = "https://HOST:PORT",
     .required = true,
     .help = "The key server to load."},
    {.name = "cert",
     .type = CONFIG_STRING,
     .offset = AT(cert),
     .arg = "PEM",
     .required = true,
     .help = "The edge's certificate, shown to the key server."},
    {.name = "key",
     .type = CONFIG_STRING,
     .offset = AT(key),
     .arg = "PEM",
     .required = true,
     .help = "The private key of --cert."},
    {.name = "ca",
     .type = CONFIG_STRING,
     .offset = AT(ca),
     .arg = "PEM",
     .required = true,
     .help = "Certificates of those who may have signed the key server's certificate."},
    {.name = "site",
     .type = CONFIG_LIST,
     .offset = AT(site),
     .arg = "PEM",
     .required = true,
     .help = "A certificate whose private key the key server holds. May be given many times; requests "
             "alternate."},
    {.name = "method",
     .type = CONFIG_ENUM,
     .offset = AT(method),
     .preset = "mix",
     .choices = "RSA|ECDHE|mix",
     .help = "RSA: decrypt premaster secrets. ECDHE: sign. mix: both, where the key can."},
    {.name = "connections",
     .type = CONFIG_UINT,
     .offset = AT(connections),
     .arg = "N",
     .preset = "32",
     .min = 1,
     .max = 10000,
     .help = "Connections in all."},
    {.name = "in-flight",
     .type = CONFIG_UINT,
     .offset = AT(in_flight),
     .arg = "N",
     .preset = "1",
     .min = 1,
     .max = 4096,
     .help =
         "Requests under way on each connection: closed loop, so many always; open loop, at most so many."},
    {.name = "rate",
     .type = CONFIG_UINT,
     .offset = AT(rate),
     .arg = "N",
     .preset = "0",
     .max = 10000000,
     .help = "Open loop: requests per second in all, due on a constant schedule; latency counts from when a "
             "request "
             "was due. 0: closed loop."},
    {.name = "duration",
     .type = CONFIG_DURATION,
     .offset = AT(duration),
     .arg = "TIME",
     .preset = "10s",
     .min = 10000,
     .help = "For how long requests are sent."},
    {.name = "threads",
     .type = CONFIG_UINT,
     .offset = AT(threads),
     .arg = "N",
     .preset = "1",
     .min = 1,
     .max = THREADS_MAX,
     .help = "Threads that share the connections."},
    {.name = "verify-every",
     .type = CONFIG_UINT,
     .offset = AT(verify_every),
     .arg = "N",
     .preset = "1",
     .help = "Verify every N-th ECDSA signature; 0: none. All other answers are always checked."},
    {.name = "json",
     .type = CONFIG_STRING,
     .offset = AT(json),
     .arg = "FILE",
     .help = "Write the result as JSON (- for stdout, in place of the text)."},
    {.name = "quiet", .type = CONFIG_FLAG, .offset = AT(quiet), .help = "No live line on a terminal."},
};

static const struct config_spec spec = {
    .program = "edge-sim load ski",
    .usage = "[OPTION]...",
    .summary = "Loads a key server with well-formed SKI requests over mutual TLS and checks every answer. "
               "Exit status 1 "
               "when an answer was wrong or none was right.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
};

static _Atomic bool stop_asked;

struct run {
    struct ski_endpoint *endpoint;
    struct load_worker *workers[THREADS_MAX];
    unsigned count;
};

// Thread i of n gets its share of a whole, the first ones one more.
static unsigned share(uint64_t whole, unsigned n, unsigned i)
{
    return (unsigned)(whole / n + (i < whole % n ? 1 : 0));
}

static bool start(struct run *run, const struct load_options *o, struct error *e)
{
    struct tls_files files = {.cert_file = o->cert, .key_file = o->key, .ca_file = o->ca};
    unsigned threads = (unsigned)(o->threads < o->connections ? o->threads : o->connections);
    if ((run->endpoint = ski_endpoint_create(o->keyserver, &files, e)) == NULL)
        return false;
    struct load_pool *pools[THREADS_MAX] = {NULL};
    for (unsigned i = 0; i < threads; i++) { // all of them before the first thread takes the processor
        pools[i] = load_pool_create(o->site.items, o->site.count, (enum load_method)o->method,
                                    ski_endpoint_authority(run->endpoint), e);
        if (pools[i] != NULL)
            continue;
        while (i > 0)
            load_pool_destroy(&pools[--i]);
        return false;
    }
    bool ok = true;
    for (unsigned i = 0; i < threads; i++) {
        struct load_worker_config config = {.endpoint = run->endpoint,
                                            .connections = share(o->connections, threads, i),
                                            .in_flight = (unsigned)o->in_flight,
                                            .rate = (double)o->rate / threads,
                                            .duration_ns = o->duration * 1000,
                                            .verify_every = (unsigned)o->verify_every,
                                            .stop = &stop_asked};
        struct load_worker *worker = ok ? load_worker_start(&config, pools[i], e) : NULL;
        if (worker != NULL) {
            run->workers[run->count++] = worker;
            continue;
        }
        if (!ok)
            load_pool_destroy(&pools[i]); // else load_worker_start has done so
        ok = false;
        stop_asked = true;
    }
    return ok;
}

static bool finished(const struct run *run)
{
    for (unsigned i = 0; i < run->count; i++)
        if (!load_worker_finished(run->workers[i]))
            return false;
    return true;
}

static void live_line(const struct run *run, uint64_t *last_ok, double *last_seconds)
{
    struct load_totals t;
    char p50[16], p99[16];
    if (!load_totals_collect(run->workers, run->count, &t))
        return;
    double span = t.seconds - *last_seconds;
    (void)fprintf(stderr, "\r%4.0f s  %8.0f/s  p50 %-7s p99 %-7s  refused %llu  wrong %llu   ", t.seconds,
                  span > 0 ? (double)(t.ok - *last_ok) / span : 0.0,
                  units_format_duration(histogram_percentile(t.latency, 50) / 1000, p50, sizeof p50),
                  units_format_duration(histogram_percentile(t.latency, 99) / 1000, p99, sizeof p99),
                  (unsigned long long)(t.answers - t.ok), (unsigned long long)t.wrong);
    (void)fflush(stderr);
    *last_ok = t.ok;
    *last_seconds = t.seconds;
    load_totals_release(&t);
}

// Until all workers are through; SIGINT and SIGTERM end the run early but properly.
static void watch(const struct run *run, const sigset_t *signals, bool live)
{
    uint64_t last_ok = 0;
    double last_seconds = 0;
    const struct timespec step = {.tv_nsec = 50 * 1000000};
    for (unsigned ticks = 1; !finished(run); ticks++) {
        if (sigtimedwait(signals, NULL, &step) > 0)
            stop_asked = true;
        if (live && ticks % 20 == 0)
            live_line(run, &last_ok, &last_seconds);
    }
    if (live)
        (void)fputs("\r\033[K", stderr);
}

static bool write_json(const struct load_options *o, const struct run *run, const struct load_totals *t)
{
    static const char *const methods[] = {"RSA", "ECDHE", "mix"};
    const struct load_settings settings = {.keyserver = o->keyserver,
                                           .method = methods[o->method],
                                           .connections = (unsigned)o->connections,
                                           .in_flight = (unsigned)o->in_flight,
                                           .threads = run->count,
                                           .rate = (double)o->rate};
    bool to_stdout = strcmp(o->json, "-") == 0;
    FILE *out = to_stdout ? stdout : fopen(o->json, "w");
    if (out == NULL) {
        report("%s: create: %s", o->json, strerror(errno));
        return false;
    }
    bool ok = load_print_json(&settings, t, run->workers, run->count, out);
    if ((to_stdout ? fflush(out) : fclose(out)) != 0)
        ok = false;
    if (!ok)
        report("%s: write: %s", o->json, strerror(errno));
    return ok;
}

static int conclude(const struct load_options *o, const struct run *run)
{
    struct load_totals t;
    if (!load_totals_collect(run->workers, run->count, &t)) {
        report("result: no memory");
        return EXIT_FAILED;
    }
    bool ok = t.wrong == 0 && t.ok > 0;
    if (o->json == NULL || strcmp(o->json, "-") != 0)
        load_print_text(&t, run->workers, run->count, stdout);
    if (o->json != NULL && !write_json(o, run, &t))
        ok = false;
    for (unsigned i = 0; i < run->count; i++)
        if (load_worker_trouble(run->workers[i])[0] != '\0')
            report("%s", load_worker_trouble(run->workers[i]));
    if (t.ok == 0)
        report("no right answer in %.1f s", t.seconds);
    load_totals_release(&t);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

int load_main(int argc, char **argv)
{
    struct load_options o = {0};
    struct run run = {0};
    struct error e = {{0}};
    sigset_t signals;
    enum config_result result = config_read(&spec, argc, argv, &o, NULL);
    if (result != CONFIG_OK)
        return result == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    stop_asked = false;
    int status = EXIT_FAILED;
    bool started = start(&run, &o, &e);
    if (started) {
        watch(&run, &signals, !o.quiet && isatty(STDERR_FILENO) == 1);
        status = conclude(&o, &run);
    } else {
        report("%s", e.text);
    }
    for (unsigned i = 0; i < run.count; i++)
        load_worker_join(&run.workers[i]);
    ski_endpoint_destroy(&run.endpoint);
    config_release(&spec, &o, NULL);
    return status;
}
