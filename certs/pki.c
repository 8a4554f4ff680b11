#include "certs/pki.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include "certs/files.h"
#include "certs/objects.h"
#include "certs/x509make.h"

#define EDGE_NAME_MAX 64

struct pki {
    const struct pki_options *options;
    pki_file_fn fn;
    void *arg;
    X509 *ca;
    EVP_PKEY *ca_key;
};

struct paths {
    char cert[PATH_MAX], key[PATH_MAX];
};

static bool make_paths(const struct pki *pki, const char *base, struct paths *paths, struct error *e)
{
    int a = snprintf(paths->cert, sizeof paths->cert, "%s/%s.pem", pki->options->out, base);
    int b = snprintf(paths->key, sizeof paths->key, "%s/%s.key", pki->options->out, base);
    if (a > 0 && b > 0 && (size_t)a < sizeof paths->cert && (size_t)b < sizeof paths->key)
        return true;
    error_set(e, "%s: the path is too long", pki->options->out);
    return false;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

// ---- writing

static bool write_bio(const char *path, BIO *bio, enum files_mode mode, bool replace, struct error *e)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    return files_write(path, data, (size_t)len, mode, replace, e);
}

static bool write_key(struct pki *pki, const char *path, EVP_PKEY *key, bool replace, struct error *e)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    bool ok = bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    if (!ok)
        error_set_openssl(e, "%s: encode the key", path);
    ok = ok && write_bio(path, bio, FILES_SECRET, replace, e);
    BIO_free(bio);
    if (ok)
        pki->fn(pki->arg, path, false);
    return ok;
}

// One certificate, and another behind it when `second` is not NULL.
static bool write_certs(struct pki *pki, const char *path, X509 *first, X509 *second, bool replace,
                        struct error *e)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio != NULL && PEM_write_bio_X509(bio, first) == 1 &&
              (second == NULL || PEM_write_bio_X509(bio, second) == 1);
    if (!ok)
        error_set_openssl(e, "%s: encode the certificate", path);
    ok = ok && write_bio(path, bio, FILES_PUBLIC, replace, e);
    BIO_free(bio);
    if (ok)
        pki->fn(pki->arg, path, false);
    return ok;
}

static EVP_PKEY *new_key(struct error *e)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (key == NULL)
        error_set_openssl(e, "make a key");
    return key;
}

// ---- the CA

static bool check_ca(const struct pki *pki, const char *path, struct error *e)
{
    if (X509_check_private_key(pki->ca, pki->ca_key) != 1)
        error_set(e, "%s: the key in ca.key is not the certificate's", path);
    else if (X509_check_ca(pki->ca) != 1)
        error_set(e, "%s: not a certificate of a CA", path);
    else if (X509_cmp_current_time(X509_get0_notAfter(pki->ca)) <= 0)
        error_set(e, "%s: the CA's certificate has ended; make a new PKI in another folder", path);
    else
        return true;
    ERR_clear_error();
    return false;
}

static bool load_ca(struct pki *pki, const struct paths *paths, struct error *e)
{
    pki->ca = objects_load_cert(paths->cert, e);
    pki->ca_key = pki->ca != NULL ? objects_load_key(paths->key, e) : NULL;
    if (pki->ca_key == NULL || !check_ca(pki, paths->cert, e))
        return false;
    pki->fn(pki->arg, paths->cert, true);
    pki->fn(pki->arg, paths->key, true);
    return true;
}

