// Lists of keys for the policies: doubly linked through one array of nodes, one node a key, which is in one list at most.
#ifndef MEC_BENCH_SIM_LIST_H
#define MEC_BENCH_SIM_LIST_H

#include <stdint.h>
#include <stdlib.h>

#define SIM_NONE UINT32_MAX

struct sim_node {
    uint32_t prev, next; // towards head, towards tail
    uint32_t size;
    uint8_t list; // which of the policy's lists; 0: none
    uint8_t count;
};

struct sim_list {
    uint32_t head, tail; // newest, oldest
    uint64_t bytes;
    uint8_t id;
};

static inline struct sim_list sim_list_new(uint8_t id)
{
    return (struct sim_list){.head = SIM_NONE, .tail = SIM_NONE, .id = id};
}

static inline void sim_list_push(struct sim_list *list, struct sim_node *nodes, uint32_t key)
{
    struct sim_node *node = &nodes[key];
    node->prev = SIM_NONE;
    node->next = list->head;
    node->list = list->id;
    if (list->head != SIM_NONE)
        nodes[list->head].prev = key;
    else
        list->tail = key;
    list->head = key;
    list->bytes += node->size;
}

static inline void sim_list_remove(struct sim_list *list, struct sim_node *nodes, uint32_t key)
{
    struct sim_node *node = &nodes[key];
    if (node->prev != SIM_NONE)
        nodes[node->prev].next = node->next;
    else
        list->head = node->next;
    if (node->next != SIM_NONE)
        nodes[node->next].prev = node->prev;
    else
        list->tail = node->prev;
    node->list = 0;
    list->bytes -= node->size;
}

// The oldest key, removed; the list is not empty.
static inline uint32_t sim_list_pop(struct sim_list *list, struct sim_node *nodes)
{
    uint32_t key = list->tail;
    sim_list_remove(list, nodes, key);
    return key;
}

#endif
