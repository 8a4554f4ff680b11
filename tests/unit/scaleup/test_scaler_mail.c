// The scaler's mailbox: bounded whatever comes, in order, the latest of each kind.
#include "scaler_kit.h"

#include <stdio.h>
#include <string.h>

#include "scaleup/scaler_mail.h"

static struct scaler_mail mail;
static struct rescale_event event;
static struct response response;

static int setup(void **state)
{
    (void)state;
    memset(&mail, 0, sizeof mail);
    return 0;
}

static void post(enum rescale_event_type type, uint64_t granted)
{
    scaler_mail_event(&mail, &(struct rescale_event){.type = type, .granted_bytes = granted});
}

static void answer(const char *id, enum message_state state, uint64_t granted)
{
    struct response r = {.state = state, .final = message_state_is_final(state), .granted_bytes = granted};
    (void)snprintf(r.id, sizeof r.id, "%s", id);
    scaler_mail_answer(&mail, &r);
}

static void order_and_latest(void **state)
{
    (void)state;
    assert_int_equal(scaler_mail_take(&mail, &event, &response), SCALER_MAIL_NONE);
    for (uint64_t i = 0; i < 100000; i++) {
        post(RESCALE_CONNECTED, i);
        post(RESCALE_GRANT, i);
        answer("a", STATE_PROGRESS, i);
    }
    post(RESCALE_DISCONNECTED, 0);
    post(RESCALE_CONNECTED, 7);
    post((enum rescale_event_type)99, 7);
    assert_int_equal(scaler_mail_take(&mail, &event, &response), SCALER_MAIL_EVENT);
    assert_int_equal(event.type, RESCALE_GRANT);
    assert_int_equal(event.granted_bytes, 99999);
    assert_int_equal(scaler_mail_take(&mail, &event, &response), SCALER_MAIL_ANSWER);
    assert_int_equal(response.granted_bytes, 99999);
    assert_int_equal(scaler_mail_take(&mail, &event, &response), SCALER_MAIL_EVENT);
    assert_int_equal(event.type, RESCALE_DISCONNECTED);
    assert_int_equal(scaler_mail_take(&mail, &event, &response), SCALER_MAIL_EVENT);
    assert_int_equal(event.granted_bytes, 7);
    assert_int_equal(scaler_mail_take(&mail, &event, &response), SCALER_MAIL_NONE);
}

// A final answer is not overtaken by what comes after it; a request of long ago gives way.
static void answers(void **state)
{
    char id[16];
    (void)state;
    answer("a", STATE_DONE, 1);
    answer("a", STATE_PARTIAL, 2);
    answer("b", STATE_ACCEPTED, 3);
    assert_int_equal(scaler_mail_take(&mail, &event, &response), SCALER_MAIL_ANSWER);
    assert_int_equal(response.granted_bytes, 1);
    assert_int_equal(scaler_mail_take(&mail, &event, &response), SCALER_MAIL_ANSWER);
    assert_string_equal(response.id, "b");
    for (uint64_t i = 0; i < 10; i++) {
        (void)snprintf(id, sizeof id, "%u", (unsigned)i);
        answer(id, STATE_DONE, i);
    }
    for (uint64_t i = 10 - SCALER_MAIL_ANSWERS; i < 10; i++) {
        assert_int_equal(scaler_mail_take(&mail, &event, &response), SCALER_MAIL_ANSWER);
        assert_int_equal(response.granted_bytes, i);
    }
    assert_int_equal(scaler_mail_take(&mail, &event, &response), SCALER_MAIL_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(order_and_latest, setup),
        cmocka_unit_test_setup(answers, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
