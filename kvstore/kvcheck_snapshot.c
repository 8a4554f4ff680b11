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
static uint64_t block_length(const uint8_t head[KV_INDEX_BLOCK_HEAD], uint64_t left, unsigned number)
{
    uint64_t item = number < KV_SHARDS ? KV_INDEX_SLOT : KV_INDEX_ERASURE;
    uint64_t count = word_at(head + 24), expiries = word_at(head + 32);
    if (count > left / item || expiries > left / KV_INDEX_EXPIRY)
        return 0;
    uint64_t len = KV_INDEX_BLOCK_HEAD + count * item + expiries * KV_INDEX_EXPIRY;
    return len + 8 <= left ? len : 0;
}

// 0, or an errno value; EBADMSG: fewer bytes than that.
static int read_at(int fd, void *to, size_t len, uint64_t at)
{
    size_t got;
    int error = kv_io_read(fd, to, len, at, &got);
    return error != 0 ? error : got == len ? 0 : EBADMSG;
}

// One block at *at, which moves behind it. Returns 0, or an errno value; EBADMSG: it does not hold.
static int check_block(const struct kv_seeds *seeds, int fd, const struct kv_index_head *head,
                       unsigned number, uint64_t *at, uint64_t *sum)
{
    uint8_t first[KV_INDEX_BLOCK_HEAD];
    int error = read_at(fd, first, sizeof first, *at);
    if (error != 0)
        return error;
    uint64_t len = block_length(first, head->file_bytes - *at, number);
    uint8_t *block = len != 0 ? malloc((size_t)len + 8) : NULL;
    if (block == NULL)
        return len != 0 ? ENOMEM : EBADMSG;
    error = read_at(fd, block, (size_t)len + 8, *at);
    *sum = kv_index_block_sum(seeds, head->nonce, number, block, (size_t)len);
    if (error == 0 && (word_at(block) != number || word_at(block + len) != *sum))
        error = EBADMSG;
    free(block);
    *at += len + 8;
    return error;
}

// Whether the header, every block and the sum of their sums hold, and nothing follows. Returns 0, or an errno
// value; EBADMSG: they do not. Never more than a block is in memory, and no length is believed beyond the file's.
static int check_index(const struct kv_seeds *seeds, int fd, uint64_t len, uint64_t *keys)
{
    uint8_t bytes[KV_INDEX_HEAD];
    struct kv_index_head head;
    uint64_t sums[KV_INDEX_BLOCKS], at = KV_INDEX_HEAD;
    int error = read_at(fd, bytes, sizeof bytes, 0);
    if (error == 0 && (!kv_index_head_decode(seeds, bytes, &head) || head.file_bytes != len))
        error = EBADMSG;
    for (unsigned number = 0; number < KV_INDEX_BLOCKS && error == 0; number++) {
        uint64_t sum = 0;
        error = check_block(seeds, fd, &head, number, &at, &sum);
        sums[number] = htole64(sum);
    }
    if (error != 0)
        return error;
    *keys = head.keys;
    return at == len && kv_index_blocks_sum(seeds, head.nonce, sums) == head.blocks_sum ? 0 : EBADMSG;
}

bool check_snapshot(struct check *check, struct error *e)
{
    char path[PATH_MAX];
    struct stat st;
    if (!check->manifest_usable)
        return true; // it cannot be judged
    (void)snprintf(path, sizeof path, "%s/INDEX", check->dir);
    int fd = check_open(path, &st), error = fd < 0 ? errno : 0;
    if (error == ENOENT)
        return true;
    check->snapshot_there = true;
    // With a manifest that was made again it is another store's: its hashes are of other seeds.
    if (error == 0)
        error = check_index(&check->manifest.seeds, fd, (uint64_t)st.st_size, &check->snapshot_keys);
    if (fd >= 0)
        (void)kv_io.close(fd);
    if (error == 0)
        return true;
    return check_add(
        check, &(struct check_finding){.kind = CHECK_SNAPSHOT, .error = error == EBADMSG ? 0 : error}, e);
}
