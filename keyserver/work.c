#include "keyserver/work.h"

#include <stdatomic.h>

#include "common/clock.h"
#include "keyserver/access_gate.h"
#include "keyserver/keyop_run.h"
#include "keyserver/loop.h"

// Whether nobody would have use for the answer any more; then it ends here.
static bool end_late(struct keyop *op, uint64_t now_ns)
{
    if (atomic_load_explicit(&op->abandoned, memory_order_relaxed)) {
        op->status = SKI_BUSY;
        op->busy = KEYOP_ABANDONED;
        return true;
    }
    if (now_ns <= op->deadline_ns)
        return false;
    op->status = SKI_EXPIRED;
    return true;
}

struct asking { // on behalf of an operation that the access policy has not decided yet
    struct keyop *op;
    const struct stats *stats;
};

static bool admit(void *arg, const struct access_key *key)
{
    const struct asking *asking = arg;
    return access_at_key(asking->op, key, asking->stats);
}

static void find_key(const struct work *work, struct keyop *op)
{
    struct asking asking = {.op = op, .stats = work->stats};
    const struct keyring_gate gate = {.admit = admit, .arg = &asking};
    op->status = keyring_find_admitted(work->ring, op->undecided ? &gate : NULL, op->request.spki, &op->key);
    if (op->undecided) // nobody was asked: whether the key is there is not told
        (void)access_at_key(op, NULL, work->stats);
}

static void look_up(const struct work *work, struct keyop *op)
{
    op->looked_up = true;
    op->started_ns = clock_ns();
    if (end_late(op, op->started_ns))
        return;
    find_key(work, op);
    if (op->status != SKI_OK)
        return;
    op->key_type = op->key->type;
    op->key_bits = op->key->bits;
}

// A crypto thread has it: the waiting for others of its size ends.
static void begin(const struct work *work, struct keyop *op)
{
    if (op->ready_ns == 0)
        return;
    op->started_ns = clock_ns();
    engine_note_gathered(work->engine, op->started_ns - op->ready_ns);
    (void)end_late(op, op->started_ns);
}

// By OpenSSL, whose form of the key may have to be made first. The time of an RSA operation is taken with that.
static void compute(const struct work *work, struct keyop *op)
{
    bool timed = op->key_type == KEYRECORD_RSA;
    uint64_t begun_ns = timed ? engine_cpu_ns() : 0;
    if (keyring_pkey(work->ring, op->key) == NULL) {
        op->status = SKI_UNSPECIFIED;
        return;
    }
    op->status = keyop_run(&op->request, op->key, op->output, &op->output_len);
    if (op->status == SKI_OK && timed)
        engine_note_single(work->engine, engine_size_of(op->key_bits), engine_cpu_ns() - begun_ns);
}

static void end(struct keyop *op)
{
    ks_key_unref(&op->key);
    op->finished_ns = clock_ns();
}

void work_run(void *arg, unsigned thread, struct keyop **ops, size_t count)
{
    const struct work *work = arg;
    (void)thread;
    for (size_t i = 0; i < count; i++) {
        if (!ops[i]->looked_up)
            look_up(work, ops[i]);
        else
            begin(work, ops[i]);
        if (ops[i]->status == SKI_OK)
            compute(work, ops[i]);
        end(ops[i]);
    }
    loop_complete_all(ops, count);
}

int work_find(void *arg, struct keyop *op)
{
    look_up(arg, op);
    return op->status == SKI_OK && op->key->rsa8 != NULL ? engine_size_of(op->key_bits) : -1;
}

struct engine_choice work_choose(void *arg, unsigned size, const struct engine_load *load)
{
    const struct work *work = arg;
    return engine_choice_for(work->engine, size, load);
}

// ---- a batch

// The operations that got a lane, and what is in it.
struct lanes {
    unsigned count;
    struct keyop *op[ENGINE_LANES];
    struct keyop_rsa rsa[ENGINE_LANES];
    struct rsa8_op run[ENGINE_LANES];
};

// An operation that ends here, because it is late or does not fit its key, takes no lane.
static void fill_lane(const struct work *work, struct lanes *lanes, struct keyop *op)
{
    struct keyop_rsa *rsa = &lanes->rsa[lanes->count];
    begin(work, op);
    if (op->status == SKI_OK)
        op->status = keyop_rsa_prepare(&op->request, op->key, rsa);
    if (op->status != SKI_OK)
        return;
    lanes->op[lanes->count] = op;
    lanes->run[lanes->count] = (struct rsa8_op){.key = op->key->rsa8, .in = rsa->in, .out = rsa->out};
    lanes->count++;
}

// The answer of a lane. One without a result is computed by OpenSSL: which lane that is depends on the machine and on
// keys, never on what a ciphertext holds.
static void empty_lane(const struct work *work, struct lanes *lanes, unsigned lane)
{
    struct keyop *op = lanes->op[lane];
    struct keyop_rsa *rsa = &lanes->rsa[lane];
    bool good = lanes->run[lane].status == RSA8_OK;
    if (!good) {
        engine_lane_failed(work->engine, lanes->run[lane].status, op->key->name);
        good = keyring_pkey(work->ring, op->key) != NULL && keyop_rsa_raw(op->key, rsa->in, rsa->out);
    }
    op->status = keyop_rsa_finish(&op->request, op->key, rsa, good, op->output, &op->output_len);
}

void work_run_batch(void *arg, unsigned thread, struct keyop **ops, size_t count)
{
    const struct work *work = arg;
    struct lanes lanes;
    lanes.count = 0;
    for (size_t i = 0; i < count; i++)
        fill_lane(work, &lanes, ops[i]);
    if (lanes.count > 0)
        engine_run(work->engine, thread, (unsigned)engine_size_of(lanes.op[0]->key_bits), lanes.run,
                   lanes.count);
    for (unsigned lane = 0; lane < lanes.count; lane++)
        empty_lane(work, &lanes, lane);
    for (size_t i = 0; i < count; i++)
        end(ops[i]);
    loop_complete_all(ops, count);
}
