// librescale against a scaleupd that says what the test says: PROTOCOL.md's client side over a real socket. Times and back-off are test_rescale_core.c's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rescale_kit.h"
#include "scaleup/rescale_internal.h"
#include "tests/unit/common/test_dir.h"

#define MIB      ((uint64_t)1 << 20)
#define LEASE_MS 600000 // pings and dead peers play no part where this is
#define RESPONSE                                                                                             \
    "{\"type\":\"response\",\"id\":\"%s\",\"state\":\"%s\",\"final\":%s,\"granted_bytes\":%" PRIu64          \
    ",\"granularity\":2097152"
#define EARLY                                                                                                \
    "{\"type\":\"response\",\"id\":\"1\",\"state\":\"done\",\"final\":true,\"granted_bytes\":1,"             \
    "\"granularity\":1}"
#define NOT_FINAL                                                                                            \
    "{\"type\":\"response\",\"id\":\"1\",\"state\":\"done\",\"final\":false,\"granted_bytes\":1,"            \
    "\"granularity\":1}"
#define TRIES        40
#define MANY_THREADS 8
#define MANY_ASKS    12

static struct kit_server server;
static struct kit_recorder recorder;

static int set_up(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)test_dir_create();
    kit_recorder_init(&recorder);
    kit_listen(&server, test_dir_path("sock"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kit_stop(&server);
    test_dir_remove();
    return 0;
}

static struct rescale_session *open_as(const char *vnf)
{
    const struct rescale_options options = {.address = server.address,
                                            .vnf = vnf,
                                            .holding_bytes = vnf != NULL ? 64 * MIB : 0,
                                            .on_event = kit_on_event,
                                            .arg = &recorder,
                                            .backoff_min_ms = 10,
                                            .backoff_max_ms = 40};
    struct error e = {""};
    struct rescale_session *session = rescale_open(&options, &e);
    assert_string_equal(e.text, "");
    assert_non_null(session);
    return session;
}

static struct rescale_session *open_welcomed(void)
{
    struct rescale_session *session = open_as("ks1");
    (void)kit_welcome(&server, LEASE_MS);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    return session;
}

static void respond(const char *id, const char *state, bool final, uint64_t granted)
{
    kit_say(&server, RESPONSE "}", id, state, final ? "true" : "false", granted);
}

static struct rescale_stats stats_of(const struct rescale_session *session)
{
    struct rescale_stats stats;
    rescale_get_stats(session, &stats);
    return stats;
}

// The server has seen everything up to here, and so has the client: a request goes there and its answer comes back.
static void round_trip(struct rescale_session *session)
{
    assert_true(
        rescale_async(session, &(struct rescale_request){.target_bytes = 1}, kit_on_response, &recorder));
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    respond(m.id, "done", true, 256 * MIB);
    assert_string_equal(kit_response(&recorder).id, m.id);
}

// ---- greeting

static void hello_and_welcome(void **state)
{
    (void)state;
    struct rescale_session *session = open_as("ks1");
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
    assert_true(stats_of(session).connected);
    assert_int_equal(stats_of(session).connects, 1);
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
    struct rescale_session *session = open_as("ks1");
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
    assert_int_equal(stats_of(session).disconnects, 1);
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
    struct rescale_session *session = open_as("ks1");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        kit_accept(&server);
        (void)kit_expect(&server, MESSAGE_HELLO);
        kit_say_bytes(&server, lines[i], strlen(lines[i]));
        kit_say_bytes(&server, "\n", 1);
        kit_expect_end(&server);
        assert_true(strlen(kit_event(&recorder, RESCALE_DISCONNECTED).detail) > 0);
    }
    assert_int_equal(stats_of(session).connects, 0);
    assert_int_equal(stats_of(session).malformed, 4);
    rescale_close(&session);
}

// ---- a rescale

static void responses_come_in_order(void **state)
{
    (void)state;
    struct rescale_session *session = open_welcomed();
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
    respond(m.id, "accepted", false, 256 * MIB);
    respond(m.id, "progress", false, 512 * MIB);
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
    assert_int_equal(stats_of(session).requests, 1);
    assert_int_equal(stats_of(session).responses, 3);
    rescale_close(&session);
}

