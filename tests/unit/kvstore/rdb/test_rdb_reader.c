// The reader: files of a real Redis, every type there is, whatever pieces they come in.
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rdb_kit.h"

#include <cmocka.h>

#include "kvstore/rdb/rdb_crc64.h"

static void expect(const char *text, const char *line)
{
    if (!has_line(text, line))
        fail_msg("expected the line \"%s\" in:\n%s", line, text);
}

// A repeated piece of text, as the reader's text shows it.
static void expect_long(const char *text, const char *before, const char *piece, size_t len)
{
    struct bytes b = {0};
    char line[200];
    while (b.len < len)
        bytes_text(&b, piece);
    (void)snprintf(line, sizeof line, "%s<%zu:%016lx>", before, len,
                   (unsigned long)rdb_crc64(0, b.data, len));
    expect(text, line);
    bytes_free(&b);
}

// Proves: what fixtures/make put into Redis comes out, by database, with expiries.
static void of_redis_7_0(void **state)
{
    static const char *const lines[] = {
        "aux redis-ver=7.0.15",
        "aux redis-bits=64",
        "0 string int:0=0",
        "0 string int:-1=-1",
        "0 string int:127=127",
        "0 string int:-128=-128",
        "0 string int:128=128",
        "0 string int:-129=-129",
        "0 string int:32767=32767",
        "0 string int:-32768=-32768",
        "0 string int:32768=32768",
        "0 string int:-32769=-32769",
        "0 string int:2147483647=2147483647",
        "0 string int:-2147483648=-2147483648",
        "0 string int:2147483648=2147483648",
        "0 string int:-2147483649=-2147483649",
        "0 string empty=",
        "0 string zeros=007",
        "0 string short=hello",
        "0 string later=v @4102444800000",
        "0 list list:small",
        "0 list list:long",
        "0 set set:ints",
        "0 set set:ints:many",
        "0 set set:words",
        "0 sorted set zset:small",
        "0 sorted set zset:long",
        "0 hash hash:small",
        "0 hash hash:long @4102444800001",
        "0 stream stream",
        "0 stream nostream",
        "1 string in:1=one",
        "9 string in:9=nine",
    };
    struct bytes b = fixture("every_type.rdb");
    enum rdb_status status;
    (void)state;
    char *text = read_whole(&b, &status);
    assert_int_equal(status, RDB_DONE);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        expect(text, lines[i]);
    expect_long(text, "0 string len:63=", "ab", 63);
    expect_long(text, "0 string lzf:300=", "x", 300);
    expect_long(text, "0 string lzf:20000=", "0123456789abcdef", 20000);
    free(text);
    bytes_free(&b);
}

static void counts(void **state)
{
    struct bytes b = fixture("every_type.rdb");
    struct seen seen = {0};
    struct rdb_reader *reader = kit_reader(&seen, 0);
    char others[160];
    (void)state;
    assert_int_equal(rdb_reader_feed(reader, b.data, b.len, NULL), RDB_DONE);
    const struct rdb_counts *c = rdb_reader_counts(reader);
    assert_int_equal(c->version, 10);
    assert_true(c->checked);
    assert_int_equal(c->keys[RDB_STRING],
                     14 + 5 + 1 + 5); // ints; short ones; lzf:20000; long-key, later, gone, in:1, in:9
    assert_int_equal(c->expired, 1);
    uint64_t all = 0;
    for (unsigned kind = 0; kind < RDB_KINDS; kind++)
        all += c->keys[kind];
    assert_int_equal(c->announced, all);
    assert_string_equal(rdb_kind_others(c->keys, others, sizeof others),
                        "2 lists, 3 sets, 2 sorted sets, 2 hashes, 2 streams");
    assert_string_equal(rdb_kind_others(c->keys, others, 10), "2 lists, ");
    const uint64_t one[RDB_KINDS] = {[RDB_STRING] = 9, [RDB_HASH] = 1};
    assert_string_equal(rdb_kind_others(one, others, sizeof others), "1 hash");
    const uint64_t none[RDB_KINDS] = {[RDB_STRING] = 9};
    assert_string_equal(rdb_kind_others(none, others, sizeof others), "");
    rdb_reader_destroy(reader);
    bytes_free(&seen.text);
    bytes_free(&b);
}

// Access frequencies, no compression; a checksum of zeros is none.
static void unchecked(void **state)
{
    struct bytes b = fixture("plain.rdb");
    struct seen seen = {0};
    struct rdb_reader *reader = kit_reader(&seen, 0);
    (void)state;
    assert_int_equal(rdb_reader_feed(reader, b.data, b.len, NULL), RDB_DONE);
    assert_false(rdb_reader_counts(reader)->checked);
    bytes_byte(&seen.text, '\0');
    expect((char *)seen.text.data, "0 string short=hello");
    expect((char *)seen.text.data, "0 hash hash");
    expect_long((char *)seen.text.data, "0 string lzf:300=", "x", 300);
    rdb_reader_destroy(reader);
    bytes_free(&seen.text);
    bytes_free(&b);
}

