// bench_cold: what a key costs that is met for the first time: from the bytes of its record in the store to a key ready to run, in the
// engine's form and in OpenSSL's, beside one operation of either. README.md says how to read it.
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include <openssl/rsa.h>

#include "common/secmem.h"
#include "keyserver/key.h"

#define KEYS     RSA8_LANES
#define RUNS_MAX 32
#define FORMS    2

static const char *const form_names[FORMS] = {"pkcs8", "compact"};

struct options {
    double seconds;
    unsigned runs, bits; // bits: 0 for all sizes
    const char *json;
};

struct record {
    char name[KEYRECORD_NAME_LEN + 1];
    uint8_t *value[FORMS]; // sealed
    size_t len[FORMS];
};

struct bench {
    unsigned bits;
    struct seal_key *master;
    struct record record[KEYS];
    struct rsa8_scratch *scratch;
    uint8_t in[RSA8_BITS_MAX / 8], out[KEYS][RSA8_BITS_MAX / 8];
};

static void fail(const char *what)
{
    fprintf(stderr, "bench_cold: %s\n", what);
    exit(1);
}

// Processor time of this thread, in seconds: a shared machine's other work is not in it.
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct seal_key *new_master(void)
{
    char folder[] = "/tmp/bench_cold.XXXXXX", path[64];
    struct error e;
    if (mkdtemp(folder) == NULL)
        fail("no temporary folder");
    (void)snprintf(path, sizeof path, "%s/master", folder);
    struct seal_key *master = seal_key_generate(path, &e) ? seal_key_load(path, &e) : NULL;
    (void)unlink(path);
    (void)rmdir(folder);
    if (master == NULL)
        fail(e.text);
    return master;
}

static void make_record(struct bench *b, struct record *r)
{
    static struct keyrecord_info info;
    EVP_PKEY *pkey = EVP_RSA_gen(b->bits);
    if (pkey == NULL || !keyrecord_name(pkey, r->name))
        fail("OpenSSL could not make a key");
    for (int form = 0; form < FORMS; form++) {
        info.encoding = form == 0 ? KEYRECORD_PKCS8 : KEYRECORD_COMPACT;
        if (keyrecord_encode(r->name, &info, pkey, b->master, &r->value[form], &r->len[form]) != KEYRECORD_OK)
            fail("a key could not be sealed");
    }
    EVP_PKEY_free(pkey);
}

// ---- keys

// As keyserver/keyring.c opens records, with the engine and without.
static struct ks_key *open_for_engine(const struct bench *b, const struct record *r, int form)
{
    struct keyrecord_key record;
    struct ks_key *key = NULL;
    if (keyrecord_open_key(r->name, r->value[form], r->len[form], b->master, &record) != KEYRECORD_OK ||
        ks_key_from_record(r->name, 1, &record, &key) != KEYRECORD_OK || key->rsa8 == NULL)
        fail("a key does not come in the engine's form");
    return key;
}

static struct ks_key *open_for_openssl(const struct bench *b, const struct record *r, int form)
{
    EVP_PKEY *pkey;
    if (keyrecord_open(r->name, r->value[form], r->len[form], b->master, &pkey, NULL) != KEYRECORD_OK)
        fail("a key does not open");
    struct ks_key *key = ks_key_create(r->name, 1, pkey);
    if (key == NULL)
        fail("out of memory");
    return key;
}

static void run_openssl(const struct bench *b, struct ks_key *key, uint8_t *out)
{
    size_t len = b->bits / 8;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(ks_key_pkey(key), NULL);
    if (ctx == NULL || EVP_PKEY_decrypt_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) != 1 ||
        EVP_PKEY_decrypt(ctx, out, &len, b->in, len) != 1)
        fail("OpenSSL could not decrypt");
    EVP_PKEY_CTX_free(ctx);
}

