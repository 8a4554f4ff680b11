// The light client of tests/bench/redis: the bytes that it sends, and its verdicts on a server that this test plays.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/bench/redis/respload_loop.h"
#include "tests/bench/redis/respload_options.h"
#include "tests/unit/common/socket_server.h"

#define KEYS  1000u
#define VALUE 256u

// ---- commands

static void commands_are_those_of_redis_benchmark(void **state)
{
    (void)state;
    struct workload_keyspace space;
    struct respload_form form;
    uint8_t out[512], value[VALUE];
    const char get[] = "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000042\r\n";
    const char set[] = "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000999\r\n$256\r\n";
    assert_true(workload_keyspace_init(&space, KEYS, 16, VALUE, VALUE, 0.99, 1));
    assert_true(respload_form_init(&form, &space, RESPLOAD_BENCHMARK_NAMES));
    assert_int_equal(respload_write_get(&form, 42, out), sizeof get - 1);
    assert_memory_equal(out, get, sizeof get - 1);
    assert_int_equal(respload_write_set(&form, 999, out), sizeof set - 1 + VALUE + 2);
    assert_int_equal(respload_command_max(&form), sizeof set - 1 + VALUE + 2);
    assert_memory_equal(out, set, sizeof set - 1);
    memcpy(value, out + sizeof set - 1, VALUE);
    assert_true(workload_value_is(&space, 999, value, VALUE));
    assert_memory_equal(out + sizeof set - 1 + VALUE, "\r\n", 2);
    workload_keyspace_destroy(&space);
}

static void names_of_the_store_and_empty_values(void **state)
{
    (void)state;
    struct workload_keyspace space;
    struct respload_form form;
    uint8_t out[128];
    const char set[] = "*3\r\n$3\r\nSET\r\n$20\r\n000000000000002akkkk\r\n$0\r\n\r\n";
    assert_true(workload_keyspace_init(&space, KEYS, 20, 0, 0, 0.99, 1));
    assert_true(respload_form_init(&form, &space, RESPLOAD_STORE_NAMES));
    assert_int_equal(respload_write_set(&form, 42, out), sizeof set - 1);
    assert_memory_equal(out, set, sizeof set - 1);
    space.keys = RESPLOAD_BENCHMARK_KEYS_MAX + 1;
    assert_false(respload_form_init(&form, &space, RESPLOAD_BENCHMARK_NAMES));
    workload_keyspace_destroy(&space);
}

static void work_is_dealt_out_to_the_last_piece(void **state)
{
    (void)state;
    assert_int_equal(respload_share(10, 0, 3) + respload_share(10, 1, 3) + respload_share(10, 2, 3), 10);
    assert_int_equal(respload_share(2, 2, 3), 0);
    assert_int_equal(respload_due_ns(30000, 30000), 1000000000);
    assert_int_equal(respload_due_ns(1, UINT64_MAX), UINT64_MAX);
}

// What became due while the loop was busy is not slept on: it once was, until the next reply came.
static void what_is_due_is_not_slept_on(void **state)
{
    (void)state;
    assert_int_equal(respload_sleep_ns(99, 100, true), 0);
    assert_int_equal(respload_sleep_ns(100, 100, true), 0);
    assert_int_equal(respload_sleep_ns(99, 100, false), RESPLOAD_IDLE_NS);
    assert_int_equal(respload_sleep_ns(107, 100, true), 7);
    assert_int_equal(respload_sleep_ns(UINT64_MAX, 100, true), RESPLOAD_IDLE_NS);
}

// ---- options

// Options in one text, blanks between them, on top of a server.
static bool check(const char *text, struct respload_run *run, struct error *e)
{
    struct respload_options options = {0};
    char copy[256], *argv[16], *save = NULL;
    int count = 0;
    double theta;
    (void)snprintf(copy, sizeof copy, "x --server 127.0.0.1:1 %s", text);
    for (char *word = strtok_r(copy, " ", &save); word != NULL && count < 16;
         word = strtok_r(NULL, " ", &save))
        argv[count++] = word;
    assert_int_equal(config_read(&respload_options_spec, count, argv, &options, NULL), CONFIG_OK);
    bool good = respload_options_check(&options, run, &theta, e);
    config_release(&respload_options_spec, &options, NULL);
    return good;
}

