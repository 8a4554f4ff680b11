// What a request asks for and what it is answered: routing by method and path, and the bytes of HTTP answers.
// Pure: knows no sockets.
#ifndef MEC_KEYSERVER_ANSWER_H
#define MEC_KEYSERVER_ANSWER_H

#include <stddef.h>

#include "keyserver/http.h"
#include "keyserver/keyop.h"

// No answer is longer: 300 bytes of head and a Base64 RSA-8192 signature.
#define ANSWER_MAX 2048

// Fills the operation from an HTTP request. True: it is a well-formed SKI operation, to be computed; false:
// it is done already (wrong path or method, malformed request) and only to be answered.
bool answer_route(const struct http_request *http, struct keyop *op);

// Makes the operation the answer to a request of somebody who may ask for nothing, whatever it is: 403.
void answer_deny(const struct http_request *http, struct keyop *op);

// Makes the operation the answer to a request that could not be read: an HTTP status from 400 up.
void answer_http_error(struct keyop *op, unsigned http_status);

// Writes the whole answer, head and body, to out and returns its length. For RSA answers the length is always
// the same.
size_t answer_format(const struct keyop *op, char out[static ANSWER_MAX]);

#endif
