#include "fault_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASE 10000

// ---- chance

static uint64_t any(struct world *w) // splitmix64
{
    uint64_t z = (w->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t below(struct world *w, uint64_t n)
{
    return any(w) % n;
}

static bool one_in(struct world *w, uint64_t n)
{
    return below(w, n) == 0;
}

static bool fault(struct world *w, uint64_t n)
{
    return one_in(w, n) && w->faults;
}

static uint64_t down(uint64_t n)
{
    return n / WORLD_G * WORLD_G;
}

static uint64_t up(uint64_t n)
{
    return down(n + WORLD_G - 1);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static __attribute__((format(printf, 2, 3))) void wrong(struct world *w, const char *format, ...)
{
    va_list args;
    if (w->wrong[0] != '\0')
        return; // the first is the one to look at
    va_start(args, format);
    (void)vsnprintf(w->wrong, sizeof w->wrong, format, args);
    va_end(args);
}

static bool tracing(void)
{
    static int on = -1;
    if (on < 0)
        on = getenv("FAULTS_TRACE") != NULL;
    return on != 0;
}

#define TRACE(...)                                                                                           \
    do {                                                                                                     \
        if (tracing()) {                                                                                     \
            fprintf(stderr, "%llu ", (unsigned long long)w->now);                                            \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fputc('\n', stderr);                                                                             \
        }                                                                                                    \
    } while (0)
#define U (unsigned long long)

// ---- the book

static const struct book_vnf *on_disk(const struct world *w, size_t i)
{
    for (size_t k = 0; k < w->disk.count; k++)
        if (strcmp(w->disk.vnfs[k].name, w->config[i].name) == 0)
            return &w->disk.vnfs[k];
    return NULL;
}

static void keep(struct world *w, const struct book *book)
{
    book_release(&w->disk);
    w->disk = *book;
    w->disk.vnfs = calloc(book->count + 1, sizeof *book->vnfs);
    if (w->disk.vnfs == NULL)
        abort();
    memcpy(w->disk.vnfs, book->vnfs, book->count * sizeof *book->vnfs);
    w->records++;
}

// Whether the broker is killed now, before this effect.
static bool killed(struct world *w)
{
    if (!w->dead && w->die_in > 0 && --w->die_in == 0) {
        TRACE("killed");
        w->dead = true;
    }
    return w->dead;
}

static bool on_record(void *arg, const struct book *book)
{
    struct world *w = arg;
    if (killed(w))
        return false;
    if (fault(w, 12)) {
        bool there = one_in(w, 3); // only the folder could not be synced
        w->torn = w->torn || there;
        TRACE("record fails, written %d", there);
        if (there)
            keep(w, book);
        return false;
    }
    w->torn = false;
    keep(w, book);
    for (size_t k = 0; k < w->disk.count; k++)
        TRACE("  book: %s granted %llu committed %llu", w->disk.vnfs[k].name, U w->disk.vnfs[k].granted_bytes,
              U w->disk.vnfs[k].committed_bytes);
    return true;
}

// ---- what the broker says

static struct world_ask *ask_of(struct world *w, uint64_t session, const char *id)
{
    for (size_t k = 0; k < w->ask_count; k++)
        if (w->asks[k].session == session && strcmp(w->asks[k].id, id) == 0)
            return &w->asks[k];
    return NULL;
}

static void forget_session(struct world *w, uint64_t session)
{
    size_t kept = 0;
    for (size_t k = 0; k < w->ask_count; k++)
        if (w->asks[k].session != session)
            w->asks[kept++] = w->asks[k];
    w->ask_count = kept;
    for (size_t i = 0; i < WORLD_VNFS; i++)
        if (w->vnfs[i].session == session)
            w->vnfs[i].session = 0;
    if (w->operator== session)
        w->operator= 0;
}

// P5.
static void check_response(struct world *w, uint64_t session, const struct message *m)
{
    struct world_ask *ask = ask_of(w, session, m->id);
    if (ask == NULL)
        wrong(w, "an answer to %s that nobody asked", m->id);
    else if (ask->finals >= ask->asks)
        wrong(w, "an answer to %s after its final one", m->id);
    else
        ask->finals += m->final;
}

// P2.
static void check_granted(struct world *w, size_t i, const struct message *m)
{
    const struct book_vnf *entry = on_disk(w, i);
    if (m->granted_bytes > (entry == NULL ? 0 : entry->granted_bytes))
        wrong(w, "%s was told of %llu, the book on disk has %llu", w->config[i].name, U m->granted_bytes,
              U(entry == NULL ? 0 : entry->granted_bytes));
    if (m->granted_bytes % WORLD_G != 0)
        wrong(w, "%s was told of %llu", w->config[i].name, U m->granted_bytes);
    w->vnfs[i].told = m->granted_bytes;
}

static size_t speaker(const struct world *w, uint64_t session)
{
    for (size_t i = 0; i < WORLD_VNFS; i++)
        if (w->vnfs[i].session == session)
            return i;
    return SIZE_MAX;
}

static void on_send(void *arg, uint64_t session, const struct message *m)
{
    struct world *w = arg;
    if (killed(w))
        return;
    size_t i = speaker(w, session);
    if (session == w->replaced && m->type == MESSAGE_ERROR)
        return;
    if (i == SIZE_MAX && session != w->operator) {
        wrong(w, "message to a session that has ended");
        return;
    }
    TRACE("-> %s type %d id %s state %s granted %llu target %llu", i == SIZE_MAX ? "op" : w->config[i].name,
          (int)m->type, m->id, m->type == MESSAGE_RESPONSE ? message_state_name(m->state) : "",
          U m->granted_bytes, U m->target_bytes);
    if (m->type == MESSAGE_RESPONSE)
        check_response(w, session, m);
    if (i == SIZE_MAX)
        return;
    struct world_vnf *v = &w->vnfs[i];
    if (m->type == MESSAGE_RESPONSE || m->type == MESSAGE_GRANT || m->type == MESSAGE_WELCOME)
        check_granted(w, i, m);
    if (m->type != MESSAGE_RECLAIM)
        return;
    if (m->target_bytes < least(up(w->config[i].min_bytes), v->told)) // P6
        wrong(w, "the minimum of %s is reclaimed", w->config[i].name);
    v->reclaimed = m->target_bytes < v->told ? m->target_bytes : 0;
    memcpy(v->reclaim, m->id, sizeof v->reclaim);
}

static void on_close(void *arg, uint64_t session)
{
    struct world *w = arg;
    if (!killed(w))
        forget_session(w, session);
}

// ---- back-ends

static enum world_mood mood(struct world *w)
{
    static const enum world_mood moods[] = {MOOD_WELL,    MOOD_WELL,  MOOD_WELL,   MOOD_WELL, MOOD_PARTIAL,
                                            MOOD_REFUSES, MOOD_FAILS, MOOD_SILENT, MOOD_DEAF};
    return w->faults ? moods[below(w, sizeof moods / sizeof *moods)] : MOOD_WELL;
}

static void on_apply(void *arg, size_t i, uint64_t id, uint64_t bytes)
{
    struct world *w = arg;
    struct world_backend *b = &w->backends[i];
    const struct world_vnf *v = &w->vnfs[i];
    const struct book_vnf *entry = on_disk(w, i);
    if (killed(w))
        return;
    TRACE("apply %s %llu id %llu (actual %llu, told %llu)", w->config[i].name, U bytes, U id, U b->actual,
          U v->told);
    if ((entry == NULL ? 0 : entry->committed_bytes) < bytes) // P3
        wrong(w, "the back-end of %s is told %llu, which the book on disk does not have", w->config[i].name,
              U bytes);
    if (bytes < w->config[i].min_bytes || bytes % WORLD_G != 0) // P6
        wrong(w, "the back-end of %s is told %llu", w->config[i].name, U bytes);
    if (v->session != 0 && !v->forced && bytes < least(least(v->told, v->asking), down(b->actual)))
        wrong(w, "%s is there, has not returned anything, and its back-end is told %llu", w->config[i].name,
              U bytes);
    if (!one_in(w, 4)) // else reports of what was replaced still come
        b->queued = 0;
    b->id = id;
    b->target = bytes;
    b->mood = mood(w);
    b->stop =
        least(b->actual, bytes) + below(w, (b->actual > bytes ? b->actual - bytes : bytes - b->actual) + 1);
}

static void queue_report(struct world *w, size_t i, uint64_t id, enum backend_outcome outcome,
                         uint64_t actual)
{
    struct world_backend *b = &w->backends[i];
    if (b->queued < WORLD_REPORTS)
        b->queue[b->queued++] = (struct backend_report){
            .change_id = id, .outcome = outcome, .actual_bytes = actual, .detail = "x"};
}

// Never below what is in use.
static uint64_t towards(struct world *w, size_t i, uint64_t target)
{
    const struct world_backend *b = &w->backends[i];
    if (target >= b->actual)
        return b->actual + least(target - b->actual, 1 + below(w, 4 * WORLD_G));
    uint64_t bound = w->vnfs[i].used > target ? w->vnfs[i].used : target;
    return bound >= b->actual ? b->actual : b->actual - least(b->actual - bound, 1 + below(w, 4 * WORLD_G));
}

static void backend_ends(struct world *w, size_t i, enum backend_outcome outcome)
{
    struct world_backend *b = &w->backends[i];
    uint64_t id = b->id;
    b->id = 0;
    if (b->mood != MOOD_SILENT && b->mood != MOOD_DEAF)
        queue_report(w, i, id, outcome, b->actual);
}

static void backend_moves(struct world *w, size_t i)
{
    struct world_backend *b = &w->backends[i];
    if (b->id == 0)
        return;
    if (b->mood == MOOD_REFUSES || b->mood == MOOD_DEAF) {
        backend_ends(w, i, BACKEND_REFUSED);
        return;
    }
    uint64_t before = b->actual,
             target = b->mood == MOOD_PARTIAL || b->mood == MOOD_FAILS ? b->stop : b->target;
    b->actual = towards(w, i, target);
    if (b->mood == MOOD_STRAY) {
        b->id = b->actual == before || b->actual == target ? 0 : b->id;
        queue_report(w, i, 0, BACKEND_CHANGED, b->actual);
    } else if (b->actual == b->target)
        backend_ends(w, i, BACKEND_DONE);
    else if (b->mood == MOOD_FAILS && one_in(w, 2))
        backend_ends(w, i, BACKEND_FAILED);
    else if (b->actual == target || b->actual == before)
        backend_ends(w, i, b->mood == MOOD_FAILS ? BACKEND_FAILED : BACKEND_PARTIAL);
    else if (b->mood != MOOD_SILENT && one_in(w, 2))
        queue_report(w, i, b->id, BACKEND_PROGRESS, b->actual);
}

// ---- life and death of the broker

static void check(struct world *w);

static void restart(struct world *w)
{
    struct broker_effects effects = {on_send, on_close, on_apply, on_record, NULL, w};
    struct error e;
    broker_destroy(&w->broker);
    for (size_t i = 0; i < WORLD_VNFS; i++)
        if (w->vnfs[i].session != 0)
            forget_session(w, w->vnfs[i].session);
    w->ask_count = 0;
    w->operator= 0;
    w->dead = false;
    w->die_in = 0;
    w->options.vnf_count = fault(w, 10) ? WORLD_VNFS - 1 : WORLD_VNFS; // one is left out, or there again
    w->broker = broker_create(&w->options, &effects, w->disk.count > 0 ? &w->disk : NULL, w->now, &e);
    if (w->broker == NULL) {
        fprintf(stderr, "%s\n", e.text);
        abort();
    }
    TRACE("restart, %zu VNFs, pool %llu", w->options.vnf_count, U w->options.pool_bytes);
    for (size_t k = 0; k < w->disk.count; k++)
        TRACE("  book: %s granted %llu committed %llu", w->disk.vnfs[k].name, U w->disk.vnfs[k].granted_bytes,
              U w->disk.vnfs[k].committed_bytes);
    for (size_t i = 0; i < WORLD_VNFS; i++) { // everybody is asked what is true
        struct world_backend *b = &w->backends[i];
        b->queued = 0;
        if (b->id != 0 && b->outlives)
            b->mood = MOOD_STRAY;
        else
            b->id = 0;
        if (i < w->options.vnf_count)
            queue_report(w, i, 0, BACKEND_CHANGED, b->actual);
    }
}

// After each call: it may have died in it.
static void after(struct world *w)
{
    if (!w->dead) {
        const char *found = broker_check(w->broker);
        if (found != NULL)
            wrong(w, "%s", found);
        w->next = broker_tick(w->broker, w->now);
        if (!w->dead && w->next <= w->now)
            wrong(w, "a tick that must follow at once");
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
        after(w);
    }
    w->now = until;
    after(w);
}

static void check(struct world *w)
{
    uint64_t sum = 0;
    for (size_t k = 0; k < w->disk.count; k++)
        sum += w->disk.vnfs[k].committed_bytes;
    if (sum > w->options.pool_bytes)
        wrong(w, "%llu are committed", U sum);
    for (size_t i = 0; i < WORLD_VNFS; i++) {
        struct world_backend *b = &w->backends[i];
        const struct book_vnf *entry = on_disk(w, i);
        uint64_t committed = entry == NULL ? 0 : entry->committed_bytes;
        b->outside = b->outside && (b->actual > committed || w->torn);
        if (!b->outside && b->actual > committed && entry != NULL)
            wrong(w, "%s has %llu of its back-end, the book has %llu", w->config[i].name, U b->actual,
                  U committed);
        if (w->vnfs[i].session != 0 && entry != NULL && w->vnfs[i].told > entry->granted_bytes)
            wrong(w, "%s believes to have %llu, the book has %llu", w->config[i].name, U w->vnfs[i].told,
                  U entry->granted_bytes);
    }
}

// ---- VNFs

static void tell(struct world *w, uint64_t session, const struct message *m)
{
    broker_message(w->broker, session, m, w->now);
}

static void send_rescale(struct world *w, uint64_t session, struct message *m)
{
    struct world_ask *ask = ask_of(w, session, m->id);
    m->type = MESSAGE_RESCALE;
    m->deadline_ms = one_in(w, 3) ? 0 : 1 + below(w, 20000);
    m->has_priority = true;
    m->priority = below(w, 10);
    if (ask == NULL && w->ask_count == WORLD_ASKS)
        return;
    if (ask == NULL) {
        ask = &w->asks[w->ask_count++];
        *ask = (struct world_ask){.session = session};
        memcpy(ask->id, m->id, sizeof ask->id);
    }
    ask->asks++;
    TRACE("<- rescale id %s vnf %s target %llu min %llu deadline %llu reclaim %s", m->id, m->vnf,
          U m->target_bytes, U m->min_bytes, U m->deadline_ms, m->reclaim);
    tell(w, session, m);
}

static void vnf_asks(struct world *w, size_t i, uint64_t target, uint64_t min, bool again)
{
    struct world_vnf *v = &w->vnfs[i];
    struct message m = {.target_bytes = target, .min_bytes = min, .has_min = min != 0};
    if (again && v->last[0] != '\0') { // with a lie now and then
        memcpy(m.id, v->last, sizeof m.id);
        m.target_bytes = v->last_target + (one_in(w, 5) ? 1 : 0);
        m.min_bytes = v->last_min;
        m.has_min = m.min_bytes != 0;
    } else {
        (void)snprintf(m.id, sizeof m.id, "i%llu", U++ w->ids);
        memcpy(v->last, m.id, sizeof v->last);
        v->last_target = target;
        v->last_min = min;
    }
    if (v->reclaimed != 0 && target <= v->told)
        memcpy(m.reclaim, v->reclaim, sizeof m.reclaim);
    if (m.target_bytes < v->told && !fault(w, 5)) // frees first; or lies
        v->used = least(v->used, m.target_bytes);
    v->asking = m.target_bytes;
    send_rescale(w, v->session, &m);
    v->asking = UINT64_MAX;
}

static void vnf_hello(struct world *w, size_t i)
{
    struct world_vnf *v = &w->vnfs[i];
    struct message m = {.type = MESSAGE_HELLO, .version = 1, .role = ROLE_VNF, .holding_bytes = v->told};
    memcpy(m.vnf, w->config[i].name, sizeof m.vnf);
    if (i >= w->options.vnf_count)
        return;
    uint64_t before = v->session, session = ++w->sessions;
    w->replaced = before; // gets its error
    if (before != 0 && one_in(w, 2)) {
        broker_disconnected(w->broker, before, w->now);
        forget_session(w, before);
        if (w->dead)
            return;
    }
    v->session = session;
    v->told = 0;
    v->reclaimed = 0;
    v->gone = false;
    TRACE("<- hello %s", w->config[i].name);
    broker_hello(w->broker, session, &m, w->now);
}

static void vnf_reclaimed(struct world *w, size_t i)
{
    struct world_vnf *v = &w->vnfs[i];
    struct message m = {.type = MESSAGE_RECLAIMING, .state = STATE_ACCEPTED, .target_bytes = v->reclaimed};
    uint64_t half = v->reclaimed + (v->told > v->reclaimed ? v->told - v->reclaimed : 0) / 2;
    memcpy(m.id, v->reclaim, sizeof m.id);
    switch (w->faults ? below(w, 6) : 0) {
    case 0:
        vnf_asks(w, i, v->reclaimed, 0, false);
        v->reclaimed = 0;
        break;
    case 1:
        m.state = STATE_REFUSED;
        tell(w, v->session, &m);
        v->reclaimed = 0;
        break;
    case 2:
        m.state = STATE_PARTIAL;
        m.target_bytes = half;
        tell(w, v->session, &m);
        break;
    case 3:
        vnf_asks(w, i, half, 0, false);
        v->reclaimed = 0;
        break;
    case 4:
        tell(w, v->session, &m);
        break;
    default: // ignores it
        v->reclaimed = 0;
    }
}

static void vnf_acts(struct world *w, size_t i)
{
    struct world_vnf *v = &w->vnfs[i];
    uint64_t pool = w->options.pool_bytes;
    if (v->session == 0) {
        if (one_in(w, 4))
            vnf_hello(w, i);
        return;
    }
    uint64_t what = below(w, 16);
    if (v->reclaimed != 0 && what < 8) {
        vnf_reclaimed(w, i);
    } else if (what < 5) {
        uint64_t target = v->told + below(w, pool);
        vnf_asks(w, i, target, one_in(w, 3) ? below(w, target + 1) : 0, false);
    } else if (what < 8) {
        vnf_asks(w, i, below(w, v->told + 1), 0, false);
    } else if (what < 10) {
        vnf_asks(w, i, 0, 0, true);
    } else if (what == 10 && fault(w, 2)) { // crashes, or only its connection does
        uint64_t session = v->session;
        v->gone = one_in(w, 2);
        if (v->gone)
            v->used = 0;
        TRACE("<- %s disconnects", w->config[i].name);
        forget_session(w, session);
        broker_disconnected(w->broker, session, w->now);
    } else if (what == 11 && fault(w, 2)) {
        vnf_hello(w, i);
    } else if (what == 12 && fault(w, 2)) { // whatever
        struct message m = {
            .type = (enum message_type)below(w, MESSAGE_UNKNOWN + 1), .id = "r1", .state = STATE_PARTIAL};
        if (m.type != MESSAGE_RESCALE)
            tell(w, v->session, &m);
    } else {
        tell(w, v->session, &(struct message){.type = MESSAGE_PING});
    }
}

static void operator_acts(struct world *w)
{
    struct message m = {.type = MESSAGE_HELLO, .version = 1, .role = ROLE_OPERATOR};
    if (w->operator== 0) {
        w->operator= ++ w->sessions;
        broker_hello(w->broker, w->operator, & m, w->now);
        return;
    }
    if (one_in(w, 8)) {
        uint64_t session = w->operator;
        forget_session(w, session);
        broker_disconnected(w->broker, session, w->now);
        return;
    }
    size_t i =
        below(w, w->options.vnf_count); // those left out would be released: the back-end knows nothing of it
    m = (struct message){.target_bytes = below(w, w->options.pool_bytes)};
    memcpy(m.vnf, w->config[i].name, sizeof m.vnf);
    (void)snprintf(m.id, sizeof m.id, "o%llu", U++ w->ids);
    send_rescale(w, w->operator, & m);
}

// ---- steps

static void vnfs_use(struct world *w) // within what they were told and what there is
{
    for (size_t i = 0; i < WORLD_VNFS; i++) {
        struct world_vnf *v = &w->vnfs[i];
        uint64_t most = v->gone ? 0 : least(v->told, w->backends[i].actual);
        if (v->used > most || one_in(w, 2))
            v->used = v->used > most && fault(w, 3) ? v->used : below(w, most + 1);
        v->used = least(v->used, w->backends[i].actual);
    }
}

static void outsider(struct world *w, size_t i)
{
    struct world_backend *b = &w->backends[i];
    bool more = one_in(w, 4);
    b->actual = more ? b->actual + below(w, w->options.pool_bytes) : below(w, b->actual + 1);
    b->actual = one_in(w, 2) ? down(b->actual) : b->actual;
    b->outside = b->outside || more;
    b->stop = b->target;
    w->vnfs[i].used = least(w->vnfs[i].used, b->actual);
    TRACE("outsider: %s has %llu", w->config[i].name, U b->actual);
    queue_report(w, i, 0, BACKEND_CHANGED, b->actual);
}

static void deliver(struct world *w, size_t i)
{
    struct world_backend *b = &w->backends[i];
    if (b->queued == 0)
        return;
    struct backend_report first = b->queue[0];
    memmove(&b->queue[0], &b->queue[1], --b->queued * sizeof *b->queue);
    w->reports++;
    TRACE("report %s id %llu outcome %d actual %llu", w->config[i].name, U first.change_id,
          (int)first.outcome, U first.actual_bytes);
    if (i < w->options.vnf_count)
        broker_report(w->broker, i, &first, w->now);
}

void world_step(struct world *w)
{
    size_t i = below(w, WORLD_VNFS);
    if (w->faults && w->die_in == 0 && one_in(w, 25))
        w->die_in = 1 + (unsigned)below(w, 12);
    switch (below(w, 10)) {
    case 0:
    case 1:
    case 2:
        vnf_acts(w, i);
        break;
    case 3:
    case 4:
        backend_moves(w, i);
        break;
    case 5:
    case 6:
        deliver(w, i);
        break;
    case 7:
        pass(w, one_in(w, 20) ? below(w, 15000) : below(w, 800));
        break;
    case 8:
        if (one_in(w, 4))
            operator_acts(w);
        break;
    default:
        if (fault(w, 12))
            outsider(w, i);
        vnfs_use(w);
    }
    after(w);
}

// ---- the end

static void check_rest(struct world *w)
{
    uint64_t sum = 0; // while a VNF was left out of the configuration, others may have got its minimum
    for (size_t k = 0; k < w->disk.count; k++)
        sum += w->disk.vnfs[k].committed_bytes;
    for (size_t i = 0; i < WORLD_VNFS; i++) {
        const struct book_vnf *entry = on_disk(w, i);
        const struct world_backend *b = &w->backends[i];
        const struct world_vnf *v = &w->vnfs[i];
        if (entry == NULL || entry->granted_bytes != down(b->actual) ||
            entry->committed_bytes != up(b->actual))
            wrong(w, "%s: at rest actual %llu, granted %llu, committed %llu", w->config[i].name, U b->actual,
                  U(entry == NULL ? 0 : entry->granted_bytes), U(entry == NULL ? 0 : entry->committed_bytes));
        else if (v->session != 0 && v->told != entry->granted_bytes)
            wrong(w, "%s: at rest told %llu, granted %llu", w->config[i].name, U v->told,
                  U entry->granted_bytes);
        else if ((b->actual < w->config[i].min_bytes &&
                  sum + up(w->config[i].min_bytes) <= w->options.pool_bytes) ||
                 (v->session == 0 && up(b->actual) > up(w->config[i].min_bytes)))
            wrong(w, "%s: at rest %llu, minimum %llu, %s", w->config[i].name, U b->actual,
                  U w->config[i].min_bytes, v->session == 0 ? "gone" : "there");
    }
    for (size_t k = 0; k < w->ask_count; k++)
        if (w->asks[k].finals == 0 || w->asks[k].finals > w->asks[k].asks)
            wrong(w, "request %s has %u final answers", w->asks[k].id, w->asks[k].finals);
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
        if (w->vnfs[i].session == 0 && one_in(w, 2))
            vnf_hello(w, i);
        after(w);
    }
    for (unsigned t = 0; t < 300 && w->wrong[0] == '\0'; t++) {
        pass(w, 1000);
        for (size_t i = 0; i < WORLD_VNFS; i++) {
            struct world_vnf *v = &w->vnfs[i];
            v->used = v->session == 0 ? 0 : least(v->used, least(v->told, w->backends[i].actual));
            for (unsigned k = 0; k < 8; k++)
                backend_moves(w, i);
            while (w->backends[i].queued > 0) {
                deliver(w, i);
                after(w);
            }
            if (v->session != 0)
                tell(w, v->session, &(struct message){.type = MESSAGE_PING});
            after(w);
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
                                      .min_bytes = below(w, 500),
                                      .priority = (unsigned)below(w, 10),
                                      .force_overdue = one_in(w, 3)};
        (void)snprintf(config->name, sizeof config->name, "v%zu", i);
        config->max_bytes = one_in(w, 2) ? 0 : up(config->min_bytes) + WORLD_G + below(w, 3000);
        minimums += up(config->min_bytes);
        w->vnfs[i] = (struct world_vnf){.asking = UINT64_MAX, .forced = config->force_overdue, .gone = true};
        w->backends[i].outlives = one_in(w, 2);
        w->backends[i].actual = one_in(w, 2) ? 0 : below(w, 2000);
        w->backends[i].outside = true;
    }
    uint64_t pool = minimums + up(1 + below(w, 3000));
    for (size_t i = 0; i < WORLD_VNFS; i++)
        w->config[i].max_bytes = least(w->config[i].max_bytes, pool);
    w->options = (struct broker_options){.pool_bytes = pool,
                                         .granularity = WORLD_G,
                                         .lease_ms = LEASE,
                                         .deadline_ms = 5000,
                                         .vnfs = w->config,
                                         .vnf_count = WORLD_VNFS};
    restart(w);
    after(w);
}

void world_destroy(struct world *w)
{
    broker_destroy(&w->broker);
    book_release(&w->disk);
}
