// The longest common subsequence against a table of all lengths, and the command LCS: each reply is the one of redis-server 7.0.15.
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/lcs.h"
#include "tests/unit/kvstore/resp_kit.h"

#define LEN_MAX 40

static unsigned seed = 1;

static unsigned pick(unsigned n)
{
    seed = seed * 1103515245u + 12345u;
    return seed / 65536u % n;
}

static uint32_t length_by_table(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    uint32_t table[LEN_MAX + 1][LEN_MAX + 1] = {0};
    for (size_t i = 1; i <= a_len; i++)
        for (size_t j = 1; j <= b_len; j++) {
            uint32_t above = table[i - 1][j], before = table[i][j - 1];
            table[i][j] = a[i - 1] == b[j - 1] ? table[i - 1][j - 1] + 1 : above > before ? above : before;
        }
    return table[a_len][b_len];
}

struct seen {
    const struct resp_lcs *lcs;
    size_t a, b; // where the last run began
    uint32_t length;
};

static void on_run(void *arg, size_t at_a, size_t at_b, size_t len)
{
    struct seen *seen = arg;
    assert_true(len != 0 && at_a + len <= seen->a && at_b + len <= seen->b);
    assert_memory_equal(seen->lcs->a + at_a, seen->lcs->b + at_b, len);
    seen->a = at_a;
    seen->b = at_b;
    seen->length += (uint32_t)len;
}

// Proves: the runs are common to both, in order, and together as long as the longest can be.
static void runs_are_the_longest(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        uint8_t a[LEN_MAX], b[LEN_MAX];
        size_t a_len = pick(LEN_MAX + 1), b_len = pick(LEN_MAX + 1);
        unsigned letters = 1 + pick(5);
        for (size_t i = 0; i < LEN_MAX; i++) {
            a[i] = (uint8_t)pick(letters);
            b[i] = (uint8_t)pick(letters);
        }
        struct resp_lcs lcs, short_lcs;
        assert_true(resp_lcs_init(&lcs, a, a_len, b, b_len, true));
        assert_true(resp_lcs_init(&short_lcs, a, a_len, b, b_len, false));
        assert_int_equal(lcs.length, length_by_table(a, a_len, b, b_len));
        assert_int_equal(short_lcs.length, lcs.length);
        struct seen seen = {&lcs, a_len, b_len, 0};
        resp_lcs_runs(&lcs, on_run, &seen);
        assert_int_equal(seen.length, lcs.length);
        resp_lcs_deinit(&lcs);
        resp_lcs_deinit(&short_lcs);
    }
}

static void the_command(void **state)
{
    (void)state;
    EXPECT("lcs a b", "$0\r\n\r\n");
    EXPECT("lcs a b idx", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
    EXPECT("mset a ohmytext b mynewtext", OK);
    EXPECT("lcs a b", "$6\r\nmytext\r\n");
    EXPECT("lcs a b len", ":6\r\n");
    EXPECT("lcs a b IDX", "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n"
                          "*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n");
    EXPECT(
        "lcs a b idx minmatchlen 4 withmatchlen",
        "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n$3\r\nlen\r\n:6\r\n");
    EXPECT("lcs a b idx minmatchlen 5", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:6\r\n");
    assert_memory_equal(resp_kit_run("lcs a b idx minmatchlen -1"), "*4\r\n$7\r\nmatches\r\n*2\r\n", 21);
    (void)resp_kit_run("hello 3");
    EXPECT("lcs a b idx minmatchlen 5", "%2\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:6\r\n");
}

static void refusals(void **state)
{
    (void)state;
    EXPECT("lcs a", "-ERR wrong number of arguments for 'lcs' command\r\n");
    EXPECT("lcs a b len idx", "-ERR If you want both the length and indexes, please just use IDX.\r\n");
    EXPECT("lcs a b foo", "-ERR syntax error\r\n");
    EXPECT("lcs a b minmatchlen", "-ERR syntax error\r\n");
    EXPECT("lcs a b minmatchlen x len idx", "-ERR value is not an integer or out of range\r\n");
    EXPECT("mset a 0123456789 b 0123456789", OK);
    kit.shared.limits.max_bulk_bytes = 4 * 11 * 11;
    EXPECT("lcs a b", "$10\r\n0123456789\r\n");
    kit.shared.limits.max_bulk_bytes--;
    EXPECT("lcs a b len",
           "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
    fake.fail_get = KV_CORRUPT;
    EXPECT("lcs a b", "-ERR the record is damaged on disk\r\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_are_the_longest),
        TEST(the_command),
        TEST(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
