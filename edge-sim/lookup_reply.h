// Reads the replies that GET, SET and PING have: bytes in, one reply out. Pure; the value is a slice of the bytes.
#ifndef MEC_EDGE_SIM_LOOKUP_REPLY_H
#define MEC_EDGE_SIM_LOOKUP_REPLY_H

#include <stddef.h>
#include <stdint.h>

#define LOOKUP_LINE_MAX 1024u

enum lookup_reply_kind {
    LOOKUP_REPLY_MORE,   // not whole yet; wanted says how many bytes it takes at least
    LOOKUP_REPLY_VALUE,  // $len: data
    LOOKUP_REPLY_NONE,   // $-1
    LOOKUP_REPLY_STATUS, // +...: data is the text
    LOOKUP_REPLY_ERROR,  // -...: data is the text
    LOOKUP_REPLY_BAD, // none of these, a line over LOOKUP_LINE_MAX, a value over the limit: nothing behind it can be trusted
};

struct lookup_reply {
    enum lookup_reply_kind kind;
    const uint8_t *data;
    size_t len;
    size_t consumed; // by the whole reply
    size_t wanted;   // LOOKUP_REPLY_MORE: bytes from the reply's beginning, more than there are
};

void lookup_reply_parse(const uint8_t *bytes, size_t len, size_t value_max, struct lookup_reply *reply);

#endif
