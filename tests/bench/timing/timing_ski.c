// timing_ski: does the time that an RSA decryption takes tell whether its padding was good? Ciphertexts of several classes in random
// order, measured in process or over HTTP to a running key server. README.md says how to read it.
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/report.h"
#include "common/secmem.h"
#include "keyserver/keyop_run.h"
#include "ranks.h"
#include "tests/bench/rsa/ttest.h"
#include "tests/e2e/oracle_kit.h"

#define FIRST 2000 // rounds that set the crops and are not tested
#define LEAST 1000 // measurements that a crop must have

// All are as long as the modulus and below it but the last. "same" is the first once more: what the measuring itself makes of no difference.
static const struct class
{
    const char *name;
    enum oracle_kind kind;
} classes[] = {
    {"good", ORACLE_GOOD},
    {"same", ORACLE_GOOD},
    {"bad type", ORACLE_BAD_TYPE},
    {"bad first", ORACLE_BAD_FIRST},
    {"zero in padding", ORACLE_ZERO_IN_PADDING},
    {"no separator", ORACLE_NO_SEPARATOR},
    {"wrong version", ORACLE_WRONG_VERSION},
    {"shorter", ORACLE_LENGTH_47},
    {"random block", ORACLE_RANDOM_BLOCK},
};
enum { CLASSES = sizeof classes / sizeof classes[0] };

static struct {
    unsigned bits;
    unsigned long rounds;
    double leak_us; // the control: so much more time for all classes but "good" and "same"
    const char *connect, *site, *engine, *json;
    struct tls_files files;
} options = {.bits = 2048, .rounds = 20000, .engine = "openssl"};

static struct oracle oracle;
static struct ks_key *key;
static struct rsa8_scratch *scratch;
static const struct rsa8_key *engine_key;
static enum rsa8_impl impl;

static double now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void leak(double us)
{
    for (double end = now_us() + us; now_us() < end;)
        ;
}

// ---- in process: the operation as crypto threads compute it

static void make_key(void)
{
    EVP_PKEY *pkey = EVP_RSA_gen(options.bits);
    unsigned char *der = NULL;
    int len = pkey != NULL ? i2d_PrivateKey(pkey, &der) : 0;
    const unsigned char *p = der;
    EVP_PKEY *copy = len > 0 ? d2i_AutoPrivateKey(NULL, &p, len) : NULL;
    if (copy == NULL || (key = ks_key_create("timing", 1, copy)) == NULL)
        oracle_die("making a key");
    oracle_use_key(&oracle, pkey);
    if (strcmp(options.engine, "openssl") != 0) {
        struct rsa_der numbers;
        PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
        unsigned char *pkcs8 = NULL;
        int pkcs8_len = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, &pkcs8) : 0;
        struct rsa8_key *made = secmem_alloc(rsa8_key_size(options.bits));
        if (pkcs8_len <= 0 || made == NULL || rsa_der_read(pkcs8, (size_t)pkcs8_len, &numbers) != NULL ||
            rsa8_key_make(made, &numbers) != NULL)
            oracle_die("making the engine's key");
        engine_key = made;
        scratch = aligned_alloc(RSA8_ALIGN, (rsa8_scratch_size() + RSA8_ALIGN - 1) / RSA8_ALIGN * RSA8_ALIGN);
        if (scratch == NULL)
            oracle_die("out of memory");
        PKCS8_PRIV_KEY_INFO_free(info);
        OPENSSL_clear_free(pkcs8, (size_t)pkcs8_len);
    }
    OPENSSL_clear_free(der, (size_t)len);
}

// All lanes the same operation: a batch's time is that of its slowest.
static enum ski_status by_engine(const struct ski_request *request, uint8_t *output, size_t *len)
{
    struct keyop_rsa rsa;
    struct rsa8_op op[RSA8_LANES];
    static uint8_t out[RSA8_LANES][SKI_INPUT_MAX];
    enum ski_status status = keyop_rsa_prepare(request, key, &rsa);
    if (status != SKI_OK)
        return status;
    for (unsigned i = 0; i < RSA8_LANES; i++)
        op[i] = (struct rsa8_op){.key = engine_key, .in = rsa.in, .out = out[i]};
    rsa8_run(impl, scratch, op, RSA8_LANES);
    memcpy(rsa.out, out[0], oracle.size);
    return keyop_rsa_finish(request, key, &rsa, op[0].status == RSA8_OK, output, len);
}