// What is left out is left out on the wire.
static void a_bare_request(void **state)
{
    (void)state;
    struct rescale_session *session = open_welcomed();
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

struct asker {
    struct rescale_session *session;
    struct rescale_request request;
    struct response response;
};

static void *ask_one(void *arg)
{
    struct asker *asker = arg;
    asker->response = rescale(asker->session, &asker->request);
    return NULL;
}

// Every final state comes back as it is from the blocking form.
static void blocking(void **state)
{
    (void)state;
    static const enum message_state states[] = {STATE_DONE,       STATE_PARTIAL, STATE_DEFERRED,
                                                STATE_INFEASIBLE, STATE_DENIED,  STATE_ERROR};
    struct rescale_session *session = open_welcomed();
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        struct asker asker = {.session = session, .request = {.target_bytes = (512 + i) * MIB}};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, ask_one, &asker), 0);
        struct message m = kit_expect(&server, MESSAGE_RESCALE);
        assert_int_equal(m.target_bytes, (512 + i) * MIB);
        respond(m.id, "accepted", false, 1);
        respond(m.id, message_state_name(states[i]), true, i * MIB);
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
    struct rescale_session *session = open_welcomed();
    assert_true(
        rescale_async(session, &(struct rescale_request){.target_bytes = MIB}, kit_on_response, &recorder));
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    respond(m.id, "deferred", true, 256 * MIB);
    respond(m.id, "done", true, 4096 * MIB);
    respond("stranger", "done", true, 4096 * MIB);
    kit_say(&server, "{\"type\":\"ping\"}");
    kit_say(&server, "{\"type\":\"from-tomorrow\",\"x\":[1,2,{}]}");
    kit_say(&server, "{\"type\":\"status\",\"pool_bytes\":1,\"free_bytes\":1,\"granularity\":1,\"vnfs\":[]}");
    kit_say(&server,
            "{\"type\":\"welcome\",\"version\":1,\"granted_bytes\":9,\"granularity\":1,\"lease_ms\":1}");
    kit_say(&server, "{\"type\":\"error\",\"code\":\"unexpected\",\"detail\":\"what?\"}");
    assert_int_equal(kit_response(&recorder).state, STATE_DEFERRED);
    round_trip(session); // would find another response in front of its own
    assert_int_equal(recorder.response_count, 2);
    assert_int_equal(stats_of(session).unexpected, 7);
    assert_int_equal(stats_of(session).responses, 2);
    assert_int_equal(stats_of(session).connects, 1);
    rescale_close(&session);
}

// ---- faults

// Garbage ends the connection; the request that waits is asked again, and answered.
static void garbage(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "\x16\x03\x01",
        "[]",
        "{}",
        NOT_FINAL,
        "{\"type\":\"grant\",\"granted_bytes\":-1,\"granularity\":1}",
        "{\"type\":\"grant\",\"granted_bytes\":1,\"granted_bytes\":1,\"granularity\":1}",
        "{\"type\":\"pong\"} {\"type\":\"pong\"}",
    };
    const size_t count = sizeof lines / sizeof lines[0];
    struct rescale_session *session = open_welcomed();
    assert_true(rescale_async(session, &(struct rescale_request){.target_bytes = MIB, .deadline_ms = 500000},
                              kit_on_response, &recorder));
    struct message first = kit_expect(&server, MESSAGE_RESCALE);
    for (size_t i = 0; i < count; i++) {
        kit_say(&server, "%s", lines[i]);
        kit_expect_end(&server);
        assert_memory_equal(kit_event(&recorder, RESCALE_DISCONNECTED).detail, "malformed: ", 11);
        (void)kit_welcome(&server, LEASE_MS);
        struct message again = kit_expect(&server, MESSAGE_RESCALE);
        assert_string_equal(again.id, first.id);
        assert_int_equal(again.target_bytes, MIB);
    }
    respond(first.id, "done", true, MIB);
    assert_int_equal(kit_response(&recorder).state, STATE_DONE);
    assert_int_equal(stats_of(session).malformed, count);
    rescale_close(&session);
}

