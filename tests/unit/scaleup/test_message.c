// The protocol's lines: every type both ways, other spellings, and what is formatted.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "scaleup/message.h"

#define BIG "9007199254740991" // 2^53 - 1
#define X16 "xxxxxxxxxxxxxxxx"
#define X64 X16 X16 X16 X16

static struct message parse(const char *line)
{
    struct message m;
    struct error e = {""};
    if (!message_parse(line, strlen(line), &m, &e))
        fail_msg("%s: %s", line, e.text);
    assert_string_equal(e.text, "");
    return m;
}

// ---- both ways

// In canonical form: what is parsed from it is formatted to the same bytes.
static const struct {
    enum message_type type;
    const char *line;
} lines[] = {
    {MESSAGE_HELLO,
     "{\"type\":\"hello\",\"version\":1,\"role\":\"vnf\",\"vnf\":\"ks1\",\"holding_bytes\":268435456}"},
    {MESSAGE_HELLO,
     "{\"type\":\"hello\",\"version\":7,\"role\":\"vnf\",\"vnf\":\"k-S_1.x\",\"holding_bytes\":0}"},
    {MESSAGE_HELLO, "{\"type\":\"hello\",\"version\":1,\"role\":\"vnf\",\"vnf\":\"ks1\"}"},
    {MESSAGE_HELLO, "{\"type\":\"hello\",\"version\":1,\"role\":\"operator\"}"},
    {MESSAGE_RESCALE, "{\"type\":\"rescale\",\"id\":\"7\",\"target_bytes\":1073741824,\"min_bytes\":"
                      "536870912,\"deadline_ms\":5000,"
                      "\"priority\":0,\"reclaim\":\"r3\",\"reason\":\"hit ratio 0.81, goal 0.95\"}"},
    {MESSAGE_RESCALE,
     "{\"type\":\"rescale\",\"id\":\"op1\",\"vnf\":\"ks1\",\"target_bytes\":0,\"min_bytes\":0}"},
    {MESSAGE_RESCALE,
     "{\"type\":\"rescale\",\"id\":\"x\",\"target_bytes\":" BIG ",\"deadline_ms\":" BIG ",\"priority\":9}"},
    {MESSAGE_RECLAIMING,
     "{\"type\":\"reclaiming\",\"id\":\"r3\",\"state\":\"accepted\",\"target_bytes\":402653184}"},
    {MESSAGE_RECLAIMING, "{\"type\":\"reclaiming\",\"id\":\"r3\",\"state\":\"partial\",\"target_bytes\":1}"},
    {MESSAGE_RECLAIMING, "{\"type\":\"reclaiming\",\"id\":\"r3\",\"state\":\"refused\"}"},
    {MESSAGE_PING, "{\"type\":\"ping\"}"},
    {MESSAGE_STATUS_ASK, "{\"type\":\"status\"}"},
    {MESSAGE_STATUS_ASK, "{\"type\":\"status\",\"vnf\":\"ks1\"}"},
    {MESSAGE_WELCOME,
     "{\"type\":\"welcome\",\"version\":1,\"vnf\":\"ks1\",\"granted_bytes\":268435456,\"granularity\":"
     "2097152,"
     "\"min_bytes\":134217728,\"max_bytes\":4294967296,\"lease_ms\":10000,\"backend\":\"cgroup\"}"},
    {MESSAGE_WELCOME, "{\"type\":\"welcome\",\"version\":1,\"granularity\":1,\"lease_ms\":1}"},
    {MESSAGE_RESPONSE, "{\"type\":\"response\",\"id\":\"7\",\"state\":\"accepted\",\"final\":false,\"granted_"
                       "bytes\":0,\"granularity\":2097152}"},
    {MESSAGE_RESPONSE, "{\"type\":\"response\",\"id\":\"7\",\"state\":\"progress\",\"final\":false,\"granted_"
                       "bytes\":1,\"granularity\":1}"},
    {MESSAGE_RESPONSE,
     "{\"type\":\"response\",\"id\":\"7\",\"state\":\"done\",\"final\":true,\"granted_bytes\":" BIG
     ",\"granularity\":1}"},
    {MESSAGE_RESPONSE, "{\"type\":\"response\",\"id\":\"7\",\"state\":\"partial\",\"final\":true,\"granted_"
                       "bytes\":1,\"granularity\":1}"},
    {MESSAGE_RESPONSE, "{\"type\":\"response\",\"id\":\"7\",\"state\":\"deferred\",\"final\":true,\"granted_"
                       "bytes\":1,\"granularity\":1,\"retry_ms\":700}"},
    {MESSAGE_RESPONSE, "{\"type\":\"response\",\"id\":\"7\",\"state\":\"infeasible\",\"final\":true,"
                       "\"granted_bytes\":1,\"granularity\":1}"},
    {MESSAGE_RESPONSE, "{\"type\":\"response\",\"id\":\"7\",\"state\":\"denied\",\"final\":true,\"granted_"
                       "bytes\":1,\"granularity\":1}"},
    {MESSAGE_RESPONSE, "{\"type\":\"response\",\"id\":\"7\",\"state\":\"error\",\"final\":true,\"granted_"
                       "bytes\":1,\"granularity\":1,\"detail\":\"\xc3\xa9 \\\" \\\\\"}"},
    {MESSAGE_RECLAIM, "{\"type\":\"reclaim\",\"id\":\"r3\",\"target_bytes\":402653184,\"deadline_ms\":2000,"
                      "\"priority\":7,\"reason\":\"ks2 asks\"}"},
    {MESSAGE_RECLAIM, "{\"type\":\"reclaim\",\"id\":\"r3\",\"target_bytes\":0}"},
    {MESSAGE_GRANT,
     "{\"type\":\"grant\",\"granted_bytes\":805306368,\"granularity\":2097152,\"reason\":\"operator\"}"},
    {MESSAGE_OFFER, "{\"type\":\"offer\",\"available_bytes\":1073741824}"},
    {MESSAGE_PONG, "{\"type\":\"pong\"}"},
    {MESSAGE_STATUS,
     "{\"type\":\"status\",\"pool_bytes\":8589934592,\"free_bytes\":0,\"granularity\":0,\"vnfs\":[]}"},
    {MESSAGE_STATUS, "{\"type\":\"status\",\"pool_bytes\":0,\"free_bytes\":1,\"granularity\":2,\"vnfs\":[{"
                     "\"vnf\":\"ks1\",\"backend\":\"cgroup\","
                     "\"connected\":true,\"granted_bytes\":1,\"actual_bytes\":2,\"used_bytes\":3,\"min_"
                     "bytes\":4,\"max_bytes\":5,\"priority\":6,"
                     "\"overdue\":7,\"change\":\"raise\",\"target_bytes\":8,\"detail\":\"d\"},{\"vnf\":"
                     "\"ks2\",\"backend\":\"qmp\",\"connected\":false,"
                     "\"granted_bytes\":0,\"actual_bytes\":0,\"used_bytes\":0,\"min_bytes\":0,\"max_bytes\":"
                     "0,\"priority\":0,\"overdue\":0,"
                     "\"change\":\"none\",\"target_bytes\":0}]}"},
    {MESSAGE_ERROR,
     "{\"type\":\"error\",\"code\":\"malformed\",\"detail\":\"rescale: target_bytes is missing\"}"},
    {MESSAGE_ERROR, "{\"type\":\"error\",\"code\":\"version\"}"},
    {MESSAGE_ERROR, "{\"type\":\"error\",\"code\":\"denied\"}"},
    {MESSAGE_ERROR, "{\"type\":\"error\",\"code\":\"unknown_vnf\"}"},
    {MESSAGE_ERROR, "{\"type\":\"error\",\"code\":\"replaced\"}"},
    {MESSAGE_ERROR, "{\"type\":\"error\",\"code\":\"timeout\"}"},
    {MESSAGE_ERROR, "{\"type\":\"error\",\"code\":\"busy\"}"},
    {MESSAGE_ERROR, "{\"type\":\"error\",\"code\":\"unexpected\"}"},
};

