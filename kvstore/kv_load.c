#include "kvstore/kv_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_READ_MAX (256u * 1024)
#define PIECE          (1u << 20)
#define FIRST_READ     1024u // for head and key alone

// ---- one read

void kv_disk_read_done(struct kv_store *store, struct kv_disk_read *read, ssize_t result)
{
    ssize_t (*hook)(int, void *, size_t, off_t, ssize_t) = kv_io.completed;
    read->result = hook == NULL ? result : hook(read->fd, read->buf, read->len, (off_t)read->offset, result);
    atomic_fetch_add_explicit(&store->readers.reads, 1, memory_order_relaxed);
    if (read->direct)
        atomic_fetch_add_explicit(&store->readers.direct_reads, 1, memory_order_relaxed);
}

ssize_t kv_disk_read_now(struct kv_store *store, struct kv_disk_read *read)
{
    ssize_t n;
    do
        n = kv_io.pread(read->fd, read->buf, read->len, (off_t)read->offset);
    while (n < 0 && errno == EINTR);
    kv_disk_read_done(store, read, n < 0 ? -errno : n);
    return read->result;
}

static struct kv_place place_of(uint64_t where)
{
    return (struct kv_place){.segment = kv_where_segment(where), .offset = kv_where_offset(where)};
}

static enum kv_status read_failed(struct kv_store *store, uint64_t where, int error)
{
    return kv_fail(store, KV_IO, error, "segment %08llu: read at %llu",
                   (unsigned long long)kv_where_segment(where), (unsigned long long)kv_where_offset(where));
}

// The descriptor to read with, and what the read has to be aligned to (1: nothing).
static int choose(struct kv_segment *segment, bool *direct, uint64_t *align)
{
    int fd = atomic_load(&segment->direct_fd);
    *direct = fd >= 0 && !atomic_load_explicit(&segment->direct_refused, memory_order_relaxed);
    *align = *direct ? atomic_load_explicit(&segment->direct_align, memory_order_relaxed) : 1;
    return *direct ? fd : segment->fd;
}

// A failed read that is to be done again. EINVAL from a direct read: the file system does not do it after
// all.
static bool try_again(struct kv_segment *segment, const struct kv_disk_read *read, bool *refused)
{
    *refused = read->result == -EINVAL && read->direct;
    if (*refused)
        atomic_store(&segment->direct_refused, true);
    return *refused || read->result == -EINTR || read->result == -EAGAIN;
}

// ---- head, key and value in one block

// Space for so many bytes and what alignment adds to them.
static size_t room_for(struct kv_segment *segment, size_t want)
{
    return want + 2 * (size_t)atomic_load_explicit(&segment->direct_align, memory_order_relaxed);
}

// Aims at `want` bytes from an offset of the file on, into the block, which has room for them at least.
static void aim(struct kv_load *load, uint64_t offset, size_t want)
{
    bool direct;
    uint64_t align;
    int fd = choose(load->segment, &direct, &align);
    uint64_t from = offset & ~(align - 1), to = (offset + want + align - 1) & ~(align - 1);
    if (to - from > load->block_len) { // the segment has become direct since the block was taken
        direct = false;
        fd = load->segment->fd;
        from = offset;
        to = offset + want;
    }
    load->skip = (size_t)(offset - from);
    load->got = 0;
    load->want = want;
    load->read = (struct kv_disk_read){.fd = fd,
                                       .slab = load->buffer == NULL,
                                       .direct = direct,
                                       .buf = load->block,
                                       .len = (size_t)(to - from),
                                       .offset = from,
                                       .owner = load->read.owner};
}

// Notes as used, so that it will be wiped, what the read may fill: one that fails can have filled a part.
static void will_fill(struct kv_load *load)
{
    size_t end = (size_t)(load->read.buf - load->block) + load->read.len;
    size_t *used = load->buffer != NULL ? &load->buffer->used : &load->used;
    if (*used < end)
        *used = end;
}

static void aim_at_block(struct kv_load *load, uint64_t offset, size_t want)
{
    aim(load, offset, want);
    will_fill(load);
}

// The rest of a read that came back short: past what is aligned the page cache has to do.
static enum kv_status read_rest(struct kv_load *load)
{
    struct kv_disk_read *read = &load->read;
    read->fd = load->segment->fd;
    read->direct = false;
    read->buf += read->result;
    read->len -= (size_t)read->result;
    read->offset += (uint64_t)read->result;
    return KV_PENDING;
}

