// The answer side of the Redis protocol: builds replies of RESP2 or RESP3 into a chain of blocks. Knows no sockets
// and no commands.
//
// What RESP2 lacks is written in its RESP2 form: a map as a flat array, a set as an array, a verbatim string
// as a bulk string, null as the null bulk string. So a handler is written once.
//
// Memory: more than limit_bytes in the buffer sets `overflow`, and everything that follows is dropped: the
// reply is then of no use and the connection has to be closed. The same goes for `failed` (no memory).
//
// Threads: a reply has one owner at a time.
#ifndef MEC_KVSTORE_RESP_REPLY_H
#define MEC_KVSTORE_RESP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvstore/resp/out.h"

struct resp_reply {
    struct resp_out out; // owned
    size_t limit_bytes;
    int proto;           // 2 or 3
    uint64_t errors;     // error replies so far
    char error_code[24]; // of the last one: "ERR", "WRONGTYPE"
    bool overflow;
    bool failed;
    bool lends; // its owner sends it soon, and calls resp_out_own() then: values need not be copied
};

// Allocates nothing. limit_bytes 0: none.
void resp_reply_init(struct resp_reply *reply, size_t limit_bytes);
void resp_reply_deinit(struct resp_reply *reply);

// False when the reply is broken (overflow, failed): stop building.
bool resp_reply_ok(const struct resp_reply *reply);
size_t resp_reply_length(const struct resp_reply *reply);
// Throws away what was built, and with it an overflow.
void resp_reply_clear(struct resp_reply *reply);

// Where the end is, and back to there, with what has been counted since.
struct resp_mark {
    struct resp_out_mark out;
    uint64_t errors;
    bool overflow, failed;
};
struct resp_mark resp_reply_mark(const struct resp_reply *reply);
void resp_reply_rewind(struct resp_reply *reply, const struct resp_mark *mark);

void resp_status(struct resp_reply *reply, const char *text); // +OK
// An error: "-" and the text; the text begins with a code in capitals ("ERR syntax error"). CR and LF in it
// become blanks; resp_error() cuts them off at its end, as Redis does.
void resp_error(struct resp_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void resp_error_bytes(struct resp_reply *reply, const void *text, size_t len);
void resp_integer(struct resp_reply *reply, int64_t value);
void resp_bulk(struct resp_reply *reply, const void *data, size_t len);
// A value of the store as a bulk string: copied, or lent if the reply does that and it is worth it. Takes over the view, whatever happens.
void resp_bulk_view(struct resp_reply *reply, struct kv_store *store, struct kv_view *view);
void resp_bulk_text(struct resp_reply *reply, const char *text);
void resp_bulk_uint(struct resp_reply *reply, uint64_t value);              // a number as a bulk string
void resp_verbatim(struct resp_reply *reply, const void *text, size_t len); // "txt"
void resp_null(struct resp_reply *reply);
void resp_null_array(struct resp_reply *reply);

// Heads: the elements follow as replies (a map's in pairs).
void resp_array(struct resp_reply *reply, size_t count);
void resp_map(struct resp_reply *reply, size_t pairs);
void resp_set(struct resp_reply *reply, size_t count);
// A message that is no answer (RESP3 push); RESP2: an array.
void resp_push(struct resp_reply *reply, size_t count);
void resp_double(struct resp_reply *reply, double value); // RESP2: a bulk string, as Redis formats it (%.17g)
void resp_bool(struct resp_reply *reply, bool value);     // RESP2: 1 or 0

// For lists whose length is known only when they are built: begin one, write the elements to the sub-reply,
// count them, finish: the head and the elements go to the parent. False (begin) without memory: then `reply`
// is failed and sub needs no finish.
bool resp_list_begin(struct resp_reply *reply, struct resp_reply *sub);
void resp_list_finish(struct resp_reply *reply, struct resp_reply *sub, size_t count);

// Moves what `from` holds to the end of `reply`, with its overflow or failure.
void resp_reply_append(struct resp_reply *reply, struct resp_reply *from);

#endif
