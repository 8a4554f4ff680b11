// The language of the access policy: what it means, and what it refuses, with the line, what was found and what was
// expected.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/access_internal.h"

#define PIN "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
#define HEX "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static struct access_policy *parse(const char *text)
{
    struct error e = {""};
    struct access_policy *policy = access_parse("p", text, strlen(text), &e);
    if (policy == NULL)
        fail_msg("%s", e.text);
    return policy;
}

static void what_a_rule_says(void **state)
{
    (void)state;
    struct access_policy *policy =
        parse("# a comment\n"
              "\n"
              "allow edge=dns:Paris.Example,\"subject:CN=a b,O=c\",uri:spiffe://x/*,spki:" HEX
              " key=name:*.shop.test,label:eu # and a comment\n"
              "\t# between\n"
              "  methods=RSA,ECDHE protocols=\"TLS 1.2\",\"DTLS 1.2\"\r\n"
              " rate=600/m burst=7 from=10.1.0.0/16,2001:db8::/32,192.0.2.7\n"
              "deny\n"
              "allow key=any edge=any rate=3/s\n"
              "allow key=any edge=any burst=9 rate=2/h");
    assert_int_equal(policy->rule_count, 4);
    const struct access_rule *r = &policy->rules[0];
    assert_int_equal(r->line, 3);
    assert_true(r->allow);
    assert_int_equal(r->edges.count, 4);
    const struct {
        enum access_what what;
        enum access_how how;
        const char *text;
    } edges[] = {{ACCESS_EDGE_DNS, ACCESS_HOST, "Paris.Example"},
                 {ACCESS_EDGE_SUBJECT, ACCESS_EXACT, "CN=a b,O=c"},
                 {ACCESS_EDGE_URI, ACCESS_PREFIX, "spiffe://x/"},
                 {ACCESS_EDGE_SPKI, ACCESS_EXACT, PIN}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(r->edges.items[i].what, edges[i].what);
        assert_int_equal(r->edges.items[i].how, edges[i].how);
        assert_string_equal(r->edges.items[i].text, edges[i].text);
    }
    assert_int_equal(r->keys.count, 2);
    assert_int_equal(r->keys.items[0].how, ACCESS_SUFFIX);
    assert_string_equal(r->keys.items[0].text, ".shop.test");
    assert_int_equal(r->methods, 1u << SKI_METHOD_RSA | 1u << SKI_METHOD_ECDHE);
    assert_int_equal(r->protocols, 1u << SKI_TLS_1_2 | 1u << SKI_DTLS_1_2);
    assert_int_equal(r->interval_ns, 100000000);
    assert_int_equal(r->burst, 7);
    assert_int_equal(r->net_count, 3);
    assert_int_equal(r->nets[0].bits, 112);
    assert_int_equal(r->nets[1].bits, 32);
    assert_int_equal(r->nets[2].bits, 128);

    r = &policy->rules[1]; // all of it
    assert_int_equal(r->line, 7);
    assert_false(r->allow);
    assert_int_equal(r->edges.count + r->keys.count + r->net_count, 0);
    assert_int_equal(r->methods, ~0u);

    r = &policy->rules[2]; // signing only, and the burst of a second
    assert_int_equal(r->methods, 1u << SKI_METHOD_ECDHE);
    assert_int_equal(r->protocols, ~0u);
    assert_int_equal(r->burst, 3);
    assert_int_equal(policy->rules[3].burst, 9); // in any order
    assert_true(policy->rules[3].interval_ns == 1800000000000ull);
    access_unref(&policy);
    assert_null(policy);
}

