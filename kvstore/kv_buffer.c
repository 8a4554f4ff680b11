#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// A record of 4 KiB, of up to 24 KiB, all that are read in one piece, and pieces of larger ones.
static const struct {
    size_t capacity;
    unsigned keep;
} kinds[KV_BUFFER_KINDS] = {
    {8u << 10, 144}, // the asynchronous gets' in flight, and some more
    {32u << 10, 8},
    {(256u << 10) + 2 * KV_BUFFER_ALIGN, 4},
    {(1u << 20) + 2 * KV_BUFFER_ALIGN, 2},
};

void kv_buffers_init(struct kv_buffers *buffers)
{
    (void)pthread_mutex_init(&buffers->lock, NULL);
}

// Memory that stays out of core dumps. The kinds that are kept are mapped: side by side they are one mapping to
// the kernel, however many there are. Larger ones are few, and malloc's: it may have their pages at hand.
static void *take_data(unsigned kind, size_t capacity)
{
    void *data;
    if (kind < KV_BUFFER_KINDS)
        data = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    else if (posix_memalign(&data, KV_BUFFER_ALIGN, capacity) != 0)
        data = MAP_FAILED;
    if (data == MAP_FAILED)
        return NULL;
    (void)madvise(data, capacity, MADV_DONTDUMP);
    return data;
}

static void give_data(unsigned kind, void *data, size_t capacity)
{
    if (kind < KV_BUFFER_KINDS) {
        (void)munmap(data, capacity);
        return;
    }
    (void)madvise(data, capacity, MADV_DODUMP);
    free(data);
}

static void buffer_free(struct kv_store *store, struct kv_buffer *buffer)
{
    kv_account(store, -(int64_t)buffer->capacity);
    give_data(buffer->kind, buffer->data, buffer->capacity);
    free(buffer);
}

void kv_buffers_destroy(struct kv_store *store, struct kv_buffers *buffers)
{
    for (unsigned kind = 0; kind < KV_BUFFER_KINDS; kind++) {
        for (struct kv_buffer *buffer; (buffer = buffers->kept[kind]) != NULL;) {
            buffers->kept[kind] = buffer->next;
            buffer_free(store, buffer);
        }
        buffers->count[kind] = 0;
    }
    (void)pthread_mutex_destroy(&buffers->lock);
}

void kv_buffer_abandon(struct kv_buffer *buffer)
{
    // Kept in reach, so that it is no leak to a tool that looks for leaks.
    static _Atomic(struct kv_buffer *) abandoned;
    buffer->next = atomic_load(&abandoned);
    while (!atomic_compare_exchange_weak(&abandoned, &buffer->next, buffer)) {
    }
}

static struct kv_buffer *take_kept(struct kv_buffers *buffers, unsigned kind)
{
    (void)pthread_mutex_lock(&buffers->lock);
    struct kv_buffer *buffer = buffers->kept[kind];
    if (buffer != NULL) {
        buffers->kept[kind] = buffer->next;
        buffers->count[kind]--;
    }
    (void)pthread_mutex_unlock(&buffers->lock);
    return buffer;
}

struct kv_buffer *kv_buffer_take(struct kv_store *store, size_t size)
{
    unsigned kind = 0;
    while (kind < KV_BUFFER_KINDS && kinds[kind].capacity < size)
        kind++;
    struct kv_buffer *buffer = kind < KV_BUFFER_KINDS ? take_kept(&store->readers.buffers, kind) : NULL;
    if (buffer != NULL)
        return buffer;
    buffer = calloc(1, sizeof *buffer);
    if (buffer == NULL)
        return NULL;
    buffer->kind = kind;
    buffer->capacity = kind < KV_BUFFER_KINDS ? kinds[kind].capacity
                                              : (size + KV_BUFFER_ALIGN - 1) & ~(size_t)(KV_BUFFER_ALIGN - 1);
    buffer->data = take_data(kind, buffer->capacity);
    if (buffer->data == NULL) {
        free(buffer);
        return NULL;
    }
    kv_account(store, (int64_t)buffer->capacity);
    return buffer;
}

void kv_buffer_give(struct kv_store *store, struct kv_buffer *buffer)
{
    if (buffer == NULL)
        return;
    explicit_bzero(buffer->data, buffer->used);
    buffer->used = 0;
    unsigned kind = buffer->kind;
    if (kind < KV_BUFFER_KINDS) {
        struct kv_buffers *buffers = &store->readers.buffers;
        (void)pthread_mutex_lock(&buffers->lock);
        bool keep = buffers->count[kind] < kinds[kind].keep;
        if (keep) {
            buffer->next = buffers->kept[kind];
            buffers->kept[kind] = buffer;
            buffers->count[kind]++;
        }
        (void)pthread_mutex_unlock(&buffers->lock);
        if (keep)
            return;
    }
    buffer_free(store, buffer);
}
