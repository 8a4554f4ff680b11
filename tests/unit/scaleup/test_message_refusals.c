// The protocol's lines: every refusal, and what an error repeats of a line.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "scaleup/message.h"

#define BIG "9007199254740991" // 2^53 - 1

static struct error refuse(const char *line, size_t len)
{
    struct message m;
    struct error e = {""};
    if (message_parse(line, len, &m, &e))
        fail_msg("%.*s: taken", (int)len, line);
    assert_true(e.text[0] != '\0');
    assert_null(m.vnfs);
    return e;
}

#define RESPONSE_REST ",\"granted_bytes\":1,\"granularity\":1}"
#define VNF_START                                                                                            \
    "{\"type\":\"status\",\"pool_bytes\":1,\"free_bytes\":1,\"granularity\":1,\"vnfs\":[{\"vnf\":\"a\","     \
    "\"backend\":\"b\","
#define VNF_NUMBERS                                                                                          \
    "\"granted_bytes\":0,\"actual_bytes\":0,\"used_bytes\":0,\"min_bytes\":0,\"max_bytes\":0,\"priority\":"  \
    "0,\"overdue\":0,"                                                                                       \
    "\"target_bytes\":0"
#define X16 "xxxxxxxxxxxxxxxx"
#define X64 X16 X16 X16 X16

