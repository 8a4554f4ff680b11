// What the engine's files share: the store itself and the steps between its parts. Not for use outside
// kvstore/kv_*.c. Which file has what: README.md.
//
// Lock order (take from left to right, any may be left out):
//   batch_lock → write_gate → shard.write → append_lock → manifest_lock → segments.lock
//   a writer of one key holds write_gate shared and its shard.write; a batch holds write_gate alone, which is
//   every shard's
//   compact_lock → snapshots.lock → write_gate;  shard.write → shard.lock → tier.lock
//   shard.write → snapshots.file_lock (a leaf, held across renaming and unlinking INDEX)
//   mrc.lock → shard.lock (never the other way round);  warm.lock is a leaf
//   shard.write → moved.lock → segments.lock, dirty.lock, error_lock; moved.lock is held across overwriting
//   and punching
//   kv_clear(): compact_lock → write_gate alone → snapshots.file_lock; append_lock and what follows it → dirty.lock;
//   shard.lock; erase.lock; mrc.lock; evict_lock → tier.lock
//   kv_export(), as it begins: compact_lock → write_gate alone → append_lock; exports.lock, a leaf; then none
//   evict_lock → shard.lock;  sync_lock, erase.lock and error_lock are leaves, never held across another lock
//   or I/O
#ifndef MEC_KVSTORE_KV_INTERNAL_H
#define MEC_KVSTORE_KV_INTERNAL_H

#include "kvstore/kv.h"
#include "kvstore/kv_erase.h"
#include "kvstore/kv_format.h"
#include "kvstore/kv_index.h"
#include "kvstore/kv_io.h"
#include "kvstore/kv_miss.h"
#include "kvstore/kv_mrc.h"
#include "kvstore/kv_os.h"
#include "kvstore/kv_port.h"
#include "kvstore/kv_segment.h"
#include "kvstore/kv_snapshot.h"
#include "kvstore/kv_tier.h"
#include "kvstore/kv_warm.h"

#define KV_ERROR_TEXT 256

// Records that are in the index and not yet in the file, the last ones of the active segment (kv_held.c). append_lock.
struct kv_held {
    uint8_t *bytes; // NULL: never used
    _Atomic size_t len;
    uint64_t offset;      // in the file
    uint64_t reserved_to; // the active segment has blocks up to here
    uint64_t refused_for; // the segment for which there was no space
};

// Records that compaction has copied from its victim and not yet overwritten there.
#define KV_MOVE_BATCH 1024
struct kv_moved {
    pthread_mutex_t
        lock; // held also while an old copy is overwritten, or what has been emptied is punched out
    struct {
        struct kv_erasure from;
        uint64_t to;
    } items[KV_MOVE_BATCH];
    size_t count;
    uint64_t bytes;
};

// Segments written to since their last fdatasync; each is in the list once and has a reference.
struct kv_dirty {
    pthread_mutex_t lock; // a leaf
    struct kv_segment *first;
};

// A run of bytes of a block on its way to the file.
struct kv_part {
    int fd, buffered_fd; // buffered_fd: when the file system refuses the direct write after all
    const uint8_t *bytes;
    size_t len;
    uint64_t offset;
};
#define KV_PARTS        8u
#define KV_PART_THREADS 4u
// The threads that write the parts of blocks (kv_block.c), started at the first large one.
struct kv_part_writers {
    pthread_mutex_t lock; // a leaf
    pthread_cond_t work, done;
    struct kv_part queue[KV_PARTS];
    unsigned first, count; // queued
    unsigned busy;         // being written
    int error;             // the first since the last wait
    bool stop;
    unsigned started;
    pthread_t threads[KV_PART_THREADS];
};

// The thread that sees to things before an append has to wait for them (kv_ahead.c).
struct kv_ahead {
    pthread_mutex_t lock; // a leaf
    pthread_cond_t wake;
    bool work, stop, runs;
    pthread_t thread;
    struct kv_segment *ready; // append_lock: made and listed, still empty; a reference. The next active one
    uint64_t started_to;      // append_lock: writeback of the active segment has been asked for up to here
    uint64_t failed_for;      // append_lock: with this segment active, making the next one failed
};

