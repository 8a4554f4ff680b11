// Publish and subscribe: channels, patterns, shard channels (here: channels with a name space of their own), and who listens.
//
// Any thread publishes. The registry's lock is a leaf under the locks of keys; it is held while messages are handed to session->push, so that a session, which leaves the
// registry before it ends, is there. Messages of one publisher reach each listener in order.
#ifndef MEC_KVSTORE_RESP_PUBSUB_H
#define MEC_KVSTORE_RESP_PUBSUB_H

#include "kvstore/resp/links.h"
#include "kvstore/resp/session.h"

struct resp_pubsub;

enum resp_pubsub_kind { RESP_CHANNELS, RESP_PATTERNS, RESP_SHARD_CHANNELS };

#define RESP_PUBSUB_BYTES (16u * 1024 * 1024) // of the names that a session listens to, of each kind

struct resp_pubsub *resp_pubsub_create(void); // NULL: no memory
void resp_pubsub_destroy(struct resp_pubsub **pubsub);

// The session's owner.
enum resp_link_added resp_pubsub_subscribe(struct resp_session *session, enum resp_pubsub_kind kind,
                                           const struct resp_arg *name);
bool resp_pubsub_unsubscribe(struct resp_session *session, enum resp_pubsub_kind kind,
                             const struct resp_arg *name); // false: was not subscribed
// The first name of a kind; NULL: none. It stays until it is unsubscribed.
const struct resp_link_name *resp_pubsub_first(struct resp_session *session, enum resp_pubsub_kind kind);
// All subscriptions go, silently. Also before a session ends.
void resp_pubsub_clear(struct resp_session *session);

// Of a kind, or all that SUBSCRIBE and PSUBSCRIBE count: any thread.
static inline unsigned resp_pubsub_count(const struct resp_session *session, enum resp_pubsub_kind kind)
{
    return atomic_load_explicit(&session->subscriptions[kind], memory_order_relaxed);
}
static inline bool resp_pubsub_listens(const struct resp_session *session)
{
    return resp_pubsub_count(session, RESP_CHANNELS) + resp_pubsub_count(session, RESP_PATTERNS) +
               resp_pubsub_count(session, RESP_SHARD_CHANNELS) !=
           0;
}

// Any thread. Returns how many got it. kind: RESP_CHANNELS (patterns get it, too) or RESP_SHARD_CHANNELS.
size_t resp_pubsub_publish(struct resp_shared *shared, enum resp_pubsub_kind kind,
                           const struct resp_arg *channel, const struct resp_arg *message);
// Whether anybody listens to anything: cheap, to be asked before a message is made.
bool resp_pubsub_has_listeners(const struct resp_shared *shared);

// How many listen to a name; how many names there are; each of them (under the registry's lock: fn may only note it).
size_t resp_pubsub_listeners(struct resp_shared *shared, enum resp_pubsub_kind kind,
                             const struct resp_arg *name);
size_t resp_pubsub_names(struct resp_shared *shared, enum resp_pubsub_kind kind);
void resp_pubsub_each(struct resp_shared *shared, enum resp_pubsub_kind kind,
                      void (*fn)(void *arg, const struct resp_arg *name), void *arg);

#endif