static void every_type_both_ways(void **state)
{
    (void)state;
    bool seen[MESSAGE_UNKNOWN] = {false};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        size_t len = 0;
        struct message m = parse(lines[i].line);
        assert_int_equal(m.type, lines[i].type);
        char *line = message_format(&m, &len);
        assert_non_null(line);
        assert_int_equal(len, strlen(line));
        assert_int_equal(line[len - 1], '\n');
        line[len - 1] = '\0';
        assert_string_equal(line, lines[i].line);
        free(line);
        message_release(&m);
        message_release(&m); // twice is fine
        seen[m.type] = true;
    }
    for (size_t i = 0; i < MESSAGE_UNKNOWN; i++)
        assert_true(seen[i]);
}

// A few by their values: the round trip alone would not see two members exchanged.
static void values(void **state)
{
    (void)state;
    struct message m = parse(lines[0].line);
    assert_true(m.version == 1 && m.role == ROLE_VNF && m.has_holding && m.holding_bytes == 268435456);
    assert_string_equal(m.vnf, "ks1");
    m = parse(lines[4].line);
    assert_string_equal(m.id, "7");
    assert_string_equal(m.reclaim, "r3");
    assert_string_equal(m.reason, "hit ratio 0.81, goal 0.95");
    assert_true(m.target_bytes == 1073741824 && m.has_min && m.min_bytes == 536870912 &&
                m.deadline_ms == 5000);
    assert_true(m.has_priority && m.priority == 0);
    m = parse("{\"type\":\"rescale\",\"id\":\"7\",\"target_bytes\":1}");
    assert_true(!m.has_min && m.min_bytes == 0 && m.deadline_ms == 0 && !m.has_priority && m.priority == 5);
    m = parse("{\"type\":\"welcome\",\"version\":1,\"granted_bytes\":2,\"granularity\":3,\"min_bytes\":4,"
              "\"max_bytes\":5,\"lease_ms\":6,"
              "\"backend\":\"b\"}");
    assert_true(m.granted_bytes == 2 && m.granularity == 3 && m.min_bytes == 4 && m.max_bytes == 5 &&
                m.lease_ms == 6);
    m = parse("{\"type\":\"response\",\"id\":\"7\",\"state\":\"deferred\",\"final\":true,\"granted_bytes\":1,"
              "\"granularity\":2,\"retry_ms\":3,"
              "\"detail\":\"d\"}");
    assert_true(m.state == STATE_DEFERRED && m.final && m.retry_ms == 3);
    assert_string_equal(m.detail, "d");
    m = parse(lines[29].line);
    assert_int_equal(m.vnf_count, 2);
    const struct message_vnf *v = &m.vnfs[0];
    assert_true(v->connected && v->granted_bytes == 1 && v->actual_bytes == 2 && v->used_bytes == 3 &&
                v->min_bytes == 4);
    assert_true(v->max_bytes == 5 && v->priority == 6 && v->overdue == 7 && v->target_bytes == 8);
    assert_string_equal(v->change, "raise");
    assert_string_equal(m.vnfs[1].vnf, "ks2");
    message_release(&m);
}

