#include "kvstore/resp/nap.h"

#include <time.h>

bool resp_naps_init(struct resp_naps *naps)
{
    pthread_condattr_t attr;
    *naps = (struct resp_naps){0};
    if (pthread_condattr_init(&attr) != 0)
        return false;
    bool good =
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(&naps->over, &attr) == 0;
    (void)pthread_condattr_destroy(&attr);
    if (!good)
        return false;
    if (pthread_mutex_init(&naps->lock, NULL) == 0)
        return true;
    (void)pthread_cond_destroy(&naps->over);
    return false;
}

void resp_naps_deinit(struct resp_naps *naps)
{
    (void)pthread_cond_destroy(&naps->over);
    (void)pthread_mutex_destroy(&naps->lock);
}

void resp_naps_allow(struct resp_naps *naps, unsigned most)
{
    (void)pthread_mutex_lock(&naps->lock);
    naps->most = most;
    (void)pthread_mutex_unlock(&naps->lock);
}

bool resp_nap(struct resp_naps *naps, uint64_t ms)
{
    struct timespec until;
    uint64_t length = ms < RESP_NAP_MOST_MS ? ms : RESP_NAP_MOST_MS;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + length % 1000 * 1000000;
    until.tv_sec += (time_t)(length / 1000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    (void)pthread_mutex_lock(&naps->lock);
    bool may = !naps->stopped && naps->asleep < naps->most;
    naps->asleep += may;
    while (may && !naps->stopped && pthread_cond_timedwait(&naps->over, &naps->lock, &until) == 0)
        ;
    naps->asleep -= may;
    (void)pthread_mutex_unlock(&naps->lock);
    return may;
}

void resp_naps_stop(struct resp_naps *naps)
{
    (void)pthread_mutex_lock(&naps->lock);
    naps->stopped = true;
    (void)pthread_cond_broadcast(&naps->over);
    (void)pthread_mutex_unlock(&naps->lock);
}
