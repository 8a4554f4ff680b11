// CLIENT: who is connected, ending others' connections, holding commands up, replies that nobody wants.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/resp/command.h"
#include "kvstore/resp/gate.h"
#include "tests/unit/kvstore/resp_kit.h"

static struct resp_session other;
static unsigned kills;

static void on_kill(struct resp_session *session)
{
    assert_ptr_equal(session, &other);
    kills++;
}

static int setup(void **state)
{
    (void)resp_kit_setup(state);
    memset(&other, 0, sizeof other);
    (void)snprintf(other.peer, sizeof other.peer, "10.0.0.1:1234");
    (void)snprintf(other.local, sizeof other.local, "10.0.0.2:6379");
    other.kill = on_kill;
    resp_session_init(&other, &kit.shared);
    kills = 0;
    return 0;
}

static int teardown(void **state)
{
    resp_session_deinit(&other);
    return resp_kit_teardown(state);
}

// What follows a primary runs commands as a session, but is no client of ours.
static void primary_is_no_client(void **state)
{
    struct resp_session link = {.from_primary = true};
    char before[1024];
    (void)state;
    (void)snprintf(before, sizeof before, "%s", resp_kit_run("client list"));
    resp_session_init(&link, &kit.shared);
    assert_string_equal(resp_kit_run("client list"), before);
    assert_null(strstr(before, "id=3 "));
    EXPECT("client kill id 3", ":0\r\n");
    EXPECT("client kill type normal skipme yes maxage 100000", ":0\r\n");
    resp_session_deinit(&link);
    assert_string_equal(resp_kit_run("client list"), before);
}

static void lists(void **state)
{
    (void)state;
    EXPECT("client setname me", OK);
    const char *text = resp_kit_run("client info");
    assert_non_null(
        strstr(text, "id=1 addr=/s:0 laddr=/s:0 fd=0 name=me age=0 idle=0 flags=U db=0 sub=0 psub=0 ssub=0 "
                     "multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 "
                     "tot-mem=0 events=r cmd=client|info user=default redir=-1 resp=2"));
    text = resp_kit_run("client list");
    assert_non_null(strstr(text, "id=1 "));
    assert_non_null(
        strstr(text, "id=2 addr=10.0.0.1:1234 laddr=10.0.0.2:6379 fd=0 name= age=0 idle=0 flags=N "));
    assert_non_null(strstr(text, " cmd=NULL "));
    assert_null(strstr(resp_kit_run("client list id 2"), "id=1 "));
    assert_non_null(strstr(resp_kit_run("client list id 1 2"), "id=1 "));
    assert_non_null(strstr(resp_kit_run("client list type normal"), "id=2 "));
    EXPECT("client list type master", "$0\r\n\r\n");
    EXPECT("client list type pubsub", "$0\r\n\r\n");
    EXPECT("client list type", "-ERR syntax error\r\n");
    EXPECT("client list type foo", "-ERR Unknown client type 'foo'\r\n");
    EXPECT("client list id x", "-ERR Invalid client ID\r\n");
    atomic_store(&other.held.query_bytes, 26);
    atomic_store(&other.held.output_bytes, 7);
    assert_non_null(strstr(resp_kit_run("client list id 2"), " qbuf=26 "));
    assert_non_null(strstr(resp_kit_run("client list id 2"), " oll=1 omem=7 "));
}

static void kill_one(void **state)
{
    (void)state;
    EXPECT("client kill 10.0.0.1:1234", OK);
    EXPECT("client kill 10.0.0.1:123", "-ERR No such client\r\n");
    EXPECT("client kill id", "-ERR No such client\r\n");
    assert_int_equal(kills, 1);
    EXPECT("client kill id 2", ":1\r\n");
    EXPECT("client kill id 9", ":0\r\n");
    EXPECT("client kill id 1", ":0\r\n"); // oneself: spared
    EXPECT("client kill addr 10.0.0.1:1234 laddr 10.0.0.2:6379 type normal user default", ":1\r\n");
    EXPECT("client kill laddr 10.0.0.9:6379", ":0\r\n");
    EXPECT("client kill type pubsub", ":0\r\n");
    EXPECT("client kill type normal skipme yes", ":1\r\n");
    EXPECT("client kill maxage 1 skipme yes", ":0\r\n");
    fake.now_ms += 5000;
    EXPECT("client kill maxage 5", ":1\r\n");
    EXPECT("client kill maxage 6", ":0\r\n");
    assert_int_equal(kills, 5);
}

static void kill_refuses(void **state)
{
    (void)state;
    EXPECT("client kill id x", "-ERR client-id should be greater than 0\r\n");
    EXPECT("client kill id 0", "-ERR client-id should be greater than 0\r\n");
    EXPECT("client kill type foo", "-ERR Unknown client type 'foo'\r\n");
    EXPECT("client kill user foo", "-ERR No such user 'foo'\r\n");
    EXPECT("client kill skipme foo", "-ERR syntax error\r\n");
    EXPECT("client kill id 2 type", "-ERR syntax error\r\n");
    EXPECT("client kill foo bar", "-ERR syntax error\r\n");
    EXPECT("client kill maxage 0", "-ERR maxage should be greater than 0\r\n");
    assert_int_equal(kills, 0);
}

// Proves: who ends his own connection gets the answer first.
static void kill_oneself(void **state)
{
    (void)state;
    EXPECT("client kill id 1 skipme no", ":1\r\n");
    assert_true(kit.session.close_after);
}