// Members in any order, unknown ones, blanks, a CR, escapes.
static void other_spellings(void **state)
{
    (void)state;
    struct message m = parse(" { \"future\" : {\"a\":[1,null]}, \"target_bytes\":\t5, \"id\":\"\\u0037\", "
                             "\"type\":\"rescale\" } \r");
    assert_int_equal(m.type, MESSAGE_RESCALE);
    assert_string_equal(m.id, "7");
    assert_int_equal(m.target_bytes, 5);
    m = parse("{\"type\":\"grant\",\"granted_bytes\":1,\"granularity\":1,\"reason\":\"\\u20ac\"}");
    assert_string_equal(m.reason, "\xe2\x82\xac");
    m = parse("{\"type\":\"tomorrow\\u0007's \\\"\xc3\xa9\"}");
    assert_int_equal(m.type, MESSAGE_UNKNOWN);
    assert_string_equal(m.detail, "tomorrow?'s ???");
    size_t len;
    assert_null(message_format(&m, &len));
}

// ---- formatting

// A status of as many VNFs as there may be, each with the longest of everything, fits.
static void the_largest_status(void **state)
{
    (void)state;
    enum { VNFS = 1000 };
    struct message m = {.type = MESSAGE_STATUS, .pool_bytes = MESSAGE_NUMBER_MAX, .vnf_count = VNFS};
    m.vnfs = calloc(VNFS, sizeof *m.vnfs);
    assert_non_null(m.vnfs);
    for (size_t i = 0; i < VNFS; i++) {
        const uint64_t max = MESSAGE_NUMBER_MAX;
        m.vnfs[i] = (struct message_vnf){.granted_bytes = max,
                                         .actual_bytes = max,
                                         .used_bytes = max,
                                         .min_bytes = max,
                                         .max_bytes = max,
                                         .priority = 9,
                                         .overdue = max,
                                         .target_bytes = max,
                                         .change = "return"};
        memset(m.vnfs[i].vnf, 'v', MESSAGE_NAME_MAX);
        (void)strcpy(m.vnfs[i].backend, "simulated");
        memset(m.vnfs[i].detail, '"', MESSAGE_TEXT_MAX); // two bytes each
    }
    size_t len;
    char *line = message_format(&m, &len);
    assert_non_null(line);
    struct message back;
    assert_true(message_parse(line, len - 1, &back, NULL));
    assert_int_equal(back.vnf_count, VNFS);
    const struct message_vnf *last = &m.vnfs[VNFS - 1],
                             *got = &back.vnfs[VNFS - 1]; // by fields: not what is between them
    assert_string_equal(got->vnf, last->vnf);
    assert_string_equal(got->backend, last->backend);
    assert_string_equal(got->change, last->change);
    assert_string_equal(got->detail, last->detail);
    assert_int_equal(got->connected, last->connected);
    assert_int_equal(got->granted_bytes, last->granted_bytes);
    assert_int_equal(got->target_bytes, last->target_bytes);
    assert_int_equal(got->overdue, last->overdue);
    free(line);
    message_release(&back);
    message_release(&m);
}

