// kvcheck: what is wrong in a store's folder, and what would be done about it. Offline: under the store's lock, without opening
// the store. Nothing is changed but by check_apply().
//
//   check_begin()     lock, manifest (from a copy that holds, or made again from the segments' headers), segments' files
//   check_records()   reads every segment to its end; decides, as opening does, which record of a key counts
//   check_snapshot()  the snapshot's sums
//   check_plan()      what repair would do
//   check_apply()     does it
//
// What is found is either damage (something that was stored is lost, or a part of the store is not what was written) or
// a note: what a crash leaves and opening settles by itself. Of values nothing is ever printed; of keys a keyed hash.
#ifndef MEC_KVSTORE_KVCHECK_H
#define MEC_KVSTORE_KVCHECK_H

#include <stdio.h>
#include <sys/stat.h>

#include "common/report.h"
#include "kvstore/kv_format.h"
#include "kvstore/kv_walk.h"

enum check_kind {
    CHECK_MANIFEST_COPY, // one of the two copies does not hold
    CHECK_MANIFEST_LOST, // neither does, or there is none
    CHECK_SEGMENT_MISSING,
    CHECK_SEGMENT_SHORT,  // shorter than the manifest says
    CHECK_SEGMENT_LONGER, // longer: what is behind is not part of the store
    CHECK_HEADER,
    CHECK_RECORD,     // bytes that are no record: its head or key does not hold
    CHECK_TORN,       // a sealed segment ends in the middle of a record
    CHECK_VALUE,      // the key's current value does not hold
    CHECK_MARK,       // an erase mark that is neither there nor not
    CHECK_UNREADABLE, // the device refuses
    CHECK_SNAPSHOT,
    CHECK_TAIL,      // note: an open segment ends in the middle of a record
    CHECK_GIVES_WAY, // note: a torn value, newer than one that holds
    CHECK_UNERASED,  // note: a value that is gone but not yet overwritten
    CHECK_STRAY,     // note: a segment's file that the manifest does not list
    CHECK_KINDS
};

struct check_kind_info {
    const char *name; // in JSON
    const char *text;
    bool damage;
    bool loss; // something that was stored is gone, also after a repair
};
extern const struct check_kind_info check_kinds[CHECK_KINDS];

struct check_finding {
    enum check_kind kind;
    uint64_t segment; // 0: none in particular
    uint64_t offset, length;
    uint64_t key; // its hash; 0: not known
    int error;    // errno value of CHECK_UNREADABLE and CHECK_SNAPSHOT; 0: none
    uint64_t
        count; // CHECK_UNERASED, of which there may be millions, is told once a segment: how many; else 0
};

enum check_act {
    CHECK_DROP_SNAPSHOT, // the next open reads the segments instead
    CHECK_ZERO,          // overwrite bytes that nobody can read, so that they count for nothing
    CHECK_SET_MARK,      // an erase mark, to what the record's value shows
    CHECK_WRITE_HEADER,
    CHECK_CUT,           // end the file at offset
    CHECK_WRITE_MANIFEST // with the missing segments off the list and the sizes that files have
};

struct check_action {
    enum check_act act;
    uint64_t segment, offset, length;
    uint64_t mark; // CHECK_SET_MARK: little-endian word
    bool done;
};

struct check_segment {
    uint64_t id;
    uint64_t noted;      // size in the manifest; 0: open
    uint64_t file_bytes; // without zeros behind the end of a sealed one; 0 when missing
    uint64_t end;        // read up to here
    uint64_t cut_at;     // where the last whole item ends
    uint64_t records, live, live_bytes, erased;
    uint64_t damaged, torn, unreadable, unerased;
    bool missing, header_holds;
};

struct check_table;
struct check {
    const char *dir; // the caller's
    int lock_fd;
    struct kv_manifest manifest;
    bool manifest_lost, manifest_usable; // not usable: nothing else can be checked
    struct check_segment *segments;      // as the manifest lists them
    size_t count;
    struct check_finding *findings;
    size_t finding_count, finding_capacity;
    struct check_action *actions;
    size_t action_count, action_capacity;
    struct check_table *table; // keys seen
    uint64_t keys, keys_lost;
    uint64_t snapshot_keys;
    bool snapshot_there;
};

// make_lock: create the lock's file where there is none. False, with what failed in *e: the folder cannot be checked (another
// process has it open, it is no store, of another version, or cannot be read). Either way check_end() releases everything.
bool check_begin(struct check *check, const char *dir, bool make_lock, struct error *e);
bool check_records(struct check *check, struct error *e);
bool check_snapshot(struct check *check, struct error *e);
bool check_plan(struct check *check, struct error *e);
bool check_apply(struct check *check, struct error *e);
void check_end(struct check *check);

// Whether anything is damaged; whether anything is lost, or would still be damaged after a repair.
bool check_is_damaged(const struct check *check);
bool check_has_lost(const struct check *check);

void check_print(const struct check *check, FILE *out, bool plan);
// One JSON object. False: no memory, or it could not be written.
bool check_print_json(const struct check *check, FILE *out);

// ---- between the files of kvcheck

bool check_add(struct check *check, const struct check_finding *finding, struct error *e);
bool check_act(struct check *check, const struct check_action *action, struct error *e);
void check_path(const struct check *check, uint64_t segment, char *path); // PATH_MAX bytes
// Opens a file of the store to be read: no link is followed, and what is no regular file is refused. -1: errno says why.
int check_open(const char *path, struct stat *st);
bool check_take_item(struct check *check, struct check_segment *segment, const struct kv_item *item,
                     struct error *e);                   // one record, from front to back
bool check_decide(struct check *check, struct error *e); // when all have been taken
void check_table_free(struct check_table *table);

#endif
