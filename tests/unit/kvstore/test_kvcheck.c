// kvcheck: what it says of damaged stores, and that repairing makes of any damage a store that opens, says it is sound, and
// returns nothing wrong.
#include "kvcheck_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_sound(void **state)
{
    (void)state;
    struct check check;
    kvcheck_look(&check, small_dir);
    assert_false(check_is_damaged(&check));
    assert_int_equal(check.finding_count, 0);
    assert_int_equal(check.action_count, 0);
    assert_int_equal(check.keys, 5);
    assert_int_equal(check.count, 1);
    assert_int_equal(check.segments[0].records, 9); // 7 puts, a change, a tombstone
    assert_int_equal(check.segments[0].live, 5);
    assert_int_equal(check.segments[0].erased, 2);
    assert_int_equal(check.segments[0].noted, check.segments[0].file_bytes);
    check_end(&check);
}

// A store that is open is refused, and so is one of another version, and a folder that is none.
static void test_refusals(void **state)
{
    (void)state;
    struct check check;
    struct error e = {""};
    struct kv_store *store = kit_open(small_dir, NULL);
    assert_false(check_begin(&check, small_dir, false, &e));
    assert_non_null(strstr(e.text, "another process has it open"));
    check_end(&check);
    kit_close(&store);
    assert_false(check_begin(&check, "/nonexistent", false, &e));
    check_end(&check);
    char empty[128];
    kit_folder(empty);
    assert_false(check_begin(&check, empty, false, &e));
    assert_non_null(strstr(e.text, "no store in this folder"));
    check_end(&check);
    kit_remove(empty);
    // and while it is being checked nobody opens it
    kvcheck_look(&check, small_dir);
    struct kv_options options = kit_options();
    assert_int_equal(kv_open(small_dir, &options, &store, NULL, 0), KV_LOCKED);
    check_end(&check);
}

// One bit of each byte of the segment is flipped. What costs a key is told; the repaired store is sound, and nothing wrong or
// deleted is in it.
static void test_flip_and_repair(void **state)
{
    (void)state;
    char path[192], copy[128], copied[192];
    size_t size;
    uint8_t *bytes = kit_read_file(kit_segment_path(small_dir, 1, path), &size);
    kit_folder(copy);
    for (size_t at = 0; at < size; at++) {
        kit_copy(small_dir, copy);
        bytes[at] ^= (uint8_t)(1u << (at * 3 % 8));
        kit_write_file(kit_segment_path(copy, 1, copied), bytes, size);
        bytes[at] ^= (uint8_t)(1u << (at * 3 % 8));
        struct check check;
        kvcheck_look(&check, copy);
        bool damaged = check_is_damaged(&check), lost = check_has_lost(&check);
        check_end(&check);
        kvcheck_repair(copy);
        unsigned affected = kvcheck_affected(copy);
        if (affected > 1 || (affected > 0 && (!damaged || !lost)))
            fail_msg("byte %zu: %u keys affected, damaged %d, lost %d", at, affected, damaged, lost);
        kit_remove(copy);
        assert_int_equal(mkdir(copy, 0700), 0);
    }
    kit_remove(copy);
    free(bytes);
}

// The segment is cut at any byte: told, with both sizes; repaired it has what was whole.
static void test_cut_and_repair(void **state)
{
    (void)state;
    char path[192], copy[128], copied[192];
    size_t size;
    uint8_t *bytes = kit_read_file(kit_segment_path(small_dir, 1, path), &size);
    kit_folder(copy);
    unsigned before = SMALL_ENTRIES;
    for (size_t len = 0; len < size; len += 5) {
        kit_copy(small_dir, copy);
        kit_write_file(kit_segment_path(copy, 1, copied), bytes, len);
        struct check check;
        kvcheck_look(&check, copy);
        assert_true(check_is_damaged(&check) && check_has_lost(&check));
        assert_int_equal(kvcheck_count(&check, CHECK_SEGMENT_SHORT), 1);
        check_end(&check);
        kvcheck_repair(copy);
        unsigned affected = kvcheck_affected(copy);
        assert_true(affected <= before); // the more is left, the more is there
        before = affected;
        kit_remove(copy);
        assert_int_equal(mkdir(copy, 0700), 0);
    }
    kit_remove(copy);
    free(bytes);
}

