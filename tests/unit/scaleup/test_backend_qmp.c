// The QEMU back-end with virtio-mem against a fake QEMU: growing in steps, by event and by polling, partial, refused, broken in every way, gone and back. DIMMs: test_backend_dimm.c; a real
// QEMU: tests/e2e/qemu.sh.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend_kit.h"
#include "fake_qemu.h"
#include "tests/unit/common/test_dir.h"

#define MB (1024ull * 1024)

static struct kit kit;
static struct fake_qemu vm;

static int begin(void **state)
{
    (void)state;
    (void)test_dir_create();
    kit_begin(&kit);
    fake_init(&vm, kit.base, test_dir_path("qmp.sock"));
    return 0;
}

static int end(void **state)
{
    (void)state;
    fake_stop(&vm);
    event_free(vm.guest);
    kit_close(&kit);
    test_dir_remove();
    return 0;
}

// A VM and the back-end, connected; the first truth has been told.
static void open_vm(const char *more)
{
    char settings[1024];
    (void)snprintf(settings, sizeof settings, "address=%s %s%s%s%s", vm.address, more,
                   strstr(more, "poll=") ? "" : " poll=20ms", strstr(more, "stall=") ? "" : " stall=20s",
                   strstr(more, "timeout=") ? "" : " timeout=60s");
    fake_start(&vm);
    kit_make(&kit, &backend_qmp, 2 * MB, settings);
}

static void open_connected(const char *more)
{
    open_vm(more);
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, vm.base_bytes + vm.size);
}

static void settings_are_checked(void **state)
{
    (void)state;
    kit_refused(&backend_qmp, "", "address=");
    kit_refused(&backend_qmp, "address=nowhere", "nowhere");
    kit_refused(&backend_qmp, "address=unix:/x mode=balloon", "mode");
    kit_refused(&backend_qmp, "address=unix:/x device=0mem", "device");
    kit_refused(&backend_qmp, "address=unix:/x device=a/b", "device");
    kit_refused(&backend_qmp, "address=unix:/x poll=1ms", "poll");
    kit_refused(&backend_qmp, "address=unix:/x stall=100ms", "stall");
    kit_refused(&backend_qmp, "address=unix:/x mode=dimm dimm=1kb", "granularity");
    kit_refused(&backend_qmp, "address=unix:/x size=1gb", "unknown key");
}

// A raise and a return, step by step, told by events.
static void it_follows_events(void **state)
{
    (void)state;
    open_connected("poll=1h stall=2h");
    kit.class->set(kit.backend, 1, 1536 * MB);
    assert_int_equal(kit_expect(&kit, BACKEND_PROGRESS)->actual_bytes % (256 * MB), 0);
    const struct backend_report *r = kit_expect(&kit, BACKEND_DONE);
    assert_int_equal(r->actual_bytes, 1536 * MB);
    assert_int_equal(r->change_id, 1);
    assert_int_equal(vm.requested, 1024 * MB);
    r = kit_set(&kit, 512 * MB);
    assert_int_equal(r->outcome, BACKEND_DONE);
    assert_int_equal(vm.size, 0);
    assert_int_equal(kit_set(&kit, 512 * MB)->outcome, BACKEND_DONE); // nothing to do
    assert_int_equal(vm.qom_sets, 2);
}

// The same without events.
static void it_polls(void **state)
{
    (void)state;
    vm.events = false;
    open_connected("");
    assert_int_equal(kit_set(&kit, 1536 * MB)->outcome, BACKEND_DONE);
    assert_int_equal(kit_set(&kit, 768 * MB)->actual_bytes, 768 * MB);
}

// A guest that goes no further: partial, and the rest is called off, so that it does not come when nobody counts it.
static void a_stalled_guest_is_partial(void **state)
{
    (void)state;
    vm.stop_at = 768 * MB;
    open_connected("stall=1s");
    const struct backend_report *r = kit_set(&kit, 2048 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 1280 * MB);
    assert_true(r->detail[0] != '\0');
    assert_int_equal(vm.requested, 768 * MB);
    vm.stop_at = 512 * MB; // and downwards
    r = kit_set(&kit, 512 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 1024 * MB);
    assert_int_equal(vm.requested, 512 * MB);
    vm.step_bytes = 0; // not at all: no driver
    r = kit_set(&kit, 2048 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 1024 * MB);
    assert_int_equal(vm.requested, 512 * MB);
}

// As far as there is: above the device's maximum, below the base memory, between two blocks.
static void what_cannot_be_is_partial(void **state)
{
    (void)state;
    vm.max_bytes = 1024 * MB;
    open_connected("");
    const struct backend_report *r = kit_set(&kit, 4096 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 1536 * MB);
    assert_non_null(strstr(r->detail, "maximum"));
    r = kit_set(&kit, 128 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 512 * MB);
    assert_non_null(strstr(r->detail, "base memory"));
    r = kit_set(&kit, 601 * MB); // up: not more than was asked for
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 600 * MB);
    r = kit_set(&kit, 555 * MB); // down: not less
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 556 * MB);
}

