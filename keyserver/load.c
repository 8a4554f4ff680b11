// Opening what the server serves from: certificates, master key, store. All that `--check` looks at.
#include "keyserver/server.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/tls.h"
#include "keyserver/control.h"
#include "keyserver/master.h"
#include "keyserver/migration.h"

#define SAMPLE_RECORDS 64 // opened at start, so that a wrong master key shows before the first edge asks

// What clients would refuse later. An expired certificate is an error of --check; a running server goes on
// with it, and says so (expiry.h).
static bool check_own_certificate(const struct options *o, SSL_CTX *ctx, struct error *e)
{
    int days = tls_ctx_days_left(ctx);
    if (X509_check_purpose(SSL_CTX_get0_certificate(ctx), X509_PURPOSE_SSL_SERVER, 0) != 1) {
        error_set(e, "%s: found a certificate that is not for TLS servers (extended key usage)", o->cert);
        return false;
    }
    if (days < 0 && o->check) {
        error_set(e, "%s: the certificate expired %d days ago", o->cert, -days);
        return false;
    }
    return true;
}

// The master key's file must not be readable by others; this one may be a copy that some other tool manages.
static void warn_of_open_key(const struct options *o)
{
    struct stat st;
    if (stat(o->key, &st) == 0 && (st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        log_warn("key_file_open", "file=%s mode=%o note=\"others than its owner can read or change it\"",
                 o->key, (unsigned)st.st_mode & 0777);
}

static SSL_CTX *make_tls(const struct options *o, struct error *e)
{
    const struct tls_files files = {
        .cert_file = o->cert, .key_file = o->key, .ca_file = o->client_ca, .leaf_only = o->server_chain == 1};
    SSL_CTX *ctx = tls_server_ctx_create(&files, e);
    warn_of_open_key(o);
    if (ctx != NULL && !check_own_certificate(o, ctx, e)) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

// Clients of the migration listener show no certificate and refuse a chain. The context is its own, so that no session of
// one listener is known to the other.
static bool make_migration_tls(const struct options *o, SSL_CTX **ctx, struct error *e)
{
    const struct tls_files files = {.cert_file = o->cert, .key_file = o->key, .leaf_only = true};
    *ctx = tls_server_ctx_create_for(&files, TLS_CLIENTS_NONE, e);
    return *ctx != NULL;
}

// Without --policy there is none, which is fine.
static bool load_access(const struct options *o, struct access_policy **policy, struct error *e)
{
    *policy = NULL;
    if (o->policy == NULL)
        return true;
    *policy = access_load(o->policy, o->client_ca, e);
    if (*policy != NULL)
        log_info("policy_loaded", "file=%s rules=%zu revocations=%zu", o->policy, access_rule_count(*policy),
                 access_revocation_count(*policy));
    return *policy != NULL;
}

static bool reload_access(const struct server *server, const struct options *options,
                          struct access_policy **policy, struct error *e)
{
    if (server->access == NULL || options->policy != NULL)
        return load_access(options, policy, e);
    error_set(e, "--policy: found none, expected a file: only a restart takes the access policy away");
    return false;
}

bool server_reload(struct server *server, const struct options *options, struct error *e)
{
    struct access_policy *policy = NULL;
    SSL_CTX *fresh = make_tls(options, e), *migration = NULL;
    bool good = fresh != NULL &&
                (server->migration_tls == NULL || make_migration_tls(options, &migration, e)) &&
                reload_access(server, options, &policy, e) && master_reload(server, options, e) &&
                control_reload(server, options, e);
    if (server->access != NULL || options->policy != NULL)
        metric_add(server->stats.policy_loads[good], 1);
    if (!good) {
        access_unref(&policy);
        SSL_CTX_free(fresh);
        SSL_CTX_free(migration);
        return false;
    }
    (void)pthread_mutex_lock(&server->tls_lock);
    SSL_CTX *old = server->tls, *old_migration = server->migration_tls;
    struct access_policy *old_policy = server->access;
    server->tls = fresh;
    server->migration_tls = migration;
    server->access = policy;
    (void)pthread_mutex_unlock(&server->tls_lock);
    (void)atomic_fetch_add(&server->tls_generation, 1);
    SSL_CTX_free(old);
    SSL_CTX_free(old_migration);
    access_unref(&old_policy);
    for (unsigned i = 0; i < server->loop_count; i++)
        loop_recheck(&server->loops[i]);
    migration_announce(server);
    return true;
}

struct access_policy *server_access(struct server *server)
{
    (void)pthread_mutex_lock(&server->tls_lock);
    struct access_policy *policy = access_ref(server->access);
    (void)pthread_mutex_unlock(&server->tls_lock);
    return policy;
}

STACK_OF(X509) * server_peer_chain(struct server *server, const SSL *ssl)
{
    (void)pthread_mutex_lock(&server->tls_lock);
    SSL_CTX *ctx = server->tls;
    (void)SSL_CTX_up_ref(ctx);
    (void)pthread_mutex_unlock(&server->tls_lock);

    STACK_OF(X509) *chain = tls_peer_chain(ctx, ssl);
    SSL_CTX_free(ctx);
    return chain;
}

bool server_peer_is_trusted(struct server *server, const SSL *ssl)
{
    STACK_OF(X509) *chain = server_peer_chain(server, ssl);
    bool trusted = chain != NULL;
    sk_X509_pop_free(chain, X509_free);
    return trusted;
}

SSL *server_new_ssl(struct server *server, bool migration)
{
    (void)pthread_mutex_lock(&server->tls_lock);
    SSL *ssl = SSL_new(migration ? server->migration_tls : server->tls);
    (void)pthread_mutex_unlock(&server->tls_lock);
    return ssl;
}

static bool open_store(struct server *server, struct error *e)
{
    const struct options *o = server->options;
    const struct kv_options options = {.limit_bytes = scaler_options_first_limit(&o->elastic),
                                       .fsync = (enum kv_fsync)o->fsync,
                                       .create = !o->check};
    struct kv_stats stats;
    char why[256];
    enum kv_status status = kv_open(o->store, &options, &server->store, why, sizeof why);
    if (status == KV_LOCKED && o->check) {
        log_info("store_in_use", "dir=%s note=\"not checked: another server runs on it\"", o->store);
        return true;
    }
    if (status != KV_OK) {
        error_set(e, "store: %s", why);
        return false;
    }
    kv_get_stats(server->store, &stats);
    log_info("store_open", "dir=%s entries=%llu damaged_records=%llu", o->store,
             (unsigned long long)stats.keys, (unsigned long long)stats.damaged_records);
    if (stats.keys == 0)
        log_warn("store_empty", "dir=%s note=\"no keys yet: fill it with certs import\"", o->store);
    if (stats.damaged_records != 0)
        log_error("store_damaged", "dir=%s records=%llu", o->store,
                  (unsigned long long)stats.damaged_records);
    return true;
}

struct sample {
    struct server *server;
    unsigned seen, bad, plain;
    char first_bad[256];
    struct keyrecord_info info; // of the last one
};

static bool check_record(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    struct sample *sample = arg;
    char name[KEYRECORD_NAME_LEN + 1];
    EVP_PKEY *pkey = NULL;
    void *value = NULL;
    size_t len = 0;
    (void)value_len;
    (void)expire_ms;

    if (key_len != KEYRECORD_NAME_LEN)
        return true; // aliases and foreign entries
    memcpy(name, key, key_len);
    name[key_len] = '\0';
    enum kv_status got = kv_get_alloc(sample->server->store, key, key_len, &value, &len, NULL);
    if (got == KV_NOT_FOUND)
        return true;
    enum keyrecord_status status =
        got == KV_OK ? keyrecord_open(name, value, len, sample->server->master, &pkey, &sample->info)
                     : KEYRECORD_DAMAGED;
    if (status != KEYRECORD_OK && sample->bad++ == 0)
        (void)snprintf(sample->first_bad, sizeof sample->first_bad, "key %.8s...: %s", name,
                       got == KV_OK ? keyrecord_status_text(status) : kv_status_text(got));
    if (status == KEYRECORD_OK && !sample->info.sealed)
        sample->plain++;
    EVP_PKEY_free(pkey);
    free(value);
    return ++sample->seen < SAMPLE_RECORDS;
}

// Opens some records. All of them failing means the wrong master key: an error; some failing is for the
// operator to mend.
static bool check_records(struct server *server, struct error *e)
{
    struct sample sample = {.server = server};
    uint64_t cursor = 0;
    if (server->store == NULL)
        return true;
    do {
        enum kv_status status = kv_scan(server->store, &cursor, SAMPLE_RECORDS, check_record, &sample);
        if (status != KV_OK) {
            error_set(e, "store %s: %s", server->options->store, kv_status_text(status));
            return false;
        }
    } while (cursor != 0 && sample.seen < SAMPLE_RECORDS);
    if (sample.bad > 0 && sample.bad == sample.seen) {
        error_set(e, "store %s: no key opens: %s", server->options->store, sample.first_bad);
        return false;
    }
    if (sample.bad > 0)
        log_error("keys_unusable", "sampled=%u unusable=%u first=\"%s\"", sample.seen, sample.bad,
                  sample.first_bad);
    if (sample.plain > 0 && server->options->redis_listen != NULL)
        log_warn("redis_plain_keys",
                 "sampled=%u plain=%u note=\"clients of --redis-listen can read them: import them anew, "
                 "with --master-key\"",
                 sample.seen, sample.plain);
    return true;
}

bool server_load(struct server *server, const struct options *options, const struct privileges *privileges,
                 struct inherited *inherited, struct error *e)
{
    memset(server, 0, sizeof *server);
    server->options = options;
    server->inherited = inherited;
    (void)pthread_mutex_init(&server->tls_lock, NULL);
    if (!engine_pick((enum engine_wanted)options->rsa_engine, rsa8_available(RSA8_IFMA), &server->engine_pick,
                     e))
        return false;
    if ((server->tls = make_tls(options, e)) == NULL ||
        (options->migration_listen != NULL && !make_migration_tls(options, &server->migration_tls, e)))
        return false;
    if (!master_load(server, e))
        return false;
    const struct audit_settings audit = options_audit(options);
    return privileges_as_user(privileges, e) && audit_check(&audit, e) && control_check(options, e) &&
           load_access(options, &server->access, e) && migration_check(options, server->access, e);
}

bool server_load_store(struct server *server, struct error *e)
{
    return open_store(server, e) && check_records(server, e);
}
