#include "certs/objects.h"

#include "certs/files.h"
#include "certs/input.h"

struct first {
    X509 *cert;
    EVP_PKEY *key;
    struct error fault;
};

static void take_cert(void *arg, X509 *cert)
{
    struct first *first = arg;
    if (first->cert == NULL && X509_up_ref(cert) == 1)
        first->cert = cert;
}

static void take_key(void *arg, EVP_PKEY *key)
{
    struct first *first = arg;
    if (first->key == NULL && EVP_PKEY_up_ref(key) == 1)
        first->key = key;
}

static void take_fault(void *arg, const char *why)
{
    struct first *first = arg;
    if (first->fault.text[0] == '\0')
        error_set(&first->fault, "%s", why);
}

// Leaves in *first what the file holds of the wanted kind. A missing one is an error.
static bool load(const char *path, bool key, struct first *first, struct error *e)
{
    const struct passphrase none = {NULL, 0};
    const struct input_sink sink = {
        .arg = first, .cert = key ? NULL : take_cert, .key = key ? take_key : NULL, .fault = take_fault};
    struct file_bytes bytes;
    struct error why = {""};
    if (!files_read(path, &bytes, &why)) {
        error_set(e, "%s: %s", path, why.text);
        return false;
    }
    input_parse(bytes.data, bytes.len, &none, &sink);
    files_free(&bytes);
    if (first->cert != NULL || first->key != NULL)
        return true;
    if (first->fault.text[0] != '\0')
        error_set(e, "%s: %s", path, first->fault.text);
    else
        error_set(e, "%s: holds no %s", path, key ? "private key" : "certificate");
    return false;
}

X509 *objects_load_cert(const char *path, struct error *e)
{
    struct first first = {.cert = NULL};
    return load(path, false, &first, e) ? first.cert : NULL;
}

EVP_PKEY *objects_load_key(const char *path, struct error *e)
{
    struct first first = {.cert = NULL};
    return load(path, true, &first, e) ? first.key : NULL;
}
