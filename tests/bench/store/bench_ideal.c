// bench_ideal: the yardstick in memory. A plain open-addressing hash table over records in huge pages: one
// probe, one comparison of the key, one copy. No locks, no limit, no disk: what a get of a value in memory
// cannot be faster than.
//
//   slots:   { hash, offset + 1 }[a power of two, at most half full]
//   records: { value's length (8 bytes), key, value } one after the other, 64-byte aligned
//
// Any number of threads may read; puts are one at a time, and not beside reads.
#include "kvstore/kvbench_report.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HUGE_PAGE ((size_t)2 << 20)

struct slot {
    uint64_t hash;
    uint64_t place; // offset + 1; 0: free
};

struct target {
    struct slot *slots;
    size_t mask, slots_len;
    uint8_t *records;
    size_t records_len, used;
    uint64_t keys;
    pthread_mutex_t lock; // puts
};

static void *map_huge(size_t *len)
{
    *len = (*len + 2 * HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    uint8_t *p = mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, *len, MADV_HUGEPAGE);
    return p;
}

static size_t record_len(size_t key_len, size_t value_len)
{
    return (8 + key_len + value_len + 63) / 64 * 64;
}

static void *open_store(const char *dir, const struct bench_options *o, bool create, struct error *e)
{
    struct target *t = calloc(1, sizeof *t);
    (void)dir;
    if (!create || t == NULL) {
        error_set(e, create ? "no memory" : "a table in memory: --existing cannot be");
        free(t);
        return NULL;
    }
    size_t slots = 64;
    while (slots < 2 * o->keys)
        slots *= 2;
    t->mask = slots - 1;
    t->slots_len = slots * sizeof *t->slots;
    t->records_len = o->keys * record_len(o->key_bytes, o->value_max);
    t->slots = map_huge(&t->slots_len);
    t->records = map_huge(&t->records_len);
    (void)pthread_mutex_init(&t->lock, NULL);
    if (t->slots != NULL && t->records != NULL)
        return t;
    error_set(e, "no memory");
    free(t);
    return NULL;
}

static bool close_store(void *target, struct error *e)
{
    struct target *t = target;
    (void)e;
    (void)munmap(t->slots, t->slots_len);
    (void)munmap(t->records, t->records_len);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
    return true;
}

static void *attach(void *target)
{
    return target;
}

static void detach(void *session)
{
    (void)session;
}

// The slot of a key, or the free one where it would be. *record: the key's; NULL: it is not there.
static struct slot *find(struct target *t, const void *key, size_t key_len, uint64_t hash, uint8_t **record)
{
    for (size_t i = hash & t->mask;; i = (i + 1) & t->mask) {
        struct slot *slot = &t->slots[i];
        *record = slot->place != 0 ? t->records + slot->place - 1 : NULL;
        if (*record == NULL || (slot->hash == hash && memcmp(*record + 8, key, key_len) == 0))
            return slot;
    }
}

static enum kv_status view(void *session, const void *key, size_t key_len, struct kv_view *view)
{
    uint8_t *record;
    uint64_t len;
    (void)find(session, key, key_len, XXH3_64bits(key, key_len), &record);
    if (record == NULL)
        return KV_NOT_FOUND;
    memcpy(&len, record, 8);
    view->data = record + 8 + key_len;
    view->len = len;
    return KV_OK;
}

static void release(void *session, struct kv_view *view)
{
    (void)session;
    (void)view;
}

static enum kv_status get(void *session, const void *key, size_t key_len, void *buf, size_t *len)
{
    struct kv_view found;
    enum kv_status status = view(session, key, key_len, &found);
    if (status != KV_OK)
        return status;
    if (found.len > *len)
        status = KV_TOO_LARGE;
    else
        memcpy(buf, found.data, found.len);
    *len = found.len;
    return status;
}

static enum kv_status get_batch(void *session, struct kv_get *gets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gets[i].status = get(session, gets[i].key, gets[i].key_len, gets[i].buf, &gets[i].len);
    return KV_OK;
}

static enum kv_status put(void *session, const void *key, size_t key_len, const void *value, size_t len)
{
    struct target *t = session;
    uint8_t *record;
    uint64_t hash = XXH3_64bits(key, key_len), len64 = len;
    enum kv_status status = KV_OK;
    (void)pthread_mutex_lock(&t->lock);
    struct slot *slot = find(t, key, key_len, hash, &record);
    if (record == NULL && record_len(key_len, len) > t->records_len - t->used) {
        status = KV_FULL;
    } else {
        if (record == NULL) { // a key's value has always the same length here
            record = t->records + t->used;
            *slot = (struct slot){.hash = hash, .place = t->used + 1};
            t->used += record_len(key_len, len);
            t->keys++;
        }
        memcpy(record, &len64, 8);
        memcpy(record + 8, key, key_len);
        memcpy(record + 8 + key_len, value, len);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return status;
}

static enum kv_status put_batch(void *session, struct kv_put_item *items, size_t count)
{
    enum kv_status first = KV_OK;
    for (size_t i = 0; i < count; i++) {
        items[i].status = put(session, items[i].key, items[i].key_len, items[i].value, items[i].len);
        if (first == KV_OK)
            first = items[i].status;
    }
    return first;
}

static enum kv_status sync_store(void *target)
{
    (void)target;
    return KV_OK;
}

static json_t *stats(void *target)
{
    struct target *t = target;
    return json_pack("{s:I, s:I}", "keys", (json_int_t)t->keys, "index_bytes", (json_int_t)t->slots_len);
}

static void error_text(void *target, char *buf, size_t len)
{
    (void)target;
    (void)snprintf(buf, len, "%s", "");
}

static const struct bench_target_class class = {
    .program = "bench_ideal",
    .summary = "The load of kvbench for a plain hash table over values in huge pages: the least time a get "
               "can take.",
    .open = open_store,
    .close = close_store,
    .attach = attach,
    .detach = detach,
    .get = get,
    .put = put,
    .put_batch = put_batch,
    .view = view,
    .release = release,
    .get_batch = get_batch,
    .sync = sync_store,
    .stats = stats,
    .error_text = error_text,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &class);
}
