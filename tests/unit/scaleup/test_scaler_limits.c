// What comes from outside: limits that fall, others that grow, pressure, reclaims, connections that end, grants that change; and that nothing swings at rest.
#include "scaler_kit.h"

#include <string.h>

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

// ---- reclaim

static void reclaim(const char *id, uint64_t target)
{
    struct rescale_event event = {
        .type = RESCALE_RECLAIM, .target_bytes = target, .deadline_ms = 2000, .priority = 7};
    memcpy(event.id, id, strlen(id));
    kit_event(&kit, event);
}

static void a_reclaim(void **state)
{
    (void)state;
    begin_granted(GB);
    kit.frees_per_tick = 100 * MB;
    reclaim("r1", 512 * MB);
    assert_int_equal(kit.reclaimings, 1);
    assert_string_equal(kit.reclaiming_id, "r1");
    assert_int_equal(kit.reclaiming_state, STATE_ACCEPTED);
    assert_int_equal(kit.reclaiming_target, 512 * MB);
    assert_int_equal(kit.store_limit, (512 - 116) * MB);
    assert_int_equal(kit.view.state, SCALER_RELEASING);
    while (kit.requests == 0)
        kit_tick(&kit);
    assert_true(kit.used_at_request <= 512 * MB);
    assert_int_equal(kit.request.target_bytes, 512 * MB);
    assert_string_equal(kit.reclaim, "r1");
    kit_answer(&kit, kit.id, STATE_DONE, 512 * MB);
    kit_policy_target = 2 * GB; // wanted, but it is the most for a minute
    kit_run(&kit, 50000);
    assert_int_equal(kit.requests, 1);
    assert_int_equal(kit.view.reclaim_bytes, 512 * MB);
    kit_run(&kit, 12000);
    assert_int_equal(kit.view.reclaim_bytes, 0);
    assert_int_equal(kit.requests, 2);
}

static void a_reclaim_ends_with_an_offer(void **state)
{
    (void)state;
    begin_granted(GB);
    reclaim("r1", 512 * MB);
    kit_run(&kit, 200);
    kit_answer(&kit, kit.id, STATE_DONE, 512 * MB);
    kit_policy_target = GB;
    kit_run(&kit, 3000);
    assert_int_equal(kit.requests, 1);
    kit_event(&kit, (struct rescale_event){.type = RESCALE_OFFER, .available_bytes = GB});
    kit_run(&kit, 1100);
    assert_int_equal(kit.requests, 2);
}

static void reclaims_beyond_what_can_be_given(void **state)
{
    (void)state;
    begin_granted(GB);
    kit.other_bytes = 300 * MB;
    kit_tick(&kit);
    reclaim("r1", 128 * MB);
    assert_int_equal(kit.reclaiming_state, STATE_PARTIAL);
    assert_int_equal(kit.reclaiming_target, 316 * MB);
    assert_int_equal(kit.store_limit, 0);
    kit_end(&kit);
    begin_granted(256 * MB);
    kit.other_bytes = 250 * MB;
    kit_tick(&kit);
    reclaim("r2", 128 * MB);
    assert_int_equal(kit.reclaiming_state, STATE_REFUSED);
    assert_int_equal(kit.view.reclaim_bytes, 0);
    reclaim("r3", GB); // it has that little already
    assert_int_equal(kit.reclaiming_state, STATE_ACCEPTED);
    assert_int_equal(kit.view.reclaim_bytes, 0);
    kit_run(&kit, 2000);
    assert_int_equal(kit.requests, 0);
}

static void a_reclaim_that_is_taken_back_or_replaced(void **state)
{
    (void)state;
    begin_granted(GB);
    kit.frees_per_tick = MB;
    reclaim("r1", 512 * MB);
    kit_run(&kit, 500);
    reclaim("r2", 768 * MB);
    assert_int_equal(kit.reclaimings, 2);
    reclaim("r2", GB); // taken back: no answer
    assert_int_equal(kit.reclaimings, 2);
    assert_int_equal(kit.store_limit, (1024 - 116) * MB);
    kit_run(&kit, 20000);
    assert_int_equal(kit.requests, 0);
    assert_int_equal(kit.view.state, SCALER_STEADY);
}

