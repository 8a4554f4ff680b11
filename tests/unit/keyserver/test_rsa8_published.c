// Published RSA vectors: NIST's for FIPS 186-2 (signatures of PKCS #1 v1.5 and PSS, and keys with e = 3, 17 and
// 65537), as Debian's package python3-cryptography-vectors has them. MEC_RSA_VECTORS: the folder that has FIPS_186-2,
// if it is elsewhere. Where there is none the test says so and is skipped.
#include "rsa8_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#define SKIPPED 77
#define FOLDER  "/usr/lib/python3/dist-packages/cryptography_vectors/asymmetric/RSA"
#define LINE    4096
#define KEYS    64

enum kind { PKCS1, PSS, KEY };

// A record is complete with its line `last`; `value`: what that has to begin with.
static const struct vectors {
    const char *name, *last, *value;
    enum kind kind;
    bool primes; // p and q are in the file
    unsigned least;
} files[] = {
    {"SigGen15_186-2.txt", "S", "", PKCS1, false, 150},
    {"SigGenPSS_186-2.txt", "S", "", PSS, false, 150},
    {"SigVer15_186-3.rsp", "Result", "P", PKCS1, true, 45},
    {"SigVerPSS_186-3.rsp", "Result", "P", PSS, true, 45},
    {"KeyGenRSA.rsp", "d", "", KEY, true, 18},
};

static const char *folder;

// The values of the lines so far, by name; a later line replaces an earlier one.
enum { N, E, D, P, Q, S, NUMBERS };
static struct record {
    BIGNUM *number[NUMBERS];
    char hash[16];
    uint8_t message[LINE / 2], salt[LINE / 2];
    size_t message_len, salt_len;
} record;

// Operations that wait for a batch of their size to be full.
static struct {
    enum rsa8_impl impl;
    unsigned count;
    struct rsa8_kit_key *key[RSA8_LANES];
    uint8_t in[RSA8_LANES][512], want[RSA8_LANES][512];
} waiting;

static size_t from_hex(uint8_t *bytes, const char *hex)
{
    size_t len = 0;
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        unsigned byte;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        bytes[len++] = (uint8_t)byte;
    }
    return len;
}

static void set_value(const char *name, const char *value)
{
    static const char *const names[NUMBERS] = {"n", "e", "d", "p", "q", "S"};
    for (int i = 0; i < NUMBERS; i++) {
        if (strcmp(name, names[i]) == 0)
            assert_int_not_equal(BN_hex2bn(&record.number[i], value), 0);
    }
    if (strcmp(name, "SHAAlg") == 0)
        snprintf(record.hash, sizeof record.hash, "%s", value);
    else if (strcmp(name, "Msg") == 0)
        record.message_len = from_hex(record.message, value);
    else if (strcmp(name, "SaltVal") == 0)
        record.salt_len = from_hex(record.salt, value);
}

// p and q from n, e and d: a square root of 1 other than 1 and -1 (NIST SP 800-56B, appendix C).
static void factor(const BIGNUM *n, const BIGNUM *e, const BIGNUM *d, BIGNUM *p, BIGNUM *q)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *odd = BN_new(), *x = BN_new(), *y = BN_new(), *minus = BN_dup(n);
    int twos = 0;
    BN_mul(odd, e, d, ctx);
    BN_sub_word(odd, 1);
    while (!BN_is_bit_set(odd, twos))
        twos++;
    BN_rshift(odd, odd, twos);
    BN_sub_word(minus, 1);
    for (unsigned long g = 2; BN_is_zero(p); g++) {
        assert_true(g < 200);
        BN_set_word(x, g);
        BN_mod_exp(x, x, odd, n, ctx);
        for (int i = 0; i < twos && !BN_is_one(x) && BN_cmp(x, minus) != 0; i++) {
            BN_mod_sqr(y, x, n, ctx);
            if (BN_is_one(y)) {
                BN_sub_word(x, 1);
                BN_gcd(p, x, n, ctx);
                BN_div(q, NULL, n, p, ctx);
                break;
            }
            BN_copy(x, y);
        }
    }
    BN_free(odd);
    BN_free(x);
    BN_free(y);
    BN_free(minus);
    BN_CTX_free(ctx);
}

// The keys of a file, each made once.
static struct rsa8_kit_key *keys[KEYS];
static unsigned keys_count;

