// Commands and batches on a fake store: each reply is the one that Redis 7.0 gives (compared with a real
// one), durability before acknowledgement, failures of the store.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/access.h"
#include "kvstore/resp/batch.h"
#include "kvstore/resp/command.h"
#include "tests/unit/kvstore/resp_kit.h"

static void table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < resp_command_count(); i++) {
        const struct resp_command *c = resp_command_at(i);
        struct resp_arg name = {(const uint8_t *)c->name, strlen(c->name)};
        assert_ptr_equal(resp_command_find(&name), c); // sorted
        assert_true(c->arity != 0 && c->help != NULL && c->group != NULL && c->since != NULL);
        assert_true(c->handler != NULL || c->subcommand_count != 0);
        assert_false((c->flags & RESP_CMD_WRITE) != 0 && (c->flags & RESP_CMD_READONLY) != 0);
        for (size_t j = 0; j < c->subcommand_count; j++) {
            struct resp_arg sub = {(const uint8_t *)c->subcommands[j].name, strlen(c->subcommands[j].name)};
            assert_ptr_equal(resp_subcommand_find(c, &sub), &c->subcommands[j]);
            assert_non_null(c->subcommands[j].handler);
        }
    }
}

static const struct resp_command *look_up(const char *name, size_t len)
{
    return resp_command_find(&(struct resp_arg){(const uint8_t *)name, len});
}

// Proves: a name is found in whatever case, and nothing else is: no part of it, nothing longer, no other letter.
static void lookup(void **state)
{
    (void)state;
    for (size_t i = 0; i < resp_command_count(); i++) {
        const struct resp_command *c = resp_command_at(i);
        size_t len = strlen(c->name);
        char name[64];
        for (size_t at = 0; at < len; at++) {
            (void)snprintf(name, sizeof name, "%s", c->name);
            if (name[at] < 'a' || name[at] > 'z')
                continue;
            name[at] = (char)(name[at] - 'a' + 'A');
            assert_ptr_equal(look_up(name, len), c);
            static const char others[] = {'\0', ' ', '@', '`', '[', '{', '\x01', '\xe1'};
            for (size_t other = 0; other < sizeof others; other++) {
                name[at] = others[other];
                assert_null(look_up(name, len));
            }
        }
        (void)snprintf(name, sizeof name, "%s", c->name);
        name[len + 1] = '\0';
        assert_null(look_up(name, len + 1));
        name[len] = 'x';
        assert_ptr_not_equal(look_up(name, len + 1), c);
        assert_ptr_not_equal(look_up(name, len - 1), c);
    }
    assert_null(look_up("", 0));
    assert_null(look_up("a name that is longer than that of any command there may ever be", 64));
}

static void dispatch_errors(void **state)
{
    (void)state;
    EXPECT("foo", "-ERR unknown command 'foo', with args beginning with: \r\n");
    EXPECT("FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n");
    EXPECT("foo \"a\\r\\nb\"", "-ERR unknown command 'foo', with args beginning with: 'a  b' \r\n");
    EXPECT("get", "-ERR wrong number of arguments for 'get' command\r\n");
    EXPECT("GET a b", "-ERR wrong number of arguments for 'get' command\r\n");
    EXPECT("client", "-ERR wrong number of arguments for 'client' command\r\n");
    EXPECT("client foo", "-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n");
    EXPECT("client SETNAME", "-ERR wrong number of arguments for 'client|setname' command\r\n");
    EXPECT("\"\"", "-ERR unknown command '', with args beginning with: \r\n");
}

