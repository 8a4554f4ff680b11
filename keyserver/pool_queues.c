#include "keyserver/pool_queues.h"

#define FAST_SHARE      8
#define DEPTH_PER_TAKEN 4 // operations that wait per thread for each one taken
// An edge may have so many times the room waiting that is left in its queue: nine tenths if it is alone, and two that both send too
// much 0.47 each.
#define FLOW_SHARE 9
// Operations that may hold their keys: enough for full batches also of the size that comes seldom. They hold secret
// memory, some 8 KB each.
#define AHEAD        128
#define AHEAD_THREAD 32 // and so many more for each thread

void pool_queues_init(struct pool_queues *q, const struct pool_options *options)
{
    *q = (struct pool_queues){.options = options};
    admission_init(&q->admission, options->threads, options->target_ns);
    for (int k = 0; k < POOL_KINDS; k++)
        fair_queue_init(&q->kinds[k]);
    for (int s = 0; s < ENGINE_SIZES; s++)
        fair_queue_init(&q->ready[s].queue);
}

// Operations of a kind that wait, at any stage.
static size_t waiting_of(const struct pool_queues *q, enum pool_kind kind)
{
    return q->kinds[kind].count + (kind == POOL_SLOW ? q->ready_count + q->finding : 0);
}

// Its own edge's, and with each of them one of every other edge.
static size_t in_turn(const struct fair_queue *q, const struct keyop *op)
{
    size_t turns = (fair_queue_flow(q, op) + 1) * q->flows;
    return turns < q->count ? turns : q->count;
}

// How many operations of a kind will be computed before this one.
static size_t in_front_of(const struct pool_queues *q, const struct keyop *op, enum pool_kind kind)
{
    size_t n = in_turn(&q->kinds[kind], op);
    for (int s = 0; kind == POOL_SLOW && s < ENGINE_SIZES; s++)
        n += in_turn(&q->ready[s].queue, op);
    return n;
}

// Its edge has nothing else waiting.
static bool is_first(const struct pool_queues *q, const struct keyop *op, enum pool_kind kind)
{
    size_t own = fair_queue_flow(&q->kinds[kind], op);
    for (int s = 0; kind == POOL_SLOW && s < ENGINE_SIZES; s++)
        own += fair_queue_flow(&q->ready[s].queue, op);
    return own == 0;
}

static bool is_worth_waiting(struct pool_queues *q, const struct keyop *op, enum pool_kind kind,
                             size_t waiting)
{
    uint64_t left_ns = op->deadline_ns > op->received_ns ? op->deadline_ns - op->received_ns : 0;
    return !q->options->admission ||
           admission_admits(&q->admission, kind, op->received_ns, waiting, in_front_of(q, op, kind),
                            is_first(q, op, kind), left_ns);
}

bool pool_queues_put(struct pool_queues *q, struct keyop *op, enum pool_kind kind)
{
    size_t waiting = waiting_of(q, kind);
    op->busy = KEYOP_NOT_BUSY;
    if (waiting >= q->options->queue_limit ||
        fair_queue_flow(&q->kinds[kind], op) >= FLOW_SHARE * (q->options->queue_limit - waiting))
        op->busy = KEYOP_QUEUE_FULL;
    else if (!is_worth_waiting(q, op, kind, waiting))
        op->busy = KEYOP_QUEUE_LONG;
    if (op->busy != KEYOP_NOT_BUSY)
        return false;
    fair_queue_push(&q->kinds[kind], op);
    return true;
}

void pool_queues_put_ready(struct pool_queues *q, struct keyop *op, unsigned size, uint64_t now_ns)
{
    op->ready_ns = now_ns;
    engine_rate_note(&q->ready[size].rate, now_ns);
    fair_queue_push(&q->ready[size].queue, op);
    q->ready_count++;
    q->finding--;
}

void pool_queues_found(struct pool_queues *q, size_t count, uint64_t now_ns)
{
    q->finding -= count;
    if (q->options->admission && count > 0)
        admission_note_taken(&q->admission, POOL_SLOW, now_ns, count, waiting_of(q, POOL_SLOW));
}

size_t pool_queues_waiting(const struct pool_queues *q)
{
    return q->kinds[POOL_FAST].count + q->kinds[POOL_SLOW].count + q->ready_count;
}

static void take(struct fair_queue *q, size_t count, enum pool_turn_kind kind, struct pool_turn *turn)
{
    turn->kind = kind;
    turn->count = count;
    for (size_t i = 0; i < count; i++)
        turn->ops[i] = fair_queue_pop(q);
}

