// SKI, the Session Key Interface (draft-cairns-tls-session-key-interface-01): what an edge may ask, read from
// the JSON body of a request and checked. Pure: bytes in, request out; knows no sockets, no TLS, no keys.
//
// Two dialects share one reader. SKI_DRAFT is `POST /ski`: `method` defaults to ECDHE, errors carry HTTP
// codes. SKI_JAVA is `POST /`, what clients of the Java reference speak: `method` is required, every answer
// is a 200.
//
// Extension members, beyond the draft:
//   client_version  for RSA: the version the TLS client offered in its ClientHello, in the words of
//   `protocol`; the
//                   premaster carries that one (RFC 5246 section 7.4.7.1). Absent: `protocol` is taken for
//                   it.
//   scheme          for ECDHE: the TLS SignatureScheme by its name in RFC 8446 section 4.2.3, instead of
//   `hash`; how PSS is
//                   asked for in TLS 1.2, and required for `protocol` "TLS 1.3", whose input is the
//                   CertificateVerify content.
#ifndef MEC_KEYSERVER_SKI_H
#define MEC_KEYSERVER_SKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/keyrecord.h"

#define SKI_INPUT_MAX     1024 // an RSA-8192 ciphertext; the longest thing to sign has 201 bytes
#define SKI_OUTPUT_MAX    1024 // an RSA-8192 signature
#define SKI_PREMASTER_LEN 48

enum ski_dialect { SKI_DRAFT, SKI_JAVA };
enum ski_method { SKI_METHOD_ECDHE, SKI_METHOD_RSA };
enum ski_protocol {
    SKI_TLS_1_0,
    SKI_TLS_1_1,
    SKI_TLS_1_2,
    SKI_TLS_1_3,
    SKI_DTLS_1_0,
    SKI_DTLS_1_2,
    SKI_PROTOCOLS
};
enum ski_hash { SKI_MD5_SHA1, SKI_SHA1, SKI_SHA224, SKI_SHA256, SKI_SHA384, SKI_SHA512, SKI_HASHES };
enum ski_padding { SKI_PKCS1, SKI_PSS }; // how an RSA key signs

// How a request ends. The texts are the draft's; SKI_BUSY, SKI_EXPIRED and SKI_STORE_DOWN are told as "unspecified error".
enum ski_status {
    SKI_OK,
    SKI_MALFORMED,   // cannot be parsed, or its parts do not fit each other or the key
    SKI_NOT_FOUND,   // no such key
    SKI_DENIED,      // this edge may not ask this
    SKI_UNSPECIFIED, // our fault
    SKI_BUSY,        // more work waits than will be done in time, or more is in flight than may be
    SKI_EXPIRED,     // its deadline passed while it waited: it was not computed
    SKI_STORE_DOWN,  // the key may exist but cannot be read now
    SKI_STATUSES
};

struct ski_request {
    enum ski_dialect dialect;
    enum ski_method method;
    enum ski_protocol protocol;
    enum ski_protocol client_version; // RSA
    enum ski_hash hash;               // ECDHE
    enum ski_padding padding;         // ECDHE with an RSA key
    unsigned scheme_key;              // 0, or the key type that the given scheme needs (enum keyrecord_type)
    unsigned scheme_bits;             // 0, or the curve size that the given scheme is bound to (TLS 1.3)
    char spki[KEYRECORD_NAME_LEN +
              1]; // normalised; empty when it is no fingerprint at all: then no key can match
    size_t input_len;
    uint8_t input[SKI_INPUT_MAX];
};

// Reads a request body. SKI_OK: *request is filled and its input has the structure that its method and
// protocol ask (ski_input.h); else SKI_MALFORMED. Any thread. body need not be NUL-terminated.
enum ski_status ski_request_parse(enum ski_dialect dialect, const char *body, size_t len,
                                  struct ski_request *request);

// The words of the draft, of the log and of the metrics.
const char *ski_error_text(enum ski_status status);  // "request denied", ...
const char *ski_status_word(enum ski_status status); // "ok", "malformed", ...: for logs and metrics
const char *ski_method_word(enum ski_method method);
const char *ski_protocol_word(enum ski_protocol protocol);
const char *ski_hash_word(enum ski_hash hash);

// The HTTP status code of an answer in a dialect.
unsigned ski_http_status(enum ski_dialect dialect, enum ski_status status);

// The two version bytes of a protocol as they stand in a premaster secret: {3, 3}, DTLS {0xfe, 0xfd}.
void ski_protocol_bytes(enum ski_protocol protocol, uint8_t version[static 2]);

// Base64 as deployed clients write it: padding may be absent, blanks and line ends are skipped. Writes at
// most *len bytes and sets *len. False on any other character, a length that cannot be, bits left over, data
// after the padding, or too much of it.
bool ski_base64_decode(const char *text, size_t text_len, uint8_t *out, size_t *len);

#endif
