// Messages are built in one buffer and leave in one write, so that lines of several threads do not mix.
#include "common/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

static const char *_Atomic program_name = "mec";

void report_set_program(const char *program)
{
    program_name = program;
}

const char *report_program(void)
{
    return program_name;
}

// Formats into a text of its own first: an argument may be e->text itself, when a caller adds what it was
// doing.
__attribute__((format(printf, 2, 0))) static void set_text(struct error *e, const char *format, va_list args)
{
    char text[sizeof e->text];
    (void)vsnprintf(text, sizeof text, format, args);
    memcpy(e->text, text, sizeof text);
}

void error_set(struct error *e, const char *format, ...)
{
    if (e == NULL)
        return;
    va_list args;
    va_start(args, format);
    set_text(e, format, args);
    va_end(args);
}

// The reason text alone: the queue's optional data may quote what was being parsed.
static void openssl_reason(unsigned long code, char *buf, size_t len)
{
    const char *reason = ERR_SYSTEM_ERROR(code) ? NULL : ERR_reason_error_string(code);
    if (code == 0)
        (void)snprintf(buf, len, "no reason given");
    else if (ERR_SYSTEM_ERROR(code))
        (void)snprintf(buf, len, "%s", strerrordesc_np(ERR_GET_REASON(code)));
    else if (reason != NULL)
        (void)snprintf(buf, len, "%s", reason);
    else
        (void)snprintf(buf, len, "OpenSSL error %08lX", code);
}

void error_set_openssl(struct error *e, const char *format, ...)
{
    if (e != NULL) {
        char reason[128];
        openssl_reason(ERR_peek_error(), reason, sizeof reason);
        va_list args;
        va_start(args, format);
        set_text(e, format, args);
        va_end(args);
        size_t used = strlen(e->text);
        (void)snprintf(e->text + used, sizeof e->text - used, ": %s", reason);
    }
    ERR_clear_error();
}

void report(const char *format, ...)
{
    char line[1024];
    int start = snprintf(line, sizeof line, "%.100s: ", report_program());
    size_t used = start < 0 ? 0 : (size_t)start;

    va_list args;
    va_start(args, format);
    int body = vsnprintf(line + used, sizeof line - used - 1, format, args);
    va_end(args);
    if (body > 0)
        used += (size_t)body < sizeof line - used - 1 ? (size_t)body : sizeof line - used - 2;
    line[used++] = '\n';

    ssize_t written;
    do {
        written = write(STDERR_FILENO, line, used);
    } while (written < 0 && errno == EINTR);
}
