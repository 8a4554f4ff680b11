// librescale's core on a clock of the test's: back-off, lease, deadlines, and thousands of steps of anything that can happen.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/rescale_core.h"

#define SENT_MAX  256
#define EVENT_MAX 256

// What the core has done, and the link that it thinks it has.
static struct world {
    struct rescale_core core;
    uint64_t now;
    bool up, connect_fails, send_fails;
    unsigned connects, drops, pings, ended;
    uint32_t random;
    struct message sent[SENT_MAX]; // pings left out
    unsigned sent_count;
    struct rescale_event events[EVENT_MAX];
    unsigned event_count;
    struct response last;
    unsigned interim, finals, statuses;
    message_text status_why;
} w;

static bool on_connect(void *arg, struct error *e)
{
    (void)arg;
    assert_false(w.up);
    w.connects++;
    w.up = !w.connect_fails;
    if (w.connect_fails)
        error_set(e, "nobody there");
    return !w.connect_fails;
}

static void on_drop(void *arg)
{
    (void)arg;
    w.drops++;
    w.up = false;
}

static bool on_send(void *arg, const struct message *message)
{
    (void)arg;
    assert_true(w.up);
    if (message->type == MESSAGE_PING)
        w.pings++;
    else if (w.sent_count < SENT_MAX)
        w.sent[w.sent_count++] = *message;
    return !w.send_fails;
}

static void on_event(void *arg, const struct rescale_event *event)
{
    (void)arg;
    if (w.event_count < EVENT_MAX)
        w.events[w.event_count++] = *event;
}

static uint32_t on_random(void *arg)
{
    (void)arg;
    return w.random;
}

static void on_ended(void *arg, unsigned slot)
{
    (void)arg;
    (void)slot;
    w.ended++;
}

static void on_done(void *arg, const struct response *response)
{
    (void)arg;
    w.last = *response;
    w.interim += !response->final;
    w.finals += response->final;
    assert_int_equal(response->final, message_state_is_final(response->state));
}

static void on_status(void *arg, struct message *answer, const char *why)
{
    (void)arg;
    w.statuses++;
    (void)snprintf(w.status_why, sizeof w.status_why, "%.200s", why != NULL ? why : "");
    if (answer != NULL)
        message_release(answer);
}

static void begin(const char *vnf)
{
    const struct rescale_options options = {.vnf = vnf, .backoff_min_ms = 250, .backoff_max_ms = 30000};
    const struct rescale_effects effects = {on_connect, on_drop,  on_send, on_event,
                                            on_random,  on_ended, NULL};
    memset(&w, 0, sizeof w);
    w.now = 1000;
    w.random = 0;
    rescale_core_init(&w.core, &options, &effects, w.now);
}

static void line(const char *text)
{
    rescale_core_line(&w.core, text, strlen(text), w.now);
}

static uint64_t tick(void)
{
    return rescale_core_tick(&w.core, w.now);
}

static void welcome_with(unsigned lease_ms)
{
    char text[160];
    (void)tick();
    rescale_core_connected(&w.core, w.now);
    (void)snprintf(
        text, sizeof text,
        "{\"type\":\"welcome\",\"version\":1,\"granted_bytes\":1000,\"granularity\":10,\"lease_ms\":%u}",
        lease_ms);
    line(text);
    assert_int_equal(w.core.phase, RESCALE_OPEN);
}

static void ask(const char *id, uint64_t deadline_ms)
{
    struct rescale_item *item = calloc(1, sizeof *item);
    assert_non_null(item);
    item->message.type = MESSAGE_RESCALE;
    (void)snprintf(item->message.id, sizeof item->message.id, "%s", id);
    item->message.target_bytes = 7;
    item->message.deadline_ms = deadline_ms;
    item->asked_ms = w.now;
    item->gives_up_ms = w.now + (deadline_ms != 0 ? deadline_ms : RESCALE_DEADLINE_MS) + RESCALE_GRACE_MS;
    item->done = on_done;
    rescale_core_ask(&w.core, item, w.now);
}

static void ask_status(uint64_t timeout_ms)
{
    struct rescale_item *item = calloc(1, sizeof *item);
    assert_non_null(item);
    item->message.type = MESSAGE_STATUS_ASK;
    item->asked_ms = w.now;
    item->gives_up_ms = w.now + timeout_ms;
    item->status = on_status;
    rescale_core_ask(&w.core, item, w.now);
}

static const struct message *last_sent(enum message_type type)
{
    assert_true(w.sent_count > 0);
    assert_int_equal(w.sent[w.sent_count - 1].type, type);
    return &w.sent[w.sent_count - 1];
}

