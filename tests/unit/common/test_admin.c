#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/admin.h"
#include "common/clock.h"
#include "common/net.h"
#include "test_dir.h"

struct port {
    struct event_base *base;
    struct admin *admin;
    struct metrics *metrics;
    char addr[200];
    bool ready;
};

static int setup(void **state)
{
    struct port *port = calloc(1, sizeof *port);
    struct error e;
    assert_non_null(port);

    (void)snprintf(port->addr, sizeof port->addr, "unix:%s/admin.sock", test_dir_create());
    port->base = event_base_new();
    port->metrics = metrics_create();
    port->admin = admin_start(port->base, port->addr, &e);
    assert_non_null(port->admin);
    *state = port;
    return 0;
}

static int teardown(void **state)
{
    struct port *port = *state;
    admin_stop(&port->admin);
    assert_null(port->admin);
    admin_stop(&port->admin); // once more is fine
    metrics_destroy(&port->metrics);
    event_base_free(port->base);
    test_dir_remove();
    free(port);
    return 0;
}

// Sends one request and runs the loop until the connection ends; returns what came, until the next call.
static const char *ask(struct port *port, const char *request)
{
    static char answer[8192];
    struct net_addr addr;
    size_t have = 0;
    ssize_t n = -1;
    unsigned looks = 0; // not time: a machine that stood still has not looked
    assert_true(net_addr_parse(port->addr, &addr, NULL));
    int fd = net_connect(&addr, 10000, NULL);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (n != 0) {
        assert_true(looks++ < 120000);
        (void)event_base_loop(port->base, EVLOOP_NONBLOCK);
        n = read(fd, answer + have, sizeof answer - 1 - have);
        if (n > 0)
            have += (size_t)n;
        else if (n < 0)
            (void)usleep(500);
    }
    (void)close(fd);
    answer[have] = '\0';
    return answer;
}

static int readyz(void *arg, FILE *out)
{
    const struct port *port = arg;
    (void)fputs(port->ready ? "ready\n" : "draining\n", out);
    return port->ready ? 200 : 503;
}

static json_t *status(void *arg)
{
    const struct port *port = arg;
    return port->ready ? json_pack("{s:i}", "n", 7) : NULL;
}

// Each kind of page: text with its status, JSON, metrics; and what no program has to ask for.
static void pages_are_served(void **state)
{
    struct port *port = *state;
    metric_add(metrics_counter(port->metrics, "ks_x_total", NULL, "X."), 3);
    assert_true(admin_metrics(port->admin, port->metrics));
    assert_true(admin_text(port->admin, "/readyz", readyz, port));
    assert_true(admin_json(port->admin, "/status", status, port));
    assert_non_null(strstr(ask(port, "GET /healthz HTTP/1.0\r\n\r\n"), "\r\n\r\nok\n"));
    assert_non_null(strstr(ask(port, "GET /metrics HTTP/1.0\r\n\r\n"), "\nks_x_total 3\n"));
    assert_non_null(strstr(ask(port, "GET /metrics HTTP/1.0\r\n\r\n"), "Cache-Control: no-store\r\n"));
    const char *draining = ask(port, "GET /readyz HTTP/1.0\r\n\r\n");
    assert_non_null(strstr(draining, " 503 "));
    assert_non_null(strstr(draining, "\r\n\r\ndraining\n"));
    port->ready = true;
    assert_non_null(strstr(ask(port, "GET /readyz HTTP/1.0\r\n\r\n"), " 200 "));
    const char *json = ask(port, "GET /status HTTP/1.0\r\n\r\n");
    assert_non_null(strstr(json, "application/json"));
    assert_non_null(strstr(json, "{\n  \"n\": 7\n}\n"));
}

// Unknown pages, other methods, bodies, endless headers, and a page that has no memory for its answer.
static void the_rest_is_refused(void **state)
{
    struct port *port = *state;
    static char big[12000];
    assert_true(admin_json(port->admin, "/status", status, port));
    assert_non_null(strstr(ask(port, "GET /status HTTP/1.0\r\n\r\n"), " 500 "));
    assert_non_null(strstr(ask(port, "GET /nothing HTTP/1.0\r\n\r\n"), " 404 "));
    assert_null(strstr(ask(port, "POST /healthz HTTP/1.0\r\nContent-Length: 0\r\n\r\n"), " 200 "));
    assert_null(strstr(ask(port, "GET /healthz HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello"), " 200 "));
    (void)snprintf(big, sizeof big, "GET /healthz HTTP/1.0\r\nX: %010000d\r\n\r\n", 1);
    assert_null(strstr(ask(port, big), " 200 "));
    assert_null(strstr(ask(port, "\x16\x03\x01\r\n\r\n"), " 200 "));
    assert_non_null(strstr(ask(port, "GET /healthz HTTP/1.0\r\n\r\n"), "\r\n\r\nok\n"));
}

