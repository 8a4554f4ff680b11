// Reads a Redis database file (RDB): bytes in, keys out. Knows no files, no sockets and no store.
//
//   "REDIS0010"  [FA name value]...  FE db FB n n  [FC expiry] type key value ...  FF  checksum (8 bytes)
//
// The caller feeds whatever pieces it has, of any size, from a file or from a non-blocking socket; the reader
// calls back for each key when its last byte has come. What is called back is the same however the bytes are cut.
//
// Versions 1 to 12 are read: Redis up to 8.0, Valkey up to 8. Strings are handed over, in every encoding
// (plain, integers, LZF). Values of other kinds (lists, sets, sorted sets, hashes, streams, values of modules)
// are counted and stepped over; functions, module data and hints as well. What cannot be stepped over is an
// error that says so: values of modules from before Redis 4.0 (type 6) and types that are not known.
//
// Memory: one key and one value at a time, each at most max_value_bytes; nothing of what is stepped over. An
// announced length costs nothing until bytes come: buffers grow with what came. A compressed value takes its
// compressed and its plain length at once. Buffers are wiped when they are grown, given back or destroyed:
// values may be secrets. Whoever feeds wipes its own pieces.
//
// Caveats: keys are handed over before the checksum at the end has been seen. Whoever needs all or nothing
// waits for RDB_DONE before making them visible. A key may come twice in a damaged or made-up file.
//
// A reader belongs to one thread at a time.
#ifndef MEC_KVSTORE_RDB_READER_H
#define MEC_KVSTORE_RDB_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvstore/rdb/rdb_kind.h"

enum rdb_status {
    RDB_MORE,         // all was taken, the end has not come yet
    RDB_DONE,         // the end, and its checksum, have been read
    RDB_BAD_FORMAT,   // the bytes are no RDB
    RDB_BAD_CHECKSUM, // read to the end, but not what was written
    RDB_UNSUPPORTED,  // a version or a type that this reader does not know
    RDB_TOO_LARGE,    // a key or a string is larger than max_value_bytes
    RDB_TRUNCATED,    // the input ended before the end (rdb_reader_end, rdb_reader_read_fd)
    RDB_IO,           // rdb_reader_read_fd: a read failed
    RDB_NO_MEMORY,
    RDB_STOPPED, // a callback returned false
};

// What is called back with. The bytes are the reader's, or lie in the piece that is being fed: they are gone
// when the callback returns.
struct rdb_entry {
    uint64_t db; // 0 unless the file selects another
    const uint8_t *key;
    size_t key_len;
    enum rdb_kind kind;
    const uint8_t *value; // RDB_STRING; else NULL
    size_t value_len;
    uint64_t expires_ms; // since 1970; 0: never
    bool expired;        // expires_ms is not after options.now_ms
};

struct rdb_reader_options {
    // A key with a string. False: stop, the reader is at RDB_STOPPED for good. Not NULL.
    bool (*on_string)(void *arg, const struct rdb_entry *entry);
    // A key with a value of another kind, after the value was stepped over. May be NULL: only counted.
    bool (*on_other)(void *arg, const struct rdb_entry *entry);
    // A fact about the file: "redis-ver" "7.0.15", "repl-id" ... May be NULL.
    bool (*on_aux)(void *arg, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len);
    void *arg;
    size_t max_value_bytes; // of a key, of a string; 0: 512 MiB, as much as Redis keeps
    uint64_t now_ms;        // since 1970, what `expired` is measured by; 0: the time of rdb_reader_create()
};

struct rdb_counts {
    unsigned version;         // of the file: 10 for Redis 7.0; 0: not read yet
    uint64_t keys[RDB_KINDS]; // by kind
    uint64_t expired;         // of all of them
    uint64_t announced;       // keys that the file said to hold, as far as it was read: for showing progress
    bool checked;             // a checksum was there and right (files may go without)
};

struct rdb_reader;

// The options are copied. NULL: no memory.
struct rdb_reader *rdb_reader_create(const struct rdb_reader_options *options);
// NULL is fine.
void rdb_reader_destroy(struct rdb_reader *reader);

// Takes the next `len` bytes. RDB_MORE: all were taken. RDB_DONE: *used of them were the file's, what follows
// is somebody else's (the mark after the RDB of a diskless full sync, an append-only file after its
// preamble). Anything else is final: every later call gives the same, nothing is taken. `used` may be NULL. Callbacks
// run inside; they may not feed or destroy the reader.
enum rdb_status rdb_reader_feed(struct rdb_reader *reader, const void *bytes, size_t len, size_t *used);

// There are no more bytes. RDB_DONE, or what went wrong: RDB_TRUNCATED when nothing else had.
enum rdb_status rdb_reader_end(struct rdb_reader *reader);

// Reads a blocking descriptor from where it is to the end of the file. What stands behind the end of the RDB is left
// alone (but may have been read). The descriptor stays the caller's.
enum rdb_status rdb_reader_read_fd(struct rdb_reader *reader, int fd);

// What went wrong and where, "rdb: offset 1234: length of a string: found ..., expected ..."; "" when nothing
// has. The offset counts from the first byte fed. Holds no bytes of keys and values. The reader's, unchanged after
// the first error.
const char *rdb_reader_error(const struct rdb_reader *reader);

// What has been read so far. The reader's.
const struct rdb_counts *rdb_reader_counts(const struct rdb_reader *reader);
// Bytes taken so far.
uint64_t rdb_reader_offset(const struct rdb_reader *reader);

#endif
