#include "kvstore/kv_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_io.h"

#define BUF_BYTES KV_WALK_BYTES
#define BLOCK     4096u // what the device gives or refuses as a whole

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

// Fills the buffer from `offset` on: as much as can be read before the first block that cannot.
static void load(struct kv_walk *walk, uint64_t offset)
{
    uint64_t left = walk->end - offset;
    size_t want = left < BUF_BYTES ? (size_t)left : BUF_BYTES;
    walk->buf_at = offset;
    int error = kv_io_read(walk->fd, walk->buf, want, offset, &walk->buf_len);
    if (error != 0)
        walk->buf_len = 0;
    while (error != 0 && walk->buf_len < want) {
        uint64_t at = offset + walk->buf_len;
        size_t n = BLOCK - (size_t)(at % BLOCK), got;
        n = n < want - walk->buf_len ? n : want - walk->buf_len;
        int refused = kv_io_read(walk->fd, walk->buf + walk->buf_len, n, at, &got);
        if (refused != 0) {
            walk->refused = refused;
            walk->refused_at = at;
            return;
        }
        walk->buf_len += got;
        if (got < n)
            break;
    }
    if (walk->buf_len < want) { // shorter than its size: cut while we read
        walk->refused = EIO;
        walk->refused_at = offset + walk->buf_len;
    }
}

// Has at least `need` bytes from `offset` on in the buffer (need <= BUF_BYTES, within the walk); *p: the bytes.
// False: they cannot be read, because of the block at walk->refused_at.
static bool fetch(struct kv_walk *walk, uint64_t offset, size_t need, const uint8_t **p)
{
    if (offset < walk->buf_at || offset + need > walk->buf_at + walk->buf_len)
        load(walk, offset);
    *p = walk->buf + (offset - walk->buf_at);
    return walk->buf_len >= offset - walk->buf_at + need;
}

static size_t buffered(const struct kv_walk *walk, uint64_t offset)
{
    return (size_t)(walk->buf_at + walk->buf_len - offset);
}

