// The names in a store: all of them in order, and the one that somebody means. One thread.
#ifndef MEC_CERTS_NAMES_H
#define MEC_CERTS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/store.h"
#include "common/keyrecord.h"

struct names {
    char (*items)[KEYRECORD_NAME_LEN + 1]; // fingerprints of 44 or 40 characters, sorted, each once
    size_t count, room;
    uint64_t others; // keys of the store that are no fingerprints
    bool out_of_memory;
};

// False with *e set. Release in either case.
bool names_collect(struct store *store, struct names *names, struct error *e);
void names_release(struct names *names);
// Adds one; false without memory.
bool names_add(struct names *names, const char *name);

// "A9993E36...": the alias under which a certificate is found.
void names_alias(const uint8_t sha1[static 20], char alias[static KEYRECORD_ALIAS_LEN + 1]);

// A record and what it is called in the store.
struct record {
    char name[KEYRECORD_NAME_LEN + 1];
    uint8_t *value; // wiped and freed by record_release()
    size_t len;
    uint64_t expire_ms;
};
void record_release(struct record *record);

// Reads what stands under a name, following an alias once. STORE_NOT_FOUND: record->name is where it led to.
enum store_status record_get(struct store *store, const char *name, struct record *record, struct error *e);

// What a user wrote, as a name in the store: a fingerprint in any form, the path of a certificate (or of a
// file that holds one), or, with by_cert_name, the name of a certificate that one key alone has. False with
// *e set. The record need not exist.
bool names_resolve(struct store *store, const char *text, bool by_cert_name,
                   char name[static KEYRECORD_NAME_LEN + 1], struct error *e);

// Fills *aliases with the names (40 characters) of all aliases that point to a record; for records that
// cannot tell by themselves.
bool names_pointing_to(struct store *store, const char *name, struct names *aliases, struct error *e);

#endif
