// 1,000 randomised schedules in virtual time: the core with the real policy, an orchestrator that grants, halves, defers, is silent, answers twice, takes away, goes and comes back; a
// platform whose limits fall; others that grow; a store that frees and fills slowly. After every step the invariants of the VNF's side hold; and when the orchestrator
// comes to its senses, all comes to rest.
#include "scaler_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRANULE   (2 * MB)
#define MIN_GRANT (128 * MB)
#define MAX_GRANT (4 * GB)
#define MARGIN    (16 * MB)

struct pending { // a request that the orchestrator has
    bool open, raise;
    char id[65];
    uint64_t target, at_ms; // answered then
};

struct world {
    struct scaler_core *core;
    struct scaler_view view;
    uint64_t random, now_ms;
    unsigned schedule;
    // orchestrator
    bool connected, sane;
    uint64_t granted;
    struct pending pending;
    unsigned unanswered;
    // platform and process
    uint64_t limit, store_limit, store, other, hits, misses;
    uint64_t frees, fills;
    double psi;
    // what the core was last told to keep to
    uint64_t told; // grant, by messages that have arrived
    unsigned sets, requests;
};

static struct world w;

static uint64_t roll(uint64_t sides)
{
    w.random ^= w.random << 13;
    w.random ^= w.random >> 7;
    w.random ^= w.random << 17;
    return (w.random >> 11) % sides;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t rss(void)
{
    return w.store + w.other;
}

#define CLAIM(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fail_msg("schedule %u at %llu ms: %s", w.schedule, (unsigned long long)w.now_ms, #condition);    \
    } while (0)

// ---- the core's effects

static void set_limit(void *arg, uint64_t bytes)
{
    (void)arg;
    w.sets++;
    w.store_limit = bytes;
}

static void request(void *arg, const struct rescale_request *r)
{
    (void)arg;
    w.requests++;
    CLAIM(w.connected);
    CLAIM(r->target_bytes <= MAX_GRANT && r->target_bytes >= MIN_GRANT && r->target_bytes % GRANULE == 0);
    bool same = w.pending.open && strcmp(w.pending.id, r->id) == 0;
    w.pending = (struct pending){.open = true,
                                 .raise = r->target_bytes > w.granted,
                                 .target = r->target_bytes,
                                 .at_ms = w.now_ms + (w.sane ? 200 : roll(20000))};
    (void)snprintf(w.pending.id, sizeof w.pending.id, "%s", r->id);
    if (!w.pending.raise && !same)
        CLAIM(rss() <= r->target_bytes); // V2
}

static void reclaiming(void *arg, const char *id, enum message_state state, uint64_t target)
{
    (void)arg;
    (void)id;
    CLAIM(state == STATE_ACCEPTED || state == STATE_PARTIAL || state == STATE_REFUSED);
    CLAIM(target >= MIN_GRANT);
}

static void on_log(void *arg, bool warning, const char *event, const char *text)
{
    (void)arg;
    (void)warning;
    (void)event;
    (void)text;
}

// ---- the orchestrator

static void event(struct rescale_event e)
{
    if (e.type == RESCALE_CONNECTED || e.type == RESCALE_GRANT)
        w.told = e.granted_bytes;
    scaler_core_event(w.core, w.now_ms, &e);
}

static void answer(enum message_state state)
{
    struct response r = {.state = state,
                         .final = message_state_is_final(state),
                         .granted_bytes = w.granted,
                         .granularity = GRANULE,
                         .retry_ms = state == STATE_DEFERRED ? roll(5000) : 0};
    memcpy(r.id, w.pending.id, sizeof r.id);
    w.told = w.granted;
    scaler_core_response(w.core, w.now_ms, &r);
    if (!w.sane && r.final && roll(4) == 0) { // again, and with other numbers: those must not be believed
        r.granted_bytes = MAX_GRANT;
        scaler_core_response(w.core, w.now_ms, &r);
    }
}

