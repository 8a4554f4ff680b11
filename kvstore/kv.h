// libkvstore: an elastic store. Every value is on disk; as many as memory is worth are in memory.
//
//   put ──▶ append-only segments of checksummed records (disk) ──▶ index entry in memory (hash, location)
//   get ──▶ index ──▶ memory tier (chunks, bounded by limit_bytes) ──miss──▶ one read of one record, admitted
//
// Invariants
//   - A put or delete that returned KV_OK is what every later get sees, in this process and, as far as the
//     fsync policy says, after a crash at any moment.
//   - A value is never returned unless its checksum holds and its key is the one that was asked for.
//   - One process owns a folder at a time (a lock that dies with the process).
//   - Resident memory of values, index and buffers follows limit_bytes, down to what the index needs.
//
// Threads: after kv_open() every function but kv_close() may be called by any number of threads at once. Keys
// are 1 byte to 64 KiB - 1, values 0 bytes to 512 MB; both are arbitrary bytes. Files: FORMAT.md. Design:
// DESIGN.md.
//
// Caveats: a get of a value that is not in memory blocks on the disk: call it from pool threads, never from
// an event loop. A view (kv_view) pins memory: hold it briefly.
#ifndef MEC_KVSTORE_KV_H
#define MEC_KVSTORE_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_KEY_MAX   65535u
#define KV_VALUE_MAX (512u * 1024 * 1024)

struct kv_store;

enum kv_status {
    KV_OK = 0,
    KV_NOT_FOUND, // no such key, or it has expired
    KV_CORRUPT,   // the record's bytes on disk do not hold their checksum: this record only
    KV_IO,        // the system refused a read, write or sync; see kv_error_text()
    KV_READ_ONLY, // a write or sync failed earlier: the store refuses further writes until it is opened anew
    KV_FULL,      // no space left on the device; nothing was changed
    KV_TOO_LARGE, // key or value over the limit, or the caller's buffer too small (*len is the length needed)
    KV_INVALID,   // misuse: empty key, bad option
    KV_NO_MEMORY,
    KV_LOCKED,     // another process has the folder open
    KV_EXISTS,     // KV_PUT_IF_ABSENT: the key was there; nothing was changed
    KV_PENDING,    // kv_get_async(): the answer comes later
    KV_BAD_FORMAT, // the folder is no store, of a version that this program does not read, or a segment is
                   // missing or shorter than it was (kvcheck)
};
const char *kv_status_text(enum kv_status status);

enum kv_fsync {
    // A put returns when it is on the device: a crash or power failure loses nothing that was acknowledged.
    KV_FSYNC_ALWAYS,
    // With the next two a value that is replaced is overwritten in its file when its successor has been
    // synced (erase_within_ms), not yet when the put returns. Before that a power failure could lose both. A deleted value
    // is always gone when kv_delete() returns (with KV_DELETE_LATER: kv_sync()).
    //
    // Synced every fsync_interval_ms: a power failure loses at most that much; kill -9 loses nothing.
    KV_FSYNC_INTERVAL,
    // The kernel decides: a power failure loses what it had not written; kill -9 loses nothing.
    KV_FSYNC_NEVER,
};

enum kv_read_mode {
    KV_READ_AUTO,  // io_uring where the kernel has it, else threads with pread
    KV_READ_URING, // io_uring, or kv_open() fails
    KV_READ_PREAD,
};

typedef void (*kv_expire_fn)(void *arg, const void *key, size_t key_len);