// What QEMU refuses is refused, with its words.
static void an_error_is_refused(void **state)
{
    (void)state;
    vm.break_at = "qom-set";
    vm.how = FAKE_ERROR;
    open_connected("");
    const struct backend_report *r = kit_set(&kit, 1024 * MB);
    assert_int_equal(r->outcome, BACKEND_REFUSED);
    assert_int_equal(r->actual_bytes, 512 * MB);
    assert_string_equal(r->detail, "it is broken");
}

// Answers twice, to nobody, to what was not asked: the first with the right id counts.
static void odd_answers_do_no_harm(void **state)
{
    (void)state;
    static const char *const commands[] = {"qom-set", "qom-get", "query-memory-devices", "qmp_capabilities"};
    vm.how = FAKE_TWICE;
    vm.break_at = commands[3];
    open_connected("");
    for (uint64_t i = 0; i < 6; i++) {
        vm.break_at = commands[i % 3];
        vm.how = i < 3 ? FAKE_TWICE : FAKE_NO_ID;
        fake_say(&vm, "{\"return\": {}, \"id\": 123456}");
        fake_say(&vm, "{\"event\": \"NIC_RX_FILTER_CHANGED\"}");
        fake_say(&vm, "{\"event\": \"MEMORY_DEVICE_SIZE_CHANGE\", \"data\": {\"size\": 5}}");
        fake_say(&vm,
                 "{\"event\": \"MEMORY_DEVICE_SIZE_CHANGE\", \"data\": {\"id\": \"vmem1\", \"size\": 5}}");
        assert_int_equal(kit_set(&kit, (1024 + 2 * i) * MB)->outcome, BACKEND_DONE);
    }
    assert_int_equal(vm.connections, 1);
}

// A connection that breaks in the middle of a change ends it; the next connection tells the truth, and works.
static void a_broken_connection_ends_the_change(void **state)
{
    (void)state;
    static const enum fake_break ways[] = {FAKE_DROP, FAKE_GARBAGE, FAKE_ENDLESS};
    open_connected("");
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        for (int at = 0; at < 2; at++) {
            vm.break_at = at ? "qom-get" : "qom-set";
            vm.how = ways[i];
            vm.once = true;
            const struct backend_report *r = kit_set(&kit, (1024 + 256 * i + 128 * (unsigned)at) * MB);
            assert_int_equal(r->outcome, BACKEND_FAILED);
            assert_non_null(strstr(r->detail, "QMP: "));
            (void)kit_expect(&kit, BACKEND_CHANGED);
            assert_int_equal(kit_set(&kit, 512 * MB)->outcome, BACKEND_DONE);
        }
    }
    assert_int_equal(vm.connections, 7);
}

// A QEMU that says nothing: the change fails after the timeout, and it is tried again.
static void a_silent_qemu_fails(void **state)
{
    (void)state;
    open_connected("timeout=1s");
    vm.break_at = "qom-set";
    vm.how = FAKE_HANG;
    vm.once = true;
    const struct backend_report *r = kit_set(&kit, 1024 * MB);
    assert_int_equal(r->outcome, BACKEND_FAILED);
    assert_non_null(strstr(r->detail, "not answered"));
    (void)kit_expect(&kit, BACKEND_CHANGED);
    assert_int_equal(kit_set(&kit, 1024 * MB)->outcome, BACKEND_DONE);
}

// No greeting: somebody else has the one connection that QEMU takes.
static void no_greeting_is_not_there(void **state)
{
    (void)state;
    vm.no_greeting = true;
    open_vm("timeout=100ms");
    const struct backend_report *r = kit_set(&kit, 1024 * MB);
    assert_int_equal(r->outcome, BACKEND_REFUSED);
    assert_true(r->unknown); // it may well have memory
    kit_run(&kit, 300);
    vm.no_greeting = false;
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 512 * MB);
}

// Answers of another kind than they should be.
static void nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const commands[] = {"query-memory-size-summary", "query-memory-devices", "qom-get"};
    open_connected("");
    for (size_t i = 0; i < 3; i++) {
        vm.break_at = commands[i];
        vm.how = FAKE_NONSENSE;
        vm.once = true;
        const struct backend_report *r = kit_set(&kit, (1024 + i) * MB);
        assert_int_equal(r->outcome, i == 2 ? BACKEND_FAILED : BACKEND_REFUSED);
        assert_int_equal(r->unknown, i != 2);
        assert_non_null(strstr(r->detail, commands[i]));
    }
    vm.no_device = true;
    const struct backend_report *r = kit_set(&kit, 1024 * MB);
    assert_int_equal(r->outcome, BACKEND_REFUSED);
    assert_non_null(strstr(r->detail, "no virtio-mem device"));
    kit.class->measure(kit.backend);
    r = kit_expect(&kit, BACKEND_FAILED);
    assert_int_equal(r->change_id, 0);
    assert_true(r->unknown);
}

