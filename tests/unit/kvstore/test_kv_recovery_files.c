// Opening a store whose files are not as long as they were, no regular files, or in a folder of others: cut, the store goes on or says so; what could not be is
// refused, and nothing is changed.
#include "small_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvstore/kv_index.h"
#include "kvstore/kv_snapshot.h"

// The segment's size after each of some puts, and a copy of the folder as kill -9 would leave it: the segment is open.
#define CUTS 6
static void put_cuts(size_t ends[CUTS + 1], const char *killed)
{
    struct kv_store *store = kit_open(small_dir, NULL);
    char path[192];
    ends[0] = 64;
    for (int i = 0; i < CUTS; i++) {
        char key[16], value[64];
        (void)snprintf(key, sizeof key, "key%d", i);
        (void)snprintf(value, sizeof value, "%.*s", 5 + 7 * i,
                       "a value that is longer each time it is written down");
        kit_put(store, key, value);
        free(kit_read_file(kit_segment_path(small_dir, 1, path), &ends[i + 1]));
    }
    kit_copy(small_dir, killed);
    kit_close(&store);
}

static void check_cut(const char *copy, const size_t ends[CUTS + 1], size_t len)
{
    struct kv_store *store = kit_open(copy, NULL);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    unsigned whole = 0;
    for (int i = 0; i < CUTS; i++) {
        char key[16], value[64];
        (void)snprintf(key, sizeof key, "key%d", i);
        (void)snprintf(value, sizeof value, "%.*s", 5 + 7 * i,
                       "a value that is longer each time it is written down");
        bool there = ends[i + 1] <= len;
        kit_expect(store, key, there ? value : NULL);
        whole += there;
    }
    assert_int_equal(stats.keys, whole);
    assert_int_equal(stats.damaged_records,
                     len < 64 ? 1 : 0); // a torn tail is no damage; half a segment header is
    kit_put(store, "after", "the cut");
    kit_close(&store);
    store = kit_open(copy, NULL);
    kit_expect(store, "after", "the cut");
    kit_close(&store);
}

// The file of an open segment ends at any byte: every record that is whole is there, and the store goes on.
static void test_cut_anywhere(void **state)
{
    (void)state;
    size_t ends[CUTS + 1], size;
    char path[192], killed[128];
    kit_folder(killed);
    put_cuts(ends, killed);
    uint8_t *bytes = kit_read_file(kit_segment_path(killed, 1, path), &size);
    assert_int_equal(size, ends[CUTS]);
    for (size_t len = 0; len <= size; len += len < ends[CUTS - 2] ? 13 : 1) {
        char copy[128], cut[192];
        kit_folder(copy);
        kit_copy(killed, copy);
        kit_write_file(kit_segment_path(copy, 1, cut), bytes, len);
        check_cut(copy, ends, len);
        kit_remove(copy);
    }
    free(bytes);
    kit_remove(killed);
}

// After a clean close the manifest knows how long every segment is: one that has been cut, at whatever byte, is told and
// nothing is changed.
static void test_cut_after_a_close(void **state)
{
    (void)state;
    size_t ends[CUTS + 1], size;
    char path[192], killed[128], error[256];
    kit_folder(killed);
    put_cuts(ends, killed);
    kit_remove(killed);
    uint8_t *bytes = kit_read_file(kit_segment_path(small_dir, 1, path), &size);
    struct kv_options options = kit_options();
    struct kv_store *store;
    for (size_t len = 0; len < size; len++) {
        kit_write_file(path, bytes, len);
        assert_int_equal(kv_open(small_dir, &options, &store, error, sizeof error), KV_BAD_FORMAT);
        char expected[128];
        (void)snprintf(expected, sizeof expected, "segment 00000001: %zu bytes, the manifest says %zu", len,
                       size);
        assert_non_null(strstr(error, expected));
    }
    kit_write_file(path, bytes, size);
    free(bytes);
    store = kit_open(small_dir, NULL);
    kit_expect(store, "key3", "a value that is longer eac");
    kit_close(&store);
}

