#include "kvstore/kvbench_run.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

#define LOAD_BUFFER_MAX (64u * 1024 * 1024)

// ---- the folder

static bool choose_dir(struct bench_run *run, struct error *e)
{
    const struct bench_options *o = run->options;
    const char *tmp = getenv("TMPDIR");
    if (o->existing != NULL || o->dir != NULL) {
        (void)snprintf(run->dir, sizeof run->dir, "%s", o->existing != NULL ? o->existing : o->dir);
        if (o->existing == NULL && mkdir(run->dir, 0700) == 0)
            run->made_dir = true;
        else if (o->existing == NULL && errno != EEXIST) {
            error_set(e, "%s: create: %s", run->dir, strerror(errno));
            return false;
        }
        return true;
    }
    (void)snprintf(run->dir, sizeof run->dir, "%s/kvbench.XXXXXX", tmp != NULL ? tmp : "/var/tmp");
    if (mkdtemp(run->dir) == NULL) {
        error_set(e, "%s: create: %s", run->dir, strerror(errno));
        return false;
    }
    run->made_dir = true;
    return true;
}

static bool is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    bool empty = d != NULL;
    for (struct dirent *entry; empty && (entry = readdir(d)) != NULL;)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (d != NULL)
        (void)closedir(d);
    return empty;
}

typedef void (*file_fn)(int dir_fd, const char *name);
static void each_file(const char *dir, file_fn fn)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            fn(dirfd(d), entry->d_name);
    if (d != NULL)
        (void)closedir(d);
}

static void forget_pages(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fdatasync(fd);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)close(fd);
}

static void remove_file(int dir_fd, const char *name)
{
    (void)unlinkat(dir_fd, name, 0);
}

// ---- the phases

static bool refuse(const struct bench_run *run, struct error *e)
{
    const struct bench_options *o = run->options;
    const struct bench_target_class *c = run->class;
    const char *what = NULL;
    if (o->operation == BENCH_VIEW && c->view == NULL)
        what = "--operation view";
    else if (o->operation == BENCH_BATCH && c->get_batch == NULL)
        what = "--operation batch";
    else if (o->operation == BENCH_ASYNC && c->get_async == NULL)
        what = "--operation async";
    else if (o->workload == WORKLOAD_SCAN && c->scan == NULL)
        what = "--workload scan";
    else if (o->change_count != 0 && c->set_limit == NULL)
        what = "--memory-schedule";
    if (what != NULL)
        error_set(e, "%s: this store cannot do that", what);
    return what == NULL;
}

static unsigned load_depth(const struct bench_run *run)
{
    size_t most = LOAD_BUFFER_MAX / (run->space.value_max != 0 ? run->space.value_max : 1);
    if (most < 1)
        most = 1;
    return (unsigned)(run->options->load_depth < most ? run->options->load_depth : most);
}

// What went wrong with an operation, in the store's words.
static bool check_load(const struct bench_run *run, struct error *e)
{
    char text[256] = "";
    const struct bench_counts *counts = &run->load.counts;
    if (counts->failed == 0)
        return true;
    run->class->error_text(run->target, text, sizeof text);
    error_set(e, "load: %llu puts failed: %s%s%s", (unsigned long long)counts->failed,
              kv_status_text(counts->first_failure), text[0] != '\0' ? ": " : "", text);
    return false;
}

static bool load(struct bench_run *run, struct error *e)
{
    const struct bench_options *o = run->options;
    struct bench_phase phase = {.operation = BENCH_LOAD,
                                .order = WORKLOAD_SEQUENTIAL,
                                .depth = load_depth(run),
                                .timed = o->operation == BENCH_LOAD && !o->no_latency};
    run->loaded = true;
    if (!bench_phase_run(run, &phase, 0, o->operation == BENCH_LOAD, &run->load, e) || !check_load(run, e))
        return false;
    uint64_t begin = clock_ns();
    enum kv_status status = run->class->sync(run->target);
    run->load.sync_s = (double)(clock_ns() - begin) / 1e9;
    if (status != KV_OK)
        error_set(e, "load: sync: %s", kv_status_text(status));
    return status == KV_OK;
}

