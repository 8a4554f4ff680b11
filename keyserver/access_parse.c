// The language of the access policy: text to rules. Pure; policy.sample.conf explains it.
#include "keyserver/access_internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/access_migration.h"
#include "keyserver/access_words.h"

#define RATE_MAX 1000000u

enum {
    SAID_EDGE = 1,
    SAID_KEY = 2,
    SAID_METHODS = 4,
    SAID_PROTOCOLS = 8,
    SAID_RATE = 16,
    SAID_BURST = 32,
    SAID_FROM = 64
};

struct reader {
    struct access_words words;
    struct access_policy *policy;
    struct access_rule *rule; // the one that further lines may go on with; NULL: none
    unsigned said;            // its conditions
};

static bool fail(const struct reader *r, const char *found, const char *expected)
{
    return access_words_fail(&r->words, r->words.line, found, expected);
}

static bool no_memory(const struct reader *r)
{
    error_set(r->words.error, "%s:%u: out of memory", r->words.name, r->words.line);
    return false;
}

// The array with room for one more behind its count items, zeroed. NULL without memory: it stays as it is.
static void *grow(void *items, size_t count, size_t size)
{
    char *grown = realloc(items, (count + 1) * size);
    if (grown != NULL)
        memset(grown + count * size, 0, size);
    return grown;
}

// ---- patterns

static const struct pattern_kind {
    const char *prefix;
    enum access_what what;
    bool of_edge;
} kinds[] = {
    {"uri:", ACCESS_EDGE_URI, true},         {"dns:", ACCESS_EDGE_DNS, true},
    {"subject:", ACCESS_EDGE_SUBJECT, true}, {"spki:", ACCESS_EDGE_SPKI, true},
    {"spki:", ACCESS_KEY_SPKI, false},       {"name:", ACCESS_KEY_NAME, false},
    {"label:", ACCESS_KEY_LABEL, false},
};

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

// Cuts the "*" off and says how the rest is compared. False: it stands where it cannot.
static bool take_star(struct access_pattern *pattern, char **text)
{
    bool host = pattern->what == ACCESS_EDGE_DNS || pattern->what == ACCESS_KEY_NAME;
    size_t len = strlen(*text);
    pattern->how = host ? ACCESS_HOST : ACCESS_EXACT;
    if (host && strncmp(*text, "*.", 2) == 0 && len > 2) {
        pattern->how = ACCESS_SUFFIX;
        (*text)++;
    } else if (pattern->what == ACCESS_EDGE_URI && len > 1 && (*text)[len - 1] == '*') {
        pattern->how = ACCESS_PREFIX;
        (*text)[len - 1] = '\0';
    }
    return strchr(*text, '*') == NULL;
}

static bool fill_pattern(const struct reader *r, struct access_pattern *pattern, char *text)
{
    char name[KEYRECORD_NAME_LEN + 1];
    switch (pattern->what) {
    case ACCESS_EDGE_SPKI:
    case ACCESS_KEY_SPKI:
        if (!keyrecord_normalise(text, strlen(text), name) ||
            (pattern->what == ACCESS_EDGE_SPKI && strlen(name) != KEYRECORD_NAME_LEN))
            return fail(r, text, "a SHA-256 of a public key in Base64 or hex");
        text = name;
        break;
    case ACCESS_KEY_LABEL:
        if (!keyrecord_label_valid(text, strlen(text)))
            return fail(r, text, "a label of up to 32 letters, digits, '-', '_' and '.'");
        break;
    default:
        if (*text == '\0' || !is_printable(text))
            return fail(r, text, "printable text behind the colon");
        if (!take_star(pattern, &text))
            return fail(r, text, "\"*.\" in front of a dns or name, \"*\" at the end of a uri, or none");
    }
    pattern->text = strdup(text);
    return pattern->text != NULL || no_memory(r);
}

