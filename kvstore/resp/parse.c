#include "kvstore/resp/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"

#define DEFAULT_MAX_ARGS   (1024u * 1024)
#define DEFAULT_MAX_BULK   (512u * 1024 * 1024)
#define DEFAULT_MAX_QUERY  (1024u * 1024 * 1024)
#define DEFAULT_MAX_INLINE (64u * 1024)
#define FIRST_ARGS         8u
#define STRANGER_ARGS      10    // of who has not authenticated
#define STRANGER_BULK      16384 // bytes
#define SMALL_DIGITS       4u    // of a bulk string's length that is read the quick way
#define SMALL_HEAD         (1 + SMALL_DIGITS + 2)
#define KEPT_ARGS          1024u // a table that one huge command grew past this is not kept

void resp_limits_fill(struct resp_limits *limits)
{
    if (limits->max_args == 0)
        limits->max_args = DEFAULT_MAX_ARGS;
    if (limits->max_bulk_bytes == 0)
        limits->max_bulk_bytes = DEFAULT_MAX_BULK;
    if (limits->max_query_bytes == 0)
        limits->max_query_bytes = DEFAULT_MAX_QUERY;
    if (limits->max_inline_bytes == 0)
        limits->max_inline_bytes = DEFAULT_MAX_INLINE;
}

void resp_parser_init(struct resp_parser *parser, const struct resp_limits *limits)
{
    *parser = (struct resp_parser){.last = RESP_COMMAND};
    if (limits != NULL)
        parser->limits = *limits;
    resp_limits_fill(&parser->limits);
}

static void free_line(struct resp_parser *p)
{
    if (p->line != NULL)
        explicit_bzero(p->line, p->line_cap);
    free(p->line);
    p->line = NULL;
    p->line_cap = 0;
}

static void free_args(struct resp_parser *p)
{
    free(p->args);
    free(p->offsets);
    p->args = NULL;
    p->offsets = NULL;
    p->args_cap = 0;
}

void resp_parser_deinit(struct resp_parser *parser)
{
    free_args(parser);
    free_line(parser);
    parser->argc = 0;
}

static enum resp_parse_status refuse(struct resp_parser *p, const char *what)
{
    (void)snprintf(p->error, sizeof p->error, "Protocol error: %s", what);
    return RESP_PROTOCOL_ERROR;
}

static void begin_command(struct resp_parser *p)
{
    free_line(p);
    if (p->args_cap > KEPT_ARGS)
        free_args(p);
    p->argc = 0;
    p->consumed = 0;
    p->at = 0;
    p->args_left = 0;
    p->in_array = false;
    p->in_bulk = false;
}

static bool grow_args(struct resp_parser *p)
{
    size_t cap = p->args_cap != 0 ? p->args_cap * 2 : FIRST_ARGS;
    struct resp_arg *args = realloc(p->args, cap * sizeof *args);
    if (args == NULL)
        return false;
    p->args = args;
    size_t *offsets = realloc(p->offsets, cap * sizeof *offsets);
    if (offsets == NULL)
        return false;
    p->offsets = offsets;
    p->args_cap = cap;
    return true;
}

static bool add_arg(struct resp_parser *p, size_t offset, size_t len)
{
    if (p->argc == p->args_cap && !grow_args(p))
        return false;
    p->offsets[p->argc] = offset;
    p->args[p->argc++].len = len;
    return true;
}

// The command is whole: offsets become pointers.
static enum resp_parse_status finish(struct resp_parser *p, const uint8_t *base)
{
    for (size_t i = 0; i < p->argc; i++)
        p->args[i].data = base + p->offsets[i];
    p->consumed = p->at;
    return RESP_COMMAND;
}

// ---- inline commands

struct inline_words {
    struct resp_parser *parser;
    bool too_many;
};

static bool add_word(void *arg, size_t offset, size_t len)
{
    struct inline_words *words = arg;
    words->too_many = words->parser->argc == words->parser->limits.max_args;
    return !words->too_many && add_arg(words->parser, offset, len);
}

static enum resp_parse_status parse_inline(struct resp_parser *p, const uint8_t *buf, size_t len)
{
    size_t window = len <= p->limits.max_inline_bytes ? len : p->limits.max_inline_bytes + 1;
    const uint8_t *newline = memchr(buf + p->at, '\n', window - p->at);
    if (newline == NULL) {
        p->at = window;
        return len > p->limits.max_inline_bytes ? refuse(p, "too big inline request") : RESP_NEED_MORE;
    }
    size_t line_len = (size_t)(newline - buf);
    p->at = line_len + 1;
    if (line_len != 0 && buf[line_len - 1] == '\r')
        line_len--;
    p->line_cap = line_len != 0 ? line_len : 1;
    p->line = malloc(p->line_cap);
    if (p->line == NULL)
        return RESP_NO_MEMORY;
    struct inline_words words = {.parser = p};
    switch (resp_split_line(buf, line_len, p->line, add_word, &words)) {
    case RESP_SPLIT_UNBALANCED:
        return refuse(p, "unbalanced quotes in request");
    case RESP_SPLIT_STOPPED:
        return words.too_many ? refuse(p, "too big inline request") : RESP_NO_MEMORY;
    case RESP_SPLIT_OK:
        break;
    }
    return finish(p, p->line);
}

// ---- arrays of bulk strings

