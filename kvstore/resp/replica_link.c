#include "kvstore/resp/replica_link.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "kvstore/resp/args.h"

static bool fail(struct resp_link *link, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct resp_link *link, const char *format, ...)
{
    va_list args;
    if (link->state == RESP_LINK_FAILED)
        return false;
    link->state = RESP_LINK_FAILED;
    va_start(args, format);
    (void)vsnprintf(link->error, sizeof link->error, format, args);
    va_end(args);
    return false;
}

static bool fail_by_owner(struct resp_link *link, const char *what)
{
    const char *why = link->calls->why != NULL ? link->calls->why(link->calls->arg) : NULL;
    return fail(link, "%s: %s", what, why != NULL && why[0] != '\0' ? why : "refused");
}

// ---- out

static bool send(struct resp_link *link, size_t count, const char *const *words)
{
    char head[32];
    int len = snprintf(head, sizeof head, "*%zu\r\n", count);
    bool good = resp_out_add(&link->out, head, (size_t)len);
    for (size_t i = 0; i < count && good; i++) {
        len = snprintf(head, sizeof head, "$%zu\r\n", strlen(words[i]));
        good = resp_out_add(&link->out, head, (size_t)len) &&
               resp_out_add(&link->out, words[i], strlen(words[i])) && resp_out_add(&link->out, "\r\n", 2);
    }
    return good || fail(link, "out of memory");
}

#define SEND(link, ...)                                                                                      \
    send(link, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),                                  \
         (const char *const[]){__VA_ARGS__})

void resp_link_ack(struct resp_link *link)
{
    char text[24];
    if (link->state < RESP_LINK_HEAD || link->state == RESP_LINK_FAILED)
        return;
    (void)snprintf(text, sizeof text, "%" PRIu64, link->offset);
    (void)SEND(link, "REPLCONF", "ACK", text);
}

// Asks the next question of the handshake.
static bool ask(struct resp_link *link, enum resp_link_state state)
{
    const struct resp_link_options *o = &link->options;
    bool named = o->user != NULL && o->user[0] != '\0', known = o->id[0] != '\0';
    char number[24];
    if (state == RESP_LINK_AUTH && o->password == NULL)
        state = RESP_LINK_PORT;
    link->state = state;
    switch (state) {
    case RESP_LINK_PING:
        return SEND(link, "PING");
    case RESP_LINK_AUTH:
        return named ? SEND(link, "AUTH", o->user, o->password) : SEND(link, "AUTH", o->password);
    case RESP_LINK_PORT:
        (void)snprintf(number, sizeof number, "%u", o->port);
        return SEND(link, "REPLCONF", "listening-port", number);
    case RESP_LINK_CAPA:
        return SEND(link, "REPLCONF", "capa", "eof", "capa", "psync2");
    default:
        (void)snprintf(number, sizeof number, "%" PRIu64, o->offset + 1);
        return SEND(link, "PSYNC", known ? o->id : "?", known ? number : "-1");
    }
}

const char *resp_link_awaits(const struct resp_link *link)
{
    static const char *const names[] = {
        [RESP_LINK_PING] = "the answer to PING",           [RESP_LINK_AUTH] = "the answer to AUTH",
        [RESP_LINK_PORT] = "the answer to REPLCONF",       [RESP_LINK_CAPA] = "the answer to REPLCONF",
        [RESP_LINK_PSYNC] = "the answer to PSYNC",         [RESP_LINK_HEAD] = "the RDB",
        [RESP_LINK_RDB] = "the rest of the RDB",           [RESP_LINK_MARK] = "the mark behind the RDB",
        [RESP_LINK_STREAM] = "the stream or a PING of it", [RESP_LINK_FAILED] = "nothing",
    };
    return names[link->state];
}

// ---- lines

// What the primary said instead, cut and quoted.
static bool unexpected(struct resp_link *link, const char *expected)
{
    char quoted[160], cut[121];
    (void)snprintf(cut, sizeof cut, "%.120s", link->line);
    const char *asked = resp_link_awaits(link);
    link->refused = link->line[0] == '-';
    return fail(link, "%s: found %s, expected %s", asked, log_quote(cut, quoted, sizeof quoted), expected);
}

static bool begins(const struct resp_link *link, const char *text)
{
    return strncmp(link->line, text, strlen(text)) == 0;
}

