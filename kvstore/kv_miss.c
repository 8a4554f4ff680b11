#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>

// Views of records in memory hold an even address.
void *kv_view_hold(struct kv_buffer *buffer)
{
    return (uint8_t *)buffer + 1;
}

// ---- handing over

static enum kv_status copy_out(struct kv_miss *miss, const void *value, size_t len)
{
    miss->len = len;
    if (miss->sink.want == KV_WANT_COPY && len > miss->sink.capacity)
        return KV_TOO_LARGE;
    void *to = miss->sink.into;
    if (miss->sink.want == KV_WANT_MALLOC) {
        to = miss->alloc = malloc(len != 0 ? len : 1);
        if (to == NULL)
            return KV_NO_MEMORY;
    }
    if (len != 0 && to != value)
        memcpy(to, value, len);
    return KV_OK;
}

// The index was asked again, and now the value is in memory.
static enum kv_status deliver_view(struct kv_miss *miss)
{
    miss->len = miss->view.len;
    miss->version = miss->view.version;
    miss->expire_ms = miss->view.expire_ms;
    if (miss->sink.want == KV_WANT_VIEW)
        return KV_OK;
    enum kv_status status = copy_out(miss, miss->view.data, miss->view.len);
    kv_view_release(miss->store, &miss->view);
    return status;
}

static enum kv_status deliver_load(struct kv_miss *miss)
{
    struct kv_load *load = &miss->load;
    miss->len = load->len;
    if (miss->sink.want == KV_WANT_VIEW) {
        miss->view = (struct kv_view){.data = load->value,
                                      .len = load->len,
                                      .version = miss->version,
                                      .expire_ms = miss->expire_ms,
                                      .hold = kv_view_hold(load->buffer)};
        load->buffer = NULL;
        load->block = NULL;
        return KV_OK;
    }
    if (load->owned) {
        miss->alloc = load->value;
        load->owned = false;
        return KV_OK;
    }
    return copy_out(miss, load->value, load->len);
}

// ---- the end

static void count_end(struct kv_miss *miss, enum kv_status status, uint64_t took_ns)
{
    struct kv_shard *shard = kv_index_shard(&miss->store->index, miss->hash);
    (void)pthread_mutex_lock(&shard->lock);
    if (status == KV_NOT_FOUND) {
        shard->not_found++;
    } else {
        shard->misses++;
        shard->miss_ns += took_ns;
    }
    (void)pthread_mutex_unlock(&shard->lock);
}

static enum kv_status finish(struct kv_miss *miss, enum kv_status status)
{
    struct kv_load *load = &miss->load;
    miss->len = load->len;
    uint64_t now = kv_clock_ns();
    if (atomic_load_explicit(&miss->store->warm.measuring, memory_order_relaxed))
        kv_warm_measured(&miss->store->warm, miss->began_ns, now);
    if (status == KV_OK) {
        kv_mrc_note(&miss->store->mrc, miss->hash, kv_mem_bytes(miss->key_len, load->len));
        (void)kv_admit(miss->store, &(struct kv_admission){.hash = miss->hash,
                                                           .where = miss->version,
                                                           .key = miss->key,
                                                           .key_len = miss->key_len,
                                                           .value = load->value,
                                                           .len = load->len,
                                                           .why = KV_ADMIT_READ});
        status = deliver_load(miss);
    }
    count_end(miss, status, now - miss->began_ns);
    return status;
}

static enum kv_status begin_candidates(struct kv_miss *miss);

// Something moved while it was read: look anew.
static enum kv_status look_again(struct kv_miss *miss)
{
    enum kv_status status =
        kv_look(miss->store, miss->hash, miss->key, miss->key_len, &miss->view, miss->others, &miss->count);
    if (status == KV_PENDING)
        return begin_candidates(miss);
    return status == KV_OK ? deliver_view(miss) : status;
}

// A candidate has been read, or cannot be. The load holds nothing any more unless status is KV_OK.
static bool is_real(struct kv_miss *miss, enum kv_status status)
{
    if (status != KV_CORRUPT && status != KV_IO)
        return true;
    struct kv_shard *shard = kv_index_shard(&miss->store->index, miss->hash);
    return kv_failure_is_real(miss->store, shard, miss->hash, miss->version, status);
}

// Begins with the next candidate. KV_NOT_FOUND: there is none. KV_PENDING: reading.
static enum kv_status begin_next(struct kv_miss *miss)
{
    if (miss->at == miss->count) {
        count_end(miss, KV_NOT_FOUND, 0);
        return KV_NOT_FOUND;
    }
    const struct kv_candidate *c = &miss->others[miss->at++];
    miss->version = c->where;
    miss->expire_ms = c->expire_ms;
    enum kv_status status = kv_load_begin(&miss->load, miss->store, &miss->sink, c->where, c->size_class,
                                          miss->key, miss->key_len);
    if (status == KV_PENDING)
        return KV_PENDING;
    if (!is_real(miss, status))
        return look_again(miss);
    count_end(miss, status, 0);
    return status;
}

static enum kv_status begin_candidates(struct kv_miss *miss)
{
    miss->at = 0;
    return begin_next(miss);
}

enum kv_status kv_miss_begin(struct kv_miss *miss)
{
    miss->alloc = NULL;
    miss->view = (struct kv_view){0};
    miss->began_ns = kv_clock_ns();
    return begin_candidates(miss);
}

enum kv_status kv_miss_step(struct kv_miss *miss)
{
    enum kv_status status = kv_load_step(&miss->load);
    if (status == KV_PENDING)
        return KV_PENDING;
    if (status == KV_NOT_FOUND) {
        kv_load_end(&miss->load);
        return begin_next(miss);
    }
    bool real = is_real(miss, status);
    if (real)
        status = finish(miss, status);
    kv_load_end(&miss->load);
    return real ? status : look_again(miss);
}

enum kv_status kv_miss_run(struct kv_miss *miss)
{
    enum kv_status status = kv_miss_begin(miss);
    while (status == KV_PENDING) {
        (void)kv_disk_read_now(miss->store, &miss->load.read);
        status = kv_miss_step(miss);
    }
    return status;
}

void kv_miss_abandon(struct kv_miss *miss)
{
    kv_load_abandon(&miss->load);
}
