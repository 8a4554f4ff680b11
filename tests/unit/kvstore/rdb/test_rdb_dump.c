// DUMP payloads: those of redis-server 7.0.15, byte by byte, and what is refused.
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "rdb_kit.h"

#include <cmocka.h>

#include "kvstore/rdb/rdb_crc64.h"
#include "kvstore/rdb/rdb_dump.h"

// As redis-cli DUMP printed them.
#define LITERAL(text) text, sizeof(text) - 1
static const struct {
    const char *value;
    size_t len;
    const char *payload;
    size_t payload_len;
} of_redis[] = {
    {LITERAL("1"), LITERAL("\x00\xc0\x01\n\x00&x\xe7\xb6\xd1\x01\x11\xfc")},
    {LITERAL("-129"), LITERAL("\x00\xc1\x7f\xff\n\x00\x17`\x82(T\x80\x84\x80")},
    {LITERAL("70000"), LITERAL("\x00\xc2p\x11\x01\x00\n\x00\x01\xa4\b\xfe\x95"
                               "0\x95\xa5")},
    {LITERAL("2147483648"), LITERAL("\x00\n2147483648\n\x00\xe7\xb1)\xa3L\x1dv\xee")},
    {LITERAL("-2147483648"), LITERAL("\x00\xc2\x00\x00\x00\x80\n\x00\xc7O\x87>3U\x81\x87")},
    {LITERAL("hello"), LITERAL("\x00\x05hello\n\x00"
                               "cr\xdfve4 \n")},
    {LITERAL("007"), LITERAL("\x00\x03"
                             "007\n\x00rX\xe2{Li\xba\xd9")},
    {LITERAL(""), LITERAL("\x00\x00\n\x00]\x9b\\@\x0f\x7f\xa2\xda")},
    {LITERAL("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), LITERAL("\x00\xc3\t)\x01"
                                                                   "aa\xe0\x1c\x00\x01"
                                                                   "aa\n\x00G\xd8\xa5i\xbe\xdb"
                                                                   "F\x0b")},
};

static void same_as_redis(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof of_redis / sizeof of_redis[0]; i++) {
        uint8_t *payload, *value;
        size_t payload_len, len;
        assert_int_equal(rdb_dump_make(of_redis[i].value, of_redis[i].len, true, &payload, &payload_len),
                         RDB_DUMP_OK);
        assert_int_equal(payload_len, of_redis[i].payload_len);
        assert_memory_equal(payload, of_redis[i].payload, payload_len);
        assert_int_equal(rdb_dump_read(payload, payload_len, 0, &value, &len, NULL), RDB_DUMP_OK);
        assert_int_equal(len, of_redis[i].len);
        assert_memory_equal(value, of_redis[i].value, len);
        free(payload);
        free(value);
    }
}

static void round_trips(void **state)
{
    static const size_t lengths[] = {0, 1, 20, 21, 63, 64, 16383, 16384, 100000, 1 << 20};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof lengths / sizeof lengths[0]; i++) {
        size_t len = lengths[i / 2], payload_len, back_len;
        uint8_t *value = malloc(len + 1), *payload, *back;
        for (size_t k = 0; k < len; k++)
            value[k] = (uint8_t)(k % 251 * (k % 7));
        assert_int_equal(rdb_dump_make(value, len, i % 2 != 0, &payload, &payload_len), RDB_DUMP_OK);
        assert_int_equal(rdb_dump_read(payload, payload_len, 0, &back, &back_len, NULL), RDB_DUMP_OK);
        assert_int_equal(back_len, len);
        assert_memory_equal(back, value, len);
        free(back);
        if (len > 0) {
            assert_int_equal(rdb_dump_read(payload, payload_len, len, &back, &back_len, NULL), RDB_DUMP_OK);
            free(back);
        }
        if (len > 1)
            assert_int_equal(rdb_dump_read(payload, payload_len, len - 1, &back, &back_len, NULL),
                             RDB_DUMP_TOO_LARGE);
        free(value);
        free(payload);
    }
}

