// Reading the log at open: all of it, or what lies behind an index snapshot. DESIGN.md, "Recovery".
#ifndef MEC_KVSTORE_KV_REPLAY_H
#define MEC_KVSTORE_KV_REPLAY_H

#include "kvstore/kv_seen.h"
#include "kvstore/kv_snapshot.h"

struct kv_log_read {
    struct kv_store *store;
    struct kv_seen *seen;
    const struct kv_snapshot *snapshot; // records in front of its positions do not count; NULL: all do
    struct kv_item *last;               // the last item of each segment of the list; owned
    size_t first;                       // segments of the list from here on are read
    _Atomic size_t next;
    _Atomic int status;
};

// Reads the segments, by two threads. With a snapshot, KV_CORRUPT: there is damage, and the snapshot must not be relied on.
enum kv_status kv_log_read(struct kv_log_read *read);
void kv_log_read_free(struct kv_log_read *read);

// When the index is as it should be: cuts what a crash left at the ends of the segments that were read, and makes the last
// segment the active one if it can be appended to.
void kv_log_settle(const struct kv_log_read *read);

// Takes the records that the snapshot's slots of the keys in `seen` point to as further records, and these slots out of the
// index. KV_CORRUPT: one cannot be told, or a slot's segment is gone and its record is in no other.
enum kv_status kv_replay_slots(struct kv_store *store, struct kv_seen *seen, struct kv_snapshot *snapshot);

// Queues the snapshot's erasures that are still due. After kv_seen_index(). KV_CORRUPT as above.
enum kv_status kv_replay_erasures(struct kv_store *store, const struct kv_snapshot *snapshot);

#endif
