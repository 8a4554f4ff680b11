// Leases, VNFs that are not there or not heard, peers that say what is not theirs, and time: deadlines, ticks, a thousand VNFs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "broker_kit.h"

static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_begin(&kit);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_destroy(&kit);
    return 0;
}

static void test_lease(void **state)
{
    (void)state;
    kit_give(&kit, 0, 500);
    kit_give(&kit, 1, 300);
    kit_tick(&kit, 9000);
    broker_message(kit.broker, 2, &(struct message){.type = MESSAGE_PING}, kit.now);
    (void)kit_next(&kit, 2, MESSAGE_PONG);
    kit_tick(&kit, 1000); // a was silent
    assert_true(kit_nothing(&kit, 1));
    assert_int_equal(broker_tick(kit.broker, kit.now), kit.now + 1000);
    kit_tick(&kit, 1000); // and still is
    assert_int_equal(kit_next(&kit, 1, MESSAGE_ERROR)->code, ERROR_TIMEOUT);
    assert_int_equal(kit.applied[0].bytes, 100);
    assert_int_equal(kit.applied[1].bytes, 300);
    kit_report(&kit, 0, BACKEND_PARTIAL, 400); // a process still runs there
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 400);
    kit_tick(&kit, 8000); // tried again
    kit_done(&kit, 0);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 100);
    kit_hello(&kit, 11, "a");
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 100);
}

static void test_lease_after_disconnect(void **state)
{
    (void)state;
    kit_give(&kit, 0, 500);
    kit_tick(&kit, 5000);
    broker_disconnected(kit.broker, 1, kit.now);
    kit_tick(&kit, 9999);
    assert_int_equal(kit.applied[0].bytes, 500);
    kit_hello(&kit, 11, "a"); // in time
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 500);
    broker_disconnected(kit.broker, 11, kit.now);
    kit_tick(&kit, 10000);
    kit_tick(&kit, 1000);
    assert_int_equal(kit.applied[0].bytes, 100);
    // It comes back while the back-end is taking it: told the least, then given what has not gone.
    kit_hello(&kit, 12, "a");
    assert_int_equal(kit_next(&kit, 12, MESSAGE_WELCOME)->granted_bytes, 100);
    assert_int_equal(kit.applied[0].bytes, 500);
    kit_done(&kit, 0);
    assert_int_equal(kit_next(&kit, 12, MESSAGE_GRANT)->granted_bytes, 500);
}

// The daemon was held up: what its VNFs have sent meanwhile is read after time has passed for it. Nobody loses anything.
static void test_held_up(void **state)
{
    (void)state;
    kit_give(&kit, 0, 500);
    kit_tick(&kit, 60000);
    for (uint64_t session = 1; session <= KIT_VNFS; session++) // and once more while it reads
        broker_message(kit.broker, session, &(struct message){.type = MESSAGE_PING},
                       kit.now += session == 3 ? 20000 : 1);
    for (uint64_t session = 1; session <= 2; session++)
        broker_message(kit.broker, session, &(struct message){.type = MESSAGE_PING}, kit.now);
    kit_tick(&kit, 1000);
    for (uint64_t session = 1; session <= KIT_VNFS; session++)
        assert_int_equal(kit_next(&kit, session, MESSAGE_PONG)->type, MESSAGE_PONG);
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.leases_ended, 0);
    assert_int_equal(kit.closed_count, 0);
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 500);
    kit_tick(&kit, 10000); // now it is they who are silent
    kit_tick(&kit, 1000);
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.leases_ended, 4);
}

// A request goes on without its connection, to its deadline or the end of the lease.
static void test_request_without_connection(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    broker_disconnected(kit.broker, 1, kit.now);
    kit_done(&kit, 0);
    kit_hello(&kit, 11, "a");
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 500);
    kit_rescale(&kit, 11, "1", 500, 0);
    kit_expect(&kit, 11, "1", STATE_DONE, 500);
}

static void test_wrong_peers(void **state)
{
    (void)state;
    struct message m = {.target_bytes = 500, .id = "1", .vnf = "b"};
    kit_rescale_with(&kit, 1, &m);
    kit_expect(&kit, 1, "1", STATE_DENIED, 100);
    m.vnf[0] = '\0';
    kit_rescale_with(&kit, 9, &m); // an operator has to say of whom
    assert_int_equal(kit_next(&kit, 9, MESSAGE_ERROR)->code, ERROR_UNEXPECTED);
    m.vnf[0] = 'z';
    kit_rescale_with(&kit, 9, &m);
    kit_expect(&kit, 9, "1", STATE_ERROR, 0);
    broker_message(kit.broker, 1, &(struct message){.type = MESSAGE_STATUS_ASK}, kit.now);
    assert_int_equal(kit_next(&kit, 1, MESSAGE_ERROR)->code, ERROR_UNEXPECTED);
    broker_message(kit.broker, 77, &(struct message){.type = MESSAGE_PING}, kit.now); // nobody
    broker_disconnected(kit.broker, 77, kit.now);
    broker_report(kit.broker, 99, &(struct backend_report){.detail = ""}, kit.now);
}

