// Sealing of bytes at rest: AES-256-GCM under a master key, with associated data.
//
//   sealed = "MKS1" | key id (8) | nonce (12) | ciphertext (as long as the plain text) | tag (16)
//
// The key id (the first 8 bytes of HKDF-SHA-256 of the master key with its own label) tells which master key
// sealed a value without trying. The nonce is random for every call. The encryption key is derived from the
// master key by HKDF-SHA-256 (RFC 5869) as well. All integers and fields are in this order; there is no other
// header.
#ifndef MEC_COMMON_SEAL_H
#define MEC_COMMON_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"

#define SEAL_OVERHEAD 40
#define SEAL_KEY_LEN  32

struct seal_key; // in secret memory

// From 32 secret random bytes, which stay the caller's.
struct seal_key *seal_key_create(const uint8_t master[static SEAL_KEY_LEN], struct error *e);
// Reads a master key file: 64 hexadecimal digits and an optional newline, or exactly 32 raw bytes. Refuses a
// file that the group or others may read or write, and one that is no regular file. NULL and *e set on
// failure.
struct seal_key *seal_key_load(const char *path, struct error *e);
// Makes a new random master key file (hex, mode 0600; fails if it exists; fsynced).
bool seal_key_generate(const char *path, struct error *e);
// Also those it accepts. NULL inside is fine.
void seal_key_destroy(struct seal_key **key);
// From now on `key` opens what `other` sealed, too, until it is destroyed; it seals as before. Takes *other over (NULL afterwards). One call
// at a time; other threads may be opening meanwhile.
void seal_key_accept(struct seal_key *key, struct seal_key **other);
// The keys that it accepts, one after the other; NULL behind the last. Any thread.
const struct seal_key *seal_key_next(const struct seal_key *key);
// The key id as 16 hex digits.
void seal_key_id(const struct seal_key *key, char text[static 17]);

// Writes plain_len + SEAL_OVERHEAD bytes to out. False without randomness or memory. Any thread.
bool seal(const struct seal_key *key, const void *ad, size_t ad_len, const void *plain, size_t plain_len,
          uint8_t *out);

// Whether this key itself sealed the value (by the id in it; the seal is not looked at).
bool seal_is_under(const struct seal_key *key, const uint8_t *sealed, size_t sealed_len);

enum seal_status { SEAL_OK, SEAL_NOT_SEALED, SEAL_OTHER_KEY, SEAL_DAMAGED, SEAL_FAILED };
const char *seal_status_text(enum seal_status status);

// Writes sealed_len - SEAL_OVERHEAD bytes to out (the caller's secret memory; wiped again unless SEAL_OK).
// Any thread.
enum seal_status seal_open(const struct seal_key *key, const void *ad, size_t ad_len, const uint8_t *sealed,
                           size_t sealed_len, uint8_t *out);

#endif
