// A log that this server wrote is whole; whatever is done to it afterwards shows, at the line where it was done.
#include "audit_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define OPERATIONS 30
#define LINES      (OPERATIONS + 5) // start, three heads in between, the last head

static struct audit_kit_lines lines;

// Writes a log of LINES lines, heads after ten each.
static int setup(void **state)
{
    struct audit_settings settings;
    struct keyop op;
    (void)audit_kit_setup(state);
    settings = audit_kit_settings("log");
    settings.head_lines = 10;
    struct audit *audit = audit_kit_open(&settings);
    audit_kit_op(&op);
    for (int i = 0; i < OPERATIONS; i++) {
        (void)snprintf(audit_kit_peer.name, sizeof audit_kit_peer.name, "edge%02d", i);
        assert_true(audit_write(audit, &op));
        audit_flush(audit); // so that heads stand where this test looks for them
    }
    audit_destroy(&audit);
    audit_kit_read("log", &lines);
    assert_int_equal(lines.count, LINES);
    return 0;
}

static int teardown(void **state)
{
    audit_kit_free(&lines);
    return audit_kit_teardown(state);
}

static size_t line_of(const char *text)
{
    for (size_t i = 0; i < lines.count; i++)
        if (strstr(lines.line[i], text) != NULL)
            return i;
    fail_msg("no line with %s", text);
    return 0;
}

static void broken_at(const char *place, const char *says)
{
    char where[64];
    audit_kit_put("log", &lines);
    const char *text = audit_kit_verify(AUDIT_BROKEN, "log", NULL);
    (void)snprintf(where, sizeof where, "/log:%s: ", place);
    if (strstr(text, where) == NULL || strstr(text, says) == NULL)
        fail_msg("expected %s and \"%s\", found:\n%s", where, says, text);
}

static void whole(void **state)
{
    (void)state;
    const char *text = audit_kit_verify(AUDIT_WHOLE, "log", NULL);
    assert_non_null(strstr(text, "35 lines, 1 to 35 of the chain; 4 heads, signatures checked"));
    assert_non_null(strstr(text, "\nwhole\n"));
    assert_null(strstr(text, "note:"));
}

// One character of every line but the last, which the signature covers, in turn.
static void a_changed_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < lines.count; i++) {
        char *at = strstr(lines.line[i], "\"time\":\"20") + 8, was = *at, place[24];
        *at = '3';
        (void)snprintf(place, sizeof place, "%zu", i + 1);
        broken_at(place, i + 1 < lines.count ? "it was changed" : "signature does not hold");
        *at = was;
    }
    audit_kit_put("log", &lines);
    (void)audit_kit_verify(AUDIT_WHOLE, "log", NULL);
}

// What makes it no line at all, and what changes its place in the chain.
static void a_spoilt_line(void **state)
{
    (void)state;
    size_t i = line_of("edge07");
    char *was = lines.line[i], place[24];
    (void)snprintf(place, sizeof place, "%zu", i + 1);
    const char *const spoilt[] = {"", "{}", "x", "{\"time\":\"", "\"}", "\x01\xff"};
    for (size_t k = 0; k < sizeof spoilt / sizeof spoilt[0]; k++) {
        char copy[32];
        (void)snprintf(copy, sizeof copy, "%s", spoilt[k]);
        lines.line[i] = copy;
        broken_at(place, k == 0 ? "empty line" : "no line of the chain");
    }
    lines.line[i] = strdup(was);
    *strstr(lines.line[i], "\"prev\":\"") = 'x';
    broken_at(place, "no line of the chain");
    free(lines.line[i]);
    lines.line[i] = was;
}

static void a_line_beyond_all_bounds(void **state)
{
    (void)state;
    size_t i = line_of("edge07");
    char *was = lines.line[i];
    lines.line[i] = malloc(100001);
    memset(lines.line[i], 'a', 100000);
    lines.line[i][100000] = '\0';
    broken_at("9", "without a newline");
    free(lines.line[i]);
    lines.line[i] = was;
}

static void remove_lines(size_t from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(lines.line[from + i]);
    memmove(&lines.line[from], &lines.line[from + count],
            (lines.count - from - count) * sizeof lines.line[0]);
    lines.count -= count;
}

static void a_removed_line(void **state)
{
    (void)state;
    size_t i = line_of("edge07");
    char place[24];
    (void)snprintf(place, sizeof place, "%zu", i + 1);
    remove_lines(i, 1);
    broken_at(place, ": 1 missing");
    remove_lines(i, 5);
    broken_at(place, ": 6 missing");
}

static void the_first_lines_removed(void **state)
{
    (void)state;
    remove_lines(0, 1);
    broken_at("1", "lines are missing");
    while (strstr(lines.line[0], "\"head\"") == NULL)
        remove_lines(0, 1);
    broken_at("1", "lines are missing"); // a head in between begins no file
}

