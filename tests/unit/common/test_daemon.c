// What the daemons share: the first reading of options and the later ones, and signals in the loop.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "common/daemon.h"
#include "test_dir.h"

struct target {
    char *config, *listen, *log_file;
    unsigned log_level;
    bool check, print_config;
};

#define AT(field) offsetof(struct target, field)

static const struct config_option options[] = {
    DAEMON_OPTION_CONFIG(AT),
    {.name = "listen",
     .type = CONFIG_STRING,
     .offset = AT(listen),
     .arg = "ADDR",
     .required = true,
     .help = "Where."},
    DAEMON_OPTION_ROWS(AT, "Where to log.", "How much.", "Say OK."),
};

static const struct config_spec spec = {
    .program = "prog",
    .usage = "[OPTION]...",
    .summary = "A program.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
};

#define ARGV(...)     ((char *const *)(const char *const[]){"prog", __VA_ARGS__})
#define ARGC(...)     (int)(sizeof((const char *const[]){"prog", __VA_ARGS__}) / sizeof(char *))
#define READ(t, ...)  daemon_options_read(&spec, ARGC(__VA_ARGS__), ARGV(__VA_ARGS__), t)
#define AGAIN(t, ...) daemon_options_reread(&spec, ARGC(__VA_ARGS__), ARGV(__VA_ARGS__), t)

static char log_path[512];

// Sends standard stream fd into a file of the test's folder; release() takes it back and gives what was
// written.
static int capture(int fd, const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600), kept = dup(fd);
    assert_true(file >= 0 && kept >= 0);
    assert_int_equal(fflush(NULL), 0);
    assert_true(dup2(file, fd) >= 0);
    assert_int_equal(close(file), 0);
    return kept;
}

static char *release(int fd, int kept, const char *path)
{
    assert_int_equal(fflush(NULL), 0);
    assert_true(dup2(kept, fd) >= 0);
    assert_int_equal(close(kept), 0);
    char *text = test_read_file(path, NULL);
    assert_non_null(text);
    return text;
}

static void log_holds(const char *wanted)
{
    log_flush();
    char *text = test_read_file(log_path, NULL);
    assert_non_null(text);
    if (strstr(text, wanted) == NULL)
        fail_msg("expected %s in the log, found:\n%s", wanted, text);
    free(text);
}

// ---- options

static void options_are_read(void **state)
{
    (void)state;
    struct target t = {0};
    assert_int_equal(READ(&t, "--listen=a:1", "--log-level", "debug", "--check"), CONFIG_OK);
    assert_string_equal(t.listen, "a:1");
    assert_int_equal(t.log_level, LOG_LEVEL_DEBUG);
    assert_true(t.check);
    config_release(&spec, &t, NULL);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    struct target t = {0};
    const char *path = test_dir_path("errors");
    int kept = capture(STDERR_FILENO, path);
    enum config_result missing = READ(&t, "--check"), unknown = READ(&t, "--listen=a:1", "--nonsense");
    char *text = release(STDERR_FILENO, kept, path);
    assert_int_equal(missing, CONFIG_USAGE);
    assert_int_equal(unknown, CONFIG_USAGE);
    assert_string_equal(text, "prog: --listen: required: --listen ADDR\n"
                              "prog: --nonsense: unknown option (try --help)\n");
    assert_null(t.listen);
    free(text);
}

// It needs neither what is required nor that the rest is right, and nothing is read.
static void the_sample_is_printed_wherever_it_is_asked_for(void **state)
{
    (void)state;
    struct target t = {0};
    const char *path = test_dir_path("sample");
    int kept = capture(STDOUT_FILENO, path);
    enum config_result result = READ(&t, "--nonsense", "--listen", "--print-config");
    char *text = release(STDOUT_FILENO, kept, path);
    assert_int_equal(result, CONFIG_EXIT);
    assert_non_null(strstr(text, "[prog]\n"));
    assert_non_null(strstr(text, "#listen = ADDR\n"));
    assert_non_null(strstr(text, "#log-level = info\n"));
    assert_null(strstr(text, "print-config")); // actions are no settings
    assert_null(t.listen);
    free(text);
}

// The file counts as it is now, and the command line still wins.
static void a_reload_reads_the_file_anew(void **state)
{
    (void)state;
    struct target t = {0};
    const char *file = test_dir_write("daemon.ini", "log-level = warn\nlisten = file:1\n");
    assert_int_equal(READ(&t, "--config", file, "--listen=a:1"), CONFIG_OK);
    assert_int_equal(t.log_level, LOG_LEVEL_WARN);
    config_release(&spec, &t, NULL);

    file = test_dir_write("daemon.ini", "log-level = error\n");
    t = (struct target){0};
    assert_true(AGAIN(&t, "--config", file, "--listen=a:1"));
    assert_int_equal(t.log_level, LOG_LEVEL_ERROR);
    assert_string_equal(t.listen, "a:1");
    config_release(&spec, &t, NULL);
}