// 40 hexadecimal digits.
static bool is_id(const char *text, size_t len)
{
    return len == RESP_REPLID && strspn(text, "0123456789abcdef") >= RESP_REPLID;
}

static bool on_full(struct resp_link *link)
{
    const char *id = link->line + strlen("+FULLRESYNC "), *blank = strchr(id, ' ');
    uint64_t offset;
    if (blank == NULL || !is_id(id, (size_t)(blank - id)) || !units_parse_uint(blank + 1, &offset) ||
        offset > INT64_MAX)
        return unexpected(link, "+FULLRESYNC, an id of 40 digits and an offset");
    memcpy(link->id, id, RESP_REPLID);
    link->id[RESP_REPLID] = '\0';
    link->offset = offset;
    if (!link->calls->full(link->calls->arg, link->id, offset))
        return fail_by_owner(link, "full resync");
    link->state = RESP_LINK_HEAD;
    return true;
}

static void begin_stream(struct resp_link *link)
{
    link->state = RESP_LINK_STREAM;
    link->streamed = true;
}

static bool on_continue(struct resp_link *link)
{
    const char *id = link->line + strlen("+CONTINUE");
    if (link->options.id[0] == '\0')
        return unexpected(link, "+FULLRESYNC: nothing was known that could be continued");
    if (*id == ' ' && is_id(id + 1, strlen(id + 1)))
        memcpy(link->id, id + 1, RESP_REPLID);
    else if (*id == '\0')
        memcpy(link->id, link->options.id, RESP_REPLID);
    else
        return unexpected(link, "+CONTINUE, with an id of 40 digits or none");
    link->id[RESP_REPLID] = '\0';
    link->offset = link->options.offset;
    if (!link->calls->go_on(link->calls->arg, link->id))
        return fail_by_owner(link, "partial resync");
    begin_stream(link);
    return true;
}

static bool on_head(struct resp_link *link)
{
    const char *text = link->line + 1;
    if (link->line[0] != '$')
        return unexpected(link, "$ and the length of the RDB");
    link->marked = strncmp(text, "EOF:", 4) == 0;
    if (link->marked && strlen(text + 4) == sizeof link->mark)
        memcpy(link->mark, text + 4, sizeof link->mark);
    else if (link->marked || !units_parse_uint(text, &link->left) || link->left == 0)
        return unexpected(link, "$ and a length, or $EOF: and a mark of 40 bytes");
    link->mark_len = 0;
    link->state = RESP_LINK_RDB;
    return true;
}

static bool on_line(struct resp_link *link)
{
    switch (link->state) {
    case RESP_LINK_PING: // one that wants a password says so
        if (link->line[0] != '+' && !begins(link, "-NOAUTH") && !begins(link, "-NOPERM") &&
            !begins(link, "-ERR operation not permitted"))
            return unexpected(link, "+PONG");
        return ask(link, RESP_LINK_AUTH);
    case RESP_LINK_AUTH:
        return begins(link, "+OK") ? ask(link, RESP_LINK_PORT) : unexpected(link, "+OK");
    case RESP_LINK_PORT: // one that does not know it does without, but one that does not know us is to be asked for a password
    case RESP_LINK_CAPA:
        if (begins(link, "-NOAUTH") || (link->line[0] != '+' && link->line[0] != '-'))
            return unexpected(link, "+OK");
        return ask(link, link->state == RESP_LINK_PORT ? RESP_LINK_CAPA : RESP_LINK_PSYNC);
    case RESP_LINK_PSYNC:
        if (begins(link, "+FULLRESYNC "))
            return on_full(link);
        if (begins(link, "+CONTINUE"))
            return on_continue(link);
        return unexpected(link, "+FULLRESYNC or +CONTINUE");
    default:
        return on_head(link);
    }
}

// Returns how many bytes were of the line. Empty lines are signs of life.
static size_t take_line(struct resp_link *link, const uint8_t *bytes, size_t len)
{
    const uint8_t *end = memchr(bytes, '\n', len);
    size_t part = end != NULL ? (size_t)(end - bytes) : len;
    if (part >= sizeof link->line - link->line_len) {
        (void)fail(link, "%s: a line of more than %u bytes", resp_link_awaits(link), RESP_LINK_LINE - 1);
        return len;
    }
    memcpy(link->line + link->line_len, bytes, part);
    link->line_len += part;
    if (end == NULL)
        return part;
    if (link->line_len != 0 && link->line[link->line_len - 1] == '\r')
        link->line_len--;
    link->line[link->line_len] = '\0';
    if (link->line_len != 0)
        (void)on_line(link);
    link->line_len = 0;
    return part + 1;
}