// Reads a payload made of `body` with a right footer.
static enum rdb_dump_status read_body(const char *body, size_t len, unsigned version, enum rdb_kind *kind)
{
    struct bytes b = {0};
    uint8_t *value = NULL;
    size_t value_len;
    bytes_add(&b, body, len);
    bytes_le(&b, version, 2);
    bytes_le(&b, rdb_crc64(0, b.data, b.len), 8);
    uint8_t *exact = malloc(b.len);
    memcpy(exact, b.data, b.len);
    enum rdb_dump_status status = rdb_dump_read(exact, b.len, 1000, &value, &value_len, kind);
    free(exact);
    free(value);
    bytes_free(&b);
    return status;
}
#define READ(body, version) read_body(body, sizeof(body) - 1, version, NULL)

static void refusals(void **state)
{
    enum rdb_kind kind = RDB_STRING;
    (void)state;
    assert_int_equal(READ("\0\1a", 10), RDB_DUMP_OK);
    assert_int_equal(READ("\0\1a", 6), RDB_DUMP_OK);
    assert_int_equal(READ("\0\1a", 12), RDB_DUMP_OK);
    assert_int_equal(READ("\0\1a", 13), RDB_DUMP_BAD_VERSION);
    assert_int_equal(READ("", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(READ("", 13), RDB_DUMP_BAD_VERSION);
    assert_int_equal(READ("\0", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(READ("\0\2a", 10), RDB_DUMP_BAD_FORMAT);  // short
    assert_int_equal(READ("\0\1ab", 10), RDB_DUMP_OK);         // something behind it
    assert_int_equal(READ("\0\x40", 10), RDB_DUMP_BAD_FORMAT); // half a length
    assert_int_equal(READ("\0\x82\0\0\0\0", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(READ("\0\x81\xff\xff\xff\xff\xff\xff\xff\xff", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(READ("\0\xc0", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(READ("\0\xc0\1\1", 10), RDB_DUMP_OK);
    assert_int_equal(READ("\0\xc2\1\1", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(READ("\0\xc4\1\1", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(READ("\0\xc3", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(READ("\0\xc3\3\3", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(READ("\0\xc3\3\5\0a\0", 10), RDB_DUMP_BAD_FORMAT);     // literals past the end
    assert_int_equal(READ("\0\xc3\3\x5\x20\0\0", 10), RDB_DUMP_BAD_FORMAT); // refers to before the beginning
    assert_int_equal(READ("\0\xc3\3\x43\xff\0a\0", 10), RDB_DUMP_BAD_FORMAT); // more than LZF can
    assert_int_equal(READ("\0\x43\xff", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(read_body("\4\1\1a\1b", 6, 10, &kind), RDB_DUMP_OTHER_KIND);
    assert_int_equal(kind, RDB_HASH);
    assert_int_equal(read_body("\x13\0", 2, 10, &kind), RDB_DUMP_OTHER_KIND);
    assert_int_equal(kind, RDB_STREAM);
    assert_int_equal(read_body("\6\0", 2, 10, &kind), RDB_DUMP_OTHER_KIND);
    assert_int_equal(kind, RDB_MODULE);
    assert_int_equal(READ("\10\0", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(READ("\x30\0", 10), RDB_DUMP_BAD_FORMAT);
    assert_int_equal(READ("\xff\0", 10), RDB_DUMP_BAD_FORMAT);
}

// Cut off anywhere, or with any bit flipped, it is refused.
static void damage(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof of_redis / sizeof of_redis[0]; i++) {
        size_t len = of_redis[i].payload_len, value_len;
        uint8_t *value = NULL;
        for (size_t n = 0; n < len; n++) {
            uint8_t *cut = malloc(n + 1);
            memcpy(cut, of_redis[i].payload, n);
            assert_int_not_equal(rdb_dump_read(cut, n, 0, &value, &value_len, NULL), RDB_DUMP_OK);
            free(cut);
        }
        for (size_t bit = 0; bit < 8 * len; bit++) {
            uint8_t *flipped = malloc(len);
            memcpy(flipped, of_redis[i].payload, len);
            flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
            enum rdb_dump_status status = rdb_dump_read(flipped, len, 0, &value, &value_len, NULL);
            assert_true(status == RDB_DUMP_BAD_CHECKSUM || status == RDB_DUMP_BAD_VERSION);
            assert_true(strlen(rdb_dump_status_text(status)) > 5);
            free(flipped);
        }
        assert_null(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_as_redis), cmocka_unit_test(round_trips),
                                       cmocka_unit_test(refusals), cmocka_unit_test(damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
