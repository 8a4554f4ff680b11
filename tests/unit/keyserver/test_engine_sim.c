// The queues and the choice, over simulated arrivals and threads: from idle to saturation, with Poisson arrivals and with
// clients that wait for their answers. Time is simulated, so nothing here depends on the machine. MEC_SHOW=1 prints each.
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
#define NEVER       UINT64_MAX
#define THREADS_MAX 16
#define FIND_NS     (1 * US)
#define WINDOWS     20
#define QUEUE_LIMIT 4096

static const struct engine_cost costs[ENGINE_SIZES] = {
    {250 * US, 980 * US}, {1780 * US, 2800 * US}, {4000 * US, 6100 * US}};

struct plan {
    unsigned threads;
    unsigned weight[ENGINE_SIZES]; // how often operations of each size come
    double per_s;                  // Poisson arrivals; 0: clients
    unsigned clients;              // each sends the next operation some 100 us after its answer
    uint64_t arrivals;             // after so many the simulation ends
    uint64_t limit_ns;
    bool singles; // the other policy: one by one always
};

struct result {
    uint64_t done, refused, batches, in_batches, waits;
    double per_s, mean_us, window_min_us, window_max_us;
    uint64_t held_max_ns; // longest that an operation was ready while a thread rested
    uint64_t left;        // operations in the queues at the end
};

static struct {
    const struct plan *plan;
    struct pool_options options;
    struct pool_queues queues;
    uint64_t now, random;
    struct {
        bool busy;
        uint64_t until; // done then, or the timeout of its rest
        struct pool_turn turn;
    } threads[THREADS_MAX];
    struct keyop *ops; // deadline_ns: idle time of threads when it became ready; key_bits: its size
    struct keyop *unused;
    uint64_t next_arrival, arrived;
    uint64_t idle_ns, idle_since; // time during which some thread rested
    uint64_t *due;                // clients: when each sends
    struct {
        double sum_us;
        uint64_t count;
    } window[WINDOWS];
    struct result result;
} sim;

static double uniform(void)
{
    sim.random ^= sim.random << 13;
    sim.random ^= sim.random >> 7;
    sim.random ^= sim.random << 17;
    return ((double)(sim.random >> 11) + 0.5) / 9007199254740992.0;
}

static uint64_t exponential_ns(double mean_ns)
{
    return (uint64_t)(-log(uniform()) * mean_ns);
}

