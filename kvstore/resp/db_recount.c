// Counting keys anew: a thread that scans the store beside everything else (db_count.h says how the counts stay right meanwhile).
#include <errno.h>
#include <time.h>

#include "common/log.h"
#include "kvstore/kv.h"
#include "kvstore/resp/conn.h"
#include "kvstore/resp/db_count.h"

#define BATCH 512u
// How long the store has for removing what had expired when the scan passed it; it looks at every key once a second.
#define SETTLE_S 5

static bool stopping(struct resp_dbs *dbs)
{
    (void)pthread_mutex_lock(&dbs->lock);
    bool stop = dbs->stop;
    (void)pthread_mutex_unlock(&dbs->lock);
    return stop;
}

static bool rest(struct resp_dbs *dbs, time_t seconds)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    (void)pthread_mutex_lock(&dbs->lock);
    while (!dbs->stop && pthread_cond_timedwait(&dbs->wake, &dbs->lock, &until) != ETIMEDOUT) {
    }
    bool stop = dbs->stop;
    (void)pthread_mutex_unlock(&dbs->lock);
    return !stop;
}

// Writers of the key are kept out between the look and the entry, and so is who takes out what the store removes.
static bool count_key(void *arg, const void *name, size_t len, size_t value_len, uint64_t expire_ms)
{
    struct resp_shared *shared = arg;
    struct resp_lock_set lock = {0};
    struct resp_arg key;
    unsigned db;
    bool ok = true;
    (void)value_len;
    if (resp_db_laid_of(name, len) == 0 || !resp_db_of(shared, name, len, &db, &key))
        return true;
    resp_lock_set_add(&lock, &shared->locks, db, &key);
    (void)resp_locks_take(&shared->locks, &lock, false, true);
    if (kv_get_expiry(shared->store, name, len, &expire_ms) == KV_OK)
        ok = resp_db_note_found(shared->dbs, name, len, expire_ms != 0);
    resp_locks_release(&shared->locks, &lock, false);
    return ok && !stopping(shared->dbs);
}

static void *count_all(void *arg)
{
    struct resp_shared *shared = arg;
    struct resp_dbs *dbs = shared->dbs;
    uint64_t cursor = 0, unread = 0;
    enum kv_status status;
    log_info("resp_db_count_begin", "why=\"no counts from a clean stop\"");
    do {
        status = kv_scan(shared->store, &cursor, BATCH, count_key, shared);
        unread += status == KV_IO;
    } while ((status == KV_OK || status == KV_IO) && cursor != 0 && !stopping(dbs));
    bool done = (status == KV_OK || status == KV_IO) && cursor == 0 && unread == 0;
    if (done && rest(dbs, SETTLE_S))
        log_info("resp_db_count_done", "databases=1..15");
    else if (!stopping(dbs))
        log_warn("resp_db_count_failed", "error=\"%s\" unread=%llu", kv_status_text(status),
                 (unsigned long long)unread);
    resp_db_count_settle(dbs, done && !stopping(dbs));
    return NULL;
}

bool resp_db_recount(struct resp_shared *shared)
{
    struct resp_dbs *dbs = shared->dbs;
    resp_db_recount_end(shared);
    dbs->stop = false;
    if (resp_db_note_used(shared) != KV_OK || !resp_db_count_reset(dbs, true))
        return false;
    dbs->running = resp_thread_start(count_all, shared, &dbs->thread) == 0;
    if (!dbs->running)
        resp_db_count_settle(dbs, false);
    return dbs->running;
}

void resp_db_recount_end(struct resp_shared *shared)
{
    struct resp_dbs *dbs = shared->dbs;
    if (!dbs->running)
        return;
    (void)pthread_mutex_lock(&dbs->lock);
    dbs->stop = true;
    (void)pthread_cond_broadcast(&dbs->wake);
    (void)pthread_mutex_unlock(&dbs->lock);
    (void)pthread_join(dbs->thread, NULL);
    dbs->running = false;
}
