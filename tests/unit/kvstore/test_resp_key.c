// Commands on keys and databases, and the keyspace events that they make: each reply and event is the one that Redis 7.0 gives (compared with a real one).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/db.h"
#include "kvstore/resp/events.h"
#include "tests/unit/kvstore/resp_kit.h"

// "0 del a, 1 copy_to b": what the last command made of events.
static char events[1024];

void __wrap_resp_event(struct resp_call *call, enum resp_event_class class, const char *event,
                       const struct resp_arg *key);
void __wrap_resp_event(struct resp_call *call, enum resp_event_class class, const char *event,
                       const struct resp_arg *key)
{
    size_t used = strlen(events);
    bool generic =
        strcmp(event, "new") != 0 && strcmp(event, "keymiss") != 0 && strcmp(event, "expired") != 0;
    if ((class & RESP_EVENT_STRING) != 0)
        return; // of SET and its like
    assert_true(!generic || class == RESP_EVENT_GENERIC);
    (void)snprintf(events + used, sizeof events - used, "%s%u %s %.*s", used != 0 ? ", " : "", call->db,
                   event, (int)key->len, (const char *)key->data);
}

static const char *run(const char *line)
{
    events[0] = '\0';
    return resp_kit_run(line);
}

#define MAKES(line, reply, made)                                                                             \
    do {                                                                                                     \
        assert_string_equal(run(line), reply);                                                               \
        assert_string_equal(events, made);                                                                   \
    } while (0)

static void set(const char *line)
{
    assert_string_equal(run(line), OK);
}

static void removing(void **state)
{
    (void)state;
    set("set a 1");
    set("set b 1");
    MAKES("del a nope a", ":1\r\n", "0 del a");
    MAKES("unlink b", ":1\r\n", "0 del b");
    MAKES("exists nope", ":0\r\n", "0 keymiss nope");
    MAKES("touch nope nope", ":0\r\n", "0 keymiss nope, 0 keymiss nope");
    MAKES("type nope", "+none\r\n", "0 keymiss nope");
    MAKES("ttl nope", ":-2\r\n", "0 keymiss nope");
    MAKES("dump nope", NIL, "0 keymiss nope");
    set("set a 1");
    MAKES("exists a a nope", ":2\r\n", "0 keymiss nope");
    MAKES("touch a", ":1\r\n", "");
    MAKES("del \"\"", ":0\r\n", "");
    MAKES("del", "-ERR wrong number of arguments for 'del' command\r\n", "");
}

static void expiring(void **state)
{
    (void)state;
    set("set c 1");
    MAKES("expire c 100", ":1\r\n", "0 expire c");
    MAKES("expire c 200 nx", ":0\r\n", "");
    MAKES("persist c", ":1\r\n", "0 persist c");
    MAKES("persist c", ":0\r\n", "");
    MAKES("persist nope", ":0\r\n", "");
    MAKES("expire nope 1", ":0\r\n", "");
    MAKES("pexpire c -1", ":1\r\n", "0 del c");
    set("set c 1 px 10");
    fake.now_ms += 10;
    assert_string_equal(run("set c 2"), OK); // over one that has expired, which the store does not tell of
    assert_non_null(strstr(events, "0 expired c"));
}

static void renaming(void **state)
{
    (void)state;
    MAKES("rename nope x", "-ERR no such key\r\n", "");
    MAKES("renamenx nope nope", "-ERR no such key\r\n", "");
    set("set a 1 ex 100");
    set("set b 2");
    MAKES("rename a b", OK, "0 new b, 0 rename_from a, 0 rename_to b");
    EXPECT("get b", "$1\r\n1\r\n");
    EXPECT("ttl b", ":100\r\n"); // the expiry goes along
    EXPECT("exists a", ":0\r\n");
    MAKES("renamenx b c", ":1\r\n", "0 new c, 0 rename_from b, 0 rename_to c");
    set("set d 4");
    MAKES("renamenx c d", ":0\r\n", "");
    MAKES("rename c c", OK, "");
    MAKES("renamenx c c", ":0\r\n", "");
    MAKES("rename c \"\"", OK, "0 new , 0 rename_from c, 0 rename_to ");
    MAKES("rename \"\" c", OK, "0 new c, 0 rename_from , 0 rename_to c");
    EXPECT("get c", "$1\r\n1\r\n");
    EXPECT("dbsize", ":2\r\n");
}