// A server that dies in the middle of a request, is not there for a while, and comes back: the same id, target and min, and what is left of the deadline.
static void the_server_dies_and_comes_back(void **state)
{
    (void)state;
    struct rescale_session *session = open_welcomed();
    assert_true(rescale_async(
        session,
        &(struct rescale_request){.target_bytes = 512 * MIB, .min_bytes = 300 * MIB, .deadline_ms = 500000},
        kit_on_response, &recorder));
    struct message first = kit_expect(&server, MESSAGE_RESCALE);
    respond(first.id, "progress", false, 400 * MIB);
    assert_int_equal(kit_response(&recorder).state, STATE_PROGRESS);
    kit_unlisten(&server); // first: it must not get in between
    kit_stop(&server);
    (void)kit_event(&recorder, RESCALE_DISCONNECTED);
    assert_non_null(strstr(kit_event(&recorder, RESCALE_DISCONNECTED).detail, "connect: "));
    assert_false(stats_of(session).connected);
    kit_listen(&server, test_dir_path("sock"));
    struct message hello = kit_welcome(&server, LEASE_MS);
    assert_int_equal(hello.holding_bytes, 400 * MIB); // what it has learnt meanwhile
    struct message again = kit_expect(&server, MESSAGE_RESCALE);
    assert_string_equal(again.id, first.id);
    assert_true(again.target_bytes == first.target_bytes && again.min_bytes == first.min_bytes);
    assert_true(again.deadline_ms < first.deadline_ms);
    respond(again.id, "done", true, 512 * MIB);
    struct response r = kit_response(&recorder);
    assert_true(r.state == STATE_DONE && r.final);
    assert_int_equal(stats_of(session).connects, 2);
    assert_int_equal(stats_of(session).disconnects, 1);
    rescale_close(&session);
}

// The connection ends within a line; what was there of it is not mixed with the next connection's.
static void half_a_line(void **state)
{
    (void)state;
    struct rescale_session *session = open_welcomed();
    kit_say_bytes(&server, "{\"type\":\"gra", 12);
    kit_hang_up(&server);
    (void)kit_event(&recorder, RESCALE_DISCONNECTED);
    (void)kit_welcome(&server, LEASE_MS);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    round_trip(session);
    assert_int_equal(stats_of(session).malformed, 0);
    rescale_close(&session);
}

// What a server says just before it closes is still heard.
static void last_words(void **state)
{
    (void)state;
    struct rescale_session *session = open_welcomed();
    assert_true(
        rescale_async(session, &(struct rescale_request){.target_bytes = MIB}, kit_on_response, &recorder));
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    respond(m.id, "done", true, MIB);
    kit_hang_up(&server);
    assert_int_equal(kit_response(&recorder).state, STATE_DONE);
    (void)kit_event(&recorder, RESCALE_DISCONNECTED);
    rescale_close(&session);
}

// Silence: pings, and then another connection.
static void silence(void **state)
{
    (void)state;
    struct rescale_session *session = open_as("ks1");
    (void)kit_welcome(&server, 300);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    (void)kit_expect(&server, MESSAGE_PING);
    kit_expect_end(&server);
    assert_memory_equal(kit_event(&recorder, RESCALE_DISCONNECTED).detail, "nothing heard for ", 18);
    (void)kit_welcome(&server, LEASE_MS);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    rescale_close(&session);
}

static void slow_bytes(void **state)
{
    (void)state;
    static const char grant[] =
        "{\"type\":\"grant\",\"granted_bytes\":4194304,\"granularity\":2097152,\"reason\":\"slow\"}\r\n";
    struct rescale_session *session = open_welcomed();
    for (size_t i = 0; i < sizeof grant - 1; i++) {
        kit_say_bytes(&server, grant + i, 1);
        if (i % 8 == 0)
            (void)usleep(1000);
    }
    struct rescale_event event = kit_event(&recorder, RESCALE_GRANT);
    assert_int_equal(event.granted_bytes, 4194304);
    assert_string_equal(event.detail, "slow");
    rescale_close(&session);
}

