// Patterns, addresses and the decision itself. Pure.
#include "keyserver/access_internal.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// ---- patterns

bool access_pattern_matches(const struct access_pattern *pattern, const char *text)
{
    size_t len = strlen(text), wanted = strlen(pattern->text);
    switch (pattern->how) {
    case ACCESS_EXACT:
        return strcmp(text, pattern->text) == 0;
    case ACCESS_PREFIX:
        return strncmp(text, pattern->text, wanted) == 0;
    case ACCESS_HOST:
        return strcasecmp(text, pattern->text) == 0;
    case ACCESS_SUFFIX:
        return len > wanted && strcasecmp(text + len - wanted, pattern->text) == 0;
    }
    return false;
}

// A rule may list thousands of fingerprints, and is looked at for each request.
static int compare_patterns(const void *a, const void *b)
{
    const struct access_pattern *x = a, *y = b;
    return x->what != y->what ? (x->what > y->what) - (x->what < y->what) : strcmp(x->text, y->text);
}

static int compare_text(const void *text, const void *pattern)
{
    return strcmp(text, ((const struct access_pattern *)pattern)->text);
}

void access_sort_keys(struct access_patterns *keys)
{
    if (keys->count > 0)
        qsort(keys->items, keys->count, sizeof keys->items[0], compare_patterns);
    while (keys->spki_count < keys->count && keys->items[keys->spki_count].what == ACCESS_KEY_SPKI)
        keys->spki_count++;
}

static bool spki_listed(const struct access_patterns *keys, const char *spki)
{
    return keys->spki_count > 0 &&
           bsearch(spki, keys->items, keys->spki_count, sizeof keys->items[0], compare_text) != NULL;
}

// Whether one of the patterns of a kind matches.
static bool one_matches(const struct access_patterns *patterns, enum access_what what, const char *text)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (patterns->items[i].what == what && access_pattern_matches(&patterns->items[i], text))
            return true;
    return false;
}

static bool has_kind(const struct access_patterns *patterns, enum access_what what)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (patterns->items[i].what == what)
            return true;
    return false;
}

bool access_edge_matches(const struct access_rule *rule, const struct access_edge *edge)
{
    enum access_identity kind;
    const char *text;
    // Without a certificate: its own rules, and what is denied to everybody.
    if (edge->migration)
        return rule->migration || (!rule->allow && rule->edges.count == 0);
    if (rule->migration)
        return false;
    if (rule->edges.count == 0)
        return true;
    for (size_t at = 0; access_edge_next(edge, &at, &kind, &text);)
        if (one_matches(&rule->edges, (enum access_what)kind, text))
            return true;
    return false;
}

// ---- addresses

