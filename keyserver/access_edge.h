// Who an edge is, as its certificate says: every SAN URI and DNS name, the subject, the fingerprint of its public
// key. Pure: no policy, no sockets.
#ifndef MEC_KEYSERVER_ACCESS_EDGE_H
#define MEC_KEYSERVER_ACCESS_EDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/x509.h>

#include "common/keyrecord.h"

#define ACCESS_EDGE_MAX 8192 // bytes of identities

enum access_identity { ACCESS_URI, ACCESS_DNS, ACCESS_SUBJECT, ACCESS_SPKI, ACCESS_IDENTITIES };

struct access_edge {
    bool unusable;  // an identity did not fit or is not printable: no rule may take this for an edge
    bool migration; // it has no certificate: a client of the migration listener (access_migration.h)
    unsigned count;
    size_t len;
    char text[ACCESS_EDGE_MAX]; // per identity: its kind as a byte, then the text with its NUL
};

// The words before the colon in a policy: "uri", "dns", "subject", "spki".
const char *access_identity_word(enum access_identity kind);

// Adds an identity: len bytes of printable ASCII, not empty; DNS names are put in lower case. Else the edge becomes
// unusable, and false is returned.
bool access_edge_add(struct access_edge *edge, enum access_identity kind, const char *text, size_t len);

// All identities of a certificate: DNS names in lower case, the subject by RFC 4514 (none when empty), the SHA-256 of
// the SubjectPublicKeyInfo in Base64. Fills *edge anew.
void access_edge_from_cert(struct access_edge *edge, const X509 *cert);

// The SHA-256 of a certificate's SubjectPublicKeyInfo in Base64, whatever kind of key it is (RFC 7469 section 2.4).
bool access_edge_spki(const X509 *cert, char spki[static KEYRECORD_NAME_LEN + 1]);

// Visits the identities: starts with *at 0; false when there is none left.
bool access_edge_next(const struct access_edge *edge, size_t *at, enum access_identity *kind,
                      const char **text);

// A number for the edge's first identity, as equal as that is.
uint64_t access_edge_id(const struct access_edge *edge);

#endif
