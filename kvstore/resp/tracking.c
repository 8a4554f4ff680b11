#include "kvstore/resp/tracking.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/links.h"
#include "kvstore/resp/pubsub.h"
#include "kvstore/resp/tracking_state.h"

struct resp_tracking *resp_tracking_create(void)
{
    struct resp_tracking *tracking = calloc(1, sizeof *tracking);
    if (tracking == NULL || !resp_links_init(&tracking->links)) {
        free(tracking);
        return NULL;
    }
    (void)pthread_mutex_init(&tracking->lock, NULL);
    atomic_store(&tracking->max_keys, RESP_TRACKING_MAX_KEYS);
    return tracking;
}

void resp_tracking_destroy(struct resp_tracking **tracking)
{
    if (*tracking == NULL)
        return;
    resp_links_deinit(&(*tracking)->links);
    (void)pthread_mutex_destroy(&(*tracking)->lock);
    free(*tracking);
    *tracking = NULL;
}

uint64_t resp_tracking_max_keys(const struct resp_shared *shared)
{
    return atomic_load(&shared->tracking->max_keys);
}

void resp_tracking_set_max_keys(struct resp_shared *shared, uint64_t max_keys)
{
    struct resp_tracking *tracking = shared->tracking;
    (void)pthread_mutex_lock(&tracking->lock);
    atomic_store(&tracking->max_keys, max_keys);
    resp_tracking_shrink(tracking);
    (void)pthread_mutex_unlock(&tracking->lock);
}

void resp_tracking_get_stats(struct resp_shared *shared, struct resp_tracking_stats *stats)
{
    struct resp_tracking *tracking = shared->tracking;
    (void)pthread_mutex_lock(&tracking->lock);
    *stats = (struct resp_tracking_stats){.clients = atomic_load(&tracking->clients),
                                          .keys = tracking->links.names.used,
                                          .items = tracking->links.links.used};
    for (const struct resp_tracker *t = tracking->first; t != NULL; t = t->next)
        stats->prefixes += t->prefix_count;
    (void)pthread_mutex_unlock(&tracking->lock);
}

// ---- prefixes

// Whether one is the other's beginning: a key could then be told twice.
static bool overlap(const struct resp_arg *a, const struct resp_arg *b)
{
    size_t len = a->len < b->len ? a->len : b->len;
    return len == 0 || memcmp(a->data, b->data, len) == 0;
}

static enum resp_tracking_status check_prefixes(const struct resp_tracker *t,
                                                const struct resp_tracking_options *options,
                                                struct resp_arg which[2])
{
    size_t bytes = t->prefix_bytes;
    for (size_t i = 0; i < options->prefix_count; i++) {
        which[0] = options->prefixes[i];
        bytes += which[0].len + sizeof which[0];
        if (bytes > RESP_TRACKING_PREFIX_BYTES) // before all are compared with all
            return RESP_TRACKING_TOO_MANY;
        for (size_t j = 0; j < t->prefix_count; j++) {
            which[1] = t->prefixes[j];
            if (overlap(&which[0], &which[1]))
                return RESP_TRACKING_OVERLAP;
        }
        for (size_t j = i + 1; j < options->prefix_count; j++) {
            which[1] = options->prefixes[j];
            if (overlap(&which[0], &which[1]))
                return RESP_TRACKING_OVERLAP_GIVEN;
        }
    }
    return RESP_TRACKING_OK;
}

static bool add_prefix(struct resp_tracker *t, const struct resp_arg *prefix)
{
    struct resp_arg *grown = realloc(t->prefixes, (t->prefix_count + 1) * sizeof *grown);
    uint8_t *copy = grown != NULL ? malloc(prefix->len + 1) : NULL;
    t->prefixes = grown != NULL ? grown : t->prefixes;
    if (copy == NULL)
        return false;
    if (prefix->len != 0)
        memcpy(copy, prefix->data, prefix->len);
    t->prefixes[t->prefix_count++] = (struct resp_arg){copy, prefix->len};
    t->prefix_bytes += prefix->len + sizeof *prefix;
    return true;
}

