// kvsoak: a model checker for the store. One process does, another judges, and the first is killed (-9) again
// and again.
//
//   kvsoak [--seconds N] [--kill-every N] [--seed N] ...      0: no differences; 1: a difference; 2: misuse
//   kvsoak --probe DIR                                        opens the store, puts and gets a key; 3: it said no
#include "tests/soak/soak_check.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t soak_now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool soak_failed(struct soak_run *run)
{
    return atomic_load(&run->differences) != 0;
}

void soak_differ(struct soak_run *run, uint32_t key, const char *format, ...)
{
    (void)pthread_mutex_lock(&run->report_lock);
    if (atomic_fetch_add(&run->differences, 1) == 0) {
        va_list args;
        va_start(args, format);
        (void)fprintf(stderr, "kvsoak: DIFFERENCE after %.3f s, seed %" PRIu64 ", store %s:\n  ",
                      (double)(soak_now_us() - run->began_us) / 1e6, run->options.seed, run->dir);
        (void)vfprintf(stderr, format, args);
        (void)fprintf(stderr, "\n");
        va_end(args);
        if (key < run->owned)
            soak_print_key(stderr, key, &run->keys[key]);
    }
    (void)pthread_mutex_unlock(&run->report_lock);
}

// ---- options

static const char usage[] =
    "usage: kvsoak [OPTION...]\n"
    "       kvsoak --probe DIR [--hold SECONDS]\n"
    "  --seconds N      how long (60)\n"
    "  --kill-every N   about so many seconds between kill -9 (20)\n"
    "  --seed N         of all that is random (from the clock)\n"
    "  --keys N         (20000)\n"
    "  --workers N      threads of the store process that do operations (4)\n"
    "  --fsync POLICY   always, interval or never (interval)\n"
    "  --store DIR      the store's folder (one of its own, removed after a good run)\n"
    "  --limit-max MIB  the most of memory that is asked for (1500)\n"
    "  --segment KIB    segment size (a new one at each open)\n"
    "  --disk KIB       the space there is for the store: values are small enough for it\n"
    "  --tolerate       errors of the disk are answers like others\n"
    "  --fsize KIB --nofile N --as MIB   limits on the store process's resources\n"
    "  --no-sizes       do not judge resident size (sanitizers)\n"
    "  --search-memory  search the store process's memory for values that are gone\n"
    "  --kvcheck PATH   run it on the store in the end\n"
    "  --json FILE      write the counts there\n";

enum {
    OPT_FIRST = 256,
    SECONDS,
    KILL_EVERY,
    SEED,
    KEYS,
    WORKERS,
    FSYNC,
    STORE,
    LIMIT_MAX,
    SEGMENT,
    DISK,
    TOLERATE,
    FSIZE,
    NOFILE,
    AS,
    NO_SIZES,
    SEARCH_MEMORY,
    KVCHECK,
    JSON,
    PROBE,
    HOLD
};

static const struct option long_options[] = {
    {"seconds", 1, NULL, SECONDS},   {"kill-every", 1, NULL, KILL_EVERY},
    {"seed", 1, NULL, SEED},         {"keys", 1, NULL, KEYS},
    {"workers", 1, NULL, WORKERS},   {"fsync", 1, NULL, FSYNC},
    {"store", 1, NULL, STORE},       {"limit-max", 1, NULL, LIMIT_MAX},
    {"segment", 1, NULL, SEGMENT},   {"disk", 1, NULL, DISK},
    {"tolerate", 0, NULL, TOLERATE}, {"fsize", 1, NULL, FSIZE},
    {"nofile", 1, NULL, NOFILE},     {"as", 1, NULL, AS},
    {"no-sizes", 0, NULL, NO_SIZES}, {"search-memory", 0, NULL, SEARCH_MEMORY},
    {"kvcheck", 1, NULL, KVCHECK},   {"json", 1, NULL, JSON},
    {"probe", 1, NULL, PROBE},       {"hold", 1, NULL, HOLD},
    {"help", 0, NULL, 'h'},          {NULL, 0, NULL, 0}};

struct command {
    struct soak_options options;
    const char *probe;
    double hold;
};

static bool take_fsync(const char *name, enum kv_fsync *fsync)
{
    static const char *const names[] = {"always", "interval", "never"};
    for (unsigned i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *fsync = (enum kv_fsync)i;
            return true;
        }
    return false;
}

