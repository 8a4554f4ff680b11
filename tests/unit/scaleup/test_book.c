// The book's bytes and its file.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "scaleup/book.h"

static char folder[64], path[128];

static int setup(void **state)
{
    (void)state;
    memcpy(folder, "/tmp/book-XXXXXX", sizeof "/tmp/book-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/book.json", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"book.json", "book.json.lock", "book.json.tmp", "other"};
    (void)chmod(folder, 0700);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[160];
        (void)snprintf(file, sizeof file, "%s/%s", folder, names[i]);
        (void)unlink(file);
        (void)rmdir(file);
    }
    return rmdir(folder);
}

static struct book_vnf vnfs[2];

static struct book sample(void)
{
    memset(vnfs, 0, sizeof vnfs);
    vnfs[0] = (struct book_vnf){.name = "ks1", .granted_bytes = 300, .committed_bytes = MESSAGE_NUMBER_MAX};
    vnfs[0].pending = (struct book_request){.id = "p", .target_bytes = 5, .min_bytes = 4};
    for (size_t i = 0; i < BOOK_IDS; i++) {
        struct book_request *r = &vnfs[0].finished[vnfs[0].finished_count++];
        *r = (struct book_request){.target_bytes = i, .state = i % 2 ? STATE_DONE : STATE_DEFERRED};
        (void)snprintf(r->id, sizeof r->id, "id%zu", i);
    }
    vnfs[1] = (struct book_vnf){.name = "ks2", .backend = "cgroup", .target = "path=/sys/fs/cgroup/a\"b\\c"};
    return (struct book){.pool_bytes = 1000, .granularity = 100, .vnfs = vnfs, .count = 2};
}

static void assert_same_request(const struct book_request *a, const struct book_request *b)
{
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->target_bytes, b->target_bytes);
    assert_int_equal(a->min_bytes, b->min_bytes);
    assert_int_equal(a->state, b->state);
}

// By fields: what is between them is nobody's.
static void assert_same_vnf(const struct book_vnf *a, const struct book_vnf *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->backend, b->backend);
    assert_string_equal(a->target, b->target);
    assert_int_equal(a->granted_bytes, b->granted_bytes);
    assert_int_equal(a->committed_bytes, b->committed_bytes);
    assert_int_equal(a->finished_count, b->finished_count);
    for (size_t i = 0; i < a->finished_count; i++)
        assert_same_request(&a->finished[i], &b->finished[i]);
    assert_same_request(&a->pending, &b->pending);
}

static void assert_same(const struct book *a, const struct book *b)
{
    assert_int_equal(a->pool_bytes, b->pool_bytes);
    assert_int_equal(a->granularity, b->granularity);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        assert_same_vnf(&a->vnfs[i], &b->vnfs[i]);
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct book book = sample(), again;
    struct error e;
    size_t len;
    char *bytes = book_format(&book, &len);
    assert_non_null(bytes);
    if (!book_parse(bytes, len, &again, &e))
        fail_msg("%s", e.text);
    assert_same(&book, &again);
    book_release(&again);
    assert_null(again.vnfs);
    free(bytes);
}

// Any byte changed, any byte missing: not a book.
static void test_every_byte_counts(void **state)
{
    (void)state;
    struct book book = sample(), again;
    struct error e;
    size_t len;
    char *bytes = book_format(&book, &len);
    for (size_t i = 0; i < len; i++) {
        bytes[i] ^= 1;
        assert_false(book_parse(bytes, len, &again, &e));
        assert_null(again.vnfs);
        bytes[i] ^= 1;
        assert_false(book_parse(bytes, i, &again, &e));
    }
    assert_true(book_parse(bytes, len, &again, &e));
    book_release(&again);
    free(bytes);
}

static char *seal(const char *body, size_t *len)
{
    unsigned char sum[32];
    char hex[65], *whole = NULL;
    assert_int_equal(EVP_Digest(body, strlen(body), sum, NULL, EVP_sha256(), NULL), 1);
    for (size_t i = 0; i < sizeof sum; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    int n = asprintf(&whole, "{\"sha256\":\"%s\",\"book\":%s}\n", hex, body);
    assert_true(n > 0);
    *len = (size_t)n;
    return whole;
}

// With a sum that holds: what is wrong is what is said.
static void refuse(const char *from, const char *to, const char *why)
{
    struct book book = sample(), again;
    struct error e = {0};
    size_t len;
    char *bytes = book_format(&book, &len), body[8192], changed[8192];
    char *start = strstr(bytes, "\"book\":") + 7;
    (void)snprintf(body, sizeof body, "%.*s", (int)(len - (size_t)(start - bytes) - 2), start);
    char *at = strstr(body, from);
    assert_non_null(at);
    (void)snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - body), body, to, at + strlen(from));
    char *whole = seal(changed, &len);
    assert_false(book_parse(whole, len, &again, &e));
    if (strstr(e.text, why) == NULL)
        fail_msg("%s -> %s: %s", from, to, e.text);
    free(whole);
    free(bytes);
}

