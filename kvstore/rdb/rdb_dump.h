// The payloads of DUMP and RESTORE: one value as in an RDB, and what it was written by.
//
//   ┌──────┬───────────────────┬───────────────┬──────────────────────────────────┐
//   │ type │ value             │ version 2, LE │ CRC-64 of all before it, 8, LE   │
//   └──────┴───────────────────┴───────────────┴──────────────────────────────────┘
//
// Pure functions, any thread. Memory that they allocate is the caller's to free (and, if secret, to wipe);
// their own is wiped.
#ifndef MEC_KVSTORE_RDB_DUMP_H
#define MEC_KVSTORE_RDB_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvstore/rdb/rdb_kind.h"

enum rdb_dump_status {
    RDB_DUMP_OK,
    RDB_DUMP_BAD_VERSION,  // shorter than its footer, or of a newer version than 12
    RDB_DUMP_BAD_CHECKSUM, // Redis: "ERR DUMP payload version or checksum are wrong", for both
    RDB_DUMP_OTHER_KIND,   // sound as far as one sees, but no string
    RDB_DUMP_BAD_FORMAT,   // Redis: "ERR Bad data format"
    RDB_DUMP_TOO_LARGE,    // the string is longer than max_bytes
    RDB_DUMP_NO_MEMORY,
};

// The payload of a string, as Redis 7.0 makes it (version 10), byte by byte unless it is compressed. compress: as
// Redis does by default (rdbcompression yes), strings over 20 bytes; takes about 300 KiB of stack. RDB_DUMP_OK: *payload (malloc'ed, now the caller's) and *payload_len are set;
// RDB_DUMP_NO_MEMORY: unchanged.
enum rdb_dump_status rdb_dump_make(const void *value, size_t len, bool compress, uint8_t **payload,
                                   size_t *payload_len);

// The string in a payload of Redis 2.6 to 8.0 or Valkey up to 8. max_bytes 0: 512 MiB. RDB_DUMP_OK: *value
// (malloc'ed, never NULL, now the caller's) and *value_len are set. Otherwise unchanged, and for
// RDB_DUMP_OTHER_KIND *kind is set; kind may be NULL.
enum rdb_dump_status rdb_dump_read(const void *payload, size_t len, size_t max_bytes, uint8_t **value,
                                   size_t *value_len, enum rdb_kind *kind);

// "the checksum is wrong". Static text.
const char *rdb_dump_status_text(enum rdb_dump_status status);

#endif
