// A simulator of cache policies: what hit ratio a policy would have on a trace with so much memory. The yardstick for the
// store's own policy (storesim runs the real store on the same trace) and for its sampled miss-ratio curve.
//
// A trace is a sequence of gets of keys that are numbers; every key has one size. A policy is asked for one key after the other,
// admits what it missed and evicts by its own rules. Capacities are bytes; a key larger than the whole cache is never admitted. The
// policies are written from their papers, for keys of one size as there, and count bytes where the papers count
// keys:
//
//   LRU       the least recently used key goes
//   ARC       Megiddo, Modha: ARC: A Self-Tuning, Low Overhead Replacement Cache. FAST 2003, figure 4
//   S3-FIFO   Yang, Zhang, Qiu, Yue, Rashmi: FIFO Queues are All You Need for Cache Eviction. SOSP 2023, algorithm 1
//   SIEVE     Zhang, Yang, Yue, Vigfusson, Rashmi: SIEVE is Simpler than LRU. NSDI 2024, algorithm 1
//
// Deterministic. Not thread-safe.
#ifndef MEC_BENCH_SIM_H
#define MEC_BENCH_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- policies

struct sim_policy {
    const char *name;
    // A cache for keys below `keys`; NULL: no memory.
    void *(*create)(uint32_t keys, uint64_t capacity_bytes);
    // A get. True: hit. A miss admits the key.
    bool (*get)(void *cache, uint32_t key, uint32_t size);
    void (*destroy)(void *cache);
};
extern const struct sim_policy sim_lru, sim_arc, sim_s3fifo, sim_sieve;

#define SIM_POLICIES 4
extern const struct sim_policy *const sim_policies[SIM_POLICIES];

// ---- traces

enum sim_workload {
    SIM_ZIPF, // Zipf(0.99) over keys of one size
    SIM_SCAN, // the same, a full scan of all keys now and then, and one get in twenty of a key that never comes again
    SIM_MIXED, // Zipf(0.99) over keys of many sizes (log-uniform), whose popular ones change
    SIM_WORKLOADS
};
const char *sim_workload_name(enum sim_workload workload);

struct sim_shape {
    enum sim_workload workload;
    uint32_t keys; // that are popular to some degree; one-off keys come on top
    uint32_t size; // of a key in memory, bytes; SIM_MIXED: the mean, about
    size_t gets;
    uint64_t seed;
    double skew; // of Zipf's law; 0: 0.99
};

struct sim_trace {
    uint32_t *gets; // keys
    size_t count;
    uint32_t *sizes; // of each key
    uint32_t keys;   // all, one-off keys too
    uint64_t bytes;  // of all keys
};
// False: no memory. sim_trace_free() in any case.
bool sim_trace_make(struct sim_trace *trace, const struct sim_shape *shape);
void sim_trace_free(struct sim_trace *trace);

// A trace as a file: "KVTRACE1", then little-endian keys (4 bytes), gets (8), the sizes (4 each), the gets (4 each). 0, or an
// errno value; EPROTO: not such a file.
int sim_trace_write(const struct sim_trace *trace, const char *path);
int sim_trace_read(struct sim_trace *trace, const char *path);

// ---- running

// Hit ratio over the gets from `from` on; those before warm the cache. Negative: no memory.
double sim_run(const struct sim_policy *policy, const struct sim_trace *trace, uint64_t capacity_bytes,
               size_t from);

// LRU's exact hit ratios at `points` ascending capacities in one pass, from the stack distances (Mattson, Gecsei, Slutz, Traiger:
// Evaluation techniques for storage hierarchies. IBM Systems Journal 9(2), 1970), kept in a Fenwick tree over the times of the last
// gets. Distances are bytes: those of all keys asked for since, and the key's own. False: no memory.
bool sim_lru_curve(const struct sim_trace *trace, size_t from, const uint64_t *capacities, size_t points,
                   double *hit_ratios);

#endif
