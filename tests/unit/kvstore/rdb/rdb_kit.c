#include "rdb_kit.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kvstore/rdb/rdb_crc64.h"

void bytes_add(struct bytes *b, const void *data, size_t len)
{
    if (b->len + len > b->cap) {
        b->cap = 2 * (b->len + len) + 64;
        b->data = realloc(b->data, b->cap);
        assert_non_null(b->data);
    }
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
}

void bytes_text(struct bytes *b, const char *text)
{
    bytes_add(b, text, strlen(text));
}

void bytes_byte(struct bytes *b, unsigned byte)
{
    uint8_t small = (uint8_t)byte;
    bytes_add(b, &small, 1);
}

void bytes_string(struct bytes *b, const char *text)
{
    assert_true(strlen(text) < 64);
    bytes_byte(b, (unsigned)strlen(text));
    bytes_text(b, text);
}

void bytes_le(struct bytes *b, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        bytes_byte(b, (unsigned)(value >> (8 * i)) & 0xff);
}

void bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

int bytes_write(void *arg, const void *data, size_t len)
{
    bytes_add(arg, data, len);
    return 0;
}

void rdb_begin(struct bytes *b, unsigned version)
{
    char header[16];
    (void)snprintf(header, sizeof header, "REDIS%04u", version);
    bytes_text(b, header);
}

void rdb_finish(struct bytes *b)
{
    bytes_byte(b, 0xff);
    bytes_le(b, rdb_crc64(0, b->data, b->len), 8);
}

struct bytes fixture(const char *name)
{
    char path[4096];
    static uint8_t piece[65536];
    struct bytes b = {0};
    (void)snprintf(path, sizeof path, "%s%s", RDB_FIXTURES, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s cannot be opened", path);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        bytes_add(&b, piece, n);
    (void)fclose(f);
    return b;
}

static void show(struct bytes *out, const uint8_t *data, size_t len)
{
    char text[64];
    bool plain = len <= 40;
    for (size_t i = 0; i < len && plain; i++)
        plain = data[i] >= ' ' && data[i] <= '~';
    if (plain) {
        bytes_add(out, data, len);
        return;
    }
    (void)snprintf(text, sizeof text, "<%zu:%016" PRIx64 ">", len, rdb_crc64(0, data, len));
    bytes_text(out, text);
}

static bool counted(struct seen *seen)
{
    return seen->stop_after == 0 || ++seen->callbacks < seen->stop_after;
}

static bool on_entry(void *arg, const struct rdb_entry *e)
{
    struct seen *seen = arg;
    char text[64];
    (void)snprintf(text, sizeof text, "%" PRIu64 " %s ", e->db, rdb_kind_name(e->kind, 1));
    bytes_text(&seen->text, text);
    assert_non_null(e->key);
    show(&seen->text, e->key, e->key_len);
    if (e->kind == RDB_STRING) {
        assert_non_null(e->value);
        bytes_text(&seen->text, "=");
        show(&seen->text, e->value, e->value_len);
    } else {
        assert_null(e->value);
    }
    if (e->expires_ms != 0) {
        (void)snprintf(text, sizeof text, " @%" PRIu64 "%s", e->expires_ms, e->expired ? " expired" : "");
        bytes_text(&seen->text, text);
    }
    bytes_text(&seen->text, "\n");
    return counted(seen);
}

static bool on_aux(void *arg, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len)
{
    struct seen *seen = arg;
    bytes_text(&seen->text, "aux ");
    show(&seen->text, name, name_len);
    bytes_text(&seen->text, "=");
    show(&seen->text, value, value_len);
    bytes_text(&seen->text, "\n");
    return counted(seen);
}

struct rdb_reader *kit_reader(struct seen *seen, size_t limit)
{
    const struct rdb_reader_options options = {.on_string = on_entry,
                                               .on_other = on_entry,
                                               .on_aux = on_aux,
                                               .arg = seen,
                                               .max_value_bytes = limit,
                                               .now_ms = KIT_NOW};
    struct rdb_reader *reader = rdb_reader_create(&options);
    assert_non_null(reader);
    return reader;
}

char *read_in_pieces(const struct bytes *b, size_t cut, size_t step, size_t limit, enum rdb_status *status)
{
    struct seen seen = {0};
    struct rdb_reader *reader = kit_reader(&seen, limit);
    size_t done = 0, end = cut;
    *status = RDB_MORE;
    for (;;) {
        size_t used, n = end - done;
        uint8_t *piece = malloc(n != 0 ? n : 1);
        assert_non_null(piece);
        if (n > 0)
            memcpy(piece, b->data + done, n);
        *status = rdb_reader_feed(reader, piece, n, &used);
        free(piece);
        if (*status == RDB_MORE)
            assert_int_equal(used, n);
        done += used;
        assert_int_equal(rdb_reader_offset(reader), done);
        if (*status != RDB_MORE || end == b->len)
            break;
        end = b->len - end > step ? end + step : b->len;
    }
    *status = rdb_reader_end(reader);
    assert_int_not_equal(*status, RDB_MORE);
    // Final: nothing more is taken, and the error stays.
    size_t used = 1;
    assert_int_equal(rdb_reader_feed(reader, "x", 1, &used), *status);
    assert_int_equal(used, 0);
    assert_int_equal(rdb_reader_error(reader)[0] == '\0', *status == RDB_DONE);
    bytes_text(&seen.text, rdb_reader_error(reader));
    bytes_byte(&seen.text, '\0');
    rdb_reader_destroy(reader);
    return (char *)seen.text.data;
}

char *read_whole(const struct bytes *b, enum rdb_status *status)
{
    return read_in_pieces(b, b->len, 1, 0, status);
}

bool has_line(const char *text, const char *line)
{
    size_t len = strlen(line);
    for (const char *at = text; (at = strstr(at, line)) != NULL; at++) {
        if ((at == text || at[-1] == '\n') && (at[len] == '\n' || at[len] == '\0'))
            return true;
    }
    return false;
}
