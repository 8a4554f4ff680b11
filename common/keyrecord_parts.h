// What the files of keyrecord share among themselves. Nobody else includes this.
#ifndef MEC_COMMON_KEYRECORD_PARTS_H
#define MEC_COMMON_KEYRECORD_PARTS_H

#include "common/keyrecord.h"

// Whether the key is of a kind that we serve, and which.
bool keyrecord_describe(EVP_PKEY *key, enum keyrecord_type *type, unsigned *bits);

// The value of a Base64 digit of either alphabet, or -1.
int keyrecord_base64_digit(char c);

// Undoes the Base64 or PEM of a record in the Java key server's form. On KEYRECORD_OK *der is secret memory
// of *room bytes, of which the first *der_len are the PKCS#8 DER (not looked at yet); the caller frees it.
enum keyrecord_status keyrecord_decode_java(const uint8_t *value, size_t len, uint8_t **der, size_t *der_len,
                                            size_t *room);

#endif
