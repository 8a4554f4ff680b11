// The snapshot of the index: whether its sums hold. It is derived from the segments: one that does not hold is removed, and the
// next open reads the segments instead.
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kvstore/kv_io.h"
#include "kvstore/kv_snapshot.h"
#include "kvstore/kvcheck.h"

static uint64_t word_at(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

// The bytes of a block without its sum; 0: more than there are.
static uint64_t block_length(const uint8_t *block, uint64_t left, unsigned number)
{
    uint64_t item = number < KV_SHARDS ? KV_INDEX_SLOT : KV_INDEX_ERASURE;
    if (left < KV_INDEX_BLOCK_HEAD + 8)
        return 0;
    uint64_t count = word_at(block + 24), expiries = word_at(block + 32);
    if (count > left / item || expiries > left / KV_INDEX_EXPIRY)
        return 0;
    uint64_t len = KV_INDEX_BLOCK_HEAD + count * item + expiries * KV_INDEX_EXPIRY;
    return len + 8 <= left ? len : 0;
}

// Whether the header, every block and the sum of their sums hold, and nothing follows.
static bool holds(const struct kv_seeds *seeds, const uint8_t *bytes, uint64_t len, uint64_t *keys)
{
    struct kv_index_head head;
    uint64_t sums[KV_INDEX_BLOCKS], at = KV_INDEX_HEAD;
    if (len < KV_INDEX_HEAD || !kv_index_head_decode(seeds, bytes, &head) || head.file_bytes != len)
        return false;
    for (unsigned number = 0; number < KV_INDEX_BLOCKS; number++) {
        uint64_t size = block_length(bytes + at, len - at, number);
        if (size == 0 || word_at(bytes + at) != number)
            return false;
        uint64_t sum = kv_index_block_sum(seeds, head.nonce, number, bytes + at, (size_t)size);
        if (word_at(bytes + at + size) != sum)
            return false;
        sums[number] = htole64(sum);
        at += size + 8;
    }
    *keys = head.keys;
    return at == len && kv_index_blocks_sum(seeds, head.nonce, sums) == head.blocks_sum;
}

bool check_snapshot(struct check *check, struct error *e)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/INDEX", check->dir);
    int fd = check->manifest_usable ? kv_io.open(path, O_RDONLY | O_CLOEXEC, 0) : -1;
    struct stat st;
    if (fd < 0)
        return true; // there is none, or it cannot be judged
    check->snapshot_there = true;
    uint8_t *bytes = fstat(fd, &st) == 0 ? malloc((size_t)st.st_size + 1) : NULL;
    size_t got = 0;
    int error = bytes != NULL ? kv_io_read(fd, bytes, (size_t)st.st_size, 0, &got) : ENOMEM;
    (void)kv_io.close(fd);
    // With a manifest that was made again it is another store's: its hashes are of other seeds.
    bool sound = error == 0 && holds(&check->manifest.seeds, bytes, got, &check->snapshot_keys);
    free(bytes);
    if (error == ENOMEM) {
        error_set(e, "out of memory");
        return false;
    }
    return sound || check_add(check, &(struct check_finding){.kind = CHECK_SNAPSHOT, .error = error}, e);
}
