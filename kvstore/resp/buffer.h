// The bytes of a connection that are not executed yet: contiguous, as the parser wants them. Grows with what
// came, wiped whenever memory is given back (values may be secrets), holds nothing while it is empty.
#ifndef MEC_KVSTORE_RESP_BUFFER_H
#define MEC_KVSTORE_RESP_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resp_buffer { // zeroed: empty
    uint8_t *memory;
    size_t cap;
    size_t start, end; // the bytes are memory[start .. end)
};

// Adds a copy at the end. wanted: how long the contents will be at least, when that is known: where
// doubling would give more than that, growth stops there (but is never so small that many pieces would mean
// many copies). False without memory.
bool resp_buffer_add(struct resp_buffer *buffer, const void *data, size_t more, size_t wanted);

// The contents; NULL when empty. Valid until the next add.
const uint8_t *resp_buffer_data(const struct resp_buffer *buffer);
size_t resp_buffer_length(const struct resp_buffer *buffer);

// Drops bytes at the start; moves nothing, so slices of what is dropped stay valid until the next add or
// compact.
void resp_buffer_drop(struct resp_buffer *buffer, size_t len);

// Gives memory back when nothing is held.
void resp_buffer_compact(struct resp_buffer *buffer);
void resp_buffer_deinit(struct resp_buffer *buffer);

#endif
