// The store as an RDB: SAVE, BGSAVE, and what `redis-cli --rdb` fetches.
//
// It is not a point in time: commands go on, and each key has a value that it had between begin and end; one that comes, goes or is renamed meanwhile may be there or not.
// A file is written beside the old one, synced and renamed: there is always a whole one. Mode 0600: values may be secrets.
#ifndef MEC_KVSTORE_RESP_RDB_SAVE_H
#define MEC_KVSTORE_RESP_RDB_SAVE_H

#include <pthread.h>

#include "common/report.h"
#include "kvstore/resp/session.h"

struct resp_sync;

struct resp_saves { // in struct resp_shared; NULL there: no folder, nothing can be saved
    char *dir, *name;
    pthread_mutex_t file_lock; // held by who writes the file
    pthread_mutex_t lock;      // guards thread and syncs; then no other
    pthread_t thread;          // of the last BGSAVE
    bool started;              // the thread is to be joined
    struct resp_sync *syncs;   // rdb_sync.h
    _Atomic bool stop;         // nobody saves any more
    // For INFO. Any thread.
    _Atomic bool in_progress;  // rdb_bgsave_in_progress
    _Atomic bool last_failed;  // rdb_last_bgsave_status: "err"
    _Atomic uint64_t saves;    // rdb_saves: that were written, since the start
    _Atomic uint64_t last_ms;  // rdb_last_bgsave_time_sec: how long the last one took
    _Atomic uint64_t begun_ms; // rdb_current_bgsave_time_sec: when the one in progress began
};

// Sets shared->saves. dir and name are copied. False: *e.
bool resp_saves_open(struct resp_shared *shared, const char *dir, const char *name, struct error *e);
// Ends what is being saved or sent, and waits for it. Nothing when it was not opened.
void resp_saves_close(struct resp_shared *shared);

// Writes the file; waits for one that is being written. Notes when (last_save_ms). False: *e.
bool resp_save_now(struct resp_shared *shared, struct error *e);
// The same on a thread of its own. False: *e (one is in progress, no thread).
bool resp_save_begin(struct resp_shared *shared, struct error *e);

// An RDB of the store into a descriptor, all of it; *keys (may be NULL) is how many. tick (may be NULL) is called between writes; false ends it. False: *e.
bool resp_save_write(struct resp_shared *shared, int fd, bool (*tick)(void *arg), void *arg, uint64_t *keys,
                     struct error *e);

#endif
