// What a peer can do to the daemon's sockets: everything in its bounds, and each refusal said before the connection ends.
#include "scaleupd_session_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/socket.h>

static void a_session(void **state)
{
    (void)state;
    kit_start(256, 60000);
    struct stat st;
    assert_int_equal(stat(address + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    int fd = kit_dial();
    for (const char *c = HELLO_VNF; *c != '\0'; c++) // a line may come in as many pieces as it likes
        kit_say_bytes(fd, c, 1);
    UNTIL(owner.hellos == 1);
    kit_say(fd, PING "{\"type\":\"rescale\",\"id\":\"1\",\"target_bytes\":5}\r\n");
    UNTIL(owner.messages == 2);
    assert_int_equal(owner.type, MESSAGE_RESCALE);
    scaleupd_server_send(server, owner.session, &(struct message){.type = MESSAGE_PONG});
    heard_len = 0;
    UNTIL(kit_hears(fd, "{\"type\":\"pong\"}\n"));
    (void)close(fd);
    UNTIL(owner.gone == 1);
    assert_true(kit_has_ended());
    scaleupd_server_send(server, owner.session, &(struct message){.type = MESSAGE_PONG}); // too late: nothing
    scaleupd_server_close(server, owner.session);
    kit_stop();
}

// The owner closes: what was said before arrives, gone() follows.
static void closed_by_owner(void **state)
{
    (void)state;
    kit_start(256, 60000);
    int fd = kit_dial();
    kit_say(fd, HELLO_VNF);
    UNTIL(owner.hellos == 1);
    struct message message = {.type = MESSAGE_ERROR, .code = ERROR_REPLACED};
    scaleupd_server_send(server, owner.session, &message);
    scaleupd_server_close(server, owner.session);
    scaleupd_server_send(server, owner.session, &message); // nothing after the end
    REFUSED(fd, "replaced");
    assert_ptr_equal(strchr(heard, '\n'), heard + heard_len - 1);
    UNTIL(owner.gone == 1);
    kit_stop();
}

static void first_words(void **state)
{
    static const struct {
        const char *text, *code;
    } cases[] = {
        {PING, "unexpected"},
        {"{\"type\":\"later\"}\n", "unexpected"},
        {"\n", "malformed"},
        {"GET / HTTP/1.1\r\n\r\n", "malformed"},
        {"{\"type\":\"hello\"}\n", "malformed"},
        {"{\"type\":\"hello\",\"version\":1,\"role\":\"vnf\",\"vnf\":\"../x\"}\n", "malformed"},
        {"\x16\x03\x01\x02\x01\n", "malformed"},
    };
    (void)state;
    kit_start(256, 60000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = kit_dial();
        char code[64];
        kit_say(fd, cases[i].text);
        (void)snprintf(code, sizeof code, "\"code\":\"%s\"", cases[i].code);
        if (strstr(kit_last_words(fd), code) == NULL)
            fail_msg("case %zu: heard %s", i, heard);
    }
    int fd = kit_dial();
    kit_say_bytes(fd, "{\"type\":\"he\0llo\"}\n", 18);
    REFUSED(fd, "malformed");
    UNTIL(kit_has_ended());
    assert_int_equal(owner.hellos, 0);
    assert_int_equal(owner.gone, 0); // of what its owner never heard of it does not tell
    kit_stop();
}

static void refused_by_owner(void **state)
{
    (void)state;
    kit_start(256, 60000);
    owner.refuse = true;
    owner.code = ERROR_UNKNOWN_VNF;
    int fd = kit_dial();
    kit_say(fd, HELLO_VNF PING);
    REFUSED(fd, "unknown_vnf");
    assert_non_null(strstr(heard, "no, ks1"));
    assert_int_equal(owner.hellos + owner.messages, 0);
    UNTIL(kit_has_ended());
    assert_int_equal(stats.denied, 1);
    kit_stop();
}

static void line_lengths(void **state)
{
    char *line = malloc(MESSAGE_LINE_MAX + 1);
    (void)state;
    assert_non_null(line);
    kit_start(256, 60000);
    // As long as may be: spaces before the end.
    memset(line, ' ', MESSAGE_LINE_MAX);
    memcpy(line, HELLO_VNF, strlen(HELLO_VNF) - 1);
    line[MESSAGE_LINE_MAX - 1] = '\n';
    int fd = kit_dial();
    kit_say_bytes(fd, line, MESSAGE_LINE_MAX);
    UNTIL(owner.hellos == 1);
    // One more.
    line[MESSAGE_LINE_MAX - 1] = ' ';
    line[MESSAGE_LINE_MAX] = '\n';
    kit_say_bytes(fd, line, MESSAGE_LINE_MAX + 1);
    REFUSED(fd, "malformed");
    UNTIL(owner.gone == 1);
    // And without end.
    fd = kit_dial();
    kit_say_bytes(fd, line, MESSAGE_LINE_MAX);
    REFUSED(fd, "malformed");
    UNTIL(kit_has_ended());
    free(line);
    kit_stop();
}

static void no_hello_in_time(void **state)
{
    (void)state;
    kit_start(256, 30);
    int silent = kit_dial(), slow = kit_dial();
    kit_say(slow, "{\"type\":\"hel");
    REFUSED(silent, "timeout");
    REFUSED(slow, "timeout");
    UNTIL(kit_has_ended());
    assert_int_equal(stats.timeouts, 2);
    kit_stop();
}

static void what_is_unexpected_stays(void **state)
{
    (void)state;
    kit_start(256, 60000);
    int fd = kit_dial();
    kit_say(fd, HELLO_VNF HELLO_VNF "{\"type\":\"later\"}\n{\"type\":\"pong\"}\n" PING);
    UNTIL(owner.messages == 1);
    assert_int_equal(owner.hellos, 1);
    heard_len = 0;
    UNTIL(kit_hears(fd, "servers"));
    assert_non_null(strstr(heard, "hello has been said"));
    assert_non_null(strstr(heard, "not known"));
    kit_say(fd, "{\"type\":\"ping\",\"type\":\"ping\"}\n");
    REFUSED(fd, "malformed");
    UNTIL(owner.gone == 1);
    kit_stop();
}

static void rights_taken_away(void **state)
{
    (void)state;
    kit_start(256, 60000);
    int fd = kit_dial();
    kit_say(fd, HELLO_VNF);
    UNTIL(owner.hellos == 1);
    scaleupd_server_recheck(server);
    kit_say(fd, PING);
    UNTIL(owner.messages == 1); // still there
    owner.refuse = true;
    owner.code = ERROR_DENIED;
    scaleupd_server_recheck(server);
    REFUSED(fd, "denied");
    UNTIL(owner.gone == 1);
    kit_stop();
}

// Sent and shut: the answers still come.
static void half_closed(void **state)
{
    (void)state;
    kit_start(256, 60000);
    int fd = kit_dial();
    kit_say(fd, HELLO_VNF "{\"type\":\"later\"}\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_non_null(strstr(kit_last_words(fd), "unexpected"));
    UNTIL(owner.gone == 1);
    kit_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session),
        cmocka_unit_test(closed_by_owner),
        cmocka_unit_test(first_words),
        cmocka_unit_test(refused_by_owner),
        cmocka_unit_test(line_lengths),
        cmocka_unit_test(no_hello_in_time),
        cmocka_unit_test(what_is_unexpected_stays),
        cmocka_unit_test(rights_taken_away),
        cmocka_unit_test(half_closed),
    };
    return cmocka_run_group_tests(tests, kit_make_folder, kit_remove_folder);
}
