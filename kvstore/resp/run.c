// Running what a connection sends: on the loop where memory has what it takes, else by fetching values (GET) or at a worker (everything else).
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "kvstore/resp/ahead.h"
#include "kvstore/resp/conn.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/stats.h"
#include "kvstore/resp/store.h"

bool resp_conn_takes_input(const struct resp_conn *conn)
{
    return !conn->busy && !conn->closing && !conn->eof && !conn->dead && !conn->turn_due &&
           conn->fetches < RESP_FETCHES_MOST &&
           !(conn->first_fetch != NULL && resp_buffer_length(&conn->query) != 0);
}

// ---- values from the disk

static const struct resp_command *get_command(void)
{
    return resp_command_find(&(struct resp_arg){(const uint8_t *)"get", 3});
}

static void answer(struct resp_fetch *fetch, enum kv_status status, const struct kv_view *view)
{
    struct resp_conn *conn = fetch->note.conn;
    if (status == KV_OK) {
        struct kv_view mine = *view;
        resp_bulk(&fetch->value, mine.data, mine.len);
        kv_view_release(conn->session.shared->store, &mine);
    } else if (status == KV_NOT_FOUND) {
        resp_null(&fetch->value);
    } else {
        resp_store_error(&(struct resp_call){.reply = &fetch->value}, status);
    }
}

// By the loop's reader, on its thread, or by a thread of the store.
static void fetched(void *arg, enum kv_status status, const struct kv_view *view)
{
    struct resp_fetch *fetch = arg;
    struct resp_loop *loop = fetch->note.conn->loop;
    answer(fetch, status, view);
    if (pthread_equal(pthread_self(), loop->self))
        resp_conn_fetched(fetch);
    else
        resp_loop_post(loop, &fetch->note);
}

static void link_fetch(struct resp_conn *conn, struct resp_fetch *fetch)
{
    if (conn->reply.out.length != 0) // it is behind those replies
        resp_out_append(conn->last_fetch != NULL ? &conn->last_fetch->behind : &conn->out, &conn->reply.out);
    if (conn->last_fetch != NULL)
        conn->last_fetch->next = fetch;
    else
        conn->first_fetch = fetch;
    conn->last_fetch = fetch;
    conn->fetches++;
}

// Whether a command that could not be answered is a GET that the loop can have fetched.
static bool is_get(const struct resp_conn *conn)
{
    const struct resp_parser *parser = &conn->parser;
    if (parser->argc != 2 || !resp_session_is_plain(&conn->session))
        return false;
    const struct resp_command *command = resp_command_find(&parser->args[0]);
    return command != NULL && command->handler == resp_cmd_get;
}

// False: not to be had this way.
static bool begin_fetch(struct resp_conn *conn)
{
    struct resp_shared *shared = conn->session.shared;
    struct resp_db_name name;
    struct kv_view view;
    if (!is_get(conn) || conn->fetches >= RESP_FETCHES_MOST || !resp_locks_free_to_read(&shared->locks) ||
        !resp_db_name(shared, conn->session.db, &conn->parser.args[1], &name))
        return false;
    struct resp_fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL) {
        resp_db_name_free(&name);
        return false;
    }
    fetch->note = (struct resp_note){.kind = RESP_NOTE_FETCHED, .conn = conn};
    resp_reply_init(&fetch->value, shared->output_limit_bytes);
    fetch->value.proto = atomic_load(&conn->session.proto);
    fetch->began_ns = clock_ns();
    link_fetch(conn, fetch); // before: the answer may be here before the call is back
    enum kv_status status = resp_loop_get(conn->loop, name.data, name.len, &view, fetched, fetch);
    resp_db_name_free(&name);
    if (status != KV_PENDING) { // in its turn all the same
        answer(fetch, status, &view);
        resp_loop_post(conn->loop, &fetch->note);
    }
    resp_command_fetching(&conn->session, conn->parser.args);
    return true;
}

