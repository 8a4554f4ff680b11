// timing_rsa: does the time that the RSA engine takes tell anything of its secrets? Measurements of two groups, one with
// a fixed secret and one with random ones, in random order, and the statistics of ttest.h. README.md says how to read it.
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keyserver/rsa/rsa8_internal.h"
#include "tests/soak/rsa8/seeded.h"
#include "ttest.h"

#define POOL       8 // times SEEDED_KEYS
#define E          65537
#define MAKE_TIMES 20 // measurements of key making for one of a batch: it is that much shorter, and more

static struct {
    unsigned bits;
    unsigned long batches, leak; // leak: thousandths of a batch
    enum rsa8_impl impl;
    const char *test, *json;
} options = {.bits = 2048, .batches = 1000000};

// What both groups are computed from: one copy of each, in the same place whichever the group is.
static struct {
    _Alignas(64) uint8_t key[RSA8_KEY_SIZE_MAX];
    _Alignas(64) uint8_t in[RSA8_LANES][SEEDED_BYTES];
    uint8_t out[RSA8_LANES][SEEDED_BYTES], numbers[8][SEEDED_BYTES];
    struct rsa_der der;
    struct rsa8_scratch *scratch;
} hot;

static struct seeded_keys pool[POOL];
static struct seeded_random seed;
static uint8_t zero_exponents[RSA8_KEY_SIZE_MAX]; // the fixed key with dp - 1 = dq - 1 = 0
static uint8_t fixed_in[RSA8_LANES][SEEDED_BYTES], random_in[RSA8_LANES][SEEDED_BYTES];

static const struct seeded_key *fixed_key(void)
{
    return &pool[0].key[0];
}

static const struct seeded_key *random_key(void)
{
    return &pool[seeded_random_below(&seed, POOL)].key[seeded_random_below(&seed, SEEDED_KEYS)];
}

// Both groups do the same work before they are measured: random numbers are drawn even if they are not used.
static void set_inputs(const void *fixed, unsigned group)
{
    for (unsigned i = 0; i < RSA8_LANES; i++)
        seeded_input(fixed_key(), &seed, random_in[i]);
    memcpy(hot.in, group == 0 ? fixed : (const void *)random_in, sizeof hot.in);
}

static void set_key(const void *key)
{
    memcpy(hot.key, key, rsa8_key_size(options.bits));
}

// Inputs below 2^(bits - 8): below every modulus.
static void set_small_inputs(void)
{
    set_inputs(random_in, 1);
    for (unsigned i = 0; i < RSA8_LANES; i++)
        hot.in[i][0] = 0;
}

static void prepare_same(unsigned group)
{
    (void)group;
    set_key(random_key()->engine);
    set_small_inputs();
}

static void prepare_input(unsigned group)
{
    set_key(fixed_key()->engine);
    set_inputs(fixed_in, group);
}

static void prepare_zero(unsigned group)
{
    static const uint8_t zero[RSA8_LANES][SEEDED_BYTES];
    set_key(fixed_key()->engine);
    set_inputs(zero, group);
}

static void prepare_key(unsigned group)
{
    const struct seeded_key *any = random_key();
    set_key(group == 0 ? fixed_key()->engine : any->engine);
    set_small_inputs();
}

static void prepare_exponent(unsigned group)
{
    const struct seeded_key *any = random_key();
    set_key(group == 0 ? (const void *)zero_exponents : any->engine);
    set_small_inputs();
}

// Numbers as long as their modulus: lengths are public.
static void set_number(unsigned i, struct rsa_number *to, const struct rsa_number *from, size_t len)
{
    memset(hot.numbers[i], 0, len);
    memcpy(hot.numbers[i] + len - from->len, from->bytes, from->len);
    *to = (struct rsa_number){hot.numbers[i], len};
}

static void prepare_make(unsigned group)
{
    const struct seeded_key *any = random_key();
    const struct rsa_der *from = group == 0 ? &fixed_key()->der : &any->der;
    size_t len = options.bits / 8;
    set_number(0, &hot.der.n, &from->n, len);
    set_number(1, &hot.der.e, &from->e, from->e.len);
    set_number(2, &hot.der.p, &from->p, len / 2);
    set_number(3, &hot.der.q, &from->q, len / 2);
    set_number(4, &hot.der.dp, &from->dp, len / 2);
    set_number(5, &hot.der.dq, &from->dq, len / 2);
    set_number(6, &hot.der.qinv, &from->qinv, len / 2);
}

static void run_batch(void)
{
    struct rsa8_op op[RSA8_LANES];
    for (unsigned i = 0; i < RSA8_LANES; i++)
        op[i] = (struct rsa8_op){.key = (const struct rsa8_key *)hot.key, .in = hot.in[i], .out = hot.out[i]};
    rsa8_run(options.impl, hot.scratch, op, RSA8_LANES);
    if (op[0].status != RSA8_OK && op[0].status != RSA8_FAULT)
        seeded_die("a batch", rsa8_status_text(op[0].status));
}

