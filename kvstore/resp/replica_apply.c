// What a primary's bytes do to the store. On the replica's thread, under apply_lock.
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "kvstore/resp/args.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/events.h"
#include "kvstore/resp/replica_parts.h"

static bool no(struct resp_replica *r, const char *why)
{
    (void)snprintf(r->why, sizeof r->why, "%s", why);
    return false;
}

static const char *why(void *arg)
{
    return ((struct resp_replica *)arg)->why;
}

static void know(struct resp_replica *r, const char *id, uint64_t offset)
{
    (void)pthread_mutex_lock(&r->lock);
    (void)snprintf(r->id, sizeof r->id, "%s", id);
    (void)pthread_mutex_unlock(&r->lock);
    atomic_store(&r->offset, offset);
}

// ---- resync

// Nothing of what was known of the store's history holds from here on, until the RDB is in it.
static bool empty(void *arg)
{
    struct resp_replica *r = arg;
    struct resp_shared *shared = r->shared;
    struct resp_lock_set all = {0};
    know(r, "", 0);
    r->in_transaction = false;
    resp_session_reset(&r->session); // a fresh stream begins with a SELECT
    resp_lock_set_add_all(&all);
    (void)resp_locks_take(&shared->locks, &all, true, true);
    enum kv_status status = resp_db_clear(shared);
    if (status == KV_OK)
        resp_flushed(shared, RESP_ALL_DATABASES);
    resp_locks_release(&shared->locks, &all, true);
    if (status != KV_OK)
        return no(r, kv_status_text(status));
    r->cleared = true;
    log_info("replica_emptied", "note=\"the primary's data takes the place of what was there\"");
    return true;
}

static bool full(void *arg, const char *id, uint64_t offset)
{
    struct resp_replica *r = arg;
    (void)offset;
    r->load = resp_load_create(r->shared, empty, r);
    if (r->load == NULL)
        return no(r, "out of memory");
    r->cleared = false;
    r->why[0] = '\0';
    atomic_store(&r->sync_bytes, 0);
    atomic_fetch_add(&r->full_syncs, 1);
    atomic_fetch_or(&r->shared->replica_gate, RESP_REPLICA_LOADING);
    resp_replica_set_state(r, RESP_REPLICA_SYNC);
    log_info("replica_full_resync", "id=%s offset=%llu", id, (unsigned long long)offset);
    return true;
}

void resp_replica_drop_load(struct resp_replica *r)
{
    if (r->load == NULL)
        return;
    if (!resp_load_settle(r->load, false)) // its primary may not be followed any more
        log_warn("replica_load", "error=\"%s\"", resp_load_error(r->load));
    resp_load_destroy(r->load);
    r->load = NULL;
    atomic_fetch_and(&r->shared->replica_gate, ~(unsigned)RESP_REPLICA_LOADING);
}

static void log_loaded(struct resp_replica *r)
{
    const struct resp_load_counts *c = resp_load_counts(r->load);
    char others[192], quoted[256];
    uint64_t skipped = 0;
    for (unsigned kind = 0; kind < RDB_KINDS; kind++)
        skipped += c->others[kind];
    (void)log_quote(rdb_kind_others(c->others, others, sizeof others), quoted, sizeof quoted);
    log_info("replica_loaded", "keys=%llu bytes=%llu expired=%llu other_types=%s",
             (unsigned long long)c->loaded, (unsigned long long)c->bytes, (unsigned long long)c->expired,
             quoted);
    if (skipped != 0 || c->unfit != 0 || c->no_database != 0)
        log_warn("replica_incomplete",
                 "other_types=%s keys_of_no_fitting_length=%llu in_databases_that_there_are_not=%llu", quoted,
                 (unsigned long long)c->unfit, (unsigned long long)c->no_database);
}

