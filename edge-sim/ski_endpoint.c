#include "edge-sim/ski_endpoint.h"

#include <pthread.h>
#include <stdlib.h>

#include "edge-sim/ski_message.h"

struct ski_endpoint {
    SSL_CTX *ctx;
    struct net_addr addr;
    char host[SKI_HOST_MAX];
    char authority[SKI_HOST_MAX];
    pthread_mutex_t lock; // session
    SSL_SESSION *session;
};

// Takes the reference that the library offers (return value 1).
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct ski_endpoint *endpoint = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    (void)pthread_mutex_lock(&endpoint->lock);
    SSL_SESSION *old = endpoint->session;
    endpoint->session = session;
    (void)pthread_mutex_unlock(&endpoint->lock);
    SSL_SESSION_free(old);
    return 1;
}

struct ski_endpoint *ski_endpoint_create(const char *url, const struct tls_files *files, struct error *e)
{
    struct ski_endpoint *endpoint = calloc(1, sizeof *endpoint);
    if (endpoint == NULL) {
        error_set(e, "key server: no memory");
        return NULL;
    }
    (void)pthread_mutex_init(&endpoint->lock, NULL);
    if (!net_url_parse(url, endpoint->host, sizeof endpoint->host, endpoint->authority,
                       sizeof endpoint->authority, e) ||
        !net_addr_parse(endpoint->authority, &endpoint->addr, e) ||
        (endpoint->ctx = tls_client_ctx_create(files, e)) == NULL) {
        ski_endpoint_destroy(&endpoint);
        return NULL;
    }
    (void)SSL_CTX_set_app_data(endpoint->ctx, endpoint);
    (void)SSL_CTX_set_session_cache_mode(endpoint->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(endpoint->ctx, keep_session);
    return endpoint;
}

void ski_endpoint_destroy(struct ski_endpoint **ep)
{
    struct ski_endpoint *endpoint = *ep;
    if (endpoint == NULL)
        return;
    *ep = NULL;
    SSL_SESSION_free(endpoint->session);
    SSL_CTX_free(endpoint->ctx);
    (void)pthread_mutex_destroy(&endpoint->lock);
    free(endpoint);
}

const struct net_addr *ski_endpoint_addr(const struct ski_endpoint *endpoint)
{
    return &endpoint->addr;
}

const char *ski_endpoint_authority(const struct ski_endpoint *endpoint)
{
    return endpoint->authority;
}

SSL *ski_endpoint_ssl(struct ski_endpoint *endpoint, struct error *e)
{
    SSL *ssl = SSL_new(endpoint->ctx);
    if (ssl == NULL) {
        error_set_openssl(e, "%s: TLS", endpoint->authority);
        return NULL;
    }
    if (!tls_client_set_host(ssl, endpoint->host, e)) {
        SSL_free(ssl);
        return NULL;
    }
    // Answers come in batches: one read takes what the kernel has, instead of two per record.
    SSL_set_read_ahead(ssl, 1);
    (void)SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)pthread_mutex_lock(&endpoint->lock);
    if (endpoint->session != NULL)
        (void)SSL_set_session(ssl, endpoint->session);
    (void)pthread_mutex_unlock(&endpoint->lock);
    return ssl;
}

void ski_endpoint_forget_session(struct ski_endpoint *endpoint)
{
    (void)pthread_mutex_lock(&endpoint->lock);
    SSL_SESSION *old = endpoint->session;
    endpoint->session = NULL;
    (void)pthread_mutex_unlock(&endpoint->lock);
    SSL_SESSION_free(old);
}