static uint64_t granules(uint64_t bytes)
{
    return bytes - bytes % GRANULE;
}

static void serve_request(void)
{
    uint64_t mood = w.sane ? 0 : roll(8);
    if (!w.pending.open || w.now_ms < w.pending.at_ms || !w.connected)
        return;
    w.pending.open = false;
    switch (mood) {
    case 1:
        answer(STATE_DEFERRED);
        break;
    case 2: // silence; a return has been carried out all the same, perhaps
        if (!w.pending.raise && roll(2) == 0)
            w.granted = w.pending.target;
        break;
    case 3: // half
        w.granted = granules((w.granted + w.pending.target) / 2);
        answer(STATE_PARTIAL);
        break;
    case 4:
        answer(STATE_ERROR);
        break;
    case 5:
        answer(roll(2) == 0 ? STATE_DENIED : STATE_INFEASIBLE);
        break;
    case 6:
        answer(STATE_ACCEPTED);
        w.pending.open = true;
        w.pending.at_ms = w.now_ms + 1000;
        break;
    default:
        w.granted = w.pending.target;
        answer(STATE_DONE);
        break;
    }
}

static void connect_now(void)
{
    w.connected = true;
    event((struct rescale_event){.type = RESCALE_CONNECTED,
                                 .granted_bytes = w.granted,
                                 .granularity = GRANULE,
                                 .min_bytes = MIN_GRANT,
                                 .max_bytes = MAX_GRANT,
                                 .lease_ms = 10000});
}

static void something_happens(void)
{
    switch (roll(12)) {
    case 0:
        w.connected = false;
        event((struct rescale_event){.type = RESCALE_DISCONNECTED, .detail = "gone"});
        break;
    case 1:
        w.granted = w.connected ? w.granted : granules(MIN_GRANT + roll(MAX_GRANT - MIN_GRANT));
        connect_now();
        break;
    case 2:
    case 3:
        w.granted = granules(MIN_GRANT + roll(MAX_GRANT - MIN_GRANT));
        if (w.connected)
            event((struct rescale_event){
                .type = RESCALE_GRANT, .granted_bytes = w.granted, .granularity = GRANULE});
        break;
    case 4:
    case 5:
        if (w.connected)
            event((struct rescale_event){
                .type = RESCALE_RECLAIM, .id = "r", .target_bytes = roll(MAX_GRANT), .deadline_ms = 2000});
        break;
    case 6:
        if (w.connected)
            event((struct rescale_event){.type = RESCALE_OFFER, .available_bytes = GB});
        break;
    case 7:
    case 8:
        w.limit = 200 * MB + roll(5 * GB);
        break;
    case 9:
        w.other = 20 * MB + roll(300 * MB);
        break;
    case 10:
        w.psi = roll(2) == 0 ? (double)roll(40) : 0;
        break;
    default:
        w.frees = 4 * MB + roll(400 * MB);
        break;
    }
}

// ---- the process

static double hit_ratio(uint64_t bytes)
{
    double x = (double)bytes / (double)(1500 * MB);
    return x >= 1 ? 0.999 : 0.999 * x * (2 - x);
}

static void store_moves(void)
{
    uint64_t goal = least(w.store_limit, 2 * GB);
    if (w.store > goal)
        w.store -= least(w.store - goal, w.frees);
    else
        w.store += least(goal - w.store, w.fills);
    uint64_t gets = 500, hits = (uint64_t)(500 * hit_ratio(w.store));
    w.hits += hits;
    w.misses += gets - hits;
}