static enum resp_link_rdb rdb(void *arg, const uint8_t *bytes, size_t len, bool end, size_t *used)
{
    struct resp_replica *r = arg;
    if (!resp_replica_is_current(r)) {
        (void)no(r, "another primary was named");
        return RESP_LINK_RDB_FAILED;
    }
    atomic_fetch_add(&r->sync_bytes, len);
    enum rdb_status status = end ? resp_load_end(r->load) : resp_load_feed(r->load, bytes, len, used);
    if (status == RDB_MORE)
        return RESP_LINK_RDB_MORE;
    if (status == RDB_DONE && resp_load_settle(r->load, true)) {
        log_loaded(r);
        return RESP_LINK_RDB_DONE;
    }
    if (r->why[0] == '\0')
        (void)no(r, resp_load_error(r->load));
    return RESP_LINK_RDB_FAILED;
}

static bool go_on(void *arg, const char *id)
{
    struct resp_replica *r = arg;
    atomic_fetch_add(&r->partial_syncs, 1);
    know(r, id, atomic_load(&r->offset));
    log_info("replica_partial_resync", "id=%s offset=%llu", id, (unsigned long long)atomic_load(&r->offset));
    return true;
}

// ---- the stream

static void note_transaction(struct resp_replica *r, const struct resp_arg *name)
{
    if (resp_arg_is(name, "multi"))
        r->in_transaction = true;
    else if (resp_arg_is(name, "exec") || resp_arg_is(name, "discard"))
        r->in_transaction = false;
}

// The first time that a command fails it is named.
static void name_skipped(struct resp_replica *r, const struct resp_arg *name)
{
    char text[sizeof r->named[0]], quoted[80];
    (void)snprintf(text, sizeof text, "%.*s", (int)(name->len < 31 ? name->len : 31),
                   (const char *)name->data);
    for (unsigned i = 0; i < r->named_count; i++)
        if (strcasecmp(r->named[i], text) == 0)
            return;
    if (r->named_count == RESP_REPLICA_NAMED)
        return;
    memcpy(r->named[r->named_count++], text, sizeof text);
    log_warn("replica_command_skipped", "command=%s error=%s note=\"said once for each command\"",
             log_quote(text, quoted, sizeof quoted), r->reply.error_code);
}

// Whether an error reply is about us and not about the command: it is not to be passed over.
static bool is_our_fault(const struct resp_reply *reply)
{
    return strcmp(reply->error_code, "MISCONF") == 0 || strcmp(reply->error_code, "OOM") == 0;
}

// A stream changes data, and needs little else for it. Whatever else a primary says (REPLICAOF, SHUTDOWN, SUBSCRIBE, ...) is not obeyed.
static bool may_come(const struct resp_arg *name)
{
    static const char *const others[] = {"discard", "exec", "multi", "ping", "publish", "select", "spublish"};
    const struct resp_command *command = resp_command_find(name);
    if (command == NULL || (command->flags & RESP_CMD_WRITE) != 0) // none: an error that is counted
        return true;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(command->name, others[i]) == 0)
            return true;
    return false;
}

static bool command(void *arg, const struct resp_arg *args, size_t argc)
{
    struct resp_replica *r = arg;
    if (!resp_replica_is_current(r))
        return no(r, "another primary was named");
    resp_reply_clear(&r->reply);
    uint64_t errors = r->reply.errors;
    if (may_come(&args[0]))
        (void)resp_command_run(&r->session, &r->reply, args, argc, true);
    else
        resp_error(&r->reply, "ERR not of a stream");
    bool failed = r->reply.errors != errors;
    if (r->reply.failed || (failed && is_our_fault(&r->reply)))
        return no(r, "the store could not carry out a command; see INFO and the log");
    if (kv_is_behind(r->shared->store) && kv_catch_up(r->shared->store) != KV_OK)
        return no(r, "the store could not overwrite replaced values; see INFO and the log");
    r->session.close_after = false;
    note_transaction(r, &args[0]);
    if (failed) {
        atomic_fetch_add(&r->skipped, 1);
        name_skipped(r, &args[0]);
    } else {
        atomic_fetch_add(&r->commands, 1);
    }
    return true;
}

const struct resp_link_calls resp_replica_calls = {
    .full = full, .go_on = go_on, .rdb = rdb, .command = command, .why = why};
