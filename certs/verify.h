// Checks a whole store: every record opens under the master key, decodes, and holds the key that its name
// says; every alias leads to a record that knows its certificate, and every certificate has its alias. One
// thread.
#ifndef MEC_CERTS_VERIFY_H
#define MEC_CERTS_VERIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "certs/store.h"
#include "common/seal.h"

struct verify_options {
    const struct seal_key *master; // NULL: sealed keys are counted, not opened
    bool deep;                     // also sign with every key, and check that its numbers belong together
    bool json;
    FILE *out; // a line for each fault
};

struct verify_counts {
    uint64_t keys;     // records that are whole, as far as they could be looked into
    uint64_t compact;  // of these: RSA keys kept as their primes
    uint64_t unopened; // of the keys: sealed, without a master key to open them
    uint64_t aliases;  // that lead to their key
    uint64_t others;   // keys of the store that are nothing of ours
    uint64_t faults;
};

// False with *e set when the store could not be walked to its end.
bool verify_store(struct store *store, const struct verify_options *options, struct verify_counts *counts,
                  struct error *e);

#endif
