// The decision: a matrix of edges, keys, methods, protocols and addresses; what is decided at the door is decided so
// with the key as well.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/access.h"

#define PIN_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PIN_B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="
#define PIN_C "CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCA="
#define PIN_X "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXA="
#define ALIAS "0123456789ABCDEF0123456789ABCDEF01234567"

static const char policy_text[] = "deny key=label:frozen\n"                                               // 1
                                  "deny key=name:*.bank.test methods=RSA\n"                               // 2
                                  "deny edge=dns:*.lab.test methods=RSA\n"                                // 3
                                  "allow edge=dns:paris.test key=name:*.shop.test from=10.1.0.0/16\n"     // 4
                                  "allow edge=dns:paris.test key=spki:" PIN_B " methods=RSA\n"            // 5
                                  "allow edge=uri:spiffe://t/e/* key=label:eu protocols=\"TLS 1.3\"\n"    // 6
                                  "allow edge=\"subject:CN=s,O=o\" key=any methods=any\n"                 // 7
                                  "allow edge=spki:" PIN_X " key=any from=2001:db8::/32\n"                // 8
                                  "allow edge=dns:x.lab.test key=name:*.shop.test,label:eu methods=any\n" // 9
                                  "deny edge=dns:last.test\n"           // 10
                                  "allow edge=dns:last.test key=any\n"; // 11

static const struct {
    const char *name;
    unsigned names, labels;
    const char text[64];
} keys[] = {
    {PIN_A, 2, 1, "a.shop.test\0*.B.Shop.test\0eu"}, // 0: of the shop
    {PIN_B, 2, 0, "b.shop.test\0www.bank.test"},     // 1: of the shop and a bank
    {PIN_C, 1, 2, "c.shop.test\0eu\0frozen"},        // 2: frozen
    {ALIAS, 0, 0, ""},                               // 3: a record of the Java server
};

static struct access_policy *policy;

static int load(void **state)
{
    struct error e;
    (void)state;
    policy = access_parse("p", policy_text, sizeof policy_text - 1, &e);
    return policy == NULL;
}

static int unload(void **state)
{
    (void)state;
    access_unref(&policy);
    return 0;
}

static struct access_pass *pass_for(const char *identity, const char *ip)
{
    struct access_edge *edge = calloc(1, sizeof *edge);
    struct net_addr addr = {.len = sizeof(struct sockaddr_in)};
    for (int kind = 0; identity != NULL && kind < ACCESS_IDENTITIES; kind++) {
        const char *word = access_identity_word((enum access_identity)kind);
        const char *text = identity + strlen(word) + 1;
        if (strncmp(identity, word, strlen(word)) == 0)
            assert_true(access_edge_add(edge, (enum access_identity)kind, text, strlen(text)));
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)&addr.ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addr.ss;
    addr.ss.ss_family = strchr(ip, ':') == NULL ? AF_INET : AF_INET6;
    assert_int_equal(inet_pton(addr.ss.ss_family, ip,
                               addr.ss.ss_family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr),
                     1);
    struct access_pass *pass = access_pass_create(policy, edge, &addr);
    assert_non_null(pass);
    free(edge);
    return pass;
}

static struct access_verdict decide(const struct access_pass *pass, const struct access_ask *ask, int key)
{
    if (key < 0)
        return access_decide(pass, ask, NULL);
    struct keyrecord_traits *traits = malloc(sizeof *traits + sizeof keys[key].text);
    assert_non_null(traits);
    traits->name_count = keys[key].names;
    traits->label_count = keys[key].labels;
    memcpy(traits->text, keys[key].text, sizeof keys[key].text);
    const struct access_key found = {.name = keys[key].name,
                                     .traits = keys[key].names + keys[key].labels > 0 ? traits : NULL};
    struct access_verdict verdict = access_decide(pass, ask, &found);
    free(traits);
    return verdict;
}

enum { A, D, U }; // allowed, denied, undecided

