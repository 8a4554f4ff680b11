// A trace, second by second: the store warms, the policy decides, the orchestrator follows some seconds later.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "policysim.h"

#define GIB          1073741824.0
#define OTHER_BYTES  (256.0 * 1048576) // of the process beside the store
#define FIRST_BYTES  (1024.0 * 1048576)
#define VALUE_BYTES  4096.0
#define HIT_US       2.0
#define MISS_US      120.0
#define WARM_UP      600   // seconds at the beginning that are not judged
#define TOLERANCE    0.005 // of the hit ratio: a curve has points, not all sizes
#define STAY_SECONDS 60    // of the oracle
#define HOUR         3600
#define CURVE_EVERY  10 // seconds

struct run {
    const struct policysim_trace *trace;
    const struct policy_config *config;
    const struct policysim_machine *machine;
    struct policysim_result *result;
    struct policy_state state;
    struct policysim_load seen; // the load as the curve knows it
    struct policy_point curve[POLICYSIM_POINTS];
    size_t curve_count;
    uint64_t seed;
    double error, size, filled, phase, miss_us;
    double asked;  // of the orchestrator
    double due;    // when it answers; negative: nothing is asked for
    int direction; // of the latest change
    size_t *turns; // seconds of the reversals; owned
};

static double store_of(double size)
{
    return fmax(0, size - OTHER_BYTES);
}

// The hit ratio that is wanted in this second, with what the device bears.
static double goal(const struct run *run, const struct policysim_load *load)
{
    const struct policy_config *c = run->config;
    double ratio = c->hit_goal;
    if (c->lookup_goal_us > 0)
        ratio = fmax(ratio, (run->miss_us - c->lookup_goal_us) / (run->miss_us - HIT_US));
    if (c->device_reads > 0 && load->gets > c->device_reads)
        ratio = fmax(ratio, 1 - c->device_reads / load->gets);
    return fmin(fmax(ratio, 0), 1);
}

// The least size that meets the goal in this second, or the one that pays best.
static double least_size(const struct run *run, const struct policysim_load *load)
{
    const struct policy_config *c = run->config;
    double store = load->gets == 0 ? 0 : policysim_bytes_for(load, goal(run, load));
    if (c->gib_hour_price > 0)
        store = policysim_bytes_worth(load, c->gib_hour_price / GIB, HOUR / 1e6 * c->miss_price);
    double size = fmax(store + OTHER_BYTES, (double)c->min_bytes);
    return c->max_bytes > 0 ? fmin(size, (double)c->max_bytes) : size;
}

static void change(struct run *run, size_t second, double size)
{
    int direction = size > run->size ? 1 : -1;
    if (run->direction != 0 && direction != run->direction)
        run->turns[run->result->reversals++] = second;
    run->direction = direction;
    run->result->changes++;
    run->size = size;
    run->filled = fmin(run->filled, store_of(size));
}

static void orchestrate(struct run *run, size_t second, uint64_t target)
{
    if (run->due >= 0 && (double)second >= run->due) {
        change(run, second, run->asked);
        run->due = -1;
        return; // what was decided was about the size before
    }
    if (run->due >= 0 || (double)target == run->size)
        return;
    run->asked = (double)target;
    run->due = (double)second +
               (run->asked > run->size ? run->machine->raise_seconds : run->machine->return_seconds);
}

// What the store holds of what is asked for; misses bring values in, and the store warms with what the device has left.
static double warm(struct run *run, const struct policysim_load *load)
{
    const struct policysim_machine *m = run->machine;
    run->filled *= fmax(0, 1 - fabs(load->phase - run->phase));
    run->phase = load->phase;
    double hits = policysim_hits(load, run->filled), misses = load->gets * (1 - hits);
    double busy = fmin(misses / m->device_reads, 0.95);
    run->miss_us = MISS_US / (1 - busy);
    double rate = misses * VALUE_BYTES + fmax(0, m->device_bytes - misses * VALUE_BYTES);
    double most = fmin(store_of(run->size), run->trace->dataset_bytes);
    run->filled = fmin(run->filled + fmin(rate, m->device_bytes), most);
    if (misses > m->device_reads)
        run->result->overload += load->gets;
    return hits;
}

