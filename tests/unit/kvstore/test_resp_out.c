// Chains of bytes on their way out, and values that are lent to them: the same bytes wherever a write stops, and each view released exactly once, whatever happens.
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "kvstore/resp/io.h"
#include "kvstore/resp/reply.h"

// ---- a store that only knows views, and memory that fails when it is told to

static unsigned held;             // views that nobody has released
static unsigned allow = UINT_MAX; // allocations that succeed yet

struct kv_store {
    int unused;
};
static struct kv_store store;

void kv_view_release(struct kv_store *of, struct kv_view *view)
{
    assert_ptr_equal(of, &store);
    assert_non_null(view->hold);
    memset(view->hold, 0xee, view->len); // whoever still reads it is seen, with a sanitizer or without
    free(view->hold);
    held--;
    *view = (struct kv_view){0};
}

static struct kv_view view_of(char fill, size_t len)
{
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    memset(bytes, fill, len);
    held++;
    return (struct kv_view){.data = bytes, .len = len, .hold = bytes};
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    if (allow == 0)
        return NULL;
    if (allow != UINT_MAX)
        allow--;
    return __real_malloc(size);
}

// ---- a chain and what it has to be

struct expected {
    char bytes[200000];
    size_t len;
};
static struct expected want;

static void add(struct resp_out *out, const char *text)
{
    size_t len = strlen(text);
    assert_true(resp_out_add(out, text, len));
    memcpy(want.bytes + want.len, text, len);
    want.len += len;
}

static void lend(struct resp_out *out, char fill, size_t len)
{
    struct kv_view view = view_of(fill, len);
    assert_true(resp_out_lend(out, &store, &view));
    memset(want.bytes + want.len, fill, len);
    want.len += len;
}

// The chain holds what is expected from `from` on.
static void expect(const struct resp_out *out, size_t from)
{
    struct iovec pieces[256];
    size_t count = resp_out_pieces(out, pieces, 256), at = from;
    assert_int_equal(out->length, want.len - from);
    for (size_t i = 0; i < count; i++) {
        assert_int_not_equal(pieces[i].iov_len, 0);
        assert_true(at + pieces[i].iov_len <= want.len);
        assert_memory_equal(pieces[i].iov_base, want.bytes + at, pieces[i].iov_len);
        at += pieces[i].iov_len;
    }
    assert_int_equal(at, want.len);
    if (count != 0) { // fewer pieces are the first ones
        assert_int_equal(resp_out_pieces(out, pieces + 100, 1), 1);
        assert_ptr_equal(pieces[100].iov_base, pieces[0].iov_base);
    }
}

static void build(struct resp_out *out)
{
    *out = (struct resp_out){0};
    want.len = 0;
    lend(out, 'a', 5); // also as the very first
    add(out, "$7\r\n");
    lend(out, 'b', 7);
    lend(out, 'c', 1); // with nothing between
    add(out, "\r\n+OK\r\n");
    for (unsigned i = 0; i < 2 * RESP_BLOCK_VIEWS; i++) { // more than a block has room for
        lend(out, (char)('A' + i), 3);
        add(out, "\r\n");
    }
    lend(out, 'z', 9);
}

static void in_order(void **state)
{
    struct resp_out out;
    (void)state;
    build(&out);
    expect(&out, 0);
    assert_true(resp_out_own(&out));
    assert_int_equal(held, 0);
    expect(&out, 0);
    assert_true(resp_out_own(&out)); // nothing to do
    expect(&out, 0);
    resp_out_clear(&out);
    build(&out);
    resp_out_clear(&out);
    assert_int_equal(held, 0);
}

// Proves: a write may end anywhere, and the rest may be made the chain's own there; then more may come.
static void cut_anywhere(void **state)
{
    struct resp_out out;
    (void)state;
    build(&out);
    size_t total = want.len;
    resp_out_clear(&out);
    for (size_t cut = 0; cut <= total; cut++) {
        for (unsigned how = 0; how < 3; how++) {
            build(&out);
            resp_out_drop(&out, cut);
            expect(&out, cut);
            if (how == 1)
                assert_true(resp_out_own(&out));
            assert_true(how != 1 || held == 0);
            expect(&out, cut);
            add(&out, "more");
            lend(&out, 'm', 2);
            expect(&out, cut);
            if (how == 2) // to the very end, byte by byte
                for (size_t at = cut; at < want.len; at++) {
                    expect(&out, at);
                    resp_out_drop(&out, 1);
                }
            resp_out_clear(&out);
            assert_int_equal(held, 0);
        }
    }
}

