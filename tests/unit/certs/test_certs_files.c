// Files in and out, passphrases, and the table that pairing stands on.
#include "fixtures.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certs/files.h"
#include "common/passphrase.h"
#include "certs/table.h"
#include "certs/text.h"

static char folder[256];
static char path[600];

static const char *at(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int setup(void **state)
{
    (void)state;
    fixture_folder(folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_folder_remove(folder);
    return 0;
}

static struct input_files collect(const char *what)
{
    char *item = strdup(what);
    const struct config_list list = {&item, 1};
    struct input_files files;
    assert_true(files_collect(&list, &files));
    free(item);
    return files;
}

static void folders_are_walked_in_order(void **state)
{
    (void)state;
    assert_int_equal(mkdir(at("b"), 0700), 0);
    assert_int_equal(mkdir(at(".hidden"), 0700), 0);
    fixture_write(at("b/2"), "x", 1, 0600);
    fixture_write(at("b/10"), "x", 1, 0600);
    fixture_write(at("c"), "x", 1, 0600);
    fixture_write(at("Z"), "x", 1, 0600);
    fixture_write(at(".hidden/key"), "x", 1, 0600);
    fixture_write(at(".key"), "x", 1, 0600);
    struct input_files files = collect(folder);
    static const char *const expected[] = {"Z", "b/10", "b/2", "c"};
    assert_int_equal(files.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(files.items[i].path, at(expected[i]));
        assert_false(files.items[i].named);
        assert_null(files.items[i].fault);
    }
    files_release(&files);
    files = collect(at("c"));
    assert_int_equal(files.count, 1);
    assert_true(files.items[0].named);
    files_release(&files);
}

static void more_files_than_first_room(void **state)
{
    (void)state;
    char name[20];
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "%03u", i);
        fixture_write(at(name), "x", 1, 0600);
    }
    struct input_files files = collect(folder);
    assert_int_equal(files.count, 300);
    for (size_t i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "%03zu", i);
        assert_string_equal(files.items[i].path, at(name));
    }
    files_release(&files);
}

static void what_cannot_be_walked_says_why(void **state)
{
    (void)state;
    struct stat st;
    char target[600];
    assert_int_equal(mkdir(at("d"), 0700), 0);
    strcpy(target, folder);
    assert_int_equal(symlink(target, at("d/up")), 0); // leads back to a folder above
    assert_int_equal(symlink("self", at("self")), 0);
    assert_int_equal(symlink("nowhere", at("dangling")), 0);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    struct input_files files = collect(folder);
    static const char *const expected[][2] = {{"d/up", "contains itself"},
                                              {"dangling", "No such file"},
                                              {"fifo", "a FIFO"},
                                              {"self", "leads back to itself"}};
    assert_int_equal(files.count, 4);
    for (size_t i = 0; i < 4; i++) {
        strcpy(target, at(expected[i][0]));
        (void)lstat(target, &st);
        assert_string_equal(files.items[i].path, target);
        assert_non_null(files.items[i].fault);
        assert_non_null(strstr(files.items[i].fault, expected[i][1]));
    }
    files_release(&files);
    files = collect("/dev/null");
    assert_string_equal(files.items[0].fault, "not a regular file");
    files_release(&files);
}

static void reading(void **state)
{
    (void)state;
    struct file_bytes bytes;
    struct error e = {""};
    fixture_write(at("some"), "abc", 3, 0600);
    assert_true(files_read(path, &bytes, &e));
    assert_int_equal(bytes.len, 3);
    assert_memory_equal(bytes.data, "abc", 3);
    files_free(&bytes);
    assert_null(bytes.data);
    fixture_write(at("empty"), "", 0, 0600);
    assert_true(files_read(path, &bytes, &e));
    assert_int_equal(bytes.len, 0);
    files_free(&bytes);
    assert_false(files_read(at("missing"), &bytes, &e));
    assert_string_equal(e.text, "No such file or directory");
    assert_false(files_read(folder, &bytes, &e));
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_false(files_read(path, &bytes, &e));
    assert_string_equal(e.text, "not a regular file");
    int fd = open(at("huge"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, (off_t)FILES_MAX_BYTES + 1), 0);
    assert_false(files_read(path, &bytes, &e));
    assert_non_null(strstr(e.text, "too large: found 1048577 bytes, expected at most 1048576"));
    assert_int_equal(ftruncate(fd, (off_t)FILES_MAX_BYTES), 0);
    assert_true(files_read(path, &bytes, &e));
    assert_int_equal(bytes.len, FILES_MAX_BYTES);
    files_free(&bytes);
    (void)close(fd);
}