static const struct rescale_event *last_event(enum rescale_event_type type)
{
    assert_true(w.event_count > 0);
    assert_int_equal(w.events[w.event_count - 1].type, type);
    return &w.events[w.event_count - 1];
}

// Connects until the next attempt, and says how long it was waited for.
static uint64_t next_attempt(void)
{
    unsigned before = w.connects;
    uint64_t from = w.now;
    while (w.connects == before) {
        uint64_t next = tick();
        if (w.connects != before)
            break;
        assert_true(next > w.now);
        w.now = next;
    }
    return w.now - from;
}

// ---- back-off

// 250 ms doubled up to 30 s, each a quarter less or more by chance.
static void back_off_doubles(void **state)
{
    (void)state;
    static const uint64_t delays[] = {250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
    for (int high = 0; high < 2; high++) {
        begin("ks1");
        w.connect_fails = true;
        (void)tick(); // at once
        assert_int_equal(w.connects, 1);
        assert_string_equal(last_event(RESCALE_DISCONNECTED)->detail, "nobody there");
        for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
            uint64_t quarter = delays[i] / 4;
            // The delay of this step was drawn when the attempt before failed.
            uint64_t expected = high && i > 0 ? delays[i] + quarter : delays[i] - quarter;
            w.random =
                high ? (uint32_t)(2 * (i + 1 < sizeof delays / sizeof delays[0] ? delays[i + 1] / 4 : 7500))
                     : 0;
            assert_int_equal(next_attempt(), expected);
        }
        assert_int_equal(w.core.disconnects, 0);
        rescale_core_close(&w.core);
    }
}

// A connection that has held longer than the last back-off starts it anew; one that is thrown out at once does not.
static void back_off_starts_anew(void **state)
{
    (void)state;
    begin("ks1");
    static const uint64_t thrown_out[] = {188, 375, 750, 1500};
    for (size_t i = 0; i < sizeof thrown_out / sizeof thrown_out[0]; i++) {
        welcome_with(10000);
        rescale_core_disconnected(&w.core, "gone", w.now);
        assert_int_equal(next_attempt(), thrown_out[i]);
    }
    welcome_with(10000);
    w.now += 5000;
    rescale_core_disconnected(&w.core, "gone", w.now);
    assert_int_equal(next_attempt(), 188);
    assert_int_equal(w.core.connects, 5);
    assert_int_equal(w.core.disconnects, 5);
    rescale_core_close(&w.core);
}

// However long the server is away, the attempts come so often that the lease of its next start is kept; refused, it is left in peace.
static void back_off_keeps_the_lease(void **state)
{
    (void)state;
    begin("ks1");
    welcome_with(9000);
    w.now += 5000;
    rescale_core_disconnected(&w.core, "gone", w.now);
    w.connect_fails = true;
    for (int i = 0; i < 20; i++)
        assert_true(next_attempt() <= 3000);
    assert_int_equal(next_attempt(), 2250);
    w.connect_fails = false;
    (void)next_attempt();
    welcome_with(90); // less than the least back-off
    w.now += 5000;
    rescale_core_disconnected(&w.core, "gone", w.now);
    w.connect_fails = true;
    for (int i = 0; i < 5; i++)
        assert_int_equal(next_attempt(), 188);
    w.connect_fails = false;
    (void)next_attempt();
    welcome_with(9000);
    line("{\"type\":\"error\",\"code\":\"denied\",\"detail\":\"no\"}");
    assert_int_equal(next_attempt(), 22500);
    rescale_core_close(&w.core);
}

static void seldom_when_refused(void **state)
{
    (void)state;
    begin("ks1");
    (void)tick();
    rescale_core_connected(&w.core, w.now);
    line("{\"type\":\"error\",\"code\":\"denied\"}");
    assert_int_equal(w.events[0].type, RESCALE_REFUSED);
    assert_string_equal(last_event(RESCALE_DISCONNECTED)->detail, "denied");
    assert_int_equal(next_attempt(), 22500);
    // "busy" says nothing against us, but the back-off is where it was.
    rescale_core_connected(&w.core, w.now);
    line("{\"type\":\"error\",\"code\":\"busy\"}");
    assert_int_equal(w.event_count, 3);
    assert_int_equal(next_attempt(), 22500);
    welcome_with(10000);
    w.now += 60000;
    rescale_core_disconnected(&w.core, "gone", w.now);
    assert_int_equal(next_attempt(), 188);
    rescale_core_close(&w.core);
}

