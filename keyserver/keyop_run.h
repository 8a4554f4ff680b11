// The key operation itself: a checked request and its key in, output bytes out. Runs on crypto threads; knows
// no store, no sockets.
//
// RSA always goes through one raw private-key operation on a block that we encoded (signing) or that we take
// apart in constant time (decryption): no peer's bytes come back raw.
#ifndef MEC_KEYSERVER_KEYOP_RUN_H
#define MEC_KEYSERVER_KEYOP_RUN_H

#include "keyserver/key.h"
#include "keyserver/ski.h"

// Computes the answer. SKI_OK: *output_len bytes in output (48 for RSA; secret, the caller wipes).
// SKI_MALFORMED: the request does not fit the key: a ciphertext of another length than the modulus, RSA asked
// of an EC key, a scheme of another key type. SKI_UNSPECIFIED: OpenSSL failed. For method RSA, status,
// output_len and time do not depend on what the ciphertext decrypts to. Any thread; the key is only read.
enum ski_status keyop_run(const struct ski_request *request, const struct ks_key *key,
                          uint8_t output[static SKI_OUTPUT_MAX], size_t *output_len);

#endif
