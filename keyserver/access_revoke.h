// Certificates that are good no longer: CRLs, and public keys that are revoked whoever certifies them.
#ifndef MEC_KEYSERVER_ACCESS_REVOKE_H
#define MEC_KEYSERVER_ACCESS_REVOKE_H

#include <stdbool.h>
#include <stddef.h>
#include <openssl/x509.h>

#include "common/keyrecord.h"
#include "common/report.h"

struct access_revocations { // zeroed: none
    STACK_OF(X509_CRL) * crls;
    char (*spkis)[KEYRECORD_NAME_LEN + 1]; // Base64 of SHA-256, sorted by access_revoke_sort()
    size_t spki_count;
};

// Adds the CRLs of a file, PEM or DER. Each must be signed by one of the CAs, and be neither a delta nor an indirect CRL. One
// that is out of date is taken and logged. False and *e set ("FILE: found ..., expected ...").
bool access_revoke_add_crls(struct access_revocations *r, const char *path, STACK_OF(X509) * cas,
                            struct error *e);
// Adds a public key. False without memory.
bool access_revoke_add_spki(struct access_revocations *r, const char spki[static KEYRECORD_NAME_LEN + 1]);
void access_revoke_sort(struct access_revocations *r);
void access_revoke_release(struct access_revocations *r);

size_t access_revoke_count(const struct access_revocations *r);
// Whether one of the certificates is listed. Any thread.
bool access_revoke_has(const struct access_revocations *r, X509 *cert);

#endif
