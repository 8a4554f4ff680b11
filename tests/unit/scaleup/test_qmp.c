// QMP's lines, and the client by itself: commands with ids, what ends a connection, and trying again. The rest is seen through test_backend_qmp.c.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend_kit.h"
#include "fake_qemu.h"
#include "scaleup/qmp.h"
#include "scaleup/qmp_message.h"
#include "tests/unit/common/test_dir.h"

static bool parse(const char *line, struct qmp_message *m)
{
    struct error e = {""};
    bool good = qmp_message_parse(line, strlen(line), m, &e);
    assert_true(good || e.text[0]);
    return good;
}

// The lines that a QEMU 7.2 was seen to send.
static void lines_are_understood(void **state)
{
    (void)state;
    struct qmp_message m;
    assert_true(parse("{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "
                      "\"package\": \"x\"}, "
                      "\"capabilities\": [\"oob\"]}}",
                      &m));
    assert_int_equal(m.kind, QMP_GREETING);
    assert_true(parse("{\"return\": {}, \"id\": 17}\r", &m));
    assert_int_equal(m.kind, QMP_RETURN);
    assert_int_equal(m.id, 17);
    assert_true(json_is_object(m.value));
    qmp_message_release(&m);
    assert_true(parse("{\"return\": 0}", &m));
    assert_int_equal(m.id, 0);
    assert_int_equal(json_integer_value(m.value), 0);
    qmp_message_release(&m);
    assert_true(parse(
        "{\"id\": 3, \"error\": {\"class\": \"GenericError\", \"desc\": \"'requested-size'\\n \\u00e4\"}}",
        &m));
    assert_int_equal(m.kind, QMP_ERROR);
    assert_int_equal(m.id, 3);
    assert_string_equal(m.name, "GenericError");
    assert_string_equal(m.text, "'requested-size'? ??");
    assert_true(
        parse("{\"event\":\"MEMORY_DEVICE_SIZE_CHANGE\",\"data\":{\"id\":\"vm0\",\"size\":1073741824},"
              "\"timestamp\":{\"seconds\":1588168529,\"microseconds\":201316}}",
              &m));
    assert_int_equal(m.kind, QMP_EVENT);
    assert_string_equal(m.name, "MEMORY_DEVICE_SIZE_CHANGE");
    assert_int_equal(json_integer_value(json_object_get(m.value, "size")), 1073741824);
    qmp_message_release(&m);
    assert_true(parse("{\"event\":\"STOP\"}", &m));
    assert_null(m.value);
}

static void other_lines_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "\r",
                                      "17",
                                      "[]",
                                      "{}",
                                      "{\"return\": {}",
                                      "{\"return\": {}} x",
                                      "{\"return\": {}, \"return\": 1}",
                                      "{\"return\": {}, \"id\": \"r1\"}",
                                      "{\"return\": {}, \"id\": -1}",
                                      "{\"return\": {}, \"id\": 99999999999999999999}",
                                      "{\"error\": {}}",
                                      "{\"error\": {\"class\": \"x\"}}",
                                      "{\"error\": 3}",
                                      "{\"event\": 3}",
                                      "{\"QMP\": 3}",
                                      "{\"return\": \"\xff\"}"};
    struct qmp_message m;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (parse(bad[i], &m))
            fail_msg("accepted: %s", bad[i]);
}

