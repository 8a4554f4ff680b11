// Errors of a command-line program, in one form: `program: what failed: why`, on stderr.
#ifndef MEC_COMMON_REPORT_H
#define MEC_COMMON_REPORT_H

#include <stddef.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

// An error text on its way up: filled where the error is first seen ("site.pem: open: No such file or
// directory"), printed once by main. Passing NULL where a function takes a struct error * is allowed.
struct error {
    char text[512];
};

// Sets e->text (truncated to fit). e may be NULL.
void error_set(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

// As error_set(), then appends ": " and the oldest entry of OpenSSL's error queue (reason text only), and
// empties the queue. Never puts data that was being parsed into the text.
void error_set_openssl(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The name that report() prints; set once at the start of main. The string must live on.
void report_set_program(const char *program);
const char *report_program(void);

// Prints `program: ` and the text and a newline on stderr in one write. Any thread.
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
