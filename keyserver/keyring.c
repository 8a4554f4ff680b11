#include "keyserver/keyring.h"

#include <stdlib.h>
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

static void refuse(const char *name, enum keyrecord_status status)
{
    log_error("key_refused", "key=%.8s reason=\"%s\"", name, keyrecord_status_text(status));
}

// Secret memory is full of cached keys.
static void make_room(const struct keyring *ring)
{
    log_warn("secret_memory_full", "action=\"half of the decoded keys dropped\"");
    keycache_shrink(ring->cache);
}

static enum keyrecord_status decode(const struct keyring *ring, const char *name, const struct kv_view *view,
                                    struct ks_key **key)
{
    enum keyrecord_status status;
    *key = NULL;
    if (ring->engine_form) {
        struct keyrecord_key record;
        status = keyrecord_open_key(name, view->data, view->len, ring->master, &record);
        return status == KEYRECORD_OK ? ks_key_from_record(name, view->version, &record, key) : status;
    }
    EVP_PKEY *pkey;
    status = keyrecord_open(name, view->data, view->len, ring->master, &pkey, NULL);
    if (status != KEYRECORD_OK)
        return status;
    *key = ks_key_create(name, view->version, pkey);
    return *key != NULL ? KEYRECORD_OK : KEYRECORD_NO_MEMORY;
}

static bool admits(const struct keyring_gate *gate, const char *name, const struct keyrecord_traits *traits)
{
    const struct access_key key = {.name = name, .traits = traits};
    return gate == NULL || gate->admit(gate->arg, &key);
}

// Takes over the traits.
static enum ski_status decode_record(const struct keyring *ring, const char *name, const struct kv_view *view,
                                     struct keyrecord_traits *traits, struct ks_key **key)
{
    enum keyrecord_status status = decode(ring, name, view, key);
    if (status == KEYRECORD_NO_MEMORY) {
        make_room(ring);
        status = decode(ring, name, view, key);
    }
    if (status != KEYRECORD_OK) {
        free(traits);
        refuse(name, status);
        return SKI_UNSPECIFIED;
    }
    (*key)->traits = traits;
    keycache_put(ring->cache, *key);
    uint64_t version; // deleted or replaced while it was decoded: on_change() came too early
    if (kv_version(ring->store, name, strlen(name), &version) != KV_OK || version != view->version)
        keycache_remove(ring->cache, name);
    return SKI_OK;
}

static enum ski_status open_record(const struct keyring *ring, const struct keyring_gate *gate,
                                   const char *name, const struct kv_view *view, struct ks_key **key)
{
    struct keyrecord_traits *traits;
    enum keyrecord_status status = keyrecord_read_traits(view->data, view->len, &traits);
    if (status != KEYRECORD_OK) {
        refuse(name, status);
        return SKI_UNSPECIFIED;
    }
    if (!admits(gate, name, traits)) {
        free(traits);
        return SKI_DENIED;
    }
    count(ring->cache_misses);
    return decode_record(ring, name, view, traits, key);
}

static enum ski_status find(const struct keyring *ring, const struct keyring_gate *gate, const char *spki,
                            struct ks_key **key)
{
    char name[KEYRECORD_NAME_LEN + 1];
    (void)strncpy(name, spki, sizeof name - 1);
    name[sizeof name - 1] = '\0';

    for (int hops = 0; hops < 2; hops++) { // an alias leads to a record, never to another alias
        struct kv_view view;
        if ((*key = find_cached(ring, name)) != NULL) {
            if (!admits(gate, (*key)->name, (*key)->traits)) {
                ks_key_unref(key);
                return SKI_DENIED;
            }
            count(ring->cache_hits);
            return SKI_OK;
        }
        enum ski_status status = status_of_store(kv_get_view(ring->store, name, strlen(name), &view), name);
        if (status != SKI_OK)
            return status;
        // A fingerprint of a key is never an alias: what a policy allows by it is that key and no other.
        bool alias = strlen(name) == KEYRECORD_ALIAS_LEN &&
                     keyrecord_decode_alias(view.data, view.len, name) == KEYRECORD_IS_ALIAS;
        if (!alias)
            status = open_record(ring, gate, name, &view, key);
        kv_view_release(ring->store, &view);
        if (!alias)
            return status;
    }
    log_error("key_refused", "key=%.8s reason=\"an alias leads to an alias\"", spki);
    return SKI_UNSPECIFIED;
}

enum ski_status keyring_find(const struct keyring *ring, const char *spki, struct ks_key **key)
{
    return keyring_find_admitted(ring, NULL, spki, key);
}

enum ski_status keyring_find_admitted(const struct keyring *ring, const struct keyring_gate *gate,
                                      const char *spki, struct ks_key **key)
{
    *key = NULL;
    if (spki[0] == '\0')
        return SKI_NOT_FOUND;
    uint64_t start = ring->lookup != NULL ? clock_ns() : 0;
    enum ski_status status = find(ring, gate, spki, key);
    if (ring->lookup != NULL)
        histogram_record(ring->lookup, clock_ns() - start);
    return status;
}

EVP_PKEY *keyring_pkey(const struct keyring *ring, struct ks_key *key)
{
    enum keyrecord_status status = ks_key_decode(key);
    if (status == KEYRECORD_NO_MEMORY) {
        make_room(ring);
        status = ks_key_decode(key);
    }
    if (status != KEYRECORD_OK) {
        refuse(key->name, status);
        return NULL;
    }
    return ks_key_pkey(key);
}

enum keyrecord_type keyring_hint(const struct keyring *ring, const char *spki, unsigned *bits)
{
    *bits = 0;
    return spki[0] == '\0' ? (enum keyrecord_type)0 : keycache_hint(ring->cache, spki, bits);
}
