#include "kvstore/kv_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_io.h"

#define BUF_BYTES (1024u * 1024)

bool kv_walk_begin(struct kv_walk *walk, const struct kv_seeds *seeds, uint64_t segment, int fd, uint64_t end)
{
    *walk = (struct kv_walk){.seeds = seeds, .fd = fd, .segment = segment, .at = KV_SEGMENT_HEAD, .end = end};
    walk->buf = malloc(BUF_BYTES);
    return walk->buf != NULL;
}

void kv_walk_end(struct kv_walk *walk)
{
    if (walk->buf != NULL)
        explicit_bzero(walk->buf, BUF_BYTES);
    free(walk->buf);
    walk->buf = NULL;
}

// Has at least `need` bytes from `offset` on in the buffer (need <= BUF_BYTES, within the walk). Returns 0,
// or an errno value; *p: the bytes.
static int fetch(struct kv_walk *walk, uint64_t offset, size_t need, const uint8_t **p)
{
    if (offset < walk->buf_at || offset + need > walk->buf_at + walk->buf_len) {
        uint64_t left = walk->end - offset;
        size_t want = left < BUF_BYTES ? (size_t)left : BUF_BYTES;
        int error = kv_io_read(walk->fd, walk->buf, want, offset, &walk->buf_len);
        walk->buf_at = offset;
        if (error != 0 || walk->buf_len < need) {
            walk->buf_len = 0;
            return error != 0 ? error : EIO; // shorter than its size: cut while we read
        }
    }
    *p = walk->buf + (offset - walk->buf_at);
    return 0;
}

static size_t buffered(const struct kv_walk *walk, uint64_t offset)
{
    return (size_t)(walk->buf_at + walk->buf_len - offset);
}

// Goes over zeros from walk->at on, up to the last multiple of 16 before something else.
static int skip_zeros(struct kv_walk *walk, uint64_t *to)
{
    uint64_t at = walk->at;
    while (at < walk->end) {
        size_t need = walk->end - at < KV_RECORD_ALIGN ? (size_t)(walk->end - at) : KV_RECORD_ALIGN;
        const uint8_t *p;
        int error = fetch(walk, at, need, &p);
        if (error != 0)
            return error;
        size_t left = buffered(walk, at), same = 0;
        if (left >= 4096 && kv_is_zero(p, left & ~(size_t)15))
            same = left & ~(size_t)15;
        else
            while (same + need <= left && kv_is_zero(p + same, need))
                same += need;
        at += same;
        if (same < (left & ~(size_t)15) || same == 0)
            break;
    }
    *to = at;
    return 0;
}

static bool decode_at(struct kv_walk *walk, uint64_t offset, const uint8_t *head, struct kv_record *record)
{
    return kv_record_decode(walk->seeds, (struct kv_place){walk->segment, offset}, head, record);
}

// The next place behind walk->at where a record's fixed fields hold, else the end.
static int resync(struct kv_walk *walk, uint64_t *to)
{
    uint64_t at = walk->at + KV_RECORD_ALIGN;
    for (; at + KV_RECORD_HEAD <= walk->end; at += KV_RECORD_ALIGN) {
        const uint8_t *p;
        int error = fetch(walk, at, KV_RECORD_HEAD, &p);
        if (error != 0)
            return error;
        struct kv_record record;
        if (decode_at(walk, at, p, &record)) {
            *to = at;
            return 0;
        }
    }
    *to = walk->end;
    return 0;
}

// Checks a value that is larger than the buffer, piece by piece. It takes the buffer's place; the key has
// been copied.
static int check_large(struct kv_walk *walk, struct kv_item *item, uint64_t from)
{
    struct kv_sum_stream *stream = kv_sum_begin(walk->seeds);
    if (stream == NULL)
        return ENOMEM;
    int error = 0;
    bool zero = true;
    uint64_t left = item->record.value_len;
    while (left > 0 && error == 0) {
        size_t n = left < BUF_BYTES ? (size_t)left : BUF_BYTES;
        const uint8_t *p = NULL;
        error = fetch(walk, from, n, &p);
        if (error == 0) {
            kv_sum_add(stream, p, n);
            zero = zero && kv_is_zero(p, n);
        }
        from += n;
        left -= n;
    }
    item->value_holds = kv_sum_end(stream) == item->record.value_sum;
    item->value_zero = zero;
    return error;
}

// The key moves to the end of the buffer's file range again by being read once more.
static int refetch_key(struct kv_walk *walk, struct kv_item *item)
{
    const uint8_t *p;
    int error = fetch(walk, item->offset, (size_t)KV_RECORD_HEAD + item->record.key_len, &p);
    if (error == 0)
        item->key = p + KV_RECORD_HEAD;
    return error;
}

static int read_record(struct kv_walk *walk, struct kv_item *item)
{
    struct kv_place place = {.segment = walk->segment, .offset = item->offset};
    size_t key_end = (size_t)KV_RECORD_HEAD + item->record.key_len;
    bool whole = item->size <= BUF_BYTES;
    const uint8_t *p;
    int error = fetch(walk, item->offset, whole ? (size_t)item->size : key_end, &p);
    if (error != 0)
        return error;
    item->key = p + KV_RECORD_HEAD;
    if (!kv_record_key_holds(walk->seeds, place, p, item->key, item->record.key_len)) {
        item->kind = KV_ITEM_DAMAGED;
        return 0;
    }
    item->mark = kv_record_mark(walk->seeds, place, p);
    if (!whole) {
        error = check_large(walk, item, item->offset + key_end);
        return error != 0 ? error : refetch_key(walk, item);
    }
    item->value = p + key_end;
    item->value_zero = kv_is_zero(item->value, item->record.value_len);
    item->value_holds =
        kv_value_sum(walk->seeds, item->value, item->record.value_len) == item->record.value_sum;
    return 0;
}

int kv_walk_next(struct kv_walk *walk, struct kv_item *item)
{
    *item = (struct kv_item){.kind = KV_ITEM_END, .offset = walk->at};
    uint64_t left = walk->end - walk->at;
    if (left == 0)
        return 0;
    uint64_t to;
    int error = skip_zeros(walk, &to);
    if (error != 0)
        return error;
    if (to > walk->at) {
        item->kind = KV_ITEM_ZERO;
    } else if (left < KV_RECORD_HEAD) {
        item->kind = KV_ITEM_TORN;
        to = walk->end;
    } else {
        const uint8_t *p;
        error = fetch(walk, walk->at, KV_RECORD_HEAD, &p);
        if (error != 0)
            return error;
        if (decode_at(walk, walk->at, p, &item->record)) {
            item->kind = KV_ITEM_RECORD;
            item->size = kv_record_size(item->record.key_len, item->record.value_len);
            to = walk->at + item->size;
            if (item->size > left) {
                item->kind = KV_ITEM_TORN;
                to = walk->end;
            }
        } else {
            item->kind = KV_ITEM_DAMAGED;
            error = resync(walk, &to);
        }
    }
    item->size = to - walk->at;
    if (error == 0 && item->kind == KV_ITEM_RECORD)
        error = read_record(walk, item);
    if (error == 0)
        walk->at = to;
    return error;
}