static void options_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct respload_run run;
    struct error e;
    assert_true(check("--threads 8 --connections 3 --workload zipf:0.5", &run, &e));
    assert_int_equal(run.threads, 3); // no thread without a connection
    assert_int_equal(run.order, WORKLOAD_ZIPF);
    assert_false(check("--workload zipf:1", &run, &e));
    assert_non_null(strstr(e.text, "--workload: found \"zipf:1\""));
    assert_false(check("--workload zipfian", &run, &e));
    assert_false(check("--rounds --rate 1", &run, &e));
    assert_false(check("--operation load --operations 1", &run, &e));
    assert_false(check("--operation load --warm-up 1s", &run, &e));
    assert_false(check("--keys 1000000000001", &run, &e));
    assert_true(check("--keys 1000000000001 --names store", &run, &e));
    assert_false(check("--server nowhere", &run, &e));
    assert_non_null(strstr(e.text, "--server: "));
}

// ---- a server

enum mood { OBEYS, IN_PIECES, NO_KEYS, WRONG_VALUES, WRONG_KIND, ERRORS, GARBAGE, TALKS, CLOSES, SILENT };

struct fake {
    enum mood mood;
    struct socket_server server;
    struct workload_keyspace space;
    struct respload_form form;
    _Atomic uint64_t commands, sets;
};

static void send_value(const struct fake *fake, int fd, uint64_t number)
{
    uint8_t command[512], reply[512] = "$256\r\n";
    size_t len = respload_write_set(&fake->form, number, command);
    memcpy(reply + 6, command + len - VALUE - 2, VALUE + 2);
    if (fake->mood != IN_PIECES) {
        socket_server_send(fd, reply, 6 + VALUE + 2);
        return;
    }
    for (size_t at = 0; at < 6 + VALUE + 2; at += 66) { // 264 bytes, four pieces
        socket_server_send(fd, reply + at, 66);
        (void)usleep(200);
    }
}

// False: this ends the connection.
static bool answer(const struct fake *fake, int fd, bool set, uint64_t number)
{
    static const char *const texts[] = {[NO_KEYS] = "$-1\r\n",
                                        [WRONG_KIND] = "+OK\r\n",
                                        [ERRORS] = "-LOADING wait\r\n",
                                        [GARBAGE] = "HTTP/1.1 400 Bad\r\n",
                                        [TALKS] = "+OK\r\n+OK\r\n",
                                        [CLOSES] = "$256\r\nabc",
                                        [SILENT] = ""};
    enum mood mood = fake->mood;
    if (mood == OBEYS || mood == IN_PIECES || mood == WRONG_VALUES) {
        if (set)
            socket_server_send(fd, "+OK\r\n", 5);
        else
            send_value(fake, fd, mood == WRONG_VALUES ? number ^ 1 : number);
        return true;
    }
    socket_server_send(fd, texts[mood], strlen(texts[mood]));
    return mood != CLOSES;
}

// The commands are told apart by their own bytes: written again for the same key, they must be the same.
static bool read_command(FILE *in, const struct fake *fake, bool *set, uint64_t *number)
{
    uint8_t got[512], expected[512];
    size_t get_len = respload_write_get(&fake->form, 0, expected);
    if (fread(got, 1, get_len, in) != get_len)
        return false;
    *set = got[1] == '3';
    got[get_len] = '\0';
    const char *name = strstr((const char *)got, "key:");
    if (name == NULL)
        return false;
    *number = strtoull(name + 4, NULL, 10);
    size_t len = *set ? respload_write_set(&fake->form, *number, expected)
                      : respload_write_get(&fake->form, *number, expected);
    return fread(got + get_len, 1, len - get_len, in) == len - get_len && memcmp(got, expected, len) == 0;
}

static void serve(void *arg, int fd)
{
    struct fake *fake = arg;
    const int on = 1;
    FILE *in = fdopen(dup(fd), "r");
    bool set;
    uint64_t number;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while (read_command(in, fake, &set, &number)) {
        fake->commands++;
        fake->sets += set;
        if (!answer(fake, fd, set, number))
            break;
    }
    (void)fclose(in);
}

