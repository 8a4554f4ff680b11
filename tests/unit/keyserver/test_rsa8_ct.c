// Constant time as valgrind sees it (the idea of Adam Langley's ctgrind): all secrets are marked as undefined, and memcheck
// reports every branch and every address that depends on one. Making a key and a batch of operations, with the portable
// implementation: the source is that of the other. Without valgrind the test says so and is skipped.
#include "rsa8_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keyserver/rsa/rsa8_internal.h"

#define SKIPPED 77

#if __has_include(<valgrind/memcheck.h>) && !defined(RSA8_KIT_SANITIZED)
#include <valgrind/memcheck.h>

// The random numbers of the blinding are secret as well.
void rsa8_test_step(enum rsa8_step step, struct rsa8_scratch *s)
{
    if (step == RSA8_STEP_LOADED)
        VALGRIND_MAKE_MEM_UNDEFINED(&s->random, sizeof s->random);
}

void rsa8_test_registers(void *vectors, size_t len)
{
    (void)vectors;
    (void)len;
}

void rsa8_test_public(void *p, size_t len)
{
    VALGRIND_MAKE_MEM_DEFINED(p, len);
}

static void hide(const struct rsa_number *number)
{
    VALGRIND_MAKE_MEM_UNDEFINED(number->bytes, number->len);
}

// Errors that memcheck has reported since the last call.
static unsigned new_errors(void)
{
    static unsigned before;
    unsigned now = VALGRIND_COUNT_ERRORS, new = now - before;
    before = now;
    return new;
}

// The control: a branch on a secret is seen.
static void test_control(void **state)
{
    (void)state;
    volatile unsigned char secret = 1, seen = 0;
    VALGRIND_MAKE_MEM_UNDEFINED(&secret, 1);
    new_errors();
    if (secret != 0)
        seen = 1;
    assert_int_equal(new_errors(), 1);
    VALGRIND_MAKE_MEM_DEFINED(&seen, 1);
}

// Whether a bit of the 8 bytes from p on is undefined.
static bool is_hidden(const void *p)
{
    uint64_t undefined = 0;
    assert_int_equal(VALGRIND_GET_VBITS(p, &undefined, sizeof undefined), 1);
    return undefined != 0;
}

// The primes of two keys, as hexadecimal arguments: found by the process that starts valgrind, under which it would take minutes.
static char **primes;

static struct rsa8_kit_key *hidden_key(unsigned bits)
{
    BIGNUM *p = NULL, *q = NULL;
    BN_hex2bn(&p, primes[bits == 2048 ? 0 : 2]);
    BN_hex2bn(&q, primes[bits == 2048 ? 1 : 3]);
    struct rsa8_kit_key *key = rsa8_kit_make(p, q, 65537);
    BN_free(p);
    BN_free(q);
    assert_null(rsa8_kit_engine(key));
    hide(&key->der.d);
    hide(&key->der.p);
    hide(&key->der.q);
    hide(&key->der.dp);
    hide(&key->der.dq);
    hide(&key->der.qinv);
    memset(key->key, 0, rsa8_key_size(bits));
    new_errors();
    assert_null(rsa8_key_make(key->key, &key->der));
    assert_int_equal(new_errors(), 0);
    return key;
}

static void test_key_make(void **state)
{
    (void)state;
    rsa8_kit_free(hidden_key(4096));
}

static void test_batch(void **state)
{
    (void)state;
    static uint8_t in[RSA8_LANES][256], out[RSA8_LANES][256], answer[256];
    struct rsa8_op op[RSA8_LANES];
    struct rsa8_kit_key *key = hidden_key(2048);
    // the key's secret numbers are undefined now, and its public ones are not
    assert_true(is_hidden(key->key->limb + KEY_R2P * key->key->half));
    assert_true(is_hidden(key->key->limb + KEY_DP1 * key->key->half));
    assert_false(is_hidden(key->key->limb + KEY_R2N * key->key->half));
    for (unsigned i = 0; i < RSA8_LANES; i++) {
        rsa8_kit_input(key, in[i]);
        op[i] = (struct rsa8_op){.key = key->key, .in = in[i], .out = out[i]};
        VALGRIND_MAKE_MEM_UNDEFINED(in[i], sizeof in[i]); // what is decrypted need not be public either
    }
    new_errors();
    rsa8_run(RSA8_PORTABLE, rsa8_kit_scratch(), op, RSA8_LANES);
    assert_int_equal(new_errors(), 0);
    assert_true(is_hidden(out[0]));
    assert_true(is_hidden(out[RSA8_LANES - 1]));
    VALGRIND_MAKE_MEM_DEFINED(key->bytes, sizeof key->bytes);
    for (unsigned i = 0; i < RSA8_LANES; i++) {
        VALGRIND_MAKE_MEM_DEFINED(in[i], sizeof in[i]);
        VALGRIND_MAKE_MEM_DEFINED(out[i], sizeof out[i]);
        VALGRIND_MAKE_MEM_DEFINED(&op[i].status, sizeof op[i].status);
        assert_int_equal(op[i].status, RSA8_OK);
        rsa8_kit_answer(key, in[i], answer);
        assert_memory_equal(out[i], answer, sizeof answer);
    }
    rsa8_kit_free(key);
}

static int teardown(void **state)
{
    (void)state;
    rsa8_kit_release();
    return 0;
}

int main(int argc, char **argv)
{
    if (RUNNING_ON_VALGRIND == 0) {
        char *hex[4];
        for (unsigned i = 0; i < 4; i++)
            hex[i] = BN_bn2hex(rsa8_kit_prime(i < 2 ? 2048 : 4096, i));
        execlp("valgrind", "valgrind", "--tool=memcheck", "--quiet", "--num-callers=20", argv[0], hex[0],
               hex[1], hex[2], hex[3], (char *)NULL);
        fprintf(stderr, "test_rsa8_ct: valgrind could not be started (Debian package valgrind); skipped\n");
        return SKIPPED;
    }
    if (argc != 5)
        return 2;
    primes = argv + 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_key_make),
        cmocka_unit_test(test_batch),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
#else
void rsa8_test_step(enum rsa8_step step, struct rsa8_scratch *s)
{
    (void)step;
    (void)s;
}

void rsa8_test_registers(void *vectors, size_t len)
{
    (void)vectors;
    (void)len;
}

void rsa8_test_public(void *p, size_t len)
{
    (void)p;
    (void)len;
}

int main(void)
{
    fprintf(stderr, "test_rsa8_ct: built without valgrind's headers (Debian package valgrind) or with a "
                    "sanitizer; skipped\n");
    return SKIPPED;
}
#endif
