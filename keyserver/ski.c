#include "keyserver/ski.h"

#include <string.h>

#include "keyserver/ski_input.h"
#include "keyserver/ski_json.h"
#include "keyserver/ski_members.h"
#include "keyserver/ski_plain.h"

static const char *const protocol_words[SKI_PROTOCOLS] = {
    [SKI_TLS_1_0] = "TLS 1.0", [SKI_TLS_1_1] = "TLS 1.1",   [SKI_TLS_1_2] = "TLS 1.2",
    [SKI_TLS_1_3] = "TLS 1.3", [SKI_DTLS_1_0] = "DTLS 1.0", [SKI_DTLS_1_2] = "DTLS 1.2",
};

// As requests spell them. MD5_SHA1 cannot be asked for: it is what TLS 1.0 and 1.1 mean.
static const char *const hash_words[SKI_HASHES] = {
    [SKI_MD5_SHA1] = "MD5-SHA1", [SKI_SHA1] = "SHA1",      [SKI_SHA224] = "SHA-224",
    [SKI_SHA256] = "SHA-256",    [SKI_SHA384] = "SHA-384", [SKI_SHA512] = "SHA-512",
};

static const struct {
    const char *word;
    const char *error;
    unsigned draft_code;
    unsigned java_code;
} statuses[SKI_STATUSES] = {
    [SKI_OK] = {"ok", "", 200, 200},
    [SKI_MALFORMED] = {"malformed", "malformed request", 400, 200},
    [SKI_NOT_FOUND] = {"not_found", "spki not found", 404, 200},
    [SKI_DENIED] = {"denied", "request denied", 403, 403},
    [SKI_UNSPECIFIED] = {"error", "unspecified error", 500, 200},
    [SKI_BUSY] = {"busy", "unspecified error", 503, 503},
    [SKI_EXPIRED] = {"expired", "unspecified error", 503, 503},
    [SKI_STORE_DOWN] = {"store_down", "unspecified error", 503, 200},
};

// RFC 8446 section 4.2.3. In TLS 1.2 an ecdsa_* scheme names the hash alone, in TLS 1.3 the curve as well.
static const struct scheme {
    const char *name;
    enum ski_hash hash;
    enum ski_padding padding;
    enum keyrecord_type key;
    unsigned bits;
    bool tls13;
} schemes[] = {
    {"rsa_pkcs1_sha1", SKI_SHA1, SKI_PKCS1, KEYRECORD_RSA, 0, false},
    {"rsa_pkcs1_sha256", SKI_SHA256, SKI_PKCS1, KEYRECORD_RSA, 0, false},
    {"rsa_pkcs1_sha384", SKI_SHA384, SKI_PKCS1, KEYRECORD_RSA, 0, false},
    {"rsa_pkcs1_sha512", SKI_SHA512, SKI_PKCS1, KEYRECORD_RSA, 0, false},
    {"rsa_pss_rsae_sha256", SKI_SHA256, SKI_PSS, KEYRECORD_RSA, 0, true},
    {"rsa_pss_rsae_sha384", SKI_SHA384, SKI_PSS, KEYRECORD_RSA, 0, true},
    {"rsa_pss_rsae_sha512", SKI_SHA512, SKI_PSS, KEYRECORD_RSA, 0, true},
    {"ecdsa_sha1", SKI_SHA1, SKI_PKCS1, KEYRECORD_EC, 0, false},
    {"ecdsa_secp256r1_sha256", SKI_SHA256, SKI_PKCS1, KEYRECORD_EC, 256, true},
    {"ecdsa_secp384r1_sha384", SKI_SHA384, SKI_PKCS1, KEYRECORD_EC, 384, true},
    {"ecdsa_secp521r1_sha512", SKI_SHA512, SKI_PKCS1, KEYRECORD_EC, 521, true},
};

const char *ski_error_text(enum ski_status status)
{
    return statuses[status].error;
}

const char *ski_status_word(enum ski_status status)
{
    return statuses[status].word;
}

const char *ski_method_word(enum ski_method method)
{
    return method == SKI_METHOD_RSA ? "RSA" : "ECDHE";
}

const char *ski_protocol_word(enum ski_protocol protocol)
{
    return protocol_words[protocol];
}

const char *ski_hash_word(enum ski_hash hash)
{
    return hash_words[hash];
}

unsigned ski_http_status(enum ski_dialect dialect, enum ski_status status)
{
    return dialect == SKI_JAVA ? statuses[status].java_code : statuses[status].draft_code;
}

