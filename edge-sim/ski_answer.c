// Reading SKI answers: an HTTP/1.1 head with Content-Length, then {"output":…} or {"error":…}.
//
// The answer that a key server really sends, {"output":"<Base64>"} without blanks, is read in one strict
// pass; all other spellings of the same JSON go to jansson. Both ways lead to the same result
// (tests/fuzz/edge-sim/fuzz_ski_answer.c).
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "edge-sim/ski_message.h"

// Base64 with padding, no blanks. *out_len is not touched on failure.
static bool decode_base64(const char *text, size_t len, uint8_t *out, size_t *out_len)
{
    if (len == 0 || len % 4 != 0 || len / 4 * 3 > SKI_OUTPUT_MAX + 2)
        return false;
    size_t pad = (text[len - 1] == '=') + (size_t)(text[len - 1] == '=' && text[len - 2] == '=');
    for (size_t i = 0; i < len - pad; i++) {
        char c = text[i];
        // EVP_DecodeBlock would take blanks at both ends and '=' anywhere.
        if (!isalnum((unsigned char)c) && c != '+' && c != '/')
            return false;
    }
    int n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
    if (n < 0 || (size_t)n < pad || (size_t)n - pad == 0 || (size_t)n - pad > SKI_OUTPUT_MAX)
        return false;
    *out_len = (size_t)n - pad;
    return true;
}

static enum ski_status error_status(const char *text)
{
    static const enum ski_status named[] = {SKI_MALFORMED, SKI_DENIED, SKI_NOT_FOUND, SKI_BUSY};
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        if (strcmp(text, ski_status_text(named[i])) == 0)
            return named[i];
    return SKI_FAILED;
}

static void read_any_json(const char *body, size_t len, struct ski_answer *answer)
{
    answer->status = SKI_BAD_ANSWER;
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    json_t *output = json_object_get(root, "output");
    json_t *error = json_object_get(root, "error");
    if (output == NULL && json_is_string(error))
        answer->status = error_status(json_string_value(error));
    else if (error == NULL && json_is_string(output) &&
             decode_base64(json_string_value(output), json_string_length(output), answer->output,
                           &answer->output_len))
        answer->status = SKI_OK;
    json_decref(root);
}

static bool read_usual_json(const char *body, size_t len, struct ski_answer *answer)
{
    static const char head[] = "{\"output\":\"";
    const size_t head_len = sizeof head - 1;
    while (len > 0 && (body[len - 1] == '\n' || body[len - 1] == '\r'))
        len--;
    if (len < head_len + 2 || memcmp(body, head, head_len) != 0 || memcmp(body + len - 2, "\"}", 2) != 0)
        return false;
    if (!decode_base64(body + head_len, len - head_len - 2, answer->output, &answer->output_len))
        return false;
    answer->status = SKI_OK;
    return true;
}

void ski_body_read(const char *body, size_t len, struct ski_answer *answer)
{
    answer->output_len = 0;
    if (!read_usual_json(body, len, answer))
        read_any_json(body, len, answer);
    if (answer->status != SKI_OK)
        answer->output_len = 0;
}

// What the head says that matters to us.
struct head {
    unsigned status;
    bool has_length;
    size_t body_len;
    bool close;
    unsigned retry_after_s;
};

static bool parse_digits(const char *text, size_t len, size_t max, size_t *value)
{
    size_t v = 0;
    if (len == 0 || len > 9)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = v * 10 + (size_t)(text[i] - '0');
    }
    if (v > max)
        return false;
    *value = v;
    return true;
}

static bool name_is(const char *line, size_t name_len, const char *name)
{
    return strlen(name) == name_len && strncasecmp(line, name, name_len) == 0;
}

// "HTTP/1.1 200 OK"; the reason phrase may be missing.
static bool parse_status_line(const char *line, size_t len, struct head *h)
{
    size_t status;
    if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ')
        return false;
    if (!parse_digits(line + 9, 3, 599, &status) || status < 200 || (len > 12 && line[12] != ' '))
        return false;
    h->status = (unsigned)status;
    h->close = line[7] == '0';
    return true;
}

static bool parse_field(const char *line, size_t len, struct head *h)
{
    const char *colon = memchr(line, ':', len);
    if (colon == NULL || colon == line)
        return false;
    size_t name_len = (size_t)(colon - line);
    const char *value = colon + 1;
    size_t value_len = len - name_len - 1;
    while (value_len > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        value_len--;
    }
    while (value_len > 0 && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t'))
        value_len--;
    if (name_is(line, name_len, "Content-Length")) {
        if (h->has_length || !parse_digits(value, value_len, SKI_ANSWER_BODY_MAX, &h->body_len))
            return false;
        h->has_length = true;
    } else if (name_is(line, name_len, "Transfer-Encoding")) {
        return false; // a key server sends Content-Length; two framings invite confusion
    } else if (name_is(line, name_len, "Connection")) {
        h->close = h->close || (value_len == 5 && strncasecmp(value, "close", 5) == 0);
    } else if (name_is(line, name_len, "Retry-After")) {
        size_t seconds = 0;
        if (parse_digits(value, value_len, 86400, &seconds))
            h->retry_after_s = (unsigned)seconds;
    }
    return true;
}

static bool parse_head(const char *buf, size_t len, struct head *h)
{
    const char *end = buf + len; // just past the last CRLF before the empty line
    bool first = true;
    while (buf < end) {
        const char *eol = memmem(buf, (size_t)(end - buf), "\r\n", 2);
        if (eol == NULL)
            return false;
        size_t line_len = (size_t)(eol - buf);
        if (!(first ? parse_status_line(buf, line_len, h) : parse_field(buf, line_len, h)))
            return false;
        first = false;
        buf = eol + 2;
    }
    return !first && h->has_length;
}

static enum ski_status status_of_http(unsigned http_status)
{
    switch (http_status) {
    case 400:
        return SKI_MALFORMED;
    case 403:
        return SKI_DENIED;
    case 404:
        return SKI_NOT_FOUND;
    case 429:
    case 503:
        return SKI_BUSY;
    default:
        return SKI_FAILED;
    }
}

ssize_t ski_answer_read(const char *buf, size_t len, struct ski_answer *answer)
{
    static const char begin[] = "HTTP/1.";
    if (len == 0)
        return 0;
    if (memcmp(buf, begin, len < 7 ? len : 7) != 0)
        return -1;
    size_t look = len < SKI_ANSWER_HEAD_MAX ? len : SKI_ANSWER_HEAD_MAX;
    const char *head_end = memmem(buf, look, "\r\n\r\n", 4);
    if (head_end == NULL)
        return len >= SKI_ANSWER_HEAD_MAX ? -1 : 0;
    struct head h = {0};
    size_t head_len = (size_t)(head_end - buf) + 4;
    if (!parse_head(buf, head_len - 2, &h))
        return -1;
    if (len - head_len < h.body_len)
        return 0;
    answer->http_status = h.status;
    answer->close = h.close;
    answer->retry_after_s = h.retry_after_s;
    answer->output_len = 0;
    if (h.status == 200)
        ski_body_read(buf + head_len, h.body_len, answer);
    else
        answer->status = status_of_http(h.status);
    return (ssize_t)(head_len + h.body_len);
}