static const struct {
    const char *line, *says; // what the error has in it
} bad[] = {
    // not the shape of a message
    {"", "not JSON"},
    {"\r", "not JSON"},
    {"x", "not JSON"},
    {"nil", "not JSON"},
    {"{\"type\":\"ping\"", "not JSON"},
    {"{\"type\":\"ping\"}}", "not JSON"},
    {"{\"type\":\"ping\"}{\"type\":\"ping\"}", "not JSON"},
    {"{\"type\":\"ping\",}", "not JSON"},
    {"{'type':'ping'}", "not JSON"},
    {"{\"type\":\"\xff\xfe\"}", "not JSON"},
    {"{\"type\":\"\xed\xa0\x80\"}", "not JSON"},
    {"{\"type\":\"\xc0\xaf\"}", "not JSON"},
    {"{\"type\":\"pi\nng\"}", "not JSON"},
    {"{\"type\":\"\\u0000\"}", "not JSON"},
    {"{\"type\":\"offer\",\"available_bytes\":1e999}", "not JSON"},
    {"{\"type\":\"offer\",\"available_bytes\":99999999999999999999}", "not JSON"},
    {"{\"type\":\"offer\",\"available_bytes\":01}", "not JSON"},
    {"7", "not JSON"},
    {"null", "not JSON"},
    {"[]", "found an array, expected an object with a type"},
    {"[{\"type\":\"ping\"}]", "found an array"},
    {"{}", "expected an object with a type"},
    {"{\"type\":1}", "expected an object with a type"},
    {"{\"type\":null}", "expected an object with a type"},
    // twice
    {"{\"type\":\"ping\",\"type\":\"ping\"}", "duplicate"},
    {"{\"type\":\"offer\",\"available_bytes\":1,\"available_bytes\":1}", "duplicate"},
    {"{\"type\":\"ping\",\"x\":{\"y\":1,\"y\":1}}", "duplicate"},
    // members that are missing
    {"{\"type\":\"hello\",\"role\":\"operator\"}", "hello: version is missing"},
    {"{\"type\":\"hello\",\"version\":1}", "hello: role is missing"},
    {"{\"type\":\"rescale\",\"target_bytes\":1}", "rescale: id is missing"},
    {"{\"type\":\"rescale\",\"id\":\"1\"}", "rescale: target_bytes is missing"},
    {"{\"type\":\"reclaiming\",\"state\":\"accepted\"}", "reclaiming: id is missing"},
    {"{\"type\":\"reclaiming\",\"id\":\"1\"}", "reclaiming: state is missing"},
    {"{\"type\":\"welcome\",\"granularity\":1,\"lease_ms\":1}", "welcome: version is missing"},
    {"{\"type\":\"welcome\",\"version\":1,\"lease_ms\":1}", "welcome: granularity is missing"},
    {"{\"type\":\"welcome\",\"version\":1,\"granularity\":1}", "welcome: lease_ms is missing"},
    {"{\"type\":\"response\",\"state\":\"done\",\"final\":true" RESPONSE_REST, "response: id is missing"},
    {"{\"type\":\"response\",\"id\":\"1\",\"final\":true" RESPONSE_REST, "response: state is missing"},
    {"{\"type\":\"response\",\"id\":\"1\",\"state\":\"done\"" RESPONSE_REST, "response: final is missing"},
    {"{\"type\":\"response\",\"id\":\"1\",\"state\":\"done\",\"final\":true,\"granularity\":1}",
     "response: granted_bytes is missing"},
    {"{\"type\":\"response\",\"id\":\"1\",\"state\":\"done\",\"final\":true,\"granted_bytes\":1}",
     "response: granularity is missing"},
    {"{\"type\":\"reclaim\",\"target_bytes\":1}", "reclaim: id is missing"},
    {"{\"type\":\"reclaim\",\"id\":\"1\"}", "reclaim: target_bytes is missing"},
    {"{\"type\":\"grant\",\"granularity\":1}", "grant: granted_bytes is missing"},
    {"{\"type\":\"grant\",\"granted_bytes\":1}", "grant: granularity is missing"},
    {"{\"type\":\"offer\"}", "offer: available_bytes is missing"},
    {"{\"type\":\"error\"}", "error: code is missing"},
    {"{\"type\":\"status\",\"pool_bytes\":1,\"granularity\":1,\"vnfs\":[]}", "status: free_bytes is missing"},
    {"{\"type\":\"status\",\"pool_bytes\":1,\"free_bytes\":1,\"vnfs\":[]}", "status: granularity is missing"},
    {"{\"type\":\"status\",\"pool_bytes\":1,\"free_bytes\":1,\"granularity\":1}", "status: vnfs is missing"},
    {VNF_START VNF_NUMBERS ",\"change\":\"none\"}]}", "status: connected is missing"},
    {VNF_START "\"connected\":true," VNF_NUMBERS "}]}", "status: change is missing"},
    {VNF_START "\"connected\":true,\"change\":\"none\"}]}", "status: granted_bytes is missing"},
    // kinds
    {"{\"type\":\"hello\",\"version\":\"1\",\"role\":\"operator\"}",
     "hello: version: found \"1\", expected an integer"},
    {"{\"type\":\"hello\",\"version\":1.0,\"role\":\"operator\"}", "found a number with a fraction"},
    {"{\"type\":\"hello\",\"version\":null,\"role\":\"operator\"}", "found null"},
    {"{\"type\":\"hello\",\"version\":[1],\"role\":\"operator\"}", "found an array"},
    {"{\"type\":\"hello\",\"version\":{},\"role\":\"operator\"}", "found an object"},
    {"{\"type\":\"hello\",\"version\":true,\"role\":\"operator\"}", "found a boolean"},
    {"{\"type\":\"hello\",\"version\":1,\"role\":1}", "hello: role: found 1, expected vnf or operator"},
    {"{\"type\":\"rescale\",\"id\":7,\"target_bytes\":1}", "rescale: id: found 7"},
    {"{\"type\":\"rescale\",\"id\":\"7\",\"target_bytes\":1,\"reason\":[]}",
     "rescale: reason: found an array"},
    {"{\"type\":\"response\",\"id\":\"1\",\"state\":\"done\",\"final\":1" RESPONSE_REST,
     "response: final: found 1, expected true or false"},
    {"{\"type\":\"response\",\"id\":\"1\",\"state\":3,\"final\":true" RESPONSE_REST,
     "response: state: found 3"},
    {"{\"type\":\"status\",\"pool_bytes\":1,\"free_bytes\":1,\"granularity\":1,\"vnfs\":{}}",
     "status: vnfs: found an object"},
    {"{\"type\":\"status\",\"pool_bytes\":1,\"free_bytes\":1,\"granularity\":1,\"vnfs\":[1]}",
     "found an integer, expected an object"},
    {"{\"type\":\"status\",\"pool_bytes\":\"many\"}", "status: pool_bytes: found \"many\""},
    // ranges
    {"{\"type\":\"offer\",\"available_bytes\":-1}",
     "offer: available_bytes: found -1, expected an integer from 0 to 2^53 - 1"},
    {"{\"type\":\"offer\",\"available_bytes\":9007199254740992}", "found 9007199254740992"},
    {"{\"type\":\"rescale\",\"id\":\"7\",\"target_bytes\":1,\"priority\":10}",
     "rescale: priority: found 10, expected an integer from 0 to 9"},
    {"{\"type\":\"rescale\",\"id\":\"7\",\"target_bytes\":1,\"priority\":-1}", "priority: found -1"},
    {"{\"type\":\"rescale\",\"id\":\"\",\"target_bytes\":1}", "rescale: id: found \"\", expected 1 to 64"},
    {"{\"type\":\"rescale\",\"id\":\"a b\",\"target_bytes\":1}", "id: found \"a b\""},
    {"{\"type\":\"rescale\",\"id\":\"\xc3\xa9\",\"target_bytes\":1}", "id: found \"\?\?\""},
    {"{\"type\":\"rescale\",\"id\":\"" X64 "x\",\"target_bytes\":1}", "id: found \"" X64 "...\""},
    {"{\"type\":\"rescale\",\"id\":\"7\",\"vnf\":\"a/b\",\"target_bytes\":1}", "vnf: found \"a/b\""},
    {"{\"type\":\"rescale\",\"id\":\"7\",\"target_bytes\":1,\"reclaim\":\"\"}", "reclaim: found \"\""},
    {"{\"type\":\"rescale\",\"id\":\"7\",\"target_bytes\":1,\"reason\":\"" X64 X64 X64 X64 "x\"}",
     "at most 256 bytes"},
    {"{\"type\":\"rescale\",\"id\":\"7\",\"target_bytes\":1,\"reason\":\"a\\nb\"}", "reason: found \"a?b\""},
    {"{\"type\":\"rescale\",\"id\":\"7\",\"target_bytes\":1,\"reason\":\"\\u007f\"}",
     "without control characters"},
    {"{\"type\":\"rescale\",\"id\":\"7\",\"target_bytes\":1,\"reason\":\"\\u009b31m\"}",
     "without control characters"},
    {VNF_START "\"connected\":true,\"change\":\"backwards\"," VNF_NUMBERS "}]}",
     "status: change: found \"backwards\", expected raise, return or none"},
    // words
    {"{\"type\":\"hello\",\"version\":1,\"role\":\"king\"}", "hello: role: found \"king\""},
    {"{\"type\":\"error\",\"code\":\"\"}", "error: code: found \"\""},
    {"{\"type\":\"error\",\"code\":\"teapot\"}", "error: code: found \"teapot\", expected an error code"},
    {"{\"type\":\"response\",\"id\":\"1\",\"state\":\"Done\",\"final\":true" RESPONSE_REST,
     "response: state: found \"Done\""},
    // members that do not go together
    {"{\"type\":\"hello\",\"version\":1,\"role\":\"vnf\"}", "hello: a VNF says which one"},
    {"{\"type\":\"hello\",\"version\":1,\"role\":\"operator\",\"vnf\":\"ks1\"}", "an operator does not"},
    {"{\"type\":\"hello\",\"version\":0,\"role\":\"operator\"}", "hello: version: found 0"},
    {"{\"type\":\"response\",\"id\":\"1\",\"state\":\"done\",\"final\":false" RESPONSE_REST,
     "found state done with final false"},
    {"{\"type\":\"response\",\"id\":\"1\",\"state\":\"accepted\",\"final\":true" RESPONSE_REST,
     "found state accepted with final true"},
    {"{\"type\":\"response\",\"id\":\"1\",\"state\":\"progress\",\"final\":true" RESPONSE_REST,
     "found state progress with final true"},
    {"{\"type\":\"response\",\"id\":\"1\",\"state\":\"refused\",\"final\":true" RESPONSE_REST,
     "found state refused"},
    {"{\"type\":\"reclaiming\",\"id\":\"1\",\"state\":\"done\"}", "reclaiming: found state done"},
    {"{\"type\":\"response\",\"id\":\"1\",\"state\":\"done\",\"final\":true,\"granted_bytes\":1,"
     "\"granularity\":0}",
     "granularity: found 0"},
    {"{\"type\":\"grant\",\"granted_bytes\":1,\"granularity\":0}", "granularity: found 0"},
    {"{\"type\":\"welcome\",\"version\":1,\"granularity\":0,\"lease_ms\":1}", "granularity: found 0"},
    {"{\"type\":\"welcome\",\"version\":1,\"granularity\":1,\"lease_ms\":0}", "welcome: lease_ms: found 0"},
    {"{\"type\":\"welcome\",\"version\":0,\"granularity\":1,\"lease_ms\":1}", "welcome: version: found 0"},
};

