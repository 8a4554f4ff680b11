// Rules for clients without certificates: what they must say, whom they are for, and how they are told.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "keyserver/access_migration.h"

#define PIN   "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
#define OTHER "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static struct net_addr at(const char *ip)
{
    struct net_addr addr = {0};
    bool v6 = strchr(ip, ':') != NULL;
    addr.ss.ss_family = v6 ? AF_INET6 : AF_INET;
    addr.len = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    void *to = v6 ? (void *)&((struct sockaddr_in6 *)&addr.ss)->sin6_addr
                  : (void *)&((struct sockaddr_in *)&addr.ss)->sin_addr;
    assert_int_equal(inet_pton(addr.ss.ss_family, ip, to), 1);
    return addr;
}

static struct access_policy *parse(const char *text)
{
    struct error e = {""};
    struct access_policy *policy = access_parse("p", text, strlen(text), &e);
    if (policy == NULL)
        fail_msg("%s", e.text);
    return policy;
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"key=label:a methods=RSA", "p:1: found \"edge=migration without from=\""},
        {"from=10.0.0.1 key=any methods=RSA", "p:1: found \"edge=migration with key=any\""},
        {"from=10.0.0.1 methods=RSA", "p:1: found \"allow without edge= or key=\""},
        {"from=10.0.0.1 key=label:a", "p:1: found \"edge=migration without methods=\""},
        {"from=10.0.0.1 key=label:a methods=any", "p:1: found \"edge=migration with methods=any\""},
        {"from=10.0.0.1 key=label:a methods=RSA,any", "p:1: found \"edge=migration with methods=any\""},
        {"from=0.0.0.0/0 key=label:a methods=RSA", "nearly everywhere\", expected networks of /8"},
        {"from=10.0.0.1,0.0.0.0/0 key=label:a methods=RSA", "nearly everywhere"},
        {"from=::/0 key=label:a methods=RSA", "nearly everywhere"},
        {"from=::/16 key=label:a methods=RSA", "nearly everywhere"}, // IPv4 in IPv6 is in it
        {"from=::ffff:0:0/96 key=label:a methods=RSA", "nearly everywhere"},
        {"from=8.0.0.0/7 key=label:a methods=RSA", "nearly everywhere"},
        {"from=2000::/3 key=label:a methods=RSA", "nearly everywhere"},
        {"from=10.0.0.1 key=label:a methods=RSA edge=any", "expected each condition once"},
    };
    char text[256];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error e = {""};
        (void)snprintf(text, sizeof text, "allow edge=migration %s", cases[i].text);
        assert_null(access_parse("p", text, strlen(text), &e));
        if (strstr(e.text, cases[i].error) == NULL)
            fail_msg("%s: %s", text, e.text);
    }
    static const char *const lists[] = {
        "allow edge=\"migration\" from=10.0.0.1 key=label:a methods=RSA", // as "any"
        "allow edge=migration,dns:a from=10.0.0.1 key=label:a methods=RSA",
        "allow edge=dns:a,migration from=10.0.0.1 key=label:a methods=RSA"};
    for (size_t i = 0; i < 3; i++) {
        struct error e = {""};
        assert_null(access_parse("p", lists[i], strlen(lists[i]), &e));
        assert_non_null(strstr(e.text, "found \"migration\", expected any, uri:"));
    }
}

static void what_is_taken(void **state)
{
    (void)state;
    struct access_policy *policy =
        parse("allow edge=migration from=10.0.0.0/8,2001::/16 key=label:a methods=RSA,ECDHE\n"
              "deny edge=migration\n"
              "allow edge=any key=any\n"
              "allow edge=migration from=::1 key=name:*.a methods=ECDHE protocols=\"TLS 1.2\" rate=5/s");
    assert_int_equal(access_rule_count(policy), 4);
    assert_int_equal(access_migration_rules(policy), 2);
    access_unref(&policy);
}

