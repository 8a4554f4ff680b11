// Opening: the index from its snapshot and the log behind it, or from the whole log. DESIGN.md, "Recovery"; the rules are in
// kv_seen.h.
//
// Values that lost and are still in the files were being erased when the process died: they are erased now, after what
// supersedes them is on the device. So is a copy that compaction did not get to erase.
#include "kvstore/kv_internal.h"

#include "kvstore/kv_replay.h"

#define SEQ_STRIDE 65536u // seqs left out at each open, in case the last records cannot be read this time

// Reads the log (behind the snapshot, or all of it), decides, fills the index.
static enum kv_status read_and_decide(struct kv_store *store, struct kv_snapshot *snapshot)
{
    struct kv_log_read read = {.store = store, .seen = kv_seen_create(store), .snapshot = snapshot};
    enum kv_status status = read.seen != NULL ? kv_log_read(&read) : KV_NO_MEMORY;
    if (status == KV_OK && snapshot != NULL)
        status = kv_replay_slots(store, read.seen, snapshot);
    if (status == KV_OK && !kv_seen_index(read.seen))
        status = KV_NO_MEMORY;
    if (status == KV_OK && snapshot != NULL)
        status = kv_replay_erasures(store, snapshot);
    if (status == KV_OK)
        status = kv_seen_erase_losers(read.seen);
    if (status == KV_OK) {
        uint64_t seq = kv_seen_max_seq(read.seen);
        if (snapshot != NULL && snapshot->next_seq > seq)
            seq = snapshot->next_seq;
        store->next_seq = seq + SEQ_STRIDE;
        kv_log_settle(&read);
    }
    kv_log_read_free(&read);
    kv_seen_destroy(read.seen);
    return status;
}

// What an attempt that was given up has left.
static void start_over(struct kv_store *store, uint64_t damaged)
{
    kv_index_destroy(&store->index);
    kv_index_init(&store->index);
    kv_erase_forget(store);
    for (size_t i = 0; i < store->segments.count; i++) {
        atomic_store(&store->segments.list[i]->live_bytes, 0);
        atomic_store(&store->segments.list[i]->live_count, 0);
    }
    atomic_store(&store->damaged_records, damaged);
}

// KV_CORRUPT: not by this snapshot. Too little memory may be a matter of what the snapshot says as well.
static enum kv_status recover_by_snapshot(struct kv_store *store)
{
    struct kv_snapshot snapshot;
    enum kv_status status = kv_snapshot_load(store, &snapshot);
    if (status == KV_OK)
        status = read_and_decide(store, &snapshot);
    if (status == KV_OK) {
        kv_snapshot_stands(store, &snapshot);
        store->snapshot_keys = snapshot.keys;
    }
    kv_snapshot_free(&snapshot);
    return status == KV_OK || status == KV_NOT_FOUND ? status : KV_CORRUPT;
}

// Before anything is erased, what supersedes it has to be on the device: the process before may have left it in the page
// cache. What the eraser has been given it begins with when it is started.
static enum kv_status finish_erasures(struct kv_store *store)
{
    if (kv_erase_pending(store) == 0)
        return KV_OK;
    enum kv_status status = kv_commit_all(store);
    return status == KV_OK ? kv_erase_upto(store, 0, false) : status;
}

enum kv_status kv_recover(struct kv_store *store)
{
    uint64_t damaged = atomic_load(&store->damaged_records);
    enum kv_status status = recover_by_snapshot(store);
    if (status == KV_CORRUPT) { // it must not be tried again on what is going to be written
        start_over(store, damaged);
        store->snapshots.low = 0;
        status = kv_snapshot_remove(store);
        if (status == KV_OK)
            status = KV_NOT_FOUND;
    }
    if (status == KV_NOT_FOUND)
        status = read_and_decide(store, NULL);
    if (status == KV_OK)
        status = finish_erasures(store);
    return status;
}
