// librescale's core: deadlines of requests and statuses, and thousands of steps of anything that can happen.
#include "rescale_core_kit.h"

#include <stdio.h>

// ---- deadlines

static void deadline_and_five_seconds(void **state)
{
    (void)state;
    kit_begin("ks1");
    kit_welcome_with(UINT32_MAX);
    kit_ask("a", 2000);
    kit_ask("b", 0);
    w.now += 6999;
    assert_int_equal(kit_tick(), w.now + 1);
    assert_int_equal(w.finals, 0);
    w.now += 1;
    (void)kit_tick();
    assert_int_equal(w.finals, 1);
    assert_string_equal(w.last.id, "a");
    assert_int_equal(w.last.state, STATE_ERROR);
    assert_string_equal(w.last.detail, "no answer by the deadline");
    assert_int_equal(w.last.granted_bytes, 1000);
    assert_int_equal(w.last.granularity, 10);
    w.now += 27999;
    (void)kit_tick();
    assert_int_equal(w.finals, 1);
    w.now += 1;
    (void)kit_tick();
    assert_int_equal(w.finals, 2);
    // Its answer comes too late to count.
    kit_line("{\"type\":\"response\",\"id\":\"b\",\"state\":\"done\",\"final\":true,\"granted_bytes\":9,"
             "\"granularity\":1}");
    assert_int_equal(w.finals, 2);
    assert_int_equal(w.core.unexpected, 1);
    assert_int_equal(w.core.granted_bytes, 1000);
    assert_int_equal(w.ended, 2);
    rescale_core_close(&w.core);
}

// Asked while there is no connection: what is left of the deadline when there is one, and why not when there never is.
static void deadline_without_a_connection(void **state)
{
    (void)state;
    kit_begin("ks1");
    w.connect_fails = true;
    (void)kit_tick();
    kit_ask("a", 60000);
    kit_ask("b", 1000);
    kit_ask("c", 0);
    w.now += 6000;
    (void)kit_tick();
    assert_string_equal(w.last.id, "b");
    assert_string_equal(w.last.detail, "no answer by the deadline (not connected: nobody there)");
    w.connect_fails = false;
    if (w.core.phase == RESCALE_RESTING)
        (void)kit_next_attempt();
    uint64_t spent = w.now - 1000;
    kit_welcome_with(60000);
    assert_int_equal(w.sent[w.sent_count - 2].deadline_ms, 60000 - spent);
    assert_int_equal(kit_last_sent(MESSAGE_RESCALE)->deadline_ms,
                     0); // the server's own, from when it arrives
    rescale_core_disconnected(&w.core, "gone", w.now);
    (void)kit_next_attempt();
    spent = w.now - 1000;
    kit_welcome_with(60000);
    assert_int_equal(kit_last_sent(MESSAGE_RESCALE)->deadline_ms, RESCALE_DEADLINE_MS - spent);
    // In its last five seconds a request is asked with next to no deadline, not with the server's own.
    w.now = 1000 + RESCALE_DEADLINE_MS + 100;
    rescale_core_disconnected(&w.core, "gone", w.now);
    (void)kit_next_attempt();
    kit_welcome_with(60000);
    assert_string_equal(kit_last_sent(MESSAGE_RESCALE)->id, "c");
    assert_int_equal(kit_last_sent(MESSAGE_RESCALE)->deadline_ms, 1);
    rescale_core_close(&w.core);
    assert_int_equal(w.finals, 3);
}

// A status that is not answered in time has its answer still to come; when that takes longer than a lease the connection is given up.
static void statuses_that_time_out(void **state)
{
    (void)state;
    kit_begin(NULL);
    kit_welcome_with(100000);
    w.pings = 0;
    kit_ask_status(1000);
    kit_ask_status(200000);
    assert_int_equal(w.sent_count, 2); // hello, and the first of them
    w.now += 1000;
    (void)kit_tick();
    assert_int_equal(w.statuses, 1);
    assert_string_equal(w.status_why, "no answer in time");
    assert_int_equal(w.sent_count, 2);
    static const char answer[] =
        "{\"type\":\"status\",\"pool_bytes\":1,\"free_bytes\":1,\"granularity\":1,\"vnfs\":[]}";
    kit_line(answer); // the first one's, late
    assert_int_equal(w.statuses, 1);
    assert_int_equal(w.sent_count, 3);
    kit_line(answer);
    assert_int_equal(w.statuses, 2);
    assert_string_equal(w.status_why, "");
    kit_ask_status(1000);
    w.now += 1000;
    (void)kit_tick();
    kit_ask_status(200000);
    while (w.up) {
        w.now += 10000;
        kit_line("{\"type\":\"pong\"}");
        (void)kit_tick();
    }
    assert_string_equal(kit_last_event(RESCALE_DISCONNECTED)->detail, "no answer to status");
    (void)kit_next_attempt();
    kit_welcome_with(100000);
    (void)kit_last_sent(MESSAGE_STATUS_ASK);
    kit_line(answer);
    assert_int_equal(w.statuses, 4);
    rescale_core_close(&w.core);
}

