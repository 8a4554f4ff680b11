// A worker of `edge-sim load lookup` against a server that this test plays: right and wrong values, errors, silence, ends of connections, all counted as what they are.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "edge-sim/lookup_worker.h"

#define KEYS    1000u
#define GOAL_NS 5000000000u

enum mood {
    OBEYS,
    NO_KEYS,
    WRONG_VALUES,
    ERRORS,
    GARBAGE,
    SILENT,
    CLOSES_ONCE, // the first connection ends in the middle of a reply
    STALLS,      // half a second before the first reply
};

struct fake {
    enum mood mood;
    int listener;
    struct net_addr addr;
    struct workload_keyspace keys;
    _Atomic uint64_t sets, gets, connections;
    _Atomic bool stalled;
    pthread_t thread, clients[64];
};

struct client {
    struct fake *fake;
    int fd;
};

static void send_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += n;
        len -= (size_t)n;
    }
}

// One command: the key's number; *set says which. False: the connection has ended.
static bool read_command(FILE *in, struct fake *fake, bool *set, uint64_t *number)
{
    char line[64], key[64], *value;
    unsigned parts, len;
    if (fgets(line, sizeof line, in) == NULL || sscanf(line, "*%u", &parts) != 1)
        return false;
    *set = parts == 3;
    if (fgets(line, sizeof line, in) == NULL || fgets(line, sizeof line, in) == NULL)
        return false;
    if (strcmp(line, *set ? "SET\r\n" : "GET\r\n") != 0 || fgets(line, sizeof line, in) == NULL ||
        fread(key, 1, 18, in) != 18 || !workload_key_read(&fake->keys, key, 16, number))
        return false;
    if (!*set)
        return true;
    if (fgets(line, sizeof line, in) == NULL || sscanf(line, "$%u", &len) != 1)
        return false;
    value = malloc(len + 2);
    bool good =
        fread(value, 1, len + 2, in) == len + 2 && workload_value_is(&fake->keys, *number, value, len);
    free(value);
    return good;
}

// In one piece: three would make a Nagle and a delayed acknowledgement wait for each other.
static void send_value(struct fake *fake, int fd, uint64_t number)
{
    uint8_t reply[512], value[256];
    size_t head = (size_t)sprintf((char *)reply, "$256\r\n");
    workload_value_prepare(&fake->keys, value);
    (void)workload_value_write(&fake->keys, number, value);
    memcpy(reply + head, value, sizeof value);
    memcpy(reply + head + sizeof value, "\r\n", 2);
    send_all(fd, reply, head + sizeof value + 2);
}

static void answer(struct client *client, bool set, uint64_t number)
{
    struct fake *fake = client->fake;
    (void)atomic_fetch_add(set ? &fake->sets : &fake->gets, 1);
    if (fake->mood == NO_KEYS && !set)
        send_all(client->fd, "$-1\r\n", 5);
    else if (fake->mood == ERRORS)
        send_all(client->fd, "-LOADING wait\r\n", 15);
    else if (fake->mood == GARBAGE)
        send_all(client->fd, "HTTP/1.1 400 Bad\r\n", 18);
    else if (fake->mood == SILENT)
        return;
    else if (set)
        send_all(client->fd, "+OK\r\n", 5);
    else
        send_value(fake, client->fd, fake->mood == WRONG_VALUES ? number ^ 1 : number);
}

static void *serve_client(void *arg)
{
    struct client *client = arg;
    struct fake *fake = client->fake;
    FILE *in = fdopen(dup(client->fd), "r");
    bool set;
    uint64_t number;
    while (read_command(in, fake, &set, &number)) {
        if (fake->mood == CLOSES_ONCE && !atomic_exchange(&fake->stalled, true)) {
            send_all(client->fd, "$256\r\nabc", 9);
            break;
        }
        if (fake->mood == STALLS && !atomic_exchange(&fake->stalled, true))
            (void)usleep(500000);
        answer(client, set, number);
    }
    (void)fclose(in);
    (void)close(client->fd);
    free(client);
    return NULL;
}

static void *accept_clients(void *arg)
{
    struct fake *fake = arg;
    for (int fd; (fd = accept(fake->listener, NULL, NULL)) >= 0;) {
        struct client *client = malloc(sizeof *client);
        uint64_t n = atomic_fetch_add(&fake->connections, 1);
        *client = (struct client){fake, fd};
        if (n >= 64 || pthread_create(&fake->clients[n], NULL, serve_client, client) != 0)
            abort();
    }
    return NULL;
}

static void fake_start(struct fake *fake, enum mood mood)
{
    struct net_addr any;
    *fake = (struct fake){.mood = mood};
    assert_true(workload_keyspace_init(&fake->keys, KEYS, 16, 256, 256, 0.99, 1));
    assert_true(net_addr_parse("127.0.0.1:0", &any, NULL));
    fake->listener = net_listen(&any, 64, &fake->addr, NULL);
    assert_true(fake->listener >= 0);
    // net_listen() makes it non-blocking; the thread wants to wait
    assert_int_equal(fcntl(fake->listener, F_SETFL, 0), 0);
    assert_int_equal(pthread_create(&fake->thread, NULL, accept_clients, fake), 0);
}

