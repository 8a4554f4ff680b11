#include "keyserver/upgrade.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "keyserver/control.h"
#include "keyserver/listener.h"

#define BACKLOG 1024

enum name { SKI, MIGRATION, ADMIN, REDIS, CONTROL, UPGRADE, NAMES };

static const char *const names[] = {[SKI] = "ski",     [MIGRATION] = "migration", [ADMIN] = "admin",
                                    [REDIS] = "redis", [CONTROL] = "control",     [UPGRADE] = "upgrade"};

// What options_check() sees to for addresses: peers of `control` are known by their credentials, those of `migration` by
// their address, and `redis` has no TLS.
static bool is_fit(const struct inherited_socket *socket, struct error *e)
{
    struct net_addr bound = {.len = sizeof bound.ss};
    char text[NET_ADDR_TEXT];
    if (getsockname(socket->fd, (struct sockaddr *)&bound.ss, &bound.len) != 0)
        bound.ss.ss_family = AF_UNSPEC;
    const char *expected = NULL;
    if (strcmp(socket->name, names[CONTROL]) == 0 && bound.ss.ss_family != AF_UNIX)
        expected = "a Unix socket";
    else if (strcmp(socket->name, names[REDIS]) == 0 && !net_addr_is_loopback(&bound))
        expected = "a loopback address";
    else if (strcmp(socket->name, names[MIGRATION]) == 0 && bound.ss.ss_family == AF_UNIX)
        expected = "an IP address";
    if (expected != NULL)
        error_set(e, "socket %s of the service manager: found %s, expected %s", socket->name,
                  net_addr_format((const struct sockaddr *)&bound.ss, bound.len, text), expected);
    return expected == NULL;
}

bool upgrade_from_manager(struct inherited *set, struct error *e)
{
    static const char *const known[] = {"ski", "migration", "admin", "redis", "control", NULL};
    if (!inherit_from_manager(set, known, e))
        return false;
    for (unsigned i = 0; i < set->count; i++)
        if (!is_fit(&set->sockets[i], e))
            return false;
    return true;
}

bool upgrade_address(const struct options *o, char *text, size_t size)
{
    struct net_addr addr;
    struct error why;
    if (o->upgrade != NULL && strcmp(o->upgrade, "off") == 0)
        return false;
    if (o->upgrade != NULL)
        (void)snprintf(text, size, "%s", o->upgrade);
    else
        (void)snprintf(text, size, "unix:%s/upgrade.sock", o->store);
    if (o->upgrade != NULL || net_addr_parse(text, &addr, &why))
        return true;
    log_warn("no_upgrade_socket", "reason=\"%s\" note=\"--upgrade names another place\"", why.text);
    return false;
}

// What the option of a socket says. False: it is not wanted.
static bool address_of(const struct options *o, enum name name, char text[static HANDOVER_ADDRESS_MAX])
{
    struct net_addr addr;
    const char *const values[NAMES] = {
        [SKI] = o->listen, [MIGRATION] = o->migration_listen, [ADMIN] = o->admin, [REDIS] = o->redis_listen};
    if (name == UPGRADE)
        return upgrade_address(o, text, HANDOVER_ADDRESS_MAX);
    if (name == CONTROL)
        return control_wanted(o) && control_address(o, &addr, text, HANDOVER_ADDRESS_MAX, NULL);
    if (values[name] != NULL)
        (void)snprintf(text, HANDOVER_ADDRESS_MAX, "%s", values[name]);
    return values[name] != NULL;
}

// ---- the new one

// What is not there is opened now, while the other one can still go on.
static bool have_socket(const struct options *o, enum name name, struct takeover *other,
                        struct inherited *set, struct error *e)
{
    char text[HANDOVER_ADDRESS_MAX];
    struct net_addr addr;
    if (inherit_has(set, names[name]) || !address_of(o, name, text))
        return true;
    if (!takeover_socket(other, names[name], text, set, e))
        return false;
    if (inherit_has(set, names[name]))
        return true;
    int fd = net_addr_parse(text, &addr, e) ? net_listen(&addr, BACKLOG, NULL, e) : -1;
    return fd >= 0 && inherit_add(set, names[name], fd, false, e);
}

static bool have_sockets(const struct options *o, struct takeover *other, struct inherited *set,
                         struct error *e)
{
    for (int name = 0; name < NAMES; name++)
        if (!have_socket(o, (enum name)name, other, set, e))
            return false;
    return true;
}

// The store would be closed by the one, and no key in it opened by the other.
static bool has_master_key(const struct seal_key *key, const char *id, struct error *e)
{
    char own[HANDOVER_KEY_ID];
    for (; id[0] != '\0' && key != NULL; key = seal_key_next(key)) {
        seal_key_id(key, own);
        if (strcmp(own, id) == 0)
            return true;
    }
    if (id[0] != '\0')
        error_set(e, "--master-key: found another key than %s, which the running server seals under", id);
    return id[0] == '\0';
}

bool upgrade_take_over(const struct options *o, const struct seal_key *master, struct inherited *set,
                       uint64_t *told_ns, struct error *e)
{
    struct takeover *other;
    char text[HANDOVER_ADDRESS_MAX], version[160];
    *told_ns = 0;
    if (!o->take_over || !upgrade_address(o, text, sizeof text))
        return true;
    if (!takeover_ask(text, &other, e))
        return false;
    if (other == NULL) {
        log_info("nobody_to_take_over", "addr=%s", text);
        return true;
    }
    bool good = has_master_key(master, takeover_master_key(other), e) && have_sockets(o, other, set, e);
    *told_ns = clock_ns();
    good = good && takeover_go(other, e);
    if (good) {
        notify_set_watchdog_us(takeover_watchdog_us(other));
        log_info("taking_over", "version=%s waited_ms=%llu",
                 log_quote(takeover_version(other), version, sizeof version),
                 (unsigned long long)((clock_ns() - *told_ns) / 1000000));
    }
    takeover_end(&other);
    return good;
}

// ---- the old one

void upgrade_offer(const struct server *server, const struct admin *admin, const struct handover *handover,
                   struct handover_message *message, int fds[static HANDOVER_SOCKETS])
{
    const int open[] = {[SKI] = listener_socket(server, false),
                        [MIGRATION] = listener_socket(server, true),
                        [ADMIN] = admin != NULL ? admin_socket(admin) : -1,
                        [REDIS] = control_socket(server, false),
                        [CONTROL] = control_socket(server, true),
                        [UPGRADE] = handover != NULL ? handover_socket(handover) : -1};
    message->watchdog_us = notify_watchdog_us();
    if (server->master != NULL)
        seal_key_id(server->master, message->master_key);
    for (int name = 0; name < NAMES; name++) {
        struct handover_socket *socket = &message->sockets[message->count];
        if (open[name] < 0 || !address_of(server->options, (enum name)name, socket->addr))
            continue;
        (void)snprintf(socket->name, sizeof socket->name, "%s", names[name]);
        socket->keeps_file = name == CONTROL || name == REDIS ? control_keeps_file(server) : false;
        fds[message->count++] = open[name];
    }
}