void resp_conn_fetched(struct resp_fetch *fetch)
{
    struct resp_conn *conn = fetch->note.conn;
    fetch->ready = true;
    resp_stats_fetched(conn->session.shared, get_command(), clock_ns() - fetch->began_ns);
    while ((fetch = conn->first_fetch) != NULL && fetch->ready) {
        conn->first_fetch = fetch->next;
        if (conn->first_fetch == NULL)
            conn->last_fetch = NULL;
        if (!resp_reply_ok(&fetch->value))
            conn->dead = true;
        resp_out_append(&conn->out, &fetch->value.out);
        resp_out_append(&conn->out, &fetch->behind);
        free(fetch);
        conn->fetches--;
    }
    if (conn->dead)
        resp_conn_kill(conn);
    else
        resp_conn_run(conn, NULL, 0);
}

// ---- commands

// A peer that does not read its replies waits for more of them. But one that sends a long pipeline before it reads must not wait for ever: what it sends is taken, and beyond
// RESP_INPUT_BYTES run, though the output grows, up to its limit.
static bool output_is_full(const struct resp_conn *conn)
{
    return conn->out.length > RESP_OUTPUT_RESUME && resp_buffer_length(&conn->query) < RESP_INPUT_BYTES;
}

enum step { STEP_ON, STEP_STOP, STEP_WORKER };

// Replies what the parser found wrong, and closes.
static void refuse(struct resp_conn *conn)
{
    atomic_fetch_add_explicit(&conn->session.shared->counters.protocol_errors, 1, memory_order_relaxed);
    resp_error(&conn->reply, "ERR %s", conn->parser.error);
    conn->closing = true;
}

// Whether values may be lent to the reply: what it gets is sent when this turn ends, and nothing is before it that the peer has not taken, or that a thread still fetches.
// OpenSSL wants the same bytes again after it could not write them, so it gets copies.
static bool may_lend(const struct resp_conn *conn)
{
    return conn->io.ssl == NULL && conn->first_fetch == NULL && conn->out.length == 0;
}

// The command that the parser holds.
static enum step run_one(struct resp_conn *conn)
{
    const struct resp_parser *parser = &conn->parser;
    if (parser->argc == 0)
        return STEP_ON;
    // While values are on their way only further GETs: what comes later must not be seen by what came before.
    if (conn->first_fetch != NULL && !is_get(conn))
        return STEP_STOP;
    conn->reply.lends = may_lend(conn);
    enum resp_run ran = resp_command_run(&conn->session, &conn->reply, parser->args, parser->argc, false);
    conn->reply.lends = false;
    if (ran == RESP_RUN_DONE)
        return STEP_ON;
    if (begin_fetch(conn))
        return STEP_ON;
    return conn->first_fetch != NULL ? STEP_STOP : STEP_WORKER;
}

// What is left of the bytes stays in the query. False without memory.
static bool keep(struct resp_conn *conn, const uint8_t *bytes, size_t len)
{
    return bytes == NULL || resp_buffer_add(&conn->query, bytes, len, resp_parser_wanted(&conn->parser));
}

static void give_to_worker(struct resp_conn *conn)
{
    // The same command again, now in the query.
    if (resp_parse(&conn->parser, resp_buffer_data(&conn->query), resp_buffer_length(&conn->query)) !=
        RESP_COMMAND) {
        conn->dead = true; // cannot be
        return;
    }
    resp_out_append(&conn->out, &conn->reply.out); // what has been answered need not wait for it
    conn->busy = true;
    conn->job.run = resp_conn_work;
    resp_pool_submit(conn->loop->pool, &conn->job);
}

