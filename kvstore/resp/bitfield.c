#include "kvstore/resp/bitfield.h"

#include "kvstore/resp/args.h"

bool resp_bits_offset(const struct resp_arg *arg, unsigned field_bits, uint64_t max_bytes, uint64_t *offset)
{
    bool fields = field_bits != 0 && arg->len != 0 && arg->data[0] == '#';
    int64_t number;
    if (!resp_text_int64(arg->data + fields, arg->len - fields, &number))
        return false;
    if (fields)
        number = (int64_t)((uint64_t)number * field_bits); // modulo 2^64, as in Redis
    if (number < 0 || (uint64_t)number / 8 >= max_bytes)
        return false;
    *offset = (uint64_t)number;
    return true;
}

// "i8", "u63"; the letter in lower case.
static bool parse_type(const struct resp_arg *arg, struct resp_bitfield *operation)
{
    int64_t bits;
    if (arg->len == 0 || (arg->data[0] != 'i' && arg->data[0] != 'u') ||
        !resp_text_int64(arg->data + 1, arg->len - 1, &bits))
        return false;
    operation->is_signed = arg->data[0] == 'i';
    if (bits < 1 || bits > (operation->is_signed ? 64 : 63))
        return false;
    operation->bits = (unsigned)bits;
    return true;
}

static bool parse_overflow(const struct resp_arg *arg, enum resp_overflow *overflow)
{
    if (resp_arg_is(arg, "wrap"))
        *overflow = RESP_OVERFLOW_WRAP;
    else if (resp_arg_is(arg, "sat"))
        *overflow = RESP_OVERFLOW_SAT;
    else if (resp_arg_is(arg, "fail"))
        *overflow = RESP_OVERFLOW_FAIL;
    else
        return false;
    return true;
}

// How many words the operation at the parser's place takes; 0: it is none.
static size_t words_of(const struct resp_bitfield_parser *p, struct resp_bitfield *operation)
{
    static const struct {
        const char *word;
        enum resp_bitfield_kind kind;
        size_t words;
    } kinds[] = {
        {"get", RESP_BITFIELD_GET, 3}, {"set", RESP_BITFIELD_SET, 4}, {"incrby", RESP_BITFIELD_INCRBY, 4}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (p->count >= kinds[i].words && resp_arg_is(p->args, kinds[i].word)) {
            operation->kind = kinds[i].kind;
            return kinds[i].words;
        }
    }
    return 0;
}

static void skip(struct resp_bitfield_parser *p, size_t words)
{
    p->args += words;
    p->count -= words;
}

struct resp_bitfield_parser resp_bitfield_begin(const struct resp_arg *args, size_t count, uint64_t max_bytes)
{
    return (struct resp_bitfield_parser){args, count, max_bytes, RESP_OVERFLOW_WRAP};
}

enum resp_bitfield_status resp_bitfield_next(struct resp_bitfield_parser *p, struct resp_bitfield *operation)
{
    while (p->count >= 2 && resp_arg_is(p->args, "overflow")) {
        if (!parse_overflow(&p->args[1], &p->overflow))
            return RESP_BITFIELD_BAD_OVERFLOW;
        skip(p, 2);
    }
    if (p->count == 0)
        return RESP_BITFIELD_END;
    *operation = (struct resp_bitfield){.overflow = p->overflow};
    size_t words = words_of(p, operation);
    if (words == 0)
        return RESP_BITFIELD_SYNTAX;
    if (!parse_type(&p->args[1], operation))
        return RESP_BITFIELD_BAD_TYPE;
    if (!resp_bits_offset(&p->args[2], operation->bits, p->max_bytes, &operation->offset))
        return RESP_BITFIELD_BAD_OFFSET;
    if (words == 4 && !resp_arg_int64(&p->args[3], &operation->number))
        return RESP_BITFIELD_BAD_NUMBER;
    skip(p, words);
    return RESP_BITFIELD_OK;
}
