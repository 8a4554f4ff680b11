#include "keyserver/control.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "kvstore/kvstore_elastic.h"
#include "kvstore/resp/access.h"

#define ADDRESS_TEXT    (4096 + 32)
#define CONTROL_CLIENTS 64u
#define REDIS_CLIENTS   64u // besides

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

// ---- the password

// On a reload the running server's listener decides whether there is one to be had.
static bool load_password(struct resp_access *access, const struct options *o, struct error *e)
{
    if (o->redis_password_file != NULL)
        return resp_access_load_password(access, o->redis_password_file, e);
    error_set(e, "--redis-listen: needs --redis-password-file");
    return false;
}

static bool check_password(const struct options *o, struct error *e)
{
    struct resp_access trial = {0};
    if (!resp_access_init(&trial)) {
        error_set(e, "%s: out of memory", o->redis_password_file);
        return false;
    }
    bool good = load_password(&trial, o, e);
    resp_access_deinit(&trial);
    return good;
}

bool control_check(const struct options *o, struct error *e)
{
    struct net_addr addr;
    char text[ADDRESS_TEXT];
    return (!control_wanted(o) || control_address(o, &addr, text, sizeof text, e)) &&
           (o->redis_listen == NULL || check_password(o, e));
}

bool control_reload(struct server *server, const struct options *fresh, struct error *e)
{
    return server->options->redis_listen == NULL ||
           load_password(resp_server_access(server->control), fresh, e);
}

// ---- the server

// So that `certs rekey` seals under no key that we could not open. Ids stand in clear in every sealed value.
static size_t tell_sealing(void *arg, char *text, size_t size)
{
    const struct server *server = arg;
    const size_t line_len = sizeof "master_key:0123456789abcdef\r\n" - 1;
    char id[17];
    size_t len = 0;
    text[0] = '\0';
    for (const struct seal_key *key = server->master; key != NULL && len + line_len < size;
         key = seal_key_next(key)) {
        seal_key_id(key, id);
        len += (size_t)snprintf(text + len, size - len, "master_key:%s\r\n", id);
    }
    return len;
}

// What would end the process, write files, hold up everyone, or make the store another server's or the other way round.
static const char *const refused[] = {
    "client|pause", "bgrewriteaof",  "bgsave", "cluster|failover", "config|rewrite", "debug",    "failover",
    "module|load",  "module|loadex", "psync",  "replconf",         "replicaof",      "shutdown", "save",
    "slaveof",      "sync",          NULL};

// Its socket, if it is open already.
static void inherit(struct server *server, const char *name, struct resp_listen *listen)
{
    int fd = inherit_take(server->inherited, name, &listen->keeps_file);
    listen->fd = fd > 0 ? fd : 0;
    server->keeps_socket_files |= listen->keeps_file;
}

static void set_first(struct resp_server_options *options, const struct resp_listen *listen)
{
    options->listen = listen->addr;
    options->listen_trusted = listen->trusted;
    options->listen_fd = listen->fd;
    options->listen_keeps_file = listen->keeps_file;
}

// The listener with the password first: its port is the one that INFO shows.
static bool set_listeners(struct server *server, struct resp_server_options *options,
                          char text[static ADDRESS_TEXT], struct error *e)
{
    const struct options *o = server->options;
    struct resp_listen control = {.trusted = true}, tools = {.trusted = false};
    bool redis = o->redis_listen != NULL;
    if (control_wanted(o) && !control_address(o, &control.addr, text, ADDRESS_TEXT, e))
        return false;
    if (redis && !net_addr_parse(o->redis_listen, &tools.addr, e))
        return false;
    if (control_wanted(o))
        inherit(server, "control", &control);
    if (redis)
        inherit(server, "redis", &tools);
    set_first(options, redis ? &tools : &control);
    if (redis && control_wanted(o))
        options->more[options->more_count++] = control;
    return true;
}

static bool set_password(struct server *server, struct error *e)
{
    struct resp_access *access = resp_server_access(server->control);
    if (server->options->redis_listen == NULL)
        return true;
    atomic_store(&access->needs_password, true); // nobody takes it away by CONFIG SET
    return load_password(access, server->options, e);
}

static void log_listening(const struct server *server, const char *control)
{
    struct net_addr bound;
    char text[NET_ADDR_TEXT];
    if (control_wanted(server->options))
        log_info("control_listening", "addr=%s", control);
    if (server->options->redis_listen == NULL)
        return;
    resp_server_address(server->control, &bound);
    log_info("redis_listening", "addr=%s",
             net_addr_format((const struct sockaddr *)&bound.ss, bound.len, text));
}

bool control_start(struct server *server, struct error *e)
{
    const struct options *o = server->options;
    struct resp_server_options options = {
        .fsync = (enum kv_fsync)o->fsync,
        .max_clients = o->redis_listen != NULL ? CONTROL_CLIENTS + REDIS_CLIENTS : CONTROL_CLIENTS,
        .kept_clients = control_wanted(o) ? CONTROL_CLIENTS : 0,
        .output_limit_bytes = 64u << 20,
        .limits = {.max_args = 4096, .max_bulk_bytes = 2 * KEYRECORD_MAX_LEN, .max_query_bytes = 16u << 20},
        .databases = 1, // the keys that we serve
        .refused = refused,
        .on_change = on_change,
        .on_change_arg = server,
        .most_memory = kvstore_elastic_most,
        .most_memory_arg = server->scaler,
        .buffer_limit = kvstore_elastic_buffers,
        .buffer_limit_arg = server->scaler,
        .hooks = {.arg = server, .sealing = tell_sealing},
    };
    char text[ADDRESS_TEXT];

    if (!control_wanted(o) && o->redis_listen == NULL)
        return true;
    if (!set_listeners(server, &options, text, e))
        return false;
    server->control = resp_server_create(server->store, &options, e);
    if (server->control == NULL || !set_password(server, e) || !resp_server_start(server->control, e))
        return false;
    log_listening(server, text);
    return true;
}

int control_socket(const struct server *server, bool for_certs)
{
    const struct options *o = server->options;
    bool redis = o->redis_listen != NULL;
    if (server->control == NULL || !(for_certs ? control_wanted(o) : redis))
        return -1;
    return resp_server_socket(server->control, for_certs && redis ? 1 : 0);
}

bool control_keeps_file(const struct server *server)
{
    return server->keeps_socket_files;
}

void control_leave_files(struct server *server)
{
    if (server->control != NULL)
        resp_server_keep_files(server->control);
}

void control_stop(struct server *server)
{
    resp_server_destroy(&server->control);
}
