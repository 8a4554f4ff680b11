#include "edge-sim/load_requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "edge-sim/edge_sites.h"

#define PREMASTER_LEN 48
#define P256_POINT    65
#define ECDHE_INPUT   (64 + 4 + P256_POINT)

// A site and a method.
struct source {
    char *file;
    char key[24];
    unsigned kind;           // what it is reported as
    enum load_method method; // RSA or ECDHE
    EVP_PKEY *pub;
    EVP_PKEY_CTX *verifier; // ECDHE: over SHA-256 digests
    bool deterministic;     // ECDHE with an RSA key
    char spki[SKI_SPKI_TEXT];
};

// What is reported together: one source, or all with keys of a size when there are many.
struct kind {
    const struct source *first;
    char name[32]; // "": the source's file
    unsigned sources;
};

struct load_request {
    struct source *source;
    size_t wire_len;
    char *wire;
    uint8_t digest[SHA256_DIGEST_LENGTH]; // ECDHE: of what is signed
    uint8_t *expected;                    // NULL: not known (yet)
    size_t expected_len;
};

struct load_pool {
    struct source *sources;
    size_t source_count, source_room;
    struct kind kinds[LOAD_KINDS_MAX];
    unsigned kind_count;
    struct load_request *requests;
    size_t request_count; // a multiple of source_count
};

static bool have_room(struct load_pool *pool)
{
    if (pool->source_count < pool->source_room)
        return true;
    size_t room = pool->source_room == 0 ? LOAD_KINDS_MAX : 2 * pool->source_room;
    struct source *sources = reallocarray(pool->sources, room, sizeof *sources);
    if (sources == NULL)
        return false;
    pool->sources = sources;
    pool->source_room = room;
    return true;
}

static bool add_source(struct load_pool *pool, const char *file, X509 *cert, enum load_method method)
{
    if (!have_room(pool))
        return false;
    struct source *source = &pool->sources[pool->source_count++];
    *source = (struct source){.method = method, .file = strdup(file), .pub = X509_get_pubkey(cert)};
    if (source->file == NULL || source->pub == NULL || !ski_spki_of(cert, source->spki))
        return false;
    bool rsa = EVP_PKEY_is_a(source->pub, "RSA");
    (void)snprintf(source->key, sizeof source->key, "%s-%d", rsa ? "RSA" : "P",
                   EVP_PKEY_get_bits(source->pub));
    if (method == LOAD_RSA)
        return true;
    source->deterministic = rsa;
    source->verifier = EVP_PKEY_CTX_new_from_pkey(NULL, source->pub, NULL);
    return source->verifier != NULL && EVP_PKEY_verify_init(source->verifier) == 1 &&
           (!rsa || EVP_PKEY_CTX_set_rsa_padding(source->verifier, RSA_PKCS1_PADDING) == 1) &&
           EVP_PKEY_CTX_set_signature_md(source->verifier, EVP_sha256()) == 1;
}

static struct kind *kind_like(struct load_pool *pool, const struct source *source)
{
    for (unsigned i = 0; i < pool->kind_count; i++) {
        const struct source *first = pool->kinds[i].first;
        if (first->method == source->method && strcmp(first->key, source->key) == 0)
            return &pool->kinds[i];
    }
    return NULL;
}

// Each source is a kind of its own, or, when they are too many, those of one method with keys of one size.
static bool assign_kinds(struct load_pool *pool, struct error *e)
{
    bool alone = pool->source_count <= LOAD_KINDS_MAX;
    for (size_t i = 0; i < pool->source_count; i++) {
        struct source *source = &pool->sources[i];
        struct kind *kind = alone ? NULL : kind_like(pool, source);
        if (kind == NULL && pool->kind_count == LOAD_KINDS_MAX) {
            error_set(e, "%s: found keys of more than %d sizes", source->file, LOAD_KINDS_MAX);
            return false;
        }
        if (kind == NULL) {
            kind = &pool->kinds[pool->kind_count++];
            kind->first = source;
        }
        source->kind = (unsigned)(kind - pool->kinds);
        if (++kind->sources > 1)
            (void)snprintf(kind->name, sizeof kind->name, "%u sites", kind->sources);
    }
    return true;
}

