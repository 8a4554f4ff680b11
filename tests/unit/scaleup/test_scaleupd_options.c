// Options and VNF lines: what the words mean, the defaults that --help promises, and what cannot be right is refused by name.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scaleup/scaleupd_options.h"

#define MIB    (1ull << 20)
#define NEEDED "scaleupd", "--listen", "unix:/run/s", "--pool", "1gb"

static struct scaleupd_options options;
static struct scaleupd_settings settings;
static struct error why;

static enum config_result read_args(size_t count, const char *const *args)
{
    char *argv[64], message[4096];
    assert_true(count < 64);
    for (size_t i = 0; i < count; i++)
        argv[i] = (char *)(uintptr_t)args[i];
    argv[count] = NULL;
    memset(&options, 0, sizeof options);
    FILE *errors = fmemopen(message, sizeof message, "w");
    assert_non_null(errors);
    enum config_result result = config_read_to(&scaleupd_spec, (int)count, argv, &options, NULL, errors);
    assert_int_equal(fclose(errors), 0);
    return result;
}
#define READ(...)                                                                                            \
    read_args(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

// The options are right, what they say together is not, and the message names that.
#define REFUSED(word, ...)                                                                                   \
    do {                                                                                                     \
        assert_int_equal(READ(__VA_ARGS__), CONFIG_OK);                                                      \
        assert_false(scaleupd_settings_read(&options, &settings, &why));                                     \
        if (strstr(why.text, word) == NULL)                                                                  \
            fail_msg("expected \"%s\" in: %s", word, why.text);                                              \
        config_release(&scaleupd_spec, &options, NULL);                                                      \
    } while (0)

static void taken(void)
{
    if (!scaleupd_settings_read(&options, &settings, &why))
        fail_msg("%s", why.text);
}

static void release(void)
{
    scaleupd_settings_release(&settings);
    config_release(&scaleupd_spec, &options, NULL);
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(READ(NEEDED, "--backend", "simulated"), CONFIG_OK);
    taken();
    assert_int_equal(options.granularity, 2 * MIB);
    assert_int_equal(options.lease, 10000000);
    assert_int_equal(options.deadline, 30000000);
    assert_int_equal(options.hello_timeout, 5000000);
    assert_int_equal(options.max_connections, 256);
    assert_null(options.admin);
    assert_string_equal(settings.book, "/run/s.book");
    assert_false(settings.tls);
    assert_false(settings.open_socket);
    assert_int_equal(settings.vnfs.count, 0);
    assert_int_equal(settings.operators.count, 1); // the daemon's own user
    assert_int_equal(settings.operators.rules[0].id, geteuid());
    release();
}

static void a_line(void **state)
{
    struct vnf_line line;
    (void)state;
    assert_true(vnf_line_parse("ks1 backend=cgroup path=/sys/fs/cgroup/ks1 min=128mb  max=4gb\tpriority=7 "
                               "allow=uid:1,cert:a margin=1mb on-overdue=force",
                               &backend_simulated, &line, &why));
    assert_string_equal(line.vnf.name, "ks1");
    assert_string_equal(line.vnf.backend, "cgroup");
    assert_ptr_equal(line.backend, &backend_cgroup);
    assert_string_equal(line.settings, "path=/sys/fs/cgroup/ks1 margin=1mb");
    assert_string_equal(line.vnf.target, "path=/sys/fs/cgroup/ks1");
    assert_int_equal(line.vnf.min_bytes, 128 * MIB);
    assert_int_equal(line.vnf.max_bytes, 4096 * MIB);
    assert_int_equal(line.vnf.priority, 7);
    assert_true(line.vnf.force_overdue);
    assert_int_equal(line.allow.count, 2);
    vnf_line_release(&line);
    assert_true(vnf_line_parse("ks1", &backend_simulated, &line, &why));
    assert_string_equal(line.vnf.backend, "simulated");
    assert_string_equal(line.settings, "");
    assert_int_equal(line.vnf.priority, 5);
    assert_int_equal(line.vnf.max_bytes, 0); // the pool
    assert_false(line.vnf.force_overdue);
    assert_int_equal(line.allow.count, 0); // nobody
    vnf_line_release(&line);
}

static void bad_lines(void **state)
{
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"", "name"},
        {"   ", "name"},
        {"../x", "name"},
        {"backend=simulated", "name"},
        {"ks1 simulated", "KEY=VALUE"},
        {"ks1 =x", "KEY=VALUE"},
        {"ks1 backend=magic", "cgroup, qmp or simulated"},
        {"ks1 min=lots", "min"},
        {"ks1 min=-1", "min"},
        {"ks1 max=99999999tb", "max"},
        {"ks1 min=2gb max=1gb", "below the minimum"},
        {"ks1 min=1mb min=1mb", "twice"},
        {"ks1 priority=10", "priority"},
        {"ks1 priority=", "priority"},
        {"ks1 on-overdue=kill", "leave or force"},
        {"ks1 allow=", "allow"},
        {"ks1 allow=all", "allow"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vnf_line line;
        if (vnf_line_parse(cases[i].text, &backend_simulated, &line, &why))
            fail_msg("taken: %s", cases[i].text);
        if (strstr(why.text, cases[i].word) == NULL)
            fail_msg("%s: %s", cases[i].text, why.text);
        assert_null(line.settings);
        assert_null(line.allow.rules);
    }
}

