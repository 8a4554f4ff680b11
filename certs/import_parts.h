// What the files of import share among themselves. Nobody else includes this.
#ifndef MEC_CERTS_IMPORT_PARTS_H
#define MEC_CERTS_IMPORT_PARTS_H

#include <openssl/evp.h>

#include "certs/import.h"
#include "certs/pairing.h"
#include "common/keyrecord.h"

// ---- report: one line for each outcome

struct import_report {
    const struct import_options *options;
    struct import_counts counts;
    bool broken; // the output cannot be written
};

enum import_result { IMPORT_IMPORTED, IMPORT_UNCHANGED, IMPORT_SKIPPED, IMPORT_REFUSED };

// A file, or an object in it that never came as far as the store.
void import_tell(struct import_report *report, enum import_result result, const char *file, const char *why);
// A key that is in the store. note: NULL or a remark about it.
void import_tell_key(struct import_report *report, enum import_result result, const char *file,
                     const char *name, const struct keyrecord_info *info, uint64_t expire_ms,
                     const char *note);
void import_warn(struct import_report *report, const char *file, const char *what);
void import_summary(struct import_report *report);

// ---- batch: keys on their way into the store

#define IMPORT_BATCH 64 // keys; each holds up to 16 KiB of secret memory while it waits

struct import_candidate {
    EVP_PKEY *key;
    const char *file; // borrowed
    char name[KEYRECORD_NAME_LEN + 1];
    struct keyrecord_info info; // certificates to be stored; then what is in the store
    uint64_t expire_ms;
    bool changed;
    char note[200];
    struct error outcome; // empty: fine so far
};

struct import_batch {
    struct store *store;
    struct import_report *report;
    struct import_candidate *items; // IMPORT_BATCH of them
    size_t count;
};

bool import_batch_init(struct import_batch *batch, struct store *store, struct import_report *report);
void import_batch_deinit(struct import_batch *batch);
// Adds a key (taking a reference) with the certificates in info; runs the batch when it is full or has the
// key already.
void import_batch_add(struct import_batch *batch, EVP_PKEY *key, const char *name,
                      const struct keyrecord_info *info, const char *file);
// Stores what waits, makes it durable and reports it.
void import_batch_run(struct import_batch *batch);

// ---- one run

struct import {
    const struct import_options *options;
    struct pairing pairing;
    struct import_report report;
    struct import_batch batch;
    const char *file; // the one being read
    unsigned found;   // objects in it, whole or not
    bool out_of_memory;
    struct keyrecord_info info;       // of the key being paired
    const struct keyrecord_cert *own; // the certificate that the record being read is named by; NULL: none
};

// Refuses what is being read.
void import_refuse(struct import *im, const char *why);
// Checks a key of what is being read, pairs it, and hands it to the batch. arg: the import.
void import_take_key(void *arg, EVP_PKEY *key);
// import_source.c: keys of records. False and *e set when not all records could be read; those before are in the store.
bool import_take_source(struct import *im, const struct source *source, struct error *e);

#endif
