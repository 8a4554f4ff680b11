// The segment files of a store and its manifest: which exist, opening, adding and removing them so that a
// crash at any moment leaves a folder that opens.
//
//   MANIFEST        what the store is and which segments it lives in; replaced whole (MANIFEST.tmp, fsync, rename, fsync of the folder)
//   00000001.seg    a segment: header and records. Ids ascend and are never used again.
//   LOCK            held (flock) by the process that has the store open
//
// A segment is in the manifest before the first record is written to it, and out of it before its file is
// unlinked. So a listed file that is missing is an error, and a file that is not listed holds nothing that
// counts and is removed at open.
//
// A segment is reference counted: the table holds one, every reader of the file one. A removed segment's
// descriptor stays open until the last reader is done.
#ifndef MEC_KVSTORE_KV_SEGMENT_H
#define MEC_KVSTORE_KV_SEGMENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "kvstore/kv.h"
#include "kvstore/kv_format.h"

struct kv_segment {
    uint64_t id;
    int fd;
    _Atomic unsigned refs;
    _Atomic uint64_t size;        // where the next record goes; grows while this is the active segment
    _Atomic uint64_t synced_size; // so much of it has been on the device since this process opened it
    _Atomic int64_t live_count;   // records that the index points to
    _Atomic int64_t live_bytes;   // of them
    _Atomic uint64_t last_lsn;    // of its newest record; 0: none since the store was opened
    _Atomic bool tombstones;      // it has some that were written since the store was opened
    bool longer; // its file goes on behind its end: nothing is appended to it. Constant after open
    bool
        room; // its file goes on behind its end, by zeros: cut before anything is appended. Constant after open
    _Atomic bool dirty;            // written to since the last fdatasync, and in the store's list
    _Atomic bool appended;         // of that, records were appended
    struct kv_segment *next_dirty; // dirty.lock
    struct kv_segment *next_taken; // of the thread that leads a sync, and nobody else
    _Atomic uint64_t punched_to;   // compaction has emptied it up to here: nothing is written below any more
    _Atomic bool sealed;           // no more appends
    _Atomic bool given_up; // compaction found it cannot be emptied (unreadable records); left as it is
    // Reading without the page cache (kv_direct.c).
    _Atomic int direct_fd;         // opened with O_DIRECT once sealed and synced; -1: not (yet)
    _Atomic bool direct_refused;   // the file system will not: read through the page cache
    _Atomic uint32_t direct_align; // of offsets and lengths; set before direct_fd
    unsigned direct_waits;         // the sweeper's: how often it found the segment sealed but not synced
};

struct kv_segments {
    pthread_mutex_t lock;     // guards list and count
    struct kv_segment **list; // ascending ids
    size_t count, capacity;
    pthread_mutex_t manifest_lock; // guards the manifest and its file. Order: manifest_lock, lock
    struct kv_manifest manifest;
};

struct kv_store;

// Reads the manifest, or makes a new store's when there is none and `create`. Does not open segments.
enum kv_status kv_manifest_load(struct kv_store *store, bool create);

// Writes the manifest to a new file and puts it in the old one's place. manifest_lock is held. KV_FULL, KV_IO
// and not read-only: the old one stands.
enum kv_status kv_manifest_write(struct kv_store *store);
// The same for a folder; nothing but the file is touched. Returns 0 or an errno value; *what: the step that failed. *renamed:
// the new one is in place, though perhaps not durable.
int kv_manifest_replace(const char *dir, const struct kv_manifest *manifest, const char **what,
                        bool *renamed);
// A file of the store's folder (path: PATH_MAX bytes), and whether a name is a segment's.
void kv_path_of(const struct kv_store *store, char *path, const char *name);
void kv_segment_path(const struct kv_store *store, char *path, uint64_t id);
bool kv_is_segment_name(const char *name);

// Opens every listed segment and removes files that are not listed.
enum kv_status kv_segments_open(struct kv_store *store);
void kv_segments_close(struct kv_store *store);

// Writes the sizes of segments that are sealed and on the device into the manifest, so that one that is cut later is noticed.
// closing: that of the active one as well. Nothing is written when nothing is new. Called by no one who holds manifest_lock.
enum kv_status kv_segments_note_sizes(struct kv_store *store, bool closing);

// Cuts a segment's file; the next sync of everything makes that durable (before, a power failure may undo
// it). False: refused (errno).
bool kv_segment_cut(struct kv_store *store, struct kv_segment *segment, uint64_t size);

// Takes a segment's size off the manifest, durably: records are going to be appended to it. For kv_open().
enum kv_status kv_segment_reopen(struct kv_store *store, struct kv_segment *segment);

// What the manifest says of a segment's size; 0: nothing (it was open when the manifest was written). For kv_open().
uint64_t kv_segment_noted_size(struct kv_store *store, uint64_t id);

// Makes an empty segment and lists it. KV_FULL or KV_IO: nothing has changed. The caller holds the append
// lock (or is kv_open()).
enum kv_status kv_segment_create(struct kv_store *store, struct kv_segment **segment);

// Makes an empty segment and has the manifest list it alone, in one step: after a crash it is as before or after. The
// others stay in the table, and can be read, until the index points into them no more and kv_segments_retire() takes them
// out; kv_segments_drop() then unlinks their files and drops the table's references. Unless it returns KV_OK nothing has
// changed, but that the store may be read-only (KV_IO: which manifest is durable is unknown). The caller of the first
// two holds the locks of all writers, of the first the append lock as well.
struct kv_segments_gone {
    struct kv_segment **list; // room for all
    size_t count;
    uint64_t before; // those of lesser ids
};
enum kv_status kv_segments_renew(struct kv_store *store, struct kv_segment **segment,
                                 struct kv_segments_gone *gone);
void kv_segments_retire(struct kv_store *store, struct kv_segments_gone *gone);
void kv_segments_drop(struct kv_store *store, struct kv_segments_gone *gone);

// Takes a segment out of the manifest, unlinks its file and drops the table's reference. One that is not listed any more is left
// alone.
enum kv_status kv_segment_remove(struct kv_store *store, struct kv_segment *segment);

// One of an open file, with one reference, in no table; NULL: no memory. A place in the table for one more (false: no memory),
// after which kv_segment_add() cannot fail: ids ascend, and only the holder of manifest_lock adds. It takes the reference.
struct kv_segment *kv_segment_new(uint64_t id, int fd, uint64_t size);
bool kv_segment_reserve(struct kv_store *store);
void kv_segment_add(struct kv_store *store, struct kv_segment *segment);

// The segment of an id with a reference taken; NULL: it is gone.
struct kv_segment *kv_segment_get(struct kv_store *store, uint64_t id);
// The segment at a position in the list, likewise; NULL past the end. For walking while the list changes: by
// ascending id from `id` on.
struct kv_segment *kv_segment_from(struct kv_store *store, uint64_t id);
void kv_segment_put(struct kv_segment *segment);

#endif
