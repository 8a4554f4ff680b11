// Edges' accounts: no request is lost or counted twice, no count falls, and no crowd of names takes more than its share.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "keyserver/edges.h"

static struct edges *edges;
static struct edge_view views[EDGES_NAMED + 1];

static int set_up(void **state)
{
    (void)state;
    edges = edges_create();
    return edges == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    edges_destroy(&edges);
    edges_destroy(&edges); // NULL is fine
    return 0;
}

// The edge of a name; of a crowd, one by its number.
static struct edge_account *join(const char *crowd, int number)
{
    char name[300];
    if (number < 0)
        (void)snprintf(name, sizeof name, "%s", crowd);
    else
        (void)snprintf(name, sizeof name, "%s%d", crowd, number);
    struct edge_account *account = edges_join(edges, name);
    assert_non_null(account);
    return account;
}

static void ask(struct edge_account *account, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++)
        edge_count(account, i % 2 == 1);
}

static const struct edge_view *view_of(const char *name)
{
    size_t count = edges_view(edges, views);
    for (size_t i = 0; i < count; i++)
        if (strcmp(views[i].name, name) == 0)
            return &views[i];
    return NULL;
}

static uint64_t total_requests(void)
{
    uint64_t total = 0;
    size_t count = edges_view(edges, views);
    for (size_t i = 0; i < count; i++)
        total += views[i].requests;
    return total;
}

static void what_an_edge_does(void **state)
{
    (void)state;
    struct edge_account *a = join("paris", -1), *again = join("paris", -1);
    assert_ptr_equal(a, again);
    assert_true(edge_enter(a, 100));
    assert_true(edge_enter(again, 100));
    assert_true(edge_begin(a, 100));
    ask(a, 10);
    edges_tick(edges, 2);
    const struct edge_view *v = view_of("paris");
    assert_non_null(v);
    assert_int_equal(v->requests, 10);
    assert_int_equal(v->errors, 5);
    assert_int_equal(v->in_flight, 1);
    assert_int_equal(v->connections, 2);
    assert_true(v->requests_per_s == 5 && v->errors_per_s == 2.5);
    edge_end(a);
    edge_leave(a);
    edge_leave(a);
    edge_hold(a);
    edge_release(&a);
    edge_release(&again);
    edges_tick(edges, 1);
    v = view_of("paris"); // it stays, and waits for another place
    assert_true(v != NULL && v->requests == 10 && v->in_flight == 0 && v->connections == 0);
    assert_true(v->requests_per_s == 0);
    a = join("paris", -1);
    edge_release(&a);
    edge_release(&a); // NULL is fine
}

// Each edge has its own limits; what is refused does not count.
static void limits(void **state)
{
    (void)state;
    struct edge_account *a = join("paris", -1), *b = join("berlin", -1);
    for (int i = 0; i < 3; i++)
        assert_true(edge_enter(a, 3) && edge_begin(a, 3));
    for (int i = 0; i < 5; i++)
        assert_false(edge_enter(a, 3) || edge_begin(a, 3));
    assert_true(edge_enter(b, 1) && edge_begin(b, 1));
    assert_false(edge_enter(b, 0) || edge_begin(b, 0));
    edge_leave(a);
    edge_end(a);
    assert_true(edge_enter(a, 3) && edge_begin(a, 3)); // there is room again
    assert_false(edge_enter(a, 3) || edge_begin(a, 3));
    edges_tick(edges, 1);
    assert_int_equal(view_of("paris")->connections, 3);
    assert_int_equal(view_of("paris")->in_flight, 3);
    edge_release(&a);
    edge_release(&b);
}

// Without edges, or without memory for one, nothing is counted and nothing breaks.
static void no_account(void **state)
{
    struct edge_account *none = edges_join(NULL, "paris");
    (void)state;
    assert_null(none);
    assert_true(edge_enter(none, 0));
    assert_true(edge_begin(none, 0));
    edge_leave(none);
    edge_end(none);
    edge_count(none, true);
    edge_hold(none);
    edge_release(&none);
}

