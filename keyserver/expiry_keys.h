// When the certificates of stored keys expire: how many on which day.
//
// A thread of its own reads through the store, front to back (kv_export), at EXPIRY_KEYS_RATE at most, so that look-ups
// do not wait for the disk; it counts as no look-up and leaves the memory tier alone. It does so at the start, once a day,
// and after changes of keys, but for 1/20 of the time at most and not within ten seconds. A million RSA-4096 keys take two
// and a half minutes. Days are of UTC: a key counts from the beginning of its last day.
//
// A key with several certificates (renewed with the same key) expires with the last of them; one without is not counted
// with those that expire, nor are records of the Java form, which name no certificate.
#ifndef MEC_KEYSERVER_EXPIRY_KEYS_H
#define MEC_KEYSERVER_EXPIRY_KEYS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/report.h"
#include "kvstore/kv.h"

#define EXPIRY_KEYS_DAYS    400                 // looked ahead
#define EXPIRY_KEYS_RATE    (16u * 1024 * 1024) // bytes a second
#define EXPIRY_KEYS_SOONEST 8
#define EXPIRY_KEYS_SHORT   8 // characters of a key's name

struct expiry_keys_count {
    bool known;        // the store has been read once
    uint64_t unix_s;   // when the last reading ended
    uint64_t took_us;  // that
    uint64_t keys;     // records of keys
    uint64_t no_cert;  // of these, without a certificate
    uint64_t damaged;  // of these, not to be read
    int64_t first_day; // days since 1970: day[0]
    uint64_t before;   // expire before that
    uint64_t day[EXPIRY_KEYS_DAYS];
    unsigned soonest_count; // those that have not expired
    struct expiry_keys_soonest {
        char name[EXPIRY_KEYS_SHORT + 1];
        int64_t not_after;
    } soonest[EXPIRY_KEYS_SOONEST]; // soonest first
};

// Counts one record. now_s: the time that `count` is of. What is no key is passed over.
void expiry_keys_add(struct expiry_keys_count *count, int64_t now_s, const void *name, size_t name_len,
                     const void *value, size_t len);
// Begins a count anew.
void expiry_keys_begin(struct expiry_keys_count *count, int64_t now_s);
// How many have expired by the end of that many days from now on; days 0: until now.
uint64_t expiry_keys_within(const struct expiry_keys_count *count, int64_t now_s, unsigned days);

struct expiry_keys;

// Starts the thread. changes: counts the changes of keys, read by the thread; NULL: nobody does. NULL and *e set on failure.
struct expiry_keys *expiry_keys_start(struct kv_store *store, uint64_t (*changes)(void *), void *arg,
                                      struct error *e);
void expiry_keys_stop(struct expiry_keys **keys); // waits for the thread; NULL inside is fine

// The last whole count. Any thread.
void expiry_keys_get(const struct expiry_keys *keys, struct expiry_keys_count *count);

#endif
