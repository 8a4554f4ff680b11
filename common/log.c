// Lines are formatted by the thread that has something to say, on its own stack, and handed to the sink.
#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/logsink.h"

#define RING_BYTES ((size_t)1024 * 1024)
#define MAX_LINE   2048

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static _Atomic int current_level = LOG_LEVEL_INFO;

// Held for reading while a line is handed over, for writing while the sink changes, so that a teardown cannot
// pull the sink away from a thread that logs.
static pthread_rwlock_t sink_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct log_sink *sink;

static size_t clamp(int wanted, size_t len)
{
    if (wanted < 0 || len == 0)
        return 0;
    return (size_t)wanted < len ? (size_t)wanted : len - 1;
}

char *log_timestamp(char buf[static 28])
{
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(buf, 28, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(buf + used, 28 - used, ".%06ldZ", now.tv_nsec / 1000);
    return buf;
}

static size_t format_head(char *buf, size_t len, enum log_level level, const char *event)
{
    char when[28];
    return clamp(
        snprintf(buf, len, "%s %s %s %s", log_timestamp(when), level_names[level], report_program(), event),
        len);
}

// The sink's own line about lines that it lost.
static size_t format_drop_line(uint64_t count, char *buf, size_t len)
{
    size_t used = format_head(buf, len, LOG_LEVEL_WARN, "log_lines_lost");
    return used +
           clamp(snprintf(buf + used, len - used, " count=%llu", (unsigned long long)count), len - used);
}

bool log_setup(const char *program, enum log_level level, const char *path, struct error *e)
{
    report_set_program(program);
    struct log_sink *fresh = log_sink_create(path, RING_BYTES, format_drop_line, e);
    if (fresh == NULL)
        return false;
    log_set_level(level);
    (void)pthread_rwlock_wrlock(&sink_lock);
    struct log_sink *old = sink;
    sink = fresh;
    (void)pthread_rwlock_unlock(&sink_lock);
    log_sink_destroy(&old);
    return true;
}

void log_teardown(void)
{
    (void)pthread_rwlock_wrlock(&sink_lock);
    struct log_sink *old = sink;
    sink = NULL;
    (void)pthread_rwlock_unlock(&sink_lock);
    log_sink_destroy(&old);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

void log_reopen(void)
{
    (void)pthread_rwlock_rdlock(&sink_lock);
    if (sink != NULL)
        log_sink_reopen(sink);
    (void)pthread_rwlock_unlock(&sink_lock);
}

void log_flush(void)
{
    (void)pthread_rwlock_rdlock(&sink_lock);
    if (sink != NULL)
        log_sink_flush(sink);
    (void)pthread_rwlock_unlock(&sink_lock);
}

uint64_t log_dropped(void)
{
    (void)pthread_rwlock_rdlock(&sink_lock);
    uint64_t count = sink != NULL ? log_sink_dropped(sink) : 0;
    (void)pthread_rwlock_unlock(&sink_lock);
    return count;
}

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

// Copies text with control characters as \xHH; cuts to fit, never in the middle of an escape. Returns the new
// length.
static size_t append_escaped(char *buf, size_t used, size_t len, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        size_t need = is_control(*p) ? 4 : 1;
        if (used + need > len)
            break;
        if (need == 1) {
            buf[used++] = (char)*p;
        } else {
            const char escape[4] = {'\\', 'x', hex[*p >> 4], hex[*p & 15]};
            memcpy(buf + used, escape, sizeof escape);
            used += sizeof escape;
        }
    }
    return used;
}

static void write_stderr(char *line, size_t len)
{
    ssize_t n;
    line[len] = '\n';
    do {
        n = write(STDERR_FILENO, line, len + 1);
    } while (n < 0 && errno == EINTR);
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
    static const char cut[] = "...";
    if (level > log_get_level())
        return;
    int saved_errno = errno;
    char text[MAX_LINE], line[MAX_LINE + sizeof cut];
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (wanted < 0)
        text[0] = '\0';

    size_t used = format_head(line, MAX_LINE / 2, level, event);
    if (text[0] != '\0')
        line[used++] = ' ';
    used = append_escaped(line, used, MAX_LINE - 1, text);
    if (wanted >= (int)sizeof text || used >= MAX_LINE - 4) {
        memcpy(line + used, cut, sizeof cut - 1);
        used += sizeof cut - 1;
    }

    (void)pthread_rwlock_rdlock(&sink_lock);
    if (sink != NULL)
        (void)log_sink_write(sink, line, used);
    else
        write_stderr(line, used);
    (void)pthread_rwlock_unlock(&sink_lock);
    errno = saved_errno;
}

// The two-character escape of c, or 0.
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

char *log_quote(const char *text, char *buf, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    if (len < 3) {
        if (len > 0)
            buf[0] = '\0';
        return buf;
    }
    size_t used = 0, room = len - 2; // the closing quote and NUL
    buf[used++] = '"';
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        char escape[6] = {'\\', short_escape(*p), '0', '0', hex[*p >> 4], hex[*p & 15]};
        size_t need = escape[1] != 0 ? 2 : is_control(*p) || *p >= 0x80 ? 6 : 1;
        if (used + need > room)
            break;
        if (need == 6)
            escape[1] = 'u';
        if (need == 1)
            buf[used++] = (char)*p;
        else
            memcpy(buf + used, escape, need), used += need;
    }
    buf[used++] = '"';
    buf[used] = '\0';
    return buf;
}
