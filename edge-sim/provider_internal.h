// Between the files of the provider: its context, its keys, and the way to the key server.
#ifndef MEC_EDGE_SIM_PROVIDER_INTERNAL_H
#define MEC_EDGE_SIM_PROVIDER_INTERNAL_H

#include <stdatomic.h>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>

#include "edge-sim/ski_transport.h"

#define SKI_PROVIDER_NAME "ski"
// A parameter of our own for fromdata: the fingerprint, which makes a key one of the key server.
#define SKI_PARAM_SPKI "ski-spki"

// OpenSSL's `provctx`. `own` is a library context with the default provider alone: public keys live and
// signatures are checked there, whatever the application does to its context.
struct provider_ctx {
    const OSSL_CORE_HANDLE *core;
    OSSL_LIB_CTX *own;
    struct ski_transport *transport;
    unsigned timeout_ms;
};

// OpenSSL's `keydata`. Immutable once imported; the count is of references by signature and cipher contexts.
struct provider_key {
    struct provider_ctx *provider;
    _Atomic unsigned refs;
    const char *type; // "RSA" or "EC"
    EVP_PKEY *pub;    // of the default provider
    bool remote;      // the key server has the private half; false: a public key imported for comparison
    char spki[SKI_SPKI_TEXT]; // "" unless remote
};

struct provider_key *provider_key_ref(struct provider_key *key);
void provider_key_unref(struct provider_key *key);

// Asks the key server and waits: in an ASYNC job by pausing it, else by blocking. request->spki is filled in
// here. The output goes to out (cap bytes, wiped unless SKI_OK).
enum ski_status provider_ask(struct provider_key *key, struct ski_request *request, uint8_t *out, size_t cap,
                             size_t *out_len);

extern const OSSL_DISPATCH ski_rsa_keymgmt[];
extern const OSSL_DISPATCH ski_ec_keymgmt[];
extern const OSSL_DISPATCH ski_rsa_signature[];
extern const OSSL_DISPATCH ski_ecdsa_signature[];
extern const OSSL_DISPATCH ski_rsa_cipher[];

#endif
