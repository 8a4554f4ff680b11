#include "kvstore/resp/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void resp_message_raw(struct resp_message *message, const void *data, size_t len)
{
    if (message->failed || len == 0)
        return;
    if (len > message->cap - message->len) {
        size_t cap = message->cap * 2 > message->len + len ? message->cap * 2 : message->len + len + 64;
        uint8_t *grown = realloc(message->data, cap);
        if (grown == NULL) {
            message->failed = true;
            return;
        }
        message->data = grown;
        message->cap = cap;
    }
    memcpy(message->data + message->len, data, len);
    message->len += len;
}

void resp_message_head(struct resp_message *message, char type, uint64_t number)
{
    char line[32];
    int len = snprintf(line, sizeof line, "%c%" PRIu64 "\r\n", type, number);
    resp_message_raw(message, line, (size_t)len);
}

void resp_message_bulk(struct resp_message *message, const void *data, size_t len)
{
    resp_message_head(message, '$', len);
    resp_message_raw(message, data, len);
    resp_message_raw(message, "\r\n", 2);
}

void resp_message_text(struct resp_message *message, const char *text)
{
    resp_message_bulk(message, text, strlen(text));
}

void resp_message_free(struct resp_message *message)
{
    free(message->data);
    *message = (struct resp_message){0};
}

void resp_message_push(struct resp_message *message, struct resp_session *session)
{
    if (message->failed) {
        if (session->kill != NULL)
            session->kill(session);
        return;
    }
    if (message->data[0] == '*' || message->data[0] == '>')
        message->data[0] = atomic_load_explicit(&session->proto, memory_order_relaxed) < 3 ? '*' : '>';
    if (session->push != NULL)
        session->push(session, message->data, message->len);
}
