#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "common/config.h"
#include "test_dir.h"

struct target {
    bool check;
    char *listen;
    char *admin;
    char *config;
    uint64_t threads;
    uint64_t memory;
    uint64_t timeout_us;
    unsigned fsync;
    struct config_list sites;
};

static const struct config_option options[] = {
    {.name = "config",
     .type = CONFIG_FILE,
     .offset = offsetof(struct target, config),
     .arg = "FILE",
     .help = "Read options from FILE."},
    {.name = "listen",
     .type = CONFIG_STRING,
     .offset = offsetof(struct target, listen),
     .arg = "ADDR:PORT",
     .help = "Where to listen.",
     .required = true},
    {.name = "admin",
     .type = CONFIG_STRING,
     .offset = offsetof(struct target, admin),
     .arg = "ADDR:PORT",
     .preset = "127.0.0.1:9100",
     .help = "Where to serve metrics."},
    {.name = "io-threads",
     .type = CONFIG_UINT,
     .offset = offsetof(struct target, threads),
     .arg = "N",
     .preset = "2",
     .min = 1,
     .max = 64,
     .help = "Threads for connections."},
    {.name = "memory",
     .type = CONFIG_SIZE,
     .offset = offsetof(struct target, memory),
     .arg = "SIZE",
     .preset = "1gb",
     .min = 65536,
     .help = "How much memory the store may use."},
    {.name = "timeout",
     .type = CONFIG_DURATION,
     .offset = offsetof(struct target, timeout_us),
     .arg = "TIME",
     .preset = "10s",
     .min = 1000,
     .max = 60000000,
     .help = "How long a request may take."},
    {.name = "fsync",
     .type = CONFIG_ENUM,
     .offset = offsetof(struct target, fsync),
     .arg = "WHEN",
     .preset = "interval",
     .choices = "always|interval|never",
     .help = "When to sync."},
    {.name = "site",
     .type = CONFIG_LIST,
     .offset = offsetof(struct target, sites),
     .arg = "FILE",
     .help = "A site's certificate."},
    {.name = "check",
     .type = CONFIG_FLAG,
     .offset = offsetof(struct target, check),
     .help = "Load everything, say OK and exit."},
};

static const struct config_spec spec = {
    .program = "prog",
    .usage = "[OPTION]...",
    .summary = "A program for tests.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
};

static struct config_spec spec_with_arguments(void)
{
    struct config_spec with = spec;
    with.positional = true;
    return with;
}

static char messages[4096];

// Reads the arguments up to NULL; what is written to `errors` is left in `messages`.
static enum config_result read_args(const struct config_spec *s, struct target *target,
                                    struct config_list *positional, ...)
{
    char *argv[32] = {(char[]){"prog"}};
    int argc = 1;
    va_list args;
    va_start(args, positional);
    for (char *arg; (arg = va_arg(args, char *)) != NULL && argc < 32;)
        argv[argc++] = arg;
    va_end(args);
    memset(target, 0, sizeof *target);
    memset(messages, 0, sizeof messages);
    FILE *errors = fmemopen(messages, sizeof messages - 1, "w");
    assert_non_null(errors);
    enum config_result result = config_read_to(s, argc, argv, target, positional, errors);
    assert_int_equal(fclose(errors), 0);
    return result;
}

#define READ(target, ...) read_args(&spec, target, NULL, __VA_ARGS__, (char *)NULL)
#define ACCEPTED(...)                                                                                        \
    do {                                                                                                     \
        enum config_result result_ = READ(__VA_ARGS__);                                                      \
        assert_string_equal(messages, "");                                                                   \
        assert_int_equal(result_, CONFIG_OK);                                                                \
    } while (0)

// Refused with exactly this message, and nothing left to release.
static void refused(const char *message, const char *a, const char *b)
{
    struct target t;
    assert_int_equal(READ(&t, "--listen=:1", a, b), CONFIG_USAGE);
    assert_string_equal(messages, message);
    assert_null(t.listen);
    assert_null(t.sites.items);
}

static void defaults_apply(void **state)
{
    (void)state;
    struct target t;
    ACCEPTED(&t, "--listen", "127.0.0.1:8443");
    assert_string_equal(t.listen, "127.0.0.1:8443");
    assert_string_equal(t.admin, "127.0.0.1:9100");
    assert_null(t.config);
    assert_int_equal(t.threads, 2);
    assert_int_equal(t.memory, 1073741824);
    assert_int_equal(t.timeout_us, 10000000);
    assert_int_equal(t.fsync, 1);
    assert_int_equal(t.sites.count, 0);
    assert_false(t.check);
    config_release(&spec, &t, NULL);
    assert_null(t.listen);
    config_release(&spec, &t, NULL); // twice is fine
}