static void every_refusal(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error e = refuse(bad[i].line, strlen(bad[i].line));
        if (strstr(e.text, bad[i].says) == NULL)
            fail_msg("%s: found %s, expected %s", bad[i].line, e.text, bad[i].says);
    }
    assert_non_null(strstr(refuse("{\"type\":\"ping\"}\0", 16).text, "not JSON"));
}

// The longest run of the byte in the text.
static size_t run_of(const char *text, char c)
{
    size_t longest = 0, run = 0;
    for (; *text != '\0'; text++) {
        run = *text == c ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

// Wherever a peer's long bytes stand, an error has at most 64 of them, fits in a detail, and is printable.
static void errors_repeat_little(void **state)
{
    (void)state;
    static const char *const around[][2] = {
        {"", ""},
        {"{\"type\":\"", ""},
        {"{\"", "\":1}"},
        {"{\"type\":\"ping\",\"", "\":1,}"},
        {"{\"type\":\"hello\",\"version\":\"", "\",\"role\":\"operator\"}"},
        {"{\"type\":\"hello\",\"version\":1,\"role\":\"", "\"}"},
        {"{\"type\":\"rescale\",\"target_bytes\":1,\"id\":\"", "\"}"},
        {"{\"type\":\"rescale\",\"target_bytes\":1,\"id\":\"1\",\"reason\":\"", "\"}"},
        {"{\"type\":\"error\",\"code\":\"", "\"}"},
        {"{\"type\":\"status\",\"pool_bytes\":\"", "\"}"},
        {"{\"type\":\"ping\",\"", "\":1,\"x\":1,\"x\":2}"},
        {"{\"type\":\"offer\",\"available_bytes\":", "}"},
    };
    static const char *const fillers[] = {"A", "9", "\xc3\xa9", "\x01", "\xff"};
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++)
        for (size_t f = 0; f < sizeof fillers / sizeof fillers[0]; f++) {
            char line[16384] = "";
            (void)strcat(line, around[i][0]);
            for (int n = 0; n < 5000; n++)
                (void)strcat(line + n, fillers[f]);
            (void)strcat(line, around[i][1]);
            struct error e = refuse(line, strlen(line));
            assert_true(strlen(e.text) <= MESSAGE_TEXT_MAX);
            assert_true(run_of(e.text, fillers[f][0]) <= 64 && run_of(e.text, '?') <= 64);
            for (const char *c = e.text; *c != '\0'; c++)
                assert_true(*c >= ' ' && *c <= '~');
        }
    // The same member with a long name twice.
    char twice[8192];
    (void)snprintf(twice, sizeof twice, "{\"type\":\"ping\",\"%s%s%s%s\":1,\"%s%s%s%s\":1}", X64, X64, X64,
                   X64, X64, X64, X64, X64);
    assert_true(run_of(refuse(twice, strlen(twice)).text, 'x') <= 64);
}

// Nesting that would go deep, and a list that is too long.
static void too_much(void **state)
{
    (void)state;
    enum { COUNT = 1025, DEEP = 16000 };
    static char line[MESSAGE_ANSWER_MAX + 16];
    memset(line, '[', DEEP);
    (void)refuse(line, DEEP);
    size_t at = (size_t)snprintf(
        line, sizeof line,
        "{\"type\":\"status\",\"pool_bytes\":1,\"free_bytes\":1,\"granularity\":1,\"vnfs\":[0");
    for (int i = 1; i < COUNT; i++)
        at += (size_t)snprintf(line + at, sizeof line - at, ",0");
    at += (size_t)snprintf(line + at, sizeof line - at, "]}");
    assert_non_null(strstr(refuse(line, at).text, "an array of at most 1024 VNFs"));
    memset(line, ' ', sizeof line);
    memcpy(line, "{\"type\":\"ping\"}", 15);
    struct message m;
    assert_true(message_parse(line, MESSAGE_ANSWER_MAX - 1, &m, NULL));
    assert_non_null(strstr(refuse(line, MESSAGE_ANSWER_MAX).text,
                           "found a line of 1048577 bytes, expected at most 1048576"));
    assert_false(message_parse(line, SIZE_MAX, &m, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refusal),
        cmocka_unit_test(errors_repeat_little),
        cmocka_unit_test(too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
