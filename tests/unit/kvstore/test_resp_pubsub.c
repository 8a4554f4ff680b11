// Publish and subscribe: replies and messages are those of Redis 7.0.15, but that a publisher's own message comes behind its reply. Keyspace notifications.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/events.h"
#include "kvstore/resp/notify.h"
#include "kvstore/resp/pubsub.h"
#include "tests/unit/kvstore/resp_peers.h"

static struct peer a, b;

static int setup(void **state)
{
    int rc = resp_kit_setup(state);
    peer_open(&a);
    peer_open(&b);
    return rc;
}

static int teardown(void **state)
{
    peer_close(&a);
    peer_close(&b);
    return resp_kit_teardown(state);
}

#define ONLY(name)                                                                                           \
    "-ERR Can't execute '" name "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "       \
    "allowed in this context\r\n"

static void resp2(void **state)
{
    (void)state;
    SAYS(&a, "subscribe a b a",
         "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"
         "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:2\r\n");
    SAYS(&a, "psubscribe p*", "*3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:3\r\n");
    SAYS(&a, "ssubscribe sh", "*3\r\n$10\r\nssubscribe\r\n$2\r\nsh\r\n:1\r\n");
    SAYS(&a, "ping", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    SAYS(&a, "ping x", "*2\r\n$4\r\npong\r\n$1\r\nx\r\n");
    SAYS(&a, "get a", ONLY("get"));
    SAYS(&a, "client list", ONLY("client|list"));
    SAYS(&a, "foo", "-ERR unknown command 'foo', with args beginning with: \r\n");
    SAYS(&a, "multi", ONLY("multi"));
    SAYS(&b, "publish a hi", ":1\r\n");
    SAYS(&b, "publish p1 hi", ":1\r\n");
    SAYS(&b, "spublish sh hi", ":1\r\n");
    SAYS(&b, "spublish a hi", ":0\r\n");
    SAYS(&b, "publish sh hi", ":0\r\n");
    HEARS(&a, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
              "*4\r\n$8\r\npmessage\r\n$2\r\np*\r\n$2\r\np1\r\n$2\r\nhi\r\n"
              "*3\r\n$8\r\nsmessage\r\n$2\r\nsh\r\n$2\r\nhi\r\n");
    SAYS(&a, "unsubscribe a b",
         "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n");
    SAYS(&a, "punsubscribe x", "*3\r\n$12\r\npunsubscribe\r\n$1\r\nx\r\n:1\r\n");
    SAYS(&a, "punsubscribe", "*3\r\n$12\r\npunsubscribe\r\n$2\r\np*\r\n:0\r\n");
    SAYS(&a, "get a", ONLY("get"));
    SAYS(&a, "sunsubscribe", "*3\r\n$12\r\nsunsubscribe\r\n$2\r\nsh\r\n:0\r\n");
    SAYS(&a, "unsubscribe", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
    SAYS(&a, "unsubscribe zz", "*3\r\n$11\r\nunsubscribe\r\n$2\r\nzz\r\n:0\r\n");
    SAYS(&a, "sunsubscribe", "*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:0\r\n");
    SAYS(&a, "get a", NIL);
    SAYS(&a, "subscribe", "-ERR wrong number of arguments for 'subscribe' command\r\n");
    SAYS(&b, "publish a hi", ":0\r\n");
    HEARS(&a, "");
}

static void resp3(void **state)
{
    (void)state;
    (void)peer_run(&a, "hello 3");
    SAYS(&a, "subscribe a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    SAYS(&a, "get q", "_\r\n"); // anything is allowed
    SAYS(&a, "ping", "+PONG\r\n");
    SAYS(&b, "subscribe a", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    SAYS(&a, "publish a hi", ":2\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
    HEARS(&b, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"); // each in its protocol
    SAYS(&a, "unsubscribe", ">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n");
    SAYS(&a, "multi", OK);
    SAYS(&a, "unsubscribe", "+QUEUED\r\n");
    SAYS(&a, "exec", "*1\r\n>3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n");
}

static void pubsub_asks(void **state)
{
    (void)state;
    (void)peer_run(&a, "subscribe a bb");
    (void)peer_run(&a, "psubscribe p* q*");
    (void)peer_run(&a, "ssubscribe s");
    SAYS(&b, "pubsub numsub a z", "*4\r\n$1\r\na\r\n:1\r\n$1\r\nz\r\n:0\r\n");
    SAYS(&b, "pubsub numsub", "*0\r\n");
    SAYS(&b, "pubsub channels", "*2\r\n$1\r\na\r\n$2\r\nbb\r\n");
    SAYS(&b, "pubsub channels b*", "*1\r\n$2\r\nbb\r\n");
    SAYS(&b, "pubsub numpat", ":2\r\n");
    SAYS(&b, "pubsub shardnumsub s", "*2\r\n$1\r\ns\r\n:1\r\n");
    SAYS(&b, "pubsub shardchannels", "*1\r\n$1\r\ns\r\n");
    SAYS(&b, "pubsub foo", "-ERR unknown subcommand 'foo'. Try PUBSUB HELP.\r\n");
    SAYS(&b, "pubsub numpat x", "-ERR wrong number of arguments for 'pubsub|numpat' command\r\n");
    SAYS(&b, "pubsub channels a b",
         "-ERR unknown subcommand or wrong number of arguments for 'channels'. Try PUBSUB HELP.\r\n");
    SAYS(&a, "reset", "+RESET\r\n");
    SAYS(&b, "pubsub channels", "*0\r\n");
    SAYS(&b, "pubsub numpat", ":0\r\n");
}

// Proves: who ends is forgotten; a session's names are bounded.
static void ends_and_bounds(void **state)
{
    struct peer c;
    (void)state;
    peer_open(&c);
    (void)peer_run(&c, "subscribe a");
    (void)peer_run(&c, "psubscribe a*");
    SAYS(&b, "publish a x", ":2\r\n");
    peer_close(&c);
    SAYS(&b, "publish a x", ":0\r\n");
    assert_false(resp_pubsub_has_listeners(&kit.shared));
    size_t len = RESP_PUBSUB_BYTES / 2;
    uint8_t *name = calloc(1, len);
    for (int i = 0; i < 3; i++) {
        name[0] = (uint8_t)i;
        assert_int_equal(resp_pubsub_subscribe(&a.session, RESP_CHANNELS, &(struct resp_arg){name, len}),
                         i == 0 ? RESP_LINK_NEW : RESP_LINK_TOO_MANY);
    }
    free(name);
}

// Proves: many names, in the order of subscription; the index grows and shrinks.
static void many_names(void **state)
{
    char name[16];
    (void)state;
    for (int i = 0; i < 5000; i++) {
        struct resp_arg arg = {(const uint8_t *)name, (size_t)sprintf(name, "n%d", i)};
        assert_int_equal(resp_pubsub_subscribe(&a.session, RESP_CHANNELS, &arg), RESP_LINK_NEW);
        assert_int_equal(resp_pubsub_subscribe(&b.session, RESP_CHANNELS, &arg), RESP_LINK_NEW);
        assert_int_equal(resp_pubsub_subscribe(&b.session, RESP_CHANNELS, &arg), RESP_LINK_OLD);
    }
    for (int i = 0; i < 5000; i++) {
        struct resp_arg arg = {(const uint8_t *)name, (size_t)sprintf(name, "n%d", i)};
        assert_int_equal(resp_pubsub_listeners(&kit.shared, RESP_CHANNELS, &arg), 2);
        assert_memory_equal(resp_pubsub_first(&a.session, RESP_CHANNELS)->data, name, arg.len);
        assert_true(resp_pubsub_unsubscribe(&a.session, RESP_CHANNELS, &arg));
        assert_false(resp_pubsub_unsubscribe(&a.session, RESP_CHANNELS, &arg));
        assert_int_equal(resp_pubsub_listeners(&kit.shared, RESP_CHANNELS, &arg), 1);
    }
    assert_int_equal(resp_pubsub_names(&kit.shared, RESP_CHANNELS), 5000);
    resp_pubsub_clear(&b.session);
    assert_int_equal(resp_pubsub_names(&kit.shared, RESP_CHANNELS), 0);
}

// ---- keyspace notifications

static void settings(void **state)
{
    static const struct {
        const char *set, *shown;
    } cases[] = {{"A", "A"},
                 {"AKE", "AKE"},
                 {"AKEn", "AKE"},
                 {"AKEmn", "AKEm"},
                 {"gxKE", "gxKE"},
                 {"nKE", "nKE"},
                 {"g$lshzxetdn", "A"},
                 {"mn", "nm"},
                 {"", ""},
                 {"lK", "lK"},
                 {"Ag$lshzxeKEtmdn", "AKEm"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[RESP_NOTIFY_TEXT];
        unsigned events = 0;
        struct resp_arg arg = {(const uint8_t *)cases[i].set, strlen(cases[i].set)};
        assert_true(resp_notify_parse(&arg, &events));
        resp_notify_format(events, text);
        assert_string_equal(text, cases[i].shown);
    }
    SAYS(&b, "config set notify-keyspace-events KEA", OK);
    SAYS(&b, "config set notify-keyspace-events KEq",
         "-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event "
         "class character. Use 'Ag$lshzxeKEtmdn'.\r\n");
    SAYS(&b, "config get notify-keyspace-events", "*2\r\n$22\r\nnotify-keyspace-events\r\n$3\r\nAKE\r\n");
}

static void notifications(void **state)
{
    struct resp_arg key = {(const uint8_t *)"k", 1};
    (void)state;
    (void)peer_run(&a, "psubscribe __key*");
    resp_event_of(&kit.shared, 0, RESP_EVENT_STRING, "set", &key);
    HEARS(&a, "");
    (void)peer_run(&b, "config set notify-keyspace-events K$");
    resp_event_of(&kit.shared, 3, RESP_EVENT_STRING, "set", &key);
    resp_event_of(&kit.shared, 3, RESP_EVENT_GENERIC, "del", &key);
    HEARS(&a, "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$16\r\n__keyspace@3__:k\r\n$3\r\nset\r\n");
    (void)peer_run(&b, "config set notify-keyspace-events Eg");
    resp_event_of(&kit.shared, 0, RESP_EVENT_GENERIC, "del", &key);
    HEARS(&a, "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$18\r\n__keyevent@0__:del\r\n$1\r\nk\r\n");
    (void)peer_run(&b, "config set notify-keyspace-events A");
    resp_event_of(&kit.shared, 0, RESP_EVENT_GENERIC, "del", &key);
    HEARS(&a, ""); // neither K nor E
    (void)peer_run(&b, "config set notify-keyspace-events KA");
    uint8_t *bytes = malloc(1000);
    memset(bytes, 'x', 1000);
    resp_event_of(&kit.shared, 15, RESP_EVENT_EXPIRED, "expired", &(struct resp_arg){bytes, 1000});
    assert_non_null(strstr(peer_pushed(&a), "$1016\r\n__keyspace@15__:x"));
    free(bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(resp2),      TEST(resp3),    TEST(pubsub_asks),   TEST(ends_and_bounds),
        TEST(many_names), TEST(settings), TEST(notifications),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