static void same_at_every_cut(const struct bytes *b)
{
    enum rdb_status status, expected;
    char *whole = read_whole(b, &expected);
    for (size_t cut = 0; cut <= b->len; cut++) {
        char *text = read_in_pieces(b, cut, b->len, 0, &status);
        assert_int_equal(status, expected);
        assert_string_equal(text, whole);
        free(text);
    }
    for (size_t step = 1; step < 40; step++) {
        char *text = read_in_pieces(b, 0, step, 0, &status);
        assert_int_equal(status, expected);
        assert_string_equal(text, whole);
        free(text);
    }
    free(whole);
}

static void any_pieces(void **state)
{
    (void)state;
    struct bytes b = fixture("every_type.rdb");
    same_at_every_cut(&b);
    bytes_free(&b);
    b = fixture("plain.rdb");
    same_at_every_cut(&b);
    bytes_free(&b);
}

static void type(struct bytes *b, unsigned number, const char *key)
{
    bytes_byte(b, number);
    bytes_string(b, key);
}

static void add_stream(struct bytes *b, unsigned number)
{
    type(b, number, number == 15 ? "t15" : number == 19 ? "t19" : "t21");
    bytes_text(b, "\x02\x01i\x02lp\x01i\xc0\x07"); // two listpacks
    for (unsigned i = 0; i < (number == 15 ? 3u : 8u); i++)
        bytes_text(b, "\x45\x67"); // lengths and ids
    bytes_byte(b, 2);              // groups
    for (unsigned group = 0; group < 2; group++) {
        bytes_string(b, "group");
        for (unsigned i = 0; i < (number == 15 ? 2u : 3u); i++)
            bytes_byte(b, 9);
        bytes_byte(b, 2); // pending
        for (unsigned i = 0; i < 2; i++) {
            bytes_text(b, "0123456789abcdef");
            bytes_le(b, 1234, 8);
            bytes_byte(b, 1);
        }
        bytes_byte(b, group == 0 ? 0 : 2); // consumers
        for (unsigned i = 0; i < (group == 0 ? 0u : 2u); i++) {
            bytes_string(b, "consumer");
            bytes_le(b, 99, number == 21 ? 8 : 0);
            bytes_le(b, 98, 8);
            bytes_byte(b, i * 2); // none, two
            for (unsigned k = 0; k < i * 2; k++)
                bytes_text(b, "0123456789abcdef");
        }
    }
}

#define ADD(b, literal) bytes_add(b, literal, sizeof(literal) - 1)

// Everything that 7.0 does not write any more or not yet, version 12.
static struct bytes other_times(void)
{
    struct bytes b = {0};
    rdb_begin(&b, 12);
    ADD(&b, "\xf6\4name\3LUA\1\4text\4code\xf6\4name\3LUA\0\4code"); // functions of 7.0-rc1
    ADD(&b, "\xf4\x43\xff\x05\x02");                                 // slot info
    ADD(&b, "\xf7\x81\1\2\3\4\5\6\7\x08\2\1\1\7\2\x40\x80\3abcd\4abcdefgh\5\2xy\5\xc1\1\2\0");
    ADD(&b, "\xfe\2\xfd\x10\0\0\0\xf8\x43\x21"); // database 2; expired at 16 s; idle
    type(&b, 0, "old");
    bytes_string(&b, "v");
    ADD(&b, "\xfc\xff\xff\xff\xff\xff\xff\xff\xff"); // -1: no expiry
    type(&b, 0, "never");
    bytes_string(&b, "v");
    ADD(&b, "\xfd\xfe\xff\xff\xff\xf9\7"); // before 1970
    type(&b, 0, "before");
    bytes_string(&b, "v");
    type(&b, 1, "t1");
    bytes_text(&b, "\2\1a\xc1\1\2");
    type(&b, 2, "t2");
    ADD(&b, "\0");
    type(&b, 3, "t3");
    bytes_text(&b, "\5\1a\0031.5\1b\xfd\1c\xfe\1d\xff\1e\001"
                   "2");
    type(&b, 4, "t4");
    bytes_text(&b, "\1\1f\1v");
    type(&b, 5, "t5");
    bytes_text(&b, "\1\1m12345678");
    type(&b, 7, "t7");
    ADD(&b, "\x81\1\2\3\4\5\6\7\x08\1\7\2\x40\x80\3abcd\4abcdefgh\5\3xyz\0");
    for (unsigned t = 9; t <= 13; t++) {
        char key[8];
        (void)snprintf(key, sizeof key, "t%u", t);
        type(&b, t, key);
        bytes_string(&b, "a packed thing");
    }
    type(&b, 14, "t14");
    ADD(&b, "\2\2ab\xc3\4\3\2abc");
    add_stream(&b, 15);
    type(&b, 16, "t16");
    bytes_string(&b, "listpack");
    type(&b, 17, "t17");
    bytes_string(&b, "");
    type(&b, 18, "t18");
    bytes_text(&b, "\2\1\5plain\2\6packed");
    add_stream(&b, 19);
    type(&b, 20, "t20");
    bytes_string(&b, "listpack");
    add_stream(&b, 21);
    type(&b, 22, "t22");
    ADD(&b, "\2\x81\0\0\1\2\3\4\5\6\1f\1v\0\1g\1w");
    type(&b, 23, "t23");
    bytes_string(&b, "listpack");
    type(&b, 24, "t24");
    ADD(&b, "12345678\2\1\1f\1v\0\1g\1w");
    type(&b, 25, "t25");
    bytes_text(&b, "12345678\5packd");
    ADD(&b, "\xfe\0");
    type(&b, 0, "last");
    bytes_string(&b, "one");
    rdb_finish(&b);
    return b;
}

