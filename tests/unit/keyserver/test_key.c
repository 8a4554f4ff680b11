// A key, made from OpenSSL's form or from its record: its fallback secret is the key's own, not its file's. Two servers with the same key
// from different files must give the same fallback premasters, or an edge that asks both could tell good padding (equal answers) from bad.
// A key for the engine is made without OpenSSL, computes what OpenSSL computes, and gives OpenSSL's form when it is asked for.
#include "kit.h"
#include "rsa_kit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "common/secmem.h"

struct numbers {
    BIGNUM *n, *e, *d, *p, *q;
};

static void take(EVP_PKEY *key, const char *name, BIGNUM **number)
{
    *number = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, number), 1);
}

// The same key written differently: another private exponent, or the primes in the other order.
static EVP_PKEY *rebuild(const struct numbers *x, const BIGNUM *d, const BIGNUM *p, const BIGNUM *q)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p1 = BN_dup(p), *q1 = BN_dup(q), *dp = BN_new(), *dq = BN_new(), *qinv = BN_new();
    assert_true(BN_sub_word(p1, 1) == 1 && BN_sub_word(q1, 1) == 1);
    assert_true(BN_mod(dp, d, p1, ctx) == 1 && BN_mod(dq, d, q1, ctx) == 1 &&
                BN_mod_inverse(qinv, q, p, ctx) != NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    const struct {
        const char *name;
        const BIGNUM *number;
    } parts[] = {
        {OSSL_PKEY_PARAM_RSA_N, x->n},       {OSSL_PKEY_PARAM_RSA_E, x->e},
        {OSSL_PKEY_PARAM_RSA_D, d},          {OSSL_PKEY_PARAM_RSA_FACTOR1, p},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, q},    {OSSL_PKEY_PARAM_RSA_EXPONENT1, dp},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, dq}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, qinv},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        assert_int_equal(OSSL_PARAM_BLD_push_BN(build, parts[i].name, parts[i].number), 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(make), 1);
    assert_int_equal(EVP_PKEY_fromdata(make, &key, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(make);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BIGNUM *scratch[] = {p1, q1, dp, dq, qinv};
    for (size_t i = 0; i < sizeof scratch / sizeof scratch[0]; i++)
        BN_free(scratch[i]);
    BN_CTX_free(ctx);
    return key;
}

// d + lcm(p-1, q-1), as long as it is below n: another exponent that does the same.
static BIGNUM *other_exponent(const struct numbers *x)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p1 = BN_dup(x->p), *q1 = BN_dup(x->q), *phi = BN_new(), *gcd = BN_new(), *lcm = BN_new(),
           *d = BN_new();
    assert_true(BN_sub_word(p1, 1) == 1 && BN_sub_word(q1, 1) == 1 && BN_mul(phi, p1, q1, ctx) == 1);
    assert_true(BN_gcd(gcd, p1, q1, ctx) == 1 && BN_div(lcm, NULL, phi, gcd, ctx) == 1);
    assert_true(BN_mod(d, x->d, lcm, ctx) == 1);
    if (BN_cmp(d, x->d) == 0)
        assert_int_equal(BN_add(d, d, lcm), 1);
    assert_int_not_equal(BN_cmp(d, x->d), 0);
    BIGNUM *scratch[] = {p1, q1, phi, gcd, lcm};
    for (size_t i = 0; i < sizeof scratch / sizeof scratch[0]; i++)
        BN_free(scratch[i]);
    BN_CTX_free(ctx);
    return d;
}

static void the_fallback_secret_is_the_keys_not_the_files(void **state)
{
    (void)state;
    EVP_PKEY *original = EVP_RSA_gen(2048), *stranger = EVP_RSA_gen(2048);
    struct numbers x;
    take(original, OSSL_PKEY_PARAM_RSA_N, &x.n);
    take(original, OSSL_PKEY_PARAM_RSA_E, &x.e);
    take(original, OSSL_PKEY_PARAM_RSA_D, &x.d);
    take(original, OSSL_PKEY_PARAM_RSA_FACTOR1, &x.p);
    take(original, OSSL_PKEY_PARAM_RSA_FACTOR2, &x.q);
    BIGNUM *d = other_exponent(&x);

    struct ks_key *keys[] = {
        ks_key_create("a", 1, rebuild(&x, d, x.p, x.q)),
        ks_key_create("b", 1, rebuild(&x, x.d, x.q, x.p)),
        ks_key_create("c", 1, rebuild(&x, d, x.q, x.p)),
        ks_key_create("d", 1, original),
        ks_key_create("e", 1, stranger),
    };
    for (size_t i = 0; i < 5; i++) {
        assert_non_null(keys[i]);
        int differs =
            memcmp(keys[i]->fallback_secret, keys[0]->fallback_secret, RSA_FALLBACK_SECRET_LEN) != 0;
        assert_int_equal(differs, i == 4);
    }
    for (size_t i = 0; i < 5; i++)
        ks_key_unref(&keys[i]);
    BIGNUM *all[] = {x.n, x.e, x.d, x.p, x.q, d};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        BN_clear_free(all[i]);
}

