// What all connections of the key server hold together has a bound: beyond it the one that holds most is closed, the others are served on.
#include "conn_kit.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define BODY 15000 // of a request that never ends: 16 KiB of buffer

static void half_a_request(size_t i, size_t body)
{
    static char bytes[BODY];
    char head[128];
    int n = snprintf(head, sizeof head, "POST /ski HTTP/1.1\r\nHost: a\r\nContent-Length: 16000\r\n\r\n");
    memset(bytes, ' ', sizeof bytes);
    conn_kit_say(i, head, (size_t)n);
    conn_kit_say(i, bytes, body);
}

static void wait_until_held(uint64_t least, uint64_t most)
{
    const struct timespec moment = {.tv_nsec = 2000000};
    for (unsigned i = 0; i < 30000; i++) { // a minute
        uint64_t held = atomic_load(&conn_kit_server.held);
        if (held >= least && held <= most)
            return;
        (void)nanosleep(&moment, NULL);
    }
    fail_msg("held %llu, expected %llu to %llu", (unsigned long long)atomic_load(&conn_kit_server.held),
             (unsigned long long)least, (unsigned long long)most);
}

static uint64_t shed(void)
{
    return metric_value(conn_kit_server.stats.shed);
}

// ---- tests

static void what_is_held_is_counted(void **state)
{
    (void)state;
    conn_kit_come(0, 0);
    assert_true(conn_kit_is_served(0));
    wait_until_held(1, 4096); // the buffer for the next request
    half_a_request(0, BODY);
    wait_until_held(16384, 24576);
    conn_kit_hang_up(0);
    wait_until_held(0, 0);
    assert_int_equal(shed(), 0);
}

static void the_largest_goes(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++)
        conn_kit_come(i, i % CONN_KIT_LOOPS);
    half_a_request(0, 6000);
    half_a_request(1, 6000);
    assert_true(conn_kit_is_served(2));
    assert_true(conn_kit_is_served(3));
    wait_until_held(2 * 8192 + 2 * 4096, 2 * 8192 + 2 * 4096);
    atomic_store(&conn_kit_server.held_limit, 32768);
    half_a_request(2, BODY); // 12 KiB more: too much, on the loop of 0 and 2
    assert_true(conn_kit_is_closed(2));
    assert_int_equal(shed(), 1);
    wait_until_held(2 * 8192, 32768);
    assert_true(conn_kit_is_served(3));
    half_a_request(3, 6000); // what has been closed makes room for others
    wait_until_held(3 * 8192, 32768);
    assert_int_equal(shed(), 1);
}

// The one that holds most is on the other loop than the one that brings it above.
static void another_loop_goes(void **state)
{
    (void)state;
    conn_kit_come(0, 0);
    conn_kit_come(1, 1);
    half_a_request(0, BODY);
    wait_until_held(16384, 24576);
    atomic_store(&conn_kit_server.held_limit, 20000);
    half_a_request(1, 6000);
    assert_true(conn_kit_is_closed(0));
    wait_until_held(8192, 8192);
    assert_int_equal(shed(), 1);
}

// Buffers of those between requests go first, and nobody has noticed.
static void idle_buffers_go_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONN_KIT_PEERS; i++) {
        conn_kit_come(i, i % CONN_KIT_LOOPS);
        assert_true(conn_kit_is_served(i));
    }
    wait_until_held(CONN_KIT_PEERS * 4096, CONN_KIT_PEERS * 4096);
    atomic_store(&conn_kit_server.held_limit, 8192);
    server_shed(&conn_kit_server);
    wait_until_held(0, 8192);
    assert_int_equal(shed(), 0);
    for (size_t i = 0; i < CONN_KIT_PEERS; i++)
        assert_true(conn_kit_is_served(i));
    assert_int_equal(shed(), 0);
}

// The ceiling falls while nothing is said: within again, without an event of any connection.
static void follows_the_ceiling(void **state)
{
    (void)state;
    conn_kit_options.body_max = 1 << 20;
    conn_kit_come(0, 0);
    conn_kit_come(1, 0);
    for (size_t i = 0; i < 2; i++) {
        static char bytes[900000];
        static const char head[] = "POST /ski HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
        memset(bytes, ' ', sizeof bytes);
        conn_kit_say(i, head, sizeof head - 1);
        conn_kit_say(i, bytes, i == 0 ? sizeof bytes : 400000); // in a buffer of 1 MiB, of half a MiB
    }
    wait_until_held(3u << 19, 3u << 19);
    server_bound_held(&conn_kit_server, 16u << 20); // a quarter: 4 MiB
    assert_int_equal(atomic_load(&conn_kit_server.held_limit), 4u << 20);
    server_bound_held(&conn_kit_server, 1000000); // never below 1 MiB
    assert_int_equal(atomic_load(&conn_kit_server.held_limit), 1u << 20);
    wait_until_held(0, 1u << 20);
    assert_true(shed() >= 1);
    assert_true(conn_kit_is_closed(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_held_is_counted, conn_kit_set_up, conn_kit_tear_down),
        cmocka_unit_test_setup_teardown(the_largest_goes, conn_kit_set_up, conn_kit_tear_down),
        cmocka_unit_test_setup_teardown(another_loop_goes, conn_kit_set_up, conn_kit_tear_down),
        cmocka_unit_test_setup_teardown(idle_buffers_go_first, conn_kit_set_up, conn_kit_tear_down),
        cmocka_unit_test_setup_teardown(follows_the_ceiling, conn_kit_set_up, conn_kit_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
