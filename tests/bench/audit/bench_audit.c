// What an audit line costs: bench_audit FOLDER [LINES]. Lossy and strict, 1 to 4 threads that have lines to write, each with
// up to so many in flight as loops have under load (strict); signed heads as by default, a file in FOLDER.
//
// "front" is processor time of audit_write() on the calling thread, "all" that of the process, the writer's with it; both by line.
// The first row of strict has one line in flight: what a result waits for its line when nothing else does.
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <openssl/pem.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/histogram.h"
#include "keyserver/audit.h"
#include "keyserver/peer.h"

enum { THREADS_MAX = 4, WINDOW_MAX = 64, FLUSH_EVERY = 1024 };

struct flight { // an operation with where it goes back to
    struct keyop op;
    struct worker *worker;
    uint64_t begun_ns;
};

struct worker {
    pthread_t thread;
    struct audit *audit;
    struct histogram *waited;
    unsigned lines, window;
    uint64_t front_ns;
    sem_t back;
    pthread_mutex_t mutex; // guards idle
    struct flight *idle[WINDOW_MAX];
    unsigned idle_count;
    struct flight flights[WINDOW_MAX];
};

static struct peer peer = {.refs = 1, .name = "edge-1.example.net", .addr = "192.0.2.17:51234"};

static uint64_t cpu_ns(clockid_t clock)
{
    struct timespec ts;
    (void)clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_audit: %s\n", what);
    exit(1);
}

static void make_op(struct keyop *op)
{
    memset(op, 0, sizeof *op);
    op->peer = &peer;
    op->is_operation = op->parsed = true;
    op->received_ns = 1000000;
    op->started_ns = 3500000;
    op->finished_ns = 4500000;
    op->key_type = KEYRECORD_RSA;
    op->key_bits = 2048;
    op->output_len = 256;
    op->request.method = SKI_METHOD_ECDHE;
    op->request.protocol = SKI_TLS_1_2;
    op->request.hash = SKI_SHA256;
    (void)snprintf(op->request.spki, sizeof op->request.spki, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
}

// From the writer: the operation is idle again.
static void complete(struct keyop *op)
{
    struct flight *flight = (struct flight *)(void *)op;
    struct worker *w = flight->worker;
    histogram_record(w->waited, clock_ns() - flight->begun_ns);
    (void)pthread_mutex_lock(&w->mutex);
    w->idle[w->idle_count++] = flight;
    (void)pthread_mutex_unlock(&w->mutex);
    (void)sem_post(&w->back);
}

static struct flight *take_idle(struct worker *w)
{
    while (sem_wait(&w->back) != 0)
        ;
    (void)pthread_mutex_lock(&w->mutex);
    struct flight *flight = w->idle[--w->idle_count];
    (void)pthread_mutex_unlock(&w->mutex);
    return flight;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < w->lines; i++) {
        struct flight *flight = take_idle(w);
        flight->op.audited = false;
        flight->begun_ns = clock_ns();
        uint64_t begun = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
        bool at_once = audit_write(w->audit, &flight->op);
        w->front_ns += cpu_ns(CLOCK_THREAD_CPUTIME_ID) - begun;
        if (at_once)
            complete(&flight->op);
        if (at_once && i % FLUSH_EVERY == FLUSH_EVERY - 1)
            audit_flush(w->audit); // the ring is never full: this is about cost, not about loss
    }
    return NULL;
}

static void start(struct worker *w, struct audit *audit, struct histogram *waited, unsigned lines,
                  unsigned window)
{
    *w = (struct worker){.audit = audit, .waited = waited, .lines = lines, .window = window};
    (void)pthread_mutex_init(&w->mutex, NULL);
    (void)sem_init(&w->back, 0, 0);
    for (unsigned i = 0; i < window; i++) {
        make_op(&w->flights[i].op);
        w->flights[i].worker = w;
        w->idle[w->idle_count++] = &w->flights[i];
        (void)sem_post(&w->back);
    }
    if (pthread_create(&w->thread, NULL, work, w) != 0)
        die("no thread");
}

