// A file of lines that never makes its writers wait: lines go into a bounded ring in memory, one thread per
// sink writes them out. When the ring is full the line is dropped and counted, and the sink itself writes a
// line saying how many were lost as soon as there is room. Used by the log and by the audit log.
#ifndef MEC_COMMON_LOGSINK_H
#define MEC_COMMON_LOGSINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"

struct log_sink;

// Opens path for appending (created with mode 0640; NULL: stderr) and starts the writer thread. ring_bytes is
// the bound on unwritten bytes. drop_line, called on the writer thread, formats the line about `count`
// dropped ones (without newline) into buf and returns its length; NULL: a plain text. NULL and *e set on
// failure.
struct log_sink *log_sink_create(const char *path, size_t ring_bytes,
                                 size_t (*drop_line)(uint64_t count, char *buf, size_t len), struct error *e);

// Takes a copy of the line (no newline; one is added; control characters are the caller's to escape). True:
// it will be written; false: it was dropped (ring full, or longer than the ring). Any thread; never blocks on
// the file.
bool log_sink_write(struct log_sink *sink, const char *line, size_t len);

// Lines dropped since the start. Write errors count the lines they lost too.
uint64_t log_sink_dropped(const struct log_sink *sink);

// Opens the path anew before the next line (after a rotation). No effect on stderr.
void log_sink_reopen(struct log_sink *sink);

// Waits until everything accepted so far is written.
void log_sink_flush(struct log_sink *sink);

// Flushes, stops the thread, closes the file, sets *sink to NULL. No writer may be active. NULL is fine.
void log_sink_destroy(struct log_sink **sink);

#endif