static void open_sound(const char *where)
{
    struct kv_store *sound = kit_open(where, NULL);
    struct kv_stats stats;
    kv_get_stats(sound, &stats);
    assert_int_equal(stats.damaged_records, 0);
    kit_close(&sound);
}

// What is behind the end of a sealed segment was never part of it: it is counted as damage, not read and not written over.
static void test_longer_than_noted(void **state)
{
    (void)state;
    size_t ends[CUTS + 1], size, after;
    char path[192], killed[128];
    kit_folder(killed);
    put_cuts(ends, killed);
    kit_remove(killed);
    uint8_t *bytes = kit_read_file(kit_segment_path(small_dir, 1, path), &size);
    bytes = realloc(bytes, size + 1000);
    assert_non_null(bytes);
    memset(bytes + size, 0, 1000); // zeros are nothing: room that was made, and not cut off durably
    kit_write_file(path, bytes, size + 1000);
    open_sound(small_dir);
    memset(bytes + size, 7, 1000);
    kit_write_file(path, bytes, size + 1000);
    struct kv_store *store = kit_open(small_dir, NULL);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 1);
    char error[256];
    kv_error_text(store, error, sizeof error);
    assert_non_null(strstr(error, "the rest is not read"));
    kit_expect(store, "key3", "a value that is longer eac");
    kit_put(store, "key3", "anew");
    kit_close(&store);
    uint8_t *now = kit_read_file(path, &after);
    assert_int_equal(after, size + 1000);
    assert_memory_equal(now + size, bytes + size, 1000);
    free(now);
    free(bytes);
    store = kit_open(small_dir, NULL);
    kit_expect(store, "key3", "anew");
    kit_close(&store);
}

static const char *in_folder(const char *folder, const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%.128s/%s", folder, name);
    return path;
}

static void expect_refusal(const char *folder, enum kv_status status, const char *text)
{
    struct kv_options options = kit_options();
    struct kv_store *store;
    char error[512];
    assert_int_equal(kv_open(folder, &options, &store, error, sizeof error), status);
    if (strstr(error, text) == NULL)
        fail_msg("%s", error);
}

static struct kv_manifest load_manifest(void)
{
    size_t size;
    uint8_t *bytes = kit_read_file(in_folder(small_dir, "MANIFEST"), &size);
    struct kv_manifest manifest;
    uint32_t version;
    assert_int_equal(kv_manifest_decode(bytes, size, &manifest, &version), KV_MANIFEST_OK);
    free(bytes);
    return manifest;
}

static void save_manifest(const struct kv_manifest *manifest)
{
    size_t size = kv_manifest_size(manifest->count);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    kv_manifest_encode(manifest, bytes);
    kit_write_file(in_folder(small_dir, "MANIFEST"), bytes, size);
    free(bytes);
}

// A segment's file may be sparse and of any length. Places behind a GiB would be the next segment's.
static void test_longer_than_possible(void **state)
{
    (void)state;
    size_t ends[CUTS + 1];
    char path[192], killed[128];
    kit_folder(killed);
    put_cuts(ends, killed);
    assert_int_equal(truncate(kit_segment_path(killed, 1, path), (off_t)(KV_SEGMENT_BYTES_MAX + 16)), 0);
    expect_refusal(killed, KV_BAD_FORMAT, "more than a segment can have");
    assert_int_equal(truncate(path, (off_t)(KV_SEGMENT_BYTES_MAX / 8)),
                     0); // zeros behind the end are cut off
    open_sound(killed);
    kit_remove(killed);
    // Behind the end of a sealed one, zeros are not even looked at.
    assert_int_equal(truncate(kit_segment_path(small_dir, 1, path), (off_t)1 << 40), 0);
    struct kv_store *store = kit_open(small_dir, NULL);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 1);
    kit_expect(store, "key3", "a value that is longer eac");
    kit_close(&store);
    struct kv_manifest manifest = load_manifest();
    manifest.segments[0].size = KV_SEGMENT_BYTES_MAX + 16;
    save_manifest(&manifest);
    free(manifest.segments);
    expect_refusal(small_dir, KV_BAD_FORMAT, "more than a segment can have");
}

