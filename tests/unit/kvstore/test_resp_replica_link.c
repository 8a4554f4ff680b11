// What a replica says to its primary, against a primary that follows a script.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kvstore/resp/replica_link.h"

#define ID    "0123456789abcdef0123456789abcdef01234567"
#define OTHER "ffffffffffffffffffffffffffffffffffffffff"
#define MARK  "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm"
#define PING  "*1\r\n$4\r\nping\r\n"

// An RDB here: any bytes up to '!'; 'X' is damage.
struct owner {
    char rdb[256], commands[1024];
    size_t rdb_len;
    unsigned fulls, go_ons;
    bool refuse_command, refuse_full, done;
};
static struct owner owner;
static struct resp_link link;
static struct resp_link_calls calls;

static bool full(void *arg, const char *id, uint64_t offset)
{
    struct owner *o = arg;
    (void)id;
    (void)offset;
    o->fulls++;
    return !o->refuse_full;
}

static bool go_on(void *arg, const char *id)
{
    (void)id;
    ((struct owner *)arg)->go_ons++;
    return true;
}

static enum resp_link_rdb rdb(void *arg, const uint8_t *bytes, size_t len, bool end, size_t *used)
{
    struct owner *o = arg;
    if (end)
        return RESP_LINK_RDB_FAILED;
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == 'X')
            return RESP_LINK_RDB_FAILED;
        o->rdb[o->rdb_len++] = (char)bytes[i];
        if (bytes[i] == '!') {
            *used = i + 1;
            o->done = true;
            return RESP_LINK_RDB_DONE;
        }
    }
    *used = len;
    return RESP_LINK_RDB_MORE;
}

static bool command(void *arg, const struct resp_arg *args, size_t argc)
{
    struct owner *o = arg;
    if (o->refuse_command)
        return false;
    for (size_t i = 0; i < argc; i++) {
        (void)strncat(o->commands, (const char *)args[i].data, args[i].len);
        (void)strcat(o->commands, i + 1 < argc ? " " : ";");
    }
    return true;
}

static const char *why(void *arg)
{
    (void)arg;
    return "because";
}

// What the link has said since the last time.
static const char *said(void)
{
    static char text[1024];
    size_t len = 0;
    struct iovec piece;
    while (resp_out_pieces(&link.out, &piece, 1) == 1) {
        memcpy(text + len, piece.iov_base, piece.iov_len);
        len += piece.iov_len;
        resp_out_drop(&link.out, piece.iov_len);
    }
    text[len] = '\0';
    return text;
}

static bool feed(const char *text)
{
    return resp_link_feed(&link, (const uint8_t *)text, strlen(text));
}

static void begin(const struct resp_link_options *options)
{
    owner = (struct owner){0};
    calls = (struct resp_link_calls){full, go_on, rdb, command, why, &owner};
    resp_link_begin(&link, options, NULL, &calls);
}

static void to_psync(void)
{
    const struct resp_link_options options = {.port = 7000};
    begin(&options);
    assert_true(feed("+PONG\r\n+OK\r\n+OK\r\n"));
    assert_int_equal(link.state, RESP_LINK_PSYNC);
    (void)said();
}

static void fails(const char *text, const char *expected)
{
    assert_false(feed(text));
    if (strstr(link.error, expected) == NULL)
        fail_msg("found: %s\nexpected in it: %s", link.error, expected);
    assert_false(feed("+OK\r\n")); // for good
    resp_link_end(&link);
}

// ---- the handshake

static void test_handshake(void **state)
{
    const struct resp_link_options options = {.user = "me", .password = "secret", .port = 7000};
    (void)state;
    begin(&options);
    assert_string_equal(said(), "*1\r\n$4\r\nPING\r\n");
    assert_true(feed("-NOAUTH Authentication required.\r\n"));
    assert_string_equal(said(), "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nsecret\r\n");
    assert_true(feed("+OK\r\n"));
    assert_string_equal(said(), "*3\r\n$8\r\nREPLCONF\r\n$14\r\nlistening-port\r\n$4\r\n7000\r\n");
    assert_true(feed("-ERR unknown command\r\n")); // an old primary: goes on
    assert_string_equal(said(),
                        "*5\r\n$8\r\nREPLCONF\r\n$4\r\ncapa\r\n$3\r\neof\r\n$4\r\ncapa\r\n$6\r\npsync2\r\n");
    resp_link_ack(&link);
    assert_string_equal(said(), ""); // not before the answer to PSYNC
    assert_true(feed("+OK\r\n"));
    assert_string_equal(said(), "*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n");
    assert_true(feed("\n\n\n+FULLRESYNC " ID " 100\r\n\n"));
    assert_int_equal(owner.fulls, 1);
    resp_link_ack(&link);
    assert_string_equal(said(), "*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$3\r\n100\r\n");
    resp_link_end(&link);
}

