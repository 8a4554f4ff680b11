#include "kvstore/rdb/rdb_reader.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kvstore/kv_bytes.h"
#include "kvstore/rdb/rdb_crc64.h"
#include "kvstore/rdb/rdb_format.h"
#include "kvstore/rdb/rdb_input.h"
#include "kvstore/rdb/rdb_layout.h"

#define HEADER_BYTES     9u // REDIS0010
#define FIRST_WITH_CRC   5u
#define READ_PIECE_BYTES ((size_t)256 * 1024)

enum stage { AT_HEADER, AT_RECORD, AT_ITEM };

struct bracket {
    const char *first; // item
    uint64_t left;     // rounds, with the one under way
};

struct rdb_reader {
    struct rdb_reader_options options;
    struct rdb_counts counts;
    struct rdb_input in;
    // The checksum: of all bytes before crc_from, which lies in the piece; until the end was seen.
    uint64_t crc;
    const uint8_t *crc_from;
    // Where we are.
    enum stage stage;
    uint8_t first; // of the record
    const char *item;
    struct bracket brackets[RDB_LAYOUT_DEPTH];
    unsigned depth;
    uint64_t module_op; // 0: its opcode comes next
    // What the record gave.
    uint64_t numbers[2]; // of L, and of the last l, 1, 4, 8
    struct rdb_buffer key;
    struct rdb_slice value;
    // What holds for records that follow.
    uint64_t db;
    uint64_t expires_ms;
};

struct rdb_reader *rdb_reader_create(const struct rdb_reader_options *options)
{
    struct timespec now;
    struct rdb_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->options = *options;
    if (r->options.now_ms == 0) {
        (void)clock_gettime(CLOCK_REALTIME, &now);
        r->options.now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    }
    r->in.max_string = options->max_value_bytes != 0 ? options->max_value_bytes : RDB_MAX_VALUE;
    r->in.status = RDB_MORE;
    return r;
}

void rdb_reader_destroy(struct rdb_reader *reader)
{
    if (reader == NULL)
        return;
    rdb_buffer_free(&reader->key);
    rdb_input_deinit(&reader->in);
    explicit_bzero(reader, sizeof *reader);
    free(reader);
}

static enum rdb_step read_header(struct rdb_reader *r)
{
    const char *text = (const char *)r->in.gathered;
    enum rdb_step step = rdb_input_bytes(&r->in, HEADER_BYTES);
    if (step != RDB_STEP_DONE)
        return step;
    bool digits = strspn(text + 5, "0123456789") >= 4; // the bytes behind the header's are zeros
    if (memcmp(text, "VALKEY", 6) == 0)
        return rdb_input_fail(&r->in, RDB_UNSUPPORTED, 0,
                              "header: found VALKEY (Valkey 9 or later), expected REDIS0001 to REDIS00%u",
                              RDB_VERSION_NEWEST);
    if (memcmp(text, "REDIS", 5) != 0 || !digits)
        return rdb_input_fail(&r->in, RDB_BAD_FORMAT, 0,
                              "header: found 0x%016" PRIx64 "..., expected \"REDIS\" and 4 digits",
                              be64toh(kv_get64(r->in.gathered)));
    for (unsigned i = 5; i < HEADER_BYTES; i++)
        r->counts.version = r->counts.version * 10 + (unsigned)(text[i] - '0');
    if (r->counts.version == 0 || r->counts.version > RDB_VERSION_NEWEST)
        return rdb_input_fail(&r->in, RDB_UNSUPPORTED, 0, "header: found version %u, expected 1 to %u",
                              r->counts.version, RDB_VERSION_NEWEST);
    r->stage = AT_RECORD;
    return RDB_STEP_DONE;
}

// ---- the end

static void add_to_crc(struct rdb_reader *r)
{
    if (r->crc_from == NULL)
        return;
    r->crc = rdb_crc64(r->crc, r->crc_from, (size_t)(r->in.at - r->crc_from));
    r->crc_from = r->in.at;
}

static enum rdb_step finish(struct rdb_reader *r)
{
    r->in.status = RDB_DONE;
    return RDB_STEP_FAILED; // as good as: nothing more is taken
}

static enum rdb_step check_crc(struct rdb_reader *r)
{
    uint64_t found = r->numbers[1];
    if (found != 0 && found != r->crc)
        return rdb_input_fail(&r->in, RDB_BAD_CHECKSUM, r->in.item_offset,
                              "checksum: found %016" PRIx64 ", expected %016" PRIx64, found, r->crc);
    r->counts.checked = found != 0;
    return finish(r);
}

// ---- records