// Runs commands from the bytes, or from the query if they are NULL.
static void run_commands(struct resp_conn *conn, const uint8_t *bytes, size_t len)
{
    enum step step = STEP_ON;
    size_t ahead = 0; // commands whose keys are near
    resp_session_is_active(&conn->session);
    for (unsigned n = 0; !conn->closing; n++) {
        bool turn_over = n == RESP_BATCH_COMMANDS || conn->reply.out.length >= RESP_BATCH_REPLY_BYTES;
        const uint8_t *at = bytes != NULL ? bytes : resp_buffer_data(&conn->query);
        size_t left = bytes != NULL ? len : resp_buffer_length(&conn->query);
        if (turn_over && left != 0) {
            conn->turn_due = true;
            break;
        }
        conn->parser.limits.unauthenticated = !resp_session_is_authenticated(&conn->session);
        if (ahead == 0 && !conn->parser.limits.unauthenticated)
            ahead = resp_ahead(&conn->session, at, left);
        enum resp_parse_status status = resp_parse(&conn->parser, at, left);
        if (status == RESP_PROTOCOL_ERROR)
            refuse(conn);
        else if (status == RESP_NO_MEMORY)
            conn->dead = true;
        if (status != RESP_COMMAND || (step = run_one(conn)) != STEP_ON)
            break;
        if (bytes != NULL) {
            bytes += conn->parser.consumed;
            len -= conn->parser.consumed;
        } else {
            resp_buffer_drop(&conn->query, conn->parser.consumed);
        }
        ahead -= ahead != 0;
        conn->closing = conn->session.close_after;
        conn->dead |= !resp_reply_ok(&conn->reply);
        if (conn->dead)
            break;
    }
    if (!conn->closing && !keep(conn, bytes, len))
        conn->dead = true;
    if (step == STEP_WORKER && !conn->dead)
        give_to_worker(conn);
}

static void post_turn(struct resp_conn *conn)
{
    conn->turn_due = true;
    if (conn->turn_posted)
        return;
    conn->turn_posted = true;
    conn->note.kind = RESP_NOTE_TURN;
    resp_loop_post(conn->loop, &conn->note);
}

void resp_conn_run(struct resp_conn *conn, const uint8_t *bytes, size_t len)
{
    bool blocked = conn->busy || conn->closing || conn->dead || conn->turn_due || !conn->io.shaken ||
                   output_is_full(conn);
    if (len != 0 && (blocked || resp_buffer_length(&conn->query) != 0)) {
        if (!conn->busy && !conn->closing && !keep(conn, bytes, len))
            conn->dead = true;
        bytes = NULL;
    }
    if (!blocked)
        run_commands(conn, bytes, len);
    if (conn->dead && !resp_reply_ok(&conn->reply))
        atomic_fetch_add_explicit(&conn->session.shared->counters.cut_off, 1, memory_order_relaxed);
    if (!conn->busy)
        resp_buffer_compact(&conn->query);
    if (!resp_conn_flush(conn) || conn->busy || conn->closing)
        return;
    // It has had its share, or could not go on before the output went: there may be more to run, and no event will say so.
    if (conn->turn_due || (blocked && !output_is_full(conn) && resp_buffer_length(&conn->query) != 0))
        post_turn(conn);
}

// ---- workers

void resp_conn_work(struct resp_job *job)
{
    struct resp_conn *conn = (struct resp_conn *)job;
    struct resp_batch batch = {&conn->session, &conn->query, &conn->parser, &conn->reply};
    resp_batch_run(&batch);
    conn->note.kind = RESP_NOTE_DONE;
    resp_loop_post(conn->loop, &conn->note);
}

void resp_conn_batch_done(struct resp_conn *conn)
{
    conn->busy = false;
    conn->moved_ms = resp_monotonic_ms();
    if (!resp_reply_ok(&conn->reply)) {
        atomic_fetch_add_explicit(&conn->session.shared->counters.cut_off, 1, memory_order_relaxed);
        conn->dead = true;
    }
    if (conn->dead) {
        resp_conn_kill(conn);
        return;
    }
    conn->closing |= conn->session.close_after || conn->loop->stopping;
    resp_conn_run(conn, NULL, 0);
}

void resp_conn_turn(struct resp_conn *conn)
{
    conn->turn_due = conn->turn_posted = false;
    if (conn->dead)
        resp_conn_kill(conn);
    else
        resp_conn_run(conn, NULL, 0);
}