static void forget_keys(void)
{
    while (keys_count > 0)
        rsa8_kit_free(keys[--keys_count]);
}

// The record's key; its published n and d are those that follow from p, q and e.
static struct rsa8_kit_key *make_key(bool primes)
{
    BIGNUM *const *number = record.number;
    BIGNUM *p = BN_new(), *q = BN_new(), *p1 = BN_new(), *dp = BN_new();
    BN_CTX *ctx = BN_CTX_new();
    if (primes) {
        BN_copy(p, number[P]);
        BN_copy(q, number[Q]);
    } else {
        factor(number[N], number[E], number[D], p, q);
    }
    struct rsa8_kit_key *key = rsa8_kit_make(p, q, BN_get_word(number[E]));
    assert_int_equal(BN_cmp(key->n, number[N]), 0);
    BN_sub(p1, p, BN_value_one());
    BN_mod(dp, number[D], p1, ctx);
    assert_int_equal(BN_cmp(key->dp, dp), 0);
    assert_null(rsa8_kit_engine(key));
    BN_free(p);
    BN_free(q);
    BN_free(p1);
    BN_free(dp);
    BN_CTX_free(ctx);
    return key;
}

static struct rsa8_kit_key *record_key(bool primes)
{
    for (unsigned i = 0; i < keys_count; i++) {
        if (BN_cmp(keys[i]->n, record.number[N]) == 0 && BN_cmp(keys[i]->e, record.number[E]) == 0)
            return keys[i];
    }
    assert_true(keys_count < KEYS);
    return keys[keys_count++] = make_key(primes);
}

static const EVP_MD *record_hash(void)
{
    const EVP_MD *md = EVP_get_digestbyname(record.hash);
    if (md == NULL)
        fail_msg("hash %s is not known", record.hash);
    return md;
}

static size_t hash_of(const void *bytes, size_t len, uint8_t *hash)
{
    unsigned hash_len = 0;
    assert_int_equal(EVP_Digest(bytes, len, hash, &hash_len, record_hash(), NULL), 1);
    return hash_len;
}

// EMSA-PKCS1-v1_5 (RFC 8017, 9.2) of the message.
static void encode_pkcs1(uint8_t *em, size_t len)
{
    uint8_t hash[EVP_MAX_MD_SIZE], *info = NULL;
    X509_ALGOR *algorithm = NULL;
    ASN1_OCTET_STRING *digest = NULL;
    X509_SIG *sig = X509_SIG_new();
    size_t hash_len = hash_of(record.message, record.message_len, hash);
    X509_SIG_getm(sig, &algorithm, &digest);
    X509_ALGOR_set0(algorithm, OBJ_nid2obj(EVP_MD_get_type(record_hash())), V_ASN1_NULL, NULL);
    ASN1_OCTET_STRING_set(digest, hash, (int)hash_len);
    size_t info_len = (size_t)i2d_X509_SIG(sig, &info);
    memset(em, 0xff, len);
    em[0] = 0;
    em[1] = 1;
    em[len - info_len - 1] = 0;
    memcpy(em + len - info_len, info, info_len);
    OPENSSL_free(info);
    X509_SIG_free(sig);
}

// EMSA-PSS (RFC 8017, 9.1.1) of the message with the published salt; the modulus has 8 len bits.
static void encode_pss(uint8_t *em, size_t len)
{
    uint8_t block[8 + EVP_MAX_MD_SIZE + sizeof record.salt] = {0}, mask[EVP_MAX_MD_SIZE];
    size_t hash_len = hash_of(record.message, record.message_len, block + 8);
    memcpy(block + 8 + hash_len, record.salt, record.salt_len);
    size_t db_len = len - hash_len - 1;
    uint8_t *hash = em + db_len;
    hash_of(block, 8 + hash_len + record.salt_len, hash);
    memset(em, 0, db_len);
    em[db_len - record.salt_len - 1] = 1;
    memcpy(em + db_len - record.salt_len, record.salt, record.salt_len);
    em[len - 1] = 0xbc;
    memcpy(block, hash, hash_len);
    for (size_t i = 0; i < db_len; i++) {
        if (i % hash_len == 0) {
            size_t counter = i / hash_len;
            memcpy(block + hash_len, (uint8_t[]){0, 0, (uint8_t)(counter >> 8), (uint8_t)counter}, 4);
            hash_of(block, hash_len + 4, mask);
        }
        em[i] ^= mask[i % hash_len];
    }
    em[0] &= 0x7f;
}

