#include "tests/unit/kvstore/fake_store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS 16384

struct entry {
    uint8_t *key, *value;
    size_t key_len, len;
    uint64_t expire_ms;
};

struct kv_store {
    pthread_mutex_t lock;
    struct entry entries[SLOTS]; // key NULL: free
    size_t used;                 // slots beyond are free
    uint64_t limit;
};

struct fake_store fake;

uint64_t fake_store_now(void *arg)
{
    struct timespec ts;
    (void)arg;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return fake.now_ms != 0 ? fake.now_ms : (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct kv_store *fake_store_open(void)
{
    struct kv_store *store = calloc(1, sizeof *store);
    (void)pthread_mutex_init(&store->lock, NULL);
    memset(&fake, 0, sizeof fake);
    return store;
}

static void drop(struct entry *e)
{
    free(e->key);
    free(e->value);
    memset(e, 0, sizeof *e);
}

void fake_store_close(struct kv_store *store)
{
    for (size_t i = 0; i < store->used; i++)
        drop(&store->entries[i]);
    (void)pthread_mutex_destroy(&store->lock);
    free(store);
}

static struct entry *find(struct kv_store *store, const void *key, size_t key_len)
{
    for (size_t i = 0; i < store->used; i++) {
        struct entry *e = &store->entries[i];
        if (e->key == NULL || e->key_len != key_len || memcmp(e->key, key, key_len) != 0)
            continue;
        if (e->expire_ms == 0 || e->expire_ms > fake_store_now(NULL))
            return e;
        drop(e);
    }
    return NULL;
}

const char *kv_status_text(enum kv_status status)
{
    return status == KV_IO ? "input/output error" : "failed";
}

enum kv_status kv_get(struct kv_store *store, const void *key, size_t key_len, void *buf, size_t *len)
{
    if (fake.fail_get != KV_OK)
        return fake.fail_get;
    (void)pthread_mutex_lock(&store->lock);
    struct entry *e = find(store, key, key_len);
    enum kv_status status = e == NULL ? KV_NOT_FOUND : e->len > *len ? KV_TOO_LARGE : KV_OK;
    if (status == KV_OK && e->len != 0)
        memcpy(buf, e->value, e->len);
    if (e != NULL)
        *len = e->len;
    (void)pthread_mutex_unlock(&store->lock);
    return status;
}

enum kv_status kv_get_view(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view)
{
    if (fake.fail_get != KV_OK)
        return fake.fail_get;
    (void)pthread_mutex_lock(&store->lock);
    struct entry *e = find(store, key, key_len);
    if (e != NULL) {
        uint8_t *copy = malloc(e->len + 1);
        memcpy(copy, e->value, e->len);
        *view = (struct kv_view){
            .data = copy, .len = e->len, .version = 1, .expire_ms = e->expire_ms, .hold = copy};
    }
    (void)pthread_mutex_unlock(&store->lock);
    return e != NULL ? KV_OK : KV_NOT_FOUND;
}

void kv_view_release(struct kv_store *store, struct kv_view *view)
{
    (void)store;
    free(view->hold);
}

enum kv_status kv_exists(struct kv_store *store, const void *key, size_t key_len)
{
    uint64_t expire_ms;
    return kv_get_expiry(store, key, key_len, &expire_ms);
}

enum kv_status kv_get_expiry(struct kv_store *store, const void *key, size_t key_len, uint64_t *expire_ms)
{
    (void)pthread_mutex_lock(&store->lock);
    struct entry *e = find(store, key, key_len);
    if (e != NULL)
        *expire_ms = e->expire_ms;
    (void)pthread_mutex_unlock(&store->lock);
    return e != NULL ? KV_OK : KV_NOT_FOUND;
}

static uint8_t *copy_of(const void *data, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    if (len != 0)
        memcpy(copy, data, len);
    return copy;
}

enum kv_status kv_put(struct kv_store *store, const void *key, size_t key_len, const void *value, size_t len,
                      uint64_t expire_ms, unsigned flags)
{
    enum kv_status status = KV_OK;
    if (fake.fail_put != KV_OK)
        return fake.fail_put;
    (void)pthread_mutex_lock(&store->lock);
    fake.waited += (flags & KV_PUT_NO_WAIT) == 0;
    struct entry *e = find(store, key, key_len);
    if (e != NULL && (flags & KV_PUT_IF_ABSENT) != 0) {
        status = KV_EXISTS;
    } else if (e == NULL && store->used == SLOTS) {
        status = KV_FULL;
    } else {
        if (e != NULL)
            drop(e);
        else
            e = &store->entries[store->used++];
        *e = (struct entry){copy_of(key, key_len), copy_of(value, len), key_len, len, expire_ms};
    }
    (void)pthread_mutex_unlock(&store->lock);
    return status;
}

enum kv_status kv_delete(struct kv_store *store, const void *key, size_t key_len, unsigned flags)
{
    if (fake.fail_delete != KV_OK)
        return fake.fail_delete;
    (void)pthread_mutex_lock(&store->lock);
    fake.waited += (flags & KV_PUT_NO_WAIT) == 0;
    struct entry *e = find(store, key, key_len);
    if (e != NULL)
        drop(e);
    (void)pthread_mutex_unlock(&store->lock);
    return e != NULL ? KV_OK : KV_NOT_FOUND;
}

enum kv_status kv_set_expiry(struct kv_store *store, const void *key, size_t key_len, uint64_t expire_ms,
                             unsigned flags)
{
    (void)pthread_mutex_lock(&store->lock);
    fake.waited += (flags & KV_PUT_NO_WAIT) == 0;
    struct entry *e = find(store, key, key_len);
    if (e != NULL)
        e->expire_ms = expire_ms;
    (void)pthread_mutex_unlock(&store->lock);
    return e != NULL ? KV_OK : KV_NOT_FOUND;
}

enum kv_status kv_sync(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    fake.syncs++;
    (void)pthread_mutex_unlock(&store->lock);
    return fake.fail_sync;
}

enum kv_status kv_scan(struct kv_store *store, uint64_t *cursor, unsigned count, kv_scan_fn fn, void *arg)
{
    if (fake.fail_scan != KV_OK)
        return fake.fail_scan;
    uint64_t at = *cursor;
    for (unsigned n = 0; at < store->used && n < count; at++) {
        const struct entry *e = &store->entries[at];
        if (e->key == NULL || (e->expire_ms != 0 && e->expire_ms <= fake_store_now(NULL)))
            continue;
        n++;
        if (!fn(arg, e->key, e->key_len, e->len, e->expire_ms))
            break;
    }
    *cursor = at < store->used ? at : 0;
    return KV_OK;
}

enum kv_status kv_set_memory_limit(struct kv_store *store, uint64_t limit_bytes)
{
    (void)pthread_mutex_lock(&store->lock);
    store->limit = limit_bytes;
    (void)pthread_mutex_unlock(&store->lock);
    return KV_OK;
}

void kv_get_stats(struct kv_store *store, struct kv_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    (void)pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->used; i++) {
        stats->keys += store->entries[i].key != NULL;
        stats->keys_with_expiry += store->entries[i].expire_ms != 0;
    }
    stats->limit_bytes = store->limit;
    (void)pthread_mutex_unlock(&store->lock);
}
