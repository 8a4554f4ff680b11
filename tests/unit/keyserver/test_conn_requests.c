// Requests and answers of a connection, over real TLS: what comes together is answered together, what comes in pieces
// is put together, a peer that does not take its answers gets them all in the end.
#include "conn_kit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REQUEST "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
#define ANSWER                                                                                               \
    "HTTP/1.1 404 Not Found\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: 30\r\n\r\n"   \
    "{\"error\":\"unspecified error\"}\n"
#define ANSWER_LEN (sizeof ANSWER - 1)

static char bytes[1 << 20];

// Reads exactly so many answers and nothing else.
static void expect_answers(size_t peer, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char answer[ANSWER_LEN];
        for (size_t have = 0; have < ANSWER_LEN;) {
            int n = SSL_read(conn_kit_peers[peer].ssl, answer + have, (int)(ANSWER_LEN - have));
            assert_true(n > 0);
            have += (size_t)n;
        }
        assert_memory_equal(answer, ANSWER, ANSWER_LEN);
    }
    assert_int_equal(SSL_pending(conn_kit_peers[peer].ssl), 0);
}

static void say_requests(size_t peer, size_t count)
{
    for (size_t i = 0; i < count; i++)
        memcpy(bytes + i * (sizeof REQUEST - 1), REQUEST, sizeof REQUEST - 1);
    conn_kit_say(peer, bytes, count * (sizeof REQUEST - 1));
}

// As many as may be in flight: their answers are one record.
static void answers_leave_together(void **state)
{
    (void)state;
    conn_kit_come(0, 0);
    say_requests(0, 4);
    char answers[8 * ANSWER_LEN];
    assert_int_equal(SSL_read(conn_kit_peers[0].ssl, answers, sizeof answers), 4 * ANSWER_LEN);
    for (size_t i = 0; i < 4; i++)
        assert_memory_equal(answers + i * ANSWER_LEN, ANSWER, ANSWER_LEN);
}

// Many more in one record than may be in flight: what waits in the buffers is not forgotten.
static void more_than_may_be_in_flight(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        conn_kit_come(i, 0);
    for (size_t round = 1; round <= 300; round += 37) {
        for (size_t i = 0; i < 3; i++)
            say_requests(i, round);
        for (size_t i = 0; i < 3; i++)
            expect_answers(i, round);
    }
}

static void a_record_for_each_byte(void **state)
{
    (void)state;
    static const char requests[] = REQUEST REQUEST;
    conn_kit_come(0, 1);
    for (size_t i = 0; i < sizeof requests - 1; i++)
        conn_kit_say(0, &requests[i], 1);
    expect_answers(0, 2);
}

// A body of many turns, then a request right behind it.
static void long_bodies(void **state)
{
    (void)state;
    static const char head[] = "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    conn_kit_options.body_max = 1 << 20;
    conn_kit_come(0, 0);
    for (size_t i = 0; i < 3; i++) {
        memset(bytes, 'x', sizeof bytes);
        conn_kit_say(0, head, sizeof head - 1);
        conn_kit_say(0, bytes, 1000000);
        say_requests(0, 1);
        expect_answers(0, 2);
    }
}

static void one_hundred_continue(void **state)
{
    (void)state;
    static const char head[] =
        REQUEST "POST /nothing HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char got[sizeof go_on - 1];
    conn_kit_come(0, 0);
    conn_kit_say(0, head, sizeof head - 1);
    char answer[ANSWER_LEN]; // of the request before it, which leaves first
    assert_int_equal(SSL_read(conn_kit_peers[0].ssl, answer, sizeof answer), ANSWER_LEN);
    assert_memory_equal(answer, ANSWER, ANSWER_LEN);
    assert_int_equal(SSL_read(conn_kit_peers[0].ssl, got, sizeof got), sizeof got);
    assert_memory_equal(got, go_on, sizeof got);
    conn_kit_say(0, "hello", 5);
    expect_answers(0, 1);
}

