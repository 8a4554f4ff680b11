// Overwriting values that are gone: what waits for it, and who does it when (kv_erase.c, kv_erase_queue.c, kv_eraser.c). For kv_internal.h, which the
// engine's files include.
#ifndef MEC_KVSTORE_KV_ERASE_H
#define MEC_KVSTORE_KV_ERASE_H

#include <pthread.h>

#include "kvstore/kv.h"
#include "kvstore/kv_erase_list.h"

struct kv_erasures {
    struct kv_erasure *items; // from `first` on, in the order of time, and about in that of lsn
    size_t first, capacity;
    _Atomic size_t count; // changed under the lock
};
// Replaced values that wait at most (then those who put do): they take a 64th of the limit. The most is what compaction, keeping to
// dead_percent, leaves of values of 4 KiB in a store of 32 GiB.
#define KV_ERASE_LEAST 1024u
#define KV_ERASE_MOST  (4u * 1024 * 1024)
// When more than this wait, or a sixteenth of what may, kv_close() leaves them to the snapshot, and kv_open() to the eraser.
#define KV_ERASE_AT_ONCE (16u * 1024)

struct kv_erase_batch;
struct kv_erase_queue {
    pthread_mutex_t lock;
    pthread_cond_t done, wake;      // a batch is; the eraser has something to do
    struct kv_erasures prompt;      // whoever made them so erases them
    struct kv_erase_list later;     // replaced, with KV_FSYNC_INTERVAL and KV_FSYNC_NEVER: the eraser does
    struct kv_erase_batch *running; // batches taken from the queue and not yet finished
    uint64_t begun;                 // how many have been taken
    _Atomic unsigned
        removals; // how often compaction has removed something: what waits for it need not any more
    // The eraser's.
    pthread_t thread;
    bool runs, stops;
    struct kv_erasure *buf;
    unsigned swept_for;   // removals
    uint64_t sweep_at_ms; // not before
};

bool kv_erase_init(struct kv_erase_queue *queue);
void kv_erase_destroy(struct kv_store *store);
// Takes note of a record that is no longer current. Called with the shard's write lock held, before the new
// state can be acknowledged, so that compaction never sees the old record forgotten but not erased. Never
// fails: without memory it erases at once (after a sync).
void kv_erase_later(struct kv_store *store, const struct kv_erasure *erasure);
// The same for a value that was replaced: with KV_FSYNC_INTERVAL and KV_FSYNC_NEVER the eraser's.
void kv_erase_replaced(struct kv_store *store, const struct kv_erasure *erasure);
// Waits for what is being erased right now, whatever its lsn. What is begun later sees store->compacting.
void kv_erase_wait_running(struct kv_store *store);
// Erases all that were noted with an lsn up to this one, and waits for those that other threads are at; of what the
// eraser has only if `replaced`. The caller has seen to it that the log is durable up to lsn, as far as its policy asks for that.
enum kv_status kv_erase_upto(struct kv_store *store, uint64_t lsn, bool replaced);
// Takes up to `most` that are due, of those that the eraser sees to (`later`) or of the others, and erases them. `buf` has room for twice as
// many. False: there was none, or it failed. queue->lock is held, but not while erasing.
bool kv_erase_some(struct kv_store *store, bool later, const struct kv_due *due, struct kv_erasure *buf,
                   size_t most, enum kv_status *status);
// The time, as what waits for the eraser counts it: erase_within_ms is *age ticks, 0: none.
uint16_t kv_erase_tick(const struct kv_store *store, uint16_t *age);
// Takes over from a snapshot what was not yet overwritten (`unsure`, lsn 0), before anything else is noted: the eraser does that as soon as it can.
// False: no memory. The log is synced before the eraser begins.
bool kv_erase_resume(struct kv_store *store, const struct kv_erasure *erasure);
// Whether so many wait that kv_close() and kv_open() do not.
bool kv_erase_is_long(struct kv_store *store, size_t count);
// Whether so many wait that compaction should make an effort, so that they need not be overwritten before their time.
bool kv_erase_is_crowded(struct kv_store *store);
// Compaction has punched a part of a segment out, or removed one.
void kv_erase_removed(struct kv_store *store);
// Drops from the queue what compaction has removed. The eraser, or who has stopped it.
void kv_erase_sweep(struct kv_store *store);
int kv_eraser_start(struct kv_store *store); // errno
void kv_eraser_stop(struct kv_store *store);
// Nothing of what was noted is needed any more. The locks of all writers are held.
void kv_erase_forget(struct kv_store *store);
size_t kv_erase_pending(struct kv_store *store);
// Calls fn for every erasure that is queued or being worked at, under the queue's lock, until it returns false; false then. The lock is let go now
// and then: what is noted or finished meanwhile may be left out, some may come twice. One caller at a time.
bool kv_erase_each(struct kv_store *store, bool (*fn)(void *arg, const struct kv_erasure *erasure),
                   void *arg);
// Overwrites now, the original of a record that compaction is moving as well.
enum kv_status kv_erase_now(struct kv_store *store, const struct kv_erasure *erasure);
// Whether the index points to it.
bool kv_erase_is_current(struct kv_store *store, const struct kv_erasure *erasure);
// Overwrites just this place.
enum kv_status kv_erase_place(struct kv_store *store, const struct kv_erasure *erasure);
// The same for who holds moved.lock.
enum kv_status kv_erase_place_locked(struct kv_store *store, const struct kv_erasure *erasure);

#endif
