// Connections that are not open yet: they have their turns one after the other, the open ones go on meanwhile, and what ends before it has begun
// leaves nothing behind.
#include "conn_kit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "keyserver/conn_internal.h"

#define OTHERS (CONN_KIT_PEERS - 1)

static const struct timespec moment = {.tv_nsec = 2000000};

static uint64_t failures(void)
{
    return metric_value(conn_kit_server.stats.handshake_failures);
}

static void wait_for_connections(unsigned count)
{
    for (unsigned looks = 0; server_connections(&conn_kit_server) != count; looks++) {
        assert_true(looks < 60000); // two minutes
        (void)nanosleep(&moment, NULL);
    }
}

// ---- queues

static void expect_queue(const struct conn_queue *queue, struct conn *const *conns, size_t count)
{
    const struct conn *c = queue->first;
    assert_int_equal(queue->count, count);
    for (size_t i = 0; i < count; i++, c = c->next_queued)
        assert_ptr_equal(c, conns[i]);
    assert_null(c);
    if (count == 0)
        assert_ptr_equal(queue->last, &queue->first);
    else
        assert_ptr_equal(queue->last, &conns[count - 1]->next_queued);
}

static void a_queue_keeps_its_order(void **state)
{
    struct conn a = {0}, b = {0}, c = {0};
    struct conn_queue one = {.last = &one.first}, other = {.last = &other.first};
    (void)state;
    conn_enqueue(&a, &one);
    conn_enqueue(&b, &one);
    conn_enqueue(&c, &one);
    expect_queue(&one, (struct conn *[]){&a, &b, &c}, 3);
    conn_enqueue(&a, &one);   // it is there
    conn_enqueue(&b, &other); // it is in another one, and stays
    expect_queue(&one, (struct conn *[]){&a, &b, &c}, 3);
    expect_queue(&other, NULL, 0);
    conn_dequeue(&b);
    conn_dequeue(&b);
    expect_queue(&one, (struct conn *[]){&a, &c}, 2);
    conn_enqueue(&b, &other);
    conn_dequeue(&c);
    expect_queue(&one, (struct conn *[]){&a}, 1);
    conn_enqueue(&c, &one);
    conn_dequeue(&a);
    expect_queue(&one, (struct conn *[]){&c}, 1);
    conn_dequeue(&c);
    conn_dequeue(&b);
    expect_queue(&one, NULL, 0);
    expect_queue(&other, NULL, 0);
}

// ---- connections

// As many as there may be, all at the same time: each gets in.
static void many_come_at_once(void **state)
{
    SSL *ssl[CONN_KIT_PEERS] = {NULL};
    size_t done = 0;
    (void)state;
    for (size_t i = 0; i < CONN_KIT_PEERS; i++) {
        conn_kit_peers[i].fd = conn_kit_socket(0);
        assert_int_equal(fcntl(conn_kit_peers[i].fd, F_SETFL, O_NONBLOCK), 0);
        ssl[i] = conn_kit_client(i);
    }
    for (size_t looks = 0; done < CONN_KIT_PEERS; looks++) {
        done = 0;
        for (size_t i = 0; i < CONN_KIT_PEERS; i++) {
            int result = SSL_connect(ssl[i]);
            if (result != 1)
                assert_int_equal(SSL_get_error(ssl[i], result), SSL_ERROR_WANT_READ);
            done += result == 1;
        }
        assert_true(looks < 60000);
        (void)nanosleep(&moment, NULL);
    }
    for (size_t i = 0; i < CONN_KIT_PEERS; i++) {
        assert_int_equal(fcntl(conn_kit_peers[i].fd, F_SETFL, 0), 0);
        assert_true(conn_kit_is_served(i));
    }
    assert_int_equal(failures(), 0);
}

// Nothing, garbage, or the beginning of a record, and away: an open connection is served all the while.
static void they_leave_before_it_begins(void **state)
{
    static const char *const says[] = {"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x01"};
    unsigned rounds = 30;
    (void)state;
    conn_kit_come(0, 0);
    for (unsigned round = 0; round < rounds; round++) {
        int fds[OTHERS];
        const char *words = says[round % 3];
        for (size_t i = 0; i < OTHERS; i++) {
            fds[i] = conn_kit_socket(0);
            (void)send(fds[i], words, strlen(words), MSG_NOSIGNAL);
        }
        assert_true(conn_kit_is_served(0));
        for (size_t i = 0; i < OTHERS; i++)
            assert_int_equal(close(fds[i]), 0);
        assert_true(conn_kit_is_served(0));
        wait_for_connections(1);
    }
    assert_int_equal(failures(), rounds * OTHERS);
    assert_true(conn_kit_is_served(0));
}

// A loop that ends has sockets that are no connections yet, and handshakes under way.
static void the_loop_ends_first(void **state)
{
    int fds[OTHERS];
    (void)state;
    for (size_t i = 0; i < OTHERS; i++) {
        fds[i] = conn_kit_socket(1);
        (void)send(fds[i], "\x16", 1, MSG_NOSIGNAL);
    }
    loop_stop(&conn_kit_server.loops[1]);
    conn_kit_server.loop_count = 1;
    assert_int_equal(server_connections(&conn_kit_server), 0);
    for (size_t i = 0; i < OTHERS; i++)
        assert_int_equal(close(fds[i]), 0);
}

#define CONN_TEST(f) cmocka_unit_test_setup_teardown(f, conn_kit_set_up, conn_kit_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_keeps_its_order),
        CONN_TEST(many_come_at_once),
        CONN_TEST(they_leave_before_it_begins),
        CONN_TEST(the_loop_ends_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
