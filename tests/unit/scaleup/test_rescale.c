// librescale against a scaleupd that says what the test says: PROTOCOL.md's client side over a real socket. Greeting, requests and operators; times and back-off are test_rescale_core.c's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "rescale_session_kit.h"

#define EARLY                                                                                                \
    "{\"type\":\"response\",\"id\":\"1\",\"state\":\"done\",\"final\":true,\"granted_bytes\":1,"             \
    "\"granularity\":1}"

// ---- greeting

static void hello_and_welcome(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_as("ks1");
    struct message hello = kit_welcome(&server, 12345678);
    assert_int_equal(hello.version, 1);
    assert_int_equal(hello.role, ROLE_VNF);
    assert_string_equal(hello.vnf, "ks1");
    assert_true(hello.has_holding);
    assert_int_equal(hello.holding_bytes, 64 * MIB);
    struct rescale_event event = kit_event(&recorder, RESCALE_CONNECTED);
    assert_int_equal(event.granted_bytes, 256 * MIB);
    assert_int_equal(event.granularity, 2 * MIB);
    assert_int_equal(event.min_bytes, 128 * MIB);
    assert_int_equal(event.max_bytes, 4096 * MIB);
    assert_int_equal(event.lease_ms, 12345678);
    assert_true(kit_stats_of(session).connected);
    assert_int_equal(kit_stats_of(session).connects, 1);
    rescale_close(&session);
    assert_null(session);
    kit_expect_end(&server);
    rescale_close(&session);
}

// Errors that say that we are not wanted, each with its event; the session tries again all the same.
static void refusals(void **state)
{
    (void)state;
    static const char *const codes[] = {"denied", "version", "unknown_vnf", "replaced", "malformed"};
    struct rescale_session *session = kit_open_as("ks1");
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        char expected[64];
        kit_accept(&server);
        (void)kit_expect(&server, MESSAGE_HELLO);
        kit_say(&server, "{\"type\":\"error\",\"code\":\"%s\",\"detail\":\"why %zu\"}", codes[i], i);
        kit_expect_end(&server);
        (void)snprintf(expected, sizeof expected, "%s: why %zu", codes[i], i);
        assert_string_equal(kit_event(&recorder, RESCALE_REFUSED).detail, expected);
        assert_string_equal(kit_event(&recorder, RESCALE_DISCONNECTED).detail, expected);
    }
    (void)kit_welcome(&server, LEASE_MS);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    // Also in the middle of a session.
    kit_say(&server, "{\"type\":\"error\",\"code\":\"replaced\"}");
    assert_string_equal(kit_event(&recorder, RESCALE_REFUSED).detail, "replaced");
    (void)kit_event(&recorder, RESCALE_DISCONNECTED);
    assert_int_equal(kit_stats_of(session).disconnects, 1);
    rescale_close(&session);
}

// What must not come first, and welcomes that cannot be meant for us.
static void odd_greetings(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{\"type\":\"pong\"}",
        EARLY,
        "{\"type\":\"error\",\"code\":\"unexpected\"}",
        "{\"type\":\"welcome\",\"version\":2,\"granularity\":1,\"lease_ms\":1000}",
        "{\"type\":\"welcome\",\"version\":1,\"vnf\":\"ks2\",\"granularity\":1,\"lease_ms\":1000}",
        "{\"type\":\"welcome\",\"version\":1,\"granularity\":0,\"lease_ms\":1000}",
        "{\"type\":\"welcome\",\"version\":1,\"granularity\":1,\"lease_ms\":0}",
        "{\"type\":\"error\",\"code\":\"busy\",\"detail\":\"256 connections\"}",
        "{\"type\":\"error\",\"code\":\"timeout\"}",
        "SSH-2.0-OpenSSH_9.2",
        "",
    };
    struct rescale_session *session = kit_open_as("ks1");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        kit_accept(&server);
        (void)kit_expect(&server, MESSAGE_HELLO);
        kit_say_bytes(&server, lines[i], strlen(lines[i]));
        kit_say_bytes(&server, "\n", 1);
        kit_expect_end(&server);
        assert_true(strlen(kit_event(&recorder, RESCALE_DISCONNECTED).detail) > 0);
    }
    assert_int_equal(kit_stats_of(session).connects, 0);
    assert_int_equal(kit_stats_of(session).malformed, 4);
    rescale_close(&session);
}

// ---- a rescale

