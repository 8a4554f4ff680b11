// The answer side of the Redis protocol: builds replies of RESP2 or RESP3 into an evbuffer. Knows no sockets
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
#include <event2/buffer.h>

struct resp_reply {
    struct evbuffer *out; // owned
    size_t limit_bytes;
    int proto;       // 2 or 3
    uint64_t errors; // error replies so far
    bool overflow;
    bool failed;
};

// False without memory. limit_bytes 0: none.
bool resp_reply_init(struct resp_reply *reply, size_t limit_bytes);
void resp_reply_deinit(struct resp_reply *reply);

// False when the reply is broken (overflow, failed): stop building.
bool resp_reply_ok(const struct resp_reply *reply);
size_t resp_reply_length(const struct resp_reply *reply);
// Throws away what was built, and with it an overflow.
void resp_reply_clear(struct resp_reply *reply);

void resp_status(struct resp_reply *reply, const char *text); // +OK
// An error: "-" and the text; the text begins with a code in capitals ("ERR syntax error"). CR and LF in it
// become blanks.
void resp_error(struct resp_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void resp_error_bytes(struct resp_reply *reply, const void *text, size_t len);
void resp_integer(struct resp_reply *reply, int64_t value);
void resp_bulk(struct resp_reply *reply, const void *data, size_t len);
void resp_bulk_text(struct resp_reply *reply, const char *text);
void resp_bulk_uint(struct resp_reply *reply, uint64_t value);              // a number as a bulk string
void resp_verbatim(struct resp_reply *reply, const void *text, size_t len); // "txt"
void resp_null(struct resp_reply *reply);
void resp_null_array(struct resp_reply *reply);

// Heads: the elements follow as replies (a map's in pairs).
void resp_array(struct resp_reply *reply, size_t count);
void resp_map(struct resp_reply *reply, size_t pairs);
void resp_set(struct resp_reply *reply, size_t count);

// For lists whose length is known only when they are built: begin one, write the elements to the sub-reply,
// count them, finish: the head and the elements go to the parent. False (begin) without memory: then `reply`
// is failed and sub needs no finish.
bool resp_list_begin(struct resp_reply *reply, struct resp_reply *sub);
void resp_list_finish(struct resp_reply *reply, struct resp_reply *sub, size_t count);

// Moves what `from` holds to the end of `reply`, with its overflow or failure.
void resp_reply_append(struct resp_reply *reply, struct resp_reply *from);

#endif