static enum rdb_step begin_record(struct rdb_reader *r)
{
    enum rdb_step step = rdb_input_bytes(&r->in, 1);
    if (step != RDB_STEP_DONE)
        return step;
    r->first = r->in.gathered[0];
    if (r->first == RDB_OP_END) {
        add_to_crc(r);
        r->crc_from = NULL;
        if (r->counts.version < FIRST_WITH_CRC)
            return finish(r);
    }
    const struct rdb_layout *layout = rdb_layout_of(r->first);
    if (layout == NULL)
        return rdb_input_fail(
            &r->in, RDB_UNSUPPORTED, r->in.item_offset,
            "type %u: not known (of a Redis after 8.0, or damage), expected 0 to 25 or 244 to 255", r->first);
    if (layout->items == NULL)
        return rdb_input_fail(
            &r->in, RDB_UNSUPPORTED, r->in.item_offset,
            "type %u: a value of a module from before Redis 4.0: nobody but the module knows where it ends",
            r->first);
    r->item = layout->items;
    r->stage = AT_ITEM;
    return RDB_STEP_DONE;
}

static enum rdb_step called(struct rdb_reader *r, bool go_on)
{
    if (!go_on)
        return rdb_input_fail(&r->in, RDB_STOPPED, r->in.offset, "stopped by its caller");
    return RDB_STEP_DONE;
}

static enum rdb_step end_key(struct rdb_reader *r, enum rdb_kind kind)
{
    const struct rdb_reader_options *o = &r->options;
    struct rdb_entry entry = {
        .db = r->db,
        .key = r->key.data,
        .key_len = r->key.len,
        .kind = kind,
        .value = kind == RDB_STRING ? r->value.data : NULL,
        .value_len = kind == RDB_STRING ? r->value.len : 0,
        .expires_ms = r->expires_ms,
        .expired = r->expires_ms != 0 && r->expires_ms <= o->now_ms,
    };
    r->expires_ms = 0;
    r->counts.keys[kind]++;
    r->counts.expired += entry.expired;
    if (kind == RDB_STRING)
        return called(r, o->on_string(o->arg, &entry));
    return called(r, o->on_other == NULL || o->on_other(o->arg, &entry));
}

// Redis keeps times as signed: -1 is no expiry, and what is before 1970 is long past.
static uint64_t expiry(int64_t ms)
{
    return ms > 0 ? (uint64_t)ms : ms == -1 ? 0 : 1;
}

static enum rdb_step end_record(struct rdb_reader *r)
{
    const struct rdb_reader_options *o = &r->options;
    const struct rdb_layout *layout = rdb_layout_of(r->first);
    r->stage = AT_RECORD;
    if (layout->is_value)
        return end_key(r, layout->kind);
    switch (r->first) {
    case RDB_OP_AUX:
        return called(r, o->on_aux == NULL ||
                             o->on_aux(o->arg, r->key.data, r->key.len, r->value.data, r->value.len));
    case RDB_OP_RESIZE_DB:
        r->counts.announced += r->numbers[0];
        return RDB_STEP_DONE;
    case RDB_OP_EXPIRES_MS:
        r->expires_ms = expiry((int64_t)r->numbers[1]);
        return RDB_STEP_DONE;
    case RDB_OP_EXPIRES_S:
        r->expires_ms = expiry((int64_t)(int32_t)r->numbers[1] * 1000);
        return RDB_STEP_DONE;
    case RDB_OP_SELECT_DB:
        r->db = r->numbers[1];
        return RDB_STEP_DONE;
    case RDB_OP_END:
        return check_crc(r);
    default:
        return RDB_STEP_DONE;
    }
}

// ---- items

static enum rdb_step read_key(struct rdb_reader *r)
{
    struct rdb_slice key;
    enum rdb_step step = rdb_input_string(&r->in, "length of a key", &key);
    if (step != RDB_STEP_DONE)
        return step;
    rdb_buffer_clear(&r->key);
    if (!rdb_buffer_reserve(&r->key, key.len != 0 ? key.len : 1, SIZE_MAX)) // never NULL
        return rdb_input_fail(&r->in, RDB_NO_MEMORY, r->in.item_offset, "key: no memory for %zu bytes",
                              key.len);
    if (key.len > 0)
        memcpy(r->key.data, key.data, key.len);
    r->key.len = key.len;
    return RDB_STEP_DONE;
}

static enum rdb_step read_number(struct rdb_reader *r, unsigned bytes)
{
    enum rdb_step step = rdb_input_bytes(&r->in, bytes);
    if (step == RDB_STEP_DONE)
        r->numbers[1] = bytes == 1   ? r->in.gathered[0]
                        : bytes == 4 ? kv_get32(r->in.gathered)
                                     : kv_get64(r->in.gathered);
    return step;
}

static enum rdb_step read_module(struct rdb_reader *r)
{
    enum { END, SIGNED, UNSIGNED, FLOAT, DOUBLE, STRING };
    enum rdb_step step;
    uint64_t ignored;
    for (;;) {
        if (r->module_op == END) {
            step = rdb_input_length(&r->in, "opcode of a module's data", &r->module_op);
            if (step != RDB_STEP_DONE || r->module_op == END)
                return step;
        }
        switch (r->module_op) {
        case SIGNED:
        case UNSIGNED:
            step = rdb_input_length(&r->in, "number in a module's data", &ignored);
            break;
        case FLOAT:
            step = rdb_input_bytes(&r->in, 4);
            break;
        case DOUBLE:
            step = rdb_input_bytes(&r->in, 8);
            break;
        case STRING:
            step = rdb_input_skip_string(&r->in, "length of a string in a module's data");
            break;
        default:
            return rdb_input_fail(&r->in, RDB_BAD_FORMAT, r->in.item_offset,
                                  "opcode of a module's data: found %" PRIu64 ", expected 0 to 5",
                                  r->module_op);
        }
        if (step != RDB_STEP_DONE)
            return step;
        r->module_op = END;
    }
}

