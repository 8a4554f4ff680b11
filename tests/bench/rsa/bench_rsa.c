// bench_rsa: RSA private operations per second on one core: the engine of keyserver/rsa with batches of 1 to 8, and OpenSSL's
// EVP_PKEY_decrypt without padding beside it in the same run; and what a cold key costs. README.md says how to read it.
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "keyserver/rsa/rsa8.h"

#define RUNS_MAX  32
#define BYTES_MAX (RSA8_BITS_MAX / 8)

struct options {
    double seconds;
    unsigned runs, bits; // bits: 0 for all sizes
    const char *json;
};

// A key for both sides.
struct bench_key {
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *ctx;
    uint8_t numbers[8][BYTES_MAX];
    struct rsa_der der;
    struct rsa8_key *engine;
};

static void fail(const char *what)
{
    fprintf(stderr, "bench_rsa: %s\n", what);
    exit(1);
}

// Processor time of this thread, in seconds: a shared machine's other work is not in it.
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void get_number(struct bench_key *key, int i, const char *name, struct rsa_number *number)
{
    BIGNUM *bn = NULL;
    if (EVP_PKEY_get_bn_param(key->pkey, name, &bn) != 1 || BN_num_bytes(bn) > BYTES_MAX)
        fail("OpenSSL does not give the key's numbers");
    *number = (struct rsa_number){key->numbers[i], (size_t)BN_bn2bin(bn, key->numbers[i])};
    BN_clear_free(bn);
}

static void make_key(struct bench_key *key, unsigned bits)
{
    struct rsa_der *der = &key->der;
    key->pkey = EVP_RSA_gen(bits);
    key->ctx = key->pkey == NULL ? NULL : EVP_PKEY_CTX_new(key->pkey, NULL);
    if (key->ctx == NULL || EVP_PKEY_decrypt_init(key->ctx) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(key->ctx, RSA_NO_PADDING) != 1)
        fail("OpenSSL could not make a key");
    get_number(key, 0, OSSL_PKEY_PARAM_RSA_N, &der->n);
    get_number(key, 1, OSSL_PKEY_PARAM_RSA_E, &der->e);
    get_number(key, 2, OSSL_PKEY_PARAM_RSA_D, &der->d);
    get_number(key, 3, OSSL_PKEY_PARAM_RSA_FACTOR1, &der->p);
    get_number(key, 4, OSSL_PKEY_PARAM_RSA_FACTOR2, &der->q);
    get_number(key, 5, OSSL_PKEY_PARAM_RSA_EXPONENT1, &der->dp);
    get_number(key, 6, OSSL_PKEY_PARAM_RSA_EXPONENT2, &der->dq);
    get_number(key, 7, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, &der->qinv);
    key->engine = malloc(rsa8_key_size(bits));
    if (key->engine == NULL)
        fail("out of memory");
    const char *why = rsa8_key_make(key->engine, der);
    if (why != NULL)
        fail(why);
}

static void free_key(struct bench_key *key)
{
    EVP_PKEY_CTX_free(key->ctx);
    EVP_PKEY_free(key->pkey);
    free(key->engine);
    OPENSSL_cleanse(key, sizeof *key);
}

struct bench {
    unsigned bits;
    struct bench_key key[RSA8_LANES];
    struct rsa8_scratch *scratch;
    uint8_t in[RSA8_LANES][BYTES_MAX], out[RSA8_LANES][BYTES_MAX];
};

static double openssl_rate(struct bench *b, double seconds)
{
    unsigned long done = 0;
    double begin = now(), end;
    do {
        unsigned i = done % RSA8_LANES;
        size_t len = b->bits / 8;
        if (EVP_PKEY_decrypt(b->key[i].ctx, b->out[i], &len, b->in[i], b->bits / 8) != 1)
            fail("OpenSSL could not decrypt");
        done++;
        end = now();
    } while (end - begin < seconds || done < RSA8_LANES);
    return (double)done / (end - begin);
}

static double engine_rate(struct bench *b, enum rsa8_impl impl, unsigned count, double seconds)
{
    struct rsa8_op op[RSA8_LANES];
    static uint8_t out[RSA8_LANES][BYTES_MAX];
    unsigned long done = 0;
    double begin = now(), end;
    do {
        for (unsigned i = 0; i < count; i++)
            op[i] = (struct rsa8_op){.key = b->key[i].engine, .in = b->in[i], .out = out[i]};
        rsa8_run(impl, b->scratch, op, count);
        done += count;
        end = now();
    } while (end - begin < seconds);
    for (unsigned i = 0; i < count; i++) {
        if (op[i].status != RSA8_OK || memcmp(out[i], b->out[i], b->bits / 8) != 0)
            fail("the engine and OpenSSL do not agree");
    }
    return (double)done / (end - begin);
}

