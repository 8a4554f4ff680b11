// librescale's core: back-off and lease.
#include "rescale_core_kit.h"

// ---- back-off

// 250 ms doubled up to 30 s, each a quarter less or more by chance.
static void back_off_doubles(void **state)
{
    (void)state;
    static const uint64_t delays[] = {250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
    for (int high = 0; high < 2; high++) {
        kit_begin("ks1");
        w.connect_fails = true;
        (void)kit_tick(); // at once
        assert_int_equal(w.connects, 1);
        assert_string_equal(kit_last_event(RESCALE_DISCONNECTED)->detail, "nobody there");
        for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
            uint64_t quarter = delays[i] / 4;
            // The delay of this step was drawn when the attempt before failed.
            uint64_t expected = high && i > 0 ? delays[i] + quarter : delays[i] - quarter;
            w.random =
                high ? (uint32_t)(2 * (i + 1 < sizeof delays / sizeof delays[0] ? delays[i + 1] / 4 : 7500))
                     : 0;
            assert_int_equal(kit_next_attempt(), expected);
        }
        assert_int_equal(w.core.disconnects, 0);
        rescale_core_close(&w.core);
    }
}

// A connection that has held longer than the last back-off starts it anew; one that is thrown out at once does not.
static void back_off_starts_anew(void **state)
{
    (void)state;
    kit_begin("ks1");
    static const uint64_t thrown_out[] = {188, 375, 750, 1500};
    for (size_t i = 0; i < sizeof thrown_out / sizeof thrown_out[0]; i++) {
        kit_welcome_with(10000);
        rescale_core_disconnected(&w.core, "gone", w.now);
        assert_int_equal(kit_next_attempt(), thrown_out[i]);
    }
    kit_welcome_with(10000);
    w.now += 5000;
    rescale_core_disconnected(&w.core, "gone", w.now);
    assert_int_equal(kit_next_attempt(), 188);
    assert_int_equal(w.core.connects, 5);
    assert_int_equal(w.core.disconnects, 5);
    rescale_core_close(&w.core);
}

// However long the server is away, the attempts come so often that the lease of its next start is kept; refused, it is left in peace.
static void back_off_keeps_the_lease(void **state)
{
    (void)state;
    kit_begin("ks1");
    kit_welcome_with(9000);
    w.now += 5000;
    rescale_core_disconnected(&w.core, "gone", w.now);
    w.connect_fails = true;
    for (int i = 0; i < 20; i++)
        assert_true(kit_next_attempt() <= 3000);
    assert_int_equal(kit_next_attempt(), 2250);
    w.connect_fails = false;
    (void)kit_next_attempt();
    kit_welcome_with(90); // less than the least back-off
    w.now += 5000;
    rescale_core_disconnected(&w.core, "gone", w.now);
    w.connect_fails = true;
    for (int i = 0; i < 5; i++)
        assert_int_equal(kit_next_attempt(), 188);
    w.connect_fails = false;
    (void)kit_next_attempt();
    kit_welcome_with(9000);
    kit_line("{\"type\":\"error\",\"code\":\"denied\",\"detail\":\"no\"}");
    assert_int_equal(kit_next_attempt(), 22500);
    rescale_core_close(&w.core);
}

static void seldom_when_refused(void **state)
{
    (void)state;
    kit_begin("ks1");
    (void)kit_tick();
    rescale_core_connected(&w.core, w.now);
    kit_line("{\"type\":\"error\",\"code\":\"denied\"}");
    assert_int_equal(w.events[0].type, RESCALE_REFUSED);
    assert_string_equal(kit_last_event(RESCALE_DISCONNECTED)->detail, "denied");
    assert_int_equal(kit_next_attempt(), 22500);
    // "busy" says nothing against us, but the back-off is where it was.
    rescale_core_connected(&w.core, w.now);
    kit_line("{\"type\":\"error\",\"code\":\"busy\"}");
    assert_int_equal(w.event_count, 3);
    assert_int_equal(kit_next_attempt(), 22500);
    kit_welcome_with(10000);
    w.now += 60000;
    rescale_core_disconnected(&w.core, "gone", w.now);
    assert_int_equal(kit_next_attempt(), 188);
    rescale_core_close(&w.core);
}

