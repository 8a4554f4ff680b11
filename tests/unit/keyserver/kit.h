// What the tests of the key server share: keys made on each run, inputs of every curve, SKI bodies, a
// folder.
#ifndef MEC_TESTS_KEYSERVER_KIT_H
#define MEC_TESTS_KEYSERVER_KIT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <openssl/evp.h>

#include "keyserver/key.h"
#include "keyserver/ski.h"

// Made at the first call, kept until kit_release(); the caller does not free them. `which` (0 to 3) tells
// keys of one kind apart.
EVP_PKEY *kit_rsa(unsigned bits, unsigned which);
EVP_PKEY *kit_ec(const char *group, unsigned which);
void kit_release(void);

// The key as crypto threads see it, decoded anew; the caller gives its reference back.
struct ks_key *kit_key(EVP_PKEY *pkey);

// The curves that an ECDHE input may name.
struct kit_curve {
    unsigned id; // RFC 8422 section 5.1.1
    const char *name;
    size_t input_len;
};
#define KIT_CURVES 5
extern const struct kit_curve kit_curves[KIT_CURVES];

// ClientRandom | ServerRandom | named curve | a fresh public key of it. Returns the length.
size_t kit_ecdhe_input(const struct kit_curve *curve, uint8_t input[static SKI_INPUT_MAX]);
// The content of a TLS 1.3 CertificateVerify over a random transcript hash of hash_len bytes.
size_t kit_tls13_input(size_t hash_len, uint8_t input[static SKI_INPUT_MAX]);

// Base64 with padding, NUL-terminated; the text is valid until the fourth further call.
const char *kit_base64(const uint8_t *bytes, size_t len);

// A folder of the test's own under $TMPDIR, and paths in it (valid until the fourth further call).
void kit_dir_create(void);
void kit_dir_remove(void);
const char *kit_path(const char *name);
// The whole file, NUL-terminated; the caller frees.
char *kit_read_file(const char *path);

#endif