// The asker cannot wait for ever: what has been freed by then is handed back.
static void a_reclaim_that_comes_half_down(void **state)
{
    (void)state;
    begin_granted(GB);
    kit.frees_per_tick = 2 * MB;
    reclaim("r1", 256 * MB);
    kit_run(&kit, 10200);
    assert_int_equal(kit.requests, 1);
    assert_string_equal(kit.reclaim, "r1");
    assert_in_range(kit.request.target_bytes, kit.used_at_request, kit.used_at_request + 2 * MB);
    assert_in_range(kit.request.target_bytes, 700 * MB, 900 * MB);
}

// A raise that waits does not hold up a reclaim; its late end means nothing any more.
static void a_reclaim_during_a_raise(void **state)
{
    (void)state;
    begin_granted(GB);
    char raise[65];
    kit_policy_target = 2 * GB;
    kit_run(&kit, 1100);
    memcpy(raise, kit.id, sizeof raise);
    reclaim("r1", 512 * MB);
    kit_run(&kit, 200);
    assert_int_equal(kit.requests, 2);
    assert_int_equal(kit.request.target_bytes, 512 * MB);
    assert_int_equal(kit.view.state, SCALER_RETURNING);
    kit_answer(&kit, raise, STATE_DEFERRED, GB);
    assert_int_equal(kit.view.unexpected, 0);
    kit_answer(&kit, raise, STATE_DEFERRED, 2 * GB); // twice, and with another number
    assert_int_equal(kit.view.unexpected, 1);
    assert_int_equal(kit.view.granted_bytes, GB);
    kit_answer(&kit, kit.id, STATE_DONE, 512 * MB);
    assert_int_equal(kit.view.returns, 1);
    assert_int_equal(kit.store_limit, (512 - 116) * MB);
}

// ---- connections

static void without_a_connection_what_is_granted_stays(void **state)
{
    (void)state;
    begin_granted(GB);
    kit_event(&kit, (struct rescale_event){.type = RESCALE_DISCONNECTED, .detail = "gone"});
    assert_int_equal(kit.view.state, SCALER_DISCONNECTED);
    kit_policy_target = 2 * GB;
    kit_run(&kit, 60000);
    assert_int_equal(kit.requests, 0);
    assert_int_equal(kit.store_limit, (1024 - 116) * MB);
    assert_int_equal(kit_policy_config.max_bytes, GB);
    kit_policy_target = 512 * MB; // using less needs nobody's leave
    kit_run(&kit, 1100);
    assert_int_equal(kit.store_limit, (512 - 116) * MB);
    kit_policy_target = 0;
    kit_welcome(&kit, 768 * MB); // it took some
    assert_int_equal(kit.view.ceiling_bytes, 768 * MB);
    assert_int_equal(kit.store_limit, (512 - 116) * MB);
    kit_run(&kit, 1200);
    assert_int_equal(kit.request.target_bytes, 512 * MB); // and what is not used is handed back
}

static void a_connection_that_ends_under_way(void **state)
{
    (void)state;
    begin_granted(GB);
    kit_policy_target = 2 * GB;
    kit_run(&kit, 1100);
    kit_event(&kit, (struct rescale_event){.type = RESCALE_DISCONNECTED});
    kit_run(&kit, 5000);
    assert_int_equal(kit.requests, 1);
    kit_welcome(&kit, GB); // librescale asks again by itself
    kit_answer(&kit, kit.id, STATE_DONE, 2 * GB);
    assert_int_equal(kit.view.raises, 1);
    kit_policy_target = 0;
    kit_run(&kit, 60000);
    assert_int_equal(kit.requests, 1);
    // A release that was for nobody any more.
    kit.frees_per_tick = MB;
    kit_policy_target = GB;
    kit_run(&kit, 1100);
    assert_int_equal(kit.view.state, SCALER_RELEASING);
    kit_policy_target = 0;
    kit_event(&kit, (struct rescale_event){.type = RESCALE_DISCONNECTED});
    kit_run(&kit, 20000);
    assert_int_equal(kit.requests, 1);
    assert_int_equal(kit.store_limit, (2048 - 116) * MB);
}

