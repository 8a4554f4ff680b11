// Writes a Redis database file (RDB version 10: Redis 7.0 and later, Valkey) with strings in it. Knows no
// files, no sockets and no store: bytes go to a callback, in pieces of about 256 KiB (a large value is a piece of its own).
//
//   create ─▶ aux... ─▶ ( select ─▶ put... )... ─▶ finish ─▶ destroy
//
// Encodings are Redis's own: numbers that fit 32 bits become integers; with `compress`, strings over 20 bytes
// are compressed by LZF when that saves at least 4 bytes (sealed values do not compress: leave it off for
// them). Without compress the bytes are those that Redis 7.0 would write; compressed ones may differ from its.
// Compressing takes about 300 KiB of stack, and memory for a second copy of the value (without it, the value is
// written as it is).
//
// Errors are final: the first one, of the callback or our own, is what every later call returns. A writer belongs to
// one thread at a time. Its buffer is wiped: values may be secrets.
#ifndef MEC_KVSTORE_RDB_WRITER_H
#define MEC_KVSTORE_RDB_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rdb_writer_options {
    // Takes all of the bytes, which are gone when it returns. 0, or an errno that is passed on. Not NULL.
    // Never called by rdb_writer_create(). For a non-blocking socket: append to a queue, and put no more keys
    // while that is long; one put gives at most two buffers and its own value.
    int (*write)(void *arg, const void *bytes, size_t len);
    void *arg;
    const char *redis_version; // "redis-ver"; NULL: "7.0.15"
    uint64_t now_s;            // "ctime"; 0: now
    uint64_t used_memory;      // "used-mem", bytes
    bool compress;
};

struct rdb_writer;

// Writes the header and the facts of the options (redis-ver, redis-bits, ctime, used-mem) to its buffer.
// redis_version is copied. NULL: no memory.
struct rdb_writer *rdb_writer_create(const struct rdb_writer_options *options);
// NULL is fine. What was not finished is not written.
void rdb_writer_destroy(struct rdb_writer *writer);

// One more fact ("repl-stream-db", "repl-id", "repl-offset", "aof-base", ...). Before the first select or put;
// Redis ignores those it does not know. EINVAL: too late.
int rdb_writer_aux(struct rdb_writer *writer, const char *name, const char *value);

// The keys that follow are of this database, about `keys` of them, `expiring` with an expiry: hints by which
// Redis sizes its tables (wrong ones cost it time, nothing else).
int rdb_writer_select(struct rdb_writer *writer, uint64_t db, uint64_t keys, uint64_t expiring);

// One key. expires_ms: since 1970, 0: never. Without a select before, it is of database 0. Whether the key came
// before is not looked at (Redis refuses a file that has a key twice). EINVAL: after finish; an expiry over 2^63-1.
int rdb_writer_put(struct rdb_writer *writer, const void *key, size_t key_len, const void *value,
                   size_t value_len, uint64_t expires_ms);

// The end and the checksum, all of it given to the callback. EINVAL: twice.
int rdb_writer_finish(struct rdb_writer *writer);

// Bytes given to the callback or still in the buffer: after finish, the size of the file.
uint64_t rdb_writer_bytes(const struct rdb_writer *writer);

#endif
