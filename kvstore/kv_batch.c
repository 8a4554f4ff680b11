// A get of many. The gets are looked up in memory in turn; those that miss read through a port, KV_PORT_DEPTH
// of them in flight at most. When one is answered the next takes its slot, so a large batch keeps the device
// busy all the time.
#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>

// So many misses found, the first are handed to the kernel: it reads while the index is being asked on.
#define HAND_OVER_EACH 32u
// Wait for an eighth of what is in flight: few waits, and the device never runs dry.
#define LEAST_SHARE 8u

struct slot {
    struct kv_miss miss;
    struct kv_get *get; // NULL: free
    unsigned number;
    struct slot *next_free;
};

struct batch {
    struct kv_store *store;
    struct kv_get *gets;
    size_t count, at; // gets from `at` on have not been looked at
    struct slot *slots, *free;
    unsigned slot_count, fresh; // slots from `fresh` on have never been used
    unsigned in_flight, not_handed_over;
    struct kv_port *port; // NULL: not taken yet, or not to be had
    bool no_port;
};

static void answer(struct kv_get *get, enum kv_status status, const struct kv_miss *miss)
{
    get->status = status;
    if (status == KV_OK || status == KV_TOO_LARGE)
        get->len = miss->len;
    if (status == KV_OK)
        get->version = miss->version;
}

static void answer_from_memory(struct kv_store *store, struct kv_get *get, struct kv_view *view)
{
    get->status = view->len <= get->len ? KV_OK : KV_TOO_LARGE;
    if (get->status == KV_OK && view->len != 0)
        memcpy(get->buf, view->data, view->len);
    get->len = view->len;
    get->version = view->version;
    kv_view_release(store, view);
}

// True: answered. Otherwise *miss is ready to begin, but for the sink's slab.
static bool look(struct kv_store *store, struct kv_get *get, struct kv_miss *miss)
{
    if (get->key_len == 0 || get->key_len > KV_KEY_MAX) {
        get->status = get->key_len == 0 ? KV_INVALID : KV_TOO_LARGE;
        return true;
    }
    struct kv_view view;
    miss->hash = kv_hash_key(&store->seeds, get->key, get->key_len).low;
    get->status = kv_look(store, miss->hash, get->key, get->key_len, &view, miss->others, &miss->count);
    if (get->status == KV_OK)
        answer_from_memory(store, get, &view);
    if (get->status != KV_PENDING)
        return true;
    miss->store = store;
    miss->key = get->key;
    miss->key_len = get->key_len;
    miss->sink = (struct kv_sink){.want = KV_WANT_COPY, .into = get->buf, .capacity = get->len};
    return false;
}

static struct slot *take_slot(struct batch *batch)
{
    struct slot *slot = batch->free;
    if (slot != NULL) {
        batch->free = slot->next_free;
    } else {
        slot = &batch->slots[batch->fresh];
        slot->number = batch->fresh++;
    }
    return slot;
}

static void give_slot(struct batch *batch, struct slot *slot)
{
    slot->get = NULL;
    slot->next_free = batch->free;
    batch->free = slot;
}

static void go_on(struct batch *batch, struct slot *slot, enum kv_status status)
{
    if (status == KV_PENDING) {
        kv_port_push(batch->port, &slot->miss.load.read);
        batch->in_flight++;
        batch->not_handed_over++;
        return;
    }
    answer(slot->get, status, &slot->miss);
    give_slot(batch, slot);
}

// A single miss needs no port, nor is there one without memory.
static bool have_port(struct batch *batch)
{
    bool last_and_only = batch->in_flight == 0 && batch->at == batch->count;
    if (batch->port == NULL && !batch->no_port && !last_and_only) {
        batch->port = kv_port_take(batch->store, KV_RING_PLAIN);
        batch->no_port = batch->port == NULL;
    }
    return batch->port != NULL;
}

static void begin(struct batch *batch, struct kv_get *get)
{
    struct slot *slot = take_slot(batch);
    struct kv_miss *miss = &slot->miss;
    if (look(batch->store, get, miss)) {
        give_slot(batch, slot);
        return;
    }
    slot->get = get;
    miss->load.read.owner = slot;
    if (!have_port(batch)) {
        answer(get, kv_miss_run(miss), miss);
        give_slot(batch, slot);
        return;
    }
    miss->sink.slab = kv_port_slab(batch->port, slot->number);
    miss->sink.indirect = batch->port->ring != NULL;
    go_on(batch, slot, kv_miss_begin(miss));
}

// The ring has failed: what it had in flight is begun anew, one at a time, in other memory.
static void give_up_port(struct batch *batch)
{
    kv_port_abandon(batch->port);
    batch->port = NULL;
    batch->no_port = true;
    for (unsigned i = 0; i < batch->fresh; i++) {
        struct slot *slot = &batch->slots[i];
        if (slot->get == NULL)
            continue;
        kv_miss_abandon(&slot->miss);
        slot->miss.sink.slab = NULL;
        slot->miss.sink.indirect = false;
        answer(slot->get, kv_miss_run(&slot->miss), &slot->miss);
        give_slot(batch, slot);
    }
    batch->in_flight = batch->not_handed_over = 0;
}

static void run(struct batch *batch, unsigned least)
{
    batch->not_handed_over = 0;
    if (!kv_port_run(batch->port, least)) {
        give_up_port(batch);
        return;
    }
    for (struct kv_disk_read *read; (read = kv_port_pop(batch->port)) != NULL;) {
        struct slot *slot = read->owner;
        batch->in_flight--;
        go_on(batch, slot, kv_miss_step(&slot->miss));
    }
}

static void run_all(struct batch *batch)
{
    while (batch->at < batch->count || batch->in_flight > 0) {
        while (batch->at < batch->count && batch->in_flight < batch->slot_count) {
            begin(batch, &batch->gets[batch->at++]);
            if (batch->not_handed_over >= HAND_OVER_EACH)
                run(batch, 0);
        }
        if (batch->in_flight > 0)
            run(batch, 1 + batch->in_flight / LEAST_SHARE);
    }
}

enum kv_status kv_get_batch(struct kv_store *store, struct kv_get *gets, size_t count)
{
    struct batch batch = {.store = store, .gets = gets, .count = count};
    batch.slot_count = count < KV_PORT_DEPTH ? (unsigned)count : KV_PORT_DEPTH;
    if (count == 0)
        return KV_OK;
    batch.slots = malloc(batch.slot_count * sizeof *batch.slots);
    if (batch.slots == NULL)
        return KV_NO_MEMORY;
    run_all(&batch);
    if (batch.port != NULL)
        kv_port_give(batch.port);
    free(batch.slots);
    return KV_OK;
}
