#include "kvstore/resp/events.h"

#include "kvstore/resp/db.h"
#include "kvstore/resp/tracking.h"
#include "kvstore/resp/watch.h"

void resp_event(struct resp_call *call, enum resp_event_class class, const char *event,
                const struct resp_arg *key)
{
    resp_event_of(call->session->shared, call->db, class, event, key);
}

// The store's user knows its keys by their names in the store: those of database 0, but not the empty one.
static void tell_user(struct resp_shared *shared, unsigned db, const struct resp_arg *key)
{
    if (db == 0 && key->len != 0 && shared->on_change != NULL)
        shared->on_change(shared->on_change_arg, key->data, key->len);
}

void resp_changed(struct resp_shared *shared, struct resp_session *by, unsigned db,
                  const struct resp_arg *key)
{
    resp_watch_changed(shared, db, key);
    resp_tracking_changed(shared, by, key);
    tell_user(shared, db, key);
}

void resp_expired(struct resp_shared *shared, unsigned db, const struct resp_arg *key)
{
    resp_event_of(shared, db, RESP_EVENT_EXPIRED, "expired", key);
    resp_watch_expired(shared, db, key);
    resp_tracking_changed(shared, NULL, key);
    tell_user(shared, db, key);
}

void resp_flushing(struct resp_shared *shared, unsigned db, const struct resp_arg *key)
{
    tell_user(shared, db, key);
}

void resp_flushed(struct resp_shared *shared, unsigned db)
{
    for (unsigned i = 0; i < RESP_DATABASES; i++)
        if (db == i || db == RESP_ALL_DATABASES)
            resp_watch_flushed(shared, i);
    resp_tracking_flushed(shared, db == RESP_ALL_DATABASES);
}

void resp_swapped(struct resp_shared *shared, unsigned a, unsigned b)
{
    if (a == b)
        return;
    resp_watch_swapped(shared, a, b);
    resp_watch_swapped(shared, b, a);
}
