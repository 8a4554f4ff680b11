// A small PKI in a folder, for the mutual TLS between edges and key server:
//
//   ca.pem ca.key                    the CA; used again when it is there
//   server.pem server.key            the key server's; server-chain.pem: with the CA's behind it
//   edge-NAME.pem edge-NAME.key      one pair for each edge
//
// Keys are ECDSA P-256 in PKCS#8 PEM, mode 0600. What is there already is kept when it is what was asked for,
// and is an error when it is not, unless `force`; the CA is never replaced. One thread.
#ifndef MEC_CERTS_PKI_H
#define MEC_CERTS_PKI_H

#include <stdbool.h>

#include "common/config.h"
#include "common/report.h"

struct pki_options {
    const char *out;
    struct config_list servers; // names of the one server; an item may be a comma list
    struct config_list edges;   // NAME or NAME=URI; an item may be a comma list
    unsigned days;              // of server and edge certificates
    bool force;
};

#define PKI_CA_DAYS 3650

// Called for every file that was made (or kept).
typedef void (*pki_file_fn)(void *arg, const char *path, bool kept);

bool pki_make(const struct pki_options *options, pki_file_fn fn, void *arg, struct error *e);

#endif