static bool take_option(struct command *command, int option, const char *value)
{
    struct soak_options *o = &command->options;
    uint64_t number = value != NULL ? strtoull(value, NULL, 10) : 0;
    switch (option) {
    case SECONDS:
        o->seconds = atof(value);
        return true;
    case KILL_EVERY:
        o->kill_every = atof(value);
        return o->kill_every > 0;
    case SEED:
        o->seed = number;
        return true;
    case KEYS:
        o->keys = (uint32_t)number;
        return number > 0 && number <= 100000000;
    case WORKERS:
        o->workers = (uint32_t)number;
        return number > 0 && number <= SOAK_WORKERS_MAX;
    case FSYNC:
        return take_fsync(value, &o->fsync);
    case STORE:
        o->dir = value;
        return true;
    case LIMIT_MAX:
        o->limit_max = number * SOAK_MIB;
        return true;
    case SEGMENT:
        o->segment_bytes = number * 1024;
        return true;
    case DISK:
        o->disk_max = number * 1024;
        return true;
    case TOLERATE:
        o->tolerate = true;
        return true;
    case FSIZE:
        o->rlimit_fsize = number * 1024;
        return true;
    case NOFILE:
        o->rlimit_nofile = number;
        return true;
    case AS:
        o->rlimit_as = number * SOAK_MIB;
        return true;
    case NO_SIZES:
        o->no_size_checks = true;
        return true;
    case SEARCH_MEMORY:
        o->search_memory = true;
        return true;
    case KVCHECK:
        o->kvcheck = value;
        return true;
    case JSON:
        o->json = value;
        return true;
    case PROBE:
        command->probe = value;
        return true;
    case HOLD:
        command->hold = atof(value);
        return true;
    default:
        return false;
    }
}

static bool take_options(int argc, char **argv, struct command *command)
{
    int option;
    while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (option == 'h') {
            (void)fputs(usage, stdout);
            exit(0);
        }
        if (!take_option(command, option, optarg)) {
            (void)fputs(usage, stderr);
            return false;
        }
    }
    return optind == argc;
}

// ---- probe

static int probe(const char *dir, double hold, enum kv_fsync fsync)
{
    struct kv_options options = {.limit_bytes = 8u * SOAK_MIB, .create = true, .fsync = fsync};
    struct kv_store *store;
    char error[256] = "";
    (void)signal(SIGXFSZ, SIG_IGN);
    enum kv_status status = kv_open(dir, &options, &store, error, sizeof error);
    if (status == KV_OK) {
        char value[8];
        size_t len = sizeof value;
        status = kv_put(store, "probe", 5, "value", 5, 0, 0);
        if (status == KV_OK)
            status = kv_get(store, "probe", 5, value, &len);
        if (status == KV_OK && (len != 5 || memcmp(value, "value", 5) != 0))
            status = KV_CORRUPT;
        if (status != KV_OK)
            kv_error_text(store, error, sizeof error);
        if (status == KV_OK && hold > 0)
            (void)sleep((unsigned)hold);
        enum kv_status closed = kv_close(&store);
        status = status == KV_OK ? closed : status;
    }
    (void)printf("%s: %s\n", kv_status_text(status), error);
    return status == KV_OK ? 0 : 3;
}

// ---- a run

static double zeta(uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 1; i <= n; i++)
        sum += 1 / pow(i, 0.99);
    return sum;
}

static bool init_worker(struct soak_run *run, struct soak_worker *worker, uint32_t number)
{
    uint32_t words = (run->owned + SOAK_SHARED_KEYS + 63) / 64;
    *worker = (struct soak_worker){.run = run, .number = number, .fd = -1, .since = UINT64_MAX};
    worker->own = run->owned / run->options.workers;
    worker->random = soak_mix(run->options.seed * 131 + number);
    // Ids of two runs on one folder differ.
    worker->next_id = (soak_mix(run->options.seed) & 0xffff) << 48 | (uint64_t)(number + 1) << 40;
    worker->scan_seen = calloc(words, sizeof worker->scan_seen[0]);
    return worker->scan_seen != NULL;
}

