// The audit log as a file: what a full ring, a full disk, a kill, a rotation leave, and that the verifier finds it whole.
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

static void write_ops(struct audit *audit, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_true(audit_write(audit, &op));
    audit_flush(audit);
}

static unsigned count_of(const char *name, const char *text)
{
    struct audit_kit_lines lines;
    unsigned count = 0;
    audit_kit_read(name, &lines);
    for (size_t i = 0; i < lines.count; i++)
        count += strstr(lines.line[i], text) != NULL;
    audit_kit_free(&lines);
    return count;
}

// The sum of what lines about dropped ones tell.
static unsigned long told_dropped(const char *name)
{
    struct audit_kit_lines lines;
    unsigned long sum = 0;
    audit_kit_read(name, &lines);
    for (size_t i = 0; i < lines.count; i++) {
        const char *at = strstr(lines.line[i], "\"lines\":");
        sum += at != NULL ? strtoul(at + 8, NULL, 10) : 0;
    }
    audit_kit_free(&lines);
    return sum;
}

static void one_server_after_another(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    for (unsigned i = 0; i < 3; i++) {
        struct audit *audit = audit_kit_open(&settings);
        write_ops(audit, 5);
        audit_destroy(&audit);
        assert_null(strstr(audit_kit_verify(AUDIT_WHOLE, "log", NULL), "note:"));
    }
    assert_int_equal(count_of("log", "\"event\":\"start\""), 3);
    assert_int_equal(count_of("log", "\"after\":\"head\""), 2);
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
    write_ops(audit, 1);
    write_ops(other, 1);
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
        write_ops(audit, 2);
        audit_destroy(&audit);
    }
    return audit_kit_verify(AUDIT_WHOLE, "log", NULL);
}

