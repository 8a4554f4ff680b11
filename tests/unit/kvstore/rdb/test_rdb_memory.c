// Without memory everything says so, once, and leaks nothing. The library's malloc and calloc go through here.
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "rdb_kit.h"

#include <cmocka.h>

#include "kvstore/rdb/rdb_dump.h"
#include "kvstore/rdb/rdb_writer.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

static unsigned fail_in; // allocations; 0: never

static bool fails(void)
{
    return fail_in != 0 && --fail_in == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

static void reading(void **state)
{
    struct bytes b = fixture("every_type.rdb");
    enum rdb_status status = RDB_MORE;
    unsigned refused = 0;
    (void)state;
    const struct rdb_reader_options options = {.on_string = NULL};
    fail_in = 1;
    assert_null(rdb_reader_create(&options));
    for (unsigned n = 1; status != RDB_DONE; n++, refused++) {
        struct seen seen = {0};
        struct rdb_reader *reader = kit_reader(&seen, 0);
        fail_in = n;
        status = RDB_MORE;
        for (size_t i = 0; i < b.len && status == RDB_MORE; i++)
            status = rdb_reader_feed(reader, b.data + i, 1, NULL);
        fail_in = 0;
        assert_true(status == RDB_DONE || status == RDB_NO_MEMORY);
        if (status == RDB_NO_MEMORY) {
            assert_non_null(strstr(rdb_reader_error(reader), "no memory"));
            assert_int_equal(rdb_reader_feed(reader, b.data, b.len, NULL), RDB_NO_MEMORY);
        }
        rdb_reader_destroy(reader);
        bytes_free(&seen.text);
    }
    assert_true(refused > 5);
    bytes_free(&b);
}

static void payloads(void **state)
{
    static const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    uint8_t *payload = NULL, *value = NULL;
    size_t len, value_len;
    (void)state;
    fail_in = 1;
    assert_int_equal(rdb_dump_make(text, sizeof text, false, &payload, &len), RDB_DUMP_NO_MEMORY);
    fail_in = 2;
    assert_int_equal(rdb_dump_make(text, sizeof text, true, &payload, &len), RDB_DUMP_NO_MEMORY);
    assert_null(payload);
    for (unsigned compressed = 0; compressed < 2; compressed++) {
        assert_int_equal(rdb_dump_make(text, sizeof text, compressed != 0, &payload, &len), RDB_DUMP_OK);
        fail_in = 1;
        assert_int_equal(rdb_dump_read(payload, len, 0, &value, &value_len, NULL), RDB_DUMP_NO_MEMORY);
        assert_null(value);
        free(payload);
    }
    // What cannot be compressed for lack of memory is written as it is.
    fail_in = 1;
    assert_int_equal(rdb_dump_make(text, sizeof text, true, &payload, &len), RDB_DUMP_OK);
    assert_int_equal(len, 1 + 1 + sizeof text + 10);
    free(payload);
}

static void writing(void **state)
{
    struct bytes b = {0};
    (void)state;
    const struct rdb_writer_options options = {.write = bytes_write, .arg = &b};
    fail_in = 1;
    assert_null(rdb_writer_create(&options));
    fail_in = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reading), cmocka_unit_test(payloads),
                                       cmocka_unit_test(writing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
