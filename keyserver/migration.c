#include "keyserver/migration.h"

#include "common/clock.h"
#include "common/log.h"
#include "keyserver/access_migration.h"
#include "keyserver/access_rate.h"

#define RULES_TOLD 16 // one by one

// Of addresses that no rule lists: a handshake and an audit line cost more than the packet that asks for them.
#define STRANGERS_INTERVAL_NS 50000000u
#define STRANGERS_BURST       100

bool migration_check(const struct options *options, const struct access_policy *policy, struct error *e)
{
    if (options->migration_listen == NULL || (policy != NULL && access_migration_rules(policy) > 0))
        return true;
    error_set(e,
              "--migration-listen: found no rule for its clients in %s, expected: allow edge=migration "
              "from=ADDRESSES key=KEYS methods=METHODS",
              options->policy != NULL ? options->policy : "a policy");
    return false;
}

static char *bound_text(const struct server *server, char text[static NET_ADDR_TEXT])
{
    return net_addr_format((const struct sockaddr *)&server->migration_bound.ss, server->migration_bound.len,
                           text);
}

static void announce_rule(const char *addr, const struct access_migration_text *rule)
{
    char from[2 * ACCESS_MIGRATION_TEXT], keys[2 * ACCESS_MIGRATION_TEXT];
    log_warn("migration_rule", "addr=%s policy_line=%u methods=%s from=%s keys=%s", addr, rule->line,
             rule->methods, log_quote(rule->from, from, sizeof from),
             log_quote(rule->keys, keys, sizeof keys));
}

void migration_announce(struct server *server)
{
    struct access_migration_text rule;
    char addr[NET_ADDR_TEXT];
    if (server->migration_listener == NULL)
        return;
    struct access_policy *policy = server_access(server);
    size_t rules = access_migration_rules(policy);
    (void)bound_text(server, addr);
    log_warn("migration_listener", "addr=%s rules=%zu note=\"%s\"", addr, rules,
             rules > 0
                 ? "clients without certificates may use keys; who can send from a listed address is one"
                 : "no rule is for its clients: all are denied");
    for (size_t i = 0; i < RULES_TOLD && access_migration_describe(policy, i, &rule); i++)
        announce_rule(addr, &rule);
    if (rules > RULES_TOLD)
        log_warn("migration_rules", "addr=%s more=%zu", addr, rules - RULES_TOLD);
    access_unref(&policy);
}

bool migration_admits(struct server *server, const struct net_addr *addr, const char **limit)
{
    uint64_t most = server->options->migration_max_connections;
    unsigned now = atomic_load(&server->migration_connections);
    *limit = "migration-max-connections";
    if (now >= most)
        return false;
    struct access_policy *policy = server_access(server);
    bool listed = access_migration_lists(policy, addr);
    access_unref(&policy);
    if (listed)
        return true;
    *limit = "addresses that the policy does not list";
    return now < most / 2 &&
           access_rate_take(&server->migration_strangers, clock_ns(), STRANGERS_INTERVAL_NS, STRANGERS_BURST);
}

// ---- metrics and status

static double read_connections(void *arg)
{
    return atomic_load(&((struct server *)arg)->migration_connections);
}

static size_t rules_now(struct server *server)
{
    struct access_policy *policy = server->migration_listener != NULL ? server_access(server) : NULL;
    size_t rules = policy != NULL ? access_migration_rules(policy) : 0;
    access_unref(&policy);
    return rules;
}

static double read_rules(void *arg)
{
    return (double)rules_now(arg);
}

bool migration_metrics(struct server *server)
{
    struct metrics *m = server->stats.metrics;
    return metrics_gauge(m, "ks_migration_connections", NULL, "Connections of the migration listener now.",
                         read_connections, server) &&
           metrics_gauge(m, "ks_migration_rules", NULL,
                         "Rules of the access policy for its clients; 0 without that listener.", read_rules,
                         server);
}

json_t *migration_status(struct server *server)
{
    const struct stats *s = &server->stats;
    char addr[NET_ADDR_TEXT];
    uint64_t requests = 0;
    if (server->migration_listener == NULL)
        return json_null();
    for (int r = 0; r < SKI_STATUSES; r++)
        requests += metric_value(s->migration[r]);
    return json_pack("{s:s, s:I, s:i, s:I, s:I}", "address", bound_text(server, addr), "rules",
                     (json_int_t)rules_now(server), "connections",
                     (int)atomic_load(&server->migration_connections), "requests", (json_int_t)requests,
                     "denied", (json_int_t)metric_value(s->migration[SKI_DENIED]));
}