// A page added again replaces the first.
static void a_page_can_be_replaced(void **state)
{
    struct port *port = *state;
    assert_true(admin_json(port->admin, "/healthz", status, port));
    port->ready = true;
    assert_non_null(strstr(ask(port, "GET /healthz HTTP/1.0\r\n\r\n"), "\"n\": 7"));
}

static int dial(const struct port *port)
{
    struct net_addr addr;
    assert_true(net_addr_parse(port->addr, &addr, NULL));
    int fd = net_connect(&addr, 10000, NULL);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static bool has_answer(const struct port *port, int fd)
{
    char answer[256];
    (void)event_base_loop(port->base, EVLOOP_NONBLOCK);
    (void)usleep(1000);
    return read(fd, answer, sizeof answer) > 0;
}

// Idle connections are bounded, and who waits behind them is served when some go.
static void connections_are_bounded(void **state)
{
    static const char request[] = "GET /healthz HTTP/1.0\r\n\r\n";
    struct port *port = *state;
    int idle[ADMIN_CONNECTIONS_MAX];
    for (int i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        idle[i] = dial(port);
        (void)event_base_loop(port->base, EVLOOP_NONBLOCK);
    }
    int late = dial(port);
    assert_int_equal(write(late, request, sizeof request - 1), sizeof request - 1);
    uint64_t end = clock_ns() + 300000000; // the port lets idle ones go after ten seconds
    while (clock_ns() < end)
        assert_false(has_answer(port, late));
    (void)close(idle[7]);
    unsigned looks = 0;
    while (!has_answer(port, late))
        assert_true(looks++ < 60000);
    (void)close(late);
    for (int i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        if (i != 7)
            (void)close(idle[i]);
    for (int i = 0; i < 3 * ADMIN_CONNECTIONS_MAX; i++) // places come back
        assert_non_null(strstr(ask(port, request), " 200 "));
    (void)dial(port); // there when the port ends
    (void)event_base_loop(port->base, EVLOOP_NONBLOCK);
}

// The numbers of closed connections go to other sockets and files of the process at once: places come back all the same.
static void descriptors_are_used_again(void **state)
{
    static const char request[] = "GET /healthz HTTP/1.0\r\n\r\n";
    struct port *port = *state;
    enum { PAIRS = 2 * ADMIN_CONNECTIONS_MAX };
    int idle[ADMIN_CONNECTIONS_MAX], taken[2 * PAIRS];
    for (int i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        idle[i] = dial(port);
        (void)event_base_loop(port->base, EVLOOP_NONBLOCK);
    }
    for (int i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        (void)close(idle[i]);
    for (int i = 0; i < 100; i++)
        (void)event_base_loop(port->base, EVLOOP_NONBLOCK);
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, &taken[2 * i]), 0);
    assert_non_null(strstr(ask(port, request), " 200 "));
    for (int i = 0; i < 2 * PAIRS; i++)
        assert_int_equal(fcntl(taken[i], F_GETFD), 0); // nobody has closed them
    for (int i = 0; i < 2 * PAIRS; i++)
        (void)close(taken[i]);
}

// Without descriptors the loop rests between its attempts; with some it is as before.
static void out_of_descriptors(void **state)
{
    static const char request[] = "GET /healthz HTTP/1.0\r\n\r\n";
    struct port *port = *state;
    struct rlimit old, none;
    int fd = dial(port), next = dup(fd), rounds = 0;
    assert_true(next >= 0);
    (void)close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    for (uint64_t end = clock_ns() + 300000000; clock_ns() < end; rounds++)
        (void)event_base_loop(port->base, EVLOOP_ONCE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_in_range(rounds, 1, 20);
    unsigned looks = 0;
    while (!has_answer(port, fd))
        assert_true(looks++ < 60000);
    (void)close(fd);
}

static void addresses_that_cannot_be_had(void **state)
{
    struct port *port = *state;
    struct error e;
    assert_null(admin_start(port->base, "nonsense", &e));
    assert_non_null(strstr(e.text, "nonsense"));
    assert_null(admin_start(port->base, "unix:/nonexistent/folder/x", &e));
    assert_null(admin_start(port->base, port->addr, &e)); // in use
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_are_served, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rest_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_can_be_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(connections_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptors_are_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(out_of_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(addresses_that_cannot_be_had, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