static void fake_stop(struct fake *fake)
{
    (void)shutdown(fake->listener, SHUT_RDWR);
    (void)pthread_join(fake->thread, NULL);
    for (uint64_t i = 0; i < fake->connections; i++)
        (void)pthread_join(fake->clients[i], NULL);
    (void)close(fake->listener);
    workload_keyspace_destroy(&fake->keys);
}

// Runs workers to their end and sums their counts.
static struct lookup_counts run(struct lookup_run *run, unsigned connections, double *p50_ms, double *max_ms,
                                char *trouble)
{
    struct lookup_worker *workers[4];
    struct lookup_counts sum = {0};
    struct histogram *all = histogram_create();
    unsigned ready, finished;
    uint64_t deadline = clock_ns() + 120000000000u;
    for (unsigned i = 0; i < run->threads; i++)
        assert_non_null(workers[i] = lookup_worker_start(run, i, connections, GOAL_NS, NULL));
    do {
        assert_true(clock_ns() < deadline);
        (void)usleep(2000);
        ready = finished = 0;
        for (unsigned i = 0; i < run->threads; i++) {
            ready += lookup_worker_ready(workers[i]);
            finished += lookup_worker_finished(workers[i]);
        }
        if (ready == run->threads && run->start_ns == 0)
            run->start_ns = clock_ns();
    } while (finished < run->threads);
    trouble[0] = '\0';
    for (unsigned i = 0; i < run->threads; i++) {
        const struct lookup_counts *c = lookup_worker_counts(workers[i]);
        sum.sent += c->sent;
        sum.connections_lost += c->connections_lost;
        for (unsigned k = 0; k < LOOKUP_OUTCOMES; k++)
            sum.outcome[k] += c->outcome[k];
        histogram_merge(all, lookup_worker_latency(workers[i]));
        if (trouble[0] == '\0')
            (void)snprintf(trouble, 256, "%s", lookup_worker_trouble(workers[i]));
        lookup_worker_join(&workers[i]);
    }
    *p50_ms = (double)histogram_percentile(all, 50) / 1e6;
    *max_ms = (double)histogram_max(all) / 1e6;
    histogram_destroy(&all);
    return sum;
}

struct result {
    struct lookup_counts counts;
    double p50_ms, max_ms;
    char trouble[256];
    uint64_t gets, sets;
};

// A second of lookups, open loop with a rate or closed without.
static struct result look_up(enum mood mood, uint64_t rate, unsigned threads)
{
    struct fake fake;
    struct lookup_schedule schedule;
    struct result result;
    fake_start(&fake, mood);
    lookup_schedule_constant(&schedule, rate);
    struct lookup_run r = {.server = fake.addr,
                           .keys = &fake.keys,
                           .order = LOOKUP_ZIPF,
                           .schedule = rate != 0 ? &schedule : NULL,
                           .series = lookup_series_create(100000000, GOAL_NS),
                           .duration_ns = 1000000000,
                           .threads = threads,
                           .pipeline = 4,
                           .verify = true};
    result.counts = run(&r, 3, &result.p50_ms, &result.max_ms, result.trouble);
    assert_true(lookup_series_close(r.series, 600000000000u, true));
    size_t n;
    uint64_t right = 0;
    const struct lookup_row *rows = lookup_series_rows(r.series, &n);
    for (size_t i = 0; i < n; i++)
        right += rows[i].count[LOOKUP_RIGHT];
    assert_int_equal(right, result.counts.outcome[LOOKUP_RIGHT]);
    lookup_series_destroy(&r.series);
    fake_stop(&fake);
    result.gets = fake.gets;
    return result;
}

static void an_open_loop_sends_what_is_due(void **state)
{
    (void)state;
    struct result r = look_up(OBEYS, 1000, 3);
    assert_int_equal(r.counts.sent, 1000);
    assert_int_equal(r.counts.outcome[LOOKUP_RIGHT], 1000);
    assert_int_equal(r.gets, 1000);
    assert_string_equal(r.trouble, "");
}

static void a_closed_loop_sends_as_it_is_answered(void **state)
{
    (void)state;
    struct result r = look_up(OBEYS, 0, 2);
    assert_true(r.counts.outcome[LOOKUP_RIGHT] > 24); // two workers, three connections, four each
    assert_int_equal(r.counts.sent, r.counts.outcome[LOOKUP_RIGHT]);
}

static void bad_answers_are_counted_as_what_they_are(void **state)
{
    (void)state;
    struct result r = look_up(NO_KEYS, 200, 1);
    assert_int_equal(r.counts.outcome[LOOKUP_MISSING], 200);
    r = look_up(WRONG_VALUES, 200, 1);
    assert_int_equal(r.counts.outcome[LOOKUP_WRONG], 200);
    assert_non_null(strstr(r.trouble, "wrong value: key number "));
    r = look_up(ERRORS, 200, 1);
    assert_int_equal(r.counts.outcome[LOOKUP_ERROR], 200);
    assert_string_equal(r.trouble, "the server answers: LOADING wait");
}

