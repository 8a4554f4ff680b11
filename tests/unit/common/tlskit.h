// A PKI in the test's folder, and handshakes in memory between a server's and a client's context.
#ifndef TLSKIT_H
#define TLSKIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "common/tls.h"
#include "test_pki.h"

struct tlskit {
    struct test_cert root, intermediate, other_root;
    char ca_file[512], server_file[512], server_key[512], client_file[512], client_key[512];
};
extern struct tlskit tlskit;

struct tlskit_pair {
    SSL *server, *client;
};

// A leaf of the given issuer in NAME.pem and NAME.key; the chain file holds the issuer as well when it is no
// root.
struct test_cert tlskit_issue(const char *file, const struct test_cert_spec *spec, char cert_path[512],
                              char key_path[512]);
void tlskit_issue_and_forget(const char *file, const struct test_cert_spec *spec, char cert_path[512],
                             char key_path[512]);
int tlskit_set_up(void **state);
int tlskit_tear_down(void **state);
SSL_CTX *tlskit_server_ctx(bool leaf_only);
SSL_CTX *tlskit_client_ctx(const char *cert, const char *key);
struct tlskit_pair tlskit_connect(SSL_CTX *server, SSL_CTX *client);
// Runs both sides until neither moves. True when both are done; the client then also reads, which is when it
// learns what a TLS 1.3 server thinks of its certificate, and gets its ticket.
bool tlskit_handshake(struct tlskit_pair p);
void tlskit_free(struct tlskit_pair *p);
bool tlskit_accepted(SSL_CTX *server, SSL_CTX *client);
// A plain client with what the caller adds; it trusts anybody.
SSL_CTX *tlskit_plain_client(int version);

#endif
