// Where import finds keys that are no files: records of a Redis, by name. One thread.
#ifndef MEC_CERTS_SOURCE_H
#define MEC_CERTS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/passphrase.h"
#include "common/report.h"

struct source_record { // borrowed for the call
    const uint8_t *name;
    size_t name_len;
    const uint8_t *value;
    size_t len;
    const char *kind;    // what it is when it is no string: "a list", and has no value; NULL: a string
    uint64_t expires_ms; // since 1970; 0: never
    bool expired;
};
typedef bool (*source_take_fn)(void *arg, const struct source_record *record); // false: enough

struct source {
    // Gives every record, each once (or, of one that changes meanwhile, more often). False and *e set when not all could be had; what was taken is taken.
    bool (*each)(const struct source *source, source_take_fn take, void *arg, struct error *e);
    const char *from;                  // a file, or an address
    const char *ca, *cert, *key;       // of rediss://; NULL: the system's authorities, no certificate of ours
    const struct passphrase *password; // text NULL: the address's, if any
    uint64_t now_ms;
};

// An RDB file. from: its path.
bool source_rdb(const struct source *source, source_take_fn take, void *arg, struct error *e);
// A running Redis: "redis://[user[:password]@]host[:port][/db]", "rediss://..." (TLS), "unix:/path" (database 0). Values over a MiB are cut off there: they are no keys.
bool source_redis(const struct source *source, source_take_fn take, void *arg, struct error *e);

struct source_url { // parsed; of secrets, to be wiped
    bool tls, has_user, has_password;
    char host[256], port[8], path[108]; // path: of a Unix socket, else ""
    char user[256], password[512];
    unsigned db;
};
// False: *e says what is wrong without quoting the address, which may hold a password.
bool source_url_parse(const char *text, struct source_url *url, struct error *e);

#endif
