// The thread that brings values back, what it does in which order, and the measure of misses that it gives way to.
#include "kvstore/kv_internal.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define LIST_LEAST  (64u * 1024)
#define READER_ROOM (32u << 20) // a reader for so much room
#define LEAST_ROOM  (1u << 20)
#define KEPT_CHUNKS 2u // what does not fit at the end of a chunk, and the chunk that gets have begun
#define TAKE_BYTES  (1u << 20)
#define GOAL_MOST   (UINT64_MAX / 1000) // us

// ---- the measure

// Threads may overwrite each other's sample: the next one comes soon.
void kv_warm_measured(struct kv_warm *warm, uint64_t began_ns, uint64_t ended_ns)
{
    uint64_t now = ended_ns, sample = now - began_ns;
    uint64_t old = atomic_load_explicit(&warm->latency_ns, memory_order_relaxed);
    uint64_t next = sample > old ? old + (sample - old) / 4 : old - (old - sample) / 32;
    atomic_store_explicit(&warm->latency_ns, next, memory_order_relaxed);
    atomic_store_explicit(&warm->latency_at_ns, now, memory_order_relaxed);
}

static void set_measuring(struct kv_warm *warm)
{
    atomic_store(&warm->measuring, atomic_load(&warm->warming) && atomic_load(&warm->goal_us) != 0);
}

// Such that it can be said in nanoseconds.
static uint64_t clamp_goal(uint64_t us)
{
    return us < GOAL_MOST ? us : GOAL_MOST;
}

void kv_set_latency_goal(struct kv_store *store, uint64_t us)
{
    atomic_store(&store->warm.goal_us, clamp_goal(us));
    (void)pthread_mutex_lock(&store->warm.lock); // beside a beginning or an end of warming
    set_measuring(&store->warm);
    (void)pthread_mutex_unlock(&store->warm.lock);
}

// ---- a run

bool kv_warm_ends(const struct kv_warm_run *run)
{
    return atomic_load(&run->store->warm.generation) != run->generation ||
           kv_tier_room(run->store) < KV_CHUNK_LEAST_BYTES;
}

static size_t list_bytes(const struct kv_warm_run *run)
{
    return run->capacity * sizeof *run->list;
}

static size_t buffers_bytes(const struct kv_warm_run *run)
{
    return (size_t)run->readers * KV_WARM_BUFFER;
}

// Takes the memory of `p` now, counted and by and by as the leave to grow allows (kv_set_growth()): taken as it is first used, a run would grow by
// megabytes that a look at the process had seen as counted already.
static void take_memory(struct kv_warm_run *run, uint8_t *p, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += TAKE_BYTES) {
        size_t part = bytes - at < TAKE_BYTES ? bytes - at : TAKE_BYTES;
        kv_warm_wait_for_leave(run, false);
        kv_account(run->store, (int64_t)part);
        run->taken_bytes += part;
        if (kv_warm_ends(run))
            return;
        if (madvise(p + at, part, MADV_POPULATE_WRITE) != 0) // Linux before 5.14
            memset(p + at, 0, part);
    }
}

