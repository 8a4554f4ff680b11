// Keys of the RSA engine: which are taken and which are not, and the arithmetic of one number that makes them.
#include "rsa8_kit.h"

#include <string.h>
#include <openssl/rand.h>

#include "keyserver/rsa/rsa8_internal.h"

static int teardown(void **state)
{
    (void)state;
    rsa8_kit_release();
    return 0;
}

static void to_bn(BIGNUM *to, const uint64_t *limb, size_t limbs)
{
    uint8_t bytes[RSA8_NUM_MAX * 13];
    rsa8_num_to_bytes(bytes, limbs * 13 / 2, limb, limbs);
    BN_bin2bn(bytes, (int)(limbs * 13 / 2), to);
}

static void from_bn(uint64_t *limb, size_t limbs, const BIGNUM *from)
{
    uint8_t bytes[RSA8_NUM_MAX * 13];
    int len = BN_num_bytes(from);
    BN_bn2bin(from, bytes);
    rsa8_num_from_bytes(limb, limbs, bytes, (size_t)len);
}

// Moduli: random ones, all ones, the least, ones in the highest limb only.
static void make_modulus(BIGNUM *m, unsigned which, int bits)
{
    if (which > 3) {
        BN_rand(m, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
        return;
    }
    BN_one(m);
    BN_lshift(m, m, which == 1 ? bits - 1 : bits);
    if (which == 1)
        BN_add_word(m, 1); // 2^(bits - 1) + 1
    else
        BN_sub_word(m, which == 0 ? 1 : 2 * which - 1);
    if (which == 3) {
        for (int i = 1; i < bits - 52; i++)
            BN_clear_bit(m, i);
    }
}

static void test_r2_and_products(void **state)
{
    (void)state;
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *m = BN_new(), *a = BN_new(), *b = BN_new(), *got = BN_new(), *want = BN_new(), *r = BN_new();
    static const struct {
        size_t limbs;
        int bits;
    } sizes[] = {{20, 1024}, {30, 1536}, {40, 2048}, {40, 2048}, {60, 3072}, {80, 4096}};
    for (unsigned round = 0; round < 40 * 6; round++) {
        size_t limbs = sizes[round % 6].limbs;
        int bits = sizes[round % 6].bits;
        uint64_t lm[RSA8_NUM_MAX], la[RSA8_NUM_MAX], lb[RSA8_NUM_MAX], lr[RSA8_NUM_MAX];
        make_modulus(m, round / 6, bits);
        from_bn(lm, limbs, m);
        uint64_t k0 = rsa8_num_k0(lm[0]);
        assert_int_equal((k0 * lm[0] + 1) & RSA8_LIMB_MASK, 0);

        BN_one(want);
        BN_lshift(want, want, (int)(104 * limbs));
        BN_mod(want, want, m, ctx);
        rsa8_num_r2(lr, lm, (unsigned)bits, limbs);
        to_bn(got, lr, limbs);
        assert_int_equal(BN_cmp(got, want), 0);

        BN_lshift1(r, m); // operands below 2 m
        BN_rand_range(a, r);
        BN_rand_range(b, r);
        if (round % 3 == 0)
            BN_sub(a, r, BN_value_one());
        from_bn(la, limbs, a);
        from_bn(lb, limbs, b);
        rsa8_num_amm(lr, la, lb, lm, k0, limbs);
        to_bn(got, lr, limbs);
        BN_lshift(got, got, (int)(52 * limbs));
        BN_mod(got, got, m, ctx);
        BN_mod_mul(want, a, b, m, ctx);
        assert_int_equal(BN_cmp(got, want), 0);
        assert_int_equal(rsa8_num_less(lr, lm, limbs), UINT64_MAX);
    }
    BN_free(m);
    BN_free(a);
    BN_free(b);
    BN_free(got);
    BN_free(want);
    BN_free(r);
    BN_CTX_free(ctx);
}

// The e-th root of 1 modulo m - 1 is found right, and nothing beside it is.
static void test_private_exponents(void **state)
{
    (void)state;
    static const unsigned long exponents[] = {3, 17, 65537, 4294967291, 4294967295};
    static const struct {
        size_t limbs;
        int bits;
    } sizes[] = {{20, 1024}, {30, 1536}, {40, 2048}};
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *m = BN_new(), *m1 = BN_new(), *e = BN_new(), *d = BN_new(), *wrong = BN_new();
    unsigned right = 0;
    for (unsigned round = 0; round < 3 * 5 * 40; round++) {
        size_t limbs = sizes[round % 3].limbs;
        int bits = sizes[round % 3].bits;
        uint64_t lm[RSA8_NUM_MAX], ld[RSA8_NUM_MAX];
        make_modulus(m, round / 15, bits);
        BN_copy(m1, m);
        BN_sub_word(m1, 1);
        BN_set_word(e, exponents[round / 3 % 5]);
        if (BN_mod_inverse(d, e, m1, ctx) == NULL)
            continue;
        right++;
        from_bn(lm, limbs, m);
        from_bn(ld, limbs, d);
        assert_int_equal(rsa8_num_is_private(ld, BN_get_word(e), lm, (unsigned)bits, limbs), UINT64_MAX);
        assert_int_equal(rsa8_num_is_private(ld, BN_get_word(e) - 2, lm, (unsigned)bits, limbs), 0);
        for (int bit = 0; bit < bits; bit += 1 + bits / 50) {
            ld[bit / RSA8_LIMB_BITS] ^= UINT64_C(1) << bit % RSA8_LIMB_BITS;
            assert_int_equal(rsa8_num_is_private(ld, BN_get_word(e), lm, (unsigned)bits, limbs), 0);
            ld[bit / RSA8_LIMB_BITS] ^= UINT64_C(1) << bit % RSA8_LIMB_BITS;
        }
        BN_sub(wrong, m1, d); // e of it is -1
        from_bn(ld, limbs, wrong);
        assert_int_equal(rsa8_num_is_private(ld, BN_get_word(e), lm, (unsigned)bits, limbs), 0);
        memset(ld, 0, sizeof ld);
        assert_int_equal(rsa8_num_is_private(ld, BN_get_word(e), lm, (unsigned)bits, limbs), 0);
        from_bn(ld, limbs, m1);
        assert_int_equal(rsa8_num_is_private(ld, BN_get_word(e), lm, (unsigned)bits, limbs), 0);
    }
    assert_true(right > 100);
    BN_free(m);
    BN_free(m1);
    BN_free(e);
    BN_free(d);
    BN_free(wrong);
    BN_CTX_free(ctx);
}

static void test_compare(void **state)
{
    (void)state;
    uint64_t a[3] = {1, 2, 3}, b[3] = {0, 3, 3}, top[3] = {RSA8_LIMB_MASK, RSA8_LIMB_MASK, RSA8_LIMB_MASK},
             zero[3] = {0};
    assert_int_equal(rsa8_num_less(a, b, 3), UINT64_MAX);
    assert_int_equal(rsa8_num_less(b, a, 3), 0);
    assert_int_equal(rsa8_num_less(a, a, 3), 0);
    assert_int_equal(rsa8_num_less(zero, top, 3), UINT64_MAX);
    assert_int_equal(rsa8_num_less(top, zero, 3), 0);
    assert_int_equal(rsa8_num_equal(a, a, 3), UINT64_MAX);
    assert_int_equal(rsa8_num_equal(a, b, 3), 0);
    assert_int_equal(rsa8_mask_zero(0), UINT64_MAX);
    assert_int_equal(rsa8_mask_zero(1), 0);
    assert_int_equal(rsa8_mask_zero(UINT64_C(1) << 63), 0);
}

// Bytes go to limbs and back at every length, leading zeros and all.
static void test_bytes(void **state)
{
    (void)state;
    uint8_t bytes[512], again[512];
    uint64_t limb[RSA8_NUM_MAX];
    assert_int_equal(RAND_bytes(bytes, sizeof bytes), 1);
    for (size_t len = 1; len <= sizeof bytes; len++) {
        rsa8_num_from_bytes(limb, RSA8_NUM_MAX, bytes, len);
        for (size_t i = 0; i < RSA8_NUM_MAX; i++)
            assert_true(limb[i] <= RSA8_LIMB_MASK);
        rsa8_num_to_bytes(again, len, limb, RSA8_NUM_MAX);
        assert_memory_equal(again, bytes, len);
    }
}

static void expect_refused(struct rsa8_kit_key *key, const char *why)
{
    rsa8_kit_encode(key);
    const char *said = rsa8_kit_engine(key);
    assert_non_null(said);
    assert_string_equal(said, why);
    rsa8_kit_free(key);
}

#define LENGTHS  "the primes are not of equal length"
#define MODULUS  "the modulus has not 2048, 3072 or 4096 bits"
#define EXPONENT "the public exponent is not odd and between 3 and 2^32"
#define NUMBERS  "the numbers of the private key do not fit together"

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(rsa8_key_size(4096), RSA8_KEY_SIZE_MAX);
    assert_int_equal(rsa8_key_size(2048), 1808);
    assert_int_equal(rsa8_key_size(3072), 2688);
    assert_int_equal(rsa8_key_size(1024), 0);
    assert_int_equal(rsa8_key_size(2047), 0);
    for (unsigned bits = 2048; bits <= 4096; bits += 1024) {
        struct rsa8_kit_key *key = rsa8_kit_key(bits, 0, 65537);
        assert_int_equal(rsa8_key_bits(&key->der), bits);
        assert_int_equal(rsa8_bits(key->key), bits);
        rsa8_kit_free(key);
    }
}

