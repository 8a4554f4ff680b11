// A batch around its computation: lanes filled from keys and inputs, results out, nothing left behind.
#include "keyserver/rsa/rsa8_internal.h"

#include <string.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#define STACK_WIPED 16384 // more than the computation takes of the stack

size_t rsa8_scratch_size(void)
{
    return sizeof(struct rsa8_scratch);
}

const char *rsa8_status_text(enum rsa8_status status)
{
    switch (status) {
    case RSA8_OK:
        return "ok";
    case RSA8_FAULT:
        return "the result does not give the input back";
    case RSA8_REFUSED:
        return "the input is not below the modulus";
    case RSA8_NO_RANDOM:
        return "no random numbers";
    }
    return "unknown";
}

static void lane_set(struct rsa8_limb *limb, unsigned lane, const uint64_t *from, size_t limbs)
{
    for (size_t i = 0; i < limbs; i++)
        limb[i].lane[lane] = from[i];
}

static void lane_key(struct rsa8_scratch *s, unsigned lane, const struct rsa8_key *key)
{
    size_t half = key->half;
    const uint64_t *from = key->limb;
    lane_set(s->p.m, lane, from + KEY_P * half, half);
    lane_set(s->q.m, lane, from + KEY_Q * half, half);
    lane_set(s->n.m, lane, from + KEY_N * half, 2 * half);
    lane_set(s->p.r2, lane, from + KEY_R2P * half, half);
    lane_set(s->q.r2, lane, from + KEY_R2Q * half, half);
    lane_set(s->n.r2, lane, from + KEY_R2N * half, 2 * half);
    lane_set(s->dp1.limb, lane, from + KEY_DP1 * half, half);
    lane_set(s->dq1.limb, lane, from + KEY_DQ1 * half, half);
    lane_set(s->qinv.limb, lane, from + KEY_QINV * half, half);
    s->p.k0.lane[lane] = key->k0p;
    s->q.k0.lane[lane] = key->k0q;
    s->n.k0.lane[lane] = key->k0n;
    s->e.lane[lane] = key->e;
    s->e_any |= key->e;
}

// A lane without an operation computes with a key that is nobody's: p = q = 2^(bits/2) - 1, n = 2^bits - 1. It is
// within all bounds, which is all that the arithmetic asks for; what comes out is of no interest.
static void lane_idle(struct rsa8_scratch *s, unsigned lane)
{
    union {
        struct rsa8_key key;
        uint8_t bytes[RSA8_KEY_SIZE_MAX];
    } idle;
    uint8_t ones[RSA8_BITS_MAX / 8];
    struct rsa8_key *key = &idle.key;
    size_t half = s->half, bytes = s->half_bits / 8;
    memset(&idle, 0, sizeof idle);
    memset(ones, 0xff, sizeof ones);
    key->half = s->half;
    key->e = 65537; // as most keys: the loop over the bits of e is that of all lanes
    rsa8_num_from_bytes(key->limb + KEY_P * half, half, ones, bytes);
    rsa8_num_from_bytes(key->limb + KEY_Q * half, half, ones, bytes);
    rsa8_num_from_bytes(key->limb + KEY_N * half, 2 * half, ones, 2 * bytes);
    key->k0p = key->k0q = key->k0n = 1; // all three are -1 modulo 2^52
    lane_key(s, lane, key);
    for (size_t i = 0; i < 2 * half; i++)
        s->c.limb[i].lane[lane] = 0;
}

// False when the operation cannot be part of this batch: its input is not below n.
static bool lane_input(struct rsa8_scratch *s, unsigned lane, const struct rsa8_op *op)
{
    const struct rsa8_key *key = op->key;
    uint64_t c[RSA8_FULL_MAX];
    rsa8_num_from_bytes(c, 2 * key->half, op->in, key->bits / 8);
    uint64_t below = rsa8_num_less(c, key->limb + KEY_N * key->half, 2 * key->half);
    lane_set(s->c.limb, lane, c, 2 * key->half);
    OPENSSL_cleanse(c, sizeof c);
    rsa8_test_public(&below, sizeof below);
    return below != 0;
}

