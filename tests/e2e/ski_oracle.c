// Sends good and malformed RSA ciphertexts of every kind to a running key server, pipelined, and checks that
// nobody could tell them apart: the same HTTP status, the same number of bytes, a 48-byte premaster with the
// expected version; the same ciphertext gives the same answer again. Good ones must decrypt. The ciphertexts
// come from a seed, so that a second run, after a restart of the server, can compare every answer with the
// first run's.
//
//   ski_oracle --connect HOST:PORT --ca PEM --cert PEM --key PEM --site CERT --count N --seed N --answers FILE [--compare]
#include <getopt.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/net.h"
#include "common/report.h"
#include "common/tls.h"

#define WINDOW        64
#define PREMASTER_LEN 48
#define MODULUS_MAX   1024

enum kind {
    GOOD,
    BAD_TYPE,
    BAD_FIRST,
    ZERO_IN_PADDING,
    NO_SEPARATOR,
    WRONG_VERSION,
    LENGTH_47,
    LENGTH_49,
    LENGTH_0,
    RANDOM_BLOCK,
    CIPHERTEXT_0,
    CIPHERTEXT_1,
    CIPHERTEXT_N_MINUS_1,
    CIPHERTEXT_N,
    CIPHERTEXT_FF,
    KINDS
};

struct oracle {
    EVP_PKEY *site;
    size_t size;
    BIGNUM *modulus;
    char spki[64];
    SSL *ssl;
    char in[1 << 16];
    size_t in_len;
    size_t answer_len; // of every answer: the first one's
};

static void die(const char *what)
{
    report("%s", what);
    exit(EXIT_FAILED);
}

// A generator that both runs share (splitmix64).
static uint64_t state;
static uint64_t next_random(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint8_t non_zero(void)
{
    return (uint8_t)(1 + next_random() % 255);
}

// 00 02 padding 00 premaster, then spoilt. Returns the premaster's place when the block is good.
static void make_block(const struct oracle *o, enum kind kind, uint8_t *block)
{
    size_t k = o->size, separator = k - PREMASTER_LEN - 1;
    for (size_t i = 0; i < k; i++)
        block[i] = non_zero();
    block[0] = 0;
    block[1] = 2;
    block[separator] = 0;
    block[separator + 1] = 3;
    block[separator + 2] = 3;
    switch (kind) {
    case BAD_TYPE:
        block[1] = (uint8_t)(next_random() % 2 == 0 ? 1 : 3 + next_random() % 200);
        break;
    case BAD_FIRST:
        block[0] = 1;
        break;
    case ZERO_IN_PADDING:
        block[2 + next_random() % (separator - 2)] = 0;
        break;
    case NO_SEPARATOR:
        block[separator] = non_zero();
        break;
    case WRONG_VERSION:
        block[separator + 1 + next_random() % 2] ^= (uint8_t)(1 + next_random() % 255);
        break;
    case LENGTH_47:
        block[separator] = non_zero();
        block[separator + 1] = 0;
        break;
    case LENGTH_49:
        block[separator] = 3;
        block[separator - 1] = 0;
        break;
    case LENGTH_0:
        memset(block + separator, 7, PREMASTER_LEN);
        block[k - 1] = 0;
        break;
    case RANDOM_BLOCK:
        for (size_t i = 0; i < k; i++)
            block[i] = (uint8_t)next_random();
        block[0] &= 0x3f; // below the modulus
        break;
    default:
        break;
    }
}

static void encrypt_raw(const struct oracle *o, const uint8_t *block, uint8_t *ciphertext)
{
    size_t len = o->size;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(o->site, NULL);
    if (ctx == NULL || EVP_PKEY_encrypt_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) != 1 ||
        EVP_PKEY_encrypt(ctx, ciphertext, &len, block, o->size) != 1 || len != o->size)
        die("encrypting a block");
    EVP_PKEY_CTX_free(ctx);
}