static bool take_pattern(const struct reader *r, struct access_patterns *to, bool of_edge, char *text)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t prefix = strlen(kinds[i].prefix);
        if (kinds[i].of_edge != of_edge || strncmp(text, kinds[i].prefix, prefix) != 0)
            continue;
        struct access_pattern *grown = grow(to->items, to->count, sizeof *grown);
        if (grown == NULL)
            return no_memory(r);
        to->items = grown;
        struct access_pattern *pattern = &grown[to->count++];
        pattern->what = kinds[i].what;
        return fill_pattern(r, pattern, text + prefix);
    }
    return fail(r, text,
                of_edge ? "any, uri:, dns:, subject: or spki:, or migration by itself"
                        : "any, spki:, name: or label:");
}

static bool take_patterns(struct reader *r, struct access_patterns *to, bool of_edge, char *list)
{
    char *text;
    if (strcmp(list, "any") == 0)
        return true;
    while ((text = access_words_alternative(&r->words, &list)) != NULL)
        if (!take_pattern(r, to, of_edge, text))
            return false;
    return list != NULL;
}

static bool take_edges(struct reader *r, char *list)
{
    r->rule->migration = strcmp(list, ACCESS_MIGRATION_WORD) == 0;
    return r->rule->migration || take_patterns(r, &r->rule->edges, true, list);
}

static bool take_keys(struct reader *r, char *list)
{
    return take_patterns(r, &r->rule->keys, false, list);
}

// ---- words of SKI

static bool take_methods(struct reader *r, char *list)
{
    static const enum ski_method methods[] = {SKI_METHOD_ECDHE, SKI_METHOD_RSA};
    char *text;
    r->rule->methods = 0;
    while ((text = access_words_alternative(&r->words, &list)) != NULL) {
        unsigned bits = strcmp(text, "any") == 0 ? ~0u : 0;
        for (size_t i = 0; i < 2; i++)
            if (strcmp(text, ski_method_word(methods[i])) == 0)
                bits = 1u << methods[i];
        if (bits == 0)
            return fail(r, text, "RSA, ECDHE or any");
        r->rule->methods |= bits;
    }
    return list != NULL;
}

static bool take_protocols(struct reader *r, char *list)
{
    char *text;
    r->rule->protocols = 0;
    while ((text = access_words_alternative(&r->words, &list)) != NULL) {
        unsigned bits = strcmp(text, "any") == 0 ? ~0u : 0;
        for (unsigned p = 0; p < SKI_PROTOCOLS; p++)
            if (strcmp(text, ski_protocol_word((enum ski_protocol)p)) == 0)
                bits = 1u << p;
        if (bits == 0)
            return fail(
                r, text,
                "\"TLS 1.0\", \"TLS 1.1\", \"TLS 1.2\", \"TLS 1.3\", \"DTLS 1.0\", \"DTLS 1.2\" or any");
        r->rule->protocols |= bits;
    }
    return list != NULL;
}

// ---- numbers

// A decimal number from 1 to RATE_MAX up to one of the characters in `ends` (or the end): where it ends, else NULL.
static const char *take_number(const char *text, const char *ends, unsigned *number)
{
    *number = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        *number = *number * 10 + (unsigned)(*text - '0');
        if (*number > RATE_MAX)
            return NULL;
    }
    return *number > 0 && strchr(ends, *text) != NULL ? text : NULL;
}

static bool take_rate(struct reader *r, char *text)
{
    static const struct {
        const char *text;
        unsigned seconds;
    } units[] = {{"/s", 1}, {"/m", 60}, {"/h", 3600}};
    unsigned n;
    const char *unit = take_number(text, "/", &n);
    for (size_t i = 0; unit != NULL && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(unit, units[i].text) != 0)
            continue;
        r->rule->interval_ns = units[i].seconds * 1000000000ull / n;
        if ((r->said & SAID_BURST) == 0)
            r->rule->burst = (n + units[i].seconds - 1) / units[i].seconds;
        return true;
    }
    return fail(r, text, "N/s, N/m or N/h, N from 1 to 1000000");
}

static bool take_burst(struct reader *r, char *text)
{
    unsigned n;
    if (take_number(text, "", &n) == NULL)
        return fail(r, text, "a number from 1 to 1000000");
    r->rule->burst = n;
    return true;
}

// ---- addresses

