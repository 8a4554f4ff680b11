#include "keyserver/keycache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SHARDS 16

struct slot {
    struct ks_key *key; // NULL: free
    struct slot *next;  // in the bucket's chain
    bool used;          // since the hand last passed
};

struct shard {
    pthread_mutex_t lock;
    struct slot *slots; // capacity of them; filled from the front, then reused by the hand
    struct slot **buckets;
    size_t capacity, bucket_mask, filled, hand, count;
};

struct keycache {
    struct shard shards[SHARDS];
    XXH64_hash_t seed;
};

struct keycache *keycache_create(size_t capacity)
{
    struct keycache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return NULL;
    cache->seed =
        (XXH64_hash_t)(uintptr_t)cache; // names are SHA-256 already: an attacker cannot choose them cheaply
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &cache->shards[i];
        size_t buckets = 4;
        (void)pthread_mutex_init(&s->lock, NULL);
        s->capacity = (capacity + SHARDS - 1) / SHARDS;
        while (buckets < 2 * s->capacity)
            buckets *= 2;
        s->bucket_mask = buckets - 1;
        s->slots = calloc(s->capacity, sizeof *s->slots);
        s->buckets = calloc(buckets, sizeof(struct slot *));
        if (s->slots == NULL || s->buckets == NULL) {
            keycache_destroy(&cache);
            return NULL;
        }
    }
    return cache;
}

void keycache_destroy(struct keycache **cache)
{
    if (*cache == NULL)
        return;
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &(*cache)->shards[i];
        for (size_t k = 0; s->slots != NULL && k < s->filled; k++)
            ks_key_unref(&s->slots[k].key);
        free(s->slots);
        free((void *)s->buckets);
        (void)pthread_mutex_destroy(&s->lock);
    }
    free(*cache);
    *cache = NULL;
}

static struct shard *shard_of(struct keycache *cache, const char *name, struct slot ***bucket)
{
    XXH64_hash_t hash = XXH3_64bits_withSeed(name, strlen(name), cache->seed);
    struct shard *s = &cache->shards[hash % SHARDS];
    *bucket = &s->buckets[(hash / SHARDS) & s->bucket_mask];
    return s;
}

// The link that points to the entry, or to the end of the chain.
static struct slot **find(struct slot **link, const char *name)
{
    while (*link != NULL && strcmp((*link)->key->name, name) != 0)
        link = &(*link)->next;
    return link;
}

struct ks_key *keycache_get(struct keycache *cache, const char *name)
{
    struct slot **bucket;
    struct shard *s = shard_of(cache, name, &bucket);
    struct ks_key *key = NULL;

    (void)pthread_mutex_lock(&s->lock);
    struct slot *slot = *find(bucket, name);
    if (slot != NULL) {
        slot->used = true;
        key = ks_key_ref(slot->key);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return key;
}

enum keyrecord_type keycache_hint(struct keycache *cache, const char *name, unsigned *bits)
{
    struct slot **bucket;
    struct shard *s = shard_of(cache, name, &bucket);

    (void)pthread_mutex_lock(&s->lock);
    const struct slot *slot = *find(bucket, name);
    enum keyrecord_type type = slot != NULL ? slot->key->type : (enum keyrecord_type)0;
    *bits = slot != NULL ? slot->key->bits : 0;
    (void)pthread_mutex_unlock(&s->lock);
    return type;
}

// Takes a filled slot out of its chain and gives its key to the caller.
static struct ks_key *unlink_slot(struct keycache *cache, struct shard *s, struct slot *slot)
{
    struct slot **bucket;
    (void)shard_of(cache, slot->key->name, &bucket);
    struct slot **link = find(bucket, slot->key->name);
    struct ks_key *key = slot->key;
    *link = slot->next;
    memset(slot, 0, sizeof *slot);
    s->count--;
    return key;
}

// A slot to fill: a fresh one, or the next that has not been used since the hand passed it. *evicted may get
// a key to release.
static struct slot *take_slot(struct keycache *cache, struct shard *s, struct ks_key **evicted)
{
    if (s->filled < s->capacity)
        return &s->slots[s->filled++];
    for (;;) {
        struct slot *slot = &s->slots[s->hand];
        s->hand = (s->hand + 1) % s->capacity;
        if (slot->key == NULL)
            return slot;
        if (!slot->used) {
            *evicted = unlink_slot(cache, s, slot);
            return slot;
        }
        slot->used = false;
    }
}

void keycache_put(struct keycache *cache, struct ks_key *key)
{
    struct slot **bucket;
    struct shard *s = shard_of(cache, key->name, &bucket);
    struct ks_key *old = NULL;

    (void)pthread_mutex_lock(&s->lock);
    struct slot *slot = *find(bucket, key->name);
    if (slot != NULL) {
        old = slot->key;
        slot->key = ks_key_ref(key);
    } else {
        slot = take_slot(cache, s, &old);
        slot->key = ks_key_ref(key);
        slot->next = *bucket;
        *bucket = slot;
        s->count++;
    }
    slot->used = true;
    (void)pthread_mutex_unlock(&s->lock);
    ks_key_unref(&old);
}

void keycache_remove(struct keycache *cache, const char *name)
{
    struct slot **bucket;
    struct shard *s = shard_of(cache, name, &bucket);
    struct ks_key *old = NULL;

    (void)pthread_mutex_lock(&s->lock);
    struct slot *slot = *find(bucket, name);
    if (slot != NULL)
        old = unlink_slot(cache, s, slot);
    (void)pthread_mutex_unlock(&s->lock);
    ks_key_unref(&old);
}

void keycache_shrink(struct keycache *cache)
{
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &cache->shards[i];
        (void)pthread_mutex_lock(&s->lock);
        for (size_t k = 0, left = (s->count + 1) / 2; k < s->filled && left > 0; k++) {
            if (s->slots[k].key == NULL)
                continue;
            struct ks_key *key = unlink_slot(cache, s, &s->slots[k]);
            ks_key_unref(&key);
            left--;
        }
        (void)pthread_mutex_unlock(&s->lock);
    }
}

size_t keycache_count(struct keycache *cache)
{
    size_t count = 0;
    for (int i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_lock(&cache->shards[i].lock);
        count += cache->shards[i].count;
        (void)pthread_mutex_unlock(&cache->shards[i].lock);
    }
    return count;
}