// The answers before it leave, then the end is said; what comes behind is not read.
static void the_last_request(void **state)
{
    (void)state;
    static const char both[] =
        REQUEST "GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" REQUEST;
    char answer[ANSWER_LEN + 40];
    conn_kit_come(0, 0);
    conn_kit_say(0, both, sizeof both - 1);
    assert_int_equal(SSL_read(conn_kit_peers[0].ssl, answer, ANSWER_LEN), ANSWER_LEN);
    assert_memory_equal(answer, ANSWER, ANSWER_LEN);
    int n = SSL_read(conn_kit_peers[0].ssl, answer, sizeof answer);
    assert_int_equal(n, ANSWER_LEN + sizeof "Connection: close\r\n" - 1);
    n = SSL_read(conn_kit_peers[0].ssl, answer, sizeof answer);
    assert_int_equal(SSL_get_error(conn_kit_peers[0].ssl, n), SSL_ERROR_ZERO_RETURN);
}

// The end of what a peer says comes with its requests: what is answered at once is answered.
static void an_end_right_behind(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONN_KIT_PEERS; i++)
        conn_kit_come(i, 0);
    for (size_t i = 0; i < CONN_KIT_PEERS; i++) {
        say_requests(i, 3);
        (void)SSL_shutdown(conn_kit_peers[i].ssl);
    }
    for (size_t i = 0; i < CONN_KIT_PEERS; i++) {
        expect_answers(i, 3);
        assert_true(conn_kit_is_closed(i));
    }
}

// A peer that only talks is not read from any more, long before it has said everything; then it reads, and all are
// answered, while another on the same loop is served all the time.
static void a_deaf_peer(void **state)
{
    (void)state;
    enum { ALL = 20000 };
    const struct timespec moment = {.tv_nsec = 1000000};
    size_t total = ALL * (sizeof REQUEST - 1), said = 0, answered = 0, still = 0;
    conn_kit_come(0, 0);
    conn_kit_come(2, 0);
    SSL *ssl = conn_kit_peers[0].ssl;
    (void)SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    assert_int_equal(fcntl(conn_kit_peers[0].fd, F_SETFL, O_NONBLOCK), 0);
    for (size_t i = 0; i < ALL; i++)
        memcpy(bytes + i * (sizeof REQUEST - 1), REQUEST, sizeof REQUEST - 1);
    while (still < 200) { // looks without progress
        int n = SSL_write(ssl, bytes + said, (int)(total - said));
        said += n > 0 ? (size_t)n : 0;
        still = n > 0 ? 0 : still + 1;
        assert_true(said < total);
        assert_true(conn_kit_is_served(2));
    }
    for (size_t looks = 0; answered < ALL * ANSWER_LEN; looks++) {
        char got[16384];
        int n = SSL_read(ssl, got, sizeof got);
        assert_true(n > 0 || SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ);
        for (int i = 0; i < n; i++, answered++)
            assert_int_equal(got[i], ANSWER[answered % ANSWER_LEN]);
        int w = said < total ? SSL_write(ssl, bytes + said, (int)(total - said)) : 0;
        said += w > 0 ? (size_t)w : 0;
        if (n <= 0 && w <= 0)
            (void)nanosleep(&moment, NULL);
        assert_true(looks < 1000000);
    }
    assert_int_equal(answered, ALL * ANSWER_LEN);
}

// An edge has as many connections as it may; one more is closed once it is known whose it is, and another has room when one is gone.
static void connections_of_an_edge(void **state)
{
    (void)state;
    const struct timespec moment = {.tv_nsec = 1000000};
    conn_kit_options.max_connections_per_edge = 2;
    conn_kit_come(0, 0);
    conn_kit_come(1, 1);
    assert_true(conn_kit_is_served(0) && conn_kit_is_served(1));
    conn_kit_come(2, 0);
    assert_true(conn_kit_is_closed(2));
    assert_int_equal(metric_value(conn_kit_server.stats.edge_rejected), 1);
    assert_true(conn_kit_is_served(0) && conn_kit_is_served(1));
    conn_kit_hang_up(0);
    while (atomic_load(&conn_kit_server.connections) > 1)
        (void)nanosleep(&moment, NULL);
    conn_kit_come(3, 1);
    assert_true(conn_kit_is_served(3));
}

#define CONN_TEST(f) cmocka_unit_test_setup_teardown(f, conn_kit_set_up, conn_kit_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONN_TEST(answers_leave_together), CONN_TEST(more_than_may_be_in_flight),
        CONN_TEST(a_record_for_each_byte), CONN_TEST(long_bodies),
        CONN_TEST(one_hundred_continue),   CONN_TEST(the_last_request),
        CONN_TEST(an_end_right_behind),    CONN_TEST(a_deaf_peer),
        CONN_TEST(connections_of_an_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
