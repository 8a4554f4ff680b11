// SKI bodies: whatever is accepted is a request whose every member is in range and whose input has the structure of its
// protocol; the Java dialect accepts nothing that the draft's does not; and Base64 has one meaning.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>

#include "keyserver/ski.h"
#include "keyserver/ski_input.h"

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool is_old(enum ski_protocol p)
{
    return p == SKI_TLS_1_0 || p == SKI_TLS_1_1 || p == SKI_DTLS_1_0;
}

static void check_signing(const struct ski_request *r)
{
    static const size_t lengths[] = {100, 124, 133, 165, 201}, tls13_lengths[] = {130, 146};
    bool known = false;
    REQUIRE((unsigned)r->hash < SKI_HASHES && (unsigned)r->padding <= SKI_PSS);
    REQUIRE(is_old(r->protocol) == (r->hash == SKI_MD5_SHA1));
    REQUIRE(r->padding != SKI_PSS || r->scheme_key == KEYRECORD_RSA);
    REQUIRE(r->scheme_key <= KEYRECORD_EC && (r->scheme_bits == 0 || r->scheme_key == KEYRECORD_EC));
    if (r->protocol == SKI_TLS_1_3) {
        REQUIRE(r->scheme_key != 0);
        for (size_t i = 0; i < sizeof tls13_lengths / sizeof tls13_lengths[0]; i++)
            known |= r->input_len == tls13_lengths[i];
    } else {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
            known |= r->input_len == lengths[i];
        REQUIRE(r->input[64] == 3);
    }
    REQUIRE(known);
}

static void check_accepted(const struct ski_request *r)
{
    char name[KEYRECORD_NAME_LEN + 1];
    uint8_t version[2];
    size_t spki_len = strnlen(r->spki, sizeof r->spki);

    REQUIRE((unsigned)r->protocol < SKI_PROTOCOLS && (unsigned)r->client_version < SKI_PROTOCOLS);
    REQUIRE(r->input_len <= SKI_INPUT_MAX && ski_input_check(r));
    REQUIRE(spki_len == 0 || spki_len == KEYRECORD_ALIAS_LEN || spki_len == KEYRECORD_NAME_LEN);
    // A normalised name stays as it is.
    REQUIRE(spki_len == 0 || (keyrecord_normalise(r->spki, spki_len, name) && strcmp(name, r->spki) == 0));
    ski_protocol_bytes(r->client_version, version);
    REQUIRE(version[0] == 3 || version[0] == 0xfe);
    if (r->method == SKI_METHOD_ECDHE) {
        check_signing(r);
        return;
    }
    REQUIRE(r->method == SKI_METHOD_RSA && r->protocol != SKI_TLS_1_3 && r->input_len >= 10);
    REQUIRE(r->scheme_key == 0 && r->padding == SKI_PKCS1);
}

static bool parse(enum ski_dialect dialect, const uint8_t *data, size_t len, struct ski_request *r)
{
    memset(r, 0xa5, sizeof *r);
    enum ski_status status = ski_request_parse(dialect, (const char *)data, len, r);
    REQUIRE(status == SKI_OK || status == SKI_MALFORMED);
    REQUIRE(r->dialect == dialect);
    if (status == SKI_OK)
        check_accepted(r);
    return status == SKI_OK;
}

// What was decoded encodes to the same characters, blanks and padding aside.
static void check_base64(const uint8_t *data, size_t len)
{
    uint8_t bytes[300];
    char text[404];
    size_t bytes_len = sizeof bytes, t = 0;
    if (!ski_base64_decode((const char *)data, len, bytes, &bytes_len))
        return;
    REQUIRE(bytes_len <= sizeof bytes);
    size_t text_len = (size_t)EVP_EncodeBlock((unsigned char *)text, bytes, (int)bytes_len);
    for (size_t i = 0; i < len; i++) {
        if (strchr(" \t\r\n=", data[i]) != NULL)
            continue;
        REQUIRE(t < text_len && (uint8_t)text[t] == data[i]);
        t++;
    }
    while (t < text_len)
        REQUIRE(text[t++] == '=');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct ski_request draft, java;
    check_base64(data, len);
    bool draft_good = parse(SKI_DRAFT, data, len, &draft);
    bool java_good = parse(SKI_JAVA, data, len, &java);
    REQUIRE(draft_good || !java_good);
    if (java_good) {
        java.dialect = SKI_DRAFT;
        REQUIRE(memcmp(&draft, &java, offsetof(struct ski_request, input)) == 0);
        REQUIRE(memcmp(draft.input, java.input, java.input_len) == 0);
    }
    return 0;
}
