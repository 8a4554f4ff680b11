// The string commands: each reply and each keyspace event is the one of redis-server 7.0.15; what fails changes nothing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/events.h"
#include "tests/unit/kvstore/resp_kit.h"

// ---- events: the linker puts this in the place of resp_event()

static char events[512];

void __wrap_resp_event(struct resp_call *call, enum resp_event_class class, const char *event,
                       const struct resp_arg *key);

void __wrap_resp_event(struct resp_call *call, enum resp_event_class class, const char *event,
                       const struct resp_arg *key)
{
    char letter = class == RESP_EVENT_STRING    ? '$'
                  : class == RESP_EVENT_GENERIC ? 'g'
                  : class == RESP_EVENT_EXPIRED ? 'x'
                  : class == RESP_EVENT_NEW     ? 'n'
                  : class == RESP_EVENT_MISS    ? 'm'
                                                : '?';
    size_t used = strlen(events);
    (void)call;
    (void)snprintf(events + used, sizeof events - used, "%s%c:%s:%.*s", used != 0 ? " " : "", letter, event,
                   (int)key->len, (const char *)key->data);
}

#define EVENTS(line, reply, want)                                                                            \
    do {                                                                                                     \
        events[0] = '\0';                                                                                    \
        EXPECT(line, reply);                                                                                 \
        assert_string_equal(events, want);                                                                   \
    } while (0)

static void events_of_writes(void **state)
{
    (void)state;
    atomic_store(&kit.shared.notify, ~0u);
    EVENTS("set a 1", OK, "n:new:a $:set:a");
    EVENTS("set a 2", OK, "$:set:a");
    EVENTS("set a 1 ex 100", OK, "$:set:a g:expire:a");
    EVENTS("set a 1 keepttl", OK, "$:set:a");
    EVENTS("set b 2 pxat 1", OK, "n:new:b $:set:b g:expire:b x:expired:b");
    EVENTS("set a 2 nx", NIL, "");
    EVENTS("set zz 1 get", NIL, "m:keymiss:zz n:new:zz $:set:zz");
    EVENTS("set zz 1 get nx", "$1\r\n1\r\n", "");
    EVENTS("setnx c 1", ":1\r\n", "n:new:c $:set:c");
    EVENTS("setnx c 2", ":0\r\n", "");
    EVENTS("setex c 10 1", OK, "$:set:c g:expire:c");
    EVENTS("getex c persist", "$1\r\n1\r\n", "g:persist:c");
    EVENTS("getex c persist", "$1\r\n1\r\n", "");
    EVENTS("getex c ex 100", "$1\r\n1\r\n", "g:expire:c");
    EVENTS("getset c 2", "$1\r\n1\r\n", "$:set:c");
    EVENTS("getset q 2", NIL, "m:keymiss:q n:new:q $:set:q");
    EVENTS("getex c pxat 1", "$1\r\n2\r\n", "g:del:c");
    EVENTS("getdel a", "$1\r\n1\r\n", "g:del:a");
    EVENTS("getdel a", NIL, "m:keymiss:a");
    EVENTS("mset a 1 b 2", OK, "n:new:a $:set:a n:new:b $:set:b");
    EVENTS("msetnx a 1 nope 2", ":0\r\n", "");
    EVENTS("append a x", ":2\r\n", "$:append:a");
    EVENTS("append n x", ":1\r\n", "n:new:n $:append:n");
    EVENTS("append n \"\"", ":1\r\n", "$:append:n");
    EVENTS("setrange a 0 \"\"", ":2\r\n", "");
    EVENTS("setrange a 0 q", ":2\r\n", "$:setrange:a");
    EVENTS("incr i", ":1\r\n", "n:new:i $:incrby:i");
    EVENTS("decr i", ":0\r\n", "$:incrby:i");
    EVENTS("incrbyfloat i 1.5", "$3\r\n1.5\r\n", "$:incrbyfloat:i");
}

