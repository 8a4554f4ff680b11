#include "keyserver/ski_plain.h"

#include <stdint.h>
#include <string.h>

#define NUMBER_DIGITS_MAX 18 // the JSON reader takes integers of 64 bits

struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

static bool take(struct cursor *c, char wanted)
{
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool is_plain(char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

#define EACH(byte) (0x0101010101010101u * (uint64_t)(byte))

// Not 0 if any of eight bytes is zero.
static uint64_t zero_bytes(uint64_t x)
{
    return (x - EACH(1)) & ~x & EACH(0x80);
}

// Whether eight bytes are all plain. Adding 1 lifts 0x7f to 0x80; adding 0x60 lifts 0x20 and more to 0x80.
static bool are_plain(const char *at)
{
    uint64_t x;
    memcpy(&x, at, sizeof x);
    uint64_t low = x & EACH(0x7f);
    uint64_t bad = x | (low + EACH(1)) | ~(low + EACH(0x60));
    return ((bad & EACH(0x80)) | zero_bytes(x ^ EACH('"')) | zero_bytes(x ^ EACH('\\'))) == 0;
}

// A string without its quotes; false when anything in it needs a closer look.
static bool read_string(struct cursor *c, struct ski_text *text)
{
    if (!take(c, '"'))
        return false;
    text->at = c->at;
    while (c->end - c->at >= 8 && are_plain(c->at))
        c->at += 8;
    while (c->at < c->end && is_plain(*c->at))
        c->at++;
    text->len = (size_t)(c->at - text->at);
    return take(c, '"');
}

static bool read_number(struct cursor *c)
{
    const char *start = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    size_t digits = (size_t)(c->at - start);
    return digits == 1 || (digits > 1 && digits <= NUMBER_DIGITS_MAX && *start != '0');
}

static enum ski_member member_of(struct ski_text name)
{
    static const char *const names[SKI_MEMBER_COUNT] = SKI_MEMBER_NAMES;
    int m = 0;
    while (m < SKI_MEMBER_COUNT && (strlen(names[m]) != name.len || memcmp(names[m], name.at, name.len) != 0))
        m++;
    return (enum ski_member)m;
}

static bool read_member(struct cursor *c, struct ski_members *members)
{
    struct ski_text name, value;
    if (!read_string(c, &name))
        return false;
    skip_blanks(c);
    if (!take(c, ':'))
        return false;
    skip_blanks(c);
    enum ski_member m = member_of(name);
    if (m == SKI_MEMBER_COUNT && c->at < c->end && *c->at != '"')
        return read_number(c);
    if (!read_string(c, &value))
        return false;
    if (m == SKI_MEMBER_COUNT)
        return true;
    if (value.len == 0 || members->text[m].at != NULL)
        return false;
    members->text[m] = value;
    return true;
}

bool ski_plain_read(const char *body, size_t len, struct ski_members *members)
{
    struct cursor c = {body, body + len};

    memset(members, 0, sizeof *members);
    skip_blanks(&c);
    if (!take(&c, '{'))
        return false;
    do {
        skip_blanks(&c);
        if (!read_member(&c, members))
            return false;
        skip_blanks(&c);
    } while (take(&c, ','));
    if (!take(&c, '}'))
        return false;
    skip_blanks(&c);
    return c.at == c.end;
}