static void responses_come_in_order(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_welcomed();
    const struct rescale_request request = {.target_bytes = 1024 * MIB,
                                            .min_bytes = 512 * MIB,
                                            .deadline_ms = 500000,
                                            .priority = 8,
                                            .reason = "hit ratio 0.81, goal 0.95",
                                            .reclaim = "r3"};
    assert_true(rescale_async(session, &request, kit_on_response, &recorder));
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    assert_true(m.target_bytes == 1024 * MIB && m.has_min && m.min_bytes == 512 * MIB);
    assert_true(m.deadline_ms > 400000 && m.deadline_ms <= 500000);
    assert_true(m.has_priority && m.priority == 7);
    assert_string_equal(m.reason, request.reason);
    assert_string_equal(m.reclaim, "r3");
    assert_string_equal(m.vnf, "");
    kit_respond(m.id, "accepted", false, 256 * MIB);
    kit_respond(m.id, "progress", false, 512 * MIB);
    kit_say(&server, RESPONSE ",\"retry_ms\":700,\"detail\":\"half\"}", m.id, "partial", "true", 600 * MIB);
    struct response r = kit_response(&recorder);
    assert_true(r.state == STATE_ACCEPTED && !r.final && r.granted_bytes == 256 * MIB);
    r = kit_response(&recorder);
    assert_true(r.state == STATE_PROGRESS && !r.final && r.granted_bytes == 512 * MIB);
    r = kit_response(&recorder);
    assert_true(r.state == STATE_PARTIAL && r.final && r.granted_bytes == 600 * MIB);
    assert_true(r.retry_ms == 700 && r.granularity == 2 * MIB);
    assert_string_equal(r.detail, "half");
    assert_string_equal(r.id, m.id);
    assert_int_equal(kit_stats_of(session).requests, 1);
    assert_int_equal(kit_stats_of(session).responses, 3);
    rescale_close(&session);
}

// What is left out is left out on the wire.
static void a_bare_request(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_welcomed();
    assert_true(rescale_async(session, &(struct rescale_request){.target_bytes = 0, .id = "mine"},
                              kit_on_response, &recorder));
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    assert_string_equal(m.id, "mine");
    assert_false(m.has_min);
    assert_false(m.has_priority);
    assert_int_equal(m.deadline_ms, 0);
    assert_true(m.reason[0] == '\0' && m.reclaim[0] == '\0');
    rescale_close(&session);
}

// Every final state comes back as it is from the blocking form.
static void blocking(void **state)
{
    (void)state;
    static const enum message_state states[] = {STATE_DONE,       STATE_PARTIAL, STATE_DEFERRED,
                                                STATE_INFEASIBLE, STATE_DENIED,  STATE_ERROR};
    struct rescale_session *session = kit_open_welcomed();
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        struct kit_asker asker = {.session = session, .request = {.target_bytes = (512 + i) * MIB}};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, kit_ask_one, &asker), 0);
        struct message m = kit_expect(&server, MESSAGE_RESCALE);
        assert_int_equal(m.target_bytes, (512 + i) * MIB);
        kit_respond(m.id, "accepted", false, 1);
        kit_respond(m.id, message_state_name(states[i]), true, i * MIB);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(asker.response.state, states[i]);
        assert_true(asker.response.final && asker.response.granted_bytes == i * MIB);
    }
    rescale_close(&session);
}

// A second final answer, answers to ids that never were, messages of a client, types of a later version: counted, and nothing else.
static void answers_nobody_waits_for(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_welcomed();
    assert_true(
        rescale_async(session, &(struct rescale_request){.target_bytes = MIB}, kit_on_response, &recorder));
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    kit_respond(m.id, "deferred", true, 256 * MIB);
    kit_respond(m.id, "done", true, 4096 * MIB);
    kit_respond("stranger", "done", true, 4096 * MIB);
    kit_say(&server, "{\"type\":\"ping\"}");
    kit_say(&server, "{\"type\":\"from-tomorrow\",\"x\":[1,2,{}]}");
    kit_say(&server, "{\"type\":\"status\",\"pool_bytes\":1,\"free_bytes\":1,\"granularity\":1,\"vnfs\":[]}");
    kit_say(&server,
            "{\"type\":\"welcome\",\"version\":1,\"granted_bytes\":9,\"granularity\":1,\"lease_ms\":1}");
    kit_say(&server, "{\"type\":\"error\",\"code\":\"unexpected\",\"detail\":\"what?\"}");
    assert_int_equal(kit_response(&recorder).state, STATE_DEFERRED);
    kit_round_trip(session); // would find another response in front of its own
    assert_int_equal(recorder.response_count, 2);
    assert_int_equal(kit_stats_of(session).unexpected, 7);
    assert_int_equal(kit_stats_of(session).responses, 2);
    assert_int_equal(kit_stats_of(session).connects, 1);
    rescale_close(&session);
}

// ---- operators

static void *ask_status(void *arg)
{
    struct kit_asker *asker = arg;
    struct message status;
    struct error e = {""};
    bool good = rescale_status(asker->session, asker->request.id, 600000, &status, &e);
    asker->response.granted_bytes = good && status.vnf_count == 1 ? status.vnfs[0].granted_bytes : 0;
    (void)snprintf(asker->response.detail, sizeof asker->response.detail, "%.200s", e.text);
    if (good)
        message_release(&status);
    return NULL;
}

