// The writer: what it writes is what a Redis writes, and is read back; errors of the callback end it.
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rdb_kit.h"

#include <cmocka.h>

#include "kvstore/rdb/rdb_crc64.h"
#include "kvstore/rdb/rdb_writer.h"

static struct rdb_writer *writer_to(struct bytes *b, bool compress)
{
    const struct rdb_writer_options options = {
        .write = bytes_write, .arg = b, .now_s = 1, .used_memory = 70000, .compress = compress};
    struct rdb_writer *w = rdb_writer_create(&options);
    assert_non_null(w);
    return w;
}

#define PUT(w, key, value, expires) rdb_writer_put(w, key, sizeof(key) - 1, value, sizeof(value) - 1, expires)

// Every byte, as redis-server 7.0 lays them out.
static void bytes_of_redis(void **state)
{
    static const char expected[] = "REDIS0010"
                                   "\xfa\x09redis-ver\x06"
                                   "7.0.15"
                                   "\xfa\x0aredis-bits\xc0\x40"
                                   "\xfa\x05"
                                   "ctime\xc0\x01"
                                   "\xfa\x08used-mem\xc2\x70\x11\x01\x00"
                                   "\xfa\x08"
                                   "aof-base\xc0\x00"
                                   "\xfe\x00\xfb\x03\x01"
                                   "\xfc\x01\x02\x03\x04\x05\x06\x00\x00\x00\x01k\x05hello"
                                   "\x00\xc0\x07\x00"
                                   "\x00\x03xyz\xc3\x09\x29\x01"
                                   "aa\xe0\x1c\x00\x01"
                                   "aa"
                                   "\xff";
    struct bytes b = {0};
    (void)state;
    struct rdb_writer *w = writer_to(&b, true);
    assert_int_equal(rdb_writer_aux(w, "aof-base", "0"), 0);
    assert_int_equal(rdb_writer_select(w, 0, 3, 1), 0);
    assert_int_equal(PUT(w, "k", "hello", 0x060504030201), 0);
    assert_int_equal(PUT(w, "7", "", 0), 0);
    assert_int_equal(PUT(w, "xyz", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0), 0);
    assert_int_equal(b.len, 0); // one piece
    assert_int_equal(rdb_writer_finish(w), 0);
    assert_int_equal(b.len, sizeof expected - 1 + 8);
    assert_int_equal(rdb_writer_bytes(w), b.len);
    assert_memory_equal(b.data, expected, sizeof expected - 1);
    assert_true(rdb_crc64(0, b.data, b.len - 8) == rdb_crc64(0, expected, sizeof expected - 1));
    assert_true(rdb_crc64(0, b.data, b.len) ==
                0); // so a right checksum ends it: appended to itself it gives zero
    rdb_writer_destroy(w);
    bytes_free(&b);
}

static void read_back(bool compress)
{
    struct bytes b = {0}, value = {0};
    enum rdb_status status;
    struct rdb_writer *w = writer_to(&b, compress);
    // Values around every limit of the format and of the buffer.
    static const size_t lengths[] = {0,      1,      63,     64,     16383, 16384,  65535, 262143,
                                     262144, 262145, 300000, 524288, 100,   262000, 200,   3000000};
    char key[32], line[128];
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        while (value.len < lengths[i])
            bytes_byte(&value, (unsigned)(value.len * value.len / 7 & 0xff));
        (void)snprintf(key, sizeof key, "key%zu", i);
        assert_int_equal(rdb_writer_put(w, key, strlen(key), value.data, lengths[i], i % 2 * 5000), 0);
    }
    assert_int_equal(rdb_writer_select(w, 15, 1, 0), 0);
    assert_int_equal(PUT(w, "a\0b", "12", INT64_MAX), 0);
    assert_int_equal(rdb_writer_finish(w), 0);
    rdb_writer_destroy(w);

    char *text = read_in_pieces(&b, 1000, 70000, 0, &status);
    assert_int_equal(status, RDB_DONE);
    for (size_t i = 3; i < sizeof lengths / sizeof lengths[0]; i++) {
        (void)snprintf(line, sizeof line, "0 string key%zu=<%zu:%016lx>%s", i, lengths[i],
                       (unsigned long)rdb_crc64(0, value.data, lengths[i]),
                       i % 2 != 0 ? " @5000 expired" : "");
        assert_true(has_line(text, line));
    }
    assert_true(has_line(text, "0 string key0="));
    (void)snprintf(line, sizeof line, "15 string <3:%016lx>=12 @9223372036854775807",
                   (unsigned long)rdb_crc64(0, "a\0b", 3));
    assert_true(has_line(text, line));
    free(text);
    bytes_free(&b);
    bytes_free(&value);
}

