// Requests as printed and answers as read: the wire format of SKI from the edge's side.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "edge-sim/ski_message.h"

#define SPKI "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// The body is the JSON of the draft, with every member in its place, and nothing that was not asked for.
static void test_body(void **state)
{
    (void)state;
    char body[SKI_WIRE_MAX];
    const uint8_t input[] = {0xde, 0xad, 0xbe, 0xef};
    struct ski_request r = {.protocol = "TLS 1.2",
                            .spki = SPKI,
                            .method = SKI_METHOD_ECDHE,
                            .hash = "SHA-256",
                            .input = input,
                            .input_len = sizeof input};
    size_t len = ski_body_build(body, sizeof body, &r);
    assert_string_equal(body, "{\"protocol\":\"TLS 1.2\",\"spki\":\"" SPKI
                              "\",\"method\":\"ECDHE\",\"hash\":\"SHA-256\",\"input\":\"3q2+7w==\"}");
    assert_int_equal(len, strlen(body));
    r = (struct ski_request){.protocol = "TLS 1.2",
                             .spki = SPKI,
                             .method = SKI_METHOD_RSA,
                             .client_version = "TLS 1.2",
                             .input = input,
                             .input_len = 3};
    (void)ski_body_build(body, sizeof body, &r);
    assert_string_equal(body, "{\"protocol\":\"TLS 1.2\",\"spki\":\"" SPKI
                              "\",\"method\":\"RSA\",\"client_version\":\"TLS 1.2\",\"input\":\"3q2+\"}");
    r = (struct ski_request){.protocol = "TLS 1.3",
                             .spki = SPKI,
                             .method = SKI_METHOD_ECDHE,
                             .scheme = "ecdsa_secp256r1_sha256",
                             .input = input,
                             .input_len = 1};
    len = ski_body_build(body, sizeof body, &r);
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_object_size(root), 5);
    assert_string_equal(json_string_value(json_object_get(root, "scheme")), "ecdsa_secp256r1_sha256");
    json_decref(root);
}

// What cannot be a request is not printed: no input, too much of it, words that would break out of their
// quotes, no room.
static void test_body_refusals(void **state)
{
    (void)state;
    char body[SKI_WIRE_MAX];
    static const uint8_t input[SKI_INPUT_MAX + 1];
    struct ski_request r = {.protocol = "TLS 1.2", .spki = SPKI, .input = input, .input_len = SKI_INPUT_MAX};
    size_t len = ski_body_build(body, sizeof body, &r);
    assert_true(len > 0);
    assert_int_equal(ski_body_build(body, len, &r), 0);
    assert_true(ski_body_build(body, len + 1, &r) == len);
    r.input_len = SKI_INPUT_MAX + 1;
    assert_int_equal(ski_body_build(body, sizeof body, &r), 0);
    r.input_len = 0;
    assert_int_equal(ski_body_build(body, sizeof body, &r), 0);
    r.input_len = 1;
    r.spki = "x\",\"method\":\"RSA";
    assert_int_equal(ski_body_build(body, sizeof body, &r), 0);
    r.spki = "x\n";
    assert_int_equal(ski_body_build(body, sizeof body, &r), 0);
    r.spki = NULL;
    assert_int_equal(ski_body_build(body, sizeof body, &r), 0);
}

// The HTTP request says its length; the largest valid one fits into SKI_WIRE_MAX.
static void test_request(void **state)
{
    (void)state;
    char wire[SKI_WIRE_MAX + 1];
    char host[SKI_HOST_MAX];
    static const uint8_t input[SKI_INPUT_MAX];
    struct ski_request r = {.protocol = "DTLS 1.2",
                            .spki = SPKI,
                            .method = SKI_METHOD_ECDHE,
                            .hash = "SHA-256",
                            .scheme = "rsa_pss_rsae_sha256",
                            .client_version = "DTLS 1.2",
                            .input = input,
                            .input_len = sizeof input};
    memset(host, 'h', sizeof host);
    host[SKI_HOST_MAX - 1] = '\0';
    size_t len = ski_request_build(wire, SKI_WIRE_MAX, host, &r);
    assert_true(len > 0);
    wire[len] = '\0';
    const char *body = strstr(wire, "\r\n\r\n") + 4;
    unsigned long told = strtoul(strstr(wire, "Content-Length: ") + 16, NULL, 10);
    assert_int_equal(told, strlen(body));
    assert_memory_equal(wire, "POST /ski HTTP/1.1\r\nHost: hhh", 29);
    assert_int_equal(ski_request_build(wire, 200, "h", &r), 0);
}

