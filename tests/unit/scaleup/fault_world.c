// The world's time: life and death of the broker, steps, what must hold, the end.
#include "fault_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASE 10000

// ---- chance

static uint64_t world_any(struct world *w) // splitmix64
{
    uint64_t z = (w->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t world_below(struct world *w, uint64_t n)
{
    return world_any(w) % n;
}

bool world_one_in(struct world *w, uint64_t n)
{
    return world_below(w, n) == 0;
}

bool world_fault(struct world *w, uint64_t n)
{
    return world_one_in(w, n) && w->faults;
}

uint64_t world_down(uint64_t n)
{
    return n / WORLD_G * WORLD_G;
}

uint64_t world_up(uint64_t n)
{
    return world_down(n + WORLD_G - 1);
}

uint64_t world_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

__attribute__((format(printf, 2, 3))) void world_wrong(struct world *w, const char *format, ...)
{
    va_list args;
    if (w->wrong[0] != '\0')
        return; // the first is the one to look at
    va_start(args, format);
    (void)vsnprintf(w->wrong, sizeof w->wrong, format, args);
    va_end(args);
}

bool world_tracing(void)
{
    static int on = -1;
    if (on < 0)
        on = getenv("FAULTS_TRACE") != NULL;
    return on != 0;
}

// ---- life and death of the broker

static void check(struct world *w);

// The operator has given it another group or machine, which has what it has.
static void move(struct world *w, size_t i)
{
    struct world_backend *b = &w->backends[i];
    const struct book_vnf *entry = world_on_disk(w, i);
    struct broker_vnf *config = &w->config[i];
    memset(config->target, 0, sizeof config->target);
    (void)snprintf(config->target, sizeof config->target, "place=%u", ++w->places);
    b->id = 0;
    b->actual = world_one_in(w, 4) ? WORLD_MACHINE : world_below(w, 2 * w->options.pool_bytes);
    b->reported = b->actual; // nothing is known of it that must not be gone below
    b->outside = true;
    b->moved = entry != NULL && entry->committed_bytes > 0;
    w->vnfs[i].used = world_least(w->vnfs[i].used, b->actual);
    TRACE("%s is in %s, which has %llu", config->name, config->target, U b->actual);
}

// As the version before would have written it.
static void age(struct world *w)
{
    for (size_t k = 0; k < w->disk.count; k++) {
        struct book_vnf *entry = &w->disk.vnfs[k];
        for (size_t i = 0; i < WORLD_VNFS; i++)
            if (strcmp(entry->name, w->config[i].name) == 0 &&
                strcmp(entry->target, w->config[i].target) == 0) {
                memset(entry->backend, 0, sizeof entry->backend);
                memset(entry->target, 0, sizeof entry->target);
            }
    }
}

static void restart(struct world *w)
{
    struct broker_effects effects = {world_on_send, world_on_close, world_on_apply, world_on_record, NULL, w};
    struct error e;
    broker_destroy(&w->broker);
    for (size_t i = 0; i < WORLD_VNFS; i++)
        if (w->vnfs[i].session != 0)
            world_forget_session(w, w->vnfs[i].session);
    w->ask_count = 0;
    w->operator= 0;
    w->dead = false;
    w->die_in = 0;
    w->options.vnf_count =
        world_fault(w, 10) ? WORLD_VNFS - 1 : WORLD_VNFS; // one is left out, or there again
    w->left_out = w->left_out || w->options.vnf_count < WORLD_VNFS;
    bool aged = world_fault(w, 20); // and then nobody can tell what has been moved
    if (aged)
        age(w);
    for (size_t i = 0; i < WORLD_VNFS; i++)
        if (!aged && world_fault(w, 15))
            move(w, i);
    w->broker = broker_create(&w->options, &effects, w->disk.count > 0 ? &w->disk : NULL, w->now, &e);
    if (w->broker == NULL) {
        fprintf(stderr, "%s\n", e.text);
        abort();
    }
    TRACE("restart, %zu VNFs, pool %llu", w->options.vnf_count, U w->options.pool_bytes);
    world_trace_book(w);
    for (size_t i = 0; i < WORLD_VNFS; i++) { // everybody is asked what is true
        struct world_backend *b = &w->backends[i];
        b->queued = 0;
        if (b->id != 0 && b->outlives)
            b->mood = MOOD_STRAY;
        else
            b->id = 0;
        if (i < w->options.vnf_count)
            world_queue_report(w, i, 0, BACKEND_CHANGED, b->actual);
    }
}

// After each call: it may have died in it.
void world_after(struct world *w)
{
    if (!w->dead) {
        const char *found = broker_check(w->broker);
        if (found != NULL)
            world_wrong(w, "%s", found);
        w->next = broker_tick(w->broker, w->now);
        if (!w->dead && w->next <= w->now)
            world_wrong(w, "a tick that must follow at once");
    }
    if (w->dead) {
        w->kills++;
        restart(w);
        w->next = w->now;
    }
    check(w);
}

static void pass(struct world *w, uint64_t ms)
{
    uint64_t until = w->now + ms;
    while (w->next <= until && w->wrong[0] == '\0') {
        w->now = w->next > w->now ? w->next : w->now;
        world_after(w);
    }
    w->now = until;
    world_after(w);
}

static void check(struct world *w)
{
    uint64_t sum = 0;
    for (size_t k = 0; k < w->disk.count; k++)
        sum += w->disk.vnfs[k].committed_bytes;
    if (sum > w->options.pool_bytes)
        world_wrong(w, "%llu are committed", U sum);
    for (size_t i = 0; i < WORLD_VNFS; i++) {
        struct world_backend *b = &w->backends[i];
        const struct book_vnf *entry = world_on_disk(w, i);
        uint64_t committed = entry == NULL ? 0 : entry->committed_bytes;
        b->outside = b->outside && (b->actual > committed || w->torn || b->queued > 0);
        if (!b->outside && b->actual > committed && entry != NULL)
            world_wrong(w, "%s has %llu of its back-end, the book has %llu", w->config[i].name, U b->actual,
                        U committed);
        if (w->vnfs[i].session != 0 && entry != NULL && w->vnfs[i].told > entry->granted_bytes)
            world_wrong(w, "%s believes to have %llu, the book has %llu", w->config[i].name,
                        U w->vnfs[i].told, U entry->granted_bytes);
    }
}

// ---- steps

static void vnfs_use(struct world *w) // within what they were told and what there is
{
    for (size_t i = 0; i < WORLD_VNFS; i++) {
        struct world_vnf *v = &w->vnfs[i];
        uint64_t most = v->gone ? 0 : world_least(v->told, w->backends[i].actual);
        if (v->used > most || world_one_in(w, 2))
            v->used = v->used > most && world_fault(w, 3) ? v->used : world_below(w, most + 1);
        v->used = world_least(v->used, w->backends[i].actual);
    }
}

static void outsider(struct world *w, size_t i)
{
    struct world_backend *b = &w->backends[i];
    bool more = world_one_in(w, 4);
    b->actual = more ? b->actual + world_below(w, w->options.pool_bytes) : world_below(w, b->actual + 1);
    if (b->actual > 10 * w->options.pool_bytes) // from no limit to one
        b->actual = world_below(w, w->options.pool_bytes);

    b->actual = world_one_in(w, 2) ? world_down(b->actual) : b->actual;
    if (world_one_in(w, 4)) { // its container was restarted
        b->actual = WORLD_MACHINE;
        more = true;
    }
    b->outside = b->outside || more;
    b->stop = b->target;
    w->vnfs[i].used = world_least(w->vnfs[i].used, b->actual);
    TRACE("outsider: %s has %llu", w->config[i].name, U b->actual);
    world_queue_report(w, i, 0, BACKEND_CHANGED, b->actual);
}

static void deliver(struct world *w, size_t i)
{
    struct world_backend *b = &w->backends[i];
    if (b->queued == 0)
        return;
    struct backend_report first = b->queue[0];
    memmove(&b->queue[0], &b->queue[1], --b->queued * sizeof *b->queue);
    w->reports++;
    if (!first.unknown) {
        b->reported = first.actual_bytes;
        b->moved = false;
    }
    TRACE("report %s id %llu outcome %d unknown %d actual %llu", w->config[i].name, U first.change_id,
          (int)first.outcome, first.unknown, U first.actual_bytes);
    const struct world_vnf *v = &w->vnfs[i];
    const struct book_vnf *entry = world_on_disk(w, i);
    uint64_t session = v->session, own = world_up(w->config[i].min_bytes);
    own = entry != NULL && entry->granted_bytes > own ? entry->granted_bytes : own;
    own = v->told > own ? v->told : own;
    if (i < w->options.vnf_count)
        broker_report(w->broker, i, &first, w->now);
    if (first.unlimited && v->session == session && v->told > own)
        world_wrong(w, "%s was told of %llu because it has lost its limit", w->config[i].name, U v->told);
}

// The daemon is held up while all that are there go on pinging: it sees the time before it sees them.
static void held_up(struct world *w)
{
    uint64_t sessions[WORLD_VNFS], kills;
    TRACE("held up");
    for (size_t i = 0; i < WORLD_VNFS; i++) {
        if (w->vnfs[i].session != 0)
            world_tell(w, w->vnfs[i].session, &(struct message){.type = MESSAGE_PING});
        world_after(w);
    }
    for (size_t i = 0; i < WORLD_VNFS; i++)
        sessions[i] = w->vnfs[i].session;
    kills = w->kills;
    w->now += world_below(w, 4 * LEASE);
    world_after(w);
    for (size_t i = 0; i < WORLD_VNFS && kills == w->kills; i++) {
        if (sessions[i] == 0)
            continue;
        if (w->vnfs[i].session != sessions[i])
            world_wrong(w, "%s has lost its lease because the daemon was held up", w->config[i].name);
        world_tell(w, sessions[i], &(struct message){.type = MESSAGE_PING});
        world_after(w);
    }
}

void world_step(struct world *w)
{
    size_t i = world_below(w, WORLD_VNFS);
    if (world_fault(w, 100))
        held_up(w);
    if (w->faults && w->die_in == 0 && world_one_in(w, 25))
        w->die_in = 1 + (unsigned)world_below(w, 12);
    switch (world_below(w, 10)) {
    case 0:
    case 1:
    case 2:
        world_vnf_acts(w, i);
        break;
    case 3:
    case 4:
        world_backend_moves(w, i);
        break;
    case 5:
    case 6:
        deliver(w, i);
        break;
    case 7:
        pass(w, world_one_in(w, 20) ? world_below(w, 15000) : world_below(w, 800));
        break;
    case 8:
        if (world_one_in(w, 4))
            world_operator_acts(w);
        break;
    default:
        if (world_fault(w, 12))
            outsider(w, i);
        vnfs_use(w);
    }
    world_after(w);
}

// ---- the end

// What the others hold: their minimums are theirs before they are in the book.
static uint64_t held_by_others(const struct world *w, size_t i)
{
    uint64_t sum = 0;
    for (size_t k = 0; k < WORLD_VNFS; k++) {
        const struct book_vnf *entry = world_on_disk(w, k);
        uint64_t has = entry == NULL ? 0 : entry->committed_bytes, min = world_up(w->config[k].min_bytes);
        sum += k == i ? 0 : has > min ? has : min;
    }
    return sum;
}

static void check_rest(struct world *w)
{
    for (size_t i = 0; i < WORLD_VNFS; i++) {
        const struct book_vnf *entry = world_on_disk(w, i);
        const struct world_backend *b = &w->backends[i];
        const struct world_vnf *v = &w->vnfs[i];
        // While it was left out of the configuration, others may have got its minimum.
        if (w->left_out && held_by_others(w, i) + world_up(w->config[i].min_bytes) > w->options.pool_bytes)
            continue;
        if (entry == NULL || entry->granted_bytes != world_down(b->actual) ||
            entry->committed_bytes != world_up(b->actual))
            world_wrong(w, "%s: at rest actual %llu, granted %llu, committed %llu", w->config[i].name,
                        U b->actual, U(entry == NULL ? 0 : entry->granted_bytes),
                        U(entry == NULL ? 0 : entry->committed_bytes));
        else if (v->session != 0 && v->told != entry->granted_bytes)
            world_wrong(w, "%s: at rest told %llu, granted %llu", w->config[i].name, U v->told,
                        U entry->granted_bytes);
        else if (b->actual < w->config[i].min_bytes ||
                 (v->session == 0 && world_up(b->actual) > world_up(w->config[i].min_bytes)))
            world_wrong(w, "%s: at rest %llu, minimum %llu, %s", w->config[i].name, U b->actual,
                        U w->config[i].min_bytes, v->session == 0 ? "gone" : "there");
    }
    for (size_t k = 0; k < w->ask_count; k++)
        if (w->asks[k].finals == 0 || w->asks[k].finals > w->asks[k].asks)
            world_wrong(w, "request %s has %u final answers", w->asks[k].id, w->asks[k].finals);
}

void world_converge(struct world *w)
{
    w->faults = false;
    w->die_in = 0;
    TRACE("faults end");
    if (w->options.vnf_count < WORLD_VNFS)
        restart(w);
    for (size_t i = 0; i < WORLD_VNFS; i++) {
        struct world_backend *b = &w->backends[i];
        if (b->id != 0 && b->mood != MOOD_SILENT && b->mood != MOOD_STRAY)
            b->mood = MOOD_WELL;
        if (w->vnfs[i].session == 0 && world_one_in(w, 2))
            world_vnf_hello(w, i);
        world_after(w);
    }
    for (unsigned t = 0; t < 300 && w->wrong[0] == '\0'; t++) {
        pass(w, 1000);
        for (size_t i = 0; i < WORLD_VNFS; i++) {
            struct world_vnf *v = &w->vnfs[i];
            v->used = v->session == 0 ? 0 : world_least(v->used, world_least(v->told, w->backends[i].actual));
            for (unsigned k = 0; k < 8; k++)
                world_backend_moves(w, i);
            while (w->backends[i].queued > 0) {
                deliver(w, i);
                world_after(w);
            }
            if (v->session != 0)
                world_tell(w, v->session, &(struct message){.type = MESSAGE_PING});
            world_after(w);
        }
    }
    check_rest(w);
}

void world_create(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->random = w->seed = seed;
    w->faults = true;
    w->now = 1000;
    uint64_t minimums = 0;
    for (size_t i = 0; i < WORLD_VNFS; i++) {
        struct broker_vnf *config = &w->config[i];
        *config = (struct broker_vnf){.backend = "sim",
                                      .min_bytes = world_below(w, 500),
                                      .priority = (unsigned)world_below(w, 10),
                                      .force_overdue = world_one_in(w, 3)};
        (void)snprintf(config->name, sizeof config->name, "v%zu", i);
        config->max_bytes =
            world_one_in(w, 2) ? 0 : world_up(config->min_bytes) + WORLD_G + world_below(w, 3000);
        minimums += world_up(config->min_bytes);
        w->vnfs[i] = (struct world_vnf){.asking = UINT64_MAX, .forced = config->force_overdue, .gone = true};
        w->backends[i].outlives = world_one_in(w, 2);
        w->backends[i].actual = world_one_in(w, 2) ? 0 : world_below(w, 2000);
        w->backends[i].outside = true;
    }
    uint64_t pool = minimums + world_up(1 + world_below(w, 3000));
    for (size_t i = 0; i < WORLD_VNFS; i++)
        w->config[i].max_bytes = world_least(w->config[i].max_bytes, pool);
    w->options = (struct broker_options){.pool_bytes = pool,
                                         .granularity = WORLD_G,
                                         .lease_ms = LEASE,
                                         .deadline_ms = 5000,
                                         .vnfs = w->config,
                                         .vnf_count = WORLD_VNFS};
    restart(w);
    world_after(w);
}

void world_destroy(struct world *w)
{
    broker_destroy(&w->broker);
    book_release(&w->disk);
}
