#include "keyserver/admission.h"

#define BURST_NS    100000000u // a burst may take so long: shorter than users notice
#define STANDING_NS 40000000u  // beyond the target: no burst any more
#define TARGETS     4          // both are so many times the target at least
#define DRAINS      0.75       // a wait that has fallen to this part of what it was is not standing
// What waits for each other when four fifths of the capacity are asked for, one operation in a hundred longer than this: some
// 10 operations divided by the threads (M/D/c), 2 batches divided by the threads (test_overload_sim.c). Beyond capacity it may be as much.
#define DEPTH_SINGLE 10
#define DEPTH_BATCH  2.5
#define TARGET_LEAST 10000000.0 // ns: no edge minds so little, and machines stand still for as long
#define UNIT_SHARE   256.0      // an operation moves the average by so much less
#define COST_SHARE   64.0
#define SPAN_SHARE   16.0 // and so many times the threads: they take turns

void admission_init(struct admission *a, unsigned threads, uint64_t fixed_ns)
{
    *a = (struct admission){.threads = threads, .fixed_ns = fixed_ns};
}

static void follow(double *average, double value, double weight)
{
    *average += (value - *average) * (*average == 0 || weight > 1 ? 1 : weight);
}

// What operations wait for when they wait for one that is being computed: long ones are met more often.
static double unit_ns(const struct admission *a)
{
    return a->unit_ns > 0 ? a->unit_square / a->unit_ns : 0;
}

void admission_note_work(struct admission *a, unsigned queue, uint64_t cpu_ns, size_t count, bool batch)
{
    double cost = (double)(cpu_ns > 0 ? cpu_ns : 1) / (double)count;
    double unit = batch ? cost * (double)count : cost;
    double weight = (batch ? 1 : (double)count) / UNIT_SHARE;
    follow(&a->unit_square, unit * unit, weight);
    follow(&a->unit_depth, unit * unit * (batch ? DEPTH_BATCH : DEPTH_SINGLE), weight);
    follow(&a->unit_ns, unit, weight);
    follow(&a->queue[queue].cost_ns, cost, (double)count / COST_SHARE);
}

static double gap_ns(const struct admission *a, unsigned queue)
{
    return a->queue[queue].span_ops > 0 ? a->queue[queue].span_ns / a->queue[queue].span_ops : 0;
}

// A gap is no longer than a thread needs for an operation: what is beyond was not the queue's doing but the machine's, and a
// gap that is held for far too long would not be corrected where nobody is let in.
void admission_note_taken(struct admission *a, unsigned queue, uint64_t now_ns, size_t count, size_t left)
{
    uint64_t last_ns = a->queue[queue].taken_ns;
    if (last_ns != 0 && now_ns >= last_ns) {
        double span = (double)(now_ns - last_ns), most = unit_ns(a) * (double)count;
        double weight = 1 / (SPAN_SHARE * a->threads);
        follow(&a->queue[queue].span_ns, span < most ? span : most, weight);
        follow(&a->queue[queue].span_ops, (double)count, weight);
    }
    a->queue[queue].taken_ns = left > 0 ? now_ns : 0;
}

uint64_t admission_target_ns(const struct admission *a)
{
    if (a->fixed_ns != 0)
        return a->fixed_ns;
    if (a->unit_ns == 0)
        return 0;
    double target = (a->unit_square + a->unit_depth / a->threads) / a->unit_ns;
    return (uint64_t)(target > TARGET_LEAST ? target : TARGET_LEAST);
}

static uint64_t targets_at_least(uint64_t target_ns, uint64_t ns)
{
    return TARGETS * target_ns > ns ? TARGETS * target_ns : ns;
}

static bool has_passed(uint64_t since_ns, uint64_t now_ns, uint64_t ns)
{
    return now_ns > since_ns && now_ns - since_ns >= ns;
}

// Whether the queue stands, not merely takes a burst.
static bool is_standing(struct admission *a, unsigned queue, uint64_t now_ns, double wait_ns,
                        uint64_t target_ns)
{
    uint64_t *since_ns = &a->queue[queue].since_ns, *above_ns = &a->queue[queue].above_ns;
    double *since_wait_ns = &a->queue[queue].since_wait_ns;
    uint64_t interval_ns = targets_at_least(target_ns, STANDING_NS);
    bool stood = *since_ns != 0 && has_passed(*since_ns, *above_ns, interval_ns);
    if (stood ? has_passed(*above_ns, now_ns, interval_ns) : wait_ns <= (double)target_ns)
        *since_ns = 0;
    if (wait_ns > (double)target_ns) {
        *above_ns = now_ns;
        if (*since_ns == 0 || (!stood && wait_ns < DRAINS * *since_wait_ns)) {
            *since_ns = now_ns;
            *since_wait_ns = wait_ns;
        }
    }
    return *since_ns != 0 && has_passed(*since_ns, *above_ns, interval_ns);
}

// There is nothing to measure: operations will leave as fast as the threads can.
static void expect_best(struct admission *a, unsigned queue)
{
    if (a->queue[queue].span_ops == 0)
        a->queue[queue].span_ops = 1;
    follow(&a->queue[queue].span_ns, a->queue[queue].cost_ns / a->threads * a->queue[queue].span_ops,
           1 / COST_SHARE);
}

bool admission_admits(struct admission *a, unsigned queue, uint64_t now_ns, size_t waiting, size_t in_front,
                      bool first, uint64_t left_ns)
{
    uint64_t target_ns = admission_target_ns(a);
    if (target_ns == 0)
        return true;
    if (waiting == 0 || gap_ns(a, queue) == 0)
        expect_best(a, queue);
    uint64_t limit_ns = targets_at_least(target_ns, BURST_NS);
    if (is_standing(a, queue, now_ns, (double)waiting * gap_ns(a, queue), target_ns) && !first)
        limit_ns = target_ns;
    if (left_ns < limit_ns)
        limit_ns = left_ns;
    return (double)in_front * gap_ns(a, queue) <= (double)limit_ns;
}
