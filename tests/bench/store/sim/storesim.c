// storesim: the real store on the traces of the simulator: its hit ratio beside those of LRU, ARC, S3-FIFO and SIEVE with as much memory.
//
// For each size a new store is filled with all keys while its limit is 0, opened again with the limit that leaves the
// size for values, and asked for the trace's keys; its own counters give the hits of the second part. Reads go through the
// page cache: what is measured is the policy, not the disk.
#include "tests/bench/store/sim/sim_options.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv.h"

#define HEAD 32u // bytes a record takes in memory beside key and value, before rounding to 16

static struct kv_store *open_store(const char *dir, uint64_t limit_bytes)
{
    struct kv_options options = {
        .limit_bytes = limit_bytes, .fsync = KV_FSYNC_NEVER, .create = true, .buffered_reads = true};
    struct kv_store *store;
    char error[512];
    if (kv_open(dir, &options, &store, error, sizeof error) != KV_OK)
        sim_fail("kv_open", error);
    return store;
}

static void check(enum kv_status status, const char *what)
{
    if (status != KV_OK)
        sim_fail(what, kv_status_text(status));
}

static uint32_t value_len(uint32_t size)
{
    return size - HEAD - (uint32_t)sizeof(uint32_t);
}

static void fill(const char *dir, const struct sim_trace *trace, void *buf)
{
    struct kv_store *store = open_store(dir, 0);
    for (uint32_t key = 0; key < trace->keys; key++) {
        memcpy(buf, &key, sizeof key);
        check(kv_put(store, &key, sizeof key, buf, value_len(trace->sizes[key]), 0, 0), "kv_put");
    }
    check(kv_close(&store), "kv_close");
}

static void replay(struct kv_store *store, const struct sim_trace *trace, size_t from, size_t to, void *buf)
{
    for (size_t i = from; i < to; i++) {
        uint32_t key = trace->gets[i], stored;
        size_t len = value_len(trace->sizes[key]);
        check(kv_get(store, &key, sizeof key, buf, &len), "kv_get");
        memcpy(&stored, buf, sizeof stored);
        if (stored != key || len != value_len(trace->sizes[key]))
            sim_fail("kv_get", "another key's value");
    }
}

static void remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char path[1024];
        (void)snprintf(path, sizeof path, "%.500s/%.255s", dir, e->d_name);
        if (e->d_name[0] != '.')
            (void)unlink(path);
    }
    if (d != NULL)
        (void)closedir(d);
    (void)rmdir(dir);
}

static double store_hits(const struct sim_options *options, const struct sim_trace *trace, double percent,
                         void *buf)
{
    char dir[600];
    (void)snprintf(dir, sizeof dir, "%.500s/storesim-XXXXXX", options->dir);
    if (mkdtemp(dir) == NULL)
        sim_fail(options->dir, "cannot make a folder");
    fill(dir, trace, buf);
    struct kv_stats before, after;
    struct kv_store *store = open_store(dir, 0); // what it needs beside values
    kv_get_stats(store, &before);
    uint64_t limit = before.memory_bytes - before.chunk_bytes + sim_capacity(trace, percent);
    check(kv_close(&store), "kv_close");
    store = open_store(dir, limit);
    size_t warm = sim_warm_gets(options, trace);
    replay(store, trace, 0, warm, buf);
    kv_get_stats(store, &before);
    replay(store, trace, warm, trace->count, buf);
    kv_get_stats(store, &after);
    check(kv_close(&store), "kv_close");
    remove_folder(dir);
    return (double)(after.hits - before.hits) / (double)(trace->count - warm);
}

static void run(const struct sim_options *options, enum sim_workload workload)
{
    struct sim_trace trace;
    struct sim_results results;
    sim_options_trace(options, workload, &trace);
    uint32_t largest = 0;
    for (uint32_t key = 0; key < trace.keys; key++) {
        if (trace.sizes[key] < HEAD + 2 * sizeof(uint32_t))
            sim_fail("trace", "a key is too small to be stored");
        largest = trace.sizes[key] > largest ? trace.sizes[key] : largest;
    }
    void *buf = calloc(1, largest);
    if (buf == NULL)
        sim_fail("values", "out of memory");
    sim_results_run(&results, options, &trace,
                    options->trace_in != NULL ? options->trace_in : sim_workload_name(workload));
    results.names[results.columns++] = "store";
    for (size_t row = 0; row < results.rows; row++)
        results.hits[row][SIM_POLICIES] = store_hits(options, &trace, results.percents[row], buf);
    sim_results_print(&results, options->json);
    free(buf);
    sim_trace_free(&trace);
}

int main(int argc, char **argv)
{
    struct sim_options options;
    sim_options_parse(&options, argc, argv,
                      "The store's hit ratio on a trace beside those of LRU, ARC, S3-FIFO and SIEVE.\n");
    if (!options.all_workloads)
        run(&options, options.shape.workload);
    for (int w = 0; options.all_workloads && w < SIM_WORKLOADS; w++)
        run(&options, (enum sim_workload)w);
    return 0;
}
