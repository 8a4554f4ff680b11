// One set of parameters for both sides; the two constructors add what differs.
#include "common/tls.h"

#include <arpa/inet.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "common/secmem.h"
#include "tls_internal.h"

// TLS 1.2: ephemeral key exchange and AEAD only (RFC 9325 section 4.2). TLS 1.3's default suites all are.
static const char cipher_list[] = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                  "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char groups[] = "X25519:P-256:P-384";

#define SESSION_SECONDS     3600
#define MAX_CACHED_SESSIONS 1024 // of clients without tickets; each holds the client's certificate
#define MAX_CHAIN_DEPTH     5

static bool set_parameters(SSL_CTX *ctx)
{
    SSL_CTX_set_security_level(ctx, 2);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    // No chain is built from the CA store: what is sent is what the file holds, and never the CA's root by
    // accident.
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_verify_depth(ctx, MAX_CHAIN_DEPTH);
    (void)SSL_CTX_set_timeout(ctx, SESSION_SECONDS);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, cipher_list) == 1 && SSL_CTX_set1_groups_list(ctx, groups) == 1;
}

// A root in the chain file is left out: the peer has it or does not trust it.
static bool add_intermediates(SSL_CTX *ctx, STACK_OF(X509) * certs)
{
    for (int i = 1; i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);
        bool self_signed = (X509_get_extension_flags(cert) & EXFLAG_SS) != 0;
        if (!self_signed && SSL_CTX_add1_chain_cert(ctx, cert) != 1)
            return false;
    }
    return true;
}

static bool load_own_certificate(SSL_CTX *ctx, const struct tls_files *files, struct error *e)
{
    STACK_OF(X509) *certs = tls_read_certs(files->cert_file, e);
    if (certs == NULL)
        return false;
    ERR_clear_error();
    bool loaded = SSL_CTX_use_certificate(ctx, sk_X509_value(certs, 0)) == 1 &&
                  (files->leaf_only || add_intermediates(ctx, certs));
    if (!loaded)
        error_set_openssl(e, "%s: use as own certificate", files->cert_file);
    sk_X509_pop_free(certs, X509_free);
    return loaded;
}

static bool load_own_key(SSL_CTX *ctx, const struct tls_files *files, struct error *e)
{
    EVP_PKEY *key = tls_read_key(files->key_file, e);
    if (key == NULL)
        return false;
    // Compared here rather than by SSL_CTX_use_PrivateKey(), which would silently drop a certificate that
    // differs.
    bool loaded = EVP_PKEY_eq(key, X509_get0_pubkey(SSL_CTX_get0_certificate(ctx))) == 1;
    if (!loaded)
        error_set(e, "%s: expected the key of the certificate in %s, found another one", files->key_file,
                  files->cert_file);
    ERR_clear_error();
    if (loaded && (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)) {
        error_set_openssl(e, "%s: use as own key", files->key_file);
        loaded = false;
    }
    EVP_PKEY_free(key);
    return loaded;
}

// Trusts the CAs; a server also names them to clients, which choose their certificate by it.
static bool load_cas(SSL_CTX *ctx, const struct tls_files *files, bool send_names, struct error *e)
{
    STACK_OF(X509) *cas = tls_read_certs(files->ca_file, e);
    if (cas == NULL)
        return false;
    ERR_clear_error();
    bool loaded = true;
    for (int i = 0; loaded && i < sk_X509_num(cas); i++) {
        X509 *ca = sk_X509_value(cas, i);
        if (X509_check_ca(ca) == 0) {
            error_set(e, "%s: certificate %d is not a CA's", files->ca_file, i + 1);
            loaded = false;
        } else if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) != 1 ||
                   (send_names && SSL_CTX_add_client_CA(ctx, ca) != 1)) {
            error_set_openssl(e, "%s: certificate %d", files->ca_file, i + 1);
            loaded = false;
        }
    }
    sk_X509_pop_free(cas, X509_free);
    return loaded;
}

static SSL_CTX *create_ctx(const SSL_METHOD *method, const struct tls_files *files, bool server,
                           struct error *e)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL || !set_parameters(ctx)) {
        error_set_openssl(e, "TLS parameters");
    } else if ((files->cert_file == NULL ||
                (load_own_certificate(ctx, files, e) && load_own_key(ctx, files, e))) &&
               (files->ca_file == NULL || load_cas(ctx, files, server, e))) {
        return ctx;
    }
    SSL_CTX_free(ctx);
    return NULL;
}

SSL_CTX *tls_server_ctx_create(const struct tls_files *files, struct error *e)
{
    return tls_server_ctx_create_for(files, TLS_CLIENTS_REQUIRED, e);
}