static void test_configurations(void **state)
{
    (void)state;
    struct kit other;
    struct error e;
    struct broker_effects none = {0};
    kit_setup(&other);
    other.options.vnfs = other.vnfs;
    other.vnfs[1].name[0] = 'a';
    assert_null(broker_create(&other.options, &none, NULL, 0, &e));
    assert_non_null(strstr(e.text, "twice"));
    kit_setup(&other);
    other.options.vnfs = other.vnfs;
    other.vnfs[0].min_bytes = 701;
    assert_null(broker_create(&other.options, &none, NULL, 0, &e));
    assert_non_null(strstr(e.text, "minimums"));
    other.vnfs[0].min_bytes = 110;
    other.vnfs[0].max_bytes = 190;
    assert_null(broker_create(&other.options, &none, NULL, 0, &e));
    assert_non_null(strstr(e.text, "granularity"));
    other.options.granularity = 0;
    assert_null(broker_create(&other.options, &none, NULL, 0, &e));
}

// Nobody waits for ever, whatever it says.
static void test_longest_deadline(void **state)
{
    (void)state;
    struct message m = {
        .target_bytes = 700, .min_bytes = 700, .has_min = true, .id = "1", .deadline_ms = 9000000000000000};
    kit_give(&kit, 1, 300);
    kit_rescale_with(&kit, 1, &m);
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    for (unsigned s = 0; s < 600; s++) {
        kit.sent_count = 0;
        memset(kit.seen, 0, sizeof kit.seen);
        kit_tick(&kit, 1000);
        for (uint64_t session = 1; session <= KIT_VNFS; session++)
            broker_message(kit.broker, session, &(struct message){.type = MESSAGE_PING}, kit.now);
    }
    kit_expect(&kit, 1, "1", STATE_DEFERRED, 100);
}

static bool record_nothing(void *arg, const struct book *book)
{
    (void)arg;
    (void)book;
    return true;
}

static void on_many_send(void *arg, uint64_t session, const struct message *message)
{
    (void)arg;
    (void)session;
    (void)message;
}

static void on_many_apply(void *arg, size_t vnf, uint64_t id, uint64_t bytes)
{
    (void)bytes;
    ((uint64_t *)arg)[vnf] = id;
}

// An event looks at each VNF, and not at each with all the others: with many of them it took minutes where now it is a second.
static void test_many_vnfs(void **state)
{
    enum { MANY = 3000 };
    static struct broker_vnf vnfs[MANY];
    static uint64_t applied[MANY];
    const struct broker_options options = {.pool_bytes = MANY * 2 * G,
                                           .granularity = G,
                                           .lease_ms = 10000,
                                           .deadline_ms = 30000,
                                           .vnfs = vnfs,
                                           .vnf_count = MANY};
    const struct broker_effects effects = {
        .send = on_many_send, .apply = on_many_apply, .record = record_nothing, .arg = applied};
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        vnfs[i] = (struct broker_vnf){.backend = "sim", .min_bytes = G};
        (void)snprintf(vnfs[i].name, sizeof vnfs[i].name, "v%zu", i);
    }
    struct broker *broker = broker_create(&options, &effects, NULL, 1000, &(struct error){0});
    assert_non_null(broker);
    (void)broker_tick(broker, 1000);
    for (size_t i = 0; i < MANY; i++) {
        struct message hello = {.type = MESSAGE_HELLO, .version = 1, .role = ROLE_VNF};
        memcpy(hello.vnf, vnfs[i].name, sizeof hello.vnf);
        struct backend_report report = {
            .change_id = applied[i], .outcome = BACKEND_DONE, .actual_bytes = G, .detail = ""};
        broker_report(broker, i, &report, 1000);
        broker_hello(broker, i + 1, &hello, 1000);
    }
    clock_t before = clock();
    for (size_t i = 0; i < 1000; i++)
        broker_message(broker, i + 1, &(struct message){.type = MESSAGE_PING}, 5000); // after the pauses
    assert_true((clock() - before) / CLOCKS_PER_SEC < 10);
    broker_destroy(&broker);
}

// What the next tick is for is never later than it is needed.
static void test_tick_says_when(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    assert_int_equal(broker_tick(kit.broker, kit.now), kit.now + 10000); // leases
    struct message m = {.target_bytes = 800, .id = "2", .deadline_ms = 700};
    kit_rescale_with(&kit, 2, &m);
    assert_int_equal(broker_tick(kit.broker, kit.now), kit.now + 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lease_after_disconnect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_without_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_peers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configurations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_longest_deadline, setup, teardown),
        cmocka_unit_test(test_many_vnfs),
        cmocka_unit_test_setup_teardown(test_tick_says_when, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