// One line of the log however many faults there are, and nothing to release.
static void a_wrong_file_is_a_line_of_the_log(void **state)
{
    (void)state;
    struct target t = {0};
    const char *file = test_dir_write("daemon.ini", "log-level = loud\n");
    assert_false(AGAIN(&t, "--config", file, "--listen=a:1"));
    log_holds("error prog reload_failed reason=\"prog: ");
    log_holds("daemon.ini:1: ");
    assert_null(t.listen);
    assert_null(t.config);

    assert_false(AGAIN(&t, "--check"));
    log_holds("reload_failed reason=\"prog: --listen: required: --listen ADDR\"\n");
}

// ---- signals

struct seen {
    struct event_base *base;
    int reloads, stops;
    char signal[16];
};

static void on_reload(void *arg)
{
    struct seen *seen = arg;
    seen->reloads++;
    log_info("reloading", "n=%d", seen->reloads);
}

static void on_stop(void *arg, const char *signal)
{
    struct seen *seen = arg;
    seen->stops++;
    (void)snprintf(seen->signal, sizeof seen->signal, "%s", signal);
    (void)event_base_loopbreak(seen->base);
}

static void disposition_is(int number, void (*handler)(int))
{
    struct sigaction now;
    assert_int_equal(sigaction(number, NULL, &now), 0);
    assert_true(now.sa_handler == handler);
}

static void begin_keeps_the_process_alive(void **state)
{
    (void)state;
    daemon_begin("prog");
    assert_string_equal(report_program(), "prog");
    disposition_is(SIGPIPE, SIG_IGN);
    disposition_is(SIGHUP, SIG_IGN);
    disposition_is(SIGTERM, SIG_DFL);
}

static void signals_reach_the_program(void **state)
{
    (void)state;
    struct seen seen = {.base = event_base_new()};
    const struct daemon_calls calls = {.reload = on_reload, .stop = on_stop, .arg = &seen};
    char moved[sizeof log_path + 8];
    assert_non_null(seen.base);
    struct daemon_signals *signals = daemon_signals_create(seen.base, &calls, NULL);
    assert_non_null(signals);

    // As logrotate does it: the line that the reload writes is in a new file.
    (void)snprintf(moved, sizeof moved, "%s.1", log_path);
    log_flush();
    assert_int_equal(rename(log_path, moved), 0);
    assert_int_equal(raise(SIGHUP), 0);
    assert_int_equal(event_base_loop(seen.base, EVLOOP_ONCE), 0);
    assert_int_equal(seen.reloads, 1);
    assert_int_equal(seen.stops, 0);
    log_holds(" reloading n=1\n");

    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(event_base_dispatch(seen.base), 0);
    assert_string_equal(seen.signal, "SIGTERM");
    assert_int_equal(raise(SIGINT), 0);
    assert_int_equal(event_base_dispatch(seen.base), 0);
    assert_string_equal(seen.signal, "SIGINT");
    assert_int_equal(seen.stops, 2);
    assert_int_equal(seen.reloads, 1);

    daemon_signals_destroy(&signals);
    assert_null(signals);
    daemon_signals_destroy(&signals);
    event_base_free(seen.base);
    disposition_is(SIGHUP, SIG_IGN); // as daemon_begin() left it
    disposition_is(SIGTERM, SIG_DFL);
    disposition_is(SIGINT, SIG_DFL);
}

static int set_up(void **state)
{
    (void)state;
    struct error e;
    (void)signal(SIGINT, SIG_DFL); // a shell that starts this in the background has it ignored
    (void)signal(SIGTERM, SIG_DFL);
    (void)test_dir_create();
    (void)snprintf(log_path, sizeof log_path, "%s", test_dir_path("log"));
    return log_setup("prog", LOG_LEVEL_INFO, log_path, &e) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    log_teardown();
    test_dir_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begin_keeps_the_process_alive),
        cmocka_unit_test(options_are_read),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(the_sample_is_printed_wherever_it_is_asked_for),
        cmocka_unit_test(a_reload_reads_the_file_anew),
        cmocka_unit_test(a_wrong_file_is_a_line_of_the_log),
        cmocka_unit_test(signals_reach_the_program),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
