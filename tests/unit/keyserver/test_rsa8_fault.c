// Faults: one bit of what a batch works with is flipped while it computes: in a key's numbers, in the table of powers, in an
// intermediate, in the result. No wrong result leaves, and the lanes beside it are right. The engine is compiled into this
// test with the steps at which it can be disturbed.
#include "rsa8_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>

#include "keyserver/rsa/rsa8_internal.h"

#define FAULT_LANE 5
#ifdef RSA8_KIT_SANITIZED
#define TRIALS 2 // the lowest limb and the highest
#else
#define TRIALS 6
#endif

struct place {
    const char *name;
    enum rsa8_step step;
    size_t offset, limbs; // limbs: 0: of a half, 1: of the modulus, else so many
    bool always;          // a flipped bit of this number has to be noticed
};
#define PLACE(step, field, limbs, always)                                                                    \
    {                                                                                                        \
#field, step, offsetof(struct rsa8_scratch, field), limbs, always                                    \
    }
#define HALF 0
#define FULL 1
static const struct place places[] = {
    PLACE(RSA8_STEP_LOADED, dp1, HALF, true),      PLACE(RSA8_STEP_LOADED, dq1, HALF, true),
    PLACE(RSA8_STEP_LOADED, qinv, HALF, true),     PLACE(RSA8_STEP_LOADED, p.m, HALF, true),
    PLACE(RSA8_STEP_LOADED, q.m, HALF, true),      PLACE(RSA8_STEP_LOADED, n.m, FULL, true),
    PLACE(RSA8_STEP_LOADED, p.r2, HALF, true),     PLACE(RSA8_STEP_LOADED, q.one, HALF, false),
    PLACE(RSA8_STEP_LOADED, n.r2, FULL, true),     PLACE(RSA8_STEP_LOADED, c, FULL, true),
    PLACE(RSA8_STEP_LOADED, random, FULL, false), // r is another one
    PLACE(RSA8_STEP_BLINDED, x, FULL, true),       PLACE(RSA8_STEP_BLINDED, unblind, FULL, true),
    PLACE(RSA8_STEP_TABLE, table, 20 * 32, false), PLACE(RSA8_STEP_POWERS, sp, HALF, true),
    PLACE(RSA8_STEP_POWERS, sq, HALF, true),       PLACE(RSA8_STEP_RECOMBINED, t, FULL, true),
    PLACE(RSA8_STEP_RESULT, m, FULL, true),        PLACE(RSA8_STEP_AGAIN, m, FULL, true),
    PLACE(RSA8_STEP_AGAIN, again, FULL, true),
};
#define PLACES (sizeof places / sizeof *places)

static const struct place *place; // NULL: no fault
static unsigned fault_limb, fault_bit;
static bool done;

// Faults anywhere: in a line of the scratch between steps or between windows, or in an accumulator in the middle of a product.
enum kind { STEP, WINDOW, REGISTER, KINDS };
static struct {
    bool on;
    enum kind kind;
    unsigned long call, seen[KINDS]; // at which call; calls so far in this batch
    uint32_t line;                   // modulo the number of lines there are
    uint64_t flip;                   // bits of that line's lane
} anywhere;

static bool is_call(enum kind kind)
{
    return anywhere.seen[kind]++ == anywhere.call && anywhere.on && kind == anywhere.kind;
}

static void flip_in_scratch(struct rsa8_scratch *s)
{
    const size_t shared[] = {offsetof(struct rsa8_scratch, p), offsetof(struct rsa8_scratch, q),
                             offsetof(struct rsa8_scratch, n)}; // lines that begin with counts of loops
    size_t begin = offsetof(struct rsa8_scratch, e);
    size_t end = offsetof(struct rsa8_scratch, table) + (size_t)RSA8_ENTRIES * s->half * sizeof *s->table;
    size_t at = begin + anywhere.line % ((end - begin) / RSA8_ALIGN) * RSA8_ALIGN;
    for (int i = 0; i < 3; i++) {
        if (at == shared[i])
            at += RSA8_ALIGN;
    }
    ((struct rsa8_limb *)((uint8_t *)s + at))->lane[FAULT_LANE] ^= anywhere.flip & RSA8_LIMB_MASK;
}

void rsa8_test_registers(void *vectors, size_t len)
{
    if (is_call(REGISTER))
        ((uint64_t *)vectors)[anywhere.line % (len / RSA8_ALIGN) * RSA8_LANES + FAULT_LANE] ^= anywhere.flip;
}

void rsa8_test_step(enum rsa8_step step, struct rsa8_scratch *s)
{
    if (is_call(step == RSA8_STEP_WINDOW ? WINDOW : STEP))
        flip_in_scratch(s);
    if (place == NULL || done || step != place->step)
        return;
    done = true;
    struct rsa8_limb *limb = (struct rsa8_limb *)((uint8_t *)s + place->offset) + fault_limb;
    limb->lane[FAULT_LANE] ^= UINT64_C(1) << fault_bit;
}

