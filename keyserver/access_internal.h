// What the files of the access policy share among themselves. Nobody else includes this but its tests.
#ifndef MEC_KEYSERVER_ACCESS_INTERNAL_H
#define MEC_KEYSERVER_ACCESS_INTERNAL_H

#include <stdatomic.h>

#include "keyserver/access.h"
#include "keyserver/access_rate.h"
#include "keyserver/access_revoke.h"

enum access_what { // what a pattern is compared with; the first are those of enum access_identity
    ACCESS_EDGE_URI = ACCESS_URI,
    ACCESS_EDGE_DNS = ACCESS_DNS,
    ACCESS_EDGE_SUBJECT = ACCESS_SUBJECT,
    ACCESS_EDGE_SPKI = ACCESS_SPKI,
    ACCESS_KEY_SPKI,
    ACCESS_KEY_NAME,
    ACCESS_KEY_LABEL,
};

// How a pattern is compared: byte for byte; as what comes before a final "*"; as a name of DNS; as what follows a "*"
// in front, which stands for one label or more.
enum access_how { ACCESS_EXACT, ACCESS_PREFIX, ACCESS_HOST, ACCESS_SUFFIX };

struct access_pattern {
    enum access_what what;
    enum access_how how;
    char *text; // without the "*"; hosts in lower case
};

struct access_patterns { // empty: any
    struct access_pattern *items;
    size_t count;
    size_t spki_count; // of keys: so many first ones are fingerprints, sorted (access_sort_keys())
};

struct access_net {
    uint8_t ip[16]; // IPv4 as ::ffff:a.b.c.d
    unsigned bits;
};

struct access_rule {
    unsigned line;
    bool allow;
    bool migration; // edge=migration: for clients of the migration listener, and no others
    struct access_patterns edges, keys;
    struct access_net *nets; // none: any
    size_t net_count;
    unsigned methods, protocols; // a bit for each of enum ski_method, enum ski_protocol
    uint64_t interval_ns;        // between tokens; 0: no rate
    unsigned burst;
};

struct access_crl_line { // `crl FILE`
    unsigned line;
    char *path;
};

#define ACCESS_WORDS (ACCESS_RULES_MAX / 64)

struct access_policy {
    _Atomic unsigned refs;
    struct access_rule *rules;
    size_t rule_count;
    struct access_crl_line *crl_lines;
    size_t crl_count;
    struct access_revocations revocations;
    struct access_buckets *buckets; // NULL: no rule has a rate
};

struct access_pass {
    struct access_policy *policy;
    uint64_t edge_id;
    enum access_reason best;      // how far the allow rules got that are not in `rules`
    uint64_t rules[ACCESS_WORDS]; // a bit for each rule whose edge and address hold
};

// access_parse.c: fills a zeroed policy. False and *e set; the caller releases it in any case.
bool access_read_rules(struct access_policy *policy, const char *name, const char *text, size_t len,
                       struct error *e);

// access_match.c
void access_sort_keys(struct access_patterns *keys);
bool access_pattern_matches(const struct access_pattern *pattern, const char *text);
bool access_net_holds(const struct access_net *net, const uint8_t ip[static 16]);
// The address as 16 bytes; false for a Unix socket, which is in no network.
bool access_ip(const struct net_addr *addr, uint8_t ip[static 16]);
bool access_edge_matches(const struct access_rule *rule, const struct access_edge *edge);

// access_migration.c: what an allow rule with edge=migration lacks or may not say; NULL: nothing. Static texts.
const char *access_migration_fault(const struct access_rule *rule, const char **expected);

#endif
