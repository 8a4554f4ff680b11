// LOLWUT: a picture and the version. Ours is what the store is about: how many reads memory answers, by how much of it there is.
#include <stdio.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"
#include "kvstore/resp/version.h"

#define ROWS       10u
#define COLUMNS    66u
#define SIZES_MOST 3u // numbers behind VERSION 5 that Redis reads: 3, behind VERSION 6: 2

struct picture {
    char text[ROWS * (COLUMNS + 8) + 256];
    size_t len;
};

static void put(struct picture *picture, const char *text)
{
    size_t len = strlen(text);
    if (len < sizeof picture->text - picture->len) {
        memcpy(picture->text + picture->len, text, len + 1);
        picture->len += len;
    }
}

// xorshift: another picture each time is all that is asked of it.
static uint64_t next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

// Of each column how high the curve is there: each step of memory closes some part of what was missing.
static void curve(uint64_t seed, unsigned height[static COLUMNS])
{
    unsigned missing = ROWS * 1000;
    unsigned part = 12 + (unsigned)(next(&seed) % 20); // of how many
    for (unsigned x = 0; x < COLUMNS; x++) {
        height[x] = ROWS - (missing + 999) / 1000;
        missing -= missing / part + (unsigned)(next(&seed) % (missing / part + 1));
    }
}

static void draw(struct picture *picture, uint64_t seed)
{
    unsigned height[COLUMNS];
    curve(seed, height);
    for (unsigned row = ROWS; row-- > 0;) {
        char line[COLUMNS + 1];
        for (unsigned x = 0; x < COLUMNS; x++)
            line[x] = row < height[x] ? (row + 1 == height[x] ? 'o' : ':') : ' ';
        line[COLUMNS] = '\0';
        put(picture, "  |");
        put(picture, line);
        put(picture, "\n");
    }
    put(picture, "  +");
    for (unsigned x = 0; x < COLUMNS; x++)
        put(picture, "-");
    put(picture, "\n   Reads that memory answers, by how much of it there is.\n");
}

void resp_cmd_lolwut(struct resp_call *call)
{
    int64_t version, size;
    struct picture picture = {.len = 0};
    bool named = call->argc >= 3 && resp_arg_is(&call->args[1], "version");
    if (named && !resp_arg_int64(&call->args[2], &version)) {
        resp_error(call->reply, RESP_NOT_INTEGER);
        return;
    }
    size_t sizes = !named ? 0 : version == 5 ? SIZES_MOST : version == 6 ? SIZES_MOST - 1 : 0;
    for (size_t i = 3; i < call->argc && i < 3 + sizes;
         i++) { // checked as Redis does; the picture has one size
        if (!resp_arg_int64(&call->args[i], &size)) {
            resp_error(call->reply, RESP_NOT_INTEGER);
            return;
        }
    }
    draw(&picture, resp_now_ms(call->session->shared) * 0x9e3779b97f4a7c15u | 1);
    put(&picture, "   Redis ver. " RESP_REDIS_VERSION "\n");
    resp_verbatim(call->reply, picture.text, picture.len);
}
