#include "kvstore/resp/locks.h"

#include <limits.h>
#include <sys/random.h>

#include "kvstore/kv_tsan.h"

// ThreadSanitizer's deadlock detector ends the program when a thread holds more than 64 locks, as one that sees all keys does. The order here is that of the numbers.
#if KV_TSAN
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "detect_deadlocks=0";
}
#endif

bool resp_locks_init(struct resp_locks *locks)
{
    if (getrandom(&locks->seed, sizeof locks->seed, 0) != (ssize_t)sizeof locks->seed)
        return false;
    for (unsigned i = 0; i < RESP_KEY_LOCKS; i++) {
        if (pthread_mutex_init(&locks->locks[i], NULL) == 0)
            continue;
        while (i-- != 0)
            (void)pthread_mutex_destroy(&locks->locks[i]);
        return false;
    }
    return true;
}

void resp_locks_deinit(struct resp_locks *locks)
{
    for (unsigned i = 0; i < RESP_KEY_LOCKS; i++)
        (void)pthread_mutex_destroy(&locks->locks[i]);
}

void resp_lock_set_add(struct resp_lock_set *set, const struct resp_locks *locks, unsigned db,
                       const struct resp_arg *key)
{
    // FNV-1a, keyed: spreading is all that is needed, and a peer cannot aim at one lock. Whatever the database: MOVE and COPY have a key in two.
    uint64_t hash = 0xcbf29ce484222325u ^ locks->seed;
    (void)db;
    for (size_t i = 0; i < key->len; i++)
        hash = (hash ^ key->data[i]) * 0x100000001b3u;
    unsigned lock = (unsigned)(hash >> 32) % RESP_KEY_LOCKS;
    set->bits[lock / 64] |= 1ull << (lock % 64);
    if (set->keys < UINT_MAX)
        set->keys++;
}

void resp_lock_set_add_all(struct resp_lock_set *set)
{
    for (unsigned i = 0; i < RESP_KEY_LOCKS / 64; i++)
        set->bits[i] = UINT64_MAX;
    set->keys = UINT_MAX;
}

static bool is_wide(const struct resp_lock_set *set)
{
    return set->keys > 1;
}

// The least of a set from `from` on; RESP_KEY_LOCKS: none.
static unsigned next_of(const struct resp_lock_set *set, unsigned from)
{
    for (unsigned word = from / 64; word < RESP_KEY_LOCKS / 64; word++, from = word * 64) {
        uint64_t bits = set->bits[word] >> (from % 64);
        if (bits != 0)
            return from + (unsigned)__builtin_ctzll(bits);
    }
    return RESP_KEY_LOCKS;
}

static void release_below(struct resp_locks *locks, const struct resp_lock_set *set, unsigned end)
{
    for (unsigned i = next_of(set, 0); i < end; i = next_of(set, i + 1))
        (void)pthread_mutex_unlock(&locks->locks[i]);
}

bool resp_locks_take(struct resp_locks *locks, const struct resp_lock_set *set, bool changes, bool wait)
{
    if (set->keys == 0) // a read of one key, or a command without keys
        return true;
    for (unsigned i = next_of(set, 0); i < RESP_KEY_LOCKS; i = next_of(set, i + 1)) {
        if (wait) {
            (void)pthread_mutex_lock(&locks->locks[i]);
        } else if (pthread_mutex_trylock(&locks->locks[i]) != 0) {
            release_below(locks, set, i);
            return false;
        }
    }
    if (changes && is_wide(set))
        atomic_fetch_add(&locks->wide, 1);
    return true;
}

void resp_locks_release(struct resp_locks *locks, const struct resp_lock_set *set, bool changes)
{
    if (set->keys == 0)
        return;
    if (changes && is_wide(set))
        atomic_fetch_sub(&locks->wide, 1);
    release_below(locks, set, RESP_KEY_LOCKS);
}
