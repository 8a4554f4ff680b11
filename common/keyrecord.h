// A private key as the store keeps it: shared by `certs`, which writes, and `keyserver`, which reads.
//
// Names in the store (all text, so that Redis tools can be used on them):
//   "<Base64 of SHA-256(SubjectPublicKeyInfo)>"         44 characters: the key's record (RFC 7469
//   fingerprint)
//   "<upper-case hex of SHA-1(certificate DER)>"        40 characters: an alias, whose value is "MKA1" + the
//   44 characters
// A record of the Java key server may stand under the 40 characters directly: Base64 of PKCS#8 DER on one
// line, or PKCS#8 PEM. Both are read under either name.
//
// Value, version 1 (integers little-endian):
//   0   4  "MKR1"
//   4   1  form: bit 0 sealed, bit 1 compact (RSA only), bit 2 labels (programs before it take such records for
//          malformed, as those before bit 1 do)
//   5   1  key type: 1 RSA, 2 EC
//   6   2  bits: modulus length or field size (2048, 256, ...)
//   8   8  time of import, Unix seconds
//   16  2  number of certificates
//   18  2  length of the certificate entries and labels, all in all
//   20  .. per certificate: SHA-1 of its DER (20) | notAfter, Unix seconds (8) | name length (1) | name
//   (UTF-8; first SAN DNS name,
//          else subject CN)
//   ..  .. with bit 2: number of labels (1) | per label: length (1) | text
//   ..  .. PKCS#8 DER, or its compact form (keyserver/rsa/rsa_compact.h): plain, or sealed (seal.h) with
//          associated data = the store key (44 characters) followed by all bytes of the value before this
//          point: the public part cannot be changed, nor the value moved to another name.
#ifndef MEC_COMMON_KEYRECORD_H
#define MEC_COMMON_KEYRECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/report.h"
#include "common/seal.h"
#include "keyserver/rsa/rsa_der.h"

#define KEYRECORD_NAME_LEN   44 // without NUL
#define KEYRECORD_ALIAS_LEN  40 // without NUL
#define KEYRECORD_MAX_CERTS  64
#define KEYRECORD_MAX_LEN    (64 * 1024) // of a whole value
#define KEYRECORD_MAX_LABELS 8
#define KEYRECORD_LABEL_LEN  32 // without NUL

enum keyrecord_type { KEYRECORD_RSA = 1, KEYRECORD_EC = 2 };

// How the secret part is written. A compact key opens as the same PKCS#8, byte for byte.
enum keyrecord_encoding { KEYRECORD_PKCS8, KEYRECORD_COMPACT };

struct keyrecord_cert {
    uint8_t sha1[20];
    uint64_t not_after; // Unix seconds
    char name[256];
};

struct keyrecord_info { // the public part
    enum keyrecord_type type;
    unsigned bits;
    bool sealed;
    enum keyrecord_encoding encoding;
    uint64_t imported;
    unsigned cert_count;
    struct keyrecord_cert certs[KEYRECORD_MAX_CERTS];
    unsigned label_count;
    char labels[KEYRECORD_MAX_LABELS][KEYRECORD_LABEL_LEN + 1];
};

// What an access policy may go by: the texts of a record's certificates and labels.
struct keyrecord_traits {
    unsigned name_count, label_count;
    char text[]; // names, then labels, each with its NUL
};

enum keyrecord_status {
    KEYRECORD_OK,
    KEYRECORD_IS_ALIAS,     // the value names another record
    KEYRECORD_MALFORMED,    // not a record of any form we read
    KEYRECORD_NO_MASTER,    // sealed, and no master key was given
    KEYRECORD_OTHER_MASTER, // sealed under another master key
    KEYRECORD_DAMAGED,      // the seal does not hold
    KEYRECORD_BAD_KEY,      // opens, but is no RSA or EC private key we serve
    KEYRECORD_MISMATCH,     // a whole key, but not the one its name says
    KEYRECORD_NO_MEMORY,
};
const char *keyrecord_status_text(enum keyrecord_status status);

// The store name of a public or private key: Base64 of SHA-256 of its SubjectPublicKeyInfo, NUL-terminated.
bool keyrecord_name(EVP_PKEY *key, char name[static KEYRECORD_NAME_LEN + 1]);
// The alias of a certificate: upper-case hex of SHA-1 of its DER.
bool keyrecord_alias(X509 *cert, char alias[static KEYRECORD_ALIAS_LEN + 1]);
// Brings a fingerprint as peers and people write it to the form of a store name: Base64 of SHA-256 (44
// characters; URL-safe alphabet and missing padding accepted), hex of SHA-256 (64) or hex of SHA-1 (40), any
// case, colons accepted in hex. out gets 44 or 40 characters and NUL; false when the text is none of these.
bool keyrecord_normalise(const char *text, size_t len, char out[static KEYRECORD_NAME_LEN + 1]);

// Builds a value. master NULL: plain form. info->encoding is a wish: a key that has no compact form is written as PKCS#8.
// *value is malloc'ed; the caller frees it (after wiping when plain).
enum keyrecord_status keyrecord_encode(const char *name, const struct keyrecord_info *info, EVP_PKEY *key,
                                       const struct seal_key *master, uint8_t **value, size_t *len);

// *why: NULL when the key has a compact form, else a static text about what is special in it. KEYRECORD_OK or KEYRECORD_NO_MEMORY.
enum keyrecord_status keyrecord_kept_whole(EVP_PKEY *key, const char **why);

