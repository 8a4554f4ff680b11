// The sites of an edge: certificates without private keys, and the TLS context for each name they cover.
//
// A site file is PEM: the site's certificate, then intermediates. An RSA and an EC certificate for the same
// name stand in one context, and libssl takes the one the client can use. A file that holds a private key is
// refused: an edge has none.
#ifndef MEC_EDGE_SIM_EDGE_SITES_H
#define MEC_EDGE_SIM_EDGE_SITES_H

#include <stddef.h>

#include <openssl/ssl.h>

#include "common/report.h"
#include "edge-sim/provider.h"

struct edge_sites;

struct edge_site_options {
    OSSL_LIB_CTX *libctx; // the one the provider is loaded into
    struct ski_provider *provider;
    int tls_max; // TLS1_2_VERSION or TLS1_3_VERSION
};

// Reads the leaf and its chain (certs[0] is the leaf). Refuses a file with a private key. NULL and *e set on
// failure; the caller frees with sk_X509_pop_free.
STACK_OF(X509) * edge_site_read(const char *file, struct error *e);

// NULL and *e set (naming the file) on failure. Names that two certificates of one type claim go to the
// first, with a warning in the log.
struct edge_sites *edge_sites_create(char *const *files, size_t count,
                                     const struct edge_site_options *options, struct error *e);
void edge_sites_destroy(struct edge_sites **sites);

// The context to begin every connection with: that of the first site; it changes to the right one by SNI. Any
// thread.
SSL_CTX *edge_sites_default(const struct edge_sites *sites);
// The context for a name (any case), or NULL when no site covers it.
SSL_CTX *edge_sites_find(const struct edge_sites *sites, const char *name);
// How many names are covered.
size_t edge_sites_names(const struct edge_sites *sites);

#endif
