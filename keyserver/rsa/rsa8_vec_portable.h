// The vector layer in plain C, see rsa8_vec_ifma.h. A mask is a vector of all ones and zeros.
#ifndef MEC_KEYSERVER_RSA8_VEC_H
#define MEC_KEYSERVER_RSA8_VEC_H

#include "keyserver/rsa/rsa8_internal.h"

#define RSA8_COMPUTE rsa8_compute_portable

// There are not registers enough to gain from unrolling.
#define UNROLL_BLOCK
#define UNROLL_SUM

__extension__ typedef unsigned __int128 vec_u128;

typedef struct {
    uint64_t lane[RSA8_LANES];
} vec;
typedef vec vec_mask;

#define VEC_LANES for (int l = 0; l < RSA8_LANES; l++)

static inline vec vec_load(const struct rsa8_limb *limb)
{
    vec r;
    VEC_LANES
    {
        r.lane[l] = limb->lane[l];
    }
    return r;
}

static inline vec vec_load_whole(const struct rsa8_limb *limb)
{
    return vec_load(limb);
}

static inline void vec_store(struct rsa8_limb *limb, vec v)
{
    VEC_LANES
    {
        limb->lane[l] = v.lane[l];
    }
}

static inline vec vec_set1(uint64_t x)
{
    vec r;
    VEC_LANES
    {
        r.lane[l] = x;
    }
    return r;
}

static inline vec vec_add(vec a, vec b)
{
    VEC_LANES
    {
        a.lane[l] += b.lane[l];
    }
    return a;
}

static inline vec vec_sub(vec a, vec b)
{
    VEC_LANES
    {
        a.lane[l] -= b.lane[l];
    }
    return a;
}

static inline vec vec_and(vec a, vec b)
{
    VEC_LANES
    {
        a.lane[l] &= b.lane[l];
    }
    return a;
}

static inline vec vec_shift_limb(vec a)
{
    VEC_LANES
    {
        a.lane[l] >>= RSA8_LIMB_BITS;
    }
    return a;
}

static inline vec vec_shift_limb_signed(vec a)
{
    VEC_LANES
    {
        a.lane[l] = (uint64_t)((int64_t)a.lane[l] >> RSA8_LIMB_BITS);
    }
    return a;
}

static inline vec vec_madd_lo(vec acc, vec a, vec b)
{
    VEC_LANES
    {
        acc.lane[l] += (a.lane[l] & RSA8_LIMB_MASK) * (b.lane[l] & RSA8_LIMB_MASK) & RSA8_LIMB_MASK;
    }
    return acc;
}

static inline vec vec_madd_hi(vec acc, vec a, vec b)
{
    // a shifted to the top, so that the upper half of the product begins at its bit 52
    VEC_LANES
    {
        acc.lane[l] +=
            (uint64_t)((vec_u128)(a.lane[l] << (64 - RSA8_LIMB_BITS)) * (b.lane[l] & RSA8_LIMB_MASK) >> 64);
    }
    return acc;
}

static inline vec_mask vec_equal(vec a, vec b)
{
    VEC_LANES
    {
        a.lane[l] = rsa8_mask_zero(a.lane[l] ^ b.lane[l]);
    }
    return a;
}

static inline vec vec_select(vec_mask mask, vec yes, vec no)
{
    VEC_LANES
    {
        no.lane[l] = (yes.lane[l] & mask.lane[l]) | (no.lane[l] & ~mask.lane[l]);
    }
    return no;
}

#endif