static uint64_t count(json_t *status, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(status, name));
}

static double writes_of(struct audit *audit)
{
    char *text = NULL;
    size_t len = 0;
    struct metrics *metrics = metrics_create();
    FILE *out = open_memstream(&text, &len);
    if (metrics == NULL || out == NULL || !audit_metrics(audit, metrics))
        die("no memory");
    metrics_render(metrics, out);
    (void)fclose(out);
    double writes = strtod(strstr(text, "\nks_audit_writes_total ") + 23, NULL);
    free(text);
    metrics_destroy(&metrics);
    return writes;
}

static void measure(const struct audit_settings *settings, unsigned threads, unsigned window, unsigned lines)
{
    static struct worker workers[THREADS_MAX];
    struct error e;
    uint64_t front = 0;
    struct metrics *registry = metrics_create();
    struct histogram *waited =
        registry != NULL ? metrics_histogram(registry, "waited", NULL, "Waited.") : NULL;
    (void)unlink(settings->path);
    struct audit *audit = waited != NULL ? audit_create(settings, &e) : NULL;
    if (audit == NULL)
        die(waited != NULL ? e.text : "no memory");
    uint64_t begun = clock_ns(), cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned i = 0; i < threads; i++)
        start(&workers[i], audit, waited, lines / threads, window);
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        front += workers[i].front_ns;
    }
    audit_flush(audit);
    double wall = (double)(clock_ns() - begun), all = (double)(cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    json_t *status = audit_status(audit);
    double n = (double)count(status, "lines"), writes = writes_of(audit);
    (void)printf("%-7s %7u %6u %10.0f %9.2f %9.2f %7.1f %9.1f %9.1f %8llu\n",
                 settings->mode == AUDIT_STRICT ? "strict" : "lossy", threads, window, n / wall * 1e9,
                 (double)front / n / 1e3, all / n / 1e3, n / writes,
                 settings->mode == AUDIT_STRICT ? (double)histogram_percentile(waited, 50) / 1e3 : 0.0,
                 settings->mode == AUDIT_STRICT ? (double)histogram_percentile(waited, 99) / 1e3 : 0.0,
                 (unsigned long long)(count(status, "dropped") + count(status, "refused")));
    json_decref(status);
    audit_destroy(&audit);
    metrics_destroy(&registry);
}

static void make_key(const char *path)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    FILE *file = fopen(path, "w");
    if (key == NULL || file == NULL || PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        fclose(file) != 0 || chmod(path, 0600) != 0)
        die("cannot make a key in the folder");
    EVP_PKEY_free(key);
}

int main(int argc, char **argv)
{
    char path[4096], key[4096];
    if (argc < 2 || argc > 3) {
        (void)fputs("usage: bench_audit FOLDER [LINES]\n", stderr);
        return 2;
    }
    unsigned lines = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 200000;
    (void)snprintf(path, sizeof path, "%s/bench-audit.log", argv[1]);
    (void)snprintf(key, sizeof key, "%s/bench-audit.key", argv[1]);
    make_key(key);
    struct audit_settings settings = {.path = path,
                                      .key_file = key,
                                      .head_lines = 1000,
                                      .head_us = 10000000,
                                      .alarm_us = 600000000,
                                      .complete = complete};
    (void)printf("%-7s %7s %6s %10s %9s %9s %7s %9s %9s %8s\n", "mode", "threads", "window", "lines/s",
                 "front us", "all us", "by write", "wait p50", "p99 us", "lost");
    for (unsigned threads = 1; threads <= THREADS_MAX; threads *= 2)
        measure(&settings, threads, 1, lines);
    settings.mode = AUDIT_STRICT;
    measure(&settings, 1, 1, lines / 10);
    for (unsigned threads = 1; threads <= THREADS_MAX; threads *= 2)
        measure(&settings, threads, WINDOW_MAX, lines);
    (void)unlink(path);
    (void)unlink(key);
    return 0;
}
