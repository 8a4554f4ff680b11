// A policy's life: loading, references; the pass of a connection.
#include "keyserver/access_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/tls.h"
#include "keyserver/access_migration.h"

#define BUCKETS 16384 // of all edges under all rules with a rate: 256 KiB

// ---- references

static void release_patterns(struct access_patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++)
        free(patterns->items[i].text);
    free(patterns->items);
}

static void destroy(struct access_policy *policy)
{
    for (size_t i = 0; i < policy->rule_count; i++) {
        release_patterns(&policy->rules[i].edges);
        release_patterns(&policy->rules[i].keys);
        free(policy->rules[i].nets);
    }
    free(policy->rules);
    for (size_t i = 0; i < policy->crl_count; i++)
        free(policy->crl_lines[i].path);
    free(policy->crl_lines);
    access_revoke_release(&policy->revocations);
    access_buckets_destroy(&policy->buckets);
    free(policy);
}

struct access_policy *access_ref(struct access_policy *policy)
{
    if (policy != NULL)
        (void)atomic_fetch_add_explicit(&policy->refs, 1, memory_order_relaxed);
    return policy;
}

void access_unref(struct access_policy **policy)
{
    if (*policy != NULL && atomic_fetch_sub_explicit(&(*policy)->refs, 1, memory_order_acq_rel) == 1)
        destroy(*policy);
    *policy = NULL;
}

size_t access_rule_count(const struct access_policy *policy)
{
    return policy->rule_count;
}

void access_each_crl(const struct access_policy *policy,
                     void (*each)(void *arg, const char *issuer, const ASN1_TIME *last,
                                  const ASN1_TIME *next),
                     void *arg)
{
    char issuer[200];
    for (int i = 0; i < sk_X509_CRL_num(policy->revocations.crls); i++) {
        const X509_CRL *crl = sk_X509_CRL_value(policy->revocations.crls, i);
        (void)X509_NAME_oneline(X509_CRL_get_issuer(crl), issuer, sizeof issuer);
        each(arg, issuer, X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_nextUpdate(crl));
    }
}

size_t access_revocation_count(const struct access_policy *policy)
{
    return access_revoke_count(&policy->revocations);
}

// ---- loading

static bool make_buckets(struct access_policy *policy)
{
    bool wanted = false;
    for (size_t i = 0; i < policy->rule_count; i++)
        wanted |= policy->rules[i].interval_ns != 0;
    if (wanted)
        policy->buckets = access_buckets_create(BUCKETS);
    return !wanted || policy->buckets != NULL;
}

struct access_policy *access_parse(const char *name, const char *text, size_t len, struct error *e)
{
    struct access_policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL) {
        error_set(e, "%s: out of memory", name);
        return NULL;
    }
    policy->refs = 1;
    bool good = access_read_rules(policy, name, text, len, e);
    if (good && !make_buckets(policy)) {
        error_set(e, "%s: out of memory", name);
        good = false;
    }
    if (!good)
        access_unref(&policy);
    else
        access_revoke_sort(&policy->revocations);
    return policy;
}

static void warn_of_open_file(const char *path, mode_t mode)
{
    char quoted[1024];
    if ((mode & (S_IWGRP | S_IWOTH)) != 0)
        log_warn("policy_file_open", "file=%s mode=%o note=\"others than its owner can change it\"",
                 log_quote(path, quoted, sizeof quoted), (unsigned)mode & 0777);
}

// The whole file; malloc'ed. Not a folder, a pipe, or something without end.
static char *read_file(const char *path, size_t *len, struct error *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = NULL;
    if (fd < 0 || fstat(fd, &st) != 0)
        error_set(e, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode) || st.st_size > ACCESS_FILE_MAX)
        error_set(e, "%s: found %s, expected a policy file of at most %u bytes", path,
                  S_ISREG(st.st_mode) ? "a larger file" : "no regular file", ACCESS_FILE_MAX);
    else if ((text = malloc((size_t)st.st_size + 1)) == NULL)
        error_set(e, "%s: out of memory", path);
    else {
        ssize_t n;
        warn_of_open_file(path, st.st_mode);
        for (*len = 0; (n = read(fd, text + *len, (size_t)st.st_size - *len)) > 0;)
            *len += (size_t)n;
        if (n < 0) {
            error_set(e, "%s: %s", path, strerror(errno));
            free(text);
            text = NULL;
        }
    }
    if (fd >= 0)
        (void)close(fd);
    return text;
}