// A closed store's snapshot with one erasure more, its sums made to hold.
static void add_erasure(uint64_t where, uint64_t lengths)
{
    size_t size, at = KV_INDEX_HEAD;
    uint8_t *bytes = kit_read_file(in_folder(small_dir, "INDEX"), &size);
    struct kv_manifest manifest = load_manifest();
    struct kv_index_head head;
    uint64_t sums[KV_INDEX_BLOCKS], count, expiries;
    assert_true(kv_index_head_decode(&manifest.seeds, bytes, &head));
    assert_int_equal(head.erasures, 0);
    for (unsigned i = 0; i < KV_SHARDS; i++) {
        memcpy(&count, bytes + at + 24, 8);
        memcpy(&expiries, bytes + at + 32, 8);
        at += KV_INDEX_BLOCK_HEAD + count * KV_INDEX_SLOT + expiries * KV_INDEX_EXPIRY;
        memcpy(&sums[i], bytes + at, 8);
        at += 8;
    }
    bytes = realloc(bytes, size + KV_INDEX_ERASURE);
    assert_non_null(bytes);
    uint8_t *block = bytes + at;
    count = 1;
    memcpy(block + 24, &count, 8);
    memcpy(block + KV_INDEX_BLOCK_HEAD, &where, 8);
    memcpy(block + KV_INDEX_BLOCK_HEAD + 8, &lengths, 8);
    size_t len = KV_INDEX_BLOCK_HEAD + KV_INDEX_ERASURE;
    sums[KV_SHARDS] = kv_index_block_sum(&manifest.seeds, head.nonce, KV_SHARDS, block, len);
    memcpy(block + len, &sums[KV_SHARDS], 8);
    head.erasures = 1;
    head.file_bytes = size + KV_INDEX_ERASURE;
    head.blocks_sum = kv_index_blocks_sum(&manifest.seeds, head.nonce, sums);
    kv_index_head_encode(&manifest.seeds, &head, bytes);
    kit_write_file(in_folder(small_dir, "INDEX"), bytes, size + KV_INDEX_ERASURE);
    free(bytes);
    free(manifest.segments);
}