static void flush(void)
{
    uint8_t out[RSA8_LANES][512];
    struct rsa8_op op[RSA8_LANES];
    for (unsigned i = 0; i < waiting.count; i++)
        op[i] = (struct rsa8_op){.key = waiting.key[i]->key, .in = waiting.in[i], .out = out[i]};
    if (waiting.count > 0)
        rsa8_run(waiting.impl, rsa8_kit_scratch(), op, waiting.count);
    for (unsigned i = 0; i < waiting.count; i++) {
        assert_int_equal(op[i].status, RSA8_OK);
        assert_memory_equal(out[i], waiting.want[i], waiting.key[i]->der.n.len);
    }
    waiting.count = 0;
}

// The record's operation, to be computed with others of its size: message and S; of a key alone, any input and what
// OpenSSL computes with the published d.
static void add(enum kind kind, struct rsa8_kit_key *key)
{
    if (waiting.count == RSA8_LANES || (waiting.count > 0 && waiting.key[0]->der.n.len != key->der.n.len))
        flush();
    unsigned lane = waiting.count++;
    size_t len = key->der.n.len;
    uint8_t *in = waiting.in[lane], *want = waiting.want[lane];
    waiting.key[lane] = key;
    if (kind == PKCS1)
        encode_pkcs1(in, len);
    else if (kind == PSS)
        encode_pss(in, len);
    if (kind != KEY) {
        BN_bn2binpad(record.number[S], want, (int)len);
        return;
    }
    BN_CTX *ctx = BN_CTX_new();
    rsa8_kit_input(key, in);
    BIGNUM *c = BN_bin2bn(in, (int)len, NULL);
    BN_mod_exp(c, c, record.number[D], record.number[N], ctx);
    BN_bn2binpad(c, want, (int)len);
    BN_free(c);
    BN_CTX_free(ctx);
}

// "name = value", "[mod = bits]", comments; returns false for other lines.
static bool split(char *line, char **name, char **value)
{
    line[strcspn(line, "\r\n")] = '\0';
    char *equal = strstr(line, " = ");
    if (equal == NULL || line[0] == '#')
        return false;
    *equal = '\0';
    *name = line[0] == '[' ? line + 1 : line;
    *value = equal + 3;
    return true;
}

static unsigned read_file(const struct vectors *file)
{
    char path[1024], line[LINE], *name, *value;
    unsigned count = 0, bits = 0;
    snprintf(path, sizeof path, "%s/FIPS_186-2/%s", folder, file->name);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        fail_msg("%s cannot be read", path);
    while (fgets(line, sizeof line, f) != NULL) {
        if (!split(line, &name, &value))
            continue;
        if (strcmp(name, "mod") == 0)
            bits = (unsigned)strtoul(value, NULL, 10);
        else
            set_value(name, value);
        if (rsa8_key_size(bits) == 0 || strcmp(name, file->last) != 0 ||
            strncmp(value, file->value, strlen(file->value)) != 0)
            continue;
        add(file->kind, record_key(file->primes));
        count++;
    }
    fclose(f);
    flush();
    forget_keys();
    return count;
}

static void published(enum rsa8_impl impl)
{
    waiting.impl = impl;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        unsigned count = read_file(&files[i]);
        printf("rsa8: %s: %u\n", files[i].name, count);
        assert_true(count >= files[i].least);
    }
}

static void test_published(void **state)
{
    (void)state;
    rsa8_kit_each(published);
}

static int teardown(void **state)
{
    (void)state;
    forget_keys();
    for (int i = 0; i < NUMBERS; i++)
        BN_free(record.number[i]);
    rsa8_kit_release();
    return 0;
}

int main(void)
{
    folder = getenv("MEC_RSA_VECTORS");
    if (folder == NULL)
        folder = FOLDER;
    if (access(folder, R_OK) != 0) {
        fprintf(
            stderr,
            "test_rsa8_published: no vectors in %s (Debian package python3-cryptography-vectors); skipped\n",
            folder);
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_published)};
    return cmocka_run_group_tests(tests, NULL, teardown);
}