// Exports under way.
struct kv_export_run;
struct kv_exports {
    pthread_mutex_t lock; // a leaf
    struct kv_export_run *first;
};

struct kv_store {
    struct kv_options options;
    char *dir;
    int lock_fd;
    struct kv_seeds seeds; // constant after open
    struct kv_segments segments;
    struct kv_index index;
    struct kv_tier tier;
    _Atomic int64_t accounted_bytes; // kv_account()
    struct kv_readers readers;

    pthread_mutex_t append_lock; // one writer at a time at the end of the log; guards the next four
    struct kv_segment *active;   // a reference of the store's own; NULL: the next append makes one
    uint64_t next_seq;
    uint64_t last_lsn;
    bool tail_bad; // the active segment's end could not be cut after a failed write

    struct kv_held held;

    // Blocks (kv_block.c); append_lock guards the next four.
    int direct_fd;       // a second descriptor of the active segment, O_DIRECT; -1: not opened
    bool direct_refused; // the file system has no O_DIRECT
    uint64_t extend_step;
    uint64_t
        active_allocated; // the active segment's file has blocks up to here, and its size is at least this much
    bool active_extended; // the file is longer than the segment: cut when it is sealed
    struct kv_part_writers parts;
    pthread_mutex_t batch_lock;  // one kv_put_batch() at a time; guards its buffers
    pthread_rwlock_t write_gate; // see "Lock order"
    _Atomic unsigned gate_waiting;
    uint8_t *batch_bytes;   // the buffers of batches, kept for a while; NULL: none
    uint64_t batch_used_ms; // when they were used last (CLOCK_MONOTONIC)

    struct kv_dirty dirty;
    struct kv_ahead ahead;
    bool has_reserve; // constant after open
    _Atomic bool
        reserve_lent; // the reserve's space has been given to deletes and the manifest (kv_reserve.c)
    pthread_mutex_t reserve_lock; // a leaf

    _Atomic uint64_t written_lsn; // records up to it are in the files
    pthread_mutex_t sync_lock;
    pthread_cond_t sync_done;
    uint64_t synced_lsn; // and on the device
    bool syncing;        // somebody is the leader

    struct kv_snapshots snapshots;
    uint64_t snapshot_keys; // taken from the snapshot at open
    pthread_t checkpointer;
    bool checkpointer_runs;

    struct kv_erase_queue erase;
    struct kv_exports exports;
    struct kv_moved moved;
    pthread_mutex_t
        tell_lock; // options.on_expire and its argument; held while it is called, before every other lock
    _Atomic bool telling;           // there is one
    pthread_mutex_t compact_lock;   // one compaction at a time; taken before every other lock
    _Atomic unsigned compact_halts; // how many want a compaction that is under way to leave off soon
    _Atomic unsigned
        clearing; // kv_clear() is waiting or at work: a snapshot that is being written is of no use
    _Atomic uint64_t compacting; // the segment that is being emptied; 0: none
    uint64_t compact_due_us;     // compact_lock: when what was read and written will be paid for
    unsigned next_swept;         // shard; the sweeper's

    _Atomic bool read_only;
    _Atomic bool index_incomplete; // a part of the log could not be read at open: no snapshot is written
    pthread_mutex_t error_lock;
    char error[KV_ERROR_TEXT];

    pthread_mutex_t background_lock;
    pthread_cond_t background_wake;
    bool stopping; // background_lock
    pthread_t sweeper, compactor;
    bool sweeper_runs, compactor_runs;

    _Atomic uint64_t puts, deletes, expired, evicted, compacted_bytes, damaged_records;
    uint64_t recovery_us;

    struct kv_mrc mrc;   // what memory is worth
    struct kv_warm warm; // bringing values back
};

// ---- errors (kv_commit.c)

// Keeps the text for kv_error_text() and returns status. errno_value 0: none.
enum kv_status kv_fail(struct kv_store *store, enum kv_status status, int errno_value, const char *format,
                       ...) __attribute__((format(printf, 4, 5)));
