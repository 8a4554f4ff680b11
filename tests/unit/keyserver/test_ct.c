// Constant-time arithmetic says what plain arithmetic says.
#include "keyserver/ct.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define ROUNDS 200000

static const uint32_t edges[] = {0,          1,          2,          0x7f,       0x80,
                                 0xff,       0x100,      0x7fff,     0x8000,     0xffff,
                                 0x10000,    0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001,
                                 0xfffffffe, 0xffffffff, 0xaaaaaaaa, 0x55555555};
#define EDGES (sizeof edges / sizeof edges[0])

static uint32_t mask(int condition)
{
    return condition ? 0xffffffff : 0;
}

static uint32_t any(void)
{
    uint32_t x;
    (void)RAND_bytes((unsigned char *)&x, sizeof x);
    return x;
}

static void is_zero(void **state)
{
    (void)state;
    for (uint32_t x = 0; x < 70000; x++)
        assert_int_equal(ct_is_zero(x), mask(x == 0));
    for (unsigned bit = 0; bit < 32; bit++)
        assert_int_equal(ct_is_zero((uint32_t)1 << bit), 0);
    for (size_t i = 0; i < EDGES; i++)
        assert_int_equal(ct_is_zero(edges[i]), mask(edges[i] == 0));
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t x = any();
        assert_int_equal(ct_is_zero(x), mask(x == 0));
    }
}

static void equal(void **state)
{
    (void)state;
    for (uint32_t a = 0; a < 256; a++)
        for (uint32_t b = 0; b < 256; b++)
            assert_int_equal(ct_eq(a, b), mask(a == b));
    for (size_t i = 0; i < EDGES; i++)
        for (size_t k = 0; k < EDGES; k++)
            assert_int_equal(ct_eq(edges[i], edges[k]), mask(i == k));
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t a = any(), b = a ^ (uint32_t)1 << (i % 32);
        assert_int_equal(ct_eq(a, b), 0);
        assert_int_equal(ct_eq(a, a), 0xffffffff);
    }
}

// Promised for values below 2^31.
static void less_than(void **state)
{
    (void)state;
    for (uint32_t a = 0; a < 256; a++)
        for (uint32_t b = 0; b < 256; b++)
            assert_int_equal(ct_lt(a, b), mask(a < b));
    for (size_t i = 0; i < EDGES; i++)
        for (size_t k = 0; k < EDGES; k++)
            if (edges[i] < 0x80000000 && edges[k] < 0x80000000)
                assert_int_equal(ct_lt(edges[i], edges[k]), mask(edges[i] < edges[k]));
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t a = any() >> 1, b = any() >> 1;
        assert_int_equal(ct_lt(a, b), mask(a < b));
    }
}

static void select_byte(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            assert_int_equal(ct_select8(0xffffffff, (uint8_t)a, (uint8_t)b), a);
            assert_int_equal(ct_select8(0, (uint8_t)a, (uint8_t)b), b);
        }
}

static void base64_characters(void **state)
{
    (void)state;
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (uint32_t v = 0; v < 64; v++)
        for (unsigned at = 0; at < 8; at++) { // in each byte, beside the least and the greatest
            uint64_t low = (uint64_t)v << 8 * at, rest = 0x3f3f3f3f3f3f3f3fu & ~((uint64_t)0xff << 8 * at);
            assert_int_equal(ct_base64_digits(low) >> 8 * at & 0xff, alphabet[v]);
            assert_int_equal(ct_base64_digits(low | rest) >> 8 * at & 0xff, alphabet[v]);
        }
}

static void base64_agrees_with_openssl(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 200; len++)
        for (int round = 0; round < 20; round++) {
            uint8_t in[200];
            char expected[300], out[300];
            assert_int_equal(RAND_bytes(in, sizeof in), 1);
            if (round == 0)
                memset(in, 0xff, sizeof in);
            int n = EVP_EncodeBlock((unsigned char *)expected, in, (int)len);
            memset(out, '?', sizeof out);
            assert_int_equal(ct_base64_encode(in, len, out), n);
            assert_memory_equal(out, expected, (size_t)n);
            assert_int_equal(out[n], '?'); // nothing behind it, not even NUL
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_zero),           cmocka_unit_test(equal),
        cmocka_unit_test(less_than),         cmocka_unit_test(select_byte),
        cmocka_unit_test(base64_characters), cmocka_unit_test(base64_agrees_with_openssl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
