// Reading what has been listed: ranges, and the threads that read them.
#include "kvstore/kv_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALIGN      4096u
#define LARGE_MOST (64u << 20) // larger records come back when they are asked for
#define STACK      (256u * 1024)
#define LOOK_MS    5u // how often the coordinator looks at the measure

#define LEAVE_US 500u

struct range {
    uint64_t segment, from, to; // of the file; multiples of ALIGN
    size_t first, count;        // of the list
};

static void rest(unsigned us)
{
    struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};
    (void)nanosleep(&t, NULL);
}

static uint64_t size_of(const struct kv_slot *slot)
{
    return kv_class_size(kv_word_class(slot->word));
}

// ---- one record

static struct kv_place place_of(uint64_t where)
{
    return (struct kv_place){.segment = kv_where_segment(where), .offset = kv_where_offset(where)};
}

static bool admit(struct kv_store *store, uint64_t where, const void *key, size_t key_len, const void *value,
                  size_t len)
{
    bool admitted =
        kv_admit(store, &(struct kv_admission){.hash = kv_hash_key(&store->seeds, key, key_len).low,
                                               .where = where,
                                               .key = key,
                                               .key_len = key_len,
                                               .value = value,
                                               .len = len,
                                               .why = KV_ADMIT_WARM});
    if (admitted)
        atomic_fetch_add_explicit(&store->warm.bytes, kv_mem_bytes(key_len, len), memory_order_relaxed);
    return admitted;
}

// Whether the bytes are a record whose head, key and value hold.
static bool holds(const struct kv_store *store, uint64_t where, const uint8_t *data, size_t len,
                  struct kv_record *record)
{
    if (len < KV_RECORD_HEAD || !kv_record_decode(&store->seeds, place_of(where), data, record) ||
        record->type != KV_RECORD_PUT || len - KV_RECORD_HEAD < (uint64_t)record->key_len + record->value_len)
        return false;
    const uint8_t *key = data + KV_RECORD_HEAD;
    return kv_record_key_holds(&store->seeds, place_of(where), data, key, record->key_len) &&
           kv_value_sum(&store->seeds, key + record->key_len, record->value_len) == record->value_sum;
}

static void failed(struct kv_store *store, const struct kv_slot *slot, enum kv_status status)
{
    struct kv_shard *shard = kv_index_shard(&store->index, slot->hash);
    (void)kv_failure_is_real(store, shard, slot->hash, kv_word_where(slot->word), status); // counts it
}

static uint64_t offset_of(const struct kv_slot *slot)
{
    return kv_where_offset(kv_word_where(slot->word));
}

// A record that does not fit in the buffer, as a get reads it.
static void take_large(struct kv_warm_run *run, const struct kv_slot *slot)
{
    struct kv_store *store = run->store;
    uint64_t where = kv_word_where(slot->word);
    struct kv_record record;
    void *key;
    if (size_of(slot) > LARGE_MOST || size_of(slot) > kv_tier_room(store))
        return;
    enum kv_status status = kv_read_head(store, where, &record, &key);
    if (status != KV_OK) {
        failed(store, slot, status);
        return;
    }
    struct kv_load load;
    const struct kv_sink sink = {.want = KV_WANT_VIEW};
    load.read.owner = NULL;
    status = kv_load_begin(&load, store, &sink, where, kv_word_class(slot->word), key, record.key_len);
    bool begun = status == KV_PENDING;
    while (status == KV_PENDING && !kv_warm_ends(run)) {
        (void)kv_disk_read_now(store, &load.read);
        status = kv_load_step(&load);
    }
    if (status == KV_OK)
        (void)admit(store, where, key, record.key_len, load.value, load.len);
    else if (status != KV_PENDING) // else it is to end half-way
        failed(store, slot, status);
    if (begun)
        kv_load_end(&load);
    free(key);
}

// ---- one range

