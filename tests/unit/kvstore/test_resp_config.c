// CONFIG: values of each kind, all or nothing, what is refused, REWRITE.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/config.h"
#include "kvstore/resp/events.h"
#include "tests/unit/kvstore/resp_kit.h"

#define FAILED(name, why) "-ERR CONFIG SET failed (possibly related to argument '" name "') - " why "\r\n"

static void expect_config(const char *name, const char *value)
{
    char text[RESP_CONFIG_TEXT];
    resp_config_text(&kit.shared, name, text, sizeof text);
    assert_string_equal(text, value);
}

static void test_get(void **state)
{
    (void)state;
    EXPECT("config get hz", "*2\r\n$2\r\nhz\r\n$2\r\n10\r\n");
    EXPECT("config get HZ tcp-keep* HZ", "*4\r\n$2\r\nhz\r\n$2\r\n10\r\n$13\r\ntcp-keepalive\r\n$1\r\n0\r\n");
    EXPECT("config get nope", "*0\r\n");
    EXPECT("config get save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    EXPECT("config get appendonly", "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n");
    (void)resp_kit_run("hello 3");
    EXPECT("config get hz", "%1\r\n$2\r\nhz\r\n$2\r\n10\r\n");
}

// What redis_exporter, redis-benchmark and clients ask for.
static void test_known_names(void **state)
{
    static const char *const names[] = {
        "maxmemory",
        "maxmemory-policy",
        "save",
        "appendonly",
        "appendfsync",
        "databases",
        "maxclients",
        "timeout",
        "tcp-keepalive",
        "hz",
        "port",
        "bind",
        "unixsocket",
        "dir",
        "dbfilename",
        "notify-keyspace-events",
        "slowlog-log-slower-than",
        "slowlog-max-len",
        "latency-monitor-threshold",
        "latency-tracking",
        "client-output-buffer-limit",
        "maxmemory-clients",
        "proto-max-bulk-len",
        "lazyfree-lazy-eviction",
        "cluster-enabled",
        "requirepass",
        "io-threads",
        "loglevel",
        "stop-writes-on-bgsave-error",
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char line[96];
        (void)snprintf(line, sizeof line, "config get %s", names[i]);
        assert_memory_equal(resp_kit_run(line), "*2\r\n", 4);
    }
}

static void test_set_errors(void **state)
{
    (void)state;
    EXPECT("config set foo 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'\r\n");
    EXPECT("config set maxmemory", "-ERR wrong number of arguments for 'config|set' command\r\n");
    EXPECT("config set hz 1 timeout", "-ERR syntax error\r\n");
    EXPECT("config set databases 3", FAILED("databases", "can't set immutable config"));
    EXPECT("config set dir /tmp", FAILED("dir", "can't set protected config"));
    EXPECT("config set enable-debug-command yes",
           FAILED("enable-debug-command", "can't set immutable config"));
    EXPECT("config set hz 1 hz 2", FAILED("hz", "duplicate parameter"));
    EXPECT("config set hz x", FAILED("hz", "argument couldn't be parsed into an integer"));
    EXPECT("config set maxmemory x", FAILED("maxmemory", "argument must be a memory value"));
    EXPECT("config set maxmemory -1", FAILED("maxmemory", "argument must be a memory value"));
    EXPECT(
        "config set slowlog-log-slower-than -2",
        FAILED("slowlog-log-slower-than", "argument must be between -1 and 9223372036854775807 inclusive"));
    EXPECT("config set lazyfree-lazy-expire maybe",
           FAILED("lazyfree-lazy-expire", "argument must be 'yes' or 'no'"));
    EXPECT("config set loglevel foo",
           FAILED("loglevel", "argument(s) must be one of the following: debug, verbose, notice, warning"));
    EXPECT("config set maxmemory-policy foo",
           FAILED("maxmemory-policy", "argument(s) must be one of the following: volatile-lru, volatile-lfu, "
                                      "volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, "
                                      "allkeys-random, noeviction"));
    EXPECT("config set notify-keyspace-events q",
           FAILED("notify-keyspace-events", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."));
    EXPECT("config set client-output-buffer-limit 1",
           FAILED("client-output-buffer-limit", "Wrong number of arguments in buffer limit configuration."));
    EXPECT("config set client-output-buffer-limit \"foo 0 0 0\"",
           FAILED("client-output-buffer-limit",
                  "Invalid client class specified in buffer limit configuration."));
    EXPECT("config set client-output-buffer-limit \"normal 0 0 x\"",
           FAILED("client-output-buffer-limit",
                  "Error in hard, soft or soft_seconds setting in buffer limit configuration."));
    EXPECT("config set latency-tracking-info-percentiles 101",
           FAILED("latency-tracking-info-percentiles",
                  "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"));
    EXPECT(
        "config set latency-tracking-info-percentiles x",
        FAILED("latency-tracking-info-percentiles", "Invalid latency-tracking-info-percentiles parameters"));
    EXPECT("config resetstat x", "-ERR wrong number of arguments for 'config|resetstat' command\r\n");
}

// Values that are not true here, and those that are.
static void test_only(void **state)
{
    (void)state;
    EXPECT("config set appendonly no",
           FAILED("appendonly", "the log is the store: it cannot be switched off"));
    EXPECT("config set appendonly YES", OK);
    EXPECT("config set maxmemory-policy allkeys-lru",
           FAILED("maxmemory-policy", "no key is ever evicted: values beyond maxmemory are on disk"));
    EXPECT("config set maxmemory-policy NoEviction", OK);
    EXPECT("config set save \"900 1\"",
           FAILED("save", "every write is in the log: there are no snapshots to schedule"));
    EXPECT("config set save \"\"", OK);
}

static void test_live(void **state)
{
    (void)state;
    EXPECT("config set timeout 5 maxclients 20 maxmemory-clients 1mb maxmemory 32mb", OK);
    assert_int_equal(atomic_load(&kit.shared.idle_timeout_ms), 5000);
    assert_int_equal(atomic_load(&kit.shared.max_clients), 20);
    assert_int_equal(atomic_load(&kit.shared.buffer_limit_bytes), 1048576);
    expect_config("maxmemory", "33554432");
    EXPECT("config set slowlog-max-len 7 slowlog-log-slower-than -1", OK);
    expect_config("slowlog-max-len", "7");
    expect_config("slowlog-log-slower-than", "-1");
    EXPECT("config set timeout 2147483647", OK);
    expect_config("timeout", "4294967");
    EXPECT("config set hz 77", OK);
    expect_config("hz", "77");
    assert_memory_equal(resp_kit_run("config set maxclients 4294967295"),
                        "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating "
                        "system is not able",
                        100);
    expect_config("maxclients", "20");
}

static void test_all_or_nothing(void **state)
{
    (void)state;
    EXPECT("config set hz 50 timeout 9 maxmemory x", FAILED("maxmemory", "argument must be a memory value"));
    EXPECT("config set hz 50 nope 1",
           "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'\r\n");
    expect_config("hz", "10");
    expect_config("timeout", "0");
    // One that fails when the others have been set.
    EXPECT("config set maxmemory 8mb", OK);
    fake.fail_limit = KV_NO_MEMORY;
    EXPECT("config set hz 50 timeout 9 maxmemory 1mb", FAILED("maxmemory", "the store refused the limit"));
    fake.fail_limit = KV_OK;
    expect_config("hz", "10");
    expect_config("timeout", "0");
    expect_config("maxmemory", "8388608");
}

static void test_notify(void **state)
{
    static const struct {
        const char *set, *get;
    } cases[] = {{"AKE", "AKE"},   {"Kg$x", "g$xK"}, {"KEAn", "AKE"},     {"AKEm", "AKEm"},
                 {"mnKE", "nKEm"}, {"gE", "gE"},     {"lshztd", "lshztd"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "config set notify-keyspace-events %s", cases[i].set);
        EXPECT(line, OK);
        expect_config("notify-keyspace-events", cases[i].get);
    }
    EXPECT("config set notify-keyspace-events Kg$x", OK);
    assert_int_equal(atomic_load(&kit.shared.notify),
                     RESP_EVENT_KEYSPACE | RESP_EVENT_GENERIC | RESP_EVENT_STRING | RESP_EVENT_EXPIRED);
    EXPECT("config set notify-keyspace-events \"\"", OK);
    assert_int_equal(atomic_load(&kit.shared.notify), 0);
}

// ---- the password

static bool rewrite_never(void *arg, const struct resp_config_change *changes, size_t count, struct error *e)
{
    (void)arg;
    (void)changes;
    (void)count;
    (void)e;
    fail();
    return false;
}

static void test_password(void **state)
{
    (void)state;
    atomic_store(&kit.shared.access.needs_password, true);
    EXPECT("config set requirepass \"\" hz 50",
           FAILED("requirepass", "the server needs a password: others than this machine can reach it"));
    expect_config("hz", "10"); // the secret was the last to be tried
    EXPECT("config set requirepass secret hz 50", OK);
    assert_true(resp_access_password_is(&kit.shared.access, "secret", 6));
    assert_false(resp_access_password_is(&kit.shared.access, "secrets", 7));
    kit.session.manners.authenticated = true;
    expect_config("requirepass", "(redacted)");
    assert_null(strstr(resp_kit_run("config get *"), "secret"));
    kit.shared.hooks.config_file = "/nowhere";
    kit.shared.hooks.rewrite = rewrite_never;
    EXPECT("config rewrite",
           "-ERR Rewriting config file: the password was changed, and is not written to it: "
           "change the password file\r\n");
}

// ---- REWRITE

static char rewritten[256];

static bool rewrite(void *arg, const struct resp_config_change *changes, size_t count, struct error *e)
{
    assert_ptr_equal(arg, &kit);
    rewritten[0] = '\0';
    for (size_t i = 0; i < count; i++)
        (void)snprintf(rewritten + strlen(rewritten), sizeof rewritten - strlen(rewritten), "%s=%s;",
                       changes[i].name, changes[i].value);
    if (strcmp(rewritten, "hz=66;") != 0)
        return true;
    error_set(e, "c.ini: write: No space left on device");
    return false;
}

static void test_rewrite(void **state)
{
    (void)state;
    EXPECT("config rewrite", "-ERR The server is running without a config file\r\n");
    kit.shared.hooks = (struct resp_hooks){.arg = &kit, .config_file = "c.ini", .rewrite = rewrite};
    EXPECT("config rewrite", OK); // nothing has changed
    assert_string_equal(rewritten, "");
    EXPECT("config set hz 66", OK);
    EXPECT("config rewrite", "-ERR Rewriting config file: c.ini: write: No space left on device\r\n");
    EXPECT("config set timeout 3", OK);
    EXPECT("config rewrite", OK);
    assert_string_equal(rewritten, "timeout=3;hz=66;");
}

static bool start(const char *setting, struct error *e)
{
    kit.shared.hooks.settings = &setting;
    kit.shared.hooks.setting_count = 1;
    bool good = resp_config_start(&kit.shared, e);
    kit.shared.hooks.setting_count = 0;
    return good;
}

static void test_start(void **state)
{
    struct error e;
    (void)state;
    assert_true(start("hz  33", &e));
    assert_true(start("enable-debug-command yes", &e));
    assert_true(start("save", &e)); // to none
    expect_config("hz", "33");
    expect_config("enable-debug-command", "yes");
    assert_false(start("nope 3", &e));
    assert_string_equal(e.text, "nope: no such parameter");
    assert_false(start("hz x", &e));
    assert_string_equal(e.text, "hz: argument couldn't be parsed into an integer");
    assert_false(start("databases 2", &e));
    assert_false(start("requirepass x", &e));
    assert_false(start("dir /", &e));
}

// Presets are values that the parameter itself would take.
static void test_presets(void **state)
{
    (void)state;
    for (size_t i = 0; i < resp_parameter_count; i++) {
        const struct resp_parameter *p = &resp_parameters[i];
        char text[RESP_CONFIG_TEXT];
        const char *why = "";
        if (p->preset == NULL)
            continue;
        const struct resp_arg value = {(const uint8_t *)p->preset, strlen(p->preset)};
        assert_true(resp_config_parse(p, &value, text, &why));
        assert_string_equal(text, p->preset);
        assert_true(p->check == NULL || p->check(&kit.shared, text, &why));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_get),     TEST(test_known_names),    TEST(test_set_errors), TEST(test_only),
        TEST(test_live),    TEST(test_all_or_nothing), TEST(test_notify),     TEST(test_password),
        TEST(test_rewrite), TEST(test_start),          TEST(test_presets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
