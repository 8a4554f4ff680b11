// A store whose segment is the input. The folder is made by the store itself and its seeds are put to known values, then the input is laid
// over the segment: as it is, or (first byte odd) as a list of records that are encoded soundly with damage chosen by the input. Opening,
// reading, walking, writing and opening again must get along with whatever is there; kvcheck before it as well, and what it has repaired
// (inputs of odd length) is sound.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv.h"
#include "kvstore/kv_format.h"
#include "kvstore/kv_index.h"
#include "kvstore/kvcheck.h"

#define SEGMENT_MAX (64u * 1024)

static char dir[64];
static struct kv_manifest manifest;
static uint8_t segment[SEGMENT_MAX];
static size_t segment_len;
static uint64_t records[SEGMENT_MAX / KV_RECORD_HEAD]; // their places
static size_t record_count;

static void path_of(char path[128], const char *name)
{
    (void)snprintf(path, 128, "%s/%s", dir, name);
}

static void write_file(const char *name, const void *data, size_t len)
{
    char path[128];
    path_of(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len)
        abort();
    (void)close(fd);
}

static void remove_folder(void)
{
    static const char *names[] = {"MANIFEST", "LOCK", "MANIFEST.tmp", "INDEX"};
    char path[128];
    for (size_t i = 0; i < 4; i++) {
        path_of(path, names[i]);
        (void)unlink(path);
    }
    for (unsigned id = 1; id < 8; id++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%08u.seg", id);
        path_of(path, name);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

static void make_folder(void)
{
    (void)snprintf(dir, sizeof dir, "%s",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm/kv-fuzz-XXXXXX" : "/tmp/kv-fuzz-XXXXXX");
    if (mkdtemp(dir) == NULL)
        abort();
    (void)atexit(remove_folder);
    static struct kv_manifest_segment ids[] = {{.id = 1}};
    manifest = (struct kv_manifest){
        .seeds = {.store_id = "fuzz", .sum_seed = 42}, .next_segment = 2, .segments = ids, .count = 1};
    memset(manifest.seeds.hash_secret, 0x5a, sizeof manifest.seeds.hash_secret);
}

static void put_manifest(uint64_t size_noted)
{
    manifest.segments[0].size = size_noted;
    uint8_t bytes[1024];
    size_t size = kv_manifest_size(1);
    if (size > sizeof bytes)
        abort();
    kv_manifest_encode(&manifest, bytes);
    write_file("MANIFEST", bytes, size);
}

// A change of expiry is for one of the records before it, or for a place where none is.
static uint64_t target_of(uint8_t which)
{
    return record_count != 0 && which % 8 != 7 ? records[which % record_count] : which;
}

// One record from five bytes of input: type, key, value length, seq, damage.
static void add_record(const uint8_t in[5])
{
    uint8_t key[2] = {'k', (uint8_t)(in[1] & 7)};
    struct kv_record record = {
        .type = (enum kv_record_type)(1 + in[0] % 3), .key_len = 2, .seq = 1 + in[3] % 32};
    record.value_len = record.type == KV_RECORD_PUT ? in[2] : 0;
    record.expire_seq = record.seq + (in[3] >> 5);
    record.expire_ms = in[0] >= 128 ? 1u + in[2] : 0;
    uint64_t size = kv_record_size(record.key_len, record.value_len);
    if (segment_len + size > SEGMENT_MAX)
        return;
    struct kv_place place = {.segment = 1, .offset = segment_len};
    uint8_t *at = segment + segment_len;
    memset(at, 0, (size_t)size);
    memcpy(at + KV_RECORD_HEAD, key, 2);
    memset(at + KV_RECORD_HEAD + 2, in[3], record.value_len);
    if (record.type == KV_RECORD_EXPIRY)
        record.target = target_of(in[4]);
    else
        record.value_sum = kv_value_sum(&manifest.seeds, at + KV_RECORD_HEAD + 2, record.value_len);
    kv_record_encode(&manifest.seeds, place, &record, key, at);
    if ((in[4] & 3) == 1) { // erased
        uint64_t mark = kv_erase_mark(&manifest.seeds, place);
        memcpy(at + KV_ERASE_MARK_AT, &mark, sizeof mark);
        memset(at + KV_RECORD_HEAD + 2, 0, record.value_len);
    } else if ((in[4] & 3) == 2) {
        at[in[4] % size] ^= 1;
    }
    records[record_count++] = kv_where_disk(1, segment_len);
    segment_len += (size_t)size;
}

static void put_segment(const uint8_t *data, size_t len)
{
    kv_segment_encode(&manifest.seeds, 1, segment);
    segment_len = KV_SEGMENT_HEAD;
    record_count = 0;
    if (len > 0 && data[0] % 2 == 1) {
        for (size_t at = 1; at + 5 <= len; at += 5)
            add_record(data + at);
        segment_len -= data[0] / 2 < segment_len ? data[0] / 2 : 0; // cut
    } else if (len > 1) {
        size_t n = len - 1 < SEGMENT_MAX - segment_len ? len - 1 : SEGMENT_MAX - segment_len;
        memcpy(segment + segment_len, data + 1, n);
        segment_len += n;
    }
    write_file("00000001.seg", segment, segment_len);
    char path[128];
    path_of(path, "INDEX"); // of the segment that was there before
    (void)unlink(path);
}

static bool get_it(void *store, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    (void)expire_ms;
    void *value;
    size_t len;
    if (kv_get_alloc(store, key, key_len, &value, &len, NULL) == KV_OK && len != value_len)
        abort();
    free(value);
    return true;
}

static void use_store(bool write)
{
    struct kv_options options = {
        .limit_bytes = 4u << 20, .fsync = KV_FSYNC_NEVER, .segment_bytes = SEGMENT_MAX};
    struct kv_store *store;
    if (kv_open(dir, &options, &store, NULL, 0) != KV_OK)
        abort(); // the manifest is sound: every segment can be opened
    uint64_t cursor = 0;
    do {
        if (kv_scan(store, &cursor, 100, get_it, store) != KV_OK)
            abort();
    } while (cursor != 0);
    if (write && (kv_put(store, "k\1", 2, "new", 3, 0, 0) != KV_OK ||
                  kv_put(store, "other", 5, "x", 1, 0, 0) != KV_OK))
        abort();
    enum kv_status deleted = write ? kv_delete(store, "k\2", 2, 0) : KV_OK;
    if (deleted != KV_OK && deleted != KV_NOT_FOUND)
        abort();
    char buf[8];
    size_t len = sizeof buf;
    if (kv_get(store, "k\1", 2, buf, &len) == KV_OK && !write && (len != 3 || memcmp(buf, "new", 3) != 0))
        abort();
    if (kv_exists(store, "k\2", 2) != KV_NOT_FOUND && !write)
        abort();
    if (kv_close(&store) != KV_OK)
        abort();
}

static void look(struct check *check)
{
    if (!check_begin(check, dir, false, NULL) || !check_records(check, NULL) ||
        !check_snapshot(check, NULL) || !check_plan(check, NULL))
        abort();
}

static void check_store(bool repair)
{
    struct check check;
    look(&check);
    if (repair && !check_apply(&check, NULL))
        abort();
    check_end(&check);
    if (!repair)
        return;
    look(&check);
    if (check_is_damaged(&check))
        abort();
    check_end(&check);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (dir[0] == '\0')
        make_folder();
    put_segment(data, len);
    put_manifest(len % 3 == 0 && segment_len >= KV_SEGMENT_HEAD ? segment_len : 0); // sealed or open
    check_store(len % 2 == 1);
    use_store(true);
    use_store(false); // what was written is there, what was deleted is not
    for (unsigned id = 2; id < 8; id++) {
        char name[32], path[128];
        (void)snprintf(name, sizeof name, "%08u.seg", id);
        path_of(path, name);
        (void)unlink(path);
    }
    return 0;
}
