// VNFs that come and change while the broker runs: what would break an invariant is refused, and nothing has changed then. And what an earlier life has left.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/broker.h"

#define MIB (1ull << 20)

static struct broker *broker;
static uint64_t now;
static struct message last;
static struct {
    size_t vnf;
    uint64_t id, bytes;
} told;
static struct error why;

static void on_send(void *arg, uint64_t session, const struct message *message)
{
    (void)arg;
    (void)session;
    last = *message;
    last.vnfs = NULL;
}
static void on_close(void *arg, uint64_t session)
{
    (void)arg;
    (void)session;
}
static void on_apply(void *arg, size_t vnf, uint64_t change_id, uint64_t bytes)
{
    (void)arg;
    told.vnf = vnf;
    told.id = change_id;
    told.bytes = bytes;
}
static bool on_record(void *arg, const struct book *book)
{
    (void)arg;
    (void)book;
    return true;
}
static void on_log(void *arg, bool warning, const char *event, const char *text)
{
    (void)arg, (void)warning, (void)event, (void)text;
}

static struct broker_vnf vnf(const char *name, uint64_t min, uint64_t max)
{
    struct broker_vnf v = {.backend = "simulated", .min_bytes = min, .max_bytes = max, .priority = 5};
    (void)snprintf(v.name, sizeof v.name, "%s", name);
    return v;
}

static void begin(const struct broker_vnf *vnfs, size_t count, const struct book *book)
{
    const struct broker_options options = {.pool_bytes = 1024 * MIB,
                                           .granularity = 2 * MIB,
                                           .lease_ms = 10000,
                                           .deadline_ms = 30000,
                                           .vnfs = vnfs,
                                           .vnf_count = count};
    const struct broker_effects effects = {
        .send = on_send, .close = on_close, .apply = on_apply, .record = on_record, .log = on_log};
    now = 1000;
    memset(&told, 0, sizeof told);
    broker = broker_create(&options, &effects, book, now, &why);
    assert_non_null(broker);
}

// What the back-end was told last is done.
static void deliver(void)
{
    const struct backend_report report = {
        .change_id = told.id, .outcome = BACKEND_DONE, .actual_bytes = told.bytes, .detail = ""};
    broker_report(broker, told.vnf, &report, ++now);
    assert_null(broker_check(broker));
}

static void hello(uint64_t session, const char *name)
{
    struct message m = {.type = MESSAGE_HELLO, .version = 1, .role = ROLE_VNF};
    (void)snprintf(m.vnf, sizeof m.vnf, "%s", name);
    broker_hello(broker, session, &m, ++now);
    assert_int_equal(last.type, MESSAGE_WELCOME);
}

static void ask(uint64_t session, const char *id, uint64_t target)
{
    struct message m = {.type = MESSAGE_RESCALE, .target_bytes = target};
    (void)snprintf(m.id, sizeof m.id, "%s", id);
    broker_message(broker, session, &m, ++now);
}

static bool set(struct broker_vnf v, size_t *index)
{
    bool good = broker_set_vnf(broker, &v, ++now, index, &why);
    assert_null(broker_check(broker));
    return good;
}

static void one_more(void **state)
{
    const struct broker_vnf first = vnf("a", 64 * MIB, 0);
    size_t index;
    (void)state;
    begin(&first, 1, NULL);
    (void)broker_tick(broker, now);
    deliver();
    assert_true(set(vnf("b", 100 * MIB, 200 * MIB), &index));
    assert_int_equal(index, 1);
    assert_int_equal(told.vnf, 1); // its minimum, before anybody asks
    assert_int_equal(told.bytes, 100 * MIB);
    deliver();
    hello(7, "b");
    assert_int_equal(last.granted_bytes, 100 * MIB);
    ask(7, "1", 500 * MIB);
    assert_int_equal(told.bytes, 200 * MIB);
    deliver();
    assert_int_equal(last.state, STATE_PARTIAL); // cut to its maximum
    broker_destroy(&broker);
}

static void other_bounds(void **state)
{
    const struct broker_vnf both[] = {vnf("a", 64 * MIB, 128 * MIB), vnf("b", 64 * MIB, 0)};
    size_t index;
    (void)state;
    begin(both, 2, NULL);
    (void)broker_tick(broker, now);
    for (size_t i = 0; i < 2; i++) {
        const struct backend_report report = {
            .outcome = BACKEND_CHANGED, .actual_bytes = 64 * MIB, .detail = ""};
        told.vnf = i;
        broker_report(broker, i, &report, ++now);
    }
    assert_true(set(vnf("a", 32 * MIB, 512 * MIB), &index));
    assert_int_equal(index, 0);
    struct message status;
    assert_true(broker_status(broker, "a", &status));
    assert_int_equal(status.vnfs[0].min_bytes, 32 * MIB);
    assert_int_equal(status.vnfs[0].max_bytes, 512 * MIB);
    message_release(&status);
    broker_destroy(&broker);
}