static void a_torn_line_stays_visible(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct audit *audit = audit_kit_open(&settings);
    write_ops(audit, 3);
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
    write_ops(audit, 3);
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

static void rotate_away(const char *to)
{
    char from[4200];
    (void)snprintf(from, sizeof from, "%s", kit_path("log"));
    assert_int_equal(rename(from, kit_path(to)), 0);
}

static void a_log_that_is_renamed_and_reopened(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct audit *audit = audit_kit_open(&settings);
    write_ops(audit, 3);
    audit_reopen(audit); // nothing has been renamed: a head in the same file
    audit_flush(audit);
    write_ops(audit, 3);
    rotate_away("log.1");
    audit_reopen(audit);
    audit_flush(audit);
    write_ops(audit, 3);
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
    write_ops(audit, 3);
    rotate_away("log.1");
    audit_kit_put_text("log", "something else\n", 15);
    audit_reopen(audit);
    audit_flush(audit);
    write_ops(audit, 3);
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
    write_ops(audit, 3);
    rotate_away("log.1");
    audit_kit_put_text("log", "something else\n", 15);
    write_ops(audit, 20);
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
        write_ops(audit, 1);
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
        write_ops(audit, 1);
    audit_destroy(&audit);
    unsigned heads = count_of("log", "\"event\":\"head\"");
    assert_in_range(heads, 10, 14);
    // And by time: the writer wakes up for it.
    settings.head_lines = 1000;
    settings.head_us = 1000;
    settings.path = audit_kit_settings("timed").path;
    audit = audit_kit_open(&settings);
    unsigned looks = 0;
    while (count_of("timed", "\"why\":\"interval\"") == 0) {
        assert_true(looks++ < 60000);
        (void)usleep(1000);
    }
    audit_destroy(&audit);
    (void)audit_kit_verify(AUDIT_WHOLE, "timed", NULL);
}

// ---- what cannot be written

static void a_full_disk_lossy(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct audit *audit = audit_kit_open(&settings);
    write_ops(audit, 3);
    audit_kit_room = 100; // a part of a line
    write_ops(audit, 1);
    audit_kit_room = 0;
    write_ops(audit, 9);
    assert_int_equal(audit_dropped(audit), 10);
    json_t *status = audit_status(audit);
    assert_true(json_is_true(json_object_get(status, "failing")));
    json_decref(status);
    audit_kit_room = -1;
    write_ops(audit, 3);
    status = audit_status(audit);
    assert_true(json_is_false(json_object_get(status, "failing")));
    json_decref(status);
    audit_destroy(&audit);
    assert_int_equal(count_of("log", "\"torn_bytes\":100,"), 1);
    assert_int_equal(told_dropped("log"), 10);
    assert_int_equal(count_of("log", "\"result\":\"ok\""), 6);
    assert_non_null(strstr(audit_kit_verify(AUDIT_WHOLE, "log", NULL), "a torn line of 100 bytes"));
}

static void a_full_disk_strict(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    settings.mode = AUDIT_STRICT;
    struct audit *audit = audit_kit_open(&settings);
    assert_false(audit_write(audit, &op)); // held until its line is written
    audit_flush(audit);
    assert_int_equal(audit_kit_completed, 1);
    assert_int_equal(op.status, SKI_OK);
    assert_int_equal(op.output_len, 48);
    assert_true(audit_write(audit, &op)); // once more, by its loop: may leave
    assert_int_equal(count_of("log", "\"result\":\"ok\""), 1);

    audit_kit_op(&op);
    audit_kit_room = 20;
    assert_false(audit_write(audit, &op));
    audit_flush(audit);
    assert_int_equal(audit_kit_completed, 2);
    assert_int_equal(op.status, SKI_UNSPECIFIED);
    assert_int_equal(op.output_len, 0);
    for (size_t i = 0; i < 48; i++)
        assert_int_equal(op.output[i], 0);
    assert_true(audit_write(audit, &op));

    op.audited = false; // an error has no result to hold back
    op.status = SKI_NOT_FOUND;
    audit_kit_room = -1;
    assert_true(audit_write(audit, &op));
    audit_flush(audit);
    audit_destroy(&audit);
    assert_int_equal(count_of("log", "\"result\":\"ok\""), 1);
    assert_int_equal(count_of("log", "\"result\":\"not_found\"") + count_of("log", "\"result\":\"notfound\""),
                     1);
    (void)audit_kit_verify(AUDIT_WHOLE, "log", NULL);
}

static void a_disk_that_is_full_from_the_start(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    audit_kit_room = 0;
    struct audit *audit = audit_kit_open(&settings);
    write_ops(audit, 3);
    audit_kit_room = -1;
    write_ops(audit, 1);
    audit_destroy(&audit);
    (void)audit_kit_verify(AUDIT_WHOLE, "log", NULL);
    assert_int_equal(told_dropped("log"), 3);
    settings.path = "/dev/full";
    settings.write = NULL;
    audit = audit_kit_open(&settings);
    write_ops(audit, 3);
    assert_int_equal(audit_dropped(audit), 3);
    audit_destroy(&audit);
}

// Writes end anywhere, again and again, and files change meanwhile: what strict let go is there, and the log is whole.
static void writes_that_end_anywhere(void **state)
{
    (void)state;
    static struct keyop ops[400];
    struct audit_settings settings = audit_kit_settings("log");
    settings.mode = AUDIT_STRICT;
    settings.head_lines = 7;
    unsigned good = 0, seed = 12345;
    struct audit *audit = audit_kit_open(&settings);
    for (unsigned i = 0; i < 400; i++) {
        audit_kit_op(&ops[i]);
        seed = seed * 1103515245 + 12345;
        if (seed >> 16 & 1)
            audit_kit_room = (long)((seed >> 17) % 900);
        else if (seed >> 18 & 1)
            audit_kit_room = -1;
        assert_false(audit_write(audit, &ops[i]));
        if (i % 50 == 49) {
            audit_kit_room = -1;
            audit_flush(audit);
            if (i == 99 || i == 299)
                rotate_away(i == 99 ? "log.1" : "log.2");
            audit_reopen(audit);
            audit_flush(audit);
        }
        if (seed >> 20 & 1)
            audit_flush(audit);
    }
    audit_kit_room = -1;
    audit_flush(audit);
    audit_destroy(&audit);
    assert_int_equal(audit_kit_completed, 400);
    for (unsigned i = 0; i < 400; i++)
        good += ops[i].status == SKI_OK;
    assert_in_range(good, 1, 399);
    const char *const names[] = {"log.1", "log.2", "log"};
    unsigned written = 0;
    for (size_t i = 0; i < 3; i++)
        written += count_of(names[i], "\"result\":\"ok\"");
    const char *says = audit_kit_verify(AUDIT_WHOLE, "log.1", "log.2", "log", NULL);
    assert_non_null(strstr(says, "a torn line"));
    assert_true(written >= good); // some of a torn line's text may be there as well
}

// ---- a ring that is full

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static ssize_t gated_write(int fd, const void *bytes, size_t len)
{
    (void)pthread_mutex_lock(&gate);
    (void)pthread_mutex_unlock(&gate);
    return write(fd, bytes, len);
}

static void a_full_ring(void **state)
{
    (void)state;
    static struct keyop ops[20];
    for (int strict = 0; strict < 2; strict++) {
        struct audit_settings settings = audit_kit_settings(strict ? "strict" : "lossy");
        const char *name = strict ? "strict" : "lossy";
        settings.mode = strict ? AUDIT_STRICT : AUDIT_LOSSY;
        settings.write = gated_write;
        settings.ring_lines = 8;
        audit_kit_completed = 0;
        struct audit *audit = audit_kit_open(&settings);
        (void)pthread_mutex_lock(&gate); // the writer hangs, in its first write or a later one
        unsigned held = 0, refused = 0;
        for (int i = 0; i < 20; i++) {
            audit_kit_op(&ops[i]);
            held += !audit_write(audit, &ops[i]); // never waits
            refused += ops[i].status != SKI_OK;
        }
        assert_int_equal(audit_dropped(audit), strict ? refused : 20 - 8);
        assert_int_equal(held, strict ? 8 : 0);
        assert_int_equal(refused, strict ? 12 : 0);
        assert_int_equal(audit_kit_completed, 0);
        (void)pthread_mutex_unlock(&gate);
        audit_flush(audit);
        audit_destroy(&audit);
        assert_int_equal(audit_kit_completed, held);
        assert_int_equal(count_of(name, "\"result\":\"ok\""), 8);
        assert_int_equal(told_dropped(name), 12); // by one line, or two when the writer looked in between
        (void)audit_kit_verify(AUDIT_WHOLE, name, NULL);
    }
}

static void many_lines_in_one_write(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    settings.write = gated_write;
    struct audit *audit = audit_kit_open(&settings);
    (void)pthread_mutex_lock(&gate);
    for (int i = 0; i < 1000; i++)
        assert_true(audit_write(audit, &op));
    (void)pthread_mutex_unlock(&gate);
    audit_flush(audit);
    struct metrics *metrics = metrics_create();
    assert_true(audit_metrics(audit, metrics));
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    metrics_render(metrics, out);
    (void)fclose(out);
    assert_non_null(strstr(text, "ks_audit_dropped_total 0\n"));
    unsigned writes = (unsigned)strtoul(strstr(text, "\nks_audit_writes_total ") + 23, NULL, 10);
    assert_in_range(writes, 1, 8);
    free(text);
    metrics_destroy(&metrics);
    audit_destroy(&audit);
    (void)audit_kit_verify(AUDIT_WHOLE, "log", NULL);
}

// ---- many threads

static struct audit *shared;

static void *producer(void *arg)
{
    struct keyop mine;
    (void)arg;
    audit_kit_op(&mine);
    for (int i = 0; i < 400; i++)
        assert_true(audit_write(shared, &mine));
    return NULL;
}

static void many_threads(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    settings.head_us = 1000;
    settings.alarm_us = 1000000;
    shared = audit_kit_open(&settings);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, producer, NULL), 0);
    for (int i = 0; i < 10; i++) {
        audit_reopen(shared);
        json_decref(audit_status(shared));
        audit_flush(shared);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    uint64_t dropped = audit_dropped(shared);
    audit_destroy(&shared);
    assert_int_equal(count_of("log", "\"result\":\"ok\"") + dropped, 1600);
    (void)audit_kit_verify(AUDIT_WHOLE, "log", NULL);
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
        WRITER_TEST(a_full_disk_lossy),
        WRITER_TEST(a_full_disk_strict),
        WRITER_TEST(a_disk_that_is_full_from_the_start),
        WRITER_TEST(writes_that_end_anywhere),
        WRITER_TEST(a_full_ring),
        WRITER_TEST(many_lines_in_one_write),
        WRITER_TEST(many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
