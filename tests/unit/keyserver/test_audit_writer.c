// The audit log's writer: a full ring, a full disk, writes that end anywhere, many threads, and that the verifier finds what is left whole.
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

// ---- what cannot be written

static void a_full_disk_lossy(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    struct audit *audit = audit_kit_open(&settings);
    audit_kit_write_ops(&op, audit, 3);
    audit_kit_room = 100; // a part of a line
    audit_kit_write_ops(&op, audit, 1);
    audit_kit_room = 0;
    audit_kit_write_ops(&op, audit, 9);
    assert_int_equal(audit_dropped(audit), 10);
    json_t *status = audit_status(audit);
    assert_true(json_is_true(json_object_get(status, "failing")));
    json_decref(status);
    audit_kit_room = -1;
    audit_kit_write_ops(&op, audit, 3);
    status = audit_status(audit);
    assert_true(json_is_false(json_object_get(status, "failing")));
    json_decref(status);
    audit_destroy(&audit);
    assert_int_equal(audit_kit_count("log", "\"torn_bytes\":100,"), 1);
    assert_int_equal(told_dropped("log"), 10);
    assert_int_equal(audit_kit_count("log", "\"result\":\"ok\""), 6);
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
    assert_int_equal(audit_kit_count("log", "\"result\":\"ok\""), 1);

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
    assert_int_equal(audit_kit_count("log", "\"result\":\"ok\""), 1);
    assert_int_equal(audit_kit_count("log", "\"result\":\"not_found\"") +
                         audit_kit_count("log", "\"result\":\"notfound\""),
                     1);
    (void)audit_kit_verify(AUDIT_WHOLE, "log", NULL);
}

static void a_disk_that_is_full_from_the_start(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("log");
    audit_kit_room = 0;
    struct audit *audit = audit_kit_open(&settings);
    audit_kit_write_ops(&op, audit, 3);
    audit_kit_room = -1;
    audit_kit_write_ops(&op, audit, 1);
    audit_destroy(&audit);
    (void)audit_kit_verify(AUDIT_WHOLE, "log", NULL);
    assert_int_equal(told_dropped("log"), 3);
    settings.path = "/dev/full";
    settings.write = NULL;
    audit = audit_kit_open(&settings);
    audit_kit_write_ops(&op, audit, 3);
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
                audit_kit_rename_log(i == 99 ? "log.1" : "log.2");
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
        written += audit_kit_count(names[i], "\"result\":\"ok\"");
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
        assert_int_equal(audit_kit_count(name, "\"result\":\"ok\""), 8);
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
    assert_int_equal(audit_kit_count("log", "\"result\":\"ok\"") + dropped, 1600);
    (void)audit_kit_verify(AUDIT_WHOLE, "log", NULL);
}

#define WRITER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, audit_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