// Both spellings of a value, every type, a repeated option (the last one counts) and a list in its order.
static void the_command_line_is_read(void **state)
{
    (void)state;
    struct target t;
    ACCEPTED(&t, "--listen=a:1", "--io-threads", "3", "--io-threads=4", "--memory=64kb", "--timeout", "200ms",
             "--fsync=NEVER", "--site", "x.pem", "--site=y.pem", "--check", "--admin=");
    assert_string_equal(t.listen, "a:1");
    assert_null(t.admin); // empty: switched off
    assert_int_equal(t.threads, 4);
    assert_int_equal(t.memory, 65536);
    assert_int_equal(t.timeout_us, 200000);
    assert_int_equal(t.fsync, 2);
    assert_int_equal(t.sites.count, 2);
    assert_string_equal(t.sites.items[0], "x.pem");
    assert_string_equal(t.sites.items[1], "y.pem");
    assert_true(t.check);
    config_release(&spec, &t, NULL);
}

static void positional_arguments(void **state)
{
    (void)state;
    struct target t;
    struct config_list rest;
    struct config_spec with = spec_with_arguments();
    assert_int_equal(
        read_args(&with, &t, &rest, "one", "--listen", "a:1", "-", "--", "--check", "two", (char *)NULL),
        CONFIG_OK);
    assert_int_equal(rest.count, 4);
    assert_string_equal(rest.items[0], "one");
    assert_string_equal(rest.items[1], "-");
    assert_string_equal(rest.items[2], "--check");
    assert_string_equal(rest.items[3], "two");
    assert_false(t.check);
    config_release(&with, &t, &rest);
    assert_int_equal(rest.count, 0);

    // On failure they are released, too.
    assert_int_equal(read_args(&with, &t, &rest, "one", "--nope", (char *)NULL), CONFIG_USAGE);
    assert_null(rest.items);
    refused("prog: \"file\": unexpected argument (try --help)\n", "file", NULL);
}

static void mistakes_on_the_command_line(void **state)
{
    (void)state;
    refused("prog: --foo: unknown option (try --help)\n", "--foo", NULL);
    refused("prog: --secret: unknown option (try --help)\n", "--secret=hunter2", NULL);
    refused("prog: --io_threads: unknown option (try --help)\n", "--io_threads=2", NULL);
    refused("prog: --io: unknown option (try --help)\n", "--io=2", NULL); // no abbreviations
    refused("prog: -x: unknown option (try --help)\n", "-x", NULL);
    refused("prog: --a??b: unknown option (try --help)\n", "--a\x1b\nb", NULL);
    refused("prog: --memory: expected a value: --memory SIZE\n", "--memory", NULL);
    refused("prog: --memory: expected a value, found the option \"--check\" (write --memory=VALUE if it is "
            "meant)\n",
            "--memory", "--check");
    refused("prog: --memory: found \"lots\", expected a size such as 64kb, 512mb or 4gb\n", "--memory",
            "lots");
    refused("prog: --memory: found \"1kb\", expected at least 64kb\n", "--memory=1kb", NULL);
    refused("prog: --memory: found \"\", expected a size such as 64kb, 512mb or 4gb\n", "--memory=", NULL);
    refused("prog: --timeout: found \"2h\", expected 1ms to 1m\n", "--timeout", "2h");
    refused("prog: --timeout: found \"soon\", expected a duration such as 200ms, 10s or 5m\n", "--timeout",
            "soon");
    refused("prog: --io-threads: found \"0\", expected 1 to 64\n", "--io-threads", "0");
    refused("prog: --io-threads: found \"-1\", expected a whole number\n", "--io-threads", "-1");
    refused("prog: --fsync: found \"alway\", expected one of always|interval|never\n", "--fsync", "alway");
    refused("prog: --check: found \"maybe\", expected yes or no\n", "--check=maybe", NULL);

    struct target t;
    assert_int_equal(READ(&t, "--check"), CONFIG_USAGE);
    assert_string_equal(messages, "prog: --listen: required: --listen ADDR:PORT\n");
    assert_int_equal(READ(&t, "--listen="), CONFIG_USAGE);
    assert_string_equal(messages, "prog: --listen: required: --listen ADDR:PORT\n");
}

