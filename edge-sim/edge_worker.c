#include "edge-sim/edge_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/async.h>

#include "common/log.h"
#include "edge-sim/edge_internal.h"

#define ACCEPTS_PER_WAKE 32
#define LISTEN_PAUSE_MS  50

static struct timeval after_ms(unsigned ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

static void pause_listening(struct edge_worker *worker)
{
    struct timeval tv = after_ms(LISTEN_PAUSE_MS);
    (void)event_del(worker->listener);
    (void)event_add(worker->listen_again, &tv);
}

static void on_listen_again(evutil_socket_t fd, short what, void *arg)
{
    struct edge_worker *worker = arg;
    (void)fd;
    (void)what;
    if (!worker->draining)
        (void)event_add(worker->listener, NULL);
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    struct edge_worker *worker = arg;
    struct edge_shared *shared = worker->shared;
    (void)what;
    for (unsigned i = 0; i < ACCEPTS_PER_WAKE; i++) {
        // At the limit the rest waits in the kernel's queue: nobody is accepted only to be turned away.
        if (atomic_fetch_add(&shared->connections, 1) >= shared->max_connections) {
            shared->connections--;
            pause_listening(worker);
            return;
        }
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            shared->connections--;
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                log_warn("accept_failed", "reason=\"%s\"", strerror(errno));
                pause_listening(worker);
            }
            return;
        }
        shared->accepted++;
        edge_conn_accept(worker, fd);
    }
}

static void end_if_empty(struct edge_worker *worker)
{
    if (worker->draining && worker->conns == NULL)
        (void)event_base_loopbreak(worker->base);
}

void edge_worker_forget(struct edge_conn *conn)
{
    struct edge_worker *worker = conn->worker;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    *(conn->prev != NULL ? &conn->prev->next : &worker->conns) = conn->next;
    worker->shared->connections--;
    end_if_empty(worker);
}

static void close_all(struct edge_worker *worker, bool idle_only)
{
    for (struct edge_conn *conn = worker->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        if (!idle_only || edge_http_idle(conn))
            edge_conn_close(conn);
        else
            conn->last = true;
    }
}

static void on_drain_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    close_all(arg, false);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct edge_worker *worker = arg;
    uint64_t rings;
    (void)what;
    (void)!read(fd, &rings, sizeof rings);
    if (worker->draining)
        return;
    worker->draining = true;
    (void)event_del(worker->listener);
    (void)event_del(worker->listen_again);
    struct timeval tv = after_ms(worker->drain_ms);
    (void)event_add(worker->drain_timer, &tv);
    close_all(worker, true);
    end_if_empty(worker);
}

static void *run(void *arg)
{
    struct edge_worker *worker = arg;
    (void)event_base_loop(worker->base, EVLOOP_NO_EXIT_ON_EMPTY);
    (void)event_base_loop(worker->base, EVLOOP_NONBLOCK); // connections are freed by a later round of the loop
    ASYNC_cleanup_thread(); // the stacks of handshake jobs
    return NULL;
}

static void free_worker(struct edge_worker *worker)
{
    struct event *events[] = {worker->listener, worker->listen_again, worker->wake, worker->drain_timer};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i] != NULL)
            event_free(events[i]);
    if (worker->base != NULL)
        event_base_free(worker->base);
    if (worker->wake_fd >= 0)
        (void)close(worker->wake_fd);
    free(worker);
}

static bool set_up(struct edge_worker *worker)
{
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    worker->base = event_base_new();
    if (worker->wake_fd < 0 || worker->base == NULL)
        return false;
    worker->listener =
        event_new(worker->base, worker->shared->listen_fd, EV_READ | EV_PERSIST, on_accept, worker);
    worker->listen_again = event_new(worker->base, -1, 0, on_listen_again, worker);
    worker->wake = event_new(worker->base, worker->wake_fd, EV_READ | EV_PERSIST, on_wake, worker);
    worker->drain_timer = event_new(worker->base, -1, 0, on_drain_over, worker);
    return worker->listener != NULL && worker->listen_again != NULL && worker->wake != NULL &&
           worker->drain_timer != NULL && event_add(worker->listener, NULL) == 0 &&
           event_add(worker->wake, NULL) == 0;
}

struct edge_worker *edge_worker_start(struct edge_shared *shared, struct error *e)
{
    struct edge_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL) {
        error_set(e, "worker: no memory");
        return NULL;
    }
    worker->shared = shared;
    int rc = set_up(worker) ? pthread_create(&worker->thread, NULL, run, worker) : errno;
    if (rc != 0 || worker->base == NULL) {
        error_set(e, "worker: %s", strerror(rc));
        free_worker(worker);
        return NULL;
    }
    return worker;
}

void edge_worker_drain(struct edge_worker *worker, unsigned drain_ms)
{
    uint64_t one = 1;
    worker->drain_ms = drain_ms;
    (void)!write(worker->wake_fd, &one, sizeof one);
}

void edge_worker_join(struct edge_worker **workerp)
{
    if (*workerp == NULL)
        return;
    (void)pthread_join((*workerp)->thread, NULL);
    free_worker(*workerp);
    *workerp = NULL;
}