// Reads "<type byte><number>\r\n" at p->at. RESP_COMMAND: it is there, *line points to its first byte and
// *line_len is its length without the end; p->at is behind it.
static enum resp_parse_status take_line(struct resp_parser *p, const uint8_t *buf, size_t len,
                                        const uint8_t **line, size_t *line_len, const char *too_big)
{
    const uint8_t *start = buf + p->at;
    size_t have = len - p->at;
    size_t max = p->limits.max_inline_bytes;
    const uint8_t *end = have != 0 ? memchr(start, '\r', have <= max ? have : max + 1) : NULL;
    if (end == NULL)
        return have > max ? refuse(p, too_big) : RESP_NEED_MORE;
    *line_len = (size_t)(end - start);
    if (have - *line_len < 2)
        return RESP_NEED_MORE;
    *line = start;
    p->at += *line_len + 2;
    return RESP_COMMAND;
}

// Nearly all heads of commands, "*1\r\n" to "*9\r\n", without the general way's searching. False: it is for that.
static bool take_small_array_head(struct resp_parser *p, const uint8_t *buf, size_t len)
{
    const uint8_t *at = buf + p->at;
    size_t count;
    if (len - p->at < 4 || at[1] < '1' || at[1] > '9' || at[2] != '\r' || p->limits.max_inline_bytes < 4)
        return false;
    count = (size_t)(at[1] - '0');
    if (count > p->limits.max_args)
        return false;
    p->at += 4;
    p->in_array = true;
    p->args_left = count;
    return true;
}

static enum resp_parse_status take_array_head(struct resp_parser *p, const uint8_t *buf, size_t len)
{
    if (take_small_array_head(p, buf, len))
        return RESP_COMMAND;
    const uint8_t *line;
    size_t line_len;
    enum resp_parse_status status = take_line(p, buf, len, &line, &line_len, "too big mbulk count string");
    if (status != RESP_COMMAND)
        return status;
    int64_t count;
    if (!resp_text_int64(line + 1, line_len - 1, &count) ||
        (count > 0 && (uint64_t)count > p->limits.max_args))
        return refuse(p, "invalid multibulk length");
    if (p->limits.unauthenticated && count > STRANGER_ARGS)
        return refuse(p, "unauthenticated multibulk length");
    p->in_array = true;
    p->args_left = count > 0 ? (size_t)count : 0;
    return RESP_COMMAND;
}

// And of bulk strings, "$0\r\n" to "$9999\r\n".
static bool take_small_head(struct resp_parser *p, const uint8_t *buf, size_t len)
{
    const uint8_t *at = buf + p->at;
    size_t have = len - p->at, digits = 0, bulk = 0;
    if (have < SMALL_HEAD || at[0] != '$' || p->limits.max_inline_bytes < SMALL_HEAD)
        return false;
    for (at++; digits < SMALL_DIGITS && at[digits] >= '0' && at[digits] <= '9'; digits++)
        bulk = bulk * 10 + (size_t)(at[digits] - '0');
    if (digits == 0 || at[digits] != '\r' || (at[0] == '0' && digits != 1) || bulk > p->limits.max_bulk_bytes)
        return false;
    size_t end = p->at + 1 + digits + 2;
    if (end + bulk + 2 > p->limits.max_query_bytes)
        return false;
    p->at = end;
    p->bulk_len = bulk;
    p->in_bulk = true;
    return true;
}

static enum resp_parse_status take_bulk_head(struct resp_parser *p, const uint8_t *buf, size_t len)
{
    if (take_small_head(p, buf, len))
        return RESP_COMMAND;
    const uint8_t *line;
    size_t line_len;
    enum resp_parse_status status = take_line(p, buf, len, &line, &line_len, "too big bulk count string");
    if (status != RESP_COMMAND)
        return status;
    if (line[0] != '$') {
        char what[] = "expected '$', got '?'";
        what[sizeof what - 3] = (char)(line[0] == '\r' || line[0] == '\n' ? ' ' : line[0]);
        return refuse(p, what);
    }
    int64_t bulk;
    if (!resp_text_int64(line + 1, line_len - 1, &bulk) || bulk < 0 ||
        (uint64_t)bulk > p->limits.max_bulk_bytes)
        return refuse(p, "invalid bulk length");
    if (p->limits.unauthenticated && bulk > STRANGER_BULK)
        return refuse(p, "unauthenticated bulk length");
    p->bulk_len = (size_t)bulk;
    if (p->at + p->bulk_len + 2 > p->limits.max_query_bytes)
        return refuse(p, "too big query");
    p->in_bulk = true;
    return RESP_COMMAND;
}

static enum resp_parse_status parse_array(struct resp_parser *p, const uint8_t *buf, size_t len)
{
    if (!p->in_array) {
        enum resp_parse_status status = take_array_head(p, buf, len);
        if (status != RESP_COMMAND)
            return status;
    }
    while (p->args_left != 0) {
        if (!p->in_bulk) {
            enum resp_parse_status status = take_bulk_head(p, buf, len);
            if (status != RESP_COMMAND)
                return status;
        }
        if (len - p->at < p->bulk_len + 2)
            return RESP_NEED_MORE;
        if (!add_arg(p, p->at, p->bulk_len))
            return RESP_NO_MEMORY;
        p->at += p->bulk_len + 2;
        p->in_bulk = false;
        p->args_left--;
    }
    return finish(p, buf);
}

enum resp_parse_status resp_parse(struct resp_parser *parser, const uint8_t *buf, size_t len)
{
    if (parser->last == RESP_PROTOCOL_ERROR || parser->last == RESP_NO_MEMORY)
        return parser->last;
    if (parser->last == RESP_COMMAND)
        begin_command(parser);
    if (len == 0)
        return parser->last = RESP_NEED_MORE;
    parser->last = buf[0] == '*' ? parse_array(parser, buf, len) : parse_inline(parser, buf, len);
    return parser->last;
}

size_t resp_parser_wanted(const struct resp_parser *parser)
{
    return parser->at + (parser->in_bulk ? parser->bulk_len + 2 : 1);
}