// Every value once, in order; many in a call where the store can.
static bool touch(struct bench_run *run, struct error *e)
{
    struct bench_result result = {0};
    bool batch = run->class->get_batch != NULL && run->space.value_max <= LOAD_BUFFER_MAX / 128;
    struct bench_phase phase = {.operation = batch ? BENCH_BATCH : BENCH_GET,
                                .order = WORKLOAD_SEQUENTIAL,
                                .operations = run->options->keys,
                                .depth = batch ? 128 : 1};
    bool ok = bench_phase_run(run, &phase, 0, false, &result, e);
    bench_result_release(&result);
    run->touched = true;
    return ok;
}

static struct bench_phase measured_phase(const struct bench_options *o, uint64_t stream)
{
    return (struct bench_phase){.operation = (enum bench_operation)o->operation,
                                .order = (enum workload_order)o->workload,
                                .operations = o->operations,
                                .rate = (double)o->rate,
                                .depth = (unsigned)o->depth,
                                .timed = !o->no_latency,
                                .stream = stream};
}

static bool warm_up(struct bench_run *run, struct error *e)
{
    struct bench_result result = {0};
    struct bench_phase phase = measured_phase(run->options, 1);
    phase.operations = 0;
    bool ok = bench_phase_run(run, &phase, run->options->warm_up, false, &result, e);
    bench_result_release(&result);
    return ok;
}

static bool measure(struct bench_run *run, struct error *e)
{
    const struct bench_options *o = run->options;
    struct bench_phase phase = measured_phase(o, 2);
    if (o->touch && !touch(run, e))
        return false;
    if (o->warm_up != 0 && !warm_up(run, e))
        return false;
    if (!bench_phase_run(run, &phase, o->operations != 0 ? 0 : o->duration, true, &run->measured, e))
        return false;
    if (o->rate != 0)
        run->measured.rate =
            (double)(run->measured.operations[BENCH_READ] + run->measured.operations[BENCH_WRITE]) /
            run->measured.seconds;
    return true;
}

bool bench_run(struct bench_run *run, const struct bench_options *options,
               const struct bench_target_class *class, struct error *e)
{
    *run = (struct bench_run){.options = options, .class = class};
    if (!workload_keyspace_init(&run->space, options->keys, options->key_bytes, options->value_min,
                                options->value_max, options->theta, options->seed)) {
        error_set(e, "%llu keys do not fit in %llu bytes, or there is no memory",
                  (unsigned long long)options->keys, (unsigned long long)options->key_bytes);
        return false;
    }
    if (!refuse(run, e) || !choose_dir(run, e))
        return false;
    if (options->existing == NULL && !is_empty(run->dir)) {
        error_set(e, "%s: not empty; use --existing for a store that --keep left", run->dir);
        return false;
    }
    if (options->clear_cache && options->existing != NULL)
        each_file(run->dir, forget_pages);
    uint64_t begin = clock_ns();
    run->target = class->open(run->dir, options, options->existing == NULL, e);
    run->open_s = (double)(clock_ns() - begin) / 1e9;
    if (run->target == NULL)
        return false;
    if (options->existing == NULL && !load(run, e))
        return false;
    if (options->clear_cache && options->existing == NULL)
        each_file(run->dir, forget_pages);
    return options->operation == BENCH_LOAD || options->operation == BENCH_OPEN || bench_interrupted ||
           measure(run, e);
}

bool bench_run_close(struct bench_run *run, struct error *e)
{
    const struct bench_options *o = run->options;
    bool ok = run->target == NULL || run->class->close(run->target, e);
    run->target = NULL;
    bool ours = run->loaded || run->made_dir; // never an existing store, nor what was there before
    if (o->existing == NULL && !o->keep && ours)
        each_file(run->dir, remove_file);
    if (run->made_dir && !o->keep)
        (void)rmdir(run->dir);
    workload_keyspace_destroy(&run->space);
    bench_result_release(&run->load);
    bench_result_release(&run->measured);
    return ok;
}
