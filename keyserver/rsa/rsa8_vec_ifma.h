// The vector layer: eight 64-bit lanes, one AVX-512 instruction a function (Intel Intrinsics Guide; the names in
// the comments are those of Intel's Software Developer's Manual, volume 2).
#ifndef MEC_KEYSERVER_RSA8_VEC_H
#define MEC_KEYSERVER_RSA8_VEC_H

#include <immintrin.h>

#include "keyserver/rsa/rsa8_internal.h"

#define RSA8_COMPUTE rsa8_compute_ifma

// Loops over the limbs of a block, and of two: unrolled, so that accumulators are registers and not an array.
#define UNROLL_BLOCK _Pragma("GCC unroll 10")
#define UNROLL_SUM   _Pragma("GCC unroll 20")

typedef __m512i vec;
typedef __mmask8 vec_mask; // a bit for each lane

static inline vec vec_load(const struct rsa8_limb *limb) // VMOVDQA64
{
    return _mm512_load_si512(limb);
}

// Hides a vector from the optimiser. (Tests that emulate the instructions have no such register and define it as nothing.)
#ifndef VEC_HIDE
#define VEC_HIDE(v) __asm__("" : "+v"(v))
#endif

// The whole line, whatever becomes of it: compilers join a load and a masked move into a masked load, and nothing promises
// that a processor touches memory for a mask of zeros.
static inline vec vec_load_whole(const struct rsa8_limb *limb) // VMOVDQA64
{
    vec v = _mm512_load_si512(limb);
    VEC_HIDE(v);
    return v;
}

static inline void vec_store(struct rsa8_limb *limb, vec v) // VMOVDQA64
{
    _mm512_store_si512(limb, v);
}

static inline vec vec_set1(uint64_t x) // VPBROADCASTQ
{
    return _mm512_set1_epi64((long long)x);
}

static inline vec vec_add(vec a, vec b) // VPADDQ
{
    return _mm512_add_epi64(a, b);
}

static inline vec vec_sub(vec a, vec b) // VPSUBQ
{
    return _mm512_sub_epi64(a, b);
}

static inline vec vec_and(vec a, vec b) // VPANDQ
{
    return _mm512_and_si512(a, b);
}

static inline vec vec_shift_limb(vec a) // VPSRLQ: by one limb, zeros come in
{
    return _mm512_srli_epi64(a, RSA8_LIMB_BITS);
}

static inline vec vec_shift_limb_signed(vec a) // VPSRAQ: by one limb, the sign comes in
{
    return _mm512_srai_epi64(a, RSA8_LIMB_BITS);
}

// Of a and b the low 52 bits count; of their product of 104 bits the low half is added to acc, 64 bits wide.
static inline vec vec_madd_lo(vec acc, vec a, vec b) // VPMADD52LUQ
{
    return _mm512_madd52lo_epu64(acc, a, b);
}

// The same with the product's upper half.
static inline vec vec_madd_hi(vec acc, vec a, vec b) // VPMADD52HUQ
{
    return _mm512_madd52hi_epu64(acc, a, b);
}

static inline vec_mask vec_equal(vec a, vec b) // VPCMPEQQ
{
    return _mm512_cmpeq_epi64_mask(a, b);
}

static inline vec vec_select(vec_mask mask, vec yes, vec no) // VMOVDQA64 with a mask
{
    return _mm512_mask_mov_epi64(no, mask, yes);
}

#endif
