// What the reader refuses, and what it says: damage, limits, types and versions that nobody knows.
#include <malloc.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rdb_kit.h"

#include <cmocka.h>

// Proves: what follows "REDIS0012" ends with this status and error.
static void refuse(const char *bytes, size_t len, enum rdb_status expected, const char *error)
{
    struct bytes b = {0};
    enum rdb_status status;
    rdb_begin(&b, 12);
    bytes_add(&b, bytes, len);
    for (size_t step = 1; step <= b.len; step += b.len - 1) {
        char *text = read_in_pieces(&b, 0, step, 1000, &status);
        const char *line = strstr(text, "rdb: ");
        assert_string_equal(line != NULL ? line : text, error);
        assert_int_equal(status, expected);
        free(text);
    }
    bytes_free(&b);
}
#define REFUSE(bytes, status, error) refuse(bytes, sizeof(bytes) - 1, status, error)

static void messages(void **state)
{
    (void)state;
    REFUSE("\x82", RDB_UNSUPPORTED,
           "rdb: offset 9: type 130: not known (of a Redis after 8.0, or damage), expected 0 to 25 or 244 to "
           "255");
    REFUSE("\x1a", RDB_UNSUPPORTED,
           "rdb: offset 9: type 26: not known (of a Redis after 8.0, or damage), expected 0 to 25 or 244 to "
           "255");
    REFUSE(
        "\x08", RDB_UNSUPPORTED,
        "rdb: offset 9: type 8: not known (of a Redis after 8.0, or damage), expected 0 to 25 or 244 to 255");
    REFUSE("\x06\1k", RDB_UNSUPPORTED,
           "rdb: offset 9: type 6: a value of a module from before Redis 4.0: nobody but the module knows "
           "where it ends");
    REFUSE("\0\1k\x85", RDB_BAD_FORMAT,
           "rdb: offset 12: length of a string: found a first byte of 0x85, expected 0x00 to 0x81");
    REFUSE("\0\x90", RDB_BAD_FORMAT,
           "rdb: offset 10: length of a key: found a first byte of 0x90, expected 0x00 to 0x81");
    REFUSE("\0\1k\xc4", RDB_BAD_FORMAT,
           "rdb: offset 12: length of a string: found an encoding 0xc4, expected 0xc0 to 0xc3");
    REFUSE("\1\1k\xc0", RDB_BAD_FORMAT,
           "rdb: offset 12: number of elements: found a first byte of 0xc0, expected 0x00 to 0x81");
    REFUSE("\0\1k\xc3\x05\x81\0\0\1\0\0\0\0\0abcde", RDB_BAD_FORMAT,
           "rdb: offset 14: length of a string: found 1099511627776 bytes compressed to 5, which LZF does "
           "not do");
    REFUSE("\0\1k\xc3\x05\0abcde", RDB_BAD_FORMAT,
           "rdb: offset 14: length of a string: found 0 bytes compressed to 5, which LZF does not do");
    REFUSE("\0\1k\xc3\x05\x06\x00xxxx", RDB_BAD_FORMAT,
           "rdb: offset 14: length of a string: found no LZF of 6 bytes in 5 bytes");
    REFUSE("\7\1k\1\6", RDB_BAD_FORMAT,
           "rdb: offset 13: opcode of a module's data: found 6, expected 0 to 5");
    REFUSE("\xff\1\2\3\4\5\6\7\x08", RDB_BAD_CHECKSUM,
           "rdb: offset 10: checksum: found 0807060504030201, expected d3f4be2041dbd010");
}