static struct engine_choice choose(void *arg, unsigned size, const struct engine_load *load)
{
    (void)arg;
    if (sim.plan->singles)
        return (struct engine_choice){.way = ENGINE_SINGLE, .count = 1};
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

// The time that threads rested, up to now.
static uint64_t idle_clock(void)
{
    return sim.idle_ns + (sim.idle_since != NEVER ? sim.now - sim.idle_since : 0);
}

static void set_busy(unsigned thread, bool busy)
{
    sim.threads[thread].busy = busy;
    unsigned n = resting();
    if (n > 0 && sim.idle_since == NEVER)
        sim.idle_since = sim.now;
    if (n == 0 && sim.idle_since != NEVER) {
        sim.idle_ns += sim.now - sim.idle_since;
        sim.idle_since = NEVER;
    }
}

static uint64_t begin_turn(const struct pool_turn *turn)
{
    if (turn->kind == POOL_TURN_FIND)
        return turn->count * FIND_NS;
    for (size_t i = 0; i < turn->count; i++) {
        uint64_t held = idle_clock() - turn->ops[i]->deadline_ns;
        if (held > sim.result.held_max_ns)
            sim.result.held_max_ns = held;
    }
    if (turn->kind == POOL_TURN_RUN)
        return costs[turn->ops[0]->key_bits].single_ns;
    sim.result.batches++;
    sim.result.in_batches += turn->count;
    return costs[turn->ops[0]->key_bits].batch_ns;
}

// As crypto_thread() of pool.c.
static void wake(unsigned thread, bool after_find)
{
    struct pool_turn *turn = &sim.threads[thread].turn;
    set_busy(thread, true);
    pool_queues_next(&sim.queues, sim.now, resting(), after_find, false, turn);
    if (turn->kind == POOL_TURN_NONE) {
        sim.result.waits += turn->wait_ns != 0;
        sim.threads[thread].until = turn->wait_ns != 0 ? sim.now + turn->wait_ns : NEVER;
        set_busy(thread, false);
        return;
    }
    sim.threads[thread].until = sim.now + begin_turn(turn);
    for (unsigned i = 0; i < sim.plan->threads && sim.queues.ready_count > 0; i++)
        if (!sim.threads[i].busy) {
            wake(i, false);
            break;
        }
}

static void give_back(struct keyop *op)
{
    op->next = sim.unused;
    sim.unused = op;
}

static struct keyop *take_op(void)
{
    struct keyop *op = sim.unused;
    assert_non_null(op);
    sim.unused = op->next;
    return op;
}

static void answer(struct keyop *op)
{
    double us = (double)(sim.now - op->received_ns) / 1e3;
    uint64_t w = sim.result.done * WINDOWS / sim.plan->arrivals;
    if (w < WINDOWS) {
        sim.window[w].sum_us += us;
        sim.window[w].count++;
    }
    sim.result.done++;
    sim.result.mean_us += us;
    if (sim.due != NULL)
        sim.due[op - sim.ops] = sim.now + exponential_ns(100.0 * (double)US);
    else
        give_back(op);
}

static void end_turn(unsigned thread)
{
    struct pool_turn *turn = &sim.threads[thread].turn;
    bool found = turn->kind == POOL_TURN_FIND;
    for (size_t i = 0; i < turn->count; i++)
        if (found) {
            turn->ops[i]->deadline_ns = idle_clock();
            pool_queues_put_ready(&sim.queues, turn->ops[i], turn->ops[i]->key_bits, sim.now);
        } else {
            answer(turn->ops[i]);
        }
    wake(thread, found);
}

static unsigned random_size(void)
{
    const unsigned *w = sim.plan->weight;
    double x = uniform() * (w[0] + w[1] + w[2]);
    return x < w[0] ? 0 : x < w[0] + w[1] ? 1 : 2;
}

static void arrive(struct keyop *op)
{
    sim.arrived++;
    op->received_ns = sim.now;
    op->key_bits = random_size();
    if (!pool_queues_put(&sim.queues, op, POOL_SLOW)) {
        sim.result.refused++;
        give_back(op);
        return;
    }
    for (unsigned i = 0; i < sim.plan->threads; i++)
        if (!sim.threads[i].busy) {
            wake(i, false);
            return;
        }
}

// The client that sends next; its number.
static size_t next_client(uint64_t *at)
{
    size_t which = 0;
    for (size_t i = 0; i < sim.plan->clients; i++)
        if (sim.due[i] < sim.due[which])
            which = i;
    *at = sim.due[which];
    return which;
}

static void step(void)
{
    uint64_t at = sim.next_arrival;
    size_t client = 0;
    unsigned thread = THREADS_MAX;
    if (sim.due != NULL)
        client = next_client(&at);
    for (unsigned i = 0; i < sim.plan->threads; i++)
        if (sim.threads[i].until < at) {
            at = sim.threads[i].until;
            thread = i;
        }
    sim.now = at;
    if (thread < THREADS_MAX && sim.threads[thread].busy) {
        end_turn(thread);
    } else if (thread < THREADS_MAX) {
        wake(thread, false);
    } else if (sim.due != NULL) {
        sim.due[client] = NEVER;
        arrive(&sim.ops[client]);
    } else {
        sim.next_arrival = sim.now + exponential_ns(1e9 / sim.plan->per_s);
        arrive(take_op());
    }
}

static struct result simulate(const struct plan *plan)
{
    memset(&sim, 0, sizeof sim);
    sim.plan = plan;
    sim.random = 88172645463325252u;
    sim.options = (struct pool_options){.threads = plan->threads,
                                        .queue_limit = QUEUE_LIMIT,
                                        .batch = {POOL_BATCH_MAX, POOL_BATCH_MAX},
                                        .find = find,
                                        .choose = choose,
                                        .fill_wait_ns = plan->limit_ns};
    pool_queues_init(&sim.queues, &sim.options);
    size_t ops = plan->clients > 0 ? plan->clients : QUEUE_LIMIT + 2 * THREADS_MAX * POOL_BATCH_MAX;
    sim.ops = calloc(ops, sizeof *sim.ops);
    sim.due = plan->clients > 0 ? calloc(plan->clients, sizeof *sim.due) : NULL;
    assert_non_null(sim.ops);
    for (size_t i = 0; i < ops; i++)
        give_back(&sim.ops[i]);
    for (unsigned i = 0; i < plan->threads; i++)
        sim.threads[i].until = NEVER;
    while (sim.arrived < plan->arrivals)
        step();
    struct result r = sim.result;
    r.mean_us /= (double)r.done;
    r.per_s = (double)r.done * 1e9 / (double)sim.now;
    r.left = pool_queues_waiting(&sim.queues);
    r.window_min_us = INFINITY;
    for (int w = 1; w < WINDOWS - 1; w++) {
        double mean = sim.window[w].sum_us / (double)sim.window[w].count;
        r.window_min_us = fmin(r.window_min_us, mean);
        r.window_max_us = fmax(r.window_max_us, mean);
    }
    free(sim.ops);
    free(sim.due);
    return r;
}

// Operations a second of all threads with full batches, with these sizes.
static double full_rate(const struct plan *plan)
{
    double ns = 0, weight = 0;
    for (int s = 0; s < ENGINE_SIZES; s++) {
        ns += plan->weight[s] * (double)costs[s].batch_ns / 8;
        weight += plan->weight[s];
    }
    return plan->threads * 1e9 * weight / ns;
}

static void show(const char *what, const struct plan *p, const struct result *r)
{
    if (getenv("MEC_SHOW") != NULL)
        printf("%-8s threads %2u weights %u/%u/%u load %.2f clients %3u: %8.0f/s of %8.0f, mean %8.0f us, "
               "windows %8.0f to "
               "%8.0f, fill %.2f, in batches %.2f, waits %llu, held %llu ns, left %llu, refused %llu\n",
               what, p->threads, p->weight[0], p->weight[1], p->weight[2], p->per_s / full_rate(p),
               p->clients, r->per_s, full_rate(p), r->mean_us, r->window_min_us, r->window_max_us,
               r->batches > 0 ? (double)r->in_batches / (double)r->batches : 0.0,
               (double)r->in_batches / (double)r->done, (unsigned long long)r->waits,
               (unsigned long long)r->held_max_ns, (unsigned long long)r->left,
               (unsigned long long)r->refused);
}

static struct result run(const char *what, const struct plan *p)
{
    struct result r = simulate(p);
    show(what, p, &r);
    assert_true(r.held_max_ns <= p->limit_ns);
    return r;
}

static struct result run_singles(struct plan p)
{
    p.singles = true;
    return run("singles", &p);
}

#define MIXES   4
#define MIXED   3 // the one of all sizes
#define THREADS 3

// Plan number i of MIXES * THREADS, at this part of the rate of full batches.
static struct plan make_plan(unsigned i, double load)
{
    static const unsigned mixes[MIXES][ENGINE_SIZES] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {10, 1, 2}};
    static const unsigned threads[THREADS] = {1, 2, 8};
    struct plan p = {.threads = threads[i % THREADS], .arrivals = 20000, .limit_ns = 200 * US};
    memcpy(p.weight, mixes[i / THREADS], sizeof p.weight);
    p.per_s = load * full_rate(&p);
    return p;
}

