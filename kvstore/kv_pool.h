// Threads that read with pread(), for ports that have no ring: io_uring disabled, blocked, or not wanted.
//
// Threads are started as reads queue up, KV_POOL_THREADS at most, and stay until the store is closed. A
// queued read belongs to the pool until its port has it back.
#ifndef MEC_KVSTORE_KV_POOL_H
#define MEC_KVSTORE_KV_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

// A device's random reads a second grow with the depth up to some 128; beyond 32 threads the switching takes
// what the depth gives.
#define KV_POOL_THREADS 32u

struct kv_disk_read;
struct kv_port;
struct kv_store;

struct kv_pool {
    pthread_mutex_t lock; // guards all below; a leaf
    pthread_cond_t work;
    struct kv_disk_read *first, **last; // queued
    size_t queued;
    unsigned idle, count;
    bool stopping;
    pthread_t threads[KV_POOL_THREADS];
};

void kv_pool_init(struct kv_pool *pool);
// Nothing is queued or being read.
void kv_pool_destroy(struct kv_pool *pool);

// Queues a list of `count` reads, linked by `next`; each `port` gets them back through kv_port_done(). False:
// there are no threads, and the reads are still the caller's.
bool kv_pool_push(struct kv_store *store, struct kv_disk_read *list, struct kv_disk_read **list_end,
                  size_t count);

#endif