static void connecting_and_greeting_take_ten_seconds_each(void **state)
{
    (void)state;
    begin("ks1");
    (void)tick();
    w.now += 9999;
    assert_int_equal(tick(), w.now + 1);
    assert_int_equal(w.event_count, 0);
    w.now += 1;
    (void)tick();
    assert_string_equal(last_event(RESCALE_DISCONNECTED)->detail, "no connection within 10 s");
    assert_false(w.up);
    (void)next_attempt();
    w.now += 9000;
    rescale_core_connected(&w.core, w.now);
    (void)last_sent(MESSAGE_HELLO);
    w.now += 9999;
    (void)tick();
    assert_true(w.up);
    w.now += 1;
    (void)tick();
    assert_string_equal(last_event(RESCALE_DISCONNECTED)->detail, "no welcome within 10 s");
    rescale_core_close(&w.core);
}

// Late news of a connection that is no more.
static void late_news(void **state)
{
    (void)state;
    begin("ks1");
    rescale_core_connected(&w.core, w.now);
    rescale_core_disconnected(&w.core, "what?", w.now);
    line("{\"type\":\"pong\"}");
    assert_int_equal(w.sent_count + w.event_count, 0);
    welcome_with(10000);
    rescale_core_connected(&w.core, w.now);
    assert_int_equal(w.core.phase, RESCALE_OPEN);
    rescale_core_close(&w.core);
}

// ---- lease

static void a_ping_every_third(void **state)
{
    (void)state;
    begin("ks1");
    welcome_with(9000);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(w.pings, i);
        assert_int_equal(tick(), w.now + 3000);
        w.now += 3000;
        (void)tick();
        w.now += 1; // other talk does not stand for pings
        line("{\"type\":\"pong\"}");
        w.now -= 1;
    }
    assert_true(w.up);
    rescale_core_close(&w.core);
}

static void nothing_heard_for_a_lease(void **state)
{
    (void)state;
    begin("ks1");
    welcome_with(9000);
    uint64_t from = w.now;
    while (w.core.phase == RESCALE_OPEN) {
        uint64_t next = tick();
        if (w.core.phase == RESCALE_OPEN)
            w.now = next;
    }
    assert_int_equal(w.now - from, 9000);
    assert_int_equal(w.pings, 2);
    assert_string_equal(last_event(RESCALE_DISCONNECTED)->detail, "nothing heard for 9000 ms");
    rescale_core_close(&w.core);
}

// A thread that slept through the lease has not asked, so the silence is its own: a ping first.
static void sleeping_through_the_lease(void **state)
{
    (void)state;
    begin("ks1");
    welcome_with(9000);
    w.now += 100000;
    assert_int_equal(tick(), w.now + 3000);
    assert_true(w.up);
    w.now += 2999;
    line("{\"type\":\"pong\"}");
    (void)tick();
    assert_true(w.up);
    w.now += 100000;
    (void)tick();
    w.now += 3000;
    (void)tick();
    assert_false(w.up);
    rescale_core_close(&w.core);
}

// A lease of next to nothing is no flood of pings.
static void a_lease_of_a_millisecond(void **state)
{
    (void)state;
    begin("ks1");
    welcome_with(1);
    assert_int_equal(tick(), w.now + RESCALE_LEASE_LEAST_MS / 3);
    rescale_core_close(&w.core);
}

static void a_server_that_does_not_read(void **state)
{
    (void)state;
    begin("ks1");
    welcome_with(9000);
    ask("a", 5000);
    w.send_fails = true;
    ask("b", 5000);
    assert_string_equal(last_event(RESCALE_DISCONNECTED)->detail, "the server does not read what it is sent");
    assert_false(w.up);
    w.send_fails = false;
    (void)next_attempt();
    welcome_with(9000);
    assert_string_equal(last_sent(MESSAGE_RESCALE)->id, "b");
    assert_string_equal(w.sent[w.sent_count - 2].id, "a");
    rescale_core_close(&w.core);
    assert_int_equal(w.finals, 2);
}

// ---- deadlines