static const struct row {
    const char *edge, *ip, *spki;
    int key; // that was found; -1: at the door
    enum ski_method method;
    enum ski_protocol protocol;
    unsigned outcome, line;
    enum access_reason reason;
} rows[] = {
#define SIGN    SKI_METHOD_ECDHE, SKI_TLS_1_2
#define SIGN13  SKI_METHOD_ECDHE, SKI_TLS_1_3
#define DECRYPT SKI_METHOD_RSA, SKI_TLS_1_2
#define PARIS   "dns:paris.test", "10.1.2.3"
#define SUBJECT "subject:CN=s,O=o", "192.0.2.1"
#define LAB     "dns:x.lab.test", "192.0.2.1"
    // By the names of the key: undecided at the door, all names must fit.
    {PARIS, PIN_A, -1, SIGN, U, 0, 0},
    {PARIS, PIN_A, 0, SIGN, A, 4, 0},
    {PARIS, ALIAS, -1, SIGN, U, 0, 0},
    {PARIS, ALIAS, 0, SIGN, A, 4, 0},
    {PARIS, PIN_B, -1, SIGN, U, 0, 0},
    {PARIS, PIN_B, 1, SIGN, D, 0, ACCESS_BY_KEY},
    {PARIS, PIN_C, 2, SIGN, D, 1, ACCESS_BY_RULE},
    {PARIS, ALIAS, 3, SIGN, D, 0, ACCESS_BY_KEY},
    {PARIS, "", -1, SIGN, D, 0, ACCESS_BY_KEY},
    {"dns:PARIS.test", "::ffff:10.1.2.3", PIN_A, 0, SIGN, A, 4, 0},
    // RSA: for one key, and a deny rule by one of its names stands before.
    {PARIS, PIN_A, -1, DECRYPT, D, 0, ACCESS_BY_KEY},
    {PARIS, PIN_A, 0, DECRYPT, D, 0, ACCESS_BY_KEY},
    {PARIS, PIN_B, -1, DECRYPT, U, 0, 0},
    {PARIS, PIN_B, 1, DECRYPT, D, 2, ACCESS_BY_RULE},
    {PARIS, ALIAS, -1, DECRYPT, U, 0, 0}, // it may lead to that key
    {PARIS, ALIAS, 0, DECRYPT, D, 0, ACCESS_BY_KEY},
    // Addresses.
    {"dns:paris.test", "10.2.0.1", PIN_A, -1, SIGN, D, 0, ACCESS_BY_METHOD}, // rule 5 is left
    {"dns:paris.test", "10.2.0.1", PIN_A, 0, SIGN, D, 0, ACCESS_BY_METHOD},
    {"spki:" PIN_X, "10.1.0.1", PIN_A, -1, SIGN, D, 0, ACCESS_BY_ADDRESS},
    {"spki:" PIN_X, "2001:db9::1", PIN_A, -1, SIGN, D, 0, ACCESS_BY_ADDRESS},
    {"spki:" PIN_X, "2001:db8:ffff::1", PIN_A, 0, SIGN, A, 8, 0},
    {"spki:" PIN_X, "2001:db8:ffff::1", PIN_A, -1, SIGN, U, 0, 0}, // it may be frozen
    {"spki:" PIN_X, "2001:db8:ffff::1", "", -1, SIGN, A, 8, 0},    // no key has this name
    // Protocols and labels.
    {"uri:spiffe://t/e/1", "192.0.2.1", PIN_A, -1, SIGN, D, 0, ACCESS_BY_PROTOCOL},
    {"uri:spiffe://t/e/1", "192.0.2.1", PIN_A, -1, SIGN13, U, 0, 0},
    {"uri:spiffe://t/e/1", "192.0.2.1", PIN_A, 0, SIGN13, A, 6, 0},
    {"uri:spiffe://t/e/1", "192.0.2.1", PIN_B, 1, SIGN13, D, 0, ACCESS_BY_KEY},
    {"uri:spiffe://t/e/1", "192.0.2.1", PIN_C, 2, SIGN13, D, 1, ACCESS_BY_RULE},
    {"uri:spiffe://t/e", "192.0.2.1", PIN_A, 0, SIGN13, D, 0, ACCESS_BY_EDGE},
    {"uri:SPIFFE://t/e/1", "192.0.2.1", PIN_A, 0, SIGN13, D, 0, ACCESS_BY_EDGE},
    // Everything, but what is frozen, and RSA for the bank.
    {SUBJECT, PIN_B, 1, SIGN, A, 7, 0},
    {SUBJECT, PIN_A, 0, DECRYPT, A, 7, 0},
    {SUBJECT, PIN_B, 1, DECRYPT, D, 2, ACCESS_BY_RULE},
    {SUBJECT, PIN_C, 2, DECRYPT, D, 1, ACCESS_BY_RULE},
    {SUBJECT, ALIAS, 3, DECRYPT, A, 7, 0},
    {"subject:CN=s", "192.0.2.1", PIN_A, -1, SIGN, D, 0, ACCESS_BY_EDGE},
    {"dns:CN=s,O=o", "192.0.2.1", PIN_A, -1, SIGN, D, 0, ACCESS_BY_EDGE}, // of another kind
    // RSA is off for the lab, without looking at the key.
    {LAB, PIN_A, -1, DECRYPT, D, 3, ACCESS_BY_RULE},
    {LAB, PIN_A, 0, DECRYPT, D, 3, ACCESS_BY_RULE},
    {LAB, PIN_A, 0, SIGN, A, 9, 0},
    {LAB, PIN_B, 1, SIGN, D, 0, ACCESS_BY_KEY},
    {LAB, PIN_C, 2, SIGN, D, 1, ACCESS_BY_RULE},
    // The first rule decides; nobody is nobody.
    {"dns:last.test", "192.0.2.1", PIN_A, -1, SIGN, D, 10, ACCESS_BY_RULE},
    {"dns:last.test", "192.0.2.1", PIN_C, 2, SIGN, D, 1, ACCESS_BY_RULE},
    {"dns:nobody.test", "192.0.2.1", PIN_A, -1, SIGN, D, 0, ACCESS_BY_EDGE},
    {"dns:nobody.test", "192.0.2.1", PIN_A, 0, SIGN, D, 0, ACCESS_BY_EDGE},
    {"dns:paris.test.evil", "10.1.2.3", PIN_A, 0, SIGN, D, 0, ACCESS_BY_EDGE},
    {"dns:lab.test", "192.0.2.1", PIN_A, 0, SIGN, D, 0, ACCESS_BY_EDGE},
    {NULL, "192.0.2.1", PIN_A, 0, SIGN, D, 0, ACCESS_BY_EDGE},
};