void rsa8_test_public(void *p, size_t len)
{
    (void)p;
    (void)len;
}

static struct rsa8_kit_key *key;
static uint8_t in[RSA8_LANES][512], out[RSA8_LANES][512], answer[RSA8_LANES][512];

static void make_inputs(unsigned bits)
{
    rsa8_kit_free(key);
    key = rsa8_kit_key(bits, 0, 65537);
    for (unsigned i = 0; i < RSA8_LANES; i++) {
        rsa8_kit_input(key, in[i]);
        rsa8_kit_answer(key, in[i], answer[i]);
    }
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

// Whether the fault was noticed.
static bool run_with_fault(enum rsa8_impl impl)
{
    struct rsa8_op op[RSA8_LANES];
    size_t len = key->der.n.len;
    for (unsigned i = 0; i < RSA8_LANES; i++) {
        memset(out[i], 0xee, sizeof out[i]);
        op[i] = (struct rsa8_op){.key = key->key, .in = in[i], .out = out[i]};
    }
    done = false;
    memset(anywhere.seen, 0, sizeof anywhere.seen);
    rsa8_run(impl, rsa8_kit_scratch(), op, RSA8_LANES);
    assert_true(place == NULL || done);
    for (unsigned i = 0; i < RSA8_LANES; i++) {
        if (i == FAULT_LANE && op[i].status == RSA8_FAULT) {
            assert_true(is_zero(out[i], len));
            continue;
        }
        assert_int_equal(op[i].status, RSA8_OK);
        assert_memory_equal(out[i], answer[i], len);
    }
    return op[FAULT_LANE].status == RSA8_FAULT;
}

static unsigned limbs_of(const struct place *at)
{
    if (at->limbs > FULL)
        return (unsigned)at->limbs;
    return key->key->half * (at->limbs == HALF ? 1 : 2);
}

static void faults(enum rsa8_impl impl)
{
    make_inputs(2048);
    place = NULL;
    assert_false(run_with_fault(impl));
    for (size_t i = 0; i < PLACES; i++) {
        for (unsigned trial = 0; trial < TRIALS; trial++) {
            place = &places[i];
            // the lowest and the highest limb, and others
            unsigned limbs = limbs_of(place);
            fault_limb = trial == 0 ? 0 : trial == 1 ? limbs - 2 : trial * 7919u % (limbs - 1);
            fault_bit = trial * 11 % RSA8_LIMB_BITS;
            bool noticed = run_with_fault(impl);
            if (place->always && !noticed)
                fail_msg("bit %u of limb %u of %s: not noticed", fault_bit, fault_limb, place->name);
        }
    }
    place = NULL;
}

static void test_faults(void **state)
{
    (void)state;
    rsa8_kit_each(faults);
}

// A flipped bit in all 32 entries of the table is met by every exponent.
static void table_faults(enum rsa8_impl impl)
{
    static const struct place whole = PLACE(RSA8_STEP_TABLE, table, 32 * 20, false);
    unsigned noticed = 0;
    for (unsigned entry = 0; entry < 32; entry += 4) {
        place = &whole;
        fault_limb = entry * 20 + entry / 4;
        fault_bit = 17;
        noticed += run_with_fault(impl);
    }
    place = NULL;
    assert_true(noticed >= 6); // each entry is used with probability 1 - (31/32)^205 = 0.998
}

static void test_table(void **state)
{
    (void)state;
    make_inputs(2048);
    rsa8_kit_each(table_faults);
}

// MEC_RSA8_FAULTS=100000: so many batches with a fault instead of a few dozen.
static unsigned long anywhere_batches(void)
{
    const char *wanted = getenv("MEC_RSA8_FAULTS");
    if (wanted != NULL)
        return strtoul(wanted, NULL, 10);
#if defined(RSA8_KIT_SANITIZED) || defined(RSA8_EMULATED)
    return 24;
#else
    return 120;
#endif
}

// One bit, or all of a limb or an accumulator.
static void anywhere_faults(enum rsa8_impl impl)
{
    unsigned long noticed = 0, batches = anywhere_batches(), calls[KINDS];
    place = NULL;
    anywhere.on = false;
    assert_false(run_with_fault(impl));
    memcpy(calls, anywhere.seen, sizeof calls);
    assert_true(calls[STEP] >= RSA8_STEPS - 1 && calls[WINDOW] > 400 && calls[REGISTER] > 5000);
    for (unsigned long i = 0; i < batches; i++) {
        uint32_t random[2];
        assert_int_equal(RAND_bytes((uint8_t *)random, sizeof random), 1);
        assert_int_equal(RAND_bytes((uint8_t *)&anywhere.flip, sizeof anywhere.flip), 1);
        anywhere.kind = i % KINDS;
        anywhere.call = random[0] % calls[anywhere.kind];
        anywhere.line = random[1];
        if (i / KINDS % 4 != 0)
            anywhere.flip = UINT64_C(1) << anywhere.flip % (anywhere.kind == REGISTER ? 64 : RSA8_LIMB_BITS);
        anywhere.on = true;
        noticed += run_with_fault(impl);
    }
    anywhere.on = false;
    printf("rsa8: %lu faults, %lu results held back, the others right\n", batches, noticed);
    assert_true(noticed > 0);
}

static void test_anywhere(void **state)
{
    (void)state;
    make_inputs(2048);
    rsa8_kit_each(anywhere_faults);
}

// The first operation is computed with this key and has to be held back, that of the lane beside it has not.
static void expect_held_back(enum rsa8_impl impl, const struct rsa8_key *bad)
{
    size_t len = key->der.n.len;
    struct rsa8_op op[2] = {{.key = bad, .in = in[0], .out = out[0]},
                            {.key = key->key, .in = in[1], .out = out[1]}};
    memset(out, 0xee, sizeof out);
    place = NULL;
    rsa8_run(impl, rsa8_kit_scratch(), op, 2);
    assert_int_equal(op[0].status, RSA8_FAULT);
    assert_true(is_zero(out[0], len));
    assert_int_equal(op[1].status, RSA8_OK);
    assert_memory_equal(out[1], answer[1], len);
}

// A bit of a key flips in memory after the key was made: in any of its numbers.
static void spoiled_keys(enum rsa8_impl impl)
{
    static const struct {
        unsigned at, limbs; // in N
    } numbers[] = {{KEY_P, 1},   {KEY_Q, 1},   {KEY_DP1, 1}, {KEY_DQ1, 1}, {KEY_QINV, 1},
                   {KEY_R2P, 1}, {KEY_R2Q, 1}, {KEY_N, 2},   {KEY_R2N, 2}};
    unsigned half = key->key->half;
    uint64_t spoiled[RSA8_KEY_SIZE_MAX / 8];
    struct rsa8_key *bad = (struct rsa8_key *)spoiled;
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        for (unsigned trial = 0; trial < 2; trial++) {
            memcpy(spoiled, key->key, rsa8_key_size(rsa8_bits(key->key)));
            unsigned limb = (trial * 7919 + i * 5) % (numbers[i].limbs * half - 1);
            bad->limb[numbers[i].at * half + limb] ^= UINT64_C(1) << (trial * 29 + i) % RSA8_LIMB_BITS;
            expect_held_back(impl, bad);
        }
    }
    uint64_t *const words[] = {&bad->k0p, &bad->k0q, &bad->k0n, &bad->e};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        memcpy(spoiled, key->key, rsa8_key_size(rsa8_bits(key->key)));
        *words[i] ^= UINT64_C(1) << (3 + 7 * i);
        expect_held_back(impl, bad);
    }
}

