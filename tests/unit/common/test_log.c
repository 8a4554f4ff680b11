// The sink and the log on it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/logsink.h"
#include "test_dir.h"

static struct log_sink *open_sink(const char *path, size_t ring)
{
    struct error e = {{0}};
    struct log_sink *sink = log_sink_create(path, ring, NULL, &e);
    assert_string_equal(e.text, "");
    assert_non_null(sink);
    return sink;
}

static bool put(struct log_sink *sink, const char *line)
{
    return log_sink_write(sink, line, strlen(line));
}

static void file_is(const char *path, const char *expected)
{
    char *text = test_read_file(path, NULL);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

// Lines come out in order, appended to what was there, in a file that others may not read.
static void lines_are_written_in_order(void **state)
{
    (void)state;
    const char *path = test_dir_path("order.log");
    struct log_sink *sink = open_sink(path, 4096);
    assert_true(put(sink, "one"));
    assert_true(put(sink, ""));
    assert_true(put(sink, "three"));
    log_sink_flush(sink);
    file_is(path, "one\n\nthree\n");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07137, 0);
    log_sink_destroy(&sink);
    assert_null(sink);
    log_sink_destroy(&sink);

    sink = open_sink(path, 4096);
    assert_true(put(sink, "four"));
    assert_int_equal(log_sink_dropped(sink), 0);
    log_sink_destroy(&sink); // flushes
    file_is(path, "one\n\nthree\nfour\n");
}

// The ring is small and lines of every length go round its end many times.
static void lines_survive_the_end_of_the_ring(void **state)
{
    (void)state;
    const char *path = test_dir_path("wrap.log");
    struct log_sink *sink = open_sink(path, 257);
    char line[128];
    for (int i = 0; i < 2000; i++) {
        int len = snprintf(line, sizeof line, "%d %.*s", i, i % 97,
                           "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabc"
                           "defghijklmnopqrs");
        while (!log_sink_write(sink, line, (size_t)len))
            log_sink_flush(sink);
        if (i % 2 == 0)
            log_sink_flush(sink);
    }
    log_sink_destroy(&sink);

    char *text = test_read_file(path, NULL);
    int next = 0;
    for (char *p = text; *p != '\0';) {
        char *end = strchr(p, '\n');
        assert_non_null(end);
        if (strstr(p, " lines lost") == NULL || strstr(p, " lines lost") > end) {
            assert_int_equal(strtol(p, NULL, 10), next);
            assert_int_equal((size_t)(end - strchr(p, ' ')) - 1, next % 97);
            next++;
        }
        p = end + 1;
    }
    assert_int_equal(next, 2000);
    free(text);
}

static size_t tell_drops(uint64_t count, char *buf, size_t len)
{
    return (size_t)snprintf(buf, len, "dropped=%d", (int)count);
}

static int sum_of_notices(const char *text, size_t *notices)
{
    int sum = 0;
    *notices = 0;
    for (const char *p = text; (p = strstr(p, "dropped=")) != NULL && strchr(p, '\n') != NULL; p++) {
        sum += (int)strtol(p + strlen("dropped="), NULL, 10);
        (*notices)++;
    }
    return sum;
}

