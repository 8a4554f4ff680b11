// What comes from outside: limits that fall, others that grow, pressure, grants that change; a fixed size; and that nothing swings at rest.
#include "scaler_kit.h"

static struct kit kit;

static void begin_granted(uint64_t granted)
{
    kit_begin(&kit, true, 0);
    kit_tick(&kit);
    kit_welcome(&kit, granted);
    kit_run(&kit, 3000);
}

static int teardown(void **state)
{
    (void)state;
    kit_end(&kit);
    return 0;
}

static void a_limit_that_falls_is_followed_in_the_same_tick(void **state)
{
    (void)state;
    begin_granted(GB);
    kit.limit_bytes = 300 * MB;
    kit_tick(&kit);
    assert_int_equal(kit.view.ceiling_bytes, 300 * MB);
    assert_int_equal(kit.store_limit, (300 - 116) * MB);
    assert_int_equal(kit.view.over_ceiling, 1); // it was, when it was looked at
    assert_string_equal(kit.last_event, "memory_over_ceiling");
    kit_run(&kit, 2000);
    assert_int_equal(kit.view.over_ceiling, 1);
    assert_int_equal(kit.requests, 0);
    kit_policy_target = 4 * GB; // somebody wants it so: more of a grant would be of no use
    kit_run(&kit, 5000);
    assert_int_equal(kit.requests, 0);
    kit.limit_bytes = 16 * GB;
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, (1024 - 116) * MB);
}

static void a_grant_that_is_lowered_from_outside(void **state)
{
    (void)state;
    begin_granted(GB);
    kit_event(&kit, (struct rescale_event){.type = RESCALE_GRANT,
                                           .granted_bytes = 512 * MB,
                                           .granularity = 2 * MB,
                                           .detail = "operator"});
    assert_int_equal(kit.store_limit, (512 - 116) * MB); // at once, not by the next tick
    kit_event(&kit, (struct rescale_event){.type = RESCALE_GRANT, .granted_bytes = 2 * GB});
    assert_int_equal(kit.store_limit, (2048 - 116) * MB);
    kit_event(&kit, (struct rescale_event){.type = RESCALE_GRANT,
                                           .granted_bytes = 1}); // below the VNF's minimum: never
    assert_int_equal(kit.view.ceiling_bytes, 128 * MB);
    kit_event(&kit, (struct rescale_event){.type = RESCALE_GRANT, .granted_bytes = UINT64_MAX});
    assert_int_equal(kit.view.ceiling_bytes, 128 * MB);
}

static void a_grant_while_releasing(void **state)
{
    (void)state;
    begin_granted(GB);
    kit.frees_per_tick = MB;
    kit_policy_target = 768 * MB;
    kit_run(&kit, 1200);
    assert_int_equal(kit.view.state, SCALER_RELEASING);
    kit_policy_target = 0;
    kit_event(&kit, (struct rescale_event){.type = RESCALE_GRANT, .granted_bytes = 512 * MB});
    assert_int_equal(kit.store_limit, (512 - 116) * MB);
    kit_run(&kit, 20000);
    assert_int_equal(kit.requests, 0); // there is nothing left to return
    assert_int_equal(kit.view.state, SCALER_STEADY);
}

static void others_grow_and_the_store_shrinks(void **state)
{
    (void)state;
    begin_granted(GB);
    for (int i = 0; i < 50; i++) {
        kit.other_bytes += 3 * MB;
        kit_tick(&kit);
        assert_true(kit.store_limit + kit.other_bytes + 16 * MB <= GB);
    }
    kit.other_bytes = 4 * GB; // all of it and more
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, 0);
    kit.other_bytes = 100 * MB;
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, (1024 - 116) * MB);
}

