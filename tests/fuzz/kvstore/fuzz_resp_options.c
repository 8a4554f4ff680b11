// Arguments of commands: the options of SET, GETEX, EXPIRE, LCS and BITFIELD, numbers, sizes, patterns. Oracles: what is accepted keeps the rules of the options; a number
// prints back as it came; a pattern without special characters matches itself alone.
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/bitfield.h"
#include "kvstore/resp/number.h"
#include "kvstore/resp/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define WORDS 12

static void require(int holds)
{
    if (!holds)
        abort();
}

static void check_number(const struct resp_arg *arg)
{
    int64_t value;
    char text[32];
    if (!resp_arg_int64(arg, &value))
        return;
    int n = snprintf(text, sizeof text, "%" PRId64, value);
    require((size_t)n == arg->len && memcmp(text, arg->data, arg->len) == 0);
}

static void check_set(const struct resp_arg *args, size_t count)
{
    struct resp_set_options o;
    uint64_t ms;
    if (!resp_set_options_parse(args, count, &o))
        return;
    require(!(o.if_absent && o.if_present));
    require(!(o.keep_ttl && o.time_kind != RESP_TIME_NONE));
    require((o.time != NULL) == (o.time_kind != RESP_TIME_NONE));
    require(o.time == NULL || (o.time > args && o.time < args + count));
    if (o.time != NULL && resp_set_time(o.time_kind, o.time, 1700000000000u, &ms) == RESP_TIME_OK)
        require(ms > 0 && ms <= INT64_MAX);
}

static void check_getex(const struct resp_arg *args, size_t count)
{
    struct resp_getex_options o;
    if (!resp_getex_options_parse(args, count, &o))
        return;
    require(!(o.persist && o.time_kind != RESP_TIME_NONE));
    require((o.time != NULL) == (o.time_kind != RESP_TIME_NONE));
    require(o.time == NULL || (o.time > args && o.time < args + count));
}

static void check_lcs(const struct resp_arg *args, size_t count)
{
    struct resp_lcs_options o;
    if (resp_lcs_options_parse(args, count, &o) == RESP_LCS_OK)
        require(!(o.idx && o.len) && o.min_match >= 0);
}

// What is parsed can be done on a value that is as long as it has to be, and then reads as it was set.
static void check_bitfield(const struct resp_arg *args, size_t count)
{
    uint8_t value[64 + 8] = {0};
    struct resp_bitfield_parser parser = resp_bitfield_begin(args, count, 64);
    struct resp_bitfield o;
    while (resp_bitfield_next(&parser, &o) == RESP_BITFIELD_OK) {
        int64_t now;
        require(o.offset < 512 && o.bits >= 1 && o.bits <= (o.is_signed ? 64 : 63));
        if (o.kind != RESP_BITFIELD_SET || !resp_bits_assign(o.is_signed, o.bits, o.number, o.overflow, &now))
            continue;
        resp_bits_write(value, o.offset, o.bits, (uint64_t)now);
        require(now == (o.is_signed ? resp_bits_read_signed(value, sizeof value, o.offset, o.bits)
                                    : (int64_t)resp_bits_read(value, sizeof value, o.offset, o.bits)));
    }
}

// What is written is read again; with 17 digits behind the point it is the same from 1 on.
static void check_float(const struct resp_arg *arg)
{
    char text[RESP_NUMBER_TEXT];
    long double value, again = 0;
    if (!resp_number_parse(arg->data, arg->len, &value) || !isfinite(value))
        return;
    size_t len = resp_number_format(value, text);
    require(len < sizeof text && resp_number_parse((const uint8_t *)text, len, &again));
    require(fabsl(value - again) <= 1e-17L + fabsl(value) * LDBL_EPSILON);
}

static void check_expire(const struct resp_arg *args, size_t count)
{
    struct resp_expire_options o;
    const struct resp_arg *unknown = NULL;
    switch (resp_expire_options_parse(args, count, &o, &unknown)) {
    case RESP_EXPIRE_OK:
        require(!(o.nx && (o.xx || o.gt || o.lt)) && !(o.gt && o.lt));
        require(!(resp_expire_allowed(&o, 5, 5) && (o.gt || o.lt || o.nx)));
        return;
    case RESP_EXPIRE_UNKNOWN:
        require(unknown >= args && unknown < args + count);
        return;
    case RESP_EXPIRE_NX_AND_ANY:
    case RESP_EXPIRE_GT_AND_LT:
        return;
    }
}

static void check_glob(const struct resp_arg *pattern, const struct resp_arg *text)
{
    bool matches = resp_glob(pattern->data, pattern->len, text->data, text->len, false);
    for (size_t i = 0; i < pattern->len; i++) {
        if (memchr("*?[\\", pattern->data[i], 4) != NULL)
            return;
    }
    require(matches == resp_arg_equal(pattern, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct resp_arg args[WORDS];
    size_t count = 0;
    uint64_t n;
    if (len > 4096)
        return 0;
    while (count < WORDS) { // words are parted by blanks
        const uint8_t *end = len != 0 ? memchr(data, ' ', len) : NULL;
        args[count].data = data;
        args[count++].len = end != NULL ? (size_t)(end - data) : len;
        if (end == NULL)
            break;
        len -= (size_t)(end + 1 - data);
        data = end + 1;
    }
    check_set(args, count);
    check_getex(args, count);
    check_expire(args, count);
    check_lcs(args, count);
    check_bitfield(args, count);
    for (size_t i = 0; i < count; i++) {
        check_number(&args[i]);
        check_float(&args[i]);
        (void)resp_arg_memory(&args[i], &n);
        (void)resp_arg_cursor(&args[i], &n);
        if (i != 0)
            check_glob(&args[i - 1], &args[i]);
    }
    return 0;
}
