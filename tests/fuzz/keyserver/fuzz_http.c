// The HTTP request reader: a stream of requests is read as the server reads one, and gives the same requests and the
// same refusal whether it arrives whole, byte by byte or in pieces that the bytes themselves choose.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/http.h"

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct http_limits limits = {.line_max = 256, .head_max = 1024, .body_max = 2048};

struct seen {
    int result; // of the last read
    unsigned requests;
    uint64_t digest; // of everything in them
    size_t consumed; // by all of them
};

static void add(struct seen *s, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    s->digest = (s->digest ^ len) * 0x100000001b3;
    for (size_t i = 0; i < len; i++)
        s->digest = (s->digest ^ p[i]) * 0x100000001b3;
}

static void add_request(struct seen *s, const struct http_request *r, const char *buf, size_t len)
{
    REQUIRE(r->consumed > 0 && r->consumed <= len);
    REQUIRE(r->path >= buf && r->path_len <= limits.line_max && r->path + r->path_len <= buf + r->consumed);
    REQUIRE(r->body >= buf && r->body_len <= limits.body_max && r->body + r->body_len <= buf + r->consumed);
    const int words[] = {(int)r->method, r->keep_alive, (int)r->timeout_ms};
    add(s, words, sizeof words);
    add(s, r->path, r->path_len);
    add(s, r->body, r->body_len);
    add(s, &r->consumed, sizeof r->consumed);
    s->consumed += r->consumed;
    s->requests++;
}

// Takes all complete requests off the front of the buffer.
static void take_requests(struct seen *s, struct http_reader *reader, char *buf, size_t *len)
{
    size_t at = 0;
    do {
        struct http_request request;
        s->result = http_read(reader, &limits, buf + at, *len - at, &request);
        if (s->result == HTTP_DONE) {
            add_request(s, &request, buf + at, *len - at);
            at += request.consumed;
            http_reader_reset(reader);
        }
    } while (s->result == HTTP_DONE && at < *len);
    REQUIRE(s->result == HTTP_MORE || s->result == HTTP_DONE || (s->result >= 400 && s->result <= 505));
    REQUIRE(strcmp(http_reason(s->result <= HTTP_DONE ? 200 : (unsigned)s->result), "Unknown") != 0);
    *len -= at;
    memmove(buf, buf + at, *len);
}

// Pieces of 1 to `largest` bytes.
static struct seen read_stream(const uint8_t *data, size_t len, size_t largest)
{
    struct seen s = {.digest = 0xcbf29ce484222325};
    struct http_reader reader;
    uint32_t x = (uint32_t)len;
    char *buf = NULL;
    size_t have = 0;

    http_reader_reset(&reader);
    for (size_t at = 0; at < len && s.result <= HTTP_DONE;) {
        x = (x ^ data[at]) * 2654435761u;
        size_t n = largest == len ? len : 1 + (x >> 16) % largest;
        if (n > len - at)
            n = len - at;
        // A block of the exact size, so that a read past the end is seen.
        char *grown = malloc(have + n);
        REQUIRE(grown != NULL);
        if (have > 0)
            memcpy(grown, buf, have);
        memcpy(grown + have, data + at, n);
        free(buf);
        buf = grown;
        have += n;
        at += n;
        take_requests(&s, &reader, buf, &have);
    }
    free(buf);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0 || len > 8192)
        return 0;
    struct seen whole = read_stream(data, len, len);
    static const size_t pieces[] = {1, 7, 100};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct seen cut = read_stream(data, len, pieces[i]);
        REQUIRE(cut.requests == whole.requests && cut.digest == whole.digest &&
                cut.consumed == whole.consumed);
        REQUIRE(cut.result == whole.result);
    }
    return 0;
}
