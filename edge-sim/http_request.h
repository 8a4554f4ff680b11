// Reading the users' HTTP/1.1 requests at the edge: bytes in, a request out. Pure; any thread.
//
// Strict (RFC 9112): lines end in CRLF, names are tokens, no folding, no NUL; a request must have Host in
// HTTP/1.1. Of the body only its presence is told: the edge serves GET and HEAD and reads no bodies.
#ifndef MEC_EDGE_SIM_HTTP_REQUEST_H
#define MEC_EDGE_SIM_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAX  8192
#define HTTP_PATH_MAX  1024
#define HTTP_FIELD_MAX 100

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };

enum http_result {
    HTTP_REQUEST_OK,
    HTTP_REQUEST_MORE,    // the head is not complete yet
    HTTP_REQUEST_BAD,     // 400
    HTTP_REQUEST_LARGE,   // 431: the head exceeds HTTP_HEAD_MAX or HTTP_FIELD_MAX fields
    HTTP_REQUEST_URI,     // 414: the path exceeds HTTP_PATH_MAX
    HTTP_REQUEST_VERSION, // 505
};

struct http_request {
    enum http_method method;
    bool keep_alive;
    bool has_body;
    char path[HTTP_PATH_MAX];     // decoded, begins with '/', no NUL, no query
    char raw_path[HTTP_PATH_MAX]; // as sent, visible ASCII, no query: for a redirection
};

// Reads one request head from the start of buf. On HTTP_REQUEST_OK *used is its length.
enum http_result http_request_read(const char *buf, size_t len, struct http_request *request, size_t *used);

#endif