static void test_spoiled_keys(void **state)
{
    (void)state;
    make_inputs(2048);
    memset(in[0], 0x11, sizeof in[0]); // below n, whichever of its bits is flipped
    rsa8_kit_each(spoiled_keys);
}

static struct rsa8_kit_key *composite;

static void wrong_prime(enum rsa8_impl impl)
{
    expect_held_back(impl, composite->key);
}

// What making a key does not see: its p is none.
static void test_wrong_prime(void **state)
{
    (void)state;
    BIGNUM *p = BN_new(), *half[2] = {BN_new(), BN_new()};
    BN_CTX *ctx = BN_CTX_new();
    make_inputs(2048);
    do { // e has an inverse modulo p - 1
        for (unsigned i = 0; i < 2; i++)
            BN_generate_prime_ex(half[i], 512, 0, NULL, NULL, NULL);
        BN_mul(p, half[0], half[1], ctx);
    } while (BN_num_bits(p) != 1024 || BN_mod_word(p, 65537) == 1);
    composite = rsa8_kit_make(p, rsa8_kit_prime(2048, 0), 65537);
    assert_int_equal(composite->der.n.len, 256);
    assert_null(rsa8_kit_engine(composite));
    memset(in[0], 0x11, sizeof in[0]);
    rsa8_kit_each(wrong_prime);
    rsa8_kit_free(composite);
    for (unsigned i = 0; i < 2; i++)
        BN_free(half[i]);
    BN_free(p);
    BN_CTX_free(ctx);
}

static int teardown(void **state)
{
    (void)state;
    rsa8_kit_free(key);
    rsa8_kit_release();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),      cmocka_unit_test(test_table),
        cmocka_unit_test(test_anywhere),    cmocka_unit_test(test_spoiled_keys),
        cmocka_unit_test(test_wrong_prime),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