static void run_make(void)
{
    const char *why = rsa8_key_make((struct rsa8_key *)hot.key, &hot.der);
    if (why != NULL)
        seeded_die("a good key was refused", why);
}

// The secret of a test, and what it is in the fixed group: where the control, --leak, looks.
static const struct timing {
    const char *name, *what;
    void (*prepare)(unsigned group);
    void (*run)(void);
    const void *secret;
    unsigned times;
} tests[] = {
    {"same", "random keys and inputs in both groups: has to be below", prepare_same, run_batch, NULL, 1},
    {"input", "eight fixed inputs against random ones", prepare_input, run_batch, hot.in, 1},
    {"zero", "inputs 0 against random ones", prepare_zero, run_batch, hot.in, 1},
    {"key", "a fixed key against random ones", prepare_key, run_batch, hot.key, 1},
    {"exponent", "a key with exponents 0 against random ones", prepare_exponent, run_batch, hot.key, 1},
    {"make", "making a fixed key against making random ones", prepare_make, run_make, hot.numbers[2],
     MAKE_TIMES},
};
#define TESTS (sizeof tests / sizeof *tests)

static struct {
    uint8_t fixed[SEEDED_BYTES]; // the secret's first bytes in the fixed group
    size_t len;
    double work; // turns of the loop for each byte
} leak;

// The control: compares as memcmp() does, with some work for each byte, and leaves at the first that differs.
static void leak_secret(const uint8_t *secret)
{
    for (size_t i = 0; i < leak.len && secret[i] == leak.fixed[i]; i++) {
        for (volatile double turn = 0; turn < leak.work; turn++)
            ;
    }
}

// Processor time of this thread, in nanoseconds: a counter of cycles would count other threads' turns as well, which on a
// machine that is not idle are a thousand times what is looked for.
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static double measure(const struct timing *test, unsigned group)
{
    test->prepare(group);
    double begin = now();
    test->run();
    if (options.leak > 0 && test->secret != NULL)
        leak_secret(test->secret);
    return now() - begin;
}

// So that the control takes options.leak thousandths of what it is added to.
static void set_leak(const struct timing *test, double typical)
{
    test->prepare(0);
    leak.len = SEEDED_BYTES / 4;
    memcpy(leak.fixed, test->secret, leak.len);
    leak.work = 10000;
    double begin = now();
    leak_secret(test->secret);
    double turn = (now() - begin) / (leak.work * (double)leak.len);
    leak.work = typical * (double)options.leak / 1000 / (turn * (double)leak.len);
}

// The first measurements say where the percentiles are.
static void begin_test(const struct timing *test, struct ttest *t, unsigned long count)
{
    unsigned long first = count / 20 < 20 ? 20 : count / 20 > 10000 ? 10000 : count / 20;
    double *measured = calloc(first, sizeof *measured), typical = INFINITY;
    if (measured == NULL)
        seeded_die("measuring", "out of memory");
    leak.len = 0;
    for (int i = 0; i < 5; i++)
        typical = fmin(typical, measure(test, 0));
    if (options.leak > 0 && test->secret != NULL)
        set_leak(test, typical);
    for (unsigned long i = 0; i < first; i++)
        measured[i] = measure(test, (unsigned)(i & 1));
    ttest_init(t, measured, first);
    free(measured);
}

static void say(const struct timing *test, const struct ttest *t, double least, const char *verdict)
{
    const struct ttest_welch *all = &t->test[0];
    struct ttest_result worst = ttest_worst(t, least);
    printf("%-9s %9.0f %14.0f %+11.5f %7.2f  %-16s %s\n", test->name, all->count[0] + all->count[1],
           all->mean[1], 100 * (all->mean[0] - all->mean[1]) / all->mean[1], fabs(worst.t), worst.name,
           verdict);
    fflush(stdout);
}

// True when it came out as it should: no difference, or with --leak one wherever there is a secret.
static bool run_test(const struct timing *test, json_t *rows)
{
    static struct ttest t;
    unsigned long count = options.batches * test->times;
    double least = count < 10000 ? 50 : (double)count / 200; // of each group, for a crop to be looked at
    begin_test(test, &t, count);
    time_t said = time(NULL);
    for (unsigned long i = 0; i < count; i++) {
        unsigned group = (unsigned)(seeded_random_next(&seed) >> 63);
        ttest_add(&t, group, measure(test, group));
        if (time(NULL) - said >= 60) {
            said = time(NULL);
            say(test, &t, least, "so far");
        }
    }
    struct ttest_result worst = ttest_worst(&t, least);
    bool differs = fabs(worst.t) >= TTEST_LIMIT, wanted = options.leak > 0 && test->secret != NULL;
    say(test, &t, least, differs ? "the groups differ" : "no difference");
    json_array_append_new(rows, json_pack("{s:s, s:s, s:f, s:f, s:f, s:s, s:f, s:f, s:b}", "test", test->name,
                                          "what", test->what, "measured", (double)count, "t", worst.t,
                                          "t_all", ttest_welch_t(&t.test[0]), "t_of", worst.name,
                                          "mean_fixed_ns", t.test[0].mean[0], "mean_random_ns",
                                          t.test[0].mean[1], "differs", (int)differs));
    return differs == wanted;
}