// One operation while the queue is short, more when each thread has many waiting: those wait long anyway, and
// what is handed back together costs the loop one wake-up (measured on two cores, RSA-2048 at saturation: one by
// one, waking and switching took a tenth of the machine). Never more than leaves as much for each of the other
// threads.
static void take_share(struct pool_queues *q, enum pool_kind kind, enum pool_turn_kind what,
                       struct pool_turn *turn)
{
    size_t share = q->kinds[kind].count / q->options->threads / DEPTH_PER_TAKEN;
    size_t n = share < q->options->batch[kind] ? share : q->options->batch[kind];
    take(&q->kinds[kind], n > 0 ? n : 1, what, turn);
}

static bool may_find(const struct pool_queues *q)
{
    return q->kinds[POOL_SLOW].count > 0 &&
           q->ready_count + q->finding < AHEAD + (size_t)q->options->threads * AHEAD_THREAD;
}

static struct engine_choice choose(const struct pool_queues *q, unsigned size, uint64_t now_ns,
                                   unsigned spare, bool stop)
{
    const struct fair_queue *ready = &q->ready[size].queue;
    const uint64_t ready_ns = fair_queue_head(ready)->ready_ns;
    const struct engine_load load = {
        .waiting = ready->count < UINT32_MAX ? (unsigned)ready->count : UINT32_MAX,
        .spare = spare,
        .waited_ns = now_ns > ready_ns ? now_ns - ready_ns : 0,
        .gap_ns = engine_rate_gap(&q->ready[size].rate, now_ns),
        .limit_ns = stop ? 0 : q->options->fill_wait_ns,
    };
    return q->options->choose(q->options->arg, size, &load);
}

// Of the sizes that have something to be done now, the one whose head has waited longest: sizes that are asked for
// seldom do not starve, and while their turn comes they gather.
static bool take_ready(struct pool_queues *q, uint64_t now_ns, unsigned spare, bool stop,
                       struct pool_turn *turn)
{
    struct engine_choice best = {.way = ENGINE_WAIT};
    struct fair_queue *from = NULL;
    for (unsigned size = 0; size < ENGINE_SIZES; size++) {
        struct fair_queue *ready = &q->ready[size].queue;
        if (ready->count == 0)
            continue;
        struct engine_choice choice = choose(q, size, now_ns, spare, stop);
        if (choice.way == ENGINE_WAIT) {
            if (turn->wait_ns == 0 || choice.wait_ns < turn->wait_ns)
                turn->wait_ns = choice.wait_ns;
        } else if (from == NULL || fair_queue_head(ready)->ready_ns < fair_queue_head(from)->ready_ns) {
            from = ready;
            best = choice;
        }
    }
    if (from == NULL)
        return false;
    q->ready_count -= best.count;
    take(from, best.count, best.way == ENGINE_BATCH ? POOL_TURN_BATCH : POOL_TURN_RUN, turn);
    return true;
}

static bool take_slow(struct pool_queues *q, uint64_t now_ns, unsigned spare, bool stop,
                      struct pool_turn *turn)
{
    if (q->options->find == NULL) {
        if (q->kinds[POOL_SLOW].count > 0)
            take_share(q, POOL_SLOW, POOL_TURN_RUN, turn);
        return turn->kind != POOL_TURN_NONE;
    }
    if (may_find(q)) {
        take_share(q, POOL_SLOW, POOL_TURN_FIND, turn);
        q->finding += turn->count;
        return true;
    }
    return take_ready(q, now_ns, spare, stop, turn);
}

// What leaves the slow queue with its key leaves when it is computed; without an engine, or when its looking up showed that it
// has no batches, when it was looked up.
static void note_taken(struct pool_queues *q, uint64_t now_ns, const struct pool_turn *turn)
{
    if (q->options->admission && turn->kind != POOL_TURN_NONE && turn->kind != POOL_TURN_FIND)
        admission_note_taken(&q->admission, turn->from, now_ns, turn->count, waiting_of(q, turn->from));
}

void pool_queues_next(struct pool_queues *q, uint64_t now_ns, unsigned spare, bool after_find, bool stop,
                      struct pool_turn *turn)
{
    bool fast = q->kinds[POOL_FAST].count > 0;
    bool slow_first = after_find || !fast || q->fast_in_row >= FAST_SHARE;
    bool slow = pool_queues_waiting(q) > q->kinds[POOL_FAST].count;

    turn->kind = POOL_TURN_NONE;
    turn->wait_ns = 0;
    if (slow && slow_first && take_slow(q, now_ns, spare, stop, turn)) {
        q->fast_in_row = 0;
        turn->from = POOL_SLOW;
        note_taken(q, now_ns, turn);
    } else if (fast) {
        q->fast_in_row++;
        take_share(q, POOL_FAST, POOL_TURN_RUN, turn);
        turn->from = POOL_FAST;
        note_taken(q, now_ns, turn);
    }
}
