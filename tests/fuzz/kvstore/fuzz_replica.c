// What a primary sends to a replica. Oracle: cut in two anywhere, or byte by byte, the same bytes give the same calls, the same state, offset and error; the offset counts no
// more than what came.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/rdb/rdb_reader.h"
#include "kvstore/resp/replica_link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct run {
    uint64_t hash;
    unsigned fulls, go_ons;
    uint64_t begin; // of the stream
    struct rdb_reader *reader;
};

static void mix(struct run *run, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++)
        run->hash = (run->hash ^ p[i]) * 0x100000001b3u;
}

static bool on_string(void *arg, const struct rdb_entry *entry)
{
    mix(arg, entry->key, entry->key_len);
    mix(arg, entry->value, entry->value_len);
    return true;
}

static bool full(void *arg, const char *id, uint64_t offset)
{
    struct run *run = arg;
    const struct rdb_reader_options options = {
        .on_string = on_string, .arg = run, .max_value_bytes = 4096, .now_ms = 1};
    if (strlen(id) != RESP_REPLID || run->fulls++ != 0)
        abort();
    run->begin = offset;
    run->reader = rdb_reader_create(&options);
    return run->reader != NULL;
}

static bool go_on(void *arg, const char *id)
{
    struct run *run = arg;
    run->begin = 41;
    run->go_ons++;
    return strlen(id) == RESP_REPLID;
}

static enum resp_link_rdb rdb(void *arg, const uint8_t *bytes, size_t len, bool end, size_t *used)
{
    struct run *run = arg;
    enum rdb_status status =
        end ? rdb_reader_end(run->reader) : rdb_reader_feed(run->reader, bytes, len, used);
    if (status == RDB_MORE)
        return RESP_LINK_RDB_MORE;
    return status == RDB_DONE ? RESP_LINK_RDB_DONE : RESP_LINK_RDB_FAILED;
}

static bool command(void *arg, const struct resp_arg *args, size_t argc)
{
    if (argc == 0)
        abort();
    for (size_t i = 0; i < argc; i++)
        mix(arg, args[i].data, args[i].len);
    return args[0].len != 4 || memcmp(args[0].data, "fail", 4) != 0;
}

static void run_all(const uint8_t *data, size_t len, size_t cut, size_t step, bool known, struct run *run,
                    struct resp_link *link)
{
    static const struct resp_limits limits = {
        .max_args = 64, .max_bulk_bytes = 512, .max_query_bytes = 2048, .max_inline_bytes = 128};
    struct resp_link_options options = {.port = 1, .offset = 41};
    const struct resp_link_calls calls = {full, go_on, rdb, command, NULL, run};
    *run = (struct run){.hash = 1};
    if (known)
        memset(options.id, 'a', RESP_REPLID);
    resp_link_begin(link, &options, &limits, &calls);
    for (size_t at = 0; at < len;) {
        size_t part = at == 0 ? cut : step;
        part = part < len - at ? part : len - at;
        if (!resp_link_feed(link, data + at, part))
            break;
        at += part;
    }
    resp_link_ack(link);
    if (link->streamed && (link->offset < run->begin || link->offset - run->begin > len))
        abort();
    resp_link_end(link);
    rdb_reader_destroy(run->reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct resp_link one, two;
    struct run a, b;
    if (len < 2 || len > 65536)
        return 0;
    bool known = (data[0] & 1) != 0;
    size_t cut = 1 + data[1] % len, step = (data[0] & 2) != 0 ? 1 : len;
    data += 2;
    len -= 2;
    run_all(data, len, len != 0 ? len : 1, 1, known, &a, &one);
    run_all(data, len, cut, step, known, &b, &two);
    if (a.hash != b.hash || a.fulls != b.fulls || a.go_ons != b.go_ons || one.state != two.state ||
        one.offset != two.offset || strcmp(one.id, two.id) != 0 || one.streamed != two.streamed ||
        (one.state == RESP_LINK_FAILED && strcmp(one.error, two.error) != 0))
        abort();
    return 0;
}
