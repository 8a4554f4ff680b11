// What makes the lines of an audit log one chain (AUDIT.md). Every line ends with its number and the hash of the
// line before, without its newline:
//
//   {"time":"...", ... ,"seq":7,"prev":"<64 hex digits>"}
//   {"time":"...","event":"head", ... ,"seq":8,"prev":"...","sig":"<128 hex digits>"}
//
// A head is a line with a signature over all of it that stands before `,"sig"`: Ed25519 (RFC 8032) over a fixed
// text and those bytes. Hashes are SHA-256. Pure but for the files of keys; one thread at a time for one object.
#ifndef MEC_KEYSERVER_AUDIT_CHAIN_H
#define MEC_KEYSERVER_AUDIT_CHAIN_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"

enum {
    AUDIT_HASH_LEN = 32,
    AUDIT_SIG_LEN = 64,
    AUDIT_BODY_MAX = 1024, // of a line without its chain
    AUDIT_LINE_MAX = 1536, // of a line, newline included
    AUDIT_SIGNER_LEN = 16  // hex digits that name a public key
};

// Where a chain stands: number and hash of its last line; zeros before the first.
struct audit_chain {
    uint64_t seq;
    uint8_t hash[AUDIT_HASH_LEN];
};

// ---- hashes

// SHA-256 with its algorithm fetched once. NULL without memory.
struct audit_hasher;
struct audit_hasher *audit_hasher_create(void);
void audit_hasher_destroy(struct audit_hasher **hasher);
// False: OpenSSL failed (memory).
bool audit_hash(struct audit_hasher *hasher, const void *bytes, size_t len,
                uint8_t out[static AUDIT_HASH_LEN]);

// Bytes between lines that are none of the chain: what a kill or a failed write left behind. A line of the chain
// that follows tells their number and hash. Pieces count as if a newline stood between them.
struct audit_torn {
    uint64_t bytes; // 0: nothing
    EVP_MD_CTX *ctx;
};
bool audit_torn_init(struct audit_torn *torn);
void audit_torn_deinit(struct audit_torn *torn);
void audit_torn_reset(struct audit_torn *torn);
bool audit_torn_add(struct audit_torn *torn, const void *bytes, size_t len);
bool audit_torn_hash(const struct audit_torn *torn, uint8_t out[static AUDIT_HASH_LEN]);

// Lower-case digits and a NUL.
void audit_hex(const uint8_t *bytes, size_t len, char *out);
// False unless text begins with 2 * len digits, lower-case.
bool audit_unhex(const char *text, size_t len, uint8_t *out);

// ---- keys of heads

// A PEM file (`openssl genpkey -algorithm ed25519`) that only its owner can read; the caller frees. NULL and *e.
EVP_PKEY *audit_key_load(const char *path, struct error *e);
// `openssl pkey -in KEY -pubout`; a certificate is none.
EVP_PKEY *audit_public_load(const char *path, struct error *e);
// The first 8 bytes of SHA-256 of the public key, as hex digits and a NUL.
bool audit_signer(const EVP_PKEY *key, char out[static AUDIT_SIGNER_LEN + 1]);
bool audit_signature_holds(EVP_PKEY *key, const char *head, size_t len,
                           const uint8_t sig[static AUDIT_SIG_LEN]);

// ---- lines

// Completes a line from its body (`{"time":...,"work_us":97`, without the closing brace, at most AUDIT_BODY_MAX):
// number, hash of the line before, and with a key a signature; then a newline. *chain goes to the new line. Returns
// the length with the newline; 0 when OpenSSL failed, and then *chain is as before.
size_t audit_chain_append(struct audit_chain *chain, struct audit_hasher *hasher, EVP_PKEY *key,
                          const char *body, size_t body_len, char out[static AUDIT_LINE_MAX]);

enum audit_event { AUDIT_OPERATION, AUDIT_START, AUDIT_HEAD, AUDIT_OTHER };

// A line taken apart.
struct audit_line {
    enum audit_event event;
    bool closes;   // a head that ends a file: what may begin the next
    bool stops;    // or that a server wrote as it ended
    bool has_torn; // it accounts for torn bytes before it
    uint64_t torn_bytes;
    uint8_t torn_hash[AUDIT_HASH_LEN];
    uint64_t seq;
    uint8_t prev[AUDIT_HASH_LEN];
    size_t signed_len; // the bytes that sig covers; 0: not signed
    uint8_t sig[AUDIT_SIG_LEN];
};

// Reads a line without its newline. Strict: what this server does not write is no line. What edges choose stands
// inside JSON strings in the middle; the members looked at are the first ones and the last ones.
bool audit_line_parse(const char *line, size_t len, struct audit_line *out);

#endif
