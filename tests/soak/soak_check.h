// The checker process of kvsoak: workers that ask and judge, the conductor that kills, opens and changes
// limits, and what
// they share.
//
// Threads: a worker owns the keys whose index modulo the number of workers is its own, and its connection.
// The conductor
// (the main thread) pauses all workers before it closes, opens or searches, and looks at their keys only
// then. Shared keys have a
// lock each.
#ifndef MEC_TESTS_SOAK_CHECK_H
#define MEC_TESTS_SOAK_CHECK_H

#include <pthread.h>
#include <sys/types.h>

#include "tests/soak/soak_model.h"

#define SOAK_WORKERS_MAX 16u
#define SOAK_SHARED_KEYS 48u
#define SOAK_SIZES       8u
#define SOAK_MIB         (1024u * 1024)

struct soak_options {
    const char *dir; // NULL: one of our own, removed after a run without differences
    const char *json;
    const char *kvcheck; // the program; NULL: not run
    double seconds, kill_every;
    uint64_t seed;
    uint32_t keys, workers;
    enum kv_fsync fsync;
    uint64_t limit_max;
    uint64_t disk_max; // 0: no bound on the sizes of values; else live values stay well below it
    uint64_t segment_bytes;
    bool tolerate;       // KV_FULL, KV_IO and KV_READ_ONLY are answers like others: the disk is made to fail
    bool no_size_checks; // resident size means nothing, as under a sanitizer
    bool search_memory;  // not only the files, for values that are gone
    uint64_t rlimit_fsize, rlimit_nofile, rlimit_as; // of the store process; 0: as they are
};

// ---- shared keys: any worker writes them (soak_shared.c)

struct soak_write {
    uint64_t id;           // 0: a delete
    uint64_t begun, ended; // ticks; ended UINT64_MAX: under way, or nobody knows
    uint32_t len;
};

#define SOAK_WRITES 256u
struct soak_shared_key {
    pthread_mutex_t lock;
    uint32_t count;
    bool full; // too many writes at once: left alone until the next pause
    struct soak_write writes[SOAK_WRITES];
};

// ---- all

struct soak_run;

struct soak_worker {
    struct soak_run *run;
    uint32_t number;
    pthread_t thread;
    int fd; // changed by the conductor while the worker is parked
    uint64_t random;
    uint32_t own;           // how many keys
    _Atomic uint64_t since; // the tick at which the operation under way began; UINT64_MAX: none
    struct soak_request request;
    struct soak_answer answer;
    bool holds;
    struct soak_result held;
    uint32_t recent[256]; // keys written lately
    uint32_t recent_count;
    _Atomic uint32_t checked_epoch;
    uint64_t next_id;
    uint64_t operations, answers_checked;
    // of a scan under way
    uint64_t cursor, scan_begun;
    uint64_t *scan_seen; // a bit for each key
    bool scanning;
};

struct soak_counts {
    _Atomic uint64_t ops[SOAK_OPS];
    _Atomic uint64_t keys_verified, scans, tolerated;
    uint64_t kills, kills_idle, kills_opening, kills_closing, reopens, limits, checkpoints, searches,
        marks_seen;
    uint64_t limit_us_max, open_us_max, recovery_us_max;
    uint64_t rss_over_max;    // bytes above the limit after a second, worst
    uint64_t memory_over_max; // the same of kv_stats.memory_bytes
    uint64_t fds_max, threads_max, disk_max, live_last, disk_last;
};

struct soak_clock {
    _Atomic uint64_t *now; // the shared page
    _Atomic uint64_t top;
    _Atomic uint64_t count;
    _Atomic uint64_t history[1024];
};

struct soak_run {
    struct soak_options options;
    char *dir;
    bool own_dir;
    const char *self; // our program, to be run as the store process
    struct soak_worker workers[SOAK_WORKERS_MAX];
    uint32_t owned; // keys; shared ones follow
    struct soak_key *keys;
    struct soak_shared_key shared[SOAK_SHARED_KEYS];
    double zipf_zeta, zipf_eta;
    struct soak_clock clock;
    int clock_fd;
    _Atomic uint64_t tick;
    struct soak_counts counts;
    uint64_t began_us;

