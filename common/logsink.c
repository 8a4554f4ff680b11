// One producer side under a mutex (a critical section is one memcpy), one writer thread that writes whole
// batches straight out of the ring without holding the mutex: producers never overwrite bytes before `tail`
// has passed them.
//
// Positions count bytes since the start; a byte lies at position % capacity.
#include "common/logsink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/thread_signals.h"

#define STUCK_MS 1000 // how long a full pipe may hold up the writer before its lines count as lost

struct log_sink {
    char *path; // NULL: stderr
    size_t (*drop_line)(uint64_t count, char *buf, size_t len);
    _Atomic uint64_t dropped;
    pthread_t thread;

    pthread_mutex_t mutex; // guards all down to `stopping`
    pthread_cond_t work;   // the writer waits for it
    pthread_cond_t done;   // flushers wait for it
    uint64_t head, tail;   // accepted and written
    uint64_t taken;        // what the writer's present or last turn covers
    uint64_t unreported;   // dropped lines that no drop line has told yet
    bool notice_due;       // the writer should try to tell
    bool writer_waits;
    uint64_t turns_begun, turns_done; // of the writer; they differ while it works outside the mutex
    bool reopen;
    bool stopping;

    // The writer's alone.
    int fd;
    bool mid_line; // a failed write left half a line in the file

    size_t capacity;
    char ring[];
};

static size_t default_drop_line(uint64_t count, char *buf, size_t len)
{
    int n = snprintf(buf, len, "%" PRIu64 " lines lost", count);
    return n < 0 ? 0 : (size_t)n < len ? (size_t)n : len - 1;
}

static int open_path(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

static bool wait_writable(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    int rc;
    do {
        rc = poll(&pfd, 1, STUCK_MS);
    } while (rc < 0 && errno == EINTR);
    return rc > 0;
}

// Writes all of two pieces. Returns how many bytes went out; fewer than asked for means an error.
static size_t write_pieces(int fd, struct iovec piece[2])
{
    size_t total = 0;
    while (piece[0].iov_len + piece[1].iov_len > 0) {
        ssize_t n = writev(fd, piece, 2);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN && wait_writable(fd))
            continue;
        if (n <= 0)
            break;
        total += (size_t)n;
        for (int i = 0; i < 2 && n > 0; i++) {
            size_t step = (size_t)n < piece[i].iov_len ? (size_t)n : piece[i].iov_len;
            piece[i].iov_base = (char *)piece[i].iov_base + step;
            piece[i].iov_len -= step;
            n -= (ssize_t)step;
        }
    }
    return total;
}

static uint64_t count_newlines(const struct iovec piece[2])
{
    uint64_t count = 0;
    for (int i = 0; i < 2; i++) {
        const char *p = piece[i].iov_base, *end = p + piece[i].iov_len;
        while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
            count++;
            p++;
        }
    }
    return count;
}

// Ends the half line of an earlier failure, so that the next one starts clean.
static bool finish_line(struct log_sink *sink)
{
    if (sink->mid_line) {
        char newline = '\n';
        struct iovec piece[2] = {{&newline, 1}, {NULL, 0}};
        sink->mid_line = write_pieces(sink->fd, piece) != 1;
    }
    return !sink->mid_line;
}

// Writes [from, to) of the ring; returns how many lines were lost.
static uint64_t write_batch(struct log_sink *sink, uint64_t from, uint64_t to)
{
    size_t start = (size_t)(from % sink->capacity), len = (size_t)(to - from);
    size_t first = len < sink->capacity - start ? len : sink->capacity - start;
    struct iovec piece[2] = {{sink->ring + start, first}, {sink->ring, len - first}};
    if (len == 0)
        return 0;
    if (!finish_line(sink))
        return count_newlines(piece);
    size_t written = write_pieces(sink->fd, piece);
    if (written == len)
        return 0;
    sink->mid_line = written > 0 && sink->ring[(start + written - 1) % sink->capacity] != '\n';
    return count_newlines(piece);
}

// Tells how many lines are missing here. False when even that could not be written.
static bool write_notice(struct log_sink *sink, uint64_t count)
{
    char line[512];
    size_t len = sink->drop_line(count, line, sizeof line - 1);
    struct iovec piece[2] = {{line, 0}, {NULL, 0}};
    if (len >= sizeof line)
        len = sizeof line - 1;
    line[len++] = '\n';
    piece[0].iov_len = len;
    return finish_line(sink) && write_pieces(sink->fd, piece) == len;
}

// The old file stays in use when the new one cannot be opened.
static void reopen_file(struct log_sink *sink)
{
    if (sink->path == NULL)
        return;
    int fd = open_path(sink->path);
    if (fd < 0) {
        report("%s: reopen: %s", sink->path, strerror(errno));
        return;
    }
    (void)close(sink->fd);
    sink->fd = fd;
    sink->mid_line = false;
}

// Something is due that no turn has taken yet.
static bool has_work(const struct log_sink *sink)
{
    return sink->head != sink->taken || sink->notice_due || sink->reopen;
}

// One turn: takes what is there under the mutex, works without it, and settles the books under it.
static void take_turn(struct log_sink *sink)
{
    uint64_t from = sink->tail, to = sink->head, missing = sink->unreported;
    bool reopen = sink->reopen;
    sink->turns_begun++;
    sink->taken = to;
    sink->reopen = false;
    sink->notice_due = false;
    (void)pthread_mutex_unlock(&sink->mutex);

    if (reopen)
        reopen_file(sink);
    uint64_t lost = write_batch(sink, from, to);
    bool told = lost == 0 && missing > 0 && write_notice(sink, missing);

    (void)pthread_mutex_lock(&sink->mutex);
    sink->tail = to;
    sink->unreported += lost;
    if (told)
        sink->unreported -= missing;
    (void)atomic_fetch_add_explicit(&sink->dropped, lost, memory_order_relaxed);
    sink->turns_done++;
    (void)pthread_cond_broadcast(&sink->done);
}