static bool init_run(struct soak_run *run, const struct soak_options *options)
{
    run->options = *options;
    run->began_us = soak_now_us();
    run->self = "/proc/self/exe";
    run->own_dir = options->dir == NULL;
    run->dir = options->dir != NULL ? strdup(options->dir) : strdup("/tmp/kvsoak.XXXXXX");
    if (run->dir == NULL || (run->own_dir && mkdtemp(run->dir) == NULL))
        return false;
    run->owned = (options->keys + options->workers - 1) / options->workers * options->workers;
    run->keys = calloc(run->owned, sizeof run->keys[0]);
    if (run->keys == NULL || !soak_clock_init(run))
        return false;
    atomic_store(&run->tick, 2);
    for (uint32_t i = 0; i < run->owned; i++) {
        soak_key_set(&run->keys[i], (struct soak_state){0});
        soak_note_presence(&run->keys[i], 1);
    }
    for (unsigned i = 0; i < SOAK_OPS; i++)
        atomic_store(&run->have[i], true);
    double n = run->owned / options->workers;
    run->zipf_zeta = zeta((uint32_t)n);
    run->zipf_eta = (1 - pow(2 / n, 0.01)) / (1 - (1 + pow(0.5, 0.99)) / run->zipf_zeta);
    run->limit_bytes = 64u * SOAK_MIB < options->limit_max ? 64u * SOAK_MIB : options->limit_max;
    soak_shared_init(run);
    bool ok = init_worker(run, &run->control, SOAK_WORKERS_MAX);
    for (uint32_t i = 0; i < options->workers && ok; i++)
        ok = init_worker(run, &run->workers[i], i);
    return ok && pthread_mutex_init(&run->gate_lock, NULL) == 0 &&
           pthread_cond_init(&run->gate_changed, NULL) == 0 &&
           pthread_mutex_init(&run->report_lock, NULL) == 0;
}

static void run_workers(struct soak_run *run)
{
    uint32_t started = 0;
    while (started < run->options.workers &&
           pthread_create(&run->workers[started].thread, NULL, soak_worker_main, &run->workers[started]) == 0)
        started++;
    if (started == run->options.workers)
        (void)soak_conduct(run);
    else
        soak_differ(run, UINT32_MAX, "cannot start threads");
    if (soak_failed(run))
        soak_store_kill(run);
    (void)pthread_mutex_lock(&run->gate_lock);
    run->ended = true;
    (void)pthread_cond_broadcast(&run->gate_changed);
    (void)pthread_mutex_unlock(&run->gate_lock);
    for (uint32_t i = 0; i < started; i++)
        (void)pthread_join(run->workers[i].thread, NULL);
    soak_store_end(run);
}

static void check_offline(struct soak_run *run)
{
    pid_t pid = run->options.kvcheck != NULL && !soak_failed(run) ? fork() : -1;
    if (pid == 0) {
        (void)execl(run->options.kvcheck, "kvcheck", run->dir, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (pid > 0 && (waitpid(pid, &status, 0) != pid || status != 0))
        soak_differ(run, UINT32_MAX, "kvcheck: wait status %#x", (unsigned)status);
}

static void remove_folder(const char *dir)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("rm", "rm", "-rf", dir, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--store-process") == 0)
        return soak_store_main(argc, argv);
    struct command command = {.options = {.seconds = 60,
                                          .kill_every = 20,
                                          .seed = (uint64_t)time(NULL),
                                          .keys = 20000,
                                          .workers = 4,
                                          .fsync = KV_FSYNC_INTERVAL,
                                          .limit_max = 1500ull * SOAK_MIB}};
    if (!take_options(argc, argv, &command))
        return 2;
    if (command.probe != NULL)
        return probe(command.probe, command.hold, command.options.fsync);
    static struct soak_run run;
    if (!init_run(&run, &command.options)) {
        (void)fprintf(stderr, "kvsoak: cannot begin: out of memory, or no folder\n");
        return 2;
    }
    (void)fprintf(stderr, "kvsoak: seed %" PRIu64 ", store %s\n", run.options.seed, run.dir);
    run_workers(&run);
    check_offline(&run);
    soak_report(&run, (double)(soak_now_us() - run.began_us) / 1e6);
    if (run.own_dir && !soak_failed(&run))
        remove_folder(run.dir);
    return soak_failed(&run) ? 1 : 0;
}
