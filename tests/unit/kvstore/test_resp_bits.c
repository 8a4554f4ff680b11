// Bits and fields against a reference that takes them one by one, and the bitmap commands: each reply is the one of redis-server 7.0.15.
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/bitfield.h"
#include "kvstore/resp/bits.h"
#include "tests/unit/kvstore/resp_kit.h"

// ---- the algorithms

static unsigned seed = 1;

static unsigned pick(unsigned n)
{
    seed = seed * 1103515245u + 12345u;
    return seed / 65536u % n;
}

// Long runs of equal bytes, and odd ones in between.
static void fill(uint8_t *data, size_t len)
{
    uint8_t run = pick(2) != 0 ? 0xff : 0;
    for (size_t i = 0; i < len; i++)
        data[i] = pick(20) == 0 ? (uint8_t)pick(256) : run;
}

static bool bit_at(const uint8_t *data, uint64_t at)
{
    return (data[at / 8] >> (7 - at % 8) & 1) != 0;
}

// Proves: counts and positions are those of a loop over the bits, for every kind of edge.
static void rows_of_bits(void **state)
{
    uint8_t data[64];
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        fill(data, sizeof data);
        uint64_t from = pick(512), to = from + pick((unsigned)(512 - from)), count = 0, at = 0;
        bool bit = pick(2) != 0, found = false;
        for (uint64_t i = from; i <= to; i++) {
            count += bit_at(data, i);
            if (!found && bit_at(data, i) == bit) {
                found = true;
                at = i;
            }
        }
        uint64_t got = 0;
        assert_int_equal(resp_bits_count(data, from, to), count);
        assert_int_equal(resp_bits_find(data, from, to, bit, &got), found);
        if (found)
            assert_int_equal(got, at);
    }
}

// Proves: a field reads as it was written, its neighbours stay, and what is behind the end is zeros.
static void fields(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t data[24], before[24];
        unsigned bits = 1 + pick(64), offset = pick((unsigned)sizeof data * 8 - bits + 1);
        uint64_t value = (uint64_t)pick(65536) << 48 | (uint64_t)pick(65536) << 24 | pick(65536);
        fill(data, sizeof data);
        memcpy(before, data, sizeof data);
        resp_bits_write(data, offset, bits, value);
        uint64_t read = resp_bits_read(data, sizeof data, offset, bits);
        assert_true(read == (bits == 64 ? value : value & (((uint64_t)1 << bits) - 1)));
        int64_t extended = resp_bits_read_signed(data, sizeof data, offset, bits);
        assert_true((uint64_t)extended << (64 - bits) == read << (64 - bits));
        assert_true((extended < 0) == bit_at(data, offset));
        for (unsigned i = 0; i < sizeof data * 8; i++)
            if (i < offset || i >= offset + bits)
                assert_int_equal(bit_at(data, i), bit_at(before, i));
        for (unsigned i = 0; i < bits; i++) {
            unsigned at = offset + i;
            bool bit = (resp_bits_read(data, 8, offset, bits) >> (bits - 1 - i) & 1) != 0;
            assert_int_equal(bit, at < 64 && bit_at(data, at));
        }
    }
}

#define SUM(is_signed, bits, old, by, rule, want)                                                            \
    do {                                                                                                     \
        int64_t sum = 0;                                                                                     \
        assert_true(resp_bits_increase(is_signed, bits, old, by, rule, &sum));                               \
        assert_true(sum == (want));                                                                          \
    } while (0)

