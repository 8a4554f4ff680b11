// SUBSCRIBE and its kin, PUBLISH, PUBSUB.
#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/pubsub.h"
#include "kvstore/resp/store.h"
#include "kvstore/resp/transactions.h"

// What SUBSCRIBE and the like confirm: channels and patterns count together.
static int64_t count_shown(const struct resp_session *session, enum resp_pubsub_kind kind)
{
    if (kind == RESP_SHARD_CHANNELS)
        return resp_pubsub_count(session, kind);
    return (int64_t)resp_pubsub_count(session, RESP_CHANNELS) + resp_pubsub_count(session, RESP_PATTERNS);
}

// name NULL: none.
static void confirm(struct resp_call *call, const char *what, enum resp_pubsub_kind kind,
                    const struct resp_arg *name)
{
    call->session->reply_is_push = true;
    resp_push(call->reply, 3);
    resp_bulk_text(call->reply, what);
    if (name != NULL)
        resp_bulk(call->reply, name->data, name->len);
    else
        resp_null(call->reply);
    resp_integer(call->reply, count_shown(call->session, kind));
}

static void subscribe(struct resp_call *call, const char *what, enum resp_pubsub_kind kind)
{
    for (size_t i = 1; i < call->argc; i++) {
        switch (resp_pubsub_subscribe(call->session, kind, &call->args[i])) {
        case RESP_LINK_NEW:
        case RESP_LINK_OLD:
            confirm(call, what, kind, &call->args[i]);
            break;
        case RESP_LINK_TOO_MANY:
            resp_error(call->reply, "ERR too many subscriptions: their names may take %u bytes",
                       RESP_PUBSUB_BYTES);
            return;
        case RESP_LINK_NO_MEMORY:
            resp_store_error(call, KV_NO_MEMORY);
            return;
        }
    }
}

static void unsubscribe_all(struct resp_call *call, const char *what, enum resp_pubsub_kind kind)
{
    const struct resp_link_name *name = resp_pubsub_first(call->session, kind);
    if (name == NULL)
        confirm(call, what, kind, NULL);
    for (; name != NULL; name = resp_pubsub_first(call->session, kind)) {
        // The name goes with its last listener, and with it the bytes that are to be shown.
        struct resp_reply line;
        if (!resp_list_begin(call->reply, &line)) {
            resp_pubsub_clear(call->session); // the reply is broken, and the connection will be closed
            return;
        }
        resp_bulk(&line, name->data, name->len);
        (void)resp_pubsub_unsubscribe(call->session, kind, &(struct resp_arg){name->data, name->len});
        call->session->reply_is_push = true;
        resp_push(call->reply, 3);
        resp_bulk_text(call->reply, what);
        resp_reply_append(call->reply, &line);
        resp_reply_deinit(&line);
        resp_integer(call->reply, count_shown(call->session, kind));
    }
}

static void unsubscribe(struct resp_call *call, const char *what, enum resp_pubsub_kind kind)
{
    if (call->argc == 1)
        unsubscribe_all(call, what, kind);
    for (size_t i = 1; i < call->argc; i++) {
        (void)resp_pubsub_unsubscribe(call->session, kind, &call->args[i]);
        confirm(call, what, kind, &call->args[i]);
    }
}

void resp_cmd_subscribe(struct resp_call *call)
{
    subscribe(call, "subscribe", RESP_CHANNELS);
}

void resp_cmd_psubscribe(struct resp_call *call)
{
    subscribe(call, "psubscribe", RESP_PATTERNS);
}

void resp_cmd_ssubscribe(struct resp_call *call)
{
    if (resp_transaction_is_running(call->session)) // as Redis; SUBSCRIBE it allows for old clients' sake
        resp_error(call->reply, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
    else
        subscribe(call, "ssubscribe", RESP_SHARD_CHANNELS);
}

void resp_cmd_unsubscribe(struct resp_call *call)
{
    unsubscribe(call, "unsubscribe", RESP_CHANNELS);
}

void resp_cmd_punsubscribe(struct resp_call *call)
{
    unsubscribe(call, "punsubscribe", RESP_PATTERNS);
}

void resp_cmd_sunsubscribe(struct resp_call *call)
{
    unsubscribe(call, "sunsubscribe", RESP_SHARD_CHANNELS);
}

// ---- publishing

static void publish(struct resp_call *call, enum resp_pubsub_kind kind)
{
    size_t receivers = resp_pubsub_publish(call->session->shared, kind, &call->args[1], &call->args[2]);
    resp_integer(call->reply, (int64_t)receivers);
}

void resp_cmd_publish(struct resp_call *call)
{
    publish(call, RESP_CHANNELS);
}

void resp_cmd_spublish(struct resp_call *call)
{
    publish(call, RESP_SHARD_CHANNELS);
}

// ---- PUBSUB

struct listing {
    struct resp_reply list;
    const struct resp_arg *pattern; // NULL: all
    size_t count;
};

static void list_name(void *arg, const struct resp_arg *name)
{
    struct listing *listing = arg;
    const struct resp_arg *pattern = listing->pattern;
    if (pattern != NULL && !resp_glob(pattern->data, pattern->len, name->data, name->len, false))
        return;
    resp_bulk(&listing->list, name->data, name->len);
    listing->count++;
}

static void reply_channels(struct resp_call *call, enum resp_pubsub_kind kind)
{
    struct listing listing = {.pattern = call->argc > 2 ? &call->args[2] : NULL};
    if (call->argc > 3) {
        resp_error(
            call->reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try PUBSUB HELP.",
            (int)(call->args[1].len < 128 ? call->args[1].len : 128), (const char *)call->args[1].data);
        return;
    }
    if (!resp_list_begin(call->reply, &listing.list))
        return;
    resp_pubsub_each(call->session->shared, kind, list_name, &listing);
    resp_list_finish(call->reply, &listing.list, listing.count);
}

static void reply_numsub(struct resp_call *call, enum resp_pubsub_kind kind)
{
    resp_array(call->reply, (call->argc - 2) * 2);
    for (size_t i = 2; i < call->argc; i++) {
        resp_bulk(call->reply, call->args[i].data, call->args[i].len);
        resp_integer(call->reply,
                     (int64_t)resp_pubsub_listeners(call->session->shared, kind, &call->args[i]));
    }
}

void resp_cmd_pubsub_channels(struct resp_call *call)
{
    reply_channels(call, RESP_CHANNELS);
}

void resp_cmd_pubsub_numpat(struct resp_call *call)
{
    resp_integer(call->reply, (int64_t)resp_pubsub_names(call->session->shared, RESP_PATTERNS));
}

void resp_cmd_pubsub_numsub(struct resp_call *call)
{
    reply_numsub(call, RESP_CHANNELS);
}

void resp_cmd_pubsub_shardchannels(struct resp_call *call)
{
    reply_channels(call, RESP_SHARD_CHANNELS);
}

void resp_cmd_pubsub_shardnumsub(struct resp_call *call)
{
    reply_numsub(call, RESP_SHARD_CHANNELS);
}
