#include "edge-sim/edge_sites.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "common/log.h"

#define SITE_FILE_MAX (1024 * 1024)
#define NAME_CAP      254

// Users' suites: forward secrecy first, then RSA key exchange for those who have nothing better; AEAD only.
static const char suites[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                             "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                             "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
                             "AES128-GCM-SHA256:AES256-GCM-SHA384";

enum { SITE_RSA, SITE_EC, SITE_TYPES };

struct site {
    const char *file;
    STACK_OF(X509) * certs;
    EVP_PKEY *key; // of the ski provider
    int type;
};

struct site_name {
    char name[NAME_CAP];  // lower case; "*.example.org" for a wildcard
    int site[SITE_TYPES]; // index, -1: none
    SSL_CTX *ctx;
};

struct edge_sites {
    struct site *sites;
    size_t count;
    struct site_name *names; // sorted
    size_t name_count;
    SSL_CTX *first; // of the first file's first name
};

// --- reading a file

static char *read_whole(const char *file, size_t *len, struct error *e)
{
    FILE *f = fopen(file, "rb");
    if (f == NULL) {
        error_set(e, "%s: open: %s", file, strerror(errno));
        return NULL;
    }
    char *text = malloc(SITE_FILE_MAX);
    *len = text != NULL ? fread(text, 1, SITE_FILE_MAX, f) : 0;
    bool whole = text != NULL && *len < SITE_FILE_MAX && ferror(f) == 0;
    (void)fclose(f);
    if (!whole) {
        error_set(e, "%s: cannot be read, or larger than %d bytes", file, SITE_FILE_MAX);
        free(text);
        return NULL;
    }
    return text;
}

static STACK_OF(X509) * parse_certs(const char *text, size_t len)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    X509 *cert;
    while (certs != NULL && bio != NULL && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
        if (sk_X509_push(certs, cert) <= 0)
            X509_free(cert);
    BIO_free(bio);
    return certs;
}

STACK_OF(X509) * edge_site_read(const char *file, struct error *e)
{
    static const char marker[] = "PRIVATE KEY-----";
    size_t len;
    char *text = read_whole(file, &len, e);
    if (text == NULL)
        return NULL;
    if (memmem(text, len, marker, sizeof marker - 1) != NULL) {
        OPENSSL_cleanse(text, len);
        free(text);
        error_set(e,
                  "%s: holds a private key; an edge takes certificates only, keys belong to the key server",
                  file);
        return NULL;
    }
    ERR_clear_error();
    STACK_OF(X509) *certs = parse_certs(text, len);
    free(text);
    unsigned long end = ERR_peek_last_error(); // PEM_R_NO_START_LINE is how a good file ends
    bool damaged =
        end != 0 && !(ERR_GET_LIB(end) == ERR_LIB_PEM && ERR_GET_REASON(end) == PEM_R_NO_START_LINE);
    if (certs == NULL || sk_X509_num(certs) == 0 || damaged) {
        error_set(e, "%s: %s", file,
                  damaged ? "a certificate in it cannot be read" : "no PEM certificate in it");
        ERR_clear_error();
        sk_X509_pop_free(certs, X509_free);
        return NULL;
    }
    ERR_clear_error();
    return certs;
}

static bool load_site(struct site *site, const char *file, const struct edge_site_options *options,
                      struct error *e)
{
    struct error why = {{0}};
    site->file = file;
    site->certs = edge_site_read(file, e);
    if (site->certs == NULL)
        return false;
    site->key = ski_provider_key(options->provider, sk_X509_value(site->certs, 0), &why);
    if (site->key == NULL) {
        error_set(e, "%s: %s", file, why.text);
        return false;
    }
    site->type = EVP_PKEY_is_a(site->key, "EC") ? SITE_EC : SITE_RSA;
    return true;
}

// --- names

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct site_name *)a)->name, ((const struct site_name *)b)->name);
}

static struct site_name *find_unsorted(struct edge_sites *sites, const char *name)
{
    for (size_t i = 0; i < sites->name_count; i++)
        if (strcmp(sites->names[i].name, name) == 0)
            return &sites->names[i];
    return NULL;
}

