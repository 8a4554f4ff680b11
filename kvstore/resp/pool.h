// A few threads that run jobs which may wait for the disk, in the order they were submitted.
#ifndef MEC_KVSTORE_RESP_POOL_H
#define MEC_KVSTORE_RESP_POOL_H

#include <stdbool.h>

#include "common/report.h"

struct resp_pool;

struct resp_job { // lies in the submitter's struct
    void (*run)(struct resp_job *job);
    struct resp_job *next; // private
};

// Starts the threads (all signals blocked). NULL and *e set on failure.
struct resp_pool *resp_pool_create(unsigned threads, struct error *e);

// Hands a job over: it belongs to the pool until run() is called, then to run(). Any thread. Never fails,
// never waits.
void resp_pool_submit(struct resp_pool *pool, struct resp_job *job);

// Runs what is queued, joins the threads, sets *pool to NULL. NULL is fine.
void resp_pool_destroy(struct resp_pool **pool);

// Starts a thread with all signals blocked, so that they reach the program's own thread (and a write to a
// closed socket is an error, not SIGPIPE). 0, or an errno.
int resp_thread_start(void *(*run)(void *arg), void *arg, void *pthread);

#endif
