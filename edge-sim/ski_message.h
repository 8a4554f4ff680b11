// The Session Key Interface on the wire, seen from the edge (draft-cairns-tls-session-key-interface-01,
// section 5): a request is printed into a caller's buffer, an answer is read from one. Pure functions: no
// sockets, no allocation on the usual path, any thread.
//
//   POST /ski HTTP/1.1                              HTTP/1.1 200 OK
//   Host: keyserver.example:8443                    Content-Type: application/json
//   Content-Type: application/json                  Content-Length: 76
//   Content-Length: 283
//                                                   {"output":"<Base64>"}
//   {"protocol":"TLS 1.2","spki":"<Base64>",
//    "method":"ECDHE","hash":"SHA-256","input":"<Base64>"}
//
// Beyond the draft: `client_version` (the version the client offered, which an RSA premaster secret carries),
// `scheme` (a TLS SignatureScheme name in place of `hash`) and the protocol "TLS 1.3".
#ifndef MEC_EDGE_SIM_SKI_MESSAGE_H
#define MEC_EDGE_SIM_SKI_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Base64 of a SHA-256, with its NUL.
#define SKI_SPKI_TEXT 45
// Longest input: an RSA-8192 ciphertext.
#define SKI_INPUT_MAX 1024
// Longest output: an RSA-8192 signature.
#define SKI_OUTPUT_MAX 1024
// Every valid request, HTTP head included, fits in this.
#define SKI_WIRE_MAX 2560
// Longest host (with port) in a request's head.
#define SKI_HOST_MAX 300
// An answer whose head or body is longer is malformed.
#define SKI_ANSWER_HEAD_MAX 4096
#define SKI_ANSWER_BODY_MAX 8192

enum ski_method { SKI_METHOD_RSA, SKI_METHOD_ECDHE };

// What is asked of the key server. All strings are the protocol's own words, made of characters that JSON
// need not escape; NULL where a member is left out.
struct ski_request {
    const char *protocol;       // "TLS 1.2": what client and edge negotiated
    const char *spki;           // Base64 SHA-256 of the SubjectPublicKeyInfo
    enum ski_method method;     // RSA: decrypt a premaster secret; ECDHE: sign
    const char *hash;           // "SHA-256"; NULL: the protocol's default, or given by scheme
    const char *scheme;         // "rsa_pss_rsae_sha256"; NULL outside PSS and TLS 1.3
    const char *client_version; // RSA: the version of the ClientHello; NULL: as protocol
    const uint8_t *input;
    size_t input_len; // 1 .. SKI_INPUT_MAX
};

// How a request ended. From SKI_TIMEOUT on: no answer of the key server, the reason is on the way or with us.
enum ski_status {
    SKI_OK,
    SKI_MALFORMED,   // 400: the key server found the request malformed
    SKI_DENIED,      // 403: this edge may not do that
    SKI_NOT_FOUND,   // 404: no such key
    SKI_FAILED,      // 500 or any other refusal
    SKI_BUSY,        // 503 or 429 from the key server, or our own queue is full
    SKI_TIMEOUT,     // the deadline passed after the request was sent
    SKI_UNREACHABLE, // the deadline passed without a connection, or connections died under it
    SKI_BAD_ANSWER,  // what came back is no SKI answer
    SKI_STOPPED,     // the client is being destroyed
};
#define SKI_STATUS_COUNT 10

// The words for logs and reports: "ok", "request denied", …
const char *ski_status_text(enum ski_status status);

// Prints the JSON body with a terminating NUL. Returns its length, 0 when the request is invalid (input too
// long or empty, a word that would need escaping) or the buffer too small.
size_t ski_body_build(char *buf, size_t cap, const struct ski_request *request);

// Prints the whole HTTP request to POST /ski. host: as the Host field names the server. Returns its length,
// or 0 as above.
size_t ski_request_build(char *buf, size_t cap, const char *host, const struct ski_request *request);

// One answer, as read.
struct ski_answer {
    enum ski_status status; // never SKI_TIMEOUT, _UNREACHABLE, _STOPPED
    unsigned http_status;
    bool close;             // no further answer will come on this connection
    unsigned retry_after_s; // Retry-After in seconds; 0: none
    size_t output_len;      // 0 unless SKI_OK
    uint8_t output[SKI_OUTPUT_MAX + 4];
};

// Reads one answer from the start of buf. Returns the bytes it takes; 0 when more bytes are needed; -1 when
// this is no HTTP answer that could be one of SKI, after which the connection is of no use. A complete HTTP
// answer whose body is no SKI answer is consumed and has status SKI_BAD_ANSWER. Call with the answer so far
// each time: nothing is kept in between. The output may be a premaster secret: the caller wipes *answer.
ssize_t ski_answer_read(const char *buf, size_t len, struct ski_answer *answer);

// The JSON body alone (as ski_answer_read does for a 200). Sets status, output and output_len.
void ski_body_read(const char *body, size_t len, struct ski_answer *answer);

#endif
