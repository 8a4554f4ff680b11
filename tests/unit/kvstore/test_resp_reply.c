// Replies: both protocols byte by byte, lists of unknown length, limits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kvstore/resp/reply.h"

static void expect(struct resp_reply *reply, const char *bytes)
{
    size_t len = resp_reply_length(reply);
    assert_int_equal(len, strlen(bytes));
    for (struct iovec piece; resp_out_pieces(&reply->out, &piece, 1) == 1; bytes += piece.iov_len) {
        assert_memory_equal(piece.iov_base, bytes, piece.iov_len);
        resp_out_drop(&reply->out, piece.iov_len);
    }
    resp_reply_clear(reply);
}

static void both_protocols(void **state)
{
    static const struct {
        int proto;
        const char *null, *null_array, *map, *set, *verbatim;
    } forms[] = {
        {2, "$-1\r\n", "*-1\r\n", "*4\r\n", "*2\r\n", "$2\r\nhi\r\n"},
        {3, "_\r\n", "_\r\n", "%2\r\n", "~2\r\n", "=6\r\ntxt:hi\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct resp_reply r;
        resp_reply_init(&r, 0);
        r.proto = forms[i].proto;
        resp_null(&r);
        expect(&r, forms[i].null);
        resp_null_array(&r);
        expect(&r, forms[i].null_array);
        resp_map(&r, 2);
        expect(&r, forms[i].map);
        resp_set(&r, 2);
        expect(&r, forms[i].set);
        resp_verbatim(&r, "hi", 2);
        expect(&r, forms[i].verbatim);
        resp_status(&r, "OK");
        resp_integer(&r, INT64_MIN);
        resp_integer(&r, 7);
        resp_bulk(&r, "a\r\nb", 4);
        resp_bulk(&r, NULL, 0);
        resp_bulk_uint(&r, UINT64_MAX);
        resp_array(&r, 3);
        expect(&r, "+OK\r\n:-9223372036854775808\r\n:7\r\n$4\r\na\r\nb\r\n$0\r\n\r\n$"
                   "20\r\n18446744073709551615\r\n*3\r\n");
        resp_reply_deinit(&r);
    }
}

// Proves: bytes of a peer that stand in an error cannot end it or begin another reply, nor make it long.
static void errors_are_one_line(void **state)
{
    struct resp_reply r;
    char lengthy[2000];
    (void)state;
    resp_reply_init(&r, 0);
    resp_error(&r, "ERR no '%s'", "a\r\n+OK");
    expect(&r, "-ERR no 'a  +OK'\r\n");
    resp_error(&r, "ERR option %s", "a\r\nb\r\n");
    expect(&r, "-ERR option a  b\r\n"); // as Redis: not at its end
    memset(lengthy, 'x', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    resp_error(&r, "ERR %s", lengthy);
    assert_in_range(resp_reply_length(&r), 500, 520);
    assert_int_equal(r.errors, 3);
    resp_reply_deinit(&r);
}

static void lists(void **state)
{
    struct resp_reply r, list;
    (void)state;
    resp_reply_init(&r, 0);
    r.proto = 3;
    assert_true(resp_list_begin(&r, &list));
    resp_null(&list);
    resp_bulk_text(&list, "x");
    resp_list_finish(&r, &list, 2);
    expect(&r, "*2\r\n_\r\n$1\r\nx\r\n");
    resp_reply_deinit(&r);
}

// Proves: over the limit nothing more is kept, also through a list, and clear makes it usable again.
static void limited(void **state)
{
    struct resp_reply r, list;
    char kilobyte[1024] = {0};
    (void)state;
    resp_reply_init(&r, 4096);
    for (int i = 0; i < 3; i++)
        resp_bulk(&r, kilobyte, sizeof kilobyte);
    assert_true(resp_reply_ok(&r));
    assert_true(resp_list_begin(&r, &list));
    for (int i = 0; i < 100; i++)
        resp_bulk(&list, kilobyte, sizeof kilobyte);
    assert_true(list.overflow);
    assert_in_range(resp_reply_length(&list), 0, 1100);
    resp_list_finish(&r, &list, 100);
    assert_true(r.overflow);
    assert_false(resp_reply_ok(&r));
    assert_in_range(resp_reply_length(&r), 0, 4096);
    resp_reply_clear(&r);
    resp_status(&r, "OK");
    expect(&r, "+OK\r\n");
    resp_reply_deinit(&r);
}

// Proves: back to an empty start, where a block had been kept that an append then freed.
static void rewind_to_an_empty_start(void **state)
{
    struct resp_reply reply, more;
    (void)state;
    resp_reply_init(&reply, 0);
    resp_reply_init(&more, 0);
    resp_status(&reply, "OK");
    resp_out_drop(&reply.out, resp_reply_length(&reply));
    struct resp_mark mark = resp_reply_mark(&reply);
    resp_status(&more, "more");
    resp_reply_append(&reply, &more);
    resp_reply_rewind(&reply, &mark);
    assert_int_equal(resp_reply_length(&reply), 0);
    resp_status(&reply, "OK");
    assert_int_equal(resp_reply_length(&reply), 5);
    resp_reply_deinit(&reply);
    resp_reply_deinit(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_protocols), cmocka_unit_test(errors_are_one_line),      cmocka_unit_test(lists),
        cmocka_unit_test(limited),        cmocka_unit_test(rewind_to_an_empty_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
