// Import: files and folders into the store.
//
//   pass 1  certificates of all files           ──▶ pairing
//   pass 2  keys, one file after the other: check, pair ──▶ batch ──▶ store, flush ──▶ one line for each key
//
// A key that was reported as imported is durable. A bad file is refused and the rest goes on. One thread.
#ifndef MEC_CERTS_IMPORT_H
#define MEC_CERTS_IMPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "certs/files.h"
#include "common/passphrase.h"
#include "certs/source.h"
#include "certs/store.h"
#include "common/config.h"
#include "common/keyrecord.h"
#include "common/seal.h"

struct import_options {
    const struct seal_key *master; // NULL: plain records
    struct passphrase passphrase;
    enum keyrecord_encoding encoding; // of keys that are new; others keep theirs
    const struct config_list *labels; // valid ones, at most KEYRECORD_MAX_LABELS; NULL or none: keys keep theirs
    bool expire;                      // keys leave the store when their last certificate ends
    bool allow_expired;               // take keys whose certificates have ended
    bool force;                       // replace records that this master key does not open
    bool json;
    uint64_t now;                // Unix seconds
    const struct source *source; // further keys, behind those of the files; NULL: none
    FILE *out;                   // one line per key or certificate, then the summary
};

struct import_counts {
    uint64_t imported;  // keys stored anew or changed
    uint64_t unchanged; // keys that were there just so
    uint64_t skipped;   // certificates without a key, and files in folders that hold neither
    uint64_t refused;   // keys, certificates and files
};

// False when the import could not be carried through at all (no memory, output not writable), with *e set;
// refusals are counted.
bool import_run(struct store *store, const struct input_files *files, const struct import_options *options,
                struct import_counts *counts, struct error *e);

#endif