void ski_protocol_bytes(enum ski_protocol protocol, uint8_t version[static 2])
{
    static const uint8_t bytes[SKI_PROTOCOLS][2] = {
        [SKI_TLS_1_0] = {3, 1}, [SKI_TLS_1_1] = {3, 2},        [SKI_TLS_1_2] = {3, 3},
        [SKI_TLS_1_3] = {3, 3}, [SKI_DTLS_1_0] = {0xfe, 0xff}, [SKI_DTLS_1_2] = {0xfe, 0xfd},
    };
    memcpy(version, bytes[protocol], 2);
}

static bool given(struct ski_text text)
{
    return text.at != NULL;
}

static bool is_word(struct ski_text text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

static bool parse_protocol(struct ski_text text, enum ski_protocol *protocol)
{
    for (int i = 0; i < SKI_PROTOCOLS; i++)
        if (is_word(text, protocol_words[i])) {
            *protocol = (enum ski_protocol)i;
            return true;
        }
    return false;
}

static bool parse_method(struct ski_text text, struct ski_request *r)
{
    if (!given(text)) {
        r->method = SKI_METHOD_ECDHE; // the draft's default; the Java reference requires the member
        return r->dialect == SKI_DRAFT;
    }
    r->method = is_word(text, "RSA") ? SKI_METHOD_RSA : SKI_METHOD_ECDHE;
    return r->method == SKI_METHOD_RSA || is_word(text, "ECDHE");
}

static bool is_old_tls(enum ski_protocol protocol)
{
    return protocol == SKI_TLS_1_0 || protocol == SKI_TLS_1_1 || protocol == SKI_DTLS_1_0;
}

// `hash`: with TLS 1.2 what to sign over (absent: SHA-1, RFC 5246 section 7.4.1.4.1). TLS 1.0 and 1.1 leave
// no choice.
static bool parse_hash(struct ski_text text, struct ski_request *r)
{
    enum ski_hash hash = SKI_SHA1;
    if (given(text)) {
        for (hash = SKI_SHA1; hash < SKI_HASHES; hash++)
            if (is_word(text, hash_words[hash]))
                break;
        if (hash == SKI_HASHES)
            return false;
    }
    if (r->method == SKI_METHOD_RSA)
        return true;
    if (is_old_tls(r->protocol)) {
        r->hash = SKI_MD5_SHA1;
        return hash == SKI_SHA1;
    }
    r->hash = hash;
    return true;
}

static bool parse_scheme(struct ski_text text, bool hash_given, struct ski_request *r)
{
    if (!given(text))
        return r->protocol != SKI_TLS_1_3;
    if (hash_given || r->method != SKI_METHOD_ECDHE || is_old_tls(r->protocol))
        return false;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const struct scheme *s = &schemes[i];
        if (!is_word(text, s->name))
            continue;
        bool tls13 = r->protocol == SKI_TLS_1_3;
        if (tls13 && !s->tls13)
            return false;
        r->hash = s->hash;
        r->padding = s->padding;
        r->scheme_key = s->key;
        r->scheme_bits = tls13 ? s->bits : 0;
        return true;
    }
    return false;
}

static bool parse_client_version(struct ski_text text, struct ski_request *r)
{
    r->client_version = r->protocol;
    return !given(text) || (r->method == SKI_METHOD_RSA && parse_protocol(text, &r->client_version));
}

static bool parse_members(const struct ski_members *m, struct ski_request *r)
{
    const struct ski_text *text = m->text;
    struct ski_text spki = text[SKI_MEMBER_SPKI], input = text[SKI_MEMBER_INPUT];

    if (!given(text[SKI_MEMBER_PROTOCOL]) || !given(spki) || !given(input))
        return false;
    if (!parse_protocol(text[SKI_MEMBER_PROTOCOL], &r->protocol) ||
        !parse_method(text[SKI_MEMBER_METHOD], r) || !parse_hash(text[SKI_MEMBER_HASH], r) ||
        !parse_scheme(text[SKI_MEMBER_SCHEME], given(text[SKI_MEMBER_HASH]), r) ||
        !parse_client_version(text[SKI_MEMBER_CLIENT_VERSION], r))
        return false;
    if (!keyrecord_normalise(spki.at, spki.len, r->spki))
        r->spki[0] = '\0';
    r->input_len = sizeof r->input;
    return ski_base64_decode(input.at, input.len, r->input, &r->input_len) && ski_input_check(r);
}

enum ski_status ski_request_parse(enum ski_dialect dialect, const char *body, size_t len,
                                  struct ski_request *request)
{
    struct ski_members members;
    json_t *json = NULL;

    // Everything but the input itself, which parse_members() fills.
    memset(request, 0, offsetof(struct ski_request, input));
    request->dialect = dialect;
    bool good = (ski_plain_read(body, len, &members) || ski_json_read(body, len, &members, &json)) &&
                parse_members(&members, request);
    json_decref(json);
    return good ? SKI_OK : SKI_MALFORMED;
}