// A reader that does not read holds up the sink's thread, never the writer: lines are refused at once,
// counted, and the file says so itself.
static void a_full_ring_drops_and_tells(void **state)
{
    (void)state;
    const char *path = test_dir_path("slow.fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    struct log_sink *sink = log_sink_create(path, 8192, tell_drops, NULL);
    assert_non_null(sink);
    char line[1000];
    memset(line, 'x', sizeof line);
    int accepted = 0, refused = 0;
    while (refused < 5 && accepted < 100000) // 64 KiB in the pipe, then 8 in the ring
        if (log_sink_write(sink, line, sizeof line))
            accepted++;
        else
            refused++;
    assert_int_equal(refused, 5);
    assert_int_equal(log_sink_dropped(sink), 5);

    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    size_t used = 0, notices = 0;
    while (sum_of_notices(text, &notices) <
           5) { // one notice, or several when the writer got through in between
        ssize_t n = read(reader, text + used, (1 << 20) - 1 - used);
        if (n > 0)
            used += (size_t)n;
        else
            (void)usleep(1000);
    }
    log_sink_flush(sink);
    assert_int_equal(used, (size_t)accepted * 1001 + notices * strlen("dropped=5\n"));
    assert_true(put(sink, "after")); // and it goes on
    log_sink_flush(sink);
    assert_int_equal(read(reader, text, 100), 6);
    free(text);
    log_sink_destroy(&sink);
    (void)close(reader);
}

static void a_line_longer_than_the_ring_is_dropped(void **state)
{
    (void)state;
    const char *path = test_dir_path("long.log");
    struct log_sink *sink = open_sink(path, 64);
    char line[200];
    memset(line, 'x', sizeof line);
    assert_false(log_sink_write(sink, line, sizeof line));
    assert_false(log_sink_write(sink, line, 64)); // the newline needs room as well
    assert_true(log_sink_write(sink, line, 63) || log_sink_dropped(sink) > 0);
    log_sink_flush(sink);
    assert_true(log_sink_dropped(sink) >= 2);
    log_sink_destroy(&sink);
    char *text = test_read_file(path, NULL);
    assert_non_null(strstr(text, " lines lost\n"));
    free(text);
}

// Lines that the disk does not take are counted; when it takes lines again, the next one starts on a line of
// its own, and the file says what is missing.
static void write_errors_count_lost_lines(void **state)
{
    (void)state;
    const char *path = test_dir_path("full.log");
    struct rlimit before, tiny;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct log_sink *sink = open_sink(path, 4096);
    tiny = before;
    tiny.rlim_cur = 10;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0); // the thread has SIGXFSZ blocked
    assert_true(put(sink, "1234567890 half of this fits"));
    log_sink_flush(sink);
    assert_int_equal(log_sink_dropped(sink), 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(put(sink, "whole"));
    log_sink_flush(sink);
    log_sink_destroy(&sink);
    file_is(path, "1234567890\nwhole\n1 lines lost\n");
}

// After a rotation the next line goes to a new file under the old name.
static void reopening_follows_a_rotation(void **state)
{
    (void)state;
    const char *path = test_dir_path("app.log"), *rotated = test_dir_path("app.log.1");
    struct log_sink *sink = open_sink(path, 4096);
    assert_true(put(sink, "old"));
    log_sink_flush(sink);
    assert_int_equal(rename(path, rotated), 0);
    log_sink_reopen(sink);
    assert_true(put(sink, "new"));
    log_sink_flush(sink);
    file_is(rotated, "old\n");
    file_is(path, "new\n");
    // A reopen alone is flushed, too: the new file is there before the next line.
    assert_int_equal(rename(path, rotated), 0);
    log_sink_reopen(sink);
    log_sink_flush(sink);
    file_is(path, "");
    log_sink_destroy(&sink);
}

static void a_bad_path_is_named(void **state)
{
    (void)state;
    struct error e = {{0}};
    assert_null(log_sink_create("/nonexistent/x.log", 4096, NULL, &e));
    assert_string_equal(e.text, "/nonexistent/x.log: open: No such file or directory");
    assert_false(log_setup("prog", LOG_LEVEL_INFO, "/nonexistent/x.log", NULL));
}

enum { THREADS = 4, LINES = 5000 };

static void *write_lines(void *arg)
{
    char line[64];
    for (int i = 0; i < LINES; i++) {
        int len = snprintf(line, sizeof line, "thread line %d", i);
        (void)log_sink_write(arg, line, (size_t)len);
    }
    return NULL;
}

// Whatever threads do at once, including rotation and flushing, every line is whole, and written + dropped =
// offered.
static void threads_write_at_once(void **state)
{
    (void)state;
    const char *path = test_dir_path("threads.log");
    struct log_sink *sink = open_sink(path, 16384);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, sink), 0);
    for (int i = 0; i < 10; i++) {
        log_sink_flush(sink);
        log_sink_reopen(sink);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    log_sink_flush(sink);
    uint64_t dropped = log_sink_dropped(sink);
    log_sink_destroy(&sink);

    uint64_t written = 0, told = 0;
    char *text = test_read_file(path, NULL);
    for (char *p = text; *p != '\0'; p = strchr(p, '\n') + 1) {
        char *end = NULL;
        if (strncmp(p, "thread line ", 12) == 0) {
            (void)strtol(p + 12, &end, 10);
            assert_true(*end == '\n');
            written++;
        } else {
            told += (uint64_t)strtol(p, &end, 10);
            assert_int_equal(strncmp(end, " lines lost\n", 12), 0);
        }
    }
    free(text);
    assert_int_equal(written + dropped, THREADS * LINES);
    assert_int_equal(told, dropped);
}

