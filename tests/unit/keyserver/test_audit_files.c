// The audit log's files: what a server before, a kill and a rotation leave, and that the verifier finds it whole.
#include "audit_kit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct keyop op;

static int setup(void **state)
{
    int result = audit_kit_setup(state);
    audit_kit_op(&op);
    return result;
}

static void one_server_after_another(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    for (unsigned i = 0; i < 3; i++) {
        struct audit *audit = audit_kit_open(&settings);
        audit_kit_write_ops(&op, audit, 5);
        audit_destroy(&audit);
        assert_null(strstr(audit_kit_verify(AUDIT_WHOLE, "log", NULL), "note:"));
    }
    assert_int_equal(audit_kit_count("log", "\"event\":\"start\""), 3);
    assert_int_equal(audit_kit_count("log", "\"after\":\"head\""), 2);
}

static void two_at_once_are_refused(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct error e;
    struct audit *audit = audit_kit_open(&settings);
    assert_null(audit_create(&settings, &e));
    assert_non_null(strstr(e.text, "another process"));
    audit_destroy(&audit);
    settings.path = "/dev/null"; // is not one writer's own
    audit = audit_kit_open(&settings);
    struct audit *other = audit_kit_open(&settings);
    audit_kit_write_ops(&op, audit, 1);
    audit_kit_write_ops(&op, other, 1);
    audit_destroy(&audit);
    audit_destroy(&other);
}

static void files_that_are_no_audit_log(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct error e;
    audit_kit_put_text("log", "{\"time\":\"of an older version\"}\n", 31);
    assert_null(audit_create(&settings, &e));
    assert_non_null(strstr(e.text, "move it away"));
    char *text = kit_read_file(kit_path("log"));
    assert_int_equal(strlen(text), 31); // and is left as it was
    free(text);
    settings.path = "/no/such/folder/log";
    assert_null(audit_create(&settings, &e));
    assert_non_null(strstr(e.text, "/no/such/folder/log"));
}

static void keys_that_cannot_be_used(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct error e;
    assert_true(audit_check(&settings, &e));
    assert_int_equal(chmod(settings.key_file, 0640), 0);
    assert_false(audit_check(&settings, &e));
    assert_non_null(strstr(e.text, "0640"));
    assert_null(audit_create(&settings, &e));
    settings.key_file = kit_path("audit.pub");
    assert_int_equal(chmod(settings.key_file, 0600), 0);
    assert_false(audit_check(&settings, &e));
    settings.key_file = kit_path("absent");
    assert_false(audit_check(&settings, &e));
    settings.key_file = kit_path("");
    assert_false(audit_check(&settings, &e));
}

// ---- kill -9: the file ends anywhere

// Cuts the log after `cut` bytes and lets a server go on with it, twice.
static const char *go_on_after(const char *text, size_t cut)
{
    struct audit_settings settings = audit_kit_settings("log");
    audit_kit_put_text("log", text, cut);
    for (int i = 0; i < 2; i++) {
        struct audit *audit = audit_kit_open(&settings);
        audit_kit_write_ops(&op, audit, 2);
        audit_destroy(&audit);
    }
    return audit_kit_verify(AUDIT_WHOLE, "log", NULL);
}

static void a_torn_line_stays_visible(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct audit *audit = audit_kit_open(&settings);
    audit_kit_write_ops(&op, audit, 3);
    audit_destroy(&audit);
    char *text = kit_read_file(kit_path("log")), expected[64];
    size_t first = (size_t)(strchr(text, '\n') - text), len = strlen(text);

    for (size_t cut = first + 1; cut < len; cut += cut % 7 + 1) {
        const char *says = go_on_after(text, cut);
        size_t line = cut;
        while (text[line - 1] != '\n')
            line--;
        bool whole = text[cut] == '\n', at_line = line == cut;
        (void)snprintf(expected, sizeof expected, "a torn line of %zu bytes", cut - line);
        if ((strstr(says, expected) != NULL) != (!whole && !at_line))
            fail_msg("cut at %zu of line at %zu:\n%s", cut, line, says);
        char *after = kit_read_file(kit_path("log"));
        assert_memory_equal(after, text, cut); // nothing is taken away
        free(after);
    }
    // A torn line that was tampered with afterwards.
    (void)go_on_after(text, len - 20);
    char *after = kit_read_file(kit_path("log"));
    after[len - 30] ^= 1;
    audit_kit_put_text("log", after, strlen(after));
    (void)audit_kit_verify(AUDIT_BROKEN, "log", NULL);
    free(after);
    free(text);
}