static void commands_are_written(void **state)
{
    (void)state;
    size_t len;
    char *line = qmp_command_format("qmp_capabilities", NULL, 1, &len);
    assert_string_equal(line, "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
    assert_int_equal(len, strlen(line));
    free(line);
    line = qmp_command_format("qom-get", json_pack("{s:s}", "path", "v\"m"), 1ull << 52, &len);
    assert_string_equal(
        line, "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"v\\\"m\"},\"id\":4503599627370496}\n");
    free(line);
}

struct client {
    struct kit kit; // its loop
    struct fake_qemu vm;
    struct qmp *qmp;
    unsigned ready, lost, answers, errors;
    bool destroy;
};

static void on_state(void *arg, bool ready, const char *why)
{
    struct client *c = arg;
    c->ready += ready;
    c->lost += !ready;
    assert_true(ready || why[0]);
}

static void on_event(void *arg, const char *name, const json_t *data)
{
    (void)arg;
    (void)name;
    (void)data;
}

static void on_answer(void *arg, uint64_t token, const json_t *value, const char *error)
{
    struct client *c = arg;
    assert_int_equal(token, c->answers + c->errors);
    if (value)
        c->answers++;
    else
        c->errors++;
    assert_true(value || error[0]);
    if (c->destroy)
        qmp_destroy(&c->qmp);
}

static void open_client(struct client *c, const char *break_at, enum fake_break how)
{
    struct error e;
    memset(c, 0, sizeof *c);
    (void)test_dir_create();
    kit_begin(&c->kit);
    fake_init(&c->vm, c->kit.base, test_dir_path("qmp.sock"));
    c->vm.break_at = break_at;
    c->vm.how = how;
    fake_start(&c->vm);
    struct qmp_handlers handlers = {on_state, on_event, c};
    c->qmp = qmp_create(c->kit.base, c->vm.address, 20000, &handlers, &e);
    assert_non_null(c->qmp);
    assert_false(qmp_ready(c->qmp));
}

static void close_client(struct client *c)
{
    qmp_destroy(&c->qmp);
    fake_stop(&c->vm);
    event_free(c->vm.guest);
    event_base_free(c->kit.base);
    test_dir_remove();
}

static void wait_until(struct client *c, const unsigned *what, unsigned count)
{
    for (int i = 0; i < KIT_WAIT_S * 100 && *what < count; i++)
        kit_run(&c->kit, 10);
    assert_true(*what >= count);
}

// As many commands as may be outstanding, and no more; every one is answered, in order.
static void commands_are_bounded(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, NULL, FAKE_SOUND);
    assert_false(qmp_execute(c.qmp, "query-memory-devices", json_object(), on_answer, &c, 0));
    wait_until(&c, &c.ready, 1);
    for (unsigned i = 0; i < QMP_OUTSTANDING; i++)
        assert_true(qmp_execute(c.qmp, "query-memory-devices", NULL, on_answer, &c, i));
    assert_false(qmp_execute(c.qmp, "query-memory-devices", json_object(), on_answer, &c, 99));
    wait_until(&c, &c.answers, QMP_OUTSTANDING);
    assert_int_equal(c.errors, 0);
    close_client(&c);
}

// A connection that ends answers all that is outstanding with an error, and comes back.
static void what_is_outstanding_fails(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, "query-memory-devices", FAKE_DROP);
    wait_until(&c, &c.ready, 1);
    for (unsigned i = 0; i < 5; i++)
        assert_true(qmp_execute(c.qmp, "query-memory-devices", NULL, on_answer, &c, i));
    wait_until(&c, &c.errors, 5);
    wait_until(&c, &c.ready, 2);
    assert_int_equal(c.answers, 0);
    assert_int_equal(c.lost, 1);
    qmp_reconnect(c.qmp, "because");
    assert_int_equal(c.lost, 2);
    wait_until(&c, &c.ready, 3);
    close_client(&c);
}

// It may be destroyed by an answer, with others outstanding.
static void an_answer_may_destroy(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, NULL, FAKE_SOUND);
    wait_until(&c, &c.ready, 1);
    c.destroy = true;
    for (unsigned i = 0; i < 5; i++)
        assert_true(qmp_execute(c.qmp, "query-memory-devices", NULL, on_answer, &c, i));
    wait_until(&c, &c.answers, 1);
    kit_run(&c.kit, 50);
    assert_null(c.qmp);
    assert_int_equal(c.answers + c.errors, 1);
    close_client(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_understood),      cmocka_unit_test(other_lines_are_refused),
        cmocka_unit_test(commands_are_written),      cmocka_unit_test(commands_are_bounded),
        cmocka_unit_test(what_is_outstanding_fails), cmocka_unit_test(an_answer_may_destroy),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