struct kv_options {
    uint64_t limit_bytes; // memory for values, index and buffers (see kv_set_memory_limit)
    enum kv_fsync fsync;
    unsigned fsync_interval_ms; // 0: 1000
    // Without KV_FSYNC_ALWAYS: how long the bytes of a value that was replaced may stay in its file after its successor has been synced. What
    // compaction removes in that time need not be overwritten, which is half of the writing or more where values are
    // replaced all the time. 0: not at all. Sooner when many wait (kv_is_behind()), and by kv_close(), unless so many do (16,384, or a sixteenth of
    // those that may) that it would be long about it: then the snapshot knows of them, and the next kv_open() has them overwritten first.
    unsigned erase_within_ms;
    uint64_t segment_bytes; // a segment is closed at about this size; 0: 256 MiB
    bool create;            // make the folder's store when there is none
    enum kv_read_mode read_mode;
    bool buffered_reads; // read through the page cache: not O_DIRECT
    // After a raised limit, and after open, values come back one by one, as they are asked for; not ahead of that, by large reads.
    bool no_bring_back;
    // Bringing values back after a raised limit gives way to gets slower than this; 0: no goal.
    uint64_t latency_goal_us;
    // Space that compaction lets dead records take, of the live ones' (at least two segments); 0: 50.
    unsigned dead_percent;
    // Compaction's bound on what it reads and writes, while dead_percent is kept to; 0: 64 MiB/s.
    uint64_t compact_bytes_s;
    // Log written between snapshots of the index; 0: 512 MiB or eight snapshots, whichever is more.
    uint64_t checkpoint_bytes;
    // The clock for expiry, Unix milliseconds; NULL: the system's. For tests. Called by any thread.
    uint64_t (*now_ms)(void *arg);
    void *now_arg;
    // Called once for each key that the store removes because its time has come, after it is gone, by a thread of the
    // store and with no lock held; NULL: nobody. It may call the store (not kv_close()). Expired keys wait for it to
    // return, and the interval's sync does: be quick. Not called for an expired key that a put replaces or kv_clear() removes,
    // nor for one whose key on disk is damaged and memory does not have. A key that has been put again since is there.
    kv_expire_fn on_expire;
    void *on_expire_arg;
};

// Opens the store in a folder (created with mode 0700 when options->create). Recovers from any crash: a torn
// tail is cut at the last whole record, a damaged record is that record's error only and is counted
// (kv_stats.damaged_records). The folder must be the process's own (root may open anybody's) and nobody
// else's to write to, its files regular ones and no links: KV_IO otherwise. On failure *store is NULL and
// `error` (may be NULL, error_len bytes) says what failed and why.
enum kv_status kv_open(const char *dir, const struct kv_options *options, struct kv_store **store,
                       char *error, size_t error_len);

// Syncs, closes, releases everything and sets *store to NULL (NULL is fine). No other call may be in
// progress. Everything is released whatever is returned. KV_IO, KV_READ_ONLY: what was written last may not
// be on the device.
enum kv_status kv_close(struct kv_store **store);

// The last I/O error in words ("segment 00000007: fdatasync: No space left on device"), copied into buf; ""
// when there was none.
void kv_error_text(struct kv_store *store, char *buf, size_t len);

// ---- reading

// Copies the value to buf (capacity *len) and sets *len to its length. KV_TOO_LARGE with *len set when it
// does not fit (buf untouched).
enum kv_status kv_get(struct kv_store *store, const void *key, size_t key_len, void *buf, size_t *len);

// The same into a buffer that the call allocates (malloc; the caller frees; at least 1 byte even for an empty
// value). version may be NULL.
enum kv_status kv_get_alloc(struct kv_store *store, const void *key, size_t key_len, void **value,
                            size_t *len, uint64_t *version);

// A borrowed view of a value, without a copy when it is in memory. Release it soon and always; it stays valid
// while the key is overwritten, deleted or evicted.
struct kv_view {
    const uint8_t *data;
    size_t len;
    uint64_t version;
    uint64_t expire_ms; // 0: never
    void *hold;         // private
};
enum kv_status kv_get_view(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view);
void kv_view_release(struct kv_store *store, struct kv_view *view);

// Keys that the caller is about to get, any way: what the index and memory have of them is brought into the processor's cache,
// all at once. A hint: nothing waits, nothing is read from disk, and nothing is counted. More than KV_EXPECT_MOST: the first of them.
#define KV_EXPECT_MOST 16u
struct kv_name {
    const void *key;
    size_t len;
};
void kv_expect(struct kv_store *store, const struct kv_name *names, size_t count);