// The start that tells of a torn line may be torn itself.
static void torn_again(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct audit *audit = audit_kit_open(&settings);
    audit_kit_write_ops(&op, audit, 3);
    audit_destroy(&audit);
    char *text = kit_read_file(kit_path("log"));
    size_t cut = strlen(text) - 20;
    (void)go_on_after(text, cut);
    char *second = kit_read_file(kit_path("log"));
    for (size_t more = 1; more < 60; more += 9) {
        const char *says = go_on_after(second, cut + more);
        assert_non_null(strstr(says, "a torn line of "));
    }
    free(second);
    free(text);
}

// The very first line cut off at any place begins the log all the same; of another line nobody knows whose chain it was.
static void a_file_with_nothing_but_a_torn_line(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct error e;
    struct audit *audit = audit_kit_open(&settings);
    audit_destroy(&audit);
    char *text = kit_read_file(kit_path("log"));
    size_t first = (size_t)(strchr(text, '\n') - text);
    for (size_t cut = 1; cut <= first; cut++) {
        const char *says = go_on_after(text, cut);
        assert_true((strstr(says, "a torn line of ") != NULL) == (cut < first));
    }
    char *head = strstr(text, "\n") + 1;
    audit_kit_put_text("log", head, 60);
    assert_null(audit_create(&settings, &e));
    assert_non_null(strstr(e.text, "move it away"));
    audit_kit_put_text("log", "hello", 5);
    assert_null(audit_create(&settings, &e));
    free(text);
}

// ---- rotation

static void a_log_that_is_renamed_and_reopened(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct audit *audit = audit_kit_open(&settings);
    audit_kit_write_ops(&op, audit, 3);
    audit_reopen(audit); // nothing has been renamed: a head in the same file
    audit_flush(audit);
    audit_kit_write_ops(&op, audit, 3);
    audit_kit_rename_log("log.1");
    audit_reopen(audit);
    audit_flush(audit);
    audit_kit_write_ops(&op, audit, 3);
    audit_destroy(&audit);
    assert_null(strstr(audit_kit_verify(AUDIT_WHOLE, "log.1", "log", NULL), "note:"));
    assert_non_null(strstr(audit_kit_verify(AUDIT_WHOLE, "log.1", NULL), "another file goes on"));
    assert_non_null(strstr(audit_kit_verify(AUDIT_WHOLE, "log", NULL), "begins behind line"));
    (void)audit_kit_verify(AUDIT_BROKEN, "log", "log.1", NULL); // in the wrong order

    struct audit_kit_lines a, b;
    audit_kit_read("log.1", &a);
    audit_kit_read("log", &b);
    assert_string_equal(a.line[a.count - 1], b.line[0]); // the next file begins with the last head
    free(a.line[--a.count]);
    audit_kit_put("log.1",
                  &a); // the last line of the first file is missing: the next one has it, and continues
    (void)audit_kit_verify(AUDIT_WHOLE, "log.1", "log", NULL);
    free(a.line[--a.count]);
    audit_kit_put("log.1", &a);
    assert_non_null(strstr(audit_kit_verify(AUDIT_BROKEN, "log.1", "log", NULL), ": 1 missing"));
    audit_kit_free(&a);
    while (b.count > 1)
        free(b.line[--b.count]);
    audit_kit_put("log",
                  &b); // nothing is left but the head of the file before, which closed that one, not this
    (void)audit_kit_verify(AUDIT_BROKEN, "log", NULL);
    (void)audit_kit_verify_open(AUDIT_WHOLE, "log", NULL);
    audit_kit_free(&b);
}

static void a_file_in_the_way(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct audit *audit = audit_kit_open(&settings);
    audit_kit_write_ops(&op, audit, 3);
    audit_kit_rename_log("log.1");
    audit_kit_put_text("log", "something else\n", 15);
    audit_reopen(audit);
    audit_flush(audit);
    audit_kit_write_ops(&op, audit, 3);
    audit_destroy(&audit);
    (void)audit_kit_verify(AUDIT_WHOLE, "log.1", NULL); // stayed in use
    char *text = kit_read_file(kit_path("log"));
    assert_string_equal(text, "something else\n");
    free(text);
}

