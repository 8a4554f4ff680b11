// The certificates of one import, found by the key they certify. Filled in a first pass over all files, so
// that the keys can then be taken one at a time, in any order, and none has to wait in memory. A million
// certificates fit. One thread.
#ifndef MEC_CERTS_PAIRING_H
#define MEC_CERTS_PAIRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/certinfo.h"

struct paired_cert {
    struct paired_cert *next; // with the same key, in the order of the files
    char *name;
    const char *file; // borrowed from the caller of pairing_add()
    uint64_t not_after;
    uint8_t sha1[20];
    bool usual_form, ca;
    bool told; // its fate has been reported: it went with a key, or was refused
};

struct pairing {
    struct paired_cert **all; // in the order they were added
    size_t count, room;
    struct table *by_spki, *by_sha1, *by_place;
};

bool pairing_init(struct pairing *pairing); // false without memory; deinit in either case
void pairing_deinit(struct pairing *pairing);

// Adds a certificate found in a file (whose path must outlive the pairing); one that is there already is left
// out.
bool pairing_add(struct pairing *pairing, const struct certinfo *info, const char *file);

// The certificates of a key; NULL when there are none.
struct paired_cert *pairing_find(const struct pairing *pairing, const char *spki);

// A certificate that somebody meant to go with the key in `file`: one in the same file, or, for site.key, one
// in site.pem, site.crt and the like. NULL when there is none.
const struct paired_cert *pairing_neighbour(const struct pairing *pairing, const char *file);

#endif