static bool net_is_whole(const struct access_net *net)
{
    for (unsigned bit = net->bits; bit < 128; bit++)
        if ((net->ip[bit / 8] >> (7 - bit % 8) & 1) != 0)
            return false;
    return true;
}

static bool parse_net(const char *text, struct access_net *net)
{
    char ip[64];
    size_t len = strcspn(text, "/");
    unsigned bits = 128;
    if (len >= sizeof ip)
        return false;
    memcpy(ip, text, len);
    ip[len] = '\0';
    bool v4 = inet_pton(AF_INET, ip, net->ip + 12) == 1;
    if (v4)
        net->ip[10] = net->ip[11] = 0xff;
    else if (inet_pton(AF_INET6, ip, net->ip) != 1)
        return false;
    if (v4)
        bits = 32;
    if (text[len] == '/' && strcmp(text + len, "/0") == 0)
        bits = 0;
    else if (text[len] == '/') {
        unsigned given;
        if (take_number(text + len + 1, "", &given) == NULL || given > bits)
            return false;
        bits = given;
    }
    net->bits = v4 ? 96 + bits : bits;
    return net_is_whole(net);
}

static bool take_from(struct reader *r, char *list)
{
    char *text;
    while ((text = access_words_alternative(&r->words, &list)) != NULL) {
        struct access_net *grown = grow(r->rule->nets, r->rule->net_count, sizeof *grown);
        if (grown == NULL)
            return no_memory(r);
        r->rule->nets = grown;
        if (!parse_net(text, &grown[r->rule->net_count++]))
            return fail(
                r, text,
                "an address or network as 10.1.0.0/16 or 2001:db8::/32, no bits set behind the prefix");
    }
    return list != NULL;
}

// ---- rules

static const struct condition {
    const char *word;
    unsigned bit;
    bool (*take)(struct reader *r, char *value);
} conditions[] = {
    {"edge", SAID_EDGE, take_edges},         {"key", SAID_KEY, take_keys},
    {"methods", SAID_METHODS, take_methods}, {"protocols", SAID_PROTOCOLS, take_protocols},
    {"rate", SAID_RATE, take_rate},          {"burst", SAID_BURST, take_burst},
    {"from", SAID_FROM, take_from},
};

static bool take_condition(struct reader *r, char *word)
{
    char *value = strchr(word, '=');
    for (size_t i = 0; value != NULL && i < sizeof conditions / sizeof conditions[0]; i++) {
        const struct condition *c = &conditions[i];
        if (strlen(c->word) != (size_t)(value - word) || strncmp(word, c->word, strlen(c->word)) != 0)
            continue;
        if ((r->said & c->bit) != 0)
            return fail(r, word, "each condition once in a rule");
        if (value[1] == '\0')
            return fail(r, word, "a value behind the =");
        r->said |= c->bit;
        return c->take(r, value + 1);
    }
    return fail(r, word, "edge=, key=, methods=, protocols=, rate=, burst= or from=");
}

static bool take_conditions(struct reader *r)
{
    char *word;
    while ((word = access_words_next(&r->words)) != NULL)
        if (!take_condition(r, word))
            return false;
    return true;
}

static const char *migration_fault(const struct reader *r, const struct access_rule *rule,
                                   const char **expected)
{
    const char *found = access_migration_fault(rule, expected);
    return found == NULL && (r->said & SAID_METHODS) == 0 ? "edge=migration without methods=" : found;
}

// The rule is whole: what it may not say, and what it must.
static bool end_rule(struct reader *r)
{
    struct access_rule *rule = r->rule;
    const unsigned must = SAID_EDGE | SAID_KEY;
    const char *found, *expected;
    r->rule = NULL;
    if (rule == NULL)
        return true;
    if (rule->allow && (r->said & must) != must)
        return access_words_fail(&r->words, rule->line,
                                 "allow without edge= or key=", "both (any is a word for each)");
    if (!rule->allow && (r->said & (SAID_RATE | SAID_BURST)) != 0)
        return access_words_fail(&r->words, rule->line, "a rate in a deny rule", "rate= in allow rules only");
    if ((r->said & SAID_BURST) != 0 && (r->said & SAID_RATE) == 0)
        return access_words_fail(&r->words, rule->line, "burst= without rate=", "both");
    if (rule->allow && rule->migration && (found = migration_fault(r, rule, &expected)) != NULL)
        return access_words_fail(&r->words, rule->line, found, expected);
    access_sort_keys(&rule->keys);
    return true;
}