// Others breathe by a few megabytes: the limit comes to rest at the bottom of that.
static void no_swinging_at_rest(void **state)
{
    (void)state;
    begin_granted(GB);
    unsigned before = kit.limits_set;
    for (int i = 0; i < 6000; i++) {
        kit.other_bytes = 100 * MB + (uint64_t)(i * 7919 % 4096) * 1024;
        kit_tick(&kit);
        assert_true(kit.store_limit + kit.other_bytes + 16 * MB <= GB);
    }
    assert_in_range(kit.limits_set - before, 1, 12); // on the way down
    assert_int_equal(kit.requests, 0);
}

// An upper level's limit binds, less what siblings hold, and they breathe too.
static void no_swinging_with_siblings(void **state)
{
    (void)state;
    begin_granted(GB);
    kit.limit_bytes = 512 * MB;
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, (512 - 116) * MB);
    unsigned before = kit.limits_set;
    for (int i = 0; i < 6000; i++) {
        kit.limit_bytes = 512 * MB + (uint64_t)(i % 2) * 64 * 1024;
        kit_tick(&kit);
    }
    assert_in_range(kit.limits_set - before, 0, 2);
    kit.limit_bytes = 640 * MB;
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, (640 - 116) * MB);
}

static void a_group_counts_what_the_process_does_not(void **state)
{
    (void)state;
    kit_begin(&kit, true, 0);
    kit.grouped = true;
    kit.kernel_bytes = 50 * MB; // sockets, page tables, a helper in the same group
    kit.limit_bytes = GB;
    kit_tick(&kit);
    kit_welcome(&kit, GB);
    kit_run(&kit, 3000);
    assert_int_equal(kit.store_limit, (1024 - 166) * MB);
    kit_policy_target = 512 * MB;
    while (kit.requests == 0)
        kit_tick(&kit);
    assert_true(kit.used_at_request + kit.kernel_bytes <= 512 * MB);
}

// A group far above the grant has other tenants: only the process counts against the grant.
static void a_large_group_is_not_the_grant(void **state)
{
    (void)state;
    kit_begin(&kit, true, 0);
    kit.grouped = true;
    kit.kernel_bytes = 10 * GB;
    kit_tick(&kit);
    kit_welcome(&kit, GB);
    kit_run(&kit, 3000);
    assert_int_equal(kit.store_limit, (1024 - 116) * MB);
    kit.kernel_bytes = 15 * GB + 512 * MB; // and when they take it all, ours shrinks
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, (512 - 116) * MB);
}

static void a_machine_that_runs_out(void **state)
{
    (void)state;
    begin_granted(GB);
    kit.available_bytes = 4 * MB;
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, (1024 - 116 - 12) * MB);
    kit.available_bytes = 0; // a kernel that does not say
    kit_run(&kit, 200);
    assert_true(kit.store_limit > (1024 - 132) * MB);
}

// A guest's kernel keeps some of what the hypervisor grants: so much more has to be asked for.
static void what_the_platform_keeps_is_asked_for_too(void **state)
{
    (void)state;
    kit_begin(&kit, true, 0);
    kit.limit_bytes = 900 * MB;
    kit_tick(&kit);
    kit_welcome(&kit, 1000 * MB);
    kit_run(&kit, 3000);
    kit_policy_target = 1200 * MB;
    kit_run(&kit, 1100);
    assert_int_equal(kit.request.target_bytes, 1300 * MB);
    kit.limit_bytes = 1200 * MB; // the guest sees it before the answer comes
    kit_run(&kit, 200);
    kit_answer(&kit, kit.id, STATE_DONE, 1300 * MB);
    kit_policy_target = 800 * MB;
    while (kit.requests == 1)
        kit_tick(&kit);
    assert_int_equal(kit.request.target_bytes, 900 * MB);
    kit.limit_bytes = 800 * MB; // again: that is not taken off twice
    uint64_t limit = kit.store_limit;
    kit_run(&kit, 3000);
    assert_int_equal(kit.store_limit, limit);
    kit_answer(&kit, kit.id, STATE_DONE, 900 * MB);
    kit_run(&kit, 3000);
    assert_int_equal(kit.store_limit, limit);
}