    pid_t pid;                  // the store process; 0: none
    struct soak_worker control; // the conductor's connection
    uint64_t limit_bytes, segment_bytes;
    unsigned erase_within_ms;
    _Atomic uint32_t epoch;      // raised at each start of the store: workers look at their keys first
    _Atomic bool verify_all;     // at all of them
    _Atomic bool have[SOAK_OPS]; // which functions the library has

    pthread_mutex_t gate_lock;
    pthread_cond_t gate_changed;
    bool paused, ended;
    uint32_t parked;
    _Atomic bool lost; // a worker's connection broke

    pthread_mutex_t report_lock;
    _Atomic uint32_t differences;
};

uint64_t soak_now_us(void);
uint64_t soak_random(uint64_t *state);
uint64_t soak_below(uint64_t *state, uint64_t n);
bool soak_chance(uint64_t *state, unsigned in);

// Reports a wrong answer, once, with seed and what is known of the key (UINT32_MAX: none).
void soak_differ(struct soak_run *run, uint32_t key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool soak_failed(struct soak_run *run);

// ---- connections (soak_process.c)

// Sends the worker's request and waits for its answer. False: the store process has gone.
bool soak_ask(struct soak_worker *worker);
void soak_request(struct soak_worker *worker, enum soak_op op, uint32_t flags, uint64_t arg);
struct soak_item *soak_request_item(struct soak_worker *worker, uint32_t key);
bool soak_store_start(struct soak_run *run); // and connects
void soak_store_kill(struct soak_run *run);  // kill -9 and wait
void soak_store_end(struct soak_run *run);   // disconnects, waits

// ---- clock (soak_clock.c)

bool soak_clock_init(struct soak_run *run);
void soak_clock_set(struct soak_run *run, uint64_t now_ms);
struct soak_window soak_window_open(struct soak_run *run, uint64_t *mark);
void soak_window_close(struct soak_run *run, struct soak_window *window, uint64_t mark);

// ---- workers (soak_worker.c, soak_steps.c)

void *soak_worker_main(void *worker);
// One random step of a worker. False: the connection is lost.
bool soak_step(struct soak_worker *worker);
// Reads keys whose state is not certain, those written lately and a share of the others; or all.
bool soak_verify(struct soak_worker *worker, bool all);
// Asks about one owned key, or several, and judges the answers. False: the connection is lost.
bool soak_ask_and_judge(struct soak_worker *worker);
uint64_t soak_new_id(struct soak_worker *worker);
uint32_t soak_value_len(struct soak_worker *worker);
// A Zipf-distributed key of the worker's own.
uint32_t soak_pick_key(struct soak_worker *worker);

// ---- scans (soak_scan.c)

bool soak_scan_step(struct soak_worker *worker);

// ---- shared keys (soak_shared.c)

void soak_shared_init(struct soak_run *run);
bool soak_shared_step(struct soak_worker *worker);
// While all are paused: reads each and forgets what came before. False: the connection is lost.
bool soak_shared_settle(struct soak_run *run);
bool soak_shared_is_live(struct soak_run *run, uint64_t id);

// ---- conductor (soak_conduct.c)

void soak_pause(struct soak_run *run);
void soak_resume(struct soak_run *run);
bool soak_conduct(struct soak_run *run);
// Of the store process, with all that has to be right when it succeeds.
bool soak_open(struct soak_run *run);
bool soak_control(struct soak_run *run, enum soak_op op, uint64_t arg);

// ---- looking from outside (soak_watch.c)

uint64_t soak_rss(pid_t pid);
uint64_t soak_entries(pid_t pid, const char *what); // "fd" or "task"
// After a limit was lowered: resident size and figures are within what was promised in a second.
bool soak_watch_limit(struct soak_run *run);
// Sizes, descriptors, threads.
bool soak_watch_growth(struct soak_run *run);
// At the end: counts of keys, and disk space that compaction must have given back.
bool soak_watch_end(struct soak_run *run);

// ---- values that are gone (soak_search.c)

// While all are paused: no file of the store, and no memory of its process, has a piece of a value that is
// not some key's.
bool soak_search(struct soak_run *run);

void soak_report(struct soak_run *run, double seconds);

#endif