// Reads [from, to) or up to the end of the file. Returns how much there is of it.
static size_t read_range(struct kv_store *store, struct kv_segment *segment, const struct range *range,
                         uint8_t *buffer)
{
    size_t len = (size_t)(range->to - range->from), got = 0;
    while (got < len) {
        int direct_fd = atomic_load(&segment->direct_fd);
        bool direct = direct_fd >= 0 && got % ALIGN == 0 && !atomic_load(&segment->direct_refused);
        struct kv_disk_read read = {.fd = direct ? direct_fd : segment->fd,
                                    .direct = direct,
                                    .buf = buffer + got,
                                    .len = len - got,
                                    .offset = range->from + got};
        ssize_t n = kv_disk_read_now(store, &read);
        if (n == -EINVAL && direct)
            atomic_store(&segment->direct_refused, true);
        else if (n <= 0 && n != -EAGAIN)
            break; // the end of the file, or what cannot be read: a get of it says so
        else if (n > 0)
            got += (size_t)n;
    }
    atomic_fetch_add_explicit(&store->warm.reads, 1, memory_order_relaxed);
    return got;
}

#define DROPPED 0 // word of a listed slot whose record does not hold

static void check_records(struct kv_warm_run *run, const struct range *range, const uint8_t *buffer,
                          size_t got)
{
    for (size_t i = range->first; i < range->first + range->count; i++) {
        struct kv_slot *slot = &run->list[i];
        uint64_t at = offset_of(slot) - range->from;
        size_t len = at < got ? (size_t)(got - at) : 0;
        struct kv_record record;
        if (holds(run->store, kv_word_where(slot->word), buffer + at, len, &record))
            continue;
        if (size_of(slot) <= len) // else the read failed half-way, or the file ends here: a get finds out
            failed(run->store, slot, KV_CORRUPT);
        slot->word = DROPPED;
    }
}

void kv_warm_wait_for_leave(const struct kv_warm_run *run, bool or_spare)
{
    struct kv_tier *tier = &run->store->tier;
    while (kv_tier_is_held_back(tier) && !(or_spare && atomic_load(&tier->spare_bytes) != 0) &&
           !kv_warm_ends(run))
        rest(LEAVE_US);
}

// What is refused for want of leave to grow would have been read for nothing: it waits. The leave may go to the populator's next chunk, and be used up while that is not there yet.
static void admit_by_leave(struct kv_warm_run *run, uint64_t where, const void *key, size_t key_len,
                           const void *value, size_t len)
{
    struct kv_tier *tier = &run->store->tier;
    for (;;) {
        kv_warm_wait_for_leave(run, true);
        uint64_t grow_to = kv_tier_grow_to(tier);
        if (admit(run->store, where, key, key_len, value, len) || kv_warm_ends(run))
            return;
        if (grow_to == kv_tier_grow_to(tier) && !kv_tier_is_held_back(tier))
            return; // that was not the reason
        rest(LEAVE_US);
    }
}

static void admit_records(struct kv_warm_run *run, const struct range *range, const uint8_t *buffer)
{
    for (size_t i = range->first; i < range->first + range->count && !kv_warm_ends(run); i++) {
        const struct kv_slot *slot = &run->list[i];
        if (slot->word == DROPPED)
            continue;
        uint64_t where = kv_word_where(slot->word);
        const uint8_t *head = buffer + (offset_of(slot) - range->from), *key = head + KV_RECORD_HEAD;
        struct kv_record record;
        (void)kv_record_decode(&run->store->seeds, place_of(where), head, &record);
        admit_by_leave(run, where, key, record.key_len, key + record.key_len, record.value_len);
    }
}

static void bring_range(struct kv_warm_run *run, const struct range *range, uint8_t *buffer)
{
    struct kv_store *store = run->store;
    if (range->to - range->from > KV_WARM_BUFFER) {
        take_large(run, &run->list[range->first]);
        return;
    }
    struct kv_segment *segment = kv_segment_to_read(store, range->segment);
    if (segment == NULL)
        return; // compaction has removed it: its records are elsewhere
    size_t got = read_range(store, segment, range, buffer);
    kv_segment_put(segment);
    check_records(run, range, buffer, got);
    (void)pthread_mutex_lock(&run->admit_lock);
    admit_records(run, range, buffer);
    (void)pthread_mutex_unlock(&run->admit_lock);
    // A value that is deleted while the reader rests must not be found here, nor what a read that failed had brought.
    explicit_bzero(buffer, (size_t)(range->to - range->from));
}

