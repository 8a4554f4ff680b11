// The program's log: one line per event, `2026-11-22T20:30:48.123456Z info keyserver listening
// addr=127.0.0.1:8443`. Levels say who must act: error, an operator now; warn, an operator soon; info,
// nobody; debug, a developer. Never waits (see logsink.h). Never put keys, premasters, PEM or a peer's raw
// bytes into it.
#ifndef MEC_COMMON_LOG_H
#define MEC_COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/report.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
#define LOG_LEVEL_CHOICES "error|warn|info|debug"

// path NULL: stderr. Before setup (and after teardown) lines go straight to stderr.
bool log_setup(const char *program, enum log_level level, const char *path, struct error *e);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_reopen(void);
void log_flush(void);
uint64_t log_dropped(void);
void log_teardown(void);

// event is a word in lower_case; the format gives key=value pairs. A value that may hold blanks or bytes from
// outside goes through log_quote(). Control characters (newlines above all) that still come are written as
// \xHH. Any thread.
void log_write(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_write(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_write(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_write(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

// Writes text as a double-quoted, escaped (JSON style) string into buf, cut to fit; returns buf.
char *log_quote(const char *text, char *buf, size_t len);

// The time of now as 2026-11-22T20:30:48.123456Z, 28 bytes with the NUL.
char *log_timestamp(char buf[static 28]);

#endif