static void lists_and_revoked_keys(void **state)
{
    (void)state;
    struct access_policy *policy = parse("crl \"a b.crl\"\nrevoke spki:" HEX "\nrevoke spki:" PIN "\n");
    assert_int_equal(policy->crl_count, 1);
    assert_string_equal(policy->crl_lines[0].path, "a b.crl");
    assert_int_equal(policy->crl_lines[0].line, 1);
    assert_int_equal(access_revocation_count(policy), 2);
    assert_string_equal(policy->revocations.spkis[0], PIN);
    assert_string_equal(policy->revocations.spkis[1], PIN);
    access_unref(&policy);
    policy = parse(""); // allows nothing
    assert_int_equal(access_rule_count(policy), 0);
    access_unref(&policy);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"permit edge=any key=any", "p:1: found \"permit\", expected allow, deny, crl or revoke"},
        {"\n\n allow edge=any key=any", "p:3: found \"allow edge=any key=any\", expected a rule before it"},
        {"allow key=any\n", "p:1: found \"allow without edge= or key=\""},
        {"deny\nallow edge=any\n", "p:2: found \"allow without edge= or key=\""},
        {"allow edge=any key=any\n rates=1/s", "p:2: found \"rates=1/s\", expected edge="},
        {"allow edge=any key=any methods", "p:1: found \"methods\", expected edge="},
        {"allow edge=any key=any methods=", "p:1: found \"methods=\", expected a value"},
        {"allow edge=any key=any key=any", "p:1: found \"key=any\", expected each condition once"},
        {"allow edge=any,dns:a key=any", "p:1: found \"any\", expected any, uri:, dns:"},
        {"allow edge=label:a key=any", "p:1: found \"label:a\", expected any, uri:, dns:"},
        {"allow edge=any key=dns:a", "p:1: found \"dns:a\", expected any, spki:, name: or label:"},
        {"allow edge=dns: key=any", "p:1: found \"\", expected printable text"},
        {"allow edge=dns:* key=any", "expected \"*.\" in front"},
        {"allow edge=dns:a.*.b key=any", "expected \"*.\" in front"},
        {"allow edge=uri:* key=any", "expected \"*.\" in front"},
        {"allow edge=uri:*x key=any", "expected \"*.\" in front"},
        {"allow edge=subject:CN=* key=any", "expected \"*.\" in front"},
        {"allow edge=any key=name:*.", "expected \"*.\" in front"},
        {"allow edge=spki:abc key=any", "p:1: found \"abc\", expected a SHA-256"},
        {"allow edge=spki:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa key=any", "expected a SHA-256"}, // SHA-1
        {"allow edge=any key=label:a/b", "p:1: found \"a/b\", expected a label"},
        {"allow edge=any key=label:", "expected a label"},
        {"allow edge=any key=any methods=rsa", "p:1: found \"rsa\", expected RSA, ECDHE or any"},
        {"allow edge=any key=any protocols=TLS", "p:1: found \"TLS\", expected \"TLS 1.0\""},
        {"allow edge=any key=any rate=0/s", "p:1: found \"0/s\", expected N/s, N/m or N/h"},
        {"allow edge=any key=any rate=1/d", "expected N/s, N/m or N/h"},
        {"allow edge=any key=any rate=10", "expected N/s, N/m or N/h"},
        {"allow edge=any key=any rate=1000001/s", "expected N/s, N/m or N/h"},
        {"allow edge=any key=any rate=99999999999999999999/s", "expected N/s, N/m or N/h"},
        {"allow edge=any key=any rate=1/s burst=0", "expected a number from 1"},
        {"allow edge=any key=any burst=5", "p:1: found \"burst= without rate=\""},
        {"deny rate=1/s", "p:1: found \"a rate in a deny rule\""},
        {"deny from=10.1.0.0/8", "p:1: found \"10.1.0.0/8\", expected an address or network"},
        {"deny from=10.1.0.0/33", "expected an address or network"},
        {"deny from=10.1.0", "expected an address or network"},
        {"deny from=2001:db8::1/64", "expected an address or network"},
        {"deny from=10.0.0.0/", "expected an address or network"},
        {"deny edge=dns:a,", "expected values with a comma"},
        {"deny edge=,dns:a", "expected values with a comma"},
        {"deny edge=\"\"", "expected values with a comma"},
        {"deny edge=\"dns:a\"b", "expected values with a comma"},
        {"deny edge=subject:\"CN=a\"", "expected quotes around a whole value"},
        {"deny edge=\"dns:a", "expected a quote that ends on its line"},
        {"crl", "p:1: found \"the end of the line\", expected one file"},
        {"crl a b", "p:1: found \"b\", expected one file"},
        {"crl a,b", "expected one file"},
        {"crl a\n edge=any", "expected a rule before it"},
        {"revoke dns:a", "expected spki: and the SHA-256"},
        {"revoke spki:a", "expected spki: and the SHA-256"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error e = {""};
        assert_null(access_parse("p", cases[i].text, strlen(cases[i].text), &e));
        if (strncmp(e.text, "p:", 2) != 0 || strstr(e.text, cases[i].error) == NULL)
            fail_msg("%s: %s", cases[i].text, e.text);
    }
}

static void bounds(void **state)
{
    (void)state;
    struct error e = {""};
    static char text[ACCESS_RULES_MAX * 5 + 5 + 1];
    for (size_t i = 0; i <= ACCESS_RULES_MAX; i++)
        memcpy(text + 5 * i, "deny\n", 5);
    struct access_policy *policy = access_parse("p", text, ACCESS_RULES_MAX * 5, &e);
    assert_non_null(policy);
    assert_int_equal(access_rule_count(policy), ACCESS_RULES_MAX);
    access_unref(&policy);
    assert_null(access_parse("p", text, ACCESS_RULES_MAX * 5 + 5, &e));
    assert_string_equal(e.text, "p:1025: found \"one more rule\", expected at most 1024");
    memset(text, ' ', sizeof text);
    assert_null(access_parse("p", text, 4096, &e));
    assert_non_null(strstr(e.text, "a longer line"));
    assert_null(access_parse("p", "de\0ny", 5, &e));
    assert_non_null(strstr(e.text, "a NUL byte"));
}

static void files(void **state)
{
    (void)state;
    struct error e = {""};
    assert_null(access_load("/nonexistent/policy", "ca.pem", &e));
    assert_string_equal(e.text, "/nonexistent/policy: No such file or directory");
    assert_null(access_load("/", "ca.pem", &e));
    assert_non_null(strstr(e.text, "no regular file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_rule_says),
        cmocka_unit_test(lists_and_revoked_keys),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(bounds),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