static void test_other_sizes(void **state)
{
    (void)state;
    BIGNUM *p = BN_new(), *q = BN_new();
    BN_generate_prime_ex(p, 512, 0, NULL, NULL, NULL);
    do
        BN_generate_prime_ex(q, 512, 0, NULL, NULL, NULL);
    while (BN_mod_word(p, 65537) == 1 || BN_mod_word(q, 65537) == 1);
    expect_refused(rsa8_kit_make(p, q, 65537), MODULUS);
    // 2048 bits of unequal primes: by twelve bits, and by the two that make a byte of difference
    for (int more = 1; more <= 6; more += 5) {
        do
            BN_generate_prime_ex(p, 1024 + more, 0, NULL, NULL, NULL);
        while (BN_mod_word(p, 65537) == 1);
        do
            BN_generate_prime_ex(q, 1024 - more, 0, NULL, NULL, NULL);
        while (BN_mod_word(q, 65537) == 1);
        expect_refused(rsa8_kit_make(p, q, 65537), LENGTHS);
        expect_refused(rsa8_kit_make(q, p, 65537), LENGTHS);
    }
    // as many bytes, but not as many bits
    BN_copy(p, rsa8_kit_prime(2048, 0));
    do
        BN_generate_prime_ex(q, 1023, 0, NULL, NULL, NULL);
    while (BN_mod_word(q, 65537) == 1);
    expect_refused(rsa8_kit_make(p, q, 65537), MODULUS);
    expect_refused(rsa8_kit_make(q, p, 65537), MODULUS);
    BN_free(p);
    BN_free(q);
}