static bool add_site(struct load_pool *pool, const char *file, enum load_method method, struct error *e)
{
    STACK_OF(X509) *certs = edge_site_read(file, e);
    if (certs == NULL)
        return false;
    X509 *leaf = sk_X509_value(certs, 0);
    EVP_PKEY *pub = X509_get0_pubkey(leaf);
    bool rsa = pub != NULL && EVP_PKEY_is_a(pub, "RSA");
    bool ok = rsa || (pub != NULL && EVP_PKEY_is_a(pub, "EC"));
    if (!ok)
        error_set(e, "%s: the certificate's key is neither RSA nor EC", file);
    if (ok && rsa && method != LOAD_ECDHE)
        ok = add_source(pool, file, leaf, LOAD_RSA);
    if (ok && method != LOAD_RSA)
        ok = add_source(pool, file, leaf, LOAD_ECDHE);
    if (!ok && (e == NULL || e->text[0] == '\0'))
        error_set_openssl(e, "%s: cannot be used", file);
    sk_X509_pop_free(certs, X509_free);
    return ok;
}

static bool keep_expected(struct load_request *request, const uint8_t *data, size_t len)
{
    request->expected = malloc(len);
    if (request->expected == NULL)
        return false;
    memcpy(request->expected, data, len);
    request->expected_len = len;
    return true;
}

static bool finish_request(struct load_request *request, const struct ski_request *ski, const char *authority)
{
    char wire[SKI_WIRE_MAX];
    request->wire_len = ski_request_build(wire, sizeof wire, authority, ski);
    request->wire = request->wire_len != 0 ? malloc(request->wire_len) : NULL;
    if (request->wire == NULL)
        return false;
    memcpy(request->wire, wire, request->wire_len);
    return true;
}

static bool build_rsa(const struct source *source, struct load_request *request, const char *authority)
{
    uint8_t premaster[PREMASTER_LEN] = {3, 3};
    uint8_t encrypted[SKI_INPUT_MAX];
    size_t len = sizeof encrypted;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, source->pub, NULL);
    bool ok = ctx != NULL && RAND_bytes(premaster + 2, PREMASTER_LEN - 2) == 1 &&
              EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
              EVP_PKEY_encrypt(ctx, encrypted, &len, premaster, sizeof premaster) == 1;
    EVP_PKEY_CTX_free(ctx);
    const struct ski_request ski = {.protocol = "TLS 1.2",
                                    .spki = source->spki,
                                    .method = SKI_METHOD_RSA,
                                    .client_version = "TLS 1.2",
                                    .input = encrypted,
                                    .input_len = len};
    return ok && keep_expected(request, premaster, sizeof premaster) &&
           finish_request(request, &ski, authority);
}

// ClientRandom, ServerRandom, and parameters with the public half of a fresh P-256 key.
static bool build_ecdhe(const struct source *source, struct load_request *request, const char *authority)
{
    uint8_t input[ECDHE_INPUT];
    static const uint8_t named_p256[] = {3, 0, 23, P256_POINT};
    EVP_PKEY *ephemeral = EVP_EC_gen("P-256");
    size_t len = 0;
    memcpy(input + 64, named_p256, sizeof named_p256);
    bool ok = ephemeral != NULL && RAND_bytes(input, 64) == 1 &&
              EVP_PKEY_get_octet_string_param(ephemeral, "pub", input + 68, P256_POINT, &len) == 1 &&
              len == P256_POINT && SHA256(input, sizeof input, request->digest) != NULL;
    EVP_PKEY_free(ephemeral);
    const struct ski_request ski = {.protocol = "TLS 1.2",
                                    .spki = source->spki,
                                    .method = SKI_METHOD_ECDHE,
                                    .hash = "SHA-256",
                                    .input = input,
                                    .input_len = sizeof input};
    return ok && finish_request(request, &ski, authority);
}

