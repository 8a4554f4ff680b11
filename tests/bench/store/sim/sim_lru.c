#include "tests/bench/store/sim/sim.h"
#include "tests/bench/store/sim/sim_list.h"

struct lru {
    struct sim_node *nodes;
    struct sim_list list;
    uint64_t capacity;
};

static void lru_destroy(void *cache)
{
    struct lru *lru = cache;
    if (lru != NULL)
        free(lru->nodes);
    free(lru);
}

static void *lru_create(uint32_t keys, uint64_t capacity_bytes)
{
    struct lru *lru = calloc(1, sizeof *lru);
    if (lru == NULL)
        return NULL;
    *lru = (struct lru){
        .nodes = calloc(keys, sizeof *lru->nodes), .list = sim_list_new(1), .capacity = capacity_bytes};
    if (lru->nodes != NULL)
        return lru;
    lru_destroy(lru);
    return NULL;
}

static bool lru_get(void *cache, uint32_t key, uint32_t size)
{
    struct lru *lru = cache;
    bool hit = lru->nodes[key].list != 0;
    if (hit) {
        sim_list_remove(&lru->list, lru->nodes, key);
    } else {
        if (size > lru->capacity)
            return false;
        while (lru->list.bytes + size > lru->capacity)
            (void)sim_list_pop(&lru->list, lru->nodes);
        lru->nodes[key].size = size;
    }
    sim_list_push(&lru->list, lru->nodes, key);
    return hit;
}

const struct sim_policy sim_lru = {"LRU", lru_create, lru_get, lru_destroy};
