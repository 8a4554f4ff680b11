#include "edge-sim/ski_transport.h"

#include <pthread.h>

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool finished;
};

static void wake_waiter(struct ski_call *call)
{
    struct waiter *waiter = call->arg;
    (void)pthread_mutex_lock(&waiter->lock);
    waiter->finished = true;
    (void)pthread_cond_signal(&waiter->cond);
    (void)pthread_mutex_unlock(&waiter->lock);
}

enum ski_status ski_transport_call(struct ski_transport *transport, struct ski_call *call)
{
    struct waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    call->done = wake_waiter;
    call->arg = &waiter;
    transport->submit(transport, call);
    (void)pthread_mutex_lock(&waiter.lock);
    while (!waiter.finished)
        (void)pthread_cond_wait(&waiter.cond, &waiter.lock);
    (void)pthread_mutex_unlock(&waiter.lock);
    (void)pthread_cond_destroy(&waiter.cond);
    (void)pthread_mutex_destroy(&waiter.lock);
    return call->status;
}