static void events_of_bits_and_reads(void **state)
{
    (void)state;
    atomic_store(&kit.shared.notify, ~0u);
    EVENTS("setbit b 1 0", ":0\r\n", "n:new:b $:setbit:b");
    EVENTS("setbit b 1 0", ":0\r\n", "");
    EVENTS("bitop and d x y", ":0\r\n", "m:keymiss:x m:keymiss:y");
    EVENTS("bitop or d b x", ":1\r\n", "m:keymiss:x n:new:d $:set:d");
    EVENTS("bitop or d x", ":0\r\n", "m:keymiss:x g:del:d");
    EVENTS("bitfield f set u8 0 0", "*1\r\n:0\r\n", "n:new:f $:setbit:f");
    EVENTS("bitfield f set u8 0 0", "*1\r\n:0\r\n", "");
    EVENTS("bitfield f set u8 0 1", "*1\r\n:0\r\n", "$:setbit:f");
    EVENTS("bitfield g overflow fail incrby u8 0 300", "*1\r\n" NIL, "n:new:g");
    EVENTS("bitfield x get u8 0", "*1\r\n:0\r\n", "m:keymiss:x");
    EVENTS("get x", NIL, "m:keymiss:x");
    EVENTS("strlen x", ":0\r\n", "m:keymiss:x");
    EVENTS("mget x b y", "*3\r\n" NIL "$1\r\n\0", "m:keymiss:x m:keymiss:y"); // as text up to the NUL
    EVENTS("lcs x b", "$0\r\n\r\n", "m:keymiss:x");
    EVENTS("getrange x 0 1", "$0\r\n\r\n", "m:keymiss:x");
    EVENTS("bitcount x", ":0\r\n", "m:keymiss:x");
    EVENTS("bitpos x 1", ":-1\r\n", "m:keymiss:x");
    EVENTS("getbit x 1", ":0\r\n", "m:keymiss:x");
    EVENTS("incr b", "-ERR value is not an integer or out of range\r\n", "");
    fake.fail_put = KV_FULL;
    events[0] = '\0';
    (void)resp_kit_run("set n 1");
    (void)resp_kit_run("append n 1");
    (void)resp_kit_run("mset n 1");
    assert_string_equal(events, "");
}

// ---- replies

#define BAD_SYNTAX  "-ERR syntax error\r\n"
#define BAD_INTEGER "-ERR value is not an integer or out of range\r\n"

