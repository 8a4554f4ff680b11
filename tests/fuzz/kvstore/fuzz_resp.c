// The RESP request parser. Oracle: the same bytes in two pieces, or byte by byte, give the same commands, in the same bytes, and the same error
// as all at once; slices lie inside the buffer. What the look ahead takes for commands are the parser's, and their keys its first arguments.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/ahead.h"
#include "kvstore/resp/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct digest { // of what a stream gave
    uint64_t hash;
    size_t commands, consumed;
    char error[64];
};

static void mix(struct digest *d, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++)
        d->hash = (d->hash ^ p[i]) * 0x100000001b3u;
}

// Gives the parser what arrived so far, [done, end). True while it may be fed.
static int feed(struct resp_parser *parser, const uint8_t *data, size_t end, struct digest *d)
{
    for (;;) {
        enum resp_parse_status status = resp_parse(parser, data + d->consumed, end - d->consumed);
        if (status == RESP_NEED_MORE)
            return 1;
        if (status != RESP_COMMAND) {
            memcpy(d->error, parser->error, sizeof d->error);
            return 0;
        }
        for (size_t i = 0; i < parser->argc; i++) {
            mix(d, &parser->args[i].len, sizeof parser->args[i].len);
            mix(d, parser->args[i].data, parser->args[i].len);
        }
        if (parser->consumed == 0 || parser->consumed > end - d->consumed)
            abort();
        mix(d, &parser->consumed, sizeof parser->consumed);
        d->consumed += parser->consumed;
        d->commands++;
    }
}

static struct digest digest_of(const uint8_t *data, size_t len, size_t cut, size_t step)
{
    static const struct resp_limits limits = {
        .max_args = 64, .max_bulk_bytes = 512, .max_query_bytes = 2048, .max_inline_bytes = 128};
    struct resp_parser parser;
    struct digest d = {0};
    resp_parser_init(&parser, &limits);
    for (size_t end = cut; end < len && feed(&parser, data, end, &d);)
        end += step;
    if (d.error[0] == '\0')
        (void)feed(&parser, data, len, &d);
    resp_parser_deinit(&parser);
    return d;
}

static void check_ahead(const uint8_t *data, size_t len)
{
    struct resp_arg keys[4];
    struct resp_parser parser;
    size_t commands, at = 0, next = 0, found = resp_ahead_keys(data, len, keys, 4, &commands);
    resp_parser_init(&parser, NULL);
    for (size_t i = 0; i < commands; i++) {
        if (resp_parse(&parser, data + at, len - at) != RESP_COMMAND)
            abort();
        at += parser.consumed;
        if (parser.argc >= 2 &&
            (keys[next].data != parser.args[1].data || keys[next].len != parser.args[1].len))
            abort();
        next += parser.argc >= 2;
    }
    if (next != found)
        abort();
    resp_parser_deinit(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    size_t cut = data[0] * len / 256; // the first byte says where to cut
    data++;
    len--;
    struct digest whole = digest_of(data, len, len, 1);
    struct digest two = digest_of(data, len, cut, len + 1);
    struct digest bytewise = digest_of(data, len, 0, 1);
    if (memcmp(&whole, &two, sizeof whole) != 0 || memcmp(&whole, &bytewise, sizeof whole) != 0)
        abort();
    check_ahead(data, len);
    return 0;
}