// Gives the rotated files' names in order, then log; returns how many.
static size_t rotated(char names[16][64])
{
    size_t count = 0;
    for (unsigned seq = 1; seq < 1000 && count < 15; seq++) {
        (void)snprintf(names[count], sizeof names[count], "log.%012u", seq);
        count += access(kit_path(names[count]), F_OK) == 0;
    }
    return count;
}

// What has been put in the place of the log since is not taken for it.
static void a_file_in_the_way_of_rotation(void **state)
{
    (void)state;
    char names[16][64];
    struct audit_settings settings = audit_kit_settings("log");
    settings.rotate_bytes = 3000;
    struct audit *audit = audit_kit_open(&settings);
    audit_kit_write_ops(&op, audit, 3);
    audit_kit_rename_log("log.1");
    audit_kit_put_text("log", "something else\n", 15);
    audit_kit_write_ops(&op, audit, 20);
    audit_destroy(&audit);
    assert_int_equal(rotated(names), 0);
    (void)audit_kit_verify(AUDIT_WHOLE, "log.1", NULL);
}

static const char *verify_rotated(char n[16][64], size_t count)
{
    assert_int_equal(count, 4);
    return audit_kit_verify(AUDIT_WHOLE, n[0], n[1], n[2], n[3], "log", NULL);
}

static void rotation_by_size(void **state)
{
    (void)state;
    char names[16][64];
    struct audit_settings settings = audit_kit_settings("log");
    settings.rotate_bytes = 3000;
    struct audit *audit = audit_kit_open(&settings);
    size_t count = 0;
    for (unsigned i = 0; i < 1000 && count < 4; i++) {
        audit_kit_write_ops(&op, audit, 1);
        count = rotated(names);
    }
    audit_destroy(&audit);
    assert_null(strstr(verify_rotated(names, rotated(names)), "note:"));
    assert_int_equal(access(kit_path("log.new"), F_OK), -1);
    (void)audit_kit_verify(AUDIT_BROKEN, names[0], names[2], names[3], "log", NULL); // a file is missing
    (void)audit_kit_verify(AUDIT_BROKEN, names[0], names[2], names[1], names[3], "log", NULL);

    // Killed between two files: the new one is not there, or empty, or has a part of its first line.
    char *text = kit_read_file(kit_path("log"));
    for (size_t cut = 0; cut < 100; cut += 33) {
        audit_kit_put_text("log", text, cut);
        if (cut == 0)
            assert_int_equal(unlink(kit_path("log")), 0);
        audit = audit_kit_open(&settings);
        audit_destroy(&audit);
        (void)verify_rotated(names, 4);
    }
    free(text);
}

static void heads_bound_what_can_be_cut_off(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    settings.head_lines = 5;
    struct audit *audit = audit_kit_open(&settings);
    for (int i = 0; i < 50; i++)
        audit_kit_write_ops(&op, audit, 1);
    audit_destroy(&audit);
    unsigned heads = audit_kit_count("log", "\"event\":\"head\"");
    assert_in_range(heads, 10, 14);
    // And by time: the writer wakes up for it.
    settings.head_lines = 1000;
    settings.head_us = 1000;
    settings.path = audit_kit_settings("timed").path;
    audit = audit_kit_open(&settings);
    unsigned looks = 0;
    while (audit_kit_count("timed", "\"why\":\"interval\"") == 0) {
        assert_true(looks++ < 60000);
        (void)usleep(1000);
    }
    audit_destroy(&audit);
    (void)audit_kit_verify(AUDIT_WHOLE, "timed", NULL);
}

#define WRITER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, audit_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITER_TEST(one_server_after_another),
        WRITER_TEST(two_at_once_are_refused),
        WRITER_TEST(files_that_are_no_audit_log),
        WRITER_TEST(keys_that_cannot_be_used),
        WRITER_TEST(a_torn_line_stays_visible),
        WRITER_TEST(torn_again),
        WRITER_TEST(a_file_with_nothing_but_a_torn_line),
        WRITER_TEST(a_log_that_is_renamed_and_reopened),
        WRITER_TEST(a_file_in_the_way),
        WRITER_TEST(a_file_in_the_way_of_rotation),
        WRITER_TEST(rotation_by_size),
        WRITER_TEST(heads_bound_what_can_be_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
