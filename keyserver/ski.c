#include "keyserver/ski.h"

#include <jansson.h>
#include <string.h>

#include "keyserver/ski_input.h"

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

static int base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool ski_base64_decode(const char *text, size_t text_len, uint8_t *out, size_t *len)
{
    uint32_t bits = 0;
    size_t digits = 0, padding = 0, written = 0;

    for (size_t i = 0; i < text_len; i++) {
        if (is_blank(text[i]))
            continue;
        if (text[i] == '=') {
            padding++;
            continue;
        }
        int v = base64_value((unsigned char)text[i]);
        if (v < 0 || padding != 0)
            return false;
        bits = (bits << 6) | (uint32_t)v;
        if (++digits % 4 == 0) {
            if (*len - written < 3)
                return false;
            out[written++] = (uint8_t)(bits >> 16);
            out[written++] = (uint8_t)(bits >> 8);
            out[written++] = (uint8_t)bits;
            bits = 0;
        }
    }
    size_t rest = digits % 4;
    if (rest == 1 || (padding != 0 && (rest == 0 || padding != 4 - rest)))
        return false;
    if (rest != 0) {
        bits <<= 6 * (4 - rest);
        uint32_t unused = rest == 2 ? 0xffff : 0xff; // bits that no byte takes must be zero
        if ((bits & unused) != 0 || *len - written < rest - 1)
            return false;
        out[written++] = (uint8_t)(bits >> 16);
        if (rest == 3)
            out[written++] = (uint8_t)(bits >> 8);
    }
    *len = written;
    return true;
}

// A member that must be a non-empty string when it is there. False: it is there and is not.
static bool get_string(const json_t *object, const char *name, const char **text, size_t *len)
{
    const json_t *member = json_object_get(object, name);
    *text = NULL;
    *len = 0;
    if (member == NULL)
        return true;
    if (!json_is_string(member) || json_string_length(member) == 0)
        return false;
    *text = json_string_value(member);
    *len = json_string_length(member);
    return true;
}

static bool parse_protocol(const char *text, enum ski_protocol *protocol)
{
    for (int i = 0; i < SKI_PROTOCOLS; i++)
        if (strcmp(text, protocol_words[i]) == 0) {
            *protocol = (enum ski_protocol)i;
            return true;
        }
    return false;
}

static bool parse_method(const char *text, struct ski_request *r)
{
    if (text == NULL) {
        r->method = SKI_METHOD_ECDHE; // the draft's default; the Java reference requires the member
        return r->dialect == SKI_DRAFT;
    }
    r->method = strcmp(text, "RSA") == 0 ? SKI_METHOD_RSA : SKI_METHOD_ECDHE;
    return r->method == SKI_METHOD_RSA || strcmp(text, "ECDHE") == 0;
}

static bool is_old_tls(enum ski_protocol protocol)
{
    return protocol == SKI_TLS_1_0 || protocol == SKI_TLS_1_1 || protocol == SKI_DTLS_1_0;
}

// `hash`: with TLS 1.2 what to sign over (absent: SHA-1, RFC 5246 section 7.4.1.4.1). TLS 1.0 and 1.1 leave
// no choice.
static bool parse_hash(const char *text, struct ski_request *r)
{
    enum ski_hash hash = SKI_SHA1;
    if (text != NULL) {
        for (hash = SKI_SHA1; hash < SKI_HASHES; hash++)
            if (strcmp(text, hash_words[hash]) == 0)
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

static bool parse_scheme(const char *text, bool hash_given, struct ski_request *r)
{
    if (text == NULL)
        return r->protocol != SKI_TLS_1_3;
    if (hash_given || r->method != SKI_METHOD_ECDHE || is_old_tls(r->protocol))
        return false;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const struct scheme *s = &schemes[i];
        if (strcmp(text, s->name) != 0)
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

static bool parse_client_version(const char *text, struct ski_request *r)
{
    r->client_version = r->protocol;
    return text == NULL || (r->method == SKI_METHOD_RSA && parse_protocol(text, &r->client_version));
}

static bool parse_members(const json_t *object, struct ski_request *r)
{
    const char *protocol, *spki, *method, *hash, *scheme, *version, *input;
    size_t len, spki_len, input_len;

    if (!get_string(object, "protocol", &protocol, &len) || !get_string(object, "spki", &spki, &spki_len) ||
        !get_string(object, "method", &method, &len) || !get_string(object, "hash", &hash, &len) ||
        !get_string(object, "scheme", &scheme, &len) ||
        !get_string(object, "client_version", &version, &len) ||
        !get_string(object, "input", &input, &input_len))
        return false;
    if (protocol == NULL || spki == NULL || input == NULL)
        return false;
    if (!parse_protocol(protocol, &r->protocol) || !parse_method(method, r) || !parse_hash(hash, r) ||
        !parse_scheme(scheme, hash != NULL, r) || !parse_client_version(version, r))
        return false;
    if (!keyrecord_normalise(spki, spki_len, r->spki))
        r->spki[0] = '\0';
    r->input_len = sizeof r->input;
    return ski_base64_decode(input, input_len, r->input, &r->input_len) && ski_input_check(r);
}

enum ski_status ski_request_parse(enum ski_dialect dialect, const char *body, size_t len,
                                  struct ski_request *request)
{
    // Everything but the input itself, which parse_members() fills.
    memset(request, 0, offsetof(struct ski_request, input));
    request->dialect = dialect;

    json_error_t error;
    json_t *object = json_loadb(body, len, 0, &error); // duplicate members: the last one wins
    if (object == NULL)
        return SKI_MALFORMED;
    bool good = json_is_object(object) && parse_members(object, request);
    json_decref(object);
    return good ? SKI_OK : SKI_MALFORMED;
}
