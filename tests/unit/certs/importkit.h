// A store, a folder to import from, master keys; what an import said, and what is in the store after it.
#ifndef IMPORTKIT_H
#define IMPORTKIT_H

#include <jansson.h>
#include <openssl/x509.h>

#include "certs/import.h"
#include "fixtures.h"

struct importkit {
    char folder[256], input[300], store_dir[300];
    char path[700]; // of the last importkit_in()
    struct seal_key *master, *other_master;
    uint64_t now;
};
extern struct importkit importkit;

// What an import said, one JSON object a line.
struct importkit_said {
    json_t *lines[400];
    size_t count;
    struct import_counts counts;
};

const char *importkit_in(const char *name);
struct store *importkit_open_store(void);
// cmocka's, for each test.
int importkit_setup(void **state);
int importkit_teardown(void **state);
struct import_options importkit_sealed_options(void);
struct importkit_said importkit_run_on(const char *what, struct import_options options);
void importkit_forget(struct importkit_said *said);
const char *importkit_field(const json_t *line, const char *name);
// The line about a file (the end of its path) with a result; NULL when there is none.
json_t *importkit_line_of(const struct importkit_said *said, const char *result, const char *file);
void importkit_expect_reason(const struct importkit_said *said, const char *result, const char *file,
                             const char *part);
void importkit_expect_counts(struct importkit_said *said, uint64_t imported, uint64_t unchanged,
                             uint64_t skipped, uint64_t refused);
void importkit_expect(const char *what, struct import_options options, uint64_t imported, uint64_t unchanged,
                      uint64_t skipped, uint64_t refused);
// The key under a name of the store, after at most one alias.
void importkit_expect_in_store(const char *name, EVP_PKEY *key, const struct seal_key *with,
                               uint64_t want_expire_ms);
void importkit_expect_whole_store(const struct seal_key *with, uint64_t keys, uint64_t aliases);
X509 *importkit_write_pair(const char *base, EVP_PKEY *key, int days);
void importkit_write_p12(const char *file, EVP_PKEY *key, X509 *cert, const char *pass);
void importkit_write_der(const char *file, EVP_PKEY *key, X509 *cert);

#endif
