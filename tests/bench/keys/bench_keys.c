// bench_keys: fills a store with so many keys, each sealed under its own name. manykeys.h says how a million RSA keys are made in minutes; those of
// P-256 are simply made.
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/config_rows.h"
#include "common/secmem.h"
#include "kvstore/kv.h"
#include "tests/bench/keys/manykeys.h"

#define THREADS_MOST 64u
#define SPARE        64u // exponents beyond those that are needed: a few have no key with some modulus
#define STORE_MEMORY ((uint64_t)256 << 20)
#define SECRET_BYTES ((size_t)16 << 20)

enum key_type { TYPE_RSA, TYPE_P256 };

struct options {
    char *store, *master_key, *sites, *json;
    uint64_t type, keys, moduli, bits, threads, record_bytes, sample;
};

struct fill {
    const struct options *o;
    struct kv_store *store;
    struct seal_key *master;
    uint32_t *exponents;
    size_t exponent_count;
    atomic_uint_fast64_t next; // modulus
    atomic_uint_fast64_t done, bytes;
    pthread_mutex_t lock; // of what follows
    double making_seconds;
    struct error e; // of the first that failed
};

#define AT(field) offsetof(struct options, field)
static const struct config_option table[] = {
    {.name = "store",
     .type = CONFIG_STRING,
     .offset = AT(store),
     .arg = "DIR",
     .required = true,
     .help = "The store's folder; made when there is none."},
    {.name = "master-key",
     .type = CONFIG_STRING,
     .offset = AT(master_key),
     .arg = "FILE",
     .required = true,
     .help = "Seals the keys: certs master-key."},
    CHOICE("type", type, "rsa", "rsa|p256",
           "What keys. With p256 there are no moduli, only as many portions of the work."),
    NUMBER("keys", keys, CONFIG_UINT, "N", "1000000", 1, 100000000, "How many keys."),
    NUMBER("moduli", moduli, CONFIG_UINT, "N", "1000", 1, 1000000,
           "From how many moduli, which take the time."),
    NUMBER("bits", bits, CONFIG_UINT, "N", "4096", 2048, 8192, "Of a modulus."),
    NUMBER("threads", threads, CONFIG_UINT, "N", "1", 1, THREADS_MOST, "Threads that make keys."),
    NUMBER("record-bytes", record_bytes, CONFIG_SIZE, "SIZE", "4kb", 0, KEYRECORD_MAX_LEN / 4,
           "Certificates' names fill a record up to so many bytes; 0: as it is."),
    NUMBER("sample", sample, CONFIG_UINT, "N", "0", 0, 10000,
           "So many keys, evenly spread, get a certificate in --sites."),
    TEXT("sites", sites, "DIR", NULL, "Where their certificates go: N.pem."),
    TEXT("json", json, "FILE", NULL, "Writes the result as JSON (- for stdout, in place of the text)."),
};
static const struct config_spec spec = {
    .program = "bench_keys",
    .usage = "[OPTION]...",
    .summary = "Fills a store with keys, each sealed under its own name; RSA: few moduli, many public "
               "exponents. For measuring only.",
    .options = table,
    .option_count = sizeof table / sizeof table[0],
};

static void failed(struct fill *f, const char *what, const char *why)
{
    (void)pthread_mutex_lock(&f->lock);
    if (f->e.text[0] == '\0')
        error_set(&f->e, "%s: %s", what, why);
    (void)pthread_mutex_unlock(&f->lock);
    atomic_store(&f->next, f->o->moduli); // the others stop at their next modulus
}

// ---- one key

