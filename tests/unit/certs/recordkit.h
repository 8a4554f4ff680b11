// Keys of each kind that is served, their records, and two master keys.
#ifndef RECORDKIT_H
#define RECORDKIT_H

#include "common/keyrecord.h"
#include "fixtures.h"

struct recordkit {
    char folder[256];
    struct seal_key *master, *other_master;
};
extern struct recordkit recordkit;

struct recordkit_kind {
    EVP_PKEY *key;
    enum keyrecord_type type;
    unsigned bits;
};

int recordkit_setup(void **state);
int recordkit_teardown(void **state);
void recordkit_served_kinds(struct recordkit_kind kinds[static 4]);
struct keyrecord_info recordkit_two_certs(void);
// The record of a key in the form asked for; malloc'ed.
uint8_t *recordkit_record_of(EVP_PKEY *key, const struct seal_key *seal_with, char name[static 45],
                             size_t *len);
// The status of keyrecord_open(), after checking that keyrecord_open_key() does the same.
enum keyrecord_status recordkit_try_open(const char *name, const uint8_t *value, size_t len,
                                         const struct seal_key *m);

#endif
