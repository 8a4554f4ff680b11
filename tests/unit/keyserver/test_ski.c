// What an edge may ask, member by member, in both dialects: every word of the draft and of its extensions is
// understood and everything else is malformed.
#include "ski_kit.h"

#include <stdio.h>

static void both_methods(void **state)
{
    (void)state;
    for (enum ski_dialect d = SKI_DRAFT; d <= SKI_JAVA; d++) {
        assert_true(ski_kit_reads(d, ski_kit_ecdhe()));
        assert_int_equal(ski_kit_got.method, SKI_METHOD_ECDHE);
        assert_int_equal(ski_kit_got.protocol, SKI_TLS_1_2);
        assert_int_equal(ski_kit_got.hash, SKI_SHA1); // RFC 5246: the default without signature_algorithms
        assert_int_equal(ski_kit_got.padding, SKI_PKCS1);
        assert_int_equal(ski_kit_got.scheme_key, 0);
        assert_string_equal(ski_kit_got.spki, SKI_KIT_SPKI);
        assert_int_equal(ski_kit_got.input_len, 133);
        assert_memory_equal(ski_kit_got.input, ski_kit_ecdhe_input, 133);

        assert_true(ski_kit_reads(d, ski_kit_rsa()));
        assert_int_equal(ski_kit_got.method, SKI_METHOD_RSA);
        assert_int_equal(ski_kit_got.client_version, SKI_TLS_1_2);
        assert_int_equal(ski_kit_got.input_len, sizeof ski_kit_rsa_input);
        assert_memory_equal(ski_kit_got.input, ski_kit_rsa_input, sizeof ski_kit_rsa_input);
    }
}

static void method_may_be_left_out_in_the_draft_only(void **state)
{
    (void)state;
    struct ski_kit_members m = ski_kit_ecdhe();
    m.method = NULL;
    assert_true(ski_kit_reads(SKI_DRAFT, m));
    assert_int_equal(ski_kit_got.method, SKI_METHOD_ECDHE);
    assert_false(ski_kit_reads(SKI_JAVA, m));
}

static void every_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        enum ski_protocol protocol;
        uint8_t bytes[2];
    } cases[] = {
        {"\"TLS 1.0\"", SKI_TLS_1_0, {3, 1}},         {"\"TLS 1.1\"", SKI_TLS_1_1, {3, 2}},
        {"\"TLS 1.2\"", SKI_TLS_1_2, {3, 3}},         {"\"DTLS 1.0\"", SKI_DTLS_1_0, {0xfe, 0xff}},
        {"\"DTLS 1.2\"", SKI_DTLS_1_2, {0xfe, 0xfd}},
    };
    for (enum ski_dialect d = SKI_DRAFT; d <= SKI_JAVA; d++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct ski_kit_members m = ski_kit_ecdhe();
            uint8_t bytes[2];
            m.protocol = cases[i].word;
            assert_true(ski_kit_reads(d, m));
            assert_int_equal(ski_kit_got.protocol, cases[i].protocol);
            m = ski_kit_rsa();
            m.protocol = cases[i].word;
            assert_true(ski_kit_reads(d, m));
            assert_int_equal(ski_kit_got.client_version, cases[i].protocol);
            ski_protocol_bytes(ski_kit_got.client_version, bytes);
            assert_memory_equal(bytes, cases[i].bytes, 2);
        }
    static const char *const unknown[] = {"\"TLS 1.4\"", "\"tls 1.2\"",  "\"TLS1.2\"", "\"TLS 1.2 \"",
                                          "\"SSL 3.0\"", "\"SSLv2\"",    "\"\"",       "null",
                                          "3",           "[\"TLS 1.2\"]"};
    for (enum ski_dialect d = SKI_DRAFT; d <= SKI_JAVA; d++)
        for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
            struct ski_kit_members m = ski_kit_ecdhe();
            m.protocol = unknown[i];
            assert_false(ski_kit_reads(d, m));
        }
}

