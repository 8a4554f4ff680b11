// Walking the index for records that are on disk only.
#include "kvstore/kv_internal.h"

#include <stdlib.h>

#define SLOTS_A_STEP 2048u // looked at under a shard's lock: some 10 us

// Called for slots with the shard's lock held. False: stop here.
typedef bool (*visit_fn)(void *arg, const struct kv_shard *shard, const struct kv_slot *slot);

// Visits the next slots. False: fn said so, and the walk goes on with the slot that it refused.
static bool step(struct kv_store *store, struct kv_warm_walk *walk, visit_fn fn, void *arg)
{
    struct kv_shard *shard = &store->index.shards[walk->shard];
    bool go_on = true;
    (void)pthread_mutex_lock(&shard->lock);
    const struct kv_table *table = &shard->keys;
    const struct kv_slot *slot = kv_table_from(table, walk->hash);
    const struct kv_slot *end = slot == NULL ? NULL : table->slots + table->capacity;
    for (unsigned n = 0; slot != end && n < SLOTS_A_STEP; n++, slot++) {
        if (slot->word == 0)
            continue;
        go_on = fn(arg, shard, slot);
        if (!go_on)
            break;
    }
    while (go_on && slot != end && slot->word == 0)
        slot++;
    if (slot == end) {
        walk->shard++;
        walk->hash = (uint64_t)walk->shard << 56;
    } else {
        walk->hash = slot->hash & ~(uint64_t)0xff;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return go_on;
}

static uint64_t size_of(const struct kv_slot *slot)
{
    return kv_class_size(kv_word_class(slot->word));
}

static bool is_for_us(const struct kv_slot *slot)
{
    return (slot->word & (KV_WORD_CACHED | KV_WORD_DAMAGED)) == 0;
}

static bool count_one(void *arg, const struct kv_shard *shard, const struct kv_slot *slot)
{
    struct kv_warm_need *need = arg;
    (void)shard;
    if (is_for_us(slot)) {
        need->records[kv_slot_want(slot)]++;
        need->bytes[kv_slot_want(slot)] += size_of(slot);
    }
    return true;
}

void kv_warm_count(const struct kv_warm_run *run, struct kv_warm_need *need)
{
    struct kv_warm_walk walk = {0};
    *need = (struct kv_warm_need){0};
    while (walk.shard < KV_SHARDS && !kv_warm_ends(run))
        (void)step(run->store, &walk, count_one, need);
}

struct listing {
    struct kv_warm_run *run;
    struct kv_warm_walk *walk;
    uint64_t room, now_ms;
};

static bool list_one(void *arg, const struct kv_shard *shard, const struct kv_slot *slot)
{
    struct listing *listing = arg;
    struct kv_warm_run *run = listing->run;
    struct kv_warm_walk *walk = listing->walk;
    if (!is_for_us(slot) || kv_slot_want(slot) < walk->low || kv_slot_want(slot) > walk->high)
        return true;
    uint64_t where = kv_word_where(slot->word), segment = kv_where_segment(where);
    if (segment < walk->first_segment || segment > walk->last_segment)
        return true;
    if ((slot->word & KV_WORD_EXPIRES) != 0) {
        uint64_t expire_ms = kv_index_expiry(shard, slot, where);
        if (expire_ms != 0 && expire_ms <= listing->now_ms)
            return true;
    }
    uint64_t size = size_of(slot);
    if (run->count == run->capacity || listing->room == 0)
        return false;
    if (kv_slot_want(slot) == 0 && listing->room < walk->kept)
        return true;
    if (kv_slot_want(slot) != 0)
        walk->kept -= size < walk->kept ? size : walk->kept;
    listing->room -= size < listing->room ? size : listing->room;
    run->list[run->count++] = *slot;
    return true;
}

static int by_place(const void *a, const void *b)
{
    uint64_t x = kv_word_where(((const struct kv_slot *)a)->word);
    uint64_t y = kv_word_where(((const struct kv_slot *)b)->word);
    return x < y ? -1 : x > y;
}

void kv_warm_list(struct kv_warm_run *run, struct kv_warm_walk *walk)
{
    struct listing listing = {
        .run = run, .walk = walk, .room = kv_tier_room(run->store), .now_ms = kv_now(run->store)};
    run->count = 0;
    while (walk->shard < KV_SHARDS && atomic_load(&run->store->warm.generation) == run->generation &&
           step(run->store, walk, list_one, &listing)) {
    }
    qsort(run->list, run->count, sizeof *run->list, by_place);
}
