// Sealing: what was sealed opens under the same key and the same associated data, and under nothing else.
#include "fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/seal.h"

static char folder[256];
static char path[512];

static const char *in_folder(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    fixture_folder(folder);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    fixture_folder_remove(folder);
    return 0;
}

static struct seal_key *new_key(const char *name)
{
    struct error e = {""};
    assert_true(seal_key_generate(in_folder(name), &e));
    struct seal_key *key = seal_key_load(path, &e);
    assert_non_null(key);
    return key;
}

static void generated_key_file_is_private_and_never_overwritten(void **state)
{
    (void)state;
    struct error e = {""};
    struct stat st;
    assert_true(seal_key_generate(in_folder("m1"), &e));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 65);
    size_t before_len, after_len;
    uint8_t *before = fixture_read(path, &before_len);
    assert_false(seal_key_generate(path, &e));
    assert_non_null(strstr(e.text, "exists"));
    uint8_t *after = fixture_read(path, &after_len);
    assert_int_equal(before_len, after_len);
    assert_memory_equal(before, after, after_len);
    free(before);
    free(after);
    assert_false(seal_key_generate(in_folder("no/such/folder"), &e));
}

static void round_trip_of_every_length(void **state)
{
    (void)state;
    struct seal_key *key = new_key("m-round");
    uint8_t plain[300], sealed[300 + SEAL_OVERHEAD], opened[300];
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 7);
    for (size_t len = 0; len <= sizeof plain; len++) {
        assert_true(seal(key, "ad", 2, plain, len, sealed));
        assert_int_equal(seal_open(key, "ad", 2, sealed, len + SEAL_OVERHEAD, opened), SEAL_OK);
        assert_memory_equal(plain, opened, len);
    }
    assert_true(seal(key, NULL, 0, plain, 5, sealed));
    assert_int_equal(seal_open(key, NULL, 0, sealed, 5 + SEAL_OVERHEAD, opened), SEAL_OK);
    seal_key_destroy(&key);
    assert_null(key);
    seal_key_destroy(&key);
}

static void every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    struct seal_key *key = new_key("m-flip");
    static const uint8_t plain[] = "the private part of a key";
    static const uint8_t zeroes[sizeof plain];
    uint8_t sealed[sizeof plain + SEAL_OVERHEAD], opened[sizeof plain];
    assert_true(seal(key, "name", 4, plain, sizeof plain, sealed));
    for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
        memset(opened, 0, sizeof opened);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum seal_status status = seal_open(key, "name", 4, sealed, sizeof sealed, opened);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(status, bit < 32 ? SEAL_NOT_SEALED : bit < 96 ? SEAL_OTHER_KEY : SEAL_DAMAGED);
        // Nothing of a text whose seal does not hold is left for a careless caller.
        assert_memory_equal(opened, zeroes, sizeof opened);
    }
    seal_key_destroy(&key);
}

static void other_data_lengths_and_keys_are_refused(void **state)
{
    (void)state;
    struct seal_key *key = new_key("m-a"), *other = new_key("m-b");
    static const uint8_t plain[] = "secret";
    uint8_t sealed[sizeof plain + SEAL_OVERHEAD], opened[sizeof sealed];
    assert_true(seal(key, "name", 4, plain, sizeof plain, sealed));
    assert_int_equal(seal_open(key, "nama", 4, sealed, sizeof sealed, opened), SEAL_DAMAGED);
    assert_int_equal(seal_open(key, "name", 3, sealed, sizeof sealed, opened), SEAL_DAMAGED);
    assert_int_equal(seal_open(key, NULL, 0, sealed, sizeof sealed, opened), SEAL_DAMAGED);
    assert_int_equal(seal_open(other, "name", 4, sealed, sizeof sealed, opened), SEAL_OTHER_KEY);
    for (size_t len = 0; len < sizeof sealed; len++)
        assert_int_equal(seal_open(key, "name", 4, sealed, len, opened),
                         len < SEAL_OVERHEAD ? SEAL_NOT_SEALED : SEAL_DAMAGED);
    for (unsigned s = SEAL_OK; s <= SEAL_FAILED; s++)
        assert_non_null(seal_status_text((enum seal_status)s));
    seal_key_destroy(&key);
    seal_key_destroy(&other);
}

static void sealing_twice_differs(void **state)
{
    (void)state;
    struct seal_key *key = new_key("m-nonce");
    uint8_t one[16 + SEAL_OVERHEAD], two[16 + SEAL_OVERHEAD];
    static const uint8_t plain[16];
    assert_true(seal(key, "n", 1, plain, sizeof plain, one));
    assert_true(seal(key, "n", 1, plain, sizeof plain, two));
    assert_memory_not_equal(one + 12, two + 12, 12); // nonce
    assert_memory_not_equal(one + 24, two + 24, 16); // ciphertext
    seal_key_destroy(&key);
}

