// Checksum, lengths, numbers, LZF.
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rdb_kit.h"

#include <cmocka.h>

#include "kvstore/rdb/rdb_crc64.h"
#include "kvstore/rdb/rdb_format.h"

static void checksum(void **state)
{
    (void)state;
    assert_int_equal(rdb_crc64(0, NULL, 0), 0);
    assert_true(rdb_crc64(0, "123456789", 9) == 0xe9c6d914c4b8d9cau);
    // In pieces as at once, at every place and alignment.
    uint8_t bytes[100];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    uint64_t whole = rdb_crc64(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++)
        assert_true(rdb_crc64(rdb_crc64(0, bytes, cut), bytes + cut, sizeof bytes - cut) == whole);
}

static void lengths(void **state)
{
    static const struct {
        uint64_t value;
        size_t bytes;
    } cases[] = {{0, 1},     {63, 1},         {64, 2},         {16383, 2},
                 {16384, 5}, {UINT32_MAX, 5}, {1ull << 32, 9}, {UINT64_MAX, 9}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t out[RDB_LENGTH_BYTES];
        assert_int_equal(rdb_length_put(out, cases[i].value), cases[i].bytes);
        assert_int_equal(rdb_length_more(out[0]) + 1, cases[i].bytes);
        assert_true(rdb_length_value(out) == cases[i].value);
    }
    for (unsigned first = 0x82; first < 0x100; first++)
        assert_int_equal(rdb_length_more((uint8_t)first), -1);
}

