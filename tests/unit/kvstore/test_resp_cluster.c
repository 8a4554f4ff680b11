// CLUSTER: slots, one node that has them all, what cluster clients send. Commands of other data types.
#include <stdio.h>
#include <string.h>

#include "kvstore/resp/slot.h"
#include "tests/unit/kvstore/resp_kit.h"

static unsigned slot(const char *key)
{
    return resp_slot(key, strlen(key));
}

static void slots(void **state)
{
    (void)state;
    assert_int_equal(resp_crc16("123456789", 9), 0x31c3); // the check value of CRC-16/XMODEM
    assert_int_equal(slot("foo"), 12182);
    assert_int_equal(slot(""), 0);
    assert_int_equal(slot("a{foo}b"), 12182);
    assert_int_equal(slot("{foo}{bar}"), 12182);
    assert_int_equal(slot("a{foo"), resp_crc16("a{foo", 5) % RESP_SLOTS);
    assert_int_equal(slot("{}foo"), resp_crc16("{}foo", 5) % RESP_SLOTS);
    assert_int_equal(slot("foo{}{bar}"), resp_crc16("foo{}{bar}", 10) % RESP_SLOTS);
    assert_int_equal(slot("{"), resp_crc16("{", 1) % RESP_SLOTS);
    assert_int_equal(slot("foo{{bar}}zap"), slot("{bar"));
    EXPECT("cluster keyslot foo", ":12182\r\n");
    EXPECT("cluster keyslot a{b}c", ":3300\r\n");
}

static void shape(void **state)
{
    char expected[512];
    const char *id = kit.shared.node_id;
    (void)state;
    assert_int_equal(strlen(id), 40);
    (void)snprintf(kit.session.local, sizeof kit.session.local, "127.0.0.1:6379");
    (void)snprintf(expected, sizeof expected, "$40\r\n%s\r\n", id);
    EXPECT("cluster myid", expected);
    (void)snprintf(expected, sizeof expected,
                   "*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n$9\r\n127.0.0.1\r\n:6379\r\n$40\r\n%s\r\n*0\r\n", id);
    EXPECT("cluster slots", expected);
    (void)snprintf(expected, sizeof expected,
                   "%s 127.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-16383\n%c%.39s "
                   "127.0.0.1:6379@16379 master "
                   "- 0 %llu 2 connected 0-16383\n\r\n",
                   id, id[0] == '0' ? '1' : '0', id + 1, (unsigned long long)NOW);
    assert_string_equal(strchr(resp_kit_run("cluster nodes"), '\n') + 1, expected);
    assert_non_null(
        strstr(resp_kit_run("cluster shards"), "$4\r\nport\r\n:6379\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n"));
    assert_non_null(strstr(resp_kit_run("cluster info"), "cluster_slots_assigned:16384\r\n"));
    EXPECT("cluster links", "*0\r\n");
    (void)snprintf(expected, sizeof expected, "cluster replicas %s", id);
    EXPECT(expected, "*0\r\n");
    EXPECT("cluster replicas x", "-ERR Unknown node x\r\n");
    (void)snprintf(kit.session.local, sizeof kit.session.local, "[::1]:7000");
    assert_non_null(strstr(resp_kit_run("cluster slots"), "$3\r\n::1\r\n:7000\r\n"));
    (void)snprintf(kit.session.local, sizeof kit.session.local, "/s:0");
    assert_non_null(strstr(resp_kit_run("cluster slots"), "$0\r\n\r\n:0\r\n"));
}

static void says_what_it_is(void **state)
{
    (void)state;
    assert_non_null(strstr(resp_kit_run("hello"), "standalone"));
    assert_non_null(strstr(resp_kit_run("info cluster"), "cluster_enabled:0"));
    atomic_store(&kit.shared.cluster_enabled, true);
    assert_non_null(strstr(resp_kit_run("hello"), "$7\r\ncluster\r\n"));
    assert_non_null(strstr(resp_kit_run("info cluster"), "cluster_enabled:1"));
    assert_non_null(strstr(resp_kit_run("info server"), "redis_mode:cluster"));
    EXPECT("asking", OK);
    EXPECT("readonly", OK);
    EXPECT("readwrite", OK);
    EXPECT("cluster meet a 1",
           "-ERR this server is a cluster of one node: it takes no other nodes and gives no slots "
           "away\r\n");
    EXPECT("cluster", "-ERR wrong number of arguments for 'cluster' command\r\n");
    EXPECT("cluster foo", "-ERR unknown subcommand 'foo'. Try CLUSTER HELP.\r\n");
}