static void lane_get(uint64_t *to, const struct rsa8_limb *limb, unsigned lane, size_t limbs)
{
    for (size_t i = 0; i < limbs; i++)
        to[i] = limb[i].lane[lane];
}

// The result when it gives the input back, else zeros; which of them it is decides no branch. The input is read anew,
// so that a fault in the lane's copy of it is seen as well.
static void lane_result(const struct rsa8_scratch *s, unsigned lane, struct rsa8_op *op)
{
    struct {
        uint64_t c[RSA8_FULL_MAX], again[RSA8_FULL_MAX], m[RSA8_FULL_MAX];
    } v;
    size_t limbs = 2 * s->half, bytes = s->half_bits / 4;
    rsa8_num_from_bytes(v.c, limbs, op->in, bytes);
    lane_get(v.again, s->again.limb, lane, limbs);
    lane_get(v.m, s->m.limb, lane, limbs);
    uint64_t good = rsa8_num_equal(v.c, v.again, limbs);
    for (size_t i = 0; i < limbs; i++)
        v.m[i] &= good;
    rsa8_num_to_bytes(op->out, bytes, v.m, limbs);
    op->status = (enum rsa8_status)(~good & RSA8_FAULT);
    OPENSSL_cleanse(&v, sizeof v);
}

// Fills the lanes. Returns a mask of those that compute an operation; of the others the status is set.
static unsigned load(struct rsa8_scratch *s, struct rsa8_op *ops, unsigned count)
{
    unsigned used = 0;
    for (unsigned lane = 0; lane < RSA8_LANES; lane++) {
        if (lane < count && ops[lane].key->bits == ops[0].key->bits && lane_input(s, lane, &ops[lane])) {
            lane_key(s, lane, ops[lane].key);
            used |= 1u << lane;
            continue;
        }
        lane_idle(s, lane);
        if (lane < count)
            ops[lane].status = RSA8_REFUSED;
    }
    return used;
}

static bool fill_random(struct rsa8_scratch *s)
{
    return RAND_priv_bytes((unsigned char *)s->random.limb, (int)(2 * s->half * sizeof *s->random.limb)) == 1;
}

static void compute(enum rsa8_impl impl, struct rsa8_scratch *s)
{
#if defined(__x86_64__)
    if (impl == RSA8_IFMA) {
        rsa8_compute_ifma(s);
        return;
    }
#endif
    (void)impl;
    rsa8_compute_portable(s);
}

// What the computation left below this stack frame: carried columns, registers that had to be put aside.
static __attribute__((noinline)) void wipe_stack(void)
{
    uint8_t below[STACK_WIPED];
    OPENSSL_cleanse(below, sizeof below);
}

// All that a batch of this size writes; the table's end is used by larger sizes only. 160 KB after each batch of
// 2048 bits: OPENSSL_cleanse() writes eight bytes at a time, explicit_bzero() whole vectors.
static void wipe(struct rsa8_scratch *s)
{
    size_t table = (size_t)RSA8_ENTRIES * s->half * sizeof *s->table;
    explicit_bzero(s, offsetof(struct rsa8_scratch, table) + table);
    wipe_stack();
}

void rsa8_run(enum rsa8_impl impl, struct rsa8_scratch *s, struct rsa8_op *ops, unsigned count)
{
    s->half = ops[0].key->half;
    s->half_bits = ops[0].key->bits / 2;
    s->e_any = 0;
    s->p.blocks = s->q.blocks = s->half / RSA8_BLOCK;
    s->n.blocks = 2 * s->p.blocks;
    unsigned used = load(s, ops, count);
    bool random = fill_random(s);
    if (random)
        compute(impl, s);
    for (unsigned lane = 0; lane < count; lane++) {
        if (random && used >> lane & 1) {
            lane_result(s, lane, &ops[lane]);
            continue;
        }
        memset(ops[lane].out, 0, ops[lane].key->bits / 8);
        if (!random)
            ops[lane].status = RSA8_NO_RANDOM;
    }
    wipe(s);
}
