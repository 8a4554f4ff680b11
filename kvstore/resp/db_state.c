// The server's own records in the store: `used`, `map` and `state` (db.h), and opening and closing by them.
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "kvstore/kv.h"
#include "kvstore/kv_bytes.h"
#include "kvstore/resp/db_count.h"

#define NAME_USED  "\0mec:db\0\0used"
#define NAME_MAP   "\0mec:db\0\0map"
#define NAME_STATE "\0mec:db\0\0state"
#define NAME(text) text, sizeof text - 1

// state: format 1 (1 byte), the store's keys and those with an expiry, without this record; then both of the databases laid down as 1 to 15. 8 bytes each, little-endian.
#define STATE_FORMAT 1u
#define STATE_BYTES  (1 + 8 * 2 * RESP_DATABASES)

static bool failed(struct error *e, const char *what, enum kv_status status)
{
    error_set(e, "databases: %s: %s", what, kv_status_text(status));
    return false;
}

// ---- used, map

enum kv_status resp_db_note_used(struct resp_shared *shared)
{
    struct resp_dbs *dbs = shared->dbs;
    if (dbs == NULL || atomic_load_explicit(&dbs->used, memory_order_acquire))
        return KV_OK;
    // Not synced on its own: it is before the first key in the log.
    enum kv_status status = kv_put(shared->store, NAME(NAME_USED), "1", 1, 0, KV_PUT_NO_WAIT);
    if (status == KV_OK)
        atomic_store_explicit(&dbs->used, true, memory_order_release);
    return status;
}

static bool is_plain(const uint8_t laid[static RESP_DATABASES])
{
    for (unsigned db = 0; db < RESP_DATABASES; db++)
        if (laid[db] != db)
            return false;
    return true;
}

enum kv_status resp_db_write_map(struct resp_shared *shared, const uint8_t laid[static RESP_DATABASES])
{
    bool plain = is_plain(laid);
    enum kv_status status =
        plain ? kv_delete(shared->store, NAME(NAME_MAP), KV_PUT_NO_WAIT)
              : kv_put(shared->store, NAME(NAME_MAP), laid, RESP_DATABASES, 0, KV_PUT_NO_WAIT);
    if (plain && status == KV_NOT_FOUND)
        status = KV_OK;
    if (status == KV_OK)
        atomic_store(&shared->dbs->mapped, !plain);
    return status;
}

bool resp_db_read_map(struct resp_shared *shared, struct error *e)
{
    uint8_t laid[RESP_DATABASES];
    size_t len = sizeof laid;
    unsigned seen = 0;
    enum kv_status status = kv_get(shared->store, NAME(NAME_MAP), laid, &len);
    if (status == KV_NOT_FOUND)
        return true;
    if (status != KV_OK)
        return failed(e, "the record of SWAPDB cannot be read", status);
    for (size_t i = 0; i < len; i++)
        seen |= laid[i] < RESP_DATABASES ? 1u << laid[i] : 0;
    if (len != sizeof laid || seen != (1u << RESP_DATABASES) - 1)
        return failed(e, "the record of SWAPDB is not one of this version", KV_BAD_FORMAT);
    for (unsigned db = 0; db < RESP_DATABASES; db++)
        atomic_store(&shared->db_laid[db], laid[db]);
    atomic_store(&shared->dbs->mapped, true);
    return true;
}

// ---- state

// True when it fits the store as it is.
static bool parse_state(struct resp_dbs *dbs, const uint8_t *state, size_t len, const struct kv_stats *stats)
{
    if (len != STATE_BYTES || state[0] != STATE_FORMAT || kv_get64(state + 1) != stats->keys - 1 ||
        kv_get64(state + 9) != stats->keys_with_expiry)
        return false;
    for (unsigned i = 1; i < RESP_DATABASES; i++)
        dbs->laid[i] = (struct resp_db_count){kv_get64(state + 1 + 16 * i), kv_get64(state + 9 + 16 * i)};
    return true;
}

bool resp_db_read_state(struct resp_shared *shared, struct error *e)
{
    struct resp_dbs *dbs = shared->dbs;
    struct kv_stats stats;
    uint8_t state[STATE_BYTES];
    size_t len = sizeof state;
    atomic_store(&dbs->used, kv_exists(shared->store, NAME(NAME_USED)) == KV_OK);
    enum kv_status status = kv_get(shared->store, NAME(NAME_STATE), state, &len);
    if (status == KV_NOT_FOUND) {
        dbs->exact = !atomic_load(&dbs->used);
        return true;
    }
    // What the store removes from here on is counted out after the lock.
    (void)pthread_mutex_lock(&dbs->lock);
    kv_get_stats(shared->store, &stats);
    dbs->exact = status == KV_OK && parse_state(dbs, state, len, &stats);
    (void)pthread_mutex_unlock(&dbs->lock);
    // Gone before the first change that it would not know of.
    status = kv_delete(shared->store, NAME(NAME_STATE), 0);
    return status == KV_OK || status == KV_NOT_FOUND || failed(e, "a record cannot be removed", status);
}