static void make_ciphertext(const struct oracle *o, enum kind kind, uint8_t *ciphertext, uint8_t *premaster)
{
    uint8_t block[MODULUS_MAX];
    make_block(o, kind, block);
    memcpy(premaster, block + o->size - PREMASTER_LEN, PREMASTER_LEN);
    memset(ciphertext, 0, o->size);
    switch (kind) {
    case CIPHERTEXT_0:
        break;
    case CIPHERTEXT_1:
        ciphertext[o->size - 1] = 1;
        break;
    case CIPHERTEXT_N_MINUS_1:
    case CIPHERTEXT_N:
        (void)BN_bn2binpad(o->modulus, ciphertext, (int)o->size);
        if (kind == CIPHERTEXT_N_MINUS_1)
            ciphertext[o->size - 1] &= 0xfe; // the modulus is odd
        break;
    case CIPHERTEXT_FF:
        memset(ciphertext, 0xff, o->size);
        break;
    default:
        encrypt_raw(o, block, ciphertext);
        break;
    }
}

static void send_request(struct oracle *o, const uint8_t *ciphertext)
{
    char input[MODULUS_MAX * 2], body[MODULUS_MAX * 2 + 256], request[MODULUS_MAX * 2 + 512];
    (void)EVP_EncodeBlock((unsigned char *)input, ciphertext, (int)o->size);
    int body_len = snprintf(body, sizeof body,
                            "{\"protocol\":\"TLS 1.2\",\"spki\":\"%s\",\"method\":\"RSA\",\"input\":\"%s\"}",
                            o->spki, input);
    int len = snprintf(request, sizeof request,
                       "POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: %d\r\n\r\n%s", body_len, body);
    if (SSL_write(o->ssl, request, len) != len)
        die("sending a request: the connection is gone");
}

// Reads one answer and decodes its premaster; every answer must be 200 and as long as the first.
static void read_answer(struct oracle *o, uint8_t premaster[PREMASTER_LEN])
{
    static const char marker[] = "{\"output\":\"";
    uint8_t decoded[PREMASTER_LEN + 3];
    char *end;

    while ((end = memmem(o->in, o->in_len, "\"}\n", 3)) == NULL) {
        int n = SSL_read(o->ssl, o->in + o->in_len, (int)(sizeof o->in - o->in_len));
        if (n <= 0)
            die("reading an answer: the connection is gone");
        o->in_len += (size_t)n;
    }
    size_t len = (size_t)(end - o->in) + 3;
    const char *output = memmem(o->in, len, marker, sizeof marker - 1);
    if (strncmp(o->in, "HTTP/1.1 200 ", 13) != 0 || output == NULL)
        die("an answer is no 200 with an output");
    if (o->answer_len == 0)
        o->answer_len = len;
    if (len != o->answer_len)
        die("an answer has another length");
    output += sizeof marker - 1;
    if (end - output != 64 || EVP_DecodeBlock(decoded, (const unsigned char *)output, 64) != PREMASTER_LEN)
        die("an output is no 48-byte premaster");
    memcpy(premaster, decoded, PREMASTER_LEN);
    memmove(o->in, o->in + len, o->in_len - len);
    o->in_len -= len;
}

struct expected {
    enum kind kind;
    uint8_t premaster[PREMASTER_LEN];
};

static void check_answer(const struct expected *e, const uint8_t got[PREMASTER_LEN])
{
    bool same = memcmp(e->premaster, got, PREMASTER_LEN) == 0;
    if (got[0] != 3 || got[1] != 3)
        die("an answer carries another version");
    if (e->kind == GOOD && !same)
        die("a good ciphertext was not decrypted");
    if (e->kind != GOOD && memcmp(e->premaster + 2, got + 2, PREMASTER_LEN - 2) == 0)
        die("the bytes of a malformed block came back");
}

// One pass over `count` ciphertexts from the seed; answers[i] is filled.
static void pass(struct oracle *o, uint64_t seed, size_t count, uint8_t (*answers)[PREMASTER_LEN])
{
    struct expected window[WINDOW];
    uint8_t ciphertext[MODULUS_MAX];

    state = seed;
    for (size_t sent = 0, answered = 0; answered < count;) {
        if (sent < count && sent - answered < WINDOW) {
            struct expected *e = &window[sent % WINDOW];
            // Half are good, the rest of every kind in turn.
            e->kind = sent % 2 == 0 ? GOOD : (enum kind)(1 + (sent / 2) % (KINDS - 1));
            make_ciphertext(o, e->kind, ciphertext, e->premaster);
            send_request(o, ciphertext);
            sent++;
        } else {
            read_answer(o, answers[answered]);
            check_answer(&window[answered % WINDOW], answers[answered]);
            answered++;
        }
    }
}

