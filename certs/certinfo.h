// What a certificate says, in the form that key records keep, and times as people read them. Pure functions,
// any thread.
#ifndef MEC_CERTS_CERTINFO_H
#define MEC_CERTS_CERTINFO_H

#include <stdbool.h>
#include <stdint.h>
#include <openssl/x509.h>

#include "common/keyrecord.h"

struct certinfo {
    struct keyrecord_cert entry;
    char spki[KEYRECORD_NAME_LEN + 1]; // the store name of its key; "" when that is of a kind we do not serve
    bool usual_form; // the certificate's own SubjectPublicKeyInfo has that fingerprint, as edges compute it
    bool ca;         // may sign other certificates
};

// False when the certificate has no readable key or date.
bool certinfo_read(X509 *cert, struct certinfo *info);

// A certificate's first SAN DNS name, else SAN IP address, else subject CN, else "-"; all but printable
// characters replaced by '?' (the name ends up on terminals), cut to 255 bytes.
void certinfo_name(X509 *cert, char name[static 256]);

#define CERTINFO_TIME_LEN 24
// Unix seconds as 2026-11-22T20:30:48Z; returns buf.
char *certinfo_time(uint64_t seconds, char buf[static CERTINFO_TIME_LEN]);
// The date alone.
char *certinfo_date(uint64_t seconds, char buf[static CERTINFO_TIME_LEN]);

#endif