static char *log_text(const char *path)
{
    log_flush();
    char *text = test_read_file(path, NULL);
    assert_non_null(text);
    return text;
}

// `TIME level program event pairs`, below the level nothing, and control characters never break a line.
static void log_lines_have_their_form(void **state)
{
    (void)state;
    const char *path = test_dir_path("form.log");
    assert_true(log_setup("prog", LOG_LEVEL_INFO, path, NULL));
    assert_int_equal(log_get_level(), LOG_LEVEL_INFO);
    log_debug("hidden", "x=%d", 1);
    log_info("listening", "addr=%s", "127.0.0.1:8443");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("shown", "%s", "");
    log_error("forged", "name=%s", "a\n2026-01-01T00:00:00.000000Z info x\x1b[31m\x7f");
    char *text = log_text(path);
    assert_null(strstr(text, "hidden"));
    assert_int_equal(strncmp(text, "20", 2), 0);
    assert_int_equal(text[10], 'T');
    assert_int_equal(text[26], 'Z');
    assert_int_equal(strncmp(text + 27, " info prog listening addr=127.0.0.1:8443\n", 41), 0);
    assert_non_null(strstr(text, "Z debug prog shown\n"));
    assert_non_null(
        strstr(text, "Z error prog forged name=a\\x0a2026-01-01T00:00:00.000000Z info x\\x1b[31m\\x7f\n"));
    free(text);
    log_teardown();
    log_teardown();
    log_set_level(LOG_LEVEL_INFO);
}

// Long lines are cut with a mark, at every length around the bound, and stay one line.
static void long_log_lines_are_cut(void **state)
{
    (void)state;
    const char *path = test_dir_path("cut.log");
    assert_true(log_setup("prog", LOG_LEVEL_INFO, path, NULL));
    char *value = malloc(5000);
    assert_non_null(value);
    for (int len = 1980; len < 2060; len++) {
        memset(value, len % 2 == 0 ? 'x' : '\n', (size_t)len);
        value[len] = '\0';
        log_info("cut", "%s", value);
    }
    memset(value, 'y', 4999);
    value[4999] = '\0';
    log_info("cut", "%s", value);
    free(value);
    char *text = log_text(path);
    int lines = 0, cut = 0;
    for (char *p = text; *p != '\0'; lines++) {
        char *end = strchr(p, '\n');
        assert_true(end - p <= 2051);
        cut += strncmp(end - 3, "...", 3) == 0;
        p = end + 1;
    }
    assert_int_equal(lines, 81);
    assert_true(cut >= 41);
    free(text);
    log_teardown();
}

// A second setup moves the log to another file without losing lines.
static void the_log_can_move(void **state)
{
    (void)state;
    const char *a = test_dir_path("a.log"), *b = test_dir_path("b.log");
    assert_true(log_setup("prog", LOG_LEVEL_INFO, a, NULL));
    log_info("first", "n=%d", 1);
    assert_true(log_setup("prog", LOG_LEVEL_INFO, b, NULL));
    log_info("second", "n=%d", 2);
    char *text = log_text(a);
    assert_non_null(strstr(text, "first n=1\n"));
    assert_null(strstr(text, "second"));
    free(text);
    text = log_text(b);
    assert_non_null(strstr(text, "second n=2\n"));
    free(text);
    assert_int_equal(log_dropped(), 0);
    log_reopen();
    log_teardown();
    assert_int_equal(log_dropped(), 0);
    log_flush(); // nothing to do, and no harm
    log_reopen();
}

