#include "kvstore/resp/pubsub.h"

#include <stdlib.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/message.h"

struct resp_pubsub {
    pthread_mutex_t lock;    // guards the links, and the holders in sessions
    struct resp_links links; // the space is the kind
    _Atomic size_t count;    // subscriptions of all
};

struct resp_subscriber {
    struct resp_holder kinds[3];
};

struct resp_pubsub *resp_pubsub_create(void)
{
    struct resp_pubsub *pubsub = calloc(1, sizeof *pubsub);
    if (pubsub == NULL || !resp_links_init(&pubsub->links)) {
        free(pubsub);
        return NULL;
    }
    (void)pthread_mutex_init(&pubsub->lock, NULL);
    return pubsub;
}

void resp_pubsub_destroy(struct resp_pubsub **pubsub)
{
    if (*pubsub == NULL)
        return;
    resp_links_deinit(&(*pubsub)->links);
    (void)pthread_mutex_destroy(&(*pubsub)->lock);
    free(*pubsub);
    *pubsub = NULL;
}

// ---- subscribing

static struct resp_subscriber *subscriber_of(struct resp_session *session)
{
    if (session->subscriber == NULL && (session->subscriber = calloc(1, sizeof *session->subscriber)) != NULL)
        for (unsigned kind = 0; kind < 3; kind++)
            session->subscriber->kinds[kind].what = session;
    return session->subscriber;
}

// After a change, under the lock.
static void count(struct resp_session *session, enum resp_pubsub_kind kind)
{
    size_t now = session->subscriber->kinds[kind].count, before = resp_pubsub_count(session, kind);
    atomic_store(&session->subscriptions[kind], (unsigned)now);
    atomic_fetch_add(&session->shared->pubsub->count, now - before);
}

enum resp_link_added resp_pubsub_subscribe(struct resp_session *session, enum resp_pubsub_kind kind,
                                           const struct resp_arg *name)
{
    struct resp_pubsub *pubsub = session->shared->pubsub;
    struct resp_subscriber *subscriber = subscriber_of(session);
    struct resp_link *link;
    if (subscriber == NULL)
        return RESP_LINK_NO_MEMORY;
    (void)pthread_mutex_lock(&pubsub->lock);
    enum resp_link_added added = resp_links_add(&pubsub->links, &subscriber->kinds[kind], kind, name->data,
                                                name->len, RESP_PUBSUB_BYTES, &link);
    count(session, kind);
    (void)pthread_mutex_unlock(&pubsub->lock);
    return added;
}

bool resp_pubsub_unsubscribe(struct resp_session *session, enum resp_pubsub_kind kind,
                             const struct resp_arg *name)
{
    struct resp_pubsub *pubsub = session->shared->pubsub;
    if (session->subscriber == NULL)
        return false;
    (void)pthread_mutex_lock(&pubsub->lock);
    struct resp_link *link =
        resp_links_find(&pubsub->links, &session->subscriber->kinds[kind], kind, name->data, name->len);
    if (link != NULL) {
        resp_links_remove(&pubsub->links, link);
        count(session, kind);
    }
    (void)pthread_mutex_unlock(&pubsub->lock);
    return link != NULL;
}

// Only the owner changes a holder's list, so the owner may read it.
const struct resp_link_name *resp_pubsub_first(struct resp_session *session, enum resp_pubsub_kind kind)
{
    if (session->subscriber == NULL || session->subscriber->kinds[kind].first == NULL)
        return NULL;
    return session->subscriber->kinds[kind].first->name;
}

void resp_pubsub_clear(struct resp_session *session)
{
    struct resp_pubsub *pubsub = session->shared->pubsub;
    if (session->subscriber == NULL)
        return;
    (void)pthread_mutex_lock(&pubsub->lock);
    for (unsigned kind = 0; kind < 3; kind++) {
        resp_links_clear(&pubsub->links, &session->subscriber->kinds[kind]);
        count(session, (enum resp_pubsub_kind)kind);
    }
    (void)pthread_mutex_unlock(&pubsub->lock);
    free(session->subscriber);
    session->subscriber = NULL;
}

