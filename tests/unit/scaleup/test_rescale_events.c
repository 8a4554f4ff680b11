// librescale over a real socket: what the server wants of its own accord, callbacks that ask and answer, and what is not accepted from the program.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "rescale_session_kit.h"

// ---- the server's own wishes

static void events(void **state)
{
    (void)state;
    struct rescale_session *session = kit_open_welcomed();
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
    kit_respond(m.id, "done", true, MIB);
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
    struct rescale_session *session = kit_open_welcomed();
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
    kit_respond("mine", "done", true, 1);
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
    struct rescale_session *session = kit_open_welcomed();
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
    struct rescale_session *session = kit_open_welcomed();
    for (int i = 0; i < 64; i++)
        assert_true(
            rescale_async(session, &(struct rescale_request){.target_bytes = 1}, kit_on_response, &recorder));
    assert_false(
        rescale_async(session, &(struct rescale_request){.target_bytes = 1}, kit_on_response, &recorder));
    struct response r = rescale(session, &(struct rescale_request){.target_bytes = 1, .id = "late"});
    assert_string_equal(r.id, "late");
    assert_non_null(strstr(r.detail, "64"));
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    kit_respond(m.id, "done", true, 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(events),
        KIT_TEST(asking_from_a_callback),
        KIT_TEST(a_server_that_does_not_read),
        KIT_TEST(bad_requests),
        KIT_TEST(odd_reasons),
        KIT_TEST(bad_options),
        KIT_TEST(sixty_four_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
