// A worker of `edge-sim load lookup` against a server that this test plays: right and wrong values, errors, silence, ends of connections, all counted as what they are.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "edge-sim/lookup_worker.h"
#include "tests/unit/common/socket_server.h"

#define KEYS    1000u
#define GOAL_NS 5000000000u
#define PATIENT 120000000000u // ns: nothing that is answered is late, however slow the machine

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
    struct socket_server server;
    struct workload_keyspace keys;
    _Atomic uint64_t sets, gets;
    _Atomic uint64_t asked; // a sum over the keys of GETs, whatever their order
    _Atomic bool stalled;
};

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
    socket_server_send(fd, reply, head + sizeof value + 2);
}

static void answer(struct fake *fake, int fd, bool set, uint64_t number)
{
    (void)atomic_fetch_add(set ? &fake->sets : &fake->gets, 1);
    (void)atomic_fetch_add(&fake->asked, set ? 0 : number * number);
    if (fake->mood == NO_KEYS && !set)
        socket_server_send(fd, "$-1\r\n", 5);
    else if (fake->mood == ERRORS)
        socket_server_send(fd, "-LOADING wait\r\n", 15);
    else if (fake->mood == GARBAGE)
        socket_server_send(fd, "HTTP/1.1 400 Bad\r\n", 18);
    else if (fake->mood == SILENT)
        return;
    else if (set)
        socket_server_send(fd, "+OK\r\n", 5);
    else
        send_value(fake, fd, fake->mood == WRONG_VALUES ? number ^ 1 : number);
}

static void serve(void *arg, int fd)
{
    struct fake *fake = arg;
    FILE *in = fdopen(dup(fd), "r");
    bool set;
    uint64_t number;
    while (read_command(in, fake, &set, &number)) {
        if (fake->mood == CLOSES_ONCE && !atomic_exchange(&fake->stalled, true)) {
            socket_server_send(fd, "$256\r\nabc", 9);
            break;
        }
        if (fake->mood == STALLS && !atomic_exchange(&fake->stalled, true))
            (void)usleep(500000);
        answer(fake, fd, set, number);
    }
    (void)fclose(in);
}

static void fake_start(struct fake *fake, enum mood mood)
{
    *fake = (struct fake){.mood = mood};
    assert_true(workload_keyspace_init(&fake->keys, KEYS, 16, 256, 256, 0.99, 1));
    socket_server_start(&fake->server, serve, fake);
}

static void fake_stop(struct fake *fake)
{
    socket_server_stop(&fake->server);
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
    uint64_t deadline = clock_ns() + 2 * (uint64_t)PATIENT;
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
    struct lookup_run r = {.server = fake.server.addr,
                           .keys = &fake.keys,
                           .order = LOOKUP_ZIPF,
                           .schedule = rate != 0 ? &schedule : NULL,
                           .series = lookup_series_create(100000000, GOAL_NS),
                           .duration_ns = 1000000000,
                           .grace_ns = mood == SILENT ? 500000000 : PATIENT,
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

// What 200 lookups of a stream ask for, as one number.
static uint64_t asked_by(uint64_t stream)
{
    struct fake fake;
    struct lookup_schedule schedule;
    double p50_ms, max_ms;
    char trouble[256];
    fake_start(&fake, OBEYS);
    lookup_schedule_constant(&schedule, 1000);
    struct lookup_run r = {.server = fake.server.addr,
                           .keys = &fake.keys,
                           .schedule = &schedule,
                           .duration_ns = 200000000,
                           .stream = stream,
                           .threads = 1,
                           .pipeline = 1,
                           .verify = true};
    struct lookup_counts counts = run(&r, 1, &p50_ms, &max_ms, trouble);
    assert_int_equal(counts.outcome[LOOKUP_RIGHT], 200);
    fake_stop(&fake);
    return fake.asked;
}

static void a_stream_repeats_and_another_differs(void **state)
{
    (void)state;
    uint64_t first = asked_by(0);
    assert_int_equal(asked_by(0), first);
    assert_int_not_equal(asked_by(1), first);
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
    assert_true(r.counts.outcome[LOOKUP_RIGHT] >= 24); // two workers, three connections, four each
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
    struct lookup_run r = {.server = fake.server.addr,
                           .keys = &fake.keys,
                           .order = LOOKUP_HOT,
                           .hot_keys = 10,
                           .schedule = &schedule,
                           .duration_ns = 1000000000,
                           .grace_ns = PATIENT,
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
    struct lookup_run r = {.server = fake.server.addr,
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
    r = (struct lookup_run){.server = fake.server.addr,
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
        cmocka_unit_test(a_stream_repeats_and_another_differs),
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
