// The keys of a store in another encoding, or under another master key: each is replaced by one put of the same key, so that a crash loses none, and a run that was
// broken off is taken up by running it again. One thread.
#ifndef MEC_CERTS_RECODE_H
#define MEC_CERTS_RECODE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "certs/names.h"
#include "certs/store.h"
#include "common/keyrecord.h"
#include "common/seal.h"

struct recode_options {
    const struct seal_key *master; // NULL: sealed keys are faults
    enum keyrecord_encoding encoding;
    const struct seal_key *fresh; // not NULL: seal under this key, which `master` accepts; encodings stay
    bool json;
    FILE *out; // a line for each key, when it is durable, and faults
};

#define RECODE_REASONS 12 // more than there are

struct recode_counts {
    uint64_t recoded;                   // durable in the new encoding, or under the new key
    uint64_t unchanged;                 // were so already
    uint64_t whole;                     // cannot be: no compact form, or not sealed
    uint64_t faults;                    // do not open, or could not be written
    uint64_t bytes_before, bytes_after; // of the records that were recoded
    struct {
        const char *why;
        uint64_t count;
    } reasons[RECODE_REASONS]; // why keys stayed whole; ends with a NULL when there are fewer
};

// Recodes what stands under these names; aliases are passed over. False with *e set when the output could not be written or there is no
// memory; what was reported is durable all the same.
bool recode_names(struct store *store, const struct names *names, const struct recode_options *options,
                  struct recode_counts *counts, struct error *e);

#endif
