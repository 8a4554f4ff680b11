// A small HTTP/1.1 request reader (RFC 9112), strict where leniency has let requests be smuggled: bare LF,
// obsolete line folding, blanks before a colon, two lengths, a length together with chunks are all refused.
// Pure: bytes in, request out; knows no sockets. evhttp costs four times as much per request, hence our own.
//
// Use: keep the received bytes in one buffer; call http_read() each time bytes have come; on HTTP_DONE take
// `consumed` bytes off the front and reset the reader; on HTTP_MORE wait; anything else is the status code to
// answer with before closing.
#ifndef MEC_KEYSERVER_HTTP_H
#define MEC_KEYSERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How long the client waits for the answer, in milliseconds: what Envoy tells those that it forwards to, without being
// asked (its router filter's page). 1 to 99999999, else 400.
#define HTTP_TIMEOUT_FIELD "X-Envoy-Expected-Rq-Timeout-Ms"

struct http_limits {
    size_t line_max; // request line, bytes
    size_t head_max; // request line and header fields together
    size_t body_max; // body, after decoding of chunks
};

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OTHER };

enum { HTTP_MORE = 0, HTTP_DONE = 1 }; // beside 400, 413, 414, 417, 431, 501, 505

struct http_request {
    enum http_method method;
    const char *path; // a slice of the buffer, without query
    size_t path_len;
    const char *body; // a slice of the buffer
    size_t body_len;
    bool keep_alive;
    bool http10;         // its client keeps the connection only when the answer says so
    uint32_t timeout_ms; // after which its client no longer waits (HTTP_TIMEOUT_FIELD); 0: not said
    size_t consumed;
};

struct http_reader {
    // Everything here is private but `started` and `expects_continue`.
    bool started;          // at least one byte of a request has come
    bool expects_continue; // the head is complete, the peer waits for "100 Continue"; the caller clears it
                           // when sent
    bool head_done, chunked;
    size_t scanned; // where the search for the end of the head goes on
    size_t head_len;
    size_t content_length;
    size_t in, out; // chunks: read and write position in the buffer
    size_t chunk_left;
    unsigned chunk_state;
    struct http_request request;
    size_t path_at; // offsets, since the buffer may move
};

void http_reader_reset(struct http_reader *reader);

// Looks at the len bytes received so far (the same buffer each time, possibly moved and longer). Chunked
// bodies are decoded in place. Returns HTTP_MORE, HTTP_DONE with *request filled, or an error's status code.
// Any thread, one at a time per reader.
int http_read(struct http_reader *reader, const struct http_limits *limits, char *buf, size_t len,
              struct http_request *request);

const char *http_reason(unsigned status);

#endif
