// The RSA engine (rsa/rsa8.h) as the server has it: which one runs, what operations have cost lately, the memory
// that each crypto thread computes in, faults. ENGINE.md is the page about it.
#ifndef MEC_KEYSERVER_ENGINE_H
#define MEC_KEYSERVER_ENGINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/report.h"
#include "keyserver/engine_choice.h"
#include "keyserver/rsa/rsa8.h"
#include "keyserver/stats.h"

#define ENGINE_CHOICES "auto|ifma|openssl|portable"
enum engine_wanted { ENGINE_AUTO, ENGINE_IFMA, ENGINE_OPENSSL, ENGINE_PORTABLE };

struct engine_pick {
    bool batches;        // false: OpenSSL computes all
    enum rsa8_impl impl; // of the batches
    const char *name;    // "ifma", "openssl", "portable"
    const char *reason;  // why this one, a static text
};

// What was asked for, on a machine that has AVX-512 IFMA or not. False and *e set: it cannot be had.
bool engine_pick(enum engine_wanted wanted, bool ifma, struct engine_pick *pick, struct error *e);

struct engine_settings {
    struct engine_pick pick;
    unsigned threads;      // crypto threads
    uint64_t fill_wait_us; // how long an operation may be held back for others
    struct stats *stats;   // borrowed
    // NULL: rsa8_run(). Tests put something before it.
    void (*run)(enum rsa8_impl impl, struct rsa8_scratch *scratch, struct rsa8_op *ops, unsigned count);
};

struct engine;

// Also when OpenSSL computes all: it then has no memory for threads, and counts. NULL and *e set without memory.
// Logs which engine runs and why.
struct engine *engine_create(const struct engine_settings *settings, struct error *e);
// No thread may use it any more. Wipes. NULL inside is fine.
void engine_destroy(struct engine **engine);

bool engine_has_batches(const struct engine *engine);
uint64_t engine_fill_wait_ns(const struct engine *engine);

// ---- for crypto threads

// pool_options.choose. Any thread.
struct engine_choice engine_choice_for(struct engine *engine, unsigned size, const struct engine_load *load);

// rsa8_run() in the memory of crypto thread `thread`, measured and counted.
void engine_run(struct engine *engine, unsigned thread, unsigned size, struct rsa8_op *ops, unsigned count);

// A lane gave no result and OpenSSL is about to compute it: counts, and raises the alarm in the log (at most one line a
// second). key: its name, of which the log gets the beginning.
void engine_lane_failed(struct engine *engine, enum rsa8_status status, const char *key);

// An RSA operation was computed by OpenSSL and took this much of its thread's processor time; size -1: one that has no
// batches.
void engine_note_single(struct engine *engine, int size, uint64_t cpu_ns);
// An operation had its key and was held back for so long until a thread took it.
void engine_note_gathered(struct engine *engine, uint64_t ns);

// Processor time of the calling thread.
uint64_t engine_cpu_ns(void);

// ---- for operators

// Declares ks_rsa_engine_info and the gauges of costs. False without memory.
bool engine_metrics(struct engine *engine, struct metrics *metrics);
// The member "rsa_engine" of /status; a new reference.
json_t *engine_status(const struct engine *engine);

#endif