static void run_engine(struct bench *b, enum rsa8_impl impl, struct ks_key **keys)
{
    struct rsa8_op op[KEYS];
    for (unsigned i = 0; i < KEYS; i++)
        op[i] = (struct rsa8_op){.key = keys[i]->rsa8, .in = b->in, .out = b->out[i]};
    rsa8_run(impl, b->scratch, op, KEYS);
    for (unsigned i = 0; i < KEYS; i++)
        if (op[i].status != RSA8_OK)
            fail("the engine could not decrypt");
}

// ---- measurements, in microseconds of processor time for one key or one operation

struct figures {
    double engine_open[FORMS];  // record to engine's form
    double openssl_open[FORMS]; // record to OpenSSL's form, as without the engine
    double openssl_first;       // its first operation
    double openssl_op;          // an operation with a key in use
    double engine_op;           // with batches of eight
};

typedef struct ks_key *open_function(const struct bench *b, const struct record *r, int form);

static double open_us(const struct bench *b, open_function *open, int form, double seconds)
{
    unsigned long done = 0;
    double begin = now(), end;
    do {
        struct ks_key *key = open(b, &b->record[done++ % KEYS], form);
        ks_key_unref(&key);
        end = now();
    } while (end - begin < seconds);
    return 1e6 * (end - begin) / (double)done;
}

// First and second operation of keys just decoded.
static void openssl_ops_us(struct bench *b, double seconds, struct figures *f)
{
    unsigned long done = 0;
    double first = 0, second = 0, begin = now();
    do {
        struct ks_key *key = open_for_openssl(b, &b->record[done % KEYS], 0);
        double t0 = now();
        run_openssl(b, key, b->out[done % KEYS]);
        double t1 = now();
        run_openssl(b, key, b->out[done % KEYS]);
        second += now() - t1;
        first += t1 - t0;
        ks_key_unref(&key);
        done++;
    } while (now() - begin < seconds || done < KEYS);
    f->openssl_first = 1e6 * first / (double)done;
    f->openssl_op = 1e6 * second / (double)done;
}

