#include "kvstore/resp/notify.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "kvstore/resp/pubsub.h"

// In the order in which CONFIG GET shows them; those of A first.
static const struct {
    char letter;
    enum resp_event_class class;
} letters[] = {
    {'g', RESP_EVENT_GENERIC},  {'$', RESP_EVENT_STRING},  {'l', RESP_EVENT_LIST},
    {'s', RESP_EVENT_SET},      {'h', RESP_EVENT_HASH},    {'z', RESP_EVENT_ZSET},
    {'x', RESP_EVENT_EXPIRED},  {'e', RESP_EVENT_EVICTED}, {'t', RESP_EVENT_STREAM},
    {'d', RESP_EVENT_MODULE},   {'n', RESP_EVENT_NEW},     {'K', RESP_EVENT_KEYSPACE},
    {'E', RESP_EVENT_KEYEVENT}, {'m', RESP_EVENT_MISS},
};
#define LETTERS (sizeof letters / sizeof letters[0])

bool resp_notify_parse(const struct resp_arg *text, unsigned *events)
{
    unsigned found = 0;
    for (size_t i = 0; i < text->len; i++) {
        size_t at = 0;
        while (at < LETTERS && letters[at].letter != (char)text->data[i])
            at++;
        if (text->data[i] == 'A')
            found |= RESP_EVENT_ALL;
        else if (at == LETTERS)
            return false;
        else
            found |= letters[at].class;
    }
    *events = found;
    return true;
}

void resp_notify_format(unsigned events, char text[static RESP_NOTIFY_TEXT])
{
    bool all = (events & RESP_EVENT_ALL) == RESP_EVENT_ALL;
    size_t len = 0;
    if (all)
        text[len++] = 'A';
    for (size_t i = 0; i < LETTERS; i++) {
        // With A, Redis 7.0 does not show n either.
        bool in_a = (letters[i].class & (RESP_EVENT_ALL | RESP_EVENT_NEW)) != 0;
        if ((events & letters[i].class) != 0 && !(all && in_a))
            text[len++] = letters[i].letter;
    }
    text[len] = '\0';
}

// ---- publishing

static void publish(struct resp_shared *shared, const char *head, const struct resp_arg *tail,
                    const struct resp_arg *message)
{
    size_t head_len = strlen(head);
    uint8_t small[256], *channel = small;
    if (head_len + tail->len > sizeof small && (channel = malloc(head_len + tail->len)) == NULL)
        return; // a notification is no promise
    memcpy(channel, head, head_len);
    if (tail->len != 0)
        memcpy(channel + head_len, tail->data, tail->len);
    (void)resp_pubsub_publish(shared, RESP_CHANNELS, &(struct resp_arg){channel, head_len + tail->len},
                              message);
    if (channel != small)
        free(channel);
}

void resp_event_of(struct resp_shared *shared, unsigned db, enum resp_event_class class, const char *event,
                   const struct resp_arg *key)
{
    unsigned wanted = atomic_load_explicit(&shared->notify, memory_order_relaxed);
    char head[32];
    if ((wanted & (unsigned)class) == 0 || (wanted & (RESP_EVENT_KEYSPACE | RESP_EVENT_KEYEVENT)) == 0 ||
        !resp_pubsub_has_listeners(shared))
        return;
    struct resp_arg name = {(const uint8_t *)event, strlen(event)};
    if ((wanted & RESP_EVENT_KEYSPACE) != 0) {
        (void)snprintf(head, sizeof head, "__keyspace@%u__:", db);
        publish(shared, head, key, &name);
    }
    if ((wanted & RESP_EVENT_KEYEVENT) != 0) {
        (void)snprintf(head, sizeof head, "__keyevent@%u__:", db);
        publish(shared, head, &name, key);
    }
}