static enum rdb_step open_bracket(struct rdb_reader *r)
{
    uint64_t rounds;
    enum rdb_step step = rdb_input_length(&r->in, "number of elements", &rounds);
    if (step != RDB_STEP_DONE)
        return step;
    if (rounds == 0) {
        // To the closing bracket of this one; the caller steps over that.
        for (unsigned open = 1; open > 0;) {
            r->item++;
            open += *r->item == '(';
            open -= *r->item == ')';
        }
        return RDB_STEP_DONE;
    }
    assert(r->depth < RDB_LAYOUT_DEPTH);
    r->brackets[r->depth++] = (struct bracket){.first = r->item, .left = rounds};
    return RDB_STEP_DONE;
}

static enum rdb_step close_bracket(struct rdb_reader *r)
{
    struct bracket *inner = &r->brackets[r->depth - 1];
    if (--inner->left > 0)
        r->item = inner->first;
    else
        r->depth--;
    return RDB_STEP_DONE;
}

static enum rdb_step read_item(struct rdb_reader *r)
{
    switch (*r->item) {
    case 'K':
        return read_key(r);
    case 'V':
        return rdb_input_string(&r->in, "length of a string", &r->value);
    case 's':
        return rdb_input_skip_string(&r->in, "length of a string");
    case 'L':
        return rdb_input_length(&r->in, "number", &r->numbers[0]);
    case 'l':
        return rdb_input_length(&r->in, "number", &r->numbers[1]);
    case '(':
        return open_bracket(r);
    case ')':
        return close_bracket(r);
    case 'd':
        return rdb_input_double(&r->in);
    case 'i':
        return rdb_input_bytes(&r->in, 16);
    case 'm':
        return read_module(r);
    default:
        return read_number(r, (unsigned)(*r->item - '0'));
    }
}

static enum rdb_step read_record(struct rdb_reader *r)
{
    if (*r->item == '\0')
        return end_record(r);
    enum rdb_step step = read_item(r);
    if (step == RDB_STEP_DONE)
        r->item++;
    return step;
}

// ---- the bytes

enum rdb_status rdb_reader_feed(struct rdb_reader *reader, const void *bytes, size_t len, size_t *used)
{
    struct rdb_reader *r = reader;
    if (used != NULL)
        *used = 0;
    if (r->in.status != RDB_MORE || len == 0)
        return r->in.status;
    r->in.at = bytes;
    r->in.end = r->in.at + len;
    r->crc_from = r->stage == AT_ITEM && r->first == RDB_OP_END ? NULL : r->in.at;
    enum rdb_step step = RDB_STEP_DONE;
    while (step == RDB_STEP_DONE) {
        step = r->stage == AT_HEADER   ? read_header(r)
               : r->stage == AT_RECORD ? begin_record(r)
                                       : read_record(r);
    }
    add_to_crc(r);
    if (used != NULL)
        *used = (size_t)(r->in.at - (const uint8_t *)bytes);
    r->in.at = r->in.end = r->crc_from = NULL;
    return r->in.status;
}

enum rdb_status rdb_reader_end(struct rdb_reader *reader)
{
    if (reader->in.status == RDB_MORE)
        (void)rdb_input_fail(&reader->in, RDB_TRUNCATED, reader->in.offset,
                             "found the end of the input, expected %s",
                             reader->stage == AT_HEADER   ? "a header"
                             : reader->stage == AT_RECORD ? "a key or the end's mark (0xff)"
                                                          : "the rest of a record");
    return reader->in.status;
}

enum rdb_status rdb_reader_read_fd(struct rdb_reader *reader, int fd)
{
    char why[64];
    uint8_t *piece = malloc(READ_PIECE_BYTES);
    if (piece == NULL) {
        (void)rdb_input_fail(&reader->in, RDB_NO_MEMORY, reader->in.offset, "no memory");
        return reader->in.status;
    }
    while (reader->in.status == RDB_MORE) {
        ssize_t n = read(fd, piece, READ_PIECE_BYTES);
        if (n > 0)
            (void)rdb_reader_feed(reader, piece, (size_t)n, NULL);
        else if (n == 0)
            (void)rdb_reader_end(reader);
        else if (errno != EINTR)
            (void)rdb_input_fail(&reader->in, RDB_IO, reader->in.offset, "read: %s",
                                 strerror_r(errno, why, sizeof why));
    }
    explicit_bzero(piece, READ_PIECE_BYTES);
    free(piece);
    return reader->in.status;
}

const char *rdb_reader_error(const struct rdb_reader *reader)
{
    return reader->in.error;
}

const struct rdb_counts *rdb_reader_counts(const struct rdb_reader *reader)
{
    return &reader->counts;
}

uint64_t rdb_reader_offset(const struct rdb_reader *reader)
{
    return reader->in.offset;
}