// What Redis writes as a number, and what only looks like one.
static void numbers(void **state)
{
    static const struct {
        const char *text, *head;
        size_t len; // of the head; 0: it stays text
    } cases[] = {{"0", "\xc0\x00", 2},
                 {"-1", "\xc0\xff", 2},
                 {"127", "\xc0\x7f", 2},
                 {"-128", "\xc0\x80", 2},
                 {"128", "\xc1\x80\x00", 3},
                 {"-129", "\xc1\x7f\xff", 3},
                 {"32768", "\xc2\x00\x80\x00\x00", 5},
                 {"2147483647", "\xc2\xff\xff\xff\x7f", 5},
                 {"-2147483648", "\xc2\x00\x00\x00\x80", 5},
                 {"2147483648", "", 0},
                 {"-2147483649", "", 0},
                 {"99999999999", "", 0},
                 {"-0", "", 0},
                 {"007", "", 0},
                 {"-", "", 0},
                 {"+1", "", 0},
                 {" 1", "", 0},
                 {"1 ", "", 0},
                 {"-01", "", 0},
                 {"", "", 0},
                 {"1a", "", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rdb_encoded e;
        char text[RDB_INT_TEXT];
        rdb_encode(&e, cases[i].text, strlen(cases[i].text), true);
        if (cases[i].len == 0) {
            assert_int_equal(e.head_len, 1);
            assert_int_equal(e.head[0], strlen(cases[i].text));
            assert_int_equal(e.body_len, strlen(cases[i].text));
        } else {
            assert_int_equal(e.head_len, cases[i].len);
            assert_memory_equal(e.head, cases[i].head, cases[i].len);
            assert_int_equal(e.body_len, 0);
            size_t n = rdb_int_text((enum rdb_form)(e.head[0] & 0x3f), e.head + 1, text);
            assert_int_equal(n, strlen(cases[i].text));
            assert_memory_equal(text, cases[i].text, n);
        }
        rdb_encoded_end(&e);
    }
}

// Memory that ends where a page that nobody may touch begins, with one before it as well: the library is not
// built with sanitizers.
struct fenced {
    uint8_t *map;
    size_t page;
};

static struct fenced fence(void)
{
    struct fenced f = {.page = (size_t)sysconf(_SC_PAGESIZE)};
    f.map = mmap(NULL, 3 * f.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(f.map != MAP_FAILED);
    assert_int_equal(mprotect(f.map + f.page, f.page, PROT_READ | PROT_WRITE), 0);
    return f;
}

static uint8_t *last(const struct fenced *f, size_t len)
{
    return f->map + 2 * f->page - len;
}

// Proves: LZF that was made up, damaged or cut off stays within the memory it is given, at either end.
static void lzf_hostile(void **state)
{
    struct fenced in = fence(), out = fence();
    uint64_t random = 1;
    (void)state;
    for (int round = 0; round < 200000; round++) {
        uint8_t bytes[48];
        for (size_t i = 0; i < sizeof bytes; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (uint8_t)(random >> 56);
            if (round % 3 == 0 && i % 4 == 0)
                bytes[i] &= 0x1f; // more literals: further into the data
        }
        size_t packed = 1 + (random >> 20) % sizeof bytes, plain = 1 + (random >> 30) % 600;
        memcpy(last(&in, packed), bytes, packed);
        if (round % 2 == 0) {
            (void)rdb_lzf_expand(last(&in, packed), packed, last(&out, plain), plain);
        } else { // references to before the beginning
            memcpy(in.map + in.page, bytes, packed);
            (void)rdb_lzf_expand(in.map + in.page, packed, out.map + out.page, plain);
        }
    }
    (void)munmap(in.map, 3 * in.page);
    (void)munmap(out.map, 3 * out.page);
}

static void lzf_round_trip(void **state)
{
    enum { LEN = 3000 };
    static char text[LEN], back[LEN];
    (void)state;
    for (size_t i = 0; i < LEN; i++)
        text[i] = "hello, hello, world"[i % 19];
    for (size_t len = 1; len <= LEN; len++) {
        struct rdb_encoded e;
        rdb_encode(&e, text, len, true);
        assert_true(e.packed != NULL || len < 32); // 19 bytes before all of it is repetition
        if (e.packed != NULL) {
            assert_true(e.body_len <= len - 4);
            assert_true(rdb_lzf_plausible(e.body_len, len));
            assert_true(rdb_lzf_expand(e.body, e.body_len, (uint8_t *)back, len));
            assert_memory_equal(back, text, len);
            assert_false(rdb_lzf_expand(e.body, e.body_len, (uint8_t *)back, len - 1));
            if (len < LEN) {
                assert_false(rdb_lzf_expand(e.body, e.body_len, (uint8_t *)back, len + 1));
            }
        }
        rdb_encoded_end(&e);
    }
    // What does not get smaller stays as it is; short strings are not tried.
    struct rdb_encoded e;
    rdb_encode(&e, "abcdefghijklmnopqrstuvwxyz0123456789", 36, true);
    assert_null(e.packed);
    rdb_encoded_end(&e);
    rdb_encode(&e, "aaaaaaaaaaaaaaaaaaaa", 20, true);
    assert_null(e.packed);
    rdb_encoded_end(&e);
    rdb_encode(&e, text, LEN, false);
    assert_null(e.packed);
    rdb_encoded_end(&e);
}

static void lzf_claims(void **state)
{
    (void)state;
    assert_false(rdb_lzf_plausible(0, 10));
    assert_false(rdb_lzf_plausible(10, 0));
    assert_false(rdb_lzf_plausible(10, 512u << 20)); // no memory for a lie
    assert_false(rdb_lzf_plausible(UINT64_MAX, UINT64_MAX));
    assert_true(rdb_lzf_plausible(6, 400));
    // As dense as LZF gets.
    static uint8_t zeros[1 << 20];
    struct rdb_encoded e;
    rdb_encode(&e, zeros, sizeof zeros, true);
    assert_non_null(e.packed);
    assert_true(rdb_lzf_plausible(e.body_len, sizeof zeros));
    rdb_encoded_end(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksum),       cmocka_unit_test(lengths),    cmocka_unit_test(numbers),
        cmocka_unit_test(lzf_round_trip), cmocka_unit_test(lzf_claims), cmocka_unit_test(lzf_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
