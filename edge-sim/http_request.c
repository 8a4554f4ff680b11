#include "edge-sim/http_request.h"

#include <string.h>
#include <strings.h>

#include "common/hex.h"

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static size_t token_len(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && is_token_char(text[n]))
        n++;
    return n;
}

// Percent-decodes the path. %00 and anything but visible ASCII in the raw form are refused.
static bool decode_path(const char *raw, size_t len, char *path)
{
    size_t out = 0;
    for (size_t i = 0; i < len; i++) {
        char c = raw[i];
        if (c <= 0x20 || c > 0x7e || c == '#')
            return false;
        if (c == '%') {
            int high = i + 2 < len ? hex_digit(raw[i + 1]) : -1;
            int low = i + 2 < len ? hex_digit(raw[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        path[out++] = c;
    }
    path[out] = '\0';
    return true;
}

// "/path?query" or "http[s]://host/path?query".
static enum http_result read_target(const char *target, size_t len, struct http_request *request)
{
    if (len > 0 && target[0] != '/') {
        size_t scheme = len > 8 && strncasecmp(target, "https://", 8) == 0  ? 8
                        : len > 7 && strncasecmp(target, "http://", 7) == 0 ? 7
                                                                            : 0;
        const char *slash = scheme != 0 ? memchr(target + scheme, '/', len - scheme) : NULL;
        if (slash == NULL)
            return HTTP_REQUEST_BAD;
        len -= (size_t)(slash - target);
        target = slash;
    }
    const char *query = memchr(target, '?', len);
    size_t path_len = query != NULL ? (size_t)(query - target) : len;
    for (size_t i = path_len; i < len; i++)
        if (target[i] <= 0x20 || target[i] > 0x7e)
            return HTTP_REQUEST_BAD;
    if (path_len == 0)
        return HTTP_REQUEST_BAD;
    if (path_len >= HTTP_PATH_MAX)
        return HTTP_REQUEST_URI;
    if (!decode_path(target, path_len, request->path))
        return HTTP_REQUEST_BAD;
    memcpy(request->raw_path, target, path_len);
    request->raw_path[path_len] = '\0';
    return HTTP_REQUEST_OK;
}

static enum http_result read_request_line(const char *line, size_t len, struct http_request *request)
{
    size_t method = token_len(line, len);
    if (method == 0 || method == len || line[method] != ' ')
        return HTTP_REQUEST_BAD;
    const char *target = line + method + 1;
    size_t rest = len - method - 1;
    const char *space = memchr(target, ' ', rest);
    if (space == NULL)
        return HTTP_REQUEST_BAD;
    const char *version = space + 1;
    size_t version_len = rest - (size_t)(space - target) - 1;
    if (version_len != 8 || memcmp(version, "HTTP/", 5) != 0)
        return HTTP_REQUEST_BAD;
    if (memcmp(version + 5, "1.", 2) != 0 || (version[7] != '0' && version[7] != '1'))
        return HTTP_REQUEST_VERSION;
    request->keep_alive = version[7] == '1';
    request->method = method == 3 && memcmp(line, "GET", 3) == 0    ? HTTP_GET
                      : method == 4 && memcmp(line, "HEAD", 4) == 0 ? HTTP_HEAD
                                                                    : HTTP_OTHER;
    return read_target(target, (size_t)(space - target), request);
}

static bool name_is(const char *line, size_t len, const char *name)
{
    return strlen(name) == len && strncasecmp(line, name, len) == 0;
}

// A comma-separated list holds the word.
static bool list_has(const char *value, size_t len, const char *word)
{
    while (len > 0) {
        const char *comma = memchr(value, ',', len);
        size_t item = comma != NULL ? (size_t)(comma - value) : len;
        size_t begin = 0;
        size_t end = item;
        while (begin < end && (value[begin] == ' ' || value[begin] == '\t'))
            begin++;
        while (end > begin && (value[end - 1] == ' ' || value[end - 1] == '\t'))
            end--;
        if (name_is(value + begin, end - begin, word))
            return true;
        size_t step = comma != NULL ? item + 1 : item;
        value += step;
        len -= step;
    }
    return false;
}

static bool read_field(const char *line, size_t len, struct http_request *request, unsigned *hosts)
{
    size_t name = token_len(line, len);
    if (name == 0 || name == len || line[name] != ':')
        return false;
    const char *value = line + name + 1;
    size_t value_len = len - name - 1;
    for (size_t i = 0; i < value_len; i++)
        if ((unsigned char)value[i] < 0x20 && value[i] != '\t')
            return false;
    if (name_is(line, name, "Host")) {
        (*hosts)++;
    } else if (name_is(line, name, "Connection")) {
        if (list_has(value, value_len, "close"))
            request->keep_alive = false;
        else if (list_has(value, value_len, "keep-alive"))
            request->keep_alive = true;
    } else if (name_is(line, name, "Transfer-Encoding")) {
        request->has_body = true;
    } else if (name_is(line, name, "Content-Length")) {
        request->has_body = request->has_body || !list_has(value, value_len, "0");
    }
    return true;
}

static enum http_result read_head(const char *buf, size_t len, struct http_request *request)
{
    const char *end = buf + len;
    unsigned fields = 0;
    unsigned hosts = 0;
    bool http11 = false;
    for (bool first = true; buf < end; first = false) {
        const char *eol = memmem(buf, (size_t)(end - buf), "\r\n", 2);
        if (eol == NULL)
            return HTTP_REQUEST_BAD;
        size_t line_len = (size_t)(eol - buf);
        if (first) {
            enum http_result r = read_request_line(buf, line_len, request);
            if (r != HTTP_REQUEST_OK)
                return r;
            http11 = request->keep_alive;
        } else if (++fields > HTTP_FIELD_MAX) {
            return HTTP_REQUEST_LARGE;
        } else if (!read_field(buf, line_len, request, &hosts)) {
            return HTTP_REQUEST_BAD;
        }
        buf = eol + 2;
    }
    return hosts > 1 || (http11 && hosts == 0) ? HTTP_REQUEST_BAD : HTTP_REQUEST_OK;
}

enum http_result http_request_read(const char *buf, size_t len, struct http_request *request, size_t *used)
{
    size_t look = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
    const char *end = memmem(buf, look, "\r\n\r\n", 4);
    if (end == NULL) {
        // A first line that cannot be one is refused without waiting for the rest.
        if (len > 0 && !is_token_char(buf[0]))
            return HTTP_REQUEST_BAD;
        return len >= HTTP_HEAD_MAX ? HTTP_REQUEST_LARGE : HTTP_REQUEST_MORE;
    }
    memset(request, 0, sizeof *request);
    *used = (size_t)(end - buf) + 4;
    return read_head(buf, *used - 2, request);
}