// Opens a record, with all the checks of keyrecord_open(), and writes it in another encoding: the same key, byte for byte as PKCS#8,
// and the same public part, plain or sealed as it was. *out is malloc'ed as that of keyrecord_encode(). KEYRECORD_OK with *out NULL: the
// record stays as it is, because it has the encoding already (*whole NULL), or for the reason in *whole, a static text.
enum keyrecord_status keyrecord_recode(const char *name, const uint8_t *value, size_t len,
                                       const struct seal_key *master, enum keyrecord_encoding encoding,
                                       uint8_t **out, size_t *out_len, const char **whole);

// Opens a record, with all the checks of keyrecord_open(), by `master`, which must accept `fresh` too (seal_key_accept()), and seals the
// same key and public part in the same encoding under `fresh`. *out as in keyrecord_recode(): NULL when it is under `fresh` already
// (*whole NULL), or is not sealed (*whole says so).
enum keyrecord_status keyrecord_rekey(const char *name, const uint8_t *value, size_t len,
                                      const struct seal_key *master, const struct seal_key *fresh,
                                      uint8_t **out, size_t *out_len, const char **whole);

// The value of an alias: writes "MKA1" + name to out.
#define KEYRECORD_ALIAS_VALUE_LEN (4 + KEYRECORD_NAME_LEN)
void keyrecord_encode_alias(const char *name, uint8_t out[static KEYRECORD_ALIAS_VALUE_LEN]);
// KEYRECORD_IS_ALIAS and *name filled when the value is an alias, else KEYRECORD_OK.
enum keyrecord_status keyrecord_decode_alias(const uint8_t *value, size_t len,
                                             char name[static KEYRECORD_NAME_LEN + 1]);

// Reads the public part only; needs no master key. For values of the Java form: KEYRECORD_OK with cert_count
// 0, imported 0, sealed false (type and bits are read from the key itself). No secret stays in memory.
enum keyrecord_status keyrecord_read_info(const uint8_t *value, size_t len, struct keyrecord_info *info);

// When the last of a record's certificates expires, Unix seconds; 0: it has none, as records of the Java form. Looks at the
// public part only. KEYRECORD_OK or KEYRECORD_MALFORMED.
enum keyrecord_status keyrecord_last_not_after(const uint8_t *value, size_t len, uint64_t *not_after);

// 1 to 32 letters, digits, '-', '_' and '.'.
bool keyrecord_label_valid(const char *text, size_t len);

// The names and labels of a record, in a block for the caller to free; NULL when it has none, as records of the
// Java form. Looks at the public part only, which is checked when the record is opened. KEYRECORD_OK,
// KEYRECORD_MALFORMED or KEYRECORD_NO_MEMORY.
enum keyrecord_status keyrecord_read_traits(const uint8_t *value, size_t len,
                                            struct keyrecord_traits **traits);

// Opens a record: parses, unseals with master (may be NULL for plain ones), decodes and checks that the key
// is the one that `name` says (for a 44-character name; a 40-character one cannot be checked). Only RSA keys
// of 2048 to 8192 bits and P-256, P-384, P-521 keys are accepted. On KEYRECORD_OK *key belongs to the caller
// (EVP_PKEY_free). info may be NULL. Any thread.
enum keyrecord_status keyrecord_open(const char *name, const uint8_t *value, size_t len,
                                     const struct seal_key *master, EVP_PKEY **key,
                                     struct keyrecord_info *info);

// A key as keyrecord_open_key() gives it: PKCS#8 DER that has been read, or OpenSSL's form.
struct keyrecord_key {
    enum keyrecord_type type;
    unsigned bits;
    EVP_PKEY *pkey; // NULL: it is in `der`
    uint8_t *der;   // secret memory of der_len bytes; NULL: it is in `pkey`
    size_t der_len;
    struct rsa_der rsa; // the numbers in `der`
};

// keyrecord_open() without OpenSSL's decoding, which costs more than all else together: opens what keyrecord_open() opens and refuses the
// rest with the same statuses. An RSA key with two primes in strict DER comes as DER, all others in OpenSSL's form. What OpenSSL's
// decoding would check and this does not: nothing, since rsa_der_read() takes less than it does, and neither does arithmetic (n = p q). The
// caller clears *key after KEYRECORD_OK; it is empty otherwise. Any thread.
enum keyrecord_status keyrecord_open_key(const char *name, const uint8_t *value, size_t len,
                                         const struct seal_key *master, struct keyrecord_key *key);
// Frees what is in it and wipes it; an empty one is fine.
void keyrecord_key_clear(struct keyrecord_key *key);

// What a PKCS#8 structure (RFC 5208) that fills its bytes exactly says it holds: EVP_PKEY_RSA or EVP_PKEY_EC, else EVP_PKEY_NONE. The key in it is not
// looked at. Any thread; may leave errors in OpenSSL's queue.
int keyrecord_declared_type(const uint8_t *der, size_t len);

// OpenSSL's form of the PKCS#8 DER of a key. KEYRECORD_OK, and *key belongs to the caller; KEYRECORD_BAD_KEY; KEYRECORD_NO_MEMORY. Any thread.
enum keyrecord_status keyrecord_decode(const uint8_t *der, size_t len, EVP_PKEY **key);

// keyrecord_open(), giving PKCS#8 DER in secret memory (secmem_free() with *der_len).
enum keyrecord_status keyrecord_open_der(const char *name, const uint8_t *value, size_t len,
                                         const struct seal_key *master, uint8_t **der, size_t *der_len);

#endif