static bool make_ca(struct pki *pki, const struct paths *paths, struct error *e)
{
    // A name of its own, so that certificates of two such CAs are not mistaken for each other.
    unsigned char tag[4];
    char name[64];
    if (RAND_bytes(tag, sizeof tag) != 1) {
        error_set_openssl(e, "random bytes");
        return false;
    }
    (void)snprintf(name, sizeof name, "MEC key server CA %02x%02x%02x%02x", tag[0], tag[1], tag[2], tag[3]);
    pki->ca_key = new_key(e);
    if (pki->ca_key == NULL)
        return false;
    const struct x509make_request request = {.use = X509MAKE_CA,
                                             .common_name = name,
                                             .days = PKI_CA_DAYS,
                                             .key = pki->ca_key,
                                             .issuer_key = pki->ca_key};
    pki->ca = x509make(&request, e);
    return pki->ca != NULL && write_key(pki, paths->key, pki->ca_key, false, e) &&
           write_certs(pki, paths->cert, pki->ca, NULL, false, e);
}

static bool have_ca(struct pki *pki, struct error *e)
{
    struct paths paths;
    if (!make_paths(pki, "ca", &paths, e))
        return false;
    bool cert = exists(paths.cert), key = exists(paths.key);
    if (cert && key)
        return load_ca(pki, &paths, e);
    if (!cert && !key)
        return make_ca(pki, &paths, e);
    error_set(e, "%s is there without %s: a CA is never replaced", cert ? paths.cert : paths.key,
              cert ? paths.key : paths.cert);
    return false;
}

// ---- certificates under it

// Whether what is there is what is wanted. False with *e set when it is not.
static bool fits(const struct pki *pki, const struct paths *paths, const GENERAL_NAMES *names,
                 struct error *e)
{
    X509 *cert = objects_load_cert(paths->cert, e);
    EVP_PKEY *key = cert != NULL ? objects_load_key(paths->key, e) : NULL;
    const char *why = NULL;
    if (key == NULL)
        why = NULL; // told already
    else if (X509_check_private_key(cert, key) != 1)
        why = "does not belong to its key";
    else if (X509_verify(cert, pki->ca_key) != 1)
        why = "is not signed by this CA";
    else if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
        why = "has ended";
    else if (!x509make_has_names(cert, names))
        why = "has other names";
    bool ok = key != NULL && why == NULL;
    if (why != NULL)
        error_set(e, "%s exists and %s (--force replaces it)", paths->cert, why);
    ERR_clear_error();
    EVP_PKEY_free(key);
    X509_free(cert);
    return ok;
}

static bool make_pair(struct pki *pki, const struct paths *paths, enum x509make_use use,
                      const char *common_name, const GENERAL_NAMES *names, bool chain, struct error *e)
{
    bool replace = pki->options->force;
    EVP_PKEY *key = new_key(e);
    const struct x509make_request request = {.use = use,
                                             .common_name = common_name,
                                             .names = names,
                                             .days = pki->options->days,
                                             .key = key,
                                             .issuer = pki->ca,
                                             .issuer_key = pki->ca_key};
    X509 *cert = key != NULL ? x509make(&request, e) : NULL;
    char with_chain[PATH_MAX + 32];
    (void)snprintf(with_chain, sizeof with_chain, "%s/server-chain.pem", pki->options->out);
    bool ok = cert != NULL && write_key(pki, paths->key, key, replace, e) &&
              write_certs(pki, paths->cert, cert, NULL, replace, e) &&
              (!chain || write_certs(pki, with_chain, cert, pki->ca, true, e));
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok;
}

static bool have_pair(struct pki *pki, const char *base, enum x509make_use use, const char *common_name,
                      const GENERAL_NAMES *names, struct error *e)
{
    struct paths paths;
    if (!make_paths(pki, base, &paths, e))
        return false;
    bool cert = exists(paths.cert), key = exists(paths.key);
    if (pki->options->force || (!cert && !key))
        return make_pair(pki, &paths, use, common_name, names, use == X509MAKE_SERVER, e);
    if (cert != key) {
        error_set(e, "%s is there without %s (--force replaces it)", cert ? paths.cert : paths.key,
                  cert ? paths.key : paths.cert);
        return false;
    }
    if (!fits(pki, &paths, names, e))
        return false;
    pki->fn(pki->arg, paths.cert, true);
    pki->fn(pki->arg, paths.key, true);
    return true;
}

