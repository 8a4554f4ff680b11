// The RDB reader. The first byte says how the rest is cut and how large values may be. Oracle: in pieces it gives the same keys, the same
// count of bytes and the same error as at once; no value is over the limit.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/rdb/rdb_crc64.h"
#include "kvstore/rdb/rdb_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct digest { // of what a file gave
    uint64_t hash;
    size_t limit;
    uint64_t keys;
    uint64_t used;
    enum rdb_status status;
    char error[256];
};

static void mix(struct digest *d, const void *bytes, size_t len)
{
    if (len > d->limit)
        abort();
    d->hash = rdb_crc64(d->hash, &len, sizeof len);
    d->hash = rdb_crc64(d->hash, bytes, len); // reads all of it, too
}

static bool on_entry(void *arg, const struct rdb_entry *e)
{
    struct digest *d = arg;
    uint64_t numbers[] = {e->db, e->expires_ms, e->expired, e->kind};
    mix(d, e->key, e->key_len);
    mix(d, e->value, e->value_len);
    d->hash = rdb_crc64(d->hash, numbers, sizeof numbers);
    d->keys++;
    return true;
}

static bool on_aux(void *arg, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len)
{
    mix(arg, name, name_len);
    mix(arg, value, value_len);
    return true;
}

static struct digest digest_of(const uint8_t *data, size_t len, size_t step, size_t limit)
{
    struct digest d = {.limit = limit, .status = RDB_MORE};
    const struct rdb_reader_options options = {.on_string = on_entry,
                                               .on_other = on_entry,
                                               .on_aux = on_aux,
                                               .arg = &d,
                                               .max_value_bytes = limit,
                                               .now_ms = 1000};
    struct rdb_reader *reader = rdb_reader_create(&options);
    if (reader == NULL)
        abort();
    for (size_t at = 0; at < len && d.status == RDB_MORE;) {
        size_t used, n = len - at < step ? len - at : step;
        uint8_t *piece = malloc(n); // so that a sanitizer sees what reads past it, or keeps it
        if (piece == NULL)
            abort();
        memcpy(piece, data + at, n);
        d.status = rdb_reader_feed(reader, piece, n, &used);
        free(piece);
        if (used > n || (d.status == RDB_MORE && used != n))
            abort();
        at += used;
    }
    d.status = rdb_reader_end(reader);
    if (d.status == RDB_MORE || (d.status == RDB_DONE) != (rdb_reader_error(reader)[0] == '\0'))
        abort();
    d.used = rdb_reader_offset(reader);
    memcpy(d.error, rdb_reader_error(reader), strlen(rdb_reader_error(reader)));
    rdb_reader_destroy(reader);
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    size_t step = 1 + data[0] % 16, limit = (size_t)64 << data[0] / 32;
    data++;
    len--;
    struct digest whole = digest_of(data, len, len + 1, limit);
    struct digest pieces = digest_of(data, len, step, limit);
    if (memcmp(&whole, &pieces, sizeof whole) != 0)
        abort();
    return 0;
}
