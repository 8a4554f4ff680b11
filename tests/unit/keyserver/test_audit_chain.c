// The line of a chain: what is written is read back, and what was not written so is refused.
#include "audit_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/audit_chain.h"
#include "keyserver/audit_internal.h"

static struct audit_hasher *hasher;
static char out[AUDIT_LINE_MAX];

static int setup(void **state)
{
    (void)audit_kit_setup(state);
    hasher = audit_hasher_create();
    assert_non_null(hasher);
    return 0;
}

static int teardown(void **state)
{
    audit_hasher_destroy(&hasher);
    return audit_kit_teardown(state);
}

static size_t append(struct audit_chain *chain, EVP_PKEY *key, const char *body)
{
    size_t len = audit_chain_append(chain, hasher, key, body, strlen(body), out);
    assert_true(len > 0 && len <= AUDIT_LINE_MAX && out[len - 1] == '\n');
    return len - 1;
}

#define TIME "{\"time\":\"2026-11-23T23:25:38.456973Z\""

static void hashes(void **state)
{
    (void)state;
    uint8_t hash[AUDIT_HASH_LEN], back[AUDIT_HASH_LEN];
    char hex[2 * AUDIT_HASH_LEN + 1];
    for (int i = 0; i < 2; i++) { // FIPS 180-2, appendix B.1
        assert_true(audit_hash(hasher, "abc", 3, hash));
        audit_hex(hash, sizeof hash, hex);
        assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
    assert_true(audit_unhex(hex, sizeof back, back));
    assert_memory_equal(hash, back, sizeof hash);
    hex[5] = 'A';
    assert_false(audit_unhex(hex, sizeof back, back));
    hex[5] = 'g';
    assert_false(audit_unhex(hex, sizeof back, back));
}

static void torn_bytes(void **state)
{
    (void)state;
    struct audit_torn torn;
    uint8_t whole[AUDIT_HASH_LEN], pieces[AUDIT_HASH_LEN];
    assert_true(audit_torn_init(&torn));
    assert_true(audit_torn_add(&torn, "", 0));
    assert_int_equal(torn.bytes, 0);
    assert_true(audit_torn_add(&torn, "ab", 2) && audit_torn_add(&torn, "c", 1));
    assert_int_equal(torn.bytes, 4);
    assert_true(audit_torn_hash(&torn, pieces) && audit_hash(hasher, "ab\nc", 4, whole));
    assert_memory_equal(whole, pieces, sizeof whole);
    audit_torn_reset(&torn);
    assert_true(audit_torn_add(&torn, "x", 1) && audit_torn_hash(&torn, pieces));
    assert_true(audit_hash(hasher, "x", 1, whole));
    assert_memory_equal(whole, pieces, sizeof whole);
    audit_torn_deinit(&torn);
}

static void lines_are_read_back(void **state)
{
    (void)state;
    struct audit_chain chain = {0}, before;
    struct audit_line line;
    size_t len = append(&chain, NULL, TIME ",\"event\":\"start\",\"version\":\"1\"");
    assert_true(audit_line_parse(out, len, &line));
    assert_int_equal(line.event, AUDIT_START);
    assert_int_equal(line.seq, 1);
    before = chain;
    len = append(&chain, NULL, TIME ",\"edge\":\"e\"");
    assert_true(audit_line_parse(out, len, &line));
    assert_int_equal(line.event, AUDIT_OPERATION);
    assert_int_equal(line.seq, 2);
    assert_memory_equal(line.prev, before.hash, AUDIT_HASH_LEN);
    assert_int_equal(line.signed_len, 0);
    len = append(&chain, NULL, TIME ",\"event\":\"head\",\"why\":\"interval\"");
    assert_true(audit_line_parse(out, len, &line) && line.event == AUDIT_HEAD && !line.closes);
    static const char *const closing[] = {"rotate", "reopen", "stop"};
    for (int i = 0; i < 3; i++) {
        char body[100];
        (void)snprintf(body, sizeof body, TIME ",\"event\":\"head\",\"why\":\"%s\"", closing[i]);
        len = append(&chain, NULL, body);
        assert_true(audit_line_parse(out, len, &line) && line.closes && line.stops == (i == 2));
    }
}

static void heads_are_signed(void **state)
{
    (void)state;
    struct error e;
    struct audit_chain chain = {0};
    struct audit_line line;
    char signer[AUDIT_SIGNER_LEN + 1], again[AUDIT_SIGNER_LEN + 1];
    EVP_PKEY *key = audit_key_load(kit_path("audit.key"), &e),
             *public = audit_public_load(kit_path("audit.pub"), &e);
    assert_true(key != NULL && public != NULL);
    assert_true(audit_signer(key, signer) && audit_signer(public, again));
    assert_string_equal(signer, again);
    size_t len = append(&chain, key, TIME ",\"event\":\"head\",\"why\":\"stop\"");
    assert_true(audit_line_parse(out, len, &line));
    assert_true(audit_signature_holds(public, out, line.signed_len, line.sig));
    for (size_t i = 0; i < line.signed_len; i++) {
        out[i] ^= 1;
        assert_false(audit_signature_holds(public, out, line.signed_len, line.sig));
        out[i] ^= 1;
    }
    line.sig[3] ^= 1;
    assert_false(audit_signature_holds(public, out, line.signed_len, line.sig));
    assert_null(audit_public_load(kit_path("audit.key"), &e));
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
}

// What an edge's name holds changes nothing of what is read.
static void hostile_names(void **state)
{
    (void)state;
    struct audit_chain chain = {.seq = 41};
    struct audit_line line;
    struct keyop op;
    char body[AUDIT_BODY_MAX];
    static const char *const names[] = {
        "a\",\"event\":\"head\",\"why\":\"stop\"",
        "\",\"seq\":7,\"prev\":\"00",
        "x\n{\"time\":\"",
        "\\\",\"seq\":9",
    };
    audit_kit_op(&op);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(audit_kit_peer.name, sizeof audit_kit_peer.name, "%s", names[i]);
        uint64_t seq = chain.seq + 1;
        size_t body_len = audit_format_operation(&op, body);
        size_t len = audit_chain_append(&chain, hasher, NULL, body, body_len, out);
        assert_true(body_len > 0 && len > 0);
        assert_true(audit_line_parse(out, len - 1, &line));
        assert_int_equal(line.event, AUDIT_OPERATION);
        assert_int_equal(line.seq, seq);
    }
    // The longest line fits.
    memset(audit_kit_peer.name, 1, sizeof audit_kit_peer.name - 1);
    memset(audit_kit_peer.addr, 'f', sizeof audit_kit_peer.addr - 1);
    assert_true(audit_format_operation(&op, body) > 0);
}

