// Eight RSA operations at once against OpenSSL's big numbers: random inputs with mixed keys in all lanes, batches
// of 1 to 8, and the inputs and keys that arithmetic gets wrong first. rsa8soak computes as many random operations as wanted.
#include "rsa8_kit.h"

#include <stdlib.h>
#include <string.h>

#define KEYS 12
#if defined(                                                                                                 \
    RSA8_KIT_SANITIZED) // slow, and what a batch touches does not depend on its numbers: few of everything
#define COUNT_STEP   7
#define EXTREME_STEP 8
#elif defined(RSA8_EMULATED) // slow: fewer of everything
#define COUNT_STEP   7
#define EXTREME_STEP 2
#else
#define COUNT_STEP   1
#define EXTREME_STEP 1
#endif

static struct rsa8_kit_key *keys[3][KEYS];
static const unsigned sizes[3] = {2048, 3072, 4096};

// Random operations a size and implementation.
static unsigned long operations(enum rsa8_impl impl, unsigned bits)
{
#if defined(RSA8_EMULATED)
    (void)impl;
    (void)bits;
    return 16;
#elif defined(RSA8_KIT_SANITIZED)
    return impl == RSA8_IFMA ? 512 : 32768 / bits; // 16 to 8
#else
    return impl == RSA8_IFMA ? 8192 : 1024u * 512 / bits; // 256 to 128
#endif
}