// A get of many: as so many kv_get() calls, in any order, but their reads of the disk are in flight together.
struct kv_get {
    const void *key;
    size_t key_len;
    void *buf;
    size_t len; // in: capacity of buf; out: the value's length
    uint64_t version;
    enum kv_status status; // of this one, as kv_get() returns it
};
// Returns when all have been answered. KV_OK, or KV_NO_MEMORY when nothing was tried.
enum kv_status kv_get_batch(struct kv_store *store, struct kv_get *gets, size_t count);

// A get that never blocks, for event loops. A value in memory, a key that is not there and misuse are
// answered at once: the status is returned, *view filled as by kv_get_view(), and done is not called.
// Otherwise KV_PENDING is returned, *view is left alone, and done is called exactly once, by a thread of the
// store, with the status and, for KV_OK, a view that it owns (to be released with kv_view_release(), by any
// thread). done must be quick and must not wait for the store: hand over and return. kv_close() must not be
// called while gets are pending. KV_NO_MEMORY is answered at once, too.
typedef void (*kv_done_fn)(void *arg, enum kv_status status, const struct kv_view *view);
enum kv_status kv_get_async(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view,
                            kv_done_fn done, void *arg);

// The same for one thread that has an event loop, without another thread in between: done is called by kv_reader_run(), with values of more
// than 256 KiB the exception, which a thread of the store still brings (and, once io_uring has failed, all). A reader belongs to
// the thread that opened it: all but kv_reader_fd() and kv_reader_close() are for it alone.
//
//   kv_reader_get, kv_reader_get ... ─▶ kv_reader_run, before the thread waits and when kv_reader_fd() says so ─▶ done, done
struct kv_reader;
// NULL: no memory, or this system has no io_uring for it; there is kv_get_async().
struct kv_reader *kv_reader_open(struct kv_store *store);
// An eventfd, the reader's, to be waited for edge-triggered (EPOLLET): written to when kv_reader_run() has something to do. Never read.
int kv_reader_fd(const struct kv_reader *reader);
// Arguments, status and view as of kv_get_async(). What is pending is begun by the next kv_reader_run().
enum kv_status kv_reader_get(struct kv_reader *reader, const void *key, size_t key_len, struct kv_view *view,
                             kv_done_fn done, void *arg);
// Hands what was got to the kernel, and calls done for all that has come, which may call kv_reader_get(). Waits for nothing.
void kv_reader_run(struct kv_reader *reader);
// Waits for what is pending in it; NULL is fine, *reader is NULL after. Before kv_close(); by another thread only when nothing is pending.
void kv_reader_close(struct kv_reader **reader);

// What memory has of a get, never waiting for the disk: an event loop answers what kv_peek() has and hands the
// rest to a thread that may wait, or to kv_get_async().
//   KV_OK         the record is in memory. *view is filled as by kv_get_view(), and the get is counted as one
//   KV_NOT_FOUND  not there, or expired: the answer of a get, and counted as one
//   KV_PENDING    it is on disk, or which it is cannot be said without reading the disk: nothing was counted,
//                 nothing begun, *view is {0}
// view NULL only asks, for who is going to write: nothing is counted or pinned, and an expired record that has
// not been removed yet and is on disk only is KV_PENDING as well, since a put has to read it. See "writing" for
// what KV_OK and KV_NOT_FOUND promise. Misuse is answered as by kv_get().
enum kv_status kv_peek(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view);

// Whether a key is there, without reading a value. Memory only: never blocks on the disk, so an event loop
// may call it. The answer compares a 64-bit (at least 48-bit) keyed fingerprint, not the key's bytes: a false
// "yes" has odds below keys / 2^48.
enum kv_status kv_exists(struct kv_store *store, const void *key, size_t key_len);

// The version of a key's current record: changes whenever the key is put again (and may change when nothing
// visible did, e.g. after compaction). Memory only, as kv_exists(); expiry is honoured. A cache of something
// derived from a value compares it to the version it was read with (kv_view.version): equal means the value
// is unchanged and still there. Never 0.
enum kv_status kv_version(struct kv_store *store, const void *key, size_t key_len, uint64_t *version);

