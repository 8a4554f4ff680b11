// Parameters whose value is several words.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/config_live.h"

#define WORDS_MOST 64u

// Splits at blanks; how many words, WORDS_MOST + 1: too many.
static size_t split(const char *text, struct resp_arg words[static WORDS_MOST])
{
    size_t count = 0;
    for (text += strspn(text, " \t"); *text != '\0'; text += strspn(text, " \t")) {
        size_t len = strcspn(text, " \t");
        if (count == WORDS_MOST)
            return WORDS_MOST + 1;
        words[count++] = (struct resp_arg){(const uint8_t *)text, len};
        text += len;
    }
    return count;
}

// ---- client-output-buffer-limit: "class hard soft seconds", up to three of them

static bool is_class(const struct resp_arg *word)
{
    return resp_arg_is(word, "normal") || resp_arg_is(word, "slave") || resp_arg_is(word, "replica") ||
           resp_arg_is(word, "pubsub");
}

CHECK(output_limits)
{
    struct resp_arg words[WORDS_MOST];
    size_t count = split(text, words);
    (void)shared;
    if (count == 0 || count > WORDS_MOST || count % 4 != 0) {
        *why = "Wrong number of arguments in buffer limit configuration.";
        return false;
    }
    for (size_t i = 0; i < count; i += 4) {
        uint64_t bytes;
        int64_t seconds;
        if (!is_class(&words[i])) {
            *why = "Invalid client class specified in buffer limit configuration.";
            return false;
        }
        if (!resp_arg_memory(&words[i + 1], &bytes) || !resp_arg_memory(&words[i + 2], &bytes) ||
            !resp_arg_int64(&words[i + 3], &seconds) || seconds < 0) {
            *why = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
            return false;
        }
    }
    return true;
}

// ---- latency-tracking-info-percentiles: "50 99 99.9"

static bool parse_percentile(const struct resp_arg *word, double *value)
{
    char text[32], *end;
    if (word->len >= sizeof text)
        return false;
    memcpy(text, word->data, word->len);
    text[word->len] = '\0';
    *value = strtod(text, &end);
    return *end == '\0' && isfinite(*value);
}

CHECK(percentiles)
{
    struct resp_arg words[WORDS_MOST];
    size_t count = split(text, words);
    (void)shared;
    for (size_t i = 0; i < count; i++) {
        double value;
        if (count > WORDS_MOST || !parse_percentile(&words[i], &value)) {
            *why = "Invalid latency-tracking-info-percentiles parameters";
            return false;
        }
        if (value < 0 || value > 100) {
            *why = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
            return false;
        }
    }
    return true;
}

size_t resp_config_percentiles(struct resp_shared *shared, double *percentiles, size_t most)
{
    char text[RESP_CONFIG_TEXT];
    struct resp_arg words[WORDS_MOST];
    resp_config_text(shared, "latency-tracking-info-percentiles", text, sizeof text);
    size_t count = split(text, words), good = 0;
    for (size_t i = 0; i < count && good < most; i++)
        if (parse_percentile(&words[i], &percentiles[good]))
            good++;
    return good;
}
