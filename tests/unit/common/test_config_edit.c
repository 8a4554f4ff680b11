// config_edit(): what changes, what stays, and that a failure leaves the file as it was.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config_edit.h"
#include "tests/unit/common/test_dir.h"

static int set_up(void **state)
{
    *state = (void *)test_dir_create();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_dir_remove();
    return 0;
}

static void expect_text(const char *path, const char *text)
{
    char *now = test_read_file(path, NULL);
    assert_non_null(now);
    assert_string_equal(now, text);
    free(now);
}

static void test_edits(void **state)
{
    static const struct {
        const char *before, *after;
        struct config_setting setting;
    } cases[] = {
        {"", "a = 1\n", {"a", "1", NULL}},
        {"x = 2\n", "x = 2\na = 1\n", {"a", "1", NULL}},
        {"x = 2", "x = 2\na = 1\n", {"a", "1", NULL}},
        {"a = 0\nx = 2\n", "a = 1\nx = 2\n", {"a", "1", NULL}},
        {"a:0\n", "a = 1\n", {"a", "1", NULL}},
        {"  a\t=  0\nx = 2", "a = 1\nx = 2\n", {"a", "1", NULL}},
        {"a=0\na=3\n", "a = 1\n", {"a", "1", NULL}},
        {"a = 0", "a = 1\n", {"a", "1", NULL}},
        {"; a = 0\n# a = 0\nab = 2\n[p]\n", "; a = 0\n# a = 0\nab = 2\n[p]\na = 1\n", {"a", "1", NULL}},
        {"s = x 1\ns = y 2\ns = xx 3\n", "s = x 9\ns = y 2\ns = xx 3\n", {"s", "x 9", "x"}},
        {"s = xx 3\n", "s = xx 3\ns = x 9\n", {"s", "x 9", "x"}},
        {"s = x\r\n", "s = x 9\n", {"s", "x 9", "x"}},
        {"a\n", "a\na = 1\n", {"a", "1", NULL}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error e = {""};
        const char *path = test_dir_write("c.ini", cases[i].before);
        assert_true(config_edit(path, &cases[i].setting, 1, &e));
        expect_text(path, cases[i].after);
    }
}

static void test_several_keep_order(void **state)
{
    const struct config_setting settings[] = {{"b", "2", NULL}, {"a", "1", NULL}, {"s", "x 3", "x"}};
    const char *path = test_dir_write("c.ini", "# first\na = 0\n\nb = 0\n");
    (void)state;
    assert_true(config_edit(path, settings, 3, NULL));
    expect_text(path, "# first\na = 1\n\nb = 2\ns = x 3\n");
    assert_true(config_edit(path, settings, 3, NULL)); // again: the same
    expect_text(path, "# first\na = 1\n\nb = 2\ns = x 3\n");
}

static void test_mode_and_link_stay(void **state)
{
    const struct config_setting setting = {"a", "1", NULL};
    struct stat st;
    const char *path = test_dir_write("real.ini", "a = 0\n");
    const char *link = test_dir_path("link.ini");
    (void)state;
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("real.ini", link), 0);
    assert_true(config_edit(link, &setting, 1, NULL));
    expect_text(path, "a = 1\n");
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static void test_refusals(void **state)
{
    const struct config_setting good = {"a", "1", NULL}, two_lines = {"a", "1\nfsync = never", NULL};
    struct error e;
    const char *path = test_dir_write("c.ini", "a = 0\n");
    (void)state;
    assert_false(config_edit(path, &two_lines, 1, &e));
    assert_non_null(strstr(e.text, "more than a line"));
    expect_text(path, "a = 0\n");
    assert_false(config_edit(test_dir_path("nowhere"), &good, 1, &e));
    assert_non_null(strstr(e.text, "No such file"));
    assert_int_equal(mkdir(test_dir_path("folder"), 0700), 0);
    assert_false(config_edit(test_dir_path("folder"), &good, 1, &e));
}

static size_t files_in(const char *dir)
{
    size_t count = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d) != NULL)
        count++;
    (void)closedir(d);
    return count;
}

// The device takes no more bytes half-way through the new file.
static void test_failed_write(void **state)
{
    const struct config_setting setting = {"a", "1", NULL};
    struct rlimit old, small;
    struct error e;
    char text[4097];
    memset(text, '#', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const char *path = test_dir_write("c.ini", text);
    size_t before = files_in(*state);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool done = config_edit(path, &setting, 1, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_false(done);
    assert_non_null(strstr(e.text, "File too large"));
    expect_text(path, text);
    assert_int_equal(files_in(*state), before); // nothing lies about
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_edits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_keep_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mode_and_link_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_write, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