static void every_hash(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        enum ski_hash hash;
    } cases[] = {{"\"SHA1\"", SKI_SHA1},      {"\"SHA-224\"", SKI_SHA224}, {"\"SHA-256\"", SKI_SHA256},
                 {"\"SHA-384\"", SKI_SHA384}, {"\"SHA-512\"", SKI_SHA512}, {NULL, SKI_SHA1}};
    static const char *const protocols[] = {"\"TLS 1.2\"", "\"DTLS 1.2\""};
    static const char *const old[] = {"\"TLS 1.0\"", "\"TLS 1.1\"", "\"DTLS 1.0\""};
    for (enum ski_dialect d = SKI_DRAFT; d <= SKI_JAVA; d++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct ski_kit_members m = ski_kit_ecdhe();
            m.hash = cases[i].word;
            for (size_t p = 0; p < 2; p++) {
                m.protocol = protocols[p];
                assert_true(ski_kit_reads(d, m));
                assert_int_equal(ski_kit_got.hash, cases[i].hash);
            }
            // Before TLS 1.2 there is no choice: SHA1 or nothing is said, and means MD5 and SHA-1.
            for (size_t p = 0; p < 3; p++) {
                m.protocol = old[p];
                assert_int_equal(ski_kit_reads(d, m), cases[i].hash == SKI_SHA1);
                if (cases[i].hash == SKI_SHA1)
                    assert_int_equal(ski_kit_got.hash, SKI_MD5_SHA1);
            }
        }
    static const char *const unknown[] = {"\"SHA256\"",   "\"sha-256\"", "\"SHA-1\"", "\"MD5\"",
                                          "\"MD5-SHA1\"", "\"\"",        "null",      "256"};
    for (enum ski_dialect d = SKI_DRAFT; d <= SKI_JAVA; d++)
        for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
            struct ski_kit_members m = ski_kit_ecdhe();
            m.hash = unknown[i];
            assert_false(ski_kit_reads(d, m));
            m = ski_kit_rsa(); // it says nothing there, but is checked all the same
            m.hash = unknown[i];
            assert_false(ski_kit_reads(d, m));
        }
    struct ski_kit_members m = ski_kit_rsa();
    m.hash = "\"SHA-256\"";
    assert_true(ski_kit_reads(SKI_DRAFT, m));
}

static void every_method(void **state)
{
    (void)state;
    static const char *const unknown[] = {"\"rsa\"", "\"ecdhe\"", "\"DHE\"", "\"ECDHE \"",
                                          "\"\"",    "null",      "{}"};
    for (enum ski_dialect d = SKI_DRAFT; d <= SKI_JAVA; d++)
        for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
            struct ski_kit_members m = ski_kit_ecdhe();
            m.method = unknown[i];
            assert_false(ski_kit_reads(d, m));
        }
}

static void every_form_of_spki(void **state)
{
    (void)state;
    static const char sha1[] = "A9993E364706816ABA3E25717850C26C9CD0D89D";
    static const struct {
        const char *text, *name;
    } cases[] = {
        {"\"" SKI_KIT_SPKI "\"", SKI_KIT_SPKI},
        {"\"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD\\/YfIAFa0=\"", SKI_KIT_SPKI}, // JSON's escaped slash
        {"\"ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0\"", SKI_KIT_SPKI},
        {"\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"", SKI_KIT_SPKI},
        {"\"A9993E364706816ABA3E25717850C26C9CD0D89D\"", sha1},
        {"\"a9993e364706816aba3e25717850c26c9cd0d89d\"", sha1},
        // No fingerprint at all is well-formed JSON: a key that does not exist, not a malformed request.
        {"\"odd\"", ""},
        {"\"../../etc/passwd\"", ""},
        {"\" \"", ""},
        {"\"\\u20ac\"", ""},
    };
    for (enum ski_dialect d = SKI_DRAFT; d <= SKI_JAVA; d++) {
        struct ski_kit_members m = ski_kit_ecdhe();
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            m.spki = cases[i].text;
            assert_true(ski_kit_reads(d, m));
            assert_string_equal(ski_kit_got.spki, cases[i].name);
        }
        static const char *const wrong[] = {"\"\"", "null", "1", "true", "[]", "{}"};
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            m.spki = wrong[i];
            assert_false(ski_kit_reads(d, m));
        }
    }
}

// Required, and of the right type: each member in turn.
static void members_missing_empty_or_of_another_type(void **state)
{
    (void)state;
    static const char *const wrong[] = {NULL,   "null",  "\"\"", "0",  "1.5",
                                        "true", "false", "[]",   "{}", "[\"a\"]"};
    for (enum ski_dialect d = SKI_DRAFT; d <= SKI_JAVA; d++)
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            struct ski_kit_members m = ski_kit_ecdhe();
            m.protocol = wrong[i];
            assert_false(ski_kit_reads(d, m));
            m = ski_kit_ecdhe();
            m.spki = wrong[i];
            assert_false(ski_kit_reads(d, m));
            m = ski_kit_ecdhe();
            m.input = wrong[i];
            assert_false(ski_kit_reads(d, m));
            m = ski_kit_rsa();
            m.input = wrong[i];
            assert_false(ski_kit_reads(d, m));
            if (wrong[i] == NULL)
                continue;
            static const char *const extensions[] = {"scheme", "client_version"};
            for (size_t x = 0; x < 2; x++) {
                char more[64];
                (void)snprintf(more, sizeof more, ",\"%s\":%s", extensions[x], wrong[i]);
                m = x == 0 ? ski_kit_ecdhe() : ski_kit_rsa();
                m.more = more;
                assert_false(ski_kit_reads(d, m));
            }
        }
}

