// Where a master key comes from:
//
//   FILE             64 hexadecimal digits or 32 raw bytes (seal.h); nobody but its owner may read or write it
//   FILE, protected  the same key under a passphrase (below), which comes by a descriptor
//   credential:NAME  $CREDENTIALS_DIRECTORY/NAME of the service manager (systemd: LoadCredential=, or
//                    LoadCredentialEncrypted= with a key of the TPM), either form. Its group may read it: the manager
//                    gives the service's user access by an ACL, whose mask shows as the group's bits.
//
// A protected file is one line, all numbers decimal:
//
//   "MKP1 scrypt " log2 N " " r " " p " " salt (32 hex digits) " " sealed master key (144 hex digits) "\n"
//
// The master key is random and sealed (seal.h) under scrypt(passphrase, salt, N, r, p) (RFC 7914), with the line up to
// it as associated data. So a new passphrase is a new file and not a new master key.
#ifndef MEC_COMMON_MASTERKEY_H
#define MEC_COMMON_MASTERKEY_H

#include "common/seal.h"

#define MASTER_KEY_PASSPHRASE_LEAST 8u // bytes, of a new one

// passphrase_fd: the number of an open descriptor, as text, whose first line is the passphrase; NULL: none. It is read
// once and closed, unless it is standard input. NULL and *e set on failure; no message holds a part of key or passphrase.
// scrypt takes up to 1 GiB (128 MiB as master_key_generate() makes it) and a second, for this call.
struct seal_key *master_key_load(const char *source, const char *passphrase_fd, struct error *e);

// As seal_key_generate(), with a passphrase unless passphrase_fd is NULL. The key, which the caller destroys; NULL, *e set.
struct seal_key *master_key_generate(const char *path, const char *passphrase_fd, struct error *e);

// ---- protected files as bytes (pure; for tests)

#define MASTER_KEY_SALT_LEN   16
#define MASTER_KEY_SEALED_LEN (SEAL_KEY_LEN + SEAL_OVERHEAD)

struct master_key_line {
    unsigned log2_n, r, p; // within bounds: 10 to 22, 1 to 16, 1 to 16, and 1 GiB of memory
    uint8_t salt[MASTER_KEY_SALT_LEN];
    uint8_t sealed[MASTER_KEY_SEALED_LEN];
    size_t ad_len; // of the text before the sealed key
};

bool master_key_is_line(const uint8_t *text, size_t len); // begins as one
bool master_key_read_line(const uint8_t *text, size_t len, struct master_key_line *line);

#endif