// Expiry of a key, Unix milliseconds; 0: never.
enum kv_status kv_get_expiry(struct kv_store *store, const void *key, size_t key_len, uint64_t *expire_ms);

// ---- writing
//
// kv_put(), kv_delete() and kv_set_expiry() look for the key's present record, which may be a read of the disk.
// They read no record when kv_peek(key, NULL) says KV_OK or KV_NOT_FOUND and nobody writes meanwhile, nor does
// memory let the key's value go. What they wait for then is what they write: the append (now and then a new
// segment, with syncs), and as the policy says the sync and the overwriting of what is gone (kv_delete() always,
// the others with KV_FSYNC_ALWAYS). Replaced values are overwritten by a thread of the store otherwise; when more of them wait than one for each KiB of the limit (1,024 to 4 Mi; kv_is_behind()) a
// put waits for it. With KV_PUT_NO_WAIT it is the append alone; a caller of many of these calls kv_catch_up() now and then. The kernel may read
// the block around an overwritten value.

enum kv_put_flags {
    // Return before the record is synced even with KV_FSYNC_ALWAYS: the caller calls kv_sync() before it
    // acknowledges.
    KV_PUT_NO_WAIT = 1,
    KV_PUT_IF_ABSENT = 2, // store only when the key is not there; else KV_EXISTS
    // kv_delete(), for one of many: whatever the policy, the value's bytes may be in the file until kv_sync() has returned.
    KV_DELETE_LATER = 4,
    // kv_put(): the record may stay out of the file until kv_write_held() has returned KV_OK: the caller calls that before it
    // acknowledges, or lets anybody see what it has read meanwhile. One system call then for many puts. Nothing is held with
    // KV_FSYNC_ALWAYS.
    KV_PUT_HOLD = 8,
};

// Stores a value, replacing any. expire_ms: Unix milliseconds after which it is gone, 0 never. With
// KV_FSYNC_ALWAYS (and without KV_PUT_NO_WAIT) the bytes of the value that it replaces are overwritten or
// punched out of the file when it returns, also while compaction is moving them; with the other policies by
// the next sync. A time after 2^48 - 1 ms (the year 10889) is kept as that.
// KV_FULL: reads and deletes go on; puts are refused until there is space for them beside what is kept for
// deletes.
enum kv_status kv_put(struct kv_store *store, const void *key, size_t key_len, const void *value, size_t len,
                      uint64_t expire_ms, unsigned flags);

// The same, and says what record of the key the store had, expired or not: for who counts keys. Filled when KV_OK is returned.
struct kv_put_old {
    bool there;
    uint64_t expire_ms; // 0: never
};
enum kv_status kv_put_over(struct kv_store *store, const void *key, size_t key_len, const void *value,
                           size_t len, uint64_t expire_ms, unsigned flags, struct kv_put_old *old);

// Whether any thread's records are held (KV_PUT_HOLD).
bool kv_holds(const struct kv_store *store);
// Writes all that is held, whoever's. KV_IO, KV_READ_ONLY: it failed, now or before: what was held may be gone when the store is opened again, and must
// not be acknowledged.
enum kv_status kv_write_held(struct kv_store *store);

// A put of many: as so many kv_put() calls in the order given, but appended by few large writes and with one
// wait for the device. Blocks of 256 KiB and more go past the page cache. While it runs, single puts and
// deletes are let through between blocks. A key that comes twice has the later value. Each item has its own
// status; after a power failure any of those that were not yet synced may be missing, as with kv_put().
// Values of new keys enter memory only while there is room: a bulk load does not flush what is wanted.
struct kv_put_item {
    const void *key;
    size_t key_len;
    const void *value;
    size_t len;
    uint64_t expire_ms;
    enum kv_status status; // out
};
// KV_OK: every item's status is KV_OK. Otherwise the first failure; items after a KV_FULL, or after a write
// that failed (KV_IO, KV_READ_ONLY), have the same status and were not stored. KV_IO alone: the key's present
// record cannot be read; the others are stored.
enum kv_status kv_put_batch(struct kv_store *store, struct kv_put_item *items, size_t count, unsigned flags);

