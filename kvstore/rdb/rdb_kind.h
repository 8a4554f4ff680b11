// What kinds of values a Redis database holds. We keep strings; the others are told apart, counted and skipped.
#ifndef MEC_KVSTORE_RDB_KIND_H
#define MEC_KVSTORE_RDB_KIND_H

#include <stddef.h>
#include <stdint.h>

enum rdb_kind {
    RDB_STRING,
    RDB_LIST,
    RDB_SET,
    RDB_ZSET,
    RDB_HASH,
    RDB_STREAM,
    RDB_MODULE, // a value of a module's own type: JSON, Bloom filters, ...
    RDB_KINDS,  // how many there are
};

// "string", "sorted set"; `count` other than 1: "strings", "sorted sets". Static text, any thread.
const char *rdb_kind_name(enum rdb_kind kind, uint64_t count);

// Writes what there is besides strings, by number: "12 hashes, 3 lists"; "" when there are none. Cut off, and
// always ended, at `size`; 160 bytes suffice. Returns buf.
char *rdb_kind_others(const uint64_t counts[RDB_KINDS], char *buf, size_t size);

#endif
