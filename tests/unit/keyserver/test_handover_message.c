#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keyserver/handover_socket.h"

static const struct handover_message offer = {
    .say = HANDOVER_OFFER,
    .version = "0.1.0",
    .watchdog_us = 30000000,
    .sockets = {{.name = "ski", .addr = "127.0.0.1:8443"},
                {.name = "control", .addr = "unix:/a \"b\".sock", .keeps_file = true}},
    .count = 2,
};

// What is written is read.
static void messages_go_there_and_back(void **state)
{
    (void)state;
    const struct handover_message messages[] = {
        {.say = HANDOVER_ASK, .version = "0.1.0"}, offer, {.say = HANDOVER_GO}, {.say = HANDOVER_DONE}};
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        char line[HANDOVER_LINE_MAX], again[HANDOVER_LINE_MAX];
        struct handover_message back;
        struct error e;
        size_t len = handover_format(&messages[i], line);
        assert_true(len > 0 && line[len - 1] == '\n');
        assert_true(handover_parse(line, len - 1, &back, &e));
        assert_int_equal(handover_format(&back, again), len);
        assert_memory_equal(again, line, len);
    }
}

// What is none of them is refused, and the reason says what was found.
static void other_lines_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "nonsense",
        "[]",
        "{\"say\":\"go\"}",
        "{\"handover\":\"1\",\"say\":\"go\"}",
        "{\"handover\":2,\"say\":\"go\"}",
        "{\"handover\":1,\"say\":\"stop\"}",
        "{\"handover\":1,\"say\":\"go\",\"say\":\"go\"}",
        "{\"handover\":1,\"say\":\"ask\"}",
        "{\"handover\":1,\"say\":\"ask\",\"version\":\"a\\nb\"}",
        "{\"handover\":1,\"say\":\"offer\",\"version\":\"1\",\"watchdog_us\":-1,\"sockets\":[]}",
        "{\"handover\":1,\"say\":\"offer\",\"version\":\"1\",\"watchdog_us\":0}",
        "{\"handover\":1,\"say\":\"offer\",\"version\":\"1\",\"watchdog_us\":0,\"sockets\":[{\"name\":\"\","
        "\"addr\":\"a\"}]}",
        "{\"handover\":1,\"say\":\"offer\",\"version\":\"1\",\"watchdog_us\":0,\"sockets\":[1,2,3,4,5,6,7,8,"
        "9]}",
        "{\"handover\":1,\"say\":\"offer\",\"version\":\"1\",\"watchdog_us\":0,\"sockets\":[{\"name\":\"a-"
        "name-of-more-than-it-may\",\"addr\":\"\"}]}",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct handover_message message;
        struct error e = {{0}};
        assert_false(handover_parse(lines[i], strlen(lines[i]), &message, &e));
        assert_non_null(strstr(e.text, "hand-over: found"));
    }
}

// Descriptors arrive with the line, as many as it says, and are closed on exec.
static void descriptors_come_with_the_line(void **state)
{
    (void)state;
    int pair[2], got[HANDOVER_SOCKETS];
    struct handover_message message;
    struct error e;
    bool ended = true;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_true(handover_send(pair[0], &offer, (const int[]){pair[0], pair[1]}, &e));
    assert_true(handover_receive(pair[1], &message, got, &ended, &e));
    assert_false(ended);
    assert_int_equal(message.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_true((fcntl(got[i], F_GETFD) & FD_CLOEXEC) != 0);
        assert_int_equal(close(got[i]), 0);
    }
    // Fewer or more than it says: refused, and none is left open.
    assert_true(handover_send(pair[0], &offer, NULL, &e));
    assert_false(handover_receive(pair[1], &message, got, &ended, &e));
    assert_non_null(strstr(e.text, "found 0 descriptors, expected 2"));
    int next = dup(0);
    (void)close(next);
    assert_true(handover_send(pair[0], &offer, (const int[]){pair[0], pair[1]}, &e));
    assert_false(handover_receive(pair[1], &message, NULL, &ended, &e));
    int after = dup(0);
    assert_int_equal(after, next);
    (void)close(after);
    // The end.
    (void)close(pair[0]);
    assert_false(handover_receive(pair[1], &message, NULL, &ended, &e));
    assert_true(ended);
    (void)close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_go_there_and_back),
        cmocka_unit_test(other_lines_are_refused),
        cmocka_unit_test(descriptors_come_with_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
