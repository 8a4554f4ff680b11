#include "oracle_kit.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/net.h"
#include "common/report.h"

void oracle_die(const char *what)
{
    report("%s", what);
    exit(EXIT_FAILED);
}

uint64_t oracle_random(struct oracle *o)
{
    uint64_t z = (o->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void oracle_use_key(struct oracle *o, EVP_PKEY *pkey)
{
    uint8_t *der = NULL, digest[32];
    o->site = pkey;
    o->size = (size_t)EVP_PKEY_get_size(pkey);
    int len = i2d_PUBKEY(pkey, &der);
    if (len <= 0 || o->size > ORACLE_MODULUS_MAX ||
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &o->modulus) != 1)
        oracle_die("the key is no RSA key");
    (void)EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL);
    (void)EVP_EncodeBlock((unsigned char *)o->spki, digest, sizeof digest);
    OPENSSL_free(der);
}

void oracle_use_certificate(struct oracle *o, const char *path)
{
    FILE *f = fopen(path, "r");
    X509 *cert = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    if (cert == NULL)
        oracle_die("--site: cannot read the certificate");
    (void)fclose(f);
    oracle_use_key(o, X509_get_pubkey(cert));
    X509_free(cert);
}

static uint8_t non_zero(struct oracle *o)
{
    return (uint8_t)(1 + oracle_random(o) % 255);
}