static void overflow(void **state)
{
    int64_t got;
    (void)state;
    SUM(true, 8, 100, 27, RESP_OVERFLOW_FAIL, 127);
    SUM(true, 8, 100, 28, RESP_OVERFLOW_WRAP, -128);
    SUM(true, 8, 100, 28, RESP_OVERFLOW_SAT, 127);
    SUM(true, 8, -100, -29, RESP_OVERFLOW_SAT, -128);
    SUM(true, 8, -100, -29, RESP_OVERFLOW_WRAP, 127);
    SUM(true, 8, 5, INT64_MAX, RESP_OVERFLOW_SAT, 127);
    SUM(true, 8, -5, INT64_MIN, RESP_OVERFLOW_SAT, -128);
    SUM(true, 64, INT64_MAX, 1, RESP_OVERFLOW_WRAP, INT64_MIN);
    SUM(true, 64, INT64_MAX, 1, RESP_OVERFLOW_SAT, INT64_MAX);
    SUM(true, 64, INT64_MIN, -1, RESP_OVERFLOW_SAT, INT64_MIN);
    SUM(true, 1, 0, 1, RESP_OVERFLOW_WRAP, -1);
    SUM(true, 1, 0, 1, RESP_OVERFLOW_SAT, 0);
    SUM(false, 8, 250, 10, RESP_OVERFLOW_WRAP, 4);
    SUM(false, 8, 250, 10, RESP_OVERFLOW_SAT, 255);
    SUM(false, 8, 3, -4, RESP_OVERFLOW_SAT, 0);
    SUM(false, 8, 3, -4, RESP_OVERFLOW_WRAP, 255);
    SUM(false, 63, INT64_MAX, 1, RESP_OVERFLOW_WRAP, 0);
    SUM(false, 63, INT64_MAX, INT64_MAX, RESP_OVERFLOW_SAT, INT64_MAX);
    assert_false(resp_bits_increase(true, 8, 100, 28, RESP_OVERFLOW_FAIL, &got));
    assert_false(resp_bits_increase(false, 8, 3, -4, RESP_OVERFLOW_FAIL, &got));
    assert_false(resp_bits_assign(false, 8, -1, RESP_OVERFLOW_FAIL, &got));
    assert_true(resp_bits_assign(false, 8, -1, RESP_OVERFLOW_SAT, &got) && got == 255); // as a large number
    assert_true(resp_bits_assign(true, 8, -129, RESP_OVERFLOW_SAT, &got) && got == -128);
    assert_true(resp_bits_assign(true, 8, INT64_MIN, RESP_OVERFLOW_SAT, &got) && got == 127); // as Redis
    assert_true(resp_bits_assign(true, 8, 384, RESP_OVERFLOW_WRAP, &got) && got == -128);
    assert_true(resp_bits_assign(true, 64, INT64_MIN, RESP_OVERFLOW_FAIL, &got) && got == INT64_MIN);
}

static bool offset_of(const char *text, unsigned bits, uint64_t *offset)
{
    struct resp_arg arg = {(const uint8_t *)text, strlen(text)};
    return resp_bits_offset(&arg, bits, 1024, offset);
}

