#include "kvstore/kv_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SEGMENT_BYTES (256ull << 20)
#define LEAST_SEGMENT_BYTES   4096u
#define DEFAULT_INTERVAL_MS   1000u
#define DEFAULT_DEAD_PERCENT  50u
#define DEFAULT_COMPACT_RATE  (64ull << 20)
#define LEAST_COMPACT_RATE    (64ull << 10)
#define MOST_COMPACT_RATE     (1ull << 40)
#define MOST_LATENCY_GOAL_US  (UINT64_MAX / 1000)

const char *kv_status_text(enum kv_status status)
{
    switch (status) {
    case KV_OK:
        return "ok";
    case KV_NOT_FOUND:
        return "not found";
    case KV_CORRUPT:
        return "the record on disk is damaged";
    case KV_IO:
        return "input/output error";
    case KV_READ_ONLY:
        return "the store is read-only after a failed write or sync";
    case KV_FULL:
        return "no space left on the device";
    case KV_TOO_LARGE:
        return "too large";
    case KV_INVALID:
        return "invalid argument";
    case KV_NO_MEMORY:
        return "out of memory";
    case KV_LOCKED:
        return "the store is open in another process";
    case KV_EXISTS:
        return "the key exists";
    case KV_PENDING:
        return "the answer comes later";
    case KV_BAD_FORMAT:
        return "not a store that this program can read";
    }
    return "unknown status";
}

// ---- open

static void locks_init(struct kv_store *store)
{
    (void)pthread_mutex_init(&store->append_lock, NULL);
    (void)pthread_mutex_init(&store->sync_lock, NULL);
    (void)pthread_cond_init(&store->sync_done, NULL);
    (void)pthread_mutex_init(&store->error_lock, NULL);
    (void)pthread_mutex_init(&store->moved.lock, NULL);
    (void)pthread_mutex_init(&store->exports.lock, NULL);
    (void)pthread_mutex_init(&store->compact_lock, NULL);
    (void)pthread_mutex_init(&store->tell_lock, NULL);
    (void)pthread_mutex_init(&store->segments.lock, NULL);
    (void)pthread_mutex_init(&store->segments.manifest_lock, NULL);
    (void)pthread_mutex_init(&store->background_lock, NULL);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&store->background_wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

static void locks_destroy(struct kv_store *store)
{
    (void)pthread_cond_destroy(&store->background_wake);
    (void)pthread_cond_destroy(&store->sync_done);
    pthread_mutex_t *locks[] = {
        &store->append_lock,    &store->sync_lock,    &store->error_lock,    &store->moved.lock,
        &store->exports.lock,   &store->compact_lock, &store->segments.lock, &store->segments.manifest_lock,
        &store->background_lock};
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++)
        (void)pthread_mutex_destroy(locks[i]);
}

static void set_options(struct kv_store *store, const struct kv_options *options)
{
    store->options = *options;
    atomic_store(&store->telling, options->on_expire != NULL);
    struct kv_options *o = &store->options;
    if (o->fsync_interval_ms == 0)
        o->fsync_interval_ms = DEFAULT_INTERVAL_MS;
    if (o->dead_percent == 0)
        o->dead_percent = DEFAULT_DEAD_PERCENT;
    if (o->compact_bytes_s == 0)
        o->compact_bytes_s = DEFAULT_COMPACT_RATE;
    if (o->compact_bytes_s < LEAST_COMPACT_RATE)
        o->compact_bytes_s = LEAST_COMPACT_RATE;
    if (o->compact_bytes_s > MOST_COMPACT_RATE)
        o->compact_bytes_s = MOST_COMPACT_RATE;
    if (o->latency_goal_us > MOST_LATENCY_GOAL_US)
        o->latency_goal_us = MOST_LATENCY_GOAL_US;
    if (o->segment_bytes == 0)
        o->segment_bytes = DEFAULT_SEGMENT_BYTES;
    if (o->segment_bytes < LEAST_SEGMENT_BYTES)
        o->segment_bytes = LEAST_SEGMENT_BYTES;
    if (o->segment_bytes > KV_SEGMENT_BYTES_MAX)
        o->segment_bytes = KV_SEGMENT_BYTES_MAX;
}

// For the sampler of what memory is worth.
static uint64_t count_gets(void *arg)
{
    struct kv_store *store = arg;
    uint64_t gets = 0;
    for (size_t i = 0; i < KV_SHARDS; i++) {
        struct kv_shard *shard = &store->index.shards[i];
        (void)pthread_mutex_lock(&shard->lock);
        gets += shard->hits + shard->misses;
        (void)pthread_mutex_unlock(&shard->lock);
    }
    return gets;
}

