// The latency monitor: for each kind of event the latest moments at which one took at least latency-monitor-threshold milliseconds (0: off). Within a second the longest
// counts. Any thread.
#ifndef MEC_KVSTORE_RESP_LATENCY_H
#define MEC_KVSTORE_RESP_LATENCY_H

#include "kvstore/resp/command.h"

#define RESP_LATENCY_SAMPLES 160u
#define RESP_LATENCY_EVENTS  16u // kinds

struct resp_latency; // in struct resp_shared

struct resp_latency *resp_latency_create(void); // NULL: no memory
void resp_latency_destroy(struct resp_latency **latency);

// Something has taken so long. event: a constant ("command", "fast-command").
void resp_latency_note(struct resp_shared *shared, const char *event, uint64_t ms);

void resp_latency_set_threshold(struct resp_shared *shared, uint64_t ms);
uint64_t resp_latency_threshold(const struct resp_shared *shared);

struct resp_latency_sample {
    uint64_t unix_s, ms;
};
struct resp_latency_history { // a copy
    const char *event;
    uint64_t most_ms; // since it was reset
    size_t count;
    struct resp_latency_sample samples[RESP_LATENCY_SAMPLES]; // the oldest first
};
// The kinds of events there were, of which number `at`, or by name. False: none.
bool resp_latency_at(const struct resp_shared *shared, size_t at, struct resp_latency_history *history);
bool resp_latency_find(const struct resp_shared *shared, const struct resp_arg *event,
                       struct resp_latency_history *history);
// Forgets one kind (NULL: all); how many there were.
size_t resp_latency_forget(struct resp_shared *shared, const struct resp_arg *event);

// A picture of a history in characters, as LATENCY GRAPH shows it: malloc'ed, terminated; NULL: no memory.
char *resp_latency_graph(const struct resp_latency_history *history, uint64_t now_s);

#endif