// p and q as long as they should be in bytes, but with bits missing: n is then too short, or is no product of full-length ones.
static void test_short_primes(void **state)
{
    (void)state;
    struct rsa8_kit_key *key = rsa8_kit_key(2048, 0, 65537);
    BN_clear_bit(key->n, 2047);
    expect_refused(key, MODULUS);
    key = rsa8_kit_key(2048, 0, 65537);
    BN_clear_bit(key->p, 1023);
    expect_refused(key, NUMBERS);
}

static void test_numbers(void **state)
{
    (void)state;
    struct {
        size_t number; // offset in struct rsa8_kit_key
        int flip;      // this bit; -2: replaced by p, -3: by q, -4: by dp, -5: by dq
    } const wrong[] = {
        {offsetof(struct rsa8_kit_key, n), 0},     {offsetof(struct rsa8_kit_key, n), 1},
        {offsetof(struct rsa8_kit_key, n), 1024},  {offsetof(struct rsa8_kit_key, p), 5},
        {offsetof(struct rsa8_kit_key, q), 5},     {offsetof(struct rsa8_kit_key, p), 0},
        {offsetof(struct rsa8_kit_key, dp), 0},    {offsetof(struct rsa8_kit_key, dq), 0},
        {offsetof(struct rsa8_kit_key, dp), -2},   {offsetof(struct rsa8_kit_key, dq), -3},
        {offsetof(struct rsa8_kit_key, qinv), 0},  {offsetof(struct rsa8_kit_key, qinv), 900},
        {offsetof(struct rsa8_kit_key, qinv), -2}, {offsetof(struct rsa8_kit_key, q), -2},
        {offsetof(struct rsa8_kit_key, dp), 1},    {offsetof(struct rsa8_kit_key, dp), 500},
        {offsetof(struct rsa8_kit_key, dq), 1},    {offsetof(struct rsa8_kit_key, dq), 1000},
        {offsetof(struct rsa8_kit_key, dp), -5},   {offsetof(struct rsa8_kit_key, dq), -4},
        {offsetof(struct rsa8_kit_key, e), 1},     {offsetof(struct rsa8_kit_key, e), 31},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct rsa8_kit_key *key = rsa8_kit_key(2048, 0, 65537);
        BIGNUM *number = *(BIGNUM **)((uint8_t *)key + wrong[i].number);
        if (wrong[i].flip < 0)
            BN_copy(number, (BIGNUM *[]){key->p, key->q, key->dp, key->dq}[-2 - wrong[i].flip]);
        else if (BN_is_bit_set(number, wrong[i].flip))
            BN_clear_bit(number, wrong[i].flip);
        else
            BN_set_bit(number, wrong[i].flip);
        expect_refused(key, NUMBERS);
    }
}

