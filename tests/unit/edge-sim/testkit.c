#include "testkit.h"

#include <assert.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "edge-sim/provider.h"

EVP_PKEY *kit_rsa_key(unsigned bits)
{
    return EVP_RSA_gen(bits);
}

EVP_PKEY *kit_ec_key(const char *curve)
{
    return EVP_EC_gen(curve);
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert(ext != NULL);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
}

X509 *kit_cert(EVP_PKEY *key, const char *cn, const char *san, X509 *issuer, EVP_PKEY *issuer_key)
{
    static _Atomic long serial = 1000;
    X509 *cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 30L * 86400);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer) : name);
    X509 *parent = issuer != NULL ? issuer : cert;
    add_extension(cert, parent, NID_basic_constraints, issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    if (issuer == NULL) {
        add_extension(cert, parent, NID_key_usage, "critical,keyCertSign,cRLSign");
        add_extension(cert, parent, NID_subject_key_identifier, "hash");
    } else {
        add_extension(cert, parent, NID_key_usage, "critical,digitalSignature,keyEncipherment");
        add_extension(cert, parent, NID_ext_key_usage, "serverAuth,clientAuth");
    }
    if (san != NULL)
        add_extension(cert, parent, NID_subject_alt_name, san);
    int rc = X509_sign(cert, issuer_key != NULL ? issuer_key : key, EVP_sha256());
    assert(rc > 0);
    (void)rc;
    return cert;
}

char *kit_make_dir(void)
{
    char template[] = "/tmp/mec-edge-test-XXXXXX";
    char *made = mkdtemp(template);
    assert(made != NULL);
    return strdup(made);
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        char sub[4096];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)snprintf(sub, sizeof sub, "%s/%s", path, e->d_name);
        if (lstat(sub, &st) == 0 && S_ISDIR(st.st_mode))
            remove_tree(sub);
        else
            (void)unlink(sub);
    }
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(path);
}

void kit_remove_dir(char **dir)
{
    remove_tree(*dir);
    free(*dir);
    *dir = NULL;
}

static FILE *create_file(const char *dir, const char *name, char **path)
{
    size_t len = strlen(dir) + strlen(name) + 2;
    *path = malloc(len);
    assert(*path != NULL);
    (void)snprintf(*path, len, "%s/%s", dir, name);
    FILE *f = fopen(*path, "wb");
    assert(f != NULL);
    return f;
}

char *kit_write_file(const char *dir, const char *name, const void *data, size_t len)
{
    char *path;
    FILE *f = create_file(dir, name, &path);
    (void)fwrite(data, 1, len, f);
    (void)fclose(f);
    return path;
}

char *kit_write_cert(const char *dir, const char *name, X509 *cert)
{
    char *path;
    FILE *f = create_file(dir, name, &path);
    (void)PEM_write_X509(f, cert);
    (void)fclose(f);
    return path;
}

char *kit_write_key(const char *dir, const char *name, EVP_PKEY *key)
{
    char *path;
    FILE *f = create_file(dir, name, &path);
    (void)chmod(path, 0600);
    (void)PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    (void)fclose(f);
    return path;
}

void kit_keyserver_add(struct kit_keyserver *server, X509 *cert, EVP_PKEY *key)
{
    assert(server->count < KIT_KEYS);
    bool ok = ski_spki_of(cert, server->spki[server->count]);
    assert(ok);
    (void)ok;
    EVP_PKEY_up_ref(key);
    server->keys[server->count++] = key;
}

void kit_keyserver_clear(struct kit_keyserver *server)
{
    for (unsigned i = 0; i < server->count; i++)
        EVP_PKEY_free(server->keys[i]);
    memset(server, 0, sizeof *server);
}

