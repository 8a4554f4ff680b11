// Values that were replaced and wait for the eraser, in the order of time: a list of blocks of 64 KiB, each of which is taken when the one before
// is full and given back when it is empty, so that nobody who adds one waits for a copy of the others.
//
// 16 bytes each: the place, the size class, the record that superseded it, and when. How long key and value are the record's head says
// when its time has come (`by_head`); it lies in a block of the device that has to be read for the overwriting anyway.
//
// No function takes a lock: the caller holds that of the queue, and each does a bounded part of the work at a time (a block, or `most`).
#ifndef MEC_KVSTORE_KV_ERASE_LIST_H
#define MEC_KVSTORE_KV_ERASE_LIST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_store;

// A record whose value is to be overwritten once everything up to lsn is on the device.
struct kv_erasure {
    uint64_t where; // place on disk
    uint64_t lsn;
    uint32_t value_len;
    uint16_t key_len;
    uint8_t size_class;
    bool unreadable; // the head could not be read: the lengths are unknown
    bool whole;      // head and key as well: the record shall say nothing any more
    bool by_head;    // the lengths are what the head says
    bool unsure;     // taken from a snapshot as it was: not if the index points to it
};

#define KV_WAITING_BYTES 16u
#define KV_WAITING_TICKS 4096u // of erase_within_ms

struct kv_erase_block;
enum kv_erase_cursor { KV_ERASE_SWEEP, KV_ERASE_EACH, KV_ERASE_CURSORS };
struct kv_erase_list {
    struct kv_erase_block *first, *last;
    struct kv_erase_block *next[KV_ERASE_CURSORS]; // the block that a walk comes to next; NULL: it is through
    _Atomic size_t count;                          // changed under the lock
};

// What is due: superseded by a record up to `lsn`, and `age` ticks old (0: of any age).
struct kv_due {
    uint64_t lsn;
    uint16_t age, now;
};

// What is no more: every segment from 1 to `newest` that is not listed, and of those that are what lies below their punched_to.
struct kv_gone_segment {
    uint64_t id, punched_to;
};
struct kv_gone {
    const struct kv_gone_segment *segments; // by ascending id
    size_t count;
    uint64_t newest;
};

// False: no memory, or an lsn that does not fit. `whole` ones are not for here.
bool kv_erase_list_add(struct kv_store *store, struct kv_erase_list *list, const struct kv_erasure *erasure,
                       uint16_t tick);
// Takes up to `most` that are due; the others stay, in order. It looks no further than the first that is too young.
size_t kv_erase_list_take(struct kv_store *store, struct kv_erase_list *list, const struct kv_due *due,
                          struct kv_erasure *out, size_t most);

// A walk, a block a step; the lock may be let go between steps. False: it is through. While another goes on nothing is passed over by either, but
// may be met twice.
void kv_erase_list_begin(struct kv_erase_list *list, enum kv_erase_cursor cursor);
// Drops what is no more, and closes gaps between blocks.
bool kv_erase_list_sweep(struct kv_store *store, struct kv_erase_list *list, const struct kv_gone *gone);
// Calls fn for those of a block; *ok: false once it has returned false.
bool kv_erase_list_each(struct kv_erase_list *list, bool (*fn)(void *arg, const struct kv_erasure *erasure),
                        void *arg, bool *ok);

// Gives back the blocks of a list that nobody else sees.
void kv_erase_list_free(struct kv_store *store, struct kv_erase_list *list);

#endif
