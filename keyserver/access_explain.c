#include "keyserver/access_explain.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/tls.h"
#include "keyserver/access.h"
#include "keyserver/access_migration.h"
#include "keyserver/control.h"
#include "kvstore/kv.h"

#define TIMEOUT_S 10 // of the control socket

struct question {
    struct access_edge edge;
    X509 *cert; // of the edge, when it was given as a file
    char spki[KEYRECORD_NAME_LEN + 1];
    struct access_ask ask;
    bool has_addr;
    struct net_addr addr;

    bool found; // the key, or a made-up one
    char name[KEYRECORD_NAME_LEN + 1];
    struct keyrecord_traits *traits;
};

static X509 *first_cert(const char *path, struct error *e)
{
    STACK_OF(X509) *certs = tls_read_certs(path, e);
    X509 *cert = sk_X509_shift(certs);
    sk_X509_pop_free(certs, X509_free);
    return cert;
}

// ---- words

static bool parse_ip(const char *text, struct net_addr *addr)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&addr->ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addr->ss;
    addr->ss.ss_family = AF_INET;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        return true;
    addr->ss.ss_family = AF_INET6;
    return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
}

// As audit lines call them: migration:ADDRESS.
static bool read_migration(struct question *q, const char *word, struct error *e)
{
    access_migration_edge(&q->edge);
    q->has_addr = parse_ip(word + sizeof ACCESS_MIGRATION_WORD, &q->addr);
    if (!q->has_addr)
        error_set(e, "--explain: EDGE: found %s, expected an IPv4 or IPv6 address behind the colon", word);
    return q->has_addr;
}

static bool read_edge(struct question *q, const char *word, struct error *e)
{
    char name[KEYRECORD_NAME_LEN + 1];
    if (strncmp(word, ACCESS_MIGRATION_WORD ":", sizeof ACCESS_MIGRATION_WORD) == 0)
        return read_migration(q, word, e);
    for (int i = 0; i < ACCESS_IDENTITIES; i++) {
        const char *kind = access_identity_word((enum access_identity)i), *text = word + strlen(kind) + 1;
        if (strncmp(word, kind, strlen(kind)) != 0 || word[strlen(kind)] != ':')
            continue;
        bool good = i != ACCESS_SPKI || keyrecord_normalise(text, strlen(text), name);
        if (i == ACCESS_SPKI)
            text = name;
        if (good && access_edge_add(&q->edge, (enum access_identity)i, text, strlen(text)))
            return true;
        error_set(e, "--explain: EDGE: found %s, expected printable text, or a fingerprint, behind the colon",
                  word);
        return false;
    }
    q->cert = first_cert(word, e);
    if (q->cert != NULL)
        access_edge_from_cert(&q->edge, q->cert);
    return q->cert != NULL;
}

// A key that has this name or label and nothing else.
static bool make_up(struct question *q, const char *text, bool label, struct error *e)
{
    q->found = true;
    q->traits = malloc(sizeof *q->traits + strlen(text) + 1);
    if (q->traits == NULL) {
        error_set(e, "--explain: out of memory");
        return false;
    }
    q->traits->name_count = !label;
    q->traits->label_count = label;
    memcpy(q->traits->text, text, strlen(text) + 1);
    return true;
}

static bool read_key(struct question *q, const char *word, struct error *e)
{
    bool label = strncmp(word, "label:", 6) == 0;
    if (label || strncmp(word, "name:", 5) == 0)
        return make_up(q, word + (label ? 6 : 5), label, e);
    if (keyrecord_normalise(word, strlen(word), q->spki))
        return true;
    X509 *cert = first_cert(word, e);
    bool good = cert != NULL && access_edge_spki(cert, q->spki);
    X509_free(cert);
    return good;
}

static bool read_method(struct question *q, const char *word, struct error *e)
{
    static const enum ski_method methods[] = {SKI_METHOD_ECDHE, SKI_METHOD_RSA};
    for (size_t i = 0; i < 2; i++)
        if (strcmp(word, ski_method_word(methods[i])) == 0) {
            q->ask.method = methods[i];
            return true;
        }
    error_set(e, "--explain: METHOD: found %s, expected RSA or ECDHE", word);
    return false;
}

