// Overload, over simulated arrivals and threads: the real queues, choice and admission. What is accepted keeps its latency, what
// can be computed is computed, nothing is refused below capacity, a flood is refused for itself, bursts pass. Time is
// simulated, so nothing here depends on the machine. MEC_SHOW=1 prints each run.
#include "keyserver/pool_queues.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#define US          UINT64_C(1000)
#define MS          UINT64_C(1000000)
#define NEVER       UINT64_MAX
#define THREADS_MAX 16
#define EDGES       4
#define OPS         8192
#define FIND_NS     (1 * US)
#define FLOOR_NS    (10 * MS)   // of the target
#define WARM_NS     (1500 * MS) // until the first burst of an overload is through

static const struct engine_cost costs[ENGINE_SIZES] = {
    {250 * US, 980 * US}, {1780 * US, 2800 * US}, {4000 * US, 6100 * US}};
#define FAST_NS (20 * US)

struct plan {
    unsigned threads;
    bool engine;
    unsigned weight[ENGINE_SIZES], fast; // how often operations of each size, and fast ones, come
    double per_s[EDGES];                 // Poisson arrivals of each edge
    double seconds;
    size_t burst;   // operations that come at once,
    unsigned times; // so often, evenly over the time, from edge 0
};

struct edge_result {
    uint64_t accepted, refused;
    uint64_t p99_ns;
};

static struct {
    const struct plan *plan;
    struct pool_options options;
    struct pool_queues queues;
    uint64_t now, end, random;
    struct {
        bool busy;
        uint64_t until;
        struct pool_turn turn;
    } threads[THREADS_MAX];
    struct keyop ops[OPS], *unused;
    uint64_t next[EDGES], next_burst;
    uint64_t *waits[EDGES]; // from arrival to answer
    size_t wait_count[EDGES];
    struct edge_result edge[EDGES];
} sim;

static double uniform(void)
{
    sim.random ^= sim.random << 13;
    sim.random ^= sim.random >> 7;
    sim.random ^= sim.random << 17;
    return ((double)(sim.random >> 11) + 0.5) / 9007199254740992.0;
}

static struct engine_choice choose(void *arg, unsigned size, const struct engine_load *load)
{
    (void)arg;
    return engine_choose(&costs[size], load);
}

static int find(void *arg, struct keyop *op)
{
    (void)arg;
    return (int)op->key_bits;
}

static unsigned resting(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < sim.plan->threads; i++)
        n += !sim.threads[i].busy;
    return n;
}

static uint64_t cost_of(const struct pool_turn *turn)
{
    uint64_t ns = 0;
    if (turn->kind == POOL_TURN_FIND)
        return turn->count * FIND_NS;
    if (turn->kind == POOL_TURN_BATCH)
        return costs[turn->ops[0]->key_bits].batch_ns;
    for (size_t i = 0; i < turn->count; i++)
        ns += turn->from == POOL_FAST ? FAST_NS : costs[turn->ops[i]->key_bits].single_ns;
    return ns;
}

// As crypto_thread() of pool.c.
static void wake(unsigned thread, bool after_find)
{
    struct pool_turn *turn = &sim.threads[thread].turn;
    sim.threads[thread].busy = true;
    pool_queues_next(&sim.queues, sim.now, resting(), after_find, false, turn);
    if (turn->kind == POOL_TURN_NONE) {
        sim.threads[thread].busy = false;
        sim.threads[thread].until = turn->wait_ns != 0 ? sim.now + turn->wait_ns : NEVER;
        return;
    }
    sim.threads[thread].until = sim.now + cost_of(turn);
}

static void end_op(struct keyop *op)
{
    if (op->received_ns >= WARM_NS) {
        size_t n = sim.wait_count[op->flow]++;
        if ((n & (n - 1)) == 0) // room is doubled at each power of two
            sim.waits[op->flow] = realloc(sim.waits[op->flow], (n > 0 ? 2 * n : 1) * sizeof(uint64_t));
        assert_non_null(sim.waits[op->flow]);
        sim.waits[op->flow][n] = sim.now - op->received_ns;
    }
    op->next = sim.unused;
    sim.unused = op;
}

static void end_turn(unsigned thread)
{
    struct pool_turn *turn = &sim.threads[thread].turn;
    bool found = turn->kind == POOL_TURN_FIND;
    for (size_t i = 0; i < turn->count; i++)
        if (found)
            pool_queues_put_ready(&sim.queues, turn->ops[i], turn->ops[i]->key_bits, sim.now);
        else
            end_op(turn->ops[i]);
    if (!found)
        admission_note_work(&sim.queues.admission, turn->from, cost_of(turn), turn->count,
                            turn->kind == POOL_TURN_BATCH);
    sim.threads[thread].busy = false;
    wake(thread, found);
}

static void wake_one(void)
{
    for (unsigned i = 0; i < sim.plan->threads; i++)
        if (!sim.threads[i].busy) {
            wake(i, false);
            return;
        }
}

