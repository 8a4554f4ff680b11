// A line on the terminal that says how far a long piece of work is: `importing  1200/50000 (2%)`. Shown on
// stderr only, only when that is a terminal, and only once the work has taken over a second. One at a time,
// one thread.
#ifndef MEC_CERTS_PROGRESS_H
#define MEC_CERTS_PROGRESS_H

#include <stdint.h>

void progress_begin(const char *what, uint64_t total); // total 0: unknown
void progress_at(uint64_t done);
// Takes the line away, so that other output can be written; the next progress_at() draws it again.
void progress_hide(void);
void progress_end(void);

#endif