// The longest line there may be, and one byte more.
static void long_lines(void **state)
{
    (void)state;
    char *line = malloc(MESSAGE_ANSWER_MAX + 1);
    assert_non_null(line);
    static const char start[] = "{\"type\":\"offer\",\"available_bytes\":77}";
    memset(line, ' ', MESSAGE_ANSWER_MAX + 1);
    memcpy(line, start, sizeof start - 1);
    line[MESSAGE_ANSWER_MAX - 1] = '\n';
    struct rescale_session *session = open_welcomed();
    kit_say_bytes(&server, line, MESSAGE_ANSWER_MAX);
    assert_int_equal(kit_event(&recorder, RESCALE_OFFER).available_bytes, 77);
    line[MESSAGE_ANSWER_MAX - 1] = ' ';
    line[MESSAGE_ANSWER_MAX] = '\n';
    kit_say_bytes(&server, line, MESSAGE_ANSWER_MAX + 1);
    assert_non_null(strstr(kit_event(&recorder, RESCALE_DISCONNECTED).detail, "a line of more than 1 MiB"));
    (void)kit_welcome(&server, LEASE_MS);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    rescale_close(&session);
    free(line);
}

// ---- the server's own wishes

static void events(void **state)
{
    (void)state;
    struct rescale_session *session = open_welcomed();
    kit_say(&server, "{\"type\":\"reclaim\",\"id\":\"r3\",\"target_bytes\":134217728,\"deadline_ms\":2000,"
                     "\"priority\":7,\"reason\":\"ks2 asks\"}");
    struct rescale_event event = kit_event(&recorder, RESCALE_RECLAIM);
    assert_string_equal(event.id, "r3");
    assert_string_equal(event.detail, "ks2 asks");
    assert_true(event.target_bytes == 128 * MIB && event.deadline_ms == 2000 && event.priority == 7);
    rescale_reclaiming(session, "r3", STATE_PARTIAL, 200 * MIB);
    struct message m = kit_expect(&server, MESSAGE_RECLAIMING);
    assert_string_equal(m.id, "r3");
    assert_true(m.state == STATE_PARTIAL && m.target_bytes == 200 * MIB);
    rescale_reclaiming(session, "not an id", STATE_ACCEPTED, 0);
    rescale_reclaiming(session, "r4", STATE_REFUSED, 0);
    assert_string_equal(kit_expect(&server, MESSAGE_RECLAIMING).id, "r4");
    kit_say(
        &server,
        "{\"type\":\"grant\",\"granted_bytes\":104857600,\"granularity\":1048576,\"reason\":\"operator\"}");
    event = kit_event(&recorder, RESCALE_GRANT);
    assert_true(event.granted_bytes == 100 * MIB && event.granularity == MIB);
    assert_string_equal(event.detail, "operator");
    kit_say(&server, "{\"type\":\"offer\",\"available_bytes\":42}");
    assert_int_equal(kit_event(&recorder, RESCALE_OFFER).available_bytes, 42);
    // The next hello says what the grant was.
    kit_hang_up(&server);
    assert_int_equal(kit_welcome(&server, LEASE_MS).holding_bytes, 100 * MIB);
    rescale_close(&session);
}

// A callback may ask, and answer; to wait for itself is refused instead of lasting for ever.
static struct rescale_session *callback_session;
static struct response callback_response;

static void answering(void *arg, const struct rescale_event *event)
{
    if (event->type == RESCALE_RECLAIM) {
        callback_response = rescale(callback_session, &(struct rescale_request){.target_bytes = 1});
        rescale_reclaiming(callback_session, event->id, STATE_ACCEPTED, event->target_bytes);
        (void)rescale_async(
            callback_session,
            &(struct rescale_request){.target_bytes = event->target_bytes, .reclaim = event->id},
            kit_on_response, arg);
    }
    kit_on_event(arg, event);
}

