#include "common/notify.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/thread_signals.h"

#define MESSAGE_MAX 512
#define EXTEND_S    30

static struct {
    int fd; // 0: nobody listens
    struct sockaddr_un addr;
    socklen_t addr_len;
    uint64_t watchdog_us;
} manager;

static struct {
    bool running, end;
    pthread_t thread;
    pthread_mutex_t lock; // guards `end`
    pthread_cond_t ended;
} work = {.lock = PTHREAD_MUTEX_INITIALIZER};

// ---- setup

// "/path", or "@name" for one without a path.
static bool parse_address(const char *text, struct error *e)
{
    size_t len = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || len < 2 || len >= sizeof manager.addr.sun_path) {
        error_set(e, "NOTIFY_SOCKET: found %.200s, expected /PATH or @NAME", text);
        return false;
    }
    manager.addr.sun_family = AF_UNIX;
    memcpy(manager.addr.sun_path, text, len + 1);
    manager.addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (text[0] == '@')
        manager.addr.sun_path[0] = '\0';
    else
        manager.addr_len++;
    return true;
}

static bool read_number(const char *name, uint64_t *number)
{
    const char *text = getenv(name);
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

// Meant for this process, or for whichever it is.
static uint64_t watchdog_of_environment(void)
{
    uint64_t pid, us;
    if (getenv("WATCHDOG_PID") != NULL && (!read_number("WATCHDOG_PID", &pid) || pid != (uint64_t)getpid()))
        return 0;
    return read_number("WATCHDOG_USEC", &us) ? us : 0;
}

bool notify_setup(struct error *e)
{
    const char *text = getenv("NOTIFY_SOCKET");
    if (text == NULL || text[0] == '\0')
        return true;
    if (!parse_address(text, e))
        return false;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        error_set(e, "NOTIFY_SOCKET: socket: %s", strerror(errno));
        return false;
    }
    manager.fd = fd;
    manager.watchdog_us = watchdog_of_environment();
    return true;
}

void notify_teardown(void)
{
    if (manager.fd > 0)
        (void)close(manager.fd);
    manager.fd = 0;
    manager.watchdog_us = 0;
}

bool notify_wanted(void)
{
    return manager.fd > 0;
}

uint64_t notify_watchdog_us(void)
{
    return manager.watchdog_us;
}

void notify_set_watchdog_us(uint64_t us)
{
    if (notify_wanted() && manager.watchdog_us == 0)
        manager.watchdog_us = us;
}

// ---- messages

static void send_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void send_message(const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list args;
    if (!notify_wanted())
        return;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        return;
    size_t size = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    (void)sendto(manager.fd, text, size, MSG_NOSIGNAL, (const struct sockaddr *)&manager.addr,
                 manager.addr_len);
}

void notify_ready(const char *status)
{
    send_message("READY=1\nSTATUS=%s", status);
}

void notify_reloading(void)
{
    send_message("RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
                 (unsigned long long)(clock_ns() / 1000));
}

void notify_stopping(const char *status)
{
    send_message("STOPPING=1\nSTATUS=%s", status);
}

void notify_status(const char *status)
{
    send_message("STATUS=%s", status);
}

void notify_alive(void)
{
    send_message("WATCHDOG=1");
}

void notify_main_pid(pid_t pid)
{
    send_message("MAINPID=%ld", (long)pid);
}

// ---- long work

static void *ask_for_time(void *arg)
{
    uint64_t at_ns = clock_ns();
    (void)arg;
    (void)pthread_mutex_lock(&work.lock);
    while (!work.end) {
        send_message("EXTEND_TIMEOUT_USEC=%u", EXTEND_S * 1000000u);
        at_ns += EXTEND_S / 2 * UINT64_C(1000000000);
        const struct timespec until = {.tv_sec = (time_t)(at_ns / 1000000000u),
                                       .tv_nsec = (long)(at_ns % 1000000000u)};
        while (!work.end && pthread_cond_timedwait(&work.ended, &work.lock, &until) != ETIMEDOUT)
            ;
    }
    (void)pthread_mutex_unlock(&work.lock);
    return NULL;
}

void notify_long_begin(const char *status)
{
    pthread_condattr_t monotonic;
    sigset_t before;
    if (!notify_wanted() || work.running)
        return;
    notify_status(status);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&work.ended, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    work.end = false;
    thread_signals_block(&before);
    work.running = pthread_create(&work.thread, NULL, ask_for_time, NULL) == 0;
    thread_signals_restore(&before);
    if (!work.running)
        (void)pthread_cond_destroy(&work.ended);
}

void notify_long_end(void)
{
    if (!work.running)
        return;
    (void)pthread_mutex_lock(&work.lock);
    work.end = true;
    (void)pthread_cond_signal(&work.ended);
    (void)pthread_mutex_unlock(&work.lock);
    (void)pthread_join(work.thread, NULL);
    (void)pthread_cond_destroy(&work.ended);
    work.running = false;
}