static void round_trips(void **state)
{
    (void)state;
    read_back(false);
    read_back(true);
}

struct failing {
    unsigned calls, fail_at;
    size_t smallest; // piece but the last
};

static int fail_sometimes(void *arg, const void *data, size_t len)
{
    struct failing *f = arg;
    (void)data;
    if (len < f->smallest)
        f->smallest = len;
    return ++f->calls == f->fail_at ? ENOSPC : 0;
}

// The first error stays, and the callback is not called again.
static void errors_are_final(void **state)
{
    static char value[100000];
    (void)state;
    for (unsigned fail_at = 1; fail_at <= 6; fail_at++) {
        struct failing f = {.fail_at = fail_at, .smallest = SIZE_MAX};
        const struct rdb_writer_options options = {.write = fail_sometimes, .arg = &f};
        struct rdb_writer *w = rdb_writer_create(&options);
        int error = 0;
        for (unsigned i = 0; i < 30; i++) {
            int now = rdb_writer_put(w, &i, sizeof i, value, sizeof value, 0);
            assert_int_equal(now, error != 0 ? ENOSPC : now);
            error = now;
        }
        assert_int_equal(error, ENOSPC);
        assert_int_equal(rdb_writer_select(w, 1, 1, 1), ENOSPC);
        assert_int_equal(rdb_writer_aux(w, "a", "b"), ENOSPC);
        assert_int_equal(rdb_writer_finish(w), ENOSPC);
        assert_int_equal(f.calls, fail_at);
        assert_true(f.smallest > 100000); // large pieces
        rdb_writer_destroy(w);
    }
    rdb_writer_destroy(NULL);
}

static void misuse(void **state)
{
    struct bytes b = {0};
    (void)state;
    struct rdb_writer *w = writer_to(&b, false);
    assert_int_equal(PUT(w, "k", "v", 0), 0);
    assert_int_equal(rdb_writer_aux(w, "late", "1"), EINVAL);
    assert_int_equal(rdb_writer_finish(w), EINVAL); // what came of it is no RDB
    rdb_writer_destroy(w);
    assert_int_equal(b.len, 0);
    w = writer_to(&b, false);
    assert_int_equal(PUT(w, "k", "v", (uint64_t)INT64_MAX + 1), EINVAL);
    rdb_writer_destroy(w);
    w = writer_to(&b, false);
    assert_int_equal(rdb_writer_finish(w), 0);
    size_t len = b.len;
    assert_int_equal(rdb_writer_finish(w), EINVAL);
    assert_int_equal(PUT(w, "k", "v", 0), EINVAL);
    assert_int_equal(rdb_writer_select(w, 0, 0, 0), EINVAL);
    assert_int_equal(b.len, len);
    rdb_writer_destroy(w);
    // An RDB without keys is one.
    enum rdb_status status;
    char *text = read_whole(&b, &status);
    assert_int_equal(status, RDB_DONE);
    free(text);
    bytes_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_of_redis), cmocka_unit_test(round_trips),
                                       cmocka_unit_test(errors_are_final), cmocka_unit_test(misuse)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
