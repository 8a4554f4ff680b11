// The operations of the store process. Buffers that hold a value are wiped and given back at once, so that
// neither the
// process's size nor a search of its memory for values that ought to be gone finds the harness instead of the
// store.
#include "tests/soak/soak.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

// Bytes of their own pages, wiped when freed. NULL without memory.
static uint8_t *buffer_get(size_t len)
{
    void *p = mmap(NULL, len + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void buffer_put(uint8_t *buf, size_t len)
{
    if (buf != NULL)
        (void)munmap(buf, len + 1);
}

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t now_ms(void *clock)
{
    return atomic_load((const _Atomic uint64_t *)clock);
}

static struct kv_store *store_of(struct soak_conn *conn)
{
    return conn->shared->store;
}

static void saw(struct soak_result *result, const void *bytes, size_t len)
{
    result->len = len;
    result->digest = soak_digest(bytes, len);
}

// ---- writing

static void do_put(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result)
{
    size_t key_len = soak_key(item->key, conn->key);
    uint8_t *value = buffer_get(item->len);
    if (value == NULL) {
        result->status = KV_NO_MEMORY;
        return;
    }
    soak_value(item->id, value, item->len);
    result->status =
        kv_put(store_of(conn), conn->key, key_len, value, item->len, item->expire_ms, conn->request.flags);
    buffer_put(value, item->len);
}

struct batch {
    uint8_t *keys;
    uint8_t *values;
    size_t keys_len, values_len;
};

static bool batch_get(struct batch *batch, const struct soak_request *request)
{
    *batch = (struct batch){.keys = buffer_get((size_t)request->count * KV_KEY_MAX),
                            .keys_len = (size_t)request->count * KV_KEY_MAX};
    for (uint32_t i = 0; i < request->count; i++)
        batch->values_len += request->items[i].len;
    batch->values = buffer_get(batch->values_len);
    return batch->keys != NULL && batch->values != NULL;
}

static void batch_put(struct batch *batch)
{
    buffer_put(batch->keys, batch->keys_len);
    buffer_put(batch->values, batch->values_len);
}

// Until something better is known: each was not even tried.
static void none_tried(struct soak_conn *conn)
{
    for (uint32_t i = 0; i < conn->request.count; i++)
        conn->answer.results[i].status = KV_NO_MEMORY;
}

static enum kv_status put_batch(struct soak_conn *conn)
{
    struct soak_request *request = &conn->request;
    struct kv_put_item items[SOAK_BATCH];
    struct batch batch;
    enum kv_status status = KV_NO_MEMORY;
    none_tried(conn);
    if (batch_get(&batch, request)) {
        uint8_t *key = batch.keys, *value = batch.values;
        for (uint32_t i = 0; i < request->count; i++) {
            const struct soak_item *item = &request->items[i];
            items[i] = (struct kv_put_item){
                .key = key, .value = value, .len = item->len, .expire_ms = item->expire_ms, .status = KV_IO};
            items[i].key_len = soak_key(item->key, key);
            soak_value(item->id, value, item->len);
            key += items[i].key_len;
            value += item->len;
        }
        status = kv_put_batch(store_of(conn), items, request->count, request->flags);
        for (uint32_t i = 0; i < request->count; i++)
            conn->answer.results[i].status = items[i].status;
    }
    batch_put(&batch);
    return status;
}

static void do_delete(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result)
{
    size_t key_len = soak_key(item->key, conn->key);
    result->status = kv_delete(store_of(conn), conn->key, key_len, conn->request.flags);
}

static void do_set_expiry(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result)
{
    size_t key_len = soak_key(item->key, conn->key);
    result->status = kv_set_expiry(store_of(conn), conn->key, key_len, item->expire_ms, conn->request.flags);
}

// ---- reading

static void do_get(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result)
{
    size_t key_len = soak_key(item->key, conn->key), len = item->len;
    uint8_t *buf = buffer_get(item->len);
    if (buf == NULL) {
        result->status = KV_NO_MEMORY;
        return;
    }
    result->status = kv_get(store_of(conn), conn->key, key_len, buf, &len);
    if (result->status == KV_OK)
        saw(result, buf, len);
    else
        result->len = len;
    buffer_put(buf, item->len);
}

static void do_get_alloc(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result)
{
    size_t key_len = soak_key(item->key, conn->key), len = 0;
    void *value = NULL;
    result->status = kv_get_alloc(store_of(conn), conn->key, key_len, &value, &len, &result->version);
    if (result->status != KV_OK)
        return;
    saw(result, value, len);
    explicit_bzero(value, len);
    free(value);
}

static void saw_view(struct soak_result *result, const struct kv_view *view)
{
    saw(result, view->data, view->len);
    result->version = view->version;
    result->expire_ms = view->expire_ms;
}

static void do_view(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result)
{
    size_t key_len = soak_key(item->key, conn->key);
    struct kv_view view = {0};
    result->status = kv_get_view(store_of(conn), conn->key, key_len, &view);
    if (result->status != KV_OK)
        return;
    saw_view(result, &view);
    kv_view_release(store_of(conn), &view);
}

static void do_hold(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result)
{
    size_t key_len = soak_key(item->key, conn->key);
    result->status = conn->holds ? KV_INVALID : kv_get_view(store_of(conn), conn->key, key_len, &conn->held);
    conn->holds = conn->holds || result->status == KV_OK;
    if (result->status == KV_OK)
        saw_view(result, &conn->held);
}

static void do_let_go(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result)
{
    (void)item;
    result->status = conn->holds ? KV_OK : KV_INVALID;
    if (!conn->holds)
        return;
    saw_view(result, &conn->held);
    kv_view_release(store_of(conn), &conn->held);
    conn->holds = false;
}

static void do_exists(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result)
{
    size_t key_len = soak_key(item->key, conn->key);
    result->status = kv_exists(store_of(conn), conn->key, key_len);
}

static void do_version(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result)
{
    size_t key_len = soak_key(item->key, conn->key);
    result->status = kv_version(store_of(conn), conn->key, key_len, &result->version);
}

static void do_get_expiry(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result)
{
    size_t key_len = soak_key(item->key, conn->key);
    result->status = kv_get_expiry(store_of(conn), conn->key, key_len, &result->expire_ms);
}

static enum kv_status get_batch(struct soak_conn *conn)
{
    struct soak_request *request = &conn->request;
    struct kv_get gets[SOAK_BATCH];
    struct batch batch;
    enum kv_status status = KV_NO_MEMORY;
    none_tried(conn);
    if (batch_get(&batch, request)) {
        uint8_t *key = batch.keys, *buf = batch.values;
        for (uint32_t i = 0; i < request->count; i++) {
            gets[i] = (struct kv_get){.key = key, .buf = buf, .len = request->items[i].len, .status = KV_IO};
            gets[i].key_len = soak_key(request->items[i].key, key);
            key += gets[i].key_len;
            buf += request->items[i].len;
        }
        status = kv_get_batch(store_of(conn), gets, request->count);
        for (uint32_t i = 0; i < request->count && status == KV_OK; i++) {
            struct soak_result *result = &conn->answer.results[i];
            result->status = gets[i].status;
            result->version = gets[i].version;
            result->len = gets[i].len;
            if (gets[i].status == KV_OK)
                saw(result, gets[i].buf, gets[i].len);
        }
    }
    batch_put(&batch);
    return status;
}

// ---- asynchronous gets: all of a request at once, then their answers are waited for

struct async {
    pthread_mutex_t lock;
    pthread_cond_t done;
    unsigned pending, twice;
    struct {
        struct async *all;
        struct kv_view view;
        enum kv_status status;
        bool answered;
    } gets[SOAK_BATCH];
};

static void async_done(void *arg, enum kv_status status, const struct kv_view *view)
{
    struct async *async = *(struct async **)arg; // the first member of an element of gets
    size_t i = (size_t)((char *)arg - (char *)async->gets) / sizeof async->gets[0];
    (void)pthread_mutex_lock(&async->lock);
    async->twice += async->gets[i].answered ? 1 : 0;
    async->gets[i].answered = true;
    async->gets[i].status = status;
    if (status == KV_OK)
        async->gets[i].view = *view;
    if (--async->pending == 0)
        (void)pthread_cond_signal(&async->done);
    (void)pthread_mutex_unlock(&async->lock);
}

static void async_start(struct soak_conn *conn, struct async *async, uint32_t i)
{
    size_t key_len = soak_key(conn->request.items[i].key, conn->key);
    struct kv_view view = {0};
    (void)pthread_mutex_lock(&async->lock);
    async->gets[i].all = async;
    async->pending++;
    (void)pthread_mutex_unlock(&async->lock);
    enum kv_status status =
        kv_get_async(store_of(conn), conn->key, key_len, &view, async_done, &async->gets[i]);
    memset(conn->key, 0, key_len); // the key was the caller's during the call only
    if (status != KV_PENDING)
        async_done(&async->gets[i], status, &view);
}

static enum kv_status get_async(struct soak_conn *conn)
{
    struct async async = {.pending = 0};
    (void)pthread_mutex_init(&async.lock, NULL);
    (void)pthread_cond_init(&async.done, NULL);
    for (uint32_t i = 0; i < conn->request.count; i++)
        async_start(conn, &async, i);
    (void)pthread_mutex_lock(&async.lock);
    while (async.pending > 0)
        (void)pthread_cond_wait(&async.done, &async.lock);
    (void)pthread_mutex_unlock(&async.lock);
    for (uint32_t i = 0; i < conn->request.count; i++) {
        struct soak_result *result = &conn->answer.results[i];
        result->status = async.gets[i].status;
        if (result->status != KV_OK)
            continue;
        saw_view(result, &async.gets[i].view);
        kv_view_release(store_of(conn), &async.gets[i].view);
    }
    (void)pthread_cond_destroy(&async.done);
    (void)pthread_mutex_destroy(&async.lock);
    return async.twice == 0 ? KV_OK : KV_INVALID;
}

// ---- scan

static bool visited(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    struct soak_conn *conn = arg;
    conn->answer.results[conn->answer.count++] = (struct soak_result){
        .key = soak_key_index(key, key_len, conn->scratch), .len = value_len, .expire_ms = expire_ms};
    return conn->answer.count < SOAK_VISITS;
}

static enum kv_status scan(struct soak_conn *conn)
{
    conn->answer.count = 0;
    conn->answer.value = conn->request.arg;
    return kv_scan(store_of(conn), &conn->answer.value, conn->request.flags, visited, conn);
}

// ---- the store as a whole

static enum kv_status do_open(struct soak_conn *conn)
{
    struct kv_options options = conn->request.open;
    options.now_ms = now_ms;
    options.now_arg = (void *)(uintptr_t)conn->shared->clock;
    return kv_open(conn->shared->dir, &options, &conn->shared->store, conn->answer.error,
                   sizeof conn->answer.error);
}

static enum kv_status do_limit(struct soak_conn *conn)
{
    uint64_t began = now_us();
    enum kv_status status = kv_set_memory_limit(store_of(conn), conn->request.arg);
    conn->answer.value = now_us() - began;
    return status;
}

// Only that the answers make sense: what they should be is measured elsewhere.
static enum kv_status curve(struct soak_conn *conn)
{
    struct kv_curve_point points[64];
    size_t count = kv_hit_curve(store_of(conn), points, 64);
    double ratio = 0;
    uint64_t bytes = 0;
    for (size_t i = 1; i < count; i++)
        if (points[i].limit_bytes < points[i - 1].limit_bytes ||
            points[i].hit_ratio < points[i - 1].hit_ratio - 1e-9)
            return KV_INVALID;
    enum kv_status status = kv_hit_ratio_at(store_of(conn), 64u << 20, &ratio);
    if (status == KV_OK && !(ratio >= 0 && ratio <= 1))
        return KV_INVALID;
    if (status == KV_OK || status == KV_NOT_FOUND)
        status = kv_least_memory(store_of(conn), 0.5, &bytes);
    return status == KV_NOT_FOUND ? KV_OK : status;
}

static enum kv_status whole(struct soak_conn *conn)
{
    switch (conn->request.op) {
    case SOAK_SYNC:
        return kv_sync(store_of(conn));
    case SOAK_PUT_BATCH:
        return put_batch(conn);
    case SOAK_GET_BATCH:
        return get_batch(conn);
    case SOAK_GET_ASYNC:
        return get_async(conn);
    case SOAK_SCAN:
        return scan(conn);
    case SOAK_OPEN:
        return do_open(conn);
    case SOAK_CLOSE:
        return kv_close(&conn->shared->store);
    case SOAK_LIMIT:
        return do_limit(conn);
    case SOAK_GOAL:
        kv_set_latency_goal(store_of(conn), conn->request.arg);
        return KV_OK;
    case SOAK_CURVE:
        return curve(conn);
    case SOAK_CHECKPOINT:
        return kv_checkpoint(store_of(conn));
    case SOAK_STATS:
        kv_get_stats(store_of(conn), &conn->answer.stats);
        return KV_OK;
    default:
        return KV_INVALID;
    }
}

// Of one key each.
typedef void (*single_fn)(struct soak_conn *conn, const struct soak_item *item, struct soak_result *result);
static const single_fn singles[SOAK_OPS] = {
    [SOAK_PUT] = do_put,       [SOAK_DELETE] = do_delete,       [SOAK_SET_EXPIRY] = do_set_expiry,
    [SOAK_GET] = do_get,       [SOAK_GET_ALLOC] = do_get_alloc, [SOAK_VIEW] = do_view,
    [SOAK_EXISTS] = do_exists, [SOAK_VERSION] = do_version,     [SOAK_GET_EXPIRY] = do_get_expiry,
    [SOAK_HOLD] = do_hold,     [SOAK_LET_GO] = do_let_go,
};

void soak_perform(struct soak_conn *conn)
{
    const struct soak_request *request = &conn->request;
    struct soak_answer *answer = &conn->answer;
    answer->op = request->op;
    answer->status = KV_OK;
    answer->count = request->op == SOAK_OPEN ? 0 : request->count;
    answer->value = 0;
    answer->error[0] = '\0';
    for (uint32_t i = 0; i < answer->count; i++)
        answer->results[i] = (struct soak_result){.key = request->items[i].key};
    if (conn->shared->store == NULL && request->op != SOAK_OPEN) {
        answer->status = KV_INVALID;
        return;
    }
    if (request->op < SOAK_OPS && singles[request->op] != NULL) {
        for (uint32_t i = 0; i < answer->count; i++)
            singles[request->op](conn, &request->items[i], &answer->results[i]);
    } else {
        answer->status = whole(conn);
    }
    if (conn->shared->store != NULL && answer->error[0] == '\0')
        kv_error_text(conn->shared->store, answer->error, sizeof answer->error);
}
