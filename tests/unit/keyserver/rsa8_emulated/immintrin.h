// The AVX-512 intrinsics that the RSA engine uses, as the pseudocode of Intel's Intrinsics Guide says, one lane after the
// other: so that its vector code is tested on machines whose processors have none of it. Found before the compiler's own header.
#ifndef MEC_TESTS_RSA8_EMULATED_IMMINTRIN_H
#define MEC_TESTS_RSA8_EMULATED_IMMINTRIN_H

#include <stdint.h>
#include <string.h>

__extension__ typedef unsigned __int128 emulated_u128;

typedef struct {
    uint64_t q[8];
} __m512i;
typedef uint8_t __mmask8;

#define VEC_HIDE(v) ((void)(v)) // there is no register to hide it in

#define EMULATED                                                                                             \
    static __attribute__((noinline, unused)) // thousands of calls: their copies would take minutes to compile
#define EMULATED_LOOP for (int i = 0; i < 8; i++)
#define EMULATED_52   ((UINT64_C(1) << 52) - 1)

EMULATED __m512i _mm512_load_si512(const void *from)
{
    __m512i r;
    memcpy(&r, __builtin_assume_aligned(from, 64), sizeof r);
    return r;
}

EMULATED void _mm512_store_si512(void *to, __m512i a)
{
    memcpy(__builtin_assume_aligned(to, 64), &a, sizeof a);
}

EMULATED __m512i _mm512_set1_epi64(long long a)
{
    __m512i r;
    EMULATED_LOOP r.q[i] = (uint64_t)a;
    return r;
}

EMULATED __m512i _mm512_add_epi64(__m512i a, __m512i b)
{
    EMULATED_LOOP a.q[i] += b.q[i];
    return a;
}

EMULATED __m512i _mm512_sub_epi64(__m512i a, __m512i b)
{
    EMULATED_LOOP a.q[i] -= b.q[i];
    return a;
}

EMULATED __m512i _mm512_and_si512(__m512i a, __m512i b)
{
    EMULATED_LOOP a.q[i] &= b.q[i];
    return a;
}

EMULATED __m512i _mm512_srli_epi64(__m512i a, unsigned imm8)
{
    EMULATED_LOOP a.q[i] = imm8 > 63 ? 0 : a.q[i] >> imm8;
    return a;
}

EMULATED __m512i _mm512_srai_epi64(__m512i a, unsigned imm8)
{
    EMULATED_LOOP a.q[i] = (uint64_t)((int64_t)a.q[i] >> (imm8 > 63 ? 63 : imm8));
    return a;
}

// dst = a + bits 51:0 of the product of bits 51:0 of b and of c
EMULATED __m512i _mm512_madd52lo_epu64(__m512i a, __m512i b, __m512i c)
{
    EMULATED_LOOP a.q[i] +=
        (uint64_t)((emulated_u128)(b.q[i] & EMULATED_52) * (c.q[i] & EMULATED_52)) & EMULATED_52;
    return a;
}

// dst = a + bits 103:52 of the product of bits 51:0 of b and of c
EMULATED __m512i _mm512_madd52hi_epu64(__m512i a, __m512i b, __m512i c)
{
    EMULATED_LOOP a.q[i] += (uint64_t)((emulated_u128)(b.q[i] & EMULATED_52) * (c.q[i] & EMULATED_52) >> 52);
    return a;
}

EMULATED __mmask8 _mm512_cmpeq_epi64_mask(__m512i a, __m512i b)
{
    unsigned k = 0;
    EMULATED_LOOP k |= (unsigned)(a.q[i] == b.q[i]) << i;
    return (__mmask8)k;
}

// dst = k ? a : src
EMULATED __m512i _mm512_mask_mov_epi64(__m512i src, __mmask8 k, __m512i a)
{
    EMULATED_LOOP src.q[i] = k >> i & 1 ? a.q[i] : src.q[i];
    return src;
}

#endif