static double measure_here(const uint8_t *ciphertext, uint8_t *premaster, bool leaks)
{
    static struct ski_request request;
    uint8_t output[SKI_OUTPUT_MAX];
    size_t len;
    request = (struct ski_request){.protocol = SKI_TLS_1_2,
                                   .method = SKI_METHOD_RSA,
                                   .client_version = SKI_TLS_1_2,
                                   .input_len = oracle.size};
    memcpy(request.input, ciphertext, oracle.size);
    double begin = now_us();
    enum ski_status status =
        scratch != NULL ? by_engine(&request, output, &len) : keyop_run(&request, key, output, &len);
    if (leaks)
        leak(options.leak_us);
    double took = now_us() - begin;
    if (status != SKI_OK || len != ORACLE_PREMASTER_LEN)
        oracle_die("an operation failed");
    memcpy(premaster, output, len);
    return took;
}

// ---- over HTTP: from sending the request to having the answer

static double measure_there(const uint8_t *ciphertext, uint8_t *premaster, bool leaks)
{
    double begin = now_us();
    oracle_ask(&oracle, ciphertext);
    oracle_answer(&oracle, premaster);
    if (leaks)
        leak(options.leak_us);
    return now_us() - begin;
}

// ---- rounds

static double measure(unsigned class)
{
    uint8_t ciphertext[ORACLE_MODULUS_MAX], expected[ORACLE_PREMASTER_LEN], got[ORACLE_PREMASTER_LEN];
    oracle_ciphertext(&oracle, classes[class].kind, ciphertext, expected);
    double took = (options.connect != NULL ? measure_there : measure_here)(ciphertext, got,
                                                                           class > 1 && options.leak_us > 0);
    bool same = memcmp(expected + 2, got + 2, sizeof got - 2) == 0;
    if (same != (classes[class].kind == ORACLE_GOOD))
        oracle_die("an answer is wrong");
    return took;
}

static void do_round(float row[CLASSES])
{
    unsigned order[CLASSES];
    for (unsigned c = 0; c < CLASSES; c++)
        order[c] = c;
    for (unsigned c = CLASSES - 1; c > 0; c--) {
        unsigned other = (unsigned)(oracle_random(&oracle) % (c + 1)), kept = order[c];
        order[c] = order[other];
        order[other] = kept;
    }
    for (unsigned c = 0; c < CLASSES; c++)
        row[order[c]] = (float)measure(order[c]);
}

// Each class against "good": the greatest |t| of Welch's tests, and Wilcoxon's z.
static void compare(const float *rows, unsigned class, struct ttest_result *t, double *z)
{
    static struct ttest test;
    double *first = malloc(2 * FIRST * sizeof *first);
    float *a = malloc(2 * options.rounds * sizeof *a), *b = a + options.rounds;
    if (first == NULL || a == NULL)
        oracle_die("out of memory");
    for (size_t i = 0; i < FIRST; i++) {
        first[2 * i] = (double)rows[i * CLASSES];
        first[2 * i + 1] = (double)rows[i * CLASSES + class];
    }
    ttest_init(&test, first, 2 * FIRST);
    for (size_t i = 0; i < options.rounds; i++) {
        const float *row = rows + (FIRST + i) * CLASSES;
        ttest_add(&test, 0, (double)row[0]);
        ttest_add(&test, 1, (double)row[class]);
        a[i] = row[class];
        b[i] = row[0];
    }
    *t = ttest_worst(&test, LEAST);
    *z = ranks_wilcoxon_z(a, b, options.rounds);
    free(a);
    free(first);
}

static int by_value(const void *a, const void *b)
{
    return (*(const float *)a > *(const float *)b) - (*(const float *)a < *(const float *)b);
}

static double median(const float *rows, unsigned class)
{
    float *values = malloc(options.rounds * sizeof *values);
    if (values == NULL)
        oracle_die("out of memory");
    for (size_t i = 0; i < options.rounds; i++)
        values[i] = rows[(FIRST + i) * CLASSES + class];
    qsort(values, options.rounds, sizeof *values, by_value);
    double middle = (double)values[options.rounds / 2];
    free(values);
    return middle;
}

