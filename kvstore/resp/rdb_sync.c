#include "kvstore/resp/rdb_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "kvstore/resp/pool.h"

#define PIECE      ((size_t)256 * 1024)
#define ON_THE_WAY ((size_t)1024 * 1024) // at most, of one connection
#define PAUSE_US   5000
#define SIGN_MS    5000 // how often a peer that waits is told that we are alive

struct resp_sync {
    struct resp_shared *shared;
    struct resp_session *session; // guarded by saves->lock; NULL: it has ended
    uint64_t id;                  // of the session
    pthread_t thread;
    _Atomic bool done; // the thread is about to end
    uint64_t signed_ns;
    struct resp_sync *next; // guarded by saves->lock
};

// Bytes to the connection, or NULL to ask. False: it has ended, or the server ends.
static bool push(struct resp_sync *sync, const void *bytes, size_t len, size_t *on_the_way)
{
    struct resp_saves *saves = sync->shared->saves;
    (void)pthread_mutex_lock(&saves->lock);
    struct resp_session *session = sync->session;
    if (session != NULL && len != 0)
        session->push(session, bytes, len);
    if (session != NULL && on_the_way != NULL)
        *on_the_way = session->unsent(session);
    (void)pthread_mutex_unlock(&saves->lock);
    return session != NULL && !atomic_load(&saves->stop);
}

// Until at most so many bytes are on their way. The connection itself ends when its peer takes none for long.
static bool wait_for_room(struct resp_sync *sync, size_t most)
{
    size_t on_the_way = 0;
    while (push(sync, NULL, 0, &on_the_way)) {
        if (on_the_way <= most)
            return true;
        (void)usleep(PAUSE_US);
    }
    return false;
}

static bool give_sign(void *arg)
{
    struct resp_sync *sync = arg;
    uint64_t now_ns = clock_ns();
    bool due = now_ns - sync->signed_ns >= SIGN_MS * 1000000ull;
    if (due)
        sync->signed_ns = now_ns;
    return push(sync, "\n", due, NULL);
}

static int open_nameless(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/sync.XXXXXX", dir) >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static bool send_file(struct resp_sync *sync, int fd, uint8_t *piece, struct error *e)
{
    char head[32];
    off_t size = lseek(fd, 0, SEEK_END), at = 0;
    int len = snprintf(head, sizeof head, "$%" PRIu64 "\r\n", (uint64_t)size);
    bool good = push(sync, head, (size_t)len, NULL);
    while (good && at < size) {
        ssize_t n = pread(fd, piece, PIECE, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            error_set(e, "read: %s", n < 0 ? strerror(errno) : "the file is shorter than it was");
            return false;
        }
        at += n;
        good = wait_for_room(sync, ON_THE_WAY) && push(sync, piece, (size_t)n, NULL);
    }
    if (good && wait_for_room(sync, 0))
        return true;
    error_set(e, "the connection has ended");
    return false;
}

static bool transfer(struct resp_sync *sync, uint64_t *keys, struct error *e)
{
    const struct resp_saves *saves = sync->shared->saves;
    uint8_t *piece = malloc(PIECE);
    int fd = open_nameless(saves->dir);
    bool good = false;
    if (piece == NULL)
        error_set(e, "out of memory");
    else if (fd < 0)
        error_set(e, "%s: a temporary file: %s", saves->dir, strerror(errno));
    else
        good = resp_save_write(sync->shared, fd, give_sign, sync, keys, e) && send_file(sync, fd, piece, e);
    if (fd >= 0)
        (void)close(fd);
    if (piece != NULL)
        explicit_bzero(piece, PIECE);
    free(piece);
    return good;
}

static void *run(void *arg)
{
    struct resp_sync *sync = arg;
    struct resp_saves *saves = sync->shared->saves;
    struct error e;
    char quoted[256];
    uint64_t keys = 0;
    if (transfer(sync, &keys, &e))
        log_info("rdb_sent", "client=%llu keys=%llu", (unsigned long long)sync->id, (unsigned long long)keys);
    else
        log_warn("rdb_not_sent", "client=%llu error=%s", (unsigned long long)sync->id,
                 log_quote(e.text, quoted, sizeof quoted));
    (void)pthread_mutex_lock(&saves->lock);
    if (sync->session != NULL)
        sync->session->kill(sync->session);
    (void)pthread_mutex_unlock(&saves->lock);
    atomic_store(&sync->done, true);
    return NULL;
}

// Frees those whose threads are at their end. Returns how many are left. Under the lock.
static unsigned reap(struct resp_saves *saves)
{
    unsigned left = 0;
    for (struct resp_sync **at = &saves->syncs; *at != NULL;) {
        struct resp_sync *sync = *at;
        if (!atomic_load(&sync->done)) {
            at = &sync->next;
            left++;
            continue;
        }
        *at = sync->next;
        (void)pthread_join(sync->thread, NULL);
        free(sync);
    }
    return left;
}

static bool begin(struct resp_session *session, struct error *e)
{
    struct resp_saves *saves = session->shared->saves;
    for (const struct resp_sync *s = saves->syncs; s != NULL; s = s->next) {
        if (s->session == session) {
            error_set(e, "this connection is being sent one");
            return false;
        }
    }
    struct resp_sync *sync = NULL;
    if (reap(saves) >= RESP_SYNCS_MOST) {
        error_set(e, "%u are being sent already", RESP_SYNCS_MOST);
    } else if (atomic_load(&saves->stop) || (sync = calloc(1, sizeof *sync)) == NULL) {
        error_set(e, "no memory for it");
    } else {
        *sync = (struct resp_sync){.shared = session->shared,
                                   .session = session,
                                   .id = session->id,
                                   .signed_ns = clock_ns(),
                                   .next = saves->syncs};
        if (resp_thread_start(run, sync, &sync->thread) == 0) {
            saves->syncs = sync;
            session->replconf.sending = true;
            return true;
        }
        error_set(e, "no thread for it");
        free(sync);
    }
    return false;
}

bool resp_sync_begin(struct resp_session *session, struct error *e)
{
    struct resp_saves *saves = session->shared->saves;
    (void)pthread_mutex_lock(&saves->lock);
    bool begun = begin(session, e);
    (void)pthread_mutex_unlock(&saves->lock);
    return begun;
}

void resp_sync_forget(struct resp_session *session)
{
    struct resp_saves *saves = session->shared->saves;
    if (saves == NULL || !session->replconf.sending)
        return;
    (void)pthread_mutex_lock(&saves->lock);
    for (struct resp_sync *s = saves->syncs; s != NULL; s = s->next)
        if (s->session == session)
            s->session = NULL;
    (void)pthread_mutex_unlock(&saves->lock);
}

void resp_sync_end_all(struct resp_saves *saves)
{
    (void)pthread_mutex_lock(&saves->lock);
    struct resp_sync *all = saves->syncs;
    saves->syncs = NULL;
    (void)pthread_mutex_unlock(&saves->lock);
    while (all != NULL) {
        struct resp_sync *sync = all;
        all = sync->next;
        (void)pthread_join(sync->thread, NULL);
        free(sync);
    }
}
