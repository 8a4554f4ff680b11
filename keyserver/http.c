#include "keyserver/http.h"

#include <string.h>
#include <strings.h>

#include "keyserver/http_chunked.h"

void http_reader_reset(struct http_reader *reader)
{
    memset(reader, 0, sizeof *reader);
}

const char *http_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

// RFC 9110 section 5.6.2.
static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool equals(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

// Whether a comma-separated field value has an element (case-insensitive).
static bool list_has(const char *value, size_t len, const char *word)
{
    while (len > 0) {
        const char *comma = memchr(value, ',', len);
        size_t item = comma != NULL ? (size_t)(comma - value) : len;
        const char *start = value;
        size_t n = item;
        while (n > 0 && (*start == ' ' || *start == '\t'))
            start++, n--;
        while (n > 0 && (start[n - 1] == ' ' || start[n - 1] == '\t'))
            n--;
        if (equals(start, n, word))
            return true;
        size_t step = comma != NULL ? item + 1 : item;
        value += step;
        len -= step;
    }
    return false;
}

// How long the scheme and authority of an absolute-form target are (RFC 9112 section 3.2.2: servers must
// accept it); 0 for "/path".
static size_t authority_length(const char *target, size_t len)
{
    size_t at = len >= 8 && strncasecmp(target, "https://", 8) == 0  ? 8
                : len >= 7 && strncasecmp(target, "http://", 7) == 0 ? 7
                                                                     : 0;
    while (at > 0 && at < len && target[at] != '/' && target[at] != '?')
        at++;
    return at;
}

// METHOD SP /path[?query] SP HTTP/1.x
static int parse_request_line(struct http_reader *r, const char *buf, size_t at, size_t len, unsigned *minor)
{
    const char *line = buf + at;
    size_t m = 0;
    while (m < len && is_token_char(line[m]))
        m++;
    if (m == 0 || m == len || line[m] != ' ')
        return 400;
    r->request.method = m == 4 && memcmp(line, "POST", 4) == 0   ? HTTP_POST
                        : m == 3 && memcmp(line, "GET", 3) == 0  ? HTTP_GET
                        : m == 4 && memcmp(line, "HEAD", 4) == 0 ? HTTP_HEAD
                                                                 : HTTP_OTHER;
    size_t p = m + 1, end = p;
    while (end < len && (unsigned char)line[end] > ' ' && (unsigned char)line[end] < 0x7f)
        end++;
    if (end == p || end == len || line[end] != ' ')
        return 400;
    p += authority_length(line + p, end - p);
    const char *query = memchr(line + p, '?', end - p);
    r->path_at = at + p;
    r->request.path_len = query != NULL ? (size_t)(query - line) - p : end - p;

    const char *version = line + end + 1;
    if (len - end - 1 != 8 || memcmp(version, "HTTP/", 5) != 0 || !is_digit(version[5]) ||
        version[6] != '.' || !is_digit(version[7]))
        return 400;
    if (version[5] != '1')
        return 505;
    *minor = (unsigned)(version[7] - '0');
    return 0;
}

struct fields {
    bool has_length, has_host, transfer_encoding, close, keep_alive;
    size_t length;
    uint32_t timeout_ms;
};

static int parse_content_length(struct fields *f, const char *value, size_t len)
{
    if (f->has_length || len == 0 || len > 18)
        return 400;
    f->has_length = true;
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(value[i]))
            return 400;
        f->length = f->length * 10 + (size_t)(value[i] - '0');
    }
    return 0;
}

// One that is to be computed at once or not at all would be 0: nobody can mean that.
static int parse_timeout(struct fields *f, const char *value, size_t len)
{
    if (f->timeout_ms != 0 || len == 0 || len > 8)
        return 400;
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(value[i]))
            return 400;
        f->timeout_ms = f->timeout_ms * 10 + (uint32_t)(value[i] - '0');
    }
    return f->timeout_ms != 0 ? 0 : 400;
}

static int take_field(struct http_reader *r, struct fields *f, const char *name, size_t name_len,
                      const char *value, size_t len)
{
    if (equals(name, name_len, "Content-Length"))
        return parse_content_length(f, value, len);
    if (equals(name, name_len, HTTP_TIMEOUT_FIELD))
        return parse_timeout(f, value, len);
    if (equals(name, name_len, "Host")) {
        if (f->has_host)
            return 400;
        f->has_host = true;
    } else if (equals(name, name_len, "Transfer-Encoding")) {
        if (f->transfer_encoding)
            return 400;
        f->transfer_encoding = true;
        if (!equals(value, len, "chunked"))
            return 501;
        r->chunked = true;
    } else if (equals(name, name_len, "Connection")) {
        f->close |= list_has(value, len, "close");
        f->keep_alive |= list_has(value, len, "keep-alive");
    } else if (equals(name, name_len, "Expect")) {
        if (!equals(value, len, "100-continue"))
            return 417;
        r->expects_continue = true;
    }
    return 0;
}

