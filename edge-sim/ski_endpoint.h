// A key server as a client sees it: where it is, what its certificate must say, the TLS context that shows
// our own certificate, and the latest TLS session for resumption. Shared by all connections to it; any
// thread.
#ifndef MEC_EDGE_SIM_SKI_ENDPOINT_H
#define MEC_EDGE_SIM_SKI_ENDPOINT_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "common/net.h"
#include "common/report.h"
#include "common/tls.h"

struct ski_endpoint;

// url: "https://HOST:PORT". The name is resolved now, once (may block). NULL and *e set on failure.
struct ski_endpoint *ski_endpoint_create(const char *url, const struct tls_files *files, struct error *e);
// No connection may use it any more. NULL is fine.
void ski_endpoint_destroy(struct ski_endpoint **endpoint);

const struct net_addr *ski_endpoint_addr(const struct ski_endpoint *endpoint);
// "HOST:PORT", for the Host field and for logs.
const char *ski_endpoint_authority(const struct ski_endpoint *endpoint);

// A client SSL with host check, SNI and the latest session set; the caller frees it. NULL and *e set on
// failure.
SSL *ski_endpoint_ssl(struct ski_endpoint *endpoint, struct error *e);
// Forgets the session kept for resumption (the server's certificate is out of date: do a full handshake).
void ski_endpoint_forget_session(struct ski_endpoint *endpoint);

#endif
