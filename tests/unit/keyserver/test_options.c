// The table of options: the defaults that an operator reads in --help are what the server gets, and what is
// out of bounds is refused with the option's name.
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/engine.h"
#include "keyserver/options.h"
#include "kvstore/kv.h"

#define NEEDED                                                                                               \
    "keyserver", "--listen", "127.0.0.1:0", "--store", "/s", "--cert", "/c", "--key", "/k", "--client-ca",   \
        "/ca"

static struct options options;
static char message[4096];

// Reads a command line into `options`; messages into `message`.
static enum config_result read_args(size_t count, const char *const *args)
{
    char *argv[64];
    assert_true(count < 64);
    for (size_t i = 0; i < count; i++)
        argv[i] = (char *)(uintptr_t)args[i];
    argv[count] = NULL;
    memset(&options, 0, sizeof options);
    memset(message, 0, sizeof message);
    FILE *errors = fmemopen(message, sizeof message - 1, "w");
    assert_non_null(errors);
    enum config_result result = config_read_to(&options_spec, (int)count, argv, &options, NULL, errors);
    assert_int_equal(fclose(errors), 0);
    return result;
}

#define READ(...)                                                                                            \
    read_args(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

static void release(void)
{
    config_release(&options_spec, &options, NULL);
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(READ(NEEDED), CONFIG_OK);
    assert_string_equal(options.listen, "127.0.0.1:0");
    assert_string_equal(options.client_ca, "/ca");
    assert_null(options.admin); // off unless asked for
    assert_null(options.master_key);
    assert_null(options.audit_log);
    assert_int_equal(options.server_chain, 0);
    assert_int_equal(options.fsync, KV_FSYNC_ALWAYS);
    assert_int_equal(options.elastic.memory, 256u << 20);
    assert_int_equal(options.secret_memory, 64u << 20);
    assert_int_equal(options.key_cache, 10000);
    assert_int_equal(options.queue_limit, 4096);
    assert_int_equal(options.rsa_engine, ENGINE_AUTO);
    assert_int_equal(options.rsa_fill_wait, 200);
    assert_int_equal(options.pipeline, 128);
    assert_int_equal(options.header_max, 8192);
    assert_int_equal(options.body_max, 16384);
    assert_int_equal(options.request_timeout, 5000000);
    assert_int_equal(options.idle_timeout, 300000000);
    assert_int_equal(options.operation_timeout, 2000000);
    assert_int_equal(options.queue_delay, 0);
    assert_int_equal(options.max_connections_per_edge, 8000);
    assert_int_equal(options.max_in_flight_per_edge, 8000);
    assert_int_equal(options.drain_timeout, 10000000);
    assert_false(options.check);
    struct error e;
    assert_true(options_check(&options, &e));
    release();
}

static void given_values(void **state)
{
    (void)state;
    assert_int_equal(READ(NEEDED, "--server-chain", "leaf", "--fsync=interval", "--memory", "4gb", "--check",
                          "--idle-timeout", "30s", "--admin", "127.0.0.1:9100", "--log-level", "debug",
                          "--rsa-engine", "portable", "--rsa-fill-wait", "0"),
                     CONFIG_OK);
    assert_int_equal(options.server_chain, 1);
    assert_int_equal(options.fsync, KV_FSYNC_INTERVAL);
    assert_true(options.elastic.memory == 4ull << 30);
    assert_int_equal(options.idle_timeout, 30000000);
    assert_true(options.check);
    assert_int_equal(options.rsa_engine, ENGINE_PORTABLE);
    assert_int_equal(options.rsa_fill_wait, 0);
    struct error e;
    assert_true(options_check(&options, &e));
    release();
}

static void what_is_required(void **state)
{
    (void)state;
    static const char *const all[] = {NEEDED};
    for (size_t left_out = 1; left_out < 11; left_out += 2) {
        const char *args[16];
        size_t n = 0;
        for (size_t i = 0; i < 11; i++)
            if (i != left_out && i != left_out + 1)
                args[n++] = all[i];
        assert_int_equal(read_args(n, args), CONFIG_USAGE);
        assert_non_null(strstr(message, all[left_out] + 2));
    }
}

static void out_of_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *name, *low, *high; // just outside; NULL: no such bound
    } cases[] = {
        {"--key-cache", "15", "10000001"},
        {"--secret-memory", "1023kb", "65gb"},
        {"--io-threads", NULL, "257"},
        {"--crypto-threads", NULL, "1025"},
        {"--rsa-fill-wait", NULL, "10001us"},
        {"--queue-limit", "0", "10000001"},
        {"--operation-timeout", "999us", "601s"},
        {"--pipeline", "0", "65537"},
        {"--max-connections", "0", "1000001"},
        {"--max-connections-per-address", "0", "1000001"},
        {"--migration-max-connections", "0", "1000001"},
        {"--max-connections-per-edge", "0", "1000001"},
        {"--max-in-flight-per-edge", "0", "10000001"},
        {"--queue-delay", NULL, "601s"},
        {"--header-max", "511", "1025kb"},
        {"--body-max", "2047", "1025kb"},
        {"--handshake-timeout", "999us", "601s"},
        {"--request-timeout", "999us", "601s"},
        {"--idle-timeout", "999us", "86401s"},
        {"--write-timeout", "999us", "601s"},
        {"--drain-timeout", NULL, "3601s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].low != NULL)
            assert_int_equal(READ(NEEDED, cases[i].name, cases[i].low), CONFIG_USAGE);
        assert_int_equal(READ(NEEDED, cases[i].name, cases[i].high), CONFIG_USAGE);
        assert_non_null(strstr(message, cases[i].name + 2));
    }
}

