// What the parts of the engine share: a key's limbs, a batch's working memory, steps that tests look into.
//
//   rsa8.c            lanes in and out, one implementation or the other
//   rsa8_key.c        struct rsa8_key from a DER key           rsa8_num.c   its arithmetic, one number at a time
//   rsa8_portable.c   the batch over rsa8_vec_portable.h       rsa8_ifma.c  the batch over rsa8_vec_ifma.h
//   rsa8_batch.h      the operation, rsa8_exp.h powers, rsa8_kernel.h products, rsa8_table.h look-ups: in both
#ifndef MEC_KEYSERVER_RSA8_INTERNAL_H
#define MEC_KEYSERVER_RSA8_INTERNAL_H

#include "keyserver/rsa/rsa8.h"
#include "keyserver/rsa/rsa8_num.h"

#define RSA8_BLOCK    10 // limbs of a block: what the multiply kernels keep in registers
#define RSA8_HALF_MAX 40 // limbs of a prime
#define RSA8_FULL_MAX RSA8_NUM_MAX
#define RSA8_WINDOW   5 // bits of the exponent a multiplication
#define RSA8_ENTRIES  (1 << RSA8_WINDOW)

// The numbers of a key of N limbs a prime, one after the other in rsa8_key.limb: where each begins, in N.
enum {
    KEY_P,
    KEY_Q,
    KEY_DP1,             // dp - 1
    KEY_DQ1,             // dq - 1
    KEY_QINV,            // 2^(52 N) / q mod p: Montgomery's form of qinv
    KEY_R2P,             // 2^(104 N) mod p
    KEY_R2Q,             // 2^(104 N) mod q
    KEY_N,               // 2 N limbs
    KEY_R2N = KEY_N + 2, // 2^(208 N) mod n, 2 N limbs
    KEY_END = KEY_R2N + 2,
};

struct rsa8_key {
    uint32_t bits; // of the modulus
    uint32_t half; // N
    uint64_t e;
    uint64_t k0p, k0q, k0n; // -1/p, -1/q, -1/n mod 2^52
    uint64_t reserved;      // so that the header takes 48 bytes
    uint64_t limb[];
};

// One limb of eight numbers.
struct rsa8_limb {
    _Alignas(RSA8_ALIGN) uint64_t lane[RSA8_LANES];
};

// What products modulo eight moduli need.
struct rsa8_field {
    unsigned blocks; // of RSA8_BLOCK limbs
    struct rsa8_limb m[RSA8_FULL_MAX];
    struct rsa8_limb r2[RSA8_FULL_MAX];  // R^2 mod m, R = 2^(52 limbs)
    struct rsa8_limb one[RSA8_FULL_MAX]; // R mod m or that plus m: 1 in Montgomery's form
    struct rsa8_limb k0;
};

// A number of eight lanes, as wide as a modulus.
struct rsa8_wide {
    struct rsa8_limb limb[RSA8_FULL_MAX];
};

struct rsa8_scratch {
    unsigned half, half_bits; // limbs and bits of the primes of this batch
    uint64_t e_any;           // all lanes' e, or-ed
    struct rsa8_limb e;
    struct rsa8_field p, q, n;
    struct rsa8_wide dp1, dq1, qinv; // exponents; 1/q mod p in Montgomery's form
    struct rsa8_wide c;              // in: the inputs, below n
    struct rsa8_wide random;         // in: any limbs below 2^52
    struct rsa8_wide m;              // out: the results
    struct rsa8_wide again;          // out: the results to the public exponent: the inputs, if all went well
    struct rsa8_wide r, unblind, x, sp, sq, t, u, quotient, unit;
    // The powers 0 to 31 of the base, `half` limbs each; last, since only what is used of it is wiped.
    struct rsa8_limb table[RSA8_ENTRIES * RSA8_HALF_MAX];
};

// From in to out; the lanes are independent of each other. What comes out is to be compared before it is used.
void rsa8_compute_portable(struct rsa8_scratch *s);
void rsa8_compute_ifma(struct rsa8_scratch *s);

// Places in the computation where tests spoil a value to see that no wrong result leaves, or tell valgrind
// what is secret. Compiled in only for them.
enum rsa8_step {
    RSA8_STEP_LOADED,     // lanes filled
    RSA8_STEP_BLINDED,    // x is set
    RSA8_STEP_TABLE,      // a table is built
    RSA8_STEP_WINDOW,     // a window of a secret exponent is done
    RSA8_STEP_POWERS,     // sp, sq are set
    RSA8_STEP_RECOMBINED, // t is set
    RSA8_STEP_RESULT,     // m is set, not yet checked
    RSA8_STEP_AGAIN,      // again is set
    RSA8_STEPS,
};
#ifdef RSA8_TEST_STEPS
void rsa8_test_step(enum rsa8_step step, struct rsa8_scratch *s);
// Accumulators in the middle of a product.
void rsa8_test_registers(void *vectors, size_t len);
// What from here on is allowed to decide branches.
void rsa8_test_public(void *p, size_t len);
#else
static inline void rsa8_test_step(enum rsa8_step step, struct rsa8_scratch *s)
{
    (void)step;
    (void)s;
}
static inline void rsa8_test_registers(void *vectors, size_t len)
{
    (void)vectors;
    (void)len;
}
static inline void rsa8_test_public(void *p, size_t len)
{
    (void)p;
    (void)len;
}
#endif

#endif