static bool put(struct fill *f, EVP_PKEY *key)
{
    struct keyrecord_info info = {.imported = (uint64_t)time(NULL)};
    char name[KEYRECORD_NAME_LEN + 1];
    uint8_t *value = NULL;
    size_t len = 0;
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
    int der = p8 != NULL ? i2d_PKCS8_PRIV_KEY_INFO(p8, NULL) : 0;
    PKCS8_PRIV_KEY_INFO_free(p8);
    manykeys_pad(&info, der > 0 ? (size_t)der : 0, f->o->record_bytes);
    enum keyrecord_status status = keyrecord_name(key, name)
                                       ? keyrecord_encode(name, &info, key, f->master, &value, &len)
                                       : KEYRECORD_NO_MEMORY;
    if (status != KEYRECORD_OK) {
        failed(f, "seal a key", keyrecord_status_text(status));
        return false;
    }
    enum kv_status stored = kv_put(f->store, name, KEYRECORD_NAME_LEN, value, len, 0, KV_PUT_NO_WAIT);
    free(value);
    if (stored != KV_OK) {
        failed(f, f->o->store, kv_status_text(stored));
        return false;
    }
    (void)atomic_fetch_add(&f->done, 1);
    (void)atomic_fetch_add(&f->bytes, len);
    return true;
}

static bool write_site(struct fill *f, EVP_PKEY *key, uint64_t number)
{
    char path[4096], host[64];
    (void)snprintf(path, sizeof path, "%s/%llu.pem", f->o->sites, (unsigned long long)number);
    (void)snprintf(host, sizeof host, "key-%llu.test", (unsigned long long)number);
    X509 *cert = manykeys_certificate(key, host);
    FILE *out = cert != NULL ? fopen(path, "w") : NULL;
    bool ok = out != NULL && PEM_write_X509(out, cert) == 1;
    ok = out != NULL && fclose(out) == 0 && ok;
    if (!ok)
        failed(f, path, cert == NULL ? "no certificate could be made" : strerror(errno));
    X509_free(cert);
    return ok;
}

// ---- one modulus and its keys

// The first of the keys that fall to modulus m, whose share is up to the next one's first.
static uint64_t first_of(const struct options *o, uint64_t m)
{
    uint64_t more = o->keys % o->moduli; // so many moduli have one key more than the others
    return m * (o->keys / o->moduli) + (m < more ? m : more);
}

// Samples s with s * keys / sample = this key's number.
static bool is_sample(const struct options *o, uint64_t number)
{
    if (o->sample == 0)
        return false;
    uint64_t s = (number * o->sample + o->keys - 1) / o->keys;
    return s < o->sample && s * o->keys / o->sample == number;
}

// The next key of a modulus, whose exponents are used up to *at; without a modulus any one of P-256.
static EVP_PKEY *next_key(const struct fill *f, const struct manykeys_modulus *modulus, size_t *at)
{
    EVP_PKEY *key = NULL;
    if (f->o->type == TYPE_P256)
        return EVP_EC_gen("P-256");
    while (key == NULL && *at < f->exponent_count)
        key = manykeys_key(modulus, f->exponents[(*at)++]);
    return key;
}

static bool fill_modulus(struct fill *f, const struct manykeys_modulus *modulus, uint64_t m)
{
    size_t at = 0;
    for (uint64_t number = first_of(f->o, m); number < first_of(f->o, m + 1); number++) {
        EVP_PKEY *key = next_key(f, modulus, &at);
        bool ok = key != NULL;
        if (!ok)
            failed(f, "make a key", "no public exponent is left, or OpenSSL could not");
        ok = ok && put(f, key) && (!is_sample(f->o, number) || write_site(f, key, number));
        EVP_PKEY_free(key);
        if (!ok)
            return false;
    }
    return true;
}

static void *work(void *arg)
{
    struct fill *f = arg;
    uint64_t m;
    while ((m = atomic_fetch_add(&f->next, 1)) < f->o->moduli) {
        uint64_t begin = clock_ns();
        bool rsa = f->o->type == TYPE_RSA;
        struct manykeys_modulus *modulus = rsa ? manykeys_modulus_make((unsigned)f->o->bits) : NULL;
        (void)pthread_mutex_lock(&f->lock);
        f->making_seconds += (double)(clock_ns() - begin) / 1e9;
        (void)pthread_mutex_unlock(&f->lock);
        if (rsa && modulus == NULL)
            failed(f, "make a modulus", "OpenSSL could not");
        bool ok = (!rsa || modulus != NULL) && fill_modulus(f, modulus, m);
        manykeys_modulus_free(modulus);
        if (!ok)
            break;
    }
    return NULL;
}

