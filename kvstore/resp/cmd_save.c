// Commands that give the store away as an RDB.
#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/rdb_save.h"
#include "kvstore/resp/rdb_sync.h"
#include "kvstore/resp/replica.h"
#include "kvstore/resp/store.h"

// Without a folder for it (the key server's control socket): every write is in the log already, so saving is making it durable.
static bool sync_only(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    enum kv_status status = kv_sync(shared->store);
    if (status != KV_OK) {
        resp_store_error(call, status);
        return false;
    }
    atomic_store(&shared->last_save_ms, resp_now_ms(shared));
    return true;
}

void resp_cmd_save(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    struct error e;
    if (shared->saves == NULL) {
        if (sync_only(call))
            resp_status(call->reply, "OK");
    } else if (atomic_load(&shared->saves->in_progress)) {
        resp_error(call->reply, "ERR Background save already in progress");
    } else if (resp_save_now(shared, &e)) {
        resp_status(call->reply, "OK");
    } else {
        resp_error(call->reply, "ERR The RDB could not be saved: %s", e.text);
    }
}

void resp_cmd_bgsave(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    struct error e;
    if (call->argc > 2 || (call->argc == 2 && !resp_arg_is(&call->args[1], "schedule"))) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
    } else if (shared->saves == NULL) {
        if (sync_only(call))
            resp_status(call->reply, "Background saving started");
    } else if (resp_save_begin(shared, &e)) {
        resp_status(call->reply, "Background saving started");
    } else {
        resp_error(call->reply, "ERR %s", e.text);
    }
}

void resp_cmd_lastsave(struct resp_call *call)
{
    resp_integer(call->reply, (int64_t)(atomic_load(&call->session->shared->last_save_ms) / 1000));
}

// ---- SYNC

// False: an error was replied.
static bool may_sync(struct resp_call *call)
{
    const struct resp_session *session = call->session;
    if (session->shared->saves == NULL || session->push == NULL || session->unsent == NULL)
        resp_error(call->reply, "ERR This server gives away no RDB");
    else if (session->replconf.port && !session->replconf.rdb_only)
        resp_error(call->reply,
                   "ERR This server has no replicas: it only gives away an RDB (REPLCONF rdb-only "
                   "1, redis-cli --rdb)");
    else
        return true;
    return false;
}

void resp_cmd_sync(struct resp_call *call)
{
    struct error e;
    if (may_sync(call) && !resp_sync_begin(call->session, &e))
        resp_error(call->reply, "ERR The RDB cannot be sent: %s", e.text);
}

void resp_cmd_psync(struct resp_call *call)
{
    char text[96];
    struct error e;
    int64_t offset;
    if (call->argc != 3) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    }
    if (!resp_arg_int64(&call->args[2], &offset)) {
        resp_error(call->reply, RESP_NOT_INTEGER);
        return;
    }
    if (!may_sync(call))
        return;
    // What the thread pushes comes behind this reply, as the session is this handler's until it has returned.
    struct resp_mark mark = resp_reply_mark(call->reply);
    resp_status(call->reply, resp_replica_full_resync(call->session->shared, text, sizeof text));
    if (resp_sync_begin(call->session, &e))
        return;
    resp_reply_rewind(call->reply, &mark);
    resp_error(call->reply, "ERR The RDB cannot be sent: %s", e.text);
}

// ---- REPLCONF

enum replconf { REPLCONF_OK, REPLCONF_SILENT, REPLCONF_REFUSED };

static enum replconf set_one(struct resp_call *call, const struct resp_arg *name,
                             const struct resp_arg *value)
{
    struct resp_replconf *conf = &call->session->replconf;
    int64_t number = 0;
    bool is_port = resp_arg_is(name, "listening-port"), is_rdb_only = resp_arg_is(name, "rdb-only");
    if (resp_arg_is(name, "ack") || resp_arg_is(name, "getack"))
        return REPLCONF_SILENT; // for those who have replicas, or a primary
    if (resp_arg_is(name, "ip-address") || resp_arg_is(name, "capa"))
        return REPLCONF_OK;
    if (!is_port && !is_rdb_only) {
        resp_error(call->reply, "ERR Unrecognized REPLCONF option: %.*s",
                   (int)(name->len < 128 ? name->len : 128), (const char *)name->data);
        return REPLCONF_REFUSED;
    }
    if (!resp_arg_int64(value, &number)) {
        resp_error(call->reply, RESP_NOT_INTEGER);
        return REPLCONF_REFUSED;
    }
    if (is_port)
        conf->port = true;
    else
        conf->rdb_only = number == 1;
    return REPLCONF_OK;
}

void resp_cmd_replconf(struct resp_call *call)
{
    if (call->argc % 2 == 0) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    }
    for (size_t i = 1; i < call->argc; i += 2)
        if (set_one(call, &call->args[i], &call->args[i + 1]) != REPLCONF_OK)
            return;
    resp_status(call->reply, "OK");
}
