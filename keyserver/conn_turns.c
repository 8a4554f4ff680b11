#include "keyserver/conn_turns.h"

#include "keyserver/conn_internal.h"

void conn_queue_init(struct conn_queue *queue)
{
    *queue = (struct conn_queue){.last = &queue->first};
}

void conn_enqueue(struct conn *c, struct conn_queue *queue)
{
    if (c->queue != NULL)
        return;
    c->queue = queue;
    c->next_queued = NULL;
    c->queue_link = queue->last;
    *queue->last = c;
    queue->last = &c->next_queued;
    queue->count++;
}

void conn_dequeue(struct conn *c)
{
    struct conn_queue *queue = c->queue;
    if (queue == NULL)
        return;
    *c->queue_link = c->next_queued;
    if (c->next_queued != NULL)
        c->next_queued->queue_link = c->queue_link;
    else
        queue->last = c->queue_link;
    c->queue = NULL;
    queue->count--;
}

void conn_turns_init(struct conn_turns *turns)
{
    *turns = (struct conn_turns){.last = &turns->first};
    for (size_t i = 0; i < CONN_FLOWS; i++)
        conn_queue_init(&turns->flow[i].queue);
}

static void wait_for_turn(struct conn_turns *turns, struct conn_flow *flow)
{
    flow->in_turn = true;
    flow->next = NULL;
    *turns->last = flow;
    turns->last = &flow->next;
}

void conn_turns_add(struct conn_turns *turns, struct conn *c, uint32_t flow)
{
    struct conn_flow *f = &turns->flow[flow % CONN_FLOWS];
    if (c->queue != NULL)
        return;
    conn_enqueue(c, &f->queue);
    if (!f->in_turn)
        wait_for_turn(turns, f);
}

struct conn *conn_turns_next(struct conn_turns *turns)
{
    struct conn *c = NULL;
    while (c == NULL && turns->first != NULL) {
        struct conn_flow *flow = turns->first;
        turns->first = flow->next;
        if (turns->first == NULL)
            turns->last = &turns->first;
        flow->in_turn = false;
        c = flow->queue.first;
        if (c != NULL)
            conn_dequeue(c);
        if (flow->queue.first != NULL)
            wait_for_turn(turns, flow);
    }
    return c;
}