static bool lower_name(const unsigned char *text, size_t len, char name[static NAME_CAP])
{
    if (len == 0 || len >= NAME_CAP)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= 0x20 || text[i] > 0x7e)
            return false;
        name[i] = (char)tolower(text[i]);
    }
    name[len] = '\0';
    return true;
}

static bool claim_name(struct edge_sites *sites, int index, const char *name)
{
    struct site *site = &sites->sites[index];
    struct site_name *entry = find_unsorted(sites, name);
    if (entry == NULL) {
        struct site_name *grown = realloc(sites->names, (sites->name_count + 1) * sizeof *grown);
        if (grown == NULL)
            return false;
        sites->names = grown;
        entry = &grown[sites->name_count++];
        *entry = (struct site_name){.site = {-1, -1}};
        memcpy(entry->name, name, strlen(name) + 1);
    }
    if (entry->site[site->type] >= 0) {
        log_warn("site_name_taken", "name=%s file=%s by=%s", name, site->file,
                 sites->sites[entry->site[site->type]].file);
        return true;
    }
    entry->site[site->type] = index;
    return true;
}

// The DNS names of the certificate, else its common name.
static bool claim_names(struct edge_sites *sites, int index)
{
    X509 *leaf = sk_X509_value(sites->sites[index].certs, 0);
    char name[NAME_CAP];
    bool ok = true;
    bool any = false;
    GENERAL_NAMES *alt = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; ok && i < sk_GENERAL_NAME_num(alt); i++) {
        const GENERAL_NAME *general = sk_GENERAL_NAME_value(alt, i);
        if (general->type != GEN_DNS || !lower_name(ASN1_STRING_get0_data(general->d.dNSName),
                                                    (size_t)ASN1_STRING_length(general->d.dNSName), name))
            continue;
        any = true;
        ok = claim_name(sites, index, name);
    }
    GENERAL_NAMES_free(alt);
    if (ok && !any) {
        char cn[NAME_CAP];
        int len = X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, cn, sizeof cn);
        // Without any name the site can still be the one for clients that send no SNI.
        ok = claim_name(sites, index,
                        len > 0 && lower_name((unsigned char *)cn, (size_t)len, name) ? name : "-");
    }
    return ok;
}

// --- contexts

static int choose_http11(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                         unsigned in_len, void *arg)
{
    static const unsigned char http11[] = "\x08http/1.1";
    (void)ssl;
    (void)arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, http11, sizeof http11 - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int choose_site(SSL *ssl, int *alert, void *arg)
{
    const struct edge_sites *sites = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    SSL_CTX *ctx = name != NULL ? edge_sites_find(sites, name) : NULL;
    if (ctx == NULL)
        return SSL_TLSEXT_ERR_NOACK; // the default site's certificate says who we are
    (void)SSL_set_SSL_CTX(ssl, ctx);
    return SSL_TLSEXT_ERR_OK;
}

static bool add_site(SSL_CTX *ctx, const struct site *site)
{
    if (SSL_CTX_use_certificate(ctx, sk_X509_value(site->certs, 0)) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, site->key) != 1)
        return false;
    for (int i = 1; i < sk_X509_num(site->certs); i++)
        if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(site->certs, i)) != 1)
            return false;
    return true;
}

static SSL_CTX *make_ctx(struct edge_sites *sites, const struct site_name *name,
                         const struct edge_site_options *options)
{
    static const unsigned char session_context[] = "mec-edge";
    // What our keys do not need goes to the default provider.
    SSL_CTX *ctx = SSL_CTX_new_ex(options->libctx, "?provider=default", TLS_server_method());
    bool ok = ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
              SSL_CTX_set_max_proto_version(ctx, options->tls_max) == 1 &&
              SSL_CTX_set_cipher_list(ctx, suites) == 1 &&
              SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1) == 1;
    for (int type = 0; ok && type < SITE_TYPES; type++)
        ok = name->site[type] < 0 || add_site(ctx, &sites->sites[name->site[type]]);
    if (!ok) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_tlsext_servername_callback(ctx, choose_site);
    (void)SSL_CTX_set_tlsext_servername_arg(ctx, sites);
    SSL_CTX_set_alpn_select_cb(ctx, choose_http11, NULL);
    return ctx;
}