static ssize_t read_answer(const char *text, struct ski_answer *a)
{
    memset(a, 0xa5, sizeof *a);
    // A copy of the exact size, so that reading past the end shows under AddressSanitizer.
    size_t len = strlen(text);
    char *exact = malloc(len + 1);
    memcpy(exact, text, len);
    ssize_t used = ski_answer_read(exact, len, a);
    free(exact);
    return used;
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "

// A success is read, whole or with more behind it, in any spelling of the same JSON.
static void test_good_answers(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        OK_HEAD "21\r\n\r\n{\"output\":\"3q2+7w==\"}",
        OK_HEAD "22\r\n\r\n{\"output\":\"3q2+7w==\"}\n",
        OK_HEAD "26\r\n\r\n{ \"output\" : \"3q2\\u002b7w==\"}",
        "HTTP/1.1 200\r\ncontent-length:21  \r\n\r\n{\"output\":\"3q2+7w==\"}",
        OK_HEAD "33\r\n\r\n{\"id\": 7.5, \"output\":\"3q2+7w==\"} ",
    };
    struct ski_answer a;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        char text[512];
        const char *body = strstr(bodies[i], "\r\n\r\n") + 4;
        size_t body_len = strlen(body);
        const char *head_len = strcasestr(bodies[i], "content-length:") + 15;
        // The given length counts, as the third and fifth body are longer or shorter than they look.
        (void)snprintf(text, sizeof text, "%.*s%zu\r\n\r\n%s", (int)(head_len - bodies[i]), bodies[i],
                       body_len, body);
        assert_int_equal(read_answer(text, &a), strlen(text));
        assert_int_equal(a.status, SKI_OK);
        assert_int_equal(a.output_len, 4);
        assert_memory_equal(a.output, "\xde\xad\xbe\xef", 4);
        assert_false(a.close);
        for (size_t cut = 0; cut < strlen(text); cut++) // incomplete at every byte: more is needed
            assert_int_equal(ski_answer_read(text, cut, &a), 0);
    }
    char two[512];
    (void)snprintf(two, sizeof two, "%s%s", bodies[0], bodies[0]);
    assert_int_equal(read_answer(two, &a), strlen(bodies[0]));
}

// Refusals map to statuses, by HTTP status or, in a 200, by the words of the draft.
static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum ski_status status;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\nContent-Length: 29\r\n\r\n{\"error\":\"malformed request\"}",
         SKI_MALFORMED},
        {"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n", SKI_DENIED},
        {"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", SKI_NOT_FOUND},
        {"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", SKI_FAILED},
        {"HTTP/1.1 503 X\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n", SKI_BUSY},
        {"HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n", SKI_BUSY},
        {OK_HEAD "26\r\n\r\n{\"error\":\"request denied\"}", SKI_DENIED},
        {OK_HEAD "26\r\n\r\n{\"error\":\"spki not found\"}", SKI_NOT_FOUND},
        {OK_HEAD "17\r\n\r\n{\"error\":\"other\"}", SKI_FAILED},
        {OK_HEAD "2\r\n\r\n{}", SKI_BAD_ANSWER},
        {OK_HEAD "5\r\n\r\nhello", SKI_BAD_ANSWER},
        {OK_HEAD "0\r\n\r\n", SKI_BAD_ANSWER},
        {OK_HEAD "13\r\n\r\n{\"output\":\"\"}", SKI_BAD_ANSWER},
        {OK_HEAD "16\r\n\r\n{\"output\":\"3q2\"}", SKI_BAD_ANSWER},
        {OK_HEAD "17\r\n\r\n{\"output\":\"=q2+\"}", SKI_BAD_ANSWER},
        {OK_HEAD "17\r\n\r\n{\"output\":\" q2+\"}", SKI_BAD_ANSWER},
        {OK_HEAD "13\r\n\r\n{\"output\":12}", SKI_BAD_ANSWER},
        {OK_HEAD "29\r\n\r\n{\"output\":\"3q2+\",\"error\":\"x\"}", SKI_BAD_ANSWER},
        {OK_HEAD "33\r\n\r\n{\"output\":\"3q2+\",\"output\":\"3q2+\"}", SKI_BAD_ANSWER},
    };
    struct ski_answer a;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_answer(cases[i].text, &a), strlen(cases[i].text));
        assert_int_equal(a.status, cases[i].status);
        assert_int_equal(a.output_len, 0);
        assert_int_equal(a.retry_after_s, cases[i].status == SKI_BUSY && i == 4 ? 2 : 0);
    }
    assert_true(read_answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", &a) > 0);
    assert_true(a.close);
    assert_true(read_answer("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", &a) > 0);
    assert_true(a.close);
}

// What no key server sends ends the connection: two lengths, none, chunks, huge ones, other protocols,
// endless heads.
static void test_no_answers(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "SSH-2.0-x\r\n",
        "HTTP/2 200\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 8193\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nNonsense\r\nContent-Length: 0\r\n\r\n",
    };
    struct ski_answer a;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(read_answer(bad[i], &a), -1);
    static char endless[SKI_ANSWER_HEAD_MAX + 1];
    memset(endless, 'a', sizeof endless - 1);
    memcpy(endless, "HTTP/1.1 200 OK\r\nX: ", 20);
    assert_int_equal(read_answer(endless, &a), -1);
    endless[SKI_ANSWER_HEAD_MAX - 1] = '\0';
    assert_int_equal(read_answer(endless, &a), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body),     cmocka_unit_test(test_body_refusals),
        cmocka_unit_test(test_request),  cmocka_unit_test(test_good_answers),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_no_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
