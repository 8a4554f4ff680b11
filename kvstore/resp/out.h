// Bytes on their way out: a chain of blocks, added to at the end, taken from the front by writev(). Large pieces get a block of their own size, small ones share blocks.
//
//   block   [ $4096\r\n \r\n$4096\r\n \r\n ... free ]
//                     ▲              ▲
//                   view           view       values that lie in the store's memory, between bytes of the block
//
// A value may be lent instead of copied: its view is pinned in the store until its block has left, is cleared or rewound, or resp_out_own() makes the bytes the chain's
// own. Pins hold up the giving back of memory, so who lends calls resp_out_own() before it waits for anything.
//
// One owner at a time.
#ifndef MEC_KVSTORE_RESP_OUT_H
#define MEC_KVSTORE_RESP_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "kvstore/kv.h"

#define RESP_BLOCK_BYTES (16u * 1024 - 64) // of a shared block, so that malloc's head fits beside it
#define RESP_BLOCK_VIEWS 16u
#define RESP_LEND_LEAST  1024u // bytes; a copy of less costs less than a piece more

struct resp_lent {
    struct kv_store *store;
    struct kv_view view;
    size_t at; // it comes behind so many bytes of the block's own
};

struct resp_block {
    struct resp_block *next;
    size_t len, cap;
    size_t start;           // bytes taken from it already, views' included
    size_t lent_bytes;      // of its views
    struct resp_lent *lent; // RESP_BLOCK_VIEWS; NULL: never had any
    unsigned views;
    uint8_t data[];
};

struct resp_out { // zeroed: empty
    struct resp_block *first, *last;
    size_t length;  // bytes in all
    unsigned views; // in all blocks
};

struct resp_out_mark {
    struct resp_block *last;
    size_t last_len, length;
    unsigned last_views;
};

// Adds a copy. False without memory: then a part of it may have been added.
bool resp_out_add(struct resp_out *out, const void *data, size_t len);
// Room for len bytes at the end, contiguous, to be written at once; NULL without memory. Counts as added.
uint8_t *resp_out_room(struct resp_out *out, size_t len);
// Puts a value at the end without a copy. True: the view is the chain's now. False without memory: nothing was added, and it is still the caller's.
bool resp_out_lend(struct resp_out *out, struct kv_store *store, const struct kv_view *view);
// What is still lent becomes a copy, and the views are released. False without memory: the chain is empty then, and the views are released all the same.
bool resp_out_own(struct resp_out *out);
// Moves all of `from` to the end.
void resp_out_append(struct resp_out *out, struct resp_out *from);
void resp_out_clear(struct resp_out *out);
// If both are empty: `out` gets the block that `from` has kept, instead of allocating one.
void resp_out_take_spare(struct resp_out *out, struct resp_out *from);

// Where the end is now, and back to there: nothing may have been taken from the front in between.
struct resp_out_mark resp_out_mark(const struct resp_out *out);
void resp_out_rewind(struct resp_out *out, const struct resp_out_mark *mark);

// What is at the front, for writev(); returns how many pieces.
size_t resp_out_pieces(const struct resp_out *out, struct iovec *pieces, size_t max);
// Takes len bytes from the front.
void resp_out_drop(struct resp_out *out, size_t len);

#endif