static void keys_of_slots(void **state)
{
    (void)state;
    EXPECT("cluster countkeysinslot 12182", ":0\r\n");
    EXPECT("set foo 1\r\nset {foo}2 1\r\nset bar 1", OK OK OK);
    EXPECT("cluster countkeysinslot 12182", ":2\r\n");
    EXPECT("cluster getkeysinslot 12182 0", "*0\r\n");
    assert_int_equal(strncmp(resp_kit_run("cluster getkeysinslot 12182 1"), "*1\r\n", 4), 0);
    const char *both = resp_kit_run("cluster getkeysinslot 12182 10");
    assert_int_equal(strncmp(both, "*2\r\n", 4), 0);
    assert_true(strstr(both, "$3\r\nfoo\r\n") != NULL && strstr(both, "$6\r\n{foo}2\r\n") != NULL);
    EXPECT("mget foo bar", "*2\r\n$1\r\n1\r\n$1\r\n1\r\n"); // of two slots
    EXPECT("cluster countkeysinslot 16384", "-ERR Invalid slot\r\n");
    EXPECT("cluster countkeysinslot -1", "-ERR Invalid slot\r\n");
    EXPECT("cluster countkeysinslot x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("cluster getkeysinslot 5 -1", "-ERR Invalid slot or number of keys\r\n");
    EXPECT("cluster getkeysinslot 5 x", "-ERR value is not an integer or out of range\r\n");
    fake.fail_scan = KV_IO;
    assert_int_equal(resp_kit_run("cluster countkeysinslot 1")[0], '-');
    assert_int_equal(resp_kit_run("cluster getkeysinslot 1 1")[0], '-');
}

static void other_types(void **state)
{
    (void)state;
    EXPECT("lpush a b", "-ERR LPUSH works on lists: this server stores strings only\r\n");
    EXPECT("LPUSH a", "-ERR wrong number of arguments for 'lpush' command\r\n");
    EXPECT("hset a b c", "-ERR HSET works on hashes: this server stores strings only\r\n");
    EXPECT("sadd a b", "-ERR SADD works on sets: this server stores strings only\r\n");
    EXPECT("zadd a 1 b", "-ERR ZADD works on sorted sets: this server stores strings only\r\n");
    EXPECT("xlen a", "-ERR XLEN works on streams: this server stores strings only\r\n");
    EXPECT("geopos a", "-ERR GEOPOS works on geo sets: this server stores strings only\r\n");
    EXPECT("pfadd a", "-ERR PFADD works on HyperLogLogs: this server stores strings only\r\n");
    EXPECT("sort a", "-ERR SORT works on lists and sets: this server stores strings only\r\n");
    EXPECT("eval return 0", "-ERR EVAL works on scripts: this server runs no scripts\r\n");
    EXPECT("script load x", "-ERR SCRIPT works on scripts: this server runs no scripts\r\n");
    EXPECT("script flush", OK);
    EXPECT("script flush sync", OK);
    EXPECT("script flush foo", "-ERR SCRIPT works on scripts: this server runs no scripts\r\n");
    EXPECT("script exists a b", "*2\r\n:0\r\n:0\r\n");
    EXPECT("script kill", "-NOTBUSY No scripts in execution right now.\r\n");
    EXPECT("function flush", OK);
    EXPECT("function list", "*0\r\n");
    EXPECT("command info lpush", "*1\r\n$-1\r\n");
    assert_null(strstr(resp_kit_run("command list"), "zadd"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(slots), TEST(shape), TEST(says_what_it_is), TEST(keys_of_slots), TEST(other_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
