// A connection and the access policy: who is at the other end, whether the certificate still counts, and the pass.
#include "keyserver/conn_internal.h"

#include <openssl/ssl.h>

#include "common/log.h"
#include "common/tls.h"
#include "keyserver/access_migration.h"

// What the handshake verified; for a resumed session the chain by which its certificate passes now. That such a session is new says that
// its chain was not revoked by the present policy: conn_verify() saw it, and no session outlives its policy (server_reload).
static bool is_revoked(const struct conn *c, const struct access_policy *policy)
{
    const SSL *ssl = c->ssl;
    X509 *cert = SSL_get0_peer_certificate(ssl);
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl), *built = NULL;
    if (chain == NULL && c->state != CONN_HANDSHAKE && access_revocation_count(policy) > 0)
        chain = built = server_peer_chain(c->loop->server, ssl);
    bool revoked = cert == NULL || access_is_revoked(policy, cert, chain);
    sk_X509_pop_free(built, X509_free);
    return revoked;
}

static void tell_revoked(const struct conn *c)
{
    char edge[160];
    metric_add(c->loop->server->stats.policy_revoked, 1);
    log_warn("edge_revoked", "addr=%s edge=%s", c->peer->addr, log_quote(c->peer->name, edge, sizeof edge));
}

// In the handshake, once the chain is good: who is revoked gets an alert, and no session to resume.
static int on_verify(int good, X509_STORE_CTX *check)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(check, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct conn *c = SSL_get_app_data(ssl);
    if (good != 1 || X509_STORE_CTX_get_error_depth(check) > 0)
        return good;
    X509 *cert = X509_STORE_CTX_get0_cert(check);
    struct access_policy *policy = server_access(c->loop->server);
    if (policy != NULL && access_is_revoked(policy, cert, X509_STORE_CTX_get0_chain(check))) {
        (void)tls_cert_name(cert, c->peer->name, sizeof c->peer->name);
        tell_revoked(c);
        X509_STORE_CTX_set_error(check, X509_V_ERR_CERT_REVOKED);
        good = 0;
    }
    access_unref(&policy);
    return good;
}

void conn_verify(struct conn *c)
{
    (void)SSL_set_app_data(c->ssl, c);
    SSL_set_verify(c->ssl, SSL_get_verify_mode(c->ssl), on_verify);
}

// Who is known by its address alone.
static void name_by_address(struct peer *peer, struct access_edge *edge, const struct conn *c,
                            const struct access_policy *policy)
{
    access_migration_edge(edge);
    peer->listed = access_migration_lists(policy, &c->addr);
    access_migration_name(&c->addr, peer->listed, peer->name);
}

// The same peer with the pass of the policy.
static bool renew_peer(struct conn *c, struct access_policy *policy)
{
    struct access_edge edge;
    struct peer *fresh = malloc(sizeof *fresh);
    if (fresh == NULL)
        return false;
    *fresh = *c->peer;
    fresh->refs = 1;
    if (c->peer->migration)
        name_by_address(fresh, &edge, c, policy);
    else
        access_edge_from_cert(&edge, SSL_get0_peer_certificate(c->ssl));
    fresh->pass = access_pass_create(policy, &edge, &c->addr);
    if (fresh->pass == NULL) {
        free(fresh);
        return false;
    }
    edge_hold(fresh->account);
    peer_unref(&c->peer);
    c->peer = fresh;
    return true;
}

bool conn_admit(struct conn *c)
{
    struct access_policy *policy = server_access(c->loop->server);
    bool good = policy == NULL && !c->peer->migration;
    if (policy != NULL && !c->peer->migration && is_revoked(c, policy))
        tell_revoked(c);
    else if (policy != NULL)
        good = renew_peer(c, policy);
    access_unref(&policy);
    return good;
}

void conn_recheck(struct loop *loop)
{
    struct access_policy *policy = server_access(loop->server);
    for (struct conn *c = policy != NULL ? loop->conns : NULL, *next; c != NULL; c = next) {
        next = c->next;
        if (c->state == CONN_HANDSHAKE || c->peer->migration || !is_revoked(c, policy))
            continue;
        tell_revoked(c);
        conn_drop(c);
    }
    access_unref(&policy);
}
