// Reads a byte stream in every way it can arrive: whole, cut in two at each place, byte by byte, each time in
// a buffer of the exact size that moves between reads. All ways must give the same outcome, and what follows
// the request must be left as it was: so every test of the reader proves this, too.
#ifndef MEC_TESTS_KEYSERVER_HTTP_KIT_H
#define MEC_TESTS_KEYSERVER_HTTP_KIT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "keyserver/http.h"

#define HTTP_KIT_MAX 40000

struct http_seen {
    int result; // HTTP_MORE, HTTP_DONE or a status code; the rest is filled for HTTP_DONE
    enum http_method method;
    bool keep_alive;
    size_t path_len, body_len, consumed;
    uint32_t timeout_ms;
    char path[1024]; // NUL-terminated
    char body[HTTP_KIT_MAX];
};

extern const struct http_limits http_kit_limits; // roomy: 1 KiB line, 4 KiB head, 16 KiB body

// The outcome, valid until the next call.
const struct http_seen *http_see(const struct http_limits *limits, const char *bytes, size_t len);

// The outcome's result, for a literal and the usual limits.
#define HTTP_RESULT(literal) (http_see(&http_kit_limits, literal, sizeof(literal) - 1)->result)

#endif
