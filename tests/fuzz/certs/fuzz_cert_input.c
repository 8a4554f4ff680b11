// Certificates and keys in every form that an import reads: no input crashes the reader, and what it calls a key or a
// certificate can be looked at.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "certs/certinfo.h"
#include "certs/input.h"
#include "certs/input_parts.h"
#include "certs/keycheck.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void on_cert(void *arg, X509 *cert)
{
    struct certinfo info;
    (void)arg;
    if (certinfo_read(cert, &info) && info.entry.name[0] == '\0')
        abort();
}

static void on_key(void *arg, EVP_PKEY *key)
{
    char kind[80], name[KEYRECORD_NAME_LEN + 1];
    struct error why;
    (void)arg;
    (void)keycheck_kind(key, kind, sizeof kind);
    if (keycheck(key, &why) && !keyrecord_name(key, name))
        abort();
}

static void on_fault(void *arg, const char *why)
{
    (void)arg;
    if (why[0] == '\0')
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct input_sink sink = {NULL, on_cert, on_key, on_fault};
    static char text[] = "x";
    const struct passphrase none = {NULL, 0}, some = {text, 1};
    input_max_rounds = 1000; // what a long derivation costs is no news
    input_parse(data, len, &none, &sink);
    input_parse(data, len, &some, &sink);
    return 0;
}
