// A connection and the access policy: who is at the other end, whether the certificate still counts, and the pass.
#include "keyserver/conn_internal.h"

#include <openssl/ssl.h>

#include "common/log.h"

// A resumed session has the peer's certificate, but no chain.
static bool is_revoked(const struct conn *c, const struct access_policy *policy)
{
    const SSL *ssl = c->ssl;
    X509 *cert = SSL_get0_peer_certificate(ssl);
    return cert == NULL || access_is_revoked(policy, cert, SSL_get0_verified_chain(ssl));
}

static void tell_revoked(const struct conn *c)
{
    char edge[160];
    metric_add(c->loop->server->stats.policy_revoked, 1);
    log_warn("edge_revoked", "addr=%s edge=%s", c->peer->addr, log_quote(c->peer->name, edge, sizeof edge));
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
    access_edge_from_cert(&edge, SSL_get0_peer_certificate(c->ssl));
    fresh->pass = access_pass_create(policy, &edge, &c->addr);
    if (fresh->pass == NULL) {
        free(fresh);
        return false;
    }
    peer_unref(&c->peer);
    c->peer = fresh;
    return true;
}

bool conn_admit(struct conn *c)
{
    struct access_policy *policy = server_access(c->loop->server);
    bool good = policy == NULL;
    if (policy != NULL && is_revoked(c, policy))
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
        if (c->state == CONN_HANDSHAKE || !is_revoked(c, policy))
            continue;
        tell_revoked(c);
        conn_drop(c);
    }
    access_unref(&policy);
}
