// What the files of keyrecord share among themselves. Nobody else includes this.
#ifndef MEC_COMMON_KEYRECORD_PARTS_H
#define MEC_COMMON_KEYRECORD_PARTS_H

#include "common/keyrecord.h"

// Whether the key is of a kind that we serve, and which.
bool keyrecord_describe(EVP_PKEY *key, enum keyrecord_type *type, unsigned *bits);
// Whether RSA keys with a modulus of so many bits are served.
bool keyrecord_serves_rsa(unsigned bits);

// keyrecord_name() of an RSA key from its public numbers. False: longer than any key that is served.
bool keyrecord_rsa_name(const struct rsa_number *n, const struct rsa_number *e,
                        char name[static KEYRECORD_NAME_LEN + 1]);

// ---- EC keys (keyrecord_ec.c)

struct keyrecord_curve {
    const char *group; // as OpenSSL names it
    unsigned bits;
    size_t field_len;   // bytes of a coordinate, and of the private number
    uint8_t prefix[26]; // all of the DER of a SubjectPublicKeyInfo before the 0x04 of the point
    size_t prefix_len;
};
// NULL: none that is served.
const struct keyrecord_curve *keyrecord_curve_named(const char *group);

// Views into PKCS#8 DER.
struct keyrecord_ec {
    const struct keyrecord_curve *curve;
    const uint8_t *number; // curve->field_len bytes, secret
    const uint8_t *point;  // uncompressed: 0x04 and two coordinates
};
// PKCS#8 (RFC 5958, version 1) around ECPrivateKey (RFC 5915) with its public key, in the form in which everybody writes them. False: another
// form, of which OpenSSL may make more. Neither says anything of the numbers.
bool keyrecord_ec_read(const uint8_t *der, size_t len, struct keyrecord_ec *key);
// OpenSSL's form. NULL: the point is not on the curve, the number is none for it, or no memory.
EVP_PKEY *keyrecord_ec_key(const struct keyrecord_ec *key);
// keyrecord_name() of it.
bool keyrecord_ec_name(const struct keyrecord_ec *key, char name[static KEYRECORD_NAME_LEN + 1]);

// The value of a Base64 digit of either alphabet, or -1.
int keyrecord_base64_digit(char c);

// PKCS#8 DER in secret memory of `room` bytes, of which the first `len` are the DER.
struct keyrecord_secret {
    uint8_t *der;
    size_t len, room;
};

// Opens, decodes and checks, as keyrecord_open() says. On KEYRECORD_OK the caller frees *key and secret->der; otherwise both are NULL.
enum keyrecord_status keyrecord_open_whole(const char *name, const uint8_t *value, size_t len,
                                           const struct seal_key *master, struct keyrecord_info *info,
                                           EVP_PKEY **key, struct keyrecord_secret *secret);

// Undoes the Base64 or PEM of a record in the Java key server's form. On KEYRECORD_OK *der is secret memory
// of *room bytes, of which the first *der_len are the PKCS#8 DER (not looked at yet); the caller frees it.
enum keyrecord_status keyrecord_decode_java(const uint8_t *value, size_t len, uint8_t **der, size_t *der_len,
                                            size_t *room);

// ---- the versioned form

bool keyrecord_is_versioned(const uint8_t *value, size_t len);
// Reads the public part. *body is where the key begins. False: malformed.
bool keyrecord_read_public(const uint8_t *value, size_t len, struct keyrecord_info *info, size_t *body);
// Header and certificate entries; returns their length. out NULL: only measures.
size_t keyrecord_write_public(const struct keyrecord_info *info, uint8_t *out);

// The PKCS#8 DER of the key whose secret part begins at `body`, unsealed and expanded, but not looked at: in *der, secret memory of *room
// bytes of which the first *der_len are the DER; the caller frees it.
enum keyrecord_status keyrecord_open_body(const char *name, const struct keyrecord_info *info,
                                          const uint8_t *value, size_t len, size_t body,
                                          const struct seal_key *master, uint8_t **der, size_t *der_len,
                                          size_t *room);
// A value of the public part in info (its `sealed` is not looked at) and the key in der, of which the caller knows that they belong to the
// name. *value is malloc'ed. *whole: NULL, or why the compact form that info asks for was not to be had.
enum keyrecord_status keyrecord_build(const char *name, const struct keyrecord_info *info, const uint8_t *der,
                                      size_t der_len, const struct seal_key *master, uint8_t **value,
                                      size_t *len, const char **whole);

#endif