static bool take_block(struct kv_load *load, size_t want)
{
    size_t most = room_for(load->segment, want);
    load->buffer = NULL;
    load->used = 0;
    load->block = load->sink->slab;
    load->block_len = KV_SLAB_BYTES;
    if (load->block != NULL && most <= KV_SLAB_BYTES && load->sink->want == KV_WANT_COPY)
        return true;
    load->buffer = kv_buffer_take(load->store, most);
    if (load->buffer == NULL) {
        load->block = NULL;
        return false;
    }
    load->block = load->buffer->data;
    load->block_len = load->buffer->capacity;
    return true;
}

static void drop_block(struct kv_load *load)
{
    if (load->buffer != NULL)
        kv_buffer_give(load->store, load->buffer);
    else if (load->block != NULL)
        explicit_bzero(load->block, load->used);
    load->buffer = NULL;
    load->block = NULL;
    load->got = load->used = 0;
}

static const uint8_t *head_of(const struct kv_load *load)
{
    return load->block + load->skip;
}

// Whether head and key are there and hold. KV_PENDING: there is more to read.
static enum kv_status check_key(struct kv_load *load)
{
    size_t have = load->got > load->skip ? load->got - load->skip : 0;
    const struct kv_seeds *seeds = &load->store->seeds;
    if (have < KV_RECORD_HEAD)
        return KV_PENDING;
    const uint8_t *head = head_of(load);
    if (!kv_record_decode(seeds, place_of(load->where), head, &load->record))
        return KV_CORRUPT;
    size_t need = (size_t)KV_RECORD_HEAD + load->record.key_len;
    if (load->stage == KV_LOAD_HEAD && load->record.key_len != load->key_len)
        return KV_NOT_FOUND; // its key was not asked for
    if (need > load->want)
        return KV_CORRUPT;
    if (have < need)
        return KV_PENDING;
    const uint8_t *stored = head + KV_RECORD_HEAD;
    if (!kv_record_key_holds(seeds, place_of(load->where), head, stored, load->record.key_len))
        return KV_CORRUPT;
    return load->record.key_len == load->key_len && memcmp(stored, load->key, load->key_len) == 0
               ? KV_OK
               : KV_NOT_FOUND;
}

static enum kv_status check_whole(struct kv_load *load)
{
    enum kv_status status = check_key(load);
    if (status != KV_OK)
        return status;
    size_t at = (size_t)KV_RECORD_HEAD + load->record.key_len, len = load->record.value_len;
    if (len > load->want - at)
        return KV_CORRUPT;
    if (load->got - load->skip < at + len)
        return KV_PENDING;
    load->value = load->block + load->skip + at;
    load->len = len;
    return kv_value_sum(&load->store->seeds, load->value, len) == load->record.value_sum ? KV_OK : KV_CORRUPT;
}

// ---- a large value, in pieces

static uint64_t value_offset(const struct kv_load *load)
{
    return kv_where_offset(load->where) + KV_RECORD_HEAD + load->key_len;
}

// Where the pieces go. A buffer's reader gets them in place; other memory only through the page cache, or by
// way of a buffer.
static enum kv_status make_room(struct kv_load *load)
{
    load->len = load->record.value_len;
    load->done = 0;
    if (load->sink->want == KV_WANT_COPY) {
        if (load->len > load->sink->capacity)
            return KV_TOO_LARGE;
        load->value = load->sink->into;
    } else if (load->sink->want == KV_WANT_MALLOC) {
        load->value = malloc(load->len != 0 ? load->len : 1);
        load->owned = load->value != NULL;
    }
    bool view = load->sink->want == KV_WANT_VIEW;
    load->buffer = kv_buffer_take(load->store, (view ? load->len : PIECE) + 2 * (size_t)KV_BUFFER_ALIGN);
    if (load->buffer == NULL || (!view && load->value == NULL))
        return KV_NO_MEMORY;
    load->block = load->buffer->data;
    load->block_len = load->buffer->capacity;
    if (view)
        load->value = load->block + value_offset(load) % KV_BUFFER_ALIGN;
    return KV_OK;
}

static enum kv_status next_piece(struct kv_load *load)
{
    uint64_t offset = value_offset(load) + load->done;
    size_t rest = load->len - load->done;
    aim(load, offset, rest < PIECE ? rest : PIECE);
    bool through_block = load->sink->want != KV_WANT_VIEW && (load->read.direct || load->sink->indirect);
    if (!through_block)
        load->read.buf = load->value + load->done - load->skip;
    if (through_block || load->sink->want == KV_WANT_VIEW)
        will_fill(load);
    return KV_PENDING;
}