static void garbage_ends_the_connection(void **state)
{
    (void)state;
    struct result r = look_up(GARBAGE, 20, 1);
    assert_int_equal(r.counts.outcome[LOOKUP_RIGHT], 0);
    assert_int_equal(r.counts.outcome[LOOKUP_LOST] + r.counts.outcome[LOOKUP_UNANSWERED], 20);
    assert_true(r.counts.outcome[LOOKUP_LOST] > 0);
    assert_non_null(strstr(r.trouble, "found a reply that is none"));
}

static void a_lost_connection_costs_what_it_carried(void **state)
{
    (void)state;
    struct result r = look_up(CLOSES_ONCE, 500, 1);
    assert_int_equal(r.counts.connections_lost, 1);
    assert_true(r.counts.outcome[LOOKUP_LOST] >= 1 && r.counts.outcome[LOOKUP_LOST] <= 4);
    assert_int_equal(r.counts.outcome[LOOKUP_RIGHT] + r.counts.outcome[LOOKUP_LOST], 500);
    assert_string_equal(r.trouble, "connection: closed by the server");
}

// The pipelines fill, the rest of the schedule stays unsent: all of it counts, after a grace.
static void silence_is_counted(void **state)
{
    (void)state;
    struct result r = look_up(SILENT, 300, 1);
    assert_int_equal(r.counts.sent, 12);
    assert_int_equal(r.counts.outcome[LOOKUP_UNANSWERED], 300);
}

// One connection stands still for half a second. What was due meanwhile and had no room waits, and its time counts from when it was due.
static void a_stall_is_paid_by_what_it_held_up(void **state)
{
    (void)state;
    struct fake fake;
    struct lookup_schedule schedule;
    struct result result;
    fake_start(&fake, STALLS);
    lookup_schedule_constant(&schedule, 400);
    struct lookup_run r = {.server = fake.addr,
                           .keys = &fake.keys,
                           .order = LOOKUP_HOT,
                           .hot_keys = 10,
                           .schedule = &schedule,
                           .duration_ns = 1000000000,
                           .threads = 1,
                           .pipeline = 1,
                           .verify = true};
    r.series = lookup_series_create(100000000, GOAL_NS);
    result.counts = run(&r, 1, &result.p50_ms, &result.max_ms, result.trouble);
    lookup_series_destroy(&r.series);
    fake_stop(&fake);
    assert_int_equal(result.counts.outcome[LOOKUP_RIGHT], 400);
    assert_true(result.max_ms >= 490);
    // half of the second was lost, so about half of the lookups were late; a loop that waits would show one
    assert_true(result.p50_ms > 1);
}

static void fills_each_key_once(void **state)
{
    (void)state;
    struct fake fake;
    double ms;
    char trouble[256];
    fake_start(&fake, OBEYS);
    struct lookup_run r = {.server = fake.addr,
                           .keys = &fake.keys,
                           .duration_ns = 1ull << 62,
                           .threads = 3,
                           .pipeline = 1,
                           .fill = true};
    struct lookup_counts counts = run(&r, 2, &ms, &ms, trouble);
    assert_int_equal(counts.outcome[LOOKUP_RIGHT], KEYS);
    assert_int_equal(fake.sets, KEYS);
    fake_stop(&fake);
    fake_start(&fake, CLOSES_ONCE); // a fill that cannot be whole ends
    r = (struct lookup_run){.server = fake.addr,
                            .keys = &fake.keys,
                            .duration_ns = 1ull << 62,
                            .threads = 1,
                            .pipeline = 1,
                            .fill = true};
    counts = run(&r, 2, &ms, &ms, trouble);
    assert_true(counts.outcome[LOOKUP_RIGHT] < KEYS && counts.outcome[LOOKUP_LOST] > 0);
    fake_stop(&fake);
}

static void no_server(void **state)
{
    (void)state;
    struct workload_keyspace keys;
    struct net_addr nobody;
    double ms;
    char trouble[256];
    assert_true(workload_keyspace_init(&keys, KEYS, 16, 256, 256, 0.99, 1));
    assert_true(net_addr_parse("unix:/nonexistent/socket", &nobody, NULL));
    struct lookup_run r = {.server = nobody, .keys = &keys, .duration_ns = 1, .threads = 1, .pipeline = 1};
    struct lookup_counts counts = run(&r, 2, &ms, &ms, trouble);
    assert_int_equal(counts.sent, 0);
    assert_string_equal(trouble, "connection: connect: No such file or directory");
    workload_keyspace_destroy(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_loop_sends_what_is_due),
        cmocka_unit_test(a_closed_loop_sends_as_it_is_answered),
        cmocka_unit_test(bad_answers_are_counted_as_what_they_are),
        cmocka_unit_test(garbage_ends_the_connection),
        cmocka_unit_test(a_lost_connection_costs_what_it_carried),
        cmocka_unit_test(silence_is_counted),
        cmocka_unit_test(a_stall_is_paid_by_what_it_held_up),
        cmocka_unit_test(fills_each_key_once),
        cmocka_unit_test(no_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