static void all_taken(void **state)
{
    struct resp_out out, other = {0};
    (void)state;
    build(&out);
    resp_out_drop(&out, want.len);
    assert_int_equal(held, 0);
    assert_int_equal(out.length, 0);
    resp_out_take_spare(&other, &out); // its block is used again
    assert_null(out.first);
    want.len = 0;
    add(&other, "x");
    resp_out_take_spare(&out, &other); // not one that is in use
    assert_null(out.first);
    lend(&other, 'y', 100);
    expect(&other, 0);
    resp_out_clear(&other);
    assert_int_equal(held, 0);
}

static void back_to_a_mark(void **state)
{
    struct resp_out out = {0};
    (void)state;
    want.len = 0;
    struct resp_out_mark begin = resp_out_mark(&out);
    lend(&out, 'a', 10);
    add(&out, "b");
    resp_out_rewind(&out, &begin);
    assert_int_equal(held, 0);
    assert_int_equal(out.length, 0);
    want.len = 0;
    lend(&out, 'c', 10); // in the block that was kept
    for (unsigned n = 0; n < 2 * RESP_BLOCK_VIEWS; n++) {
        struct expected then = want;
        struct resp_out_mark mark = resp_out_mark(&out);
        unsigned held_then = held;
        for (unsigned more = 0; more < RESP_BLOCK_VIEWS + 1; more++) {
            add(&out, "-");
            lend(&out, 'd', 4);
        }
        expect(&out, 0);
        resp_out_rewind(&out, &mark);
        want = then;
        assert_int_equal(held, held_then);
        expect(&out, 0);
        lend(&out, (char)('A' + n), 2);
    }
    resp_out_clear(&out);
    assert_int_equal(held, 0);
}

static void moved(void **state)
{
    struct resp_out out = {0}, from;
    (void)state;
    for (size_t taken = 0; taken < 40; taken++) { // also one of which a part has left
        build(&from);
        resp_out_drop(&from, taken);
        struct expected rest = {.len = want.len - taken};
        memcpy(rest.bytes, want.bytes + taken, rest.len);
        want.len = 0;
        lend(&out, 'x', 3);
        resp_out_append(&out, &from);
        assert_int_equal(from.length, 0);
        assert_null(from.first);
        memcpy(want.bytes + 3, rest.bytes, rest.len);
        want.len += rest.len;
        expect(&out, 0);
        assert_true(resp_out_own(&out));
        expect(&out, 0);
        resp_out_drop(&out, want.len);
        assert_int_equal(held, 0);
    }
    resp_out_clear(&out);
}

// Proves: without memory at any point a view is either the chain's or still the caller's, and making it its own releases all.
static void no_memory(void **state)
{
    struct resp_out out;
    (void)state;
    for (unsigned n = 0; n < 2; n++) {
        struct kv_view view = view_of('a', 100);
        out = (struct resp_out){0};
        allow = n;
        bool lent = resp_out_lend(&out, &store, &view);
        allow = UINT_MAX;
        assert_false(lent);
        assert_int_equal(out.length, 0);
        assert_int_equal(held, 1);
        kv_view_release(&store, &view);
        resp_out_clear(&out);
    }
    for (unsigned n = 0; n < 3; n++) {
        build(&out);
        for (unsigned i = 0; i < 3; i++)
            lend(&out, 'L', 20000); // a block each when they are copied
        allow = n;
        bool good = resp_out_own(&out);
        allow = UINT_MAX;
        assert_false(good);
        assert_int_equal(held, 0);
        assert_int_equal(out.length, 0);
        add(&out, "usable"); // all the same
        resp_out_clear(&out);
    }
}

