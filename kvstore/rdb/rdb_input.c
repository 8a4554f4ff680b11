#include "kvstore/rdb/rdb_input.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BUFFER 256u
#define NOT_FINITE   253u
#define KEPT_BUFFER  ((size_t)1024 * 1024)

enum rdb_step rdb_input_fail(struct rdb_input *in, enum rdb_status status, uint64_t offset,
                             const char *format, ...)
{
    va_list args;
    if (in->status != RDB_MORE)
        return RDB_STEP_FAILED;
    in->status = status;
    int n = snprintf(in->error, sizeof in->error, "rdb: offset %" PRIu64 ": ", offset);
    va_start(args, format);
    (void)vsnprintf(in->error + n, sizeof in->error - (size_t)n, format, args);
    va_end(args);
    return RDB_STEP_FAILED;
}

bool rdb_buffer_reserve(struct rdb_buffer *buffer, size_t more, size_t final)
{
    size_t need = buffer->len + more;
    if (need <= buffer->cap)
        return true;
    size_t cap = buffer->cap * 2 > FIRST_BUFFER ? buffer->cap * 2 : FIRST_BUFFER;
    if (cap > final)
        cap = final;
    if (cap < need)
        cap = need;
    uint8_t *data = malloc(cap);
    if (data == NULL)
        return false;
    if (buffer->len != 0)
        memcpy(data, buffer->data, buffer->len);
    size_t len = buffer->len;
    rdb_buffer_free(buffer);
    *buffer = (struct rdb_buffer){.data = data, .len = len, .cap = cap};
    return true;
}

void rdb_buffer_free(struct rdb_buffer *buffer)
{
    if (buffer->data != NULL)
        explicit_bzero(buffer->data, buffer->cap);
    free(buffer->data);
    *buffer = (struct rdb_buffer){0};
}

void rdb_buffer_clear(struct rdb_buffer *buffer)
{
    buffer->len = 0;
    if (buffer->cap > KEPT_BUFFER)
        rdb_buffer_free(buffer);
}

void rdb_input_deinit(struct rdb_input *in)
{
    rdb_buffer_free(&in->body);
    rdb_buffer_free(&in->plain);
}

static size_t available(const struct rdb_input *in)
{
    return (size_t)(in->end - in->at);
}

static void advance(struct rdb_input *in, size_t n)
{
    in->at += n;
    in->offset += n;
}

// Gathers until `n` bytes of the item are there; does not end the item.
static bool gather(struct rdb_input *in, size_t n)
{
    if (in->gathered_len == 0)
        in->item_offset = in->offset;
    if (in->gathered_len < n) {
        size_t take = n - in->gathered_len;
        if (take > available(in))
            take = available(in);
        if (take > 0) // the piece may be NULL
            memcpy(in->gathered + in->gathered_len, in->at, take);
        in->gathered_len += take;
        advance(in, take);
    }
    return in->gathered_len >= n;
}

static enum rdb_step item_done(struct rdb_input *in)
{
    in->gathered_len = 0;
    return RDB_STEP_DONE;
}

enum rdb_step rdb_input_bytes(struct rdb_input *in, size_t n)
{
    return gather(in, n) ? item_done(in) : RDB_STEP_MORE;
}

enum rdb_step rdb_input_double(struct rdb_input *in)
{
    if (!gather(in, 1))
        return RDB_STEP_MORE;
    uint8_t len = in->gathered[0];
    return len >= NOT_FINITE || gather(in, 1 + (size_t)len) ? item_done(in) : RDB_STEP_MORE;
}

enum rdb_step rdb_input_length(struct rdb_input *in, const char *what, uint64_t *value)
{
    if (!gather(in, 1))
        return RDB_STEP_MORE;
    int more = rdb_length_more(in->gathered[0]);
    if (more < 0)
        return rdb_input_fail(in, RDB_BAD_FORMAT, in->item_offset,
                              "%s: found a first byte of 0x%02x, expected 0x00 to 0x81", what,
                              in->gathered[0]);
    if (!gather(in, 1 + (size_t)more))
        return RDB_STEP_MORE;
    *value = rdb_length_value(in->gathered);
    return item_done(in);
}

// ---- strings

static enum rdb_step string_head(struct rdb_input *in, const char *what)
{
    if (!gather(in, 1))
        return RDB_STEP_MORE;
    if (!rdb_is_form(in->gathered[0])) {
        enum rdb_step step = rdb_input_length(in, what, &in->body_len);
        if (step == RDB_STEP_DONE) {
            in->packed = false;
            in->plain_len = in->body_len;
            in->body_left = in->body_len;
            in->stage = RDB_AT_BODY;
        }
        return step;
    }
    uint8_t first = in->gathered[0];
    if ((first & 0x3f) > RDB_FORM_LZF)
        return rdb_input_fail(in, RDB_BAD_FORMAT, in->item_offset,
                              "%s: found an encoding 0x%02x, expected 0xc0 to 0xc3", what, first);
    in->form = (enum rdb_form)(first & 0x3f);
    in->stage = in->form == RDB_FORM_LZF ? RDB_AT_PACKED : RDB_AT_INT;
    return item_done(in);
}