static void a_moved_line(void **state)
{
    (void)state;
    size_t i = line_of("edge07");
    char *line = lines.line[i];
    lines.line[i] = lines.line[i + 1];
    lines.line[i + 1] = line;
    broken_at("10", "it was moved or copied");
}

static void a_copied_line(void **state)
{
    (void)state;
    size_t i = line_of("edge07");
    memmove(&lines.line[i + 1], &lines.line[i], (lines.count - i) * sizeof lines.line[0]);
    lines.line[i] = strdup(lines.line[i + 1]);
    lines.count++;
    broken_at("10", "it was moved or copied");
}

// At every line: the end is missed, or a byte of the last line.
static void a_log_that_is_cut_off(void **state)
{
    (void)state;
    char *text = kit_read_file(kit_path("log"));
    size_t len = strlen(text);
    for (size_t cut = 1; cut < len; cut++) {
        bool at_line = text[cut - 1] == '\n';
        if (!at_line && cut % 97 != 0 && cut != len - 2)
            continue;
        audit_kit_put_text("log", text, cut);
        (void)audit_kit_verify(AUDIT_BROKEN, "log", NULL);
        (void)audit_kit_verify_open(strchr(text, '\n') < text + cut ? AUDIT_WHOLE : AUDIT_BROKEN, "log",
                                    NULL);
    }
    audit_kit_put_text("log", text, len - 1); // only the last newline
    (void)audit_kit_verify(AUDIT_WHOLE, "log", NULL);
    audit_kit_put_text("log", "", 0);
    (void)audit_kit_verify(AUDIT_BROKEN, "log", NULL);
    free(text);
}

// Cut off behind a head in between: only who has noted a later one sees it in an open log.
static void a_head_that_was_noted(void **state)
{
    (void)state;
    char hash[65];
    const char *text = audit_kit_verify(AUDIT_WHOLE, "log", NULL);
    (void)snprintf(hash, sizeof hash, "%s", strstr(text, "last line ") + 10);
    audit_kit_expect_head = hash;
    (void)audit_kit_verify(AUDIT_WHOLE, "log", NULL);
    while (strstr(lines.line[lines.count - 1], "edge25") == NULL)
        remove_lines(lines.count - 1, 1);
    audit_kit_put("log", &lines);
    text = audit_kit_verify_open(AUDIT_BROKEN, "log", NULL);
    assert_non_null(strstr(text, "cut off or changed"));
    audit_kit_expect_head = "abc";
    (void)audit_kit_verify(AUDIT_UNREADABLE, "log", NULL);
}

// Who can write the log but has no key can make all hashes anew, and is found by the heads.
static void a_chain_made_anew(void **state)
{
    (void)state;
    struct audit_settings settings = audit_kit_settings("forged");
    struct keyop op;
    settings.key_file = NULL;
    struct audit *audit = audit_kit_open(&settings);
    audit_kit_op(&op);
    assert_true(audit_write(audit, &op));
    audit_destroy(&audit);
    assert_non_null(strstr(audit_kit_verify(AUDIT_BROKEN, "forged", NULL), "without a signature"));
    // With a key of its own.
    assert_int_equal(rename(kit_path("audit.pub"), kit_path("right.pub")), 0);
    char *right = kit_read_file(kit_path("right.pub"));
    kit_dir_remove();
    (void)audit_kit_setup(state);
    audit_kit_put_text("audit.pub", right, strlen(right));
    settings = audit_kit_settings("forged");
    audit = audit_kit_open(&settings);
    audit_destroy(&audit);
    assert_non_null(strstr(audit_kit_verify(AUDIT_BROKEN, "forged", NULL), "signature does not hold"));
    free(right);
}

static void what_cannot_be_read(void **state)
{
    (void)state;
    (void)audit_kit_verify(AUDIT_UNREADABLE, "absent", NULL);
    audit_kit_put_text("audit.pub", "nonsense", 8);
    (void)audit_kit_verify(AUDIT_UNREADABLE, "log", NULL);
}

// Bytes between lines that no line tells of.
static void foreign_bytes(void **state)
{
    (void)state;
    char *was = lines.line[5];
    lines.line[5] = malloc(strlen(was) + 20);
    (void)sprintf(lines.line[5], "hello\nworld\n%s", was);
    broken_at("6", "found 11 bytes that are no line");
    free(lines.line[5]);
    lines.line[5] = was;
}

#define VERIFY_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VERIFY_TEST(whole),
        VERIFY_TEST(a_changed_line),
        VERIFY_TEST(a_spoilt_line),
        VERIFY_TEST(a_line_beyond_all_bounds),
        VERIFY_TEST(a_removed_line),
        VERIFY_TEST(the_first_lines_removed),
        VERIFY_TEST(a_moved_line),
        VERIFY_TEST(a_copied_line),
        VERIFY_TEST(a_log_that_is_cut_off),
        VERIFY_TEST(a_head_that_was_noted),
        VERIFY_TEST(a_chain_made_anew),
        VERIFY_TEST(what_cannot_be_read),
        VERIFY_TEST(foreign_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
