#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>

#include "rescale_session_kit.h"
#include "tests/unit/common/test_dir.h"

struct kit_server server;
struct kit_recorder recorder;

int kit_set_up(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)test_dir_create();
    kit_recorder_init(&recorder);
    kit_listen(&server, test_dir_path("sock"));
    return 0;
}

int kit_tear_down(void **state)
{
    (void)state;
    kit_stop(&server);
    test_dir_remove();
    return 0;
}

struct rescale_session *kit_open_as(const char *vnf)
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

struct rescale_session *kit_open_welcomed(void)
{
    struct rescale_session *session = kit_open_as("ks1");
    (void)kit_welcome(&server, LEASE_MS);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    return session;
}

void kit_respond(const char *id, const char *state, bool final, uint64_t granted)
{
    kit_say(&server, RESPONSE "}", id, state, final ? "true" : "false", granted);
}

struct rescale_stats kit_stats_of(const struct rescale_session *session)
{
    struct rescale_stats stats;
    rescale_get_stats(session, &stats);
    return stats;
}

void kit_round_trip(struct rescale_session *session)
{
    assert_true(
        rescale_async(session, &(struct rescale_request){.target_bytes = 1}, kit_on_response, &recorder));
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    kit_respond(m.id, "done", true, 256 * MIB);
    assert_string_equal(kit_response(&recorder).id, m.id);
}

void *kit_ask_one(void *arg)
{
    struct kit_asker *asker = arg;
    asker->response = rescale(asker->session, &asker->request);
    return NULL;
}
