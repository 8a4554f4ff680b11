// One object out of a file: for the places that know what they want. One thread.
#ifndef MEC_CERTS_OBJECTS_H
#define MEC_CERTS_OBJECTS_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/report.h"

// The first certificate, or unencrypted private key, in a file; NULL with *e set (with the path). The caller
// frees it.
X509 *objects_load_cert(const char *path, struct error *e);
EVP_PKEY *objects_load_key(const char *path, struct error *e);

#endif