// ---- the RDB

static size_t take_rdb(struct resp_link *link, const uint8_t *bytes, size_t len)
{
    size_t part = link->marked || link->left > len ? len : (size_t)link->left, used = part;
    enum resp_link_rdb status = link->calls->rdb(link->calls->arg, bytes, part, false, &used);
    if (!link->marked)
        link->left -= part;
    if (status == RESP_LINK_RDB_MORE && !link->marked && link->left == 0)
        status = link->calls->rdb(link->calls->arg, NULL, 0, true, &used);
    if (status == RESP_LINK_RDB_MORE)
        return part;
    if (status == RESP_LINK_RDB_FAILED)
        (void)fail_by_owner(link, "RDB");
    else if (link->marked)
        link->state = RESP_LINK_MARK;
    else if (used != part || link->left != 0)
        (void)fail(link, "RDB: ends before the length that was announced");
    else
        begin_stream(link);
    return link->marked ? used : part;
}

static size_t take_mark(struct resp_link *link, const uint8_t *bytes, size_t len)
{
    size_t part = sizeof link->mark - link->mark_len;
    part = part < len ? part : len;
    if (memcmp(bytes, link->mark + link->mark_len, part) != 0)
        (void)fail(link, "RDB: what is behind its end is not the mark that was announced");
    else if ((link->mark_len += part) == sizeof link->mark)
        begin_stream(link);
    return part;
}

// ---- the stream

static bool is_getack(const struct resp_parser *parser)
{
    return parser->argc >= 2 && resp_arg_is(&parser->args[0], "replconf") &&
           resp_arg_is(&parser->args[1], "getack");
}

// The command that the parser holds.
static bool carry_out(struct resp_link *link)
{
    const struct resp_parser *parser = &link->parser;
    if (is_getack(parser))
        resp_link_ack(link); // how far we were before it
    else if (parser->argc != 0 && !link->calls->command(link->calls->arg, parser->args, parser->argc))
        return fail_by_owner(link, "stream");
    link->offset += parser->consumed;
    return true;
}

static void take_stream(struct resp_link *link, const uint8_t *bytes, size_t len)
{
    if (!resp_buffer_add(&link->query, bytes, len, resp_parser_wanted(&link->parser))) {
        (void)fail(link, "out of memory");
        return;
    }
    while (resp_buffer_length(&link->query) != 0 && link->state == RESP_LINK_STREAM) {
        switch (resp_parse(&link->parser, resp_buffer_data(&link->query), resp_buffer_length(&link->query))) {
        case RESP_COMMAND:
            if (carry_out(link))
                resp_buffer_drop(&link->query, link->parser.consumed);
            break;
        case RESP_NEED_MORE:
            return;
        case RESP_PROTOCOL_ERROR:
            (void)fail(link, "stream: %s", link->parser.error);
            break;
        case RESP_NO_MEMORY:
            (void)fail(link, "out of memory");
            break;
        }
    }
    resp_buffer_compact(&link->query);
}

bool resp_link_feed(struct resp_link *link, const uint8_t *bytes, size_t len)
{
    size_t used = 0;
    while (len != 0 && link->state < RESP_LINK_STREAM) {
        if (link->state == RESP_LINK_RDB)
            used = take_rdb(link, bytes, len);
        else if (link->state == RESP_LINK_MARK)
            used = take_mark(link, bytes, len);
        else
            used = take_line(link, bytes, len);
        bytes += used;
        len -= used;
    }
    if (len != 0 && link->state == RESP_LINK_STREAM)
        take_stream(link, bytes, len);
    return link->state != RESP_LINK_FAILED;
}

void resp_link_begin(struct resp_link *link, const struct resp_link_options *options,
                     const struct resp_limits *limits, const struct resp_link_calls *calls)
{
    *link = (struct resp_link){.calls = calls, .options = *options};
    resp_parser_init(&link->parser, limits);
    (void)ask(link, RESP_LINK_PING);
}

void resp_link_end(struct resp_link *link)
{
    resp_parser_deinit(&link->parser);
    resp_buffer_deinit(&link->query);
    resp_out_clear(&link->out);
}