// ---- all of them

static bool run_threads(struct fill *f)
{
    pthread_t threads[THREADS_MOST];
    unsigned started = 0;
    for (; started < f->o->threads; started++) {
        int error = pthread_create(&threads[started], NULL, work, f);
        if (error != 0) {
            failed(f, "start a thread", strerror(error));
            break;
        }
    }
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    return f->e.text[0] == '\0';
}

static bool open_all(struct fill *f)
{
    const struct kv_options store = {.limit_bytes = STORE_MEMORY, .fsync = KV_FSYNC_INTERVAL, .create = true};
    const struct options *o = f->o;
    char why[400] = "";
    f->exponent_count = (size_t)(o->keys / o->moduli) + 1 + SPARE;
    f->exponents = manykeys_exponents(f->exponent_count);
    if (f->exponents == NULL)
        failed(f, "public exponents", "out of memory");
    else if (o->sample != 0 && mkdir(o->sites, 0755) != 0 && errno != EEXIST)
        failed(f, o->sites, strerror(errno));
    else if ((f->master = seal_key_load(o->master_key, &f->e)) != NULL &&
             kv_open(o->store, &store, &f->store, why, sizeof why) != KV_OK)
        failed(f, "open the store", why);
    return f->e.text[0] == '\0';
}

static bool report_result(const struct fill *f, double seconds)
{
    const struct options *o = f->o;
    uint64_t done = atomic_load(&f->done), bytes = atomic_load(&f->bytes);
    if (o->json == NULL || strcmp(o->json, "-") != 0)
        printf("%llu keys from %llu moduli in %.1f s, %.1f bytes a record\n", (unsigned long long)done,
               (unsigned long long)o->moduli, seconds, (double)bytes / (double)done);
    if (o->json == NULL)
        return true;
    json_t *value =
        json_pack("{s:I, s:I, s:I, s:f, s:f, s:f}", "keys", (json_int_t)done, "moduli", (json_int_t)o->moduli,
                  "bits", (json_int_t)o->bits, "record_bytes", (double)bytes / (double)done, "seconds",
                  seconds, "moduli_seconds", f->making_seconds);
    bool ok =
        value != NULL && (strcmp(o->json, "-") == 0 ? json_dumpf(value, stdout, JSON_INDENT(1))
                                                    : json_dump_file(value, o->json, JSON_INDENT(1))) == 0;
    json_decref(value);
    if (!ok)
        report("%s: write: %s", o->json, strerror(errno));
    return ok;
}

static int fill_store(const struct options *o)
{
    static struct fill f;
    uint64_t begin = clock_ns();
    f.o = o;
    (void)pthread_mutex_init(&f.lock, NULL);
    bool ok = open_all(&f) && run_threads(&f);
    enum kv_status closed = kv_close(&f.store);
    if (ok && closed != KV_OK)
        failed(&f, o->store, kv_status_text(closed));
    seal_key_destroy(&f.master);
    free(f.exponents);
    if (f.e.text[0] != '\0') {
        report("%s", f.e.text);
        return EXIT_FAILED;
    }
    return report_result(&f, (double)(clock_ns() - begin) / 1e9) ? EXIT_DONE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct error e;
    bool locked;
    report_set_program("bench_keys");
    if (!secmem_setup(SECRET_BYTES, &locked, &e)) {
        report("%s", e.text);
        return EXIT_FAILED;
    }
    enum config_result read = config_read(&spec, argc, argv, &options, NULL);
    if (read != CONFIG_OK)
        return read == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    int status = EXIT_USAGE;
    if (options.moduli > options.keys)
        report("--moduli: found %llu, expected no more than --keys", (unsigned long long)options.moduli);
    else if (options.sample != 0 && (options.sites == NULL || options.sample > options.keys))
        report("--sample: needs --sites DIR, and no more than --keys");
    else
        status = fill_store(&options);
    config_release(&spec, &options, NULL);
    return status;
}