static void test_refusals(void **state)
{
    (void)state;
    refuse("\"version\":2", "\"version\":3", "version");
    refuse("\"version\":2,", "", "version");
    refuse("\"granularity\":100", "\"granularity\":-1", "members");
    refuse("\"granularity\":100", "\"granularity\":100,\"more\":1", "members");
    refuse("\"ks2\"", "\"ks1\"", "twice");
    refuse("\"ks2\"", "\"k s\"", "name");
    refuse("\"granted_bytes\":300", "\"granted_bytes\":9007199254740992", "bytes");
    refuse("\"committed_bytes\":0", "\"committed_bytes\":-0.5", "bytes");
    refuse("\"granted_bytes\":0,\"committed_bytes\":0", "\"granted_bytes\":2,\"committed_bytes\":1", "bytes");
    refuse("\"deferred\"", "\"accepted\"", "finished");
    refuse("\"deferred\"", "\"nothing\"", "finished");
    refuse("\"finished\":[]", "\"finished\":{}", "finished");
    refuse("\"min_bytes\":4", "\"min_bytes\":\"4\"", "pending");
    refuse("\"committed_bytes\":0", "\"committed_bytes\":1", "commitments");
    refuse("\"finished\":[]", "\"finished\":[],\"finished\":[]", "version"); // twice: no object at all
    refuse("\"backend\":\"cgroup\"", "\"backend\":\"\"", "back-end");
    refuse("\"backend\":\"cgroup\",", "", "back-end");
    refuse("\"target\":\"path", "\"target\":\"\\u0007path", "target");
    refuse("\"target\":\"path", "\"target\":\"p\\u00e4th", "target");
    refuse("\"target\":\"path", "\"target\":\"\\u0000path", "version"); // no NUL in any text
    refuse("\"target\":\"path", "\"target\":7,\"more\":\"path", "members");
    refuse("\"version\":2", "\"version\":1", "members"); // version 1 has no back-ends
    refuse("\"version\":2", "\"version\":0", "version");
}

static void test_long_targets(void **state)
{
    (void)state;
    struct book book = sample(), again;
    struct error e;
    size_t len;
    memset(vnfs[1].target, 'x', BOOK_TARGET_MAX);
    char *bytes = book_format(&book, &len);
    assert_true(book_parse(bytes, len, &again, &e));
    assert_same(&book, &again);
    book_release(&again);
    free(bytes);
    char more[BOOK_TARGET_MAX + 32] = "\"target\":\"";
    size_t at = strlen(more);
    memset(more + at, 'x', BOOK_TARGET_MAX);
    refuse("\"target\":\"path", more, "target"); // what followed is beyond it
}

// A book of the version before has no back-ends: they are not known, and all else is as it was.
static void test_version_1(void **state)
{
    static const char body[] =
        "{\"version\":1,\"pool_bytes\":1000,\"granularity\":100,\"vnfs\":[{\"name\":\"ks1\","
        "\"granted_bytes\":300,\"committed_bytes\":500,\"finished\":[{\"id\":\"1\",\"target_bytes\":"
        "300,\"min_bytes\":0,\"state\":\"done\"}],\"pending\":{\"id\":\"2\",\"target_bytes\":500,"
        "\"min_bytes\":1}},{\"name\":\"ks2\",\"granted_bytes\":0,\"committed_bytes\":0,\"finished\":[]}]}";
    struct book book, again;
    struct error e;
    size_t len;
    (void)state;
    char *bytes = seal(body, &len);
    if (!book_parse(bytes, len, &book, &e))
        fail_msg("%s", e.text);
    free(bytes);
    assert_int_equal(book.count, 2);
    assert_string_equal(book.vnfs[0].backend, "");
    assert_string_equal(book.vnfs[0].target, "");
    assert_int_equal(book.vnfs[0].granted_bytes, 300);
    assert_int_equal(book.vnfs[0].committed_bytes, 500);
    assert_string_equal(book.vnfs[0].finished[0].id, "1");
    assert_string_equal(book.vnfs[0].pending.id, "2");
    bytes = book_format(&book, &len); // written in this version, and still not known
    assert_non_null(strstr(bytes, "\"version\":2"));
    assert_null(strstr(bytes, "\"backend\""));
    assert_true(book_parse(bytes, len, &again, &e));
    assert_same(&book, &again);
    book_release(&again);
    book_release(&book);
    free(bytes);
}

