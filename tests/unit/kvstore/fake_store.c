#include "tests/unit/kvstore/fake_store.h"

#include <pthread.h>
#include <stdatomic.h>
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
    kv_expire_fn on_expire;
    void *on_expire_arg;
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

static struct entry *find_any(struct kv_store *store, const void *key, size_t key_len)
{
    for (size_t i = 0; i < store->used; i++) {
        struct entry *e = &store->entries[i];
        if (e->key != NULL && e->key_len == key_len && memcmp(e->key, key, key_len) == 0)
            return e;
    }
    return NULL;
}

static bool is_live(const struct entry *e)
{
    return e->expire_ms == 0 || e->expire_ms > fake_store_now(NULL);
}

// What has expired is not there, but takes its place until it is swept or put over.
static struct entry *find(struct kv_store *store, const void *key, size_t key_len)
{
    struct entry *e = find_any(store, key, key_len);
    return e != NULL && is_live(e) ? e : NULL;
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

enum kv_status kv_peek(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view)
{
    uint64_t expire_ms;
    if (view != NULL)
        *view = (struct kv_view){0};
    if (fake.fail_get != KV_OK || (fake.on_disk != NULL && fake.on_disk(key, key_len)))
        return KV_PENDING; // a get that fails is one that reads the disk
    return view != NULL ? kv_get_view(store, key, key_len, view)
                        : kv_get_expiry(store, key, key_len, &expire_ms);
}

void kv_expect(struct kv_store *store, const struct kv_name *names, size_t count)
{
    (void)store;
    for (size_t i = 0; i < count; i++)
        if (names[i].len == 0 || names[i].len > KV_KEY_MAX)
            abort();
    atomic_fetch_add(&fake.expected, (unsigned)count);
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

bool kv_holds(const struct kv_store *store)
{
    (void)store;
    return fake.held != 0;
}

enum kv_status kv_write_held(struct kv_store *store)
{
    (void)store;
    fake.held = 0;
    return KV_OK;
}

enum kv_status kv_put(struct kv_store *store, const void *key, size_t key_len, const void *value, size_t len,
                      uint64_t expire_ms, unsigned flags)
{
    struct kv_put_old old;
    return kv_put_over(store, key, key_len, value, len, expire_ms, flags, &old);
}

enum kv_status kv_put_over(struct kv_store *store, const void *key, size_t key_len, const void *value,
                           size_t len, uint64_t expire_ms, unsigned flags, struct kv_put_old *old)
{
    enum kv_status status = KV_OK;
    if (fake.fail_put != KV_OK)
        return fake.fail_put;
    (void)pthread_mutex_lock(&store->lock);
    fake.waited += (flags & KV_PUT_NO_WAIT) == 0;
    fake.held += (flags & KV_PUT_HOLD) != 0;
    struct entry *e = find_any(store, key, key_len);
    if (e != NULL && is_live(e) && (flags & KV_PUT_IF_ABSENT) != 0) {
        status = KV_EXISTS;
    } else if (e == NULL && store->used == SLOTS) {
        status = KV_FULL;
    } else {
        *old = (struct kv_put_old){e != NULL, e != NULL ? e->expire_ms : 0};
        if (e != NULL)
            drop(e);
        else
            e = &store->entries[store->used++];
        *e = (struct entry){copy_of(key, key_len), copy_of(value, len), key_len, len, expire_ms};
    }
    (void)pthread_mutex_unlock(&store->lock);
    return status;
}

enum kv_status kv_put_batch(struct kv_store *store, struct kv_put_item *items, size_t count, unsigned flags)
{
    enum kv_status first = KV_OK;
    for (size_t i = 0; i < count; i++) {
        items[i].status = kv_put(store, items[i].key, items[i].key_len, items[i].value, items[i].len,
                                 items[i].expire_ms, flags);
        if (first == KV_OK)
            first = items[i].status;
    }
    return first;
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

bool kv_is_behind(struct kv_store *store)
{
    (void)store;
    return atomic_load(&fake.behind);
}

enum kv_status kv_catch_up(struct kv_store *store)
{
    (void)store;
    atomic_fetch_add(&fake.caught_up, 1);
    return KV_OK;
}

enum kv_status kv_scan(struct kv_store *store, uint64_t *cursor, unsigned count, kv_scan_fn fn, void *arg)
{
    if (fake.fail_scan != KV_OK)
        return fake.fail_scan;
    uint64_t at = *cursor;
    bool go_on = true, more = true;
    for (unsigned n = 0; go_on && n < count;
         at++) { // fn may call the store: it is given a copy, without the lock
        struct entry e = {0};
        (void)pthread_mutex_lock(&store->lock);
        while (at < store->used && store->entries[at].key == NULL)
            at++;
        more = at < store->used;
        if (more) {
            e = store->entries[at];
            e.key = copy_of(e.key, e.key_len);
            e.value = NULL;
        }
        (void)pthread_mutex_unlock(&store->lock);
        if (!more)
            break;
        if (e.expire_ms == 0 || e.expire_ms > fake_store_now(NULL)) {
            n++;
            go_on = fn(arg, e.key, e.key_len, e.len,
                       e.expire_ms); // a key that was stopped at is not visited again
        }
        drop(&e);
    }
    (void)pthread_mutex_lock(&store->lock);
    *cursor = more && at < store->used ? at : 0;
    (void)pthread_mutex_unlock(&store->lock);
    return KV_OK;
}

void kv_set_on_expire(struct kv_store *store, kv_expire_fn fn, void *arg)
{
    (void)pthread_mutex_lock(&store->lock);
    store->on_expire = fn;
    store->on_expire_arg = arg;
    (void)pthread_mutex_unlock(&store->lock);
}

void fake_store_sweep(struct kv_store *store)
{
    for (size_t i = 0; i < store->used; i++) {
        struct entry *e = &store->entries[i];
        if (e->key == NULL || e->expire_ms == 0 || e->expire_ms > fake_store_now(NULL))
            continue;
        uint8_t *key = copy_of(e->key, e->key_len);
        size_t len = e->key_len;
        drop(e);
        if (store->on_expire != NULL)
            store->on_expire(store->on_expire_arg, key, len);
        free(key);
    }
}

enum kv_status kv_clear(struct kv_store *store)
{
    if (fake.fail_clear != KV_OK)
        return fake.fail_clear;
    (void)pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->used; i++)
        drop(&store->entries[i]);
    store->used = 0;
    (void)pthread_mutex_unlock(&store->lock);
    return KV_OK;
}

enum kv_status kv_export(struct kv_store *store, kv_export_fn fn, void *arg)
{
    bool go_on = true;
    for (size_t i = 0; go_on; i++) { // fn may call the store: it is given a copy, without the lock
        struct entry e = {0};
        (void)pthread_mutex_lock(&store->lock);
        while (i < store->used && store->entries[i].key == NULL)
            i++;
        bool more = i < store->used;
        if (more) {
            e = store->entries[i];
            e.key = copy_of(e.key, e.key_len);
            e.value = copy_of(e.value, e.len);
        }
        (void)pthread_mutex_unlock(&store->lock);
        if (!more)
            break;
        if (e.expire_ms == 0 || e.expire_ms > fake_store_now(NULL))
            go_on = fn(arg, e.key, e.key_len, e.value, e.len, e.expire_ms);
        drop(&e);
    }
    return fake.fail_export;
}

enum kv_status kv_set_memory_limit(struct kv_store *store, uint64_t limit_bytes)
{
    if (fake.fail_limit != KV_OK)
        return fake.fail_limit;
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

size_t kv_hit_curve(struct kv_store *store, struct kv_curve_point *points, size_t max)
{
    (void)store;
    for (size_t i = 0; i < fake.curve_points && i < max; i++)
        points[i] = (struct kv_curve_point){(i + 1) * 1024, (double)(i + 1) / 8};
    return fake.curve_points < max ? fake.curve_points : max;
}