static enum kv_status take_piece(struct kv_load *load)
{
    size_t came = (size_t)load->read.result, rest = load->len - load->done;
    if (came <= load->skip)
        return KV_CORRUPT; // the file ends here
    size_t n = came - load->skip < rest ? came - load->skip : rest;
    uint8_t *to = load->value + load->done;
    if (load->sink->want != KV_WANT_VIEW && load->read.buf == load->block)
        memcpy(to, load->block + load->skip, n);
    load->done += n;
    if (load->done < load->len)
        return next_piece(load);
    if (kv_value_sum(&load->store->seeds, load->value, load->len) == load->record.value_sum)
        return KV_OK;
    explicit_bzero(load->value, load->len); // nobody shall take it for the value
    return KV_CORRUPT;
}

// ---- the steps

bool kv_load_is_whole(uint8_t size_class)
{
    return kv_class_size(size_class) <= WHOLE_READ_MAX;
}

enum kv_status kv_load_begin(struct kv_load *load, struct kv_store *store, const struct kv_sink *sink,
                             uint64_t where, uint8_t size_class, const void *key, size_t key_len)
{
    load->store = store;
    load->sink = sink;
    load->where = where;
    load->key = key;
    load->key_len = key_len;
    load->size_class = size_class;
    load->buffer = NULL;
    load->block = load->value = NULL;
    load->got = 0;
    load->owned = false;
    load->segment = kv_segment_to_read(store, kv_where_segment(where));
    if (load->segment == NULL)
        return KV_IO;
    uint64_t size = kv_class_size(size_class);
    load->stage = kv_load_is_whole(size_class) ? KV_LOAD_WHOLE : KV_LOAD_HEAD;
    size_t want = load->stage == KV_LOAD_WHOLE ? (size_t)size : KV_RECORD_HEAD + key_len;
    if (!take_block(load, want)) {
        kv_segment_put(load->segment);
        return KV_NO_MEMORY;
    }
    aim_at_block(load, kv_where_offset(where), want);
    return KV_PENDING;
}

static enum kv_status after_head(struct kv_load *load)
{
    enum kv_status status = check_key(load);
    if (status != KV_OK)
        return status;
    if (kv_record_size(load->key_len, load->record.value_len) > kv_class_size(load->size_class))
        return KV_CORRUPT; // it believes itself longer than it was written
    drop_block(load);
    status = make_room(load);
    if (status != KV_OK)
        return status;
    load->stage = KV_LOAD_VALUE;
    return load->len != 0 ? next_piece(load) : KV_CORRUPT; // no record of this size is empty
}

enum kv_status kv_load_step(struct kv_load *load)
{
    bool refused;
    if (try_again(load->segment, &load->read, &refused)) {
        if (refused && load->stage == KV_LOAD_VALUE)
            return next_piece(load);
        if (refused)
            aim_at_block(load, kv_where_offset(load->where), load->want);
        return KV_PENDING;
    }
    if (load->read.result < 0)
        return read_failed(load->store, load->where, (int)-load->read.result);
    if (load->stage == KV_LOAD_VALUE)
        return take_piece(load);
    load->got += (size_t)load->read.result;
    enum kv_status status = load->stage == KV_LOAD_WHOLE ? check_whole(load) : after_head(load);
    if (status != KV_PENDING || load->stage == KV_LOAD_VALUE)
        return status;
    return load->read.result == 0 || (size_t)load->read.result >= load->read.len ? KV_CORRUPT
                                                                                 : read_rest(load);
}

void kv_load_end(struct kv_load *load)
{
    bool in_callers_memory = load->stage == KV_LOAD_VALUE && load->sink->want == KV_WANT_COPY;
    if (in_callers_memory && load->done < load->len && load->value != NULL) { // given up half-way
        size_t rest = load->len - load->done;
        explicit_bzero(load->value, load->done + (rest < PIECE ? rest : PIECE));
    }
    if (load->owned) {
        explicit_bzero(load->value, load->len);
        free(load->value);
    }
    load->owned = false;
    drop_block(load);
    kv_segment_put(load->segment);
    load->segment = NULL;
}

void kv_load_abandon(struct kv_load *load)
{
    if (load->buffer != NULL)
        kv_buffer_abandon(load->buffer);
    load->buffer = NULL;
    load->block = NULL;
    load->got = 0;
    kv_load_end(load);
}

