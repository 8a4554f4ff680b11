// A private key ready for use, shared by reference among crypto threads and the key cache.
//
// It has one form or two. A key for the engine (rsa8.h) is made from its DER in the engine's form, in a tenth of the time that
// OpenSSL takes to decode it; the DER stays with it until OpenSSL's form is asked for, which need never happen. All other keys are in
// OpenSSL's form from the beginning.
//
// The private numbers live in OpenSSL's secure heap (common/secmem.h) in every form; the fallback secret as well. But for
// OpenSSL's form that takes the place of the DER, a key never changes after it is made; the last reference wipes it.
#ifndef MEC_KEYSERVER_KEY_H
#define MEC_KEYSERVER_KEY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <openssl/evp.h>

#include "common/keyrecord.h"
#include "keyserver/rsa/rsa8.h"
#include "keyserver/rsa_premaster.h"

struct ks_key {
    _Atomic unsigned refs;
    enum keyrecord_type type;
    unsigned bits; // of the modulus or the field
    size_t size;   // RSA: of the modulus in bytes
    // In the engine's form, in secret memory; NULL: not for this engine, or engine off.
    const struct rsa8_key *rsa8;
    uint8_t *modulus;         // RSA: big-endian, size bytes (public)
    uint8_t *fallback_secret; // RSA: RSA_FALLBACK_SECRET_LEN bytes of secret memory
    uint64_t version;         // of the store record it was read from (kv_version)
    char name[KEYRECORD_NAME_LEN + 1];

    // Of ks_key_pkey(), and nobody else's.
    EVP_PKEY *_Atomic evp;    // NULL: not made yet
    pthread_mutex_t decoding; // held while it is made
    uint8_t *der;             // what it is made from, der_len bytes of secret memory; NULL when it is made
    size_t der_len;
};

// Takes over pkey (also on failure, when it is freed and NULL returned: no memory, or no key we serve). One
// reference for the caller.
struct ks_key *ks_key_create(const char *name, uint64_t version, EVP_PKEY *pkey);
// A key from its opened record: in the engine's form if it has one, else in OpenSSL's. Clears *record in any case. KEYRECORD_OK and one
// reference in *key; else NULL there: KEYRECORD_BAD_KEY, KEYRECORD_NO_MEMORY.
enum keyrecord_status ks_key_from_record(const char *name, uint64_t version, struct keyrecord_key *record,
                                         struct ks_key **key);
struct ks_key *ks_key_ref(struct ks_key *key);
void ks_key_unref(struct ks_key **key); // NULL inside is fine

// The key as OpenSSL has it: decoded when first asked for (a cold key that meets a batch never needs it). NULL:
// OpenSSL refuses it, or no memory. The key keeps it; no reference for the caller. Any thread.
EVP_PKEY *ks_key_pkey(struct ks_key *key);
// Makes what ks_key_pkey() gives, if it is not there yet, and says why it cannot: KEYRECORD_BAD_KEY, KEYRECORD_NO_MEMORY (which passes).
// Threads that want the same key wait for the first of them.
enum keyrecord_status ks_key_decode(struct ks_key *key);

#endif
