// A line per operation that a program can read, whoever the edge says it is, and nothing secret in it.
#include "audit_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define SPKI AUDIT_KIT_SPKI
#define peer audit_kit_peer

static struct keyop op;

static int setup(void **state)
{
    int result = audit_kit_setup(state);
    audit_kit_op(&op);
    return result;
}

// Writes the operation to a file of its own and gives its line back, with the newline, for the caller to free. Start and
// head around it are not of interest here.
static char *written(void)
{
    static unsigned n;
    char name[32];
    struct audit_kit_lines lines;
    (void)snprintf(name, sizeof name, "audit-%u", n++);
    struct audit_settings settings = audit_kit_settings(name);
    settings.key_file = NULL;
    struct audit *audit = audit_kit_open(&settings);
    assert_true(audit_write(audit, &op));
    assert_int_equal(audit_dropped(audit), 0);
    audit_destroy(&audit);
    assert_null(audit);
    audit_kit_read(name, &lines);
    assert_int_equal(lines.count, 3);
    char *line = malloc(strlen(lines.line[1]) + 2);
    (void)sprintf(line, "%s\n", lines.line[1]);
    audit_kit_free(&lines);
    return line;
}

static json_t *written_json(void)
{
    json_error_t e;
    char *text = written();
    char *end = strchr(text, '\n');
    assert_true(end != NULL && end[1] == '\0'); // one line
    json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    if (line == NULL)
        fail_msg("%s: %s", e.text, text);
    free(text);
    return line;
}

static void assert_text(const json_t *line, const char *member, const char *expected)
{
    const char *text = json_string_value(json_object_get(line, member));
    assert_non_null(text);
    assert_string_equal(text, expected);
}

static void a_decryption(void **state)
{
    (void)state;
    json_t *line = written_json();
    assert_text(line, "edge", "edge1.example");
    assert_text(line, "addr", "10.1.2.3:51234");
    assert_text(line, "dialect", "draft");
    assert_text(line, "key", "ungWv48B"); // no more of the fingerprint than that
    assert_text(line, "key_type", "RSA");
    assert_int_equal(json_integer_value(json_object_get(line, "bits")), 2048);
    assert_text(line, "method", "RSA");
    assert_text(line, "protocol", "TLS 1.2");
    assert_text(line, "result", "ok");
    assert_int_equal(json_integer_value(json_object_get(line, "seq")), 2);
    assert_int_equal(json_string_length(json_object_get(line, "prev")), 64);
    assert_null(json_object_get(line, "hash"));
    assert_int_equal(json_integer_value(json_object_get(line, "wait_us")), 2500);
    assert_int_equal(json_integer_value(json_object_get(line, "work_us")), 6500);
    assert_int_equal(json_string_length(json_object_get(line, "time")), 27);
    json_decref(line);
}

static void a_signature(void **state)
{
    (void)state;
    op.request.dialect = SKI_JAVA;
    op.request.method = SKI_METHOD_ECDHE;
    op.request.hash = SKI_SHA384;
    op.key_type = KEYRECORD_EC;
    op.key_bits = 256;
    json_t *line = written_json();
    assert_text(line, "dialect", "java");
    assert_text(line, "method", "ECDHE");
    assert_text(line, "hash", "SHA-384");
    assert_text(line, "key_type", "EC");
    json_decref(line);
}

static void the_migration_listener(void **state)
{
    (void)state;
    json_t *line = written_json();
    assert_null(json_object_get(line, "listener"));
    json_decref(line);
    peer.migration = true;
    line = written_json();
    assert_text(line, "listener", "migration");
    json_decref(line);
    op.parsed = false;
    op.status = SKI_DENIED;
    line = written_json();
    assert_text(line, "listener", "migration");
    json_decref(line);
}

static void operations_that_came_to_nothing(void **state)
{
    (void)state;
    for (int s = 0; s < SKI_STATUSES; s++) {
        op.status = (enum ski_status)s;
        op.key_type = (enum keyrecord_type)0;
        op.key_bits = 0;
        op.started_ns = 0; // never begun
        json_t *line = written_json();
        assert_text(line, "result", ski_status_word(op.status));
        assert_text(line, "key_type", "");
        assert_int_equal(json_integer_value(json_object_get(line, "work_us")), 0);
        json_decref(line);
    }
    // Malformed: nothing of the request is known.
    op.parsed = false;
    op.status = SKI_MALFORMED;
    json_t *line = written_json();
    assert_text(line, "result", "malformed");
    assert_text(line, "edge", "edge1.example");
    assert_null(json_object_get(line, "key"));
    assert_null(json_object_get(line, "method"));
    json_decref(line);
    // An spki that is no fingerprint.
    op.parsed = true;
    op.request.spki[0] = '\0';
    line = written_json();
    assert_text(line, "key", "");
    json_decref(line);
}

