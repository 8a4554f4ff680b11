// TLS contexts for the mutually authenticated SKI channel: TLS 1.3 and 1.2, AEAD suites with forward secrecy
// only, no compression, no renegotiation, as RFC 7540 section 9.2 (cited by
// draft-cairns-tls-session-key-interface-01) and RFC 9325 ask.
#ifndef MEC_COMMON_TLS_H
#define MEC_COMMON_TLS_H

#include <stdbool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "common/report.h"

struct tls_files {
    const char *cert_file; // PEM: own certificate, then intermediates
    const char *key_file;  // PEM: own private key
    const char *ca_file;   // PEM: CAs that may have signed the peer's certificate
    bool leaf_only;        // server: send exactly one certificate (old clients refuse a chain)
};

// A server context that requires a client certificate signed by ca_file (for the purpose of TLS client
// authentication, in date, whole chain checked). Session resumption on. NULL and *e set (naming the file) on
// failure: a file missing, no certificate in it, key and certificate that do not belong together, an expired
// own certificate is NOT an error here (see tls_ctx_days_left). The caller frees with SSL_CTX_free(). The
// context may be used by all threads.
SSL_CTX *tls_server_ctx_create(const struct tls_files *files, struct error *e);

// Whether clients must show a certificate; NONE needs no ca_file.
enum tls_clients { TLS_CLIENTS_REQUIRED, TLS_CLIENTS_NONE, TLS_CLIENTS_OPTIONAL };
// As tls_server_ctx_create(), for servers that know their clients by other means, too.
SSL_CTX *tls_server_ctx_create_for(const struct tls_files *files, enum tls_clients clients, struct error *e);

// A client context that shows a certificate (none when cert_file is NULL) and checks the server's against ca_file. The caller sets the host
// name to check on each SSL with tls_client_set_host(). Sessions for resumption go to the callback that the
// caller may set with SSL_CTX_sess_set_new_cb() (for TLS 1.3 it comes after the handshake, with the first
// read); the context keeps none itself.
SSL_CTX *tls_client_ctx_create(const struct tls_files *files, struct error *e);

// SNI (for names) and the name or IP address that the server's certificate must carry.
bool tls_client_set_host(SSL *ssl, const char *host, struct error *e);

// The peer's certificate is still within its dates now: resumption does not check it again. False without
// one.
bool tls_peer_in_date(const SSL *ssl);

// The chain, from the peer's certificate up, by which it would pass with the authorities of this context, too: after a reload, for
// connections that began with others; also for a resumed session, which has no chain of its own. NULL: it would not. The caller
// frees it with sk_X509_pop_free(chain, X509_free).
STACK_OF(X509) *tls_peer_chain(SSL_CTX *ctx, const SSL *ssl);
// Whether there is one.
bool tls_peer_is_trusted(SSL_CTX *ctx, const SSL *ssl);

// Who a certificate (NULL: "-") is of, as tls_peer_name().
char *tls_cert_name(const X509 *cert, char *buf, size_t len);
// Who the peer is, for logs: the first SAN URI or DNS name of its certificate, else the subject CN, with all
// but printable ASCII replaced by '?', cut to len. "-" without a certificate. Returns buf.
char *tls_peer_name(const SSL *ssl, char *buf, size_t len);

// All certificates of a PEM file, at least one, in order; other kinds of PEM blocks are passed over. The
// caller frees with sk_X509_pop_free(, X509_free). NULL and *e set when the file cannot be read, holds none,
// or a damaged one.
STACK_OF(X509) * tls_read_certs(const char *path, struct error *e);

// Days until the first certificate in the file of the context expires (negative: since). 0 on error.
int tls_ctx_days_left(SSL_CTX *ctx);

#endif
