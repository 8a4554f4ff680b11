#include "keyserver/expiry_keys.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/keyrecord.h"
#include "common/log.h"
#include "common/thread_signals.h"

#define DAY_S        86400
#define PIECE        (1u << 20) // bytes between two looks at the pace
#define RECORD_EXTRA 64         // bytes of a record besides its key and value
#define PAUSE_NS     10000000000u
#define PAUSE_FACTOR 19 // times what a reading took
#define EVERY_NS     (24 * 3600 * 1000000000ull)

// ---- counting

static int64_t day_of(int64_t unix_s)
{
    return unix_s >= 0 ? unix_s / DAY_S : -1;
}

void expiry_keys_begin(struct expiry_keys_count *count, int64_t now_s)
{
    memset(count, 0, sizeof *count);
    count->first_day = day_of(now_s);
}

static void note_soonest(struct expiry_keys_count *count, const char *name, int64_t not_after)
{
    struct expiry_keys_soonest *s = count->soonest;
    unsigned at = count->soonest_count;
    if (at == EXPIRY_KEYS_SOONEST && not_after >= s[at - 1].not_after)
        return;
    if (at < EXPIRY_KEYS_SOONEST)
        count->soonest_count++;
    else
        at--;
    for (; at > 0 && s[at - 1].not_after > not_after; at--)
        s[at] = s[at - 1];
    memcpy(s[at].name, name, EXPIRY_KEYS_SHORT);
    s[at].name[EXPIRY_KEYS_SHORT] = '\0';
    s[at].not_after = not_after;
}

void expiry_keys_add(struct expiry_keys_count *count, int64_t now_s, const void *name, size_t name_len,
                     const void *value, size_t len)
{
    char normal[KEYRECORD_NAME_LEN + 1], alias_of[KEYRECORD_NAME_LEN + 1];
    uint64_t last;
    if ((name_len != KEYRECORD_NAME_LEN && name_len != KEYRECORD_ALIAS_LEN) ||
        !keyrecord_normalise(name, name_len, normal) ||
        keyrecord_decode_alias(value, len, alias_of) == KEYRECORD_IS_ALIAS)
        return;
    count->keys++;
    if (keyrecord_last_not_after(value, len, &last) != KEYRECORD_OK) {
        count->damaged++;
    } else if (last == 0) {
        count->no_cert++;
    } else {
        int64_t not_after = last < INT64_MAX ? (int64_t)last : INT64_MAX, day = day_of(not_after);
        if (day < count->first_day)
            count->before++;
        else if (day - count->first_day < EXPIRY_KEYS_DAYS)
            count->day[day - count->first_day]++;
        if (not_after > now_s)
            note_soonest(count, normal, not_after);
    }
}

uint64_t expiry_keys_within(const struct expiry_keys_count *count, int64_t now_s, unsigned days)
{
    int64_t end = day_of(now_s) - count->first_day + days; // days 0: yesterday is the last that has passed
    uint64_t total = count->before;
    for (int64_t d = 0; d < end + (days > 0 ? 1 : 0) && d < EXPIRY_KEYS_DAYS; d++)
        total += count->day[d];
    return total;
}

// ---- the thread

struct expiry_keys {
    struct kv_store *store;
    uint64_t (*changes)(void *);
    void *arg;
    pthread_t thread;

    struct shared { // with those who ask
        pthread_mutex_t lock;
        pthread_cond_t wake;
        bool stop;
        struct expiry_keys_count last;
    } * shared;

    // The thread's own.
    struct expiry_keys_count next;
    uint64_t began_ns, read_bytes, looked_bytes;
    int64_t now_s;
};

// Until a time, or until the thread is to end; true: it is.
static bool wait_until(struct shared *shared, uint64_t until_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u),
                                   .tv_nsec = (long)(until_ns % 1000000000u)};
    int rc = 0;
    (void)pthread_mutex_lock(&shared->lock);
    while (!shared->stop && rc == 0)
        rc = pthread_cond_timedwait(&shared->wake, &shared->lock, &until);
    bool stop = shared->stop;
    (void)pthread_mutex_unlock(&shared->lock);
    return stop;
}

