// The migration listener around the policy: what a start asks for, who is taken on arrival, and connections without a
// certificate over real TLS.
#include "conn_kit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "keyserver/migration.h"

#define PIN "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="

static struct access_policy *policy_of(const char *text)
{
    struct error e;
    struct access_policy *policy = access_parse("p", text, strlen(text), &e);
    if (policy == NULL)
        fail_msg("%s", e.text);
    return policy;
}

static struct net_addr at(const char *ip)
{
    struct net_addr addr = {.len = sizeof(struct sockaddr_in), .ss.ss_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, ip, &((struct sockaddr_in *)&addr.ss)->sin_addr), 1);
    return addr;
}

// As a reload does; NULL: no policy any more. Loops may still be at work on the one before.
static void use(const char *text)
{
    struct access_policy *fresh = text == NULL ? NULL : policy_of(text);
    (void)pthread_mutex_lock(&conn_kit_server.tls_lock);
    struct access_policy *old = conn_kit_server.access;
    conn_kit_server.access = fresh;
    (void)pthread_mutex_unlock(&conn_kit_server.tls_lock);
    (void)atomic_fetch_add(&conn_kit_server.tls_generation, 1);
    access_unref(&old);
    for (unsigned i = 0; i < conn_kit_server.loop_count; i++)
        loop_recheck(&conn_kit_server.loops[i]);
}

static int set_up(void **state)
{
    int result = conn_kit_set_up(state);
    use("allow edge=migration from=10.0.0.0/24 key=spki:" PIN " methods=ECDHE");
    return result;
}

static int tear_down(void **state)
{
    int result = conn_kit_tear_down(state);
    access_unref(&conn_kit_server.access);
    return result;
}

static void what_a_start_asks_for(void **state)
{
    static char where[] = "127.0.0.1:0", file[] = "policy.conf";
    struct options o = {0};
    struct error e;
    struct access_policy *edges =
        policy_of("allow edge=any key=any methods=any\ndeny edge=migration from=10.0.0.1");
    (void)state;
    assert_true(migration_check(&o, NULL, &e));
    assert_true(migration_check(&o, edges, &e));
    o.migration_listen = where;
    assert_false(migration_check(&o, NULL, &e));
    assert_non_null(strstr(e.text, "--migration-listen: found no rule for its clients in a policy"));
    o.policy = file;
    assert_false(migration_check(&o, edges, &e));
    assert_non_null(strstr(e.text, "in policy.conf, expected: allow edge=migration"));
    access_unref(&edges);
    assert_true(migration_check(&o, conn_kit_server.access, &e));
}

static void who_is_taken_on_arrival(void **state)
{
    const char *limit;
    struct net_addr listed = at("10.0.0.1"), stranger = at("10.0.1.1");
    (void)state;
    conn_kit_options.migration_max_connections = 5;
    atomic_store(&conn_kit_server.migration_connections, 1);
    assert_true(migration_admits(&conn_kit_server, &stranger, &limit));
    atomic_store(&conn_kit_server.migration_connections, 2); // half
    assert_false(migration_admits(&conn_kit_server, &stranger, &limit));
    assert_non_null(strstr(limit, "does not list"));
    assert_true(migration_admits(&conn_kit_server, &listed, &limit));
    atomic_store(&conn_kit_server.migration_connections, 5);
    assert_false(migration_admits(&conn_kit_server, &listed, &limit));
    assert_string_equal(limit, "migration-max-connections");
    // Strangers, as many as come: a bounded number. Those of the list are not counted.
    atomic_store(&conn_kit_server.migration_connections, 0);
    unsigned taken = 0, looks = 0;
    while (migration_admits(&conn_kit_server, &stranger, &limit) && ++looks < 1000000)
        taken++;
    assert_true(taken >= 50 && looks < 1000000);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(migration_admits(&conn_kit_server, &listed, &limit));
}

// The status of a request that is no operation.
static int asked(size_t peer)
{
    static const char request[] = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
    char answer[512];
    int status = 0;
    conn_kit_say(peer, request, sizeof request - 1);
    int n = SSL_read(conn_kit_peers[peer].ssl, answer, sizeof answer - 1);
    assert_true(n > 0);
    answer[n] = '\0';
    assert_int_equal(sscanf(answer, "HTTP/1.1 %d ", &status), 1);
    if (status == 403)
        assert_non_null(strstr(answer, "\r\n\r\n{\"error\":\"request denied\"}\n"));
    return status;
}

static void strangers_are_turned_away(void **state)
{
    struct net_addr listed = at("10.0.0.1"), stranger = at("10.0.1.1");
    (void)state;
    conn_kit_come_to_migration(0, 0, &stranger);
    conn_kit_come_to_migration(1, 0, &listed);
    for (int i = 0; i < MIGRATION_STRANGER_REQUESTS; i++) {
        assert_int_equal(asked(0), 403);
        assert_int_equal(asked(1), 404);
    }
    assert_true(conn_kit_is_closed(0));
    assert_int_equal(asked(1), 404);
    assert_int_equal(metric_value(conn_kit_server.stats.policy_denied[ACCESS_BY_ADDRESS]),
                     MIGRATION_STRANGER_REQUESTS);
}

// A connection lasts through reloads, and what it is told follows them.
static void reloads(void **state)
{
    struct net_addr addr = at("10.0.0.1");
    (void)state;
    conn_kit_come_to_migration(0, 0, &addr);
    conn_kit_come(1, 0); // an edge
    assert_int_equal(asked(0), 404);
    use("allow edge=migration from=10.0.2.0/24 key=spki:" PIN " methods=ECDHE");
    assert_int_equal(asked(0), 403);
    use("");
    assert_int_equal(asked(0), 403);
    use("allow edge=migration from=10.0.0.1 key=spki:" PIN " methods=ECDHE");
    assert_int_equal(asked(0), 404);
    assert_true(conn_kit_is_served(1));
    assert_int_equal(atomic_load(&conn_kit_server.migration_connections), 1);
    conn_kit_hang_up(0);
    const struct timespec moment = {.tv_nsec = 1000000};
    for (unsigned looks = 0; atomic_load(&conn_kit_server.migration_connections) != 0; looks++) {
        assert_true(looks < 600000);
        (void)nanosleep(&moment, NULL);
    }
}

// No policy, no client: what a start refuses does not open anything either.
static void without_a_policy(void **state)
{
    struct net_addr addr = at("10.0.0.1");
    (void)state;
    use(NULL);
    conn_kit_come_to_migration(0, 0, &addr);
    assert_true(conn_kit_is_closed(0));
}

#define CONN_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONN_TEST(what_a_start_asks_for),     CONN_TEST(who_is_taken_on_arrival),
        CONN_TEST(strangers_are_turned_away), CONN_TEST(reloads),
        CONN_TEST(without_a_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