// ---- head and key alone

// Reads `want` bytes of the record at a place into a buffer: *data points to them, *got says how many there
// are.
static int read_range(struct kv_store *store, struct kv_segment *segment, uint64_t where, size_t want,
                      struct kv_buffer *buffer, uint8_t **data, size_t *got)
{
    struct kv_load load = {.store = store,
                           .segment = segment,
                           .buffer = buffer,
                           .block = buffer->data,
                           .block_len = buffer->capacity};
    aim_at_block(&load, kv_where_offset(where), want);
    for (bool refused; load.got < load.skip + want;) {
        (void)kv_disk_read_now(store, &load.read);
        if (try_again(segment, &load.read, &refused)) {
            if (refused)
                aim_at_block(&load, kv_where_offset(where), want);
            continue;
        }
        if (load.read.result < 0)
            return (int)-load.read.result;
        if (load.read.result == 0)
            break;
        load.got += (size_t)load.read.result;
        (void)read_rest(&load);
    }
    *data = buffer->data + load.skip;
    *got = load.got > load.skip ? load.got - load.skip : 0;
    return 0;
}

static enum kv_status decode_head(struct kv_store *store, uint64_t where, const uint8_t *data, size_t got,
                                  struct kv_record *record, void **key)
{
    size_t need = (size_t)KV_RECORD_HEAD + record->key_len;
    if (got < need ||
        !kv_record_key_holds(&store->seeds, place_of(where), data, data + KV_RECORD_HEAD, record->key_len))
        return KV_CORRUPT;
    *key = malloc(record->key_len);
    if (*key == NULL)
        return KV_NO_MEMORY;
    memcpy(*key, data + KV_RECORD_HEAD, record->key_len);
    return KV_OK;
}

// *need: bytes that it takes; when they are more than `want` nothing is decided yet.
static enum kv_status read_head(struct kv_store *store, struct kv_segment *segment, uint64_t where,
                                size_t want, size_t *need, struct kv_record *record, void **key)
{
    struct kv_buffer *buffer = kv_buffer_take(store, room_for(segment, want));
    if (buffer == NULL)
        return KV_NO_MEMORY;
    uint8_t *data;
    size_t got;
    int error = read_range(store, segment, where, want, buffer, &data, &got);
    enum kv_status status = KV_OK;
    if (error != 0)
        status = read_failed(store, where, error);
    else if (got < KV_RECORD_HEAD || !kv_record_decode(&store->seeds, place_of(where), data, record))
        status = KV_CORRUPT;
    *need = status == KV_OK ? (size_t)KV_RECORD_HEAD + record->key_len : 0;
    if (*need <= want && status == KV_OK)
        status = decode_head(store, where, data, got, record, key);
    kv_buffer_give(store, buffer);
    return status;
}

enum kv_status kv_read_head(struct kv_store *store, uint64_t where, struct kv_record *record, void **key)
{
    *key = NULL;
    struct kv_segment *segment = kv_segment_to_read(store, kv_where_segment(where));
    if (segment == NULL)
        return KV_NOT_FOUND;
    size_t need;
    enum kv_status status = read_head(store, segment, where, FIRST_READ, &need, record, key);
    if (status == KV_OK && need > FIRST_READ) // a long key
        status = read_head(store, segment, where, need, &need, record, key);
    kv_segment_put(segment);
    return status;
}

enum kv_status kv_read_value(struct kv_store *store, uint64_t where, const struct kv_record *record,
                             uint8_t **value)
{
    struct kv_segment *segment = kv_segment_to_read(store, kv_where_segment(where));
    uint64_t from = kv_where_offset(where) + KV_RECORD_HEAD + record->key_len;
    *value = NULL;
    enum kv_status status =
        segment == NULL || from + record->value_len > atomic_load(&segment->size) ? KV_IO : KV_OK;
    if (status == KV_OK && (*value = malloc(record->value_len != 0 ? record->value_len : 1)) == NULL)
        status = KV_NO_MEMORY;
    size_t got = 0;
    if (status == KV_OK &&
        (kv_io_read(segment->fd, *value, record->value_len, from, &got) != 0 || got != record->value_len))
        status = KV_IO;
    kv_segment_put(segment);
    return status;
}

void kv_free_value(uint8_t *value, size_t len)
{
    if (value != NULL)
        explicit_bzero(value, len);
    free(value);
}
