// Statistics of a server: commands by number (command.h), errors by code, bytes, rates, peaks. Recording is relaxed atomic additions to counters that a few threads share,
// two readings of the clock a command, and no lock. INFO, LATENCY HISTOGRAM and the daemon's metrics read them, any time, from any thread.
//
// CONFIG RESETSTAT takes them back to zero as INFO shows them. What the store and struct resp_counters count goes on (Prometheus wants counters that only grow): there a base
// is subtracted.
#ifndef MEC_KVSTORE_RESP_STATS_H
#define MEC_KVSTORE_RESP_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/histogram.h"
#include "kvstore/resp/command.h"

struct resp_stats; // in struct resp_shared

struct resp_stats *resp_stats_create(void); // NULL: no memory, no randomness
void resp_stats_destroy(struct resp_stats **stats);

// ---- recording

struct resp_begin {
    uint64_t ns;      // of clock_ns()
    uint64_t errors;  // of the reply
    uint64_t counted; // of the session
};
struct resp_begin resp_stats_begin(const struct resp_session *session, const struct resp_reply *reply);
// A handler has returned, and its command has been answered: counts call, time, errors; tells the slow log and the latency monitor. Commands within it (EXEC) have
// counted theirs.
void resp_stats_end(const struct resp_call *call, const struct resp_begin *begin);
// A command was looked up (NULL: not found) and maybe run: errors that no handler has counted are a refusal of it.
void resp_stats_answered(struct resp_session *session, const struct resp_reply *reply,
                         const struct resp_command *command, const struct resp_begin *begin);
// A GET whose value a thread of the store brings: its call when it begins, its time when it is answered.
void resp_stats_fetching(struct resp_shared *shared, const struct resp_command *command);
void resp_stats_fetched(struct resp_shared *shared, const struct resp_command *command, uint64_t ns);
// Bytes from and to peers.
void resp_stats_net(struct resp_shared *shared, uint64_t in, uint64_t out);
// Rates and peaks; to be called several times a second.
void resp_stats_tick(struct resp_shared *shared);

// ---- asking

struct resp_command_stats {
    uint64_t calls, ns, rejected, failed;
};
// number: resp_command_number().
struct resp_command_stats resp_stats_command(const struct resp_shared *shared, size_t number);
// Calls fn with each command and subcommand that has run since the start, whatever CONFIG RESETSTAT said: "get", "config|set".
void resp_stats_each_called(const struct resp_shared *shared,
                            void (*fn)(void *arg, const char *name, uint64_t calls), void *arg);
// The times of a command, added to `into`. False: none are known.
bool resp_stats_histogram(const struct resp_shared *shared, size_t number, struct histogram *into);

struct resp_error_stats {
    char code[24];
    uint64_t count;
};
size_t resp_stats_errors(const struct resp_shared *shared, struct resp_error_stats *errors, size_t max);

struct resp_totals { // since the start, or CONFIG RESETSTAT
    uint64_t connections, rejected, refused_peers, commands, errors, protocol_errors, cut_off, idle_closed,
        evicted_clients, expired, hits, misses, net_in, net_out;
};
struct resp_totals resp_stats_totals(const struct resp_shared *shared, const struct kv_stats *store);

struct resp_rates {
    uint64_t ops_per_sec, most_ops_per_sec;
    double in_bytes_per_sec, out_bytes_per_sec;
};
struct resp_rates resp_stats_rates(const struct resp_shared *shared);

// What the store and the connections hold; notes it as a peak.
uint64_t resp_stats_memory(const struct resp_shared *shared, const struct kv_stats *store);
uint64_t resp_stats_peak_memory(const struct resp_shared *shared);

const char *resp_stats_run_id(const struct resp_shared *shared); // 40 hexadecimal digits, random

void resp_stats_track_latency(struct resp_shared *shared, bool on); // histograms: latency-tracking
bool resp_stats_tracks_latency(const struct resp_shared *shared);
void resp_stats_reset(struct resp_shared *shared, const struct kv_stats *store);

#endif