static void connecting_and_greeting_take_ten_seconds_each(void **state)
{
    (void)state;
    kit_begin("ks1");
    (void)kit_tick();
    w.now += 9999;
    assert_int_equal(kit_tick(), w.now + 1);
    assert_int_equal(w.event_count, 0);
    w.now += 1;
    (void)kit_tick();
    assert_string_equal(kit_last_event(RESCALE_DISCONNECTED)->detail, "no connection within 10 s");
    assert_false(w.up);
    (void)kit_next_attempt();
    w.now += 9000;
    rescale_core_connected(&w.core, w.now);
    (void)kit_last_sent(MESSAGE_HELLO);
    w.now += 9999;
    (void)kit_tick();
    assert_true(w.up);
    w.now += 1;
    (void)kit_tick();
    assert_string_equal(kit_last_event(RESCALE_DISCONNECTED)->detail, "no welcome within 10 s");
    rescale_core_close(&w.core);
}

// Late news of a connection that is no more.
static void late_news(void **state)
{
    (void)state;
    kit_begin("ks1");
    rescale_core_connected(&w.core, w.now);
    rescale_core_disconnected(&w.core, "what?", w.now);
    kit_line("{\"type\":\"pong\"}");
    assert_int_equal(w.sent_count + w.event_count, 0);
    kit_welcome_with(10000);
    rescale_core_connected(&w.core, w.now);
    assert_int_equal(w.core.phase, RESCALE_OPEN);
    rescale_core_close(&w.core);
}

// ---- lease

static void a_ping_every_third(void **state)
{
    (void)state;
    kit_begin("ks1");
    kit_welcome_with(9000);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(w.pings, i);
        assert_int_equal(kit_tick(), w.now + 3000);
        w.now += 3000;
        (void)kit_tick();
        w.now += 1; // other talk does not stand for pings
        kit_line("{\"type\":\"pong\"}");
        w.now -= 1;
    }
    assert_true(w.up);
    rescale_core_close(&w.core);
}

static void nothing_heard_for_a_lease(void **state)
{
    (void)state;
    kit_begin("ks1");
    kit_welcome_with(9000);
    uint64_t from = w.now;
    while (w.core.phase == RESCALE_OPEN) {
        uint64_t next = kit_tick();
        if (w.core.phase == RESCALE_OPEN)
            w.now = next;
    }
    assert_int_equal(w.now - from, 9000);
    assert_int_equal(w.pings, 2);
    assert_string_equal(kit_last_event(RESCALE_DISCONNECTED)->detail, "nothing heard for 9000 ms");
    rescale_core_close(&w.core);
}

// A thread that slept through the lease has not asked, so the silence is its own: a ping first.
static void sleeping_through_the_lease(void **state)
{
    (void)state;
    kit_begin("ks1");
    kit_welcome_with(9000);
    w.now += 100000;
    assert_int_equal(kit_tick(), w.now + 3000);
    assert_true(w.up);
    w.now += 2999;
    kit_line("{\"type\":\"pong\"}");
    (void)kit_tick();
    assert_true(w.up);
    w.now += 100000;
    (void)kit_tick();
    w.now += 3000;
    (void)kit_tick();
    assert_false(w.up);
    rescale_core_close(&w.core);
}

// A lease of next to nothing is no flood of pings.
static void a_lease_of_a_millisecond(void **state)
{
    (void)state;
    kit_begin("ks1");
    kit_welcome_with(1);
    assert_int_equal(kit_tick(), w.now + RESCALE_LEASE_LEAST_MS / 3);
    rescale_core_close(&w.core);
}

static void a_server_that_does_not_read(void **state)
{
    (void)state;
    kit_begin("ks1");
    kit_welcome_with(9000);
    kit_ask("a", 5000);
    w.send_fails = true;
    kit_ask("b", 5000);
    assert_string_equal(kit_last_event(RESCALE_DISCONNECTED)->detail,
                        "the server does not read what it is sent");
    assert_false(w.up);
    w.send_fails = false;
    (void)kit_next_attempt();
    kit_welcome_with(9000);
    assert_string_equal(kit_last_sent(MESSAGE_RESCALE)->id, "b");
    assert_string_equal(w.sent[w.sent_count - 2].id, "a");
    rescale_core_close(&w.core);
    assert_int_equal(w.finals, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(back_off_doubles),
        cmocka_unit_test(back_off_starts_anew),
        cmocka_unit_test(back_off_keeps_the_lease),
        cmocka_unit_test(seldom_when_refused),
        cmocka_unit_test(connecting_and_greeting_take_ten_seconds_each),
        cmocka_unit_test(late_news),
        cmocka_unit_test(a_ping_every_third),
        cmocka_unit_test(nothing_heard_for_a_lease),
        cmocka_unit_test(sleeping_through_the_lease),
        cmocka_unit_test(a_lease_of_a_millisecond),
        cmocka_unit_test(a_server_that_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
