// What edges have at once: limits of each, references that outlive connections, many threads.
#include "keyserver/edges.h"

#include <pthread.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void each_has_its_own(void **state)
{
    (void)state;
    struct edges *edges = edges_create(10);
    struct edge_account *first[3], *second;
    for (int i = 0; i < 3; i++) {
        first[i] = edges_enter(edges, 7, 3);
        assert_non_null(first[i]);
        assert_ptr_equal(first[i], first[0]);
    }
    assert_null(edges_enter(edges, 7, 3));
    second = edges_enter(edges, 7 + (UINT64_C(1) << 40), 3); // the same bucket
    assert_non_null(second);
    assert_ptr_not_equal(second, first[0]);
    edges_leave(first[2]);
    assert_ptr_equal(edges_enter(edges, 7, 3), first[0]); // there is room again
    edges_unref(&first[2]);
    assert_null(first[2]);
    for (int i = 0; i < 2; i++)
        edges_leave(first[i]);
    struct edge_account *third = edges_ref(first[0]);
    for (int i = 0; i < 2; i++)
        edges_unref(&first[i]);
    edges_leave(third);
    assert_ptr_equal(edges_enter(edges, 7, 1), third); // all have left, but it was referred to
    edges_leave(third);
    struct edge_account *again = third;
    edges_unref(&again);
    edges_unref(&third);
    edges_leave(second);
    edges_unref(&second);
    edges_destroy(&edges);
    assert_null(edges);
    edges_destroy(&edges);
}

static void nothing_at_all(void **state)
{
    (void)state;
    struct edges *edges = edges_create(1);
    struct edge_account *none = NULL;
    assert_null(edges_enter(edges, 1, 0));
    assert_null(edges_ref(NULL));
    edges_leave(NULL);
    edges_unref(&none);
    edges_destroy(&edges);
}

static void requests_in_flight(void **state)
{
    (void)state;
    struct edges *edges = edges_create(1);
    struct edge_account *edge = edges_enter(edges, 1, 1);
    assert_true(edge_begin(edge, 2));
    assert_true(edge_begin(edge, 2));
    for (int i = 0; i < 5; i++)
        assert_false(edge_begin(edge, 2));
    edge_end(edge);
    assert_true(edge_begin(edge, 2)); // those that were refused do not count
    assert_false(edge_begin(edge, 2));
    edges_leave(edge);
    edges_unref(&edge);
    edges_destroy(&edges);
}

#define THREADS 4
#define ROUNDS  20000

static void *come_and_go(void *arg)
{
    struct edges *edges = arg;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        struct edge_account *edge = edges_enter(edges, i % 5, 2);
        if (edge == NULL)
            continue; // two others are there
        struct edge_account *kept = edges_ref(edge);
        if (edge_begin(edge, 1))
            edge_end(edge);
        edges_leave(edge);
        edges_unref(&edge);
        edges_unref(&kept);
    }
    return NULL;
}

static void many_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct edges *edges = edges_create(10);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, edges), 0);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    for (uint64_t id = 0; id < 5; id++) { // nobody was left behind
        struct edge_account *edge = edges_enter(edges, id, 1);
        assert_non_null(edge);
        assert_true(edge_begin(edge, 1));
        edges_leave(edge);
        edges_unref(&edge);
    }
    edges_destroy(&edges);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_its_own),
        cmocka_unit_test(nothing_at_all),
        cmocka_unit_test(requests_in_flight),
        cmocka_unit_test(many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