static bool read_protocol(struct question *q, const char *word, struct error *e)
{
    for (int i = 0; i < SKI_PROTOCOLS; i++)
        if (strcmp(word, ski_protocol_word((enum ski_protocol)i)) == 0) {
            q->ask.protocol = (enum ski_protocol)i;
            return true;
        }
    error_set(
        e, "--explain: PROTOCOL: found %s, expected \"TLS 1.0\" to \"TLS 1.3\", \"DTLS 1.0\" or \"DTLS 1.2\"",
        word);
    return false;
}

static bool read_address(struct question *q, const char *word, struct error *e)
{
    if (q->edge.migration) {
        error_set(e, "--explain: ADDRESS: found %s, expected none: EDGE has it", word);
        return false;
    }
    q->has_addr = parse_ip(word, &q->addr);
    if (!q->has_addr)
        error_set(e, "--explain: ADDRESS: found %s, expected an IPv4 or IPv6 address", word);
    return q->has_addr;
}

static bool read_words(struct question *q, const struct config_list *words, struct error *e)
{
    if (words->count < 3 || words->count > 5) {
        error_set(e, "--explain: found %zu words, expected EDGE KEY METHOD [PROTOCOL [ADDRESS]]",
                  words->count);
        return false;
    }
    q->ask.protocol = SKI_TLS_1_2;
    return read_edge(q, words->items[0], e) && read_key(q, words->items[1], e) &&
           read_method(q, words->items[2], e) && (words->count < 4 || read_protocol(q, words->items[3], e)) &&
           (words->count < 5 || read_address(q, words->items[4], e));
}

// ---- the record of a key: from a running server, else from the store itself

struct source {
    int fd; // of the control socket; -1: none
    FILE *in;
    struct kv_store *store;
};

static bool open_source(struct source *s, const struct options *o, struct error *e)
{
    char text[4200], why[256];
    struct net_addr addr;
    const struct timeval limit = {.tv_sec = TIMEOUT_S};
    const struct kv_options options = {.limit_bytes = 64u << 20};
    *s = (struct source){.fd = -1};
    if (control_wanted(o) && control_address(o, &addr, text, sizeof text, NULL))
        s->fd = net_connect(&addr, TIMEOUT_S * 1000, NULL);
    if (s->fd >= 0) {
        (void)setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        s->in = fdopen(s->fd, "r");
        return s->in != NULL;
    }
    if (kv_open(o->store, &options, &s->store, why, sizeof why) == KV_OK)
        return true;
    error_set(e, "--explain: store: %s", why);
    return false;
}

static void close_source(struct source *s)
{
    if (s->in != NULL)
        (void)fclose(s->in);
    else if (s->fd >= 0)
        (void)close(s->fd);
    if (s->store != NULL)
        (void)kv_close(&s->store);
}

// GET by the Redis protocol: "$LENGTH\r\n", the value, "\r\n"; "$-1\r\n" when it is not there.
static bool get_remote(struct source *s, const char *name, void **value, size_t *len, struct error *e)
{
    char line[128];
    long announced = -2;
    int n = snprintf(line, sizeof line, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(name), name);
    *value = NULL;
    if (write(s->fd, line, (size_t)n) == n && fgets(line, sizeof line, s->in) != NULL && line[0] == '$')
        announced = strtol(line + 1, NULL, 10);
    if (announced == -1)
        return true;
    bool good = announced >= 0 && announced <= KEYRECORD_MAX_LEN;
    *len = good ? (size_t)announced : 0;
    good = good && (*value = malloc(*len + 2)) != NULL && fread(*value, 1, *len + 2, s->in) == *len + 2;
    if (!good) {
        free(*value);
        *value = NULL;
        error_set(e, "--explain: the control socket gave no record");
    }
    return good;
}

static bool get_local(struct source *s, const char *name, void **value, size_t *len, struct error *e)
{
    enum kv_status status = kv_get_alloc(s->store, name, strlen(name), value, len, NULL);
    if (status != KV_OK)
        *value = NULL;
    if (status != KV_OK && status != KV_NOT_FOUND)
        error_set(e, "--explain: store: %s", kv_status_text(status));
    return status == KV_OK || status == KV_NOT_FOUND;
}

// Follows an alias, as keyring_find() does.
static bool find_key(struct question *q, struct source *s, struct error *e)
{
    memcpy(q->name, q->spki, sizeof q->name);
    for (int hops = 0; hops < 2; hops++) {
        void *value;
        size_t len = 0;
        if (!(s->in != NULL ? get_remote(s, q->name, &value, &len, e)
                            : get_local(s, q->name, &value, &len, e)))
            return false;
        if (value == NULL)
            return true;
        bool alias = strlen(q->name) == KEYRECORD_ALIAS_LEN &&
                     keyrecord_decode_alias(value, len, q->name) == KEYRECORD_IS_ALIAS;
        q->found = !alias && keyrecord_read_traits(value, len, &q->traits) == KEYRECORD_OK;
        free(value);
        if (!alias)
            return true;
    }
    return true;
}

