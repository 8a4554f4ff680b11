#include "keyserver/keyring.h"

#include <string.h>

#include "common/clock.h"
#include "common/log.h"

static void count(struct metric_counter *counter)
{
    if (counter != NULL)
        metric_add(counter, 1);
}

// A cached key that is still what the store holds.
static struct ks_key *find_cached(const struct keyring *ring, const char *name)
{
    uint64_t version;
    struct ks_key *key = keycache_get(ring->cache, name);
    if (key == NULL)
        return NULL;
    if (kv_version(ring->store, name, strlen(name), &version) == KV_OK && version == key->version)
        return key;
    ks_key_unref(&key);
    keycache_remove(ring->cache, name);
    return NULL;
}

static enum ski_status status_of_store(enum kv_status status, const char *name)
{
    if (status == KV_OK)
        return SKI_OK;
    if (status == KV_NOT_FOUND)
        return SKI_NOT_FOUND;
    log_error("key_unreadable", "key=%.8s reason=\"%s\"", name, kv_status_text(status));
    return SKI_STORE_DOWN;
}

static struct ks_key *decode(const struct keyring *ring, const char *name, const struct kv_view *view,
                             enum keyrecord_status *status)
{
    EVP_PKEY *pkey = NULL;
    *status = keyrecord_open(name, view->data, view->len, ring->master, &pkey, NULL);
    if (*status != KEYRECORD_OK)
        return NULL;
    struct ks_key *key = ks_key_create(name, view->version, pkey);
    if (key == NULL)
        *status = KEYRECORD_NO_MEMORY;
    return key;
}

static enum ski_status open_record(const struct keyring *ring, const char *name, const struct kv_view *view,
                                   struct ks_key **key)
{
    enum keyrecord_status status;
    *key = decode(ring, name, view, &status);
    if (*key == NULL && status == KEYRECORD_NO_MEMORY) {
        // Secret memory is full of cached keys: make room and try once more.
        log_warn("secret_memory_full", "action=\"half of the decoded keys dropped\"");
        keycache_shrink(ring->cache);
        *key = decode(ring, name, view, &status);
    }
    if (*key == NULL) {
        log_error("key_refused", "key=%.8s reason=\"%s\"", name, keyrecord_status_text(status));
        return SKI_UNSPECIFIED;
    }
    keycache_put(ring->cache, *key);
    uint64_t version; // deleted or replaced while it was decoded: on_change() came too early
    if (kv_version(ring->store, name, strlen(name), &version) != KV_OK || version != view->version)
        keycache_remove(ring->cache, name);
    return SKI_OK;
}

static enum ski_status find(const struct keyring *ring, const char *spki, struct ks_key **key)
{
    char name[KEYRECORD_NAME_LEN + 1];
    (void)strncpy(name, spki, sizeof name - 1);
    name[sizeof name - 1] = '\0';

    for (int hops = 0; hops < 2; hops++) { // an alias leads to a record, never to another alias
        struct kv_view view;
        if ((*key = find_cached(ring, name)) != NULL) {
            count(ring->cache_hits);
            return SKI_OK;
        }
        enum ski_status status = status_of_store(kv_get_view(ring->store, name, strlen(name), &view), name);
        if (status != SKI_OK)
            return status;
        bool alias = keyrecord_decode_alias(view.data, view.len, name) == KEYRECORD_IS_ALIAS;
        if (!alias) {
            count(ring->cache_misses);
            status = open_record(ring, name, &view, key);
        }
        kv_view_release(ring->store, &view);
        if (!alias)
            return status;
    }
    log_error("key_refused", "key=%.8s reason=\"an alias leads to an alias\"", spki);
    return SKI_UNSPECIFIED;
}

enum ski_status keyring_find(const struct keyring *ring, const char *spki, struct ks_key **key)
{
    *key = NULL;
    if (spki[0] == '\0')
        return SKI_NOT_FOUND;
    uint64_t start = ring->lookup != NULL ? clock_ns() : 0;
    enum ski_status status = find(ring, spki, key);
    if (ring->lookup != NULL)
        histogram_record(ring->lookup, clock_ns() - start);
    return status;
}

enum keyrecord_type keyring_type_hint(const struct keyring *ring, const char *spki)
{
    return spki[0] == '\0' ? (enum keyrecord_type)0 : keycache_type(ring->cache, spki);
}
