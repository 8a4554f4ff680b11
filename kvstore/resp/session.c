#include "kvstore/resp/session.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

#include "kvstore/resp/monitor.h"
#include "kvstore/resp/pubsub.h"
#include "kvstore/resp/rdb_sync.h"
#include "kvstore/resp/service.h"
#include "kvstore/resp/tracking.h"
#include "kvstore/resp/transactions.h"
#include "kvstore/resp/watch.h"

uint64_t resp_now_ms(const struct resp_shared *shared)
{
    if (shared->now_ms != NULL)
        return shared->now_ms(shared->now_arg);
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void destroy_modules(struct resp_shared *shared)
{
    resp_watch_destroy(&shared->watch);
    resp_pubsub_destroy(&shared->pubsub);
    resp_tracking_destroy(&shared->tracking);
    resp_monitors_destroy(&shared->monitors);
}

static bool create_modules(struct resp_shared *shared)
{
    shared->watch = resp_watch_create();
    shared->pubsub = resp_pubsub_create();
    shared->tracking = resp_tracking_create();
    shared->monitors = resp_monitors_create();
    if (shared->watch != NULL && shared->pubsub != NULL && shared->tracking != NULL &&
        shared->monitors != NULL)
        return true;
    destroy_modules(shared);
    return false;
}

static bool init_locks(struct resp_shared *shared)
{
    if (!resp_locks_init(&shared->locks))
        return false;
    if (resp_access_init(&shared->access)) {
        if (resp_pause_init(&shared->pause)) {
            if (pthread_mutex_init(&shared->clients_lock, NULL) == 0)
                return true;
            resp_pause_deinit(&shared->pause);
        }
        resp_access_deinit(&shared->access);
    }
    resp_locks_deinit(&shared->locks);
    return false;
}

bool resp_shared_init(struct resp_shared *shared)
{
    uint8_t node[(sizeof shared->node_id - 1) / 2];
    if (RAND_bytes(node, sizeof node) != 1 || !create_modules(shared))
        return false;
    if (!resp_service_init(shared)) {
        destroy_modules(shared);
        return false;
    }
    if (!init_locks(shared)) {
        destroy_modules(shared);
        return false;
    }
    resp_hex(node, sizeof node, shared->node_id);
    resp_limits_fill(&shared->limits);
    if (shared->databases == 0)
        shared->databases = sizeof shared->db_laid;
    for (unsigned db = 0; db < sizeof shared->db_laid; db++)
        atomic_store(&shared->db_laid[db], (uint8_t)db);
    shared->started_ms = resp_now_ms(shared);
    atomic_store(&shared->last_save_ms, shared->started_ms);
    atomic_store(&shared->next_id, 1);
    return true;
}

void resp_shared_deinit(struct resp_shared *shared)
{
    resp_locks_deinit(&shared->locks);
    resp_service_deinit(shared);
    destroy_modules(shared);
    resp_access_deinit(&shared->access);
    resp_pause_deinit(&shared->pause);
    (void)pthread_mutex_destroy(&shared->clients_lock);
}

// Who comes while there is no password needs none later, either.
static void reset_manners(struct resp_session *session)
{
    struct resp_manners *m = &session->manners;
    m->authenticated = m->trusted || !atomic_load(&session->shared->access.has_password);
    m->reply_off = m->reply_skip = m->reply_skip_next = false;
    atomic_store(&m->no_touch, false); // no_evict outlives RESET
}

void resp_session_init(struct resp_session *session, struct resp_shared *shared)
{
    session->shared = shared;
    session->id = atomic_fetch_add(&shared->next_id, 1);
    session->created_ms = resp_now_ms(shared);
    atomic_store(&session->active_ms, session->created_ms);
    atomic_store(&session->proto, 2);
    atomic_store(&session->manners.no_evict, false);
    reset_manners(session);
    if (session->from_primary) // nobody's client: not to be listed, killed, or redirected to
        return;
    (void)pthread_mutex_lock(&shared->clients_lock);
    session->next = shared->first;
    if (session->next != NULL)
        session->next->prev = session;
    shared->first = session;
    (void)pthread_mutex_unlock(&shared->clients_lock);
}

void resp_session_trust(struct resp_session *session)
{
    session->manners.trusted = session->manners.authenticated = true;
}

static void free_texts(struct resp_session *s)
{
    free(s->name);
    free(s->lib_name);
    free(s->lib_version);
    s->name = NULL;
    s->lib_name = NULL;
    s->lib_version = NULL;
}

// Out of all modules, so that nothing is pushed to it any more.
static void leave_modules(struct resp_session *session)
{
    resp_transaction_discard(session);
    resp_watch_clear(session);
    resp_pubsub_clear(session);
    resp_tracking_disable(session);
    resp_monitor_stop(session);
}

void resp_session_deinit(struct resp_session *session)
{
    struct resp_shared *shared = session->shared;
    resp_sync_forget(session);
    (void)pthread_mutex_lock(&shared->clients_lock);
    if (session->next != NULL)
        session->next->prev = session->prev;
    if (session->prev != NULL)
        session->prev->next = session->next;
    else if (shared->first == session) // not one that was never in the list
        shared->first = session->next;
    (void)pthread_mutex_unlock(&shared->clients_lock);
    leave_modules(session);
    resp_tracking_forget(session); // not in the list any more: nobody begins to redirect to it
    free_texts(session);
}

void resp_session_reset(struct resp_session *session)
{
    (void)resp_session_set_text(session, &session->name, NULL, 0);
    leave_modules(session);
    atomic_store(&session->proto, 2);
    session->db = 0;
    reset_manners(session);
}

bool resp_session_set_text(struct resp_session *session, char **field, const void *text, size_t len)
{
    char *copy = NULL;
    if (len != 0) {
        copy = strndup(text, len);
        if (copy == NULL)
            return false;
    }
    (void)pthread_mutex_lock(&session->shared->clients_lock);
    char *old = *field;
    *field = copy;
    (void)pthread_mutex_unlock(&session->shared->clients_lock);
    free(old);
    return true;
}