// Removes a key. When it returns KV_OK the value's bytes are gone from the store's own memory (what a view
// holds: when it is released) and overwritten or punched out of the file; with KV_FSYNC_ALWAYS and
// KV_PUT_NO_WAIT the latter when kv_sync() has returned. The key's own bytes stay in the file until
// compaction.
enum kv_status kv_delete(struct kv_store *store, const void *key, size_t key_len, unsigned flags);

// Sets or clears (0) the expiry of a key. A time after 2^48 - 1 ms (the year 10889) is kept as that.
enum kv_status kv_set_expiry(struct kv_store *store, const void *key, size_t key_len, uint64_t expire_ms,
                             unsigned flags);

// Removes every key, durably whatever the policy: after a crash at any moment of it either every key is there or
// none, and when it has returned KV_OK none comes back. It writes no record for a key: what it costs is a new
// segment, a manifest, the index and the memory of the values, and it stops compaction and a snapshot that is
// being written. Puts wait meanwhile, gets do not: one that runs beside it has the value from before, or nothing.
// When it returns the old segments' files are gone (one that is being read right then keeps its space until that
// is done; what was in them is given back to the file system, not overwritten) and the values are gone from
// memory (what a view holds: when it is released).
// Anything but KV_OK: every key is still there. After a KV_IO that has made the store read-only the next open finds
// every key or none.
enum kv_status kv_clear(struct kv_store *store);

// Who is told from now on (kv_options.on_expire); NULL: nobody. When it returns no call to the one before is under way, so it must
// not be called from one.
void kv_set_on_expire(struct kv_store *store, kv_expire_fn fn, void *arg);

// Makes everything written so far durable, and overwrites what was deleted, and what was replaced unless erase_within_ms says later. Concurrent
// callers share a sync.
enum kv_status kv_sync(struct kv_store *store);

// Whether more values wait to be overwritten than should; cheap, any thread. And: waits until that is not so, kv_sync()'s errors.
bool kv_is_behind(struct kv_store *store);
enum kv_status kv_catch_up(struct kv_store *store);

// ---- walking

// Called for each key; return false to stop. The key is valid during the call only. No lock is held: the
// callback may call the store.
typedef bool (*kv_scan_fn)(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms);

// Visits a batch of about `count` keys from *cursor (0 to begin) on and sets *cursor for the next call (0:
// done). Redis SCAN's guarantee: a key that is there from the first call to the last is visited at least
// once, whatever is written meanwhile; some may come twice. May read the disk for keys. KV_IO: a key could
// not be read; the others of the batch were visited and *cursor is set, so the caller may go on.
enum kv_status kv_scan(struct kv_store *store, uint64_t *cursor, unsigned count, kv_scan_fn fn, void *arg);

// Called for each record; return false to stop. Key and value are valid during the call only. No lock is held: the
// callback may call the store.
typedef bool (*kv_export_fn)(void *arg, const void *key, size_t key_len, const void *value, size_t len,
                             uint64_t expire_ms);

// Visits every live record that has not expired, for a backup: reads the segments one after the other in reads of
// 1 MiB, in no order of keys. A key that is there from the call's begin to its end comes exactly once: with its
// value, or, if it is written meanwhile, with its old or a new one. Keys that come or go meanwhile may be left out;
// none comes twice. A value that was replaced before its place was read is got as by kv_get_view(), and counted as
// that get. Compaction goes on in segments that have been read, and in what is written meanwhile; the others wait:
// a slow callback keeps dead records on the disk. Takes some MiB, the largest value, and some 20 bytes for each key
// that is replaced before its place is read. Many may run at once.
// KV_CORRUPT: some records are damaged or cannot be read; they were left out and counted, all others were visited.
// KV_NO_MEMORY: it ended early.
enum kv_status kv_export(struct kv_store *store, kv_export_fn fn, void *arg);

// ---- memory

