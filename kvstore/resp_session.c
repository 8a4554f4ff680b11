#include "kvstore/resp_session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

uint64_t resp_now_ms(const struct resp_shared *shared)
{
    if (shared->now_ms != NULL)
        return shared->now_ms(shared->now_arg);
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool resp_shared_init(struct resp_shared *shared)
{
    if (getrandom(&shared->key_seed, sizeof shared->key_seed, 0) != (ssize_t)sizeof shared->key_seed)
        return false;
    if (pthread_mutex_init(&shared->clients_lock, NULL) != 0)
        return false;
    for (unsigned i = 0; i < RESP_KEY_LOCKS; i++) {
        if (pthread_mutex_init(&shared->key_locks[i], NULL) == 0)
            continue;
        while (i-- != 0)
            (void)pthread_mutex_destroy(&shared->key_locks[i]);
        (void)pthread_mutex_destroy(&shared->clients_lock);
        return false;
    }
    resp_limits_fill(&shared->limits);
    shared->started_ms = resp_now_ms(shared);
    atomic_store(&shared->last_save_ms, shared->started_ms);
    atomic_store(&shared->next_id, 1);
    return true;
}

void resp_shared_deinit(struct resp_shared *shared)
{
    for (unsigned i = 0; i < RESP_KEY_LOCKS; i++)
        (void)pthread_mutex_destroy(&shared->key_locks[i]);
    (void)pthread_mutex_destroy(&shared->clients_lock);
}

void resp_session_init(struct resp_session *session, struct resp_shared *shared)
{
    session->shared = shared;
    session->id = atomic_fetch_add(&shared->next_id, 1);
    session->created_ms = resp_now_ms(shared);
    atomic_store(&session->active_ms, session->created_ms);
    atomic_store(&session->proto, 2);
    (void)pthread_mutex_lock(&shared->clients_lock);
    session->next = shared->first;
    if (session->next != NULL)
        session->next->prev = session;
    shared->first = session;
    (void)pthread_mutex_unlock(&shared->clients_lock);
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

void resp_session_deinit(struct resp_session *session)
{
    struct resp_shared *shared = session->shared;
    (void)pthread_mutex_lock(&shared->clients_lock);
    if (session->next != NULL)
        session->next->prev = session->prev;
    if (session->prev != NULL)
        session->prev->next = session->next;
    else
        shared->first = session->next;
    (void)pthread_mutex_unlock(&shared->clients_lock);
    free_texts(session);
}

void resp_session_reset(struct resp_session *session)
{
    (void)resp_session_set_text(session, &session->name, NULL, 0);
    atomic_store(&session->proto, 2);
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

// FNV-1a with a random start: only spreads keys over locks, where a collision costs a wait and nothing else.
pthread_mutex_t *resp_key_lock(struct resp_shared *shared, const struct resp_arg *key)
{
    uint64_t hash = 0xcbf29ce484222325u ^ shared->key_seed;
    for (size_t i = 0; i < key->len; i++)
        hash = (hash ^ key->data[i]) * 0x100000001b3u;
    return &shared->key_locks[(hash >> 32) % RESP_KEY_LOCKS];
}
