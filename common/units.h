// Sizes and durations as people write them: "64kb", "512mb", "4gb"; "200ms", "10s", "5m".
// Pure functions, any thread.
#ifndef MEC_COMMON_UNITS_H
#define MEC_COMMON_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Parses a size: a non-negative decimal number (a fraction is allowed: "1.5gb") with an optional suffix b, k,
// kb, kib, m, mb, mib, g, gb, gib, t, tb, tib, any case, powers of 1024. False, *bytes unchanged, when the
// text is not a size or does not fit in 64 bits.
bool units_parse_size(const char *text, uint64_t *bytes);

// Parses a duration: a non-negative decimal number with a suffix us, ms, s, m, h, d (none: seconds).
bool units_parse_duration(const char *text, uint64_t *us);

// Parses a plain non-negative decimal integer.
bool units_parse_uint(const char *text, uint64_t *value);

// Writes a size or duration the way the parsers read it, rounded to three significant digits ("3.91gb",
// "1.2ms"); returns buf. 16 bytes suffice.
char *units_format_size(uint64_t bytes, char *buf, size_t len);
char *units_format_duration(uint64_t us, char *buf, size_t len);

#endif
