// Reclaims, carried out or not; connections that end, come back, or never come about.
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
