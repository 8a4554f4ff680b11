// Reads and writes RDB files and DUMP payloads by hand, for rdb.sh:
//
//   rdb_driver write FILE COUNT plain|compress   COUNT keys of each of databases 0 and 3, as rdb.sh knows them
//   rdb_driver types FILE                        values of types that 7.0 loads but does not write
//   rdb_driver list FILE                         a line for each key: db, kind, key, value, expiry; then the counts
//   rdb_driver dump VALUE                        the payload, in hexadecimal
//   rdb_driver undump HEX                        the value, or what is wrong
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/rdb/rdb_crc64.h"
#include "kvstore/rdb/rdb_dump.h"
#include "kvstore/rdb/rdb_reader.h"
#include "kvstore/rdb/rdb_writer.h"

#define FAR_MS 4102444800000u // the year 2100

static int die(const char *what, const char *why)
{
    (void)fprintf(stderr, "rdb_driver: %s: %s\n", what, why);
    return 1;
}

static int to_file(void *arg, const void *bytes, size_t len)
{
    return fwrite(bytes, 1, len, arg) == len ? 0 : 5;
}

// ---- write

static size_t make_value(unsigned i, char *value)
{
    size_t len = 0;
    switch (i % 5) {
    case 0: // numbers of each width
        return (size_t)sprintf(value, "%" PRId64, ((int64_t)i * 7919 - 5000) * (i % 3 == 0 ? 100000 : 1));
    case 1:
        return (size_t)sprintf(value, "value %u", i);
    case 2: // compresses
        for (unsigned k = 0; k < i % 700 + 21; k++)
            value[len++] = (char)('a' + k % (i % 9 + 1));
        return len;
    case 3: // does not
        for (unsigned k = 0; k < i % 600; k++)
            value[len++] = (char)(i * 2654435761u >> (k % 24) ^ k * 40503u >> 4);
        return len;
    default: // large
        for (unsigned k = 0; k < (i % 100 == 4 ? 400000u : 20000u); k++)
            value[len++] = (char)(k * k >> (i % 7));
        return len;
    }
}

static int write_file(FILE *f, unsigned count, bool compress)
{
    static char value[500000];
    const struct rdb_writer_options options = {.write = to_file, .arg = f, .compress = compress};
    struct rdb_writer *w = rdb_writer_create(&options);
    if (w == NULL)
        return 1;
    int error = rdb_writer_aux(w, "of", "rdb_driver");
    for (unsigned db = 0; db <= 3; db += 3) {
        error |= rdb_writer_select(w, db, count, count / 4);
        for (unsigned i = 0; i < count; i++) {
            char key[64];
            int n = sprintf(key, i % 10 == 9 ? "%u" : "key:%u", i);
            size_t len = make_value(i + db, value);
            error |= rdb_writer_put(w, key, (size_t)n, value, len, i % 4 == 0 ? FAR_MS + i : 0);
        }
    }
    error |= rdb_writer_finish(w);
    rdb_writer_destroy(w);
    return error;
}

// ---- types

struct file {
    uint8_t bytes[4096];
    size_t len;
};
#define ADD(f, literal) add(f, literal, sizeof(literal) - 1)

static void add(struct file *f, const void *bytes, size_t len)
{
    memcpy(f->bytes + f->len, bytes, len);
    f->len += len;
}

// A type and a key; the group of a stream with one pending entry of a consumer.
#define STREAM_GROUP(entries_read)                                                                           \
    "\1\1g\0\0" entries_read "\1"                                                                            \
    "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1"                                                                       \
    "\1\0\0\0\0\0\0\0\1"                                                                                     \
    "\1\1c\1\0\0\0\0\0\0\0\1"                                                                                \
    "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1"

