// Buffers for reading records: aligned for O_DIRECT, kept for the next read, wiped before that.
//
// A store keeps a few of each size; what is beyond is given back to the system. Values may be private keys:
// whoever gives a buffer back says how many of its bytes were used, and those are wiped.
#ifndef MEC_KVSTORE_KV_BUFFER_H
#define MEC_KVSTORE_KV_BUFFER_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define KV_BUFFER_ALIGN 4096u
#define KV_BUFFER_KINDS 4u // sizes that are kept

struct kv_store;

struct kv_buffer {
    uint8_t *data;
    size_t capacity;
    size_t used; // bytes at the front that the next kv_buffer_give() wipes
    unsigned kind;
    struct kv_buffer *next; // while it is kept
};

struct kv_buffers {
    pthread_mutex_t lock; // a leaf
    struct kv_buffer *kept[KV_BUFFER_KINDS];
    unsigned count[KV_BUFFER_KINDS];
};

void kv_buffers_init(struct kv_buffers *buffers);
// All have been given back.
void kv_buffers_destroy(struct kv_store *store, struct kv_buffers *buffers);

// At least `size` bytes, `used` 0. NULL: no memory. Any thread.
struct kv_buffer *kv_buffer_take(struct kv_store *store, size_t size);
// Wipes and keeps or frees it. NULL is fine.
void kv_buffer_give(struct kv_store *store, struct kv_buffer *buffer);
// Never to be used again: the kernel may still write to it.
void kv_buffer_abandon(struct kv_buffer *buffer);

#endif