// The next range of the list. False: there is none. run->lock is held.
static bool next_range(struct kv_warm_run *run, unsigned bytes, struct range *range)
{
    if (run->next == run->count)
        return false;
    const struct kv_slot *slot = &run->list[run->next];
    uint64_t offset = offset_of(slot), end = offset + size_of(slot);
    *range = (struct range){.segment = kv_where_segment(kv_word_where(slot->word)),
                            .from = offset & ~(uint64_t)(ALIGN - 1),
                            .first = run->next++,
                            .count = 1};
    for (; run->next < run->count; run->next++, range->count++) {
        slot = &run->list[run->next];
        offset = offset_of(slot);
        if (kv_where_segment(kv_word_where(slot->word)) != range->segment || offset > end + KV_WARM_GAP ||
            offset + size_of(slot) + ALIGN - range->from > bytes)
            break;
        end = offset + size_of(slot) > end ? offset + size_of(slot) : end;
    }
    range->to = (end + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
    return true;
}

// ---- the readers

struct reader {
    struct kv_warm_run *run;
    unsigned number;
    pthread_t thread;
    bool runs;
};

// Waits for its turn, then takes a range. False: the end.
static bool take_range(struct reader *reader, struct range *range, unsigned *rest_us)
{
    struct kv_warm_run *run = reader->run;
    bool more = false;
    (void)pthread_mutex_lock(&run->lock);
    while (run->next < run->count && !kv_warm_ends(run) &&
           (run->paused || reader->number >= kv_warm_pace(run)->readers))
        (void)pthread_cond_wait(&run->turn, &run->lock);
    if (!kv_warm_ends(run)) {
        more = next_range(run, kv_warm_pace(run)->bytes, range);
        *rest_us = kv_warm_pace(run)->rest_us;
    }
    if (run->next == run->count)
        (void)pthread_cond_broadcast(&run->turn); // nothing left for those that wait
    (void)pthread_mutex_unlock(&run->lock);
    return more;
}

static void *reader_main(void *arg)
{
    struct reader *reader = arg;
    struct kv_warm_run *run = reader->run;
    uint8_t *buffer = run->buffers + (size_t)reader->number * KV_WARM_BUFFER;
    struct range range;
    kv_thread_step_back();
    for (unsigned rest_us; take_range(reader, &range, &rest_us);) {
        bring_range(run, &range, buffer);
        if (rest_us != 0)
            rest(rest_us);
    }
    (void)pthread_mutex_lock(&run->lock);
    run->going--;
    (void)pthread_cond_signal(&run->ended);
    (void)pthread_mutex_unlock(&run->lock);
    return NULL;
}

static void watch(struct kv_warm_run *run)
{
    (void)pthread_mutex_lock(&run->lock);
    while (run->going > 0) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)LOOK_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&run->ended, &run->lock, &until);
        unsigned pace = run->pace;
        bool paused = run->paused;
        kv_warm_set_pace(run, kv_clock_ns());
        if (run->pace > pace || run->paused < paused || kv_warm_ends(run))
            (void)pthread_cond_broadcast(&run->turn);
    }
    (void)pthread_mutex_unlock(&run->lock);
}

static unsigned start_readers(struct kv_warm_run *run, struct reader *readers)
{
    unsigned started = 0;
    for (unsigned i = 0; i < run->readers; i++) {
        readers[i] = (struct reader){.run = run, .number = i};
        readers[i].runs = kv_thread_start(&readers[i].thread, STACK, reader_main, &readers[i]) == 0;
        if (!readers[i].runs)
            break;
        started++;
    }
    return started;
}

void kv_warm_read(struct kv_warm_run *run)
{
    struct reader readers[KV_WARM_READERS] = {0};
    if (run->count == 0)
        return;
    run->next = 0;
    kv_warm_set_pace(run, kv_clock_ns());
    (void)pthread_mutex_lock(&run->lock);
    unsigned started = start_readers(run, readers);
    run->going += started; // they wait for the lock before they say that they have ended
    (void)pthread_mutex_unlock(&run->lock);
    if (started == 0) { // no threads to be had: what is left comes with misses
        run->next = run->count;
        return;
    }
    watch(run);
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(readers[i].thread, NULL);
}