// A name becomes part of a path: it must stay within the folder.
static void names_without_lines(void **state)
{
    static const char *const bad[] = {"..", ".", ".hidden", "a/b", "", "a b"};
    struct vnf_line line;
    (void)state;
    assert_true(vnf_line_implicit("ks1", &backend_cgroup, "/sys/fs/cgroup/vnfs", &line, &why));
    assert_string_equal(line.settings, "path=/sys/fs/cgroup/vnfs/ks1");
    vnf_line_release(&line);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(vnf_line_implicit(bad[i], &backend_cgroup, "/sys/fs/cgroup/vnfs", &line, &why));
    assert_false(vnf_line_implicit("ks1", &backend_cgroup, NULL, &line, &why));
    assert_false(vnf_line_implicit("ks1", &backend_qmp, NULL, &line, &why));
}

static void who_may_connect(void **state)
{
    char own[64];
    (void)state;
    (void)snprintf(own, sizeof own, "ks1 allow=uid:%lu", (unsigned long)geteuid());
    assert_int_equal(READ(NEEDED, "--vnf", own), CONFIG_OK);
    taken();
    assert_false(settings.open_socket);
    release();
    assert_int_equal(READ(NEEDED, "--vnf", own, "--vnf", "ks2 allow=gid:4000"), CONFIG_OK);
    taken();
    assert_true(settings.open_socket); // a rule that could never be met would be a trap
    release();
    assert_int_equal(READ(NEEDED, "--vnf", own, "--operator", "gid:4000", "--socket-mode", "owner"),
                     CONFIG_OK);
    taken();
    assert_false(settings.open_socket);
    assert_int_equal(settings.operators.count, 1); // not the own user's any more
    release();
    assert_int_equal(READ(NEEDED, "--vnf", own, "--socket-mode", "all"), CONFIG_OK);
    taken();
    assert_true(settings.open_socket);
    release();
}