static void the_matrix(void **state)
{
    static const unsigned outcomes[] = {[ACCESS_ALLOW] = A, [ACCESS_DENY] = D, [ACCESS_UNDECIDED] = U};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        const struct access_ask ask = {.method = r->method, .protocol = r->protocol, .spki = r->spki};
        struct access_pass *pass = pass_for(r->edge, r->ip);
        struct access_verdict v = decide(pass, &ask, r->key);
        access_pass_destroy(&pass);
        if (outcomes[v.outcome] != r->outcome || v.line != r->line ||
            (r->outcome == D && v.reason != r->reason))
            fail_msg("row %zu (%s %s key %d): outcome %u line %u reason %s", i, r->edge, r->spki, r->key,
                     v.outcome, v.line, access_reason_word(v.reason));
    }
}

// Every edge, method, protocol, address and key: the door never says what the key does not bear out.
static void the_door_keeps_its_word(void **state)
{
    static const char *const edges[] = {"dns:paris.test",   "dns:x.lab.test", "uri:spiffe://t/e/1",
                                        "subject:CN=s,O=o", ("spki:" PIN_X),  "dns:last.test",
                                        "dns:nobody.test"};
    static const char *const ips[] = {"10.1.2.3", "192.0.2.1", "2001:db8::1"};
    unsigned decided = 0, undecided = 0;
    (void)state;
    for (size_t e = 0; e < 7; e++)
        for (size_t ip = 0; ip < 3; ip++)
            for (unsigned mp = 0; mp < 2 * SKI_PROTOCOLS; mp++)
                for (int key = 0; key < 4; key++)
                    for (int by_alias = 0; by_alias < 2; by_alias++) {
                        const struct access_ask ask = {.method = (enum ski_method)(mp & 1),
                                                       .protocol = (enum ski_protocol)(mp / 2),
                                                       .spki = by_alias ? ALIAS : keys[key].name};
                        struct access_pass *pass = pass_for(edges[e], ips[ip]);
                        struct access_verdict door = decide(pass, &ask, -1), at_key = decide(pass, &ask, key);
                        access_pass_destroy(&pass);
                        assert_int_not_equal(at_key.outcome, ACCESS_UNDECIDED);
                        undecided += door.outcome == ACCESS_UNDECIDED;
                        decided += door.outcome != ACCESS_UNDECIDED;
                        if (door.outcome != ACCESS_UNDECIDED)
                            assert_int_equal(door.outcome, at_key.outcome);
                        if (door.outcome == ACCESS_ALLOW)
                            assert_int_equal(door.line, at_key.line);
                    }
    assert_true(decided > 100 && undecided > 100);
}