static void offsets(void **state)
{
    uint64_t offset = 0;
    (void)state;
    assert_true(offset_of("0", 0, &offset) && offset == 0);
    assert_true(offset_of("8191", 0, &offset) && offset == 8191);
    assert_true(offset_of("#3", 5, &offset) && offset == 15);
    static const char *const bad[] = {"", "#", "-1", "#-1", "8192", "1.0", "##1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(offset_of(bad[i], 8, &offset));
    assert_false(offset_of("#3", 0, &offset));
    assert_false(offset_of("#1024", 8, &offset));
}

// ---- the commands

#define BAD_OFFSET  "-ERR bit offset is not an integer or out of range\r\n"
#define BAD_INTEGER "-ERR value is not an integer or out of range\r\n"
#define BAD_SYNTAX  "-ERR syntax error\r\n"

static void single_bits(void **state)
{
    (void)state;
    EXPECT("getbit a 100", ":0\r\n");
    EXPECT("setbit a 7 1", ":0\r\n");
    EXPECT("setbit a 7 1", ":1\r\n");
    EXPECT("get a", "$1\r\n\x01\r\n");
    EXPECT("setbit a 16 0", ":0\r\n"); // grows
    EXPECT("strlen a", ":3\r\n");
    EXPECT("getbit a 7", ":1\r\n");
    EXPECT("getbit a 4294967295", ":0\r\n");
    EXPECT("getbit a 4294967296", BAD_OFFSET);
    EXPECT("setbit a -1 1", BAD_OFFSET);
    EXPECT("setbit a x 2", BAD_OFFSET);
    EXPECT("setbit a #1 1", BAD_OFFSET);
    EXPECT("setbit a 1 2", "-ERR bit is not an integer or out of range\r\n");
    EXPECT("setbit a 1 x", "-ERR bit is not an integer or out of range\r\n");
    EXPECT("expire a 100", ":1\r\n");
    EXPECT("setbit a 1 1", ":0\r\n");
    EXPECT("ttl a", ":100\r\n"); // kept
    kit.shared.limits.max_bulk_bytes = 16;
    EXPECT("setbit a 128 1", BAD_OFFSET);
}

static void counting(void **state)
{
    (void)state;
    EXPECT("bitcount a", ":0\r\n");
    EXPECT("bitcount a 0", ":0\r\n"); // an absent key comes before the syntax
    EXPECT("set a foobar", OK);
    EXPECT("bitcount a", ":26\r\n");
    EXPECT("bitcount a 0 0", ":4\r\n");
    EXPECT("bitcount a 1 1 byte", ":6\r\n");
    EXPECT("bitcount a 5 30 BIT", ":17\r\n");
    EXPECT("bitcount a -2 -1", ":7\r\n");
    EXPECT("bitcount a 5 2", ":0\r\n");
    EXPECT("bitcount a -1 -2 foo", ":0\r\n"); // empty before the unit is looked at
    EXPECT("bitcount a 0 1 foo", BAD_SYNTAX);
    EXPECT("bitcount a 0", BAD_SYNTAX);
    EXPECT("bitcount a 0 1 bit x", BAD_SYNTAX);
    EXPECT("bitcount a x 1", BAD_INTEGER);
    EXPECT("bitcount a 0 x foo", BAD_INTEGER);
    EXPECT("set e \"\"", OK);
    EXPECT("bitcount e 0 -1", ":0\r\n");
}

static void positions(void **state)
{
    (void)state;
    EXPECT("bitpos a 0", ":0\r\n");
    EXPECT("bitpos a 1 x", ":-1\r\n"); // an absent key comes before the numbers
    EXPECT("bitpos a 2", "-ERR The bit argument must be 1 or 0.\r\n");
    EXPECT("bitpos a x", BAD_INTEGER);
    EXPECT("set a \"\\xff\\xf0\\x00\"", OK);
    EXPECT("bitpos a 0", ":12\r\n");
    EXPECT("bitpos a 1 2", ":-1\r\n");
    EXPECT("bitpos a 1 -2", ":8\r\n");
    EXPECT("bitpos a 0 0 0", ":-1\r\n"); // an end was given: nothing behind it
    EXPECT("bitpos a 1 7 15 bit", ":7\r\n");
    EXPECT("bitpos a 0 7 15 BIT", ":12\r\n");
    EXPECT("bitpos a 1 13 -1 bit", ":-1\r\n");
    EXPECT("bitpos a 1 2 1", ":-1\r\n");
    EXPECT("bitpos a 1 -10 -17", ":0\r\n"); // both are before the start: its first byte
    EXPECT("bitpos a 1 0 foo bit", BAD_INTEGER);
    EXPECT("bitpos a 1 0 foo foo", BAD_SYNTAX);
    EXPECT("bitpos a 1 0 0 bit x", BAD_SYNTAX);
    EXPECT("set a \"\\xff\\xff\"", OK);
    EXPECT("bitpos a 0", ":16\r\n");
    EXPECT("bitpos a 0 0", ":16\r\n");
    EXPECT("bitpos a 0 0 -1", ":-1\r\n");
    EXPECT("set e \"\"", OK);
    EXPECT("bitpos e 0", ":-1\r\n");
}

static void operations(void **state)
{
    (void)state;
    EXPECT("set a abcd", OK);
    EXPECT("set b \"  \"", OK);
    EXPECT("bitop xor c a b", ":4\r\n");
    EXPECT("get c", "$4\r\nABcd\r\n");
    EXPECT("bitop OR c a b nope", ":4\r\n");
    EXPECT("get c", "$4\r\nabcd\r\n");
    EXPECT("bitop and c a b", ":4\r\n");
    assert_memory_equal(resp_kit_run("get c"), "$4\r\n  \0\0\r\n", 10);
    EXPECT("bitop and c b a", ":4\r\n");
    assert_memory_equal(resp_kit_run("get c"), "$4\r\n  \0\0\r\n", 10);
    EXPECT("bitop not c b", ":2\r\n");
    EXPECT("get c", "$2\r\n\xdf\xdf\r\n");
    EXPECT("bitop not a a", ":4\r\n"); // in place
    EXPECT("bitop not a a", ":4\r\n");
    EXPECT("get a", "$4\r\nabcd\r\n");
    EXPECT("expire c 100", ":1\r\n");
    EXPECT("bitop or c a", ":4\r\n");
    EXPECT("ttl c", ":-1\r\n");
    EXPECT("bitop or c nope", ":0\r\n"); // nothing: the key goes
    EXPECT("exists c", ":0\r\n");
    EXPECT("bitop not c a b", "-ERR BITOP NOT must be called with a single source key.\r\n");
    EXPECT("bitop foo c a b", BAD_SYNTAX);
    EXPECT("bitop and c", "-ERR wrong number of arguments for 'bitop' command\r\n");
}

static void bitfields(void **state)
{
    (void)state;
    EXPECT("bitfield a", "*0\r\n");
    EXPECT("bitfield a get u8 0", "*1\r\n:0\r\n");
    EXPECT("exists a", ":0\r\n");
    EXPECT("bitfield a set u8 #1 255 get u8 #1 get u4 12 incrby i5 100 1 get i8 8",
           "*5\r\n:0\r\n:255\r\n:15\r\n:1\r\n:-1\r\n");
    EXPECT("strlen a", ":14\r\n");
    EXPECT("bitfield a incrby u2 100 1 overflow sat incrby u2 102 1 overflow fail incrby u2 102 3",
           "*3\r\n:1\r\n:1\r\n" NIL);
    EXPECT("bitfield b overflow fail incrby u8 8 300", "*1\r\n" NIL); // refused, but grown
    EXPECT("strlen b", ":2\r\n");
    EXPECT("bitfield a set i64 3 -9223372036854775808 get i64 3 set u63 64 9223372036854775807 get u63 64",
           "*4\r\n:574208952489738240\r\n:-9223372036854775808\r\n:46137344\r\n"
           ":9223372036854775807\r\n");
    EXPECT("bitfield_ro a get u8 0 get u8 1000000", "*2\r\n:16\r\n:0\r\n");
    EXPECT("bitfield_ro a set u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n");
}

static void bitfield_refusals(void **state)
{
    (void)state;
#define BAD_TYPE                                                                                             \
    "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"
    EXPECT("bitfield a get u64 0", BAD_TYPE);
    EXPECT("bitfield a get i65 0", BAD_TYPE);
    EXPECT("bitfield a get I8 0", BAD_TYPE);
    EXPECT("bitfield a get u 0", BAD_TYPE);
    EXPECT("bitfield a get u0 x", BAD_TYPE);
    EXPECT("bitfield a get u8 x", BAD_OFFSET);
    EXPECT("bitfield a get u8 #x", BAD_OFFSET);
    EXPECT("bitfield a get u8 -1", BAD_OFFSET);
    EXPECT("bitfield a set u8 0 x", BAD_INTEGER);
    EXPECT("bitfield a set u8 0", BAD_SYNTAX);
    EXPECT("bitfield a set u8 0 1 foo", BAD_SYNTAX);
    EXPECT("bitfield a overflow", BAD_SYNTAX);
    EXPECT("bitfield a overflow foo get u8 0", "-ERR Invalid OVERFLOW type specified\r\n");
    EXPECT("bitfield_ro a set u8 0 1 get", BAD_SYNTAX);
    EXPECT("exists a", ":0\r\n");
    kit.shared.limits.max_bulk_bytes = 16;
    EXPECT("bitfield a set u8 128 1", BAD_OFFSET);
    EXPECT("bitfield a set u16 127 1", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
}

static void failures(void **state)
{
    (void)state;
#define FULL "-MISCONF No space left on the store's device; nothing was changed\r\n"
#define BAD  "-ERR the record is damaged on disk\r\n"
    EXPECT("set a abc", OK);
    fake.fail_put = KV_FULL;
    EXPECT("setbit a 1 0", FULL);
    EXPECT("bitfield a get u8 0 set u8 0 1", FULL);
    EXPECT("bitfield a get u8 0 set u8 0 97", "*2\r\n:97\r\n:97\r\n"); // nothing to write
    EXPECT("bitop or b a", FULL);
    fake.fail_get = KV_CORRUPT;
    static const char *const reads[] = {"getbit a 1",   "bitcount a",           "bitpos a 1",
                                        "bitop or b a", "bitfield a get u8 0",  "bitfield_ro a get u8 0",
                                        "setbit a 1 1", "bitfield a set u8 0 1"};
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++)
        EXPECT(reads[i], BAD);
    fake.fail_get = KV_OK;
    EXPECT("get a", "$3\r\nabc\r\n");
    EXPECT("exists b", ":0\r\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_bits),
        cmocka_unit_test(fields),
        cmocka_unit_test(overflow),
        cmocka_unit_test(offsets),
        TEST(single_bits),
        TEST(counting),
        TEST(positions),
        TEST(operations),
        TEST(bitfields),
        TEST(bitfield_refusals),
        TEST(failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
