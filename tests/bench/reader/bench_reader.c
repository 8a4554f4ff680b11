// bench_reader: what a request costs from its bytes to an operation, and its answer from there to bytes, step by step;
// the two readers of JSON side by side. README.md says how to read it.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "keyserver/answer.h"
#include "keyserver/http.h"
#include "keyserver/ski_input.h"
#include "keyserver/ski_json.h"
#include "keyserver/ski_plain.h"

#define TURNS 9

static struct {
    char request[2048], *body, *text; // text: the Base64 of the input
    size_t request_len, body_len, text_len;
    struct keyop op;
    const char *name;
} cases[2];

static void fail(const char *what)
{
    fprintf(stderr, "bench_reader: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// ---- steps: each does its work once

static void step_http(unsigned c)
{
    static const struct http_limits limits = {.line_max = 8192, .head_max = 8192, .body_max = 16384};
    struct http_reader reader;
    struct http_request http;
    http_reader_reset(&reader);
    if (http_read(&reader, &limits, cases[c].request, cases[c].request_len, &http) != HTTP_DONE)
        fail("the request is not read");
}

static void step_jansson(unsigned c)
{
    struct ski_members members;
    json_t *json;
    if (!ski_json_read(cases[c].body, cases[c].body_len, &members, &json))
        fail("the body is not read");
    json_decref(json);
}

static void step_plain(unsigned c)
{
    struct ski_members members;
    if (!ski_plain_read(cases[c].body, cases[c].body_len, &members))
        fail("the body is not in the usual form");
}

static void step_base64(unsigned c)
{
    uint8_t out[SKI_INPUT_MAX];
    size_t len = sizeof out;
    if (!ski_base64_decode(cases[c].text, cases[c].text_len, out, &len))
        fail("the input is not decoded");
}

static void step_input(unsigned c)
{
    if (!ski_input_check(&cases[c].op.request))
        fail("the input is refused");
}

static void step_request(unsigned c)
{
    if (ski_request_parse(SKI_DRAFT, cases[c].body, cases[c].body_len, &cases[c].op.request) != SKI_OK)
        fail("the request is refused");
}

static void step_answer(unsigned c)
{
    static char out[ANSWER_MAX];
    if (answer_format(&cases[c].op, out) < cases[c].op.output_len)
        fail("no answer");
}

static const struct {
    const char *name;
    void (*run)(unsigned c);
} steps[] = {
    {"http", step_http},
    {"members, jansson", step_jansson},
    {"members, plain", step_plain},
    {"base64", step_base64},
    {"input", step_input},
    {"request", step_request},
    {"answer", step_answer},
};

#define STEPS (sizeof steps / sizeof steps[0])

// ---- what they work on

static size_t p256_input(uint8_t *input)
{
    static const uint8_t head[] = {3, 0, 23, 65};
    size_t len = 0;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (key == NULL || RAND_bytes(input, 64) != 1 ||
        EVP_PKEY_get_octet_string_param(key, "encoded-pub-key", input + 68, 65, &len) != 1 || len != 65)
        fail("OpenSSL could not make a key");
    memcpy(input + 64, head, sizeof head);
    EVP_PKEY_free(key);
    return 133;
}

static void make_case(unsigned c, const char *name, const char *method, const uint8_t *input,
                      size_t input_len, size_t output_len)
{
    char text[1024], body[1536];
    (void)EVP_EncodeBlock((unsigned char *)text, input, (int)input_len);
    int n = snprintf(body, sizeof body,
                     "{\"protocol\":\"TLS 1.2\",\"spki\":\"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\","
                     "\"method\":\"%s\",\"hash\":\"SHA-256\",\"input\":\"%s\"}",
                     method, text);
    cases[c].name = name;
    cases[c].body_len = (size_t)n;
    cases[c].request_len = (size_t)snprintf(
        cases[c].request, sizeof cases[c].request,
        "POST /ski HTTP/1.1\r\nHost: keyserver.example.net:8443\r\nUser-Agent: edge/1.0\r\nAccept: */*\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
        n, body);
    cases[c].body = cases[c].request + cases[c].request_len - n;
    cases[c].text = strstr(cases[c].body, text);
    cases[c].text_len = strlen(text);
    cases[c].op.output_len = output_len;
    if (RAND_bytes(cases[c].op.output, (int)output_len) != 1)
        fail("no random bytes");
    step_request(c);
}

// ---- measuring

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Nanoseconds of a step, by running it for so many seconds.
static double measure(void (*run)(unsigned), unsigned c, double seconds)
{
    double start = now(), spent;
    unsigned long count = 0;
    do {
        for (int i = 0; i < 100; i++)
            run(c);
        count += 100;
        spent = now() - start;
    } while (spent < seconds);
    return 1e9 * spent / (double)count;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"seconds", required_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    static double ns[2][STEPS][TURNS];
    uint8_t input[256];
    double seconds = 0.5;

    for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        char *end = NULL;
        seconds = o == 's' ? strtod(optarg, &end) : 0;
        if (end == NULL || *end != '\0' || !(seconds > 0 && seconds <= 60)) {
            fprintf(stderr, "usage: bench_reader [--seconds N]\n");
            return 2;
        }
    }
    if (RAND_bytes(input, sizeof input) != 1)
        fail("no random bytes");
    make_case(0, "RSA-2048 decryption", "RSA", input, 256, SKI_PREMASTER_LEN);
    size_t len = p256_input(input);
    make_case(1, "RSA-2048 signature, P-256 parameters", "ECDHE", input, len, 256);

    for (unsigned turn = 0; turn < TURNS; turn++)
        for (unsigned c = 0; c < 2; c++)
            for (size_t s = 0; s < STEPS; s++)
                ns[c][s][turn] = measure(steps[s].run, c, seconds / TURNS);
    for (unsigned c = 0; c < 2; c++) {
        printf("%s, body of %zu bytes\n", cases[c].name, cases[c].body_len);
        for (size_t s = 0; s < STEPS; s++) {
            qsort(ns[c][s], TURNS, sizeof ns[c][s][0], ascending);
            printf("  %-18s %8.0f ns\n", steps[s].name, ns[c][s][TURNS / 2]);
        }
    }
    return 0;
}
