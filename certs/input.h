// Certificates and private keys out of the bytes of a file, whatever form they have there:
//
//   PEM   certificates, PKCS#8 plain and encrypted, PKCS#1 and SEC1 plain and encrypted the traditional way;
//   any number,
//         with any text around them; other blocks (requests, CRLs, parameters) are passed over
//   DER   certificate, PKCS#8 plain and encrypted, PKCS#1, SEC1, PKCS#12; several may follow one another
//   PKCS#12  all keys and certificates of all its bags
//
// Knows no files and keeps nothing. A damaged object is one fault, and the others of the file are still found
// where the form allows. Texts about faults never quote the input. Any thread.
#ifndef MEC_CERTS_INPUT_H
#define MEC_CERTS_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/passphrase.h"

// Each may be NULL: then objects of the kind are not even decoded. What is passed is borrowed for the call; a
// callback that keeps it takes a reference.
struct input_sink {
    void *arg;
    void (*cert)(void *arg, X509 *cert);
    void (*key)(void *arg, EVP_PKEY *key);
    void (*fault)(void *arg, const char *why);
};

// passphrase: for whatever is encrypted; its text may be NULL.
void input_parse(const uint8_t *data, size_t len, const struct passphrase *passphrase,
                 const struct input_sink *sink);

#endif
