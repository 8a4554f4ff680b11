// Takes an RDB's items (numbers, lengths, strings) out of pieces of any size. Not public.
//
// An item that is not whole yet leaves RDB_STEP_MORE and what came of it is kept here; the same call with the next
// piece goes on with it. One item is taken at a time. After RDB_STEP_FAILED `status` and `error` say why.
#ifndef MEC_KVSTORE_RDB_INPUT_H
#define MEC_KVSTORE_RDB_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvstore/rdb/rdb_format.h"
#include "kvstore/rdb/rdb_reader.h"

enum rdb_step { RDB_STEP_DONE, RDB_STEP_MORE, RDB_STEP_FAILED };

struct rdb_buffer { // grows, wiped when it does and when it is given back
    uint8_t *data;
    size_t len, cap;
};
// Room for `more` bytes behind len, at most `final` in all (or as few as needed). False: no memory.
bool rdb_buffer_reserve(struct rdb_buffer *buffer, size_t more, size_t final);
void rdb_buffer_free(struct rdb_buffer *buffer);
// Empties it; what one large value needed is not kept for the next.
void rdb_buffer_clear(struct rdb_buffer *buffer);

struct rdb_slice { // bytes of the piece or of a buffer
    const uint8_t *data;
    size_t len;
};

enum rdb_string_stage { RDB_AT_HEAD, RDB_AT_INT, RDB_AT_PACKED, RDB_AT_PLAIN, RDB_AT_BODY };

struct rdb_input {
    size_t max_string;
    // The piece.
    const uint8_t *at, *end;
    uint64_t offset; // of `at`
    // Of the item being taken.
    uint64_t item_offset;
    uint8_t gathered[256];
    size_t gathered_len;
    // Of the string being taken.
    enum rdb_string_stage stage;
    enum rdb_form form;
    bool packed;        // LZF
    uint64_t body_len;  // as it stands in the file
    uint64_t body_left; // of it
    uint64_t plain_len; // once unpacked
    struct rdb_buffer body, plain;
    // What went wrong.
    enum rdb_status status;
    char error[200];
};

// Sets status and error: "rdb: offset N: what: ..."; the first stays. Returns RDB_STEP_FAILED.
enum rdb_step rdb_input_fail(struct rdb_input *in, enum rdb_status status, uint64_t offset,
                             const char *format, ...) __attribute__((format(printf, 4, 5)));

// `n` bytes (256 at most), in in->gathered until the next item.
enum rdb_step rdb_input_bytes(struct rdb_input *in, size_t n);
// `what`, for errors: "the database's number".
enum rdb_step rdb_input_length(struct rdb_input *in, const char *what, uint64_t *value);
// A score of old sorted sets: a byte n, and n bytes of text; 253 to 255 are NaN and the infinities, without text.
enum rdb_step rdb_input_double(struct rdb_input *in);
// The slice is good until the next item is taken or the piece is gone, whichever is first.
enum rdb_step rdb_input_string(struct rdb_input *in, const char *what, struct rdb_slice *string);
enum rdb_step rdb_input_skip_string(struct rdb_input *in, const char *what);

void rdb_input_deinit(struct rdb_input *in);

#endif
