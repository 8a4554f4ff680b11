// S3-FIFO: a small queue (a tenth) that new keys pass through, a main queue for those that were asked for again on the way or soon
// after, and the ghosts of those that were not. All three first in, first out; a hit only counts, up to three.
#include "tests/bench/store/sim/sim.h"
#include "tests/bench/store/sim/sim_list.h"

enum { SMALL = 1, MAIN, GHOST, LISTS };
#define COUNT_MAX 3u
#define TO_MAIN   2u // gets in the small queue that make it to the main one: "more than once"

struct s3fifo {
    struct sim_node *nodes;
    struct sim_list list[LISTS];
    uint64_t capacity;
};

static void s3fifo_destroy(void *cache)
{
    struct s3fifo *s = cache;
    if (s != NULL)
        free(s->nodes);
    free(s);
}

static void *s3fifo_create(uint32_t keys, uint64_t capacity_bytes)
{
    struct s3fifo *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->capacity = capacity_bytes;
    for (uint8_t i = 0; i < LISTS; i++)
        s->list[i] = sim_list_new(i);
    s->nodes = calloc(keys, sizeof *s->nodes);
    if (s->nodes != NULL)
        return s;
    s3fifo_destroy(s);
    return NULL;
}

static void evict_main(struct s3fifo *s)
{
    while (s->list[MAIN].bytes > 0) {
        uint32_t key = sim_list_pop(&s->list[MAIN], s->nodes);
        if (s->nodes[key].count == 0)
            return;
        s->nodes[key].count--;
        sim_list_push(&s->list[MAIN], s->nodes, key);
    }
}

// Ghosts are as many bytes of keys as the main queue may hold.
static void add_ghost(struct s3fifo *s, uint32_t key)
{
    sim_list_push(&s->list[GHOST], s->nodes, key);
    while (s->list[GHOST].bytes > s->capacity - s->capacity / 10)
        (void)sim_list_pop(&s->list[GHOST], s->nodes);
}

static void evict_small(struct s3fifo *s)
{
    while (s->list[SMALL].bytes > 0) {
        uint32_t key = sim_list_pop(&s->list[SMALL], s->nodes);
        if (s->nodes[key].count < TO_MAIN) {
            add_ghost(s, key);
            return;
        }
        s->nodes[key].count = 0;
        sim_list_push(&s->list[MAIN], s->nodes, key);
        if (s->list[MAIN].bytes > s->capacity - s->capacity / 10)
            evict_main(s);
    }
}

static void make_room(struct s3fifo *s, uint64_t size)
{
    while (s->list[SMALL].bytes + s->list[MAIN].bytes + size > s->capacity) {
        if (s->list[SMALL].bytes > 0 &&
            (s->list[SMALL].bytes >= s->capacity / 10 || s->list[MAIN].bytes == 0))
            evict_small(s);
        else
            evict_main(s);
    }
}

static bool s3fifo_get(void *cache, uint32_t key, uint32_t size)
{
    struct s3fifo *s = cache;
    struct sim_node *node = &s->nodes[key];
    if (node->list == SMALL || node->list == MAIN) {
        if (node->count < COUNT_MAX)
            node->count++;
        return true;
    }
    if (size > s->capacity)
        return false;
    uint8_t to = SMALL;
    if (node->list == GHOST) {
        sim_list_remove(&s->list[GHOST], s->nodes, key);
        to = MAIN;
    }
    make_room(s, size);
    node->size = size;
    node->count = 0;
    sim_list_push(&s->list[to], s->nodes, key);
    return false;
}

const struct sim_policy sim_s3fifo = {"S3-FIFO", s3fifo_create, s3fifo_get, s3fifo_destroy};
