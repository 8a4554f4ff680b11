// REPLICAOF, ROLE.
#include <stdio.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/replica.h"

void resp_cmd_replicaof(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    char host[RESP_REPLICA_HOST];
    int64_t port;
    if (shared->replica == NULL) {
        resp_error(call->reply, "ERR This server cannot be a replica");
        return;
    }
    if (resp_arg_is(&call->args[1], "no") && resp_arg_is(&call->args[2], "one")) {
        (void)resp_replica_follow(shared, NULL, 0);
        resp_status(call->reply, "OK");
        return;
    }
    if (!resp_arg_int64(&call->args[2], &port) || port < 0 || port > 65535) {
        resp_error(call->reply, "ERR Invalid master port");
        return;
    }
    const struct resp_arg *name = &call->args[1];
    if (name->len == 0 || name->len >= sizeof host || memchr(name->data, '\0', name->len) != NULL) {
        resp_error(call->reply, "ERR Invalid master host");
        return;
    }
    memcpy(host, name->data, name->len);
    host[name->len] = '\0';
    resp_status(call->reply, resp_replica_follow(shared, host, (unsigned)port)
                                 ? "OK"
                                 : "OK Already connected to specified master");
}

void resp_cmd_role(struct resp_call *call)
{
    struct resp_replica_status status;
    resp_replica_get_status(call->session->shared, &status);
    if (status.state == RESP_REPLICA_NONE) {
        resp_array(call->reply, 3);
        resp_bulk_text(call->reply, "master");
        resp_integer(call->reply, (int64_t)status.offset);
        resp_array(call->reply, 0);
        return;
    }
    resp_array(call->reply, 5);
    resp_bulk_text(call->reply, "slave");
    resp_bulk_text(call->reply, status.host);
    resp_integer(call->reply, (int64_t)status.port);
    resp_bulk_text(call->reply, resp_replica_state_text(status.state));
    resp_integer(call->reply, status.state == RESP_REPLICA_CONNECTED ? (int64_t)status.offset : -1);
}