// ---- over a socket

static void small_buffers(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &(int){2048}, sizeof(int)), 0);
}

static void fill(struct resp_out *out)
{
    *out = (struct resp_out){0};
    want.len = 0;
    for (unsigned i = 0; i < 40; i++) {
        add(out, "$4096\r\n");
        lend(out, (char)('0' + i), 4096);
        add(out, "\r\n");
    }
}

static void slow_reader(void **state)
{
    static char got[4096];
    struct resp_out out;
    int fds[2];
    (void)state;
    small_buffers(fds);
    struct resp_io io = {.fd = fds[0], .shaken = true};
    fill(&out);
    for (size_t at = 0; at < want.len;) {
        enum resp_io_status status = resp_io_write(&io, &out);
        assert_true(status == RESP_IO_DONE || status == RESP_IO_WAIT_WRITE);
        assert_true(resp_out_own(&out));
        assert_int_equal(held, 0);
        ssize_t n = read(fds[1], got, 1 + at % sizeof got);
        assert_true(n > 0);
        assert_memory_equal(got, want.bytes + at, (size_t)n);
        at += (size_t)n;
    }
    assert_int_equal(out.length, 0);
    resp_out_clear(&out);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void gone_midway(void **state)
{
    struct resp_out out;
    int fds[2];
    (void)state;
    small_buffers(fds);
    struct resp_io io = {.fd = fds[0], .shaken = true};
    fill(&out);
    assert_int_equal(resp_io_write(&io, &out), RESP_IO_WAIT_WRITE);
    assert_int_not_equal(held, 0);
    (void)close(fds[1]);
    assert_int_equal(resp_io_write(&io, &out), RESP_IO_FAILED);
    resp_out_clear(&out);
    assert_int_equal(held, 0);
    (void)close(fds[0]);
}

// ---- replies

static void replies(void **state)
{
    struct resp_reply reply;
    (void)state;
    resp_reply_init(&reply, 5000);
    for (unsigned lends = 0; lends < 2; lends++) {
        for (size_t len = RESP_LEND_LEAST - 1; len <= RESP_LEND_LEAST; len++) {
            struct kv_view view = view_of('v', len);
            reply.lends = lends != 0;
            resp_bulk_view(&reply, &store, &view);
            assert_int_equal(held, lends != 0 && len == RESP_LEND_LEAST);
            want.len = (size_t)snprintf(want.bytes, sizeof want.bytes, "$%zu\r\n", len);
            memset(want.bytes + want.len, 'v', len);
            memcpy(want.bytes + want.len + len, "\r\n", 2);
            want.len += len + 2;
            expect(&reply.out, 0);
            resp_reply_clear(&reply);
            assert_int_equal(held, 0);
        }
    }
    struct kv_view view = view_of('v', 4000), second = view_of('w', 4000), third = view_of('x', 4000);
    resp_bulk_view(&reply, &store, &view);
    struct resp_mark mark = resp_reply_mark(&reply);
    resp_bulk_view(&reply, &store, &second); // over the limit
    assert_true(reply.overflow);
    resp_bulk_view(&reply, &store, &third);
    assert_int_equal(held, 1);
    resp_reply_rewind(&reply, &mark);
    assert_true(resp_reply_ok(&reply));
    assert_int_equal(held, 1);
    resp_reply_deinit(&reply);
    assert_int_equal(held, 0);
}

static void replies_without_memory(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 2; n++) {
        struct resp_reply reply;
        struct kv_view view = view_of('v', 4000);
        resp_reply_init(&reply, 0);
        reply.lends = true;
        allow = n;
        resp_bulk_view(&reply, &store, &view);
        allow = UINT_MAX;
        assert_true(reply.failed);
        resp_reply_deinit(&reply);
        assert_int_equal(held, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),    cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(all_taken),   cmocka_unit_test(back_to_a_mark),
        cmocka_unit_test(moved),       cmocka_unit_test(no_memory),
        cmocka_unit_test(slow_reader), cmocka_unit_test(gone_midway),
        cmocka_unit_test(replies),     cmocka_unit_test(replies_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