static void fake_start(struct fake *fake, enum mood mood)
{
    *fake = (struct fake){.mood = mood};
    assert_true(workload_keyspace_init(&fake->space, KEYS, 16, VALUE, VALUE, 0.99, 1));
    assert_true(respload_form_init(&fake->form, &fake->space, RESPLOAD_BENCHMARK_NAMES));
    socket_server_start(&fake->server, serve, fake);
}

static void fake_stop(struct fake *fake)
{
    socket_server_stop(&fake->server);
    workload_keyspace_destroy(&fake->space);
}

struct result {
    struct respload_counts counts;
    uint64_t measured, commands, sets;
    char trouble[256];
};

static void add(struct result *result, const struct respload_worker *worker)
{
    const struct respload_counts *c = &worker->counts;
    result->counts.right[RESPLOAD_READ] += c->right[RESPLOAD_READ];
    result->counts.right[RESPLOAD_WRITE] += c->right[RESPLOAD_WRITE];
    result->counts.missing += c->missing;
    result->counts.wrong += c->wrong;
    result->counts.failed += c->failed;
    result->counts.lost += c->lost;
    result->counts.unsent += c->unsent;
    result->counts.connections_lost += c->connections_lost;
    result->measured +=
        histogram_count(worker->latency[RESPLOAD_READ]) + histogram_count(worker->latency[RESPLOAD_WRITE]);
    if (worker->trouble[0] != '\0')
        (void)snprintf(result->trouble, sizeof result->trouble, "%s", worker->trouble);
}

// Runs against a server of this mood, three connections; what `run` does not say is set here.
static struct result load(enum mood mood, struct respload_run run)
{
    struct fake fake;
    struct respload_worker workers[4];
    struct result result = {0};
    fake_start(&fake, mood);
    run.server = fake.server.addr;
    run.form = &fake.form;
    run.connections = 3;
    run.verify = true;
    run.threads = run.threads != 0 ? run.threads : 1;
    run.pipeline = run.pipeline != 0 ? run.pipeline : 4;
    run.timeout_ns = run.timeout_ns != 0 ? run.timeout_ns : 240000000000u;
    assert_int_equal(pthread_barrier_init(&run.gate, NULL, run.threads + 1), 0);
    for (unsigned i = 0; i < run.threads; i++)
        assert_true(respload_worker_start(&workers[i], &run, i, NULL));
    (void)pthread_barrier_wait(&run.gate);
    run.start_ns = clock_ns();
    (void)pthread_barrier_wait(&run.gate);
    for (unsigned i = 0; i < run.threads; i++) {
        respload_worker_join(&workers[i]);
        assert_true(workers[i].connected);
        add(&result, &workers[i]);
        respload_worker_release(&workers[i]);
    }
    (void)pthread_barrier_destroy(&run.gate);
    fake_stop(&fake);
    result.commands = fake.commands;
    result.sets = fake.sets;
    return result;
}

static void all_that_is_asked_is_answered(void **state)
{
    (void)state;
    struct result r = load(OBEYS, (struct respload_run){.operations = 500, .order = WORKLOAD_UNIFORM});
    assert_int_equal(r.counts.right[RESPLOAD_READ], 500);
    assert_int_equal(r.commands, 500);
    assert_int_equal(r.measured, 500);
    assert_string_equal(r.trouble, "");
    r = load(OBEYS, (struct respload_run){.operations = 500, .rounds = true, .threads = 2});
    assert_int_equal(r.counts.right[RESPLOAD_READ], 500);
    r = load(OBEYS,
             (struct respload_run){.operations = 400, .operation = RESPLOAD_MIXED, .read_percent = 50});
    assert_int_equal(r.counts.right[RESPLOAD_READ] + r.counts.right[RESPLOAD_WRITE], 400);
    assert_int_equal(r.sets, r.counts.right[RESPLOAD_WRITE]);
    assert_in_range(r.sets, 100, 300);
}

