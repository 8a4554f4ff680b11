// Makes certificates: X.509 version 3, ECDSA with SHA-256, random serial numbers of 127 bits, key usage,
// basic constraints and key identifiers as RFC 5280 asks. One thread.
#ifndef MEC_CERTS_X509MAKE_H
#define MEC_CERTS_X509MAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/report.h"

enum x509make_use { X509MAKE_CA, X509MAKE_SERVER, X509MAKE_CLIENT };

struct x509make_request {
    enum x509make_use use;
    const char *common_name;    // at most 64 characters are used
    const GENERAL_NAMES *names; // subject alternative names; NULL for a CA
    unsigned days;              // cut to the issuer's own
    EVP_PKEY *key;              // to be certified
    X509 *issuer;               // NULL: self-signed
    EVP_PKEY *issuer_key;
};

// NULL with *e set. The caller frees it.
X509 *x509make(const struct x509make_request *request, struct error *e);

// Adds a name to *names (made when NULL): an IP address, a URI (when it has a scheme) or a DNS name, which
// may begin with "*.". False with *e set when it is none of these.
bool x509make_add_name(GENERAL_NAMES **names, const char *name, struct error *e);

// Whether every name of `wanted` is among the certificate's alternative names.
bool x509make_has_names(X509 *cert, const GENERAL_NAMES *wanted);

#endif
