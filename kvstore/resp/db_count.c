#include "kvstore/resp/db_count.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/events.h"

// ---- totals; the lock is held

static void add(uint64_t *total, int change)
{
    if (change >= 0)
        *total += (unsigned)change;
    else if (*total != 0) // never below: a record whose key cannot be read goes uncounted
        (*total)--;
}

static void change(struct resp_dbs *dbs, unsigned laid, int keys, int expiring)
{
    add(&dbs->laid[laid].keys, keys);
    add(&dbs->laid[laid].expiring, expiring);
}

static uint64_t hash_of(const struct resp_dbs *dbs, const void *name, size_t len)
{
    return kv_hash_key(&dbs->seeds, name, len).low;
}

static void drop_set(struct resp_dbs *dbs)
{
    if (dbs->set != NULL)
        resp_db_set_deinit(dbs->set);
    free(dbs->set);
    dbs->set = NULL;
}

static bool enter(struct resp_dbs *dbs, const void *name, size_t len, bool expires)
{
    enum resp_db_member was;
    if (!resp_db_set_put(dbs->set, hash_of(dbs, name, len), expires, &was)) {
        drop_set(dbs);
        dbs->exact = false;
        return false;
    }
    change(dbs, resp_db_laid_of(name, len), was == RESP_DB_ABSENT,
           (expires ? 1 : 0) - (was == RESP_DB_MARKED ? 1 : 0));
    return true;
}

static void take_out(struct resp_dbs *dbs, const void *name, size_t len)
{
    enum resp_db_member was = resp_db_set_remove(dbs->set, hash_of(dbs, name, len));
    if (was != RESP_DB_ABSENT)
        change(dbs, resp_db_laid_of(name, len), -1, was == RESP_DB_MARKED ? -1 : 0);
}

// ---- by commands

static bool counted(const struct resp_shared *shared, const struct resp_db_name *name)
{
    return name->laid != 0 && shared->dbs != NULL;
}

static int has(uint64_t expire_ms)
{
    return expire_ms != 0;
}

void resp_db_note_put(struct resp_shared *shared, const struct resp_db_name *name,
                      const struct kv_put_old *old, uint64_t expire_ms)
{
    struct resp_dbs *dbs = shared->dbs;
    if (!counted(shared, name))
        return;
    (void)pthread_mutex_lock(&dbs->lock);
    if (dbs->set != NULL)
        (void)enter(dbs, name->data, name->len, expire_ms != 0);
    else
        change(dbs, name->laid, !old->there, has(expire_ms) - has(old->expire_ms));
    (void)pthread_mutex_unlock(&dbs->lock);
}

void resp_db_note_delete(struct resp_shared *shared, const struct resp_db_name *name, uint64_t old_expire_ms)
{
    struct resp_dbs *dbs = shared->dbs;
    if (!counted(shared, name))
        return;
    (void)pthread_mutex_lock(&dbs->lock);
    if (dbs->set != NULL)
        take_out(dbs, name->data, name->len);
    else
        change(dbs, name->laid, -1, -has(old_expire_ms));
    (void)pthread_mutex_unlock(&dbs->lock);
}

void resp_db_note_expiry(struct resp_shared *shared, const struct resp_db_name *name, uint64_t old_expire_ms,
                         uint64_t expire_ms)
{
    struct resp_dbs *dbs = shared->dbs;
    if (!counted(shared, name))
        return;
    (void)pthread_mutex_lock(&dbs->lock);
    if (dbs->set != NULL)
        (void)enter(dbs, name->data, name->len, expire_ms != 0);
    else
        change(dbs, name->laid, 0, has(expire_ms) - has(old_expire_ms));
    (void)pthread_mutex_unlock(&dbs->lock);
}

// ---- by the store

// True: done, by a change.
static bool count_out_by_change(struct resp_dbs *dbs, unsigned laid)
{
    (void)pthread_mutex_lock(&dbs->lock);
    bool by_change = dbs->set == NULL;
    if (by_change)
        change(dbs, laid, -1, -1);
    (void)pthread_mutex_unlock(&dbs->lock);
    return by_change;
}

