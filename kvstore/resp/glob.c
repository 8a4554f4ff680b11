// Glob patterns. Instead of a call per star only the last star is remembered: an earlier one never needs to
// take more, because whatever it left can be taken by the last.
#include "kvstore/resp/args.h"

static uint8_t fold(uint8_t c, bool nocase)
{
    return nocase && c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

// p points behind '['. Sets *matched and returns the pointer behind the closing ']' (or the end: an open set
// closes there).
static const uint8_t *match_set(const uint8_t *p, const uint8_t *end, uint8_t c, bool nocase, bool *matched)
{
    bool negate = p < end && *p == '^';
    bool found = false;
    if (negate)
        p++;
    while (p < end && *p != ']') {
        if (*p == '\\' && end - p >= 2) {
            found |= fold(p[1], nocase) == c;
            p += 2;
        } else if (end - p >= 3 && p[1] == '-') {
            uint8_t low = fold(p[0], nocase);
            uint8_t high = fold(p[2], nocase);
            found |= low <= high ? c >= low && c <= high : c >= high && c <= low;
            p += 3;
        } else {
            found |= fold(*p++, nocase) == c;
        }
    }
    *matched = found != negate;
    return p < end ? p + 1 : end;
}

// Matches one element of the pattern (not a star) with one byte: the pointer behind the element, or NULL.
static const uint8_t *match_one(const uint8_t *p, const uint8_t *end, uint8_t byte, bool nocase)
{
    uint8_t c = fold(byte, nocase);
    if (*p == '?')
        return p + 1;
    if (*p == '[') {
        bool matched;
        p = match_set(p + 1, end, c, nocase, &matched);
        return matched ? p : NULL;
    }
    if (*p == '\\' && end - p >= 2)
        p++;
    return fold(*p, nocase) == c ? p + 1 : NULL;
}

bool resp_glob(const uint8_t *pattern, size_t pattern_len, const uint8_t *text, size_t len, bool nocase)
{
    const uint8_t *p = pattern, *end = pattern + pattern_len;
    const uint8_t *t = text, *text_end = text + len;
    const uint8_t *star = NULL, *star_text = NULL; // behind the last star, and what it has taken
    while (t < text_end) {
        if (p < end && *p == '*') {
            star = ++p;
            star_text = t;
            continue;
        }
        const uint8_t *next = p < end ? match_one(p, end, *t, nocase) : NULL;
        if (next != NULL) {
            p = next;
            t++;
        } else if (star != NULL) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < end && *p == '*')
        p++;
    return p == end;
}
