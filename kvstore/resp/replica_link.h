// What a replica and its primary say to each other, from the replica's side: bytes in, calls and bytes out. Knows no sockets, no clock and no store.
//
//   PING ─▶ [AUTH] ─▶ REPLCONF listening-port ─▶ REPLCONF capa ─▶ PSYNC ─┬▶ +FULLRESYNC ─▶ $EOF:<mark> or $<len> ─▶ RDB ─▶ stream
//                                                                       └▶ +CONTINUE ────────────────────────────────▶ stream
//
// Everything the primary sends is checked: lines have at most RESP_LINK_LINE bytes, the RDB ends where it says, commands keep to the parser's limits. Anything else fails the
// link for good; the owner makes another. Memory: a line, a command, what the RDB's reader holds.
//
// The offset counts the bytes of the stream that have been handed over and accepted: it is where a partial resync goes on.
#ifndef MEC_KVSTORE_RESP_REPLICA_LINK_H
#define MEC_KVSTORE_RESP_REPLICA_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvstore/resp/buffer.h"
#include "kvstore/resp/out.h"
#include "kvstore/resp/parse.h"

#define RESP_REPLID    40u
#define RESP_LINK_LINE 1024u

enum resp_link_rdb { RESP_LINK_RDB_MORE, RESP_LINK_RDB_DONE, RESP_LINK_RDB_FAILED };

struct resp_link_calls {
    // A full resync begins: an RDB comes, and the stream after it is at this offset of this history.
    bool (*full)(void *arg, const char *id, uint64_t offset);
    // The stream goes on where it was; id is new when the primary has changed, else as it was.
    bool (*go_on)(void *arg, const char *id);
    // Bytes of the RDB; *used says how many of them were its own. end: nothing more comes of it, say what is missing.
    enum resp_link_rdb (*rdb)(void *arg, const uint8_t *bytes, size_t len, bool end, size_t *used);
    // A command of the stream. False: it could not be carried out for a reason of ours, and is not counted.
    bool (*command)(void *arg, const struct resp_arg *args, size_t argc);
    // Why a call said no; may be NULL.
    const char *(*why)(void *arg);
    void *arg;
};

struct resp_link_options {    // the strings stay the caller's, and there
    const char *user;         // NULL or "": AUTH with the password alone
    const char *password;     // NULL: none
    unsigned port;            // that we say to listen on
    char id[RESP_REPLID + 1]; // "": no history is known
    uint64_t offset;
};

enum resp_link_state {
    RESP_LINK_PING,
    RESP_LINK_AUTH,
    RESP_LINK_PORT,
    RESP_LINK_CAPA,
    RESP_LINK_PSYNC,
    RESP_LINK_HEAD, // of the RDB
    RESP_LINK_RDB,
    RESP_LINK_MARK, // behind it
    RESP_LINK_STREAM,
    RESP_LINK_FAILED,
};

struct resp_link {
    enum resp_link_state state;
    struct resp_out out; // to be sent
    char id[RESP_REPLID + 1];
    uint64_t offset;
    char error[256]; // why it failed; what the primary said is quoted
    bool streamed;   // it has come to the stream: id and offset say what the store has
    bool refused;    // by the primary, before anything was sent: not worth trying at once
    // Private.
    const struct resp_link_calls *calls;
    struct resp_link_options options;
    char line[RESP_LINK_LINE];
    size_t line_len;
    bool marked; // the RDB ends by a mark, not by its length
    char mark[40];
    size_t mark_len;
    uint64_t left; // of an RDB with a length
    struct resp_buffer query;
    struct resp_parser parser;
};

// Begins to talk: there are bytes to be sent. calls stay the caller's.
void resp_link_begin(struct resp_link *link, const struct resp_link_options *options,
                     const struct resp_limits *limits, const struct resp_link_calls *calls);
void resp_link_end(struct resp_link *link);
// Takes what has come. False: the link has failed, link->error says why.
bool resp_link_feed(struct resp_link *link, const uint8_t *bytes, size_t len);
// Tells the primary how far we are, from the answer to PSYNC on: each second.
void resp_link_ack(struct resp_link *link);
// "the RDB", ...: what is awaited, for errors.
const char *resp_link_awaits(const struct resp_link *link);

#endif
