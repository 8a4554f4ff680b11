// A disk that remembers every write, and what a power failure may leave of it.
//
// One history: while it is recorded every file operation (kv_io) goes into one log, in order, at full speed;
// nothing is copied meanwhile. Then the log is played back, and at any position of it the power can fail, in
// the middle of whatever was going on:
//   data        what was written before the begin of an fsync that has ended is there. Of each 512-byte sector
//               (or 4 KiB block) written since, any version may be there, each for itself: the old one, or as
//               after any of the writes
//   sizes       any size that the file has had since its last sync, apart from the data: what was never written
//               in it is zeros
//   in order    or each file is as it was at some moment since its last sync: a size may go back together with
//               all the data that it cut off, as when a journal was not written
//   names       of the creations, renames and unlinks since the folder's last fsync the first few
//               (KV_POWER_NAMES=any: any of them)
//   kill -9     everything that returned is there
#ifndef MEC_TESTS_KV_CRASH_DISK_H
#define MEC_TESTS_KV_CRASH_DISK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CRASH_SECTOR    512u
#define CRASH_MAX_FILES 4096u
#define CRASH_NAME      32u

// ---- chance

struct crash_chance {
    uint64_t state;
};
uint32_t crash_roll(struct crash_chance *c, uint32_t below);

// What cannot go on: no memory, a file that the test itself cannot write.
_Noreturn void crash_die(const char *what);
// A list with room for so many items, realloc'ed.
void *crash_grow(void *list, size_t *capacity, size_t need, size_t item);

// ---- the log of a history

enum crash_op_kind {
    OP_WRITE,
    OP_SIZE,
    OP_PUNCH,
    OP_SYNC,
    OP_CREATE,
    OP_RENAME,
    OP_UNLINK,
    OP_DIRSYNC,
    OP_CLOCK
};

struct crash_op {
    enum crash_op_kind kind;
    uint32_t file;
    uint64_t at, len; // SYNC, DIRSYNC: at is the log position at which it began; CLOCK: at is the time
    uint8_t *data;
    char name[CRASH_NAME], to[CRASH_NAME];
};

struct crash_image { // a file's bytes
    uint8_t *bytes;
    size_t size, capacity;
};
void crash_image_load(struct crash_image *image, const char *path);

struct crash_start_file {
    char name[CRASH_NAME];
    struct crash_image image;
};

struct crash_log {
    struct crash_op *ops;
    size_t count, capacity;
    uint32_t files;
    struct crash_start_file
        *start; // what is there, durably, when the history begins: file i has name start[i]
    size_t start_count;
};
void crash_log_free(struct crash_log *log);

// Puts the recorder's functions into kv_io; outside a recording they are the system's (but syncs do nothing).
void crash_disk_install(void);

// One recording at a time, of the files of one folder.
void crash_record_begin(struct crash_log *log, const char *dir, uint64_t seed);
void crash_record_end(void);
// How many operations the log has.
uint64_t crash_position(void);
// So many syncs from now one fails, and what it was to cover stays unsynced.
void crash_fail_sync_in(unsigned syncs);
bool crash_sync_failed(void);

// The store's clock: crash_clock() for kv_options. crash_tick() lets it go on, and the log says so.
extern _Atomic uint64_t crash_now_ms;
uint64_t crash_clock(void *arg);
void crash_tick(uint64_t ms);

// ---- playing back

struct crash_play_file {
    struct crash_image durable;
    size_t *pending; // log positions of data and size operations since
    size_t pending_count, pending_capacity;
};

struct crash_play_name {
    char name[CRASH_NAME];
    uint32_t file;
};

struct crash_play {
    const struct crash_log *log;
    size_t at;
    struct crash_play_file *files;
    struct crash_play_name names[CRASH_MAX_FILES];
    size_t name_count;
    size_t *pending; // names
    size_t pending_count, pending_capacity;
    uint64_t clock;
};
void crash_play_begin(struct crash_play *play, const struct crash_log *log);
void crash_play_step(struct crash_play *play);
void crash_play_end(struct crash_play *play);

// How a crash treats what was not synced.
struct crash_how {
    bool kill9, any_names;
    // Each file is as it was at some moment since its last sync; the next four mean nothing then.
    bool in_order;
    uint32_t unit;     // sector or block
    uint32_t newest;   // per cent of units that have their newest version
    uint32_t oldest;   // per cent of the others that have their oldest
    uint32_t size_new; // per cent of files that have their newest size
};
// Makes the folder as a crash at this moment leaves it.
void crash_write_folder(const struct crash_play *play, const struct crash_how *how,
                        struct crash_chance *chance, const char *dir);
void crash_remove_folder(const char *dir);

#endif
