// Where keys come from: the store, through the cache of decoded keys.
//
//   spki of a request ──▶ cache hit and kv_version() unchanged ──▶ key
//                    └──▶ store record (an alias leads to one) ──▶ unseal, decode, check ──▶ cache ──▶ key
//
// A key that is deleted, replaced or expired in the store stops being served at once: every use compares
// versions in memory.
#ifndef MEC_KEYSERVER_KEYRING_H
#define MEC_KEYSERVER_KEYRING_H

#include "common/histogram.h"
#include "common/metrics.h"
#include "common/seal.h"
#include "keyserver/access.h"
#include "keyserver/keycache.h"
#include "keyserver/ski.h"
#include "kvstore/kv.h"

struct keyring {
    struct kv_store *store;        // borrowed
    const struct seal_key *master; // borrowed; NULL: only plain records are read
    struct keycache *cache;        // borrowed
    bool engine_form;              // keys for the engine get ks_key.rsa8; off: OpenSSL's form is all
    struct histogram *lookup;      // may be NULL: time to find and decode, ns
    struct metric_counter *cache_hits, *cache_misses; // may be NULL
};

// Finds a key by a normalised spki (keyrecord_normalise()). SKI_OK and a reference in *key; SKI_NOT_FOUND;
// SKI_STORE_DOWN (the store could not be read); SKI_UNSPECIFIED (the record does not open: logged with the
// reason and the short name). May block on the disk: crypto threads only.
enum ski_status keyring_find(const struct keyring *ring, const char *spki, struct ks_key **key);

// Asked when the record is found, before it is unsealed; false: it may not be used.
struct keyring_gate {
    bool (*admit)(void *arg, const struct access_key *key);
    void *arg;
};
// keyring_find() of a key that the gate must admit first, else SKI_DENIED. It is not asked when there is no record, or
// when it cannot be read.
enum ski_status keyring_find_admitted(const struct keyring *ring, const struct keyring_gate *gate,
                                      const char *spki, struct ks_key **key);

// ks_key_pkey() of a key that keyring_find() gave, making room as that does when secret memory is full; NULL: refused or still no memory
// (logged). To be called before OpenSSL is to use a key; keyop_run() then finds it made.
EVP_PKEY *keyring_pkey(const struct keyring *ring, struct ks_key *key);

// The kind and size of a key if it is in the cache, else 0 and 0: to choose a queue. Never blocks.
enum keyrecord_type keyring_hint(const struct keyring *ring, const char *spki, unsigned *bits);

#endif