static void deadline_and_five_seconds(void **state)
{
    (void)state;
    begin("ks1");
    welcome_with(UINT32_MAX);
    ask("a", 2000);
    ask("b", 0);
    w.now += 6999;
    assert_int_equal(tick(), w.now + 1);
    assert_int_equal(w.finals, 0);
    w.now += 1;
    (void)tick();
    assert_int_equal(w.finals, 1);
    assert_string_equal(w.last.id, "a");
    assert_int_equal(w.last.state, STATE_ERROR);
    assert_string_equal(w.last.detail, "no answer by the deadline");
    assert_int_equal(w.last.granted_bytes, 1000);
    assert_int_equal(w.last.granularity, 10);
    w.now += 27999;
    (void)tick();
    assert_int_equal(w.finals, 1);
    w.now += 1;
    (void)tick();
    assert_int_equal(w.finals, 2);
    // Its answer comes too late to count.
    line("{\"type\":\"response\",\"id\":\"b\",\"state\":\"done\",\"final\":true,\"granted_bytes\":9,"
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
    begin("ks1");
    w.connect_fails = true;
    (void)tick();
    ask("a", 60000);
    ask("b", 1000);
    ask("c", 0);
    w.now += 6000;
    (void)tick();
    assert_string_equal(w.last.id, "b");
    assert_string_equal(w.last.detail, "no answer by the deadline (not connected: nobody there)");
    w.connect_fails = false;
    if (w.core.phase == RESCALE_RESTING)
        (void)next_attempt();
    uint64_t spent = w.now - 1000;
    welcome_with(60000);
    assert_int_equal(w.sent[w.sent_count - 2].deadline_ms, 60000 - spent);
    assert_int_equal(last_sent(MESSAGE_RESCALE)->deadline_ms, 0); // the server's own, from when it arrives
    rescale_core_disconnected(&w.core, "gone", w.now);
    (void)next_attempt();
    spent = w.now - 1000;
    welcome_with(60000);
    assert_int_equal(last_sent(MESSAGE_RESCALE)->deadline_ms, RESCALE_DEADLINE_MS - spent);
    // In its last five seconds a request is asked with next to no deadline, not with the server's own.
    w.now = 1000 + RESCALE_DEADLINE_MS + 100;
    rescale_core_disconnected(&w.core, "gone", w.now);
    (void)next_attempt();
    welcome_with(60000);
    assert_string_equal(last_sent(MESSAGE_RESCALE)->id, "c");
    assert_int_equal(last_sent(MESSAGE_RESCALE)->deadline_ms, 1);
    rescale_core_close(&w.core);
    assert_int_equal(w.finals, 3);
}

// A status that is not answered in time has its answer still to come; when that takes longer than a lease the connection is given up.
static void statuses_that_time_out(void **state)
{
    (void)state;
    begin(NULL);
    welcome_with(100000);
    w.pings = 0;
    ask_status(1000);
    ask_status(200000);
    assert_int_equal(w.sent_count, 2); // hello, and the first of them
    w.now += 1000;
    (void)tick();
    assert_int_equal(w.statuses, 1);
    assert_string_equal(w.status_why, "no answer in time");
    assert_int_equal(w.sent_count, 2);
    static const char answer[] =
        "{\"type\":\"status\",\"pool_bytes\":1,\"free_bytes\":1,\"granularity\":1,\"vnfs\":[]}";
    line(answer); // the first one's, late
    assert_int_equal(w.statuses, 1);
    assert_int_equal(w.sent_count, 3);
    line(answer);
    assert_int_equal(w.statuses, 2);
    assert_string_equal(w.status_why, "");
    ask_status(1000);
    w.now += 1000;
    (void)tick();
    ask_status(200000);
    while (w.up) {
        w.now += 10000;
        line("{\"type\":\"pong\"}");
        (void)tick();
    }
    assert_string_equal(last_event(RESCALE_DISCONNECTED)->detail, "no answer to status");
    (void)next_attempt();
    welcome_with(100000);
    (void)last_sent(MESSAGE_STATUS_ASK);
    line(answer);
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
    line(text);
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
    line(texts[dice(sizeof texts / sizeof texts[0])]);
}

// Every request ends exactly once, and not later than its deadline and five seconds; nothing is sent without a connection; the next time that is asked
// for is in the future.
static void anything(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        unsigned asked = 0, statuses = 0;
        begin(seed % 2 == 0 ? "ks1" : NULL);
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
                    ask(id, dice(3) * 1000);
                    asked++;
                }
                break;
            case 1:
                ask_status(dice(3000));
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
            assert_true(tick() > w.now);
            for (const struct rescale_item *item = w.core.rescales.first; item != NULL; item = item->next)
                assert_true(item->gives_up_ms > w.now);
        }
        w.now += RESCALE_DEADLINE_MS + RESCALE_GRACE_MS;
        (void)tick();
        assert_int_equal(w.finals, asked);
        assert_int_equal(w.ended, asked);
        ask("last", 1);
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
        cmocka_unit_test(deadline_and_five_seconds),
        cmocka_unit_test(deadline_without_a_connection),
        cmocka_unit_test(statuses_that_time_out),
        cmocka_unit_test(anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
