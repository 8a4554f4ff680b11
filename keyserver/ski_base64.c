// Base64 of requests. What comes in was seen on the wire between user and edge (a ciphertext, randoms, parameters),
// so a table may be indexed by it; what goes out is encoded without one (ct.h).
#include "keyserver/ski.h"

// RFC 4648 section 4: a digit's value and one; 0 where there is none.
static const uint8_t digits[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

// -1 for what is no digit.
static int value_of(char c)
{
    return digits[(unsigned char)c] - 1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Decodes fours of digits up to the first that has anything else in it, or does not fit. Returns how many.
static size_t decode_fours(const char *text, size_t text_len, uint8_t *out, size_t room)
{
    size_t most = text_len / 4 < room / 3 ? text_len / 4 : room / 3, n = 0;
    for (; n < most; n++, text += 4, out += 3) {
        int a = value_of(text[0]), b = value_of(text[1]), c = value_of(text[2]), d = value_of(text[3]);
        if ((a | b | c | d) < 0)
            break;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        out[1] = (uint8_t)(b << 4 | c >> 2);
        out[2] = (uint8_t)(c << 6 | d);
    }
    return n;
}

// The last two or three digits of a text. False: bits that no byte takes are not zero, or no room.
static bool decode_rest(uint32_t bits, size_t count, uint8_t *out, size_t room)
{
    bits <<= 6 * (4 - count);
    uint32_t unused = count == 2 ? 0xffff : 0xff;
    if ((bits & unused) != 0 || room < count - 1)
        return false;
    out[0] = (uint8_t)(bits >> 16);
    if (count == 3)
        out[1] = (uint8_t)(bits >> 8);
    return true;
}

bool ski_base64_decode(const char *text, size_t text_len, uint8_t *out, size_t *len)
{
    uint32_t bits = 0; // of the `count` digits of a four that has begun
    size_t count = 0, padding = 0, written = 0;

    for (size_t i = 0; i < text_len;) {
        if (count == 0 && padding == 0) {
            size_t fours = decode_fours(text + i, text_len - i, out + written, *len - written);
            i += 4 * fours;
            written += 3 * fours;
            if (i == text_len)
                break;
        }
        char c = text[i++];
        if (is_blank(c))
            continue;
        if (c == '=') {
            padding++;
            continue;
        }
        int value = value_of(c);
        if (value < 0 || padding != 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (++count < 4)
            continue;
        if (*len - written < 3)
            return false;
        out[written++] = (uint8_t)(bits >> 16);
        out[written++] = (uint8_t)(bits >> 8);
        out[written++] = (uint8_t)bits;
        bits = 0;
        count = 0;
    }
    if (count == 1 || (padding != 0 && (count == 0 || padding != 4 - count)))
        return false;
    if (count != 0) {
        if (!decode_rest(bits, count, out + written, *len - written))
            return false;
        written += count - 1;
    }
    *len = written;
    return true;
}