// Calls fn for every item of a list whose items may be comma lists.
static bool each(const struct config_list *list, bool (*fn)(void *arg, const char *item, struct error *e),
                 void *arg, struct error *e)
{
    for (size_t i = 0; i < list->count; i++) {
        char *copy = strdup(list->items[i]), *save = NULL;
        if (copy == NULL) {
            error_set(e, "out of memory");
            return false;
        }
        bool ok = true;
        for (char *item = strtok_r(copy, ",", &save); item != NULL && ok; item = strtok_r(NULL, ",", &save))
            ok = fn(arg, item, e);
        free(copy);
        if (!ok)
            return false;
    }
    return true;
}

struct server_names {
    GENERAL_NAMES *names;
    char first[256];
};

static bool add_server_name(void *arg, const char *item, struct error *e)
{
    struct server_names *server = arg;
    struct error why = {""};
    if (!x509make_add_name(&server->names, item, &why)) {
        error_set(e, "--server: %s", why.text);
        return false;
    }
    if (server->first[0] == '\0')
        (void)snprintf(server->first, sizeof server->first, "%s", item);
    return true;
}

// ---- edges

struct edge {
    char base[EDGE_NAME_MAX + 8]; // "edge-NAME"
    const char *name;             // within base
    GENERAL_NAMES *names;
};

// The name becomes part of a file name.
static bool is_file_name(const char *name, size_t len)
{
    if (len == 0 || len > EDGE_NAME_MAX || !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL)
            return false;
    return true;
}

static bool parse_edge(const char *item, struct edge *edge, struct error *e)
{
    size_t len = strcspn(item, "=");
    struct error why = {""};
    if (!is_file_name(item, len)) {
        error_set(e,
                  "--edge: \"%.80s\" is no name for an edge: expected letters, digits, '.', '_', '-', at "
                  "most %d, a "
                  "letter or digit first",
                  item, EDGE_NAME_MAX);
        return false;
    }
    (void)snprintf(edge->base, sizeof edge->base, "edge-%.*s", (int)len, item);
    edge->name = edge->base + strlen("edge-");
    edge->names = NULL;
    if (x509make_add_name(&edge->names, item[len] == '=' ? item + len + 1 : edge->name, &why))
        return true;
    error_set(e, "--edge: %s; an identity of another kind is given as NAME=URI", why.text);
    GENERAL_NAMES_free(edge->names);
    return false;
}

static bool check_edge(void *arg, const char *item, struct error *e)
{
    struct edge edge;
    (void)arg;
    if (!parse_edge(item, &edge, e))
        return false;
    GENERAL_NAMES_free(edge.names);
    return true;
}

static bool have_edge(void *arg, const char *item, struct error *e)
{
    struct edge edge;
    if (!parse_edge(item, &edge, e))
        return false;
    bool ok = have_pair(arg, edge.base, X509MAKE_CLIENT, edge.name, edge.names, e);
    GENERAL_NAMES_free(edge.names);
    return ok;
}

bool pki_make(const struct pki_options *options, pki_file_fn fn, void *arg, struct error *e)
{
    struct pki pki = {.options = options, .fn = fn, .arg = arg};
    struct server_names server = {NULL, ""};
    // All names are checked before the first file is made.
    bool ok =
        each(&options->servers, add_server_name, &server, e) && each(&options->edges, check_edge, NULL, e);
    if (ok && mkdir(options->out, 0700) != 0 && errno != EEXIST) {
        error_set(e, "%s: %s", options->out, strerror(errno));
        ok = false;
    }
    ok =
        ok && have_ca(&pki, e) &&
        (server.names == NULL || have_pair(&pki, "server", X509MAKE_SERVER, server.first, server.names, e)) &&
        each(&options->edges, have_edge, &pki, e);
    GENERAL_NAMES_free(server.names);
    EVP_PKEY_free(pki.ca_key);
    X509_free(pki.ca);
    return ok;
}