static void drop_prefixes(struct resp_tracker *t, size_t keep)
{
    while (t->prefix_count > keep) {
        t->prefix_count--;
        t->prefix_bytes -= t->prefixes[t->prefix_count].len + sizeof *t->prefixes;
        free((void *)(uintptr_t)t->prefixes[t->prefix_count].data);
    }
}

static int by_bytes(const void *a, const void *b)
{
    const struct resp_arg *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int order = len != 0 ? memcmp(x->data, y->data, len) : 0;
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

// No prefix given means every key, beside those that there are, as in Redis.
static bool add_prefixes(struct resp_tracker *t, const struct resp_tracking_options *options)
{
    static const struct resp_arg every = {(const uint8_t *)"", 0};
    size_t before = t->prefix_count, given = options->prefix_count;
    bool has_every = before != 0 && t->prefixes[0].len == 0; // sorted
    bool added = given != 0 || has_every || add_prefix(t, &every);
    for (size_t i = 0; i < given && added; i++)
        added = add_prefix(t, &options->prefixes[i]);
    if (!added)
        drop_prefixes(t, before);
    else
        qsort(t->prefixes, t->prefix_count, sizeof *t->prefixes, by_bytes);
    return added;
}

bool resp_tracking_prefix(const struct resp_session *session, size_t number, struct resp_arg *prefix)
{
    const struct resp_tracker *t = session->tracker;
    if (t == NULL || number >= t->prefix_count)
        return false;
    *prefix = t->prefixes[number];
    return true;
}

// ---- on and off

// The session to redirect to, marked as such; NULL: none. The caller holds the table's lock: the session cannot be forgotten before that is given back.
static struct resp_session *find_target(struct resp_shared *shared, uint64_t id)
{
    (void)pthread_mutex_lock(&shared->clients_lock);
    struct resp_session *target = shared->first;
    while (target != NULL && target->id != id)
        target = target->next;
    if (target != NULL)
        atomic_store(&target->tracking_target, true);
    (void)pthread_mutex_unlock(&shared->clients_lock);
    return target;
}

bool resp_tracking_has_client(struct resp_shared *shared, uint64_t id)
{
    (void)pthread_mutex_lock(&shared->clients_lock);
    const struct resp_session *session = shared->first;
    while (session != NULL && session->id != id)
        session = session->next;
    (void)pthread_mutex_unlock(&shared->clients_lock);
    return session != NULL;
}

static struct resp_tracker *new_tracker(struct resp_session *session)
{
    struct resp_tracker *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->session = session;
    t->holder.what = session;
    return t;
}

static void free_tracker(struct resp_tracker *t)
{
    drop_prefixes(t, 0);
    free(t->prefixes);
    free(t);
}

static void enter(struct resp_tracking *tracking, struct resp_tracker *t)
{
    t->next = tracking->first;
    if (t->next != NULL)
        t->next->prev = t;
    tracking->first = t;
    atomic_fetch_add(&tracking->clients, 1);
}

// Under the lock.
static enum resp_tracking_status enable(struct resp_tracking *tracking, struct resp_tracker *t,
                                        const struct resp_tracking_options *options, struct resp_arg which[2])
{
    struct resp_session *session = t->session, *target = NULL;
    enum resp_tracking_status status = check_prefixes(t, options, which);
    if (status != RESP_TRACKING_OK)
        return status;
    if (options->redirect != 0 && (target = find_target(session->shared, options->redirect)) == NULL)
        return RESP_TRACKING_NO_CLIENT;
    if ((options->flags & RESP_TRACKING_BCAST) != 0 && !add_prefixes(t, options))
        return RESP_TRACKING_NO_MEMORY;
    unsigned before = atomic_load(&session->tracking);
    if ((before & RESP_TRACKING_ON) == 0)
        enter(tracking, t);
    if ((options->flags & ~before & RESP_TRACKING_BCAST) != 0)
        atomic_fetch_add(&tracking->bcast, 1);
    t->target = target;
    atomic_store(&session->redirect, options->redirect);
    atomic_store(&session->tracking, RESP_TRACKING_ON | options->flags | (before & RESP_TRACKING_CACHING));
    session->tracker = t;
    return RESP_TRACKING_OK;
}

enum resp_tracking_status resp_tracking_enable(struct resp_session *session,
                                               const struct resp_tracking_options *options,
                                               struct resp_arg which[2])
{
    struct resp_tracking *tracking = session->shared->tracking;
    struct resp_tracker *t = session->tracker != NULL ? session->tracker : new_tracker(session);
    if (t == NULL)
        return RESP_TRACKING_NO_MEMORY;
    (void)pthread_mutex_lock(&tracking->lock);
    enum resp_tracking_status status = enable(tracking, t, options, which);
    (void)pthread_mutex_unlock(&tracking->lock);
    if (session->tracker == NULL)
        free_tracker(t);
    return status;
}

void resp_tracking_disable(struct resp_session *session)
{
    struct resp_tracking *tracking = session->shared->tracking;
    struct resp_tracker *t = session->tracker;
    if (t == NULL)
        return;
    (void)pthread_mutex_lock(&tracking->lock);
    resp_links_clear(&tracking->links, &t->holder);
    if (t->prev != NULL)
        t->prev->next = t->next;
    else
        tracking->first = t->next;
    if (t->next != NULL)
        t->next->prev = t->prev;
    atomic_fetch_sub(&tracking->clients, 1);
    if ((atomic_load(&session->tracking) & RESP_TRACKING_BCAST) != 0)
        atomic_fetch_sub(&tracking->bcast, 1);
    atomic_store(&session->tracking, 0);
    atomic_store(&session->redirect, 0);
    session->tracker = NULL;
    (void)pthread_mutex_unlock(&tracking->lock);
    free_tracker(t);
}

void resp_tracking_forget(struct resp_session *session)
{
    struct resp_tracking *tracking = session->shared->tracking;
    resp_tracking_disable(session);
    if (!atomic_load(&session->tracking_target))
        return;
    (void)pthread_mutex_lock(&tracking->lock);
    for (struct resp_tracker *t = tracking->first; t != NULL; t = t->next)
        if (t->target == session)
            t->target = NULL;
    (void)pthread_mutex_unlock(&tracking->lock);
}

// ---- noting keys

static void note_key(void *arg, size_t position)
{
    struct resp_call *call = arg;
    struct resp_tracking *tracking = call->session->shared->tracking;
    const struct resp_arg *key = &call->args[position];
    struct resp_link *link;
    // Without memory there is no way but to tell at once: a cache that is not told of changes would be wrong.
    if (resp_links_add(&tracking->links, &call->session->tracker->holder, 0, key->data, key->len, 0, &link) ==
        RESP_LINK_NO_MEMORY)
        resp_tracking_tell_key(call->session->tracker, key);
}

void resp_tracking_note(struct resp_call *call)
{
    unsigned flags = atomic_load_explicit(&call->session->tracking, memory_order_relaxed);
    bool caching = (flags & RESP_TRACKING_CACHING) != 0;
    if ((flags & RESP_TRACKING_ON) == 0 || (flags & RESP_TRACKING_BCAST) != 0 ||
        (call->command->flags & RESP_CMD_READONLY) == 0 || ((flags & RESP_TRACKING_OPTIN) != 0 && !caching) ||
        ((flags & RESP_TRACKING_OPTOUT) != 0 && caching))
        return;
    struct resp_tracking *tracking = call->session->shared->tracking;
    (void)pthread_mutex_lock(&tracking->lock);
    resp_command_keys(call->command, call->argc, note_key, call);
    resp_tracking_shrink(tracking);
    atomic_store(&tracking->items, tracking->links.links.used);
    (void)pthread_mutex_unlock(&tracking->lock);
}