static bool build_requests(struct load_pool *pool, const char *authority, struct error *e)
{
    size_t each = LOAD_REQUESTS_MAX / pool->source_count;
    each = each > LOAD_REQUESTS_PER_KIND ? LOAD_REQUESTS_PER_KIND : each == 0 ? 1 : each;
    pool->request_count = each * pool->source_count;
    pool->requests = calloc(pool->request_count, sizeof *pool->requests);
    for (size_t i = 0; pool->requests != NULL && i < pool->request_count; i++) {
        struct load_request *request = &pool->requests[i];
        request->source = &pool->sources[i % pool->source_count];
        const struct source *source = request->source;
        if (!(source->method == LOAD_RSA ? build_rsa : build_ecdhe)(source, request, authority)) {
            error_set_openssl(e, "%s: building requests", source->file);
            return false;
        }
    }
    if (pool->requests == NULL)
        error_set(e, "requests: no memory");
    return pool->requests != NULL;
}

struct load_pool *load_pool_create(char *const *files, size_t count, enum load_method method,
                                   const char *authority, struct error *e)
{
    struct load_pool *pool = calloc(1, sizeof *pool);
    bool ok = pool != NULL;
    if (!ok)
        error_set(e, "requests: no memory");
    for (size_t i = 0; ok && i < count; i++)
        ok = add_site(pool, files[i], method, e);
    if (ok && pool->source_count == 0) {
        error_set(e, "no site with an RSA key: method RSA needs one");
        ok = false;
    }
    ok = ok && assign_kinds(pool, e) && build_requests(pool, authority, e);
    if (!ok)
        load_pool_destroy(&pool);
    return pool;
}

void load_pool_destroy(struct load_pool **poolp)
{
    struct load_pool *pool = *poolp;
    if (pool == NULL)
        return;
    *poolp = NULL;
    for (size_t i = 0; pool->requests != NULL && i < pool->request_count; i++) {
        free(pool->requests[i].wire);
        free(pool->requests[i].expected);
    }
    for (size_t i = 0; i < pool->source_count; i++) {
        free(pool->sources[i].file);
        EVP_PKEY_CTX_free(pool->sources[i].verifier);
        EVP_PKEY_free(pool->sources[i].pub);
    }
    free(pool->sources);
    free(pool->requests);
    free(pool);
}

unsigned load_pool_kinds(const struct load_pool *pool)
{
    return pool->kind_count;
}

const char *load_kind_file(const struct load_pool *pool, unsigned kind)
{
    return pool->kinds[kind].name[0] != '\0' ? pool->kinds[kind].name : pool->kinds[kind].first->file;
}

const char *load_kind_key(const struct load_pool *pool, unsigned kind)
{
    return pool->kinds[kind].first->key;
}

const char *load_kind_method(const struct load_pool *pool, unsigned kind)
{
    return pool->kinds[kind].first->method == LOAD_RSA ? "RSA" : "ECDHE";
}

struct load_request *load_pool_get(struct load_pool *pool, uint64_t n)
{
    return &pool->requests[n % pool->request_count];
}

const char *load_request_wire(const struct load_request *request, size_t *len)
{
    *len = request->wire_len;
    return request->wire;
}

unsigned load_request_kind(const struct load_request *request)
{
    return request->source->kind;
}

enum load_verdict load_request_check(struct load_request *request, const struct ski_answer *answer,
                                     bool verify)
{
    struct source *source = request->source;
    if (request->expected != NULL)
        return answer->output_len == request->expected_len &&
                       memcmp(answer->output, request->expected, answer->output_len) == 0
                   ? LOAD_RIGHT
                   : LOAD_WRONG;
    if (!verify && !source->deterministic)
        return LOAD_UNCHECKED;
    if (EVP_PKEY_verify(source->verifier, answer->output, answer->output_len, request->digest,
                        sizeof request->digest) != 1) {
        ERR_clear_error();
        return LOAD_WRONG;
    }
    if (source->deterministic)
        (void)keep_expected(request, answer->output, answer->output_len);
    return LOAD_RIGHT;
}
