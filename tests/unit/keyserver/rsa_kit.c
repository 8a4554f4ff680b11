#include "rsa_kit.h"

#include <string.h>

void rsa_kit_append(struct rsa_kit_bytes *to, const void *bytes, size_t len)
{
    assert_true(to->len + len <= sizeof to->bytes);
    if (len != 0)
        memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
}

void rsa_kit_element(struct rsa_kit_bytes *to, uint8_t tag, const void *contents, size_t len)
{
    const uint8_t long_form[] = {tag, 0x82, (uint8_t)(len >> 8), (uint8_t)len};
    const uint8_t middle_form[] = {tag, 0x81, (uint8_t)len};
    const uint8_t short_form[] = {tag, (uint8_t)len};
    if (len >= 0x100)
        rsa_kit_append(to, long_form, sizeof long_form);
    else if (len >= 0x80)
        rsa_kit_append(to, middle_form, sizeof middle_form);
    else
        rsa_kit_append(to, short_form, sizeof short_form);
    rsa_kit_append(to, contents, len);
}

static void append_part(struct rsa_kit_bytes *to, const struct rsa_kit_bytes *part, const void *usual,
                        size_t len)
{
    if (part != NULL)
        rsa_kit_append(to, part->bytes, part->len);
    else
        rsa_kit_append(to, usual, len);
}

void rsa_kit_build(const struct rsa_kit_parts *parts, struct rsa_kit_bytes *der)
{
    static const uint8_t zero[] = {0x02, 0x01, 0x00};
    static const uint8_t rsa[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                  0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    // 11, 22, ... 88 hexadecimal, the last with the zero that its top bit asks for
    static const uint8_t numbers[] = {2, 1,    0x11, 2, 1,    0x22, 2, 1,    0x33, 2, 1, 0x44, 2,
                                      1, 0x55, 2,    1, 0x66, 2,    1, 0x77, 2,    2, 0, 0x88};
    static struct rsa_kit_bytes a, b;
    a.len = b.len = 0;
    append_part(&a, parts->key_version, zero, sizeof zero);
    append_part(&a, parts->numbers, numbers, sizeof numbers);
    append_part(&a, parts->behind_numbers, NULL, 0);
    rsa_kit_element(&b, 0x30, a.bytes, a.len);
    append_part(&b, parts->behind_sequence, NULL, 0);
    a.len = 0;
    append_part(&a, parts->version, zero, sizeof zero);
    append_part(&a, parts->algorithm, rsa, sizeof rsa);
    rsa_kit_element(&a, 0x04, b.bytes, b.len);
    append_part(&a, parts->behind_key, NULL, 0);
    der->len = 0;
    rsa_kit_element(der, 0x30, a.bytes, a.len);
}

// ---- keys

void rsa_kit_key_make(struct rsa_kit_key *key, const BIGNUM *p, const BIGNUM *q, unsigned long e, bool lcm)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM **k = key->number;
    for (size_t i = 0; i < RSA_KIT_NUMBERS; i++)
        assert_non_null(k[i] = BN_new());
    BIGNUM *p1 = BN_new(), *q1 = BN_new(), *order = BN_new(), *gcd = BN_new();
    assert_true(BN_copy(k[RSA_KIT_P], p) != NULL && BN_copy(k[RSA_KIT_Q], q) != NULL);
    assert_true(BN_set_word(k[RSA_KIT_E], e) && BN_mul(k[RSA_KIT_N], p, q, ctx));
    assert_true(BN_sub(p1, p, BN_value_one()) && BN_sub(q1, q, BN_value_one()) && BN_mul(order, p1, q1, ctx));
    if (lcm)
        assert_true(BN_gcd(gcd, p1, q1, ctx) && BN_div(order, NULL, order, gcd, ctx));
    assert_non_null(BN_mod_inverse(k[RSA_KIT_D], k[RSA_KIT_E], order, ctx));
    assert_true(BN_mod(k[RSA_KIT_DP], k[RSA_KIT_D], p1, ctx) && BN_mod(k[RSA_KIT_DQ], k[RSA_KIT_D], q1, ctx));
    assert_non_null(BN_mod_inverse(k[RSA_KIT_QINV], q, p, ctx));
    BN_free(gcd);
    BN_free(order);
    BN_free(q1);
    BN_free(p1);
    BN_CTX_free(ctx);
}

void rsa_kit_key_free(struct rsa_kit_key *key)
{
    for (size_t i = 0; i < RSA_KIT_NUMBERS; i++)
        BN_free(key->number[i]);
}

void rsa_kit_key_der(const struct rsa_kit_key *key, struct rsa_kit_bytes *der)
{
    struct rsa_kit_bytes numbers = {.len = 0};
    for (size_t i = 0; i < RSA_KIT_NUMBERS; i++) {
        uint8_t contents[RSA_KIT_MAX];
        int len = BN_num_bits(key->number[i]) / 8 + 1;
        assert_int_equal(BN_bn2binpad(key->number[i], contents, len), len);
        rsa_kit_element(&numbers, 0x02, contents, (size_t)len);
    }
    const struct rsa_kit_parts parts = {.numbers = &numbers};
    rsa_kit_build(&parts, der);
}

static struct kept {
    int bits;
    unsigned which;
    BIGNUM *prime;
} kept[16];

static bool suits(const BIGNUM *prime)
{
    return BN_mod_word(prime, 3) != 1 && BN_mod_word(prime, 65537) != 1;
}

const BIGNUM *rsa_kit_prime(int bits, unsigned which)
{
    size_t i = 0;
    while (i < sizeof kept / sizeof *kept && kept[i].prime != NULL) {
        if (kept[i].bits == bits && kept[i].which == which)
            return kept[i].prime;
        i++;
    }
    assert_true(i < sizeof kept / sizeof *kept);
    assert_non_null(kept[i].prime = BN_new());
    kept[i].bits = bits;
    kept[i].which = which;
    do
        assert_true(BN_generate_prime_ex(kept[i].prime, bits, 0, NULL, NULL, NULL));
    while (!suits(kept[i].prime));
    return kept[i].prime;
}

void rsa_kit_release(void)
{
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        BN_free(kept[i].prime);
    memset(kept, 0, sizeof kept);
}