static void writing(void **state)
{
    (void)state;
    struct error e = {""};
    struct stat st;
    size_t len;
    mode_t mask = umask(0);
    assert_true(files_write(at("secret"), "one", 3, FILES_SECRET, false, &e));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_false(files_write(path, "two", 3, FILES_SECRET, false, &e));
    assert_non_null(strstr(e.text, "exists already"));
    uint8_t *now = fixture_read(path, &len);
    assert_memory_equal(now, "one", 3);
    free(now);
    assert_true(files_write(path, "two", 3, FILES_SECRET, true, &e));
    now = fixture_read(path, &len);
    assert_memory_equal(now, "two", 3);
    free(now);
    assert_true(files_write(at("public"), "x", 1, FILES_PUBLIC, false, &e));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_false(files_write(at("no/such/folder"), "x", 1, FILES_PUBLIC, false, &e));
    // A dangling link is a name that is taken: nothing is written through it.
    assert_int_equal(symlink("elsewhere", at("link")), 0);
    assert_false(files_write(path, "x", 1, FILES_SECRET, false, &e));
    assert_int_not_equal(stat(at("elsewhere"), &st), 0);
    // No temporary file stays behind.
    struct input_files files = collect(folder);
    assert_int_equal(files.count, 3);
    files_release(&files);
    (void)umask(mask);
}

static void passphrases(void **state)
{
    (void)state;
    static const struct {
        const char *contents;
        const char *want; // NULL: refused
    } cases[] = {
        {"secret\n", "secret"},           {"secret", "secret"}, {"secret\r\nmore\n", "secret"},
        {" two words \n", " two words "}, {"\n", ""},           {"", ""},
    };
    struct passphrase p;
    struct error e = {""};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_write(at("pass"), cases[i].contents, strlen(cases[i].contents), 0600);
        assert_true(passphrase_load(path, &p, &e));
        assert_string_equal(p.text, cases[i].want);
        assert_int_equal(p.len, strlen(cases[i].want));
        passphrase_wipe(&p);
        assert_null(p.text);
    }
    char line[1100];
    memset(line, 'p', sizeof line);
    fixture_write(at("pass"), line, PASSPHRASE_MAX, 0600);
    assert_true(passphrase_load(path, &p, &e));
    assert_int_equal(p.len, PASSPHRASE_MAX);
    passphrase_wipe(&p);
    fixture_write(at("pass"), line, PASSPHRASE_MAX + 1, 0600);
    assert_false(passphrase_load(path, &p, &e));
    assert_non_null(strstr(e.text, "longer than"));
    fixture_write(at("pass"), line, sizeof line, 0600);
    assert_false(passphrase_load(path, &p, &e));
    fixture_write(at("pass"), "a\0b\n", 4, 0600);
    assert_false(passphrase_load(path, &p, &e));
    assert_non_null(strstr(e.text, "NUL"));
    assert_false(passphrase_load(at("missing"), &p, &e));
    // From a pipe, so that it never lies on a disk.
    int ends[2];
    char name[40];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], "piped\n", 6), 6);
    (void)close(ends[1]);
    (void)snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    assert_true(passphrase_load(name, &p, &e));
    assert_string_equal(p.text, "piped");
    passphrase_wipe(&p);
    (void)close(ends[0]);
}

static void table_keeps_many(void **state)
{
    (void)state;
    static int values[5000];
    struct table *table = table_create();
    char key[20];
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        assert_true(table_put(table, key, strlen(key), &values[i]));
    }
    assert_int_equal(table_count(table), 5000);
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        assert_ptr_equal(table_get(table, key, strlen(key)), &values[i]);
    }
    assert_null(table_get(table, "k", 1));
    assert_null(table_get(table, "k1\0", 3));
    assert_true(table_put(table, "k1", 2, &values[7]));
    assert_ptr_equal(table_get(table, "k1", 2), &values[7]);
    assert_int_equal(table_count(table), 5000);
    table_destroy(&table);
    assert_null(table);
    table_destroy(&table);
}

static void text_for_terminals_and_json(void **state)
{
    (void)state;
    char buf[TEXT_PATH_LEN], longer[3000];
    assert_string_equal(text_printable("a\nb\033[2Jc\x7f", buf), "a?b?[2Jc?");
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(strlen(text_printable(longer, buf)), TEXT_PATH_LEN - 1);
    json_t *value = text_json("caf\xc3\xa9");
    assert_string_equal(json_string_value(value), "caf\xc3\xa9");
    json_decref(value);
    value = text_json("caf\xe9");
    assert_string_equal(json_string_value(value), "caf?");
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders_are_walked_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(more_files_than_first_room, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_walked_says_why, setup, teardown),
        cmocka_unit_test_setup_teardown(reading, setup, teardown),
        cmocka_unit_test_setup_teardown(writing, setup, teardown),
        cmocka_unit_test_setup_teardown(passphrases, setup, teardown),
        cmocka_unit_test(table_keeps_many),
        cmocka_unit_test(text_for_terminals_and_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