static void asking_from_a_callback(void **state)
{
    (void)state;
    const struct rescale_options options = {
        .address = server.address, .vnf = "ks1", .on_event = answering, .arg = &recorder};
    struct error e = {""};
    callback_session = rescale_open(&options, &e);
    assert_non_null(callback_session);
    (void)kit_welcome(&server, LEASE_MS);
    kit_say(&server, "{\"type\":\"reclaim\",\"id\":\"r9\",\"target_bytes\":1048576}");
    assert_string_equal(kit_expect(&server, MESSAGE_RECLAIMING).id, "r9");
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    assert_string_equal(m.reclaim, "r9");
    respond(m.id, "done", true, MIB);
    assert_int_equal(kit_response(&recorder).state, STATE_DONE);
    assert_int_equal(callback_response.state, STATE_ERROR);
    assert_non_null(strstr(callback_response.detail, "own thread"));
    rescale_close(&callback_session);
}

static void answering_only(void *arg, const struct rescale_event *event)
{
    if (event->type == RESCALE_RECLAIM)
        rescale_reclaiming(callback_session, event->id, STATE_REFUSED, 0);
    else
        kit_on_event(arg, event);
}

// A server that asks and does not read the answers is left, instead of having them pile up.
static void a_server_that_does_not_read(void **state)
{
    (void)state;
    enum { RECLAIMS = 40000 };
    const struct rescale_options options = {.address = server.address,
                                            .vnf = "ks1",
                                            .on_event = answering_only,
                                            .arg = &recorder,
                                            .backoff_min_ms = 10,
                                            .backoff_max_ms = 40};
    struct error e = {""};
    callback_session = rescale_open(&options, &e);
    assert_non_null(callback_session);
    (void)kit_welcome(&server, LEASE_MS);
    for (int i = 0; i < RECLAIMS; i++)
        kit_say(&server, "{\"type\":\"reclaim\",\"id\":\"r%d\",\"target_bytes\":1}", i);
    assert_string_equal(kit_event(&recorder, RESCALE_DISCONNECTED).detail,
                        "the server does not read what it is sent");
    (void)kit_welcome(&server, LEASE_MS);
    rescale_close(&callback_session);
}

// ---- what is not accepted

static void bad_requests(void **state)
{
    (void)state;
    struct rescale_session *session = open_welcomed();
    const struct rescale_request bad[] = {
        {.target_bytes = 1, .id = ""},
        {.target_bytes = 1, .id = "a b"},
        {.target_bytes = 1, .reclaim = "\n"},
        {.target_bytes = 1, .priority = 11},
        {.target_bytes = MESSAGE_NUMBER_MAX + 1},
        {.target_bytes = 1, .min_bytes = MESSAGE_NUMBER_MAX + 1},
        {.target_bytes = 1, .deadline_ms = MESSAGE_NUMBER_MAX + 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(rescale_async(session, &bad[i], kit_on_response, &recorder));
        struct response r = rescale(session, &bad[i]);
        assert_true(r.state == STATE_ERROR && r.final);
        assert_memory_equal(r.detail, "not accepted: ", 14);
    }
    // The same id while it waits; and again after its end.
    const struct rescale_request mine = {.target_bytes = 1, .id = "mine"};
    assert_true(rescale_async(session, &mine, kit_on_response, &recorder));
    assert_false(rescale_async(session, &mine, kit_on_response, &recorder));
    (void)kit_expect(&server, MESSAGE_RESCALE);
    respond("mine", "done", true, 1);
    (void)kit_response(&recorder);
    assert_true(rescale_async(session, &mine, kit_on_response, &recorder));
    assert_string_equal(kit_expect(&server, MESSAGE_RESCALE).id, "mine");
    // An operator's calls.
    struct message status;
    struct error e = {""};
    assert_int_equal(rescale_vnf(session, "ks1", &mine).state, STATE_ERROR);
    assert_false(rescale_vnf_async(session, "ks1", &mine, kit_on_response, &recorder));
    assert_false(rescale_status(session, NULL, 1000, &status, &e));
    assert_int_equal(recorder.response_count, 1);
    rescale_close(&session);
}

// A text that cannot go through the protocol as it is goes through it as it can, and the connection lives.
static void odd_reasons(void **state)
{
    (void)state;
    char longer[600];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    memcpy(longer + 255, "\xc3\xa9", 2); // cut in the middle of the character
    const char *const reasons[] = {longer, "two\nlines\x1b[31m", "\xff\xfe"};
    struct rescale_session *session = open_welcomed();
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        assert_true(rescale_async(session, &(struct rescale_request){.target_bytes = 1, .reason = reasons[i]},
                                  kit_on_response, &recorder));
        assert_true(strlen(kit_expect(&server, MESSAGE_RESCALE).reason) > 0);
    }
    rescale_close(&session);
}