static void test_file(void **state)
{
    (void)state;
    struct book book, want = sample();
    struct error e;
    struct stat st;
    struct book_file *file = book_open(path, &book, &e);
    if (file == NULL)
        fail_msg("%s", e.text);
    assert_int_equal(book.count, 0); // new
    book_release(&book);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(book_write(file, &want, &e));
    struct book other;
    assert_null(book_open(path, &other, &e)); // locked
    assert_non_null(strstr(e.text, "another scaleupd"));
    book_close(&file);
    assert_null(file);
    file = book_open(path, &book, &e);
    assert_non_null(file);
    assert_same(&book, &want);
    book_release(&book);
    book_close(&file);
}

// What cannot be read is an error, never a new book.
static void test_file_that_does_not_read(void **state)
{
    (void)state;
    struct book book;
    struct error e;
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{}\n", 3), 3);
    (void)close(fd);
    assert_null(book_open(path, &book, &e));
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, "not a sound book"));
    assert_int_equal(truncate(path, 0), 0);
    assert_null(book_open(path, &book, &e));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_null(book_open(path, &book, &e));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); // does not wait for a writer
    assert_null(book_open(path, &book, &e));
    assert_int_equal(unlink(path), 0);
    assert_null(book_open("/nonexistent/book", &book, &e));
    assert_null(book_open("/tmp/", &book, &e));
}

static void test_folder_of_others(void **state)
{
    (void)state;
    struct book book;
    struct error e;
    assert_int_equal(chmod(folder, 0770), 0);
    assert_null(book_open(path, &book, &e));
    assert_non_null(strstr(e.text, "nobody else to write"));
}

// The write fails: the old content stands, and the next one works.
static void test_write_fails(void **state)
{
    (void)state;
    struct book book, want = sample();
    struct error e;
    char tmp[160];
    struct book_file *file = book_open(path, &book, &e);
    assert_non_null(file);
    book_release(&book);
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", path);
    assert_int_equal(mkdir(tmp, 0700), 0); // in the way of the temporary file, for root too
    assert_false(book_write(file, &want, &e));
    assert_non_null(strstr(e.text, "temporary"));
    book_close(&file);
    file = book_open(path, &book, &e);
    assert_non_null(file);
    assert_int_equal(book.count, 0);
    book_release(&book);
    assert_int_equal(rmdir(tmp), 0);
    int fd = open(tmp, O_WRONLY | O_CREAT, 0644); // what a crash has left
    assert_true(fd >= 0);
    (void)close(fd);
    assert_true(book_write(file, &want, &e));
    assert_int_not_equal(access(tmp, F_OK), 0);
    book_close(&file);
}

// Killed at any moment while it writes one book after another: what is there is one of them.
static void test_killed_while_writing(void **state)
{
    (void)state;
    struct book book;
    struct error e;
    for (unsigned round = 0; round < 20; round++) {
        int ready[2];
        assert_int_equal(pipe(ready), 0);
        pid_t child = fork();
        if (child == 0) {
            struct book mine, want = sample();
            struct book_file *file = book_open(path, &mine, NULL);
            want.vnfs[0].committed_bytes = 1ull << 40;
            if (file == NULL)
                _exit(1);
            for (uint64_t i = 0;; i++) {
                want.vnfs[0].granted_bytes = want.vnfs[1].committed_bytes = i;
                if (!book_write(file, &want, NULL) || (i == 0 && write(ready[1], "x", 1) != 1))
                    _exit(1);
            }
        }
        char c;
        assert_true(child > 0);
        (void)close(ready[1]);
        assert_int_equal(read(ready[0], &c, 1), 1);
        (void)usleep(300 * round);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        (void)close(ready[0]);
        struct book_file *file = book_open(path, &book, &e);
        if (file == NULL)
            fail_msg("%s", e.text);
        assert_int_equal(book.count, 2);
        assert_int_equal(book.vnfs[0].granted_bytes, book.vnfs[1].committed_bytes);
        book_release(&book);
        book_close(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_long_targets),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test_setup_teardown(test_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_that_does_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_while_writing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
