// Alarms: a ciphertext that comes again or from another edge, an edge whose errors jump; and nothing else raises one.
#include "audit_kit.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/audit_internal.h"

#define WINDOW_NS 1000000000u
#define AGAIN     (1u << AUDIT_CIPHERTEXT_AGAIN)
#define OTHER     (1u << AUDIT_CIPHERTEXT_OTHER_EDGE)
#define SHARE     (1u << AUDIT_ERROR_SHARE)

static struct audit_alarm *alarms;
static struct keyop op;
static uint64_t now;

static int setup(void **state)
{
    struct error e;
    (void)audit_kit_setup(state);
    audit_kit_op(&op);
    alarms = audit_alarm_create(WINDOW_NS, &e);
    assert_non_null(alarms);
    now = 5 * (uint64_t)WINDOW_NS;
    return 0;
}

static int teardown(void **state)
{
    audit_alarm_destroy(&alarms);
    assert_null(alarms);
    return audit_kit_teardown(state);
}

static void edge_is(const char *name)
{
    (void)snprintf(audit_kit_peer.name, sizeof audit_kit_peer.name, "%s", name);
}

static void ciphertexts(void **state)
{
    (void)state;
    assert_int_equal(audit_alarm_note(alarms, &op, now), 0);
    assert_int_equal(audit_alarm_note(alarms, &op, now + 1), AGAIN);
    edge_is("edge2.example");
    assert_int_equal(audit_alarm_note(alarms, &op, now + 2), OTHER);
    assert_int_equal(audit_alarm_note(alarms, &op, now + 3), AGAIN); // it is this edge's now
    op.request.input[17] ^= 1;
    assert_int_equal(audit_alarm_note(alarms, &op, now + 4), 0);
    op.request.input[17] ^= 1;
    op.request.spki[0] ^= 1; // under another key it is another
    assert_int_equal(audit_alarm_note(alarms, &op, now + 5), 0);
    op.request.spki[0] ^= 1;
    assert_int_equal(audit_alarm_note(alarms, &op, now + 4 + 2 * (uint64_t)WINDOW_NS), 0); // forgotten
}

static void what_is_no_decryption(void **state)
{
    (void)state;
    op.request.method = SKI_METHOD_ECDHE;
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(audit_alarm_note(alarms, &op, now + i), 0);
    op.request.method = SKI_METHOD_RSA;
    op.status = SKI_BUSY; // was not decrypted, and is asked again
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(audit_alarm_note(alarms, &op, now + i), 0);
    op.status = SKI_OK;
    assert_int_equal(audit_alarm_note(alarms, &op, now + 11), 0);
}

// More than the table holds: what is old goes, what was just there is still known.
static void many_ciphertexts(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 200000; i++) {
        memcpy(op.request.input, &i, sizeof i);
        assert_int_equal(audit_alarm_note(alarms, &op, now + i), 0);
        if (i % 1000 == 0)
            assert_int_equal(audit_alarm_note(alarms, &op, now + i), AGAIN);
    }
}

static unsigned notes(unsigned count, enum ski_status status)
{
    unsigned raised = 0;
    op.request.method = SKI_METHOD_ECDHE;
    op.status = status;
    for (unsigned i = 0; i < count; i++)
        raised |= audit_alarm_note(alarms, &op, now);
    return raised;
}

static void next_window(void)
{
    now += WINDOW_NS + 1;
}

static void a_jump_of_errors(void **state)
{
    (void)state;
    assert_int_equal(notes(100, SKI_OK), 0);
    assert_int_equal(notes(99, SKI_NOT_FOUND), 0); // not yet half
    assert_int_equal(notes(1, SKI_MALFORMED), SHARE);
    assert_int_equal(notes(100, SKI_DENIED), 0); // once a window
    next_window();
    assert_int_equal(notes(49, SKI_NOT_FOUND), 0); // too few to say
    next_window();
    assert_int_equal(notes(1000, SKI_BUSY) | notes(1000, SKI_UNSPECIFIED) | notes(1000, SKI_STORE_DOWN),
                     0); // ours
}

static void an_edge_that_is_always_wrong(void **state)
{
    (void)state;
    assert_int_equal(notes(100, SKI_NOT_FOUND), SHARE);
    for (int i = 0; i < 5; i++) {
        next_window();
        (void)notes(100, SKI_NOT_FOUND);
    }
    next_window();
    assert_int_equal(notes(100, SKI_NOT_FOUND), 0); // no jump any more
    edge_is("edge2.example");
    assert_int_equal(notes(100, SKI_NOT_FOUND), SHARE); // each has its own share
}

static void many_edges(void **state)
{
    (void)state;
    char name[32];
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof name, "edge-%d", i);
        edge_is(name);
        now++;
        assert_int_equal(notes(2, SKI_NOT_FOUND), 0);
    }
    assert_int_equal(notes(100, SKI_NOT_FOUND), SHARE); // the last one is known
}

// In the log: a line of its own, at most one a second, and it is in the chain.
static void an_alarm_is_a_line(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    settings.alarm_us = 3600000000u;
    struct audit *audit = audit_kit_open(&settings);
    for (int i = 0; i < 3; i++)
        assert_true(audit_write(audit, &op));
    audit_destroy(&audit);
    char *text = kit_read_file(kit_path("log"));
    assert_non_null(
        strstr(text, "\"event\":\"alarm\",\"alarm\":\"ciphertext_again\",\"edge\":\"edge1.example\""));
    assert_null(strstr(text, AUDIT_KIT_SPKI));
    free(text);
    (void)audit_kit_verify(AUDIT_WHOLE, "log", NULL);
}

#define ALARM_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALARM_TEST(ciphertexts),        ALARM_TEST(what_is_no_decryption),
        ALARM_TEST(many_ciphertexts),   ALARM_TEST(a_jump_of_errors),
        ALARM_TEST(many_edges),         ALARM_TEST(an_edge_that_is_always_wrong),
        ALARM_TEST(an_alarm_is_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
