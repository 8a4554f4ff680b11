#include "edge-sim/ski_message.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

const char *ski_status_text(enum ski_status status)
{
    static const char *const text[SKI_STATUS_COUNT] = {
        [SKI_OK] = "ok",
        [SKI_MALFORMED] = "malformed request",
        [SKI_DENIED] = "request denied",
        [SKI_NOT_FOUND] = "spki not found",
        [SKI_FAILED] = "unspecified error",
        [SKI_BUSY] = "busy",
        [SKI_TIMEOUT] = "timeout",
        [SKI_UNREACHABLE] = "key server unreachable",
        [SKI_BAD_ANSWER] = "bad answer",
        [SKI_STOPPED] = "stopped",
    };
    return (unsigned)status < SKI_STATUS_COUNT ? text[status] : "unknown";
}

// A write position that remembers that it once ran over.
struct printer {
    char *at;
    char *end;
    bool overflow;
};

static void put(struct printer *p, const char *text, size_t len)
{
    if (p->overflow || (size_t)(p->end - p->at) < len) {
        p->overflow = true;
        return;
    }
    memcpy(p->at, text, len);
    p->at += len;
}

static void put_text(struct printer *p, const char *text)
{
    put(p, text, strlen(text));
}

// A member whose value is one of the protocol's words: anything that JSON would have to escape makes the
// request invalid.
static void put_word(struct printer *p, const char *name, const char *word)
{
    if (word == NULL)
        return;
    for (const char *c = word; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e || *c == '"' || *c == '\\')
            p->overflow = true;
    put_text(p, name);
    put_text(p, word);
    put_text(p, "\"");
}

static void put_base64(struct printer *p, const uint8_t *data, size_t len)
{
    size_t need = (len + 2) / 3 * 4 + 1; // EVP_EncodeBlock adds a NUL
    if (p->overflow || (size_t)(p->end - p->at) < need) {
        p->overflow = true;
        return;
    }
    p->at += EVP_EncodeBlock((unsigned char *)p->at, data, (int)len);
}

size_t ski_body_build(char *buf, size_t cap, const struct ski_request *request)
{
    if (request->protocol == NULL || request->spki == NULL || request->input_len == 0 ||
        request->input_len > SKI_INPUT_MAX || cap == 0)
        return 0;
    struct printer p = {.at = buf, .end = buf + cap - 1};
    put_word(&p, "{\"protocol\":\"", request->protocol);
    put_word(&p, ",\"spki\":\"", request->spki);
    put_word(&p, ",\"method\":\"", request->method == SKI_METHOD_RSA ? "RSA" : "ECDHE");
    put_word(&p, ",\"hash\":\"", request->hash);
    put_word(&p, ",\"scheme\":\"", request->scheme);
    put_word(&p, ",\"client_version\":\"", request->client_version);
    put_text(&p, ",\"input\":\"");
    put_base64(&p, request->input, request->input_len);
    put_text(&p, "\"}");
    if (p.overflow)
        return 0;
    *p.at = '\0';
    return (size_t)(p.at - buf);
}

size_t ski_request_build(char *buf, size_t cap, const char *host, const struct ski_request *request)
{
    char body[SKI_WIRE_MAX];
    size_t body_len = ski_body_build(body, sizeof body, request);
    if (body_len == 0 || strlen(host) >= SKI_HOST_MAX)
        return 0;
    int head_len = snprintf(buf, cap,
                            "POST /ski HTTP/1.1\r\n"
                            "Host: %s\r\n"
                            "Content-Type: application/json\r\n"
                            "Content-Length: %zu\r\n\r\n",
                            host, body_len);
    if (head_len < 0 || (size_t)head_len + body_len > cap)
        return 0;
    memcpy(buf + head_len, body, body_len);
    return (size_t)head_len + body_len;
}
