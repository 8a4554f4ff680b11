// How hard the device may be worked while values are brought back.
#include "kvstore/kv_internal.h"

#define FASTER_MS  20u  // between steps to a higher pace
#define SLOWER_MS  10u  // between steps to a lower one, unless misses take far too long
#define FAR        4u   // times the goal
#define STALE_MS   100u // without a miss for so long nobody is waiting
#define IN_VAIN_MS 500u // giving way for so long, and gets are as slow as before
#define HURRY_MS   2000u

static const struct kv_warm_pace PACES[] = {
    {1, 64u << 10, 1500}, {1, 128u << 10, 500}, {1, 256u << 10, 250}, {1, 256u << 10, 0},
    {2, 512u << 10, 0},   {4, 512u << 10, 0},   {4, 1u << 20, 0},     {8, 1u << 20, 0},
};
#define FASTEST    ((unsigned)(sizeof PACES / sizeof PACES[0]) - 1)
#define FIRST_PACE 2u // with a goal
#define HURRY_PACE 1u
#define NS_IN_MS   1000000ull

const struct kv_warm_pace *kv_warm_pace(const struct kv_warm_run *run)
{
    return &PACES[run->pace];
}

// Gets that miss the goal for long though nothing is being brought back miss it without our help: the device has more to do than it can. Values in
// memory are what takes reads off it, and a large read brings hundreds for the time that a few small ones take.
static bool hurries(struct kv_warm_run *run, uint64_t now_ns)
{
    if (!run->paused) {
        run->paused_at_ns = now_ns;
    } else if (now_ns - run->paused_at_ns > IN_VAIN_MS * NS_IN_MS) {
        run->hurry_until_ns = now_ns + HURRY_MS * NS_IN_MS;
        run->paused = false;
        run->pace = HURRY_PACE;
    }
    return now_ns < run->hurry_until_ns;
}

// One bad moment of the device costs a step, not all of them: climbing takes longer than that moment.
static void step_down(struct kv_warm_run *run, bool far, uint64_t now_ns)
{
    if (!far && now_ns - run->paced_at_ns <= SLOWER_MS * NS_IN_MS)
        return;
    run->paced_at_ns = now_ns;
    if (far)
        run->pace /= 2;
    else if (run->pace > 0)
        run->pace--;
}

static void step_up(struct kv_warm_run *run, uint64_t now_ns)
{
    if (run->pace == FASTEST || now_ns - run->paced_at_ns <= FASTER_MS * NS_IN_MS)
        return;
    run->paced_at_ns = now_ns;
    run->pace++;
}

void kv_warm_set_pace(struct kv_warm_run *run, uint64_t now_ns)
{
    struct kv_warm *warm = &run->store->warm;
    uint64_t goal_ns = atomic_load(&warm->goal_us) * 1000, latency_at_ns = atomic_load(&warm->latency_at_ns);
    if (goal_ns == 0) {
        run->paused = false;
        run->pace = FASTEST;
        return;
    }
    if (run->paced_at_ns == 0) { // the first of this run
        run->paced_at_ns = now_ns;
        run->pace = FIRST_PACE;
    }
    if (hurries(run, now_ns))
        return;
    bool stale = now_ns > latency_at_ns && now_ns - latency_at_ns > STALE_MS * NS_IN_MS;
    uint64_t latency_ns = stale ? 0 : atomic_load(&warm->latency_ns);
    run->paused = run->pace == 0 && latency_ns > goal_ns;
    if (latency_ns > goal_ns)
        step_down(run, latency_ns / FAR > goal_ns, now_ns);
    else if (latency_ns < goal_ns / 4 * 3)
        step_up(run, now_ns);
}
