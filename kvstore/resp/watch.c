#include "kvstore/resp/watch.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/kv.h"
#include "kvstore/resp/db.h"

// A link's note: when the key will have expired.
#define ABSENT 0u
#define NEVER  UINT64_MAX

struct resp_watch {
    pthread_mutex_t lock; // guards all below, and the holders in sessions
    struct resp_links links;
    _Atomic size_t watched; // links: a change of a key that nobody watches costs one load
};

struct resp_watcher {
    struct resp_holder holder;
};

struct resp_watch *resp_watch_create(void)
{
    struct resp_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL || !resp_links_init(&watch->links)) {
        free(watch);
        return NULL;
    }
    (void)pthread_mutex_init(&watch->lock, NULL);
    return watch;
}

void resp_watch_destroy(struct resp_watch **watch)
{
    if (*watch == NULL)
        return;
    resp_links_deinit(&(*watch)->links);
    (void)pthread_mutex_destroy(&(*watch)->lock);
    free(*watch);
    *watch = NULL;
}

enum resp_link_added resp_watch_add(struct resp_session *session, unsigned db, const struct resp_arg *key)
{
    struct resp_watch *watch = session->shared->watch;
    struct resp_link *link;
    if (session->watcher == NULL) {
        session->watcher = calloc(1, sizeof *session->watcher);
        if (session->watcher == NULL)
            return RESP_LINK_NO_MEMORY;
        session->watcher->holder.what = session;
    }
    (void)pthread_mutex_lock(&watch->lock);
    enum resp_link_added added = resp_links_add(&watch->links, &session->watcher->holder, db, key->data,
                                                key->len, RESP_WATCH_BYTES, &link);
    if (added == RESP_LINK_NEW) {
        link->note = NEVER;
        atomic_fetch_add(&watch->watched, 1);
    }
    (void)pthread_mutex_unlock(&watch->lock);
    return added;
}

void resp_watch_found(struct resp_session *session, unsigned db, const struct resp_arg *key, bool exists,
                      uint64_t expire_ms)
{
    struct resp_watch *watch = session->shared->watch;
    (void)pthread_mutex_lock(&watch->lock);
    struct resp_link *link =
        resp_links_find(&watch->links, &session->watcher->holder, db, key->data, key->len);
    if (link != NULL)
        link->note = !exists ? ABSENT : expire_ms != 0 ? expire_ms : NEVER;
    (void)pthread_mutex_unlock(&watch->lock);
}

void resp_watch_clear(struct resp_session *session)
{
    struct resp_watch *watch = session->shared->watch;
    if (session->watcher == NULL)
        return;
    (void)pthread_mutex_lock(&watch->lock);
    atomic_fetch_sub(&watch->watched, session->watcher->holder.count);
    resp_links_clear(&watch->links, &session->watcher->holder);
    atomic_store(&session->watch_dirty, false);
    (void)pthread_mutex_unlock(&watch->lock);
    free(session->watcher);
    session->watcher = NULL;
}

void resp_watch_locks(struct resp_session *session, struct resp_lock_set *set)
{
    struct resp_watch *watch = session->shared->watch;
    if (session->watcher == NULL)
        return;
    (void)pthread_mutex_lock(&watch->lock);
    for (const struct resp_link *link = session->watcher->holder.first; link != NULL; link = link->next) {
        struct resp_arg key = {link->name->data, link->name->len};
        resp_lock_set_add(set, &session->shared->locks, link->name->space, &key);
    }
    (void)pthread_mutex_unlock(&watch->lock);
}

static bool gone(const struct resp_link *link, uint64_t now_ms)
{
    return link->note != NEVER && now_ms >= link->note;
}

bool resp_watch_broken(struct resp_session *session)
{
    struct resp_watch *watch = session->shared->watch;
    if (session->watcher == NULL)
        return false;
    uint64_t now_ms = resp_now_ms(session->shared);
    bool broken = atomic_load(&session->watch_dirty);
    (void)pthread_mutex_lock(&watch->lock);
    for (const struct resp_link *link = session->watcher->holder.first; link != NULL && !broken;
         link = link->next)
        broken = link->note != ABSENT && gone(link, now_ms);
    (void)pthread_mutex_unlock(&watch->lock);
    return broken;
}

