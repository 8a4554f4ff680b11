#include "keyserver/control.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

static void on_change(void *arg, const void *key, size_t len)
{
    struct server *server = arg;
    (void)key;
    (void)len;
    // The cache of decoded keys needs no telling: it compares versions at every use.
    metric_add(server->stats.changes, 1);
}

bool control_start(struct server *server, struct error *e)
{
    const struct options *o = server->options;
    struct resp_server_options options = {
        .fsync = (enum kv_fsync)o->fsync,
        .max_clients = 64,
        .output_limit_bytes = 64u << 20,
        .limits = {.max_args = 4096, .max_bulk_bytes = 2 * KEYRECORD_MAX_LEN, .max_query_bytes = 16u << 20},
        .on_change = on_change,
        .on_change_arg = server,
    };
    char text[4096 + 32];

    if (o->control != NULL && strcmp(o->control, "off") == 0)
        return true;
    if (o->control != NULL && strncmp(o->control, "unix:", 5) != 0) {
        error_set(e, "--control %s: found no Unix socket, expected unix:PATH or off", o->control);
        return false;
    }
    if (o->control != NULL)
        (void)snprintf(text, sizeof text, "%s", o->control);
    else
        (void)snprintf(text, sizeof text, "unix:%s/control.sock", o->store);
    if (!net_addr_parse(text, &options.listen, e))
        return false;
    server->control = resp_server_create(server->store, &options, e);
    if (server->control == NULL || !resp_server_start(server->control, e))
        return false;
    log_info("control_listening", "addr=%s", text);
    return true;
}

void control_stop(struct server *server)
{
    resp_server_destroy(&server->control);
}
