// PEM files into OpenSSL objects, with errors that name the file. Used by tls.c alone.
#ifndef MEC_COMMON_TLS_INTERNAL_H
#define MEC_COMMON_TLS_INTERNAL_H

#include <stdbool.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/report.h"

// All certificates of a PEM file, at least one, in order; other kinds of PEM blocks are passed over. The
// caller frees with sk_X509_pop_free(, X509_free). NULL and *e set when the file cannot be read, holds none,
// or a damaged one.
STACK_OF(X509) * tls_read_certs(const char *path, struct error *e);

// The private key of a PEM file; never asks for a passphrase. The text passes through secret memory only.
EVP_PKEY *tls_read_key(const char *path, struct error *e);

#endif