// One context for all names that have the same certificates.
static bool make_contexts(struct edge_sites *sites, const struct edge_site_options *options, struct error *e)
{
    for (size_t i = 0; i < sites->name_count; i++) {
        struct site_name *name = &sites->names[i];
        for (size_t j = 0; j < i && name->ctx == NULL; j++)
            if (memcmp(sites->names[j].site, name->site, sizeof name->site) == 0 &&
                SSL_CTX_up_ref(sites->names[j].ctx) == 1)
                name->ctx = sites->names[j].ctx;
        if (name->ctx == NULL && (name->ctx = make_ctx(sites, name, options)) == NULL) {
            error_set_openssl(
                e, "%s: TLS context for %s",
                sites->sites[name->site[SITE_RSA] >= 0 ? name->site[SITE_RSA] : name->site[SITE_EC]].file,
                name->name);
            return false;
        }
        if (sites->first == NULL) // names are still in the order of the files
            sites->first = name->ctx;
    }
    return true;
}

struct edge_sites *edge_sites_create(char *const *files, size_t count,
                                     const struct edge_site_options *options, struct error *e)
{
    struct edge_sites *sites = calloc(1, sizeof *sites);
    if (sites == NULL || (sites->sites = calloc(count, sizeof *sites->sites)) == NULL) {
        error_set(e, "sites: no memory");
        free(sites);
        return NULL;
    }
    for (; sites->count < count; sites->count++) {
        struct site *site = &sites->sites[sites->count];
        if (!load_site(site, files[sites->count], options, e)) {
            sites->count++;
            edge_sites_destroy(&sites);
            return NULL;
        }
        if (!claim_names(sites, (int)sites->count)) {
            error_set(e, "%s: no memory", files[sites->count]);
            sites->count++;
            edge_sites_destroy(&sites);
            return NULL;
        }
    }
    if (!make_contexts(sites, options, e)) {
        edge_sites_destroy(&sites);
        return NULL;
    }
    qsort(sites->names, sites->name_count, sizeof *sites->names, compare_names);
    return sites;
}

void edge_sites_destroy(struct edge_sites **sitesp)
{
    struct edge_sites *sites = *sitesp;
    if (sites == NULL)
        return;
    *sitesp = NULL;
    for (size_t i = 0; i < sites->name_count; i++)
        SSL_CTX_free(sites->names[i].ctx);
    for (size_t i = 0; i < sites->count; i++) {
        EVP_PKEY_free(sites->sites[i].key);
        sk_X509_pop_free(sites->sites[i].certs, X509_free);
    }
    free(sites->names);
    free(sites->sites);
    free(sites);
}

SSL_CTX *edge_sites_default(const struct edge_sites *sites)
{
    return sites->first;
}

static SSL_CTX *find_exact(const struct edge_sites *sites, const struct site_name *wanted)
{
    const struct site_name *found =
        bsearch(wanted, sites->names, sites->name_count, sizeof *sites->names, compare_names);
    return found != NULL ? found->ctx : NULL;
}

SSL_CTX *edge_sites_find(const struct edge_sites *sites, const char *name)
{
    struct site_name wanted;
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '.')
        len--;
    if (!lower_name((const unsigned char *)name, len, wanted.name))
        return NULL;
    SSL_CTX *ctx = find_exact(sites, &wanted);
    const char *dot = strchr(wanted.name, '.');
    if (ctx != NULL || dot == NULL || dot == wanted.name)
        return ctx;
    // A wildcard stands for exactly one label (RFC 6125 section 6.4.3).
    memmove(wanted.name + 1, dot, strlen(dot) + 1);
    wanted.name[0] = '*';
    return find_exact(sites, &wanted);
}

size_t edge_sites_names(const struct edge_sites *sites)
{
    return sites->name_count;
}
