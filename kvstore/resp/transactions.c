#include "kvstore/resp/transactions.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/watch.h"

struct queued {
    struct queued *next;
    const struct resp_command *command, *parent;
    size_t argc, bytes;     // of the whole block
    struct resp_arg args[]; // then the words
};

struct resp_transaction {
    struct queued *first, **end;
    size_t count, bytes;
    bool refused;
    bool running;
};

bool resp_transaction_is_running(const struct resp_session *session)
{
    return session->transaction != NULL && session->transaction->running;
}

bool resp_transaction_open(struct resp_session *session)
{
    struct resp_transaction *t = calloc(1, sizeof *t);
    if (t == NULL)
        return false;
    t->end = &t->first;
    session->transaction = t;
    atomic_store_explicit(&session->multi, 1, memory_order_relaxed);
    return true;
}

static void free_queue(struct resp_transaction *t)
{
    for (struct queued *at = t->first, *next; at != NULL; at = next) {
        next = at->next;
        explicit_bzero(at, at->bytes);
        free(at);
    }
    t->first = NULL;
    t->end = &t->first;
    t->bytes = 0;
}

void resp_transaction_discard(struct resp_session *session)
{
    if (session->transaction == NULL)
        return;
    free_queue(session->transaction);
    free(session->transaction);
    session->transaction = NULL;
    atomic_store_explicit(&session->multi, 0, memory_order_relaxed);
    resp_watch_clear(session);
}

// What was queued will never run: its memory goes at once.
void resp_transaction_refuse(struct resp_session *session)
{
    if (session->transaction == NULL)
        return;
    session->transaction->refused = true;
    free_queue(session->transaction);
}

// ---- queueing

static size_t size_of(const struct resp_call *call)
{
    size_t bytes = sizeof(struct queued) + call->argc * sizeof(struct resp_arg);
    for (size_t i = 0; i < call->argc; i++)
        bytes += call->args[i].len;
    return bytes;
}

static struct queued *copy_call(const struct resp_call *call, size_t bytes)
{
    struct queued *copy = malloc(bytes);
    if (copy == NULL)
        return NULL;
    *copy =
        (struct queued){.command = call->command, .parent = call->parent, .argc = call->argc, .bytes = bytes};
    uint8_t *words = (uint8_t *)&copy->args[call->argc];
    for (size_t i = 0; i < call->argc; i++) {
        copy->args[i] = (struct resp_arg){words, call->args[i].len};
        if (call->args[i].len != 0)
            memcpy(words, call->args[i].data, call->args[i].len);
        words += call->args[i].len;
    }
    return copy;
}

void resp_transaction_queue(struct resp_call *call)
{
    struct resp_transaction *t = call->session->transaction;
    size_t bytes = size_of(call), most = call->session->shared->limits.max_query_bytes;
    if (t->refused || atomic_load(&call->session->watch_dirty)) { // it will not run
        resp_status(call->reply, "QUEUED");
        return;
    }
    if (bytes > most || t->bytes > most - bytes) {
        resp_transaction_refuse(call->session);
        resp_error(call->reply, "ERR the transaction is too large: its commands may take %zu bytes", most);
        return;
    }
    struct queued *copy = copy_call(call, bytes);
    if (copy == NULL) {
        resp_transaction_refuse(call->session);
        resp_error(call->reply, "OOM command not allowed: no memory");
        return;
    }
    *t->end = copy;
    t->end = &copy->next;
    t->count++;
    t->bytes += bytes;
    atomic_fetch_add_explicit(&call->session->multi, 1, memory_order_relaxed);
    resp_status(call->reply, "QUEUED");
}

// ---- running

static struct resp_call call_of(const struct resp_call *exec, const struct queued *queued, unsigned db)
{
    return (struct resp_call){.command = queued->command,
                              .parent = queued->parent,
                              .session = exec->session,
                              .reply = exec->reply,
                              .args = queued->args,
                              .argc = queued->argc,
                              .db = db,
                              .may_wait = true};
}

// The database after a queued command: its keys' locks are those of the database that it will run in.
static unsigned db_after(const struct queued *queued, unsigned db)
{
    int64_t number;
    if (queued->command->handler != resp_cmd_select || !resp_arg_int64(&queued->args[1], &number) ||
        number < 0 || number >= RESP_DATABASES)
        return db;
    return (unsigned)number;
}

// The locks of all; whether anything is changed.
static bool gather_locks(const struct resp_call *exec, struct resp_lock_set *set)
{
    unsigned db = exec->session->db;
    bool changes = false;
    *set = (struct resp_lock_set){0};
    for (const struct queued *at = exec->session->transaction->first; at != NULL; at = at->next) {
        struct resp_call call = call_of(exec, at, db);
        resp_command_locks(&call, set);
        changes |= (at->command->flags & RESP_CMD_WRITE) != 0;
        db = db_after(at, db);
    }
    resp_watch_locks(exec->session, set);
    return changes;
}

static void run_queue(struct resp_call *exec)
{
    struct resp_transaction *t = exec->session->transaction;
    t->running = true;
    resp_array(exec->reply, t->count);
    // All of them, also when the reply broke: a transaction is done as a whole.
    for (const struct queued *at = t->first; at != NULL; at = at->next) {
        struct resp_call call = call_of(exec, at, exec->session->db);
        resp_command_call(&call);
    }
    t->running = false;
}

void resp_transaction_exec(struct resp_call *call)
{
    struct resp_session *session = call->session;
    struct resp_locks *locks = &session->shared->locks;
    struct resp_lock_set set;
    if (session->transaction->refused) {
        resp_transaction_discard(session);
        resp_error(call->reply, "EXECABORT Transaction discarded because of previous errors.");
        return;
    }
    bool changes = gather_locks(call, &set);
    (void)resp_locks_take(locks, &set, changes, true);
    if (resp_watch_broken(session)) {
        resp_null_array(call->reply);
    } else {
        resp_watch_clear(session); // its own changes are no reason to note anything
        run_queue(call);
    }
    resp_locks_release(locks, &set, changes);
    resp_transaction_discard(session);
}