static void *run_writer(void *arg)
{
    struct log_sink *sink = arg;
    (void)pthread_mutex_lock(&sink->mutex);
    for (;;) {
        if (has_work(sink)) {
            take_turn(sink);
        } else if (sink->stopping) {
            break;
        } else {
            sink->writer_waits = true;
            (void)pthread_cond_wait(&sink->work, &sink->mutex);
            sink->writer_waits = false;
        }
    }
    (void)pthread_mutex_unlock(&sink->mutex);
    return NULL;
}

// With the mutex held.
static void wake_writer(struct log_sink *sink)
{
    if (sink->writer_waits)
        (void)pthread_cond_signal(&sink->work);
}

// Signals are for the program's own threads.
static int start_writer(struct log_sink *sink)
{
    sigset_t before;
    thread_signals_block(&before);
    int rc = pthread_create(&sink->thread, NULL, run_writer, sink);
    thread_signals_restore(&before);
    return rc;
}

static void free_sink(struct log_sink *sink)
{
    if (sink->path != NULL && sink->fd >= 0)
        (void)close(sink->fd);
    free(sink->path);
    free(sink);
}

static struct log_sink *new_sink(const char *path, size_t ring_bytes, struct error *e)
{
    struct log_sink *sink = calloc(1, sizeof *sink + ring_bytes);
    if (sink == NULL) {
        error_set(e, "log: out of memory");
        return NULL;
    }
    sink->capacity = ring_bytes;
    sink->fd = STDERR_FILENO;
    if (path == NULL)
        return sink;
    sink->fd = -1;
    sink->path = strdup(path);
    if (sink->path != NULL)
        sink->fd = open_path(path);
    if (sink->fd >= 0)
        return sink;
    error_set(e, "%s: open: %s", path, strerror(errno));
    free_sink(sink);
    return NULL;
}

struct log_sink *log_sink_create(const char *path, size_t ring_bytes,
                                 size_t (*drop_line)(uint64_t count, char *buf, size_t len), struct error *e)
{
    struct log_sink *sink = new_sink(path, ring_bytes, e);
    if (sink == NULL)
        return NULL;
    sink->drop_line = drop_line != NULL ? drop_line : default_drop_line;
    (void)pthread_mutex_init(&sink->mutex, NULL);
    (void)pthread_cond_init(&sink->work, NULL);
    (void)pthread_cond_init(&sink->done, NULL);
    int rc = start_writer(sink);
    if (rc == 0)
        return sink;
    error_set(e, "log: start its thread: %s", strerror(rc));
    free_sink(sink);
    return NULL;
}

static void copy_in(struct log_sink *sink, const char *bytes, size_t len)
{
    size_t start = (size_t)(sink->head % sink->capacity);
    size_t first = len < sink->capacity - start ? len : sink->capacity - start;
    memcpy(sink->ring + start, bytes, first);
    memcpy(sink->ring, bytes + first, len - first);
    sink->head += len;
}

bool log_sink_write(struct log_sink *sink, const char *line, size_t len)
{
    (void)pthread_mutex_lock(&sink->mutex);
    bool fits = len < sink->capacity - (size_t)(sink->head - sink->tail);
    if (fits) {
        copy_in(sink, line, len);
        copy_in(sink, "\n", 1);
    } else {
        (void)atomic_fetch_add_explicit(&sink->dropped, 1, memory_order_relaxed);
        sink->unreported++;
        sink->notice_due = true;
    }
    wake_writer(sink);
    (void)pthread_mutex_unlock(&sink->mutex);
    return fits;
}

uint64_t log_sink_dropped(const struct log_sink *sink)
{
    return atomic_load_explicit(&sink->dropped, memory_order_relaxed);
}

void log_sink_reopen(struct log_sink *sink)
{
    (void)pthread_mutex_lock(&sink->mutex);
    sink->reopen = true;
    wake_writer(sink);
    (void)pthread_mutex_unlock(&sink->mutex);
}

// Each turn takes all that is due when it begins, so that later lines do not hold a flush up.
void log_sink_flush(struct log_sink *sink)
{
    (void)pthread_mutex_lock(&sink->mutex);
    uint64_t until = sink->turns_begun + (has_work(sink) ? 1 : 0);
    while (sink->turns_done < until)
        (void)pthread_cond_wait(&sink->done, &sink->mutex);
    (void)pthread_mutex_unlock(&sink->mutex);
}

void log_sink_destroy(struct log_sink **sink_ptr)
{
    struct log_sink *sink = *sink_ptr;
    if (sink == NULL)
        return;
    (void)pthread_mutex_lock(&sink->mutex);
    sink->stopping = true;
    (void)pthread_cond_signal(&sink->work);
    (void)pthread_mutex_unlock(&sink->mutex);
    (void)pthread_join(sink->thread, NULL);
    (void)pthread_cond_destroy(&sink->done);
    (void)pthread_cond_destroy(&sink->work);
    (void)pthread_mutex_destroy(&sink->mutex);
    free_sink(sink);
    *sink_ptr = NULL;
}