static int setup(void **state)
{
    (void)state;
    static const unsigned long exponents[KEYS] = {65537, 3,  65537, 17,    65537, 65537,
                                                  3,     17, 65537, 65537, 65537, 65537};
    for (unsigned s = 0; s < 3; s++) {
        for (unsigned i = 0; i < KEYS; i++)
            keys[s][i] = rsa8_kit_key(sizes[s], i, exponents[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned s = 0; s < 3; s++) {
        for (unsigned i = 0; i < KEYS; i++)
            rsa8_kit_free(keys[s][i]);
    }
    rsa8_kit_release();
    return 0;
}

// Runs inputs, one for each lane, and compares.
static void expect_right(enum rsa8_impl impl, struct rsa8_kit_key *const *key, uint8_t in[][512],
                         unsigned count)
{
    static uint8_t out[RSA8_LANES][512 + 1], answer[512];
    struct rsa8_op op[RSA8_LANES];
    size_t len = key[0]->der.n.len;
    for (unsigned i = 0; i < count; i++) {
        memset(out[i], 0xee, sizeof out[i]);
        op[i] = (struct rsa8_op){.key = key[i]->key, .in = in[i], .out = out[i], .status = RSA8_FAULT};
    }
    rsa8_run(impl, rsa8_kit_scratch(), op, count);
    for (unsigned i = 0; i < count; i++) {
        assert_string_equal(rsa8_status_text(op[i].status), rsa8_status_text(RSA8_OK));
        rsa8_kit_answer(key[i], in[i], answer);
        assert_memory_equal(out[i], answer, len);
        assert_int_equal(out[i][len], 0xee);
    }
}

static uint8_t in[RSA8_LANES][512];

static void random_operations(enum rsa8_impl impl)
{
    for (unsigned s = 0; s < 3; s++) {
        unsigned long wanted = operations(impl, sizes[s]);
        for (unsigned long done = 0; done < wanted; done += RSA8_LANES) {
            struct rsa8_kit_key *key[RSA8_LANES];
            for (unsigned i = 0; i < RSA8_LANES; i++) {
                key[i] = keys[s][(done / RSA8_LANES * 5 + i * 7) % KEYS];
                rsa8_kit_input(key[i], in[i]);
            }
            expect_right(impl, key, in, RSA8_LANES);
        }
    }
}

static void test_random(void **state)
{
    (void)state;
    rsa8_kit_each(random_operations);
}

static void all_counts(enum rsa8_impl impl)
{
    for (unsigned s = 0; s < 3; s++) {
        for (unsigned count = 1; count <= RSA8_LANES; count += COUNT_STEP) {
            struct rsa8_kit_key *key[RSA8_LANES];
            for (unsigned i = 0; i < count; i++) {
                key[i] = keys[s][count % 2 == 0 ? 0 : i]; // one key in all lanes, and different ones
                rsa8_kit_input(key[i], in[i]);
            }
            expect_right(impl, key, in, count);
        }
    }
}

static void test_counts(void **state)
{
    (void)state;
    rsa8_kit_each(all_counts);
}

// 0, 1, 2, n - 1, n - 2, p, q, multiples of them, their neighbours; the upper half of n and nothing below, so that the top
// limbs are all ones where those of n are; powers of 2.
static void edge_input(const struct rsa8_kit_key *key, unsigned which, uint8_t *to)
{
    BIGNUM *c = BN_new();
    switch (which) {
    case 0:
    case 1:
    case 2:
        BN_set_word(c, which);
        break;
    case 3:
    case 4:
        BN_copy(c, key->n);
        BN_sub_word(c, which - 2);
        break;
    case 5:
    case 6:
        BN_copy(c, which == 5 ? key->p : key->q);
        break;
    case 7:
    case 8:
        BN_copy(c, which == 7 ? key->p : key->q);
        BN_mul_word(c, 12345678901);
        break;
    case 9:
    case 10:
        BN_sub(c, key->n, which == 9 ? key->p : key->q);
        break;
    case 11:
    case 12:
        BN_copy(c, which == 11 ? key->p : key->q);
        BN_add_word(c, 1);
        break;
    case 13:
        BN_rshift(c, key->n, BN_num_bits(key->n) / 2);
        BN_lshift(c, c, BN_num_bits(key->n) / 2);
        break;
    default: // 2^(52 k) - 1: whole limbs of ones
        BN_one(c);
        BN_lshift(c, c, (int)(52 * (which - 12)));
        BN_sub_word(c, 1);
        break;
    }
    BN_bn2binpad(c, to, BN_num_bytes(key->n));
    BN_free(c);
}

#define EDGES 32

// With a sanitizer one batch of the larger sizes.
static unsigned edges_of(unsigned bits)
{
#ifdef RSA8_KIT_SANITIZED
    return bits == sizes[0] ? EDGES : RSA8_LANES;
#else
    (void)bits;
    return EDGES;
#endif
}

static void edges(enum rsa8_impl impl)
{
    for (unsigned s = 0; s < 3; s++) {
        for (unsigned first = 0; first < edges_of(sizes[s]); first += RSA8_LANES) {
            struct rsa8_kit_key *key[RSA8_LANES];
            for (unsigned i = 0; i < RSA8_LANES; i++) {
                key[i] = keys[s][(first + i) % KEYS];
                edge_input(key[i], first + i, in[i]);
            }
            expect_right(impl, key, in, RSA8_LANES);
        }
    }
}

static void test_edges(void **state)
{
    (void)state;
    rsa8_kit_each(edges);
}

// Keys at the ends of what is possible, of primes of bits / 2 bits:
//
//   large    2^(bits/2) - x: the largest two, whose top limbs, and those of n, are all ones
//   small    3037000500 2^(bits/2 - 32) + x, just above 2^(bits/2 - 1/2): the least two whose product has all its bits
//   sparse   2^(bits/2) - x with 1 + (e - 1) (p - 1) and 1 + 2 (q - 1) multiples of the largest e that is a prime: dp begins
//            with 31 ones and dq with 30 zeros, and their quotients k are the largest and the least there are
static const struct extreme {
    unsigned bits;
    unsigned long large[2], small[2], sparse[2];
} extremes[3] = {
    {2048, {105, 179}, {157, 247}, {3927358545839, 326028472337}},
    {3072, {3453, 4977}, {2429, 2917}, {693170624559, 11617419929219}},
    {4096, {1557, 2543}, {211, 1459}, {6787666964069, 2937228787689}},
};
#define EXTREME_KEYS 6 // of a size: each pair in both orders

static BIGNUM *extreme_prime(const struct extreme *at, unsigned kind, unsigned which)
{
    BIGNUM *prime = BN_new();
    if (kind == 1) {
        BN_set_word(prime, 3037000500);
        BN_lshift(prime, prime, (int)at->bits / 2 - 32);
        BN_add_word(prime, at->small[which]);
        return prime;
    }
    BN_one(prime);
    BN_lshift(prime, prime, (int)at->bits / 2);
    BN_sub_word(prime, kind == 0 ? at->large[which] : at->sparse[which]);
    return prime;
}

static struct rsa8_kit_key *extreme_key(const struct extreme *at, unsigned which)
{
    unsigned kind = which / 2;
    BIGNUM *p = extreme_prime(at, kind, which % 2), *q = extreme_prime(at, kind, 1 - which % 2);
    struct rsa8_kit_key *key = rsa8_kit_make(p, q, kind == 2 ? 4294967291 : 65537);
    assert_null(rsa8_kit_engine(key));
    BN_free(p);
    BN_free(q);
    return key;
}

static struct rsa8_kit_key *extreme[3][EXTREME_KEYS];

// Each input with two of the keys; then random ones.
static void extreme_keys(enum rsa8_impl impl)
{
    struct rsa8_kit_key *key[RSA8_LANES];
    for (unsigned s = 0; s < 3; s++) {
        for (unsigned first = 0; first < 2 * EDGES; first += RSA8_LANES * EXTREME_STEP) {
            for (unsigned i = 0; i < RSA8_LANES; i++) {
                key[i] = extreme[s][(first + i + first / EDGES) % EXTREME_KEYS];
                edge_input(key[i], (first + i) % EDGES, in[i]);
            }
            expect_right(impl, key, in, RSA8_LANES);
        }
        for (unsigned i = 0; i < RSA8_LANES; i++)
            rsa8_kit_input(key[i], in[i]);
        expect_right(impl, key, in, RSA8_LANES);
    }
}

static void test_extreme_keys(void **state)
{
    (void)state;
    for (unsigned s = 0; s < 3; s++) {
        for (unsigned i = 0; i < EXTREME_KEYS; i++)
            extreme[s][i] = extreme_key(&extremes[s], i);
        // sparse as they are said to be
        assert_int_equal(BN_num_bits(extreme[s][4]->dp), extremes[s].bits / 2);
        assert_int_equal(BN_num_bits(extreme[s][4]->dq), extremes[s].bits / 2 - 30);
    }
    rsa8_kit_each(extreme_keys);
    for (unsigned i = 0; i < 3 * EXTREME_KEYS; i++)
        rsa8_kit_free(extreme[i / EXTREME_KEYS][i % EXTREME_KEYS]);
}

// Input at n and above, and a key of another size, are refused; their neighbours are not disturbed.
static void refusals(enum rsa8_impl impl)
{
    static uint8_t out[4][512], answer[512];
    struct rsa8_kit_key *key[4] = {keys[0][0], keys[0][1], keys[1][0], keys[0][2]};
    struct rsa8_op op[4];
    for (unsigned i = 0; i < 4; i++) {
        memset(out[i], 0xee, sizeof out[i]);
        rsa8_kit_input(key[i], in[i]);
        op[i] = (struct rsa8_op){.key = key[i]->key, .in = in[i], .out = out[i]};
    }
    BN_bn2binpad(key[0]->n, in[0], 256);
    memset(in[1], 0xff, 256);
    rsa8_run(impl, rsa8_kit_scratch(), op, 4);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(op[i].status, RSA8_REFUSED);
        for (size_t k = 0; k < key[i]->der.n.len; k++)
            assert_int_equal(out[i][k], 0);
    }
    assert_int_equal(op[3].status, RSA8_OK);
    rsa8_kit_answer(key[3], in[3], answer);
    assert_memory_equal(out[3], answer, 256);
}

static void test_refusals(void **state)
{
    (void)state;
    rsa8_kit_each(refusals);
}

// out may be in, and nothing of a batch stays in the scratch.
static void in_place(enum rsa8_impl impl)
{
    uint8_t block[256], answer[256];
    struct rsa8_scratch *scratch = rsa8_kit_scratch();
    memset((void *)scratch, 0, rsa8_scratch_size());
    rsa8_kit_input(keys[0][0], block);
    rsa8_kit_answer(keys[0][0], block, answer);
    struct rsa8_op op = {.key = keys[0][0]->key, .in = block, .out = block};
    rsa8_run(impl, scratch, &op, 1);
    assert_int_equal(op.status, RSA8_OK);
    assert_memory_equal(block, answer, sizeof block);
    for (size_t i = 0; i < rsa8_scratch_size(); i++)
        assert_int_equal(((uint8_t *)scratch)[i], 0);
}

static void test_in_place(void **state)
{
    (void)state;
    rsa8_kit_each(in_place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),   cmocka_unit_test(test_edges),    cmocka_unit_test(test_extreme_keys),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_in_place), cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