// The same, and the store takes no more writes.
enum kv_status kv_fail_writes(struct kv_store *store, int errno_value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

uint64_t kv_now(struct kv_store *store);

// ---- writing the log (kv_commit.c)

struct kv_append {
    struct kv_record
        record; // seq 0: the next one is assigned; expire_seq 0: becomes seq, UINT64_MAX: a fresh seq
    const void *key;
    const void *value;
    bool hold;        // may be held (kv_held.c)
    bool frees_space; // compaction's copy: on a full disk the reserve is for it, as for tombstones
    // result
    uint64_t where; // place on disk
    uint64_t lsn;   // for kv_commit_wait()
};
// Writes one record at the end of the log, in a new segment when the active one is full. It is in the file,
// but not synced, when this returns KV_OK. KV_FULL: nothing was written and the store goes on; KV_IO: the
// store is read-only from now on.
enum kv_status kv_append(struct kv_store *store, struct kv_append *append);

// Held records; append_lock is held.
// Room for a record of so many bytes at the end of the active segment, before segment->size says so. NULL: this one is to be written at once.
uint8_t *kv_held_take(struct kv_store *store, uint64_t size);
// Writes them. KV_IO: the store is read-only.
enum kv_status kv_held_write(struct kv_store *store);
// The active segment is sealed: what was reserved behind its end goes back. Nothing is held.
void kv_held_seal(struct kv_store *store);
void kv_held_free(struct kv_store *store);
// A segment of which records are to be read, by places from the index: they are in the file. NULL: it is gone. No append_lock.
struct kv_segment *kv_segment_to_read(struct kv_store *store, uint64_t id);

// The end of the log, for kv_commit.c and kv_block.c; append_lock is held.
// Whether an append is refused: the store is read-only, or only what frees space has any.
enum kv_status kv_log_refuses(struct kv_store *store, bool frees_space);
// A new active segment when so many bytes would make this one larger than it should be.
enum kv_status kv_log_make_room(struct kv_store *store, uint64_t size);
// The log begins anew: a fresh segment is the only one that counts and the active one, durably (kv_segments_renew()). The locks of all
// writers are held; this one takes append_lock itself.
enum kv_status kv_log_renew(struct kv_store *store, struct kv_segments_gone *gone);
// Takes note of what has been written at the end (segment->size and last_lsn are already that of after it).
void kv_log_written(struct kv_store *store, struct kv_segment *segment, bool direct);
// Cuts the active segment's file to its size, before a buffered append or when it is sealed. False: refused.
bool kv_log_cut(struct kv_store *store);
// What is before it is in the file. A place that no record lies behind and no later one will lie in front of: the next goes there, or to a segment of a
// higher id.
struct kv_place kv_log_end(struct kv_store *store);
void kv_log_close_direct(struct kv_store *store);
bool kv_log_no_space(int error);

// A segment's file has been written to: the next sync covers it. appended: with records, not only
// overwritten.
void kv_mark_dirty(struct kv_store *store, struct kv_segment *segment, bool appended);

// What a writer of one key holds from looking at its present record to having the index say the new one.
void kv_write_lock(struct kv_store *store, struct kv_shard *shard);
void kv_write_unlock(struct kv_store *store, struct kv_shard *shard);
// The same for all keys at once. Waits for those who are at work, and a batch lets it by.
void kv_write_lock_all(struct kv_store *store);
void kv_write_unlock_all(struct kv_store *store);

// All of the above that needs making and taking apart. kv_log_close(): before the last sync of a clean close.
bool kv_log_init(struct kv_store *store);
void kv_log_close(struct kv_store *store);
void kv_log_destroy(struct kv_store *store);

// ---- the threads that write parts of blocks (kv_parts.c)

bool kv_parts_init(struct kv_part_writers *parts);
void kv_parts_destroy(struct kv_part_writers *parts);
// Hands a part over; its bytes stay as they are until kv_parts_wait(), which returns when all are written: 0,
// or the errno value of the first that failed.
void kv_parts_write(struct kv_part_writers *parts, const struct kv_part *part);
int kv_parts_wait(struct kv_part_writers *parts);

// ---- before appends have to wait (kv_ahead.c)

bool kv_ahead_start(struct kv_store *store);
void kv_ahead_stop(struct kv_store *store);
// The active segment has this size now: is something to be done? append_lock is held.
void kv_ahead_look(struct kv_store *store, uint64_t size);
// The segment that was made ahead, with its reference; NULL: none yet. append_lock is held.
struct kv_segment *kv_ahead_take(struct kv_store *store);

// ---- space for deletes on a full disk (kv_reserve.c)

// Makes sure that the reserve has its space. False: the disk is too full for that, so puts have to be
// refused.
bool kv_reserve_keep(struct kv_store *store);
// Gives the reserve's space back to the file system, for what frees more. False: it has been given already.
bool kv_reserve_lend(struct kv_store *store);
void kv_reserve_init(struct kv_store *store);

// Frees the buffers of batches when they have not been used for a while; at once (kv_put_batch.c).
void kv_batch_rest(struct kv_store *store);
void kv_batch_free(struct kv_store *store);

// Returns when everything up to lsn is on the device. One of the waiting threads syncs for all.
enum kv_status kv_commit_wait(struct kv_store *store, uint64_t lsn);

// fdatasync of everything written, erasures too.
enum kv_status kv_commit_all(struct kv_store *store);
uint64_t kv_synced_lsn(struct kv_store *store); // all up to it is on the device
// ---- finding a key's current record (kv_slot.c)

// Copies a key's value if it is in memory and not large, and counts the hit: KV_OK or KV_TOO_LARGE as
// kv_get(). KV_PENDING: not answered, nothing was done (kv_hit.c).
enum kv_status kv_hit_copy(struct kv_store *store, uint64_t hash, const void *key, size_t key_len, void *buf,
                           size_t *len);

bool kv_mem_has_key(const struct kv_mem *mem, const void *key, size_t key_len);

// What the head of a key's current record says, and where it is.
struct kv_found {
    uint64_t where; // on disk
    uint64_t expire_ms;
    uint32_t value_len;
    uint16_t key_len;
    uint8_t size_class;
    bool
        unreadable; // the index has the key's fingerprint, but the head on disk is damaged: lengths are unknown
};
// Finds it, comparing the whole key. The caller holds the shard's write lock, so that the answer stays true.
// Expired keys are found. KV_NOT_FOUND, KV_IO or KV_NO_MEMORY otherwise.
enum kv_status kv_find_for_write(struct kv_store *store, uint64_t hash, const void *key, size_t key_len,
                                 struct kv_found *found);

// The slot of a hash whose record is at this place on disk; NULL when the index has moved on. Shard lock
// held.
struct kv_slot *kv_slot_at(struct kv_store *store, struct kv_shard *shard, uint64_t hash,
                           uint64_t where_disk);
// Whether the index points at a place, and the expiry it has for it. Takes the shard's lock.
bool kv_slot_is_live(struct kv_store *store, struct kv_shard *shard, uint64_t hash, uint64_t where,
                     uint64_t *expire_ms);
// A slot's place on disk, also when it is cached. Shard lock held.
uint64_t kv_slot_disk(struct kv_store *store, const struct kv_slot *slot);

// Removes a slot with all that hangs on it: expiry, cached copy, segment's live count. Shard lock held. size:
// of the record on disk. Returns the cached copy, pinned, which the caller passes to kv_mem_kill() after it
// has let the lock go; NULL: there was none.
struct kv_mem *kv_slot_drop(struct kv_store *store, struct kv_shard *shard, struct kv_slot *slot,
                            uint64_t size);

// A record's exact size when known, else its class's floor.
uint64_t kv_found_size(const struct kv_found *found);

// Adds (or takes off: bytes and count negative) a record to a segment's live figures; nothing when the
// segment is gone. bytes: its size or any other of its class; the floor of the class is what is counted.
void kv_live_add(struct kv_store *store, uint64_t where_disk, int64_t bytes, int64_t count);

void kv_count_damaged(struct kv_store *store);

// Forgets a slot's cached copy; the slot points to the disk again. Same result and lock.
struct kv_mem *kv_slot_uncache(struct kv_store *store, struct kv_shard *shard, struct kv_slot *slot);

// What counts against the memory limit beside the chunks: the index, what kv_account() was told of, and
// KV_FIXED_BYTES for everything else.
uint64_t kv_other_memory(struct kv_store *store);
#define KV_FIXED_BYTES (sizeof(struct kv_store) + 3u * 512 * 1024) // with compaction's and erasure's buffers
// Accounts for memory that a part of the store holds for longer than a call, or gives up (negative). Any
// thread.
void kv_account(struct kv_store *store, int64_t bytes);

// ---- reading from disk (kv_load.h, kv_miss.h, kv_port.h)

// Opens the second descriptor of segments that are sealed and on the device, and has their pages dropped
// (kv_direct.c). Called by the sweeper.
void kv_direct_step(struct kv_store *store);

// What is used for reading: after the options are set, before anything is read. KV_IO: io_uring was asked for
// and is not to be had (kv_port.c).
enum kv_status kv_readers_init(struct kv_store *store);
// Waits for the asynchronous gets that are pending. Nobody reads any more. Also after a failed
// kv_readers_init().
void kv_readers_destroy(struct kv_store *store);

// Reads head and key (not the value) of the record at a place. *key is malloc'ed, NULL on failure.
// KV_CORRUPT: head or key do not hold; KV_NOT_FOUND: the segment is gone.
enum kv_status kv_read_head(struct kv_store *store, uint64_t where, struct kv_record *record, void **key);

// Reads the whole value of a record whose head is known, unchecked. *value is malloc'ed (kv_free_value() wipes it), NULL on
// failure. KV_IO: refused, or the segment is gone.
enum kv_status kv_read_value(struct kv_store *store, uint64_t where, const struct kv_record *record,
                             uint8_t **value);
void kv_free_value(uint8_t *value, size_t len);

// ---- taking a value into memory (kv_admit.c)

enum kv_admit_why {
    KV_ADMIT_READ, // a get missed it
    KV_ADMIT_WARM, // the limit was raised, and the store brings back what is most wanted
};
struct kv_admission {
    uint64_t hash;
    uint64_t where; // the place on disk that the value was read from
    const void *key, *value;
    size_t key_len, len;
    enum kv_admit_why why;
};
// Copies a value that was read from disk, and checked, into memory: if the policy wants it, if there is room
// or room can be made, and if the index still points at that place. No lock is held by the caller. True: it
// is in memory now.
bool kv_admit(struct kv_store *store, const struct kv_admission *admission);

// About what all values would take in memory: a segment's live bytes are by the floor of their classes and as on disk (kv_curve.c).
uint64_t kv_all_values(struct kv_store *store);

// ---- the rest

enum kv_status kv_recover(struct kv_store *store); // kv_recover.c
// Removes those keys of a shard, told by hash and place, that have expired: one lock, one write, for all
// (kv_expire.c). *removed: how many.
struct kv_expired {
    uint64_t hash, where;
};
#define KV_EXPIRED_MOST 256u
enum kv_status kv_remove_expired(struct kv_store *store, struct kv_shard *shard,
                                 const struct kv_expired *list, size_t count, size_t *removed);
// Takes one sealed segment that is worth it, moves its live records and removes it (kv_compact.c). True: it
// found one.
bool kv_compact_step(struct kv_store *store);
// Whether an export (kv_export.c) has yet to read a segment: its records stay where they are.
bool kv_export_needs(struct kv_store *store, uint64_t segment);
// The places of the next keys of one shard, from a hash on, in the order of their hashes (kv_scan.c).
#define KV_GROUP      64u
#define KV_GROUP_SAME 8u // slots of one hash are not split between two groups
struct kv_group {
    struct kv_group_place {
        uint64_t hash, where;
    } places[KV_GROUP + KV_GROUP_SAME];
    size_t count;
    uint64_t next; // hash to go on from
    bool done;
};
// most: about so many, KV_GROUP at most.
void kv_group_collect(struct kv_store *store, uint64_t from, size_t most, struct kv_group *group);
// Has a compaction that is under way leave off at its next record, and keeps the next from beginning (takes compact_lock).
void kv_compact_hold(struct kv_store *store);
void kv_compact_let_go(struct kv_store *store);
// Removes expired keys of the next few shards (kv_sweep.c).
void kv_sweep_expired(struct kv_store *store, unsigned shards);
void *kv_sweeper_main(void *store);   // kv_sweep.c
void *kv_compactor_main(void *store); // kv_compact.c
// Sleeps up to that long or until the store is being closed; true: stop.
bool kv_background_sleep(struct kv_store *store, unsigned ms);
bool kv_background_stopping(struct kv_store *store);

#endif
