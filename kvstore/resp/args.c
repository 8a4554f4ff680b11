#include "kvstore/resp/args.h"

#include <string.h>
#include <strings.h>

bool resp_text_int64(const uint8_t *text, size_t len, int64_t *value)
{
    bool negative = len != 0 && text[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == len || (text[i] == '0' && (len > i + 1 || negative)))
        return false;
    uint64_t magnitude = 0;
    for (; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(magnitude, 10u, &magnitude) ||
            __builtin_add_overflow(magnitude, (uint64_t)(text[i] - '0'), &magnitude))
            return false;
    }
    uint64_t max = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    if (magnitude > max)
        return false;
    if (!negative)
        *value = (int64_t)magnitude;
    else
        *value = magnitude == max ? INT64_MIN : -(int64_t)magnitude;
    return true;
}

bool resp_arg_int64(const struct resp_arg *arg, int64_t *value)
{
    return resp_text_int64(arg->data, arg->len, value);
}

bool resp_arg_cursor(const struct resp_arg *arg, uint64_t *cursor)
{
    uint64_t n = 0;
    size_t len = strnlen((const char *)arg->data, arg->len);
    size_t sign = len != 0 && (arg->data[0] == '-' || arg->data[0] == '+') ? 1 : 0;
    if (sign != 0 && len == sign)
        return false;
    for (size_t i = sign; i < len; i++) {
        if (arg->data[i] < '0' || arg->data[i] > '9' || __builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(arg->data[i] - '0'), &n))
            return false;
    }
    *cursor = sign != 0 && arg->data[0] == '-' ? 0 - n : n;
    return true;
}

bool resp_arg_memory(const struct resp_arg *arg, uint64_t *bytes)
{
    static const struct {
        const char *suffix;
        uint64_t unit;
    } units[] = {
        {"", 1},           {"b", 1},
        {"k", 1000},       {"kb", 1024},
        {"m", 1000000},    {"mb", 1024 * 1024},
        {"g", 1000000000}, {"gb", 1024ull * 1024 * 1024},
    };
    size_t digits = 0;
    uint64_t n = 0;
    for (; digits < arg->len && arg->data[digits] >= '0' && arg->data[digits] <= '9'; digits++) {
        if (__builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(arg->data[digits] - '0'), &n))
            return false;
    }
    if (digits == 0)
        return false;
    struct resp_arg rest = {arg->data + digits, arg->len - digits};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (resp_arg_is(&rest, units[i].suffix))
            return !__builtin_mul_overflow(n, units[i].unit, bytes);
    }
    return false;
}

bool resp_arg_is(const struct resp_arg *arg, const char *word)
{
    return strlen(word) == arg->len && strncasecmp((const char *)arg->data, word, arg->len) == 0;
}

bool resp_arg_equal(const struct resp_arg *a, const struct resp_arg *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}
