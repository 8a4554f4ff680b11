// rsa8soak: random operations of the RSA engine against OpenSSL, bit by bit, on all processors: changing keys, mixed in the
// lanes, 1 to 8 operations a batch. README.md tells how to go on where it was stopped, and how to see a failure again.
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <openssl/rand.h>

#include "seeded.h"

#define CHUNK       4096 // operations with the same keys: a thread's unit of work
#define THREADS_MAX 256
#define NEVER       (~0ul)
#define AGAIN       100

static struct {
    unsigned long operations, from,
        spoil; // of each size; first chunk; operation whose result is spoiled, or NEVER
    unsigned long
        private_every; // of so many operations one is compared with OpenSSL's, the others with its public one
    unsigned bits, threads, progress_s; // bits: 0 for all sizes
    uint64_t seed;
    enum rsa8_impl impl;
} options;

// Chunks of all sizes are numbered one after the other. A thread takes the next one, so that all below the least of `at` are done.
static struct {
    atomic_ulong next, done, batches, keys, at[THREADS_MAX];
    unsigned long end, each; // chunks, chunks of a size
    atomic_bool failed;
    atomic_uint running;
} work;
static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
    (void)signal;
    stopped = 1;
}

static unsigned bits_of(unsigned long chunk)
{
    return options.bits != 0 ? options.bits : 2048 + 1024 * (unsigned)(chunk / work.each);
}

// One batch, and where it comes from.
struct batch {
    unsigned bits, count, which[RSA8_LANES];
    unsigned long chunk, first; // operation of the chunk
    const struct seeded_keys *keys;
    struct rsa8_scratch *scratch;
    uint8_t in[RSA8_LANES][SEEDED_BYTES], out[RSA8_LANES][SEEDED_BYTES];
    struct rsa8_op op[RSA8_LANES];
};

static void run(struct batch *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        memset(b->out[i], 0xee, sizeof b->out[i]);
        b->op[i] = (struct rsa8_op){
            .key = b->keys->key[b->which[i]].engine, .in = b->in[i], .out = b->out[i], .status = RSA8_FAULT};
    }
    rsa8_run(options.impl, b->scratch, b->op, b->count);
}

static bool is_right(const struct batch *b, unsigned lane, const uint8_t *answer)
{
    return b->op[lane].status == RSA8_OK && memcmp(b->out[lane], answer, b->bits / 8) == 0;
}

static void print_hex(const char *name, const uint8_t *bytes, size_t len)
{
    fprintf(stderr, "  %-8s ", name);
    for (size_t i = 0; i < len; i++)
        fprintf(stderr, "%02x", bytes[i]);
    fputc('\n', stderr);
}

// All that is needed to see it again; the blinding's random numbers are not known, so the batch is computed some more times.
static void report(struct batch *b, unsigned lane, const uint8_t *answer)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const struct seeded_key *key = &b->keys->key[b->which[lane]];
    pthread_mutex_lock(&lock);
    fprintf(stderr,
            "rsa8soak: %u bits, lane %u of %u, key %u (e = %lu): %s, and OpenSSL's result is another\n",
            b->bits, lane, b->count, b->which[lane], key->e, rsa8_status_text(b->op[lane].status));
    print_hex("input", b->in[lane], b->bits / 8);
    print_hex("engine", b->out[lane], b->bits / 8);
    print_hex("OpenSSL", answer, b->bits / 8);
    unsigned wrong = 0;
    for (unsigned i = 0; i < AGAIN; i++) {
        run(b);
        wrong += !is_right(b, lane, answer);
    }
    fprintf(stderr, "  of %d more times that the batch was computed, %u were wrong\n", AGAIN, wrong);
    unsigned long chunk = b->chunk % work.each;
    fprintf(stderr, "  again: rsa8soak --engine %s --seed 0x%016llx --bits %u --from %lu --operations %lu\n",
            options.impl == RSA8_IFMA ? "ifma" : "portable", (unsigned long long)options.seed, b->bits, chunk,
            (chunk + 1) * CHUNK);
    pthread_mutex_unlock(&lock);
    atomic_store(&work.failed, true);
}

