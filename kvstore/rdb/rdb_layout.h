// What stands behind each first byte of a record in an RDB, written as text: one letter an item.
//
//   K  a string: the key, kept until the record ends         (  a length N, then what is in the brackets N times
//   V  a string: the value, kept                             d  a number as text, one byte of length before it
//   s  a string, stepped over                                i  16 bytes: the id of a stream's entry
//   l  a length; L: the same, kept apart                     m  module data: opcode and operand until opcode 0
//   1 4 8  so many bytes, a little-endian number
//
// So a type that a later Redis adds, if its strings are delimited as all others, is a line in a table.
#ifndef MEC_KVSTORE_RDB_LAYOUT_H
#define MEC_KVSTORE_RDB_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "kvstore/rdb/rdb_kind.h"

#define RDB_LAYOUT_DEPTH 3 // of brackets in one another, at most

struct rdb_layout {
    const char *items; // NULL: known, but nobody can tell where it ends
    bool is_value;     // of a key, of this kind
    enum rdb_kind kind;
};

// NULL: not known. Static, any thread.
const struct rdb_layout *rdb_layout_of(uint8_t first);

#endif