static void keys_of_other_kinds_are_refused(void **state)
{
    (void)state;
    assert_null(ks_key_create("a", 1, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")));
    assert_null(ks_key_create("a", 1, EVP_RSA_gen(1024)));
}

// ---- keys from records

static const unsigned engine_bits[] = {2048, 3072, 4096};

// The key of PKCS#8 DER as it comes out of a record of the Java key server, which can hold any.
static struct ks_key *from_der(const uint8_t *der, size_t len)
{
    static const char alias[] = "A9993E364706816ABA3E25717850C26C9CD0D89D";
    struct keyrecord_key record;
    struct ks_key *key = NULL;
    unsigned char *text = malloc(2 * len);
    int text_len = EVP_EncodeBlock(text, der, (int)len);
    assert_int_equal(keyrecord_open_key(alias, text, (size_t)text_len, NULL, &record), KEYRECORD_OK);
    assert_int_equal(ks_key_from_record("a", 7, &record, &key), KEYRECORD_OK);
    assert_true(record.der == NULL && record.pkey == NULL);
    free(text);
    assert_string_equal(key->name, "a");
    assert_int_equal(key->version, 7);
    return key;
}

static struct ks_key *from_record(EVP_PKEY *pkey)
{
    unsigned char *der = NULL;
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(pkey);
    int len = i2d_PKCS8_PRIV_KEY_INFO(p8, &der);
    PKCS8_PRIV_KEY_INFO_free(p8);
    assert_true(len > 0);
    struct ks_key *key = from_der(der, (size_t)len);
    OPENSSL_clear_free(der, (size_t)len);
    return key;
}

// All that does not depend on the form.
static void assert_alike(const struct ks_key *a, const struct ks_key *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->bits, b->bits);
    assert_int_equal(a->size, b->size);
    if (a->type == KEYRECORD_EC) {
        assert_true(a->modulus == NULL && a->fallback_secret == NULL && a->rsa8 == NULL);
        return;
    }
    assert_memory_equal(a->modulus, b->modulus, a->size);
    assert_memory_equal(a->fallback_secret, b->fallback_secret, RSA_FALLBACK_SECRET_LEN);
}

static void a_key_for_the_engine_is_made_without_openssl(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *pkey = kit_rsa(engine_bits[i], 0);
        struct ks_key *key = from_record(pkey), *stock = kit_key(pkey);
        assert_non_null(key->rsa8);
        assert_null(stock->rsa8);
        assert_int_equal(rsa8_bits(key->rsa8), engine_bits[i]);
        assert_alike(key, stock);
        assert_true(key->evp == NULL && key->der != NULL); // not decoded, and not needed
        assert_int_equal(EVP_PKEY_eq(ks_key_pkey(key), pkey), 1);
        assert_null(key->der);
        assert_ptr_equal(ks_key_pkey(key), key->evp);
        assert_alike(key, stock);
        ks_key_unref(&key);
        ks_key_unref(&stock);
    }
}

static void private_operation(EVP_PKEY *pkey, const uint8_t *in, uint8_t *out, size_t size)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    assert_int_equal(EVP_PKEY_decrypt(ctx, out, &size, in, size), 1);
    EVP_PKEY_CTX_free(ctx);
}

static void the_engine_computes_what_openssl_computes(void **state)
{
    (void)state;
    struct rsa8_scratch *scratch = aligned_alloc(RSA8_ALIGN, rsa8_scratch_size());
    assert_non_null(scratch);
    for (size_t i = 0; i < 3; i++) {
        struct ks_key *key = from_record(kit_rsa(engine_bits[i], 0));
        uint8_t in[512] = {0, 1, 2, 3, (uint8_t)i}, expected[512], out[512];
        struct rsa8_op op = {.key = key->rsa8, .in = in, .out = out};
        rsa8_run(RSA8_PORTABLE, scratch, &op, 1);
        assert_int_equal(op.status, RSA8_OK);
        private_operation(ks_key_pkey(key), in, expected, key->size);
        assert_memory_equal(out, expected, key->size);
        ks_key_unref(&key);
    }
    free(scratch);
}

