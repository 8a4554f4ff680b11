#include "keyserver/access_migration.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "keyserver/access_internal.h"

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; // IPv4 in IPv6

// A list of addresses must not be everybody's: at least /8 of IPv4, /16 of IPv6.
#define LEAST_BITS_V4 8
#define LEAST_BITS_V6 16

static bool is_v4(const uint8_t ip[static 16])
{
    return memcmp(ip, mapped, sizeof mapped) == 0;
}

static bool is_a_list(const struct access_net *net)
{
    const struct access_net v4 = {.ip = {[10] = 0xff, [11] = 0xff}, .bits = 96};
    bool has_v4 = net->bits < v4.bits ? access_net_holds(net, v4.ip) : is_v4(net->ip);
    return net->bits >= (has_v4 ? v4.bits + LEAST_BITS_V4 : LEAST_BITS_V6);
}

const char *access_migration_fault(const struct access_rule *rule, const char **expected)
{
    *expected =
        "from= with addresses of clients, key= with keys by name, and methods= with RSA, ECDHE or both";
    if (rule->net_count == 0)
        return "edge=migration without from=";
    for (size_t i = 0; i < rule->net_count; i++)
        if (!is_a_list(&rule->nets[i])) {
            *expected = "networks of /8 or smaller for IPv4, of /16 or smaller for IPv6";
            return "edge=migration from= nearly everywhere";
        }
    if (rule->keys.count == 0)
        return "edge=migration with key=any";
    return rule->methods == ~0u ? "edge=migration with methods=any" : NULL;
}

// ---- clients

void access_migration_edge(struct access_edge *edge)
{
    edge->unusable = false;
    edge->migration = true;
    edge->count = 0;
    edge->len = 0;
}

static bool is_for_migration(const struct access_rule *rule)
{
    return rule->allow && rule->migration;
}

size_t access_migration_rules(const struct access_policy *policy)
{
    size_t count = 0;
    for (size_t i = 0; i < policy->rule_count; i++)
        count += is_for_migration(&policy->rules[i]);
    return count;
}

bool access_migration_lists(const struct access_policy *policy, const struct net_addr *addr)
{
    uint8_t ip[16];
    if (!access_ip(addr, ip))
        return false;
    for (size_t i = 0; i < policy->rule_count; i++)
        for (size_t n = 0; is_for_migration(&policy->rules[i]) && n < policy->rules[i].net_count; n++)
            if (access_net_holds(&policy->rules[i].nets[n], ip))
                return true;
    return false;
}

static const char *ip_text(const uint8_t ip[static 16], char text[static INET6_ADDRSTRLEN])
{
    bool v4 = is_v4(ip);
    return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + sizeof mapped : ip, text, INET6_ADDRSTRLEN);
}

void access_migration_name(const struct net_addr *addr, bool listed, char name[static ACCESS_MIGRATION_NAME])
{
    uint8_t ip[16];
    char text[INET6_ADDRSTRLEN];
    if (listed && access_ip(addr, ip))
        (void)snprintf(name, ACCESS_MIGRATION_NAME, ACCESS_MIGRATION_WORD ":%s", ip_text(ip, text));
    else
        (void)snprintf(name, ACCESS_MIGRATION_NAME, ACCESS_MIGRATION_WORD);
}

uint64_t access_migration_id(const struct net_addr *addr)
{
    uint8_t ip[16] = {0};
    (void)access_ip(addr, ip);
    return XXH3_64bits(ip, is_v4(ip) ? 16 : 8);
}

// ---- rules in words

struct writer {
    char *to;
    size_t len, count;
};

static void put(struct writer *w, const char *prefix, const char *star, const char *text, const char *suffix)
{
    char item[256];
    int n = snprintf(item, sizeof item, "%s%s%s%s%s", w->count++ > 0 ? "," : "", prefix, star, text, suffix);
    if (n < 0 || (size_t)n >= sizeof item || w->len + (size_t)n + sizeof ",..." > ACCESS_MIGRATION_TEXT) {
        w->len = ACCESS_MIGRATION_TEXT; // the end: what comes behind does not fit either
        return;
    }
    memcpy(w->to + w->len, item, (size_t)n + 1);
    w->len += (size_t)n;
}

static void end(struct writer *w)
{
    if (w->len == ACCESS_MIGRATION_TEXT)
        (void)strcat(w->to, w->to[0] != '\0' ? ",..." : "...");
}

static void describe_nets(const struct access_rule *rule, char to[static ACCESS_MIGRATION_TEXT])
{
    struct writer w = {.to = to};
    char ip[INET6_ADDRSTRLEN], bits[8];
    to[0] = '\0';
    for (size_t i = 0; i < rule->net_count && w.len < ACCESS_MIGRATION_TEXT; i++) {
        const struct access_net *net = &rule->nets[i];
        bool v4 = is_v4(net->ip) && net->bits >= 96;
        (void)snprintf(bits, sizeof bits, "/%u", v4 ? net->bits - 96 : net->bits);
        put(&w, "", "", ip_text(net->ip, ip), bits);
    }
    end(&w);
}

static void describe_keys(const struct access_rule *rule, char to[static ACCESS_MIGRATION_TEXT])
{
    static const char *const prefixes[] = {
        [ACCESS_KEY_SPKI] = "spki:", [ACCESS_KEY_NAME] = "name:", [ACCESS_KEY_LABEL] = "label:"};
    struct writer w = {.to = to};
    to[0] = '\0';
    for (size_t i = 0; i < rule->keys.count && w.len < ACCESS_MIGRATION_TEXT; i++) {
        const struct access_pattern *key = &rule->keys.items[i];
        put(&w, prefixes[key->what], key->how == ACCESS_SUFFIX ? "*" : "", key->text, "");
    }
    end(&w);
}

static void describe_methods(const struct access_rule *rule, char to[static 16])
{
    bool rsa = (rule->methods >> SKI_METHOD_RSA & 1) != 0,
         ecdhe = (rule->methods >> SKI_METHOD_ECDHE & 1) != 0;
    (void)snprintf(to, 16, "%s%s%s", rsa ? "RSA" : "", rsa && ecdhe ? "," : "", ecdhe ? "ECDHE" : "");
}

bool access_migration_describe(const struct access_policy *policy, size_t n,
                               struct access_migration_text *text)
{
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct access_rule *rule = &policy->rules[i];
        if (!is_for_migration(rule) || n-- > 0)
            continue;
        text->line = rule->line;
        describe_nets(rule, text->from);
        describe_keys(rule, text->keys);
        describe_methods(rule, text->methods);
        return true;
    }
    return false;
}