static void follow_curve(struct run *run, size_t second, const struct policysim_load *load)
{
    double part = fmin(CURVE_EVERY / fmax(run->machine->curve_seconds, 1), 1);
    if (second % CURVE_EVERY != 0)
        return;
    run->seen.zipf += part * (load->zipf - run->seen.zipf);
    run->seen.set_bytes += part * (load->set_bytes - run->seen.set_bytes);
    run->error = run->error * 0.9 + run->machine->curve_error * 0.75 * (policysim_random(&run->seed) * 2 - 1);
    run->curve_count =
        policysim_curve(&run->seen, run->trace->dataset_bytes, run->error, run->curve, POLICYSIM_POINTS);
}

static uint64_t decide(struct run *run, size_t second, const struct policysim_load *load, double hits)
{
    follow_curve(run, second, load);
    const struct policy_input input = {
        .now_ms = second * 1000,
        .current_bytes = (uint64_t)run->size,
        .other_bytes = (uint64_t)OTHER_BYTES,
        .table_bytes = (uint64_t)run->trace->dataset_bytes,
        .load = load->gets,
        .hit_ratio = load->gets > 0 ? hits : -1,
        .hit_us = HIT_US,
        .miss_us = run->miss_us,
        .curve = run->curve,
        .curve_count = run->curve_count,
        .psi_some = 0,
        .psi_full = 0,
    };
    return policy_decide(run->config, &input, &run->state).target_bytes;
}

static void judge(struct run *run, size_t second, const struct policysim_load *load, double hits)
{
    struct policysim_result *r = run->result;
    double need = least_size(run, load), wanted = policysim_hits(load, store_of(need)) - TOLERANCE;
    r->seconds[second] = (struct policysim_second){load->gets, run->size, need, hits};
    r->memory += run->size / GIB / HOUR;
    r->needed += need / GIB / HOUR;
    if (second < WARM_UP)
        return;
    r->gets += load->gets;
    if (policysim_hits(load, store_of(run->size)) < wanted)
        r->missed += load->gets;
    if (hits < wanted)
        r->late += load->gets;
}

// The most that is needed within a minute before and after, for each second.
static void add_oracle(struct policysim_result *r, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) {
        size_t from = i > STAY_SECONDS ? i - STAY_SECONDS : 0,
               to = i + STAY_SECONDS < count ? i + STAY_SECONDS : count - 1;
        bool anew =
            i == 0 || (from > 0 && r->seconds[from - 1].need >= most); // the highest has left the window
        most = anew ? 0 : fmax(most, r->seconds[to].need);
        for (size_t k = from; anew && k <= to; k++)
            most = fmax(most, r->seconds[k].need);
        r->oracle += most / GIB / HOUR;
    }
}

static unsigned worst_hour(const size_t *turns, unsigned count)
{
    unsigned worst = 0;
    for (unsigned i = 0, from = 0; i < count; i++) {
        while (turns[i] - turns[from] >= HOUR)
            from++;
        worst = i - from + 1 > worst ? i - from + 1 : worst;
    }
    return worst;
}

bool policysim_run(const struct policysim_trace *trace, const struct policysim_policy *policy,
                   const struct policysim_machine *machine, struct policysim_result *result)
{
    *result = (struct policysim_result){.hours = (double)trace->seconds / HOUR};
    struct run run = {.trace = trace,
                      .config = &policy->config,
                      .machine = machine,
                      .result = result,
                      .seen = trace->loads[0],
                      .seed = 1,
                      .size = FIRST_BYTES,
                      .phase = trace->loads[0].phase,
                      .miss_us = MISS_US,
                      .due = -1};
    result->seconds = calloc(trace->seconds, sizeof *result->seconds);
    run.turns = calloc(trace->seconds, sizeof *run.turns);
    if (result->seconds == NULL || run.turns == NULL) {
        free(run.turns);
        policysim_result_free(result);
        return false;
    }
    for (size_t second = 0; second < trace->seconds; second++) {
        const struct policysim_load *load = &trace->loads[second];
        double hits = warm(&run, load);
        orchestrate(&run, second, decide(&run, second, load, hits));
        judge(&run, second, load, hits);
    }
    add_oracle(result, trace->seconds);
    result->worst_hour = worst_hour(run.turns, result->reversals);
    free(run.turns);
    return true;
}

void policysim_result_free(struct policysim_result *result)
{
    free(result->seconds);
    result->seconds = NULL;
}
