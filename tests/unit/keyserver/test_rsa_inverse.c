// The constant-time inverse agrees with OpenSSL's, for numbers of every length, at every border, and where there is none.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "keyserver/rsa/rsa_inverse.h"

static BN_CTX *ctx;

static void agrees(const BIGNUM *number, const BIGNUM *modulus)
{
    BIGNUM *want = BN_mod_inverse(NULL, number, modulus, ctx), *got = BN_new();
    enum rsa_inverse_status status = rsa_inverse(got, number, modulus, ctx);
    ERR_clear_error();
    assert_int_equal(status, want != NULL ? RSA_INVERSE_OK : RSA_INVERSE_NONE);
    if (want != NULL && BN_cmp(want, got) != 0)
        fail_msg("%s modulo %s is not %s", BN_bn2hex(number), BN_bn2hex(modulus), BN_bn2hex(got));
    BN_free(want);
    BN_free(got);
}

// All small numbers and moduli.
static void small_numbers(void **state)
{
    (void)state;
    BIGNUM *a = BN_new(), *m = BN_new();
    for (unsigned modulus = 3; modulus < 130; modulus += 2)
        for (unsigned number = 0; number < 300; number++) {
            assert_true(BN_set_word(m, modulus) && BN_set_word(a, number));
            agrees(a, m);
        }
    BN_free(a);
    BN_free(m);
}

static void random_numbers(void **state)
{
    (void)state;
    static const int bits[] = {8,   45,  46,  47,  61,  62,  63,   64,   65,   123,
                               124, 125, 247, 248, 249, 512, 1019, 1024, 1536, 2048};
    const size_t count = sizeof bits / sizeof *bits;
    BIGNUM *a = BN_new(), *m = BN_new();
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            for (int round = 0; round < 6; round++) {
                assert_true(BN_rand(m, bits[i], round % 3 == 2 ? 1 : 0, BN_RAND_BOTTOM_ODD));
                assert_true(BN_rand(a, bits[j], 0, BN_RAND_BOTTOM_ANY));
                agrees(a, m);
            }
    BN_free(a);
    BN_free(m);
}

// 2^k - 1, 2^k + 1, 2^k, and the modulus less 1 and more 1: long runs of equal bits, and limbs of all zeros and all ones.
static void borders(void **state)
{
    (void)state;
    BIGNUM *a = BN_new(), *m = BN_new();
    for (int k = 2; k < 1100; k += k < 130 || (k > 490 && k < 505) ? 1 : 61)
        for (int above = 0; above < 2; above++) {
            assert_true(BN_one(m) && BN_lshift(m, m, k) && (above ? BN_add_word(m, 1) : BN_sub_word(m, 1)));
            for (int number = 0; number < 6; number++) {
                assert_true(BN_one(a) && BN_lshift(a, a, k / (number == 5 ? 2 : 1)));
                if (number == 1)
                    assert_true(BN_sub_word(a, 1));
                else if (number == 2)
                    assert_true(BN_add_word(a, 1));
                else if (number == 3)
                    assert_true(BN_sub(a, m, BN_value_one()));
                else if (number == 4)
                    assert_true(BN_add(a, m, BN_value_one()));
                agrees(a, m);
            }
            agrees(m, m);
        }
    BN_free(a);
    BN_free(m);
}

// The longest that there is room for, and what is too long.
static void largest(void **state)
{
    (void)state;
    BIGNUM *a = BN_new(), *m = BN_new(), *out = BN_new();
    for (int round = 0; round < 3; round++) {
        assert_true(BN_rand(m, 16384, 1, BN_RAND_BOTTOM_ODD));
        assert_true(BN_rand(a, round == 0 ? 16384 : 8000, 0, BN_RAND_BOTTOM_ANY));
        agrees(a, m);
    }
    assert_true(BN_rand(m, 16385, 0, BN_RAND_BOTTOM_ODD));
    assert_int_equal(rsa_inverse(out, a, m, ctx), RSA_INVERSE_NO_MEMORY);
    BN_free(a);
    BN_free(m);
    BN_free(out);
}

// Fibonacci numbers are what Euclid's algorithm takes longest for; what takes division steps longest is not known, and has the bound.
static void fibonacci(void **state)
{
    (void)state;
    BIGNUM *a = BN_new(), *b = BN_new();
    assert_true(BN_one(a) && BN_one(b));
    for (int i = 0; i < 1500; i++) {
        assert_true(BN_add(a, a, b));
        BN_swap(a, b);
        if (i % 7 == 0 && BN_is_odd(b) && !BN_is_one(b))
            agrees(a, b);
        if (i % 7 == 1 && BN_is_odd(a) && !BN_is_one(a))
            agrees(b, a);
    }
    BN_free(a);
    BN_free(b);
}

static int setup(void **state)
{
    (void)state;
    ctx = BN_CTX_new();
    return ctx == NULL;
}

static int teardown(void **state)
{
    (void)state;
    BN_CTX_free(ctx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_numbers), cmocka_unit_test(random_numbers), cmocka_unit_test(borders),
        cmocka_unit_test(largest),       cmocka_unit_test(fibonacci),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