static const char *digest_of(const char *hash, const char *scheme, const char *protocol)
{
    static const char *const names[][2] = {
        {"SHA-224", "SHA224"}, {"SHA-256", "SHA256"}, {"SHA-384", "SHA384"}, {"SHA-512", "SHA512"},
        {"sha256", "SHA256"},  {"sha384", "SHA384"},  {"sha512", "SHA512"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((hash != NULL && strcmp(hash, names[i][0]) == 0) ||
            (scheme != NULL && strstr(scheme, names[i][0]) != NULL))
            return names[i][1];
    return strcmp(protocol, "TLS 1.2") == 0 ? "SHA1" : "MD5-SHA1";
}

static unsigned sign(struct kit_keyserver *server, EVP_PKEY *key, const char *md, bool pss,
                     const uint8_t *input, size_t input_len, uint8_t *output, size_t *output_len)
{
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    *output_len = SKI_OUTPUT_MAX;
    bool ok = EVP_DigestSignInit_ex(ctx, &pctx, md, NULL, NULL, key, NULL) == 1;
    if (ok && pss)
        ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestSign(ctx, output, output_len, input, input_len) == 1;
    EVP_MD_CTX_free(ctx);
    if (ok && server->fault == KIT_WRONG_SIGNATURE)
        output[*output_len - 1] ^= 1;
    return ok ? 200 : 500;
}

static unsigned decrypt(struct kit_keyserver *server, EVP_PKEY *key, const uint8_t *input, size_t input_len,
                        uint8_t *output, size_t *output_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    uint8_t plain[SKI_OUTPUT_MAX];
    size_t len = sizeof plain;
    bool ok = EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
              EVP_PKEY_decrypt(ctx, plain, &len, input, input_len) == 1 && len == 48;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    // A stand-in for the deterministic premaster of the real key server.
    if (!ok)
        memset(plain, 3, 48);
    memcpy(output, plain, 48);
    *output_len = server->fault == KIT_SHORT_PREMASTER ? 47 : 48;
    if (server->fault == KIT_WRONG_VERSION)
        output[1] ^= 1;
    return 200;
}

static const char *member(json_t *root, const char *name, char *keep, size_t len)
{
    const char *value = json_string_value(json_object_get(root, name));
    (void)snprintf(keep, len, "%s", value != NULL ? value : "");
    return value;
}

unsigned kit_keyserver_answer(struct kit_keyserver *server, const char *body, size_t len, uint8_t *output,
                              size_t *output_len)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // one at a time: the last_ members
    (void)pthread_mutex_lock(&lock);
    json_t *root = json_loadb(body, len, 0, NULL);
    char spki[64], method[16];
    uint8_t input[SKI_INPUT_MAX + 16];
    const char *protocol = member(root, "protocol", server->last_protocol, sizeof server->last_protocol);
    const char *hash = member(root, "hash", server->last_hash, sizeof server->last_hash);
    const char *scheme = member(root, "scheme", server->last_scheme, sizeof server->last_scheme);
    (void)member(root, "client_version", server->last_client_version, sizeof server->last_client_version);
    (void)member(root, "spki", spki, sizeof spki);
    (void)member(root, "method", method, sizeof method);
    json_t *text = json_object_get(root, "input");
    const char *b64 = json_string_value(text);
    size_t b64_len = json_string_length(text);
    server->asked++;
    unsigned status = 400;
    if (protocol != NULL && b64 != NULL && b64_len % 4 == 0 && b64_len > 0 &&
        b64_len / 4 * 3 <= sizeof input) {
        int n = EVP_DecodeBlock(input, (const unsigned char *)b64, (int)b64_len);
        size_t input_len = (size_t)n - (b64[b64_len - 1] == '=') - (b64[b64_len - 2] == '=');
        status = server->fault == KIT_REFUSE ? 403 : 404;
        for (unsigned i = 0; status == 404 && i < server->count; i++) {
            if (strcmp(spki, server->spki[i]) != 0)
                continue;
            if (strcmp(method, "RSA") == 0)
                status = decrypt(server, server->keys[i], input, input_len, output, output_len);
            else
                status = sign(server, server->keys[i], digest_of(hash, scheme, protocol),
                              scheme != NULL && strncmp(scheme, "rsa_pss", 7) == 0, input, input_len, output,
                              output_len);
        }
        if (server->fault == KIT_EMPTY_OUTPUT)
            *output_len = 0;
    }
    json_decref(root);
    (void)pthread_mutex_unlock(&lock);
    return status;
}

static void answer_call(struct kit_transport *t, struct ski_call *call, const char *body, size_t len)
{
    size_t output_len = 0;
    unsigned status = kit_keyserver_answer(t->server, body, len, call->output, &output_len);
    call->status = status == 200   ? SKI_OK
                   : status == 403 ? SKI_DENIED
                   : status == 404 ? SKI_NOT_FOUND
                                   : SKI_MALFORMED;
    call->output_len = status == 200 ? output_len : 0;
    call->done(call);
}

struct late {
    struct kit_transport *transport;
    struct ski_call *call;
    size_t len;
    char body[SKI_WIRE_MAX];
};

static void *answer_late(void *arg)
{
    struct late *late = arg;
    struct kit_transport *transport = late->transport;
    (void)usleep(transport->delay_ms * 1000);
    while (transport->held)
        (void)usleep(1000);
    answer_call(transport, late->call, late->body, late->len);
    free(late);
    transport->under_way--;
    return NULL;
}

static void submit(struct ski_transport *transport, struct ski_call *call)
{
    struct kit_transport *t = (struct kit_transport *)transport;
    struct late *late = calloc(1, sizeof *late);
    assert(late != NULL);
    late->len = ski_body_build(late->body, sizeof late->body, &call->request);
    if (t->delay_ms == 0) {
        answer_call(t, call, late->body, late->len);
        free(late);
        return;
    }
    late->transport = t;
    late->call = call;
    t->under_way++;
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, answer_late, late);
    assert(rc == 0);
    (void)rc;
    (void)pthread_detach(thread);
}

void kit_transport_init(struct kit_transport *transport, struct kit_keyserver *server, unsigned delay_ms)
{
    *transport =
        (struct kit_transport){.transport = {.submit = submit}, .server = server, .delay_ms = delay_ms};
}

void kit_transport_drain(struct kit_transport *transport)
{
    transport->held = false;
    while (transport->under_way > 0)
        (void)usleep(1000);
}