static int write_types(FILE *out)
{
    struct file f = {.len = 0};
    ADD(&f, "REDIS0009\xfe\0");
    ADD(&f, "\1\4list\3\1a\xc0\7\1b");
    ADD(&f, "\2\3set\2\1a\1b");
    ADD(&f, "\3\4zset\3\1a\0031.5\1b\xfe\1c\xff");
    ADD(&f, "\5\5zset2\1\1a\0\0\0\0\0\0\xf0\x3f");
    ADD(&f, "\4\4hash\1\1f\1v");
    ADD(&f, "\x0b\4ints\x0a\2\0\0\0\1\0\0\0\1\0"); // an intset, of one element
    ADD(&f, "\x0f\6stream\0\0\1\1" STREAM_GROUP(""));
    ADD(&f, "\x13\7stream7\0\0\1\1\0\0\0\0\1" STREAM_GROUP("\0"));
    ADD(&f, "\xfd\xff\xff\xff\x7f\0\4last\3one"); // expires in 2038, in seconds
    ADD(&f, "\xff");
    uint64_t crc = rdb_crc64(0, f.bytes, f.len);
    for (unsigned i = 0; i < 8; i++)
        f.bytes[f.len++] = (uint8_t)(crc >> (8 * i));
    return to_file(out, f.bytes, f.len);
}

// ---- list

static void print(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        (void)(bytes[i] > ' ' && bytes[i] <= '~' && bytes[i] != '%' ? printf("%c", bytes[i])
                                                                    : printf("%%%02x", bytes[i]));
}

static bool on_entry(void *arg, const struct rdb_entry *e)
{
    (void)arg;
    (void)printf("%" PRIu64 " %s ", e->db, rdb_kind_name(e->kind, 1));
    print(e->key, e->key_len);
    (void)printf(" ");
    print(e->value, e->value_len);
    (void)printf(" %" PRIu64 "%s\n", e->expires_ms, e->expired ? " expired" : "");
    return true;
}

static int list_file(int fd)
{
    const struct rdb_reader_options options = {.on_string = on_entry, .on_other = on_entry};
    struct rdb_reader *reader = rdb_reader_create(&options);
    char others[160];
    if (reader == NULL)
        return 1;
    enum rdb_status status = rdb_reader_read_fd(reader, fd);
    const struct rdb_counts *counts = rdb_reader_counts(reader);
    if (status != RDB_DONE)
        (void)die("list", rdb_reader_error(reader));
    (void)printf("version %u, %" PRIu64 " strings, others: %s\n", counts->version, counts->keys[RDB_STRING],
                 rdb_kind_others(counts->keys, others, sizeof others));
    rdb_reader_destroy(reader);
    return status != RDB_DONE;
}

// ---- dump

static int dump(const char *value)
{
    uint8_t *payload;
    size_t len;
    if (rdb_dump_make(value, strlen(value), true, &payload, &len) != RDB_DUMP_OK)
        return 1;
    for (size_t i = 0; i < len; i++)
        (void)printf("%02x", payload[i]);
    free(payload);
    return 0;
}

static int undump(const char *hex)
{
    size_t len = strlen(hex) / 2, value_len;
    uint8_t *payload = malloc(len + 1), *value;
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        (void)sscanf(hex + 2 * i, "%2x", &byte);
        payload[i] = (uint8_t)byte;
    }
    enum rdb_dump_status status = rdb_dump_read(payload, len, 0, &value, &value_len, NULL);
    free(payload);
    if (status != RDB_DUMP_OK)
        return die("undump", rdb_dump_status_text(status));
    (void)fwrite(value, 1, value_len, stdout);
    free(value);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc == 5 && strcmp(what, "write") == 0) {
        FILE *f = fopen(argv[2], "wb");
        int error = f == NULL ? 1 : write_file(f, (unsigned)atoi(argv[3]), strcmp(argv[4], "compress") == 0);
        return f == NULL || fclose(f) != 0 || error != 0 ? die(argv[2], "cannot be written") : 0;
    }
    if (argc != 3)
        return die("usage", "write FILE COUNT plain|compress, types FILE, list FILE, dump VALUE, undump HEX");
    if (strcmp(what, "types") == 0) {
        FILE *f = fopen(argv[2], "wb");
        int error = f == NULL ? 1 : write_types(f);
        return f == NULL || fclose(f) != 0 || error != 0 ? die(argv[2], "cannot be written") : 0;
    }
    if (strcmp(what, "list") == 0) {
        int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
        int error = fd < 0 ? die(argv[2], "cannot be opened") : list_file(fd);
        if (fd >= 0)
            (void)close(fd);
        return error;
    }
    return strcmp(what, "dump") == 0 ? dump(argv[2]) : strcmp(what, "undump") == 0 ? undump(argv[2]) : 1;
}