SSL_CTX *tls_server_ctx_create_for(const struct tls_files *files, enum tls_clients clients, struct error *e)
{
    static const int modes[] = {[TLS_CLIENTS_REQUIRED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                                [TLS_CLIENTS_NONE] = SSL_VERIFY_NONE,
                                [TLS_CLIENTS_OPTIONAL] = SSL_VERIFY_PEER};
    if (files->cert_file == NULL || files->key_file == NULL) {
        error_set(e, "TLS: a server needs a certificate and its key, and there is no file of them");
        return NULL;
    }
    if (files->ca_file == NULL && clients != TLS_CLIENTS_NONE) {
        error_set(e, "TLS: clients' certificates are to be checked, and there is no file of CAs");
        return NULL;
    }
    SSL_CTX *ctx = create_ctx(TLS_server_method(), files, true, e);
    if (ctx == NULL)
        return NULL;
    // Purpose and trust of a TLS client are OpenSSL's defaults for the verifying server.
    SSL_CTX_set_verify(ctx, modes[clients], NULL);
    // Tickets are sealed with a key of this context: a session never survives into a context with other CAs.
    // And never into one that asks other things of its clients, should they come to share keys.
    static const char *const session_id_contexts[] = {[TLS_CLIENTS_REQUIRED] = "mec",
                                                      [TLS_CLIENTS_NONE] = "mec none",
                                                      [TLS_CLIENTS_OPTIONAL] = "mec optional"};
    const char *session_id_context = session_id_contexts[clients];
    (void)SSL_CTX_set_session_id_context(ctx, (const unsigned char *)session_id_context,
                                         (unsigned)strlen(session_id_context));
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
    (void)SSL_CTX_sess_set_cache_size(ctx, MAX_CACHED_SESSIONS);
    (void)SSL_CTX_set_num_tickets(ctx, 1); // each resumption brings the next
    return ctx;
}

SSL_CTX *tls_client_ctx_create(const struct tls_files *files, struct error *e)
{
    SSL_CTX *ctx = create_ctx(TLS_client_method(), files, false, e);
    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    return ctx;
}

bool tls_client_set_host(SSL *ssl, const char *host, struct error *e)
{
    unsigned char ip[16];
    bool set;
    ERR_clear_error();
    if (inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1) {
        set = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    } else {
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        set = host[0] != '\0' && SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
    }
    if (!set)
        error_set_openssl(e, "%.200s: check the server's name", host);
    return set;
}

bool tls_peer_in_date(const SSL *ssl)
{
    const X509 *cert = SSL_get0_peer_certificate(ssl);
    return cert != NULL && X509_cmp_current_time(X509_get0_notBefore(cert)) < 0 &&
           X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

STACK_OF(X509) * tls_peer_chain(SSL_CTX *ctx, const SSL *ssl)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    STACK_OF(X509) *chain = NULL;
    if (cert != NULL && check != NULL &&
        X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(ctx), cert, SSL_get_peer_cert_chain(ssl)) == 1 &&
        X509_STORE_CTX_set_default(check, "ssl_client") == 1 && X509_verify_cert(check) == 1)
        chain = X509_STORE_CTX_get1_chain(check);
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    return chain;
}

bool tls_peer_is_trusted(SSL_CTX *ctx, const SSL *ssl)
{
    STACK_OF(X509) *chain = tls_peer_chain(ctx, ssl);
    bool trusted = chain != NULL;
    sk_X509_pop_free(chain, X509_free);
    return trusted;
}

static void copy_clean(const unsigned char *text, size_t text_len, char *buf, size_t len)
{
    size_t n = text_len < len - 1 ? text_len : len - 1;
    for (size_t i = 0; i < n; i++)
        buf[i] = (char)(text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?');
    buf[n] = '\0';
}

// The first URI or DNS name; false when there is none.
static bool copy_alt_name(const X509 *cert, char *buf, size_t len)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if ((type == GEN_URI || type == GEN_DNS) && ASN1_STRING_length(value) > 0) {
            copy_clean(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value), buf, len);
            found = true;
        }
    }
    GENERAL_NAMES_free(names);
    return found;
}

static void copy_common_name(const X509 *cert, char *buf, size_t len)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0)
        return;
    unsigned char *text = NULL;
    int text_len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (text_len > 0)
        copy_clean(text, (size_t)text_len, buf, len);
    OPENSSL_free(text);
}

char *tls_cert_name(const X509 *cert, char *buf, size_t len)
{
    if (len == 0)
        return buf;
    copy_clean((const unsigned char *)"-", 1, buf, len);
    if (cert != NULL && !copy_alt_name(cert, buf, len))
        copy_common_name(cert, buf, len);
    ERR_clear_error();
    return buf;
}

char *tls_peer_name(const SSL *ssl, char *buf, size_t len)
{
    return tls_cert_name(SSL_get0_peer_certificate(ssl), buf, len);
}

int tls_ctx_days_left(SSL_CTX *ctx)
{
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    int days = 0, seconds = 0;
    if (cert == NULL || ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) != 1)
        return 0;
    return days == 0 && seconds < 0 ? -1 : days; // expired today is expired
}