static void pressure_lowers_at_once(void **state)
{
    (void)state;
    begin_granted(GB);
    kit_policy_reason = POLICY_PRESSURE;
    kit_policy_target = 768 * MB;
    kit_run(&kit, 1200);
    assert_int_equal(kit.store_limit, (768 - 116) * MB);
    assert_int_equal(kit.requests, 1);
    kit_policy_target = 0;
    kit_answer(&kit, kit.id, STATE_DEFERRED, GB); // nobody takes it: it is not used all the same
    kit_run(&kit, 10000);
    assert_int_equal(kit.store_limit, (768 - 116) * MB);
    assert_true(kit.requests >= 2); // and offered again
    kit_answer(&kit, kit.id, STATE_DONE, 768 * MB);
    kit_run(&kit, 5000);
    assert_int_equal(kit.view.state, SCALER_STEADY);
    // Pressure during a raise that hangs.
    kit_policy_reason = POLICY_GOAL;
    kit_policy_target = 2 * GB;
    kit_run(&kit, 1100);
    assert_int_equal(kit.view.state, SCALER_RAISING);
    kit_policy_reason = POLICY_PRESSURE;
    kit_policy_target = 600 * MB;
    kit_run(&kit, 1100);
    assert_int_equal(kit.store_limit, (600 - 116) * MB);
    kit_answer(&kit, kit.id, STATE_DONE, 2 * GB);
    assert_int_equal(kit.store_limit, (600 - 116) * MB);
    kit_run(&kit, 1100);
    assert_int_equal(kit.request.target_bytes, 600 * MB);
}

// ---- alone

static void alone(void **state)
{
    (void)state;
    kit_begin(&kit, false, 0);
    kit_run(&kit, 2000);
    assert_int_equal(kit.view.state, SCALER_ALONE);
    assert_int_equal(kit.limits_set, 0);
    kit_policy_target = 2 * GB;
    kit_run(&kit, 1100);
    assert_int_equal(kit.store_limit, (2048 - 116) * MB); // just used
    kit.limit_bytes = GB;
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, (1024 - 116) * MB); // within the ceiling
    kit_run(&kit, 2000);
    assert_int_equal(kit_policy_config.max_bytes, GB);
    kit_policy_target = 300 * MB;
    kit_run(&kit, 1100);
    assert_int_equal(kit.store_limit, (300 - 116) * MB);
    assert_int_equal(kit.requests, 0);
}

// To the policy a maximum of 0 is none.
static void nothing_to_be_had_is_a_bound(void **state)
{
    (void)state;
    kit_begin(&kit, false, 0);
    kit.limit_bytes = 0;
    kit_run(&kit, 2000);
    assert_int_equal(kit_policy_config.max_bytes, 1);
}

static void a_fixed_size_obeys_limits(void **state)
{
    (void)state;
    const struct policy_config policy = {.hit_goal = 0.9};
    kit_begin(&kit, false, 512 * MB);
    kit_run(&kit, 5000);
    assert_int_equal(kit.store_limit, 512 * MB);
    assert_int_equal(kit_policy_calls, 0);
    kit.limit_bytes = 256 * MB;
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, (256 - 116) * MB);
    kit.limit_bytes = 16 * GB;
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, 512 * MB);
    scaler_core_configure(kit.core, &policy, 600 * MB); // a reload
    assert_int_equal(kit.store_limit, 600 * MB);
    scaler_core_configure(kit.core, &policy, 0);
    kit_run(&kit, 3000);
    assert_int_equal(kit.store_limit, 600 * MB); // from there on the policy
    assert_true(kit_policy_calls > 0);
    assert_true(kit_policy_config.hit_goal > 0.89);
    kit_policy_target = GB;
    kit_run(&kit, 1100);
    assert_int_equal(kit.store_limit, (1024 - 116) * MB);
    scaler_core_configure(kit.core, &policy, 300 * MB);
    assert_int_equal(kit.store_limit, 300 * MB);
}

