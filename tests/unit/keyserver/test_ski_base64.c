// Base64 of inputs: what deployed clients write is read, what could hide bits is not.
#include "kit.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>

// Decodes a text of exactly that size into room for exactly `room` bytes.
static bool decodes_into(const char *text, size_t text_len, uint8_t *out, size_t room, size_t *len)
{
    char *exact = malloc(text_len + 1);
    uint8_t *exact_out = malloc(room + 1);
    assert_true(exact != NULL && exact_out != NULL);
    memcpy(exact + 1, text, text_len);
    *len = room;
    bool good = ski_base64_decode(exact + 1, text_len, exact_out + 1, len);
    if (good) {
        assert_true(*len <= room);
        memcpy(out, exact_out + 1, *len);
    }
    free(exact);
    free(exact_out);
    return good;
}

static bool decodes(const char *text, const char *expected)
{
    uint8_t out[256];
    size_t len;
    return decodes_into(text, strlen(text), out, sizeof out, &len) && len == strlen(expected) &&
           memcmp(out, expected, len) == 0;
}

static bool refuses(const char *text)
{
    uint8_t out[256];
    size_t len;
    return !decodes_into(text, strlen(text), out, sizeof out, &len);
}

static void agrees_with_openssl(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 300; n++) {
        uint8_t bytes[300], out[300];
        size_t len;
        assert_int_equal(RAND_bytes(bytes, sizeof bytes), 1);
        const char *text = kit_base64(bytes, n);
        assert_true(decodes_into(text, strlen(text), out, n, &len));
        assert_int_equal(len, n);
        assert_memory_equal(out, bytes, n);
        if (n > 0) // a byte too little of room is noticed before it is written past
            assert_false(decodes_into(text, strlen(text), out, n - 1, &len));
    }
}

// RFC 4648 section 10, then what clients leave out or put in.
static void leniencies(void **state)
{
    (void)state;
    assert_true(decodes("", ""));
    assert_true(decodes("Zg==", "f"));
    assert_true(decodes("Zm8=", "fo"));
    assert_true(decodes("Zm9v", "foo"));
    assert_true(decodes("Zm9vYg==", "foob"));
    assert_true(decodes("Zg", "f"));
    assert_true(decodes("Zm8", "fo"));
    assert_true(decodes("Zm9vYg", "foob"));
    assert_true(decodes(" Zm9v\r\nYg== \n", "foob"));
    assert_true(decodes("Z m\t9\nv", "foo"));
    assert_true(decodes("Zg= =\n", "f"));
    assert_true(decodes(" \n", ""));
    assert_true(decodes("+/+/", "\xfb\xff\xbf"));
}

static void refusals(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Z",        "Zm9vY", // a length that cannot be
        "Zg=",      "Zg===", "Zm8==", "Zm9v=", "Zm9v==", "=",        "==",
        "====",                                                  // wrong padding
        "Zg==Zg==", "Zg==Z", "Zg=a",  "Zg=A",  "Z=g=",   "=Zm8", // data behind the padding
        "Zh==",     "Zm9=",  "Zh",    "Zm9",                     // bits that belong to no byte
        "Zm9-",     "Zm9_",  "Zm9,",  "Zm.v",  "Zm9v\v", "Zm9v\x80", "\xef\xbb\xbfZm9v",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_true(refuses(bad[i]));
    uint8_t out[8];
    size_t len;
    assert_false(decodes_into("Zm9\0", 4, out, sizeof out, &len));
    assert_false(decodes_into("Zm9v\0", 5, out, sizeof out, &len));
}

static void every_character(void **state)
{
    (void)state;
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int c = 0; c < 256; c++) {
        char text[4] = {'A', 'A', 'A', (char)c};
        uint8_t out[3];
        size_t len;
        const char *at = c != 0 ? strchr(alphabet, c) : NULL;
        bool skipped = c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '=';
        bool good = decodes_into(text, 4, out, sizeof out, &len);
        assert_int_equal(good, at != NULL || skipped);
        if (good && at != NULL)
            assert_int_equal(out[2], at - alphabet);
        if (good && at == NULL)
            assert_int_equal(len, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_openssl),
        cmocka_unit_test(leniencies),
        cmocka_unit_test(refusals),
        cmocka_unit_test(every_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
