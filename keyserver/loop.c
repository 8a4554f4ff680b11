#include "keyserver/loop.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/log.h"
#include "common/thread_share.h"
#include "common/thread_signals.h"
#include "keyserver/audit.h"
#include "keyserver/conn.h"
#include "keyserver/peer.h"
#include "keyserver/server.h"

#define FREE_OPS_MAX 1024

struct keyop *loop_take_op(struct loop *loop)
{
    struct keyop *op = loop->free_ops;
    if (op != NULL) {
        loop->free_ops = op->next;
        loop->free_count--;
    } else if ((op = malloc(sizeof *op)) == NULL) {
        return NULL;
    }
    // The two big buffers need no zeroing: their lengths say what is in them.
    memset(op, 0, offsetof(struct keyop, request));
    memset(&op->request, 0, offsetof(struct ski_request, input));
    op->output_len = 0;
    op->loop = loop;
    return op;
}

void loop_release_op(struct loop *loop, struct keyop *op)
{
    OPENSSL_cleanse(op->output, op->output_len);
    if (op->in_edge)
        edge_end(op->peer->account);
    peer_unref(&op->peer);
    if (loop->free_count >= FREE_OPS_MAX) {
        free(op);
        return;
    }
    op->next = loop->free_ops;
    loop->free_ops = op;
    loop->free_count++;
}

// Lock held; true: the caller writes the eventfd after unlocking.
static bool must_wake(struct loop *loop)
{
    loop->mail = true;
    return !atomic_exchange_explicit(&loop->awake, true, memory_order_relaxed);
}

