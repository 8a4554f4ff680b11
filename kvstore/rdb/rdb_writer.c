#include "kvstore/rdb/rdb_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvstore/kv_bytes.h"
#include "kvstore/rdb/rdb_crc64.h"
#include "kvstore/rdb/rdb_format.h"

#define BUFFER_BYTES ((size_t)256 * 1024)

struct rdb_writer {
    struct rdb_writer_options options;
    uint64_t crc;   // of all but what is in the buffer
    uint64_t bytes; // written or in the buffer
    int error;
    bool selected; // a select or put was there: no more facts
    bool finished;
    size_t used;
    uint8_t buffer[BUFFER_BYTES];
};

static void give(struct rdb_writer *w, const void *bytes, size_t len)
{
    if (w->error == 0 && len > 0)
        w->error = w->options.write(w->options.arg, bytes, len);
}

static void flush(struct rdb_writer *w)
{
    w->crc = rdb_crc64(w->crc, w->buffer, w->used);
    give(w, w->buffer, w->used);
    w->used = 0;
}

static void put(struct rdb_writer *w, const void *bytes, size_t len)
{
    w->bytes += len;
    if (len > BUFFER_BYTES - w->used) {
        flush(w);
        if (len >= BUFFER_BYTES) { // as it is, without a copy
            w->crc = rdb_crc64(w->crc, bytes, len);
            give(w, bytes, len);
            return;
        }
    }
    if (len > 0)
        memcpy(w->buffer + w->used, bytes, len);
    w->used += len;
}

static void put_byte(struct rdb_writer *w, uint8_t byte)
{
    put(w, &byte, 1);
}

static void put_length(struct rdb_writer *w, uint64_t len)
{
    uint8_t bytes[RDB_LENGTH_BYTES];
    put(w, bytes, rdb_length_put(bytes, len));
}

static void put_string(struct rdb_writer *w, const void *value, size_t len)
{
    struct rdb_encoded encoded;
    rdb_encode(&encoded, value, len, w->options.compress);
    put(w, encoded.head, encoded.head_len);
    put(w, encoded.body, encoded.body_len);
    rdb_encoded_end(&encoded);
}

static void put_aux(struct rdb_writer *w, const char *name, const char *value)
{
    put_byte(w, RDB_OP_AUX);
    put_string(w, name, strlen(name));
    put_string(w, value, strlen(value));
}

static void put_aux_number(struct rdb_writer *w, const char *name, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    put_aux(w, name, text);
}

struct rdb_writer *rdb_writer_create(const struct rdb_writer_options *options)
{
    struct rdb_writer *w = malloc(sizeof *w);
    if (w == NULL)
        return NULL;
    w->options = *options;
    w->crc = 0;
    w->bytes = 0;
    w->error = 0;
    w->selected = false;
    w->finished = false;
    w->used = 0;

    char header[16];
    (void)snprintf(header, sizeof header, "REDIS%04u", RDB_VERSION_WRITTEN);
    put(w, header, strlen(header));
    put_aux(w, "redis-ver", options->redis_version != NULL ? options->redis_version : "7.0.15");
    put_aux_number(w, "redis-bits", 64);
    put_aux_number(w, "ctime", options->now_s != 0 ? options->now_s : (uint64_t)time(NULL));
    put_aux_number(w, "used-mem", options->used_memory);
    w->options.redis_version = NULL;
    return w;
}

void rdb_writer_destroy(struct rdb_writer *writer)
{
    if (writer == NULL)
        return;
    explicit_bzero(writer, sizeof *writer);
    free(writer);
}

// A misuse is an error as any other: what came of it would be no RDB.
static int misused(struct rdb_writer *w)
{
    if (w->error == 0)
        w->error = EINVAL;
    return w->error;
}

int rdb_writer_aux(struct rdb_writer *writer, const char *name, const char *value)
{
    if (writer->selected || writer->finished)
        return misused(writer);
    put_aux(writer, name, value);
    return writer->error;
}

static void select_db(struct rdb_writer *w, uint64_t db)
{
    w->selected = true;
    put_byte(w, RDB_OP_SELECT_DB);
    put_length(w, db);
}

int rdb_writer_select(struct rdb_writer *writer, uint64_t db, uint64_t keys, uint64_t expiring)
{
    if (writer->finished)
        return misused(writer);
    select_db(writer, db);
    put_byte(writer, RDB_OP_RESIZE_DB);
    put_length(writer, keys);
    put_length(writer, expiring);
    return writer->error;
}

int rdb_writer_put(struct rdb_writer *writer, const void *key, size_t key_len, const void *value,
                   size_t value_len, uint64_t expires_ms)
{
    if (writer->finished || expires_ms > INT64_MAX)
        return misused(writer);
    if (writer->error != 0)
        return writer->error;
    if (!writer->selected)
        select_db(writer, 0);
    if (expires_ms != 0) {
        uint8_t bytes[8];
        kv_put64(bytes, expires_ms);
        put_byte(writer, RDB_OP_EXPIRES_MS);
        put(writer, bytes, sizeof bytes);
    }
    put_byte(writer, RDB_TYPE_STRING);
    put_string(writer, key, key_len);
    put_string(writer, value, value_len);
    return writer->error;
}

int rdb_writer_finish(struct rdb_writer *writer)
{
    uint8_t bytes[8];
    if (writer->finished)
        return misused(writer);
    put_byte(writer, RDB_OP_END);
    kv_put64(bytes, rdb_crc64(writer->crc, writer->buffer, writer->used));
    put(writer, bytes, sizeof bytes);
    flush(writer);
    writer->finished = true;
    return writer->error;
}

uint64_t rdb_writer_bytes(const struct rdb_writer *writer)
{
    return writer->bytes;
}
