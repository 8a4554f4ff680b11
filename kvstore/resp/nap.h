// Commands that sleep (WAIT, DEBUG SLEEP), each on a worker that it keeps. So that they cannot take all workers only `most` may sleep at once, none for more than
// RESP_NAP_MOST_MS, and a server that stops wakes them.
#ifndef MEC_KVSTORE_RESP_NAP_H
#define MEC_KVSTORE_RESP_NAP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define RESP_NAP_MOST_MS 60000u

struct resp_naps { // in struct resp_shared
    pthread_mutex_t lock;
    pthread_cond_t over;
    unsigned most, asleep; // guarded by lock
    bool stopped;
};

bool resp_naps_init(struct resp_naps *naps);
void resp_naps_deinit(struct resp_naps *naps);
void resp_naps_allow(struct resp_naps *naps, unsigned most); // before, none may sleep
// Sleeps. False: at once, as too many sleep already, or the server stops.
bool resp_nap(struct resp_naps *naps, uint64_t ms);
// Wakes all, and none sleeps from now on: before workers are joined.
void resp_naps_stop(struct resp_naps *naps);

#endif
