// The key operation itself: a checked request and its key in, output bytes out. Runs on crypto threads; knows
// no store, no sockets.
//
// RSA always goes through one raw private-key operation on a block that we encoded (signing) or that we take
// apart in constant time (decryption): no peer's bytes come back raw. Its three parts - a block, the raw
// operation, the answer - can be had one by one, so that the raw operations of several requests can be computed
// together (rsa/rsa8.h).
#ifndef MEC_KEYSERVER_KEYOP_RUN_H
#define MEC_KEYSERVER_KEYOP_RUN_H

#include "keyserver/key.h"
#include "keyserver/ski.h"

// Computes the answer. SKI_OK: *output_len bytes in output (48 for RSA; secret, the caller wipes).
// SKI_MALFORMED: the request does not fit the key: a ciphertext of another length than the modulus, RSA asked
// of an EC key, a scheme of another key type. SKI_UNSPECIFIED: OpenSSL failed. For method RSA, status,
// output_len and time do not depend on what the ciphertext decrypts to. Any thread; the key is only read.
enum ski_status keyop_run(const struct ski_request *request, struct ks_key *key,
                          uint8_t output[static SKI_OUTPUT_MAX], size_t *output_len);

// An RSA operation between its parts; numbers are as long as the modulus.
struct keyop_rsa {
    uint8_t in[SKI_INPUT_MAX];  // what to raise to d: no secret
    uint8_t out[SKI_INPUT_MAX]; // the result; of a decryption it is secret
    uint32_t must_fail;         // all ones: the ciphertext was out of range, whatever comes out
};

// First part: fills rsa->in with a number below the modulus. SKI_OK, or how the request ends (as keyop_run()). The key
// is an RSA key, or the method RSA.
enum ski_status keyop_rsa_prepare(const struct ski_request *request, const struct ks_key *key,
                                  struct keyop_rsa *rsa);

// Second part by OpenSSL: out = in^d mod n, blinded, and checked against the public exponent. False: OpenSSL failed.
bool keyop_rsa_raw(struct ks_key *key, const uint8_t *in, uint8_t *out);

// Third part, from rsa->out as the second left it; `good`: whether it did. Wipes rsa->out if it is secret. Output and
// errors as of keyop_run().
enum ski_status keyop_rsa_finish(const struct ski_request *request, const struct ks_key *key,
                                 struct keyop_rsa *rsa, bool good, uint8_t output[static SKI_OUTPUT_MAX],
                                 size_t *output_len);

#endif