// Without a log, lines go to stderr at once.
static void lines_before_setup_go_to_stderr(void **state)
{
    (void)state;
    const char *path = test_dir_path("stderr");
    (void)fflush(stderr);
    int saved = dup(STDERR_FILENO), file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(saved >= 0 && file >= 0);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    report_set_program("early");
    log_warn("soon", "why=%s", "start");
    report("%s: open: %s", "x.pem", "No such file");
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    (void)close(file);
    char *text = test_read_file(path, NULL);
    assert_non_null(strstr(text, " warn early soon why=start\nearly: x.pem: open: No such file\n"));
    free(text);
}

static void values_are_quoted(void **state)
{
    (void)state;
    char buf[64];
    assert_string_equal(log_quote("plain words", buf, sizeof buf), "\"plain words\"");
    assert_string_equal(log_quote("", buf, sizeof buf), "\"\"");
    assert_string_equal(log_quote("a\"b\\c\n\r\t\x01\x7f\xc3", buf, sizeof buf),
                        "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f\\u00c3\"");
    assert_string_equal(log_quote("12345678", buf, 8), "\"12345\"");
    assert_string_equal(log_quote("1234\n", buf, 8), "\"1234\""); // no half an escape
    assert_string_equal(log_quote("123\n", buf, 8), "\"123\\n\"");
    assert_string_equal(log_quote("x", buf, 3), "\"\"");
    assert_string_equal(log_quote("x", buf, 2), "");
}

static void *log_lines(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++)
        log_info("tick", "i=%d", i);
    return NULL;
}

// A teardown while threads still log loses no memory and crashes nobody.
static void teardown_races_with_writers(void **state)
{
    (void)state;
    const char *path = test_dir_path("race.log"), *null = "/dev/null";
    int saved = dup(STDERR_FILENO), quiet = open(null, O_WRONLY | O_CLOEXEC);
    assert_true(saved >= 0 && quiet >= 0 && dup2(quiet, STDERR_FILENO) >= 0);
    pthread_t threads[3];
    assert_true(log_setup("prog", LOG_LEVEL_INFO, path, NULL));
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_lines, NULL), 0);
    for (int i = 0; i < 5; i++) {
        log_teardown();
        assert_true(log_setup("prog", LOG_LEVEL_INFO, path, NULL));
    }
    log_teardown();
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    (void)close(quiet);
}

// An argument of the new text may be the old text itself.
static void errors_are_wrapped(void **state)
{
    (void)state;
    struct error e = {{0}};
    error_set(&e, "%s: open: %s", "x", "denied");
    error_set(&e, "store: %s", e.text);
    assert_string_equal(e.text, "store: x: open: denied");
    error_set(&e, "%01000d", 7);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    error_set(NULL, "nobody listens");
    error_set_openssl(NULL, "nobody listens");
    error_set_openssl(&e, "parse");
    assert_string_equal(e.text, "parse: no reason given");
}

static int set_up(void **state)
{
    (void)state;
    (void)test_dir_create();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_dir_remove();
    return 0;
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_written_in_order),
        cmocka_unit_test(lines_survive_the_end_of_the_ring),
        cmocka_unit_test(a_full_ring_drops_and_tells),
        cmocka_unit_test(a_line_longer_than_the_ring_is_dropped),
        cmocka_unit_test(write_errors_count_lost_lines),
        cmocka_unit_test(reopening_follows_a_rotation),
        cmocka_unit_test(a_bad_path_is_named),
        cmocka_unit_test(threads_write_at_once),
        cmocka_unit_test(log_lines_have_their_form),
        cmocka_unit_test(long_log_lines_are_cut),
        cmocka_unit_test(the_log_can_move),
        cmocka_unit_test(lines_before_setup_go_to_stderr),
        cmocka_unit_test(values_are_quoted),
        cmocka_unit_test(teardown_races_with_writers),
        cmocka_unit_test(errors_are_wrapped),
    };
    return cmocka_run_group_tests_name("log", tests, set_up, tear_down);
}
