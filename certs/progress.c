#include "certs/progress.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define QUIET_MS  1000 // work shorter than this shows nothing
#define REDRAW_MS 200

static struct {
    const char *what;
    uint64_t total;
    uint64_t begun_ms, drawn_ms;
    bool terminal, visible;
} line;

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void progress_begin(const char *what, uint64_t total)
{
    line.what = what;
    line.total = total;
    line.begun_ms = now_ms();
    line.drawn_ms = line.begun_ms + QUIET_MS - REDRAW_MS;
    line.terminal = isatty(STDERR_FILENO) == 1;
    line.visible = false;
}

void progress_at(uint64_t done)
{
    uint64_t now = line.terminal ? now_ms() : 0;
    if (!line.terminal || now < line.drawn_ms + REDRAW_MS)
        return;
    if (line.total != 0)
        (void)fprintf(stderr, "\r\033[K%s %" PRIu64 "/%" PRIu64 " (%" PRIu64 "%%)", line.what, done,
                      line.total, done * 100 / line.total);
    else
        (void)fprintf(stderr, "\r\033[K%s %" PRIu64, line.what, done);
    (void)fflush(stderr);
    line.drawn_ms = now;
    line.visible = true;
}

void progress_hide(void)
{
    if (!line.visible)
        return;
    (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    line.visible = false;
}

void progress_end(void)
{
    progress_hide();
    line.terminal = false;
}