static void load_site(struct oracle *o, const char *path)
{
    uint8_t *der = NULL, digest[32];
    FILE *f = fopen(path, "r");
    X509 *cert = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    if (cert == NULL)
        die("--site: cannot read the certificate");
    (void)fclose(f);
    o->site = X509_get_pubkey(cert);
    o->size = (size_t)EVP_PKEY_get_size(o->site);
    int len = i2d_PUBKEY(o->site, &der);
    if (len <= 0 || o->size > MODULUS_MAX ||
        EVP_PKEY_get_bn_param(o->site, OSSL_PKEY_PARAM_RSA_N, &o->modulus) != 1)
        die("--site: no RSA certificate");
    (void)EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL);
    (void)EVP_EncodeBlock((unsigned char *)o->spki, digest, sizeof digest);
    OPENSSL_free(der);
    X509_free(cert);
}

static void save_or_compare(const char *path, bool compare, uint8_t (*answers)[PREMASTER_LEN], size_t count)
{
    FILE *f = fopen(path, compare ? "rb" : "wb");
    if (f == NULL)
        die("--answers: cannot open the file");
    if (!compare) {
        if (fwrite(answers, PREMASTER_LEN, count, f) != count)
            die("--answers: cannot write the file");
    } else {
        uint8_t before[PREMASTER_LEN];
        for (size_t i = 0; i < count; i++)
            if (fread(before, PREMASTER_LEN, 1, f) != 1 || memcmp(before, answers[i], PREMASTER_LEN) != 0)
                die("an answer differs from the one before the restart");
    }
    if (fclose(f) != 0)
        die("--answers: cannot write the file");
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"connect", 1, NULL, 'c'}, {"ca", 1, NULL, 'a'},    {"cert", 1, NULL, 'e'}, {"key", 1, NULL, 'k'},
        {"site", 1, NULL, 's'},    {"count", 1, NULL, 'n'}, {"seed", 1, NULL, 'd'}, {"answers", 1, NULL, 'f'},
        {"compare", 0, NULL, 'p'}, {NULL, 0, NULL, 0},
    };
    static struct oracle o;
    struct tls_files files = {0};
    struct net_addr addr;
    struct error why;
    const char *connect = NULL, *site = NULL, *answers_file = NULL;
    size_t count = 0;
    uint64_t seed = 1;
    bool compare = false;

    report_set_program("ski_oracle");
    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            connect = optarg;
            break;
        case 'a':
            files.ca_file = optarg;
            break;
        case 'e':
            files.cert_file = optarg;
            break;
        case 'k':
            files.key_file = optarg;
            break;
        case 's':
            site = optarg;
            break;
        case 'n':
            count = strtoul(optarg, NULL, 10);
            break;
        case 'd':
            seed = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            answers_file = optarg;
            break;
        case 'p':
            compare = true;
            break;
        default:
            return EXIT_USAGE;
        }
    }
    if (connect == NULL || site == NULL || count == 0 || answers_file == NULL)
        return EXIT_USAGE;
    load_site(&o, site);
    SSL_CTX *ctx = tls_client_ctx_create(&files, &why);
    if (ctx == NULL || !net_addr_parse(connect, &addr, &why))
        die(why.text);
    int fd = net_connect(&addr, 5000, &why);
    if (fd < 0)
        die(why.text);
    o.ssl = SSL_new(ctx);
    if (o.ssl == NULL || !tls_client_set_host(o.ssl, "127.0.0.1", &why) || SSL_set_fd(o.ssl, fd) != 1 ||
        SSL_connect(o.ssl) != 1)
        die("TLS handshake");

    uint8_t(*answers)[PREMASTER_LEN] = calloc(2 * count, PREMASTER_LEN);
    if (answers == NULL)
        die("out of memory");
    pass(&o, seed, count, answers);
    // Once more, a tenth: the same ciphertexts give the same answers.
    size_t again = count / 10 + 1;
    pass(&o, seed, again < count ? again : count, answers + count);
    if (memcmp(answers, answers + count, (again < count ? again : count) * PREMASTER_LEN) != 0)
        die("the same ciphertext was answered differently");
    save_or_compare(answers_file, compare, answers, count);
    printf("%zu ciphertexts of %d kinds: one status, one length (%zu bytes), repeatable\n", count, (int)KINDS,
           o.answer_len);

    free(answers);
    SSL_free(o.ssl);
    (void)close(fd);
    SSL_CTX_free(ctx);
    EVP_PKEY_free(o.site);
    BN_free(o.modulus);
    return EXIT_DONE;
}
