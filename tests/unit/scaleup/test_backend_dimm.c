// The QEMU back-end with DIMMs against a fake QEMU.
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
    vm.no_device = true;
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

static void open_connected(const char *more)
{
    char settings[1024];
    (void)snprintf(settings, sizeof settings, "address=%s mode=dimm timeout=60s %s", vm.address, more);
    fake_start(&vm);
    kit_make(&kit, &backend_qmp, 512 * MB, settings);
    (void)kit_expect(&kit, BACKEND_CHANGED);
}

// DIMMs are added one by one and removed from the top; their objects go with them.
static void dimms_come_and_go(void **state)
{
    (void)state;
    open_connected("");
    kit.class->set(kit.backend, 1, 3584 * MB);
    assert_int_equal(kit_expect(&kit, BACKEND_PROGRESS)->actual_bytes % (512 * MB), 0);
    assert_int_equal(kit_expect(&kit, BACKEND_DONE)->actual_bytes, 3584 * MB);
    assert_int_equal(vm.dimm_count, 3);
    assert_string_equal(vm.dimms[2].id, "mecdimm2");
    assert_string_equal(vm.dimms[2].memdev, "mecmem2");
    const struct backend_report *r = kit_set(&kit, 1536 * MB);
    assert_int_equal(r->outcome, BACKEND_DONE);
    assert_int_equal(vm.dimm_count, 1);
    assert_int_equal(vm.object_count, 1);
    assert_string_equal(vm.dimms[0].id, "mecdimm0");
    assert_int_equal(kit_set(&kit, 2560 * MB)->outcome, BACKEND_DONE);
    assert_int_equal(kit_set(&kit, 512 * MB)->outcome, BACKEND_DONE);
    assert_int_equal(vm.object_count, 0);
}

// Whole DIMMs: never more than was asked for upwards, never less downwards.
static void between_two_sizes_is_partial(void **state)
{
    (void)state;
    open_connected("");
    const struct backend_report *r = kit_set(&kit, 2000 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 1536 * MB);
    r = kit_set(&kit, 1000 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 1536 * MB);
    r = kit_set(&kit, 100 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 512 * MB);
}

// No slot left: what there was room for; the object of the one that did not fit is removed. Nothing at all: refused, with QEMU's words.
static void slots_end(void **state)
{
    (void)state;
    vm.slots = 2;
    open_connected("");
    const struct backend_report *r = kit_set(&kit, 4608 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 2560 * MB);
    assert_int_equal(vm.object_count, 2);
    r = kit_set(&kit, 4608 * MB);
    assert_int_equal(r->outcome, BACKEND_REFUSED);
    assert_non_null(strstr(r->detail, "no free memory slots"));
    vm.break_at = "object-add";
    vm.how = FAKE_ERROR;
    r = kit_set(&kit, 4608 * MB);
    assert_int_equal(r->outcome, BACKEND_REFUSED);
    assert_string_equal(r->detail, "it is broken");
}

// A guest that keeps one DIMM: the others go. In each of the ways in which it may say so.
static void a_pinned_dimm_stays(void **state)
{
    (void)state;
    static const enum fake_unplug ways[] = {FAKE_OST_REFUSES, FAKE_UNPLUG_ERROR, FAKE_GUEST_ERROR};
    open_connected("");
    vm.pinned = "mecdimm2";
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        vm.unplug = ways[i];
        assert_int_equal(kit_set(&kit, 3584 * MB)->outcome, BACKEND_DONE);
        const struct backend_report *r = kit_set(&kit, 512 * MB);
        assert_int_equal(r->outcome, BACKEND_PARTIAL);
        assert_int_equal(r->actual_bytes, 1536 * MB);
        assert_non_null(strstr(r->detail, "give up"));
        assert_string_equal(vm.dimms[0].id, "mecdimm2");
    }
}

// A guest that does not answer: partial after a while; when it ejects later, that is told and the object is removed.
static void a_silent_guest_is_partial(void **state)
{
    (void)state;
    open_connected("stall=300ms");
    assert_int_equal(kit_set(&kit, 1536 * MB)->outcome, BACKEND_DONE);
    vm.unplug = FAKE_NO_ANSWER;
    const struct backend_report *r = kit_set(&kit, 512 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 1536 * MB);
    vm.dimm_count = 0;
    fake_say(&vm,
             "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"mecdimm0\", \"path\": \"/machine\"}}");
    fake_say(&vm,
             "{\"event\": \"DEVICE_DELETED\", \"data\": {\"path\": \"/machine/peripheral/mecdimm0/x\"}}");
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 512 * MB);
    for (int i = 0; i < 500 && vm.object_count > 0; i++)
        kit_run(&kit, 10);
    assert_int_equal(vm.object_count, 0);
}

// DIMMs and objects that were there before: ours are taken over, others count and are left alone, left-over objects are used again.
static void what_is_there_is_taken_over(void **state)
{
    (void)state;
    (void)snprintf(vm.dimms[0].id, sizeof vm.dimms[0].id, "mecdimm07"); // not an id that we would give
    vm.dimms[0].bytes = 256 * MB;
    (void)snprintf(vm.dimms[1].id, sizeof vm.dimms[1].id, "mecdimm1");
    vm.dimms[1].bytes = 1024 * MB;
    vm.dimm_count = 2;
    (void)snprintf(vm.objects[0], sizeof vm.objects[0], "mecmem1");
    (void)snprintf(vm.objects[1], sizeof vm.objects[1], "mecmem0");
    vm.object_count = 2;
    open_connected("");
    kit.class->measure(kit.backend);
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 1792 * MB);
    assert_int_equal(kit_set(&kit, 2816 * MB)->outcome, BACKEND_DONE);
    assert_string_equal(vm.dimms[2].id, "mecdimm0");
    assert_int_equal(kit_set(&kit, 768 * MB)->outcome, BACKEND_DONE);
    assert_string_equal(vm.dimms[0].id, "mecdimm07");
}

// A VM that ends in the middle of an ejection.
static void a_vm_that_ends_fails(void **state)
{
    (void)state;
    open_connected("");
    assert_int_equal(kit_set(&kit, 1536 * MB)->outcome, BACKEND_DONE);
    vm.break_at = "object-del";
    vm.how = FAKE_DROP;
    vm.once = true;
    const struct backend_report *r = kit_set(&kit, 512 * MB);
    assert_int_equal(r->outcome, BACKEND_FAILED);
    assert_int_equal(r->actual_bytes, 512 * MB);
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 512 * MB);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(dimms_come_and_go),    TEST(between_two_sizes_is_partial), TEST(slots_end),
        TEST(a_pinned_dimm_stays),  TEST(a_silent_guest_is_partial),    TEST(what_is_there_is_taken_over),
        TEST(a_vm_that_ends_fails),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
