// A message to other connections, built once and pushed to many (session->push). One owner.
#ifndef MEC_KVSTORE_RESP_MESSAGE_H
#define MEC_KVSTORE_RESP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvstore/resp/session.h"

struct resp_message { // zeroed: empty
    uint8_t *data;    // owned
    size_t len, cap;
    bool failed; // no memory: not to be pushed
};

// All by RESP's forms; type is '*', '>', ':' or the like.
void resp_message_head(struct resp_message *message, char type, uint64_t number);
void resp_message_bulk(struct resp_message *message, const void *data, size_t len);
void resp_message_text(struct resp_message *message, const char *text); // a bulk string
void resp_message_raw(struct resp_message *message, const void *data, size_t len);
void resp_message_free(struct resp_message *message);

// Sends a message that begins with the head '*' or '>': it becomes the one of the session's protocol. The caller keeps the session from ending. A message that failed
// cannot be made good: the session is ended, so that it does not go on believing what it was not told.
void resp_message_push(struct resp_message *message, struct resp_session *session);

#endif