static void unknown_members_are_ignored_and_the_last_of_two_wins(void **state)
{
    (void)state;
    for (enum ski_dialect d = SKI_DRAFT; d <= SKI_JAVA; d++) {
        struct ski_kit_members m = ski_kit_ecdhe();
        m.more = ",\"id\":7,\"nested\":{\"protocol\":\"SSL 2.0\",\"a\":[1,2,{}]},\"\":null";
        assert_true(ski_kit_reads(d, m));
        m.hash = "\"SHA-512\"";
        m.more = ",\"protocol\":\"DTLS 1.2\",\"hash\":\"SHA-256\"";
        assert_true(ski_kit_reads(d, m));
        assert_int_equal(ski_kit_got.protocol, SKI_DTLS_1_2);
        assert_int_equal(ski_kit_got.hash, SKI_SHA256);
        m.more = ",\"input\":\"\"";
        assert_false(ski_kit_reads(d, m));
    }
}

static void client_version(void **state)
{
    (void)state;
    struct ski_kit_members m = ski_kit_rsa();
    m.protocol = "\"TLS 1.0\"";
    m.more = ",\"client_version\":\"TLS 1.2\"";
    assert_true(ski_kit_reads(SKI_DRAFT, m));
    assert_int_equal(ski_kit_got.protocol, SKI_TLS_1_0);
    assert_int_equal(ski_kit_got.client_version, SKI_TLS_1_2);
    m.more = ",\"client_version\":\"TLS 9\"";
    assert_false(ski_kit_reads(SKI_DRAFT, m));
    m = ski_kit_ecdhe(); // nothing in a signature carries it
    m.more = ",\"client_version\":\"TLS 1.2\"";
    assert_false(ski_kit_reads(SKI_DRAFT, m));
}

static void schemes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum ski_hash hash;
        enum ski_padding padding;
        enum keyrecord_type key;
        unsigned bits; // in TLS 1.3; 0 there means: any (RSA)
        bool tls13;
    } cases[] = {
        {"rsa_pkcs1_sha1", SKI_SHA1, SKI_PKCS1, KEYRECORD_RSA, 0, false},
        {"rsa_pkcs1_sha256", SKI_SHA256, SKI_PKCS1, KEYRECORD_RSA, 0, false},
        {"rsa_pkcs1_sha384", SKI_SHA384, SKI_PKCS1, KEYRECORD_RSA, 0, false},
        {"rsa_pkcs1_sha512", SKI_SHA512, SKI_PKCS1, KEYRECORD_RSA, 0, false},
        {"rsa_pss_rsae_sha256", SKI_SHA256, SKI_PSS, KEYRECORD_RSA, 0, true},
        {"rsa_pss_rsae_sha384", SKI_SHA384, SKI_PSS, KEYRECORD_RSA, 0, true},
        {"rsa_pss_rsae_sha512", SKI_SHA512, SKI_PSS, KEYRECORD_RSA, 0, true},
        {"ecdsa_sha1", SKI_SHA1, SKI_PKCS1, KEYRECORD_EC, 0, false},
        {"ecdsa_secp256r1_sha256", SKI_SHA256, SKI_PKCS1, KEYRECORD_EC, 256, true},
        {"ecdsa_secp384r1_sha384", SKI_SHA384, SKI_PKCS1, KEYRECORD_EC, 384, true},
        {"ecdsa_secp521r1_sha512", SKI_SHA512, SKI_PKCS1, KEYRECORD_EC, 521, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char more[64];
        struct ski_kit_members m = ski_kit_ecdhe();
        m.more = more;
        (void)snprintf(more, sizeof more, ",\"scheme\":\"%s\"", cases[i].name);
        assert_true(ski_kit_reads(SKI_DRAFT, m));
        assert_int_equal(ski_kit_got.hash, cases[i].hash);
        assert_int_equal(ski_kit_got.padding, cases[i].padding);
        assert_int_equal(ski_kit_got.scheme_key, cases[i].key);
        assert_int_equal(ski_kit_got.scheme_bits, 0); // TLS 1.2: the scheme binds no curve
        m.protocol = "\"TLS 1.3\"";
        m.input = ski_kit_tls13_json;
        assert_int_equal(ski_kit_reads(SKI_DRAFT, m), cases[i].tls13);
        if (cases[i].tls13)
            assert_int_equal(ski_kit_got.scheme_bits, cases[i].bits);
        m.protocol = "\"TLS 1.1\"";
        m.input = ski_kit_ecdhe_json;
        assert_false(ski_kit_reads(SKI_DRAFT, m));
        m = ski_kit_rsa();
        m.more = more;
        assert_false(ski_kit_reads(SKI_DRAFT, m));
        m = ski_kit_ecdhe(); // the scheme names the hash: there are no two ways to say it
        m.more = more;
        m.hash = "\"SHA-256\"";
        assert_false(ski_kit_reads(SKI_DRAFT, m));
    }
    static const char *const unknown[] = {"ed25519", "RSA_PSS_RSAE_SHA256", "rsa_pss_pss_sha256", "x"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        char more[64];
        struct ski_kit_members m = ski_kit_ecdhe();
        (void)snprintf(more, sizeof more, ",\"scheme\":\"%s\"", unknown[i]);
        m.more = more;
        assert_false(ski_kit_reads(SKI_DRAFT, m));
    }
}