// Each bit of the manifest's first copy: nothing is lost, and repair makes two good copies of one.
static void test_manifest_copies(void **state)
{
    (void)state;
    char path[192];
    size_t size, after;
    (void)snprintf(path, sizeof path, "%s/MANIFEST", small_dir);
    uint8_t *good = kit_read_file(path, &size);
    for (size_t at = 0; at < size; at += 3) {
        good[at] ^= 16;
        kit_write_file(path, good, size);
        good[at] ^= 16;
        struct check check;
        kvcheck_look(&check, small_dir);
        assert_int_equal(kvcheck_count(&check, CHECK_MANIFEST_COPY), 1);
        assert_false(check_has_lost(&check));
        check_end(&check);
        kvcheck_repair(small_dir);
        uint8_t *now = kit_read_file(path, &after);
        assert_int_equal(after, size);
        assert_memory_equal(now, good, size);
        free(now);
    }
    free(good);
    assert_int_equal(kvcheck_affected(small_dir), 0);
}

// Both copies are damaged, or the file is gone: it is made again from the segments.
static void test_manifest_lost(void **state)
{
    (void)state;
    char path[192], copy[128];
    (void)snprintf(path, sizeof path, "%s/MANIFEST", small_dir);
    size_t size;
    uint8_t *bytes = kit_read_file(path, &size);
    bytes[20] ^= 1;
    bytes[size / 2 + 60] ^= 1;
    for (int gone = 0; gone < 2; gone++) {
        if (gone)
            assert_int_equal(unlink(path), 0);
        else
            kit_write_file(path, bytes, size);
        struct check check;
        kvcheck_look(&check, small_dir);
        assert_int_equal(kvcheck_count(&check, CHECK_MANIFEST_LOST), 1);
        assert_true(check.manifest_usable);
        assert_int_equal(check.keys, 5);
        check_end(&check);
        kit_folder(copy);
        kit_copy(small_dir, copy);
        kvcheck_repair(copy);
        assert_int_equal(kvcheck_affected(copy), 0);
        kit_remove(copy);
    }
    free(bytes);
    // Without a header that holds nothing can be done, and nothing is.
    FILE *f = fopen(kit_segment_path(small_dir, 1, path), "r+b");
    assert_non_null(f);
    assert_int_equal(fwrite("X", 1, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    struct check check;
    kvcheck_look(&check, small_dir);
    assert_false(check.manifest_usable);
    assert_int_equal(check.action_count, 0);
    assert_true(check_is_damaged(&check));
    check_end(&check);
}

// No value and no key is in what is printed.
static void test_printing(void **state)
{
    (void)state;
    char path[192], *text = NULL;
    size_t size, len;
    uint8_t *bytes = kit_read_file(kit_segment_path(small_dir, 1, path), &size);
    uint8_t *at = memmem(bytes, size, "the last value", 14);
    assert_non_null(at);
    *at ^= 1;
    kit_write_file(path, bytes, size);
    free(bytes);
    struct check check;
    kvcheck_look(&check, small_dir);
    assert_int_equal(check.keys_lost, 1);
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    check_print(&check, out, true);
    assert_true(check_print_json(&check, out));
    assert_int_equal(fclose(out), 0);
    check_end(&check);
    assert_non_null(strstr(text, "a key's value does not hold its checksum (key hash "));
    assert_non_null(strstr(text, "would do: segment 00000001: "));
    assert_non_null(strstr(text, "\"kind\":\"value\""));
    assert_null(strstr(text, "last value"));
    assert_null(strstr(text, "foxtrot"));
    free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_sound),          TEST(test_refusals),        TEST(test_flip_and_repair),
        TEST(test_cut_and_repair), TEST(test_manifest_copies), TEST(test_manifest_lost),
        TEST(test_printing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