// Changes the limit. Lowering returns when the memory has been given back to the system (in small steps;
// other callers go on meanwhile; what views hold is given back when they are released); raising returns at
// once. A limit below what the index and buffers need keeps no values in memory.
enum kv_status kv_set_memory_limit(struct kv_store *store, uint64_t limit_bytes);

// Lets the memory of values grow until kv_stats.memory_bytes is at so many, whatever the limit; UINT64_MAX, as it is after kv_open(): no bound
// but the limit. Buffers that the store takes meanwhile count, too. For one that looks now and then at what the process may use, and must not be
// overtaken in between. Nothing that is in memory goes for it: what does not fit takes the place of others or stays on disk, and what is being
// brought back waits. Any thread, any time; cheap.
void kv_set_growth(struct kv_store *store, uint64_t bytes);

// What the latency goal is from now on (kv_options.latency_goal_us).
void kv_set_latency_goal(struct kv_store *store, uint64_t us);

// ---- what memory is worth: a sampled miss-ratio curve (SHARDS, Waldspurger et al., FAST 2015)

// The share of gets that memory would answer under a limit of so many bytes, by what was asked for lately.
// KV_NOT_FOUND: too little has been asked for to say, or mostly keys that had not been asked for before.
enum kv_status kv_hit_ratio_at(struct kv_store *store, uint64_t limit_bytes, double *hit_ratio);
// The least limit under which it would be at least so much. KV_NOT_FOUND: none, or too little known.
enum kv_status kv_least_memory(struct kv_store *store, double hit_ratio, uint64_t *limit_bytes);
struct kv_curve_point {
    uint64_t limit_bytes;
    double hit_ratio;
};
// The whole curve at `max` points, 256 at most, ascending. Returns how many; 0: too little known.
size_t kv_hit_curve(struct kv_store *store, struct kv_curve_point *points, size_t max);

struct kv_stats {
    uint64_t keys; // live
    uint64_t keys_with_expiry;
    uint64_t limit_bytes;
    uint64_t memory_bytes; // resident: chunks in use + index + buffers
    uint64_t table_bytes;  // a limit under which every value would be in memory, about; more is of no use
    uint64_t index_bytes;
    uint64_t chunk_bytes;  // held by the memory tier
    uint64_t cached_bytes; // of records in the memory tier
    uint64_t cached_records;
    uint64_t small_bytes; // of chunk_bytes, the queue of what came lately
    uint64_t main_bytes;  // and of what has been read since; the rest is kept by views
    uint64_t ghosts_hit;  // misses of what had been dropped shortly before
    uint64_t promoted;    // records that were moved from small to main
    uint64_t readmitted;  // and those that stayed in main for another round
    uint64_t disk_bytes;  // lengths of the segments; what compaction has punched out of one is still counted
    uint64_t live_bytes;  // of records that a get would return
    uint64_t to_erase;    // values that are gone and wait to be overwritten
    uint64_t segments;
    uint64_t hits, misses; // of gets for keys that are there
    uint64_t miss_ns;      // sum of the times of misses, from the look into the index to the answer
    uint64_t not_found;
    uint64_t disk_reads;   // of records, by gets and by writers that look for a key
    uint64_t direct_reads; // of them, past the page cache (O_DIRECT)
    uint64_t puts, deletes, expired, evicted, compacted_bytes;
    uint64_t warmed_bytes;    // brought back after the limit was raised
    bool warming;             // and more to come
    uint64_t snapshot_keys;   // taken from the index snapshot at open; the rest by reading the log
    uint64_t damaged_records; // found at open or by a read since
    uint64_t recovery_us;     // how long kv_open() took
    bool read_only;
};
void kv_get_stats(struct kv_store *store, struct kv_stats *stats);

// Writes a snapshot of the index now, so that the next open need not read the log up to here. Done on its own
// as the log grows, and by kv_close(). KV_IO also while a part of the log could not be read at open: no
// snapshot is written of an index that lacks it. KV_READ_ONLY, KV_FULL, KV_NO_MEMORY: the old one stands.
enum kv_status kv_checkpoint(struct kv_store *store);

#endif
