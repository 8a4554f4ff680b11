// A store that this process opens itself.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/store_parts.h"
#include "kvstore/kv.h"

#define MEMORY_LIMIT ((uint64_t)64 * 1024 * 1024) // every value is wanted once: a cache would be of no use
#define SCAN_BATCH   512

struct folder {
    struct kv_store *kv;
    char *dir;
    struct store_queue queue;
    bool failed; // a queued write was refused at once
};

enum store_open_result store_folder_open(const char *dir, bool create, void **self, struct error *e)
{
    const struct kv_options options = {
        .limit_bytes = MEMORY_LIMIT, .fsync = KV_FSYNC_ALWAYS, .create = create};
    char why[400] = "";
    struct folder *f = calloc(1, sizeof *f);
    if (f == NULL || (f->dir = strdup(dir)) == NULL) {
        error_set(e, "%s: out of memory", dir);
        free(f);
        return STORE_OPEN_FAILED;
    }
    enum kv_status status = kv_open(dir, &options, &f->kv, why, sizeof why);
    if (status == KV_OK) {
        *self = f;
        return STORE_OPENED;
    }
    free(f->dir);
    free(f);
    if (status == KV_LOCKED)
        error_set(e, "%s", why[0] != '\0' ? why : kv_status_text(status));
    else
        error_set(e, "%s: open the store: %s", dir, why[0] != '\0' ? why : kv_status_text(status));
    return status == KV_LOCKED ? STORE_BUSY : STORE_OPEN_FAILED;
}

static void folder_close(void *self)
{
    struct folder *f = self;
    (void)kv_close(&f->kv);
    store_queue_free(&f->queue);
    free(f->dir);
    free(f);
}

// The status in words, with the system's own where it had a say.
static void explain(const struct folder *f, enum kv_status status, struct error *e)
{
    char why[400] = "";
    if (status == KV_IO || status == KV_READ_ONLY || status == KV_FULL)
        kv_error_text(f->kv, why, sizeof why);
    error_set(e, "store: %s%s%s", kv_status_text(status), why[0] != '\0' ? ": " : "", why);
}

static enum store_status folder_get(void *self, const char *key, size_t key_len, uint8_t **value, size_t *len,
                                    uint64_t *expire_ms, struct error *e)
{
    struct folder *f = self;
    void *data = NULL;
    enum kv_status status = kv_get_alloc(f->kv, key, key_len, &data, len, NULL);
    *value = data;
    if (status == KV_OK && expire_ms != NULL && kv_get_expiry(f->kv, key, key_len, expire_ms) != KV_OK)
        *expire_ms = 0;
    if (status == KV_OK)
        return STORE_OK;
    if (status == KV_NOT_FOUND)
        return STORE_NOT_FOUND;
    explain(f, status, e);
    return STORE_FAILED;
}

static void queued(struct folder *f, enum kv_status status, struct error *outcome)
{
    if (status == KV_OK && store_queue_add(&f->queue, outcome))
        return;
    if (status != KV_OK)
        explain(f, status, outcome);
    f->failed = true;
}

static void folder_put(void *self, const char *key, size_t key_len, const uint8_t *value, size_t len,
                       uint64_t expire_ms, struct error *outcome)
{
    struct folder *f = self;
    queued(f, kv_put(f->kv, key, key_len, value, len, expire_ms, KV_PUT_NO_WAIT), outcome);
}

static void folder_remove(void *self, const char *key, size_t key_len, struct error *outcome)
{
    struct folder *f = self;
    enum kv_status status = kv_delete(f->kv, key, key_len, KV_PUT_NO_WAIT);
    queued(f, status == KV_NOT_FOUND ? KV_OK : status, outcome);
}

static void folder_expire(void *self, const char *key, size_t key_len, uint64_t expire_ms,
                          struct error *outcome)
{
    struct folder *f = self;
    queued(f, kv_set_expiry(f->kv, key, key_len, expire_ms, KV_PUT_NO_WAIT), outcome);
}

static bool folder_flush(void *self)
{
    struct folder *f = self;
    bool ok = !f->failed;
    if (f->queue.count > 0) {
        enum kv_status status = kv_sync(f->kv);
        if (status != KV_OK) {
            struct error e;
            explain(f, status, &e);
            store_queue_fail(&f->queue, 0, e.text);
            ok = false;
        }
    }
    f->queue.count = 0;
    f->failed = false;
    return ok;
}

struct scan {
    store_scan_fn fn;
    void *arg;
    bool stopped;
};

static bool scan_one(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    struct scan *scan = arg;
    (void)value_len;
    (void)expire_ms;
    scan->stopped = !scan->fn(scan->arg, key, key_len);
    return !scan->stopped;
}

static bool folder_scan(void *self, store_scan_fn fn, void *arg, struct error *e)
{
    struct folder *f = self;
    struct scan scan = {fn, arg, false};
    uint64_t cursor = 0;
    do {
        enum kv_status status = kv_scan(f->kv, &cursor, SCAN_BATCH, scan_one, &scan);
        if (status != KV_OK) {
            explain(f, status, e);
            return false;
        }
    } while (cursor != 0 && !scan.stopped);
    return true;
}

const struct store_calls store_folder_calls = {
    .close = folder_close,
    .get = folder_get,
    .put = folder_put,
    .remove = folder_remove,
    .expire = folder_expire,
    .flush = folder_flush,
    .scan = folder_scan,
};