static void wake(struct loop *loop)
{
    const uint64_t one = 1;
    ssize_t n;
    do
        n = write(loop->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

bool loop_accept(struct loop *loop, int fd, const struct net_addr *addr, bool migration)
{
    struct accepted *a = malloc(sizeof *a);
    if (a == NULL)
        return false;
    a->fd = fd;
    a->migration = migration;
    a->addr = *addr;
    (void)pthread_mutex_lock(&loop->lock);
    a->next = NULL;
    *loop->accepted_tail = a;
    loop->accepted_tail = &a->next;
    (void)atomic_fetch_add_explicit(&loop->conn_count, 1, memory_order_relaxed);
    bool asleep = must_wake(loop);
    (void)pthread_mutex_unlock(&loop->lock);
    if (asleep)
        wake(loop);
    return true;
}

// Puts those of the operations in `left` (a bit each) that are its own into the loop's mailbox. Returns the others.
static uint64_t complete_own(struct loop *loop, struct keyop *const *ops, uint64_t left)
{
    uint64_t others = 0;
    (void)pthread_mutex_lock(&loop->lock);
    for (unsigned i = 0; left >> i != 0; i++) {
        uint64_t bit = (uint64_t)1 << i;
        if ((left & bit) == 0)
            continue;
        if (ops[i]->loop != loop) {
            others |= bit;
            continue;
        }
        ops[i]->next = NULL;
        *loop->completed_tail = ops[i];
        loop->completed_tail = &ops[i]->next;
    }
    bool asleep = must_wake(loop);
    (void)pthread_mutex_unlock(&loop->lock);
    if (asleep)
        wake(loop);
    return others;
}

void loop_complete_all(struct keyop *const *ops, size_t count)
{
    uint64_t left = ((uint64_t)1 << count) - 1;
    while (left != 0)
        left = complete_own(ops[__builtin_ctzll(left)]->loop, ops, left);
}

static void order(struct loop *loop, bool *flag)
{
    (void)pthread_mutex_lock(&loop->lock);
    *flag = true;
    bool asleep = must_wake(loop);
    (void)pthread_mutex_unlock(&loop->lock);
    if (asleep)
        wake(loop);
}

void loop_drain(struct loop *loop, bool drain)
{
    (void)pthread_mutex_lock(&loop->lock);
    loop->to_drain = drain;
    (void)pthread_mutex_unlock(&loop->lock);
    order(loop, &loop->drain_asked);
}

void loop_ask(struct loop *loop)
{
    pulse_ask(&loop->pulse);
    if (pthread_mutex_trylock(&loop->lock) != 0)
        return;
    bool asleep = must_wake(loop);
    (void)pthread_mutex_unlock(&loop->lock);
    if (asleep)
        wake(loop);
}

void loop_shed(struct loop *loop)
{
    order(loop, &loop->shed_asked);
}

void loop_recheck(struct loop *loop)
{
    order(loop, &loop->recheck_asked);
}

static void finish_op(struct loop *loop, struct keyop *op)
{
    if (!server_account(loop->server, op))
        return; // it comes back when its audit line is written
    if (op->conn != NULL) {
        op->done = true;
        conn_mark_ready(op->conn);
    } else {
        loop_release_op(loop, op); // its connection is gone
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;
    (void)what;
    (void)arg;
    (void)!read(fd, &count, sizeof count);
}

// True: connections are to be drained.
static bool take_mailbox(struct loop *loop)
{
    (void)pthread_mutex_lock(&loop->lock);
    struct keyop *completed = loop->completed;
    if (loop->accepted != NULL) {
        *loop->opening_tail = loop->accepted;
        loop->opening_tail = loop->accepted_tail;
        loop->accepted = NULL;
        loop->accepted_tail = &loop->accepted;
    }
    bool look = loop->drain_asked, shed = loop->shed_asked, recheck = loop->recheck_asked;
    loop->mail = false;
    loop->stopping = loop->stop_asked;
    loop->shed_asked = loop->recheck_asked = loop->drain_asked = false;
    loop->draining = loop->to_drain;
    loop->completed = NULL;
    loop->completed_tail = &loop->completed;
    (void)pthread_mutex_unlock(&loop->lock);

    while (completed != NULL) {
        struct keyop *op = completed;
        completed = op->next;
        finish_op(loop, op);
    }
    if (recheck)
        conn_recheck(loop);
    if (shed)
        conn_shed(loop);
    return look && loop->draining;
}

// Whether there is nothing to do until an event comes; from then on senders wake the loop.
static bool may_sleep(struct loop *loop)
{
    if (loop->turns.first != NULL || loop->handshakes.count > 0 || loop->opening != NULL)
        return false;
    (void)pthread_mutex_lock(&loop->lock);
    bool empty = !loop->mail;
    if (empty)
        atomic_store_explicit(&loop->awake, false, memory_order_relaxed);
    (void)pthread_mutex_unlock(&loop->lock);
    return empty;
}

static void *loop_thread(void *arg)
{
    thread_share_prompt();
    struct loop *loop = arg;
    while (!loop->stopping) {
        int flags = may_sleep(loop) ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK;
        (void)event_base_loop(loop->base, flags);
        bool drain = take_mailbox(loop);
        conn_run_ready(loop);
        if (drain)
            conn_drain_all(loop);
        conn_run_handshakes(loop);
        pulse_answer(&loop->pulse);
    }
    conn_drop_all(loop);
    return NULL;
}

static void release(struct loop *loop)
{
    while (loop->free_ops != NULL) {
        struct keyop *op = loop->free_ops;
        loop->free_ops = op->next;
        free(op);
    }
    if (loop->wake_event != NULL)
        event_free(loop->wake_event);
    if (loop->base != NULL)
        event_base_free(loop->base);
    if (loop->wake_fd >= 0)
        (void)close(loop->wake_fd);
    (void)pthread_mutex_destroy(&loop->lock);
}

bool loop_start(struct loop *loop, struct server *server, unsigned number, struct error *e)
{
    memset(loop, 0, sizeof *loop);
    loop->server = server;
    loop->completed_tail = &loop->completed;
    conn_turns_init(&loop->turns);
    conn_queue_init(&loop->handshakes);
    loop->accepted_tail = &loop->accepted;
    loop->opening_tail = &loop->opening;
    (void)pthread_mutex_init(&loop->lock, NULL);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->base = event_base_new();
    if (loop->wake_fd >= 0 && loop->base != NULL)
        loop->wake_event = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);

    int rc = -1;
    if (loop->wake_event != NULL && event_add(loop->wake_event, NULL) == 0) {
        sigset_t old;
        thread_signals_block(&old);
        rc = pthread_create(&loop->thread, NULL, loop_thread, loop);
        thread_signals_restore(&old);
    }
    if (rc != 0) {
        error_set(e, "I/O thread %u: %s", number, rc > 0 ? strerror(rc) : "cannot make its event loop");
        release(loop);
        return false;
    }
    (void)pthread_setname_np(loop->thread, "ks-io");
    return true;
}

// What has come since the loop's last turn, and what waits for the audit log now.
static struct keyop *take_late(struct loop *loop)
{
    audit_flush(loop->server->audit);
    (void)pthread_mutex_lock(&loop->lock);
    struct keyop *op = loop->completed;
    loop->completed = NULL;
    loop->completed_tail = &loop->completed;
    (void)pthread_mutex_unlock(&loop->lock);
    return op;
}

static void close_all(struct loop *loop, struct accepted *a)
{
    while (a != NULL) {
        struct accepted *next = a->next;
        (void)atomic_fetch_sub_explicit(&loop->conn_count, 1, memory_order_relaxed);
        server_conn_closed(loop->server, &a->addr, a->migration);
        (void)close(a->fd);
        free(a);
        a = next;
    }
}

void loop_stop(struct loop *loop)
{
    order(loop, &loop->stop_asked);
    (void)pthread_join(loop->thread, NULL);
    // What the pool finished after the loop's last turn; and once more what waits for its audit line.
    for (struct keyop *op; (op = take_late(loop)) != NULL;)
        while (op != NULL) {
            struct keyop *next = op->next;
            if (server_account(loop->server, op))
                loop_release_op(loop, op);
            op = next;
        }
    close_all(loop, loop->opening);
    close_all(loop, loop->accepted);
    release(loop);
}