// CONFIG SET maxmemory, past the scaler: heeded where nobody else decides, within the limits; else undone.
static void an_operator_sets_the_store(void **state)
{
    (void)state;
    kit_begin(&kit, false, 512 * MB);
    kit_run(&kit, 1000);
    kit.store_limit = 128 * MB;
    kit_run(&kit, 1000);
    assert_int_equal(kit.store_limit, 128 * MB);
    kit.limit_bytes = GB;
    kit_tick(&kit);
    assert_int_equal(kit.view.most_bytes, (1024 - 116) * MB); // whatever it is set to
    kit.store_limit = 2 * GB;
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, (1024 - 116) * MB);
    kit.limit_bytes = 16 * GB;
    kit_run(&kit, 1000);
    assert_int_equal(kit.store_limit, 2 * GB);
    kit_end(&kit);
    kit_begin(&kit, false, 0);
    kit_run(&kit, 1000);
    kit.store_limit = 128 * MB;
    kit_run(&kit, 1000);
    assert_in_range(kit.store_limit, 256 * MB, 257 * MB);
}

static void what_the_policy_is_told(void **state)
{
    (void)state;
    kit_begin(&kit, false, 0);
    kit_run(&kit, 2000);
    for (int i = 0; i < 20; i++) {
        kit.hits += 90;
        kit.misses += 10;
        kit_tick(&kit);
    }
    assert_true(kit_policy_input.load > 990 && kit_policy_input.load < 1010);
    assert_true(kit_policy_input.hit_ratio > 0.899 && kit_policy_input.hit_ratio < 0.901);
    assert_int_equal(kit_policy_input.other_bytes, 116 * MB);
    assert_int_equal(kit_policy_input.table_bytes, 8 * GB);
    assert_int_equal(kit_policy_input.curve_count, 2);
    kit_run(&kit, 2000);
    assert_true(kit_policy_input.load < 0.5 && kit_policy_input.hit_ratio < 0);
    kit.hits = kit.misses = 0; // a counter that begins anew
    kit_run(&kit, 2000);
    assert_true(kit_policy_input.load < 0.5);
}

// An orchestrator that talks without end does not fill the log.
static void the_log_is_bounded(void **state)
{
    (void)state;
    begin_granted(GB);
    unsigned before = kit.lines;
    for (int i = 0; i < 10000; i++)
        kit_event(&kit, (struct rescale_event){.type = RESCALE_GRANT,
                                               .granted_bytes = GB + (unsigned)(i % 2) * MB});
    assert_in_range(kit.lines - before, 10, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_limit_that_falls_is_followed_in_the_same_tick, teardown),
        cmocka_unit_test_teardown(a_grant_that_is_lowered_from_outside, teardown),
        cmocka_unit_test_teardown(a_grant_while_releasing, teardown),
        cmocka_unit_test_teardown(others_grow_and_the_store_shrinks, teardown),
        cmocka_unit_test_teardown(no_swinging_at_rest, teardown),
        cmocka_unit_test_teardown(no_swinging_with_siblings, teardown),
        cmocka_unit_test_teardown(a_group_counts_what_the_process_does_not, teardown),
        cmocka_unit_test_teardown(a_large_group_is_not_the_grant, teardown),
        cmocka_unit_test_teardown(a_machine_that_runs_out, teardown),
        cmocka_unit_test_teardown(what_the_platform_keeps_is_asked_for_too, teardown),
        cmocka_unit_test_teardown(pressure_lowers_at_once, teardown),
        cmocka_unit_test_teardown(alone, teardown),
        cmocka_unit_test_teardown(nothing_to_be_had_is_a_bound, teardown),
        cmocka_unit_test_teardown(a_fixed_size_obeys_limits, teardown),
        cmocka_unit_test_teardown(an_operator_sets_the_store, teardown),
        cmocka_unit_test_teardown(what_the_policy_is_told, teardown),
        cmocka_unit_test_teardown(the_log_is_bounded, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