// Three batches of four are full, the others have 1 to 8 operations; one of sixteen has the same key in all lanes.
static void fill(struct batch *b, struct seeded_random *random, unsigned long left)
{
    b->count = seeded_random_below(random, 4) != 0 ? RSA8_LANES : 1 + seeded_random_below(random, RSA8_LANES);
    if (b->count > left)
        b->count = (unsigned)left;
    bool same = seeded_random_below(random, 16) == 0;
    for (unsigned i = 0; i < b->count; i++) {
        b->which[i] = same && i > 0 ? b->which[0] : seeded_random_below(random, SEEDED_KEYS);
        seeded_input(&b->keys->key[b->which[i]], random, b->in[i]);
    }
}

static void compare(struct batch *b)
{
    unsigned long number = b->chunk % work.each * CHUNK + b->first;
    for (unsigned i = 0; i < b->count; i++) {
        uint8_t answer[SEEDED_BYTES];
        const struct seeded_key *key = &b->keys->key[b->which[i]];
        if (number + i == options.spoil)
            b->out[i][b->bits / 16] ^= 0x10;
        if ((number + i) % options.private_every != 0 && b->op[i].status == RSA8_OK &&
            seeded_gives_back(key, b->out[i], b->in[i]))
            continue;
        seeded_answer(key, b->in[i], answer);
        if (!is_right(b, i, answer)) {
            report(b, i, answer);
            return;
        }
    }
}

static void do_chunk(unsigned long chunk, struct batch *b)
{
    struct seeded_random random;
    struct seeded_keys keys;
    unsigned long begin = chunk % work.each * CHUNK, left = options.operations - begin;
    if (left > CHUNK)
        left = CHUNK;
    b->bits = bits_of(chunk);
    b->chunk = chunk;
    b->keys = &keys;
    seeded_random_init(&random, options.seed, b->bits, chunk % work.each);
    seeded_keys_make(&keys, &random, b->bits, 0);
    atomic_fetch_add(&work.keys, SEEDED_KEYS);
    for (b->first = 0; b->first < left && !atomic_load(&work.failed); b->first += b->count) {
        fill(b, &random, left - b->first);
        run(b);
        compare(b);
        atomic_fetch_add(&work.batches, 1);
        atomic_fetch_add(&work.done, b->count);
    }
    seeded_keys_free(&keys);
}

static void *worker(void *arg)
{
    atomic_ulong *at = arg;
    struct batch *b = calloc(1, sizeof *b);
    size_t len = (rsa8_scratch_size() + RSA8_ALIGN - 1) / RSA8_ALIGN * RSA8_ALIGN;
    if (b == NULL || (b->scratch = aligned_alloc(RSA8_ALIGN, len)) == NULL)
        seeded_die("a thread", "out of memory");
    while (!stopped && !atomic_load(&work.failed)) {
        unsigned long chunk = atomic_fetch_add(&work.next, 1);
        if (chunk >= work.end)
            break;
        atomic_store(at, chunk);
        do_chunk(chunk, b);
    }
    atomic_store(at, NEVER);
    free(b->scratch);
    free(b);
    atomic_fetch_sub(&work.running, 1);
    return NULL;
}

// Chunks below this one are done.
static unsigned long done_below(void)
{
    unsigned long least = atomic_load(&work.next);
    for (unsigned i = 0; i < options.threads; i++) {
        unsigned long at = atomic_load(&work.at[i]);
        if (at < least)
            least = at;
    }
    return least < work.end ? least : work.end;
}

static void print_progress(time_t begin)
{
    unsigned long done = atomic_load(&work.done), next = done_below();
    printf("%lu operations in %lu batches with %lu keys, all right, %lld s", done, atomic_load(&work.batches),
           atomic_load(&work.keys), (long long)(time(NULL) - begin));
    if (next < work.end)
        printf("; to go on from here: --seed 0x%016llx --operations %lu --from %lu",
               (unsigned long long)options.seed, options.operations, next);
    if (next < work.end && options.bits != 0)
        printf(" --bits %u", options.bits);
    printf("\n");
    fflush(stdout);
}