// What a snapshot says is to be overwritten is judged as its slots are: outside of the segment nothing is.
static void test_impossible_erasures(void **state)
{
    (void)state;
    size_t ends[CUTS + 1], after;
    char path[192], killed[128];
    kit_folder(killed);
    put_cuts(ends, killed);
    kit_remove(killed);
    uint64_t end = ends[CUTS], of_64 = UINT64_C(4) << 48, unreadable = (uint64_t)KV_ERASURE_UNREADABLE << 56,
             whole = (uint64_t)KV_ERASURE_WHOLE << 56;
    struct {
        uint64_t where, lengths;
        bool possible;
    } cases[] = {
        {kv_where_disk(2, end), of_64 | unreadable, true}, // its segment is gone
        {kv_where_disk(1, end), of_64 | unreadable, false},
        {kv_where_disk(1, end + 4096), of_64 | unreadable, false},
        {kv_where_disk(1, ends[0]) | UINT64_C(1) << 52, of_64 | unreadable, false},
        {kv_where_disk(1, 0), of_64 | unreadable, false}, // the header
        {kv_where_disk(1, ends[1]), UINT64_C(4) << 32 | (end - ends[1]) | whole, false},
        {kv_where_disk(1, ends[1]), UINT64_C(4) << 32 | UINT32_MAX, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        add_erasure(cases[i].where, cases[i].lengths);
        struct kv_store *store = kit_open(small_dir, NULL);
        struct kv_stats stats;
        kv_get_stats(store, &stats);
        if ((stats.snapshot_keys != 0) != cases[i].possible)
            fail_msg("case %zu", i);
        kit_expect(store, "key3", "a value that is longer eac");
        kit_close(&store);
        open_sound(small_dir);
        free(kit_read_file(kit_segment_path(small_dir, 1, path), &after));
        assert_int_equal(after, end);
    }
}

// Nothing is written through a link or read from what is no regular file, and nothing hangs.
static void test_no_regular_files(void **state)
{
    (void)state;
    char other[128], path[192], victim[256];
    size_t len;
    kit_folder(other);
    (void)snprintf(victim, sizeof victim, "%s", in_folder(other, "victim"));
    kit_write_file(victim, "untouched", 9);
    assert_int_equal(symlink(victim, in_folder(small_dir, "MANIFEST.tmp")), 0);
    struct kv_store *store = kit_open(small_dir, NULL);
    kit_put(store, "k", "v");
    (void)unlink(in_folder(small_dir, "INDEX.tmp"));
    assert_int_equal(symlink(victim, in_folder(small_dir, "INDEX.tmp")), 0);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    kit_close(&store);
    uint8_t *bytes = kit_read_file(victim, &len);
    assert_int_equal(len, 9);
    assert_memory_equal(bytes, "untouched", 9);
    free(bytes);
    assert_int_equal(unlink(in_folder(small_dir, "INDEX")), 0);
    assert_int_equal(mkfifo(in_folder(small_dir, "INDEX"), 0600), 0);
    store = kit_open(small_dir, NULL);
    kit_expect(store, "k", "v");
    kit_close(&store);
    static const char *const names[] = {"MANIFEST", "00000001.seg", "LOCK"};
    for (size_t i = 0; i < 3; i++) {
        char moved[256];
        (void)snprintf(moved, sizeof moved, "%s", in_folder(other, names[i]));
        assert_int_equal(rename(in_folder(small_dir, names[i]), moved), 0);
        assert_int_equal(symlink(moved, in_folder(small_dir, names[i])), 0);
        expect_refusal(small_dir, KV_IO, strerror(ELOOP));
        assert_int_equal(unlink(in_folder(small_dir, names[i])), 0);
        assert_int_equal(mkfifo(in_folder(small_dir, names[i]), 0600), 0);
        expect_refusal(small_dir, i == 2 ? KV_IO : KV_BAD_FORMAT, "no regular file");
        assert_int_equal(unlink(in_folder(small_dir, names[i])), 0);
        assert_int_equal(rename(moved, in_folder(small_dir, names[i])), 0);
    }
    open_sound(small_dir);
    assert_int_equal(access(kit_segment_path(small_dir, 1, path), F_OK), 0);
    kit_remove(other);
}

// A folder that others may write to is refused, and so is another user's; root may open anybody's, and leaves a manifest that the
// owner can read.
static void test_folder_of_others(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(small_dir, NULL);
    kit_close(&store);
    assert_int_equal(chmod(small_dir, 0770), 0);
    expect_refusal(small_dir, KV_IO, "others may write");
    assert_int_equal(chmod(small_dir, 0702), 0);
    expect_refusal(small_dir, KV_IO, "others may write");
    assert_int_equal(chmod(small_dir, 0755), 0);
    open_sound(small_dir);
    if (geteuid() != 0)
        return; // only root can give a folder away
    assert_int_equal(chown(small_dir, 65533, 65533), 0);
    assert_int_equal(seteuid(65534), 0);
    expect_refusal(small_dir, KV_IO, "another user's");
    assert_int_equal(seteuid(0), 0);
    store = kit_open(small_dir, NULL);
    kit_put(store, "k", "v");
    kit_close(&store);
    struct stat st;
    assert_int_equal(stat(in_folder(small_dir, "MANIFEST"), &st), 0);
    assert_int_equal(st.st_uid, 65533);
    assert_int_equal(st.st_gid, 65533);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, small_setup_folder, small_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_cut_anywhere),         TEST(test_cut_after_a_close),   TEST(test_longer_than_noted),
        TEST(test_longer_than_possible), TEST(test_impossible_erasures), TEST(test_no_regular_files),
        TEST(test_folder_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
