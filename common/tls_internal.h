// PEM files into OpenSSL objects, with errors that name the file. Used by tls.c alone.
#ifndef MEC_COMMON_TLS_INTERNAL_H
#define MEC_COMMON_TLS_INTERNAL_H

#include <stdbool.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/report.h"

// The private key of a PEM file; never asks for a passphrase. The text passes through secret memory only.
EVP_PKEY *tls_read_key(const char *path, struct error *e);

#endif