static void arrive(unsigned edge)
{
    unsigned whole = sim.plan->fast, size = 0;
    for (unsigned s = 0; s < ENGINE_SIZES; s++)
        whole += sim.plan->weight[s];
    unsigned at = (unsigned)(uniform() * whole);
    bool fast = at < sim.plan->fast;
    for (at -= fast ? 0 : sim.plan->fast; !fast && at >= sim.plan->weight[size]; size++)
        at -= sim.plan->weight[size];
    struct keyop *op = sim.unused;
    assert_non_null(op);
    sim.unused = op->next;
    memset(op, 0, offsetof(struct keyop, request));
    op->flow = edge;
    op->key_bits = size;
    op->received_ns = sim.now;
    op->deadline_ns = sim.now + 2000 * MS;
    bool taken = pool_queues_put(&sim.queues, op, fast ? POOL_FAST : POOL_SLOW);
    if (sim.now >= WARM_NS) {
        sim.edge[edge].accepted += taken;
        sim.edge[edge].refused += !taken;
    }
    if (taken) {
        wake_one();
        return;
    }
    op->next = sim.unused;
    sim.unused = op;
}

static uint64_t gap(double per_s)
{
    return per_s > 0 ? (uint64_t)(-log(uniform()) * 1e9 / per_s) : NEVER / 2;
}