// Whether nothing but the control's limits was passed.
static bool judge(const float *rows)
{
    bool quiet = true;
    const char *way = options.connect != NULL ? "over HTTP" : options.engine;
    json_t *list = json_array();
    double chi = ranks_friedman(rows + FIRST * CLASSES, options.rounds, CLASSES);
    double all_z = ranks_chi_squared_z(chi, CLASSES - 1);

    printf("%lu rounds, RSA-%zu, %s\n%-16s %10s %8s  %-18s %11s\n", options.rounds, 8 * oracle.size, way,
           "class", "median us", "worst t", "of", "Wilcoxon z");
    for (unsigned c = 1; c < CLASSES; c++) {
        struct ttest_result t;
        double z;
        compare(rows, c, &t, &z);
        double middle = median(rows, c);
        printf("%-16s %10.2f %8.2f  %-18s %11.2f\n", classes[c].name, middle, t.t, t.name, z);
        quiet &= fabs(t.t) < TTEST_LIMIT && fabs(z) < TTEST_LIMIT;
        (void)json_array_append_new(list, json_pack("{s:s, s:f, s:f, s:s, s:f}", "class", classes[c].name,
                                                    "median_us", middle, "t", t.t, "test", t.name,
                                                    "wilcoxon_z", z));
    }
    printf("%-16s %10.2f\nFriedman: chi-squared %.2f of %d degrees of freedom, z %.2f\n", classes[0].name,
           median(rows, 0), chi, CLASSES - 1, all_z);
    quiet &= all_z < TTEST_LIMIT;
    printf("%s\n", quiet ? "no class stands out" : "a class stands out");
    if (options.json != NULL) {
        json_t *report =
            json_pack("{s:s, s:i, s:I, s:f, s:f, s:b, s:o}", "way", way, "bits", (int)(8 * oracle.size),
                      "rounds", (json_int_t)options.rounds, "friedman_chi_squared", chi, "friedman_z", all_z,
                      "quiet", quiet, "classes", list);
        if (report == NULL || json_dump_file(report, options.json, JSON_INDENT(2)) != 0)
            oracle_die("--json: cannot write the file");
        json_decref(report);
    } else {
        json_decref(list);
    }
    return quiet;
}

// ---- options

static void usage(void)
{
    fprintf(stderr,
            "usage: timing_ski [--bits 2048|3072|4096] [--engine openssl|ifma|portable] [--rounds N] [--leak "
            "US] [--json FILE]\n"
            "       timing_ski --connect HOST:PORT --ca PEM --cert PEM --key PEM --site PEM [--rounds N] "
            "[--json FILE]\n"
            "Each round measures one ciphertext of each of %d classes, good and malformed, in random order "
            "(20000 rounds).\n"
            "Status 1: a class can be told from the good ones by its time. --leak makes one so, to see that "
            "it is noticed.\n",
            CLASSES);
    exit(EXIT_USAGE);
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"bits", 1, NULL, 'b'}, {"engine", 1, NULL, 'g'},  {"rounds", 1, NULL, 'n'}, {"leak", 1, NULL, 'l'},
        {"json", 1, NULL, 'j'}, {"connect", 1, NULL, 'c'}, {"ca", 1, NULL, 'a'},     {"cert", 1, NULL, 'e'},
        {"key", 1, NULL, 'k'},  {"site", 1, NULL, 's'},    {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case 'b':
            options.bits = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'g':
            options.engine = optarg;
            break;
        case 'n':
            options.rounds = strtoul(optarg, NULL, 10);
            break;
        case 'l':
            options.leak_us = strtod(optarg, NULL);
            break;
        case 'j':
            options.json = optarg;
            break;
        case 'c':
            options.connect = optarg;
            break;
        case 'a':
            options.files.ca_file = optarg;
            break;
        case 'e':
            options.files.cert_file = optarg;
            break;
        case 'k':
            options.files.key_file = optarg;
            break;
        case 's':
            options.site = optarg;
            break;
        default:
            usage();
        }
    }
    impl = strcmp(options.engine, "ifma") == 0 ? RSA8_IFMA : RSA8_PORTABLE;
    bool known = impl == RSA8_IFMA || strcmp(options.engine, "portable") == 0 ||
                 strcmp(options.engine, "openssl") == 0;
    if (optind != argc || options.rounds < LEAST || rsa8_key_size(options.bits) == 0 || !known ||
        (options.connect == NULL) != (options.site == NULL))
        usage();
    if (impl == RSA8_IFMA && !rsa8_available(impl))
        oracle_die("--engine: ifma: this processor cannot run it");
}

int main(int argc, char **argv)
{
    struct error e;
    report_set_program("timing_ski");
    read_options(argc, argv);
    bool locked;
    if (!secmem_setup(4 << 20, &locked, &e))
        oracle_die(e.text);
    if (RAND_bytes((unsigned char *)&oracle.random, sizeof oracle.random) != 1)
        oracle_die("no random numbers");
    if (options.connect != NULL) {
        oracle_use_certificate(&oracle, options.site);
        oracle_connect(&oracle, options.connect, &options.files);
    } else {
        make_key();
    }
    float *rows = malloc((FIRST + options.rounds) * CLASSES * sizeof *rows);
    if (rows == NULL)
        oracle_die("out of memory");
    for (size_t i = 0; i < FIRST + options.rounds; i++)
        do_round(rows + i * CLASSES);
    bool quiet = judge(rows);
    free(rows);
    free(scratch);
    ks_key_unref(&key);
    oracle_release(&oracle);
    return quiet ? EXIT_DONE : EXIT_FAILED;
}