static bool begin_rule(struct reader *r, bool allow)
{
    struct access_policy *policy = r->policy;
    if (policy->rule_count == ACCESS_RULES_MAX)
        return fail(r, "one more rule", "at most 1024");
    struct access_rule *grown = grow(policy->rules, policy->rule_count, sizeof *grown);
    if (grown == NULL)
        return no_memory(r);
    policy->rules = grown;
    struct access_rule *rule = &grown[policy->rule_count++];
    rule->line = r->words.line;
    rule->allow = allow;
    rule->methods = allow ? 1u << SKI_METHOD_ECDHE : ~0u;
    rule->protocols = ~0u;
    r->rule = rule;
    r->said = 0;
    return take_conditions(r);
}

static bool take_allow(struct reader *r)
{
    return begin_rule(r, true);
}

static bool take_deny(struct reader *r)
{
    return begin_rule(r, false);
}

// ---- revocation

// The one word of the statement.
static char *only_word(struct reader *r, const char *expected)
{
    char *list = access_words_next(&r->words), *more = access_words_next(&r->words);
    if (list == NULL || more != NULL) {
        (void)fail(r, list == NULL ? "the end of the line" : more, expected);
        return NULL;
    }
    char *word = access_words_alternative(&r->words, &list);
    if (word == NULL || *list != '\0') {
        (void)fail(r, word == NULL ? "no value" : list, expected);
        return NULL;
    }
    return word;
}

static bool take_crl(struct reader *r)
{
    struct access_policy *policy = r->policy;
    const char *path = only_word(r, "one file of CRLs");
    if (path == NULL)
        return false;
    struct access_crl_line *grown = grow(policy->crl_lines, policy->crl_count, sizeof *grown);
    if (grown == NULL)
        return no_memory(r);
    policy->crl_lines = grown;
    struct access_crl_line *line = &grown[policy->crl_count++];
    line->line = r->words.line;
    line->path = strdup(path);
    return line->path != NULL || no_memory(r);
}

static bool take_revoke(struct reader *r)
{
    static const char expected[] = "spki: and the SHA-256 of a public key in Base64 or hex";
    char spki[KEYRECORD_NAME_LEN + 1];
    const char *text = only_word(r, expected);
    if (text == NULL)
        return false;
    if (strncmp(text, "spki:", 5) != 0 || !keyrecord_normalise(text + 5, strlen(text + 5), spki) ||
        strlen(spki) != KEYRECORD_NAME_LEN)
        return fail(r, text, expected);
    return access_revoke_add_spki(&r->policy->revocations, spki) || no_memory(r);
}

// ---- the file

static bool take_statement(struct reader *r)
{
    static const struct {
        const char *word;
        bool (*take)(struct reader *r);
    } statements[] = {{"allow", take_allow}, {"deny", take_deny}, {"crl", take_crl}, {"revoke", take_revoke}};
    static const char expected[] = "allow, deny, crl or revoke";
    if (r->words.more && r->rule == NULL)
        return fail(r, r->words.next, "a rule before it, or no blank in front");
    if (r->words.more)
        return take_conditions(r);
    if (!end_rule(r))
        return false;
    const char *word = access_words_next(&r->words);
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        if (strcmp(word, statements[i].word) == 0)
            return statements[i].take(r);
    return fail(r, word, expected);
}

bool access_read_rules(struct access_policy *policy, const char *name, const char *text, size_t len,
                       struct error *e)
{
    struct reader r = {.policy = policy};
    int found;
    access_words_init(&r.words, name, text, len, e);
    while ((found = access_words_line(&r.words)) > 0)
        if (!take_statement(&r))
            return false;
    return found == 0 && end_rule(&r);
}
