// Reads a segment file from front to back, item by item, whatever state it is in. For recovery, compaction
// and checking.
//
// Damage stays where it is: a record whose lengths hold but whose key or value does not is one item and the
// next begins behind it; when the lengths do not hold either, the walk goes on at the next place (records
// begin at multiples of 16) where a record's fixed fields hold. Those are keyed with the store's seed and the
// place, so bytes inside values are not taken for records.
//
// What the device does not give is found out in steps of 4 KiB: the rest is read. A record whose value cannot be
// read is a record; any other place is an item of its own, up to where the next record begins.
#ifndef MEC_KVSTORE_KV_WALK_H
#define MEC_KVSTORE_KV_WALK_H

#include "kvstore/kv_format.h"

#define KV_WALK_BYTES (1024u * 1024) // of memory, and of a read

enum kv_item_kind {
    KV_ITEM_RECORD,  // head and key hold
    KV_ITEM_DAMAGED, // bytes that are no record
    KV_ITEM_ZERO,    // zeros: a hole, or space that was never written
    KV_ITEM_TORN,    // the file ends before the record does; nothing follows
    KV_ITEM_UNREADABLE, // the device refuses to read it, or what is left of a record there; it may be readable another time
    KV_ITEM_END,
};

struct kv_item {
    enum kv_item_kind kind;
    uint64_t offset, size; // of the item in the file
    // of a record
    struct kv_record record;
    enum kv_mark mark;
    bool marks_erased;    // of a damaged mark: it is nearer to that of an erased record than to none
    const uint8_t *key;   // valid until the next call
    const uint8_t *value; // likewise; NULL: larger than the buffer, read it from the file
    bool value_holds;     // its checksum does
    bool value_zero;      // it is zeros throughout
    bool unreadable; // the device refuses to read the value, or part of it: neither of the above is known
    int error;       // of what is unreadable: the errno value
};

struct kv_walk {
    const struct kv_seeds *seeds;
    int fd;
    uint64_t segment;
    uint64_t at, end; // next item, end of the walk
    uint8_t *buf;
    uint64_t buf_at; // file offset of buf[0]
    size_t buf_len;
    uint64_t refused_at; // the last 4 KiB block that could not be read begins here, or before it
    int refused;         // its errno value; 0: there was none
};

// Walks [KV_SEGMENT_HEAD, end) of a segment. False: no memory.
bool kv_walk_begin(struct kv_walk *walk, const struct kv_seeds *seeds, uint64_t segment, int fd,
                   uint64_t end);

// The next item. Returns 0, or ENOMEM.
int kv_walk_next(struct kv_walk *walk, struct kv_item *item);

// Wipes and frees the buffer.
void kv_walk_end(struct kv_walk *walk);

#endif