// The rule that decided, and why a request was denied; without a policy neither.
static void what_the_policy_said(void **state)
{
    (void)state;
    json_t *line = written_json();
    assert_null(json_object_get(line, "denied"));
    assert_null(json_object_get(line, "policy_line"));
    json_decref(line);
    op.policy_line = 12;
    line = written_json();
    assert_null(json_object_get(line, "denied"));
    assert_int_equal(json_integer_value(json_object_get(line, "policy_line")), 12);
    json_decref(line);
    op.denied = "protocol";
    op.status = SKI_DENIED;
    for (op.policy_line = 0; op.policy_line < 2; op.policy_line++) {
        line = written_json();
        assert_text(line, "result", "denied");
        assert_text(line, "denied", "protocol");
        assert_int_equal(json_integer_value(json_object_get(line, "policy_line")), op.policy_line);
        json_decref(line);
    }
}

static void contains_no(const char *text, const uint8_t *bytes, size_t len)
{
    char hex[3 * SKI_INPUT_MAX];
    assert_null(memmem(text, strlen(text), bytes, 8));
    for (size_t i = 0; i < len; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    const char *base64 = kit_base64(bytes, len);
    for (size_t i = 0; i + 12 <= len; i += 12) { // any stretch of twelve bytes
        char part[25];
        (void)snprintf(part, sizeof part, "%.24s", hex + 2 * i);
        assert_null(strcasestr(text, part));
        (void)snprintf(part, sizeof part, "%.16s", base64 + i / 3 * 4);
        assert_null(strstr(text, part));
    }
}

static void nothing_secret(void **state)
{
    (void)state;
    for (int s = 0; s < SKI_STATUSES; s++) {
        op.status = (enum ski_status)s;
        char *text = written();
        contains_no(text, op.request.input, op.request.input_len);
        contains_no(text, op.output, op.output_len);
        assert_null(strstr(text, SPKI));
        free(text);
    }
}

// The edge's name comes from a certificate: it may hold anything.
static void hostile_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "a\",\"result\":\"ok\",\"x\":\"",
        "\\",
        "\\\"",
        "a\nb",
        "a\r\n{\"time\":\"forged\"}",
        "\x01\x02\x1f\x7f",
        "",
        "\xc3\xa4\xff\xfe",
        "%s%n%x",
        "</script>",
        "{}",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(peer.name, sizeof peer.name, "%s", names[i]);
        json_t *line = written_json();
        bool ascii = true;
        for (const char *c = names[i]; *c != '\0'; c++)
            ascii &= (unsigned char)*c < 0x80;
        if (ascii)
            assert_text(line, "edge", names[i]);
        assert_text(line, "result", "ok");
        assert_null(json_object_get(line, "x"));
        json_decref(line);
    }
    // The longest, all of it in need of escapes, is cut rather than dropped.
    memset(peer.name, '\x01', sizeof peer.name - 1);
    json_t *line = written_json();
    assert_true(json_string_length(json_object_get(line, "edge")) > 50);
    json_decref(line);
}

static void without_a_file_lines_go_to_the_log(void **state)
{
    (void)state;
    struct error e;
    const char *path = kit_path("log");
    assert_true(log_setup("keyserver", LOG_LEVEL_INFO, path, &e));
    struct audit_settings settings = {.path = NULL};
    struct audit *audit = audit_create(&settings, &e);
    assert_non_null(audit);
    assert_true(audit_write(audit, &op));
    audit_reopen(audit);
    audit_flush(audit);
    assert_int_equal(audit_dropped(audit), 0);
    audit_destroy(&audit);
    log_teardown();
    char *text = kit_read_file(path);
    assert_non_null(strstr(text, "audit"));
    assert_non_null(strstr(text, "\"edge\":\"edge1.example\""));
    free(text);
}

#define AUDIT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, audit_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AUDIT_TEST(a_decryption),           AUDIT_TEST(a_signature),
        AUDIT_TEST(the_migration_listener), AUDIT_TEST(operations_that_came_to_nothing),
        AUDIT_TEST(what_the_policy_said),   AUDIT_TEST(nothing_secret),
        AUDIT_TEST(hostile_names),          AUDIT_TEST(without_a_file_lines_go_to_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
