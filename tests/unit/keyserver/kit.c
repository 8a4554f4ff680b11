#include "kit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define KEYS 24

static struct {
    char label[32];
    EVP_PKEY *key;
} kept[KEYS];

static EVP_PKEY **kept_key(const char *kind, unsigned which)
{
    char label[32];
    (void)snprintf(label, sizeof label, "%s/%u", kind, which);
    for (size_t i = 0; i < KEYS; i++) {
        if (kept[i].key == NULL)
            (void)snprintf(kept[i].label, sizeof kept[i].label, "%s", label);
        if (strcmp(kept[i].label, label) == 0)
            return &kept[i].key;
    }
    fail_msg("too many keys");
    return NULL;
}

// Assembles a key from two primes: EVP_RSA_gen() makes moduli of an even number of bits only.
static EVP_PKEY *rsa_of_primes(unsigned bits)
{
    enum { N, E, D, P, Q, DP, DQ, QINV, NUMBERS };
    static const char *const names[NUMBERS] = {
        OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,           OSSL_PKEY_PARAM_RSA_D,
        OSSL_PKEY_PARAM_RSA_FACTOR1,   OSSL_PKEY_PARAM_RSA_FACTOR2,     OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *x[NUMBERS], *p1 = BN_new(), *q1 = BN_new(), *phi = BN_new();
    for (int i = 0; i < NUMBERS; i++)
        x[i] = BN_new();
    assert_int_equal(BN_set_word(x[E], RSA_F4), 1);
    do { // both primes have their two top bits set, so the product is as long as they are together
        assert_int_equal(BN_generate_prime_ex(x[P], (int)(bits + 1) / 2, 0, NULL, NULL, NULL), 1);
        assert_int_equal(BN_generate_prime_ex(x[Q], (int)bits / 2, 0, NULL, NULL, NULL), 1);
        assert_true(BN_sub(p1, x[P], BN_value_one()) && BN_sub(q1, x[Q], BN_value_one()) &&
                    BN_mul(phi, p1, q1, ctx) && BN_mul(x[N], x[P], x[Q], ctx));
    } while (BN_mod_inverse(x[D], x[E], phi, ctx) == NULL);
    assert_true(BN_mod(x[DP], x[D], p1, ctx) && BN_mod(x[DQ], x[D], q1, ctx) &&
                BN_mod_inverse(x[QINV], x[Q], x[P], ctx) != NULL);

    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    for (int i = 0; i < NUMBERS; i++)
        assert_int_equal(OSSL_PARAM_BLD_push_BN(build, names[i], x[i]), 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *key_ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(key_ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(key_ctx, &key, EVP_PKEY_KEYPAIR, params), 1);
    assert_int_equal(EVP_PKEY_get_bits(key), bits);
    EVP_PKEY_CTX_free(key_ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    for (int i = 0; i < NUMBERS; i++)
        BN_clear_free(x[i]);
    BN_clear_free(p1);
    BN_clear_free(q1);
    BN_clear_free(phi);
    BN_CTX_free(ctx);
    return key;
}

EVP_PKEY *kit_rsa(unsigned bits, unsigned which)
{
    char kind[16];
    (void)snprintf(kind, sizeof kind, "RSA-%u", bits);
    EVP_PKEY **key = kept_key(kind, which);
    if (*key == NULL)
        *key = bits % 2 == 0 ? EVP_RSA_gen(bits) : rsa_of_primes(bits);
    assert_non_null(*key);
    return *key;
}

EVP_PKEY *kit_ec(const char *group, unsigned which)
{
    EVP_PKEY **key = kept_key(group, which);
    if (*key == NULL)
        *key = EVP_EC_gen(group);
    assert_non_null(*key);
    return *key;
}

void kit_release(void)
{
    for (size_t i = 0; i < KEYS; i++) {
        EVP_PKEY_free(kept[i].key);
        kept[i].key = NULL;
    }
}

struct ks_key *kit_key(EVP_PKEY *pkey)
{
    unsigned char *der = NULL;
    char name[KEYRECORD_NAME_LEN + 1];
    int len = i2d_PrivateKey(pkey, &der);
    assert_true(len > 0);
    const unsigned char *p = der;
    EVP_PKEY *copy = d2i_AutoPrivateKey(NULL, &p, len);
    OPENSSL_clear_free(der, (size_t)len);
    assert_non_null(copy);
    assert_true(keyrecord_name(copy, name));
    struct ks_key *key = ks_key_create(name, 1, copy);
    assert_non_null(key);
    return key;
}

const struct kit_curve kit_curves[KIT_CURVES] = {
    {23, "P-256", 133}, {24, "P-384", 165}, {25, "P-521", 201}, {29, "X25519", 100}, {30, "X448", 124},
};

size_t kit_ecdhe_input(const struct kit_curve *curve, uint8_t input[static SKI_INPUT_MAX])
{
    EVP_PKEY *key = curve->id < 29 ? EVP_EC_gen(curve->name) : EVP_PKEY_Q_keygen(NULL, NULL, curve->name);
    unsigned char *point = NULL;
    assert_non_null(key);
    size_t len = EVP_PKEY_get1_encoded_public_key(key, &point);
    assert_int_equal(64 + 4 + len, curve->input_len);
    assert_int_equal(RAND_bytes(input, 64), 1);
    input[64] = 3;
    input[65] = 0;
    input[66] = (uint8_t)curve->id;
    input[67] = (uint8_t)len;
    memcpy(input + 68, point, len);
    OPENSSL_free(point);
    EVP_PKEY_free(key);
    return 68 + len;
}

size_t kit_tls13_input(size_t hash_len, uint8_t input[static SKI_INPUT_MAX])
{
    static const char context[] = "TLS 1.3, server CertificateVerify";
    memset(input, 0x20, 64);
    memcpy(input + 64, context, sizeof context);
    assert_int_equal(RAND_bytes(input + 64 + sizeof context, (int)hash_len), 1);
    return 64 + sizeof context + hash_len;
}

const char *kit_base64(const uint8_t *bytes, size_t len)
{
    static char texts[4][4 * (SKI_INPUT_MAX + 300) / 3];
    static unsigned next;
    char *text = texts[next++ % 4];
    assert_true(len <= SKI_INPUT_MAX + 200);
    text[EVP_EncodeBlock((unsigned char *)text, bytes, (int)len)] = '\0';
    return text;
}

static char dir[256];

void kit_dir_create(void)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/keyserver-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void kit_dir_remove(void)
{
    assert_int_equal(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

const char *kit_path(const char *name)
{
    static char paths[4][400];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

char *kit_read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long len = ftell(f);
    assert_true(len >= 0);
    rewind(f);
    char *text = malloc((size_t)len + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)len, f), (size_t)len);
    text[len] = '\0';
    assert_int_equal(fclose(f), 0);
    return text;
}