static void replies(void **state)
{
    (void)state;
    EXPECT("client reply foo", "-ERR syntax error\r\n");
    EXPECT("client reply off\r\nping\r\nnope\r\nset a 1", "");
    assert_false(resp_session_is_plain(&kit.session));
    EXPECT("client reply on", OK);
    assert_true(resp_session_is_plain(&kit.session));
    EXPECT("get a", "$1\r\n1\r\n");
    EXPECT("client reply skip\r\nping\r\nping", "+PONG\r\n");
    EXPECT("client reply skip\r\nclient reply on\r\nping", OK "+PONG\r\n");
    EXPECT("client reply off\r\nclient reply skip\r\nping", "");
    EXPECT("reset", "+RESET\r\n"); // as Redis: it ends this, too
    EXPECT("ping", "+PONG\r\n");
}

static void switches(void **state)
{
    (void)state;
    EXPECT("client no-evict foo", "-ERR syntax error\r\n");
    EXPECT("client no-evict on", OK);
    EXPECT("client no-touch on", OK);
    assert_non_null(strstr(resp_kit_run("client info"), "flags=UeT "));
    EXPECT("reset", "+RESET\r\n"); // as Redis 7.0: NO-EVICT stays
    assert_non_null(strstr(resp_kit_run("client info"), "flags=Ue "));
    EXPECT("client no-evict off", OK);
    EXPECT("client no-touch off", OK);
    assert_non_null(strstr(resp_kit_run("client info"), "flags=U "));
    EXPECT("client unblock 2", ":0\r\n");
    EXPECT("client unblock 2 timeout", ":0\r\n");
    EXPECT("client unblock 2 foo", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n");
    EXPECT("client unblock x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("client unblock 2 error foo",
           "-ERR unknown subcommand or wrong number of arguments for 'unblock'. Try CLIENT HELP.\r\n");
}

// ---- PAUSE

// As a loop does it.
static enum resp_run on_a_loop(const char *word, const char *key)
{
    const struct resp_arg args[] = {{(const uint8_t *)word, strlen(word)},
                                    {(const uint8_t *)key, strlen(key)}};
    struct resp_reply reply;
    resp_reply_init(&reply, 0);
    enum resp_run run = resp_command_run(&kit.session, &reply, args, 2, false);
    if (run == RESP_RUN_AGAIN)
        assert_int_equal(resp_reply_length(&reply), 0);
    resp_reply_deinit(&reply);
    return run;
}

static void pause_refuses(void **state)
{
    (void)state;
    EXPECT("client pause x", "-ERR timeout is not an integer or out of range\r\n");
    EXPECT("client pause -1", "-ERR timeout is negative\r\n");
    EXPECT("client pause x foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n");
    EXPECT("client pause 1 all x",
           "-ERR unknown subcommand or wrong number of arguments for 'pause'. Try CLIENT HELP.\r\n");
    EXPECT("ping", "+PONG\r\n");
}

static void pause_holds(void **state)
{
    (void)state;
    kit.shared.fsync = KV_FSYNC_NEVER; // writes may run on a loop
    EXPECT("client pause 100000000 write", OK);
    assert_int_equal(on_a_loop("get", "a"), RESP_RUN_DONE);
    assert_int_equal(on_a_loop("ping", "a"), RESP_RUN_DONE);
    assert_int_equal(on_a_loop("del", "a"), RESP_RUN_AGAIN);
    EXPECT("client unpause", OK);
    assert_int_equal(on_a_loop("del", "a"), RESP_RUN_DONE);
    EXPECT("client pause 9223372036854775807", OK);
    assert_int_equal(on_a_loop("ping", "a"), RESP_RUN_AGAIN);
    assert_false(resp_session_is_plain(&kit.session));       // its GETs are not fetched past the gate
    assert_int_equal(on_a_loop("nope", "a"), RESP_RUN_DONE); // an error, at once
    resp_pause_end(&kit.shared.pause);
    assert_int_equal(on_a_loop("ping", "a"), RESP_RUN_DONE);
}

// Proves: on a worker the command runs when the pause ends by itself, and the next pause does not inherit its mode.
static void pause_ends_by_itself(void **state)
{
    (void)state;
    EXPECT("client pause 30 all", OK);
    EXPECT("set a 1", OK); // waits
    assert_int_equal(atomic_load(&kit.shared.pause.mode), RESP_PAUSE_NONE);
    EXPECT("client pause 100000000 write", OK);
    EXPECT("get a", "$1\r\n1\r\n");
}

static void *end_it(void *arg)
{
    bool stop = arg != NULL;
    while (atomic_load(&kit.shared.pause.waiting) == 0)
        (void)usleep(1000);
    (stop ? resp_pause_stop : resp_pause_end)(&kit.shared.pause);
    return NULL;
}

// Proves: UNPAUSE and the server's stop let go of commands that wait.
static void waiters_are_let_go(void **state)
{
    pthread_t thread;
    (void)state;
    for (int stop = 0; stop < 2; stop++) {
        EXPECT("client pause 100000000 write", OK);
        assert_int_equal(pthread_create(&thread, NULL, end_it, stop != 0 ? &thread : NULL), 0);
        EXPECT("set a 2", OK);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    EXPECT("client pause 100000000 write", OK); // stopped: holds nothing any more
    EXPECT("set a 3", OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lists),
        TEST(primary_is_no_client),
        TEST(kill_one),
        TEST(kill_refuses),
        TEST(kill_oneself),
        TEST(replies),
        TEST(switches),
        TEST(pause_refuses),
        TEST(pause_holds),
        TEST(pause_ends_by_itself),
        TEST(waiters_are_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