static void what_is_no_line(void **state)
{
    (void)state;
    struct audit_chain chain = {.seq = 6};
    struct audit_line line;
    char *copy;
    size_t len = append(&chain, NULL, TIME ",\"event\":\"dropped\",\"lines\":4");
    for (size_t cut = 0; cut < len; cut++) // blocks of the exact size: reads past the end are seen
        for (int front = 0; front < 2; front++) {
            copy = malloc(cut + 1);
            memcpy(copy, front ? out + len - cut : out, cut);
            assert_false(audit_line_parse(copy, cut, &line));
            free(copy);
        }
    out[len] = '\0';
    const struct {
        const char *from, *to;
    } changes[] = {{"\"seq\":7", "\"seq\":0"},
                   {"\"seq\":7", "\"seq\":x"},
                   {"\"seq\":7,", "\"seq\": ,"},
                   {"\"event\":\"d", "\"event\":\"x"},
                   {"Z\"", "Z "},
                   {"\"prev\":\"0", "\"prev\":\"A"},
                   {"\"time\"", "\"tine\""},
                   {"{", "["},
                   {"\"lines\"", "\"\nines\""}};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        copy = strdup(out);
        char *at = strstr(copy, changes[i].from);
        assert_non_null(at);
        memcpy(at, changes[i].to, strlen(changes[i].to));
        if (audit_line_parse(copy, len, &line))
            fail_msg("taken for a line: %s", copy);
        free(copy);
    }
    assert_true(audit_line_parse(out, len, &line));
}

#define CHAIN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHAIN_TEST(hashes),           CHAIN_TEST(torn_bytes),    CHAIN_TEST(lines_are_read_back),
        CHAIN_TEST(heads_are_signed), CHAIN_TEST(hostile_names), CHAIN_TEST(what_is_no_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