static void what_does_not_go_together(void **state)
{
    (void)state;
    REFUSED("--vnf: none", NEEDED); // the default back-end needs to know where
    REFUSED("--vnf: none", NEEDED, "--backend", "qmp");
    REFUSED("twice", NEEDED, "--vnf", "a allow=uid:0", "--vnf", "a allow=uid:0");
    REFUSED("--operator", NEEDED, "--vnf", "a", "--operator", "root");
    REFUSED("--cert", NEEDED, "--vnf", "a", "--listen", "127.0.0.1:0");
    REFUSED("--listen", "scaleupd", "--listen", "nonsense", "--pool", "1gb", "--vnf", "a");
    REFUSED("--admin", NEEDED, "--vnf", "a", "--admin", "nonsense");
    REFUSED("--book", "scaleupd", "--listen", "127.0.0.1:0", "--pool", "1gb", "--vnf", "a", "--cert", "c",
            "--key", "k", "--client-ca", "a");
    REFUSED("--pool", "scaleupd", "--listen", "unix:/run/s", "--pool", "1mb", "--vnf", "a");
    assert_int_equal(READ("scaleupd", "--listen", "unix:/run/s"), CONFIG_USAGE);
    assert_int_equal(READ("scaleupd", "--pool", "1gb"), CONFIG_USAGE);
    assert_int_equal(READ(NEEDED, "--max-connections", "8"), CONFIG_USAGE);
    assert_int_equal(READ(NEEDED, "--backend", "magic"), CONFIG_USAGE);
}

// What a back-end acts on: other words for the same are the same, and what only says how is none of it.
static void targets(void **state)
{
    static const struct {
        const char *line, *target;
    } cases[] = {
        {"a backend=cgroup path=/x margin=1mb poll=2s", "path=/x"},
        {"a backend=cgroup margin=2mb root=/tmp/r path=/x", "path=/x root=/tmp/r"},
        {"a backend=cgroup path=/x\\x2d%\xc3\xa4", "path=/x\\x2d%25%C3%A4"},
        {"a backend=qmp address=unix:/q poll=1s", "address=unix:/q"},
        {"a backend=qmp mode=virtio-mem device=vmem0 prefix=mec address=unix:/q", "address=unix:/q"},
        {"a backend=qmp device=vmem1 address=unix:/q", "address=unix:/q device=vmem1"},
        {"a backend=qmp mode=dimm address=h:1", "address=h:1 mode=dimm"},
        {"a backend=simulated delay=1s seed=7", ""},
        {"a", ""},
    };
    static char longest[4096] = "a backend=cgroup path=/";
    struct vnf_line line;
    char tiny[8];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!vnf_line_parse(cases[i].line, &backend_simulated, &line, &why))
            fail_msg("%s", why.text);
        assert_string_equal(line.vnf.target, cases[i].target);
        vnf_line_release(&line);
    }
    assert_true(backend_target(&backend_cgroup, "path=/x", tiny, sizeof tiny));
    assert_false(backend_target(&backend_cgroup, "path=/xy", tiny, sizeof tiny));
    assert_false(backend_target(&backend_cgroup, "path=\xff", tiny, sizeof tiny));
    memset(longest + strlen(longest), '%', 1000);
    assert_false(vnf_line_parse(longest, &backend_simulated, &line, &why));
    assert_non_null(strstr(why.text, "too long"));
}

static void a_thousand(void **state)
{
    static char texts[VNFS_MAX + 1][16];
    static char *items[VNFS_MAX + 1];
    struct config_list list = {.items = items, .count = VNFS_MAX};
    struct vnf_lines lines;
    (void)state;
    for (int i = 0; i <= VNFS_MAX; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "ks%d", i);
        items[i] = texts[i];
    }
    assert_true(vnf_lines_parse(&list, &backend_simulated, &lines, &why));
    assert_non_null(vnf_lines_find(&lines, "ks999"));
    assert_null(vnf_lines_find(&lines, "ks1000"));
    vnf_lines_release(&lines);
    list.count++;
    assert_false(vnf_lines_parse(&list, &backend_simulated, &lines, &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),        cmocka_unit_test(a_line),
        cmocka_unit_test(bad_lines),       cmocka_unit_test(names_without_lines),
        cmocka_unit_test(who_may_connect), cmocka_unit_test(what_does_not_go_together),
        cmocka_unit_test(a_thousand),      cmocka_unit_test(targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