// p before q or behind it, and either private exponent.
static void one_fallback_secret_for_all_files(void **state)
{
    (void)state;
    static struct rsa_kit_bytes der;
    struct ks_key *first = NULL;
    for (unsigned i = 0; i < 4; i++) {
        struct rsa_kit_key numbers;
        rsa_kit_key_make(&numbers, rsa_kit_prime(1024, i % 2), rsa_kit_prime(1024, 1 - i % 2), 65537, i < 2);
        rsa_kit_key_der(&numbers, &der);
        struct ks_key *key = from_der(der.bytes, der.len);
        assert_non_null(key->rsa8);
        EVP_PKEY *pkey = ks_key_pkey(key);
        assert_int_equal(EVP_PKEY_up_ref(pkey), 1);
        struct ks_key *stock = ks_key_create("b", 1, pkey);
        assert_alike(key, stock);
        ks_key_unref(&stock);
        if (first == NULL)
            first = ks_key_ref(key);
        assert_alike(key, first);
        ks_key_unref(&key);
        rsa_kit_key_free(&numbers);
    }
    ks_key_unref(&first);
}

// Sizes, exponents and primes that are not the engine's; they are served as ever.
static void keys_that_are_not_for_the_engine(void **state)
{
    (void)state;
    static struct rsa_kit_bytes der;
    struct ks_key *keys[5];
    struct rsa_kit_key numbers;
    keys[0] = from_record(kit_rsa(2049, 0));
    keys[1] = from_record(kit_ec("P-256", 0));
    rsa_kit_key_make(&numbers, rsa_kit_prime(1024, 0), rsa_kit_prime(1024, 1), 0xffffffffffffffc5, true);
    rsa_kit_key_der(&numbers, &der);
    keys[2] = from_der(der.bytes, der.len);
    rsa_kit_key_free(&numbers);
    rsa_kit_key_make(&numbers, rsa_kit_prime(1024, 0), rsa_kit_prime(1024, 1), 65537, true);
    // OpenSSL takes a wrong qinv, and d makes good what it spoils.
    assert_int_equal(BN_add_word(numbers.number[RSA_KIT_QINV], 1), 1);
    rsa_kit_key_der(&numbers, &der);
    keys[3] = from_der(der.bytes, der.len);
    rsa_kit_key_free(&numbers);
    rsa_kit_key_make(&numbers, rsa_kit_prime(1000, 0), rsa_kit_prime(1048, 0), 65537, true);
    rsa_kit_key_der(&numbers, &der);
    keys[4] = from_der(der.bytes, der.len);
    rsa_kit_key_free(&numbers);
    for (size_t i = 0; i < 5; i++) {
        assert_true(keys[i]->rsa8 == NULL && keys[i]->der == NULL && keys[i]->evp != NULL);
        struct ks_key *stock = kit_key(ks_key_pkey(keys[i]));
        assert_alike(keys[i], stock);
        ks_key_unref(&stock);
        ks_key_unref(&keys[i]);
    }
}

// Should OpenSSL refuse the DER of a key that the engine has, the answer is the same each time, and no crash.
static void der_that_openssl_refuses(void **state)
{
    (void)state;
    struct ks_key *key = from_record(kit_rsa(2048, 0));
    key->der[0] ^= 1;
    assert_int_equal(ks_key_decode(key), KEYRECORD_BAD_KEY);
    assert_null(ks_key_pkey(key));
    assert_non_null(key->rsa8);
    key->der[0] ^= 1;
    assert_non_null(ks_key_pkey(key));
    ks_key_unref(&key);
}

static void *ask_for_pkey(void *arg)
{
    return ks_key_pkey(arg);
}

static void threads_that_ask_for_openssls_form_get_one(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct ks_key *key = from_record(kit_rsa(2048, 0));
        pthread_t threads[4];
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, ask_for_pkey, key), 0);
        EVP_PKEY *mine = ks_key_pkey(key);
        assert_non_null(mine);
        for (size_t i = 0; i < 4; i++) {
            void *theirs;
            assert_int_equal(pthread_join(threads[i], &theirs), 0);
            assert_ptr_equal(theirs, mine);
        }
        assert_null(key->der);
        ks_key_unref(&key);
    }
}

static int release(void **state)
{
    (void)state;
    rsa_kit_release();
    kit_release();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fallback_secret_is_the_keys_not_the_files),
        cmocka_unit_test(keys_of_other_kinds_are_refused),
        cmocka_unit_test(a_key_for_the_engine_is_made_without_openssl),
        cmocka_unit_test(the_engine_computes_what_openssl_computes),
        cmocka_unit_test(one_fallback_secret_for_all_files),
        cmocka_unit_test(keys_that_are_not_for_the_engine),
        cmocka_unit_test(der_that_openssl_refuses),
        cmocka_unit_test(threads_that_ask_for_openssls_form_get_one),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