static void of_other_versions(void **state)
{
    static const char *const lines[] = {
        "2 string old=v @16000 expired",
        "2 string never=v",
        "2 string before=v @1 expired",
        "2 list t1",
        "2 set t2",
        "2 sorted set t3",
        "2 hash t4",
        "2 sorted set t5",
        "2 value of a module t7",
        "2 hash t9",
        "2 list t10",
        "2 set t11",
        "2 sorted set t12",
        "2 hash t13",
        "2 list t14",
        "2 stream t15",
        "2 hash t16",
        "2 sorted set t17",
        "2 list t18",
        "2 stream t19",
        "2 set t20",
        "2 stream t21",
        "2 hash t22",
        "2 hash t23",
        "2 hash t24",
        "2 hash t25",
        "0 string last=one",
    };
    enum rdb_status status;
    (void)state;
    struct bytes b = other_times();
    char *text = read_whole(&b, &status);
    if (status != RDB_DONE)
        fail_msg("%s", text);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        expect(text, lines[i]);
    free(text);
    same_at_every_cut(&b);
    bytes_free(&b);
}

// Versions 1 to 4 end with the mark; from 5 on a checksum follows.
static void versions(void **state)
{
    (void)state;
    for (unsigned version = 1; version <= 12; version++) {
        struct bytes b = {0};
        enum rdb_status status;
        rdb_begin(&b, version);
        bytes_text(&b, "\xfe");
        bytes_byte(&b, 0);
        type(&b, 0, "k");
        bytes_string(&b, "v");
        if (version < 5)
            bytes_byte(&b, 0xff);
        else
            rdb_finish(&b);
        char *text = read_whole(&b, &status);
        assert_int_equal(status, RDB_DONE);
        assert_string_equal(text, "0 string k=v\n");
        free(text);
        bytes_free(&b);
    }
}

// What comes behind the end stays with the caller: the mark of a diskless sync, an append-only file.
static void leaves_the_rest(void **state)
{
    struct bytes b = fixture("every_type.rdb");
    (void)state;
    size_t len = b.len, used;
    bytes_text(&b, "*1\r\n$4\r\nPING\r\n");
    for (size_t cut = len - 20; cut <= len; cut++) {
        struct seen seen = {0};
        struct rdb_reader *reader = kit_reader(&seen, 0);
        enum rdb_status status = rdb_reader_feed(reader, b.data, cut, &used);
        assert_int_equal(status, cut < len ? RDB_MORE : RDB_DONE);
        assert_int_equal(used, cut);
        assert_int_equal(rdb_reader_feed(reader, b.data + cut, b.len - cut, &used), RDB_DONE);
        assert_int_equal(used, len - cut);
        assert_int_equal(rdb_reader_end(reader), RDB_DONE);
        assert_int_equal(rdb_reader_offset(reader), len);
        rdb_reader_destroy(reader);
        bytes_free(&seen.text);
    }
    bytes_free(&b);
}

static void from_files(void **state)
{
    struct seen seen = {0};
    (void)state;
    int fd = open(RDB_FIXTURES "every_type.rdb", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct rdb_reader *reader = kit_reader(&seen, 0);
    assert_int_equal(rdb_reader_read_fd(reader, fd), RDB_DONE);
    rdb_reader_destroy(reader);
    reader = kit_reader(&seen, 0); // the descriptor is at its end
    assert_int_equal(rdb_reader_read_fd(reader, fd), RDB_TRUNCATED);
    assert_string_equal(rdb_reader_error(reader),
                        "rdb: offset 0: found the end of the input, expected a header");
    rdb_reader_destroy(reader);
    (void)close(fd);
    reader = kit_reader(&seen, 0);
    assert_int_equal(rdb_reader_read_fd(reader, fd), RDB_IO);
    assert_string_equal(rdb_reader_error(reader), "rdb: offset 0: read: Bad file descriptor");
    rdb_reader_destroy(reader);
    bytes_free(&seen.text);
    rdb_reader_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_redis_7_0),      cmocka_unit_test(counts),     cmocka_unit_test(unchecked),
        cmocka_unit_test(of_other_versions), cmocka_unit_test(versions),   cmocka_unit_test(leaves_the_rest),
        cmocka_unit_test(from_files),        cmocka_unit_test(any_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
