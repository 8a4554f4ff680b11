#include "kvstore/resp/batch.h"

#include "kvstore/resp/command.h"

// Replies the protocol error and ends the session.
static void refuse(struct resp_batch *b)
{
    atomic_fetch_add_explicit(&b->session->shared->counters.protocol_errors, 1, memory_order_relaxed);
    resp_error(b->reply, "ERR %s", b->parser->error);
    b->session->close_after = true;
}

// Runs commands; returns how many were answered.
static size_t run_commands(struct resp_batch *b)
{
    struct resp_session *session = b->session;
    size_t answered = 0;
    for (unsigned n = 0; n < RESP_BATCH_COMMANDS; n++) {
        if (b->parser->argc != 0) {
            (void)resp_command_run(session, b->reply, b->parser->args, b->parser->argc, true);
            answered++;
        }
        resp_buffer_drop(b->query, b->parser->consumed);
        if (session->close_after || !resp_reply_ok(b->reply))
            return answered;
        if (n + 1 == RESP_BATCH_COMMANDS || resp_reply_length(b->reply) >= RESP_BATCH_REPLY_BYTES)
            return answered;
        b->parser->limits.unauthenticated = !resp_session_is_authenticated(session);
        switch (resp_parse(b->parser, resp_buffer_data(b->query), resp_buffer_length(b->query))) {
        case RESP_COMMAND:
            break;
        case RESP_NEED_MORE:
            return answered;
        case RESP_PROTOCOL_ERROR:
            refuse(b);
            return answered;
        case RESP_NO_MEMORY:
            b->reply->failed = true;
            return answered;
        }
    }
    return answered;
}

static void replace_replies(struct resp_batch *b, size_t answered, enum kv_status status)
{
    resp_reply_clear(b->reply);
    for (size_t i = 0; i < answered; i++)
        resp_error(b->reply,
                   "MISCONF Writes could not be made durable: %s. What this pipeline wrote may be lost.",
                   kv_status_text(status));
    if (b->parser->last == RESP_PROTOCOL_ERROR)
        resp_error(b->reply, "ERR %s", b->parser->error);
}

void resp_batch_run(struct resp_batch *batch)
{
    struct resp_session *session = batch->session;
    session->wrote = false;
    resp_session_is_active(session);
    size_t answered = run_commands(batch);
    if (!session->wrote)
        return;
    // Otherwise a failure shows with the next write.
    if (session->shared->fsync != KV_FSYNC_ALWAYS) {
        if (kv_is_behind(session->shared->store))
            (void)kv_catch_up(session->shared->store);
        return;
    }
    enum kv_status status = kv_sync(session->shared->store);
    if (status != KV_OK)
        replace_replies(batch, answered, status);
}
