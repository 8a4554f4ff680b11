// ARC: two LRU lists, T1 of keys asked for once lately and T2 of keys asked for more often, and the ghosts of what left them, B1 and
// B2. A get of a ghost in B1 says T1 should have been larger, one in B2 says T2: the target of T1 moves accordingly.
#include "tests/bench/store/sim/sim.h"
#include "tests/bench/store/sim/sim_list.h"

enum { T1 = 1, T2, B1, B2, LISTS };

struct arc {
    struct sim_node *nodes;
    struct sim_list list[LISTS];
    uint64_t capacity;
    uint64_t target; // of T1, the paper's p
};

static void arc_destroy(void *cache)
{
    struct arc *arc = cache;
    if (arc != NULL)
        free(arc->nodes);
    free(arc);
}

static void *arc_create(uint32_t keys, uint64_t capacity_bytes)
{
    struct arc *arc = calloc(1, sizeof *arc);
    if (arc == NULL)
        return NULL;
    arc->capacity = capacity_bytes;
    for (uint8_t i = 0; i < LISTS; i++)
        arc->list[i] = sim_list_new(i);
    arc->nodes = calloc(keys, sizeof *arc->nodes);
    if (arc->nodes != NULL)
        return arc;
    arc_destroy(arc);
    return NULL;
}

static void move(struct arc *arc, uint32_t key, uint8_t to)
{
    if (arc->nodes[key].list != 0)
        sim_list_remove(&arc->list[arc->nodes[key].list], arc->nodes, key);
    sim_list_push(&arc->list[to], arc->nodes, key);
}

// The paper's REPLACE, until there is room for the key.
static void replace(struct arc *arc, bool ghost_of_t2, uint64_t size)
{
    while (arc->list[T1].bytes + arc->list[T2].bytes + size > arc->capacity) {
        uint64_t t1 = arc->list[T1].bytes;
        bool from_t1 = t1 > 0 && (t1 > arc->target || (ghost_of_t2 && t1 == arc->target));
        if (arc->list[T2].bytes == 0)
            from_t1 = true;
        if (from_t1)
            move(arc, arc->list[T1].tail, B1);
        else
            move(arc, arc->list[T2].tail, B2);
    }
}

static uint64_t step(uint64_t own, uint64_t other, uint64_t size)
{
    return own >= other ? size : size * (other / own);
}

static void adapt(struct arc *arc, uint8_t ghost, uint64_t size)
{
    uint64_t b1 = arc->list[B1].bytes, b2 = arc->list[B2].bytes;
    if (ghost == B1) {
        arc->target += step(b1, b2, size);
        if (arc->target > arc->capacity)
            arc->target = arc->capacity;
    } else {
        uint64_t less = step(b2, b1, size);
        arc->target = arc->target > less ? arc->target - less : 0;
    }
}

// Case IV: a key in none of the lists. T1 and B1 together stay within the capacity, all four within twice that.
static void make_room(struct arc *arc, uint64_t size)
{
    struct sim_list *list = arc->list;
    while (list[T1].bytes + list[B1].bytes + size > arc->capacity) {
        if (list[B1].bytes > 0)
            (void)sim_list_pop(&list[B1], arc->nodes);
        else
            (void)sim_list_pop(&list[T1], arc->nodes);
    }
    while (list[B2].bytes > 0 &&
           list[T1].bytes + list[T2].bytes + list[B1].bytes + list[B2].bytes + size > 2 * arc->capacity)
        (void)sim_list_pop(&list[B2], arc->nodes);
    replace(arc, false, size);
}

static bool arc_get(void *cache, uint32_t key, uint32_t size)
{
    struct arc *arc = cache;
    uint8_t in = arc->nodes[key].list;
    if (in == T1 || in == T2) {
        move(arc, key, T2);
        return true;
    }
    if (size > arc->capacity)
        return false;
    if (in == B1 || in == B2) {
        adapt(arc, in, size);
        sim_list_remove(&arc->list[in], arc->nodes, key); // so that making room does not drop it
        replace(arc, in == B2, size);
        move(arc, key, T2);
        return false;
    }
    make_room(arc, size);
    arc->nodes[key].size = size;
    move(arc, key, T1);
    return false;
}

const struct sim_policy sim_arc = {"ARC", arc_create, arc_get, arc_destroy};