static void bad_options(void **state)
{
    (void)state;
    const struct tls_files missing = {
        .cert_file = "/nonexistent", .key_file = "/nonexistent", .ca_file = "/nonexistent"};
    const struct tls_files half = {.cert_file = "/nonexistent"};
    const struct rescale_options bad[] = {
        {.vnf = "ks1"},
        {.address = "", .vnf = "ks1"},
        {.address = "unix:", .vnf = "ks1"},
        {.address = "unix:/tmp/x", .vnf = ""},
        {.address = "unix:/tmp/x", .vnf = "a b"},
        {.address = "unix:/tmp/x", .vnf = "ks1", .backoff_min_ms = 2, .backoff_max_ms = 1},
        {.address = "localhost:1", .vnf = "ks1"},
        {.address = "localhost:1", .vnf = "ks1", .tls = &half},
        {.address = "localhost:1", .vnf = "ks1", .tls = &missing},
        {.address = "localhost", .vnf = "ks1", .tls = &missing},
        {.address = "localhost:1/", .vnf = "ks1", .tls = &missing},
        {.address = "localhost:0", .vnf = "ks1", .tls = &missing},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error e = {""};
        assert_null(rescale_open(&bad[i], &e));
        assert_true(e.text[0] != '\0');
    }
}

static void sixty_four_at_most(void **state)
{
    (void)state;
    struct rescale_session *session = open_welcomed();
    for (int i = 0; i < 64; i++)
        assert_true(
            rescale_async(session, &(struct rescale_request){.target_bytes = 1}, kit_on_response, &recorder));
    assert_false(
        rescale_async(session, &(struct rescale_request){.target_bytes = 1}, kit_on_response, &recorder));
    struct response r = rescale(session, &(struct rescale_request){.target_bytes = 1, .id = "late"});
    assert_string_equal(r.id, "late");
    assert_non_null(strstr(r.detail, "64"));
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    respond(m.id, "done", true, 1);
    (void)kit_response(&recorder);
    assert_true(
        rescale_async(session, &(struct rescale_request){.target_bytes = 1}, kit_on_response, &recorder));
    rescale_close(&session);
    for (int i = 0; i < 64; i++) {
        r = kit_response(&recorder);
        assert_true(r.final && r.state == STATE_ERROR);
        assert_string_equal(r.detail, "closed");
    }
}

// ---- closing, and many threads

static void closing_with_requests_outstanding(void **state)
{
    (void)state;
    struct rescale_session *session = open_welcomed();
    struct asker askers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        askers[i] =
            (struct asker){.session = session, .request = {.target_bytes = 1, .deadline_ms = 3600000}};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_one, &askers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        (void)kit_expect(&server, MESSAGE_RESCALE);
    rescale_close(&session);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(askers[i].response.state == STATE_ERROR && askers[i].response.final);
        assert_string_equal(askers[i].response.detail, "closed");
        assert_int_equal(askers[i].response.granted_bytes, 256 * MIB); // what is known to be true
    }
}

// At any moment: connecting, greeting, welcomed, resting.
static void closing_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < TRIES; i++) {
        struct rescale_session *session = open_as("ks1");
        (void)rescale_async(session, &(struct rescale_request){.target_bytes = 1}, kit_on_response,
                            &recorder);
        if (i % 4 == 1)
            kit_accept(&server);
        else if (i % 4 == 2)
            (void)kit_welcome(&server, LEASE_MS);
        else if (i % 4 == 3)
            kit_unlisten(&server);
        if (i % 4 == 3)
            (void)usleep((unsigned)i * 500);
        rescale_close(&session);
        assert_int_equal(kit_response(&recorder).state, STATE_ERROR);
        kit_stop(&server);
        kit_listen(&server, test_dir_path("sock"));
    }
}