static void say_status(const char *vnf, uint64_t granted)
{
    kit_say(&server,
            "{\"type\":\"status\",\"pool_bytes\":8589934592,\"free_bytes\":1,\"granularity\":2097152,"
            "\"vnfs\":[{\"vnf\":\"%s\","
            "\"backend\":\"cgroup\",\"connected\":true,\"granted_bytes\":%" PRIu64
            ",\"actual_bytes\":1,\"used_bytes\":1,\"min_bytes\":1,"
            "\"max_bytes\":1,\"priority\":5,\"overdue\":0,\"change\":\"none\",\"target_bytes\":0,\"detail\":"
            "\"\"}]}",
            vnf, granted);
}

static void operators_ask_for_status(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_as(NULL);
    struct message hello = kit_welcome(&server, LEASE_MS);
    assert_int_equal(hello.role, ROLE_OPERATOR);
    assert_false(hello.has_holding);
    struct kit_asker asker = {.session = session, .request = {.id = "ks7"}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ask_status, &asker), 0);
    assert_string_equal(kit_expect(&server, MESSAGE_STATUS_ASK).vnf, "ks7");
    kit_hang_up(&server); // asked again over the next connection
    (void)kit_welcome(&server, LEASE_MS);
    assert_string_equal(kit_expect(&server, MESSAGE_STATUS_ASK).vnf, "ks7");
    say_status("ks7", 77);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(asker.response.granted_bytes, 77);
    // Refused.
    assert_int_equal(pthread_create(&thread, NULL, ask_status, &asker), 0);
    (void)kit_expect(&server, MESSAGE_STATUS_ASK);
    kit_say(&server, "{\"type\":\"error\",\"code\":\"unexpected\",\"detail\":\"no\"}");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(asker.response.detail, "status: no");
    // Not answered in time; its answer comes late and is not the next one's.
    struct message status;
    struct error e = {""};
    assert_false(rescale_status(session, "ks8", 1, &status, &e));
    assert_string_equal(e.text, "status: no answer in time");
    assert_int_equal(pthread_create(&thread, NULL, ask_status, &asker), 0);
    struct message first = kit_expect(&server, MESSAGE_STATUS_ASK);
    if (strcmp(first.vnf, "ks8") == 0) { // it was sent before its time was over
        say_status("ks8", 88);
        (void)kit_expect(&server, MESSAGE_STATUS_ASK);
    }
    say_status("ks7", 99);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(asker.response.granted_bytes, 99);
    assert_false(rescale_status(session, "a b", 1000, &status, &e));
    rescale_close(&session);
}

static void *ask_vnf(void *arg)
{
    struct kit_asker *asker = arg;
    asker->response = rescale_vnf(asker->session, "ks1", &asker->request);
    return NULL;
}

static void operators_rescale_others(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_as(NULL);
    (void)kit_welcome(&server, LEASE_MS);
    struct kit_asker asker = {.session = session, .request = {.target_bytes = 5 * MIB}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ask_vnf, &asker), 0);
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    assert_string_equal(m.vnf, "ks1");
    kit_respond(m.id, "denied", true, 3);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(asker.response.state, STATE_DENIED);
    assert_int_equal(rescale(session, &asker.request).state, STATE_ERROR);
    assert_int_equal(rescale_vnf(session, NULL, &asker.request).state, STATE_ERROR);
    assert_int_equal(rescale_vnf(session, "a b", &asker.request).state, STATE_ERROR);
    assert_false(rescale_async(session, &asker.request, kit_on_response, &recorder));
    // What is meant for VNFs is nothing to an operator.
    kit_say(&server, "{\"type\":\"offer\",\"available_bytes\":42}");
    kit_say(&server, "{\"type\":\"grant\",\"granted_bytes\":42,\"granularity\":1}");
    kit_say(&server, "{\"type\":\"reclaim\",\"id\":\"r\",\"target_bytes\":42}");
    assert_true(rescale_vnf_async(session, "ks1", &asker.request, kit_on_response, &recorder));
    m = kit_expect(&server, MESSAGE_RESCALE);
    kit_respond(m.id, "accepted", false, 3);
    kit_respond(m.id, "done", true, 5 * MIB);
    assert_int_equal(kit_response(&recorder).state, STATE_ACCEPTED);
    assert_int_equal(kit_response(&recorder).state, STATE_DONE);
    assert_int_equal(kit_stats_of(session).unexpected, 3);
    rescale_close(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(hello_and_welcome),
        KIT_TEST(refusals),
        KIT_TEST(odd_greetings),
        KIT_TEST(responses_come_in_order),
        KIT_TEST(a_bare_request),
        KIT_TEST(blocking),
        KIT_TEST(answers_nobody_waits_for),
        KIT_TEST(operators_ask_for_status),
        KIT_TEST(operators_rescale_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
