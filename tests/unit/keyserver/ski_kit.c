#include "ski_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>

char ski_kit_ecdhe_json[1024], ski_kit_rsa_json[1024], ski_kit_tls13_json[1024];
uint8_t ski_kit_ecdhe_input[SKI_INPUT_MAX], ski_kit_rsa_input[256], ski_kit_tls13_input[SKI_INPUT_MAX];
struct ski_request ski_kit_got;

int ski_kit_setup(void **state)
{
    (void)state;
    size_t len = kit_ecdhe_input(&kit_curves[0], ski_kit_ecdhe_input);
    (void)snprintf(ski_kit_ecdhe_json, sizeof ski_kit_ecdhe_json, "\"%s\"",
                   kit_base64(ski_kit_ecdhe_input, len));
    len = kit_tls13_input(32, ski_kit_tls13_input);
    (void)snprintf(ski_kit_tls13_json, sizeof ski_kit_tls13_json, "\"%s\"",
                   kit_base64(ski_kit_tls13_input, len));
    assert_int_equal(RAND_bytes(ski_kit_rsa_input, sizeof ski_kit_rsa_input), 1);
    (void)snprintf(ski_kit_rsa_json, sizeof ski_kit_rsa_json, "\"%s\"",
                   kit_base64(ski_kit_rsa_input, sizeof ski_kit_rsa_input));
    return 0;
}

enum ski_status ski_kit_parse(enum ski_dialect dialect, const char *body, size_t len)
{
    // The exact size, so that a read past the end is seen; and a request full of what was there before.
    char *exact = malloc(len + 1);
    assert_non_null(exact);
    memcpy(exact + 1, body, len);
    memset(&ski_kit_got, 0xa5, sizeof ski_kit_got);
    enum ski_status status = ski_request_parse(dialect, exact + 1, len, &ski_kit_got);
    free(exact);
    assert_int_equal(ski_kit_got.dialect, dialect);
    assert_true(status == SKI_OK || status == SKI_MALFORMED);
    return status;
}

bool ski_kit_reads_text(enum ski_dialect dialect, const char *body)
{
    return ski_kit_parse(dialect, body, strlen(body)) == SKI_OK;
}

bool ski_kit_reads(enum ski_dialect dialect, struct ski_kit_members m)
{
    char body[4096];
    const struct {
        const char *name, *value;
    } parts[] = {{"protocol", m.protocol},
                 {"spki", m.spki},
                 {"method", m.method},
                 {"hash", m.hash},
                 {"input", m.input}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].value != NULL)
            n += (size_t)snprintf(body + n, sizeof body - n, "%s\"%s\":%s", n == 0 ? "{" : ",", parts[i].name,
                                  parts[i].value);
    (void)snprintf(body + n, sizeof body - n, "%s}", m.more != NULL ? m.more : "");
    return ski_kit_reads_text(dialect, body);
}

struct ski_kit_members ski_kit_ecdhe(void)
{
    return (struct ski_kit_members){"\"TLS 1.2\"", "\"" SKI_KIT_SPKI "\"", "\"ECDHE\"",
                                    NULL,          ski_kit_ecdhe_json,     NULL};
}

struct ski_kit_members ski_kit_rsa(void)
{
    return (struct ski_kit_members){"\"TLS 1.2\"", "\"" SKI_KIT_SPKI "\"", "\"RSA\"",
                                    NULL,          ski_kit_rsa_json,       NULL};
}