static const char rules[] =
    "deny key=spki:" OTHER "\n"                                                         // 1
    "allow edge=any key=any methods=RSA,ECDHE\n"                                        // 2
    "deny edge=migration from=10.0.0.9\n"                                               // 3
    "allow edge=migration from=10.0.0.0/24,2001:db8::/32 key=label:old methods=ECDHE\n" // 4
    "allow edge=migration from=10.0.0.0/28 key=spki:" OTHER ",spki:" PIN                // 5
    " methods=RSA rate=1/h\n";

enum { CERTIFICATE = 2 }; // the line by which edges with one may do everything

static struct access_verdict decide(struct access_policy *policy, const char *ip, bool migration,
                                    enum ski_method method, const char *spki)
{
    static struct access_edge edge;
    struct net_addr addr = at(ip);
    edge = (struct access_edge){0};
    if (migration)
        access_migration_edge(&edge);
    else
        assert_true(access_edge_add(&edge, ACCESS_DNS, "migration", 9));
    struct access_pass *pass = access_pass_create(policy, &edge, &addr);
    assert_non_null(pass);
    const struct access_ask ask = {.method = method, .protocol = SKI_TLS_1_2, .spki = spki};
    const struct access_key key = {.name = spki};
    struct access_verdict verdict = access_decide(pass, &ask, &key);
    access_take(pass, &verdict, 1000000000);
    access_pass_destroy(&pass);
    return verdict;
}

static void whom_rules_are_for(void **state)
{
    (void)state;
    struct access_policy *policy = parse(rules);
    struct access_verdict v = decide(policy, "10.0.0.1", false, SKI_METHOD_RSA, PIN);
    assert_int_equal(v.outcome, ACCESS_ALLOW);
    assert_int_equal(v.line, CERTIFICATE);
    v = decide(policy, "10.0.0.1", true, SKI_METHOD_ECDHE, PIN); // line 2 is not for it, nor is the label its
    assert_int_equal(v.outcome, ACCESS_DENY);
    assert_int_equal(v.reason, ACCESS_BY_KEY);
    v = decide(policy, "10.0.0.1", true, SKI_METHOD_RSA, PIN);
    assert_int_equal(v.line, 5);
    assert_int_equal(v.outcome, ACCESS_ALLOW);
    v = decide(policy, "10.0.0.1", true, SKI_METHOD_RSA, OTHER); // denied to everybody
    assert_int_equal(v.line, 1);
    assert_int_equal(v.outcome, ACCESS_DENY);
    v = decide(policy, "10.0.0.9", true, SKI_METHOD_RSA, PIN);
    assert_int_equal(v.line, 3);
    assert_int_equal(v.outcome, ACCESS_DENY);
    v = decide(policy, "10.0.0.9", false, SKI_METHOD_RSA, PIN); // a denial of theirs is none of an edge's
    assert_int_equal(v.outcome, ACCESS_ALLOW);
    v = decide(policy, "10.0.1.1", true, SKI_METHOD_RSA, PIN);
    assert_int_equal(v.outcome, ACCESS_DENY);
    assert_int_equal(v.reason, ACCESS_BY_ADDRESS);
    access_unref(&policy);
    // Only rules for them name their word: a certificate's names and those of the policy do not meet.
    policy = parse("allow edge=migration from=10.0.0.1 key=spki:" PIN " methods=RSA");
    assert_int_equal(decide(policy, "10.0.0.1", false, SKI_METHOD_RSA, PIN).outcome, ACCESS_DENY);
    access_unref(&policy);
}

