// The program rescale, run as people and scripts run it, against a scaleupd that says what the test says.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "rescale_kit.h"
#include "tests/unit/common/test_dir.h"

#define LEASE_MS 600000
#define ARGS_MAX 24

static struct kit_server server;

static int set_up(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)test_dir_create();
    kit_listen(&server, test_dir_path("sock"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kit_stop(&server);
    test_dir_remove();
    return 0;
}

// A run of the program; its output goes to files, or through a terminal.
struct run {
    pid_t pid;
    int terminal; // -1: none
    char out[8192], errors[8192];
    int status;
};

static struct run start(bool terminal, const char *const *args)
{
    struct run run = {.terminal = -1};
    const char *argv[ARGS_MAX] = {"rescale"};
    for (size_t i = 0; args[i] != NULL; i++) {
        assert_true(i < ARGS_MAX - 2);
        argv[i + 1] = args[i];
    }
    char out[256], errors[256];
    (void)snprintf(out, sizeof out, "%s", test_dir_path("out"));
    (void)snprintf(errors, sizeof errors, "%s", test_dir_path("errors"));
    run.pid = terminal ? forkpty(&run.terminal, NULL, NULL, NULL) : fork();
    assert_true(run.pid >= 0);
    if (run.pid == 0) {
        if (!terminal && (freopen(out, "w", stdout) == NULL || freopen(errors, "w", stderr) == NULL))
            _exit(99);
        (void)execv(RESCALE_PROGRAM, (char *const *)argv);
        _exit(98);
    }
    return run;
}

static struct run start_it(const char *first, ...)
{
    const char *args[ARGS_MAX] = {"--connect", server.address, first};
    va_list list;
    va_start(list, first);
    for (size_t i = 3; i < ARGS_MAX && (args[i] = va_arg(list, const char *)) != NULL; i++)
        ;
    va_end(list);
    return start(false, args);
}

static void read_terminal(struct run *run)
{
    size_t len = 0;
    ssize_t n;
    while (len < sizeof run->out - 1 &&
           (n = read(run->terminal, run->out + len, sizeof run->out - 1 - len)) > 0)
        len += (size_t)n;
    (void)close(run->terminal);
}

static void finish(struct run *run)
{
    if (run->terminal >= 0)
        read_terminal(run);
    assert_int_equal(waitpid(run->pid, &run->status, 0), run->pid);
    assert_true(WIFEXITED(run->status));
    run->status = WEXITSTATUS(run->status);
    if (run->terminal >= 0)
        return;
    char *out = test_read_file(test_dir_path("out"), NULL),
         *errors = test_read_file(test_dir_path("errors"), NULL);
    assert_true(out != NULL && errors != NULL);
    (void)snprintf(run->out, sizeof run->out, "%s", out);
    (void)snprintf(run->errors, sizeof run->errors, "%s", errors);
    free(out);
    free(errors);
}

static struct message serve_request(void)
{
    struct message hello = kit_welcome(&server, LEASE_MS);
    assert_int_equal(hello.role, ROLE_OPERATOR);
    return kit_expect(&server, MESSAGE_RESCALE);
}

static void respond(const char *id, const char *rest)
{
    kit_say(&server, "{\"type\":\"response\",\"id\":\"%s\",%s,\"granularity\":2097152}", id, rest);
}

// ---- changing

static void a_raise(void **state)
{
    (void)state;
    struct run run = start_it("--vnf", "ks1", "--target", "1gb", "--min", "512mb", "--deadline", "100s",
                              "--priority", "7", "--reason", "maintenance of ks2", NULL);
    struct message m = serve_request();
    assert_string_equal(m.vnf, "ks1");
    assert_true(m.target_bytes == (uint64_t)1 << 30 && m.has_min && m.min_bytes == (uint64_t)1 << 29);
    assert_true(m.deadline_ms > 0 && m.deadline_ms <= 100000 && m.has_priority && m.priority == 7);
    assert_string_equal(m.reason, "maintenance of ks2");
    respond(m.id, "\"state\":\"progress\",\"final\":false,\"granted_bytes\":536870912");
    respond(m.id, "\"state\":\"done\",\"final\":true,\"granted_bytes\":1073741824");
    finish(&run);
    assert_int_equal(run.status, 0);
    assert_string_equal(run.out, "ks1: done: 1gb granted\n");
    assert_string_equal(run.errors, "");
}

// Down to nothing is a target; interim answers are for terminals.
static void on_a_terminal(void **state)
{
    (void)state;
    const char *const args[] = {"--connect", server.address, "--vnf", "ks1", "--target", "0", NULL};
    struct run run = start(true, args);
    struct message m = serve_request();
    assert_int_equal(m.target_bytes, 0);
    respond(m.id, "\"state\":\"accepted\",\"final\":false,\"granted_bytes\":1073741824");
    respond(m.id, "\"state\":\"progress\",\"final\":false,\"granted_bytes\":536870912");
    respond(m.id, "\"state\":\"done\",\"final\":true,\"granted_bytes\":134217728");
    finish(&run);
    assert_int_equal(run.status, 0);
    assert_string_equal(
        run.out,
        "ks1: accepted: 1gb granted\r\nks1: progress: 512mb granted\r\nks1: done: 128mb granted\r\n");
}

// Everything but done is status 1, with what was granted.
static void anything_but_done(void **state)
{
    (void)state;
    static const struct {
        const char *rest, *out;
    } cases[] = {
        {"\"state\":\"partial\",\"final\":true,\"granted_bytes\":536870912", "ks1: partial: 512mb granted\n"},
        {"\"state\":\"deferred\",\"final\":true,\"granted_bytes\":268435456,\"retry_ms\":1500,\"detail\":"
         "\"pool is empty\"",
         "ks1: deferred: 256mb granted, ask again in 1.5s (pool is empty)\n"},
        {"\"state\":\"infeasible\",\"final\":true,\"granted_bytes\":0", "ks1: infeasible: 0b granted\n"},
        {"\"state\":\"denied\",\"final\":true,\"granted_bytes\":0", "ks1: denied: 0b granted\n"},
        {"\"state\":\"error\",\"final\":true,\"granted_bytes\":0,\"detail\":\"unknown VNF\"",
         "ks1: error: 0b granted (unknown VNF)\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct run run = start_it("--vnf", "ks1", "--target", "1gb", NULL);
        respond(serve_request().id, cases[i].rest);
        finish(&run);
        assert_int_equal(run.status, 1);
        assert_string_equal(run.out, cases[i].out);
    }
}

static void as_json(void **state)
{
    (void)state;
    struct run run = start_it("--vnf", "ks1", "--target", "1gb", "--json", NULL);
    struct message m = serve_request();
    respond(m.id, "\"state\":\"accepted\",\"final\":false,\"granted_bytes\":1");
    respond(m.id, "\"state\":\"partial\",\"final\":true,\"granted_bytes\":536870912,\"retry_ms\":7,"
                  "\"detail\":\"caf\xc3\xa9\"");
    finish(&run);
    assert_int_equal(run.status, 1);
    char expected[512];
    (void)snprintf(
        expected, sizeof expected,
        "{\"vnf\":\"ks1\",\"id\":\"%s\",\"state\":\"partial\",\"final\":true,\"granted_bytes\":536870912,"
        "\"granularity\":2097152,\"retry_ms\":7,\"detail\":\"caf\xc3\xa9\"}\n",
        m.id);
    assert_string_equal(run.out, expected);
}

// The server goes away in the middle and comes back: the program does not mind.
static void over_a_broken_connection(void **state)
{
    (void)state;
    struct run run = start_it("--vnf", "ks1", "--target", "1gb", NULL);
    struct message first = serve_request();
    kit_hang_up(&server);
    struct message again = serve_request();
    assert_string_equal(first.id, again.id);
    respond(again.id, "\"state\":\"done\",\"final\":true,\"granted_bytes\":1073741824");
    finish(&run);
    assert_int_equal(run.status, 0);
}

// ---- status

static const char two_vnfs[] = "{\"type\":\"status\",\"pool_bytes\":8589934592,\"free_bytes\":1073741824,"
                               "\"granularity\":2097152,\"vnfs\":["
                               "{\"vnf\":\"ks1\",\"backend\":\"cgroup\",\"connected\":true,\"granted_bytes\":"
                               "1073741824,\"actual_bytes\":1073741824,"
                               "\"used_bytes\":536870912,\"min_bytes\":134217728,\"max_bytes\":4294967296,"
                               "\"priority\":5,\"overdue\":0,\"change\":\"none\","
                               "\"target_bytes\":0},"
                               "{\"vnf\":\"a-longer-name\",\"backend\":\"simulated\",\"connected\":false,"
                               "\"granted_bytes\":0,\"actual_bytes\":0,\"used_bytes\":0,"
                               "\"min_bytes\":0,\"max_bytes\":0,\"priority\":9,\"overdue\":12,\"change\":"
                               "\"return\",\"target_bytes\":2097152,"
                               "\"detail\":\"waits for the guest\"}]}";

static void a_table(void **state)
{
    (void)state;
    struct run run = start_it("--status", NULL);
    (void)kit_welcome(&server, LEASE_MS);
    assert_string_equal(kit_expect(&server, MESSAGE_STATUS_ASK).vnf, "");
    kit_say(&server, "%s", two_vnfs);
    finish(&run);
    assert_int_equal(run.status, 0);
    assert_string_equal(run.out, "pool 8gb, free 1gb, granularity 2mb\n"
                                 "VNF            BACKEND    CONNECTED   GRANTED    ACTUAL      USED       "
                                 "MIN       MAX PRIORITY OVERDUE  CHANGE\n"
                                 "ks1            cgroup     yes             1gb       1gb     512mb     "
                                 "128mb       4gb        5       0  none\n"
                                 "a-longer-name  simulated  no               0b        0b        0b        "
                                 "0b        0b        9      12  return to 2mb "
                                 "(waits for the guest)\n");
}

static void status_as_json(void **state)
{
    (void)state;
    struct run run = start_it("--status", "--vnf", "ks1", "--json", NULL);
    (void)kit_welcome(&server, LEASE_MS);
    assert_string_equal(kit_expect(&server, MESSAGE_STATUS_ASK).vnf, "ks1");
    kit_say(&server, "%s", two_vnfs);
    finish(&run);
    assert_int_equal(run.status, 0);
    json_t *object = json_loads(run.out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(object, "pool_bytes")), 8589934592);
    assert_int_equal(json_array_size(json_object_get(object, "vnfs")), 2);
    json_decref(object);
}

// ---- what goes wrong

static void nobody_there(void **state)
{
    (void)state;
    kit_stop(&server);
    struct run run = start_it("--status", NULL);
    finish(&run);
    assert_int_equal(run.status, 1);
    assert_memory_equal(run.errors, "rescale: unix:", 14);
    assert_non_null(strstr(run.errors, ": connect: "));
    assert_string_equal(run.out, "");
}

static void not_wanted(void **state)
{
    (void)state;
    struct run run = start_it("--vnf", "ks1", "--target", "1gb", NULL);
    kit_accept(&server);
    (void)kit_expect(&server, MESSAGE_HELLO);
    kit_say(&server, "{\"type\":\"error\",\"code\":\"denied\",\"detail\":\"user 1000 is no operator\"}");
    finish(&run);
    assert_int_equal(run.status, 1);
    assert_string_equal(run.errors, "rescale: denied: user 1000 is no operator\n");
}

static void no_status_in_time(void **state)
{
    (void)state;
    struct run run = start_it("--status", "--timeout", "10ms", NULL);
    (void)kit_welcome(&server, LEASE_MS);
    finish(&run);
    assert_int_equal(run.status, 1);
    assert_string_equal(run.errors, "rescale: status: no answer in time\n");
}

static void wrong_usage(void **state)
{
    (void)state;
    const char *const cases[][12] = {
        {"--status"},
        {"--connect", "unix:/x"},
        {"--connect", "unix:/x", "--vnf", "ks1"},
        {"--connect", "unix:/x", "--target", "1gb"},
        {"--connect", "unix:/x", "--vnf", "a b", "--target", "1gb"},
        {"--connect", "unix:/x", "--vnf", "ks1", "--target", "much"},
        {"--connect", "unix:/x", "--vnf", "ks1", "--target", "16000000tb"},
        {"--connect", "unix:/x", "--vnf", "ks1", "--target", "1gb", "--status"},
        {"--connect", "unix:/x", "--vnf", "ks1", "--target", "1gb", "--priority", "10"},
        {"--connect", "unix:/x", "--vnf", "ks1", "--target", "1gb", "--deadline", "0"},
        {"--connect", "unix:/x", "--status", "--cert", "x"},
        {"--connect", "localhost:1", "--status"},
        {"--connect", "localhost:1", "--status", "--cert", "x", "--key", "x"},
        {"--connect", "unix:/x", "--status", "ks1"},
        {"--connect", "unix:/x", "--state"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct run run = start(false, cases[i]);
        finish(&run);
        assert_int_equal(run.status, 2);
        assert_memory_equal(run.errors, "rescale: ", 9);
        assert_string_equal(run.out, "");
    }
    const char *const help[] = {"--help", NULL};
    struct run run = start(false, help);
    finish(&run);
    assert_int_equal(run.status, 0);
    assert_non_null(strstr(run.out, "--deadline TIME"));
    // Files that are not there are no wrong usage.
    const char *const missing[] = {"--connect", "localhost:1", "--status", "--cert", "/x",
                                   "--key",     "/x",          "--ca",     "/x",     NULL};
    run = start(false, missing);
    finish(&run);
    assert_int_equal(run.status, 1);
    assert_memory_equal(run.errors, "rescale: /x: ", 13);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_raise),
        TEST(on_a_terminal),
        TEST(anything_but_done),
        TEST(as_json),
        TEST(over_a_broken_connection),
        TEST(a_table),
        TEST(status_as_json),
        TEST(nobody_there),
        TEST(not_wanted),
        TEST(no_status_in_time),
        TEST(wrong_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
