// Operations at the door and at the key: what they carry on, what is counted, and that a denial looks the same whether
// the key is there or not.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/access_gate.h"
#include "keyserver/peer.h"

#define PIN "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="

static struct stats stats;
static struct peer peer;
static struct keyop op;
static struct keyrecord_traits *eu;

static int setup(void **state)
{
    static const char text[] = "allow edge=any key=label:eu\nallow edge=any key=any methods=RSA rate=1/m\n";
    struct access_edge edge = {0};
    struct error e;
    (void)state;
    assert_true(stats_setup(&stats, &e));
    struct access_policy *policy = access_parse("p", text, sizeof text - 1, &e);
    assert_non_null(policy);
    memset(&peer, 0, sizeof peer);
    peer.pass = access_pass_create(policy, &edge, NULL);
    access_unref(&policy);
    eu = malloc(sizeof *eu + 3);
    assert_true(peer.pass != NULL && eu != NULL);
    *eu = (struct keyrecord_traits){.label_count = 1};
    memcpy(eu->text, "eu", 3);
    memset(&op, 0, sizeof op);
    op.peer = &peer;
    op.request.protocol = SKI_TLS_1_2;
    (void)snprintf(op.request.spki, sizeof op.request.spki, PIN);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    access_pass_destroy(&peer.pass);
    free(eu);
    stats_teardown(&stats);
    return 0;
}

static void expect_denied(const char *why, unsigned line, enum access_reason reason, uint64_t count)
{
    assert_int_equal(op.status, SKI_DENIED);
    assert_string_equal(op.denied, why);
    assert_int_equal(op.policy_line, line);
    assert_false(op.undecided);
    assert_int_equal(metric_value(stats.policy_denied[reason]), count);
}

static void without_a_policy(void **state)
{
    (void)state;
    access_pass_destroy(&peer.pass);
    assert_true(access_at_door(&op, &stats));
    assert_false(op.undecided);
    assert_null(op.denied);
    assert_int_equal(metric_value(stats.policy_allowed), 0);
}

// Without a certificate nothing is allowed that a policy has not.
static void migration_without_a_policy(void **state)
{
    (void)state;
    access_pass_destroy(&peer.pass);
    peer.migration = true;
    assert_false(access_at_door(&op, &stats));
    assert_int_equal(op.status, SKI_DENIED);
    assert_string_equal(op.denied, "edge");
}

static void decided_at_the_door(void **state)
{
    (void)state;
    op.request.method = SKI_METHOD_RSA;
    assert_true(access_at_door(&op, &stats));
    assert_false(op.undecided);
    assert_int_equal(op.policy_line, 2);
    assert_int_equal(metric_value(stats.policy_allowed), 1);
    assert_false(access_at_door(&op, &stats)); // the minute's one is gone
    expect_denied("rate", 2, ACCESS_BY_RATE, 1);
}

static void decided_at_the_key(void **state)
{
    const struct access_key labelled = {.name = PIN, .traits = eu}, bare = {.name = PIN};
    (void)state;
    assert_true(access_at_door(&op, &stats));
    assert_true(op.undecided);
    assert_int_equal(metric_value(stats.policy_allowed), 0);
    assert_true(access_at_key(&op, &labelled, &stats));
    assert_false(op.undecided);
    assert_int_equal(op.policy_line, 1);
    assert_int_equal(metric_value(stats.policy_allowed), 1);
    op.policy_line = 0;
    assert_true(access_at_door(&op, &stats));
    assert_false(access_at_key(&op, &bare, &stats)); // it is there
    expect_denied("key", 0, ACCESS_BY_KEY, 1);
    op.denied = NULL;
    op.status = SKI_NOT_FOUND;
    assert_true(access_at_door(&op, &stats));
    assert_false(access_at_key(&op, NULL, &stats)); // it is not
    expect_denied("key", 0, ACCESS_BY_KEY, 2);
}

#define GATE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GATE_TEST(migration_without_a_policy),
        GATE_TEST(without_a_policy),
        GATE_TEST(decided_at_the_door),
        GATE_TEST(decided_at_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