// ---- anything

static uint64_t rng;

static unsigned dice(unsigned sides)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (unsigned)(rng >> 33) % sides;
}

static void random_response(void)
{
    static const char *const states[] = {"accepted\",\"final\":false", "progress\",\"final\":false",
                                         "done\",\"final\":true", "partial\",\"final\":true",
                                         "deferred\",\"final\":true"};
    char text[200];
    (void)snprintf(
        text, sizeof text,
        "{\"type\":\"response\",\"id\":\"%u\",\"state\":\"%s,\"granted_bytes\":%u,\"granularity\":1}",
        dice(400), states[dice(5)], dice(5000));
    kit_line(text);
}

static void random_line(void)
{
    static const char *const texts[] = {
        "{\"type\":\"pong\"}",
        "{\"type\":\"pong\"}",
        "{\"type\":\"welcome\",\"version\":1,\"granted_bytes\":1,\"granularity\":1,\"lease_ms\":3000}",
        "{\"type\":\"welcome\",\"version\":1,\"granted_bytes\":1,\"granularity\":1,\"lease_ms\":3000}",
        "{\"type\":\"welcome\",\"version\":1,\"granted_bytes\":1,\"granularity\":1,\"lease_ms\":3000}",
        "{\"type\":\"grant\",\"granted_bytes\":5,\"granularity\":1}",
        "{\"type\":\"reclaim\",\"id\":\"r\",\"target_bytes\":5}",
        "{\"type\":\"offer\",\"available_bytes\":5}",
        "{\"type\":\"error\",\"code\":\"unexpected\"}",
        "{\"type\":\"error\",\"code\":\"busy\"}",
        "{\"type\":\"error\",\"code\":\"replaced\"}",
        "{\"type\":\"tomorrow\"}",
        "garbage",
    };
    kit_line(texts[dice(sizeof texts / sizeof texts[0])]);
}

// Every request ends exactly once, and not later than its deadline and five seconds; nothing is sent without a connection; the next time that is asked
// for is in the future.
static void anything(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        unsigned asked = 0, statuses = 0;
        kit_begin(seed % 2 == 0 ? "ks1" : NULL);
        rng = seed * 0x9e3779b97f4a7c15u;
        for (int step = 0; step < 2000; step++) {
            char id[16];
            w.random = dice(100000);
            w.connect_fails = dice(4) == 0;
            w.send_fails = dice(50) == 0;
            w.event_count = w.sent_count = 0;
            switch (dice(8)) {
            case 0:
                (void)snprintf(id, sizeof id, "%u", asked);
                if (asked < 400) {
                    kit_ask(id, dice(3) * 1000);
                    asked++;
                }
                break;
            case 1:
                kit_ask_status(dice(3000));
                statuses++;
                break;
            case 2:
                rescale_core_connected(&w.core, w.now);
                break;
            case 3:
                if (dice(4) == 0 && w.up) {
                    w.up = false;
                    rescale_core_disconnected(&w.core, "gone", w.now);
                }
                break;
            case 4:
                random_line();
                break;
            case 5:
            case 6:
                random_response();
                break;
            default:
                w.now += dice(700);
            }
            assert_true(kit_tick() > w.now);
            for (const struct rescale_item *item = w.core.rescales.first; item != NULL; item = item->next)
                assert_true(item->gives_up_ms > w.now);
        }
        w.now += RESCALE_DEADLINE_MS + RESCALE_GRACE_MS;
        (void)kit_tick();
        assert_int_equal(w.finals, asked);
        assert_int_equal(w.ended, asked);
        kit_ask("last", 1);
        rescale_core_close(&w.core);
        assert_int_equal(w.finals, asked + 1);
        assert_string_equal(w.last.detail, "closed");
        assert_int_equal(w.statuses, statuses);
        assert_false(w.up);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadline_and_five_seconds),
        cmocka_unit_test(deadline_without_a_connection),
        cmocka_unit_test(statuses_that_time_out),
        cmocka_unit_test(anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
