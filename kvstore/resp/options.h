// The options of commands: SET's, GETEX's, EXPIRE's and LCS's. Parsing only, with the rules of Redis 7.0; knows no
// store.
#ifndef MEC_KVSTORE_RESP_OPTIONS_H
#define MEC_KVSTORE_RESP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvstore/resp/parse.h"

enum resp_time_kind {
    RESP_TIME_NONE,
    RESP_TIME_EX,   // seconds from now
    RESP_TIME_PX,   // milliseconds from now
    RESP_TIME_EXAT, // Unix seconds
    RESP_TIME_PXAT, // Unix milliseconds
};

struct resp_set_options {
    bool if_absent;  // NX
    bool if_present; // XX
    bool get_old;    // GET
    bool keep_ttl;   // KEEPTTL
    enum resp_time_kind time_kind;
    const struct resp_arg *time; // the number behind EX and the like: within args
};

// The options behind SET key value (args[0] is the first of them). False: syntax error.
bool resp_set_options_parse(const struct resp_arg *args, size_t count, struct resp_set_options *options);

struct resp_getex_options {
    bool persist; // PERSIST
    enum resp_time_kind time_kind;
    const struct resp_arg *time; // as with SET
};

// The options behind GETEX key. False: syntax error.
bool resp_getex_options_parse(const struct resp_arg *args, size_t count, struct resp_getex_options *options);

enum resp_time_status { RESP_TIME_OK, RESP_TIME_NO_INTEGER, RESP_TIME_INVALID };

// Turns a time of SET into Unix milliseconds: must be positive and fit.
enum resp_time_status resp_set_time(enum resp_time_kind kind, const struct resp_arg *arg, uint64_t now_ms,
                                    uint64_t *expire_ms);

// The same for EXPIRE and its kin, where a time that is not positive, or is past, means delete: then
// *expire_ms is at most now_ms.
enum resp_time_status resp_expire_time(enum resp_time_kind kind, const struct resp_arg *arg, uint64_t now_ms,
                                       uint64_t *expire_ms);

struct resp_expire_options {
    bool nx; // only when it has no expiry
    bool xx; // only when it has one
    bool gt; // only when the new one is later; none counts as infinitely late
    bool lt; // only when the new one is earlier
};

enum resp_expire_status {
    RESP_EXPIRE_OK,
    RESP_EXPIRE_UNKNOWN,    // *unknown is the option
    RESP_EXPIRE_NX_AND_ANY, // "NX and XX, GT or LT options at the same time are not compatible"
    RESP_EXPIRE_GT_AND_LT,  // "GT and LT options at the same time are not compatible"
};
enum resp_expire_status resp_expire_options_parse(const struct resp_arg *args, size_t count,
                                                  struct resp_expire_options *options,
                                                  const struct resp_arg **unknown);

// Whether the options let the expiry be changed from current_ms (0: none) to new_ms.
bool resp_expire_allowed(const struct resp_expire_options *options, uint64_t current_ms, uint64_t new_ms);

struct resp_lcs_options {
    bool len, idx;
    bool with_match_len;
    int64_t min_match; // at least 0
};

enum resp_lcs_status { RESP_LCS_OK, RESP_LCS_SYNTAX, RESP_LCS_NO_INTEGER, RESP_LCS_LEN_AND_IDX };
// The options behind LCS key1 key2.
enum resp_lcs_status resp_lcs_options_parse(const struct resp_arg *args, size_t count,
                                            struct resp_lcs_options *options);

#endif