static void nobody_is_there(void **state)
{
    (void)state;
    edges_tick(edges, 1);
    assert_int_equal(edges_view(edges, views), 1);
    assert_string_equal(views[0].name, EDGES_OTHER);
    assert_int_equal(views[0].requests, 0);
}

// Ten thousand names: as many rows as ever, and all that they asked is counted.
static void a_crowd(void **state)
{
    (void)state;
    for (int i = 0; i < 10000; i++) {
        struct edge_account *a = join("edge-", i);
        ask(a, 3);
        edge_release(&a);
        if (i % 100 == 0)
            edges_tick(edges, 1);
    }
    edges_tick(edges, 1);
    assert_int_equal(edges_view(edges, views), EDGES_NAMED + 1);
    assert_int_equal(total_requests(), 30000);
}

// A crowd that stays connected does not keep a busy edge without a name; nor does one that is gone.
static void a_busy_edge_among_them(void **state)
{
    struct edge_account *crowd[100];
    (void)state;
    for (int i = 0; i < 100; i++) {
        crowd[i] = join("crowd-", i);
        ask(crowd[i], 1);
    }
    struct edge_account *busy = join("busy", -1);
    ask(busy, 7);
    assert_null(view_of("busy"));
    edges_tick(edges, 1); // not yet far enough ahead
    assert_null(view_of("busy"));
    ask(busy, 93);
    edges_tick(edges, 1);
    const struct edge_view *v = view_of("busy");
    assert_non_null(v);
    assert_int_equal(v->requests, 0); // what it asked before is the others'
    ask(busy, 50);
    edges_tick(edges, 1);
    assert_int_equal(view_of("busy")->requests, 50);
    assert_string_equal(views[0].name, "busy"); // the busiest first
    for (int i = 0; i < 100; i++)
        edge_release(&crowd[i]);
    edge_release(&busy);
}

// The count of an edge and that of the others only grow as long as the edge keeps its name, or has none.
static void no_count_falls(void **state)
{
    struct edge_account *a[64];
    uint64_t others = 0, asked = 0;
    (void)state;
    for (int i = 0; i < 64; i++)
        a[i] = join("e", i);
    for (unsigned round = 0; round < 500; round++) {
        for (unsigned i = 0; i < 64; i++) {
            unsigned n = (i * 7 + round / 20 * 13) % 64 / 8 * 10; // who is busy changes
            ask(a[i], n);
            asked += n;
        }
        edges_tick(edges, 1);
        size_t count = edges_view(edges, views);
        assert_int_equal(count, EDGES_NAMED + 1);
        assert_true(views[count - 1].requests >= others);
        others = views[count - 1].requests;
        assert_true(total_requests() <= asked);
    }
    for (int i = 0; i < 64; i++)
        edge_release(&a[i]);
}

static void an_edge_called_other(void **state)
{
    (void)state;
    struct edge_account *a = join(EDGES_OTHER, -1);
    ask(a, 4);
    edges_tick(edges, 1);
    assert_int_equal(edges_view(edges, views), 1);
    assert_int_equal(views[0].requests, 4);
    edge_release(&a);
}

static void long_names_are_cut(void **state)
{
    (void)state;
    char name[251];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct edge_account *a = join(name, -1);
    assert_int_equal(edges_view(edges, views), 2);
    assert_int_equal(strlen(views[0].name), EDGES_NAME_MAX - 1);
    edge_release(&a);
}

#define THREADS 4
#define ROUNDS  20000

static void *come_and_go(void *arg)
{
    int number = *(int *)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct edge_account *a = join("t", (number * 31 + i) % 80);
        if (edge_enter(a, 2)) { // else two others are there
            if (edge_begin(a, 1))
                edge_end(a);
            edge_count(a, false);
            edge_leave(a);
        }
        edge_release(&a);
    }
    return NULL;
}

static void from_many_threads(void **state)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &numbers[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        edges_tick(edges, 1);
        (void)edges_view(edges, views);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    edges_tick(edges, 1);
    size_t count = edges_view(edges, views);
    for (size_t i = 0; i < count; i++)
        assert_true(views[i].in_flight == 0 && views[i].connections == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_an_edge_does, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_account, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_crowd, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_busy_edge_among_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_count_falls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_edge_called_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_names_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(from_many_threads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