static int parse_field_line(struct http_reader *r, struct fields *f, const char *line, size_t len)
{
    size_t n = 0;
    while (n < len && is_token_char(line[n]))
        n++;
    if (n == 0 || n == len || line[n] != ':')
        return 400; // also a folded line, which starts with a blank
    size_t v = n + 1, end = len;
    while (v < end && (line[v] == ' ' || line[v] == '\t'))
        v++;
    while (end > v && (line[end - 1] == ' ' || line[end - 1] == '\t'))
        end--;
    for (size_t i = v; i < end; i++)
        if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f)
            return 400; // control characters, NUL and a bare CR or LF among them
    return take_field(r, f, line, n, line + v, end - v);
}

static int parse_head(struct http_reader *r, const struct http_limits *limits, const char *buf, size_t at,
                      size_t end)
{
    struct fields f = {0};
    unsigned minor = 0;
    int error = 0;

    for (bool first = true; at < end && error == 0; first = false) {
        const char *cr = memmem(buf + at, end - at, "\r\n", 2);
        if (cr == NULL)
            return 400;
        size_t len = (size_t)(cr - (buf + at));
        error = first ? parse_request_line(r, buf, at, len, &minor) : parse_field_line(r, &f, buf + at, len);
        at += len + 2;
    }
    if (error != 0)
        return error;
    if ((minor > 0 && !f.has_host) || (f.has_length && r->chunked) || (r->chunked && minor == 0))
        return 400;
    if (f.length > limits->body_max)
        return 413;
    r->content_length = f.length;
    r->expects_continue = r->expects_continue && minor > 0 && (r->chunked || f.length > 0);
    r->request.http10 = minor == 0;
    r->request.timeout_ms = f.timeout_ms;
    r->request.keep_alive = !f.close && (minor > 0 || f.keep_alive);
    return 0;
}

// Finds the end of the head and parses it. HTTP_MORE, HTTP_DONE or an error.
static int read_head(struct http_reader *r, const struct http_limits *limits, const char *buf, size_t len)
{
    size_t start = 0;
    while (start + 1 < len && start < 8 && buf[start] == '\r' && buf[start + 1] == '\n')
        start += 2; // RFC 9112 section 2.2: empty lines before a request are skipped
    r->started = len > start;

    size_t from = r->scanned > start + 3 ? r->scanned - 3 : start;
    const char *end = len > from ? memmem(buf + from, len - from, "\r\n\r\n", 4) : NULL;
    // A limit is passed when the end can no longer come in time, with the bytes of the end itself allowed
    // for: else what fits would be refused when it is cut there.
    if (len - start >= limits->line_max + 2 && memmem(buf + start, limits->line_max + 2, "\r\n", 2) == NULL)
        return 414;
    size_t head_min = end != NULL ? (size_t)(end - buf) - start : len - start > 3 ? len - start - 3 : 0;
    if (head_min > limits->head_max)
        return 431;
    r->scanned = len;
    if (end == NULL)
        return HTTP_MORE;

    r->head_len = (size_t)(end - buf) + 4;
    int error = parse_head(r, limits, buf, start, r->head_len - 2);
    if (error != 0)
        return error;
    r->head_done = true;
    r->in = r->out = r->head_len;
    return HTTP_DONE;
}

int http_read(struct http_reader *r, const struct http_limits *limits, char *buf, size_t len,
              struct http_request *request)
{
    if (!r->head_done) {
        int result = read_head(r, limits, buf, len);
        if (result != HTTP_DONE)
            return result;
    }
    if (r->chunked) {
        int result = http_chunked_read(r, limits->body_max, buf, len);
        if (result != HTTP_DONE)
            return result;
        r->request.body_len = r->out - r->head_len;
        r->request.consumed = r->in;
    } else {
        if (len - r->head_len < r->content_length)
            return HTTP_MORE;
        r->request.body_len = r->content_length;
        r->request.consumed = r->head_len + r->content_length;
    }
    r->expects_continue = false;
    r->request.path = buf + r->path_at;
    r->request.body = buf + r->head_len;
    *request = r->request;
    return HTTP_DONE;
}