bool access_ip(const struct net_addr *addr, uint8_t ip[static 16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr->ss;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&addr->ss;
    switch (addr->ss.ss_family) {
    case AF_INET:
        memcpy(ip, mapped, sizeof mapped);
        memcpy(ip + sizeof mapped, &v4->sin_addr, 4);
        return true;
    case AF_INET6:
        memcpy(ip, &v6->sin6_addr, 16);
        return true;
    default:
        return false;
    }
}

bool access_net_holds(const struct access_net *net, const uint8_t ip[static 16])
{
    unsigned bytes = net->bits / 8, rest = net->bits % 8;
    return memcmp(net->ip, ip, bytes) == 0 &&
           (rest == 0 || ((net->ip[bytes] ^ ip[bytes]) >> (8 - rest)) == 0);
}

// ---- keys

enum truth { NO, YES, UNKNOWN };

// What is known of a key from the request alone.
static enum truth key_asked(const struct access_rule *rule, const char *spki)
{
    if (rule->keys.count == 0)
        return YES;
    if (spki[0] == '\0')
        return NO; // no key has this name
    if (spki_listed(&rule->keys, spki))
        return strlen(spki) == KEYRECORD_NAME_LEN ? YES : UNKNOWN; // a shorter one may be an alias
    if (has_kind(&rule->keys, ACCESS_KEY_NAME) || has_kind(&rule->keys, ACCESS_KEY_LABEL))
        return UNKNOWN;
    return strlen(spki) == KEYRECORD_NAME_LEN ? NO : UNKNOWN;
}

// An allow rule wants every name of the key to fit, a deny rule one.
static bool names_match(const struct access_rule *rule, const char *names, unsigned count)
{
    unsigned fit = 0;
    for (unsigned i = 0; i < count; i++, names += strlen(names) + 1)
        fit += one_matches(&rule->keys, ACCESS_KEY_NAME, names);
    return rule->allow ? fit > 0 && fit == count : fit > 0;
}

static enum truth key_found(const struct access_rule *rule, const struct access_key *key)
{
    const struct keyrecord_traits *traits = key->traits;
    if (rule->keys.count == 0 || spki_listed(&rule->keys, key->name))
        return YES;
    if (traits == NULL)
        return NO;
    if (names_match(rule, traits->text, traits->name_count))
        return YES;
    const char *text = traits->text;
    for (unsigned i = 0; i < traits->name_count; i++)
        text += strlen(text) + 1;
    for (unsigned i = 0; i < traits->label_count; i++, text += strlen(text) + 1)
        if (one_matches(&rule->keys, ACCESS_KEY_LABEL, text))
            return YES;
    return NO;
}

// ---- the decision

const char *access_reason_word(enum access_reason reason)
{
    static const char *const words[ACCESS_REASONS] = {"edge", "address", "method", "protocol",
                                                      "key",  "rule",    "rate"};
    return words[reason];
}

struct walk {                 // over the rules
    bool may_allow, may_deny; // a rule behind us that depends on the key
    enum access_reason best;
};

static void note(struct walk *walk, const struct access_rule *rule, enum access_reason failed)
{
    if (rule->allow && failed > walk->best)
        walk->best = failed;
}

// A rule whose edge and address hold. True: it decides, or leaves it undecided for good.
static bool look_at(struct walk *walk, const struct access_rule *rule, const struct access_ask *ask,
                    const struct access_key *key, struct access_verdict *verdict)
{
    if ((rule->methods >> ask->method & 1) == 0) {
        note(walk, rule, ACCESS_BY_METHOD);
        return false;
    }
    if ((rule->protocols >> ask->protocol & 1) == 0) {
        note(walk, rule, ACCESS_BY_PROTOCOL);
        return false;
    }
    enum truth holds = key != NULL ? key_found(rule, key) : key_asked(rule, ask->spki);
    if (holds != YES)
        note(walk, rule, ACCESS_BY_KEY);
    if (holds == UNKNOWN) {
        walk->may_allow |= rule->allow;
        walk->may_deny |= !rule->allow;
    }
    if (holds != YES)
        return false;
    if (rule->allow ? walk->may_allow || walk->may_deny : walk->may_allow) {
        verdict->outcome = ACCESS_UNDECIDED;
        return true;
    }
    // A denial that depends on the key, then one that does not: denied, and which line it was does not matter.
    verdict->outcome = rule->allow ? ACCESS_ALLOW : ACCESS_DENY;
    verdict->reason = ACCESS_BY_RULE;
    verdict->line = rule->line;
    return true;
}

struct access_verdict access_decide(const struct access_pass *pass, const struct access_ask *ask,
                                    const struct access_key *key)
{
    struct walk walk = {.best = pass->best};
    struct access_verdict verdict = {.outcome = ACCESS_DENY};
    for (unsigned word = 0; word < ACCESS_WORDS; word++)
        for (uint64_t left = pass->rules[word]; left != 0; left &= left - 1) {
            verdict.rule = 64 * word + (unsigned)__builtin_ctzll(left);
            if (look_at(&walk, &pass->policy->rules[verdict.rule], ask, key, &verdict))
                return verdict;
        }
    verdict.outcome = walk.may_allow ? ACCESS_UNDECIDED : ACCESS_DENY;
    verdict.reason = walk.best;
    return verdict;
}
