// Bringing values back after the memory limit was raised: the most wanted first, by large sequential reads.
//
//   index ──walk, a few thousand slots under a lock──▶ list of slots ──sorted by place──▶ ranges ──readers──▶ check ──▶ kv_admit()
//
// A thread of the store walks the index and lists records that are on disk only, by how much they are wanted (kv_slot_want()):
// first those wanted most, then less, then what nobody has asked for, if there is room for half of it at least. The list is
// sorted by place on disk and read in ranges of up to a MiB, over gaps that are cheaper to read than to leave out, by up
// to eight threads at once, which check each record as a get does, and admit it. It ends when no memory is
// free any more: nothing is ever dropped for it.
//
// Memory: readers' buffers and list, 1 MiB and 2 MiB a reader, are accounted for and there only while values are brought back. A store with
// little room has fewer readers and a shorter list, and walks the index more often.
//
// Latency goal: misses measure themselves while values are brought back. When they take longer than the goal, fewer
// and smaller reads are in flight, down to none; when they take less than three quarters of it, more.
//
// Damage: a record that does not hold is skipped and counted, as a get would count it. A range that cannot be read is skipped.
#ifndef MEC_KVSTORE_KV_WARM_H
#define MEC_KVSTORE_KV_WARM_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvstore/kv_os.h"

struct kv_store;

struct kv_warm {
    alignas(64) _Atomic bool warming;
    _Atomic bool measuring; // warming, and there is a goal
    _Atomic uint64_t goal_us;
    _Atomic uint64_t latency_ns; // of misses, moving: follows a longer one at once, a shorter one slowly
    _Atomic uint64_t latency_at_ns;
    _Atomic uint64_t bytes;           // brought back
    _Atomic uint64_t reads;           // of ranges
    _Atomic unsigned generation;      // what was begun under another one is to stop
    alignas(64) pthread_mutex_t lock; // guards the rest; a leaf
    pthread_cond_t wake, idle;
    bool runs, asked, running, stopping;
    unsigned least_want; // of what was asked for
    pthread_t thread;
};

void kv_warm_init(struct kv_warm *warm, uint64_t goal_us);
void kv_warm_destroy(struct kv_warm *warm);
// Starts the thread, which waits. Returns 0 or an errno value.
int kv_warm_open(struct kv_store *store);
// Stops and joins it; fine when it does not run.
void kv_warm_close(struct kv_store *store);

// There is more room, or may be: brings back what is wanted at least so much. Returns at once.
void kv_warm_start(struct kv_store *store, unsigned least_want);
// Stops what is under way and waits until its memory has been given back, some ms.
void kv_warm_cancel(struct kv_store *store);

// A miss has ended, while measuring.
void kv_warm_measured(struct kv_warm *warm, uint64_t began_ns, uint64_t ended_ns);

// ---- between kv_warm.c, kv_warm_list.c and kv_warm_read.c

#define KV_WARM_READERS 8u
#define KV_WARM_BUFFER  (1u << 20)
#define KV_WARM_GAP     (32u * 1024) // a read more costs the device as much as so many bytes more

// What is being read: a list of slots sorted by place, and how to go on in it.
struct kv_warm_run {
    struct kv_store *store;
    unsigned generation;
    struct kv_slot *list;
    size_t count, capacity;
    uint8_t *buffers;     // KV_WARM_BUFFER each; what a reader leaves in its own is wiped
    uint64_t taken_bytes; // counted by kv_account()
    unsigned readers;
    pthread_mutex_t lock; // guards next, going, pace and paused
    // Readers overlap in reading and checking, and admit one after the other: they would only wait for the tier's and
    // the shards' locks in turn, and keep gets from them. One core of them is enough for the fastest device.
    pthread_mutex_t admit_lock;
    pthread_cond_t ended; // a reader has
    pthread_cond_t turn;  // a reader that has to wait may look again
    size_t next;          // in the list
    unsigned going;       // readers
    unsigned pace;        // how hard the device is worked
    bool paused;
    uint64_t paced_at_ns, paused_at_ns, hurry_until_ns; // the coordinator's
};

// Whether to stop: cancelled, or no room.
bool kv_warm_ends(const struct kv_warm_run *run);

// Until the store has leave to grow (kv_set_growth()), or a spare chunk where that will do, or the run ends.
void kv_warm_wait_for_leave(const struct kv_warm_run *run, bool or_spare);

// How much there is on disk only, by how much it is wanted.
struct kv_warm_need {
    uint64_t records[4], bytes[4];
};
void kv_warm_count(const struct kv_warm_run *run, struct kv_warm_need *need);
// Where listing goes on.
struct kv_warm_walk {
    unsigned shard; // KV_SHARDS: at the end
    uint64_t hash;
    unsigned low, high; // wanted so much
    uint64_t first_segment, last_segment;
    uint64_t
        kept; // of the room, for what is wanted and has not been listed: what nobody has asked for is passed over
};
// Lists what comes next, as much as the list and the room take, sorted.
void kv_warm_list(struct kv_warm_run *run, struct kv_warm_walk *walk);

// What a run may do to the device: readers at once, bytes a read, a rest after each.
struct kv_warm_pace {
    unsigned readers, bytes, rest_us;
};
// run->lock is held.
const struct kv_warm_pace *kv_warm_pace(const struct kv_warm_run *run);
// By the goal and the measure of misses. run->lock is held, or nobody reads yet.
void kv_warm_set_pace(struct kv_warm_run *run, uint64_t now_ns);

// Reads and admits what is listed.
void kv_warm_read(struct kv_warm_run *run);

#endif