static bool run_init(struct kv_warm_run *run, struct kv_store *store, unsigned generation)
{
    *run = (struct kv_warm_run){.store = store, .generation = generation, .readers = 1};
    uint64_t room = kv_tier_room(store);
    if (room < LEAST_ROOM)
        return false;
    run->readers =
        room / READER_ROOM < KV_WARM_READERS ? (unsigned)(room / READER_ROOM) + 1 : KV_WARM_READERS;
    run->capacity = run->readers * LIST_LEAST;
    if (run->capacity > room / 64) // an eighth of the room at most, with what sorting takes a quarter
        run->capacity = room / 64;
    size_t buffers = buffers_bytes(run);
    run->list = mmap(NULL, list_bytes(run), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    run->buffers = mmap(NULL, buffers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (run->list != MAP_FAILED && run->buffers != MAP_FAILED) {
        (void)madvise(run->buffers, buffers, MADV_DONTDUMP);
        (void)pthread_mutex_init(&run->lock, NULL);
        (void)pthread_mutex_init(&run->admit_lock, NULL);
        pthread_condattr_t monotonic;
        (void)pthread_condattr_init(&monotonic);
        (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&run->ended, &monotonic);
        (void)pthread_condattr_destroy(&monotonic);
        (void)pthread_cond_init(&run->turn, NULL);
        take_memory(run, run->buffers, buffers);
        take_memory(run, (uint8_t *)run->list, list_bytes(run));
        kv_account(store, (int64_t)list_bytes(run)); // sorting may need as much again
        run->taken_bytes += list_bytes(run);
        return true;
    }
    if (run->list != MAP_FAILED)
        (void)munmap(run->list, list_bytes(run));
    if (run->buffers != MAP_FAILED)
        (void)munmap(run->buffers, buffers);
    return false;
}

static void run_end(struct kv_warm_run *run)
{
    (void)munmap(run->buffers, buffers_bytes(run)); // its readers have wiped it
    (void)munmap(run->list, list_bytes(run));
    (void)pthread_cond_destroy(&run->turn);
    (void)pthread_cond_destroy(&run->ended);
    (void)pthread_mutex_destroy(&run->admit_lock);
    (void)pthread_mutex_destroy(&run->lock);
    kv_account(run->store, -(int64_t)run->taken_bytes);
}

// The last segment of a range of segments from `first` on that have about as many live records as the list takes.
static uint64_t range_of_segments(const struct kv_warm_run *run, uint64_t first)
{
    uint64_t last = first, records = 0;
    struct kv_segment *segment;
    while ((segment = kv_segment_from(run->store, last)) != NULL) {
        int64_t live = atomic_load(&segment->live_count);
        uint64_t id = segment->id;
        kv_segment_put(segment);
        records += live > 0 ? (uint64_t)live : 0;
        if (records > run->capacity && id > first)
            return id - 1;
        last = id + 1;
    }
    return UINT64_MAX;
}

// Brings back what is wanted so much. `records` of it there are, about: if the list takes them all, one walk does it; else
// the segments are gone through a few at a time, so that each part is read in one direction. `kept` is the room that is kept for what is wanted from
// what nobody has asked for.
static void bring(struct kv_warm_run *run, unsigned low, unsigned high, uint64_t records, uint64_t kept)
{
    struct kv_warm_walk walk = {.low = low, .high = high, .kept = kept};
    bool once = records <= run->capacity;
    for (uint64_t first = 0; records > 0 && !kv_warm_ends(run); first = walk.last_segment + 1) {
        walk.shard = 0;
        walk.hash = 0;
        walk.first_segment = first;
        walk.last_segment = once ? UINT64_MAX : range_of_segments(run, first);
        while (walk.shard < KV_SHARDS && !kv_warm_ends(run)) {
            uint64_t before = atomic_load(&run->store->warm.bytes);
            kv_warm_list(run, &walk);
            kv_warm_read(run);
            // What room there is does not make a chunk: there is no use in going on.
            if (atomic_load(&run->store->warm.bytes) == before &&
                kv_tier_room(run->store) < 2 * KV_CHUNK_BYTES)
                return;
        }
        if (walk.last_segment == UINT64_MAX)
            break;
    }
}

// Whether one pass over the files, which takes what nobody has asked for along, is the fastest way to what is wanted: most of all fits, and what is
// wanted is much or so scattered that reading it alone costs a quarter of reading all.
static bool one_pass(const struct kv_warm_need *need, uint64_t room)
{
    uint64_t wanted = need->bytes[1] + need->bytes[2] + need->bytes[3], all = wanted + need->bytes[0];
    uint64_t records = need->records[1] + need->records[2] + need->records[3];
    return wanted < room && room - wanted >= need->bytes[0] / 2 &&
           (wanted >= all / 4 || records * KV_WARM_GAP >= all / 4);
}

static void bring_all(struct kv_warm_run *run, unsigned least)
{
    struct kv_warm_need need;
    kv_warm_count(run, &need);
    if (least == 0 && one_pass(&need, kv_tier_room(run->store)))
        bring(run, 0, 3, need.records[0] + need.records[1] + need.records[2] + need.records[3],
              need.bytes[1] + need.bytes[2] + need.bytes[3] + KEPT_CHUNKS * KV_CHUNK_BYTES);
    else
        for (unsigned want = 3; want >= 1 && want >= least; want--)
            bring(run, want, want, need.records[want], 0);
    // Values that nobody has asked for are worth memory that is free anyway, as long as the reads are not mostly for nothing.
    if (least == 0 && need.bytes[0] / 2 <= kv_tier_room(run->store))
        bring(run, 0, 0, need.records[0], 0);
}

// ---- the thread

static void warm_up(struct kv_store *store, unsigned generation, unsigned least)
{
    struct kv_warm_run run;
    if (!run_init(&run, store, generation))
        return;
    bring_all(&run, least);
    run_end(&run);
}

static void set_idle(struct kv_warm *warm)
{
    atomic_store(&warm->warming, false);
    set_measuring(warm);
}

static void *warm_main(void *arg)
{
    struct kv_store *store = arg;
    struct kv_warm *warm = &store->warm;
    (void)pthread_mutex_lock(&warm->lock);
    for (;;) {
        while (!warm->asked && !warm->stopping)
            (void)pthread_cond_wait(&warm->wake, &warm->lock);
        if (warm->stopping)
            break;
        warm->asked = false;
        warm->running = true;
        unsigned generation = atomic_load(&warm->generation), least = warm->least_want;
        atomic_store(&warm->latency_ns, 0);
        (void)pthread_mutex_unlock(&warm->lock);
        warm_up(store, generation, least);
        (void)pthread_mutex_lock(&warm->lock);
        warm->running = false;
        if (!warm->asked)
            set_idle(warm);
        (void)pthread_cond_broadcast(&warm->idle);
    }
    (void)pthread_mutex_unlock(&warm->lock);
    return NULL;
}

void kv_warm_init(struct kv_warm *warm, uint64_t goal_us)
{
    (void)pthread_mutex_init(&warm->lock, NULL);
    (void)pthread_cond_init(&warm->wake, NULL);
    (void)pthread_cond_init(&warm->idle, NULL);
    atomic_store(&warm->goal_us, clamp_goal(goal_us));
}

void kv_warm_destroy(struct kv_warm *warm)
{
    (void)pthread_cond_destroy(&warm->idle);
    (void)pthread_cond_destroy(&warm->wake);
    (void)pthread_mutex_destroy(&warm->lock);
}

int kv_warm_open(struct kv_store *store)
{
    int error = pthread_create(&store->warm.thread, NULL, warm_main, store);
    store->warm.runs = error == 0;
    return error;
}

void kv_warm_close(struct kv_store *store)
{
    struct kv_warm *warm = &store->warm;
    if (!warm->runs)
        return;
    (void)pthread_mutex_lock(&warm->lock);
    atomic_fetch_add(&warm->generation, 1);
    warm->stopping = true;
    (void)pthread_cond_signal(&warm->wake);
    (void)pthread_mutex_unlock(&warm->lock);
    (void)pthread_join(warm->thread, NULL);
    warm->runs = false;
}

void kv_warm_start(struct kv_store *store, unsigned least_want)
{
    struct kv_warm *warm = &store->warm;
    (void)pthread_mutex_lock(&warm->lock);
    if (warm->runs && !warm->stopping && !store->options.no_bring_back) {
        atomic_fetch_add(&warm->generation, 1); // begins anew: there is more room than it knows
        warm->asked = true;
        warm->least_want = least_want;
        atomic_store(&warm->warming, true);
        set_measuring(warm);
        (void)pthread_cond_signal(&warm->wake);
    }
    (void)pthread_mutex_unlock(&warm->lock);
}

void kv_warm_cancel(struct kv_store *store)
{
    struct kv_warm *warm = &store->warm;
    (void)pthread_mutex_lock(&warm->lock);
    atomic_fetch_add(&warm->generation, 1);
    warm->asked = false;
    if (!warm->running)
        set_idle(warm);
    // Whoever raises the limit meanwhile begins another run: that one is not ours to wait for.
    while (warm->running && !warm->asked)
        (void)pthread_cond_wait(&warm->idle, &warm->lock);
    (void)pthread_mutex_unlock(&warm->lock);
}
