// Keys out of records of a Redis: as the Java key server keeps them (name: the 40 hexadecimal digits of the certificate's SHA-1; value: Base64 of PKCS#8 DER, or PEM), or
// any other form that a file may have.
#include <stdio.h>
#include <string.h>
#include <openssl/evp.h>

#include "certs/import_parts.h"
#include "certs/input.h"
#include "common/hex.h"
#include "common/secmem.h"

#define FOREVER   253402300799u // the end of the year 9999: the record does not say when its certificate ends
#define NAMES     (2 * IMPORT_BATCH) // those of a batch are still needed when the next records come
#define VALUE_MAX FILES_MAX_BYTES

struct records {
    struct import *im;
    char names[NAMES][160];
    size_t count;
    struct keyrecord_cert own;
};

static void take_name(struct records *r, const struct source_record *record)
{
    char cut[72], *to = r->names[r->count++ % NAMES];
    size_t len = record->name_len < sizeof cut - 1 ? record->name_len : sizeof cut - 1;
    for (size_t i = 0; i < len; i++)
        cut[i] = record->name[i] > ' ' && record->name[i] < 127 ? (char)record->name[i] : '?';
    cut[len] = '\0';
    (void)snprintf(to, sizeof r->names[0], "%s%s", cut, len < record->name_len ? "..." : "");
    r->im->file = to;
    r->im->own = NULL;
    if (record->name_len != 2 * sizeof r->own.sha1)
        return;
    memset(&r->own, 0, sizeof r->own);
    for (size_t i = 0; i < sizeof r->own.sha1; i++) {
        int high = hex_digit(cut[2 * i]), low = hex_digit(cut[2 * i + 1]);
        if (high < 0 || low < 0)
            return;
        r->own.sha1[i] = (uint8_t)(high << 4 | low);
    }
    r->own.not_after = record->expires_ms != 0 ? record->expires_ms / 1000 : FOREVER;
    r->im->own = &r->own;
}

static void see_fault(void *arg, const char *why)
{
    struct import *im = arg;
    im->found++;
    import_refuse(im, why);
}

static void see_cert(void *arg, X509 *cert)
{
    struct import *im = arg;
    (void)cert;
    im->found++;
    import_tell(&im->report, IMPORT_SKIPPED, im->file, "a certificate: give it as a PATH to have it paired");
}

static void parse(struct import *im, const uint8_t *data, size_t len)
{
    const struct input_sink sink = {.arg = im, .cert = see_cert, .key = import_take_key, .fault = see_fault};
    input_parse(data, len, &im->options->passphrase, &sink);
}

// Base64 of something, in one line or several.
static void parse_base64(struct import *im, const uint8_t *text, size_t len)
{
    EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
    uint8_t *der = secmem_alloc(len + 64);
    int part = 0, rest = 0;
    if (ctx != NULL && der != NULL) {
        EVP_DecodeInit(ctx);
        if (EVP_DecodeUpdate(ctx, der, &part, text, (int)len) >= 0 &&
            EVP_DecodeFinal(ctx, der + part, &rest) == 1 && part + rest > 0 && der[0] == 0x30)
            parse(im, der, (size_t)(part + rest));
    } else {
        import_refuse(im, "out of secret memory");
        im->found++;
    }
    EVP_ENCODE_CTX_free(ctx);
    secmem_free(&der, len + 64);
}

// PEM, or DER that says a length: a text that begins with the digit 0 is neither.
static bool may_be_object(const uint8_t *value, size_t len)
{
    return value[0] != 0x30 || (len > 2 && (value[1] >= 0x80 || value[1] == len - 2));
}

static bool take_record(void *arg, const struct source_record *record)
{
    struct records *r = arg;
    struct import *im = r->im;
    take_name(r, record);
    im->found = 0;
    char why[64] = "holds no private key";
    if (record->kind != NULL) {
        (void)snprintf(why, sizeof why, "is %s", record->kind);
    } else if (record->expired && !im->options->allow_expired) {
        (void)snprintf(why, sizeof why, "has expired");
    } else if (record->len != 0 && record->len < VALUE_MAX) {
        if (may_be_object(record->value, record->len))
            parse(im, record->value, record->len);
        if (im->found == 0)
            parse_base64(im, record->value, record->len);
    }
    if (im->found == 0)
        import_tell(&im->report, IMPORT_SKIPPED, im->file, why);
    return !im->report.broken;
}

bool import_take_source(struct import *im, const struct source *source, struct error *e)
{
    struct records r = {.im = im};
    bool good = source->each(source, take_record, &r, e);
    im->own = NULL;
    import_batch_run(&im->batch);
    im->file = NULL;
    return good;
}
