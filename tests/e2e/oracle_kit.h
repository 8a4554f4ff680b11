// Good and malformed RSA ciphertexts of every kind, and a connection that asks a key server about them: what ski_oracle and
// timing_ski have in common. What cannot be done ends the program, with words.
#ifndef MEC_TESTS_E2E_ORACLE_KIT_H
#define MEC_TESTS_E2E_ORACLE_KIT_H

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

#include "common/tls.h"

#define ORACLE_PREMASTER_LEN 48
#define ORACLE_MODULUS_MAX   1024

enum oracle_kind {
    ORACLE_GOOD,
    ORACLE_BAD_TYPE,
    ORACLE_BAD_FIRST,
    ORACLE_ZERO_IN_PADDING,
    ORACLE_NO_SEPARATOR,
    ORACLE_WRONG_VERSION,
    ORACLE_LENGTH_47,
    ORACLE_LENGTH_49,
    ORACLE_LENGTH_0,
    ORACLE_RANDOM_BLOCK,
    ORACLE_CIPHERTEXT_0,
    ORACLE_CIPHERTEXT_1,
    ORACLE_CIPHERTEXT_N_MINUS_1,
    ORACLE_CIPHERTEXT_N,
    ORACLE_CIPHERTEXT_FF,
    ORACLE_KINDS
};

struct oracle {
    EVP_PKEY *site; // the public half
    size_t size;    // of the modulus, bytes
    BIGNUM *modulus;
    char spki[64];
    uint64_t random; // state of oracle_random(): from the same, the same ciphertexts
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    char in[1 << 16];
    size_t in_len;
    size_t answer_len; // of every answer: the first one's
};

__attribute__((noreturn)) void oracle_die(const char *what);

// splitmix64
uint64_t oracle_random(struct oracle *o);

// The public key, which the oracle takes over; or that of a certificate.
void oracle_use_key(struct oracle *o, EVP_PKEY *pkey);
void oracle_use_certificate(struct oracle *o, const char *path);

// ciphertext: size bytes. premaster: of ORACLE_GOOD what it decrypts to; of others the bytes in its place.
void oracle_ciphertext(struct oracle *o, enum oracle_kind kind, uint8_t *ciphertext,
                       uint8_t premaster[static ORACLE_PREMASTER_LEN]);

void oracle_connect(struct oracle *o, const char *address, const struct tls_files *files);
void oracle_ask(struct oracle *o, const uint8_t *ciphertext);
// Reads one answer and decodes its premaster; every answer must be 200 and as long as the first.
void oracle_answer(struct oracle *o, uint8_t premaster[static ORACLE_PREMASTER_LEN]);

// Closes the connection, if there is one, and frees all.
void oracle_release(struct oracle *o);

#endif
