// Peers that are many, fast or slow: too many messages, peers that do not read, places that silent ones take.
#include "scaleupd_session_kit.h"

#include <stdlib.h>

// 300 messages at once: 200 go through, the others wait for their time. None is lost.
static void too_many_messages(void **state)
{
    (void)state;
    kit_start(256, 60000);
    uint64_t began_ns = clock_ns();
    int fd = kit_dial();
    kit_say(fd, HELLO_VNF);
    char pings[300 * (sizeof PING - 1) + 1] = "";
    for (size_t i = 0; i < 300; i++)
        memcpy(pings + i * (sizeof PING - 1), PING, sizeof PING);
    kit_say(fd, pings); // in one go: said one by one on a slow machine they are not too many
    UNTIL(owner.messages == 300);
    assert_true(clock_ns() - began_ns >= 900000000u);
    scaleupd_server_get_stats(server, &stats);
    assert_int_not_equal(stats.throttled, 0);
    (void)close(fd);
    UNTIL(owner.gone == 1);
    kit_stop();
}

// A rescale counts for ten: 30 at once take a second.
static void too_many_rescales(void **state)
{
    (void)state;
    kit_start(256, 60000);
    uint64_t began_ns = clock_ns();
    int fd = kit_dial();
    kit_say(fd, HELLO_VNF);
    for (int i = 0; i < 30; i++)
        kit_say(fd, "{\"type\":\"rescale\",\"id\":\"1\",\"target_bytes\":5}\n");
    UNTIL(owner.messages == 30);
    assert_true(clock_ns() - began_ns >= 800000000u);
    (void)close(fd);
    UNTIL(owner.gone == 1);
    kit_stop();
}

static void too_many_hellos(void **state)
{
    (void)state;
    kit_start(256, 60000);
    owner.often = true;
    int fd = kit_dial();
    kit_say(fd, HELLO_VNF);
    REFUSED(fd, "busy");
    assert_int_equal(owner.hellos, 0);
    UNTIL(kit_has_ended());
    assert_int_equal(stats.busy, 1);
    kit_stop();
}

// A peer that asks and does not read is not read from; one that is told much and does not read is dropped.
static void peer_that_does_not_read(void **state)
{
    struct message status = {.type = MESSAGE_STATUS, .granularity = 1, .vnf_count = 200};
    (void)state;
    kit_start(256, 60000);
    status.vnfs = calloc(status.vnf_count, sizeof *status.vnfs);
    assert_non_null(status.vnfs);
    for (size_t i = 0; i < status.vnf_count; i++) {
        (void)strcpy(status.vnfs[i].vnf, "ks1");
        (void)strcpy(status.vnfs[i].backend, "simulated");
        (void)strcpy(status.vnfs[i].change, "none");
    }
    int fd = kit_dial();
    kit_say(fd, HELLO_OPERATOR);
    UNTIL(owner.hellos == 1);
    for (int i = 0; i < 100 && owner.gone == 0; i++) {
        scaleupd_server_send(server, owner.session, &status);
        kit_turn();
    }
    UNTIL(owner.gone == 1);
    scaleupd_server_get_stats(server, &stats);
    assert_int_equal(stats.overflows, 1);
    (void)close(fd);
    message_release(&status);
    kit_stop();
}

static void places_for_operators(void **state)
{
    int plain[8], operators[8];
    (void)state;
    kit_start(16, 60000);
    for (int i = 0; i < 8; i++)
        kit_say(plain[i] = kit_dial(), HELLO_VNF);
    UNTIL(owner.hellos == 8);
    REFUSED(kit_dial(), "busy");
    owner.operators = true;
    // Who may be an operator and says that it is a VNF has no better place than others.
    int fd = kit_dial();
    kit_say(fd, HELLO_VNF);
    REFUSED(fd, "busy");
    UNTIL((scaleupd_server_get_stats(server, &stats), stats.connections == 8));
    for (int i = 0; i < 8; i++)
        kit_say(operators[i] = kit_dial(), HELLO_OPERATOR);
    UNTIL(owner.hellos == 16);
    REFUSED(kit_dial(), "busy");
    (void)close(operators[0]);
    UNTIL(owner.gone == 1);
    kit_say(operators[0] = kit_dial(), HELLO_OPERATOR);
    UNTIL(owner.hellos == 17);
    for (int i = 0; i < 8; i++) {
        (void)close(plain[i]);
        (void)close(operators[i]);
    }
    UNTIL(kit_has_ended());
    kit_stop();
}

// Connections that say nothing do not keep an operator out: the oldest of them makes room.
static void silent_ones_make_room(void **state)
{
    int plain[8], operators[8];
    (void)state;
    kit_start(16, 60000);
    for (int i = 0; i < 8; i++)
        plain[i] = kit_dial();
    owner.operators = true;
    for (int i = 0; i < 8; i++)
        kit_say(operators[i] = kit_dial(), HELLO_OPERATOR);
    UNTIL(owner.hellos == 8);
    int one_more = kit_dial();
    kit_say(one_more, HELLO_OPERATOR);
    UNTIL(owner.hellos == 9);
    heard_len = 0;
    UNTIL(kit_end_of(plain[0]));
    assert_false(kit_end_of(plain[1]));
    (void)close(one_more);
    for (int i = 0; i < 8; i++) {
        (void)close(plain[i]);
        (void)close(operators[i]);
    }
    UNTIL(kit_has_ended());
    kit_stop();
}

// Nor do they keep a VNF out, whether those that said nothing are known or not.
static void silent_ones_do_not_lock_out(void **state)
{
    int silent[12];
    (void)state;
    kit_start(16, 60000);
    for (int i = 0; i < 8; i++)
        silent[i] = kit_dial();
    int vnf = kit_dial();
    kit_say(vnf, HELLO_VNF);
    UNTIL(owner.hellos == 1);
    REFUSED(silent[0], "busy");
    scaleupd_server_get_stats(server, &stats);
    assert_int_equal(stats.busy, 1);
    owner.strangers = true;
    for (int i = 8; i < 12; i++) {
        silent[i] = kit_dial();
        REFUSED(silent[i], "denied");
    }
    assert_false(kit_end_of(silent[1])); // strangers take nobody's place
    scaleupd_server_get_stats(server, &stats);
    assert_int_equal(stats.denied, 4);
    assert_int_equal(stats.busy, 1);
    (void)close(vnf);
    for (int i = 1; i < 8; i++)
        (void)close(silent[i]);
    UNTIL(kit_has_ended());
    kit_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_messages),
        cmocka_unit_test(too_many_rescales),
        cmocka_unit_test(too_many_hellos),
        cmocka_unit_test(peer_that_does_not_read),
        cmocka_unit_test(places_for_operators),
        cmocka_unit_test(silent_ones_make_room),
        cmocka_unit_test(silent_ones_do_not_lock_out),
    };
    return cmocka_run_group_tests(tests, kit_make_folder, kit_remove_folder);
}