static void copying(void **state)
{
    (void)state;
    set("set c 1 ex 100");
    MAKES("copy nope x", ":0\r\n", "0 keymiss nope");
    MAKES("copy c d", ":1\r\n", "0 new d, 0 copy_to d");
    EXPECT("ttl d", ":100\r\n");
    MAKES("copy c d", ":0\r\n", "");
    MAKES("copy c d replace", ":1\r\n", "0 new d, 0 copy_to d");
    MAKES("copy c d db 1", ":1\r\n", "1 new d, 1 copy_to d");
    MAKES("copy c c db 1", ":1\r\n", "1 new c, 1 copy_to c");
    EXPECT("copy c c", "-ERR source and destination objects are the same\r\n");
    EXPECT("copy c c db 0 replace", "-ERR source and destination objects are the same\r\n");
    EXPECT("copy c d db", "-ERR syntax error\r\n");
    EXPECT("copy c d db 16", "-ERR DB index is out of range\r\n");
    EXPECT("copy c d db x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("copy c d foo", "-ERR syntax error\r\n");
    EXPECT("select 1", OK);
    EXPECT("dbsize", ":2\r\n");
    EXPECT("get d", "$1\r\n1\r\n");
}

static void moving(void **state)
{
    (void)state;
    set("set d 1 ex 50");
    MAKES("move nope 1", ":0\r\n", "");
    MAKES("move d 2", ":1\r\n", "2 new d, 0 move_from d, 2 move_to d");
    EXPECT("exists d", ":0\r\n");
    set("set d 5");
    MAKES("move d 2", ":0\r\n", "");
    EXPECT("move d 0", "-ERR source and destination objects are the same\r\n");
    EXPECT("move d -1", "-ERR DB index is out of range\r\n");
    EXPECT("move d x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("move d 99999999999",
           "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
    EXPECT("select 2", OK);
    EXPECT("ttl d", ":50\r\n");
    EXPECT("get d", "$1\r\n1\r\n");
}

static void objects(void **state)
{
    (void)state;
    static const struct {
        const char *value, *encoding, *references;
    } cases[] = {
        {"1", "int", ":2147483647\r\n"},
        {"9999", "int", ":2147483647\r\n"},
        {"10000", "int", ":1\r\n"},
        {"-1", "int", ":1\r\n"},
        {"9223372036854775807", "int", ":1\r\n"},
        {"9223372036854775808", "embstr", ":1\r\n"},
        {"007", "embstr", ":1\r\n"},
        {"\"\"", "embstr", ":1\r\n"},
        {"01234567890123456789012345678901234567890123", "embstr", ":1\r\n"},
        {"012345678901234567890123456789012345678901234", "raw", ":1\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[128], reply[32];
        (void)snprintf(line, sizeof line, "set a %s", cases[i].value);
        set(line);
        (void)snprintf(reply, sizeof reply, "$%zu\r\n%s\r\n", strlen(cases[i].encoding), cases[i].encoding);
        EXPECT("object encoding a", reply);
        EXPECT("object refcount a", cases[i].references);
    }
    MAKES("object encoding nope", NIL, "");
    EXPECT("object refcount nope", NIL);
    EXPECT("object idletime a", ":0\r\n");
    EXPECT("object idletime nope", NIL);
    EXPECT("object freq nope", NIL);
    assert_non_null(strstr(run("object freq a"), "-ERR An LFU maxmemory policy is not selected"));
    EXPECT("object foo a", "-ERR unknown subcommand 'foo'. Try OBJECT HELP.\r\n");
    EXPECT("object encoding", "-ERR wrong number of arguments for 'object|encoding' command\r\n");
    assert_non_null(strstr(run("object help"), "+OBJECT <subcommand>"));
}

static void databases(void **state)
{
    (void)state;
    set("set a 0");
    EXPECT("select 1", OK);
    EXPECT("get a", NIL);
    set("set a 1 ex 100");
    EXPECT("dbsize\r\nkeys *\r\nscan 0", ":1\r\n*1\r\n$1\r\na\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n");
    EXPECT("randomkey", "$1\r\na\r\n");
    EXPECT("info keyspace",
           "$76\r\n# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\ndb1:keys=1,expires=1,avg_ttl=0\r\n\r\n");
    EXPECT("swapdb 0 1", OK);
    EXPECT("get a", "$1\r\n0\r\n");
    EXPECT("ttl a\r\nselect 0\r\nttl a\r\ndbsize", ":-1\r\n" OK ":100\r\n:1\r\n");
    EXPECT("keys *\r\nscan 0 count 1000", "*1\r\n$1\r\na\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n");
    EXPECT("swapdb 1 1", OK);
    EXPECT("swapdb a 1", "-ERR invalid first DB index\r\n");
    EXPECT("swapdb 1 99999999999", "-ERR invalid second DB index\r\n");
    EXPECT("swapdb 1 16", "-ERR DB index is out of range\r\n");
    EXPECT("select 16", "-ERR DB index is out of range\r\n");
    EXPECT("select 99999999999",
           "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
    EXPECT("reset\r\ndbsize", "+RESET\r\n:1\r\n");
    fake.fail_put = KV_FULL;
    EXPECT("swapdb 0 2", "-MISCONF No space left on the store's device; nothing was changed\r\n");
    fake.fail_put = KV_OK;
    EXPECT("get a", "$1\r\n1\r\n");
}

static void one_database(void **state)
{
    (void)state;
    kit.shared.databases = 1;
    set("set a 0");
    EXPECT("select 0", OK);
    EXPECT("select 1", "-ERR DB index is out of range\r\n");
    EXPECT("move a 1", "-ERR DB index is out of range\r\n");
    EXPECT("copy a b db 1", "-ERR DB index is out of range\r\n");
    EXPECT("swapdb 0 1", "-ERR DB index is out of range\r\n");
}

static void fill(void)
{
    EXPECT("select 2\r\nset x 1\r\nset y 2\r\nselect 1\r\nset a 1\r\nset b 2\r\nselect 0\r\nset a 0",
           OK OK OK OK OK OK OK OK);
}

// Proves: nothing of other databases goes; a store is emptied at once or key by key, by whether somebody has to hear of each.
static void flushing(void **state)
{
    (void)state;
    for (int heard = 0; heard < 2; heard++) {
        if (heard == 0)
            kit.shared.on_change = NULL;
        fill();
        MAKES("select 1\r\nflushdb", OK OK, "");
        EXPECT("dbsize\r\nkeys *\r\nselect 2\r\ndbsize\r\nselect 0\r\ndbsize",
               ":0\r\n*0\r\n" OK ":2\r\n" OK ":1\r\n");
        EXPECT("flushdb async\r\ndbsize\r\nselect 2\r\ndbsize", OK ":0\r\n" OK ":2\r\n");
        EXPECT("swapdb 2 3\r\nselect 3\r\ndbsize\r\nflushdb sync\r\ndbsize", OK OK ":2\r\n" OK ":0\r\n");
        fill();
        EXPECT("swapdb 0 1\r\nflushall\r\ndbsize\r\nselect 2\r\ndbsize\r\nselect 1\r\ndbsize",
               OK OK ":0\r\n" OK ":0\r\n" OK ":0\r\n");
        fill();
        EXPECT("select 1\r\nget b\r\nflushall\r\nselect 0", OK "$1\r\n2\r\n" OK OK);
        kit.shared.on_change = kit.on_change;
    }
    EXPECT("select 0\r\nset a 1\r\nset b 1\r\nset c 1", OK OK OK OK);
    kit.changes = 0;
    EXPECT("flushall", OK);
    assert_int_equal(kit.changes, 3);
    EXPECT("flushall foo", "-ERR syntax error\r\n");
    EXPECT("flushdb sync sync", "-ERR syntax error\r\n");
    atomic_store(&fake.behind, true); // key by key, what is to be overwritten does not pile up
    atomic_store(&fake.caught_up, 0);
    EXPECT("set a 1\r\nflushdb", OK OK);
    assert_true(atomic_load(&fake.caught_up) >= 1);
    atomic_store(&fake.behind, false);
    fill();
    fake.fail_delete = KV_IO;
    EXPECT("flushdb", "-ERR the store failed: input/output error\r\n");
    fake.fail_delete = KV_OK;
    kit.shared.on_change = NULL;
    fake.fail_clear = KV_FULL;
    EXPECT("flushall", "-MISCONF No space left on the store's device; nothing was changed\r\n");
    fake.fail_clear = KV_OK;
    EXPECT("dbsize", ":1\r\n");
}

// Proves: what expires is counted out once, whether the store removes it or a put replaces it.
static void counts_and_expiry(void **state)
{
    (void)state;
    EXPECT("select 3\r\nset a 1 px 10\r\nset b 1 px 10\r\nset c 1\r\nset d 1 px 5000", OK OK OK OK OK);
    assert_int_equal(resp_db_count(&kit.shared, 3).expiring, 3);
    fake.now_ms += 10;
    EXPECT("dbsize", ":4\r\n"); // as in Redis: until they are removed
    EXPECT("set a 2\r\ndel b", OK ":0\r\n");
    EXPECT("dbsize", ":4\r\n");
    fake_store_sweep(kit.store);
    EXPECT("dbsize", ":3\r\n");
    assert_int_equal(resp_db_count(&kit.shared, 3).expiring, 1);
    EXPECT("persist d\r\nexpire c 10\r\nexpire a 10\r\npersist a", ":1\r\n:1\r\n:1\r\n:1\r\n");
    assert_int_equal(resp_db_count(&kit.shared, 3).expiring, 1);
    EXPECT("set c 1 keepttl\r\nset c 1", OK OK);
    assert_int_equal(resp_db_count(&kit.shared, 3).expiring, 0);
    EXPECT("del a b c d\r\ndbsize\r\nselect 0\r\ndbsize", ":3\r\n:0\r\n" OK ":0\r\n");
}

// Proves: the server's own records and what looks like keys of other databases are not to be reached.
static void reserved_names(void **state)
{
    (void)state;
    EXPECT("select 1\r\nset a 1\r\nselect 0\r\nswapdb 2 3", OK OK OK OK);
    EXPECT("dbsize\r\nkeys *\r\nscan 0 count 1000\r\nrandomkey", ":0\r\n*0\r\n*2\r\n$1\r\n0\r\n*0\r\n" NIL);
    EXPECT("get \"\\x00mec:db\\x00\\x01a\"", NIL);
    EXPECT("exists \"\\x00mec:db\\x00\\x00used\"", ":0\r\n");
    EXPECT("del \"\\x00mec:db\\x00\\x00used\" \"\\x00mec:db\\x00\\x01a\"", ":0\r\n");
    EXPECT("set \"\\x00mec:db\\x00\\x01a\" 2", "-ERR keys may not begin as the server's own records do\r\n");
    EXPECT("select 1\r\nget a", OK "$1\r\n1\r\n");
}

// Proves: every database has an empty key of its own, like any other key.
static void empty_key(void **state)
{
    (void)state;
    for (int db = 0; db < 2; db++) {
        EXPECT("get \"\"\r\nttl \"\"\r\ndel \"\"\r\ndbsize", NIL ":-2\r\n:0\r\n:0\r\n");
        EXPECT("set \"\" 1 ex 100\r\nset a 2", OK OK);
        EXPECT("get \"\"\r\nttl \"\"\r\ntype \"\"\r\ndbsize", "$1\r\n1\r\n:100\r\n+string\r\n:2\r\n");
        EXPECT("append \"\" 2\r\npersist \"\"\r\nmget \"\" a", ":2\r\n:1\r\n*2\r\n$2\r\n12\r\n$1\r\n2\r\n");
        EXPECT("del a\r\nkeys *\r\nrandomkey", ":1\r\n*1\r\n$0\r\n\r\n$0\r\n\r\n");
        EXPECT("scan 0 count 1000", "*2\r\n$1\r\n0\r\n*1\r\n$0\r\n\r\n");
        EXPECT(db == 0 ? "swapdb 0 1\r\ndbsize\r\nswapdb 1 0" : "swapdb 0 1\r\nget \"\"\r\nswapdb 0 1",
               db == 0 ? OK ":0\r\n" OK : OK NIL OK);
        EXPECT("copy \"\" b\r\nmove \"\" 5\r\nget b\r\nexists \"\"\r\ndel b",
               ":1\r\n:1\r\n$2\r\n12\r\n:0\r\n:1\r\n");
        EXPECT("select 5\r\nget \"\"\r\nflushdb\r\nget \"\"\r\nselect 1", OK "$2\r\n12\r\n" OK NIL OK);
    }
    EXPECT("mset a 7 \"\" 8\r\nmsetnx x 7 \"\" 8\r\nflushdb\r\ndbsize", OK ":0\r\n" OK ":0\r\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(removing),  TEST(expiring),     TEST(renaming), TEST(copying),           TEST(moving),
        TEST(objects),   TEST(databases),    TEST(flushing), TEST(counts_and_expiry), TEST(reserved_names),
        TEST(empty_key), TEST(one_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
