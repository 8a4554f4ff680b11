// The scaler's core against an orchestrator that answers as it should, and against one that does not: in virtual time, with a policy that says what the test wants.
#include "scaler_kit.h"

#include <stdio.h>
#include <string.h>

static struct kit kit;

// A VNF with a grant of 512 MB that its store fills, at rest.
static void begin_granted(uint64_t granted)
{
    kit_begin(&kit, true, 0);
    kit_tick(&kit);
    kit_welcome(&kit, granted);
    kit_run(&kit, 3000);
    assert_int_equal(kit.view.state, SCALER_STEADY);
    assert_int_equal(kit.requests, 0);
}

static void ask_for(uint64_t target)
{
    unsigned before = kit.requests;
    kit_policy_target = target;
    for (int i = 0; i < 300 && kit.requests == before; i++)
        kit_tick(&kit);
    assert_int_equal(kit.requests, before + 1);
}

static int teardown(void **state)
{
    (void)state;
    kit_end(&kit);
    return 0;
}

static void the_grant_is_what_may_be_used(void **state)
{
    (void)state;
    begin_granted(512 * MB);
    assert_true(kit.view.connected);
    assert_int_equal(kit.view.ceiling_bytes, 512 * MB);
    assert_int_equal(kit.store_limit, (512 - 100 - 16) * MB);
    assert_int_equal(kit.view.store_limit_bytes, kit.store_limit);
    assert_int_equal(kit.view.other_bytes, 100 * MB);
    assert_int_equal(kit.view.over_ceiling, 0);
}

static void a_raise(void **state)
{
    (void)state;
    begin_granted(512 * MB);
    ask_for(1023 * MB); // asked for in granules
    assert_int_equal(kit.request.target_bytes, 1024 * MB);
    assert_int_equal(kit.view.state, SCALER_RAISING);
    uint64_t limit = kit.store_limit;
    kit_answer(&kit, kit.id, STATE_ACCEPTED, 512 * MB);
    kit_tick(&kit);
    assert_int_equal(kit.store_limit, limit); // nothing is used before it is said
    kit_answer(&kit, kit.id, STATE_PROGRESS, 768 * MB);
    assert_int_equal(kit.store_limit, limit + 256 * MB); // and at once when it is
    assert_int_equal(kit.view.state, SCALER_RAISING);
    kit_answer(&kit, kit.id, STATE_DONE, 1024 * MB);
    assert_int_equal(kit.store_limit, limit + 512 * MB);
    assert_int_equal(kit.view.raises, 1);
    assert_int_equal(kit.view.results[SCALER_DONE], 1);
    kit_policy_target = 0;
    kit_run(&kit, 5000);
    assert_int_equal(kit.view.state, SCALER_STEADY);
    assert_int_equal(kit.requests, 1);
}

// Only one is under way (V3), whatever the policy would like meanwhile.
static void one_at_a_time(void **state)
{
    (void)state;
    begin_granted(512 * MB);
    ask_for(GB);
    kit_policy_target = 2 * GB;
    kit_run(&kit, 5000);
    kit_policy_target = 256 * MB;
    kit_run(&kit, 5000);
    assert_int_equal(kit.requests, 1);
}

// What is refused, with how long it is waited for at least and at most.
static void refusals(void **state)
{
    (void)state;
    static const struct {
        enum message_state answer;
        enum scaler_result counted;
        uint64_t granted, retry_ms, least_ms, most_ms;
    } cases[] = {
        {STATE_PARTIAL, SCALER_PARTIAL, 768 * MB, 0, 700, 2300},
        {STATE_DEFERRED, SCALER_DEFERRED, 512 * MB, 0, 700, 2300},
        {STATE_DEFERRED, SCALER_DEFERRED, 512 * MB, 20000, 20000, 26100},
        {STATE_DEFERRED, SCALER_DEFERRED, 512 * MB, MESSAGE_NUMBER_MAX, 3600000,
         4501100}, // nobody means that
        {STATE_INFEASIBLE, SCALER_INFEASIBLE, 512 * MB, 0, 224000, 376000},
        {STATE_DENIED, SCALER_DENIED, 512 * MB, 0, 224000, 376000},
        {STATE_ERROR, SCALER_ERROR, 512 * MB, 0, 700, 2300},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin_granted(512 * MB);
        ask_for(GB);
        struct response r = {.state = cases[i].answer,
                             .final = true,
                             .granted_bytes = cases[i].granted,
                             .granularity = 2 * MB,
                             .retry_ms = cases[i].retry_ms};
        memcpy(r.id, kit.id, sizeof r.id);
        uint64_t then = kit.now_ms;
        kit_answer_full(&kit, r);
        assert_int_equal(kit.view.results[cases[i].counted], 1);
        assert_int_equal(kit.view.granted_bytes, cases[i].granted);
        assert_int_equal(kit.store_limit, cases[i].granted - 116 * MB);
        kit_tick(&kit);
        if (kit.requests == 1)
            assert_int_equal(kit.view.state, SCALER_BACKING_OFF);
        while (kit.requests == 1 && kit.now_ms < then + 2 * cases[i].most_ms)
            kit_tick(&kit);
        assert_in_range(kit.now_ms - then, cases[i].least_ms, cases[i].most_ms);
        assert_string_not_equal(kit.id, r.id); // answered: asked anew
        kit_end(&kit);
    }
    begin_granted(512 * MB);
}