// The key may have been put again since it was removed: then it stays in the set.
static void count_out(struct resp_shared *shared, const void *name, size_t len, const struct resp_arg *key,
                      unsigned db)
{
    struct resp_dbs *dbs = shared->dbs;
    struct resp_lock_set lock = {0};
    unsigned laid = resp_db_laid_of(name, len);
    if (count_out_by_change(dbs, laid))
        return;
    resp_lock_set_add(&lock, &shared->locks, db, key);
    (void)resp_locks_take(&shared->locks, &lock, false, true);
    bool there = kv_exists(shared->store, name, len) == KV_OK;
    (void)pthread_mutex_lock(&dbs->lock);
    if (dbs->set == NULL)
        change(dbs, laid, -1, -1);
    else if (!there)
        take_out(dbs, name, len);
    (void)pthread_mutex_unlock(&dbs->lock);
    resp_locks_release(&shared->locks, &lock, false);
}

void resp_db_expired(struct resp_shared *shared, const void *name, size_t len)
{
    struct resp_arg key;
    unsigned db;
    if (!resp_db_of(shared, name, len, &db, &key))
        return;
    if (resp_db_laid_of(name, len) != 0 && shared->dbs != NULL)
        count_out(shared, name, len, &key, db);
    resp_expired(shared, db, &key);
}

// ---- by the thread that counts

bool resp_db_note_found(struct resp_dbs *dbs, const void *name, size_t len, bool expires)
{
    (void)pthread_mutex_lock(&dbs->lock);
    bool ok = dbs->set != NULL && enter(dbs, name, len, expires);
    (void)pthread_mutex_unlock(&dbs->lock);
    return ok;
}

bool resp_db_count_reset(struct resp_dbs *dbs, bool by_names)
{
    struct resp_db_set *set = by_names ? calloc(1, sizeof *set) : NULL;
    (void)pthread_mutex_lock(&dbs->lock);
    drop_set(dbs);
    memset(dbs->laid, 0, sizeof dbs->laid);
    dbs->set = set;
    dbs->exact = set != NULL || !by_names;
    (void)pthread_mutex_unlock(&dbs->lock);
    return set != NULL || !by_names;
}

void resp_db_count_settle(struct resp_dbs *dbs, bool exact)
{
    (void)pthread_mutex_lock(&dbs->lock);
    if (dbs->set != NULL)
        dbs->exact = exact;
    drop_set(dbs);
    (void)pthread_mutex_unlock(&dbs->lock);
}

// ---- asking

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

struct resp_db_count resp_db_count(struct resp_shared *shared, unsigned db)
{
    struct resp_dbs *dbs = shared->dbs;
    unsigned laid = resp_db_laid(shared, db);
    struct resp_db_count others = {0};
    if (dbs != NULL) {
        (void)pthread_mutex_lock(&dbs->lock);
        struct resp_db_count own = dbs->laid[laid];
        for (unsigned i = 1; i < RESP_DATABASES; i++) {
            others.keys += dbs->laid[i].keys;
            others.expiring += dbs->laid[i].expiring;
        }
        (void)pthread_mutex_unlock(&dbs->lock);
        if (laid != 0)
            return own;
        others.keys += (atomic_load(&dbs->used) ? 1u : 0u) + (atomic_load(&dbs->mapped) ? 1u : 0u);
    }
    struct kv_stats stats;
    kv_get_stats(shared->store, &stats);
    return (struct resp_db_count){less(stats.keys, others.keys),
                                  less(stats.keys_with_expiry, others.expiring)};
}

bool resp_db_alone(struct resp_shared *shared, unsigned db)
{
    struct resp_dbs *dbs = shared->dbs;
    if (dbs != NULL) {
        (void)pthread_mutex_lock(&dbs->lock);
        bool unsure = dbs->set != NULL || !dbs->exact;
        (void)pthread_mutex_unlock(&dbs->lock);
        if (unsure)
            return false;
    }
    for (unsigned other = 0; other < RESP_DATABASES; other++)
        if (other != db && resp_db_count(shared, other).keys != 0)
            return false;
    return true;
}