static void tick(void)
{
    struct policy_point curve[32];
    for (uint64_t i = 0; i < 32; i++)
        curve[i] = (struct policy_point){(i + 1) * 64 * MB, hit_ratio((i + 1) * 64 * MB)};
    w.now_ms += 100;
    store_moves();
    const struct scaler_sample sample = {
        .limits = {.limit_bytes = w.limit,
                   .machine_bytes = 16 * GB,
                   .rss_bytes = rss(),
                   .psi_some = w.psi,
                   .psi_full = -1},
        .usage = {.store_bytes = w.store,
                  .limit_bytes = w.store_limit,
                  .table_bytes = 1600 * MB,
                  .hits = w.hits,
                  .misses = w.misses},
        .curve = curve,
        .curve_count = 32,
    };
    (void)scaler_core_tick(w.core, w.now_ms, &sample);
    scaler_core_view(w.core, &w.view);
}

// Whatever has been said: with its margin, what the store may have and others hold is within the limits and what was granted (V1, V5).
static void check(void)
{
    uint64_t ceiling = least(w.limit, w.told != 0 ? w.told : UINT64_MAX);
    CLAIM(w.store_limit == 0 || w.store_limit + w.other + MARGIN <= ceiling);
    CLAIM(w.view.ceiling_bytes <= ceiling);
    if (w.view.reclaim_bytes != 0)
        CLAIM(w.store_limit == 0 || w.store_limit + w.other + MARGIN <= w.view.reclaim_bytes);
    CLAIM(w.view.asked + 0u <= 1);
    CLAIM(w.view.state != SCALER_ALONE);
}

static void begin(unsigned schedule)
{
    const struct scaler_options options = {.policy = {.hit_goal = 0.9}, .margin_bytes = MARGIN};
    const struct scaler_effects effects = {
        .set_limit = set_limit, .request = request, .reclaiming = reclaiming, .log = on_log};
    memset(&w, 0, sizeof w);
    w.schedule = schedule;
    w.random = 0x9e3779b97f4a7c15ull * (schedule + 1);
    for (int i = 0; i < 8; i++)
        (void)roll(2);
    w.now_ms = 1000 + roll(1000000);
    w.granted = granules(MIN_GRANT + roll(2 * GB));
    w.limit = 8 * GB;
    w.store_limit = w.store = 64 * MB;
    w.other = 60 * MB;
    w.frees = 50 * MB;
    w.fills = 20 * MB;
    w.core = scaler_core_create(&options, true, schedule, &effects);
    assert_non_null(w.core);
}

static void run(uint64_t ms, unsigned trouble_every)
{
    for (uint64_t end = w.now_ms + ms; w.now_ms < end;) {
        if (trouble_every != 0 && roll(trouble_every) == 0)
            something_happens();
        serve_request();
        tick();
        check();
    }
}

// The orchestrator is itself again and the platform is quiet: within the time of its longest wait the goal is met, and then nothing moves any more.
static void comes_to_rest(void)
{
    w.sane = true;
    w.limit = 8 * GB;
    w.psi = 0;
    w.other = 80 * MB;
    w.frees = GB;
    w.pending.open = false;
    connect_now();
    event((struct rescale_event){.type = RESCALE_OFFER, .available_bytes = 8 * GB});
    run(1800000, 0);
    unsigned requests = w.requests, sets = w.sets;
    CLAIM(w.view.state == SCALER_STEADY);
    CLAIM(w.view.granted_bytes == w.granted); // nothing is lost, and nothing made up
    CLAIM(hit_ratio(w.store) >= 0.88);
    CLAIM(w.granted <= 1700 * MB);
    run(600000, 0);
    CLAIM(w.requests == requests && w.sets == sets);
}

static void schedules(unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++) {
        begin(i);
        tick();
        if (i % 3 != 0)
            connect_now();
        run(60000 + roll(240000), 5 + (unsigned)roll(200));
        if (i % 10 == 0)
            comes_to_rest();
        scaler_core_destroy(&w.core);
    }
}

static void a_thousand_schedules(void **state)
{
    (void)state;
    const char *text = getenv("SCALER_SIM_FROM"); // to look into one of them
    schedules(text != NULL ? (unsigned)strtoul(text, NULL, 10) : 0, text != NULL ? 1 : 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_thousand_schedules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