static void back_off_doubles_with_jitter(void **state)
{
    (void)state;
    begin_granted(512 * MB);
    ask_for(GB);
    uint64_t expected = 1000;
    bool jitter = false;
    for (int i = 0; i < 12; i++) {
        uint64_t then = kit.now_ms;
        unsigned before = kit.requests;
        kit_answer(&kit, kit.id, STATE_DEFERRED, 512 * MB);
        while (kit.requests == before)
            kit_tick(&kit);
        uint64_t waited = kit.now_ms - then;
        assert_in_range(waited, expected * 3 / 4, expected * 5 / 4 + 1100);
        jitter = jitter || waited < expected - 100 || waited > expected + 1200;
        expected = expected * 2 < 300000 ? expected * 2 : 300000;
    }
    assert_true(jitter);
    kit_answer(&kit, kit.id, STATE_DONE, GB); // and begins anew after a success
    ask_for(2 * GB);
    uint64_t then = kit.now_ms;
    kit_answer(&kit, kit.id, STATE_DEFERRED, GB);
    ask_for(2 * GB);
    assert_in_range(kit.now_ms - then, 700, 2300);
}

static void an_offer_ends_the_back_off(void **state)
{
    (void)state;
    begin_granted(512 * MB);
    ask_for(GB);
    kit_answer(&kit, kit.id, STATE_INFEASIBLE, 512 * MB);
    kit_run(&kit, 5000);
    assert_int_equal(kit.requests, 1);
    kit_event(&kit, (struct rescale_event){.type = RESCALE_OFFER, .available_bytes = GB});
    kit_run(&kit, 1100);
    assert_int_equal(kit.requests, 2);
}

static void silence_asks_again_with_the_same_id(void **state)
{
    (void)state;
    begin_granted(512 * MB);
    ask_for(GB);
    char id[65];
    memcpy(id, kit.id, sizeof id);
    kit_answer(&kit, id, STATE_ACCEPTED, 512 * MB);
    kit_run(&kit, 14900);
    assert_int_equal(kit.requests, 1); // its deadline and 5 s
    assert_int_equal(kit.view.results[SCALER_NO_ANSWER], 0);
    kit_run(&kit, 3000);
    assert_int_equal(kit.view.results[SCALER_NO_ANSWER], 1);
    assert_int_equal(kit.requests, 2);
    assert_string_equal(kit.id, id);
    assert_int_equal(kit.request.target_bytes, GB);
    kit_answer(&kit, id, STATE_DONE, GB);
    assert_int_equal(kit.view.raises, 1);
    kit_policy_target = 0;
    kit_run(&kit, 60000);
    assert_int_equal(kit.requests, 2);
}

// librescale says so itself when nothing came. What it adds is the grant of the past.
static void no_answer_by_librescale(void **state)
{
    (void)state;
    begin_granted(512 * MB);
    ask_for(GB);
    struct response r = {.state = STATE_ERROR,
                         .final = true,
                         .granted_bytes = 4 * GB,
                         .granularity = 1,
                         .detail = "no answer by the deadline (not connected: gone)"};
    char id[65];
    memcpy(id, kit.id, sizeof id);
    memcpy(r.id, id, sizeof id);
    kit_answer_full(&kit, r);
    kit_answer_full(&kit, r);
    assert_int_equal(kit.view.results[SCALER_NO_ANSWER], 1);
    assert_int_equal(kit.view.granted_bytes, 512 * MB);
    assert_int_equal(kit.view.state, SCALER_BACKING_OFF);
    kit_run(&kit, 2500);
    assert_int_equal(kit.requests, 2);
    assert_string_equal(kit.id, id);
}

// What nobody waits for is counted, and its numbers are not believed.
static void answers_out_of_turn(void **state)
{
    (void)state;
    begin_granted(512 * MB);
    ask_for(GB);
    char id[65];
    memcpy(id, kit.id, sizeof id);
    kit_answer(&kit, "somebody", STATE_DONE, 4 * GB);
    kit_answer(&kit, id, STATE_DONE, GB);
    kit_policy_target = 0;
    kit_answer(&kit, id, STATE_DONE, 4 * GB); // twice
    kit_answer(&kit, id, STATE_PROGRESS, 2 * GB);
    kit_answer(&kit, id, STATE_PARTIAL, 128 * MB);
    kit_run(&kit, 2000);
    assert_int_equal(kit.view.unexpected, 4);
    assert_int_equal(kit.view.granted_bytes, GB);
    assert_int_equal(kit.view.raises, 1);
    struct response odd = {.state = STATE_DONE, .final = false, .granted_bytes = 4 * GB, .granularity = 1};
    ask_for(2 * GB);
    memcpy(odd.id, kit.id, sizeof odd.id);
    kit_answer_full(&kit, odd);
    odd.state = (enum message_state)77;
    kit_answer_full(&kit, odd);
    odd.state = STATE_REFUSED;
    kit_answer_full(&kit, odd);
    assert_int_equal(kit.view.unexpected, 7);
    assert_int_equal(kit.view.state, SCALER_RAISING);
}

