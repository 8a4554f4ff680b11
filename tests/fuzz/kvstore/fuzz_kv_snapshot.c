// An index snapshot that is the input: as it is, or (bit 0 of the first byte) a sound one with bytes changed as the input says and, with bit 1,
// all sums made to hold again, so that what is said is what has to be judged. Opening must get along with it, and whatever it claims, no
// value is ever returned that is not the key's.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv.h"
#include "kvstore/kv_format.h"
#include "kvstore/kv_snapshot.h"

#define INDEX_MAX (64u * 1024)
#define KEYS      24u

static char dir[64];
static struct kv_seeds seeds;
static const char *const names[] = {"MANIFEST", "00000001.seg", "INDEX"};
static uint8_t files[3][INDEX_MAX]; // as the store left them
static size_t lengths[3];
static uint8_t snapshot[INDEX_MAX];
static size_t snapshot_len;

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

static size_t read_file(const char *name, uint8_t *data)
{
    char path[128];
    path_of(path, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, data, INDEX_MAX);
    if (n < 0 || n == INDEX_MAX)
        abort();
    (void)close(fd);
    return (size_t)n;
}

static void remove_segments(unsigned from)
{
    for (unsigned id = from; id < 8; id++) {
        char name[32], path[128];
        (void)snprintf(name, sizeof name, "%08u.seg", id);
        path_of(path, name);
        (void)unlink(path);
    }
}

static void remove_folder(void)
{
    static const char *const others[] = {"MANIFEST", "LOCK", "INDEX", "INDEX.tmp", "MANIFEST.tmp"};
    remove_segments(1);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char path[128];
        path_of(path, others[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

static size_t make_value(uint8_t key, char out[64])
{
    return (size_t)snprintf(out, 64, "the value of key %u, and of no other%.*s", key, key % 20, "....................");
}

static struct kv_store *open_store(void)
{
    struct kv_options options = {
        .limit_bytes = 0, .fsync = KV_FSYNC_NEVER, .segment_bytes = 65536, .create = true};
    struct kv_store *store;
    char error[256];
    if (kv_open(dir, &options, &store, error, sizeof error) != KV_OK) {
        fprintf(stderr, "%s\n", error);
        abort(); // manifest and segment are sound
    }
    return store;
}

static void put(struct kv_store *store, uint8_t key)
{
    char value[64];
    size_t len = make_value(key, value);
    if (kv_put(store, &key, 1, value, len, key % 5 == 0 ? UINT64_C(4000000000000) + key : 0, 0) != KV_OK)
        abort();
}

static void make_template(void)
{
    (void)snprintf(dir, sizeof dir, "%s",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm/kv-fuzz-XXXXXX" : "/tmp/kv-fuzz-XXXXXX");
    if (mkdtemp(dir) == NULL)
        abort();
    (void)atexit(remove_folder);
    struct kv_store *store = open_store();
    for (uint8_t key = 0; key < KEYS; key++)
        put(store, key);
    for (uint8_t key = 0; key < KEYS; key += 7)
        if (kv_delete(store, &key, 1, 0) != KV_OK)
            abort();
    if (kv_checkpoint(store) != KV_OK)
        abort();
    uint8_t index[INDEX_MAX];
    size_t len = read_file("INDEX", index);
    for (uint8_t key = 1; key < KEYS; key += 3) // and some log behind it
        put(store, key);
    if (kv_close(&store) != KV_OK)
        abort();
    for (size_t i = 0; i < 3; i++)
        lengths[i] = read_file(names[i], files[i]);
    memcpy(files[2], index, len);
    lengths[2] = len;
    struct kv_manifest manifest;
    uint32_t version;
    if (kv_manifest_decode(files[0], lengths[0], &manifest, &version) != KV_MANIFEST_OK)
        abort();
    seeds = manifest.seeds;
    free(manifest.segments);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

// Sums over whatever is there now, as far as its blocks can be told.
static void mend_sums(void)
{
    struct kv_index_head head;
    uint64_t sums[KV_INDEX_BLOCKS] = {0};
    size_t at = KV_INDEX_HEAD;
    (void)kv_index_head_decode(&seeds, snapshot, &head);
    head.keys = 0;
    for (unsigned i = 0; i < KV_INDEX_BLOCKS && at + KV_INDEX_BLOCK_HEAD + 8 <= snapshot_len; i++) {
        uint64_t count = get64(snapshot + at + 24), expiries = get64(snapshot + at + 32);
        if (count > 10000 || expiries > 10000)
            break;
        size_t len = (size_t)(KV_INDEX_BLOCK_HEAD + count * 16 + expiries * KV_INDEX_EXPIRY);
        if (at + len + 8 > snapshot_len)
            break;
        sums[i] = kv_index_block_sum(&seeds, head.nonce, i, snapshot + at, len);
        memcpy(snapshot + at + len, &sums[i], 8);
        at += len + 8;
        if (i < KV_SHARDS)
            head.keys += count;
        else
            head.erasures = count;
    }
    head.file_bytes = snapshot_len;
    head.blocks_sum = kv_index_blocks_sum(&seeds, head.nonce, sums);
    kv_index_head_encode(&seeds, &head, snapshot);
}

// Two bytes of place, one of what: near the beginning of a block with slots as likely as anywhere.
static void make_snapshot(const uint8_t *data, size_t len)
{
    snapshot_len = len > 1 ? len - 1 : 0;
    if (snapshot_len > INDEX_MAX)
        snapshot_len = INDEX_MAX;
    if (len == 0 || (data[0] & 1) == 0) {
        memcpy(snapshot, data + (len != 0), snapshot_len);
        return;
    }
    memcpy(snapshot, files[2], lengths[2]);
    snapshot_len = lengths[2];
    for (size_t at = 1; at + 3 <= len; at += 3)
        snapshot[(size_t)(data[at] << 8 | data[at + 1]) % snapshot_len] ^= data[at + 2];
    if ((data[0] & 4) != 0)
        snapshot_len -= data[0] / 8 < snapshot_len ? data[0] / 8 : 0;
    if ((data[0] & 2) != 0)
        mend_sums();
}

static bool seen_key(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    (void)arg;
    (void)value_len;
    (void)expire_ms;
    if (key_len != 1 || *(const uint8_t *)key >= KEYS)
        abort();
    return true;
}

static void use_store(void)
{
    struct kv_store *store = open_store();
    for (uint8_t key = 0; key < KEYS; key++) {
        char expected[64];
        size_t expected_len = make_value(key, expected), len;
        void *value;
        if (kv_get_alloc(store, &key, 1, &value, &len, NULL) == KV_OK &&
            (len != expected_len || memcmp(value, expected, len) != 0))
            abort();
        free(value);
    }
    uint64_t cursor = 0;
    do {
        enum kv_status status = kv_scan(store, &cursor, 100, seen_key, NULL);
        if (status != KV_OK && status != KV_CORRUPT)
            abort();
    } while (cursor != 0);
    put(store, 2);
    uint8_t key = 3;
    enum kv_status deleted = kv_delete(store, &key, 1, 0);
    if (deleted != KV_OK && deleted != KV_NOT_FOUND)
        abort();
    if (kv_close(&store) != KV_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (dir[0] == '\0')
        make_template();
    make_snapshot(data, len);
    write_file("MANIFEST", files[0], lengths[0]);
    write_file("00000001.seg", files[1], lengths[1]);
    write_file("INDEX", snapshot, snapshot_len);
    use_store();
    use_store();
    remove_segments(2);
    return 0;
}