// An edge whose certificate says more than can be looked at is no edge, also where any edge is allowed.
static void an_edge_that_cannot_be_read(void **state)
{
    static const char any[] = "allow edge=any key=any";
    const struct access_ask ask = {.spki = PIN_A};
    struct error e;
    static struct access_edge edge;
    struct net_addr nowhere = {0};
    (void)state;
    struct access_policy *open = access_parse("p", any, sizeof any - 1, &e);
    assert_non_null(open);
    for (int i = 0; i < 3; i++) {
        edge = (struct access_edge){0};
        assert_true(access_edge_add(&edge, ACCESS_DNS, "a", 1));
        if (i == 1)
            assert_false(access_edge_add(&edge, ACCESS_DNS, "b\0c", 3));
        while (i == 2 && access_edge_add(&edge, ACCESS_URI, "u:x", 3))
            ;
        struct access_pass *pass = access_pass_create(open, &edge, &nowhere);
        assert_int_equal(access_decide(pass, &ask, NULL).outcome, i == 0 ? ACCESS_ALLOW : ACCESS_DENY);
        access_pass_destroy(&pass);
    }
    access_unref(&open);
}

// A rate is of each edge under each rule; the policy lives as long as a pass holds it.
static void rates(void **state)
{
    static const char text[] = "allow edge=any key=spki:" PIN_A " rate=1/m burst=2\n"
                               "allow edge=any key=any rate=1/m";
    struct error e;
    struct access_policy *mine = policy, *rated = access_parse("p", text, sizeof text - 1, &e);
    struct access_pass *pass[2];
    (void)state;
    assert_non_null(rated);
    policy = rated;
    pass[0] = pass_for("dns:a", "10.0.0.1");
    pass[1] = pass_for("dns:b", "10.0.0.1");
    policy = mine;
    access_unref(&rated);
    for (int edge = 0; edge < 2; edge++)
        for (int key = 0; key < 2; key++)
            for (int i = 0; i < 4; i++) {
                const struct access_ask ask = {.spki = keys[key].name};
                struct access_verdict v = access_decide(pass[edge], &ask, NULL);
                assert_int_equal(v.outcome, ACCESS_ALLOW);
                access_take(pass[edge], &v, 1000000000);
                assert_int_equal(v.outcome, i < 2 - key ? ACCESS_ALLOW : ACCESS_DENY);
                assert_int_equal(v.line, key + 1);
                if (v.outcome == ACCESS_DENY)
                    assert_int_equal(v.reason, ACCESS_BY_RATE);
            }
    access_pass_destroy(&pass[0]);
    access_pass_destroy(&pass[1]);
}

// A rule with many fingerprints knows each of them and no other.
static void many_fingerprints(void **state)
{
    static char text[64 * 1024];
    char pin[KEYRECORD_NAME_LEN + 1];
    struct error e;
    struct access_policy *mine = policy;
    int n = snprintf(text, sizeof text, "allow edge=any key=label:x");
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        if (i % 8 == 0)
            n += snprintf(text + n, sizeof text - (size_t)n, "\nallow edge=any key=label:x");
        n += snprintf(text + n, sizeof text - (size_t)n,
                      ",spki:%04u"
                      "%.40s",
                      i * 7919 % 1000 * 2, &PIN_A[4]);
    }
    policy = access_parse("p", text, (size_t)n, &e);
    if (policy == NULL)
        fail_msg("%s", e.text);
    struct access_pass *pass = pass_for("dns:a", "10.0.0.1");
    access_unref(&policy);
    policy = mine;
    for (unsigned i = 0; i < 2000; i++) {
        const struct access_ask ask = {.spki = pin};
        const struct access_key key = {.name = pin};
        (void)snprintf(pin, sizeof pin, "%04u%.40s", i, &PIN_A[4]);
        assert_int_equal(access_decide(pass, &ask, &key).outcome, i % 2 == 0 ? ACCESS_ALLOW : ACCESS_DENY);
    }
    access_pass_destroy(&pass);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_matrix),
        cmocka_unit_test(the_door_keeps_its_word),
        cmocka_unit_test(an_edge_that_cannot_be_read),
        cmocka_unit_test(rates),
        cmocka_unit_test(many_fingerprints),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