// ---- return

static void a_return(void **state)
{
    (void)state;
    begin_granted(GB);
    kit.frees_per_tick = 20 * MB;
    kit_policy_reason = POLICY_SURPLUS;
    kit_policy_target = 768 * MB;
    while (kit.view.state != SCALER_RELEASING)
        kit_tick(&kit);
    assert_int_equal(kit.store_limit, (768 - 116) * MB); // lowered first
    assert_int_equal(kit.requests, 0);
    assert_int_equal(kit.view.granted_bytes, GB);
    while (kit.requests == 0)
        kit_tick(&kit);
    assert_true(kit.used_at_request <= 768 * MB); // then looked at, then asked
    assert_int_equal(kit.request.target_bytes, 768 * MB);
    assert_int_equal(kit.view.state, SCALER_RETURNING);
    kit_policy_target = 0;
    kit_answer(&kit, kit.id, STATE_ACCEPTED, GB); // still all of it, but it has been asked to be taken
    kit_run(&kit, 1000);
    assert_int_equal(kit.store_limit, (768 - 116) * MB);
    kit_answer(&kit, kit.id, STATE_DONE, 768 * MB);
    kit_run(&kit, 2000);
    assert_int_equal(kit.view.returns, 1);
    assert_int_equal(kit.view.state, SCALER_STEADY);
    assert_int_equal(kit.store_limit, (768 - 116) * MB);
    assert_int_equal(kit.requests, 1);
}

static void a_return_that_the_platform_cannot_take(void **state)
{
    (void)state;
    begin_granted(GB);
    kit_policy_reason = POLICY_SURPLUS;
    ask_for(768 * MB);
    kit_answer(&kit, kit.id, STATE_PARTIAL, 900 * MB);
    assert_int_equal(kit.store_limit, (900 - 116) * MB); // what it left may be used again
    assert_int_equal(kit.view.returns, 0);
    ask_for(768 * MB);
}

static void a_return_that_is_not_freed(void **state)
{
    (void)state;
    begin_granted(GB);
    kit.frees_per_tick = 1;
    kit_policy_reason = POLICY_SURPLUS;
    kit_policy_target = 768 * MB;
    kit_run(&kit, 1500);
    assert_int_equal(kit.view.state, SCALER_RELEASING);
    kit_run(&kit, 10000);
    assert_int_equal(kit.requests, 0);
    assert_int_equal(kit.view.results[SCALER_NOT_FREED], 1);
    assert_int_equal(kit.view.state, SCALER_BACKING_OFF);
    assert_int_equal(kit.store_limit, (1024 - 116) * MB); // the old size is kept
    assert_non_null(strstr(kit.view.last_answer, "not freed"));
}

// After a return that nobody answered the memory may be gone: it stays unused until somebody says how it is.
static void a_return_in_silence(void **state)
{
    (void)state;
    begin_granted(GB);
    kit_policy_reason = POLICY_SURPLUS;
    ask_for(768 * MB);
    char id[65];
    memcpy(id, kit.id, sizeof id);
    kit_run(&kit, 36000);
    assert_true(kit.view.results[SCALER_NO_ANSWER] == 1);
    assert_int_equal(kit.store_limit, (768 - 116) * MB);
    kit_run(&kit, 3000);
    assert_int_equal(kit.requests, 2);
    assert_string_equal(kit.id, id);
    // Even a raise that comes first takes the return as done.
    while (kit.view.results[SCALER_NO_ANSWER] < 2)
        kit_tick(&kit);
    kit_policy_reason = POLICY_GOAL;
    kit_policy_target = 2 * GB;
    kit_run(&kit, 1100);
    assert_int_equal(kit.requests, 3);
    assert_string_not_equal(kit.id, id);
    assert_int_equal(kit.view.granted_bytes, 768 * MB);
    assert_int_equal(kit.store_limit, (768 - 116) * MB);
    kit_answer(&kit, kit.id, STATE_PARTIAL, GB);
    assert_int_equal(kit.store_limit, (1024 - 116) * MB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_grant_is_what_may_be_used, teardown),
        cmocka_unit_test_teardown(a_raise, teardown),
        cmocka_unit_test_teardown(one_at_a_time, teardown),
        cmocka_unit_test_teardown(refusals, teardown),
        cmocka_unit_test_teardown(back_off_doubles_with_jitter, teardown),
        cmocka_unit_test_teardown(an_offer_ends_the_back_off, teardown),
        cmocka_unit_test_teardown(silence_asks_again_with_the_same_id, teardown),
        cmocka_unit_test_teardown(no_answer_by_librescale, teardown),
        cmocka_unit_test_teardown(answers_out_of_turn, teardown),
        cmocka_unit_test_teardown(a_return, teardown),
        cmocka_unit_test_teardown(a_return_that_the_platform_cannot_take, teardown),
        cmocka_unit_test_teardown(a_return_that_is_not_freed, teardown),
        cmocka_unit_test_teardown(a_return_in_silence, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