static double key_make_us(struct bench *b, double seconds)
{
    unsigned long done = 0;
    double begin = now(), end;
    do {
        struct bench_key *key = &b->key[done++ % RSA8_LANES];
        if (rsa8_key_make(key->engine, &key->der) != NULL)
            fail("a key that was good is no more");
        end = now();
    } while (end - begin < seconds);
    return 1e6 * (end - begin) / (double)done;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

// One implementation with batches of 1 to 8: each run measures OpenSSL anew, right before.
static json_t *bench_impl(struct bench *b, enum rsa8_impl impl, const struct options *o)
{
    json_t *rows = json_array();
    for (unsigned count = 1; count <= RSA8_LANES; count++) {
        double stock[RUNS_MAX], ours[RUNS_MAX], ratio[RUNS_MAX];
        for (unsigned run = 0; run < o->runs; run++) {
            stock[run] = openssl_rate(b, o->seconds);
            ours[run] = engine_rate(b, impl, count, o->seconds);
            ratio[run] = ours[run] / stock[run];
        }
        double openssl = median(stock, o->runs), engine = median(ours, o->runs), r = median(ratio, o->runs);
        printf("%5u  %-9s %6u %12.1f %12.1f %8.2f %12.3f\n", b->bits, rsa8_impl_name(impl), count, engine,
               openssl, r, 1e3 * count / engine);
        fflush(stdout);
        json_array_append_new(rows, json_pack("{s:i, s:f, s:f, s:f, s:f}", "batch", (int)count, "per_second",
                                              engine, "openssl_per_second", openssl, "ratio", r, "batch_ms",
                                              1e3 * count / engine));
    }
    return rows;
}

static json_t *bench_size(unsigned bits, const struct options *o)
{
    struct bench *b = calloc(1, sizeof *b);
    size_t scratch_len = (rsa8_scratch_size() + RSA8_ALIGN - 1) / RSA8_ALIGN * RSA8_ALIGN;
    if (b == NULL || (b->scratch = aligned_alloc(RSA8_ALIGN, scratch_len)) == NULL)
        fail("out of memory");
    b->bits = bits;
    for (unsigned i = 0; i < RSA8_LANES; i++) {
        make_key(&b->key[i], bits);
        memset(b->in[i] + 1, 0xa5 ^ (int)i, bits / 8 - 1); // below every modulus: its first byte is 0
    }
    json_t *result = json_pack("{s:i}", "bits", (int)bits);
    openssl_rate(b, o->seconds); // warm, and the answers that the engine's are compared with
    for (enum rsa8_impl impl = 0; impl < RSA8_IMPLS; impl++) {
        if (rsa8_available(impl))
            json_object_set_new(result, rsa8_impl_name(impl), bench_impl(b, impl, o));
    }
    double make_us = key_make_us(b, o->seconds / 4);
    printf("%5u  a key made ready for the engine: %.1f us\n", bits, make_us);
    json_object_set_new(result, "key_make_us", json_real(make_us));
    for (unsigned i = 0; i < RSA8_LANES; i++)
        free_key(&b->key[i]);
    free(b->scratch);
    free(b);
    return result;
}

static void usage(void)
{
    fprintf(stderr, "usage: bench_rsa [--bits 2048|3072|4096] [--seconds S] [--runs N] [--json FILE]\n");
    exit(2);
}

static struct options read_options(int argc, char **argv)
{
    static const struct option names[] = {{"bits", required_argument, NULL, 'b'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"runs", required_argument, NULL, 'r'},
                                          {"json", required_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    struct options o = {.seconds = 1, .runs = 5};
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'b':
            o.bits = (unsigned)strtoul(optarg, NULL, 10);
            if (rsa8_key_size(o.bits) == 0)
                usage();
            break;
        case 's':
            o.seconds = strtod(optarg, NULL);
            break;
        case 'r':
            o.runs = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'j':
            o.json = optarg;
            break;
        default:
            usage();
        }
    }
    if (optind != argc || !(o.seconds > 0) || o.runs < 1 || o.runs > RUNS_MAX)
        usage();
    return o;
}

int main(int argc, char **argv)
{
    struct options o = read_options(argc, argv);
    json_t *sizes = json_array();
    if (!rsa8_available(RSA8_IFMA))
        printf("this processor has no AVX-512 IFMA: only the portable implementation is measured, which is "
               "not meant to be fast\n");
    printf("%s, one thread, medians of %u runs of %g s\n", OpenSSL_version(OPENSSL_VERSION), o.runs,
           o.seconds);
    printf("%5s  %-9s %6s %12s %12s %8s %12s\n", "bits", "engine", "batch", "engine/s", "OpenSSL/s", "ratio",
           "ms a batch");
    for (unsigned bits = 2048; bits <= RSA8_BITS_MAX; bits += 1024) {
        if (o.bits == 0 || o.bits == bits)
            json_array_append_new(sizes, bench_size(bits, &o));
    }
    json_t *report =
        json_pack("{s:s, s:b, s:i, s:f, s:o}", "openssl", OpenSSL_version(OPENSSL_VERSION), "ifma",
                  (int)rsa8_available(RSA8_IFMA), "runs", (int)o.runs, "seconds", o.seconds, "sizes", sizes);
    if (report == NULL)
        fail("out of memory");
    if (o.json != NULL && json_dump_file(report, o.json, JSON_INDENT(2)) != 0) {
        fprintf(stderr, "bench_rsa: writing %s: %s\n", o.json, strerror(errno));
        return 1;
    }
    json_decref(report);
    return 0;
}
