// Eight RSA private operations at once, one per 64-bit lane of a vector, with keys of different owners in one
// batch: RSA-2048, 3072 and 4096 with two primes of equal length. DESIGN.md: the mathematics, bounds, sources.
//
// Every operation is blinded with a number of its own, computed in constant time, and checked against the
// public exponent before its result leaves. A lane that fails the check gives zeros and RSA8_FAULT; the caller
// computes it again by OpenSSL, counts and alarms.
#ifndef MEC_KEYSERVER_RSA8_H
#define MEC_KEYSERVER_RSA8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keyserver/rsa/rsa_der.h"

#define RSA8_LANES    8
#define RSA8_BITS_MAX 4096
#define RSA8_ALIGN    64 // of a scratch, in bytes

// How a batch is computed. Both are the same arithmetic over another vector.
enum rsa8_impl {
    RSA8_PORTABLE, // plain C: the measure of the other; slower than OpenSSL
    RSA8_IFMA,     // AVX-512 with the 52-bit multiply-add
    RSA8_IMPLS,
};

// Whether this processor and this system can run it. Any thread.
bool rsa8_available(enum rsa8_impl impl);
const char *rsa8_impl_name(enum rsa8_impl impl);

// A key in the engine's form: flat, without pointers, never changed by an operation. The caller owns its
// memory, which has to be locked, and wipes it when done. Alignment: that of uint64_t.
struct rsa8_key;

// Bytes of a key: 1,808 for 2048 bits, 2,688 for 3072, 3,568 for 4096; 0 for other sizes.
size_t rsa8_key_size(unsigned bits);
#define RSA8_KEY_SIZE_MAX 3568

// Bits of the modulus when the engine has that size, else 0 (the caller uses OpenSSL).
unsigned rsa8_key_bits(const struct rsa_der *der);

// Makes a key of rsa8_key_size(rsa8_key_bits(der)) bytes; a few ten microseconds at 4096 bits, in constant
// time. NULL: good. Otherwise why the key is not for this engine, a static text, and nothing of the key stays
// in *key: another size; primes of unequal length; e even, below 3 or beyond 32 bits; n not p q; qinv not the
// inverse of q; dp, dq not below the primes or not inverses of e. Whether p and q are primes is not seen here:
// if one is not, the results fail the check. Any thread.
const char *rsa8_key_make(struct rsa8_key *key, const struct rsa_der *der);

// Bits of a key's modulus.
unsigned rsa8_bits(const struct rsa8_key *key);

enum rsa8_status {
    RSA8_OK,
    RSA8_FAULT, // the result does not give the input back: a fault in the machine, or a key whose p or q is no prime
    RSA8_REFUSED,   // the input is not below the modulus, or the key's size is not that of the batch's first
    RSA8_NO_RANDOM, // no random numbers for the blinding; no operation of the batch was computed
};
const char *rsa8_status_text(enum rsa8_status status);

struct rsa8_op {
    const struct rsa8_key *key; // may be the same in several operations, batches and threads
    const uint8_t *in;          // big-endian, as long as the modulus
    uint8_t *out; // as long; zeros unless RSA8_OK; may be this operation's `in`, but overlaps no other's
    enum rsa8_status status; // set by rsa8_run()
};

// What a batch works in: secrets, so the caller gives locked memory of rsa8_scratch_size() bytes, aligned to
// RSA8_ALIGN, one for each thread that computes. It need not be initialised and is wiped after each batch.
struct rsa8_scratch;
size_t rsa8_scratch_size(void);

// out = in^d mod n for ops[0] to ops[count - 1], count 1 to 8, all of one size. A batch costs the same with
// one operation as with eight. `impl` has to be available. Any thread, with a scratch of its own.
void rsa8_run(enum rsa8_impl impl, struct rsa8_scratch *scratch, struct rsa8_op *ops, unsigned count);

#endif
