// CLIENT TRACKING: who is told what.
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/message.h"
#include "kvstore/resp/pubsub.h"
#include "kvstore/resp/tracking.h"
#include "kvstore/resp/tracking_state.h"

// ---- messages

// RESP3: a push; RESP2: a message, which only a session that listens can take. False: the session can be told nothing.
static bool head_for(struct resp_message *message, const struct resp_session *to, bool redirected)
{
    if (atomic_load(&to->proto) >= 3) {
        resp_message_head(message, '>', 2);
        resp_message_text(message, "invalidate");
        return true;
    }
    if (!redirected || !resp_pubsub_listens(to))
        return false;
    resp_message_head(message, '*', 3);
    resp_message_text(message, "message");
    resp_message_text(message, "__redis__:invalidate");
    return true;
}

// To whom; NULL: the session that it redirects to is gone, and it was told so.
static struct resp_session *receiver(struct resp_tracker *t)
{
    uint64_t redirect = atomic_load(&t->session->redirect);
    if (redirect == 0)
        return t->session;
    if (t->target != NULL)
        return t->target;
    atomic_fetch_or(&t->session->tracking, RESP_TRACKING_BROKEN);
    if (atomic_load(&t->session->proto) < 3)
        return NULL;
    struct resp_message message = {0};
    resp_message_head(&message, '>', 2);
    resp_message_text(&message, "tracking-redir-broken");
    resp_message_head(&message, ':', redirect);
    resp_message_push(&message, t->session);
    resp_message_free(&message);
    return NULL;
}

// keys NULL: all of them, everything.
static void tell(struct resp_tracker *t, const struct resp_message *keys)
{
    struct resp_session *to = receiver(t);
    struct resp_message message = {0};
    if (to == NULL || !head_for(&message, to, to != t->session))
        return;
    if (keys != NULL && keys->failed)
        message.failed = true;
    else if (keys != NULL)
        resp_message_raw(&message, keys->data, keys->len);
    else if (atomic_load(&t->session->proto) >= 3) // as Redis has it: not that of who gets it
        resp_message_raw(&message, "_\r\n", 3);
    else
        resp_message_raw(&message, "$-1\r\n", 5);
    resp_message_push(&message, to);
    resp_message_free(&message);
}

void resp_tracking_tell_key(struct resp_tracker *tracker, const struct resp_arg *key)
{
    struct resp_message keys = {0};
    resp_message_head(&keys, '*', 1);
    resp_message_bulk(&keys, key->data, key->len);
    tell(tracker, &keys);
    resp_message_free(&keys);
}

// ---- keys that were read

// Tells all who read it, but `by` if it does not want to hear of its own changes; then nobody is interested any more.
static void tell_name(struct resp_tracking *tracking, struct resp_link_name *name, struct resp_session *by)
{
    struct resp_arg key = {name->data, name->len};
    for (struct resp_link *link = name->first; link != NULL; link = link->name_next) {
        struct resp_session *session = link->holder->what;
        if (session != by || (atomic_load(&session->tracking) & RESP_TRACKING_NOLOOP) == 0)
            resp_tracking_tell_key(session->tracker, &key);
    }
    resp_links_remove_name(&tracking->links, name);
    atomic_store(&tracking->items, tracking->links.links.used);
}

void resp_tracking_shrink(struct resp_tracking *tracking)
{
    struct resp_links *links = &tracking->links;
    uint64_t max = atomic_load(&tracking->max_keys);
    while (links->spaces[0].first != NULL &&
           ((max != 0 && links->links.used > max) || links->bytes > RESP_TRACKING_BYTES))
        tell_name(tracking, links->spaces[0].first, NULL);
}

// ---- prefixes: keys are gathered while a command runs

struct changed {
    struct resp_session *by; // compared, never followed
    struct resp_arg key;
};

static _Thread_local struct {
    struct resp_shared *shared; // NULL: not gathering
    struct changed *keys;
    size_t count, cap;
    bool lost; // no memory: everything may have changed
} gathered;