static enum rdb_step string_plain(struct rdb_input *in, const char *what)
{
    enum rdb_step step = rdb_input_length(in, what, &in->plain_len);
    if (step != RDB_STEP_DONE)
        return step;
    if (!rdb_lzf_plausible(in->body_len, in->plain_len))
        return rdb_input_fail(in, RDB_BAD_FORMAT, in->item_offset,
                              "%s: found %" PRIu64 " bytes compressed to %" PRIu64 ", which LZF does not do",
                              what, in->plain_len, in->body_len);
    in->packed = true;
    in->body_left = in->body_len;
    in->stage = RDB_AT_BODY;
    return RDB_STEP_DONE;
}

// Goes on until the body, or the end of a number, begins.
static enum rdb_step string_begin(struct rdb_input *in, const char *what)
{
    enum rdb_step step = RDB_STEP_DONE;
    while (step == RDB_STEP_DONE && in->stage != RDB_AT_BODY && in->stage != RDB_AT_INT) {
        if (in->stage == RDB_AT_HEAD) {
            step = string_head(in, what);
        } else if (in->stage == RDB_AT_PACKED) {
            step = rdb_input_length(in, what, &in->body_len);
            if (step == RDB_STEP_DONE)
                in->stage = RDB_AT_PLAIN;
        } else {
            step = string_plain(in, what);
        }
    }
    return step;
}

static enum rdb_step string_done(struct rdb_input *in)
{
    in->stage = RDB_AT_HEAD;
    return RDB_STEP_DONE;
}

enum rdb_step rdb_input_skip_string(struct rdb_input *in, const char *what)
{
    enum rdb_step step = string_begin(in, what);
    if (step != RDB_STEP_DONE)
        return step;
    if (in->stage == RDB_AT_INT) {
        step = rdb_input_bytes(in, (size_t)1 << in->form);
        return step == RDB_STEP_DONE ? string_done(in) : step;
    }
    uint64_t take = in->body_left < available(in) ? in->body_left : available(in);
    advance(in, (size_t)take);
    in->body_left -= take;
    return in->body_left == 0 ? string_done(in) : RDB_STEP_MORE;
}

static enum rdb_step no_memory(struct rdb_input *in, const char *what, uint64_t len)
{
    return rdb_input_fail(in, RDB_NO_MEMORY, in->item_offset, "%s: no memory for %" PRIu64 " bytes", what,
                          len);
}

static enum rdb_step string_int(struct rdb_input *in, const char *what, struct rdb_slice *string)
{
    enum rdb_step step = rdb_input_bytes(in, (size_t)1 << in->form);
    if (step != RDB_STEP_DONE)
        return step;
    rdb_buffer_clear(&in->plain);
    if (!rdb_buffer_reserve(&in->plain, RDB_INT_TEXT, RDB_INT_TEXT))
        return no_memory(in, what, RDB_INT_TEXT);
    string->data = in->plain.data;
    string->len = rdb_int_text(in->form, in->gathered, (char *)in->plain.data);
    return string_done(in);
}

// The bytes as they stand in the file: where they lie when all of them are in this piece, otherwise gathered.
static enum rdb_step string_body(struct rdb_input *in, const char *what, struct rdb_slice *body)
{
    if (in->body_left == in->body_len) {
        rdb_buffer_clear(&in->body);
        if (in->body_len <= available(in)) {
            *body = (struct rdb_slice){.data = in->at, .len = (size_t)in->body_len};
            advance(in, body->len);
            return RDB_STEP_DONE;
        }
    }
    size_t take = in->body_left < available(in) ? (size_t)in->body_left : available(in);
    if (take > 0) {
        if (!rdb_buffer_reserve(&in->body, take, (size_t)in->body_len))
            return no_memory(in, what, in->body_len);
        memcpy(in->body.data + in->body.len, in->at, take);
        in->body.len += take;
        in->body_left -= take;
        advance(in, take);
    }
    if (in->body_left > 0)
        return RDB_STEP_MORE;
    *body = (struct rdb_slice){.data = in->body.data, .len = in->body.len};
    return RDB_STEP_DONE;
}

static enum rdb_step string_unpack(struct rdb_input *in, const char *what, struct rdb_slice *string)
{
    size_t len = (size_t)in->plain_len;
    rdb_buffer_clear(&in->plain);
    if (!rdb_buffer_reserve(&in->plain, len, len))
        return no_memory(in, what, len);
    in->plain.len = len;
    if (!rdb_lzf_expand(string->data, string->len, in->plain.data, len))
        return rdb_input_fail(in, RDB_BAD_FORMAT, in->item_offset,
                              "%s: found no LZF of %zu bytes in %zu bytes", what, len, string->len);
    *string = (struct rdb_slice){.data = in->plain.data, .len = len};
    return RDB_STEP_DONE;
}

enum rdb_step rdb_input_string(struct rdb_input *in, const char *what, struct rdb_slice *string)
{
    enum rdb_step step = string_begin(in, what);
    if (step != RDB_STEP_DONE)
        return step;
    if (in->stage == RDB_AT_INT)
        return string_int(in, what, string);
    uint64_t largest = in->packed && in->body_len > in->plain_len ? in->body_len : in->plain_len;
    if (largest > in->max_string)
        return rdb_input_fail(in, RDB_TOO_LARGE, in->item_offset,
                              "%s: found %" PRIu64 " bytes, expected at most %zu", what, largest,
                              in->max_string);
    step = string_body(in, what, string);
    if (step == RDB_STEP_DONE && in->packed)
        step = string_unpack(in, what, string);
    return step == RDB_STEP_DONE ? string_done(in) : step;
}