static void set_options(void **state)
{
    (void)state;
    EXPECT("set a 1 px 1500", OK);
    EXPECT("pttl a", ":1500\r\n");
    EXPECT("set a 2 get keepttl", "$1\r\n1\r\n");
    EXPECT("pttl a", ":1500\r\n");
    EXPECT("set a 3 exat 1700000100", OK);
    EXPECT("ttl a", ":100\r\n");
    EXPECT("set a 4 ex 10 ex 20", OK);
    EXPECT("ttl a", ":20\r\n");
    EXPECT("set a 5 xx get", "$1\r\n4\r\n");
    EXPECT("ttl a", ":-1\r\n");
    EXPECT("set n 5 xx get", NIL);
    EXPECT("set n 5 nx get", NIL);
    EXPECT("get n", "$1\r\n5\r\n");
    EXPECT("set n 6 nx get", "$1\r\n5\r\n");
    EXPECT("set n 6 nx exat 1", NIL); // NX comes before the time
    EXPECT("get n", "$1\r\n5\r\n");
    EXPECT("set m 6 xx exat 1", NIL);
    EXPECT("set n 6 exat 1 get", "$1\r\n5\r\n");
    EXPECT("get n", NIL);
    static const char *const bad[] = {"nx xx",   "ex 1 px 1", "ex 1 keepttl", "keepttl px 1",
                                      "persist", "ex",        "foo"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "set a 1 %s", bad[i]);
        EXPECT(line, BAD_SYNTAX);
    }
    EXPECT("set a 1 px x", BAD_INTEGER);
    EXPECT("set a 1 exat 9223372036854775", OK);
    EXPECT("set a 1 ex 9223372036854776", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT("set a 1 px 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT("setex a 100 1", OK);
    EXPECT("ttl a", ":100\r\n");
    EXPECT("psetex a 100 1", OK);
    EXPECT("pttl a", ":100\r\n");
    EXPECT("setex a 0 1", "-ERR invalid expire time in 'setex' command\r\n");
    EXPECT("psetex a -1 1", "-ERR invalid expire time in 'psetex' command\r\n");
    EXPECT("setex a x 1", BAD_INTEGER);
}

static void get_and_change(void **state)
{
    (void)state;
    EXPECT("getset a 1", NIL);
    EXPECT("expire a 100", ":1\r\n");
    EXPECT("getset a 2", "$1\r\n1\r\n");
    EXPECT("ttl a", ":-1\r\n");
    EXPECT("getex a", "$1\r\n2\r\n");
    EXPECT("getex a ex 100", "$1\r\n2\r\n");
    EXPECT("ttl a", ":100\r\n");
    EXPECT("getex a", "$1\r\n2\r\n");
    EXPECT("ttl a", ":100\r\n");
    EXPECT("getex a persist", "$1\r\n2\r\n");
    EXPECT("ttl a", ":-1\r\n");
    EXPECT("getex a ex 0", "-ERR invalid expire time in 'getex' command\r\n");
    EXPECT("getex a px x", BAD_INTEGER);
    EXPECT("getex nope ex 0", NIL); // the key comes before the time
    EXPECT("getex nope ex", BAD_SYNTAX);
    EXPECT("getex a ex 1 persist", BAD_SYNTAX);
    EXPECT("getex a persist ex 1", BAD_SYNTAX);
    EXPECT("getex a keepttl", BAD_SYNTAX);
    EXPECT("getex a nx", BAD_SYNTAX);
    EXPECT("getex a exat 1", "$1\r\n2\r\n");
    EXPECT("exists a", ":0\r\n");
}

static void many(void **state)
{
    (void)state;
    EXPECT("mset a 1 b 2 a 3", OK);
    EXPECT("mget a b c", "*3\r\n$1\r\n3\r\n$1\r\n2\r\n" NIL);
    EXPECT("mset a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n");
    EXPECT("msetnx a 1 b", "-ERR wrong number of arguments for 'msetnx' command\r\n");
    EXPECT("msetnx c 1 a 2", ":0\r\n");
    EXPECT("exists c", ":0\r\n");
    EXPECT("msetnx c 1 d 2", ":1\r\n");
    EXPECT("expire c 100", ":1\r\n");
    EXPECT("mset c 2", OK);
    EXPECT("ttl c", ":-1\r\n");
    // All or nothing: the last has the name of another database.
    assert_int_equal(resp_kit_run("mset a 7 \"\\x00mec:db\\x00x\" 8")[0], '-');
    assert_int_equal(resp_kit_run("msetnx x 7 \"\\x00mec:db\\x00x\" 8")[0], '-');
    EXPECT("mget a x", "*2\r\n$1\r\n3\r\n" NIL);
}

static void parts(void **state)
{
    (void)state;
    EXPECT("append a Hello", ":5\r\n");
    EXPECT("expire a 100", ":1\r\n");
    EXPECT("append a World", ":10\r\n");
    EXPECT("ttl a", ":100\r\n");
    EXPECT("getrange a 0 4", "$5\r\nHello\r\n");
    EXPECT("substr a -5 -1", "$5\r\nWorld\r\n");
    EXPECT("getrange a -100 0", "$1\r\nH\r\n");
    EXPECT("getrange a 8 100", "$2\r\nld\r\n");
    EXPECT("getrange a 5 4", "$0\r\n\r\n");
    EXPECT("getrange a -1 -2", "$0\r\n\r\n");
    EXPECT("getrange a -100 -90", "$1\r\nH\r\n");
    EXPECT("getrange a -90 -100", "$0\r\n\r\n");
    EXPECT("getrange nope 0 1", "$0\r\n\r\n");
    EXPECT("getrange a x 1", BAD_INTEGER);
    EXPECT("getrange a 0 9223372036854775808", BAD_INTEGER);
    EXPECT("setrange a 5 There", ":10\r\n");
    EXPECT("get a", "$10\r\nHelloThere\r\n");
    EXPECT("setrange a 12 x", ":13\r\n");
    assert_memory_equal(resp_kit_run("getrange a 9 12"), "$4\r\ne\0\0x\r\n", 10);
    EXPECT("ttl a", ":100\r\n");
    EXPECT("setrange nope 5 \"\"", ":0\r\n");
    EXPECT("exists nope", ":0\r\n");
    EXPECT("setrange a 100000 \"\"", ":13\r\n");
    EXPECT("setrange a -1 x", "-ERR offset is out of range\r\n");
    EXPECT("setrange a x x", BAD_INTEGER);
#define TOO_LONG "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"
    EXPECT("setrange a 536870912 x", TOO_LONG);
    EXPECT("setrange a 9223372036854775807 x", TOO_LONG);
    kit.shared.limits.max_bulk_bytes = 16;
    EXPECT("append a 123", ":16\r\n");
    EXPECT("append a 1", TOO_LONG);
    EXPECT("append a \"\"", ":16\r\n");
    EXPECT("setrange a 15 x", ":16\r\n");
    EXPECT("setrange a 16 x", TOO_LONG);
}

// Proves: strings and their lengths are those of the selected database's key.
static void another_database(void **state)
{
    (void)state;
    EXPECT("set a one", OK);
    kit.session.db = 3;
    EXPECT("strlen a", ":0\r\n");
    EXPECT("append a four", ":4\r\n");
    EXPECT("strlen a", ":4\r\n");
    kit.session.db = 0;
    EXPECT("get a", "$3\r\none\r\n");
}

static const char *const writes[] = {"set a 2",      "set a 2 get",  "getset a 2",   "getdel a",
                                     "getex a ex 9", "mset a 2",     "append a 2",   "setrange a 0 2",
                                     "incr a",       "decrby a 2",   "setbit a 0 1", "incrbyfloat a 1",
                                     "setex a 5 2",  "bitop not a a"};

// Proves: what the store refuses is an error, with no other reply beside it, and the old value stays.
static void failures(void **state)
{
    (void)state;
    EXPECT("set a 1", OK);
    fake.fail_put = KV_FULL;
    fake.fail_delete = KV_FULL;
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++)
        if (strncmp(writes[i], "getex", 5) != 0)
            EXPECT(writes[i], "-MISCONF No space left on the store's device; nothing was changed\r\n");
    EXPECT("getex a exat 1", "-MISCONF No space left on the store's device; nothing was changed\r\n");
    EXPECT("get a", "$1\r\n1\r\n");
    fake.fail_put = KV_OK;
    fake.fail_get = KV_CORRUPT;
    EXPECT("getrange a 0 1", "-ERR the record is damaged on disk\r\n");
    EXPECT("getex a", "-ERR the record is damaged on disk\r\n");
    EXPECT("append a 1", "-ERR the record is damaged on disk\r\n");
}

