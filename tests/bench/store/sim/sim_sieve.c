// SIEVE: one queue, first in, first out, a bit a key that says it was asked for, and a hand that goes from the oldest to the newest, clears
// bits and evicts the first key whose bit is clear. Keys that stay are not moved: new ones meet the hand first.
#include "tests/bench/store/sim/sim.h"
#include "tests/bench/store/sim/sim_list.h"

struct sieve {
    struct sim_node *nodes;
    struct sim_list list;
    uint32_t hand; // SIM_NONE: begin at the tail
    uint64_t capacity;
};

static void sieve_destroy(void *cache)
{
    struct sieve *sieve = cache;
    if (sieve != NULL)
        free(sieve->nodes);
    free(sieve);
}

static void *sieve_create(uint32_t keys, uint64_t capacity_bytes)
{
    struct sieve *sieve = calloc(1, sizeof *sieve);
    if (sieve == NULL)
        return NULL;
    *sieve = (struct sieve){.nodes = calloc(keys, sizeof *sieve->nodes),
                            .list = sim_list_new(1),
                            .hand = SIM_NONE,
                            .capacity = capacity_bytes};
    if (sieve->nodes != NULL)
        return sieve;
    sieve_destroy(sieve);
    return NULL;
}

static void evict(struct sieve *sieve)
{
    uint32_t key = sieve->hand != SIM_NONE ? sieve->hand : sieve->list.tail;
    while (sieve->nodes[key].count != 0) {
        sieve->nodes[key].count = 0;
        key = sieve->nodes[key].prev;
        if (key == SIM_NONE)
            key = sieve->list.tail;
    }
    sieve->hand = sieve->nodes[key].prev;
    sim_list_remove(&sieve->list, sieve->nodes, key);
}

static bool sieve_get(void *cache, uint32_t key, uint32_t size)
{
    struct sieve *sieve = cache;
    if (sieve->nodes[key].list != 0) {
        sieve->nodes[key].count = 1;
        return true;
    }
    if (size > sieve->capacity)
        return false;
    while (sieve->list.bytes + size > sieve->capacity)
        evict(sieve);
    sieve->nodes[key].size = size;
    sieve->nodes[key].count = 0;
    sim_list_push(&sieve->list, sieve->nodes, key);
    return false;
}

const struct sim_policy sim_sieve = {"SIEVE", sieve_create, sieve_get, sieve_destroy};
