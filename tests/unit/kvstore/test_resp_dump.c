// DUMP and RESTORE: payloads that redis-server 7.0 made, and the refusals of RESTORE in Redis's words and order.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/kvstore/resp_kit.h"

// DUMP of "1", and of fifty a's (compressed), and of a list, by redis-server 7.0.15.
#define ONE   "\"\\x00\\xc0\\x01\\n\\x00&x\\xe7\\xb6\\xd1\\x01\\x11\\xfc\""
#define FIFTY "\"\\x00\\xc3\\x092\\x01aa\\xe0%\\x00\\x01aa\\x0a\\x00\\x09\\xacH\\xb9\\xab\\x15\\xfb\\xc9\""
#define A_LIST                                                                                               \
    "\"\\x12\\x01\\x02\\x0d\\x0d\\x00\\x00\\x00\\x02\\x00\\x81a\\x02\\x81b\\x02\\xff\\x0a\\x00h\\xeb\\x0a\\" \
    "x89\\x13A\\xbb\\xb1\""

// Payloads with a sound checksum: "hi" and 1 with bytes behind them, nothing at all, half a length.
#define HI_MORE                                                                                              \
    "\"\\x00\\x02\\x68\\x69\\x61\\x6e\\x64\\x20\\x6d\\x6f\\x72\\x65\\x0a\\x00\\x75\\x0d\\x65\\x52\\x3e\\xf8" \
    "\\x7d\\xdd\""
#define ONE_MORE "\"\\x00\\xc0\\x01\\x6d\\x6f\\x72\\x65\\x0a\\x00\\x51\\x10\\xe2\\x0f\\x98\\x1f\\x64\\xd7\""
#define NOTHING  "\"\\x0a\\x00\\x5d\\x9b\\x5c\\x40\\x0f\\x7f\\xa2\\xda\""
#define HALF     "\"\\x00\\x7f\\x0a\\x00\\xc8\\x6e\\x10\\x09\\xa5\\x7b\\x64\\xc6\""

static void made_as_redis_makes_it(void **state)
{
    (void)state;
    EXPECT("set a 1", OK);
    static const char one[] = "$13\r\n\x00\xc0\x01\n\x00&x\xe7\xb6\xd1\x01\x11\xfc\r\n";
    assert_memory_equal(resp_kit_run("dump a"), one, sizeof one - 1);
    EXPECT("dump nope", NIL);
    fake.fail_get = KV_CORRUPT;
    EXPECT("dump a", "-ERR the record is damaged on disk\r\n");
}

static void restored(void **state)
{
    (void)state;
    EXPECT("restore a 0 " ONE, OK);
    EXPECT("get a\r\nttl a", "$1\r\n1\r\n:-1\r\n");
    EXPECT("restore a 0 " ONE, "-BUSYKEY Target key name already exists.\r\n");
    EXPECT("restore a 5000 " FIFTY " replace", OK);
    EXPECT("get a\r\npttl a", "$50\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n:5000\r\n");
    EXPECT("restore a 1700000007000 " ONE " ABSTTL REPLACE IDLETIME 5", OK);
    EXPECT("pttl a", ":7000\r\n");
    EXPECT("restore b 9000000000000000000 " ONE " freq 255", OK);
    EXPECT("exists b", ":1\r\n");
    EXPECT("restore b 9223372036854775807 " ONE " replace", OK); // now and this are more than can be said
    EXPECT("exists b", ":0\r\n");
    EXPECT("restore a 1 " ONE " absttl replace", OK); // its time has passed: the old value goes
    EXPECT("exists a", ":0\r\n");
    EXPECT("restore a 1 " ONE " absttl", OK);
    EXPECT("exists a", ":0\r\n");
    EXPECT("select 1\r\nrestore a 0 " ONE "\r\nget a\r\ndbsize", OK OK "$1\r\n1\r\n:1\r\n");
}

// Proves: what lies between the string and the footer is passed over, as Redis does.
static void bytes_behind(void **state)
{
    (void)state;
    EXPECT("restore a 0 " HI_MORE, OK);
    EXPECT("restore b 0 " ONE_MORE, OK);
    EXPECT("mget a b", "*2\r\n$2\r\nhi\r\n$1\r\n1\r\n");
}

static void refused(void **state)
{
    (void)state;
    EXPECT("set a 1", OK);
    EXPECT("restore a x x foo", "-ERR syntax error\r\n");
    EXPECT("restore a x x freq", "-ERR syntax error\r\n");
    EXPECT("restore a x x freq 1 idletime 1", "-ERR syntax error\r\n");
    EXPECT("restore a x x idletime -1", "-ERR Invalid IDLETIME value, must be >= 0\r\n");
    EXPECT("restore a x x freq 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n");
    EXPECT("restore a x x freq x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("restore a x x", "-BUSYKEY Target key name already exists.\r\n");
    EXPECT("restore b x x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("restore b -1 x", "-ERR Invalid TTL value, must be >= 0\r\n");
    EXPECT("restore b 0 x", "-ERR DUMP payload version or checksum are wrong\r\n");
    EXPECT("restore b 0 \"\"", "-ERR DUMP payload version or checksum are wrong\r\n");
    EXPECT("restore b 0 " NOTHING, "-ERR Bad data format\r\n");
    EXPECT("restore b 0 " HALF, "-ERR Bad data format\r\n");
    EXPECT("restore b 0 \"\\x00\\xc0\\x02\\n\\x00&x\\xe7\\xb6\\xd1\\x01\\x11\\xfc\"",
           "-ERR DUMP payload version or checksum are wrong\r\n");
    EXPECT("restore b 0 " A_LIST,
           "-ERR Bad data format: this server keeps strings, and the payload is of another type (list)\r\n");
    EXPECT("restore a 0", "-ERR wrong number of arguments for 'restore' command\r\n");
    fake.fail_put = KV_FULL;
    EXPECT("restore b 0 " ONE, "-MISCONF No space left on the store's device; nothing was changed\r\n");
    EXPECT("get a\r\nexists b", "$1\r\n1\r\n:0\r\n"); // nothing of all this changed anything
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)
    const struct CMUnitTest tests[] = {TEST(made_as_redis_makes_it), TEST(restored), TEST(bytes_behind),
                                       TEST(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
