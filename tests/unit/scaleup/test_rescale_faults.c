// librescale over a real socket: garbage, silence, servers that die, sessions that are closed at any moment, and many threads at once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rescale_session_kit.h"
#include "tests/unit/common/test_dir.h"

#define NOT_FINAL                                                                                            \
    "{\"type\":\"response\",\"id\":\"1\",\"state\":\"done\",\"final\":false,\"granted_bytes\":1,"            \
    "\"granularity\":1}"
#define TRIES        40
#define MANY_THREADS 8
#define MANY_ASKS    12

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
    struct rescale_session *session = kit_open_welcomed();
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
    kit_respond(first.id, "done", true, MIB);
    assert_int_equal(kit_response(&recorder).state, STATE_DONE);
    assert_int_equal(kit_stats_of(session).malformed, count);
    rescale_close(&session);
}

// A server that dies in the middle of a request, is not there for a while, and comes back: the same id, target and min, and what is left of the deadline.
static void the_server_dies_and_comes_back(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_welcomed();
    assert_true(rescale_async(
        session,
        &(struct rescale_request){.target_bytes = 512 * MIB, .min_bytes = 300 * MIB, .deadline_ms = 500000},
        kit_on_response, &recorder));
    struct message first = kit_expect(&server, MESSAGE_RESCALE);
    kit_respond(first.id, "progress", false, 400 * MIB);
    assert_int_equal(kit_response(&recorder).state, STATE_PROGRESS);
    kit_unlisten(&server); // first: it must not get in between
    kit_stop(&server);
    (void)kit_event(&recorder, RESCALE_DISCONNECTED);
    assert_non_null(strstr(kit_event(&recorder, RESCALE_DISCONNECTED).detail, "connect: "));
    assert_false(kit_stats_of(session).connected);
    kit_listen(&server, test_dir_path("sock"));
    struct message hello = kit_welcome(&server, LEASE_MS);
    assert_int_equal(hello.holding_bytes, 400 * MIB); // what it has learnt meanwhile
    struct message again = kit_expect(&server, MESSAGE_RESCALE);
    assert_string_equal(again.id, first.id);
    assert_true(again.target_bytes == first.target_bytes && again.min_bytes == first.min_bytes);
    assert_true(again.deadline_ms < first.deadline_ms);
    kit_respond(again.id, "done", true, 512 * MIB);
    struct response r = kit_response(&recorder);
    assert_true(r.state == STATE_DONE && r.final);
    assert_int_equal(kit_stats_of(session).connects, 2);
    assert_int_equal(kit_stats_of(session).disconnects, 1);
    rescale_close(&session);
}

// The connection ends within a line; what was there of it is not mixed with the next connection's.
static void half_a_line(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_welcomed();
    kit_say_bytes(&server, "{\"type\":\"gra", 12);
    kit_hang_up(&server);
    (void)kit_event(&recorder, RESCALE_DISCONNECTED);
    (void)kit_welcome(&server, LEASE_MS);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    kit_round_trip(session);
    assert_int_equal(kit_stats_of(session).malformed, 0);
    rescale_close(&session);
}

// What a server says just before it closes is still heard.
static void last_words(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_welcomed();
    assert_true(
        rescale_async(session, &(struct rescale_request){.target_bytes = MIB}, kit_on_response, &recorder));
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    kit_respond(m.id, "done", true, MIB);
    kit_hang_up(&server);
    assert_int_equal(kit_response(&recorder).state, STATE_DONE);
    (void)kit_event(&recorder, RESCALE_DISCONNECTED);
    rescale_close(&session);
}

// Silence: pings, and then another connection.
static void silence(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_as("ks1");
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
    struct rescale_session *session = kit_open_welcomed();
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
    struct rescale_session *session = kit_open_welcomed();
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

// ---- closing, and many threads

static void closing_with_requests_outstanding(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_welcomed();
    struct kit_asker askers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        askers[i] =
            (struct kit_asker){.session = session, .request = {.target_bytes = 1, .deadline_ms = 3600000}};
        assert_int_equal(pthread_create(&threads[i], NULL, kit_ask_one, &askers[i]), 0);
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
        struct rescale_session *session = kit_open_as("ks1");
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
    struct crowd crowd = {.session = kit_open_welcomed()};
    pthread_t threads[MANY_THREADS];
    unsigned answered = 0;
    for (int i = 0; i < MANY_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &crowd), 0);
    while (answered < MANY_THREADS * MANY_ASKS) {
        struct message m = kit_expect(&server, MESSAGE_RESCALE);
        kit_respond(m.id, "accepted", false, 0);
        kit_respond(m.id, "done", true, m.target_bytes);
        if (!answered_before(ids, answered, m.id) && ++answered % 37 == 0)
            (void)kit_welcome(&server, LEASE_MS);
    }
    for (int i = 0; i < MANY_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(crowd.done, MANY_THREADS);
    assert_int_equal(crowd.wrong, 0);
    rescale_close(&crowd.session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(garbage),         KIT_TEST(the_server_dies_and_comes_back),
        KIT_TEST(half_a_line),     KIT_TEST(last_words),
        KIT_TEST(silence),         KIT_TEST(slow_bytes),
        KIT_TEST(long_lines),      KIT_TEST(closing_with_requests_outstanding),
        KIT_TEST(closing_at_once), KIT_TEST(many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