// Texts that the other side would refuse go as ASCII; numbers that it would refuse as the greatest that it takes.
static void what_cannot_be_sent_as_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sent;
    } texts[] = {
        {"a\nb", "a?b"},    {"\x1b[31m", "?[31m"},          {"\x7f", "?"},      {"caf\xc3", "caf?"},
        {"\xc2\x9b", "??"}, {"caf\xc3\xa9", "caf\xc3\xa9"}, {"\xff\xfe", "??"},
    };
    size_t len;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct message m = {.type = MESSAGE_GRANT, .granularity = 1}, back;
        (void)strcpy(m.reason, texts[i].text);
        char *line = message_format(&m, &len);
        assert_non_null(line);
        assert_true(message_parse(line, len - 1, &back, NULL));
        assert_string_equal(back.reason, texts[i].sent);
        free(line);
    }
    struct message m = {.type = MESSAGE_OFFER, .available_bytes = UINT64_MAX};
    char *line = message_format(&m, &len);
    assert_string_equal(line, "{\"type\":\"offer\",\"available_bytes\":" BIG "}\n");
    free(line);
    assert_null(message_format(&(struct message){.type = MESSAGE_UNKNOWN}, &len));
    assert_null(message_format(&(struct message){.type = (enum message_type)77}, &len));
}

static void names_and_words(void **state)
{
    (void)state;
    assert_true(message_name_is_good("a"));
    assert_true(message_name_is_good(X64));
    assert_true(message_name_is_good("AZaz09._-"));
    assert_false(message_name_is_good(""));
    assert_false(message_name_is_good(X64 "x"));
    assert_false(message_name_is_good("a b"));
    assert_false(message_name_is_good("a/b"));
    assert_false(message_name_is_good("\xc3\xa9"));
    assert_string_equal(message_state_name(STATE_INFEASIBLE), "infeasible");
    assert_string_equal(message_state_name((enum message_state)99), "?");
    assert_string_equal(message_error_code_name(ERROR_UNKNOWN_VNF), "unknown_vnf");
    assert_string_equal(message_error_code_name((enum message_error_code)99), "?");
    for (int s = STATE_ACCEPTED; s <= STATE_REFUSED; s++)
        assert_int_equal(message_state_is_final((enum message_state)s),
                         s != STATE_ACCEPTED && s != STATE_PROGRESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_both_ways),
        cmocka_unit_test(values),
        cmocka_unit_test(other_spellings),
        cmocka_unit_test(the_largest_status),
        cmocka_unit_test(what_cannot_be_sent_as_it_is),
        cmocka_unit_test(names_and_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