static void loading_sets_each_key_once(void **state)
{
    (void)state;
    struct result r = load(OBEYS, (struct respload_run){.operation = RESPLOAD_LOAD, .threads = 3});
    assert_int_equal(r.counts.right[RESPLOAD_WRITE], KEYS);
    assert_int_equal(r.sets, KEYS);
}

static void replies_may_come_in_pieces(void **state)
{
    (void)state;
    struct result r = load(IN_PIECES, (struct respload_run){.operations = 60});
    assert_int_equal(r.counts.right[RESPLOAD_READ], 60);
    assert_string_equal(r.trouble, "");
}

// Each command of the schedule is sent once; those of the warm-up are not counted.
static void an_open_loop_sends_what_is_due(void **state)
{
    (void)state;
    struct respload_run run = {.rate = 1000, .duration_ns = 300000000, .warm_up_ns = 100000000, .threads = 2};
    struct result r = load(OBEYS, run);
    assert_int_equal(r.commands, 400);
    assert_int_equal(r.counts.right[RESPLOAD_READ], 300);
    assert_int_equal(r.measured, 300);
    assert_int_equal(r.counts.lost + r.counts.unsent, 0);
}

static void bad_answers_are_counted_as_what_they_are(void **state)
{
    (void)state;
    struct respload_run run = {.operations = 100};
    struct result r = load(NO_KEYS, run);
    assert_int_equal(r.counts.missing, 100);
    assert_int_equal(r.measured, 0);
    r = load(WRONG_VALUES, run);
    assert_int_equal(r.counts.wrong, 100);
    assert_non_null(strstr(r.trouble, "wrong answer: key number "));
    r = load(WRONG_KIND, run);
    assert_int_equal(r.counts.wrong, 100);
    r = load(ERRORS, run);
    assert_int_equal(r.counts.failed, 100);
    assert_string_equal(r.trouble, "the server answers: LOADING wait");
}

// When the last connection has ended so does the run: closed loop, what was under way is lost.
static void ends_of_connections_end_the_run(void **state)
{
    (void)state;
    struct respload_run run = {.operations = 100, .pipeline = 2};
    struct result r = load(CLOSES, run);
    assert_int_equal(r.counts.connections_lost, 3);
    assert_int_equal(r.counts.lost, 6);
    r = load(GARBAGE, run);
    assert_int_equal(r.counts.connections_lost, 3);
    assert_string_equal(r.trouble, "connection: a reply that is none");
    run.operation = RESPLOAD_SET;
    run.pipeline = 1;
    r = load(TALKS, run);
    assert_int_equal(r.counts.connections_lost, 3);
    assert_string_equal(r.trouble, "connection: a reply without a command");
}

// Open loop: of 100 that were due, none is forgotten.
static void a_dead_server_costs_the_rest_of_the_schedule(void **state)
{
    (void)state;
    struct result r = load(CLOSES, (struct respload_run){.rate = 1000, .duration_ns = 100000000});
    assert_int_equal(r.counts.lost + r.counts.unsent, 100);
}

static void silence_is_given_up(void **state)
{
    (void)state;
    struct respload_run run = {.rate = 1000, .duration_ns = 100000000, .timeout_ns = 2000000000};
    struct result r = load(SILENT, run);
    assert_int_equal(r.counts.lost, 12);
    assert_int_equal(r.counts.unsent, 88);
    assert_string_equal(r.trouble, "no answer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_those_of_redis_benchmark),
        cmocka_unit_test(names_of_the_store_and_empty_values),
        cmocka_unit_test(work_is_dealt_out_to_the_last_piece),
        cmocka_unit_test(what_is_due_is_not_slept_on),
        cmocka_unit_test(options_that_do_not_fit_are_refused),
        cmocka_unit_test(all_that_is_asked_is_answered),
        cmocka_unit_test(loading_sets_each_key_once),
        cmocka_unit_test(replies_may_come_in_pieces),
        cmocka_unit_test(an_open_loop_sends_what_is_due),
        cmocka_unit_test(bad_answers_are_counted_as_what_they_are),
        cmocka_unit_test(ends_of_connections_end_the_run),
        cmocka_unit_test(a_dead_server_costs_the_rest_of_the_schedule),
        cmocka_unit_test(silence_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