static void set_up(void)
{
    size_t len = (rsa8_scratch_size() + RSA8_ALIGN - 1) / RSA8_ALIGN * RSA8_ALIGN;
    hot.scratch = aligned_alloc(RSA8_ALIGN, len);
    if (hot.scratch == NULL)
        seeded_die("scratch", "out of memory");
    for (unsigned i = 0; i < POOL; i++) {
        seeded_random_init(&seed, (uint64_t)time(NULL), options.bits, i);
        seeded_keys_make(&pool[i], &seed, options.bits, E);
    }
    for (unsigned i = 0; i < RSA8_LANES; i++)
        seeded_input(fixed_key(), &seed, fixed_in[i]);
    memcpy(zero_exponents, fixed_key()->engine, rsa8_key_size(options.bits));
    struct rsa8_key *zero = (struct rsa8_key *)zero_exponents;
    memset(zero->limb + KEY_DP1 * zero->half, 0, 2 * zero->half * sizeof *zero->limb);
    _Static_assert(KEY_DQ1 == KEY_DP1 + 1, "dp - 1 and dq - 1 lie side by side");
}

static void tear_down(void)
{
    for (unsigned i = 0; i < POOL; i++)
        seeded_keys_free(&pool[i]);
    free(hot.scratch);
}

static void usage(void)
{
    fprintf(stderr,
            "usage: timing_rsa [--bits 2048|3072|4096] [--engine portable|ifma] [--batches N | --quick]\n"
            "                  [--test NAME] [--leak THOUSANDTHS] [--json FILE]\n");
    for (size_t i = 0; i < TESTS; i++)
        fprintf(stderr, "  %-9s %s\n", tests[i].name, tests[i].what);
    exit(2);
}

static unsigned long number(const char *text, unsigned long least)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text || *text == '-' || value < least)
        usage();
    return value;
}

static void read_option(int c)
{
    switch (c) {
    case 'b':
        options.bits = (unsigned)number(optarg, 0);
        if (rsa8_key_size(options.bits) == 0)
            usage();
        break;
    case 'e':
        if (strcmp(optarg, "ifma") != 0 && strcmp(optarg, "portable") != 0)
            usage();
        options.impl = strcmp(optarg, "ifma") == 0 ? RSA8_IFMA : RSA8_PORTABLE;
        break;
    case 'n':
        options.batches = number(optarg, 200);
        break;
    case 'q':
        options.batches = 1000;
        break;
    case 't':
        options.test = optarg;
        break;
    case 'l':
        options.leak = number(optarg, 1);
        break;
    case 'j':
        options.json = optarg;
        break;
    default:
        usage();
    }
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"bits", required_argument, NULL, 'b'},    {"engine", required_argument, NULL, 'e'},
        {"batches", required_argument, NULL, 'n'}, {"quick", no_argument, NULL, 'q'},
        {"test", required_argument, NULL, 't'},    {"leak", required_argument, NULL, 'l'},
        {"json", required_argument, NULL, 'j'},    {NULL, 0, NULL, 0}};
    options.impl = rsa8_available(RSA8_IFMA) ? RSA8_IFMA : RSA8_PORTABLE;
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1)
        read_option(c);
    if (optind != argc)
        usage();
    if (!rsa8_available(options.impl))
        seeded_die(rsa8_impl_name(options.impl), "this processor cannot run it");
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    json_t *rows = json_array();
    bool good = true;
    unsigned run = 0;
    set_up();
    printf("%s, %u bits%s\n", rsa8_impl_name(options.impl), options.bits,
           options.leak > 0 ? ", with a leak that has to be found" : "");
    printf("%-9s %9s %14s %11s %7s  %-16s\n", "test", "measured", "mean, ns", "fixed, %", "|t|", "of");
    for (size_t i = 0; i < TESTS; i++) {
        if (options.test != NULL && strcmp(options.test, tests[i].name) != 0)
            continue;
        good &= run_test(&tests[i], rows);
        run++;
    }
    tear_down();
    if (run == 0)
        usage();
    json_t *report = json_pack("{s:s, s:i, s:f, s:f, s:b, s:o}", "engine", rsa8_impl_name(options.impl),
                               "bits", (int)options.bits, "limit", TTEST_LIMIT, "leak",
                               (double)options.leak / 1000, "good", (int)good, "tests", rows);
    if (report == NULL)
        seeded_die("the report", "out of memory");
    if (options.json != NULL && json_dump_file(report, options.json, JSON_INDENT(2)) != 0)
        seeded_die(options.json, strerror(errno));
    json_decref(report);
    return good ? 0 : 1;
}