static void tls13_asks_for_a_scheme_and_knows_no_rsa(void **state)
{
    (void)state;
    struct ski_kit_members m = ski_kit_ecdhe();
    m.protocol = "\"TLS 1.3\"";
    m.input = ski_kit_tls13_json;
    assert_false(ski_kit_reads(SKI_DRAFT, m));
    m.hash = "\"SHA-256\"";
    assert_false(ski_kit_reads(SKI_DRAFT, m));
    m = ski_kit_rsa();
    m.protocol = "\"TLS 1.3\"";
    assert_false(ski_kit_reads(SKI_DRAFT, m));
    m.more = ",\"scheme\":\"rsa_pss_rsae_sha256\"";
    assert_false(ski_kit_reads(SKI_DRAFT, m));
    // The inputs of TLS 1.2 and 1.3 cannot stand for each other.
    m = ski_kit_ecdhe();
    m.more = ",\"scheme\":\"rsa_pss_rsae_sha256\"";
    m.input = ski_kit_tls13_json;
    assert_false(ski_kit_reads(SKI_DRAFT, m));
    m.protocol = "\"TLS 1.3\"";
    assert_true(ski_kit_reads(SKI_DRAFT, m));
    m.input = ski_kit_ecdhe_json;
    assert_false(ski_kit_reads(SKI_DRAFT, m));
}

static void words_and_codes(void **state)
{
    (void)state;
    static const struct {
        enum ski_status status;
        const char *error;
        unsigned draft, java;
    } cases[] = {
        {SKI_OK, "", 200, 200},
        {SKI_MALFORMED, "malformed request", 400, 200},
        {SKI_NOT_FOUND, "spki not found", 404, 200},
        {SKI_DENIED, "request denied", 403, 403},
        {SKI_UNSPECIFIED, "unspecified error", 500, 200},
        {SKI_BUSY, "unspecified error", 503, 503},
        {SKI_EXPIRED, "unspecified error", 503, 503},
        {SKI_STORE_DOWN, "unspecified error", 503, 200},
    };
    assert_int_equal(sizeof cases / sizeof cases[0], SKI_STATUSES);
    for (size_t i = 0; i < SKI_STATUSES; i++) {
        assert_string_equal(ski_error_text(cases[i].status), cases[i].error);
        assert_int_equal(ski_http_status(SKI_DRAFT, cases[i].status), cases[i].draft);
        assert_int_equal(ski_http_status(SKI_JAVA, cases[i].status), cases[i].java);
        for (size_t k = 0; k < i; k++) // the log tells all of them apart
            assert_string_not_equal(ski_status_word(cases[i].status), ski_status_word(cases[k].status));
    }
    assert_string_equal(ski_method_word(SKI_METHOD_RSA), "RSA");
    assert_string_equal(ski_method_word(SKI_METHOD_ECDHE), "ECDHE");
    assert_string_equal(ski_protocol_word(SKI_DTLS_1_0), "DTLS 1.0");
    assert_string_equal(ski_hash_word(SKI_MD5_SHA1), "MD5-SHA1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_methods),
        cmocka_unit_test(method_may_be_left_out_in_the_draft_only),
        cmocka_unit_test(every_protocol),
        cmocka_unit_test(every_hash),
        cmocka_unit_test(every_method),
        cmocka_unit_test(every_form_of_spki),
        cmocka_unit_test(members_missing_empty_or_of_another_type),
        cmocka_unit_test(unknown_members_are_ignored_and_the_last_of_two_wins),
        cmocka_unit_test(client_version),
        cmocka_unit_test(schemes),
        cmocka_unit_test(tls13_asks_for_a_scheme_and_knows_no_rsa),
        cmocka_unit_test(words_and_codes),
    };
    return cmocka_run_group_tests(tests, ski_kit_setup, NULL);
}