// The orchestrator is down when the server starts: it begins with what it was told to, and never takes more.
static void never_connected(void **state)
{
    (void)state;
    kit_begin(&kit, true, 0);
    kit_run(&kit, 2000);
    assert_int_equal(kit.store_limit, 256 * MB);
    assert_int_equal(kit.limits_set, 0);
    kit_policy_target = 4 * GB;
    kit_run(&kit, 10000);
    assert_in_range(kit.store_limit, 256 * MB, 257 * MB);
    kit_event(&kit, (struct rescale_event){.type = RESCALE_REFUSED, .detail = "denied"});
    kit_event(&kit,
              (struct rescale_event){.type = RESCALE_GRANT, .granted_bytes = 8 * GB}); // without a welcome
    reclaim("r", 1);
    kit_run(&kit, 2000);
    assert_in_range(kit.store_limit, 256 * MB, 257 * MB);
    assert_int_equal(kit.view.state, SCALER_DISCONNECTED);
    assert_non_null(strstr(kit.view.last_answer, "denied"));
}

// Granted less than it takes to live: it asks for that much, whatever the policy knows.
static void granted_next_to_nothing(void **state)
{
    (void)state;
    begin_granted(512 * MB);
    kit.other_bytes = 600 * MB;
    kit_run(&kit, 2000);
    assert_int_equal(kit.store_limit, 0);
    assert_int_equal(kit.requests, 1);
    assert_int_equal(kit.request.target_bytes, 632 * MB);
}

static void beyond_the_maximum_is_not_asked_for(void **state)
{
    (void)state;
    begin_granted(4 * GB);
    kit_policy_target = 8 * GB;
    kit_run(&kit, 5000);
    assert_int_equal(kit.requests, 0);
    assert_int_equal(kit_policy_config.max_bytes, 4 * GB);
    assert_int_equal(kit_policy_config.min_bytes, 128 * MB);
    assert_int_equal(kit_policy_config.granularity, 2 * MB);
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
        cmocka_unit_test_teardown(a_group_counts_what_the_process_does_not, teardown),
        cmocka_unit_test_teardown(a_large_group_is_not_the_grant, teardown),
        cmocka_unit_test_teardown(a_machine_that_runs_out, teardown),
        cmocka_unit_test_teardown(what_the_platform_keeps_is_asked_for_too, teardown),
        cmocka_unit_test_teardown(pressure_lowers_at_once, teardown),
        cmocka_unit_test_teardown(a_reclaim, teardown),
        cmocka_unit_test_teardown(a_reclaim_ends_with_an_offer, teardown),
        cmocka_unit_test_teardown(reclaims_beyond_what_can_be_given, teardown),
        cmocka_unit_test_teardown(a_reclaim_that_is_taken_back_or_replaced, teardown),
        cmocka_unit_test_teardown(a_reclaim_that_comes_half_down, teardown),
        cmocka_unit_test_teardown(a_reclaim_during_a_raise, teardown),
        cmocka_unit_test_teardown(without_a_connection_what_is_granted_stays, teardown),
        cmocka_unit_test_teardown(a_connection_that_ends_under_way, teardown),
        cmocka_unit_test_teardown(never_connected, teardown),
        cmocka_unit_test_teardown(granted_next_to_nothing, teardown),
        cmocka_unit_test_teardown(beyond_the_maximum_is_not_asked_for, teardown),
        cmocka_unit_test_teardown(alone, teardown),
        cmocka_unit_test_teardown(a_fixed_size_obeys_limits, teardown),
        cmocka_unit_test_teardown(what_the_policy_is_told, teardown),
        cmocka_unit_test_teardown(the_log_is_bounded, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
