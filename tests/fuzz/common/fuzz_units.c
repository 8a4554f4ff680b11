// Sizes, durations and integers: any text is taken or refused without harm, a refusal leaves the value alone, and
// what is formatted again can be read again.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

typedef bool (*parser)(const char *text, uint64_t *value);
typedef char *(*formatter)(uint64_t value, char *buf, size_t len);

static void try_one(const char *text, parser parse, formatter format)
{
    const uint64_t untouched = 0x5a5a5a5a5a5a5a5a;
    uint64_t value = untouched, back = 0;
    char buf[16];
    if (!parse(text, &value)) {
        if (value != untouched)
            abort();
        return;
    }
    if (format != NULL && !parse(format(value, buf, sizeof buf), &back))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1);
    if (text == NULL)
        return 0;
    memcpy(text, data, len);
    text[len] = '\0';
    try_one(text, units_parse_size, units_format_size);
    try_one(text, units_parse_duration, units_format_duration);
    try_one(text, units_parse_uint, NULL);
    free(text);
    return 0;
}
