#include "keyserver/control.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "kvstore/kvstore_elastic.h"

// The cache of decoded keys compares versions at every use and would not serve the old key anyway; this is so
// that its secret numbers leave memory now.
static void on_change(void *arg, const void *key, size_t len)
{
    struct server *server = arg;
    char name[KEYRECORD_NAME_LEN + 1];

    metric_add(server->stats.changes, 1);
    if (len > KEYRECORD_NAME_LEN)
        return;
    memcpy(name, key, len);
    name[len] = '\0';
    keycache_remove(server->cache, name);
}

bool control_address(const struct options *o, struct net_addr *addr, char *text, size_t len, struct error *e)
{
    if (o->control != NULL)
        (void)snprintf(text, len, "%s", o->control);
    else
        (void)snprintf(text, len, "unix:%s/control.sock", o->store);
    return net_addr_parse(text, addr, e);
}

bool control_wanted(const struct options *o)
{
    return o->control == NULL || strcmp(o->control, "off") != 0;
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
        .most_memory = kvstore_elastic_most,
        .most_memory_arg = server->scaler,
    };
    char text[4096 + 32];

    if (!control_wanted(o))
        return true;
    if (!control_address(o, &options.listen, text, sizeof text, e))
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