// ---- publishing

static size_t push_all(const struct resp_link_name *name, struct resp_message *message)
{
    for (const struct resp_link *link = name->first; link != NULL; link = link->name_next)
        resp_message_push(message, link->holder->what);
    return name->count;
}

static size_t to_channel(const struct resp_link_name *name, const char *type, const struct resp_arg *channel,
                         const struct resp_arg *text)
{
    struct resp_message message = {0};
    resp_message_head(&message, '*', 3);
    resp_message_text(&message, type);
    resp_message_bulk(&message, channel->data, channel->len);
    resp_message_bulk(&message, text->data, text->len);
    size_t count = push_all(name, &message);
    resp_message_free(&message);
    return count;
}

static size_t to_pattern(const struct resp_link_name *pattern, const struct resp_arg *channel,
                         const struct resp_arg *text)
{
    struct resp_message message = {0};
    if (!resp_glob(pattern->data, pattern->len, channel->data, channel->len, false))
        return 0;
    resp_message_head(&message, '*', 4);
    resp_message_text(&message, "pmessage");
    resp_message_bulk(&message, pattern->data, pattern->len);
    resp_message_bulk(&message, channel->data, channel->len);
    resp_message_bulk(&message, text->data, text->len);
    size_t count = push_all(pattern, &message);
    resp_message_free(&message);
    return count;
}

size_t resp_pubsub_publish(struct resp_shared *shared, enum resp_pubsub_kind kind,
                           const struct resp_arg *channel, const struct resp_arg *message)
{
    struct resp_pubsub *pubsub = shared->pubsub;
    size_t receivers = 0;
    if (!resp_pubsub_has_listeners(shared))
        return 0;
    (void)pthread_mutex_lock(&pubsub->lock);
    const struct resp_link_name *name = resp_links_name(&pubsub->links, kind, channel->data, channel->len);
    if (name != NULL)
        receivers = to_channel(name, kind == RESP_CHANNELS ? "message" : "smessage", channel, message);
    if (kind == RESP_CHANNELS) {
        name = pubsub->links.spaces[RESP_PATTERNS].first;
        for (; name != NULL; name = name->next)
            receivers += to_pattern(name, channel, message);
    }
    (void)pthread_mutex_unlock(&pubsub->lock);
    return receivers;
}

bool resp_pubsub_has_listeners(const struct resp_shared *shared)
{
    return atomic_load_explicit(&shared->pubsub->count, memory_order_acquire) != 0;
}

// ---- asking

size_t resp_pubsub_listeners(struct resp_shared *shared, enum resp_pubsub_kind kind,
                             const struct resp_arg *name)
{
    struct resp_pubsub *pubsub = shared->pubsub;
    (void)pthread_mutex_lock(&pubsub->lock);
    const struct resp_link_name *found = resp_links_name(&pubsub->links, kind, name->data, name->len);
    size_t count = found != NULL ? found->count : 0;
    (void)pthread_mutex_unlock(&pubsub->lock);
    return count;
}

size_t resp_pubsub_names(struct resp_shared *shared, enum resp_pubsub_kind kind)
{
    struct resp_pubsub *pubsub = shared->pubsub;
    (void)pthread_mutex_lock(&pubsub->lock);
    size_t count = pubsub->links.spaces[kind].names;
    (void)pthread_mutex_unlock(&pubsub->lock);
    return count;
}

void resp_pubsub_each(struct resp_shared *shared, enum resp_pubsub_kind kind,
                      void (*fn)(void *arg, const struct resp_arg *name), void *arg)
{
    struct resp_pubsub *pubsub = shared->pubsub;
    (void)pthread_mutex_lock(&pubsub->lock);
    const struct resp_link_name *name = pubsub->links.spaces[kind].first;
    for (; name != NULL; name = name->next)
        fn(arg, &(struct resp_arg){name->data, name->len});
    (void)pthread_mutex_unlock(&pubsub->lock);
}