static bool gather_key(struct resp_session *by, const struct resp_arg *key)
{
    if (gathered.count == gathered.cap) {
        size_t cap = gathered.cap != 0 ? gathered.cap * 2 : 16;
        struct changed *grown = realloc(gathered.keys, cap * sizeof *grown);
        if (grown == NULL)
            return false;
        gathered.keys = grown;
        gathered.cap = cap;
    }
    uint8_t *copy = malloc(key->len + 1);
    if (copy == NULL)
        return false;
    if (key->len != 0)
        memcpy(copy, key->data, key->len);
    gathered.keys[gathered.count++] = (struct changed){by, {copy, key->len}};
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct resp_arg *x = &((const struct changed *)a)->key, *y = &((const struct changed *)b)->key;
    size_t len = x->len < y->len ? x->len : y->len;
    int order = len != 0 ? memcmp(x->data, y->data, len) : 0;
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static bool begins_with(const struct resp_arg *key, const struct resp_arg *prefix)
{
    return key->len >= prefix->len && (prefix->len == 0 || memcmp(key->data, prefix->data, prefix->len) == 0);
}

// The sorted keys that have the prefix, each once, as a message's payload; false: there are none.
static bool list_keys(const struct resp_tracker *t, const struct resp_arg *prefix,
                      const struct changed *changes, size_t count, struct resp_message *list)
{
    struct resp_message bulks = {0};
    size_t listed = 0;
    bool no_loop = (atomic_load(&t->session->tracking) & RESP_TRACKING_NOLOOP) != 0;
    for (size_t i = 0; i < count; i++) {
        if ((i != 0 && by_key(&changes[i - 1], &changes[i]) == 0) || !begins_with(&changes[i].key, prefix) ||
            (no_loop && changes[i].by == t->session))
            continue;
        resp_message_bulk(&bulks, changes[i].key.data, changes[i].key.len);
        listed++;
    }
    resp_message_head(list, '*', listed);
    resp_message_raw(list, bulks.data, bulks.len);
    list->failed |= bulks.failed;
    resp_message_free(&bulks);
    return listed != 0;
}

static void tell_prefixes(struct resp_tracker *t, const struct changed *changes, size_t count)
{
    for (size_t i = 0; i < t->prefix_count; i++) {
        struct resp_message list = {0};
        if (list_keys(t, &t->prefixes[i], changes, count, &list))
            tell(t, &list);
        resp_message_free(&list);
    }
}

// changes NULL: everything.
static void tell_bcast(struct resp_tracking *tracking, const struct changed *changes, size_t count)
{
    (void)pthread_mutex_lock(&tracking->lock);
    for (struct resp_tracker *t = tracking->first; t != NULL; t = t->next) {
        if ((atomic_load(&t->session->tracking) & RESP_TRACKING_BCAST) == 0)
            continue;
        if (changes != NULL)
            tell_prefixes(t, changes, count);
        else
            tell(t, NULL);
    }
    (void)pthread_mutex_unlock(&tracking->lock);
}

bool resp_tracking_gather(struct resp_shared *shared)
{
    if (gathered.shared != NULL || atomic_load(&shared->tracking->bcast) == 0)
        return false;
    gathered.shared = shared;
    return true;
}

void resp_tracking_send(void)
{
    struct resp_tracking *tracking = gathered.shared->tracking;
    if (gathered.lost)
        tell_bcast(tracking, NULL, 0);
    else if (gathered.count != 0) {
        qsort(gathered.keys, gathered.count, sizeof *gathered.keys, by_key);
        tell_bcast(tracking, gathered.keys, gathered.count);
    }
    for (size_t i = 0; i < gathered.count; i++)
        free((void *)(uintptr_t)gathered.keys[i].key.data);
    free(gathered.keys);
    memset(&gathered, 0, sizeof gathered);
}

// ---- changes

void resp_tracking_changed(struct resp_shared *shared, struct resp_session *by, const struct resp_arg *key)
{
    struct resp_tracking *tracking = shared->tracking;
    if (atomic_load(&tracking->bcast) != 0) {
        if (gathered.shared == shared)
            gathered.lost |= !gather_key(by, key);
        else
            tell_bcast(tracking, &(struct changed){by, *key}, 1);
    }
    if (atomic_load(&tracking->items) == 0)
        return;
    (void)pthread_mutex_lock(&tracking->lock);
    struct resp_link_name *name = resp_links_name(&tracking->links, 0, key->data, key->len);
    if (name != NULL)
        tell_name(tracking, name, by);
    (void)pthread_mutex_unlock(&tracking->lock);
}

void resp_tracking_flushed(struct resp_shared *shared, bool all)
{
    struct resp_tracking *tracking = shared->tracking;
    if (atomic_load(&tracking->clients) == 0)
        return;
    (void)pthread_mutex_lock(&tracking->lock);
    for (struct resp_tracker *t = tracking->first; t != NULL; t = t->next)
        tell(t, NULL);
    while (all && tracking->links.spaces[0].first != NULL)
        resp_links_remove_name(&tracking->links, tracking->links.spaces[0].first);
    atomic_store(&tracking->items, tracking->links.links.used);
    (void)pthread_mutex_unlock(&tracking->lock);
}