static double engine_op_us(struct bench *b, enum rsa8_impl impl, double seconds)
{
    struct ks_key *keys[KEYS];
    uint8_t expected[RSA8_BITS_MAX / 8];
    for (unsigned i = 0; i < KEYS; i++)
        keys[i] = open_for_engine(b, &b->record[i], 0);
    unsigned long done = 0;
    double begin = now(), end;
    do {
        run_engine(b, impl, keys);
        done += KEYS;
        end = now();
    } while (end - begin < seconds);
    for (unsigned i = 0; i < KEYS; i++) {
        run_openssl(b, keys[i], expected);
        if (memcmp(expected, b->out[i], b->bits / 8) != 0)
            fail("the engine and OpenSSL do not agree");
        ks_key_unref(&keys[i]);
    }
    return 1e6 * (end - begin) / (double)done;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The median of one figure over the runs.
static double median(const struct figures *runs, unsigned count, size_t offset)
{
    double values[RUNS_MAX];
    for (unsigned i = 0; i < count; i++)
        memcpy(&values[i], (const char *)&runs[i] + offset, sizeof values[i]);
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

// ---- output

static json_t *report_form(unsigned bits, int form, const struct figures *f)
{
    double engine = f->engine_open[form], stock = f->openssl_open[form] + f->openssl_first - f->openssl_op;
    printf("%5u  %-8s %11.1f %11.1f %9.3f %12.3f %12.3f\n", bits, form_names[form], engine, stock,
           engine / stock, engine / f->openssl_op, engine / f->engine_op);
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "encoding", form_names[form], "engine_open_us",
                     engine, "openssl_open_us", f->openssl_open[form], "openssl_cold_us", stock,
                     "of_openssl_cold", engine / stock, "of_openssl_op", engine / f->openssl_op,
                     "of_engine_op", engine / f->engine_op);
}

static json_t *bench_size(struct bench *b, enum rsa8_impl impl, const struct options *o)
{
    static struct figures run[RUNS_MAX];
    for (unsigned i = 0; i < KEYS; i++)
        make_record(b, &b->record[i]);
    for (unsigned i = 0; i < o->runs; i++) {
        for (int form = 0; form < FORMS; form++) {
            run[i].engine_open[form] = open_us(b, open_for_engine, form, o->seconds);
            run[i].openssl_open[form] = open_us(b, open_for_openssl, form, o->seconds);
        }
        openssl_ops_us(b, o->seconds, &run[i]);
        run[i].engine_op = engine_op_us(b, impl, o->seconds);
    }
    struct figures f;
    for (size_t at = 0; at < sizeof f; at += sizeof(double)) {
        double value = median(run, o->runs, at);
        memcpy((char *)&f + at, &value, sizeof value);
    }
    json_t *forms = json_array();
    for (int form = 0; form < FORMS; form++)
        json_array_append_new(forms, report_form(b->bits, form, &f));
    printf("%5u  an operation: OpenSSL %.1f us, first with a key %.1f; engine (%s, batches of %d) %.1f us\n",
           b->bits, f.openssl_op, f.openssl_first, rsa8_impl_name(impl), KEYS, f.engine_op);
    for (unsigned i = 0; i < KEYS; i++)
        for (int form = 0; form < FORMS; form++)
            free(b->record[i].value[form]);
    return json_pack("{s:i, s:f, s:f, s:f, s:o}", "bits", (int)b->bits, "openssl_op_us", f.openssl_op,
                     "openssl_first_us", f.openssl_first, "engine_op_us", f.engine_op, "forms", forms);
}

static void usage(void)
{
    fprintf(stderr, "usage: bench_cold [--bits 2048|3072|4096] [--seconds S] [--runs N] [--json FILE]\n");
    exit(2);
}

static struct options read_options(int argc, char **argv)
{
    static const struct option names[] = {{"bits", required_argument, NULL, 'b'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"runs", required_argument, NULL, 'r'},
                                          {"json", required_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    struct options o = {.seconds = 0.5, .runs = 5};
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
    bool locked;
    struct error e;
    if (!secmem_setup((size_t)4 << 20, &locked, &e))
        fail(e.text);
    static struct bench b;
    enum rsa8_impl impl = rsa8_available(RSA8_IFMA) ? RSA8_IFMA : RSA8_PORTABLE;
    b.master = new_master();
    b.scratch = aligned_alloc(RSA8_ALIGN, (rsa8_scratch_size() + RSA8_ALIGN - 1) / RSA8_ALIGN * RSA8_ALIGN);
    if (b.scratch == NULL)
        fail("out of memory");
    if (impl != RSA8_IFMA)
        printf("this processor has no AVX-512 IFMA: the engine's operations are those of its portable "
               "implementation, which is not meant to be fast\n");
    printf("%5s  %-8s %11s %11s %9s %12s %12s\n", "bits", "record", "engine us", "OpenSSL us", "ratio",
           "of its op", "of engine op");
    json_t *sizes = json_array();
    for (b.bits = 2048; b.bits <= RSA8_BITS_MAX; b.bits += 1024)
        if (o.bits == 0 || o.bits == b.bits)
            json_array_append_new(sizes, bench_size(&b, impl, &o));
    seal_key_destroy(&b.master);
    free(b.scratch);
    json_t *report =
        json_pack("{s:s, s:s, s:i, s:f, s:o}", "openssl", OpenSSL_version(OPENSSL_VERSION), "engine",
                  rsa8_impl_name(impl), "runs", (int)o.runs, "seconds", o.seconds, "sizes", sizes);
    if (report == NULL)
        fail("out of memory");
    if (o.json != NULL && json_dump_file(report, o.json, JSON_INDENT(2)) != 0) {
        fprintf(stderr, "bench_cold: writing %s: %s\n", o.json, strerror(errno));
        return 1;
    }
    json_decref(report);
    return 0;
}