static void step(void)
{
    uint64_t first = sim.next_burst;
    int thread = -1, edge = -1;
    for (int i = 0; i < EDGES; i++)
        if (sim.next[i] < first) {
            first = sim.next[i];
            edge = i;
        }
    for (unsigned i = 0; i < sim.plan->threads; i++)
        if (sim.threads[i].until < first) {
            first = sim.threads[i].until;
            thread = (int)i;
        }
    sim.now = first < sim.end ? first : sim.end;
    if (first >= sim.end)
        return;
    if (thread >= 0 && sim.threads[thread].busy) {
        end_turn((unsigned)thread);
    } else if (thread >= 0) {
        wake((unsigned)thread, false);
    } else if (edge >= 0) {
        arrive((unsigned)edge);
        sim.next[edge] = sim.now + gap(sim.plan->per_s[edge]);
    } else {
        for (size_t i = 0; i < sim.plan->burst; i++)
            arrive(0);
        sim.next_burst += sim.end / sim.plan->times;
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void conclude(const char *what)
{
    for (unsigned i = 0; i < EDGES; i++) {
        size_t n = sim.wait_count[i];
        if (n > 0) {
            qsort(sim.waits[i], n, sizeof(uint64_t), by_size);
            sim.edge[i].p99_ns = sim.waits[i][n * 99 / 100];
        }
        if (getenv("MEC_SHOW") != NULL && n > 0)
            printf("%-28s edge %u accepted %8.0f/s refused %8.0f/s p99 %8.0f us target %8.0f us\n", what, i,
                   (double)sim.edge[i].accepted / (sim.plan->seconds - WARM_NS / 1e9),
                   (double)sim.edge[i].refused / (sim.plan->seconds - WARM_NS / 1e9),
                   (double)sim.edge[i].p99_ns / 1e3,
                   (double)admission_target_ns(&sim.queues.admission) / 1e3);
        free(sim.waits[i]);
        sim.waits[i] = NULL;
    }
}

static void run(const struct plan *plan, const char *what)
{
    memset(&sim, 0, sizeof sim);
    sim.plan = plan;
    sim.random = 88172645463325252u;
    sim.options = (struct pool_options){.threads = plan->threads,
                                        .queue_limit = 4096,
                                        .admission = true,
                                        .batch = {POOL_BATCH_MAX, POOL_BATCH_MAX},
                                        .find = plan->engine ? find : NULL,
                                        .choose = choose,
                                        .fill_wait_ns = 200 * US};
    pool_queues_init(&sim.queues, &sim.options);
    for (size_t i = 0; i < OPS; i++) {
        sim.ops[i].next = sim.unused;
        sim.unused = &sim.ops[i];
    }
    sim.end = (uint64_t)(plan->seconds * 1e9);
    for (unsigned i = 0; i < THREADS_MAX; i++)
        sim.threads[i].until = NEVER;
    for (unsigned i = 0; i < EDGES; i++)
        sim.next[i] = gap(plan->per_s[i]);
    sim.next_burst = plan->times > 0 ? sim.end / plan->times / 2 : NEVER / 2;
    while (sim.now < sim.end)
        step();
    conclude(what);
}

// Operations a second that threads can do of a plan's mix.
static double capacity(const struct plan *plan)
{
    double ns = plan->fast * (double)FAST_NS;
    unsigned whole = plan->fast;
    for (unsigned s = 0; s < ENGINE_SIZES; s++) {
        double batched = (double)costs[s].batch_ns / ENGINE_LANES, single = (double)costs[s].single_ns;
        ns += plan->weight[s] * (plan->engine && batched < single ? batched : single);
        whole += plan->weight[s];
    }
    return plan->threads * 1e9 * whole / ns;
}

// least: part of the capacity that is accepted, at least; worst: how much longer it may take than at four fifths of it. Sizes that
// are asked for seldom wait for a batch where few may wait at all; fast ones are let in before slow ones.
static const struct kind {
    const char *name;
    bool engine;
    unsigned weight[ENGINE_SIZES], fast;
    double least, worst;
} kinds[] = {
    {"2048", false, {1, 0, 0}, 0, 0.98, 2},           {"4096", false, {0, 0, 1}, 0, 0.98, 2},
    {"2048, batches", true, {1, 0, 0}, 0, 0.97, 2.1}, {"4096, batches", true, {0, 0, 1}, 0, 0.97, 2.5},
    {"mix, batches", true, {10, 1, 2}, 0, 0.85, 2},   {"mix with P-256", false, {2, 0, 1}, 20, 0.98, 4},
};
static const unsigned thread_counts[] = {1, 2, 4, 16};

static struct plan plan_of(const struct kind *kind, unsigned threads, double *most)
{
    struct plan plan = {.threads = threads, .engine = kind->engine, .fast = kind->fast};
    memcpy(plan.weight, kind->weight, sizeof plan.weight);
    *most = capacity(&plan);
    plan.seconds = WARM_NS / 1e9 + 20000 / *most;
    if (plan.seconds < 3)
        plan.seconds = 3;
    return plan;
}

static void run_named(const struct plan *plan, const struct kind *kind, const char *how)
{
    char what[64];
    (void)snprintf(what, sizeof what, "%s, %u threads, %s", kind->name, plan->threads, how);
    run(plan, what);
}

static double accepted_per_s(unsigned edge)
{
    return (double)sim.edge[edge].accepted / (sim.plan->seconds - WARM_NS / 1e9);
}

// Below capacity nothing is refused; beyond it what is accepted takes little longer, and the threads are busy.
static void beyond_capacity(const struct kind *kind, unsigned threads)
{
    double most;
    struct plan plan = plan_of(kind, threads, &most);
    plan.per_s[0] = 0.8 * most;
    run_named(&plan, kind, "0.8");
    double bound_ns = kind->worst * (double)sim.edge[0].p99_ns;
    if (bound_ns < 2.0 * (double)FLOOR_NS)
        bound_ns = 2.0 * (double)FLOOR_NS;
    assert_true((double)sim.edge[0].refused <= 0.001 * (double)sim.edge[0].accepted);
    for (int over = 0; over < 2; over++) {
        plan.per_s[0] = (over ? 3 : 1.5) * most;
        run_named(&plan, kind, over ? "3" : "1.5");
        assert_true((double)sim.edge[0].p99_ns < bound_ns);
        assert_true(accepted_per_s(0) > kind->least * most);
    }
}

// Beside an edge that asks for three times what there is, one that asks for a fifth is refused one in 200 at most and waits little.
static void beside_a_flood(const struct kind *kind, unsigned threads)
{
    double most;
    struct plan plan = plan_of(kind, threads, &most);
    plan.per_s[1] = 0.2 * most;
    plan.per_s[0] = 0.6 * most;
    run_named(&plan, kind, "beside 0.6");
    uint64_t p99_ns = sim.edge[1].p99_ns;
    plan.per_s[0] = 3 * most;
    run_named(&plan, kind, "beside 3");
    assert_true((double)sim.edge[1].refused <= 0.005 * (double)sim.edge[1].accepted);
    assert_true((double)sim.edge[1].p99_ns < kind->worst * (double)p99_ns || sim.edge[1].p99_ns < FLOOR_NS);
}

// Bursts of 30 ms of work are computed, not refused: 99 in a hundred one by one, six in seven where what is known of costs is of
// operations that were alone and batches are to come.
static void bursts(const struct kind *kind, unsigned threads)
{
    double most;
    struct plan plan = plan_of(kind, threads, &most);
    plan.seconds = 20;
    plan.times = 40;
    plan.burst = (size_t)(0.03 * most);
    run_named(&plan, kind, "bursts");
    assert_true((double)sim.edge[0].refused <= (kind->engine ? 0.15 : 0.01) * (double)sim.edge[0].accepted);
    assert_int_equal(sim.edge[0].accepted + sim.edge[0].refused,
                     37 * plan.burst); // three came before the counting
}

static void each(void (*test)(const struct kind *kind, unsigned threads))
{
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (size_t t = 0; t < sizeof thread_counts / sizeof thread_counts[0]; t++)
            test(&kinds[k], thread_counts[t]);
}

static void test_beyond_capacity(void **state)
{
    (void)state;
    each(beyond_capacity);
}

static void test_beside_a_flood(void **state)
{
    (void)state;
    each(beside_a_flood);
}

static void test_bursts(void **state)
{
    (void)state;
    each(bursts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beyond_capacity),
        cmocka_unit_test(test_beside_a_flood),
        cmocka_unit_test(test_bursts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
