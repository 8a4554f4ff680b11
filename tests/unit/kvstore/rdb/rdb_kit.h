// Common to the tests of RDB files: bytes put together by hand, and what a reader gives as text.
#ifndef MEC_TESTS_RDB_KIT_H
#define MEC_TESTS_RDB_KIT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvstore/rdb/rdb_reader.h"

struct bytes {
    uint8_t *data;
    size_t len, cap;
};
void bytes_add(struct bytes *b, const void *data, size_t len);
void bytes_text(struct bytes *b, const char *text); // without its NUL
void bytes_byte(struct bytes *b, unsigned byte);
void bytes_string(struct bytes *b, const char *text); // with a length, plain
void bytes_le(struct bytes *b, uint64_t value, unsigned bytes);
void bytes_free(struct bytes *b);
// For rdb_writer: arg is a struct bytes.
int bytes_write(void *arg, const void *data, size_t len);

// "REDIS00NN".
void rdb_begin(struct bytes *b, unsigned version);
// The end's mark and a right checksum.
void rdb_finish(struct bytes *b);

struct bytes fixture(const char *name);

#define KIT_NOW 2000000000000u // what expiries are measured by: 2033, after the fixtures were made

// What reading gives, one line a callback: `aux redis-ver=7.0.15`, `0 string a=hello @1700 expired`, `0 hash h`;
// then a line with the status and one with the error when there is one. Long and binary values as length and checksum.
struct seen {
    struct bytes text;
    uint64_t stop_after; // callbacks; 0: never
    uint64_t callbacks;
};
// Reads b in pieces that end at `cut` and, step bytes each, after it. Each piece lies in memory of just its size.
// `limit`: max_value_bytes. What is returned is to be freed.
char *read_in_pieces(const struct bytes *b, size_t cut, size_t step, size_t limit, enum rdb_status *status);
char *read_whole(const struct bytes *b, enum rdb_status *status);
struct rdb_reader *kit_reader(struct seen *seen, size_t limit);

// Does `text` hold the line?
bool has_line(const char *text, const char *line);

#endif
