// Master keys from protected files and credentials: what they give, and what is refused.
#include "fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/masterkey.h"

static char folder[256], path[600];

static const char *in_folder(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

// The number of a descriptor that a line can be read from.
static const char *phrase(const char *text)
{
    static char number[16];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
    (void)close(ends[1]);
    (void)snprintf(number, sizeof number, "%d", ends[0]);
    return number;
}

static size_t read_file(const char *from, char *text, size_t room)
{
    FILE *file = fopen(from, "re");
    assert_non_null(file);
    size_t len = fread(text, 1, room, file);
    assert_int_equal(fclose(file), 0);
    return len;
}

static void expect_refusal(const char *source, const char *fd, const char *why)
{
    struct error e = {""};
    struct seal_key *key = master_key_load(source, fd, &e);
    assert_null(key);
    if (strstr(e.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", e.text, why);
    assert_null(strstr(e.text, "horse")); // no passphrase in a message
}

static void a_passphrase_protects_a_key(void **state)
{
    (void)state;
    struct error e = {""};
    char id[17], again[17], text[400];
    struct seal_key *key = master_key_generate(in_folder("protected"), phrase("correct horse\n"), &e);
    assert_non_null(key);
    seal_key_id(key, id);
    seal_key_destroy(&key);
    key = master_key_load(path, phrase("correct horse\r\nanother line\n"), &e);
    assert_non_null(key);
    seal_key_id(key, again);
    seal_key_destroy(&key);
    assert_string_equal(id, again);
    expect_refusal(path, NULL, "a passphrase protects this master key");
    expect_refusal(path, phrase("correct hors"), "another passphrase");
    expect_refusal(path, phrase(""), "another passphrase");
    expect_refusal(path, "7x", "the number of an open descriptor");
    expect_refusal(path, "99999", "Bad file descriptor");
    assert_null(master_key_generate(path, phrase("correct horse"), &e));
    assert_non_null(strstr(e.text, "exists"));
    assert_null(master_key_generate(in_folder("short"), phrase("1234567"), &e));
    assert_non_null(strstr(e.text, "found 7 bytes, expected at least 8"));
    assert_int_equal(access(path, F_OK), -1);

    // A bit of the key, of the salt or a parameter changed, or the line cut off.
    size_t len = read_file(in_folder("protected"), text, sizeof text);
    text[len - 2] = text[len - 2] == '0' ? '1' : '0';
    fixture_write(in_folder("changed"), text, len, 0600);
    expect_refusal(path, phrase("correct horse"), "the seal does not hold");
    fixture_write(in_folder("changed"), text, len - 1, 0600);
    expect_refusal(path, phrase("correct horse"), "cut off");
}

static void plain_keys_take_no_passphrase(void **state)
{
    (void)state;
    struct error e = {""};
    struct seal_key *key = master_key_generate(in_folder("plain"), NULL, &e);
    assert_non_null(key);
    seal_key_destroy(&key);
    expect_refusal(path, phrase("correct horse"), "no passphrase protects");
}

static void credentials(void **state)
{
    (void)state;
    struct error e = {""};
    assert_true(seal_key_generate(in_folder("ks"), &e));
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    expect_refusal("credential:ks", NULL, "CREDENTIALS_DIRECTORY is not set");
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    assert_int_equal(chmod(path, 0440), 0); // as systemd's ACL shows
    struct seal_key *key = master_key_load("credential:ks", NULL, &e);
    assert_non_null(key);
    seal_key_destroy(&key);
    static const char *const names[] = {"credential:", "credential:.", "credential:../ks", "credential:a/ks"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        expect_refusal(names[i], NULL, "not the name of a credential");
    expect_refusal("credential:missing", NULL, "No such file");
    static const unsigned modes[] = {0460, 0444, 0442};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(path, (mode_t)modes[i]), 0);
        expect_refusal("credential:ks", NULL, "may read or write");
    }
}

static void lines(void **state)
{
    (void)state;
    char text[400];
    struct master_key_line line;
    static const char *const good = "17 8 1", *const bad[] = {"9 8 1",   "23 1 1",  "017 8 1", "17 0 1",
                                                              "17 17 1", "17 8 17", "17 8",    "22 8 1",
                                                              " 17 8 1", "17  8 1", "117 8 1", "-1 8 1"};
    for (size_t i = 0; i <= sizeof bad / sizeof *bad; i++) {
        bool is_good = i == sizeof bad / sizeof *bad;
        int len = snprintf(text, sizeof text, "MKP1 scrypt %s %032d %0144d\n", is_good ? good : bad[i], 7, 9);
        assert_int_equal(master_key_read_line((const uint8_t *)text, (size_t)len, &line), is_good);
    }
    size_t len = strlen(text);
    assert_int_equal(line.log2_n, 17);
    assert_int_equal(line.salt[15], 7);
    assert_int_equal(line.sealed[71], 9);
    assert_int_equal(line.ad_len, len - 145);
    for (size_t cut = 0; cut < len; cut++)
        assert_false(master_key_read_line((const uint8_t *)text, cut, &line));
    text[len] = '\n';
    assert_false(master_key_read_line((const uint8_t *)text, len + 1, &line));
}

static void one_key_opens_what_another_sealed(void **state)
{
    (void)state;
    struct error e = {""};
    uint8_t sealed[4 + SEAL_OVERHEAD], mine[4 + SEAL_OVERHEAD], plain[4];
    const uint8_t bytes[3][SEAL_KEY_LEN] = {{1}, {2}, {3}};
    struct seal_key *keys[3];
    for (size_t i = 0; i < 3; i++)
        assert_non_null(keys[i] = seal_key_create(bytes[i], &e));
    assert_true(seal(keys[1], "ad", 2, "text", 4, sealed));
    assert_true(seal(keys[0], "ad", 2, "text", 4, mine));
    assert_true(seal_is_under(keys[1], sealed, sizeof sealed));
    assert_false(seal_is_under(keys[0], sealed, sizeof sealed));
    assert_int_equal(seal_open(keys[0], "ad", 2, sealed, sizeof sealed, plain), SEAL_OTHER_KEY);
    const struct seal_key *second = keys[1];
    seal_key_accept(keys[0], &keys[1]);
    assert_null(keys[1]);
    assert_ptr_equal(seal_key_next(keys[0]), second);
    seal_key_accept(keys[0], &keys[2]);
    assert_int_equal(seal_open(keys[0], "ad", 2, sealed, sizeof sealed, plain), SEAL_OK);
    assert_memory_equal(plain, "text", 4);
    assert_int_equal(seal_open(keys[0], "ad", 2, mine, sizeof mine, plain), SEAL_OK);
    sealed[sizeof sealed - 1] ^= 1;
    assert_int_equal(seal_open(keys[0], "ad", 2, sealed, sizeof sealed, plain), SEAL_DAMAGED);
    struct seal_key *same = seal_key_create(bytes[1], &e); // accepted already: gone, and nothing changes
    seal_key_accept(keys[0], &same);
    assert_null(same);
    assert_ptr_equal(seal_key_next(keys[0]), second);
    seal_key_destroy(&keys[0]);
    assert_null(keys[0]);
}

static int setup(void **state)
{
    (void)state;
    (void)fixture_folder(folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_folder_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_passphrase_protects_a_key),
        cmocka_unit_test(plain_keys_take_no_passphrase),
        cmocka_unit_test(credentials),
        cmocka_unit_test(lines),
        cmocka_unit_test(one_key_opens_what_another_sealed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