struct crowd {
    struct rescale_session *session;
    _Atomic unsigned done, wrong;
};

static void *ask_many(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned i = 1; i <= MANY_ASKS; i++) {
        struct response r = rescale(
            crowd->session, &(struct rescale_request){.target_bytes = i * MIB, .deadline_ms = 500000});
        struct rescale_stats stats;
        rescale_get_stats(crowd->session, &stats);
        if (r.state != STATE_DONE || !r.final || r.granted_bytes != i * MIB || stats.requests == 0)
            crowd->wrong++;
    }
    crowd->done++;
    return NULL;
}

// Whether this id has been answered before; remembers it.
static bool answered_before(message_name ids[], unsigned count, const char *id)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(ids[i], id) == 0)
            return true;
    memcpy(ids[count], id, sizeof ids[count]);
    return false;
}

// Each gets the answer to its own question, also over connections that break. An answer may be lost with its connection: then it is asked for again.
static void many_threads(void **state)
{
    (void)state;
    static message_name ids[MANY_THREADS * MANY_ASKS];
    struct crowd crowd = {.session = open_welcomed()};
    pthread_t threads[MANY_THREADS];
    unsigned answered = 0;
    for (int i = 0; i < MANY_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &crowd), 0);
    while (answered < MANY_THREADS * MANY_ASKS) {
        struct message m = kit_expect(&server, MESSAGE_RESCALE);
        respond(m.id, "accepted", false, 0);
        respond(m.id, "done", true, m.target_bytes);
        if (!answered_before(ids, answered, m.id) && ++answered % 37 == 0)
            (void)kit_welcome(&server, LEASE_MS);
    }
    for (int i = 0; i < MANY_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(crowd.done, MANY_THREADS);
    assert_int_equal(crowd.wrong, 0);
    rescale_close(&crowd.session);
}

// ---- operators

static void *ask_status(void *arg)
{
    struct asker *asker = arg;
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
    struct rescale_session *session = open_as(NULL);
    struct message hello = kit_welcome(&server, LEASE_MS);
    assert_int_equal(hello.role, ROLE_OPERATOR);
    assert_false(hello.has_holding);
    struct asker asker = {.session = session, .request = {.id = "ks7"}};
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
    struct asker *asker = arg;
    asker->response = rescale_vnf(asker->session, "ks1", &asker->request);
    return NULL;
}

static void operators_rescale_others(void **state)
{
    (void)state;
    struct rescale_session *session = open_as(NULL);
    (void)kit_welcome(&server, LEASE_MS);
    struct asker asker = {.session = session, .request = {.target_bytes = 5 * MIB}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ask_vnf, &asker), 0);
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    assert_string_equal(m.vnf, "ks1");
    respond(m.id, "denied", true, 3);
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
    respond(m.id, "accepted", false, 3);
    respond(m.id, "done", true, 5 * MIB);
    assert_int_equal(kit_response(&recorder).state, STATE_ACCEPTED);
    assert_int_equal(kit_response(&recorder).state, STATE_DONE);
    assert_int_equal(stats_of(session).unexpected, 3);
    rescale_close(&session);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(hello_and_welcome),
        TEST(refusals),
        TEST(odd_greetings),
        TEST(responses_come_in_order),
        TEST(a_bare_request),
        TEST(blocking),
        TEST(answers_nobody_waits_for),
        TEST(garbage),
        TEST(the_server_dies_and_comes_back),
        TEST(half_a_line),
        TEST(last_words),
        TEST(silence),
        TEST(slow_bytes),
        TEST(long_lines),
        TEST(events),
        TEST(asking_from_a_callback),
        TEST(a_server_that_does_not_read),
        TEST(bad_requests),
        TEST(odd_reasons),
        TEST(bad_options),
        TEST(sixty_four_at_most),
        TEST(closing_with_requests_outstanding),
        TEST(closing_at_once),
        TEST(many_threads),
        TEST(operators_ask_for_status),
        TEST(operators_rescale_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