// The VM is not there yet, comes, ends in the middle of a change, comes back with other memory.
static void a_vm_comes_and_goes(void **state)
{
    (void)state;
    char settings[1024];
    (void)snprintf(settings, sizeof settings, "address=%s poll=20ms", vm.address);
    kit_make(&kit, &backend_qmp, 2 * MB, settings);
    kit.class->measure(kit.backend);
    const struct backend_report *r = kit_expect(&kit, BACKEND_FAILED);
    assert_int_equal(r->change_id, 0);
    r = kit_set(&kit, 1024 * MB);
    assert_int_equal(r->outcome, BACKEND_REFUSED);
    assert_non_null(strstr(r->detail, vm.path));
    kit_run(&kit, 200);
    r = kit_set(&kit, 1024 * MB); // it has tried: there is nobody
    assert_false(r->unknown);
    assert_int_equal(r->actual_bytes, 0);
    fake_start(&vm);
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 512 * MB);
    assert_int_equal(kit_set(&kit, 1024 * MB)->outcome, BACKEND_DONE);
    vm.stop_at = 600 * MB;
    kit.class->set(kit.backend, 7, 4096 * MB);
    kit_run(&kit, 100);
    fake_stop(&vm);
    r = kit_expect(&kit, BACKEND_FAILED);
    assert_int_equal(r->change_id, 7);
    assert_true(r->unknown);
    kit_run(&kit, 500);
    r = kit_set(&kit, 1024 * MB);
    assert_false(r->unknown); // its socket refuses, or has gone
    assert_int_equal(r->actual_bytes, 0);
    vm.size = vm.requested = 0;
    vm.stop_at = 0;
    fake_start(&vm);
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 512 * MB);
    assert_int_equal(kit_set(&kit, 1024 * MB)->outcome, BACKEND_DONE);
}

// What the guest does by itself is told; measuring tells it again; other memory devices count.
static void changes_are_told(void **state)
{
    (void)state;
    (void)snprintf(vm.dimms[0].id, sizeof vm.dimms[0].id, "other");
    vm.dimms[0].bytes = 256 * MB;
    vm.dimm_count = 1;
    open_vm("");
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 768 * MB);
    fake_resize(&vm, 64 * MB);
    const struct backend_report *r = kit_expect(&kit, BACKEND_CHANGED);
    assert_int_equal(r->change_id, 0);
    assert_int_equal(r->actual_bytes, 832 * MB);
    kit.class->measure(kit.backend);
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 832 * MB);
    assert_int_equal(kit_set(&kit, 1024 * MB)->outcome, BACKEND_DONE);
    assert_int_equal(vm.requested, 256 * MB);
}

// Only the last change reports; an object is destroyed in the middle of one.
static void a_change_is_replaced(void **state)
{
    (void)state;
    open_connected("");
    for (uint64_t i = 1; i <= 40; i++) {
        kit.class->set(kit.backend, i, (512 + 256 * (i % 7)) * MB);
        if (i % 4 == 0)
            kit_run(&kit, 7);
    }
    const struct backend_report *r;
    do
        r = kit_expect(&kit, BACKEND_DONE);
    while (r->change_id != 40);
    assert_int_equal(r->actual_bytes, (512 + 256 * 5) * MB);
    kit.class->set(kit.backend, 41, 512 * MB);
    kit_run(&kit, 8);
}

static void destroy_it(struct kit *k, const struct backend_report *report)
{
    (void)report;
    k->class->destroy(&k->backend);
}

// An object that is destroyed by who hears its report.
static void a_report_may_destroy(void **state)
{
    (void)state;
    kit.on_report = destroy_it;
    open_vm("");
    (void)kit_expect(&kit, BACKEND_CHANGED);
    kit_run(&kit, 50);
    assert_null(kit.backend);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_checked),
        TEST(it_follows_events),
        TEST(it_polls),
        TEST(a_stalled_guest_is_partial),
        TEST(what_cannot_be_is_partial),
        TEST(an_error_is_refused),
        TEST(odd_answers_do_no_harm),
        TEST(a_broken_connection_ends_the_change),
        TEST(a_silent_qemu_fails),
        TEST(no_greeting_is_not_there),
        TEST(nonsense_is_refused),
        TEST(a_vm_comes_and_goes),
        TEST(changes_are_told),
        TEST(a_change_is_replaced),
        TEST(a_report_may_destroy),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
