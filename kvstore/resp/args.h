// Arguments of a command as numbers, words and patterns, by Redis's rules. Pure functions over bytes, any
// thread.
#ifndef MEC_KVSTORE_RESP_ARGS_H
#define MEC_KVSTORE_RESP_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvstore/resp/parse.h"

// A whole decimal number in the one form that printing it gives back: no blanks, no '+', no leading zeros, no
// "-0". False, *value unchanged, when it is not or does not fit.
bool resp_text_int64(const uint8_t *text, size_t len, int64_t *value);
bool resp_arg_int64(const struct resp_arg *arg, int64_t *value);

// A SCAN cursor as strtoul() reads one, which Redis uses: 64 bits, leading zeros and a sign are allowed ("-1"
// is the greatest), it ends at a NUL, and nothing at all is 0.
bool resp_arg_cursor(const struct resp_arg *arg, uint64_t *cursor);

// A size as CONFIG SET takes it: "100", "64kb" (1024), "64k" (1000), up to "gb"; any case.
bool resp_arg_memory(const struct resp_arg *arg, uint64_t *bytes);

// Whether the argument is this word, in any case (ASCII).
bool resp_arg_is(const struct resp_arg *arg, const char *word);
bool resp_arg_equal(const struct resp_arg *a, const struct resp_arg *b); // byte by byte

// Glob match as KEYS, SCAN and CONFIG GET do it: * ? [abc] [a-z] [^a] and \ before a literal byte. Time is
// bounded by pattern length x text length. nocase: ASCII letters match in any case.
bool resp_glob(const uint8_t *pattern, size_t pattern_len, const uint8_t *text, size_t len, bool nocase);

#endif