// Called for each record: waits as the rate asks.
static bool on_record(void *arg, const void *name, size_t name_len, const void *value, size_t len,
                      uint64_t expire_ms)
{
    struct expiry_keys *keys = arg;
    (void)expire_ms;
    expiry_keys_add(&keys->next, keys->now_s, name, name_len, value, len);
    keys->read_bytes += name_len + len + RECORD_EXTRA;
    if (keys->read_bytes - keys->looked_bytes < PIECE)
        return true;
    keys->looked_bytes = keys->read_bytes;
    uint64_t due_ns = keys->read_bytes / (EXPIRY_KEYS_RATE / 1024) * (1000000000u / 1024);
    return !wait_until(keys->shared, keys->began_ns + due_ns);
}

// Reads the store once; false: the thread is to end. Without an answer next.known stays false.
static bool read_store(struct expiry_keys *keys)
{
    struct shared *shared = keys->shared;
    keys->began_ns = clock_ns();
    keys->now_s = (int64_t)(clock_unix_ms() / 1000);
    keys->read_bytes = keys->looked_bytes = 0;
    expiry_keys_begin(&keys->next, keys->now_s);
    enum kv_status status = kv_export(keys->store, on_record, keys);
    if (status != KV_OK && status != KV_CORRUPT) {
        log_warn("keys_expiry_unknown", "reason=\"%s\" note=\"tried again\"", kv_status_text(status));
        return true;
    }
    keys->next.known = true;
    keys->next.unix_s = clock_unix_ms() / 1000;
    keys->next.took_us = (clock_ns() - keys->began_ns) / 1000;
    (void)pthread_mutex_lock(&shared->lock);
    bool stop = shared->stop;
    if (!stop)
        shared->last = keys->next;
    (void)pthread_mutex_unlock(&shared->lock);
    return !stop;
}

static uint64_t changes_now(const struct expiry_keys *keys)
{
    return keys->changes != NULL ? keys->changes(keys->arg) : 0;
}

static void *expiry_thread(void *arg)
{
    struct expiry_keys *keys = arg;
    for (;;) {
        uint64_t seen = changes_now(keys);
        if (!read_store(keys))
            return NULL;
        uint64_t now = clock_ns(), took = now - keys->began_ns, pause = PAUSE_FACTOR * took;
        uint64_t earliest = now + (pause > PAUSE_NS ? pause : PAUSE_NS);
        do
            if (wait_until(keys->shared, clock_ns() + PAUSE_NS))
                return NULL;
        while (clock_ns() < earliest ||
               (keys->next.known && changes_now(keys) == seen && clock_ns() - keys->began_ns < EVERY_NS));
    }
}

static struct shared *shared_create(void)
{
    struct shared *shared = calloc(1, sizeof *shared);
    pthread_condattr_t monotonic;
    if (shared == NULL)
        return NULL;
    (void)pthread_mutex_init(&shared->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&shared->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    return shared;
}

static void release(struct expiry_keys *keys)
{
    if (keys != NULL && keys->shared != NULL) {
        (void)pthread_cond_destroy(&keys->shared->wake);
        (void)pthread_mutex_destroy(&keys->shared->lock);
        free(keys->shared);
    }
    free(keys);
}

struct expiry_keys *expiry_keys_start(struct kv_store *store, uint64_t (*changes)(void *), void *arg,
                                      struct error *e)
{
    struct expiry_keys *keys = calloc(1, sizeof *keys);
    int rc = ENOMEM;
    if (keys != NULL && (keys->shared = shared_create()) != NULL) {
        sigset_t before;
        keys->store = store;
        keys->changes = changes;
        keys->arg = arg;
        thread_signals_block(&before);
        rc = pthread_create(&keys->thread, NULL, expiry_thread, keys);
        thread_signals_restore(&before);
    }
    if (rc == 0) {
        (void)pthread_setname_np(keys->thread, "ks-expiry");
        return keys;
    }
    error_set(e, "expiry of keys: %s", strerror(rc));
    release(keys);
    return NULL;
}

void expiry_keys_stop(struct expiry_keys **keys_ptr)
{
    struct expiry_keys *keys = *keys_ptr;
    if (keys == NULL)
        return;
    (void)pthread_mutex_lock(&keys->shared->lock);
    keys->shared->stop = true;
    (void)pthread_cond_signal(&keys->shared->wake);
    (void)pthread_mutex_unlock(&keys->shared->lock);
    (void)pthread_join(keys->thread, NULL);
    release(keys);
    *keys_ptr = NULL;
}

void expiry_keys_get(const struct expiry_keys *keys, struct expiry_keys_count *count)
{
    (void)pthread_mutex_lock(&keys->shared->lock);
    *count = keys->shared->last;
    (void)pthread_mutex_unlock(&keys->shared->lock);
}
