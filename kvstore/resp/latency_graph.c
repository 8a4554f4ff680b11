// LATENCY GRAPH: a column for each sample, four rows of bars, and below when it was.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/latency.h"

#define COLUMNS 80u
#define ROWS    4u
#define LEVELS  3u // heights within a row

// How long ago, as people say it: "5s", "12m", "3h", "2d".
static void label_of(uint64_t ago_s, char label[static 24])
{
    static const struct {
        uint64_t seconds;
        char letter;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;
    while (i < 3 && ago_s < units[i].seconds)
        i++;
    (void)snprintf(label, 24, "%" PRIu64 "%c", ago_s / units[i].seconds, units[i].letter);
}

// The character of a column in a row, row 0 at the bottom.
static char bar(unsigned level, unsigned row)
{
    static const char tips[LEVELS + 1] = "_o#";
    if (level / LEVELS > row)
        return '|';
    return level / LEVELS == row ? tips[level % LEVELS] : ' ';
}

static void draw(FILE *out, const struct resp_latency_sample *samples, size_t count, uint64_t low,
                 uint64_t high, uint64_t now_s)
{
    char labels[COLUMNS][24];
    size_t longest = 0;
    uint64_t range = high != low ? high - low : 1;
    for (size_t i = 0; i < count; i++) {
        label_of(now_s > samples[i].unix_s ? now_s - samples[i].unix_s : 0, labels[i]);
        longest = strlen(labels[i]) > longest ? strlen(labels[i]) : longest;
    }
    for (unsigned row = ROWS; row-- != 0;) {
        for (size_t i = 0; i < count; i++) {
            uint64_t level = (uint64_t)((double)(samples[i].ms - low) * (ROWS * LEVELS) / (double)range);
            if (level >= ROWS * LEVELS)
                level = ROWS * LEVELS - 1;
            (void)fputc(bar((unsigned)level, row), out);
        }
        (void)fputc('\n', out);
    }
    (void)fprintf(out, "%*s\n", (int)count, "");
    for (size_t line = 0; line < longest; line++) {
        for (size_t i = 0; i < count; i++)
            (void)fputc(line < strlen(labels[i]) ? labels[i][line] : ' ', out);
        (void)fputc('\n', out);
    }
}

char *resp_latency_graph(const struct resp_latency_history *history, uint64_t now_s)
{
    char *text = NULL;
    size_t len, count = history->count < COLUMNS ? history->count : COLUMNS;
    const struct resp_latency_sample *samples = history->samples + history->count - count;
    uint64_t low = count != 0 ? samples[0].ms : 0, high = low;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        low = samples[i].ms < low ? samples[i].ms : low;
        high = samples[i].ms > high ? samples[i].ms : high;
    }
    (void)fprintf(out, "%s - high %" PRIu64 " ms, low %" PRIu64 " ms (all time high %" PRIu64 " ms)\n",
                  history->event, high, low, history->most_ms);
    for (unsigned i = 0; i < COLUMNS; i++)
        (void)fputc('-', out);
    (void)fputc('\n', out);
    draw(out, samples, count, low, high, now_s);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