static void break_link(const struct resp_link *link)
{
    atomic_store(&((struct resp_session *)link->holder->what)->watch_dirty, true);
}

static void break_all(const struct resp_link_name *name)
{
    for (const struct resp_link *link = name->first; link != NULL; link = link->name_next)
        break_link(link);
}

void resp_watch_changed(struct resp_shared *shared, unsigned db, const struct resp_arg *key)
{
    struct resp_watch *watch = shared->watch;
    if (atomic_load(&watch->watched) == 0)
        return;
    (void)pthread_mutex_lock(&watch->lock);
    const struct resp_link_name *name = resp_links_name(&watch->links, db, key->data, key->len);
    if (name != NULL)
        break_all(name);
    (void)pthread_mutex_unlock(&watch->lock);
}

void resp_watch_expired(struct resp_shared *shared, unsigned db, const struct resp_arg *key)
{
    struct resp_watch *watch = shared->watch;
    if (atomic_load(&watch->watched) == 0)
        return;
    (void)pthread_mutex_lock(&watch->lock);
    const struct resp_link_name *name = resp_links_name(&watch->links, db, key->data, key->len);
    for (const struct resp_link *link = name != NULL ? name->first : NULL; link != NULL;
         link = link->name_next)
        if (link->note != ABSENT)
            break_link(link);
    (void)pthread_mutex_unlock(&watch->lock);
}

// Whoever saw a key that has gone with the others. (One that came since WATCH has broken the transaction already.)
void resp_watch_flushed(struct resp_shared *shared, unsigned db)
{
    struct resp_watch *watch = shared->watch;
    if (atomic_load(&watch->watched) == 0)
        return;
    uint64_t now_ms = resp_now_ms(shared);
    (void)pthread_mutex_lock(&watch->lock);
    for (const struct resp_link_name *name = watch->links.spaces[db].first; name != NULL; name = name->next) {
        for (const struct resp_link *link = name->first; link != NULL; link = link->name_next)
            if (!gone(link, now_ms))
                break_link(link);
    }
    (void)pthread_mutex_unlock(&watch->lock);
}

// ---- SWAPDB

// The watched keys of a database, one after the other: the length, the bytes. NULL: no memory, and everything is broken; *len is 0 when there are none.
static uint8_t *copy_names(struct resp_watch *watch, unsigned db, size_t *len)
{
    size_t bytes = 0;
    (void)pthread_mutex_lock(&watch->lock);
    const struct resp_link_name *first = watch->links.spaces[db].first;
    for (const struct resp_link_name *name = first; name != NULL; name = name->next)
        bytes += sizeof name->len + name->len;
    uint8_t *copy = malloc(bytes + 1), *at = copy;
    for (const struct resp_link_name *name = first; name != NULL; name = name->next) {
        if (copy == NULL) {
            break_all(name);
            continue;
        }
        memcpy(at, &name->len, sizeof name->len);
        memcpy(at + sizeof name->len, name->data, name->len);
        at += sizeof name->len + name->len;
    }
    (void)pthread_mutex_unlock(&watch->lock);
    *len = bytes;
    return copy;
}

static bool is_there(struct resp_shared *shared, unsigned db, const struct resp_arg *key)
{
    struct resp_db_name name;
    if (!resp_db_name(shared, db, key, &name))
        return false;
    bool there = kv_exists(shared->store, name.data, name.len) == KV_OK;
    resp_db_name_free(&name);
    return there;
}

// A key that neither database has is as it was. The store is asked without our lock: it may hold its own when it tells us of a key that expired.
void resp_watch_swapped(struct resp_shared *shared, unsigned db, unsigned with)
{
    struct resp_watch *watch = shared->watch;
    size_t len;
    if (atomic_load(&watch->watched) == 0)
        return;
    uint8_t *names = copy_names(watch, db, &len);
    for (const uint8_t *at = names; names != NULL && at != names + len;) {
        struct resp_arg key = {at + sizeof key.len, 0};
        memcpy(&key.len, at, sizeof key.len);
        if (is_there(shared, db, &key) || is_there(shared, with, &key))
            resp_watch_changed(shared, db, &key);
        at = key.data + key.len;
    }
    free(names);
}
