// What the broker does to the world: the book, and what it says. Both are judged here.
#include "fault_internal.h"

#include <stdlib.h>
#include <string.h>

// ---- the book

const struct book_vnf *world_on_disk(const struct world *w, size_t i)
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

void world_trace_book(const struct world *w)
{
    for (size_t k = 0; k < w->disk.count; k++)
        TRACE("  book: %s granted %llu committed %llu", w->disk.vnfs[k].name, U w->disk.vnfs[k].granted_bytes,
              U w->disk.vnfs[k].committed_bytes);
}

// Whether the broker is killed now, before this effect.
bool world_killed(struct world *w)
{
    if (!w->dead && w->die_in > 0 && --w->die_in == 0) {
        TRACE("killed");
        w->dead = true;
    }
    return w->dead;
}

bool world_on_record(void *arg, const struct book *book)
{
    struct world *w = arg;
    if (world_killed(w))
        return false;
    if (world_fault(w, 12)) {
        bool there = world_one_in(w, 3); // only the folder could not be synced
        w->torn = w->torn || there;
        TRACE("record fails, written %d", there);
        if (there)
            keep(w, book);
        return false;
    }
    w->torn = false;
    keep(w, book);
    world_trace_book(w);
    return true;
}

// ---- what the broker says

struct world_ask *world_ask_of(struct world *w, uint64_t session, const char *id)
{
    for (size_t k = 0; k < w->ask_count; k++)
        if (w->asks[k].session == session && strcmp(w->asks[k].id, id) == 0)
            return &w->asks[k];
    return NULL;
}

void world_forget_session(struct world *w, uint64_t session)
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
    struct world_ask *ask = world_ask_of(w, session, m->id);
    if (ask == NULL)
        world_wrong(w, "an answer to %s that nobody asked", m->id);
    else if (ask->finals >= ask->asks)
        world_wrong(w, "an answer to %s after its final one", m->id);
    else
        ask->finals += m->final;
}

// P2.
static void check_granted(struct world *w, size_t i, const struct message *m)
{
    const struct book_vnf *entry = world_on_disk(w, i);
    if (m->granted_bytes > (entry == NULL ? 0 : entry->granted_bytes))
        world_wrong(w, "%s was told of %llu, the book on disk has %llu", w->config[i].name,
                    U m->granted_bytes, U(entry == NULL ? 0 : entry->granted_bytes));
    if (m->granted_bytes % WORLD_G != 0)
        world_wrong(w, "%s was told of %llu", w->config[i].name, U m->granted_bytes);
    if (w->backends[i].moved && m->granted_bytes > world_up(w->config[i].min_bytes))
        world_wrong(w, "%s was told of %llu, and nothing is known of its new back-end", w->config[i].name,
                    U m->granted_bytes);
    w->vnfs[i].told = m->granted_bytes;
}

static size_t speaker(const struct world *w, uint64_t session)
{
    for (size_t i = 0; i < WORLD_VNFS; i++)
        if (w->vnfs[i].session == session)
            return i;
    return SIZE_MAX;
}

void world_on_send(void *arg, uint64_t session, const struct message *m)
{
    struct world *w = arg;
    if (world_killed(w))
        return;
    size_t i = speaker(w, session);
    if (session == w->replaced && m->type == MESSAGE_ERROR)
        return;
    if (i == SIZE_MAX && session != w->operator) {
        world_wrong(w, "message to a session that has ended");
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
    if (m->target_bytes < world_least(world_up(w->config[i].min_bytes), v->told)) // P6
        world_wrong(w, "the minimum of %s is reclaimed", w->config[i].name);
    v->reclaimed = m->target_bytes < v->told ? m->target_bytes : 0;
    memcpy(v->reclaim, m->id, sizeof v->reclaim);
}

void world_on_close(void *arg, uint64_t session)
{
    struct world *w = arg;
    if (!world_killed(w))
        world_forget_session(w, session);
}