static void other_refusals(void **state)
{
    (void)state;
    assert_int_equal(READ(NEEDED, "--fsync", "sometimes"), CONFIG_USAGE);
    assert_non_null(strstr(message, "always"));
    assert_int_equal(READ(NEEDED, "--server-chain", "none"), CONFIG_USAGE);
    assert_int_equal(READ(NEEDED, "--rsa-engine", "avx"), CONFIG_USAGE);
    assert_int_equal(READ(NEEDED, "--memory", "much"), CONFIG_USAGE);
    assert_int_equal(READ(NEEDED, "--idle-timeout", "-1s"), CONFIG_USAGE);
    assert_int_equal(READ(NEEDED, "--no-such-option"), CONFIG_USAGE);
    assert_int_equal(READ(NEEDED, "stray"), CONFIG_USAGE);
    assert_int_equal(READ(NEEDED, "--config", "/no/such/file"), CONFIG_USAGE);
}

static void bad_addresses(void **state)
{
    (void)state;
    struct error e;
    static const char *const bad[] = {"nonsense", "127.0.0.1", "127.0.0.1:99999", ":", "127.0.0.1:x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(READ(NEEDED, "--listen", bad[i]), CONFIG_OK);
        assert_false(options_check(&options, &e));
        assert_non_null(strstr(e.text, "--listen"));
        assert_non_null(strstr(e.text, bad[i]));
        release();
        assert_int_equal(READ(NEEDED, "--admin", bad[i]), CONFIG_OK);
        assert_false(options_check(&options, &e));
        assert_non_null(strstr(e.text, "--admin"));
        release();
    }
}

// The Redis listener: this machine only, and with a password.
static void redis_listener(void **state)
{
    (void)state;
    static const struct {
        const char *listen, *password, *refusal; // refusal NULL: taken, with a master key
    } cases[] = {
        {"127.0.0.1:6379", "/p", NULL},
        {"[::1]:6379", "/p", NULL},
        {"unix:/run/redis.sock", "/p", NULL},
        {"0.0.0.0:6379", "/p", "--redis-listen: found 0.0.0.0:6379, which other machines can reach"},
        {"[::]:6379", "/p", "--redis-listen: found [::]:6379"},
        {"192.0.2.1:6379", "/p", "expected a loopback address or unix:PATH"},
        {"6379", "/p", "--redis-listen"},
        {"127.0.0.1:6379", NULL, "--redis-listen: needs --redis-password-file"},
        {"unix:/run/redis.sock", NULL, "--redis-listen: needs --redis-password-file"},
        {NULL, "/p", "--redis-password-file: needs --redis-listen"},
    };
    struct error e;
    assert_int_equal(READ(NEEDED), CONFIG_OK);
    assert_null(options.redis_listen); // off unless asked for
    release();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(READ(NEEDED), CONFIG_OK);
        options.redis_listen = cases[i].listen != NULL ? strdup(cases[i].listen) : NULL;
        options.redis_password_file = cases[i].password != NULL ? strdup(cases[i].password) : NULL;
        if (cases[i].refusal == NULL) {
            assert_false(options_check(&options, &e));
            assert_non_null(strstr(e.text, "--redis-listen: needs --master-key"));
        }
        options.master_key = strdup("/m");
        assert_int_equal(options_check(&options, &e), cases[i].refusal == NULL);
        if (cases[i].refusal != NULL && strstr(e.text, cases[i].refusal) == NULL)
            fail_msg("found: %s, expected: %s", e.text, cases[i].refusal);
        release();
    }
}

