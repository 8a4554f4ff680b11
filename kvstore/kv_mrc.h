// What memory is worth: a sampled miss-ratio curve of an LRU cache over the gets of a store, in fixed memory.
//
// Fixed-size SHARDS with its adjustment (Waldspurger, Park, Garthwaite, Ahmad: Efficient MRC Construction
// with SHARDS. FAST 2015). A key is sampled when its rank, a rotation of its keyed hash, is below a
// threshold; so all gets of a key are seen or none. The stack distance of a sampled get, which is the size of
// the sampled keys asked for since its last one, is scaled by 1 / (the sampled share), and counts for as many
// gets. When there would be too many samples the highest rank goes and the threshold falls to it. The gets
// that there were, less those that the samples stand for, are added at the smallest size: they are the excess
// or lack of popular keys among the samples.
//
// Sizes are bytes in memory. Old gets count less and less: all counts are halved after eight times as many
// gets as there are keys (a million at least), so that the curve follows a change of what is asked for.
//
// Distances are summed over an array of the samples in the order of their last gets, in blocks with a sum
// each: a get of a key that is popular, and so near the end, costs little.
//
// Cost: one compare a get. One get in 16 at most is sampled once there are more than 1,024 keys (of less, all
// of them), and takes 50 to 200 ns under a lock; while another thread has it, the sample is dropped and
// accounted for. 720 KiB in all.
//
// Accuracy: mean absolute error below 0.02, below 0.01 as a rule, against exact curves
// (tests/unit/kvstore/test_kv_mrc.c).
#ifndef MEC_KVSTORE_KV_MRC_H
#define MEC_KVSTORE_KV_MRC_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_mrc_state;

struct kv_mrc {
    alignas(64) _Atomic uint64_t threshold; // ranks below it are sampled; 0: none are
    alignas(64) pthread_mutex_t lock;       // guards state; taken before any shard's lock
    struct kv_mrc_state *state;
    _Atomic uint64_t dropped; // gets that samples stood for which were dropped
    // How many gets of keys that are there have been, sampled or not. Called with `lock` held.
    uint64_t (*gets)(void *arg);
    void *arg;
};

// False: no memory.
bool kv_mrc_init(struct kv_mrc *mrc, uint64_t (*gets)(void *arg), void *arg);
void kv_mrc_destroy(struct kv_mrc *mrc);
size_t kv_mrc_bytes(void); // that it takes

static inline uint64_t kv_mrc_rank(uint64_t hash)
{
    return (hash & ~0xffull) << 16 |
           hash >> 48; // the top bits choose the shard, the low 8 are not known of a slot
}

void kv_mrc_sample(struct kv_mrc *mrc, uint64_t hash, uint64_t bytes);

// Takes note of a get of a key that is there, hit or miss, that takes so many bytes in memory. No shard's
// lock is held.
static inline void kv_mrc_note(struct kv_mrc *mrc, uint64_t hash, uint64_t bytes)
{
    if (__builtin_expect(kv_mrc_rank(hash) < atomic_load_explicit(&mrc->threshold, memory_order_relaxed), 0))
        kv_mrc_sample(mrc, hash, bytes);
}

// The key is gone. No shard's lock is held.
void kv_mrc_forget_sample(struct kv_mrc *mrc, uint64_t hash);
static inline void kv_mrc_forget(struct kv_mrc *mrc, uint64_t hash)
{
    if (kv_mrc_rank(hash) < atomic_load_explicit(&mrc->threshold, memory_order_relaxed))
        kv_mrc_forget_sample(mrc, hash);
}

// All keys are gone: it begins anew. No shard's lock is held.
void kv_mrc_forget_all(struct kv_mrc *mrc);

// The hit ratios at `count` ascending sizes. False: too little has been asked for.
bool kv_mrc_hits(struct kv_mrc *mrc, const uint64_t *sizes, size_t count, double *hit_ratios);

#endif