static void the_file_is_read(void **state)
{
    (void)state;
    struct target t;
    const char *path = test_dir_write("good.ini", "\xef\xbb\xbf# A comment\n"
                                                  "; another\n"
                                                  "listen = 127.0.0.1:8443\n"
                                                  "\n"
                                                  "[prog]\n"
                                                  "  io-threads=8\r\n"
                                                  "memory : 2gb\n"
                                                  "timeout = 1s\n"
                                                  "fsync = always\n"
                                                  "site = a;b.pem ; no comment\n"
                                                  "site = c.pem\n"
                                                  "admin =\n"
                                                  "check = Yes");
    ACCEPTED(&t, "--config", path);
    assert_string_equal(t.config, path);
    assert_string_equal(t.listen, "127.0.0.1:8443");
    assert_int_equal(t.threads, 8);
    assert_int_equal(t.memory, 2147483648);
    assert_int_equal(t.timeout_us, 1000000);
    assert_int_equal(t.fsync, 0);
    assert_int_equal(t.sites.count, 2);
    assert_string_equal(t.sites.items[0], "a;b.pem ; no comment");
    assert_null(t.admin);
    assert_true(t.check);
    config_release(&spec, &t, NULL);

    // The command line overrides the file, wherever --config stands; a list is replaced as a whole.
    ACCEPTED(&t, "--io-threads=3", "--site=d.pem", "--check=no", "--config", path, "--listen=b:2");
    assert_int_equal(t.threads, 3);
    assert_string_equal(t.listen, "b:2");
    assert_int_equal(t.sites.count, 1);
    assert_string_equal(t.sites.items[0], "d.pem");
    assert_false(t.check);
    assert_int_equal(t.memory, 2147483648);
    config_release(&spec, &t, NULL);

    ACCEPTED(&t, "--listen=b:2", "--config", path, "--site=");
    assert_int_equal(t.sites.count, 0);
    config_release(&spec, &t, NULL);
    ACCEPTED(&t, "--listen=b:2", "--config", test_dir_write("empty.ini", ""));
    config_release(&spec, &t, NULL);
}

// The message names file and line: `prog: FILE` + rest.
static void file_refused(const char *content, const char *rest)
{
    struct target t;
    const char *path = test_dir_write("bad.ini", content);
    char expected[700];
    (void)snprintf(expected, sizeof expected, "prog: %s%s\n", path, rest);
    assert_int_equal(READ(&t, "--listen=a:1", "--config", path), CONFIG_USAGE);
    assert_string_equal(messages, expected);
    assert_null(t.listen);
    assert_null(t.sites.items);
}

static void mistakes_in_the_file(void **state)
{
    (void)state;
    file_refused("listen = a:1\nfoo = 1\n", ":2: \"foo\": unknown option (see prog --help)");
    file_refused("\n\nmemory = big\n",
                 ":3: memory: found \"big\", expected a size such as 64kb, 512mb or 4gb");
    file_refused("io-threads = 65\n", ":1: io-threads: found \"65\", expected 1 to 64");
    file_refused("memory = 1gb\nmemory = 2gb\n", ":2: memory: given twice");
    file_refused("site = a.pem\n[other]\nsite = b.pem\n",
                 ":3: section \"other\": expected no section or [prog]");
    file_refused("config = other.ini\n", ":1: config: not allowed inside the file");
    file_refused("help = yes\n", ":1: \"help\": unknown option (see prog --help)");
    file_refused("memory 1gb\nfoo = 1", ":1: expected \"name = value\", a [section] or a comment");
    file_refused("[prog\n", ":1: expected \"name = value\", a [section] or a comment");
    file_refused("= 5\n", ":1: \"\": unknown option (see prog --help)");
    file_refused("f\x1boo = 1\n", ":1: \"f?oo\": unknown option (see prog --help)");

    // A mistake in a value that the command line overrides is a mistake still.
    struct target t;
    assert_int_equal(
        READ(&t, "--listen=a:1", "--memory=1gb", "--config", test_dir_write("bad.ini", "memory = x\n")),
        CONFIG_USAGE);
}