// Relative to the folder of the policy.
static void list_path(const char *policy_path, const char *path, char *out, size_t len)
{
    const char *slash = strrchr(policy_path, '/');
    int folder = slash != NULL && path[0] != '/' ? (int)(slash - policy_path + 1) : 0;
    (void)snprintf(out, len, "%.*s%s", folder, policy_path, path);
}

static bool load_crls(struct access_policy *policy, const char *path, const char *ca_file, struct error *e)
{
    char file[4096];
    struct error why = {""};
    STACK_OF(X509) *cas = policy->crl_count > 0 ? tls_read_certs(ca_file, e) : NULL;
    bool good = policy->crl_count == 0 || cas != NULL;
    for (size_t i = 0; good && i < policy->crl_count; i++) {
        list_path(path, policy->crl_lines[i].path, file, sizeof file);
        good = access_revoke_add_crls(&policy->revocations, file, cas, &why);
        if (!good)
            error_set(e, "%s:%u: %s", path, policy->crl_lines[i].line, why.text);
    }
    sk_X509_pop_free(cas, X509_free);
    return good;
}

struct access_policy *access_load(const char *path, const char *ca_file, struct error *e)
{
    size_t len = 0;
    char *text = read_file(path, &len, e);
    struct access_policy *policy = text != NULL ? access_parse(path, text, len, e) : NULL;
    free(text);
    if (policy != NULL && !load_crls(policy, path, ca_file, e))
        access_unref(&policy);
    return policy;
}

// ---- questions

bool access_is_revoked(const struct access_policy *policy, X509 *cert, STACK_OF(X509) * chain)
{
    bool revoked = access_revoke_has(&policy->revocations, cert);
    for (int i = 0; !revoked && i < sk_X509_num(chain); i++)
        revoked = access_revoke_has(&policy->revocations, sk_X509_value(chain, i));
    return revoked;
}

static bool address_holds(const struct access_rule *rule, bool has_ip, const uint8_t ip[static 16])
{
    bool holds = rule->net_count == 0;
    for (size_t i = 0; has_ip && !holds && i < rule->net_count; i++)
        holds = access_net_holds(&rule->nets[i], ip);
    return holds;
}

struct access_pass *access_pass_create(struct access_policy *policy, const struct access_edge *edge,
                                       const struct net_addr *addr)
{
    uint8_t ip[16] = {0};
    struct access_pass *pass = calloc(1, sizeof *pass);
    if (pass == NULL)
        return NULL;
    pass->policy = access_ref(policy);
    pass->edge_id = edge->migration && addr != NULL ? access_migration_id(addr) : access_edge_id(edge);
    bool has_ip = addr != NULL && access_ip(addr, ip);
    for (size_t i = 0; !edge->unusable && i < policy->rule_count; i++) {
        const struct access_rule *rule = &policy->rules[i];
        if (!access_edge_matches(rule, edge))
            continue;
        if (addr == NULL || address_holds(rule, has_ip, ip))
            pass->rules[i / 64] |= 1ull << (i % 64);
        else if (rule->allow)
            pass->best = ACCESS_BY_ADDRESS;
    }
    return pass;
}

void access_pass_destroy(struct access_pass **pass)
{
    if (*pass == NULL)
        return;
    access_unref(&(*pass)->policy);
    free(*pass);
    *pass = NULL;
}

void access_take(const struct access_pass *pass, struct access_verdict *verdict, uint64_t now_ns)
{
    if (verdict->outcome != ACCESS_ALLOW)
        return;
    const struct access_rule *rule = &pass->policy->rules[verdict->rule];
    if (rule->interval_ns == 0)
        return;
    uint64_t id = pass->edge_id ^ ((verdict->rule + 1) * 0x9e3779b97f4a7c15ull);
    if (access_rate_take(access_bucket(pass->policy->buckets, id), now_ns, rule->interval_ns, rule->burst))
        return;
    verdict->outcome = ACCESS_DENY;
    verdict->reason = ACCESS_BY_RATE;
}
