// Numbers are read exactly (integer arithmetic of 128 bits), not through floating point: a limit given as
// 0.1gb means the same bytes on every machine.
#include "common/units.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

__extension__ typedef unsigned __int128 wide;

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"", 1},
    {"b", 1},
    {"k", 1ULL << 10},
    {"kb", 1ULL << 10},
    {"kib", 1ULL << 10},
    {"m", 1ULL << 20},
    {"mb", 1ULL << 20},
    {"mib", 1ULL << 20},
    {"g", 1ULL << 30},
    {"gb", 1ULL << 30},
    {"gib", 1ULL << 30},
    {"t", 1ULL << 40},
    {"tb", 1ULL << 40},
    {"tib", 1ULL << 40},
};

static const struct unit duration_units[] = {
    {"", 1000000},
    {"us", 1},
    {"ms", 1000},
    {"s", 1000000},
    {"m", 60 * 1000000ULL},
    {"h", 3600 * 1000000ULL},
    {"d", 86400 * 1000000ULL},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// A decimal number in two parts: whole + fraction / scale.
struct decimal {
    uint64_t whole;
    uint64_t fraction;
    uint64_t scale;
};

// Reads digits; false when there is none or the value exceeds 64 bits.
static bool read_digits(const char **at, uint64_t *value, uint64_t *scale)
{
    const char *p = *at;
    uint64_t v = 0, s = 1;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
            return false;
        if (scale != NULL && __builtin_mul_overflow(s, 10, &s))
            return false;
    }
    *at = p;
    *value = v;
    if (scale != NULL)
        *scale = s;
    return true;
}

static bool read_decimal(const char **at, struct decimal *d)
{
    *d = (struct decimal){.scale = 1};
    if (!read_digits(at, &d->whole, NULL))
        return false;
    if (**at != '.')
        return true;
    (*at)++;
    return read_digits(at, &d->fraction, &d->scale);
}

static bool apply_factor(const struct decimal *d, uint64_t factor, uint64_t *value)
{
    wide total = (wide)d->whole * factor + (wide)d->fraction * factor / d->scale;
    if (total > UINT64_MAX)
        return false;
    *value = (uint64_t)total;
    return true;
}

bool units_parse_size(const char *text, uint64_t *bytes)
{
    struct decimal d;
    if (!read_decimal(&text, &d))
        return false;
    for (size_t i = 0; i < COUNT(size_units); i++)
        if (strcasecmp(text, size_units[i].suffix) == 0)
            return apply_factor(&d, size_units[i].factor, bytes);
    return false;
}

// Lower case only: "M" would be taken for a month or a million.
bool units_parse_duration(const char *text, uint64_t *us)
{
    struct decimal d;
    if (!read_decimal(&text, &d))
        return false;
    for (size_t i = 0; i < COUNT(duration_units); i++)
        if (strcmp(text, duration_units[i].suffix) == 0)
            return apply_factor(&d, duration_units[i].factor, us);
    return false;
}

bool units_parse_uint(const char *text, uint64_t *value)
{
    uint64_t v;
    if (!read_digits(&text, &v, NULL) || *text != '\0')
        return false;
    *value = v;
    return true;
}

// Above 999 of the largest unit: zeros take the place of the digits that do not count. Rounding up must not
// leave the range that can be read again.
static char *format_large(uint64_t value, const struct unit *unit, char *buf, size_t len)
{
    uint64_t whole = value / unit->factor, step = 1;
    while (whole / step >= 1000)
        step *= 10;
    whole = (whole + step / 2) / step * step;
    if (whole > UINT64_MAX / unit->factor)
        whole -= step;
    (void)snprintf(buf, len, "%llu%s", (unsigned long long)whole, unit->suffix);
    return buf;
}

// Three significant digits without an exponent and without trailing zeros.
static char *format_scaled(uint64_t value, const struct unit *unit, char *buf, size_t len)
{
    double scaled = (double)value / (double)unit->factor;
    int decimals = scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
    if (scaled < 0.9995)
        decimals = 3;
    if (scaled >= 999.5)
        return format_large(value, unit, buf, len);
    char digits[32];
    (void)snprintf(digits, sizeof digits, "%.*f", decimals, scaled);
    if (decimals > 0) {
        size_t end = strlen(digits);
        while (digits[end - 1] == '0')
            end--;
        if (digits[end - 1] == '.')
            end--;
        digits[end] = '\0';
    }
    (void)snprintf(buf, len, "%s%s", digits, unit->suffix);
    return buf;
}

// The largest unit of which the value has at least one, or nearly one when three digits could not tell it
// from 1000 of the smaller.
static char *format_units(uint64_t value, const struct unit *const *units, size_t count, char *buf,
                          size_t len)
{
    size_t i = count - 1;
    while (i > 0 && value < units[i]->factor)
        i--;
    if (i + 1 < count && (double)value / (double)units[i]->factor >= 999.5)
        i++;
    return format_scaled(value, units[i], buf, len);
}

char *units_format_size(uint64_t bytes, char *buf, size_t len)
{
    static const struct unit *const units[] = {&size_units[1], &size_units[3], &size_units[6], &size_units[9],
                                               &size_units[12]};
    return format_units(bytes, units, COUNT(units), buf, len);
}

char *units_format_duration(uint64_t us, char *buf, size_t len)
{
    static const struct unit *const units[] = {&duration_units[1], &duration_units[2], &duration_units[3],
                                               &duration_units[4], &duration_units[5], &duration_units[6]};
    return format_units(us, units, COUNT(units), buf, len);
}