static bool same_keys(const struct kv_stats *a, const struct kv_stats *b)
{
    return a->keys == b->keys && a->keys_with_expiry == b->keys_with_expiry && a->expired == b->expired;
}

// False: the store's keys changed meanwhile.
static bool fill_state(struct resp_shared *shared, uint8_t state[static STATE_BYTES])
{
    struct resp_dbs *dbs = shared->dbs;
    struct kv_stats before, after;
    kv_get_stats(shared->store, &before);
    state[0] = STATE_FORMAT;
    kv_put64(state + 1, before.keys);
    kv_put64(state + 9, before.keys_with_expiry);
    (void)pthread_mutex_lock(&dbs->lock);
    for (unsigned i = 1; i < RESP_DATABASES; i++) {
        kv_put64(state + 1 + 16 * i, dbs->laid[i].keys);
        kv_put64(state + 9 + 16 * i, dbs->laid[i].expiring);
    }
    (void)pthread_mutex_unlock(&dbs->lock);
    kv_get_stats(shared->store, &after);
    return same_keys(&before, &after);
}

void resp_db_write_state(struct resp_shared *shared)
{
    struct resp_dbs *dbs = shared->dbs;
    uint8_t state[STATE_BYTES];
    uint64_t keys = 0;
    if (!atomic_load(&dbs->used) || !dbs->exact || !fill_state(shared, state))
        return;
    for (unsigned i = 1; i < RESP_DATABASES; i++)
        keys += dbs->laid[i].keys;
    enum kv_status status = keys == 0 && !atomic_load(&dbs->mapped)
                                ? kv_delete(shared->store, NAME(NAME_USED), 0) // as one that was never used
                                : kv_put(shared->store, NAME(NAME_STATE), state, sizeof state, 0, 0);
    if (status != KV_OK)
        log_warn("resp_db_state_not_written", "error=\"%s\"", kv_status_text(status));
}

// ---- with a server

static void on_expire(void *arg, const void *name, size_t len)
{
    resp_db_expired(arg, name, len);
}

bool resp_db_open(struct resp_shared *shared, struct error *e)
{
    struct resp_dbs *dbs = calloc(1, sizeof *dbs);
    if (dbs == NULL || getrandom(&dbs->seeds, sizeof dbs->seeds, 0) != (ssize_t)sizeof dbs->seeds) {
        free(dbs);
        return failed(e, "cannot be set up", KV_NO_MEMORY);
    }
    (void)pthread_mutex_init(&dbs->lock, NULL);
    (void)pthread_cond_init(&dbs->wake, NULL);
    shared->dbs = dbs;
    kv_set_on_expire(shared->store, on_expire, shared);
    bool ok = resp_db_read_map(shared, e) && resp_db_read_state(shared, e);
    if (ok && !dbs->exact && !resp_db_recount(shared))
        ok = failed(e, "cannot be counted", KV_NO_MEMORY);
    if (!ok) {
        dbs->exact = false;
        resp_db_close(shared);
    }
    return ok;
}

void resp_db_close(struct resp_shared *shared)
{
    struct resp_dbs *dbs = shared->dbs;
    if (dbs == NULL)
        return;
    resp_db_recount_end(shared);
    resp_db_write_state(shared);
    kv_set_on_expire(shared->store, NULL, NULL);
    shared->dbs = NULL;
    (void)pthread_mutex_destroy(&dbs->lock);
    (void)pthread_cond_destroy(&dbs->wake);
    free(dbs);
}

// ---- as a whole

enum kv_status resp_db_swap(struct resp_shared *shared, unsigned a, unsigned b)
{
    uint8_t laid[RESP_DATABASES];
    for (unsigned db = 0; db < RESP_DATABASES; db++)
        laid[db] = (uint8_t)resp_db_laid(shared, db == a ? b : db == b ? a : db);
    enum kv_status status = shared->dbs != NULL ? resp_db_write_map(shared, laid) : KV_OK;
    if (status == KV_OK) {
        atomic_store(&shared->db_laid[a], laid[a]);
        atomic_store(&shared->db_laid[b], laid[b]);
    }
    return status;
}

enum kv_status resp_db_clear(struct resp_shared *shared)
{
    enum kv_status status = kv_clear(shared->store);
    if (status != KV_OK)
        return status;
    for (unsigned db = 0; db < RESP_DATABASES; db++)
        atomic_store(&shared->db_laid[db], (uint8_t)db);
    if (shared->dbs != NULL) {
        atomic_store(&shared->dbs->used, false);
        atomic_store(&shared->dbs->mapped, false);
        (void)resp_db_count_reset(shared->dbs, false); // one that counts by names finds no set, and ends
    }
    return KV_OK;
}
