#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "certs/source.h"
#include "kvstore/rdb/rdb_reader.h"

struct walk {
    source_take_fn take;
    void *arg;
};

static bool on_entry(void *arg, const struct rdb_entry *entry)
{
    static const char *const kinds[RDB_KINDS] = {
        [RDB_LIST] = "a list", [RDB_SET] = "a set",       [RDB_ZSET] = "a sorted set",
        [RDB_HASH] = "a hash", [RDB_STREAM] = "a stream", [RDB_MODULE] = "a value of a module",
    };
    const struct walk *walk = arg;
    const struct source_record record = {.name = entry->key,
                                         .name_len = entry->key_len,
                                         .value = entry->value,
                                         .len = entry->value_len,
                                         .kind = kinds[entry->kind],
                                         .expires_ms = entry->expires_ms,
                                         .expired = entry->expired};
    return walk->take(walk->arg, &record);
}

bool source_rdb(const struct source *source, source_take_fn take, void *arg, struct error *e)
{
    struct walk walk = {take, arg};
    const struct rdb_reader_options options = {
        .on_string = on_entry, .on_other = on_entry, .arg = &walk, .now_ms = source->now_ms};
    int fd = open(source->from, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set(e, "%s: open: %s", source->from, strerror(errno));
        return false;
    }
    struct rdb_reader *reader = rdb_reader_create(&options);
    enum rdb_status status = reader != NULL ? rdb_reader_read_fd(reader, fd) : RDB_NO_MEMORY;
    bool good = status == RDB_DONE || status == RDB_STOPPED;
    if (!good)
        error_set(e, "%s: %s", source->from,
                  reader != NULL && rdb_reader_error(reader)[0] != '\0' ? rdb_reader_error(reader)
                                                                        : "out of memory");
    rdb_reader_destroy(reader);
    (void)close(fd);
    return good;
}