static void refused(void **state)
{
    const struct broker_vnf first = vnf("a", 512 * MIB, 0);
    struct broker_vnf other = vnf("a", 64 * MIB, 0);
    size_t index = 99;
    (void)state;
    begin(&first, 1, NULL);
    (void)broker_tick(broker, now);
    deliver();
    assert_false(set(vnf("b", 514 * MIB, 0), &index)); // minimums beyond the pool
    assert_non_null(strstr(why.text, "minimum"));
    assert_false(set(vnf("a", 1026 * MIB, 0), &index));
    assert_false(set(vnf("b", 3 * MIB, 3 * MIB), &index)); // no multiple of the granularity
    (void)snprintf(other.backend, sizeof other.backend, "cgroup");
    assert_false(set(other, &index));
    assert_int_equal(index, 99);
    hello(7, "a");
    ask(7, "1", 1000 * MIB);
    deliver();
    assert_int_equal(last.granted_bytes, 1000 * MIB);
    assert_false(
        set(vnf("b", 64 * MIB, 0), &index)); // what another one has is not free for a new one's minimum
    assert_non_null(strstr(why.text, "free"));
    assert_true(set(vnf("b", 24 * MIB, 0), &index));
    broker_destroy(&broker);
}

// One that only the book knows: the configuration brings it back with what it has.
static void adopted(void **state)
{
    const struct broker_vnf first = vnf("a", 64 * MIB, 0);
    struct book_vnf entries[] = {{.name = "x", .granted_bytes = 100 * MIB, .committed_bytes = 100 * MIB},
                                 {.name = "y", .granted_bytes = 200 * MIB, .committed_bytes = 200 * MIB}};
    const struct book book = {.pool_bytes = 1024 * MIB, .granularity = 2 * MIB, .vnfs = entries, .count = 2};
    size_t index;
    struct message status;
    (void)state;
    begin(&first, 1, &book);
    assert_true(set(vnf("y", 64 * MIB, 0), &index));
    assert_int_equal(index, 1);
    assert_true(set(vnf("new", 0, 0), &index));
    assert_int_equal(index, 2);
    assert_true(broker_status(broker, NULL, &status));
    assert_int_equal(status.vnf_count, 4);
    assert_string_equal(status.vnfs[1].vnf, "y");
    assert_int_equal(status.vnfs[1].granted_bytes, 200 * MIB);
    assert_string_equal(status.vnfs[3].vnf, "x"); // still nobody's
    assert_int_equal(status.vnfs[3].granted_bytes, 100 * MIB);
    message_release(&status);
    hello(7, "y");
    assert_int_equal(last.granted_bytes, 200 * MIB);
    broker_destroy(&broker);
}

// Killed in the middle of a raise; its id is asked for again, and once more when it has ended: it used to be remembered twice, first as deferred.
static void id_of_an_earlier_life(void **state)
{
    const struct broker_vnf first = vnf("a", 0, 0);
    struct book_vnf entry = {.name = "a",
                             .granted_bytes = 64 * MIB,
                             .committed_bytes = 512 * MIB,
                             .pending = {.id = "7", .target_bytes = 512 * MIB}};
    const struct book book = {.pool_bytes = 1024 * MIB, .granularity = 2 * MIB, .vnfs = &entry, .count = 1};
    const struct backend_report truth = {.outcome = BACKEND_CHANGED, .actual_bytes = 64 * MIB, .detail = ""};
    (void)state;
    begin(&first, 1, &book);
    broker_report(broker, 0, &truth, ++now);
    hello(7, "a");
    ask(7, "7", 512 * MIB);
    deliver();
    assert_int_equal(last.state, STATE_DONE);
    ask(7, "7", 512 * MIB);
    assert_int_equal(last.type, MESSAGE_RESPONSE);
    assert_int_equal(last.state, STATE_DONE);
    assert_int_equal(last.granted_bytes, 512 * MIB);
    broker_destroy(&broker);
}

// An operator raises a VNF of which nothing has been heard: it keeps that for a lease, and not for the blink of an eye.
static void operators_raise_begins_a_lease(void **state)
{
    const struct broker_vnf first = vnf("a", 0, 0);
    struct message m = {.type = MESSAGE_HELLO, .version = 1, .role = ROLE_OPERATOR};
    (void)state;
    begin(&first, 1, NULL);
    (void)broker_tick(broker, now);
    deliver();
    broker_hello(broker, 9, &m, ++now);
    m = (struct message){.type = MESSAGE_RESCALE, .id = "op", .vnf = "a", .target_bytes = 100 * MIB};
    broker_message(broker, 9, &m, ++now);
    deliver();
    assert_int_equal(last.state, STATE_DONE);
    uint64_t raised = now;
    (void)broker_tick(broker, raised + 9000);
    assert_int_equal(told.bytes, 100 * MIB);
    (void)broker_tick(broker, raised + 10000); // it has lapsed, and ends a tenth later
    (void)broker_tick(broker, raised + 11000);
    assert_int_equal(told.bytes, 0);
    broker_destroy(&broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_more),
        cmocka_unit_test(other_bounds),
        cmocka_unit_test(refused),
        cmocka_unit_test(adopted),
        cmocka_unit_test(id_of_an_earlier_life),
        cmocka_unit_test(operators_raise_begins_a_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