// 00 02 padding 00 premaster, then spoilt. Returns the premaster's place when the block is good.
static void make_block(struct oracle *o, enum oracle_kind kind, uint8_t *block)
{
    size_t k = o->size, separator = k - ORACLE_PREMASTER_LEN - 1;
    for (size_t i = 0; i < k; i++)
        block[i] = non_zero(o);
    block[0] = 0;
    block[1] = 2;
    block[separator] = 0;
    block[separator + 1] = 3;
    block[separator + 2] = 3;
    switch (kind) {
    case ORACLE_BAD_TYPE:
        block[1] = (uint8_t)(oracle_random(o) % 2 == 0 ? 1 : 3 + oracle_random(o) % 200);
        break;
    case ORACLE_BAD_FIRST:
        block[0] = 1;
        break;
    case ORACLE_ZERO_IN_PADDING:
        block[2 + oracle_random(o) % (separator - 2)] = 0;
        break;
    case ORACLE_NO_SEPARATOR:
        block[separator] = non_zero(o);
        break;
    case ORACLE_WRONG_VERSION:
        block[separator + 1 + oracle_random(o) % 2] ^= (uint8_t)(1 + oracle_random(o) % 255);
        break;
    case ORACLE_LENGTH_47:
        block[separator] = non_zero(o);
        block[separator + 1] = 0;
        break;
    case ORACLE_LENGTH_49:
        block[separator] = 3;
        block[separator - 1] = 0;
        break;
    case ORACLE_LENGTH_0:
        memset(block + separator, 7, ORACLE_PREMASTER_LEN);
        block[k - 1] = 0;
        break;
    case ORACLE_RANDOM_BLOCK:
        for (size_t i = 0; i < k; i++)
            block[i] = (uint8_t)oracle_random(o);
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
        oracle_die("encrypting a block");
    EVP_PKEY_CTX_free(ctx);
}

void oracle_ciphertext(struct oracle *o, enum oracle_kind kind, uint8_t *ciphertext,
                       uint8_t premaster[static ORACLE_PREMASTER_LEN])
{
    uint8_t block[ORACLE_MODULUS_MAX];
    make_block(o, kind, block);
    memcpy(premaster, block + o->size - ORACLE_PREMASTER_LEN, ORACLE_PREMASTER_LEN);
    memset(ciphertext, 0, o->size);
    switch (kind) {
    case ORACLE_CIPHERTEXT_0:
        break;
    case ORACLE_CIPHERTEXT_1:
        ciphertext[o->size - 1] = 1;
        break;
    case ORACLE_CIPHERTEXT_N_MINUS_1:
    case ORACLE_CIPHERTEXT_N:
        (void)BN_bn2binpad(o->modulus, ciphertext, (int)o->size);
        if (kind == ORACLE_CIPHERTEXT_N_MINUS_1)
            ciphertext[o->size - 1] &= 0xfe; // the modulus is odd
        break;
    case ORACLE_CIPHERTEXT_FF:
        memset(ciphertext, 0xff, o->size);
        break;
    default:
        encrypt_raw(o, block, ciphertext);
        break;
    }
}

// ---- a connection

void oracle_ask(struct oracle *o, const uint8_t *ciphertext)
{
    char input[ORACLE_MODULUS_MAX * 2], body[ORACLE_MODULUS_MAX * 2 + 256],
        request[ORACLE_MODULUS_MAX * 2 + 512];
    (void)EVP_EncodeBlock((unsigned char *)input, ciphertext, (int)o->size);
    int body_len = snprintf(body, sizeof body,
                            "{\"protocol\":\"TLS 1.2\",\"spki\":\"%s\",\"method\":\"RSA\",\"input\":\"%s\"}",
                            o->spki, input);
    int len = snprintf(request, sizeof request,
                       "POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: %d\r\n\r\n%s", body_len, body);
    if (SSL_write(o->ssl, request, len) != len)
        oracle_die("sending a request: the connection is gone");
}

void oracle_answer(struct oracle *o, uint8_t premaster[static ORACLE_PREMASTER_LEN])
{
    static const char marker[] = "{\"output\":\"";
    uint8_t decoded[ORACLE_PREMASTER_LEN + 3];
    char *end;

    while ((end = memmem(o->in, o->in_len, "\"}\n", 3)) == NULL) {
        int n = SSL_read(o->ssl, o->in + o->in_len, (int)(sizeof o->in - o->in_len));
        if (n <= 0)
            oracle_die("reading an answer: the connection is gone");
        o->in_len += (size_t)n;
    }
    size_t len = (size_t)(end - o->in) + 3;
    const char *output = memmem(o->in, len, marker, sizeof marker - 1);
    if (strncmp(o->in, "HTTP/1.1 200 ", 13) != 0 || output == NULL)
        oracle_die("an answer is no 200 with an output");
    if (o->answer_len == 0)
        o->answer_len = len;
    if (len != o->answer_len)
        oracle_die("an answer has another length");
    output += sizeof marker - 1;
    if (end - output != 64 ||
        EVP_DecodeBlock(decoded, (const unsigned char *)output, 64) != ORACLE_PREMASTER_LEN)
        oracle_die("an output is no 48-byte premaster");
    memcpy(premaster, decoded, ORACLE_PREMASTER_LEN);
    memmove(o->in, o->in + len, o->in_len - len);
    o->in_len -= len;
}

void oracle_connect(struct oracle *o, const char *address, const struct tls_files *files)
{
    struct net_addr addr;
    struct error why;
    o->ctx = tls_client_ctx_create(files, &why);
    if (o->ctx == NULL || !net_addr_parse(address, &addr, &why))
        oracle_die(why.text);
    o->fd = net_connect(&addr, 5000, &why);
    if (o->fd < 0)
        oracle_die(why.text);
    o->ssl = SSL_new(o->ctx);
    if (o->ssl == NULL || !tls_client_set_host(o->ssl, "127.0.0.1", &why) || SSL_set_fd(o->ssl, o->fd) != 1 ||
        SSL_connect(o->ssl) != 1)
        oracle_die("TLS handshake");
}

void oracle_release(struct oracle *o)
{
    if (o->ssl != NULL)
        (void)close(o->fd);
    SSL_free(o->ssl);
    SSL_CTX_free(o->ctx);
    EVP_PKEY_free(o->site);
    BN_free(o->modulus);
}
