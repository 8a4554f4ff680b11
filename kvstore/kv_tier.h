// The memory tier: records in chunks of 2 MiB of one reserved address range. Giving memory back is dropping a
// chunk's pages.
//
//   chunk   [ head │ value │ key │ pad ] [ head │ value │ key │ pad ] ... filled from the front, never reused in parts
//
// Records are appended to the open chunk. When there may be no further chunk, the oldest sealed one is
// reclaimed: of its records those that were read since they were admitted are copied to the open chunk (at
// most half a chunk of them), the others are dropped. Records over half a chunk are not kept in memory.
//
// Pins. A record's refs counts its readers; whoever wants to read takes one with the shard's lock held, while
// the index points to the record. A record that the index no longer points to is unreachable; a chunk is
// given back when its last pin is gone. A record that was deleted is marked dead, and its last reader wipes
// it before letting go.
#ifndef MEC_KVSTORE_KV_TIER_H
#define MEC_KVSTORE_KV_TIER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_CHUNK_BYTES (2u * 1024 * 1024)
#define KV_MEM_MAX     (KV_CHUNK_BYTES / 2)
#define KV_MEM_DEAD    0x80000000u

// A record in memory; 16-byte aligned, and so is its value.
struct kv_mem {
    _Atomic uint32_t refs; // pins, and KV_MEM_DEAD
    uint32_t size;         // all of it, a multiple of 16
    uint64_t disk;         // its place on disk (shard lock)
    uint64_t hash;
    uint32_t value_len;
    uint16_t key_len;
    uint16_t zero;
    uint8_t data[]; // value, key
};

enum kv_chunk_state { KV_CHUNK_FREE, KV_CHUNK_OPEN, KV_CHUNK_SEALED, KV_CHUNK_RECLAIMING, KV_CHUNK_ZOMBIE };

struct kv_chunk {
    _Atomic uint32_t state;
    uint32_t used; // bytes filled
    uint32_t next; // in its list: free, sealed or zombie
};

struct kv_tier {
    uint8_t *base;
    size_t reserved; // chunks in the range
    struct kv_chunk *chunks;
    pthread_mutex_t lock; // guards all below and kv_chunk.used, .next
    uint32_t open;        // KV_NO_CHUNK: none
    uint32_t free_head;
    uint32_t sealed_head, sealed_tail; // oldest first
    uint32_t fresh;                    // chunks from here on have never been used
    _Atomic size_t held;               // chunks that are not free
    pthread_mutex_t evict_lock;        // one reclaimer at a time
    _Atomic uint64_t limit_bytes;      // of the whole store
};
#define KV_NO_CHUNK UINT32_MAX

struct kv_store;
struct kv_slot;
struct kv_shard;

bool kv_tier_init(struct kv_tier *tier, uint64_t limit_bytes);
void kv_tier_destroy(struct kv_tier *tier);

// Space for a record, pinned once, head filled in except `disk`; the index does not know it yet. NULL: not
// worth or not possible to keep in memory. The caller fills data, then either installs it under the shard's
// lock (kv_tier_usable() first) or kills it; then unpins.
struct kv_mem *kv_tier_reserve(struct kv_store *store, uint64_t hash, size_t key_len, size_t value_len);

// Whether the index may be pointed at it: false when its chunk is being reclaimed. Shard lock held.
bool kv_tier_usable(struct kv_tier *tier, const struct kv_mem *mem);

struct kv_mem *kv_tier_mem(struct kv_tier *tier, uint64_t where);
uint64_t kv_tier_where(const struct kv_tier *tier, const struct kv_mem *mem);

static inline const uint8_t *kv_mem_value(const struct kv_mem *mem)
{
    return mem->data;
}
static inline const uint8_t *kv_mem_key(const struct kv_mem *mem)
{
    return mem->data + mem->value_len;
}

void kv_mem_pin(struct kv_mem *mem);
void kv_mem_unpin(struct kv_store *store, struct kv_mem *mem);
// Unpins, and has the record wiped now or when its last reader lets go.
void kv_mem_kill(struct kv_store *store, struct kv_mem *mem);

// Reclaims chunks until the tier is within its budget. Waits for nobody's pin: a pinned chunk follows when it
// is released.
void kv_tier_fit(struct kv_store *store);

#endif