static void test_refusals(void **state)
{
    const struct resp_link_options plain = {.port = 1}, auth = {.password = "secret", .port = 1};
    (void)state;
    begin(&plain);
    fails("-ERR go away\r\n", "the answer to PING: found \"-ERR go away\", expected +PONG");
    begin(&plain);
    fails("HTTP/1.1 400\r\n", "expected +PONG");
    begin(&auth);
    assert_true(feed("+PONG\r\n"));
    fails("-WRONGPASS no\r\n", "the answer to AUTH");
    assert_true(link.refused);
    assert_null(strstr(link.error, "secret"));
    begin(&plain);
    assert_true(feed("-NOAUTH who?\r\n")); // we have no password
    fails("-NOAUTH who?\r\n", "the answer to REPLCONF");
    to_psync();
    fails("-NOMASTERLINK Can't SYNC while not connected with my master\r\n",
          "the answer to PSYNC: found \"-NOMASTERLINK");
    to_psync();
    fails("+FULLRESYNC abc 1\r\n", "an id of 40 digits");
    to_psync();
    fails("+FULLRESYNC " ID " -5\r\n", "an offset");
    to_psync();
    fails("+FULLRESYNC " ID " 18446744073709551615\r\n", "an offset");
    to_psync();
    fails("+CONTINUE\r\n", "nothing was known");
    to_psync();
    owner.refuse_full = true;
    fails("+FULLRESYNC " ID " 1\r\n", "full resync: because");
    to_psync();
    assert_true(feed("+FULLRESYNC " ID " 1\r\n"));
    fails("$0\r\n", "a length");
    to_psync();
    assert_true(feed("+FULLRESYNC " ID " 1\r\n"));
    fails("$EOF:short\r\n", "a mark of 40 bytes");
    to_psync();
    assert_true(feed("+FULLRESYNC " ID " 1\r\n"));
    fails("*1\r\n", "the length of the RDB");
}

static void test_long_line(void **state)
{
    char text[RESP_LINK_LINE + 1];
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    to_psync();
    fails(text, "a line of more than");
}

// ---- the RDB

static void test_length_form(void **state)
{
    (void)state;
    to_psync();
    assert_true(feed("+FULLRESYNC " ID " 10\r\n$5\r\nabcd!" PING));
    assert_int_equal(link.state, RESP_LINK_STREAM);
    assert_true(link.streamed);
    assert_string_equal(owner.rdb, "abcd!");
    assert_string_equal(owner.commands, "ping;");
    assert_int_equal(link.offset, 10 + strlen(PING));
    resp_link_end(&link);
    to_psync();
    fails("+FULLRESYNC " ID " 10\r\n$7\r\nabcd!zz", "ends before the length");
    to_psync();
    fails("+FULLRESYNC " ID " 10\r\n$4\r\nabcd!", "RDB: because");
    to_psync();
    fails("+FULLRESYNC " ID " 10\r\n$9\r\nabX", "RDB: because");
    assert_false(link.streamed);
}

static void test_mark_form(void **state)
{
    (void)state;
    to_psync();
    assert_true(feed("+FULLRESYNC " ID " 10\r\n$EOF:" MARK "\r\nab!" MARK PING));
    assert_string_equal(owner.rdb, "ab!");
    assert_int_equal(link.offset, 10 + strlen(PING));
    resp_link_end(&link);
    to_psync();
    fails("+FULLRESYNC " ID " 10\r\n$EOF:" MARK "\r\nab!mmmmn", "not the mark");
    assert_false(link.streamed);
}

// However the bytes are cut, the same comes of them.
static void test_every_split(void **state)
{
    static const char all[] = "+PONG\r\n+OK\r\n+OK\r\n\n+FULLRESYNC " ID " 10\r\n\n$EOF:" MARK
                              "\r\nab!" MARK PING "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\r\n\r\n"
                              "*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n" PING;
    (void)state;
    for (size_t cut = 1; cut < sizeof all - 1; cut++) {
        const struct resp_link_options options = {.port = 1};
        begin(&options);
        for (size_t at = 0; at < sizeof all - 1;) {
            size_t len = at % 2 == 0 ? cut : 1;
            len = len < sizeof all - 1 - at ? len : sizeof all - 1 - at;
            assert_true(resp_link_feed(&link, (const uint8_t *)all + at, len));
            at += len;
        }
        assert_string_equal(owner.commands, "ping;SET a \r\n;ping;");
        assert_int_equal(link.offset, 10 + strlen(strstr(all, "ab!") + 3 + 40));
        assert_non_null(strstr(said(), "*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$2\r\n52\r\n"));
        resp_link_end(&link);
    }
}

// ---- the stream

static void to_stream(void)
{
    struct resp_link_options options = {.port = 1, .id = ID, .offset = 99};
    begin(&options);
    assert_true(feed("+PONG\r\n+OK\r\n+OK\r\n"));
    assert_non_null(strstr(said(), "$40\r\n" ID "\r\n$3\r\n100\r\n"));
}

static void test_continue(void **state)
{
    (void)state;
    to_stream();
    assert_true(feed("+CONTINUE\r\n" PING));
    assert_string_equal(link.id, ID);
    assert_int_equal(owner.go_ons, 1);
    assert_int_equal(link.offset, 99 + strlen(PING));
    resp_link_end(&link);
    to_stream();
    assert_true(feed("+CONTINUE " OTHER "\r\n"));
    assert_string_equal(link.id, OTHER);
    assert_int_equal(link.offset, 99);
    resp_link_end(&link);
    to_stream();
    fails("+CONTINUE abc\r\n", "an id of 40 digits");
}

static void test_stream_errors(void **state)
{
    (void)state;
    to_stream();
    assert_true(feed("+CONTINUE\r\n" PING));
    owner.refuse_command = true;
    fails(PING, "stream: because");
    assert_int_equal(link.offset, 99 + strlen(PING)); // the second is not counted
    to_stream();
    fails("+CONTINUE\r\n*1\r\n$-5\r\n", "stream: Protocol error: invalid bulk length");
    assert_int_equal(link.offset, 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_long_line), cmocka_unit_test(test_length_form),
        cmocka_unit_test(test_mark_form), cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_continue),  cmocka_unit_test(test_stream_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