// libinih would cut a long line into two and go on.
static void long_lines_and_nul_bytes_are_refused(void **state)
{
    (void)state;
    char *text = malloc(20000);
    assert_non_null(text);
    memset(text, 'x', 19999);
    memcpy(text, "listen = ", 9);
    text[8100] = '\n';
    text[8101] = '\0';
    struct target t;
    ACCEPTED(&t, "--config", test_dir_write("long.ini", text));
    assert_int_equal(strlen(t.listen), 8100 - 9);
    config_release(&spec, &t, NULL);

    text[8100] = text[8101] = 'x';
    text[19999] = '\0';
    const char *path = test_dir_write("long.ini", text);
    assert_int_equal(READ(&t, "--config", path), CONFIG_USAGE);
    assert_non_null(strstr(messages, "long.ini:1: the line is longer than"));
    free(text);

    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite("site = a\nlisten\0 = b\n", 1, 21, f), 21);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(READ(&t, "--config", path), CONFIG_USAGE);
    assert_non_null(strstr(messages, "long.ini:2: found a NUL byte"));
}

static void an_unreadable_file_is_named(void **state)
{
    (void)state;
    struct target t;
    assert_int_equal(READ(&t, "--listen=a:1", "--config", "/nonexistent/x.ini"), CONFIG_USAGE);
    assert_string_equal(messages, "prog: /nonexistent/x.ini: open: No such file or directory\n");
    assert_int_equal(READ(&t, "--listen=a:1", "--config", "/"), CONFIG_USAGE);
    assert_non_null(strstr(messages, "Is a directory"));
    ACCEPTED(&t, "--listen=a:1", "--config=");
    config_release(&spec, &t, NULL);
}

static char *printed(void (*print)(const struct config_spec *, FILE *))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    print(&spec, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

// Every option stands in the help with its default, and no line is wider than 100 columns.
static void help_lists_every_option(void **state)
{
    (void)state;
    char *text = printed(config_print_help);
    for (size_t i = 0; i < spec.option_count; i++) {
        char wanted[64];
        (void)snprintf(wanted, sizeof wanted, "\n  --%s", options[i].name);
        assert_non_null(strstr(text, wanted));
    }
    assert_non_null(strstr(text, "Usage: prog [OPTION]...\n"));
    assert_non_null(strstr(
        text,
        "  --fsync WHEN              When to sync. One of always|interval|never. Default: interval.\n"));
    assert_non_null(
        strstr(text, "  --site FILE               A site's certificate. May be given several times.\n"));
    assert_non_null(strstr(text, "\n  --help "));
    assert_non_null(strstr(text, "\n  --version "));
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 100);
    free(text);
}

// The sample is a file that can be read as it is, and with its comment marks taken off.
static void the_sample_is_valid(void **state)
{
    (void)state;
    struct target t;
    char *text = printed(config_print_sample);
    ACCEPTED(&t, "--listen=a:1", "--config", test_dir_write("sample.ini", text));
    assert_int_equal(t.memory, 1073741824);
    config_release(&spec, &t, NULL);
    assert_non_null(strstr(text, "\n# How much memory the store may use.\n#memory = 1gb\n"));
    for (char *p = text; (p = strstr(p, "\n#")) != NULL; p++)
        if (p[2] != ' ')
            p[1] = ' ';
    ACCEPTED(&t, "--config", test_dir_write("sample.ini", text));
    assert_string_equal(t.listen, "ADDR:PORT");
    assert_int_equal(t.fsync, 1);
    config_release(&spec, &t, NULL);
    free(text);
}

// --help and --version go to standard output, whatever else is missing, and end the program.
static void help_and_version_exit(void **state)
{
    (void)state;
    struct target t;
    const char *path = test_dir_path("stdout");
    (void)fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_true(saved >= 0);
    assert_non_null(freopen(path, "w", stdout));
    enum config_result version = READ(&t, "--version"), help = READ(&t, "--check", "--help");
    (void)fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    (void)close(saved);
    assert_int_equal(version, CONFIG_EXIT);
    assert_int_equal(help, CONFIG_EXIT);
    char *text = test_read_file(path, NULL);
    assert_non_null(text);
    assert_int_equal(
        strncmp(text, "prog " MEC_VERSION "\nUsage: prog", strlen("prog " MEC_VERSION "\nUsage: prog")), 0);
    free(text);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_apply),
        cmocka_unit_test(the_command_line_is_read),
        cmocka_unit_test(positional_arguments),
        cmocka_unit_test(mistakes_on_the_command_line),
        cmocka_unit_test(the_file_is_read),
        cmocka_unit_test(mistakes_in_the_file),
        cmocka_unit_test(long_lines_and_nul_bytes_are_refused),
        cmocka_unit_test(an_unreadable_file_is_named),
        cmocka_unit_test(help_lists_every_option),
        cmocka_unit_test(the_sample_is_valid),
        cmocka_unit_test(help_and_version_exit),
    };
    return cmocka_run_group_tests_name("config", tests, set_up, tear_down);
}