static void connection_commands(void **state)
{
    (void)state;
    EXPECT("ping", "+PONG\r\n");
    EXPECT("PiNg hi", "$2\r\nhi\r\n");
    EXPECT("ping a b", "-ERR wrong number of arguments for 'ping' command\r\n");
    EXPECT("echo hi", "$2\r\nhi\r\n");
    EXPECT("select 0", OK);
    EXPECT("select 16", "-ERR DB index is out of range\r\n");
    EXPECT("select x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(
        "auth x",
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
        "configuration is correct?\r\n");
    EXPECT("auth default x", OK);
    EXPECT("auth joe x", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    EXPECT("auth a b c", "-ERR syntax error\r\n");
    EXPECT("client getname", NIL);
    EXPECT("client setname bob", OK);
    EXPECT("client getname", "$3\r\nbob\r\n");
    EXPECT("client setname \"b ob\"",
           "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
    EXPECT("client setname \"\"", OK);
    EXPECT("client getname", NIL);
    EXPECT("client setinfo lib-name x", OK);
    EXPECT("client setinfo lib-foo x", "-ERR Unrecognized option 'lib-foo'\r\n");
    EXPECT("client id", ":1\r\n");
    assert_non_null(strstr(resp_kit_run("client list"),
                           "id=1 addr=/s:0 laddr=/s:0 fd=0 name= age=0 idle=0 flags=U db=0"));
    assert_non_null(strstr(resp_kit_run("client info"),
                           "cmd=client|info user=default redir=-1 resp=2 lib-name=x lib-ver="));
    EXPECT("client list type master", "$0\r\n\r\n");
    EXPECT("client list type x", "-ERR Unknown client type 'x'\r\n");
    EXPECT("client list id 0", "-ERR Invalid client ID\r\n");
    EXPECT("client list x", "-ERR syntax error\r\n");
}

static void hello(void **state)
{
    (void)state;
#define HELLO(head, proto)                                                                                   \
    head "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:" proto            \
         "\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$"          \
         "7\r\nmodules\r\n*0\r\n"
    EXPECT("hello", HELLO("*14\r\n", "2"));
    EXPECT("get a", NIL);
    EXPECT("hello 3 auth default x setname bob", HELLO("%7\r\n", "3"));
    EXPECT("get a", "_\r\n");
    EXPECT("client getname", "$3\r\nbob\r\n");
    EXPECT("hello", HELLO("%7\r\n", "3"));
    EXPECT("reset", "+RESET\r\n");
    EXPECT("get a", NIL);
    EXPECT("hello x", "-ERR Protocol version is not an integer or out of range\r\n");
    EXPECT("hello 4", "-NOPROTO unsupported protocol version\r\n");
    EXPECT("hello 3 auth joe x", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    EXPECT("hello 3 foo", "-ERR Syntax error in HELLO option 'foo'\r\n");
    EXPECT("get a", NIL); // a failed HELLO changes nothing
}

static void closing_commands(void **state)
{
    (void)state;
    EXPECT("quit\r\nping", OK);
    assert_true(kit.session.close_after);
    kit.session.close_after = false;
    assert_memory_equal(resp_kit_run("\r\nPOST / HTTP/1.1\r\nping"), "+PONG",
                        5); // the rest of the pipeline after QUIT
    assert_true(kit.session.close_after);
}

static void strings(void **state)
{
    (void)state;
    EXPECT("get a", NIL);
    EXPECT("set a 1", OK);
    EXPECT("get a", "$1\r\n1\r\n");
    EXPECT("set a 2 nx", NIL);
    EXPECT("set b 2 xx", NIL);
    EXPECT("set a 2 xx", OK);
    EXPECT("set a 3 get", "$1\r\n2\r\n");
    EXPECT("set a 4 nx get", "$1\r\n3\r\n");
    EXPECT("get a", "$1\r\n3\r\n");
    EXPECT("set c 4 nx get", NIL);
    EXPECT("get c", "$1\r\n4\r\n");
    EXPECT("set a b ex", "-ERR syntax error\r\n");
    EXPECT("set a b ex 0", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT("set a b ex x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("set a 5 ex 10", OK);
    EXPECT("ttl a", ":10\r\n");
    EXPECT("set a 6 keepttl", OK);
    EXPECT("pttl a", ":10000\r\n");
    EXPECT("set a 7", OK);
    EXPECT("ttl a", ":-1\r\n");
    EXPECT("set a 8 pxat 1", OK); // born expired
    EXPECT("exists a", ":0\r\n");
    EXPECT("setnx a 1", ":1\r\n");
    EXPECT("setnx a 2", ":0\r\n");
    EXPECT("strlen a", ":1\r\n");
    EXPECT("strlen nope", ":0\r\n");
    EXPECT("mget a nope a", "*3\r\n$1\r\n1\r\n" NIL "$1\r\n1\r\n");
    EXPECT("getdel a", "$1\r\n1\r\n");
    EXPECT("getdel a", NIL);
    EXPECT("set e \"\"", OK);
    EXPECT("get e", "$0\r\n\r\n");
    EXPECT("strlen e", ":0\r\n");
}

// Proves: keys that the store cannot hold are absent for readers and refused for writers.
static void odd_keys(void **state)
{
    (void)state;
    char *query = malloc(70000);
    int head = sprintf(query, "*3\r\n$3\r\nSET\r\n$65536\r\n");
    memset(query + head, 'k', 65536);
    int tail = sprintf(query + head + 65536, "\r\n$1\r\nv\r\n");
    assert_string_equal(resp_kit_run_bytes(query, (size_t)(head + 65536 + tail)),
                        "-ERR key or value too large: keys have at most 65535 bytes, values 536870912\r\n");
    free(query);
}

static void keys(void **state)
{
    (void)state;
    EXPECT("dbsize", ":0\r\n");
    EXPECT("set a 1\r\nset b 2\r\nset ab 3", OK OK OK);
    EXPECT("dbsize", ":3\r\n");
    EXPECT("exists a b a nope", ":3\r\n");
    EXPECT("type a", "+string\r\n");
    EXPECT("type nope", "+none\r\n");
    EXPECT("keys a*", "*2\r\n$1\r\na\r\n$2\r\nab\r\n");
    EXPECT("keys [", "*0\r\n");
    EXPECT("scan 0", "*2\r\n$1\r\n0\r\n*3\r\n$1\r\na\r\n$1\r\nb\r\n$2\r\nab\r\n");
    EXPECT("scan 0 count 2", "*2\r\n$1\r\n2\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    EXPECT("scan 2 count 2", "*2\r\n$1\r\n0\r\n*1\r\n$2\r\nab\r\n");
    EXPECT("scan 0 match b", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n");
    EXPECT("scan 0 type list", "*2\r\n$1\r\n0\r\n*0\r\n");
    EXPECT("scan 0 TYPE STRING MATCH b COUNT 1000000", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n");
    EXPECT("scan x", "-ERR invalid cursor\r\n");
    EXPECT("scan 0 count 0", "-ERR syntax error\r\n");
    EXPECT("scan 0 count x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("scan 0 match", "-ERR syntax error\r\n");
    EXPECT("scan 0 foo bar", "-ERR syntax error\r\n");
    EXPECT("del a nope b", ":2\r\n");
    EXPECT("unlink ab", ":1\r\n");
    EXPECT("dbsize", ":0\r\n");
}

static void expiry(void **state)
{
    (void)state;
    EXPECT("ttl a", ":-2\r\n");
    EXPECT("expire a 10", ":0\r\n");
    EXPECT("set a 1", OK);
    EXPECT("pttl a", ":-1\r\n");
    EXPECT("expire a 10", ":1\r\n");
    EXPECT("ttl a", ":10\r\n");
    EXPECT("expiretime a", ":1700000010\r\n");
    EXPECT("pexpiretime a", ":1700000010000\r\n");
    EXPECT("expire a 20 nx", ":0\r\n");
    EXPECT("expire a 20 lt", ":0\r\n");
    EXPECT("expire a 20 gt", ":1\r\n");
    EXPECT("pexpire a 1499 xx", ":1\r\n");
    EXPECT("ttl a", ":1\r\n"); // rounded
    EXPECT("persist a", ":1\r\n");
    EXPECT("persist a", ":0\r\n");
    EXPECT("expireat a 1700000100", ":1\r\n");
    EXPECT("pttl a", ":100000\r\n");
    EXPECT("pexpireat a 1700000000500", ":1\r\n");
    fake.now_ms = NOW + 500;
    EXPECT("get a", NIL);
    EXPECT("ttl a", ":-2\r\n");
    EXPECT("set a 1", OK);
    EXPECT("expire a -1", ":1\r\n"); // in the past: deleted
    EXPECT("exists a", ":0\r\n");
    EXPECT("expire a x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("expire a 1 nx xx", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n");
    EXPECT("expire a 1 gt lt", "-ERR GT and LT options at the same time are not compatible\r\n");
    EXPECT("expire a 1 foo", "-ERR Unsupported option foo\r\n");
    EXPECT("expire a 99999999999999999", "-ERR invalid expire time in 'expire' command\r\n");
}

static uint64_t most_memory(void *arg)
{
    return *(const uint64_t *)arg;
}

static void maxmemory_within_what_there_is(void **state)
{
    uint64_t most = 32 << 20;
    (void)state;
    kit.shared.most_memory = most_memory;
    kit.shared.most_memory_arg = &most;
    EXPECT("config set maxmemory 16mb", OK);
    EXPECT("config get maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$8\r\n16777216\r\n");
    EXPECT("config set maxmemory 1000gb", OK);
    EXPECT("config get maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$8\r\n33554432\r\n");
    most = 64 << 20;
    EXPECT("config set maxmemory 1000gb", OK);
    EXPECT("config get maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$8\r\n67108864\r\n");
}

static void server_commands(void **state)
{
    (void)state;
    EXPECT("time", "*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n");
    EXPECT("lastsave", ":1700000000\r\n");
    fake.now_ms = NOW + 5000;
    EXPECT("save", OK);
    EXPECT("lastsave", ":1700000005\r\n");
    EXPECT("bgsave", "+Background saving started\r\n");
    EXPECT("bgsave x", "-ERR syntax error\r\n");
    EXPECT("config get foo", "*0\r\n");
    EXPECT("config set maxmemory 64mb", OK);
    EXPECT("config get MaxMemory appendf*c appendo*",
           "*6\r\n$9\r\nmaxmemory\r\n$8\r\n67108864\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n"
           "$10\r\nappendonly\r\n$3\r\nyes\r\n");
    EXPECT("config set appendfsync no",
           "-ERR CONFIG SET failed (possibly related to argument 'appendfsync') - can't set "
           "immutable config\r\n");
    EXPECT("config set foo 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'\r\n");
    EXPECT("config set maxmemory x",
           "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a "
           "memory value\r\n");
    EXPECT("config set maxmemory 1gb foo 1",
           "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'\r\n");
    EXPECT("config get maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$8\r\n67108864\r\n"); // all or nothing
    EXPECT("config set maxmemory", "-ERR wrong number of arguments for 'config|set' command\r\n");
    const char *all = resp_kit_run("info");
    static const char *const parts[] = {"# Server\r\nredis_version:7.0.15\r\n",
                                        "\r\n\r\n# Clients\r\n",
                                        "maxclients:10\r\n",
                                        "maxmemory:67108864\r\n",
                                        "# Elastic\r\nlimit_bytes:67108864\r\n",
                                        "# Keyspace\r\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        assert_non_null(strstr(all, parts[i]));
    EXPECT("info foo", "$0\r\n\r\n");
    assert_null(strstr(resp_kit_run("info clients stats"), "# Server"));
    EXPECT("set a 1 ex 5", OK);
    EXPECT("info keyspace", "$44\r\n# Keyspace\r\ndb0:keys=1,expires=1,avg_ttl=0\r\n\r\n");
}

static void introspection(void **state)
{
    (void)state;
    assert_non_null(strstr(resp_kit_run("command info client|setname"), "$14\r\nclient|setname\r\n:3\r\n"));
    assert_non_null(strstr(resp_kit_run("command"), "pexpiretime"));
    assert_null(strstr(resp_kit_run("command list"), "host:"));
    EXPECT("config set maxmemory 1gb maxclients", "-ERR syntax error\r\n");
    assert_non_null(
        strstr(resp_kit_run("client help"),
               "+CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+CACHING\r\n"));
}

// Proves: one sync for a pipeline that wrote, none for one that only read, none under the other policies.
static void one_sync_per_batch(void **state)
{
    (void)state;
    EXPECT("get a\r\nping", NIL "+PONG\r\n");
    assert_int_equal(fake.syncs, 0);
    EXPECT("set a 1\r\nset b 2\r\ndel a\r\nget b", OK OK ":1\r\n$1\r\n2\r\n");
    assert_int_equal(fake.syncs, 1);
    assert_int_equal(fake.waited, 0); // no write waited for a sync of its own
    assert_int_equal(kit.changes, 3);
    EXPECT("set b 3 nx\r\ndel nope\r\nset x",
           NIL ":0\r\n-ERR wrong number of arguments for 'set' command\r\n");
    assert_int_equal(fake.syncs, 1); // nothing was written
    kit.shared.fsync = KV_FSYNC_INTERVAL;
    EXPECT("set a 1", OK);
    assert_int_equal(fake.syncs, 1);
}

#define ARG(text)                                                                                            \
    {                                                                                                        \
        (const uint8_t *)(text), sizeof(text) - 1                                                            \
    }

// Proves: while too much waits to be overwritten no loop writes, and a worker's batch waits for it; reads go on.
static void writes_wait_for_the_eraser(void **state)
{
    (void)state;
    const struct resp_arg set[] = {ARG("set"), ARG("a"), ARG("1")};
    const struct resp_arg get[] = {ARG("get"), ARG("a")};
    kit.shared.fsync = KV_FSYNC_INTERVAL;
    assert_int_equal(resp_command_run(&kit.session, &kit.reply, set, 3, false), RESP_RUN_DONE);
    EXPECT("set a 1", OK OK);
    assert_int_equal(atomic_load(&fake.caught_up), 0);
    atomic_store(&fake.behind, true);
    assert_int_equal(resp_command_run(&kit.session, &kit.reply, set, 3, false), RESP_RUN_AGAIN);
    assert_int_equal(resp_command_run(&kit.session, &kit.reply, get, 2, false), RESP_RUN_DONE);
    EXPECT("get a", "$1\r\n1\r\n$1\r\n1\r\n");
    assert_int_equal(atomic_load(&fake.caught_up), 0);
    EXPECT("set a 1", OK);
    assert_int_equal(atomic_load(&fake.caught_up), 1);
}

// Proves: when the sync fails no +OK leaves; there are as many replies as commands.
static void failed_sync_takes_all_back(void **state)
{
    (void)state;
    fake.fail_sync = KV_IO;
#define LOST                                                                                                 \
    "-MISCONF Writes could not be made durable: input/output error. What this pipeline wrote may be "        \
    "lost.\r\n"
    EXPECT("set a 1\r\nget a\r\nping", LOST LOST LOST);
    EXPECT("ping", "+PONG\r\n");
    EXPECT("save", "-ERR the store failed: input/output error\r\n");
    EXPECT("set a 1\r\n*x", LOST "-ERR Protocol error: invalid multibulk length\r\n");
    assert_true(kit.session.close_after);
}

static void store_failures(void **state)
{
    (void)state;
    EXPECT("set a 1", OK);
    kit.changes = 0;
    fake.fail_put = KV_FULL;
    EXPECT("set a 2", "-MISCONF No space left on the store's device; nothing was changed\r\n");
    EXPECT("set a 2 get", "-MISCONF No space left on the store's device; nothing was changed\r\n");
    fake.fail_put = KV_READ_ONLY;
    assert_memory_equal(resp_kit_run("setnx z 2"), "-MISCONF The store refuses writes", 33);
    fake.fail_get = KV_CORRUPT;
    EXPECT("get a", "-ERR the record is damaged on disk\r\n");
    EXPECT("mget x a", "-ERR the record is damaged on disk\r\n");
    EXPECT("strlen a", "-ERR the record is damaged on disk\r\n");
    fake.fail_get = KV_OK;
    fake.fail_delete = KV_IO;
    EXPECT("getdel a", "-ERR the store failed: input/output error\r\n");
    EXPECT("del a", "-ERR the store failed: input/output error\r\n");
    EXPECT("get a", "$1\r\n1\r\n");
    fake.fail_scan = KV_IO;
    EXPECT("keys *", "-ERR the store failed: input/output error\r\n");
    EXPECT("scan 0", "-ERR the store failed: input/output error\r\n");
    assert_int_equal(kit.changes, 0); // on_change hears of successes alone
}

// Proves: a batch ends at its bounds and goes on where it was.
static void batches_are_bounded(void **state)
{
    const size_t count = 3000;
    char *query = malloc(count * 6 + 1);
    (void)state;
    for (size_t i = 0; i < count; i++)
        memcpy(query + i * 6, "PING\r\n", 6);
    struct resp_batch batch = {&kit.session, &kit.query, &kit.parser, &kit.reply};
    assert_true(resp_buffer_add(&kit.query, (const uint8_t *)query, count * 6, 0));
    assert_int_equal(resp_parse(&kit.parser, resp_buffer_data(&kit.query), resp_buffer_length(&kit.query)),
                     RESP_COMMAND);
    resp_batch_run(&batch);
    assert_int_equal(resp_reply_length(&kit.reply), RESP_BATCH_COMMANDS * 7);
    assert_int_equal(kit.parser.last, RESP_COMMAND); // there may be more
    free(query);
    (void)resp_kit_run("");
    assert_int_equal(strlen(kit.text), count * 7);
}

static void protocol_error_ends_the_batch(void **state)
{
    (void)state;
    EXPECT("ping\r\n*1\r\nx", "+PONG\r\n-ERR Protocol error: expected '$', got 'x'\r\n");
    assert_true(kit.session.close_after);
    assert_int_equal(atomic_load(&kit.shared.counters.protocol_errors), 1);
}

static void reply_over_the_limit(void **state)
{
    (void)state;
    kit.reply.limit_bytes = 1000;
    EXPECT("set a 0123456789012345678901234567890123456789", OK);
    for (int i = 0; i < 30 && resp_reply_ok(&kit.reply); i++)
        (void)resp_kit_run(
            "mget a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a");
    assert_true(kit.reply.overflow);
}

static void who_may_connect(void **state)
{
    (void)state;
    assert_true(resp_access_allowed(1000, 1000));
    assert_true(resp_access_allowed(0, 1000));
    assert_true(resp_access_allowed(0, 0));
    assert_false(resp_access_allowed(1000, 0));
    assert_false(resp_access_allowed(1001, 1000));
    assert_false(resp_access_allowed((uid_t)-1, 1000));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(table_is_sound),
        TEST(lookup),

        TEST(dispatch_errors),
        TEST(connection_commands),
        TEST(hello),
        TEST(closing_commands),
        TEST(strings),
        TEST(odd_keys),
        TEST(keys),
        TEST(expiry),
        TEST(maxmemory_within_what_there_is),
        TEST(server_commands),
        TEST(introspection),
        TEST(one_sync_per_batch),
        TEST(writes_wait_for_the_eraser),
        TEST(store_failures),
        TEST(batches_are_bounded),
        TEST(failed_sync_takes_all_back),
        TEST(protocol_error_ends_the_batch),
        TEST(reply_over_the_limit),
        TEST(who_may_connect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
