#include "tests/bench/redis/respload_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "edge-sim/lookup_reply.h"
#include "tests/bench/redis/respload_loop.h"

#define VALUE_SLACK 4096u // a wrong value may be longer than ours

uint64_t respload_share(uint64_t total, unsigned index, unsigned threads)
{
    return total / threads + (index < total % threads ? 1 : 0);
}

static uint64_t limit_of(const struct respload_loop *loop, unsigned index)
{
    const struct respload_run *run = loop->run;
    if (run->operation == RESPLOAD_LOAD)
        return loop->draw.end - loop->draw.first;
    return run->operations != 0 ? respload_share(run->operations, index, run->threads) : UINT64_MAX;
}

static bool connect_all(struct respload_loop *loop, struct error *e)
{
    for (unsigned i = 0; i < loop->conn_count; i++) {
        struct respload_conn *conn = &loop->conns[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
        if (!respload_conn_open(conn, &loop->run->server, loop->run->pipeline, loop->command_max,
                                loop->value_max + LOOKUP_LINE_MAX, e))
            return false;
        if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
            error_set(e, "epoll: %s", strerror(errno));
            return false;
        }
        loop->open++;
    }
    return true;
}

static void *work(void *arg)
{
    struct respload_worker *worker = arg;
    struct error e = {{0}};
    // the slack of sleeping, 50 us if nothing is said, would be in every latency of an open loop
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    worker->connected = connect_all(worker->loop, &e);
    if (!worker->connected)
        respload_note_trouble(worker->loop, e.text);
    (void)pthread_barrier_wait(&worker->run->gate);
    (void)pthread_barrier_wait(&worker->run->gate);
    if (worker->connected && worker->run->start_ns != 0)
        respload_loop_run(worker->loop);
    return NULL;
}

static void destroy_loop(struct respload_loop **loop_ptr)
{
    struct respload_loop *loop = *loop_ptr;
    if (loop == NULL)
        return;
    for (unsigned i = 0; loop->conns != NULL && i < loop->conn_count; i++)
        respload_conn_release(&loop->conns[i]);
    if (loop->epoll >= 0)
        (void)close(loop->epoll);
    free(loop->conns);
    free(loop->in);
    free(loop);
    *loop_ptr = NULL;
}

static struct respload_loop *create_loop(struct respload_worker *worker)
{
    struct respload_run *run = worker->run;
    struct respload_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return NULL;
    loop->run = run;
    loop->worker = worker;
    loop->counts = &worker->counts;
    loop->conn_count = (unsigned)respload_share(run->connections, worker->index, run->threads);
    loop->command_max = respload_command_max(run->form);
    loop->value_max = run->form->value_bytes + VALUE_SLACK;
    loop->in_capacity = loop->value_max + LOOKUP_LINE_MAX + RESPLOAD_READ_BYTES;
    loop->random.state = ~run->seed ^ (uint64_t)worker->index << 32;
    workload_draw_init(&loop->draw, run->form->space,
                       run->operation == RESPLOAD_LOAD ? WORKLOAD_SEQUENTIAL : run->order, worker->index,
                       run->threads, run->seed);
    loop->limit = limit_of(loop, worker->index);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->conns = calloc(loop->conn_count, sizeof *loop->conns);
    loop->in = malloc(loop->in_capacity);
    if (loop->epoll < 0 || loop->conns == NULL || loop->in == NULL)
        destroy_loop(&loop);
    return loop;
}

bool respload_worker_start(struct respload_worker *worker, struct respload_run *run, unsigned index,
                           struct error *e)
{
    *worker = (struct respload_worker){.run = run, .index = index};
    worker->latency[RESPLOAD_READ] = histogram_create();
    worker->latency[RESPLOAD_WRITE] = histogram_create();
    worker->loop = create_loop(worker);
    int error = ENOMEM;
    if (worker->latency[RESPLOAD_READ] != NULL && worker->latency[RESPLOAD_WRITE] != NULL &&
        worker->loop != NULL)
        error = pthread_create(&worker->thread, NULL, work, worker);
    if (error == 0)
        return true;
    error_set(e, "thread: %s", strerror(error));
    respload_worker_release(worker);
    return false;
}

void respload_worker_join(struct respload_worker *worker)
{
    (void)pthread_join(worker->thread, NULL);
}

void respload_worker_release(struct respload_worker *worker)
{
    destroy_loop(&worker->loop);
    for (unsigned kind = 0; kind < RESPLOAD_KINDS; kind++)
        histogram_destroy(&worker->latency[kind]);
}
