// Keys ready for use, bounded in number, by record name. Decoding a key through OpenSSL costs as much as one or two
// operations with it (110 to 350 us, and its first use as much again), so keys that come again are kept; making one
// in the engine's form costs a few hundredths of that.
//
// What a key takes of secret memory, whose blocks are powers of two (tests/unit/keyserver/test_key_memory.c measures it):
//
//   bytes                                                 2048    3072    4096
//   OpenSSL's form alone                                   928   1,824   1,824
//   the engine's form, and the DER for OpenSSL's         4,128   6,176   8,224
//   both forms, when OpenSSL's has been asked for        2,976   5,920   5,920
//
// so that the secure heap has to have room for capacity times the second line. While a key is made, its thread needs once or twice as
// much again for a moment. When the heap is full all the same, keyring.c calls keycache_shrink() and goes on.
//
// Sharded: a lookup takes one shard's mutex for a hash and a few compares. Eviction is by CLOCK within a
// shard. Coherence with the store is the caller's: every entry carries the version of the record it was read
// from, and is used only while kv_version() still says the same.
#ifndef MEC_KEYSERVER_KEYCACHE_H
#define MEC_KEYSERVER_KEYCACHE_H

#include "keyserver/key.h"

struct keycache;

// capacity: keys at most, at least 1, rounded up to a multiple of the 16 shards. NULL without memory.
struct keycache *keycache_create(size_t capacity);
void keycache_destroy(struct keycache **cache);

// A new reference, or NULL. Any thread, as the following.
struct ks_key *keycache_get(struct keycache *cache, const char *name);
// The type of a cached key, and in *bits its size, without counting as a use; 0 and 0 when it is not there.
enum keyrecord_type keycache_hint(struct keycache *cache, const char *name, unsigned *bits);
// Puts a key under its name, replacing another version, evicting when full. The cache takes a reference of
// its own.
void keycache_put(struct keycache *cache, struct ks_key *key);
void keycache_remove(struct keycache *cache, const char *name);
// Drops half of all keys: when secret memory runs out.
void keycache_shrink(struct keycache *cache);
size_t keycache_count(struct keycache *cache);

#endif
