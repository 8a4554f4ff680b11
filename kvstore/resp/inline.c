// Inline commands: how a line falls into words.
#include "kvstore/resp/parse.h"

#include <string.h>

struct splitter {
    const uint8_t *in;
    size_t at, len;
    uint8_t *out;
    size_t used;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void put(struct splitter *s, uint8_t c)
{
    s->out[s->used++] = c;
}

// s->at is behind a backslash within "...": takes the escape.
static void take_escape(struct splitter *s)
{
    static const char names[] = "nrtba";
    static const char bytes[] = "\n\r\t\b\a";
    uint8_t c = s->in[s->at];
    if (c == 'x' && s->len - s->at > 2 && hex_value(s->in[s->at + 1]) >= 0 &&
        hex_value(s->in[s->at + 2]) >= 0) {
        put(s, (uint8_t)(hex_value(s->in[s->at + 1]) << 4 | hex_value(s->in[s->at + 2])));
        s->at += 3;
        return;
    }
    const char *known = memchr(names, c, sizeof names - 1);
    put(s, known != NULL ? (uint8_t)bytes[known - names] : c);
    s->at++;
}

// s->at is behind the opening quote. False when the quote is not closed, or closed within a word.
static bool take_quoted(struct splitter *s, uint8_t quote)
{
    while (s->at < s->len) {
        uint8_t c = s->in[s->at++];
        bool more = s->at < s->len;
        if (c == quote)
            return !more || is_blank(s->in[s->at]);
        if (c == '\\' && more && quote == '"')
            take_escape(s);
        else if (c == '\\' && more && s->in[s->at] == '\'')
            put(s, s->in[s->at++]);
        else
            put(s, c);
    }
    return false;
}

static bool take_word(struct splitter *s)
{
    while (s->at < s->len && !is_blank(s->in[s->at])) {
        uint8_t c = s->in[s->at++];
        if (c != '"' && c != '\'')
            put(s, c);
        else if (!take_quoted(s, c))
            return false;
    }
    return true;
}

enum resp_split resp_split_line(const uint8_t *line, size_t len, uint8_t *out,
                                bool (*add)(void *arg, size_t offset, size_t len), void *arg)
{
    const uint8_t *nul = len != 0 ? memchr(line, 0, len) : NULL;
    struct splitter s = {.in = line, .len = nul != NULL ? (size_t)(nul - line) : len, .out = out};
    for (;;) {
        while (s.at < s.len && is_blank(s.in[s.at]))
            s.at++;
        if (s.at == s.len)
            return RESP_SPLIT_OK;
        size_t start = s.used;
        if (!take_word(&s))
            return RESP_SPLIT_UNBALANCED;
        if (!add(arg, start, s.used - start))
            return RESP_SPLIT_STOPPED;
    }
}
