#include "kvstore/resp/options.h"

#include <string.h>

#include "kvstore/resp/args.h"

static enum resp_time_kind time_option(const struct resp_arg *arg)
{
    static const struct {
        const char *word;
        enum resp_time_kind kind;
    } kinds[] = {
        {"ex", RESP_TIME_EX}, {"px", RESP_TIME_PX}, {"exat", RESP_TIME_EXAT}, {"pxat", RESP_TIME_PXAT}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (resp_arg_is(arg, kinds[i].word))
            return kinds[i].kind;
    }
    return RESP_TIME_NONE;
}

bool resp_set_options_parse(const struct resp_arg *args, size_t count, struct resp_set_options *options)
{
    struct resp_set_options o = {0};
    for (size_t i = 0; i < count; i++) {
        enum resp_time_kind kind = time_option(&args[i]);
        bool has_time = o.time_kind != RESP_TIME_NONE;
        if (resp_arg_is(&args[i], "nx") && !o.if_present) {
            o.if_absent = true;
        } else if (resp_arg_is(&args[i], "xx") && !o.if_absent) {
            o.if_present = true;
        } else if (resp_arg_is(&args[i], "get")) {
            o.get_old = true;
        } else if (resp_arg_is(&args[i], "keepttl") && !has_time) {
            o.keep_ttl = true;
        } else if (kind != RESP_TIME_NONE && !o.keep_ttl && (!has_time || kind == o.time_kind) &&
                   i + 1 < count) {
            o.time_kind = kind; // given twice, the last one counts
            o.time = &args[++i];
        } else {
            return false;
        }
    }
    *options = o;
    return true;
}

bool resp_getex_options_parse(const struct resp_arg *args, size_t count, struct resp_getex_options *options)
{
    struct resp_getex_options o = {0};
    for (size_t i = 0; i < count; i++) {
        enum resp_time_kind kind = time_option(&args[i]);
        bool has_time = o.time_kind != RESP_TIME_NONE;
        if (resp_arg_is(&args[i], "persist") && !has_time) {
            o.persist = true;
        } else if (kind != RESP_TIME_NONE && !o.persist && (!has_time || kind == o.time_kind) &&
                   i + 1 < count) {
            o.time_kind = kind;
            o.time = &args[++i];
        } else {
            return false;
        }
    }
    *options = o;
    return true;
}

enum resp_lcs_status resp_lcs_options_parse(const struct resp_arg *args, size_t count,
                                            struct resp_lcs_options *options)
{
    struct resp_lcs_options o = {0};
    for (size_t i = 0; i < count; i++) {
        if (resp_arg_is(&args[i], "idx")) {
            o.idx = true;
        } else if (resp_arg_is(&args[i], "len")) {
            o.len = true;
        } else if (resp_arg_is(&args[i], "withmatchlen")) {
            o.with_match_len = true;
        } else if (resp_arg_is(&args[i], "minmatchlen") && i + 1 < count) {
            if (!resp_arg_int64(&args[++i], &o.min_match))
                return RESP_LCS_NO_INTEGER;
        } else {
            return RESP_LCS_SYNTAX;
        }
    }
    if (o.idx && o.len)
        return RESP_LCS_LEN_AND_IDX;
    if (o.min_match < 0)
        o.min_match = 0;
    *options = o;
    return RESP_LCS_OK;
}

static bool in_seconds(enum resp_time_kind kind)
{
    return kind == RESP_TIME_EX || kind == RESP_TIME_EXAT;
}

static bool from_now(enum resp_time_kind kind)
{
    return kind == RESP_TIME_EX || kind == RESP_TIME_PX;
}

static enum resp_time_status absolute_time(enum resp_time_kind kind, int64_t number, uint64_t now_ms,
                                           int64_t *ms)
{
    if (in_seconds(kind) && __builtin_mul_overflow(number, 1000, &number))
        return RESP_TIME_INVALID;
    if (from_now(kind) && __builtin_add_overflow(number, (int64_t)now_ms, &number))
        return RESP_TIME_INVALID;
    *ms = number;
    return RESP_TIME_OK;
}

enum resp_time_status resp_set_time(enum resp_time_kind kind, const struct resp_arg *arg, uint64_t now_ms,
                                    uint64_t *expire_ms)
{
    int64_t number, ms;
    if (!resp_arg_int64(arg, &number))
        return RESP_TIME_NO_INTEGER;
    if (number <= 0 || absolute_time(kind, number, now_ms, &ms) != RESP_TIME_OK)
        return RESP_TIME_INVALID;
    *expire_ms = (uint64_t)ms;
    return RESP_TIME_OK;
}

enum resp_time_status resp_expire_time(enum resp_time_kind kind, const struct resp_arg *arg, uint64_t now_ms,
                                       uint64_t *expire_ms)
{
    int64_t number, ms;
    if (!resp_arg_int64(arg, &number))
        return RESP_TIME_NO_INTEGER;
    if (absolute_time(kind, number, now_ms, &ms) != RESP_TIME_OK)
        return RESP_TIME_INVALID;
    *expire_ms = ms > 0 ? (uint64_t)ms : 0;
    return RESP_TIME_OK;
}

enum resp_expire_status resp_expire_options_parse(const struct resp_arg *args, size_t count,
                                                  struct resp_expire_options *options,
                                                  const struct resp_arg **unknown)
{
    struct resp_expire_options o = {0};
    for (size_t i = 0; i < count; i++) {
        if (resp_arg_is(&args[i], "nx")) {
            o.nx = true;
        } else if (resp_arg_is(&args[i], "xx")) {
            o.xx = true;
        } else if (resp_arg_is(&args[i], "gt")) {
            o.gt = true;
        } else if (resp_arg_is(&args[i], "lt")) {
            o.lt = true;
        } else {
            *unknown = &args[i];
            return RESP_EXPIRE_UNKNOWN;
        }
    }
    if (o.nx && (o.xx || o.gt || o.lt))
        return RESP_EXPIRE_NX_AND_ANY;
    if (o.gt && o.lt)
        return RESP_EXPIRE_GT_AND_LT;
    *options = o;
    return RESP_EXPIRE_OK;
}

bool resp_expire_allowed(const struct resp_expire_options *options, uint64_t current_ms, uint64_t new_ms)
{
    bool has = current_ms != 0;
    if ((options->nx && has) || (options->xx && !has))
        return false;
    if (options->gt && (!has || new_ms <= current_ms))
        return false;
    return !(options->lt && has && new_ms >= current_ms);
}