// The migration listener: off unless asked for, and never without a policy.
static void migration_listener(void **state)
{
    (void)state;
    struct error e;
    assert_int_equal(READ(NEEDED), CONFIG_OK);
    assert_null(options.migration_listen);
    assert_int_equal(options.migration_max_connections, 512);
    release();
    assert_int_equal(READ(NEEDED, "--migration-listen", "0.0.0.0:8444"), CONFIG_OK);
    assert_false(options_check(&options, &e));
    assert_non_null(strstr(e.text, "--migration-listen: needs --policy"));
    release();
    assert_int_equal(READ(NEEDED, "--migration-listen", "0.0.0.0:8444", "--policy", "/p"), CONFIG_OK);
    assert_true(options_check(&options, &e));
    release();
    assert_int_equal(READ(NEEDED, "--migration-listen", "unix:/s", "--policy", "/p"), CONFIG_OK);
    assert_false(options_check(&options, &e));
    assert_non_null(strstr(e.text, "expected ADDR:PORT"));
    release();
    assert_int_equal(READ(NEEDED, "--migration-listen", "8444", "--policy", "/p"), CONFIG_OK);
    assert_false(options_check(&options, &e));
    assert_non_null(strstr(e.text, "--migration-listen"));
    release();
}

// What the audit log's options need of each other.
static void the_audit_log(void **state)
{
    (void)state;
    static const struct {
        const char *argument, *refusal;
    } cases[] = {
        {"--audit=lossy", NULL},
        {"--audit=strict", "--audit: strict needs --audit-log"},
        {"--audit-key=/k", "--audit-key: needs --audit-log"},
        {"--audit-public=/k", "--audit-public: needs --verify-audit"},
        {"--expect-head=00", "--expect-head: needs --verify-audit"},
        {"--audit-open", "--audit-open: needs --verify-audit"},
    };
    struct error e;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(READ(NEEDED, cases[i].argument), CONFIG_OK);
        assert_int_equal(options_check(&options, &e), cases[i].refusal == NULL);
        if (cases[i].refusal != NULL)
            assert_string_equal(e.text, cases[i].refusal);
        release();
    }
    assert_int_equal(
        READ(NEEDED, "--audit=strict", "--audit-log=/l", "--audit-key=/k", "--audit-head-time=1s"),
        CONFIG_OK);
    assert_true(options_check(&options, &e));
    struct audit_settings settings = options_audit(&options);
    assert_string_equal(settings.path, "/l");
    assert_int_equal(settings.mode, AUDIT_STRICT);
    assert_int_equal(settings.head_us, 1000000);
    assert_int_equal(settings.head_lines, 1000);
    assert_int_equal(settings.alarm_us, 600000000);
    assert_int_equal(settings.rotate_bytes, 0);
    release();
}

// The sample file that --print-config prints is a valid configuration.
static void the_sample_is_read_back(void **state)
{
    (void)state;
    kit_dir_create();
    const char *path = kit_path("keyserver.conf");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    config_print_sample(&options_spec, f);
    (void)fprintf(f, "\nbody-max = 64kb\nkey-cache = 77\n");
    assert_int_equal(fclose(f), 0);
    if (READ(NEEDED, "--config", path, "--key-cache", "99") != CONFIG_OK)
        fail_msg("%s", message);
    assert_int_equal(options.body_max, 65536);
    assert_int_equal(options.key_cache, 99); // the command line wins
    assert_int_equal(options.header_max, 8192);
    release();
    kit_dir_remove();
}

// Every option explains itself; those without a default are off or required.
static void every_option_has_help(void **state)
{
    (void)state;
    for (size_t i = 0; i < options_spec.option_count; i++) {
        const struct config_option *o = &options_spec.options[i];
        assert_true(strlen(o->help) > 10 && o->help[strlen(o->help) - 1] == '.');
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(o->name, options_spec.options[k].name);
            assert_int_not_equal(o->offset, options_spec.options[k].offset);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(given_values),
        cmocka_unit_test(what_is_required),
        cmocka_unit_test(out_of_bounds),
        cmocka_unit_test(other_refusals),
        cmocka_unit_test(bad_addresses),
        cmocka_unit_test(redis_listener),
        cmocka_unit_test(migration_listener),
        cmocka_unit_test(the_audit_log),
        cmocka_unit_test(the_sample_is_read_back),
        cmocka_unit_test(every_option_has_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
