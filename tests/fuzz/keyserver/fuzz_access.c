// Policies: text that is taken has rules in order and within bounds, decides every request, and the door says nothing
// that the key does not bear out; text that is refused is told with its line.
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/access_internal.h"
#include "keyserver/access_migration.h"

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PIN   "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
#define ALIAS "0123456789ABCDEF0123456789ABCDEF01234567"

static const struct { // names, then labels
    const char *name, text[32];
    unsigned names, labels;
} keys[] = {{PIN, "a.test\0b.a.test\0l", 2, 1}, {ALIAS, "", 0, 0}};

static void check_rules(const struct access_policy *policy)
{
    unsigned line = 0;
    REQUIRE(policy->rule_count <= ACCESS_RULES_MAX);
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct access_rule *r = &policy->rules[i];
        REQUIRE(r->line > line && r->methods != 0 && r->protocols != 0);
        REQUIRE((r->interval_ns == 0) == (r->burst == 0) && (r->allow || r->interval_ns == 0));
        REQUIRE(r->interval_ns == 0 || policy->buckets != NULL);
        for (size_t n = 0; n < r->net_count; n++)
            REQUIRE(r->nets[n].bits <= 128);
        REQUIRE(!r->migration || r->edges.count == 0);
        REQUIRE(!r->migration || !r->allow || (r->net_count > 0 && r->keys.count > 0 && r->methods != ~0u));
        for (size_t p = 0; p < r->edges.count; p++)
            REQUIRE(r->edges.items[p].what <= ACCESS_EDGE_SPKI && r->edges.items[p].text[0] != '\0');
        for (size_t p = 0; p < r->keys.count; p++)
            REQUIRE(r->keys.items[p].what >= ACCESS_KEY_SPKI && r->keys.items[p].text[0] != '\0');
        line = r->line;
    }
}

static void check_request(const struct access_pass *pass, const struct access_ask *ask,
                          const struct access_key *key)
{
    struct access_verdict door = access_decide(pass, ask, NULL), at_key = access_decide(pass, ask, key);
    REQUIRE(at_key.outcome != ACCESS_UNDECIDED);
    REQUIRE(door.outcome == ACCESS_UNDECIDED || door.outcome == at_key.outcome);
    REQUIRE(door.outcome != ACCESS_ALLOW || door.line == at_key.line);
    REQUIRE(at_key.outcome != ACCESS_ALLOW || at_key.line != 0);
    access_take(pass, &at_key, 1000000000);
    REQUIRE(at_key.outcome != ACCESS_UNDECIDED && at_key.reason < ACCESS_REASONS);
}

// What is allowed without a certificate a rule for that has allowed, and one for certificates otherwise.
static void check_listener(const struct access_policy *policy, bool migration,
                           const struct access_verdict *verdict)
{
    if (verdict->outcome != ACCESS_ALLOW)
        return;
    const struct access_rule *rule = &policy->rules[verdict->rule];
    REQUIRE(rule->allow && rule->migration == migration);
}

static void check_described(const struct access_policy *policy)
{
    struct access_migration_text text;
    size_t n = 0;
    for (; access_migration_describe(policy, n, &text); n++)
        REQUIRE(text.line > 0 && text.from[0] != '\0' && text.keys[0] != '\0' && text.methods[0] != '\0');
    REQUIRE(n == access_migration_rules(policy));
}

static void check_decisions(struct access_policy *policy, const struct net_addr *addr, bool migration)
{
    static struct access_edge edge;
    struct keyrecord_traits *found = malloc(sizeof *found + sizeof keys[0].text);
    edge = (struct access_edge){0};
    (void)access_edge_add(&edge, ACCESS_DNS, "e.test", 6);
    (void)access_edge_add(&edge, ACCESS_SUBJECT, "CN=e", 4);
    if (migration)
        access_migration_edge(&edge);
    struct access_pass *pass = access_pass_create(policy, &edge, addr);
    REQUIRE(pass != NULL && found != NULL);
    for (size_t k = 0; k < 2; k++)
        for (unsigned mp = 0; mp < 2 * SKI_PROTOCOLS; mp++)
            for (unsigned alias = 0; alias < 2; alias++) {
                const struct access_ask ask = {.method = (enum ski_method)(mp % 2),
                                               .protocol = (enum ski_protocol)(mp / 2),
                                               .spki = alias ? ALIAS : keys[k].name};
                const struct access_key key = {.name = keys[k].name, .traits = found};
                found->name_count = keys[k].names;
                found->label_count = keys[k].labels;
                memcpy(found->text, keys[k].text, sizeof keys[k].text);
                check_request(pass, &ask, &key);
                struct access_verdict verdict = access_decide(pass, &ask, &key);
                check_listener(policy, migration, &verdict);
                REQUIRE(!migration || addr == NULL || verdict.outcome != ACCESS_ALLOW ||
                        access_migration_lists(policy, addr));
            }
    access_pass_destroy(&pass);
    free(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct error e = {""};
    struct net_addr addr = {.len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *in = (struct sockaddr_in *)&addr.ss;
    struct access_policy *policy = access_parse("p", (const char *)data, len, &e);
    if (policy == NULL) {
        REQUIRE(strncmp(e.text, "p:", 2) == 0 && strstr(e.text, "expected ") != NULL);
        return 0;
    }
    check_rules(policy);
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(0x0a010203);
    check_decisions(policy, &addr, false);
    check_decisions(policy, NULL, false);
    check_decisions(policy, &addr, true);
    check_described(policy);
    access_unref(&policy);
    return 0;
}