// Pins the format: a change of labels, of the derivation or of the layout would make every stored key
// unreadable.
static void known_answer(void **state)
{
    (void)state;
    static const char hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    // "MKS1", id, nonce 00..0b, ciphertext and tag of "key" with the associated data "name"; made with the
    // openssl command line (kdf) and Python's cryptography package.
    static const uint8_t sealed[] = {0x4d, 0x4b, 0x53, 0x31, 0x06, 0x44, 0x0b, 0x94, 0x0e, 0xd5, 0x8a,
                                     0xb9, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
                                     0x0a, 0x0b, 0x2a, 0xc6, 0xd1, 0x40, 0xbe, 0x4a, 0xaa, 0x54, 0xf0,
                                     0x00, 0x8e, 0x00, 0x0e, 0x5e, 0xcc, 0x63, 0x91, 0x9e, 0xb4};
    struct error e = {""};
    char id[17];
    uint8_t opened[3];
    fixture_write(in_folder("m-known"), hex, 64, 0600);
    struct seal_key *key = seal_key_load(path, &e);
    assert_non_null(key);
    seal_key_id(key, id);
    assert_string_equal(id, "06440b940ed58ab9");
    assert_int_equal(sizeof sealed, 3 + SEAL_OVERHEAD);
    assert_int_equal(seal_open(key, "name", 4, sealed, sizeof sealed, opened), SEAL_OK);
    assert_memory_equal(opened, "key", 3);
    seal_key_destroy(&key);
}

static void key_file_forms(void **state)
{
    (void)state;
    uint8_t raw[32];
    char hex[80], id_raw[17], id_hex[17];
    struct error e = {""};
    for (unsigned i = 0; i < sizeof raw; i++) {
        raw[i] = (uint8_t)(200 + i);
        (void)snprintf(hex + 2 * i, 3, i % 2 == 0 ? "%02x" : "%02X", raw[i]);
    }
    fixture_write(in_folder("raw"), raw, sizeof raw, 0400);
    struct seal_key *key = seal_key_load(path, &e);
    assert_non_null(key);
    seal_key_id(key, id_raw);
    seal_key_destroy(&key);
    hex[64] = '\n';
    for (size_t len = 64; len <= 65; len++) {
        fixture_write(in_folder("hex"), hex, len, 0600);
        key = seal_key_load(path, &e);
        assert_non_null(key);
        seal_key_id(key, id_hex);
        assert_string_equal(id_raw, id_hex);
        seal_key_destroy(&key);
    }
    static const size_t bad[] = {0, 1, 31, 33, 63, 66, 70};
    memset(hex + 64, '\n', sizeof hex - 64);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture_write(in_folder("bad"), hex, bad[i], 0600);
        assert_null(seal_key_load(path, &e));
        assert_non_null(strstr(e.text, "expected 64 hexadecimal digits or 32 raw bytes"));
        assert_null(strstr(e.text, "c8C9")); // no part of the contents in a message
    }
    hex[10] = 'g';
    fixture_write(in_folder("bad"), hex, 64, 0600);
    assert_null(seal_key_load(path, &e));
    assert_null(seal_key_load(path, NULL));
}

static void key_file_permissions_and_kind(void **state)
{
    (void)state;
    struct error e = {""};
    static const uint8_t raw[32] = {1};
    static const unsigned modes[] = {0640, 0604, 0620, 0602, 0666, 0644};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        fixture_write(in_folder("open"), raw, sizeof raw, modes[i]);
        assert_null(seal_key_load(path, &e));
        assert_non_null(strstr(e.text, "may read or write"));
    }
    assert_null(seal_key_load(in_folder("missing"), &e));
    assert_non_null(strstr(e.text, "No such file"));
    assert_null(seal_key_load(folder, &e));
    assert_non_null(strstr(e.text, "regular file"));
    // A FIFO nobody writes to must not make us wait.
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    assert_null(seal_key_load(path, &e));
    assert_non_null(strstr(e.text, "regular file"));
    assert_null(seal_key_load("/dev/zero", &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generated_key_file_is_private_and_never_overwritten),
        cmocka_unit_test(round_trip_of_every_length),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(other_data_lengths_and_keys_are_refused),
        cmocka_unit_test(sealing_twice_differs),
        cmocka_unit_test(known_answer),
        cmocka_unit_test(key_file_forms),
        cmocka_unit_test(key_file_permissions_and_kind),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
