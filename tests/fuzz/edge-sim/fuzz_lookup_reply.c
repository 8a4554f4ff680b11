// Replies of a Redis-protocol server, whole and in two pieces: the same replies, and slices that lie within the bytes.
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "edge-sim/lookup_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lookup_reply reply, part;
    for (size_t at = 0;;) {
        size_t left = size - at;
        uint8_t *exact = malloc(left + 1);
        memcpy(exact, data + at, left);
        lookup_reply_parse(exact, left, 4096, &reply);
        bool whole = reply.kind != LOOKUP_REPLY_MORE && reply.kind != LOOKUP_REPLY_BAD;
        if (reply.kind == LOOKUP_REPLY_MORE)
            check(reply.wanted > left);
        if (whole)
            check(reply.consumed > 0 && reply.consumed <= left);
        if (whole && reply.kind != LOOKUP_REPLY_NONE)
            check(reply.data >= exact && reply.data + reply.len <= exact + reply.consumed);
        // a beginning of a good reply is never bad, and never another good one
        for (size_t have = 0; whole && have < reply.consumed; have += 1 + have / 8) {
            lookup_reply_parse(exact, have, 4096, &part);
            check(part.kind == LOOKUP_REPLY_MORE && part.wanted <= reply.consumed);
        }
        free(exact);
        if (!whole)
            return 0;
        at += reply.consumed;
    }
}
