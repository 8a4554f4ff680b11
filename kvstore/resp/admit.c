#include "kvstore/resp/admit.h"

#include <string.h>

#include "kvstore/resp/handlers.h"
#include "kvstore/resp/pubsub.h"
#include "kvstore/resp/tracking.h"
#include "kvstore/resp/transactions.h"

// False, always: an error was replied, and the transaction is spoilt.
static bool refuse(struct resp_call *call, const char *why)
{
    resp_transaction_refuse(call->session);
    resp_error(call->reply, "%s", why);
    return false;
}

void resp_admit_rejected(struct resp_call *call, const struct resp_mark *before)
{
    if (call->command == NULL || call->command->handler != resp_cmd_exec) {
        resp_transaction_refuse(call->session);
        return;
    }
    // EXEC itself was wrong: there is no second try.
    resp_transaction_discard(call->session);
    resp_reply_rewind(call->reply, before);
    resp_error(call->reply,
               "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command");
}

static bool may_run_listening(struct resp_call *call)
{
    char name[64];
    if ((call->command->flags & RESP_CMD_WHEN_LISTENING) != 0 || call->reply->proto >= 3 ||
        !resp_pubsub_listens(call->session))
        return true;
    resp_transaction_refuse(call->session);
    resp_error(call->reply,
               "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
               "allowed in this context",
               resp_command_full_name(call->command, call->parent, name, sizeof name));
    return false;
}

// A session that monitors is a replica of a kind to Redis.
static bool may_run_monitoring(struct resp_call *call)
{
    const struct resp_command *command = call->command;
    bool data = (command->flags & (RESP_CMD_WRITE | RESP_CMD_READONLY)) != 0 ||
                command->handler == resp_cmd_publish || command->handler == resp_cmd_spublish;
    if (!data || !atomic_load_explicit(&call->session->monitor, memory_order_relaxed))
        return true;
    return refuse(call, "ERR Replica can't interact with the keyspace");
}

// As an ACL rule would: the server's program has commands that peers of this kind may not run.
static bool may_run_at_all(struct resp_call *call)
{
    const char *const *refused = call->session->shared->refused;
    char name[64];
    if (refused == NULL || (call->command->flags & RESP_CMD_ADMIN) == 0 || call->session->manners.trusted)
        return true;
    (void)resp_command_full_name(call->command, call->parent, name, sizeof name);
    while (*refused != NULL && strcmp(*refused, name) != 0)
        refused++;
    if (*refused == NULL)
        return true;
    resp_transaction_refuse(call->session);
    resp_error(call->reply, "NOPERM this user has no permissions to run the '%s' command", name);
    return false;
}

bool resp_admit(struct resp_call *call)
{
    bool open = resp_transaction_is_open(call->session);
    if ((call->command->flags & RESP_CMD_REFUSED) != 0) {
        resp_transaction_refuse(call->session);
        return true;
    }
    if (open && (call->command->flags & (RESP_CMD_NO_MULTI | RESP_CMD_ALONE)) != 0)
        return refuse(call, "ERR Command not allowed inside a transaction");
    if (!may_run_at_all(call) || !may_run_listening(call) || !may_run_monitoring(call))
        return false;
    if (!open || (call->command->flags & RESP_CMD_NOT_QUEUED) != 0)
        return true;
    resp_transaction_queue(call);
    return false;
}

static bool is_client_command(const struct resp_call *call)
{
    const struct resp_command *command = call->parent != NULL ? call->parent : call->command;
    return command != NULL && strcmp(command->name, "client") == 0;
}

void resp_admit_done(const struct resp_call *call)
{
    struct resp_session *session = call->session;
    unsigned tracking = atomic_load_explicit(&session->tracking, memory_order_relaxed);
    if ((tracking & RESP_TRACKING_CACHING) != 0 && !resp_transaction_is_open(session) &&
        !is_client_command(call))
        atomic_fetch_and(&session->tracking, ~(unsigned)RESP_TRACKING_CACHING);
}