// The inverse of q plus p is an inverse too, but not below p.
static void test_large_inverse(void **state)
{
    (void)state;
    struct rsa8_kit_key *key = rsa8_kit_key(2048, 0, 65537);
    BN_add(key->qinv, key->qinv, key->p);
    rsa8_kit_encode(key);
    assert_non_null(rsa8_kit_engine(key));
    rsa8_kit_free(key);
}

static void test_exponents(void **state)
{
    (void)state;
    static const char *const refused[] = {"0", "1", "2", "10000", "10001000F", "100000001"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct rsa8_kit_key *key = rsa8_kit_key(2048, 0, 65537);
        BN_hex2bn(&key->e, refused[i]);
        expect_refused(key, EXPONENT);
    }
    // the longest that is taken, and what it computes
    uint8_t in[256], out[256], answer[256];
    struct rsa8_kit_key *key = rsa8_kit_key(2048, 0, 4294967291);
    struct rsa8_op op = {.key = key->key, .in = in, .out = out};
    rsa8_kit_input(key, in);
    rsa8_kit_answer(key, in, answer);
    rsa8_run(RSA8_PORTABLE, rsa8_kit_scratch(), &op, 1);
    assert_int_equal(op.status, RSA8_OK);
    assert_memory_equal(out, answer, sizeof out);
    rsa8_kit_free(key);
}

// Nothing of a key that was refused stays.
static void test_wiped(void **state)
{
    (void)state;
    struct rsa8_kit_key *key = rsa8_kit_key(2048, 0, 65537);
    uint64_t made[RSA8_KEY_SIZE_MAX / 8];
    memset(made, 0xee, sizeof made);
    BN_set_word(key->qinv, 4711);
    rsa8_kit_encode(key);
    assert_non_null(rsa8_key_make((struct rsa8_key *)made, &key->der));
    for (size_t i = 0; i < rsa8_key_size(2048) / 8; i++)
        assert_int_equal(made[i], 0);
    assert_int_equal(made[rsa8_key_size(2048) / 8], UINT64_C(0xeeeeeeeeeeeeeeee));
    rsa8_kit_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r2_and_products),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_other_sizes),
        cmocka_unit_test(test_short_primes),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_large_inverse),
        cmocka_unit_test(test_exponents),
        cmocka_unit_test(test_wiped),
        cmocka_unit_test(test_private_exponents),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
