// Power failures, thoroughly: a history on a disk that remembers (kv_crash_disk.h), and many crashes of
// it.
//
// Usually several threads put, delete, replace, expire and sync on a store of small segments while another
// compacts; every file operation and every answer to a caller goes into one log, in order. Then the log is
// played back, at random positions the power fails (one crash in eight is a kill -9), and the store is opened
// from what is left. In one history in four an fsync fails and covers nothing: no caller may be told that
// what it was to cover is durable. One crash in some is followed by a second history on what is left,
// recovery included, with crashes of its own: so power fails in recovery too.
//
// What must hold, for each key (a key is written by one thread, so its history is a line):
//   it is in the state of the last durable operation, or of one that was begun later, value and expiry
//   together (durable: the call returned and the policy promises it, or a kv_sync() begun after its return has
//   returned)
// Violations by kind:
//   OLD      a state from before the last durable one
//   LOST     not found, though that was not asked for
//   UNDEAD   a deleted or expired key is back
//   CORRUPT  KV_CORRUPT or KV_IO instead of a state
//   TORNNEW  KV_CORRUPT, where the key was absent and an unacknowledged put was under way: counted, not failed
//   TORNDEL  KV_CORRUPT, where the key was there and an unacknowledged delete (or its expiry) was under way:
//            counted, not failed
//   ALIEN    a value that was never put
//   EXPIRY   the right value with an expiry it never had
//   OPEN     the store does not open
//   DIFFER   opened by the index snapshot a key is another than when all segments are read
//   LEFT     a value is in the files after opening by the snapshot, and not after reading all segments
//   AGAIN    a second open says something else than the first
//
// Environment: KV_TEST_SEED (1), KV_POWER_STATES (crash states a policy, 600), KV_POWER_NAMES=any,
// KV_POWER_ALLOW (kinds not to fail on, e.g. "TORNNEW,CORRUPT"), KV_POWER_VERBOSE=1 (the first violations in
// full), KV_POWER_DOUBT=1 (with it: why a snapshot was not used), TMPDIR.
//
// Who has what: kv_crash_disk.c the recorder, kv_crash_play.c playing back, kv_crash_history.c keys, values
// and the threads of a history, kv_crash_judge.c what a key may be after a crash, kv_crash_run.c the crashes.
#ifndef MEC_TESTS_KV_CRASH_KIT_H
#define MEC_TESTS_KV_CRASH_KIT_H

#include "kv_crash_disk.h"

#include "kvstore/kv.h"

#define CRASH_KEYS      24u
#define CRASH_VALUE_MAX 6000u
#define CRASH_NEVER     UINT64_MAX

// ---- keys, values, what was promised (kv_crash_history.c)

struct crash_state {
    uint32_t value; // 0: not there
    uint64_t expire;
};

struct crash_event {
    struct crash_state state;
    uint64_t begin, end; // log positions of the call; end CRASH_NEVER: it has not returned
    bool waits;          // durable when it returns
    char what;
};

struct crash_history {
    struct crash_event *events;
    size_t count, capacity;
    struct crash_state base[64]; // allowed at the beginning
    size_t base_count;
};

struct crash_syncs {
    pthread_mutex_t lock;
    struct {
        uint64_t begin, end;
    } list[4096];
    size_t count;
};

extern _Atomic uint32_t crash_next_value;
size_t crash_make_key(uint32_t key, uint8_t out[512]);
size_t crash_value_len(uint32_t value);
size_t crash_make_value(uint32_t key, uint32_t value, uint8_t *out);
bool crash_is_value(uint32_t key, uint32_t value, const uint8_t *data, size_t len);
bool crash_is_visible(struct crash_state s, uint64_t now);

// What is recorded: who writes what, on what store.
struct crash_plan {
    const char *name;
    bool always; // KV_FSYNC_ALWAYS; else nothing is durable before a kv_sync()
    uint64_t segment_bytes;
    // Records one history in a folder (crash_record_begin() and crash_record_end()) and notes in `histories`
    // and `syncs` what was asked for and when. Returns false when the store does not open. The log and the
    // events are the caller's to free.
    bool (*record)(const struct crash_plan *plan, const char *dir, struct crash_log *log,
                   struct crash_history histories[CRASH_KEYS], struct crash_syncs *syncs, unsigned ops,
                   uint64_t seed, bool fail_sync);
    unsigned ops;     // for record(); a tenth of it, or none, in second histories
    unsigned crashes; // of one history, those of second ones not counted
    unsigned share;   // of the crash states that are asked for: one in so many
};
struct kv_options crash_options(const struct crash_plan *plan);

// Several threads, `ops` calls each, while another compacts.
bool crash_record_history(const struct crash_plan *plan, const char *dir, struct crash_log *log,
                          struct crash_history histories[CRASH_KEYS], struct crash_syncs *syncs, unsigned ops,
                          uint64_t seed, bool fail_sync);

// Notes a call that begins: its event is in the key's history, with no end yet. The pointer holds until the
// next.
struct crash_event *crash_add_event(struct crash_history *h, struct crash_event event);

// ---- what a crash may show (kv_crash_judge.c)

struct crash_allowed {
    struct crash_state states[512];
    // The first is the last durable one, unless nothing was durable: then `base_count` of them are.
    size_t count;
    size_t first_new; // states from here on were begun after it
    size_t durable;   // events before this one are older than the durable state
};
// What a key may be when the power fails at position t of the log.
void crash_allow_at(const struct crash_history *h, const struct crash_syncs *syncs, uint64_t t,
                    struct crash_allowed *a);

enum crash_kind {
    GOOD,
    OLD,
    LOST,
    UNDEAD,
    CORRUPT,
    TORNNEW,
    TORNDEL,
    ALIEN,
    OPEN,
    EXPIRY,
    AGAIN,
    DIFFER,
    LEFT,
    KINDS
};
extern const char *const crash_kind_names[KINDS];
bool crash_is_failure(enum crash_kind kind);

struct crash_seen {
    enum kv_status status;
    uint32_t value;
    uint64_t expire;
};
enum crash_kind crash_judge(uint32_t key, const struct crash_history *h, const struct crash_allowed *a,
                            uint64_t now, struct kv_store *store, struct crash_seen *seen);

// ---- the test (kv_crash_run.c)

// Group fixtures: environment, a folder, the recorder in kv_io; and all of it away again.
int crash_setup(void **state);
int crash_teardown(void **state);
// Histories of a plan and crashes of them, as many as the environment asks for; fails the running test.
void crash_run(const struct crash_plan *plan);

#endif
