#include "keyserver/fair_queue.h"

void fair_queue_init(struct fair_queue *q)
{
    *q = (struct fair_queue){.last = &q->first};
    for (size_t i = 0; i < FAIR_FLOWS; i++)
        q->flow[i].tail = &q->flow[i].head;
}

static void wait_for_turn(struct fair_queue *q, struct fair_flow *flow)
{
    flow->next = NULL;
    *q->last = flow;
    q->last = &flow->next;
}

void fair_queue_push(struct fair_queue *q, struct keyop *op)
{
    struct fair_flow *flow = &q->flow[op->flow % FAIR_FLOWS];
    op->next = NULL;
    *flow->tail = op;
    flow->tail = &op->next;
    if (flow->count++ == 0) {
        wait_for_turn(q, flow);
        q->flows++;
    }
    q->count++;
}

struct keyop *fair_queue_pop(struct fair_queue *q)
{
    struct fair_flow *flow = q->first;
    struct keyop *op = flow->head;
    q->first = flow->next;
    if (q->first == NULL)
        q->last = &q->first;
    flow->head = op->next;
    if (flow->head == NULL)
        flow->tail = &flow->head;
    if (--flow->count > 0)
        wait_for_turn(q, flow);
    else
        q->flows--;
    q->count--;
    op->next = NULL;
    return op;
}

const struct keyop *fair_queue_head(const struct fair_queue *q)
{
    return q->first->head;
}

size_t fair_queue_flow(const struct fair_queue *q, const struct keyop *op)
{
    return q->flow[op->flow % FAIR_FLOWS].count;
}
