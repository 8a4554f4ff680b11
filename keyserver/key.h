// A decoded private key, shared by reference among crypto threads and the key cache.
//
// The private numbers live in OpenSSL's secure heap (common/secmem.h); the fallback secret as well. A key
// never changes after it is made; the last reference wipes it.
#ifndef MEC_KEYSERVER_KEY_H
#define MEC_KEYSERVER_KEY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <openssl/evp.h>

#include "common/keyrecord.h"
#include "keyserver/rsa_premaster.h"

struct ks_key {
    _Atomic unsigned refs;
    enum keyrecord_type type;
    unsigned bits; // of the modulus or the field
    size_t size;   // RSA: of the modulus in bytes
    EVP_PKEY *pkey;
    uint8_t *modulus;         // RSA: big-endian, size bytes (public)
    uint8_t *fallback_secret; // RSA: RSA_FALLBACK_SECRET_LEN bytes of secret memory
    uint64_t version;         // of the store record it was read from (kv_version)
    char name[KEYRECORD_NAME_LEN + 1];
};

// Takes over pkey (also on failure, when it is freed and NULL returned: no memory, or no key we serve). One
// reference for the caller.
struct ks_key *ks_key_create(const char *name, uint64_t version, EVP_PKEY *pkey);
struct ks_key *ks_key_ref(struct ks_key *key);
void ks_key_unref(struct ks_key **key); // NULL inside is fine

#endif