// Proves: a command that has to wait for the disk says nothing and has changed nothing.
static void not_in_memory(void **state)
{
    (void)state;
    EXPECT("set a 1", OK);
    kit.changes = 0;
    fake.fail_get = KV_PENDING;
    static const char *const reading[] = {"set a 2 get",
                                          "getset a 2",
                                          "getdel a",
                                          "getex a ex 9",
                                          "append a 2",
                                          "setrange a 0 2",
                                          "incr a",
                                          "incrbyfloat a 1",
                                          "setbit a 0 1",
                                          "bitop not a a",
                                          "bitcount a",
                                          "bitpos a 0",
                                          "lcs a a",
                                          "mget a a",
                                          "getrange a 0 1",
                                          "strlen a",
                                          "bitfield a set u8 0 1",
                                          "bitfield_ro a get u8 0"};
    for (size_t i = 0; i < sizeof reading / sizeof reading[0]; i++)
        EXPECT(reading[i], "");
    fake.fail_get = KV_OK;
    EXPECT("get a", "$1\r\n1\r\n");
    assert_int_equal(kit.changes, 0);
}

// Proves: when the value cannot be replied it is not deleted.
static void reply_over_the_limit(void **state)
{
    (void)state;
    EXPECT("set a 0123456789", OK);
    kit.reply.limit_bytes = 10;
    (void)resp_kit_run("getdel a");
    assert_true(kit.reply.overflow);
    resp_reply_clear(&kit.reply);
    (void)resp_kit_run("set a 1 get");
    resp_reply_clear(&kit.reply);
    (void)resp_kit_run("getset a 1");
    resp_reply_clear(&kit.reply);
    kit.reply.limit_bytes = 1000;
    EXPECT("get a", "$10\r\n0123456789\r\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(events_of_writes),
        TEST(events_of_bits_and_reads),
        TEST(set_options),
        TEST(get_and_change),
        TEST(many),
        TEST(parts),
        TEST(another_database),
        TEST(failures),
        TEST(not_in_memory),
        TEST(reply_over_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
