#include "kvstore/resp/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/thread_signals.h"

struct resp_pool {
    pthread_mutex_t lock; // guards all but the threads
    pthread_cond_t wake;
    struct resp_job *first, *last;
    bool stopping;
    unsigned thread_count;
    pthread_t threads[];
};

int resp_thread_start(void *(*run)(void *arg), void *arg, void *pthread)
{
    sigset_t before;
    thread_signals_block(&before);
    int rc = pthread_create(pthread, NULL, run, arg);
    thread_signals_restore(&before);
    return rc;
}

// The next job, or NULL when the pool stops and nothing is left.
static struct resp_job *next_job(struct resp_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->first == NULL && !pool->stopping)
        (void)pthread_cond_wait(&pool->wake, &pool->lock);
    struct resp_job *job = pool->first;
    if (job != NULL)
        pool->first = job->next;
    (void)pthread_mutex_unlock(&pool->lock);
    return job;
}

static void *run_jobs(void *arg)
{
    for (struct resp_job *job; (job = next_job(arg)) != NULL;)
        job->run(job);
    return NULL;
}

void resp_pool_submit(struct resp_pool *pool, struct resp_job *job)
{
    job->next = NULL;
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->first == NULL)
        pool->first = job;
    else
        pool->last->next = job;
    pool->last = job;
    (void)pthread_cond_signal(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
}

struct resp_pool *resp_pool_create(unsigned threads, struct error *e)
{
    struct resp_pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->threads[0]);
    if (pool == NULL) {
        error_set(e, "worker threads: out of memory");
        return NULL;
    }
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->wake, NULL);
    while (pool->thread_count < threads) {
        int rc = resp_thread_start(run_jobs, pool, &pool->threads[pool->thread_count]);
        if (rc != 0) {
            error_set(e, "worker threads: %s", strerror(rc));
            resp_pool_destroy(&pool);
            return NULL;
        }
        pool->thread_count++;
    }
    return pool;
}

void resp_pool_destroy(struct resp_pool **pool)
{
    struct resp_pool *p = *pool;
    *pool = NULL;
    if (p == NULL)
        return;
    (void)pthread_mutex_lock(&p->lock);
    p->stopping = true;
    (void)pthread_cond_broadcast(&p->wake);
    (void)pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->thread_count; i++)
        (void)pthread_join(p->threads[i], NULL);
    (void)pthread_cond_destroy(&p->wake);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}