static bool look_up(struct question *q, const struct options *o, struct error *e)
{
    struct source source;
    if (q->found)
        return true; // made up
    bool good = open_source(&source, o, e) && find_key(q, &source, e);
    close_source(&source);
    return good;
}

// ---- the answer

static void print_line(const char *path, unsigned wanted, FILE *out)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t len = 0;
    FILE *in = fopen(path, "r");
    for (unsigned line = 0; in != NULL && line < wanted && len >= 0; line++)
        len = getline(&text, &room, in);
    if (in != NULL)
        (void)fclose(in);
    if (len > 0)
        text[strcspn(text, "\r\n")] = '\0';
    (void)fprintf(out, "%s:%u: %s", path, wanted, in != NULL && len > 0 ? text : "");
    free(text);
}

static void print_denial(const struct access_verdict *verdict, bool key_missing, FILE *out)
{
    static const char *const texts[ACCESS_REASONS] = {
        [ACCESS_BY_EDGE] = "no allow rule is for this edge",
        [ACCESS_BY_ADDRESS] = "no allow rule for this edge is for this address",
        [ACCESS_BY_METHOD] = "no allow rule for this edge is for this method",
        [ACCESS_BY_PROTOCOL] = "no allow rule for this edge and method is for this protocol",
        [ACCESS_BY_KEY] = "no allow rule for this edge, method and protocol is for this key",
    };
    (void)fprintf(out, "%s%s", texts[verdict->reason],
                  key_missing ? "; the key is not in the store, so nothing is known of it" : "");
}

static int answer(const struct question *q, const struct access_pass *pass, const char *path, FILE *out)
{
    const struct access_key key = {.name = q->name, .traits = q->traits};
    struct access_verdict verdict = access_decide(pass, &q->ask, q->found ? &key : NULL);
    bool allowed = verdict.outcome == ACCESS_ALLOW;
    if (verdict.outcome == ACCESS_UNDECIDED) // as access_at_key()
        verdict = (struct access_verdict){.outcome = ACCESS_DENY, .reason = ACCESS_BY_KEY};
    if (allowed)
        (void)fputs("allow: ", out);
    else
        (void)fprintf(out, "deny (%s): ", access_reason_word(verdict.reason));
    if (verdict.line != 0)
        print_line(path, verdict.line, out);
    else
        print_denial(&verdict, !q->found, out);
    (void)fprintf(out, "%s\n", allowed && !q->found ? " (the key is not in the store: spki not found)" : "");
    return allowed ? EXIT_DONE : EXIT_FAILED;
}

static int decide(const struct question *q, struct access_policy *policy, const char *path, FILE *out,
                  struct error *e)
{
    if (q->cert != NULL && access_is_revoked(policy, q->cert, NULL)) {
        (void)fputs("deny (revoked): the edge's certificate, or its key, is revoked\n", out);
        return EXIT_FAILED;
    }
    struct access_pass *pass = access_pass_create(policy, &q->edge, q->has_addr ? &q->addr : NULL);
    if (pass == NULL) {
        error_set(e, "--explain: out of memory");
        return EXIT_USAGE;
    }
    int status = answer(q, pass, path, out);
    access_pass_destroy(&pass);
    return status;
}

int access_explain(const struct options *o, const struct config_list *words, FILE *out, struct error *e)
{
    struct question *q = calloc(1, sizeof *q);
    struct access_policy *policy = NULL;
    int status = EXIT_USAGE;
    if (q == NULL) {
        error_set(e, "--explain: out of memory");
        return EXIT_USAGE;
    }
    q->ask.spki = q->spki;
    if (o->policy == NULL)
        error_set(e, "--explain: needs --policy: without one every edge may use every key");
    else if (read_words(q, words, e) && (policy = access_load(o->policy, o->client_ca, e)) != NULL &&
             look_up(q, o, e))
        status = decide(q, policy, o->policy, out, e);
    access_unref(&policy);
    X509_free(q->cert);
    free(q->traits);
    free(q);
    return status;
}