static void headers(void **state)
{
    static const struct {
        const char *text;
        enum rdb_status status;
        const char *error;
    } cases[] = {
        {"VALKEY080", RDB_UNSUPPORTED,
         "rdb: offset 0: header: found VALKEY (Valkey 9 or later), expected REDIS0001 to REDIS0012"},
        {"REDIS0013", RDB_UNSUPPORTED, "rdb: offset 0: header: found version 13, expected 1 to 12"},
        {"REDIS0000", RDB_UNSUPPORTED, "rdb: offset 0: header: found version 0, expected 1 to 12"},
        {"REDIS9999", RDB_UNSUPPORTED, "rdb: offset 0: header: found version 9999, expected 1 to 12"},
        {"REDIS001x", RDB_BAD_FORMAT,
         "rdb: offset 0: header: found 0x5245444953303031..., expected \"REDIS\" and 4 digits"},
        {"redis0010", RDB_BAD_FORMAT,
         "rdb: offset 0: header: found 0x7265646973303031..., expected \"REDIS\" and 4 digits"},
        {"-NOAUTH A", RDB_BAD_FORMAT,
         "rdb: offset 0: header: found 0x2d4e4f4155544820..., expected \"REDIS\" and 4 digits"},
        {"REDIS", RDB_TRUNCATED, "rdb: offset 5: found the end of the input, expected a header"},
        {"", RDB_TRUNCATED, "rdb: offset 0: found the end of the input, expected a header"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes b = {0};
        enum rdb_status status;
        bytes_text(&b, cases[i].text);
        char *text = read_whole(&b, &status);
        assert_int_equal(status, cases[i].status);
        assert_string_equal(text, cases[i].error);
        free(text);
        bytes_free(&b);
    }
}

// Cut off at any byte it is truncated, and says so.
static void truncation(void **state)
{
    struct bytes b = fixture("every_type.rdb");
    (void)state;
    for (size_t len = 0; len < b.len; len++) {
        struct bytes cut = {.data = b.data, .len = len};
        enum rdb_status status;
        char *text = read_whole(&cut, &status);
        assert_int_equal(status, RDB_TRUNCATED);
        assert_non_null(strstr(text, "found the end of the input"));
        free(text);
        text = read_in_pieces(&cut, 0, 7, 0, &status);
        assert_int_equal(status, RDB_TRUNCATED);
        free(text);
    }
    bytes_free(&b);
}

// With any bit flipped it is never taken for whole.
static void flipped_bits(void **state)
{
    struct bytes b = fixture("every_type.rdb");
    (void)state;
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        enum rdb_status status;
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        char *text = read_whole(&b, &status);
        assert_int_not_equal(status, RDB_DONE);
        free(text);
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    bytes_free(&b);
    // Without a checksum damage may pass for data, but nothing worse.
    b = fixture("plain.rdb");
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        enum rdb_status status;
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        free(read_in_pieces(&b, bit % b.len, 3, 0, &status));
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    bytes_free(&b);
}

// A limit holds for keys and values, plain and compressed; what is stepped over has none.
static void limits(void **state)
{
    struct bytes b = {0};
    enum rdb_status status;
    (void)state;
    rdb_begin(&b, 12);
    bytes_add(&b, "\4\1h\1\1f\x41\x00", 8);
    for (unsigned i = 0; i < 256; i++)
        bytes_byte(&b, 'x');
    bytes_add(&b, "\0\1k\x0a", 4);
    bytes_text(&b, "0123456789");
    rdb_finish(&b);
    char *text = read_in_pieces(&b, 0, 5, 10, &status);
    assert_string_equal(text, "0 hash h\n0 string k=0123456789\n");
    free(text);
    text = read_in_pieces(&b, 0, 5, 9, &status);
    assert_int_equal(status, RDB_TOO_LARGE);
    assert_string_equal(text,
                        "0 hash h\nrdb: offset 276: length of a string: found 10 bytes, expected at most 9");
    free(text);
    bytes_free(&b);

    refuse("\0\x43\xe9", 3, RDB_TOO_LARGE,
           "rdb: offset 10: length of a key: found 1001 bytes, expected at most 1000");
    refuse("\0\1k\xc3\x20\x43\xe9", 7, RDB_TOO_LARGE,
           "rdb: offset 14: length of a string: found 1001 bytes, expected at most 1000");
    refuse("\0\1k\xc3\x43\xe9\x20", 7, RDB_TOO_LARGE,
           "rdb: offset 15: length of a string: found 1001 bytes, expected at most 1000");
}

// Proves: a length that is only announced costs no memory.
static void announced_costs_nothing(void **state)
{
    static const char *const lies[] = {"\0\1k\x80\x1f\xff\xff\xff",
                                       "\1\1k\x81\xff\xff\xff\xff\xff\xff\xff\xff"};
    static const size_t lens[] = {8, 12};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bytes b = {0};
        struct seen seen = {0};
        struct rdb_reader *reader = kit_reader(&seen, 0);
        rdb_begin(&b, 12);
        bytes_add(&b, lies[i], lens[i]);
        for (unsigned k = 0; k < 3000; k++)
            bytes_byte(&b, 0);
        struct mallinfo2 before = mallinfo2();
        for (size_t k = 0; k < b.len; k++)
            assert_int_equal(rdb_reader_feed(reader, b.data + k, 1, NULL), RDB_MORE);
        struct mallinfo2 after = mallinfo2();
        assert_true(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + 20000);
        rdb_reader_destroy(reader);
        bytes_free(&b);
        bytes_free(&seen.text);
    }
}

// A callback that has enough ends it, for good, wherever it is called.
static void stopped(void **state)
{
    struct bytes b = fixture("every_type.rdb");
    (void)state;
    for (uint64_t n = 1; n < 30; n++) {
        struct seen seen = {.stop_after = n};
        struct rdb_reader *reader = kit_reader(&seen, 0);
        assert_int_equal(rdb_reader_feed(reader, b.data, b.len, NULL), RDB_STOPPED);
        assert_int_equal(rdb_reader_feed(reader, b.data, b.len, NULL), RDB_STOPPED);
        assert_int_equal(rdb_reader_end(reader), RDB_STOPPED);
        assert_int_equal(seen.callbacks, n);
        assert_non_null(strstr(rdb_reader_error(reader), "stopped by its caller"));
        rdb_reader_destroy(reader);
        bytes_free(&seen.text);
    }
    bytes_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),     cmocka_unit_test(headers), cmocka_unit_test(truncation),
        cmocka_unit_test(limits),       cmocka_unit_test(stopped), cmocka_unit_test(announced_costs_nothing),
        cmocka_unit_test(flipped_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