// Nearly idle, latency is that of single operations.
static void low_load(void **state)
{
    (void)state;
    static const double loads[] = {0.005, 0.02, 0.1};
    for (unsigned i = 0; i < MIXES * THREADS; i++)
        for (size_t l = 0; l < 3; l++) {
            struct plan p = make_plan(i, loads[l]);
            struct result ours = run("ours", &p), singles = run_singles(p);
            assert_true(ours.mean_us <= singles.mean_us * (loads[l] < 0.05 ? 1.01 : 1.05));
            assert_int_equal(ours.refused, 0);
        }
}

// In between, all that comes is served, the mean latency stays within two batches, and it is steady: windows of a thousand
// operations are much alike.
static void middle_load(void **state)
{
    (void)state;
    static const double loads[] = {0.3, 0.5, 0.7, 0.9};
    for (unsigned i = 0; i < MIXES * THREADS; i++)
        for (size_t l = 0; l < 4; l++) {
            struct plan p = make_plan(i, loads[l]);
            struct result r = run("ours", &p);
            assert_int_equal(r.refused, 0);
            assert_true(r.left < 200);
            bool mixed = i / THREADS == MIXED;
            if (loads[l] < 0.8)
                assert_true(r.window_max_us <= (mixed ? 2 : 1.5) * r.window_min_us);
            if (loads[l] < 0.8 && !mixed)
                assert_true(r.mean_us * 1e3 <= 2.0 * (double)costs[i / THREADS].batch_ns);
        }
}

// Beyond saturation, throughput is that of full batches, also where sizes are mixed.
static void saturation(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MIXES * THREADS; i++) {
        struct plan p = make_plan(i, 2);
        struct result r = run("ours", &p);
        assert_true(r.per_s >= 0.97 * full_rate(&p));
        assert_true((double)r.in_batches >= 7.8 * (double)r.batches);
        assert_true(r.in_batches >= r.done * 99 / 100);
    }
}

// Clients that wait for their answers: never much worse than singles, as good as full batches when there are enough.
static void clients(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 4, 16, 64, 256};
    for (unsigned i = 0; i < MIXES * THREADS; i++)
        for (size_t c = 0; c < 5; c++) {
            struct plan p = make_plan(i, 0);
            p.clients = counts[c];
            struct result ours = run("ours", &p), singles = run_singles(p);
            assert_true(ours.per_s >= 0.93 * singles.per_s);
            if (p.clients <= p.threads)
                assert_true(ours.mean_us <= 1.01 * singles.mean_us);
            if (p.clients >= 32 * p.threads && p.clients >= (i / THREADS == MIXED ? 256 : 64))
                assert_true(ours.per_s >= 0.95 * full_rate(&p));
        }
}

// What holding back gives: no load at which it loses, and where threads are many it gains. Without it nothing is held.
static void holding_back(void **state)
{
    (void)state;
    static const double loads[] = {0.3, 0.5, 0.7, 0.9};
    for (unsigned i = 0; i < MIXES * THREADS; i++)
        for (size_t l = 0; l < 4; l++) {
            struct plan p = make_plan(i, loads[l]), q = p;
            q.limit_ns = 0;
            struct result ours = run("ours", &p), never = run("never", &q);
            assert_int_equal(never.waits, 0);
            assert_true(ours.mean_us <= 1.03 * never.mean_us);
            if (p.threads == 8 && i / THREADS != MIXED && loads[l] > 0.6)
                assert_true(ours.mean_us < never.mean_us && ours.waits > 100);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(low_load), cmocka_unit_test(middle_load),  cmocka_unit_test(saturation),
        cmocka_unit_test(clients),  cmocka_unit_test(holding_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