// NULL: no memory. What it returns close_store() takes apart.
static struct kv_store *store_new(const char *dir, const struct kv_options *options)
{
    void *p;
    if (posix_memalign(&p, alignof(struct kv_store), sizeof(struct kv_store)) != 0)
        return NULL;
    struct kv_store *store = p;
    memset(store, 0, sizeof *store);
    store->lock_fd = -1;
    store->dir = strdup(dir);
    if (store->dir == NULL || !kv_mrc_init(&store->mrc, count_gets, store) ||
        !kv_tier_init(&store->tier, options->limit_bytes)) {
        kv_mrc_destroy(&store->mrc);
        free(store->dir);
        free(store);
        return NULL;
    }
    kv_account(store, (int64_t)kv_mrc_bytes());
    locks_init(store);
    (void)kv_log_init(store);
    kv_warm_init(&store->warm, options->latency_goal_us);
    (void)kv_erase_init(&store->erase);
    (void)kv_snapshots_init(&store->snapshots);
    kv_index_init(&store->index);
    set_options(store, options);
    return store;
}

// Who can replace its files owns what the store says: only this user (or root) may write to the folder. Root may open anybody's.
static enum kv_status check_folder(struct kv_store *store)
{
    struct stat st;
    if (stat(store->dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return KV_OK; // the next step says so
    if (geteuid() != 0 && st.st_uid != geteuid() && st.st_uid != 0)
        return kv_fail(store, KV_IO, 0, "the folder is another user's (uid %u)", (unsigned)st.st_uid);
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return kv_fail(store, KV_IO, 0, "others may write to the folder (mode %04o): chmod go-w",
                       (unsigned)(st.st_mode & 07777));
    return KV_OK;
}

// The folder, made when it may be, and the lock on it.
static enum kv_status take_folder(struct kv_store *store)
{
    char path[PATH_MAX];
    bool made = store->options.create && mkdir(store->dir, 0700) == 0;
    if (store->options.create && !made && errno != EEXIST)
        return kv_fail(store, KV_IO, errno, "cannot make the folder");
    enum kv_status status = check_folder(store);
    if (status != KV_OK)
        return status;
    (void)snprintf(path, sizeof path, "%s/MANIFEST", store->dir);
    if (access(path, F_OK) != 0) {
        if (!store->options.create) // leave no lock file where there is no store
            return errno == ENOENT ? kv_fail(store, KV_BAD_FORMAT, 0, "no store in this folder (no MANIFEST)")
                                   : kv_fail(store, KV_IO, errno, "MANIFEST");
        // A new store: the folder's name has to last as well, whoever made it and perhaps died before this.
        (void)snprintf(path, sizeof path, "%s/..", store->dir);
        int error = kv_io_sync_dir(path);
        if (error != 0 && (made || error != EACCES)) // one that was made for us may lie where we may not look
            return kv_fail(store, KV_IO, error, "fsync of the folder above");
    }
    (void)snprintf(path, sizeof path, "%s/LOCK", store->dir);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (store->lock_fd < 0)
        return kv_fail(store, KV_IO, errno, "LOCK: open");
    struct stat st;
    if (fstat(store->lock_fd, &st) != 0 || !S_ISREG(st.st_mode))
        return kv_fail(store, KV_IO, 0, "LOCK is no regular file");
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return KV_OK;
    return errno == EWOULDBLOCK ? kv_fail(store, KV_LOCKED, 0, "another process has it open")
                                : kv_fail(store, KV_IO, errno, "LOCK: lock");
}

static enum kv_status start_threads(struct kv_store *store)
{
    int error = pthread_create(&store->sweeper, NULL, kv_sweeper_main, store);
    store->sweeper_runs = error == 0;
    if (error == 0)
        error = pthread_create(&store->compactor, NULL, kv_compactor_main, store);
    store->compactor_runs = store->sweeper_runs && error == 0;
    if (error == 0)
        error = pthread_create(&store->checkpointer, NULL, kv_checkpointer_main, store);
    store->checkpointer_runs = store->compactor_runs && error == 0;
    if (error == 0 && !kv_ahead_start(store))
        error = EAGAIN;
    if (error == 0)
        error = kv_warm_open(store);
    if (error == 0)
        error = kv_populate_start(store);
    if (error == 0)
        error = kv_eraser_start(store);
    return error == 0 ? KV_OK : kv_fail(store, KV_NO_MEMORY, error, "cannot start a thread");
}

static void stop_threads(struct kv_store *store)
{
    kv_warm_close(store);
    kv_populate_stop(store);
    kv_eraser_stop(store);
    (void)pthread_mutex_lock(&store->background_lock);
    store->stopping = true;
    (void)pthread_cond_broadcast(&store->background_wake);
    (void)pthread_mutex_unlock(&store->background_lock);
    if (store->sweeper_runs)
        (void)pthread_join(store->sweeper, NULL);
    if (store->compactor_runs)
        (void)pthread_join(store->compactor, NULL);
    if (store->checkpointer_runs)
        (void)pthread_join(store->checkpointer, NULL);
}

static void close_store(struct kv_store *store)
{
    stop_threads(store);
    kv_readers_destroy(store); // pending gets need the rest
    kv_log_destroy(store);
    kv_segment_put(store->active);
    kv_segments_close(store);
    kv_erase_destroy(store);
    kv_snapshots_destroy(&store->snapshots);
    kv_tier_destroy(&store->tier);
    kv_mrc_destroy(&store->mrc);
    kv_warm_destroy(&store->warm);
    kv_index_destroy(&store->index);
    if (store->lock_fd >= 0)
        (void)close(store->lock_fd);
    locks_destroy(store);
    free(store->dir);
    explicit_bzero(store, sizeof *store);
    free(store);
}

enum kv_status kv_open(const char *dir, const struct kv_options *options, struct kv_store **result,
                       char *error, size_t error_len)
{
    *result = NULL;
    if (error != NULL && error_len > 0)
        error[0] = '\0';
    if (dir == NULL || dir[0] == '\0' || strlen(dir) > PATH_MAX - 32 || options->fsync > KV_FSYNC_NEVER ||
        options->read_mode > KV_READ_PREAD) {
        if (error != NULL)
            (void)snprintf(error, error_len, "invalid option");
        return KV_INVALID;
    }
    uint64_t began = kv_clock_ns();
    struct kv_store *store = store_new(dir, options);
    if (store == NULL) {
        if (error != NULL)
            (void)snprintf(error, error_len, "%s: out of memory", dir);
        return KV_NO_MEMORY;
    }
    enum kv_status status = take_folder(store);
    if (status == KV_OK)
        status = kv_readers_init(store);
    if (status == KV_OK)
        status = kv_manifest_load(store, options->create);
    if (status == KV_OK)
        status = kv_segments_open(store);
    if (status == KV_OK)
        status = kv_recover(store);
    if (status == KV_OK) {
        kv_reserve_init(store);
        status = start_threads(store);
    }
    if (status == KV_OK) {
        store->recovery_us = (kv_clock_ns() - began) / 1000;
        if (store->snapshot_keys > 0) // it knows what was wanted
            kv_warm_start(store, 1);
        *result = store;
        return KV_OK;
    }
    if (error != NULL)
        (void)snprintf(error, error_len, "%s: %s", dir,
                       store->error[0] != '\0' ? store->error : kv_status_text(status));
    close_store(store);
    return status;
}

// What is still to be overwritten, and the snapshot. Few values are overwritten now; many would take as long as that takes, so they are in the snapshot,
// and the next open sees to them.
static enum kv_status finish_erasures(struct kv_store *store)
{
    kv_erase_sweep(store);
    bool leave = kv_erase_is_long(store, kv_erase_pending(store));
    enum kv_status status = kv_erase_upto(store, UINT64_MAX, !leave);
    if (status == KV_OK) // the erasures that it made
        status = kv_commit_all(store);
    // Without a snapshot the next open takes longer, and that is all.
    if (status != KV_OK || kv_checkpoint(store) == KV_OK || !leave)
        return status;
    status = kv_erase_upto(store, UINT64_MAX, true);
    return status == KV_OK ? kv_commit_all(store) : status;
}

enum kv_status kv_close(struct kv_store **store)
{
    if (*store == NULL)
        return KV_OK;
    stop_threads(*store);
    (*store)->sweeper_runs = (*store)->compactor_runs = (*store)->checkpointer_runs = false;
    kv_log_close(*store);
    enum kv_status status = kv_sync(*store);
    if (status == KV_OK)
        status = finish_erasures(*store);
    // Without the sizes the next open takes the files as they are: nothing is lost by that.
    if (status == KV_OK)
        (void)kv_segments_note_sizes(*store, true);
    close_store(*store);
    *store = NULL;
    return status;
}

// ---- the rest

void kv_error_text(struct kv_store *store, char *buf, size_t len)
{
    if (len == 0)
        return;
    (void)pthread_mutex_lock(&store->error_lock);
    (void)snprintf(buf, len, "%s", store->error);
    (void)pthread_mutex_unlock(&store->error_lock);
}

enum kv_status kv_set_memory_limit(struct kv_store *store, uint64_t limit_bytes)
{
    uint64_t before = atomic_exchange(&store->tier.limit_bytes, limit_bytes);
    kv_tier_fit(store); // first: the readers that are waited for next may wait for the disk
    if (limit_bytes < before) {
        kv_warm_cancel(store);
        kv_port_trim(store);
        kv_tier_fit(store); // what they still brought in
    }
    if (limit_bytes > before)
        kv_warm_start(store, 0);
    return KV_OK;
}

void kv_set_growth(struct kv_store *store, uint64_t bytes)
{
    int64_t grow_to = KV_GROW_FREELY;
    if (bytes < (uint64_t)KV_GROW_FREELY)
        grow_to = (int64_t)bytes - (int64_t)kv_other_memory(store);
    atomic_store(&store->tier.grow_to, grow_to);
}

// What others take is not for chunks: the leave to grow is for both.
void kv_account(struct kv_store *store, int64_t bytes)
{
    atomic_fetch_sub_explicit(&store->tier.grow_to, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->accounted_bytes, bytes, memory_order_relaxed);
}

uint64_t kv_other_memory(struct kv_store *store)
{
    int64_t accounted = atomic_load_explicit(&store->accounted_bytes, memory_order_relaxed);
    return atomic_load_explicit(&store->index.bytes, memory_order_relaxed) + KV_FIXED_BYTES +
           (accounted > 0 ? (uint64_t)accounted : 0);
}

static void add_shards(struct kv_store *store, struct kv_stats *stats)
{
    for (size_t i = 0; i < KV_SHARDS; i++) {
        struct kv_shard *shard = &store->index.shards[i];
        (void)pthread_mutex_lock(&shard->lock);
        stats->hits += shard->hits;
        stats->misses += shard->misses;
        stats->miss_ns += shard->miss_ns;
        stats->not_found += shard->not_found;
        stats->cached_bytes += shard->cached_bytes;
        stats->cached_records += shard->cached_records;
        (void)pthread_mutex_unlock(&shard->lock);
    }
}

static void add_segments(struct kv_store *store, struct kv_stats *stats)
{
    struct kv_segment *segment;
    for (uint64_t id = 0; (segment = kv_segment_from(store, id)) != NULL;) {
        id = segment->id + 1;
        int64_t live = atomic_load(&segment->live_bytes);
        stats->segments++;
        stats->disk_bytes += atomic_load(&segment->size);
        stats->live_bytes += live > 0 ? (uint64_t)live : 0;
        kv_segment_put(segment);
    }
}

void kv_get_stats(struct kv_store *store, struct kv_stats *stats)
{
    *stats = (struct kv_stats){
        .keys = atomic_load(&store->index.keys),
        .keys_with_expiry = atomic_load(&store->index.expiring),
        .limit_bytes = atomic_load(&store->tier.limit_bytes),
        .index_bytes = atomic_load(&store->index.bytes) + sizeof store->index,
        .chunk_bytes = atomic_load(&store->tier.held_bytes),
        .small_bytes = atomic_load(&store->tier.queues[KV_SMALL].held_bytes),
        .main_bytes = atomic_load(&store->tier.queues[KV_MAIN].held_bytes),
        .ghosts_hit = atomic_load(&store->tier.ghosts_hit),
        .promoted = atomic_load(&store->tier.promoted),
        .readmitted = atomic_load(&store->tier.readmitted),
        .puts = atomic_load(&store->puts),
        .deletes = atomic_load(&store->deletes),
        .expired = atomic_load(&store->expired),
        .evicted = atomic_load(&store->evicted),
        .compacted_bytes = atomic_load(&store->compacted_bytes),
        .warmed_bytes = atomic_load(&store->warm.bytes),
        .warming = atomic_load(&store->warm.warming),
        .damaged_records = atomic_load(&store->damaged_records),
        .snapshot_keys = store->snapshot_keys,
        .disk_reads = atomic_load(&store->readers.reads),
        .direct_reads = atomic_load(&store->readers.direct_reads),
        .recovery_us = store->recovery_us,
        .read_only = atomic_load(&store->read_only),
    };
    stats->to_erase = kv_erase_pending(store);
    stats->memory_bytes = kv_other_memory(store) + stats->chunk_bytes;
    add_shards(store, stats);
    add_segments(store, stats);
    stats->table_bytes =
        kv_other_memory(store) + kv_all_values(store) + kv_chunk_capacity(kv_tier_budget(store));
}
