// Connections are counted by host: ports do not matter, an IPv6 host is its /64, and what is given back is
// free again.
#include "keyserver/addrs.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>

static struct net_addr address(const char *text)
{
    struct net_addr addr;
    struct error e;
    if (!net_addr_parse(text, &addr, &e))
        fail_msg("%s", e.text);
    return addr;
}

static bool add(struct addrs *addrs, const char *text, size_t limit)
{
    struct net_addr addr = address(text);
    return addrs_add(addrs, &addr, limit);
}

static void give_back(struct addrs *addrs, const char *text)
{
    struct net_addr addr = address(text);
    addrs_remove(addrs, &addr);
}

static void a_host_has_its_limit(void **state)
{
    (void)state;
    struct addrs *addrs = addrs_create(1000);
    assert_non_null(addrs);
    for (int i = 0; i < 3; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "10.1.2.3:%d", 4000 + i);
        assert_true(add(addrs, text, 3));
    }
    assert_false(add(addrs, "10.1.2.3:5000", 3));
    assert_false(add(addrs, "10.1.2.3:5000", 3)); // a refusal counts for nothing
    assert_true(add(addrs, "10.1.2.4:5000", 3));  // nor for anybody else
    give_back(addrs, "10.1.2.3:4001");
    assert_true(add(addrs, "10.1.2.3:5000", 3));
    assert_false(add(addrs, "10.1.2.3:5000", 3));
    addrs_destroy(&addrs); // with entries in it
    assert_null(addrs);
    addrs_destroy(&addrs);
}

static void forms_of_addresses(void **state)
{
    (void)state;
    struct addrs *addrs = addrs_create(10);
    // An IPv4 host that comes by an IPv6 socket is the same host.
    assert_true(add(addrs, "10.1.2.3:1", 1));
    assert_false(add(addrs, "[::ffff:10.1.2.3]:1", 1));
    assert_true(add(addrs, "[::ffff:10.1.2.4]:1", 1));
    // An IPv6 host chooses the lower half itself.
    assert_true(add(addrs, "[2001:db8:1:2::1]:1", 1));
    assert_false(add(addrs, "[2001:db8:1:2:ffff::2]:1", 1));
    assert_true(add(addrs, "[2001:db8:1:3::1]:1", 1));
    // Unix sockets are one address, and not the same as any other.
    assert_true(add(addrs, "unix:/a", 1));
    assert_false(add(addrs, "unix:/b", 1));
    assert_true(add(addrs, "127.0.0.1:1", 1));
    give_back(addrs, "unix:/c");
    assert_true(add(addrs, "unix:/b", 1));
    addrs_destroy(&addrs);
}

static void many_hosts_and_back_to_none(void **state)
{
    (void)state;
    struct addrs *addrs = addrs_create(16); // more hosts than buckets
    char text[32];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5000; i++) {
            (void)snprintf(text, sizeof text, "10.%d.%d.%d:1", i >> 8 & 255, i & 255, i % 7);
            assert_true(add(addrs, text, 1));
            assert_false(add(addrs, text, 1));
        }
        for (int i = 4999; i >= 0; i--) {
            (void)snprintf(text, sizeof text, "10.%d.%d.%d:1", i >> 8 & 255, i & 255, i % 7);
            give_back(addrs, text);
        }
    }
    give_back(addrs, "10.0.0.0:1"); // one that has nothing: ignored
    assert_true(add(addrs, "10.0.0.0:1", 1));
    addrs_destroy(&addrs);
}

static void *come_and_go(void *arg)
{
    struct addrs *addrs = arg;
    const struct net_addr host = address("10.0.0.1:1"), other = address("10.0.0.2:1");
    uintptr_t refused = 0;
    for (int i = 0; i < 5000; i++) {
        if (addrs_add(addrs, &host, 4))
            addrs_remove(addrs, &host);
        else
            refused++;
        if (addrs_add(addrs, &other, 1000000))
            addrs_remove(addrs, &other);
    }
    return (void *)refused; // four threads, one each at a time: never
}

static void several_threads(void **state)
{
    (void)state;
    struct addrs *addrs = addrs_create(100);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, addrs), 0);
    for (int i = 0; i < 4; i++) {
        void *refused;
        assert_int_equal(pthread_join(threads[i], &refused), 0);
        assert_null(refused);
    }
    addrs_destroy(&addrs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_has_its_limit),
        cmocka_unit_test(forms_of_addresses),
        cmocka_unit_test(many_hosts_and_back_to_none),
        cmocka_unit_test(several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