// Goes over zeros from walk->at on, up to the last multiple of 16 before something else, or to what cannot be read.
static uint64_t skip_zeros(struct kv_walk *walk)
{
    uint64_t at = walk->at;
    while (at < walk->end) {
        size_t need = walk->end - at < KV_RECORD_ALIGN ? (size_t)(walk->end - at) : KV_RECORD_ALIGN;
        const uint8_t *p;
        if (!fetch(walk, at, need, &p))
            break;
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
    return at;
}

static bool decode_at(struct kv_walk *walk, uint64_t offset, const uint8_t *head, struct kv_record *record)
{
    return kv_record_decode(walk->seeds, (struct kv_place){walk->segment, offset}, head, record);
}

// The next place from `at` on where a record's fixed fields hold, else the end. What cannot be read on the way is passed
// over; *refused: there was some.
static uint64_t resync(struct kv_walk *walk, uint64_t at, bool *refused)
{
    while (at + KV_RECORD_HEAD <= walk->end) {
        const uint8_t *p;
        struct kv_record record;
        if (!fetch(walk, at, KV_RECORD_HEAD, &p)) {
            *refused = true;
            at = (walk->refused_at / BLOCK + 1) * BLOCK;
            continue;
        }
        if (decode_at(walk, at, p, &record))
            return at;
        at += KV_RECORD_ALIGN;
    }
    return walk->end;
}

// Checks a value that is larger than the buffer, piece by piece. It takes the buffer's place; the key is read
// once more. Returns 0 or ENOMEM.
static int check_large(struct kv_walk *walk, struct kv_item *item, uint64_t from)
{
    struct kv_sum_stream *stream = kv_sum_begin(walk->seeds);
    if (stream == NULL)
        return ENOMEM;
    bool zero = true;
    uint64_t left = item->record.value_len;
    while (left > 0 && !item->unreadable) {
        size_t n = left < BUF_BYTES ? (size_t)left : BUF_BYTES;
        const uint8_t *p = NULL;
        item->unreadable = !fetch(walk, from, n, &p);
        if (!item->unreadable) {
            kv_sum_add(stream, p, n);
            zero = zero && kv_is_zero(p, n);
        }
        from += n;
        left -= n;
    }
    bool same = kv_sum_end(stream) == item->record.value_sum;
    item->value_holds = same && !item->unreadable;
    item->value_zero = zero && !item->unreadable;
    return 0;
}

// What a record holds beside its fixed fields. Returns 0 or ENOMEM.
static int read_record(struct kv_walk *walk, struct kv_item *item)
{
    struct kv_place place = {.segment = walk->segment, .offset = item->offset};
    size_t key_end = (size_t)KV_RECORD_HEAD + item->record.key_len;
    bool whole = item->size <= BUF_BYTES;
    const uint8_t *p;
    bool got = whole && fetch(walk, item->offset, (size_t)item->size, &p);
    item->unreadable = whole && !got;
    if (!got && !fetch(walk, item->offset, key_end, &p)) {
        item->kind = KV_ITEM_UNREADABLE;
        return 0;
    }
    item->key = p + KV_RECORD_HEAD;
    if (!kv_record_key_holds(walk->seeds, place, p, item->key, item->record.key_len)) {
        item->kind = KV_ITEM_DAMAGED;
        return 0;
    }
    item->mark = kv_record_mark(walk->seeds, place, p);
    item->marks_erased = kv_mark_is_nearer_erased(walk->seeds, place, p);
    if (item->unreadable)
        return 0;
    if (!whole) {
        int error = check_large(walk, item, item->offset + key_end);
        if (error == 0 && fetch(walk, item->offset, key_end, &p))
            item->key = p + KV_RECORD_HEAD;
        else if (error == 0)
            item->kind = KV_ITEM_UNREADABLE; // it could be read a moment ago
        return error;
    }
    item->value = p + key_end;
    item->value_zero = kv_is_zero(item->value, item->record.value_len);
    item->value_holds =
        kv_value_sum(walk->seeds, item->value, item->record.value_len) == item->record.value_sum;
    return 0;
}

// An item that begins with something else than zeros; the next begins at *to. Returns 0 or ENOMEM.
static int read_item(struct kv_walk *walk, struct kv_item *item, uint64_t *to)
{
    uint64_t left = walk->end - walk->at;
    bool refused = false;
    const uint8_t *p;
    *to = walk->end;
    if (!fetch(walk, walk->at, left < KV_RECORD_HEAD ? (size_t)left : KV_RECORD_HEAD, &p)) {
        item->kind = KV_ITEM_UNREADABLE;
        *to = resync(walk, walk->at, &refused);
        return 0;
    }
    if (left < KV_RECORD_HEAD) {
        item->kind = KV_ITEM_TORN;
        return 0;
    }
    if (!decode_at(walk, walk->at, p, &item->record)) {
        *to = resync(walk, walk->at + KV_RECORD_ALIGN, &refused);
        item->kind = refused ? KV_ITEM_UNREADABLE : KV_ITEM_DAMAGED;
        return 0;
    }
    item->kind = KV_ITEM_RECORD;
    item->size = kv_record_size(item->record.key_len, item->record.value_len);
    if (item->size > left) {
        item->kind = KV_ITEM_TORN;
        return 0;
    }
    *to = walk->at + item->size;
    return read_record(walk, item);
}

int kv_walk_next(struct kv_walk *walk, struct kv_item *item)
{
    *item = (struct kv_item){.kind = KV_ITEM_END, .offset = walk->at};
    if (walk->at >= walk->end)
        return 0;
    walk->refused = 0;
    uint64_t to = skip_zeros(walk);
    int error = 0;
    if (to > walk->at)
        item->kind = KV_ITEM_ZERO;
    else
        error = read_item(walk, item, &to);
    item->size = to - walk->at;
    item->error = walk->refused;
    if (error == 0)
        walk->at = to;
    return error;
}