// Each address has a rate of its own; an IPv6 host has its whole /64.
static void rates(void **state)
{
    (void)state;
    struct access_policy *policy =
        parse("allow edge=migration from=10.0.0.0/8,2001:db8::/32 key=spki:" PIN " methods=RSA rate=1/h");
    static const struct {
        const char *ip;
        enum access_outcome outcome;
    } cases[] = {{"10.0.0.1", ACCESS_ALLOW},       {"10.0.0.1", ACCESS_DENY},
                 {"10.0.0.2", ACCESS_ALLOW},       {"::ffff:10.0.0.1", ACCESS_DENY},
                 {"2001:db8::1", ACCESS_ALLOW},    {"2001:db8::2", ACCESS_DENY},
                 {"2001:db8:0:1::2", ACCESS_ALLOW}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (decide(policy, cases[i].ip, true, SKI_METHOD_RSA, PIN).outcome != cases[i].outcome)
            fail_msg("%zu %s", i, cases[i].ip);
    access_unref(&policy);
}

static void who_is_listed(void **state)
{
    (void)state;
    struct access_policy *policy = parse(rules),
                         *none = parse("allow edge=any key=any from=10.0.0.1\ndeny edge=migration");
    static const struct {
        const char *ip, *name; // NULL: a stranger
    } cases[] = {{"10.0.0.1", "migration:10.0.0.1"},
                 {"::ffff:10.0.0.255", "migration:10.0.0.255"},
                 {"10.0.1.0", NULL},
                 {"2001:db8::1", "migration:2001:db8::1"},
                 {"2001:db9::1", NULL},
                 {"::10.0.0.1", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[ACCESS_MIGRATION_NAME];
        struct net_addr addr = at(cases[i].ip);
        bool listed = access_migration_lists(policy, &addr);
        access_migration_name(&addr, listed, name);
        assert_string_equal(name, cases[i].name != NULL ? cases[i].name : "migration");
        assert_false(access_migration_lists(none, &addr));
    }
    struct net_addr path = {.ss.ss_family = AF_UNIX};
    assert_false(access_migration_lists(policy, &path));
    assert_int_equal(access_migration_rules(policy), 2);
    assert_int_equal(access_migration_rules(none), 0);
    access_unref(&policy);
    access_unref(&none);
}

static void rules_in_words(void **state)
{
    (void)state;
    struct access_migration_text text;
    struct access_policy *policy = parse(rules);
    assert_true(access_migration_describe(policy, 0, &text));
    assert_int_equal(text.line, 4);
    assert_string_equal(text.from, "10.0.0.0/24,2001:db8::/32");
    assert_string_equal(text.keys, "label:old");
    assert_string_equal(text.methods, "ECDHE");
    assert_true(access_migration_describe(policy, 1, &text));
    assert_string_equal(text.from, "10.0.0.0/28");
    assert_string_equal(text.keys, "spki:" OTHER ",spki:" PIN);
    assert_string_equal(text.methods, "RSA");
    assert_false(access_migration_describe(policy, 2, &text));
    access_unref(&policy);

    // Cut between two, whatever the lengths are.
    static char line[4096];
    for (size_t first = 1; first < 40; first++) {
        int n = snprintf(line, sizeof line, "allow edge=migration from=::1 methods=RSA,ECDHE key=name:*.%.*s",
                         (int)first, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        for (int i = 0; i < 100; i++)
            n += snprintf(line + n, sizeof line - (size_t)n, ",name:b%02d.test", i);
        policy = parse(line);
        assert_true(access_migration_describe(policy, 0, &text));
        size_t len = strlen(text.keys);
        assert_true(len < ACCESS_MIGRATION_TEXT && len > ACCESS_MIGRATION_TEXT - 40);
        assert_string_equal(text.keys + len - 9, ".test,...");
        assert_memory_equal(text.keys, "name:*.a", 8);
        assert_string_equal(text.methods, "RSA,ECDHE");
        access_unref(&policy);
    }
    int n = snprintf(line, sizeof line,
                     "allow edge=migration from=::1 methods=RSA key=name:"); // longer than all of it
    memset(line + n, 'a', 600);
    line[n + 600] = '\0';
    policy = parse(line);
    assert_true(access_migration_describe(policy, 0, &text));
    assert_string_equal(text.keys, "...");
    access_unref(&policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused),    cmocka_unit_test(what_is_taken),
        cmocka_unit_test(whom_rules_are_for), cmocka_unit_test(rates),
        cmocka_unit_test(who_is_listed),      cmocka_unit_test(rules_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