static void usage(void)
{
    fprintf(
        stderr,
        "usage: rsa8soak [--operations N] [--bits 2048|3072|4096] [--engine portable|ifma] [--threads N]\n"
        "                [--private-every N] [--seed N] [--from CHUNK] [--progress SECONDS] [--spoil "
        "OPERATION]\n"
        "N operations of each size (1000000), on all processors, by ifma where there is one. Status 1: a "
        "result\n"
        "differs from OpenSSL's. --private-every N: each N-th is compared with OpenSSL's private operation, "
        "all\n"
        "others by its public one, which is as exact and many times as fast. --spoil makes one differ, to "
        "see\n"
        "that it is noticed.\n");
    exit(2);
}

static unsigned long number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 0);
    if (errno != 0 || *end != '\0' || end == text || *text == '-')
        usage();
    return value;
}

static void read_option(int c)
{
    switch (c) {
    case 'o':
        options.operations = number(optarg);
        break;
    case 'b':
        options.bits = (unsigned)number(optarg);
        if (rsa8_key_size(options.bits) == 0)
            usage();
        break;
    case 'e':
        if (strcmp(optarg, "ifma") != 0 && strcmp(optarg, "portable") != 0)
            usage();
        options.impl = strcmp(optarg, "ifma") == 0 ? RSA8_IFMA : RSA8_PORTABLE;
        break;
    case 't':
        options.threads = (unsigned)number(optarg);
        break;
    case 's':
        options.seed = number(optarg);
        break;
    case 'f':
        options.from = number(optarg);
        break;
    case 'p':
        options.progress_s = (unsigned)number(optarg);
        break;
    case 'v':
        options.private_every = number(optarg);
        if (options.private_every == 0)
            usage();
        break;
    case 'x':
        options.spoil = number(optarg);
        break;
    default:
        usage();
    }
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"operations", required_argument, NULL, 'o'}, {"bits", required_argument, NULL, 'b'},
        {"engine", required_argument, NULL, 'e'},     {"threads", required_argument, NULL, 't'},
        {"seed", required_argument, NULL, 's'},       {"from", required_argument, NULL, 'f'},
        {"progress", required_argument, NULL, 'p'},   {"private-every", required_argument, NULL, 'v'},
        {"spoil", required_argument, NULL, 'x'},      {NULL, 0, NULL, 0}};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    options.operations = 1000000;
    options.threads = processors < 1 ? 1 : processors > THREADS_MAX ? THREADS_MAX : (unsigned)processors;
    options.progress_s = 60;
    options.private_every = 1;
    options.spoil = NEVER;
    options.impl = rsa8_available(RSA8_IFMA) ? RSA8_IFMA : RSA8_PORTABLE;
    if (RAND_bytes((uint8_t *)&options.seed, sizeof options.seed) != 1)
        seeded_die("seed", "OpenSSL has no random numbers");
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1)
        read_option(c);
    if (optind != argc || options.operations == 0 || options.threads == 0 || options.threads > THREADS_MAX)
        usage();
    if (!rsa8_available(options.impl))
        seeded_die(rsa8_impl_name(options.impl), "this processor cannot run it");
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS_MAX];
    read_options(argc, argv);
    work.each = (options.operations + CHUNK - 1) / CHUNK;
    work.end = options.bits != 0 ? work.each : 3 * work.each;
    atomic_store(&work.next, options.from);
    atomic_store(&work.running, options.threads);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("rsa8soak: %s, seed 0x%016llx, %u threads, chunks %lu to %lu\n", rsa8_impl_name(options.impl),
           (unsigned long long)options.seed, options.threads, options.from, work.end);
    fflush(stdout);
    time_t begin = time(NULL), said = begin;
    for (unsigned i = 0; i < options.threads; i++) {
        atomic_store(&work.at[i], options.from);
        if (pthread_create(&thread[i], NULL, worker, &work.at[i]) != 0)
            seeded_die("a thread", "cannot be started");
    }
    while (atomic_load(&work.running) > 0) {
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        if (options.progress_s > 0 && time(NULL) - said >= options.progress_s) {
            said = time(NULL);
            print_progress(begin);
        }
    }
    for (unsigned i = 0; i < options.threads; i++)
        pthread_join(thread[i], NULL);
    if (atomic_load(&work.failed))
        return 1;
    print_progress(begin);
    return stopped != 0 ? 3 : 0;
}
